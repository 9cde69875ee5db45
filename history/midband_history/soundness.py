"""Whether a history is sound: every block readable, every key and range right; and its repair."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from midband_history.cells import count_wrong_cells, refresh_all_cells
from midband_history.connection import fetch, fetch_value, run_all
from midband_history.damage import first_line
from midband_history.errors import StoreError
from midband_history.summaries import SourceFault

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# DuckDB keeps rows in groups of this size and reads vectors of 2,048 of them.
_GROUP = 122_880
_VECTOR = 2_048
_WRONG_CELLS = "sums of a run at a task that are not those of its attempts"


class _Dimension(NamedTuple):
    """A table whose rows the others refer to by an id."""

    table: str
    id: str
    identity: tuple[str, ...]
    users: tuple[str, ...]
    least: tuple[str, ...] = ()


# Each after those that its identity refers to.
_DIMENSIONS = (
    _Dimension("benchmarks", "benchmark_id", ("name",), ("metrics", "tasks", "runs")),
    # Metrics of different scales are not merged: their scores would change.
    _Dimension(
        "metrics",
        "metric_id",
        ("benchmark_id", "name", "key", "low", "high", "lower_is_better", "declared"),
        ("outcomes",),
        ("seen_low",),
    ),
    _Dimension("tasks", "task_id", ("benchmark_id", "name", "digest"), ("outcomes",)),
    _Dimension(
        "agents",
        "agent_id",
        ("name", "model", "scaffold", "version", "settings"),
        ("runs", "outcomes"),
        ("label",),
    ),
    _Dimension("runs", "run_id", ("benchmark_id", "agent_id", "name", "started"), ("outcomes",)),
)


def find_damage(connection: "DuckDBPyConnection") -> list[str]:
    """Read every block of the history; return a line for each table that cannot be read whole.

    DuckDB compares each block with its checksum when it reads it. A hash of every value needs every
    block, where a count would be answered from statistics.
    """
    import duckdb

    found = []
    for table in tables_of(connection):
        try:
            connection.execute(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {table}").fetchall()
        except duckdb.Error as error:
            lost = sum(last - first + 1 for first, last in _unreadable(connection, table))
            found.append(
                f"the table {table} is damaged, {lost:,} rows cannot be read"
                f" ({first_line(error)}): restore a copy, or keep the rest with"
                " `midband history salvage DAMAGED NEW`"
            )
    return found


def refuse_damage(connection: "DuckDBPyConnection", path: Path | None) -> None:
    """Raise `StoreError` if something cannot be read; not within a transaction, which it ends."""
    if damaged := find_damage(connection):
        msg = f"expected to repair the history {path}, got damage: {damaged[0]}"
        raise StoreError(msg)


def tables_of(connection: "DuckDBPyConnection", database: str | None = None) -> list[str]:
    """Return the names of the tables of a database, by default of the history itself."""
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary"
        " AND schema_name = 'main' AND database_name = coalesce($1, current_database())"
        " ORDER BY table_name",
        [database],
    )
    return [str(name) for (name,) in rows.fetchall()]


def _unreadable(connection: "DuckDBPyConnection", table: str) -> list[tuple[int, int]]:
    def read(first: int, last: int) -> None:
        connection.execute(
            f"SELECT bit_xor(hash(COLUMNS(*))) FROM {table} WHERE rowid BETWEEN ? AND ?",
            [first, last],
        ).fetchall()

    return list(failing_ranges(read, last_row(connection, table)))


def last_row(connection: "DuckDBPyConnection", table: str) -> int:
    """Return the number of the last row of a table; at least, where it cannot be read."""
    import duckdb

    try:
        return int(fetch_value(connection, f"SELECT coalesce(max(rowid), -1) FROM {table}"))
    except duckdb.Error:
        name = table.rpartition(".")[2]
        size = fetch_value(
            connection,
            "SELECT max(estimated_size) FROM duckdb_tables() WHERE table_name = ?",
            name,
        )
        return int(size or 0) - 1


def failing_ranges(read: Callable[[int, int], None], last: int) -> Iterator[tuple[int, int]]:
    """Apply `read` to all rows, in ranges as large as possible; yield the ranges that fail.

    Parameters
    ----------
    read : callable
        Takes the first and the last row of a range, and raises ``duckdb.Error`` if it fails as a
        whole. It is called again for parts of a range that failed.
    last : int
        The last row; rows count from 0.
    """
    import duckdb

    todo = [(start, min(start + _GROUP, last + 1) - 1) for start in range(0, last + 1, _GROUP)]
    todo.reverse()
    failed: tuple[int, int] | None = None
    while todo:
        first, end = todo.pop()
        try:
            read(first, end)
        except duckdb.Error:
            if end - first >= _VECTOR:
                middle = (first + end) // 2
                todo += [(middle + 1, end), (first, middle)]
            elif failed is not None and failed[1] == first - 1:
                failed = (failed[0], end)
            else:
                if failed is not None:
                    yield failed
                failed = (first, end)
    if failed is not None:
        yield failed


def find_faults(connection: "DuckDBPyConnection") -> list[str]:
    """Return a line for each kind of contradiction: keys, references, ranges, doubles, sums."""
    found = [f"{number:,} {fault}" for fault, number in fetch(connection, "faults") if number]
    if wrong := count_wrong_cells(connection):
        found.append(f"{wrong:,} {_WRONG_CELLS}")
    return found


def find_stale(connection: "DuckDBPyConnection", readers: Mapping[str, int]) -> list[SourceFault]:
    """Return the sources that an older importer has read; `readers` are the versions of all."""
    return [
        SourceFault(source=name, attempts=attempts, fault=fault)
        for _, name, reader, version, attempts in fetch(connection, "old_sources")
        if (fault := _staleness(name, reader, version, readers))
    ]


def _staleness(source: str, reader: str, version: int, readers: Mapping[str, int]) -> str:
    """Return why a source should be read anew; empty if it need not or cannot be."""
    if not source and not reader:
        return ""  # added from memory: there is no file to read again
    if not reader:
        return "read by midband 0.1, which misread some formats: import it again"
    now = readers.get(reader, version)
    if version >= now:
        return ""
    return f"read by version {version} of the importer {reader}, now at {now}: import it again"


def mend(connection: "DuckDBPyConnection") -> tuple[list[str], list[str]]:
    """Put right what can be put right without losing an attempt, in the caller's transaction.

    Returns
    -------
    done : list of str
        What was changed, a line each; nothing, in a sound history.
    left : list of str
        What is still wrong, and which sources to import again.
    """
    wrong_cells = count_wrong_cells(connection)
    done = _drop_copies(connection)
    before = dict(fetch(connection, "faults"))
    run_all(connection, "repair_sources")
    if lost := before["attempts from a source that is not there"]:
        done.append(f"gave {lost:,} attempts a source of unknown name: theirs was not there")
    if wrong := before["attempts with a cost, tokens or a duration below 0 or infinite"]:
        run_all(connection, "repair_amounts")
        done.append(f"made unknown what {wrong:,} attempts cost below 0 or without end")
    for each in _DIMENSIONS:
        if merged := _merge(connection, each):
            done.append(f"merged {merged:,} {each.table} that were there under another id")
    if twice := len(fetch(connection, "repair_attempts")):
        done.append(f"removed {twice:,} second copies of attempts with the same result")
    after = dict(fetch(connection, "faults"))
    fault = "metrics with scores outside the range in which they were seen"
    if after[fault]:
        run_all(connection, "repair_ranges")
        done.append(f"widened the seen range of {after[fault]:,} metrics to their scores")
    again = sorted({str(name) for (name,) in fetch(connection, "read_anew")})
    orphans = [(name, number) for name, number in fetch(connection, "orphans") if number]
    if orphans:
        run_all(connection, "repair_orphans")
        texts = ", ".join(f"{number:,} {name}" for name, number in orphans)
        done.append(f"removed what no attempt refers to: {texts}")
    if wrong_cells:
        done.append(f"added up anew {wrong_cells:,} {_WRONG_CELLS}")
    if done:
        refresh_all_cells(connection)
    left = find_faults(connection)
    left += [f"import again, to replace attempts that lack a part: {name}" for name in again]
    return done, left


def _drop_copies(connection: "DuckDBPyConnection") -> list[str]:
    """Remove rows of dimension tables that are there twice, alike in every column."""
    done = []
    for table in (*(each.table for each in _DIMENSIONS), "sources", "aliases"):
        rows = connection.execute(
            f"DELETE FROM {table} WHERE rowid IN ("
            f"SELECT unnest(list(rowid ORDER BY rowid)[2:]) FROM {table}"
            f" GROUP BY {_columns(_names(connection, table))}) RETURNING 1"
        ).fetchall()
        if rows:
            done.append(f"removed {len(rows):,} second copies of {table}")
    return done


def _merge(connection: "DuckDBPyConnection", each: _Dimension) -> int:
    """Let rows of one identity become the one of the lowest id; return how many are gone.

    What they say besides becomes the greatest of each, as for rows of one import.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE merged AS"
        f" SELECT {each.id} AS old, min({each.id}) OVER (PARTITION BY {_columns(each.identity)})"
        f" AS new FROM {each.table}"
    )
    connection.execute(
        "DELETE FROM merged WHERE new NOT IN (SELECT new FROM merged WHERE old <> new)"
    )
    gone = int(fetch_value(connection, "SELECT count(*) FROM merged WHERE old <> new"))
    if gone:
        said = [
            name
            for name in _names(connection, each.table)
            if name != each.id and name not in each.identity
        ]
        if said:
            best = ", ".join(
                f"{'min' if name in each.least else 'max'}({name}) AS {name}" for name in said
            )
            connection.execute(
                f"UPDATE {each.table} SET {', '.join(f'{name} = found.{name}' for name in said)}"
                f" FROM (SELECT new, {best} FROM {each.table} JOIN merged ON {each.id} = old"
                f" GROUP BY new) AS found WHERE {each.table}.{each.id} = found.new"
            )
        for user in each.users:
            connection.execute(
                f"UPDATE {user} SET {each.id} = merged.new FROM merged"
                f" WHERE {user}.{each.id} = merged.old AND merged.old <> merged.new"
            )
        connection.execute(
            f"DELETE FROM {each.table} WHERE {each.id} IN (SELECT old FROM merged WHERE old <> new)"
        )
    connection.execute("DROP TABLE merged")
    return gone


def _names(connection: "DuckDBPyConnection", table: str) -> list[str]:
    rows = connection.execute(f"DESCRIBE {table}").fetchall()
    return [str(row[0]) for row in rows]


def _columns(names: Sequence[str]) -> str:
    return ", ".join(names)
