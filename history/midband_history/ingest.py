"""How records join the store: staged in bulk, checked against what is held, added as a whole."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from midband_history.cells import refresh_cells
from midband_history.connection import (
    fetch,
    fetch_dicts,
    fetch_value,
    run_all,
    statement,
)
from midband_history.errors import InputError
from midband_history.labels import read_labels
from midband_history.metrics import Metric
from midband_history.records import (
    OUTCOME_KINDS,
    Incoming,
    Record,
    clean_id,
    sane_amount,
    sane_date,
    settings_text,
)
from midband_history.summaries import AddReport, Counts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CHUNK = 50_000
_STAGED = ("incoming", "incoming_runs", "incoming_tasks")
_KINDS = {kind: number for number, kind in enumerate(OUTCOME_KINDS)}
_AMOUNTS = ("cost_usd", "tokens", "duration_s")


def _known(name: str) -> str:
    return f"CASE WHEN NOT isnan({name}) THEN {name} END AS {name}"


_INSERT = (
    "INSERT INTO incoming BY NAME SELECT * REPLACE ("
    + ", ".join(_known(name) for name in ("score", *_AMOUNTS))
    + ", CASE passed WHEN 1 THEN true WHEN 0 THEN false END AS passed) FROM midband_chunk"
)
_INSERT_RUNS = (
    f"INSERT INTO incoming_runs BY NAME SELECT * REPLACE ({_known('run_cost_usd')})"
    " FROM midband_chunk"
)
_INSERT_TASKS = "INSERT INTO incoming_tasks BY NAME FROM midband_chunk"
# What a row of each table of names says, after its number and its place.
_OF_RUNS = (
    *("source_id", "benchmark", "agent", "model", "scaffold", "agent_version", "settings"),
    *("run_id", "harness", "harness_version", "started", "run_cost_usd", "metric", "version"),
    "whole",
)
_OF_TASKS = ("source_id", "benchmark", "task_id", "task_digest", "part")


def add_incoming(connection: "DuckDBPyConnection", sources: Sequence[Incoming]) -> list[AddReport]:
    """Add the records of several sources within the caller's transaction; one report each."""
    ids = next_source_ids(connection, len(sources))
    metrics: dict[Metric, int] = {}
    numbered = zip(ids, sources, strict=True)
    records = ((number, record) for number, source in numbered for record in source.records)
    stage_records(connection, records, metrics)
    return add_staged(connection, ids, sources, metrics)


def next_source_ids(connection: "DuckDBPyConnection", count: int) -> list[int]:
    """Return ids that no source has."""
    last = fetch_value(connection, "SELECT coalesce(max(source_id), 0) FROM sources")
    return list(range(last + 1, last + 1 + count))


def add_staged(
    connection: "DuckDBPyConnection",
    ids: Sequence[int],
    sources: Sequence[Incoming],
    metrics: Mapping[Metric, int],
) -> list[AddReport]:
    """Move the rows of ``incoming`` into the store, within the caller's transaction.

    Parameters
    ----------
    ids : sequence of int
        Ids of the sources that the rows come from.
    sources : sequence of Incoming
        The same sources; their records have been staged.
    metrics : mapping of Metric to int
        The metrics of the rows, by the number under which the rows name them.

    Returns
    -------
    list of AddReport
        One a source, in that order.
    """
    stage_metrics(connection, metrics)
    number_of = dict(zip(ids, sources, strict=True))
    _insert_sources(connection, number_of)
    last = {
        name: fetch_value(connection, f"SELECT coalesce(max({name}_id), 0) FROM {name}s")
        for name in ("benchmark", "metric")
    }
    run_all(connection, "plain_names", "apply_aliases")
    run_all(connection, "add_benchmarks", "add_metrics", "declare_metrics")
    refused = _refuse(connection)
    removed = _remove(connection, {i: one for i, one in number_of.items() if i not in refused})
    last["run"] = fetch_value(connection, "SELECT coalesce(max(run_id), 0) FROM runs")
    run_all(connection, "match_contents", "add_tasks", "add_agents", "add_runs")
    run_all(connection, "number_metrics", "resolve")
    run_all(connection, "find_superseded")
    superseded = fetch_value(connection, statement("drop_superseded"))
    run_all(connection, "add_outcomes", "see_metrics")
    if removed:
        _let_go(connection, min(ids))
    reports = _reports(connection, ids, refused)
    if superseded or any(one.duplicates for one in reports):
        run_all(connection, "drop_empty_runs", bound=last)
    if refused:
        run_all(connection, "drop_refused", bound=last)
    if removed or superseded:
        run_all(connection, "drop_orphans")
    refresh_cells(
        connection,
        f"SELECT DISTINCT run_id FROM outcomes WHERE source_id >= {min(ids)}"
        " UNION SELECT run_id FROM removed UNION SELECT run_id FROM superseded",
    )
    _drop(connection, "resolved", "repeated", "numbered_metrics", "removed", "superseded")
    _drop(connection, *_STAGED, "incoming_metrics")
    _keep_notes(connection, number_of)
    return reports


