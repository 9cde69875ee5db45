"""How staged rows join the store: what contradicts it is refused, what is known is left alone."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midband_history._errors import InputError
from midband_history._labels import read_labels
from midband_history._metric import Metric
from midband_history._names import clean_id
from midband_history._records import Record
from midband_history._sql import run_all, statement
from midband_history._staging import stage_metrics, stage_records
from midband_history._stated import Note
from midband_history._summaries import AddReport, Counts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(kw_only=True)
class Incoming:
    """One source on its way into the store.

    Parameters
    ----------
    records : iterable of Record
        Read in chunks, so a generator of millions is fine.
    name : str
        Where they come from, for people.
    digest : str
        Names the source's content and how it is read; a source of known digest is not read again.
    content : str
        Digest of the content alone.
    reader, reader_version : str, int
        The importer that read it.
    options : str
        What the person said about it, as JSON.
    notes : list of Note
        Kept with the source; it may still grow while `records` are read.
    replaces : tuple of int
        Ids of sources whose attempts are removed first: earlier readings of the same content. If
        this source is refused, they stay. If an attempt of theirs is lost that another source may
        hold too, that source is no longer known, and importing it again adds the attempt.
    copies : tuple of int
        Ids of sources of the same content in other places. They are earlier readings too if they
        have results of an agent of this source. Else what stands beside them names another agent.
    """

    records: Iterable[Record] = ()
    name: str = ""
    digest: str = ""
    content: str = ""
    reader: str = ""
    reader_version: int = 0
    options: str = ""
    notes: list[Note] = field(default_factory=list)
    replaces: tuple[int, ...] = ()
    copies: tuple[int, ...] = ()


def add_incoming(connection: "DuckDBPyConnection", sources: Sequence[Incoming]) -> list[AddReport]:
    """Add the records of several sources within the caller's transaction; one report each."""
    ids = next_source_ids(connection, len(sources))
    metrics: dict[Metric, int] = {}
    stage_records(connection, _numbered(ids, sources), metrics)
    return add_staged(connection, ids, sources, metrics)


def next_source_ids(connection: "DuckDBPyConnection", count: int) -> list[int]:
    """Return ids that no source has."""
    last = _count(connection, "SELECT coalesce(max(source_id), 0) FROM sources")
    return list(range(last + 1, last + 1 + count))


