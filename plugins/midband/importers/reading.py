"""Reading sources: the person's options, the check of what is stated, records of many files."""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.descriptors import ReadOptions
from midband.importers.discovery import Source, path_text
from midband.importers.unpacking import Found, opened_sources
from midband_history import (
    TABLE_COLUMNS,
    InputError,
    Metric,
    MidbandError,
    Note,
    Reconciliation,
    Record,
    StatedAggregate,
    StoreError,
    Table,
    UnreadableSourceError,
    sane_cost,
    sane_date,
    sane_duration,
    sane_run_cost,
    sane_tokens,
)

if TYPE_CHECKING:
    from midband.descriptors import Importer

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


def check_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the columns, theirs to ours.

    Raises
    ------
    InputError
        One of ours is none of `TABLE_COLUMNS`.
    """
    for theirs, ours in columns.items():
        if ours not in TABLE_COLUMNS:
            msg = (
                f"expected a column of midband in {theirs}={ours}, got {ours!r}:"
                f" choose from {', '.join(TABLE_COLUMNS)}"
            )
            raise InputError(msg)
    return dict(columns)


def read_records(
    paths: Sequence[Path],
    *,
    format_name: str | None = None,
    options: ReadOptions | None = None,
    note: Callable[[Path, Note], None] | None = None,
) -> Iterator[Record]:
    """Yield the records of files and directories, without a history.

    Parameters
    ----------
    paths, format_name, options
        As for `import_paths`.
    note : callable, optional
        Called with the path and each note of a source.

    Raises
    ------
    UnreadableSourceError
        A source cannot be read, or its own aggregate cannot be reproduced.
    """
    options = options or ReadOptions()
    with opened_sources(paths, all_importers(None), format_name=format_name) as found:
        for one in found.unrecognised:
            if one.named:
                raise UnreadableSourceError(one.reason)
        for source in found.sources:
            yield from _records_of(source, found, options, note)


def _records_of(
    source: Source,
    found: Found,
    options: ReadOptions,
    note: Callable[[Path, Note], None] | None,
) -> Iterator[Record]:
    reading = Reading()
    items = read_source(source.importer, source.path, options)
    try:
        yield from checked(source.path, items, options, reading)
    except ReadingFailedError as failed:
        error = failed.error
        known = isinstance(error, MidbandError) and not isinstance(error, StoreError)
        if known and not found.places:
            raise error from failed
        reason = str(error) if known else why_refused(source, error)
        raise UnreadableSourceError(found.shown(reason)) from failed
    except UnreadableSourceError as error:
        raise UnreadableSourceError(found.shown(str(error))) from error
    if note is not None:
        for each in reading.notes:
            note(found.path(source.path), each)


def all_importers(importers: "Mapping[str, Importer] | None") -> "Mapping[str, Importer]":
    """Return the importers given, or those of all plugins."""
    if importers is not None:
        return importers
    from midband._manager import get_plugin_manager

    return get_plugin_manager().importers()


def why_refused(source: Source, error: BaseException) -> str:
    """Return why a source cannot be read, with its name, on one line."""
    reason = " ".join(str(error).split())
    if isinstance(error, StoreError) or not isinstance(error, (MidbandError, OSError)):
        reason = f"importer {source.importer.name} failed, {type(error).__name__}: {reason}"
    name = path_text(source.path)
    reason = reason.replace(str(source.path), name)
    return reason if name in reason else f"{name}: {reason}"


def _choices(options: ReadOptions) -> dict[str, object]:
    """Return the options that were given."""
    default = ReadOptions()
    names = [each.name for each in fields(options) if each.compare]
    chosen = {name: getattr(options, name) for name in names}
    return {name: value for name, value in chosen.items() if value != getattr(default, name)}


def reading_salt(name: str, options: ReadOptions) -> tuple[str, ...]:
    """Return what else than its content decides how a source is read.

    The first three parts are what midband 0.1 used, so that its sources are known again.
    """
    salt = (name, options.benchmark or "", repr(sorted(options.columns.items())))
    said = {
        key: value
        for key, value in _choices(options).items()
        if key not in ("benchmark", "columns", "accept_difference")
    }
    return (*salt, json.dumps(said, sort_keys=True)) if said else salt


def options_text(options: ReadOptions) -> str:
    """Return the options that were given as JSON; empty for none."""
    said = _choices(options)
    return json.dumps(said, sort_keys=True) if said else ""