def _drop(connection: "DuckDBPyConnection", *tables: str) -> None:
    for table in tables:
        connection.execute(f"DROP TABLE {table}")


def _insert_sources(connection: "DuckDBPyConnection", sources: dict[int, Incoming]) -> None:
    every = list(sources.values())
    said = [
        [getattr(each, name) for each in every]
        for name in ("digest", "content", "reader", "reader_version", "options")
    ]
    names = [clean_id(each.name) for each in every]
    connection.execute(statement("add_sources"), [list(sources), names, *said])


def _keep_notes(connection: "DuckDBPyConnection", sources: dict[int, Incoming]) -> None:
    noted = {number: each.notes for number, each in sources.items() if each.notes}
    texts = [json.dumps([[one.code, one.text] for one in notes]) for notes in noted.values()]
    if noted:
        connection.execute(statement("keep_notes"), [list(noted), texts])


def _refuse(connection: "DuckDBPyConnection") -> dict[int, str]:
    """Take out of the staged rows every source that contradicts the store; say why."""
    refused: dict[int, str] = {}
    for row in fetch_dicts(connection, "refused_metrics"):
        refused.setdefault(row["source_id"], _metric_reason(row))
    if connection.execute("FROM incoming_tasks WHERE part <> '' LIMIT 1").fetchone():
        for number, benchmark, task, part, other, where in fetch(connection, "refused_parts"):
            refused.setdefault(
                number,
                f"expected task {task!r} of {benchmark} to be of {other} as in {where or 'memory'},"
                f" got one of {part}: make the ids distinct with --parts, or import the parts under"
                " different names",
            )
    if refused:
        _delete(connection, refused, *_STAGED, "sources")
    return refused


def _delete(connection: "DuckDBPyConnection", sources: Iterable[int], *tables: str) -> None:
    """Delete the rows of some sources from tables."""
    for table in tables:
        connection.execute(
            f"DELETE FROM {table} WHERE list_contains($1::INTEGER[], source_id)", [list(sources)]
        )


def _metric_reason(row: Mapping[str, Any]) -> str:
    benchmark = row["benchmark"]
    label = Metric(name=row["name"], key=row["key"]).label or "the unnamed metric"
    scale = f"{row['low']:g} to {row['high']:g}"
    if row["said_declared"] and (row["said_low"], row["said_high"]) != (row["low"], row["high"]):
        return (
            f"expected {label} of {benchmark} on its stated scale {scale}, got one of"
            f" {row['said_low']:g} to {row['said_high']:g}: settle it with --scale LOW HIGH"
        )
    if row["said_lower"] != row["lower_is_better"] and row["declared"] != "user":
        held, said = (
            "lower" if row[way] else "higher" for way in ("lower_is_better", "said_lower")
        )
        return (
            f"expected {label} of {benchmark} with {held} values better, got {said} ones:"
            " settle it with --scale LOW HIGH, and --lower-is-better"
        )
    return (
        f"expected {label} of {benchmark} on its stated scale {scale}, got values from"
        f" {row['seen_low']:g} to {row['seen_high']:g}: state the right one with --scale LOW HIGH"
    )


def _remove(connection: "DuckDBPyConnection", sources: dict[int, Incoming]) -> int:
    """Remove the attempts of earlier readings; their keys stay known until the end."""
    found = {number for each in sources.values() for number in each.replaces}
    if copies := [(old, new) for new, each in sources.items() for old in each.copies]:
        old_ids, new_ids = zip(*copies, strict=True)
        rows = fetch(connection, "same_agents", old=list(old_ids), new=list(new_ids))
        found.update(int(number) for (number,) in rows)
    if not found:
        run_all(connection, "remove_nothing")
        return 0
    run_all(connection, "remove_sources", bound={"ids": sorted(found)})
    _delete(connection, found, "outcomes", "sources")
    run_all(connection, "drop_removed_runs")
    return int(fetch_value(connection, "SELECT count(*) FROM removed"))


