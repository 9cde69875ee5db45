"""Where a number comes from, what is wrong with it, and how results are taken away again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from midband_history._errors import InputError, UnknownTaskError, nearest
from midband_history._labels import read_labels
from midband_history._metric import Metric
from midband_history._metrics import joinable, read_metrics
from midband_history._opened import plain_benchmark
from midband_history._records import OUTCOME_KINDS
from midband_history._sql import run_all, statement
from midband_history._stated import Note

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


_ALL = 2**31 - 1  # above the id of every source


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One attempt and where it comes from.

    Parameters
    ----------
    agent, task_id, task_digest, part : str
    metric : str
        ``NAME`` or ``NAME.KEY``; empty where it is unknown.
    kind : str
    score : float or None
        On the metric's own scale.
    attempt : int
    run_id, harness, harness_version, benchmark_version : str
    started, scored_at : datetime or None
    source : str
        The file or directory.
    imported_at : datetime or None
    reader : str
        The importer and its version; ``midband 0.1`` for what that has read.
    options : mapping
        What the person said about the source.
    notes : tuple of Note
        What was noted of the source.
    """

    agent: str
    task_id: str
    task_digest: str
    part: str
    metric: str
    kind: str
    score: float | None
    attempt: int
    run_id: str
    harness: str
    harness_version: str
    benchmark_version: str
    started: datetime | None
    scored_at: datetime | None
    source: str
    imported_at: datetime | None
    reader: str
    options: Mapping[str, object]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was removed of one agent on one benchmark.

    Parameters
    ----------
    benchmark, agent, source : str
    attempts : int
    """

    benchmark: str
    agent: str
    source: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFault:
    """A source whose results should not be relied on as they are.

    Parameters
    ----------
    source : str
    attempts : int
    fault : str
        What is wrong, and what to do.
    """

    source: str
    attempts: int
    fault: str


def find_origins(
    connection: "DuckDBPyConnection",
    benchmark: str,
    benchmark_id: int,
    task: str,
    agent: str | None,
) -> list[Origin]:
    """Return every attempt at a task; see `History.why`."""
    labels = read_labels(connection, [benchmark])
    cursor = connection.execute(statement("why"), {"benchmark_id": benchmark_id, "task": task})
    columns = [str(column[0]) for column in cursor.description or ()]
    rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    if not rows:
        names = [
            str(name)
            for (name,) in connection.execute(
                "SELECT DISTINCT name FROM tasks WHERE benchmark_id = ? ORDER BY name",
                [benchmark_id],
            ).fetchall()
        ]
        msg = f"expected a task of {benchmark}, got {task!r}: it holds {nearest(task, names)}"
        raise UnknownTaskError(msg)
    found = [_origin(row, labels[benchmark, row["agent_id"]]) for row in rows]
    if agent is None:
        return found
    kept = [each for each in found if each.agent == agent or fnmatchcase(each.agent, agent)]
    if not kept:
        names = sorted({each.agent for each in found})
        msg = (
            f"expected an agent that ran {task!r}, got {agent!r}: these did:"
            f" {nearest(agent, names)}"
        )
        raise InputError(msg)
    return kept


def _origin(row: Mapping[str, Any], label: str) -> Origin:
    reader = f"{row['reader']} {row['reader_version']}" if row["reader"] else "midband 0.1"
    return Origin(
        agent=label,
        task_id=row["task"],
        task_digest=row["digest"],
        part=row["part"],
        metric=Metric(name=row["metric"], key=row["key"]).label,
        kind=OUTCOME_KINDS[row["kind"]],
        score=row["score"],
        attempt=row["attempt"],
        run_id=row["run"],
        harness=row["harness"],
        harness_version=row["harness_version"],
        benchmark_version=row["version"],
        started=_utc(row["started"]),
        scored_at=_utc(row["scored"]),
        source=row["source"] or "",
        imported_at=_utc(row["added_at"]),
        reader=reader,
        options=json.loads(row["options"]) if row["options"] else {},
        notes=tuple(Note(code=code, text=text) for code, text in json.loads(row["notes"] or "[]")),
    )


def _utc(moment: object) -> datetime | None:
    return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) else None


def find_faults(
    connection: "DuckDBPyConnection", readers: Mapping[str, int]
) -> tuple[list[SourceFault], list[str]]:
    """Return sources that should be read anew, and what contradicts itself; see `History.check`."""
    stale = []
    for _, name, reader, version, attempts in connection.execute(
        statement("old_sources")
    ).fetchall():
        if not name and not reader:
            continue  # added from memory: there is no file to read again
        if not reader:
            fault = "read by midband 0.1, which misread some formats: import it again"
        elif version < readers.get(reader, version):
            fault = (
                f"read by version {version} of the importer {reader}, now at {readers[reader]}:"
                " import it again"
            )
        else:
            continue
        stale.append(SourceFault(source=name, attempts=attempts, fault=fault))
    broken = [
        f"{number:,} {fault}"
        for fault, number in connection.execute(statement("faults")).fetchall()
        if number
    ]
    return stale, broken


def forget(
    connection: "DuckDBPyConnection",
    *,
    source: str | None,
    run: str | None,
    agent: str | None,
    benchmark: str | None,
    benchmark_id: int | None,
) -> list[Removed]:
    """Remove the attempts that fit all that is named, in the caller's transaction."""
    rows = connection.execute(
        statement("forgettable"), {"benchmark_id": benchmark_id, "run": run}
    ).fetchall()
    labels = read_labels(connection, sorted({row[3] for row in rows}))
    chosen = [
        (row, labels[row[3], row[1]])
        for row in rows
        if (source is None or row[4] == source or fnmatchcase(row[4], source))
        and (agent is None or _is_agent(labels[row[3], row[1]], agent))
    ]
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE forgotten AS SELECT unnest($1::INTEGER[]) AS run_id,"
        " unnest($2::INTEGER[]) AS source_id",
        [[row[0] for row, _ in chosen], [row[2] for row, _ in chosen]],
    )
    if chosen:
        for step in ("forget_outcomes", "see_again", "forget_sources", "drop_orphans"):
            run_all(connection, step, {"first": _ALL})
        connection.execute("DROP TABLE taken_away")
        what = {"source": source, "run": run, "agent": agent, "benchmark": benchmark}
        connection.execute(
            "INSERT INTO removals VALUES (CAST(get_current_timestamp() AS TIMESTAMP), ?, ?)",
            [
                json.dumps({name: text for name, text in what.items() if text is not None}),
                sum(row[5] for row, _ in chosen),
            ],
        )
    connection.execute("DROP TABLE forgotten")
    sums: dict[tuple[str, str, str], int] = {}
    for row, label in chosen:
        key = (row[3], label, row[4])
        sums[key] = sums.get(key, 0) + row[5]
    return [
        Removed(benchmark=name, agent=label, source=where, attempts=sums[name, label, where])
        for name, label, where in sorted(sums)
    ]


