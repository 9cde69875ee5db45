"""EvalPlus: what each solution of HumanEval+ or MBPP+ passes, its base tests and the extra ones."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import Adapter
from midband.adapters.files import (
    foreign,
    load_object,
    mapping,
    moment,
    number,
    start_of,
    written_number,
)
from midband.adapters.stated import (
    choose_metric,
    named_agent,
    named_benchmark,
    other_metrics,
)
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

_WHAT = "results of EvalPlus"
_FILE = re.compile(r"(?:(?P<agent>.*?)[._])?eval_results")
_SETTINGS = re.compile(
    r"(?P<agent>.+?)(?:_(?P<backend>vllm|hf|openai|anthropic|google|bedrock|ollama|gptqmodel))?"
    r"_temp_(?P<temperature>[\d.]+)(?P<rest>.*)"
)
_GENERIC = frozenset({"", "evalplus_results", "humaneval", "mbpp", "results", "samples"})
_BENCHMARKS = frozenset({"humaneval", "mbpp"})


def sniff(path: Path) -> bool:
    """Whether it is a file of that name with the object ``eval``."""
    return b'"eval":{' in start_of(path, "eval_results.json")


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield an attempt a solution.

    The metric is ``plus`` (base and extra tests passed) or ``base``; a time-out is a failure.

    Parameters
    ----------
    path : Path
    options : ReadOptions

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or its name does not say whose it is.
    """
    data = load_object(path, _WHAT)
    tasks = {task: _attempts(each, path) for task, each in mapping(data.get("eval")).items()}
    if not tasks:
        raise foreign(path, _WHAT, "no tasks under eval")
    extra = any(plus is not None for each in tasks.values() for _, plus in each)
    names = ["plus", "base"] if extra else ["base"]
    chosen = choose_metric(path, options, *names)
    yield from other_metrics(chosen, names)
    for name, value in mapping(mapping(data.get("pass_at_k")).get(chosen)).items():
        if number(value) is not None:
            yield StatedAggregate(
                name=f"{chosen} {name}",
                value=float(value),
                per_task=True,
                not_checkable="" if name == "pass@1" else f"{name} is no mean of attempts",
            )
    agent, settings = _agent(path, options)
    metric = Metric(name=chosen, declared="source")
    for task, attempts in tasks.items():
        prefix = task.partition("/")[0].lower()
        known = prefix if prefix in _BENCHMARKS else None
        benchmark = named_benchmark(path, _WHAT, options.benchmark, known)
        for number_of, (base, plus) in enumerate(attempts):
            passed = base if chosen == "base" or base is None else _both(base, plus)
            yield Record(
                benchmark=benchmark,
                task_id=task,
                agent=agent,
                score=None if passed is None else float(passed),
                kind="missing" if passed is None else "valid",
                attempt=number_of,
                run_id=path.stem,
                settings=settings,
                benchmark_version=str(data.get("hash") or ""),
                started=moment(data.get("date")),
                harness="evalplus",
                metric=metric,
            )


def _both(base: bool, plus: bool | None) -> bool | None:
    """Whether both kinds of tests passed; a failure of the base tests decides alone."""
    return False if not base else plus


def _attempts(found: object, path: Path) -> list[tuple[bool | None, bool | None]]:
    """Return whether each solution passed the base tests and the extra ones."""
    if isinstance(found, list):
        rows = [mapping(each) for each in found]
        if not all("base_status" in row for row in rows):
            raise foreign(path, _WHAT, "a solution without base_status")
        return [(_passed(row["base_status"]), _passed(row.get("plus_status"))) for row in rows]
    old = mapping(found)  # before version 0.3: a list of [status, details] a kind
    base, plus = (_statuses(old, kind) for kind in ("base", "plus"))
    if "base" not in old:
        raise foreign(path, _WHAT, "a task without base tests")
    return [(each, plus[place] if place < len(plus) else None) for place, each in enumerate(base)]


def _statuses(old: Mapping[str, Any], kind: str) -> list[bool | None]:
    found = old.get(kind)
    rows = found if isinstance(found, list) else []
    return [_passed(row[0] if isinstance(row, list) and row else None) for row in rows]


def _passed(status: object) -> bool | None:
    if isinstance(status, str) and status.lower() in ("pass", "success"):
        return True
    return False if isinstance(status, str) and status else None


def _agent(path: Path, options: ReadOptions) -> tuple[str, dict[str, object]]:
    """Return the agent and its settings, by the name of the file or of its folder."""
    match = _FILE.fullmatch(path.name.removesuffix(".json"))
    own = (match["agent"] or "") if match else ""
    folder = path.absolute().parent.name
    name = own if own not in _GENERIC else folder
    parts = _SETTINGS.fullmatch(name)
    settings: dict[str, object] = {}
    if parts:
        given = parts["temperature"]
        settings = {"temperature": given if (hot := written_number(given)) is None else hot}
        settings |= {"backend": parts["backend"]} if parts["backend"] else {}
        name = parts["agent"] + parts["rest"]
    named = "" if name in _GENERIC else name.replace("--", "/")
    return named_agent(path, _WHAT, options.agent, named), settings


ADAPTER = Adapter(
    Importer(
        name="evalplus",
        sniff=sniff,
        read=read,
        suffixes=(".json",),
        summary="EvalPlus: MODEL_temp_T.eval_results.json; the metrics plus and base.",
    ),
)