def _let_go(connection: "DuckDBPyConnection", first: int) -> None:
    """Forget what only the earlier reading has said: its range of values, and lost attempts.

    A source that was passed over because the earlier reading held its attempts is no longer known
    where some of these are gone, so that importing it adds them.
    """
    run_all(connection, "take_away", "see_again")
    if fetch_value(connection, "SELECT count(*) FROM forgotten"):
        run_all(connection, "forget_sources", bound={"first": first})
    _drop(connection, "taken_away", "forgotten")


def _reports(
    connection: "DuckDBPyConnection", ids: Sequence[int], refused: Mapping[int, str]
) -> list[AddReport]:
    last = min(ids) - 1
    held = {row[0]: row[1:] for row in fetch(connection, "source_counts", last=last)}
    conflicts = {}
    if any(new + again < staged for staged, new, again in held.values()):
        conflicts = {
            source: f"{count} attempts are recorded already with another result, which was kept"
            f" (first: {example}): give every run its own run_id, or every attempt its number"
            for source, count, example in fetch(connection, "conflicts")
        }
    counts = _counts(connection)
    reports = []
    for source in ids:
        staged, new, again = held.get(source, (0, 0, 0))
        reports.append(
            AddReport(
                added=new,
                duplicates=staged - new - again,
                replaced=again,
                skipped=(conflicts[source],) if source in conflicts else (),
                counts=tuple(counts.get(source, ())),
                refused=refused.get(source, ""),
            )
        )
    return reports


def _counts(connection: "DuckDBPyConnection") -> dict[int, list[Counts]]:
    rows = fetch_dicts(connection, "counts")
    labels = read_labels(connection, sorted({row["benchmark"] for row in rows}))
    found: dict[int, list[Counts]] = {}
    for row in rows:
        agent = labels[row["benchmark"], row.pop("agent_id")]
        metric = Metric(name=row.pop("name"), key=row.pop("key")).label
        of_source = found.setdefault(row.pop("source_id"), [])
        of_source.append(Counts(agent=agent, metric=metric, **row))
    return found


def note_range(
    connection: "DuckDBPyConnection", benchmark: str, metric: Metric, low: float, high: float
) -> None:
    """Remember values of a metric whose source was refused: they contradict its assumed scale."""
    stage_records(connection, [], {})
    connection.execute(
        "INSERT INTO incoming_runs (run, place, source_id, benchmark, metric)"
        " VALUES (0, 0, 0, ?, 0)",
        [benchmark],
    )
    stage_metrics(connection, {metric: 0})
    run_all(connection, "add_benchmarks", "add_metrics")
    bound = {"low": low, "high": high, "name": metric.name, "key": metric.key}
    run_all(connection, "note_range", bound={**bound, "benchmark": benchmark})
    _drop(connection, *_STAGED, "incoming_metrics")


def refusal(name: str, reason: str) -> InputError:
    """Return the error of a source that the store refuses."""
    return InputError(f"{name}: {reason}" if name else reason)


def stage_empty(connection: "DuckDBPyConnection") -> None:
    """Make the staging tables ``incoming`` and ``incoming_metrics``, without a row."""
    connection.execute(statement("stage"))


def stage_records(
    connection: "DuckDBPyConnection",
    records: Iterable[tuple[int, Record]],
    metrics: dict[Metric, int],
) -> None:
    """Fill the staging tables with records, each with the id of its source.

    A bounded number of them is in memory at a time. Metrics that are met get a number in `metrics`.
    """
    stage_empty(connection)
    rest = iter(records)
    counts = {"run": 0, "task": 0, "place": 0}
    while chunk := list(islice(rest, _CHUNK)):
        for insert, columns in _chunk_columns(chunk, metrics, counts):
            with _pandas_found_or_not():
                connection.register("midband_chunk", columns)
                try:
                    connection.execute(insert)
                finally:
                    connection.unregister("midband_chunk")


@contextmanager
def _pandas_found_or_not() -> Iterator[None]:
    """Say once where there is no pandas: DuckDB 1.x looks for it again at each value of a text.

    50,000 records took 20 s in the searches alone.
    """
    if "pandas" in sys.modules or find_spec("pandas") is not None:
        yield
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # documented: an import then fails
    try:
        yield
    finally:
        sys.modules.pop("pandas", None)