def _is_agent(label: str, wanted: str) -> bool:
    return label == wanted or fnmatchcase(label, wanted)


def set_alias(connection: "DuckDBPyConnection", what: str, alias: str, name: str) -> int:
    """Let one name stand for another, in the caller's transaction; return how many attempts move.

    Raises
    ------
    InputError
        The alias is the name, or would lead in a circle.
    """
    held = dict(
        connection.execute("SELECT alias, name FROM aliases WHERE what = ?", [what]).fetchall()
    )
    name = held.get(name, name)
    if what == "benchmark":
        name = plain_benchmark(name)
        plain = plain_benchmark(alias)
        alias = alias if plain == name else plain
    if alias == name:
        msg = f"expected two names of one {what}, got {alias!r} twice"
        raise InputError(msg)
    connection.execute(
        "DELETE FROM aliases WHERE what = $what AND alias = $alias", {"what": what, "alias": alias}
    )
    connection.execute("INSERT INTO aliases VALUES (?, ?, ?)", [what, alias, name])
    connection.execute(
        "UPDATE aliases SET name = $name WHERE what = $what AND name = $alias",
        {"what": what, "alias": alias, "name": name},
    )
    if what != "benchmark":
        return 0
    old = connection.execute(
        "SELECT benchmark_id FROM benchmarks WHERE name = ?", [alias]
    ).fetchone()
    new = connection.execute(
        "SELECT benchmark_id FROM benchmarks WHERE name = ?", [name]
    ).fetchone()
    if old is None:
        return 0
    count = connection.execute(
        "SELECT count(*) FROM outcomes JOIN runs USING (run_id) WHERE benchmark_id = ?", [old[0]]
    ).fetchone()
    if new is None:
        connection.execute("UPDATE benchmarks SET name = ? WHERE benchmark_id = ?", [name, old[0]])
    else:
        _check_scales(connection, (alias, name), old[0], new[0])
        for step in ("merge_tasks", "merge_metrics", "merge_runs", "drop_orphans"):
            run_all(connection, step, {"old": old[0], "new": new[0]})
    return int(count[0]) if count else 0


def _check_scales(
    connection: "DuckDBPyConnection", names: tuple[str, str], old: int, new: int
) -> None:
    """Refuse to join two benchmarks that differ in what one metric is."""
    theirs = [one.metric for _, _, one in read_metrics(connection, old)]
    ours = [one.metric for _, _, one in read_metrics(connection, new)]
    for one in theirs:
        for other in ours:
            if one.same_as(other) and not joinable(one, other):
                alias, name = names
                said = f"{alias} {one.label}".rstrip()
                msg = (
                    f"expected {one.label or 'the unnamed metric'} of {alias} to be that of"
                    f" {name}, got {one.scale_text()} and {other.scale_text()}: settle it with"
                    f" `midband history metric {said} --scale LOW HIGH`, and --lower-is-better"
                    " if it is"
                )
                raise InputError(msg)
