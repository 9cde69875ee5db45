"""What is done to everything that an importer reads: the person's options, the check, workers."""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from midband._descriptors import ReadOptions
from midband_history import (
    InputError,
    Metric,
    Note,
    Reconciliation,
    Record,
    StatedAggregate,
    Table,
    UnreadableSourceError,
    process_pool,
    sane_cost,
    sane_date,
    sane_duration,
    sane_run_cost,
    sane_tokens,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from midband._descriptors import Importer

# Names of metrics of which less is mostly better.
_REVERSE = re.compile(
    r"(attack_success|error|fail|failure|hallucination|refusal|toxicity|violation)[ _-]?rate"
    r"|perplexity|toxicity|(\b|_)(loss|wer|cer|mae|rmse)\b",
    re.IGNORECASE,
)


@dataclass(kw_only=True)
class Reading:
    """What was read of one source beside its records.

    Parameters
    ----------
    notes : list of Note
        Grows while the records are read.
    """

    notes: list[Note] = field(default_factory=list)


def call_reader(reader: Callable[..., Any], what: object, options: ReadOptions) -> Any:
    """Call an importer's function with those of the options that its signature names."""
    offered: dict[str, object] = {
        "options": options,
        "benchmark": options.benchmark,
        "columns": options.columns,
    }
    names = inspect.signature(reader).parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in names.values())
    return reader(
        what, **{name: value for name, value in offered.items() if open_ended or name in names}
    )


class ReadingFailedError(Exception):
    """An importer raised an error, whatever it is: the history has no part in it.

    Parameters
    ----------
    error : BaseException
        What it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def _told_apart() -> Iterator[None]:
    """Tell the errors of an importer from those of who uses it."""
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise ReadingFailedError(error) from error


def asked(reader: Callable[..., Any], what: object, options: ReadOptions) -> Iterator[Any]:
    """Yield what an importer's function yields; whatever it raises is a `ReadingFailedError`."""
    with _told_apart():
        rest = iter(call_reader(reader, what, options))
    while True:
        with _told_apart():
            try:
                item = next(rest)
            except StopIteration:
                return
        yield item


def read_source(importer: "Importer", path: Path, options: ReadOptions) -> Iterator[object]:
    """Read one source with an importer, which may yield records, notes and stated aggregates.

    Raises
    ------
    ReadingFailedError
        The importer raised an error.
    """
    return asked(importer.read, path, options)


def described_table(importer: "Importer", path: Path, options: ReadOptions) -> Table:
    """Return the table that an importer describes; raises as `read_source`."""
    with _told_apart():
        if importer.table is None:
            msg = f"expected an importer of tables, got {importer.name}"
            raise InputError(msg)
        table = call_reader(importer.table, path, options)
        if not isinstance(table, Table):
            msg = f"expected a Table, got a {type(table).__name__}"
            raise TypeError(msg)
        return table


def checked(
    path: Path, items: Iterable[object], options: ReadOptions, reading: Reading
) -> Iterator[Record]:
    """Yield the records among the items with the person's options applied, and check them.

    Notes go into `reading`. After the last record, every number that the source states is compared
    with what was read.

    Raises
    ------
    UnreadableSourceError
        A stated number differs for an unknown reason, and the options do not accept that.
    """
    check = Reconciliation()
    stated: list[StatedAggregate] = []
    absurd: dict[str, int] = {}
    untouched = replace(options, **_ELSEWHERE) == ReadOptions()  # type: ignore[arg-type]
    unclear: dict[str, None] = {}
    for item in items:
        if isinstance(item, Record):
            check.see(item)
            for name in _absurd(item):
                absurd[name] = absurd.get(name, 0) + 1
            if options.lower_is_better is None and not item.metric.lower_is_better:
                unclear[item.metric.label] = None
            yield item if untouched else apply_options(item, options)
        elif isinstance(item, Note):
            reading.notes.append(item)
        elif isinstance(item, StatedAggregate):
            stated.append(item)
        else:
            msg = f"{path}: expected records from the importer, got a {type(item).__name__}"
            raise UnreadableSourceError(msg)
    for name, count in absurd.items():
        text = f"{count:,} attempts have a {name} that cannot be: taken as unknown"
        reading.notes.append(Note(code="absurd-amount", text=text))
    if not any(note.code == "direction-unclear" for note in reading.notes):
        for label in filter(_REVERSE.search, unclear):
            text = f"greater values of {label} are taken to be better"
            note = f"{text}: --lower-is-better says otherwise"
            reading.notes.append(Note(code="direction-unclear", text=note))
    explained, unexplained = check.judge(stated)
    reading.notes.extend(explained)
    if unexplained and not options.accept_difference:
        msg = (
            f"{path}: {unexplained[0].text}: look into the file, or import it with"
            " --accept-difference"
        )
        raise UnreadableSourceError(msg)
    reading.notes.extend(unexplained)