def stage_metrics(connection: "DuckDBPyConnection", metrics: Mapping[Metric, int]) -> None:
    """Say in ``incoming_metrics`` what the numbers of the staged rows mean."""
    if metrics:
        connection.executemany(
            "INSERT INTO incoming_metrics VALUES (?, ?, ?, ?, ?, ?, ?)",
            [[number, *astuple(metric)] for metric, number in metrics.items()],
        )


def as_utc(moment: datetime | None) -> datetime | None:
    """Return a moment in UTC without its zone, as the store holds it; naive times are UTC."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


def _chunk_columns(
    numbered: Sequence[tuple[int, Record]], metrics: dict[Metric, int], counts: dict[str, int]
) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Return the columns of each staging table, with the statement that takes them in.

    Parameters
    ----------
    counts : dict of str to int
        How many runs, tasks and places are taken; brought up to date.
    """
    first = counts["place"]
    runs: dict[tuple[object, ...], int] = {}
    tasks: dict[tuple[object, ...], int] = {}
    run_of, task_of = [], []
    for source_id, record in numbered:
        metric = metrics.setdefault(record.metric, len(metrics))
        run = (
            *(source_id, record.benchmark, record.agent, record.model, record.scaffold),
            *(record.agent_version, settings_text(record.settings), record.run_id),
            *(record.harness, record.harness_version, record.started, record.run_cost_usd),
            *(metric, record.benchmark_version, record.whole_benchmark),
        )
        # As text: 1 and 1.0 are one key of a dict, and two tasks.
        task = (
            *(source_id, record.benchmark, str(record.task_id), record.task_digest, record.part),
        )
        run_of.append(counts["run"] + runs.setdefault(run, len(runs)))
        task_of.append(counts["task"] + tasks.setdefault(task, len(tasks)))
    chunk = [record for _, record in numbered]
    passed = [record.counts_as_passed for record in chunk]
    columns: dict[str, np.ndarray] = {
        "source_id": np.array([source_id for source_id, _ in numbered], dtype=np.int32),
        "run": np.array(run_of, dtype=np.int32),
        "task": np.array(task_of, dtype=np.int32),
        "place": np.arange(first, first + len(chunk), dtype=np.int64),
        "attempt": np.array([record.attempt for record in chunk], dtype=np.int32),
        "kind": np.array([_KINDS[record.kind] for record in chunk], dtype=np.int8),
        "score": _floats([record.score for record in chunk]),
        "passed": np.array([-1 if each is None else each for each in passed], dtype=np.int8),
        "source_key": _texts([record.source_key for record in chunk]),
        "scored": _moments([record.scored_at for record in chunk]),
    }
    for name in _AMOUNTS:
        columns[name] = _floats([sane_amount(getattr(each, name), name) for each in chunk])
    found = [
        (_INSERT_RUNS, _name_columns(runs, _OF_RUNS, "run", counts)),
        (_INSERT_TASKS, _name_columns(tasks, _OF_TASKS, "task", counts)),
        (_INSERT, columns),
    ]
    counts["place"] += len(chunk)
    return found


def _name_columns(
    rows: dict[tuple[object, ...], int], names: tuple[str, ...], number: str, counts: dict[str, int]
) -> dict[str, np.ndarray]:
    """Return the columns of a table of names, whose rows are in order of their first use."""
    columns: dict[str, np.ndarray] = {
        number: np.arange(counts[number], counts[number] + len(rows), dtype=np.int32),
        "place": np.arange(counts["place"], counts["place"] + len(rows), dtype=np.int64),
    }
    counts[number] += len(rows)
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        given: Sequence[Any] = values
        if name == "started":
            columns[name] = _moments([sane_date(each) for each in given])
        elif name == "run_cost_usd":
            columns[name] = _floats([sane_amount(each, name) for each in given])
        elif name in ("source_id", "metric"):
            columns[name] = np.array(given, dtype=np.int32)
        elif name == "whole":
            columns[name] = np.array(given, dtype=bool)
        else:
            columns[name] = _texts(given)
    return columns


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if each is None else each for each in values], dtype=float)


def _moments(values: Sequence[datetime | None]) -> np.ndarray:
    return np.array(
        [np.datetime64("NaT", "us") if each is None else as_utc(each) for each in values],
        dtype="datetime64[us]",
    )


def _texts(values: Sequence[object]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = [clean_id(str(each)) for each in values]
    return out
