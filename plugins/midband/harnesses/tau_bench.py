"""tau-bench (v1) result files: a list of runs, in which an exception stands as reward 0."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from midband._descriptors import Importer
from midband.harnesses._adapting import ImportOnly
from midband.harnesses._files import (
    content_hash,
    foreign,
    head,
    mapping,
    unit_score,
)
from midband.harnesses._streams import entries
from midband.hookspecs import hookimpl
from midband_history import OutcomeKind, Record

if TYPE_CHECKING:
    from midband._harness import Harness

_WHAT = "a tau-bench result file"
_HEAD = re.compile(rb'\[\{"task_id":\d+,"reward":')
_DOMAIN = re.compile(r"[-_.]?(?P<domain>airline|retail)", re.IGNORECASE)
# "tool-calling-gpt-4o-0.0_range_0--1_user-gpt-4o-llm_0614120000"
_OWN_NAME = re.compile(r"(?P<agent>.+)_range_-?\d+--?\d+_user-(?P<user>.+)_\d{8,10}$")


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the harness, whose results are only read."""
    return [
        ImportOnly(
            name="tau-bench",
            summary="tau-bench v1: its result files are read.",
            sniff=sniff,
            read=read,
            why="it has been followed by tau2-bench, which takes task ids and tells errors apart",
        )
    ]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="tau_bench",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="tau-bench v1 result files; the domain from the name or --benchmark.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a JSON file begins with a task and its reward."""
    return path.suffix == ".json" and path.is_file() and _HEAD.match(head(path)) is not None


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield a record a run; the file's name is all that tells agent and domain.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Needed unless the file's name holds ``airline`` or ``retail``: both count tasks from 0.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or nothing tells the domain.
    """
    del columns
    domains = {found["domain"].lower() for found in _DOMAIN.finditer(path.stem)}
    if benchmark is None and len(domains) != 1:
        raise foreign(path, "the domain in the file's name", "none: use --benchmark tau-airline")
    own = _OWN_NAME.match(path.stem)
    agent = own["agent"] if own else _DOMAIN.sub("", path.stem) or path.stem
    for run in entries(path, _WHAT):
        info = mapping(run.get("info"))
        score = unit_score(run.get("reward"))
        kind: OutcomeKind = "missing" if score is None else "valid"
        if info.get("error") is not None:
            kind = "infra_error"
        trial = run.get("trial", 0)
        if "task_id" not in run or not isinstance(trial, int) or trial < 0:
            raise foreign(path, _WHAT, "a run without its task_id and trial")
        task = info.get("task")
        yield Record(
            benchmark=benchmark or f"tau-{min(domains)}",
            task_id=str(run["task_id"]),
            agent=agent,
            score=score if kind == "valid" else None,
            kind=kind,
            attempt=trial,
            run_id=path.stem,
            settings={"user": own["user"]} if own else {},
            harness="tau_bench",
            task_digest=content_hash(task) if task else "",
        )
