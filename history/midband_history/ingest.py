"""How records join the store: staged in bulk, checked against what is held, added as a whole."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

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
from midband_history.names import clean_id
from midband_history.record_columns import stage_empty, stage_records
from midband_history.records import (
    Incoming,
)
from midband_history.summaries import AddReport, Counts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_STAGED = ("incoming", "incoming_runs", "incoming_tasks")


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
    stage_empty(connection)
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


def stage_metrics(connection: "DuckDBPyConnection", metrics: Mapping[Metric, int]) -> None:
    """Say in ``incoming_metrics`` what the numbers of the staged rows mean."""
    if metrics:
        connection.executemany(
            "INSERT INTO incoming_metrics VALUES (?, ?, ?, ?, ?, ?, ?)",
            [[number, *astuple(metric)] for metric, number in metrics.items()],
        )