def add_staged(
    connection: "DuckDBPyConnection",
    ids: Sequence[int],
    sources: Sequence[Incoming],
    metrics: "dict[Metric, int]",
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
    connection.execute(statement("plain_names"))
    if _count(connection, "SELECT count(*) FROM aliases WHERE what = 'benchmark'"):
        connection.execute(statement("apply_aliases"))
    last = {
        name: _count(connection, f"SELECT coalesce(max({name}_id), 0) FROM {name}s")
        for name in ("benchmark", "metric")
    }
    for step in ("add_benchmarks", "add_metrics", "declare_metrics"):
        connection.execute(statement(step))
    refused = _refuse(connection)
    removed = _remove(connection, {i: one for i, one in number_of.items() if i not in refused})
    last_run = _count(connection, "SELECT coalesce(max(run_id), 0) FROM runs")
    for step in (
        "match_contents", "add_tasks", "add_agents", "add_runs", "number_metrics", "resolve"
    ):  # fmt: skip
        connection.execute(statement(step))
    superseded = _deleted(connection, "drop_superseded")
    for step in ("add_outcomes", "see_metrics"):
        connection.execute(statement(step))
    if removed:
        _let_go(connection, min(ids))
    reports = _reports(connection, ids, refused, removed)
    if superseded or any(one.duplicates for one in reports):
        connection.execute(statement("drop_empty_runs"), {"first": last_run})
    if refused:
        run_all(connection, "drop_refused", last)
    if removed or superseded:
        run_all(connection, "drop_orphans")
    for table in ("resolved", "repeated", "numbered_metrics", "incoming", "incoming_metrics"):
        connection.execute(f"DROP TABLE {table}")
    _keep_notes(connection, number_of)
    return reports


def _numbered(ids: Sequence[int], sources: Sequence[Incoming]) -> Iterator[tuple[int, Record]]:
    for source_id, source in zip(ids, sources, strict=True):
        for record in source.records:
            yield source_id, record


def _insert_sources(connection: "DuckDBPyConnection", sources: dict[int, Incoming]) -> None:
    every = list(sources.values())
    connection.execute(
        "INSERT INTO sources SELECT unnest($1::INTEGER[]), unnest($2::VARCHAR[]),"
        " unnest($3::VARCHAR[]), CAST(get_current_timestamp() AS TIMESTAMP),"
        " unnest($4::VARCHAR[]), unnest($5::VARCHAR[]), unnest($6::INTEGER[]),"
        " unnest($7::VARCHAR[]), '[]'",
        [
            list(sources),
            [clean_id(each.name) for each in every],
            [each.digest for each in every],
            [each.content for each in every],
            [each.reader for each in every],
            [each.reader_version for each in every],
            [each.options for each in every],
        ],
    )


def _keep_notes(connection: "DuckDBPyConnection", sources: dict[int, Incoming]) -> None:
    noted = {number: each.notes for number, each in sources.items() if each.notes}
    if noted:
        connection.execute(
            "UPDATE sources SET notes = found.notes FROM ("
            " SELECT unnest($1::INTEGER[]) AS source_id, unnest($2::VARCHAR[]) AS notes) AS found"
            " WHERE sources.source_id = found.source_id",
            [
                list(noted),
                [json.dumps([[one.code, one.text] for one in notes]) for notes in noted.values()],
            ],
        )


def _refuse(connection: "DuckDBPyConnection") -> dict[int, str]:
    """Take out of the staged rows every source that contradicts the store; say why."""
    refused: dict[int, str] = {}
    for row in connection.execute(statement("refused_metrics")).fetchall():
        refused.setdefault(int(row[0]), _metric_reason(row))
    if connection.execute("FROM incoming WHERE part <> '' LIMIT 1").fetchone():
        for row in connection.execute(statement("refused_parts")).fetchall():
            number, benchmark, task, part, other, where = row
            refused.setdefault(
                int(number),
                f"expected task {task!r} of {benchmark} to be of {other} as in {where or 'memory'},"
                f" got one of {part}: make the ids distinct with --parts, or import the parts under"
                " different names",
            )
    if refused:
        connection.execute(
            "DELETE FROM incoming WHERE list_contains($1::INTEGER[], source_id)", [list(refused)]
        )
        connection.execute(
            "DELETE FROM sources WHERE list_contains($1::INTEGER[], source_id)", [list(refused)]
        )
    return refused


def _metric_reason(row: tuple[object, ...]) -> str:
    _, benchmark, name, key, low, high, lower, declared, *rest = row
    said_low, said_high, said_lower, said_declared, seen_low, seen_high = rest
    held = Metric(name=str(name), key=str(key), low=float(low), high=float(high))  # type: ignore[arg-type]
    label = held.label or "the unnamed metric"
    if said_declared and (said_low, said_high) != (low, high):
        return (
            f"expected {label} of {benchmark} on its stated scale {low:g} to {high:g}, got one of"
            f" {said_low:g} to {said_high:g}: settle it with --scale LOW HIGH"
        )
    if said_lower != lower and declared != "user":
        return (
            f"expected {label} of {benchmark} with {_way(lower)} values better, got"
            f" {_way(said_lower)} ones: settle it with --scale LOW HIGH, and --lower-is-better"
        )
    return (
        f"expected {label} of {benchmark} on its stated scale {low:g} to {high:g}, got values from"
        f" {seen_low:g} to {seen_high:g}: state the right one with --scale LOW HIGH"
    )


def _way(lower_is_better: object) -> str:
    return "lower" if lower_is_better else "higher"


def _remove(connection: "DuckDBPyConnection", sources: dict[int, Incoming]) -> int:
    """Remove the attempts of earlier readings; their keys stay known until the end."""
    found = {number for each in sources.values() for number in each.replaces}
    if copies := [(old, new) for new, each in sources.items() for old in each.copies]:
        rows = connection.execute(
            statement("same_agents"),
            {"old": [pair[0] for pair in copies], "new": [pair[1] for pair in copies]},
        )
        found.update(int(number) for (number,) in rows.fetchall())
    old = sorted(found)
    connection.execute(statement("remove_sources"), {"ids": old}) if old else None
    if not old:
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE removed (key UBIGINT, kind TINYINT, run_id INTEGER)"
        )
        return 0
    count = _count(connection, "SELECT count(*) FROM removed")
    for table in ("outcomes", "sources"):
        connection.execute(
            f"DELETE FROM {table} WHERE list_contains($1::INTEGER[], source_id)", [old]
        )
    # What a run states of itself (its version, its cost) is read anew with its attempts.
    connection.execute(
        "DELETE FROM runs WHERE run_id IN (SELECT run_id FROM removed)"
        " AND run_id NOT IN (SELECT run_id FROM outcomes)"
    )
    return count