# Options that only importers follow: records are not changed for their sake.
_ELSEWHERE: dict[str, object] = {
    "benchmark": None,
    "tasks": (),
    "columns": {},
    "wide": "",
    "accept_difference": False,
}
_SANE = {
    "cost_usd": sane_cost,
    "tokens": sane_tokens,
    "duration_s": sane_duration,
    "run_cost_usd": sane_run_cost,
    "started": sane_date,
}


def _absurd(record: Record) -> list[str]:
    """Return the amounts of a record that the history will not believe."""
    return [
        name
        for name, sane in _SANE.items()
        if (value := getattr(record, name)) is not None and sane(value) is None
    ]


def apply_options(record: Record, options: ReadOptions) -> Record:
    """Return the record as the person wants it read."""
    changes: dict[str, object] = {
        name: getattr(options, name)
        for name in ("agent", "model", "scaffold", "benchmark_version")
        if getattr(options, name)
    }
    metric = with_scale(record.metric, options)
    if metric is not record.metric:
        changes["metric"] = metric
    if options.parts and record.part:
        changes["task_id"] = f"{record.part}/{record.task_id}"
        changes["part"] = ""
    failed = record.errored or record.kind in ("infra_error", "grader_error")
    if options.errors == "missing" and failed and record.kind == "valid":
        changes.update(kind="infra_error", score=None, passed=None)
    elif options.errors == "failed" and failed:
        worst = metric.high if metric.lower_is_better else metric.low
        changes.update(kind="valid", score=worst, passed=False)
    return replace(record, **changes) if changes else record  # type: ignore[arg-type]


def with_scale(metric: Metric, options: ReadOptions) -> Metric:
    """Return the metric with the scale, direction and name that the person states."""
    changes: dict[str, object] = {}
    if options.scale is not None:
        low, high = options.scale
        changes.update(low=float(low), high=float(high), declared="user")
    if options.lower_is_better is not None:
        changes["lower_is_better"] = options.lower_is_better
    if options.metric and not metric.known:
        changes["name"] = options.metric
    return replace(metric, **changes) if changes else metric  # type: ignore[arg-type]


Result = TypeVar("Result")

IN_FLIGHT = 64


def in_workers(
    job: Callable[[str], Result],
    paths: Sequence[Path],
    *,
    workers: int | None,
    died: Callable[[Path, str], Result],
) -> Iterator[tuple[Path, Result]]:
    """Yield the result of a job for every path, in order, with a bounded number in memory.

    A worker that dies takes every job of its pool with it. The jobs are then done one at a time,
    each in a pool of its own, so that the file that kills its worker is known. Where no worker can
    be started at all, this process does the rest.

    Parameters
    ----------
    job : callable
        Called with a path as text, in another process; it must not raise.
    paths : sequence of Path
    workers : int or None
        Number of processes; the number of cores by default.
    died : callable
        What stands for the result of a path whose worker died, called with the path and what
        happened.
    """
    done = 0
    try:
        for path, result in _pooled(job, paths, workers):
            yield path, result
            done += 1
        return
    except BrokenProcessPool:
        pass
    for path in paths[done:]:
        try:
            ((_, result),) = _pooled(job, [path], 1)
        except BrokenProcessPool as error:
            result = died(path, str(error)) if _can_start() else job(str(path))
        yield path, result


def _pooled(
    job: Callable[[str], Result], paths: Sequence[Path], workers: int | None
) -> Iterator[tuple[Path, Result]]:
    with process_pool(workers) as pool:
        remaining = iter(paths)
        waiting: list[tuple[Path, Future[Result]]] = []
        while True:
            waiting.extend(
                (path, pool.submit(job, str(path)))
                for path in islice(remaining, IN_FLIGHT - len(waiting))
            )
            if not waiting:
                return
            path, future = waiting.pop(0)
            yield path, future.result()


def _can_start() -> bool:
    """Whether a worker that is given next to nothing to do lives."""
    try:
        ((_, pid),) = _pooled(_nothing, [Path()], 1)
    except BrokenProcessPool:
        return False
    return pid != os.getpid()


def _nothing(_: str) -> int:
    return os.getpid()
