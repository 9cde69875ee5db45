"""SWE-bench Pro: ``eval_results.json``, whether each instance was resolved."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from midband.adapters.base import Adapter
from midband.adapters.files import foreign, head, load_object
from midband.adapters.stated import choose_metric, named_agent
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Note, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midband.descriptors import ReadItem

BENCHMARK = "swe-bench-pro"
_WHAT = "whether each instance of SWE-bench Pro was resolved"
_RESOLVED = Metric(name="resolved", declared="source")
_FILE = re.compile(r"eval_results(?:[-_.](?P<agent>.+))?")
_HEAD = re.compile(rb'\{"[^"]+":(true|false|null)[,}]')
_GENERIC = frozenset({"eval", "evaluation", "logs", "out", "output", "outputs", "results", "tmp"})


def sniff(path: Path) -> bool:
    """Whether it is a file of that name whose first entry is a truth value."""
    fits = path.suffix == ".json" and _FILE.fullmatch(path.stem) is not None
    return fits and path.is_file() and _HEAD.match(head(path)) is not None


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record an instance.

    The agent is what follows ``eval_results`` in the file's name, else the folder, unless
    `options` names it. Instances whose evaluation broke are not in the file.

    Parameters
    ----------
    path : Path
    options : ReadOptions

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or nothing says who ran.
    """
    choose_metric(path, options, _RESOLVED.name)
    results = load_object(path, _WHAT)
    place = path.absolute()
    match = _FILE.fullmatch(path.stem)
    near = [each.name for each in place.parents][:2]
    folder = next((name for name in near if name and name not in _GENERIC), "")
    agent = named_agent(path, _WHAT, options.agent, match["agent"] if match else "", folder)
    if not options.agent:
        text = f"no file names the agent: it is called {agent} after its place; --agent renames it"
        yield Note(code="agent-from-name", text=text)
    for task, resolved in results.items():
        if not (resolved is None or isinstance(resolved, bool)):
            raise foreign(path, _WHAT, f"{str(resolved)[:40]!r} for {task!r}")
        yield Record(
            benchmark=options.benchmark or BENCHMARK,
            task_id=task,
            agent=agent,
            score=None if resolved is None else float(resolved),
            kind="missing" if resolved is None else "valid",
            run_id=f"{folder}/{path.stem}",
            harness="swebench-pro",
            metric=_RESOLVED,
        )


ADAPTER = Adapter(
    Importer(
        name="swebench-pro",
        sniff=sniff,
        read=read,
        suffixes=(".json",),
        summary="SWE-bench Pro: eval_results.json, an instance and whether it was resolved.",
    ),
)
