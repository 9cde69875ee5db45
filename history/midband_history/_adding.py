"""How staged rows join the store: new names get integer keys, known attempts are left alone."""

from typing import TYPE_CHECKING

from midband_history._sql import statement
from midband_history._summaries import AddReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection


def add_staged(
    connection: "DuckDBPyConnection", *, source: str, digest: str, notes: "Sequence[str]" = ()
) -> AddReport:
    """Move the rows of ``incoming`` into the store, within the caller's transaction.

    Parameters
    ----------
    source, digest : str
        Where the rows come from, for people, and the digest of its content.
    notes : sequence of str
        What staging has left out already, handed on in the report.
    """
    source_id = _count(connection, "SELECT coalesce(max(source_id), 0) + 1 FROM sources")
    connection.execute(
        "INSERT INTO sources VALUES (?, ?, ?, CAST(get_current_timestamp() AS TIMESTAMP))",
        [source_id, source, digest],
    )
    last_run = _count(connection, "SELECT coalesce(max(run_id), 0) FROM runs")
    connection.execute(statement("add_benchmarks"))
    connection.execute(statement("add_tasks"))
    _add_agents(connection)
    connection.execute(statement("add_runs"))
    connection.execute(statement("resolve"))
    held = _count(connection, "SELECT count(*) FROM resolved")
    before = _count(connection, "SELECT count(*) FROM outcomes")
    connection.execute(statement("add_outcomes"), {"source_id": source_id})
    added = _count(connection, "SELECT count(*) FROM outcomes") - before
    skipped = list(notes)
    if added < held:
        row = connection.execute(statement("conflicts")).fetchone()
        if row and row[0]:
            skipped.append(
                f"{row[0]} attempts are recorded already with another result, which was kept"
                f" (first: {row[1]}): give every run its own run_id, or every attempt its number"
            )
        connection.execute(statement("drop_empty_runs"), {"first": last_run})
    connection.execute("DROP TABLE resolved")
    connection.execute("DROP TABLE incoming")
    return AddReport(added=added, duplicates=held - added, skipped=tuple(skipped))


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
