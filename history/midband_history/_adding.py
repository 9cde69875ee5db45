"""How staged rows join the store: new names get integer keys, known attempts are left alone."""

from typing import TYPE_CHECKING

from midband_history._names import clean_id
from midband_history._sql import statement
from midband_history._summaries import AddReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection


def number_sources(
    connection: "DuckDBPyConnection", sources: "Sequence[tuple[str, str]]"
) -> list[int]:
    """Record sources, each a name for people and a digest of its content; return their ids."""
    last = _count(connection, "SELECT coalesce(max(source_id), 0) FROM sources")
    ids = list(range(last + 1, last + 1 + len(sources)))
    connection.execute(
        "INSERT INTO sources SELECT unnest(CAST(? AS INTEGER[])), unnest(CAST(? AS VARCHAR[])),"
        " unnest(CAST(? AS VARCHAR[])), CAST(get_current_timestamp() AS TIMESTAMP)",
        [ids, [clean_id(name) for name, _ in sources], [digest for _, digest in sources]],
    )
    return ids


def add_staged(connection: "DuckDBPyConnection", source_ids: "Sequence[int]") -> list[AddReport]:
    """Move the rows of ``incoming`` into the store, within the caller's transaction.

    Parameters
    ----------
    source_ids : sequence of int
        The sources that the rows come from, as `number_sources` gave them.

    Returns
    -------
    list of AddReport
        One a source, in that order.
    """
    last_run = _count(connection, "SELECT coalesce(max(run_id), 0) FROM runs")
    for step in ("add_benchmarks", "add_tasks"):
        connection.execute(statement(step))
    _add_agents(connection)
    for step in ("add_runs", "resolve", "add_outcomes"):
        connection.execute(statement(step))
    counts = {
        source_id: (held, added)
        for source_id, held, added in connection.execute(
            statement("source_counts"), {"last": min(source_ids) - 1}
        ).fetchall()
    }
    skipped = {}
    if any(added < held for held, added in counts.values()):
        skipped = {
            source_id: f"{conflicts} attempts are recorded already with another result, which was"
            f" kept (first: {example}): give every run its own run_id, or every attempt its number"
            for source_id, conflicts, example in connection.execute(
                statement("conflicts")
            ).fetchall()
        }
        connection.execute(statement("drop_empty_runs"), {"first": last_run})
    connection.execute("DROP TABLE resolved")
    connection.execute("DROP TABLE repeated")
    connection.execute("DROP TABLE incoming")
    reports = []
    for source_id in source_ids:
        held, added = counts.get(source_id, (0, 0))
        notes = (skipped[source_id],) if source_id in skipped else ()
        reports.append(AddReport(added=added, duplicates=held - added, skipped=notes))
    return reports


def _add_agents(connection: "DuckDBPyConnection") -> None:
    """Add the agents that are new, each with a label of its own.

    The first of several namesakes has the plain name, the others carry a digest of what sets them
    apart. A label never changes afterwards.
    """
    new = connection.execute(statement("new_agents")).fetchall()
    if not new:
        return
    taken = {label for (label,) in connection.execute("SELECT label FROM agents").fetchall()}
    number = _count(connection, "SELECT coalesce(max(agent_id), 0) FROM agents")
    rows = []
    for name, model, scaffold, version, settings, digest in new:
        number += 1
        label = _free_label(name, digest, taken)
        taken.add(label)
        rows.append([number, label, name, model, scaffold, version, settings])
    connection.executemany("INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _free_label(name: str, digest: str, taken: set[str]) -> str:
    for length in (0, *range(4, len(digest) + 1)):
        label = f"{name}#{digest[:length]}" if length else name
        if label not in taken:
            return label
    return _free_label(f"{name}#{digest}", digest, taken)


def _count(connection: "DuckDBPyConnection", query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
