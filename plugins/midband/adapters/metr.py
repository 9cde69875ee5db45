"""METR's time-horizon runs: a line an attempt of an agent at a task."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from midband.adapters.base import Adapter
from midband.adapters.files import foreign, load_lines, number, start_of
from midband.adapters.stated import Quantities, choose_metric, other_metrics
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midband.descriptors import ReadItem

BENCHMARK = "metr-time-horizon"
_WHAT = "runs of METR"
_BINARY = "score_binarized"
_CONTINUOUS = ("score_cont", "score")


def sniff(path: Path) -> bool:
    """Whether a JSONL file begins with a run of METR."""
    start = start_of(path, ".jsonl")
    return all(f'"{key}":'.encode() in start for key in ("alias", "task_family", _BINARY))


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield an attempt a line, each with the score that METR counts, errors too.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        `metric` is ``score_binarized`` by default, else the continuous score, on no stated scale.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign.
    """
    seen: Counter[tuple[str, str]] = Counter()
    names: list[str] = []
    quantities = Quantities()
    chosen = _BINARY
    for row in load_lines(path, _WHAT):
        if not names:
            names = [_BINARY, *(key for key in _CONTINUOUS if key in row)]
            chosen = choose_metric(path, options, *names)
            yield from other_metrics(chosen, names)
        alias, task = str(row.get("alias") or ""), str(row.get("task_id") or "")
        if not alias or not task:
            raise foreign(path, _WHAT, f"a row of {', '.join(row)[:80]}")
        score = number(row.get(chosen))
        start, end = number(row.get("started_at")), number(row.get("completed_at"))
        lasted = None  # unknown starts are written as 0
        if start is not None and end is not None and 0 < start < end:
            lasted = (end - start) / 1000
        agent = options.agent or alias
        yield Record(
            benchmark=options.benchmark or BENCHMARK,
            task_id=task,
            agent=agent,
            score=score,
            kind="missing" if score is None else "valid",
            errored=row.get("fatal_error_from") is not None,
            attempt=seen[agent, task],
            run_id=path.stem,
            model=str(row.get("model") or ""),
            harness="metr",
            tokens=quantities.tokens(row.get("tokens_count", row.get("total_tokens"))),
            duration_s=quantities.seconds(lasted),
            source_key=f"metr/{row['run_id']}" if row.get("run_id") else "",
            metric=Metric(name=chosen, declared="source" if chosen == _BINARY else ""),
        )
        seen[agent, task] += 1
    yield from quantities.notes()


ADAPTER = Adapter(
    Importer(
        name="metr",
        sniff=sniff,
        read=read,
        suffixes=(".jsonl",),
        summary="METR's runs: alias, task_id, score_binarized.",
    ),
)