def _let_go(connection: "DuckDBPyConnection", first: int) -> None:
    """Forget what only the earlier reading has said: its range of values, and lost attempts.

    A source that was passed over because the earlier reading held its attempts is no longer known
    where some of these are gone, so that importing it adds them.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE taken_away AS SELECT metric_id, score FROM removed"
    )
    run_all(connection, "see_again")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE forgotten AS"
        " SELECT DISTINCT run_id, 0 AS source_id FROM removed ANTI JOIN outcomes USING (key)"
    )
    if _count(connection, "SELECT count(*) FROM forgotten"):
        run_all(connection, "forget_sources", {"first": first})
    for table in ("taken_away", "forgotten"):
        connection.execute(f"DROP TABLE {table}")


def _deleted(connection: "DuckDBPyConnection", step: str) -> int:
    row = connection.execute(statement(step)).fetchone()
    return int(row[0]) if row else 0


def _reports(
    connection: "DuckDBPyConnection", ids: Sequence[int], refused: dict[int, str], removed: int
) -> list[AddReport]:
    held = {
        source: (staged, new, again)
        for source, staged, new, again in connection.execute(
            statement("source_counts"), {"last": min(ids) - 1}
        ).fetchall()
    }
    conflicts = {}
    if any(new + again < staged for staged, new, again in held.values()):
        conflicts = {
            source: f"{count} attempts are recorded already with another result, which was kept"
            f" (first: {example}): give every run its own run_id, or every attempt its number"
            for source, count, example in connection.execute(statement("conflicts")).fetchall()
        }
    counts = _counts(connection)
    reports = []
    for source in ids:
        staged, new, again = held.get(source, (0, 0, 0))
        reports.append(
            AddReport(
                added=new,
                duplicates=staged - new - again,
                replaced=again if removed else 0,
                skipped=(conflicts[source],) if source in conflicts else (),
                counts=tuple(counts.get(source, ())),
                refused=refused.get(source, ""),
            )
        )
    return reports


def _counts(connection: "DuckDBPyConnection") -> dict[int, list[Counts]]:
    rows = connection.execute(statement("counts")).fetchall()
    labels = read_labels(connection, sorted({row[1] for row in rows}))
    found: dict[int, list[Counts]] = {}
    for source, benchmark, agent, name, key, *numbers in rows:
        found.setdefault(source, []).append(
            Counts(
                benchmark=benchmark,
                agent=labels[benchmark, agent],
                metric=Metric(name=name, key=key).label,
                valid=numbers[0],
                passed=numbers[1],
                errors=numbers[2],
                unscored=numbers[3],
                out_of_range=numbers[4],
            )
        )
    return found


def note_range(
    connection: "DuckDBPyConnection", benchmark: str, metric: Metric, low: float, high: float
) -> None:
    """Remember values of a metric whose source was refused: they contradict its assumed scale."""
    stage_records(connection, [], {})
    connection.execute(
        "INSERT INTO incoming (source_id, benchmark, metric, score)"
        " VALUES (0, ?, 0, ?), (0, ?, 0, ?)",
        [benchmark, low, benchmark, high],
    )
    stage_metrics(connection, {metric: 0})
    for step in ("add_benchmarks", "add_metrics"):
        connection.execute(statement(step))
    connection.execute(
        "UPDATE metrics SET seen_low = least(coalesce(seen_low, $low), $low),"
        " seen_high = greatest(coalesce(seen_high, $high), $high)"
        " WHERE name = $name AND key = $key"
        " AND benchmark_id = (SELECT benchmark_id FROM benchmarks WHERE name = $benchmark)",
        {
            "low": low,
            "high": high,
            "name": metric.name,
            "key": metric.key,
            "benchmark": benchmark,
        },
    )
    connection.execute("DROP TABLE incoming")
    connection.execute("DROP TABLE incoming_metrics")


def refusal(name: str, reason: str) -> InputError:
    """Return the error of a source that the store refuses."""
    return InputError(f"{name}: {reason}" if name else reason)


def _count(connection: "DuckDBPyConnection", query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
