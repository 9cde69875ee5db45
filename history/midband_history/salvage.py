"""What becomes of a history that is not sound: repaired in place, or salvaged into a new file."""

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history.backends import LakeAddress, is_lake
from midband_history.cells import refresh_all_cells
from midband_history.connection import (
    STORAGE_VERSION,
    apply_migrations,
    fetch_value,
    migrations,
    run_all,
    statement,
)
from midband_history.damage import first_line
from midband_history.errors import InputError, StoreError
from midband_history.soundness import failing_ranges, last_row, tables_of
from midband_history.store import History

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ATTEMPTS = "outcomes"
# What an attempt is known without: a score is worth keeping whose cost cannot be read.
_AMOUNTS = ("cost_usd", "tokens", "duration_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """Result of a repair.

    Parameters
    ----------
    done : tuple of str
        What was changed, a line each.
    left : tuple of str
        What is still wrong, and which sources to import again.
    copy : Path or None
        The file as it was; None where nothing was changed.
    """

    done: tuple[str, ...]
    left: tuple[str, ...]
    copy: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSource:
    """Attempts of one source that cannot be read whole; `source` is empty where it is unknown."""

    source: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """Result of a salvage: what was kept of a damaged history.

    Parameters
    ----------
    kept : int
        Attempts in the new history.
    lost : tuple of LostSource
        Attempts that are not, by the source that can be imported again, most first.
    reduced : tuple of LostSource
        Attempts that are kept without a cost, tokens or duration that cannot be read.
    notes : tuple of str
        What else could not be read, a line each.
    """

    kept: int
    lost: tuple[LostSource, ...]
    reduced: tuple[LostSource, ...]
    notes: tuple[str, ...]


def repair_history(path: Path | str) -> Repaired:
    """Put right what can be put right in a history without losing an attempt.

    Rows that are there twice become one, rows that nothing refers to go, and the seen range of a
    metric becomes that of its scores. The file is copied beside itself first.

    Raises
    ------
    StoreError
        The file cannot be opened, or is damaged: `salvage_history` reads the rest of it.
    """
    path = Path(path)
    if is_lake(path):
        name = LakeAddress.parse(path.as_posix()).name
        msg = (
            f"expected a history file to repair, got the shared history {name}: restore a backup of"
            " its database, or forget what is wrong and import it again"
        )
        raise InputError(msg)
    History.open(path, read_only=True).close()  # before its copy: it is there, and not in use
    copy = _copy(path)
    done: list[str] = []
    try:
        with History.open(path) as history:
            done, left = history.mend()
    finally:
        if not done:
            _remove(copy)
    return Repaired(done=tuple(done), left=tuple(left), copy=copy if done else None)


def _copy(path: Path) -> Path:
    number = 1
    while (copy := path.with_name(f"{path.name}.before-repair-{number}")).exists():
        number += 1
    try:
        shutil.copy2(path, copy)
        if _log_of(path).exists():
            shutil.copy2(_log_of(path), _log_of(copy))
    except OSError as error:
        copy.unlink(missing_ok=True)
        msg = (
            f"expected to copy the history {path} before its repair, got: {error.strerror}:"
            " nothing was changed, make room beside it"
        )
        raise StoreError(msg) from error
    return copy


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def salvage_history(damaged: Path | str, new: Path | str) -> Salvaged:
    """Read what is readable of a damaged history into a new one; the damaged file is not touched.

    Rows are copied in ranges, and the ranges that cannot be read are left out: no value is made up.
    If only the cost, tokens or duration of attempts cannot be read, these become unknown.
    An attempt whose task, agent, run or metric is lost is lost as well. The
    sources of such attempts are no longer known in the new history, so that they can be imported
    again.

    Raises
    ------
    InputError
        `new` exists.
    StoreError
        Nothing can be read, or the new file cannot be written.
    """
    import duckdb

    damaged, new = Path(damaged), Path(new)
    if not damaged.is_file():
        msg = f"expected a damaged history, found no file {damaged}: name the one to read"
        raise StoreError(msg)
    if new.exists() or _log_of(new).exists():
        msg = f"expected the name of a new history, got {new}, which exists: name another"
        raise InputError(msg)
    part, alone = (new.with_name(f"{new.name}.{end}") for end in ("part", "alone"))
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        _remove(part, alone)
        with duckdb.connect(
            str(part.absolute()), config={"storage_compatibility_version": STORAGE_VERSION}
        ) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            notes = _attach(connection, damaged, alone)
            report = _copy_all(connection, damaged, notes)
            connection.execute("CHECKPOINT")
        part.replace(new)
    except StoreError:
        raise
    except (duckdb.Error, OSError) as error:
        msg = (
            f"expected to write the new history {new}, got: {first_line(error)}: put that right, or"
            " name a place elsewhere"
        )
        raise StoreError(msg) from error
    finally:
        _remove(part, alone)
    return report


def _remove(*paths: Path) -> None:
    for path in paths:
        for each in (path, _log_of(path)):
            with suppress(OSError):
                each.unlink()


def _attach(connection: "DuckDBPyConnection", damaged: Path, alone: Path) -> list[str]:
    """Attach the damaged file to read; by the name `alone`, without its log, if that is damaged.

    Returns
    -------
    list of str
        What is lost with the log.
    """
    import duckdb

    try:
        try:
            _attach_file(connection, damaged)
        except duckdb.Error as error:
            log = _log_of(damaged)
            if not log.exists():
                raise
            try:
                os.link(damaged, alone)
            except OSError:  # another disk, or no links there
                shutil.copyfile(damaged, alone)
            _attach_file(connection, alone)
            return [
                f"the log {log} cannot be read ({first_line(error)}): what was added last is lost"
                " without a trace, so import the newest sources again"
            ]
    except duckdb.Error as error:
        msg = (
            f"expected to read some of the history {damaged}, got: {first_line(error)}: restore a"
            " copy, or import its sources again"
        )
        raise StoreError(msg) from error
    return []


def _attach_file(connection: "DuckDBPyConnection", path: Path) -> None:
    name = str(path.absolute()).replace("'", "''")
    connection.execute(f"ATTACH '{name}' AS damaged (READ_ONLY)")


def _copy_all(connection: "DuckDBPyConnection", damaged: Path, notes: list[str]) -> Salvaged:
    held = set(tables_of(connection, "damaged"))
    if _ATTEMPTS not in held:
        msg = f"expected a midband history at {damaged}, found no attempts in it: name another"
        raise StoreError(msg)
    number = _schema_of(connection, damaged)
    apply_migrations(connection, until=number)
    lost: Counter[int | None] = Counter()
    reduced: Counter[int | None] = Counter()
    # Cells are counted anew from the attempts that are kept.
    for table in sorted(set(tables_of(connection)) & held - {"midband_migrations", "cells"}):
        for first, last in _copy_table(connection, table):
            rows = f"rows {first:,} to {last:,} of the table {table}"
            if table == _ATTEMPTS and (without := _copy_without(connection, first, last)):
                notes.append(f"{rows} are kept without {', '.join(without)}, which cannot be read")
                reduced.update(_sources_of(connection, first, last))
                continue
            if table == _ATTEMPTS:
                lost.update(_sources_of(connection, first, last))
            notes.append(f"{rows} cannot be read")
    before = _attempts_by_source(connection)
    apply_migrations(connection, after=number)
    run_all(connection, "drop_incomplete", "repair_sources", "repair_orphans")
    refresh_all_cells(connection)
    after = _attempts_by_source(connection)
    lost.update({each: n - after.get(each, 0) for each, n in before.items()})
    lost += Counter()  # leaves out sources of which nothing is lost
    names = dict(connection.execute("SELECT source_id, name FROM sources").fetchall())
    again = lost.keys() | reduced.keys()
    known = [each for each in again if each in names]
    connection.execute(statement("unknow_sources"), [len(known) < len(again), known])
    return Salvaged(
        kept=sum(after.values()),
        lost=_by_name(lost, names),
        reduced=_by_name(reduced, names),
        notes=tuple(notes),
    )


def _by_name(numbers: Mapping[int | None, int], names: Mapping[int, str]) -> tuple[LostSource, ...]:
    per_name: Counter[str] = Counter()
    for each, attempts in numbers.items():
        per_name["" if each is None else names.get(each, "")] += attempts
    return tuple(LostSource(source=name, attempts=n) for name, n in per_name.most_common())


def _attempts_by_source(connection: "DuckDBPyConnection") -> dict[int, int]:
    rows = connection.execute(f"SELECT source_id, count(*) FROM {_ATTEMPTS} GROUP BY source_id")
    return {int(number): int(count) for number, count in rows.fetchall()}


def _schema_of(connection: "DuckDBPyConnection", damaged: Path) -> int:
    """Return the schema of the damaged file; the newest where that cannot be read."""
    import duckdb

    newest = migrations()[-1][0]
    try:
        found = fetch_value(connection, "SELECT max(number) FROM damaged.midband_migrations")
    except duckdb.Error:
        return newest
    if found is not None and found > newest:
        msg = (
            f"expected a history of schema {newest} or older at {damaged}, got schema {found}"
            " written by a newer midband: upgrade with `pip install -U midband`"
        )
        raise StoreError(msg)
    return int(found or newest)


def _copy_table(connection: "DuckDBPyConnection", table: str) -> list[tuple[int, int]]:
    """Copy the readable rows of a table; return the ranges that are not."""
    columns = ", ".join(_common_columns(connection, table))

    def read(first: int, last: int) -> None:
        _insert(connection, table, columns, first, last)

    return list(failing_ranges(read, last_row(connection, f"damaged.{table}")))


def _copy_without(connection: "DuckDBPyConnection", first: int, last: int) -> list[str]:
    """Copy a range of attempts without the amounts that cannot be read.

    Returns
    -------
    list of str
        The columns that are left out; empty where nothing was copied, since more is damaged.
    """
    import duckdb

    readable, damaged = [], []
    for name in _common_columns(connection, _ATTEMPTS):
        try:
            connection.execute(
                f"SELECT bit_xor(hash({name})) FROM damaged.{_ATTEMPTS}"
                " WHERE rowid BETWEEN ? AND ?",
                [first, last],
            ).fetchall()
            readable.append(name)
        except duckdb.Error:
            damaged.append(name)
    if not damaged or not set(damaged) <= set(_AMOUNTS):
        return []
    try:
        _insert(connection, _ATTEMPTS, ", ".join(readable), first, last)
    except duckdb.Error:
        return []
    return damaged


def _insert(
    connection: "DuckDBPyConnection", table: str, columns: str, first: int, last: int
) -> None:
    connection.execute(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM damaged.{table}"
        " WHERE rowid BETWEEN ? AND ?",
        [first, last],
    )


def _common_columns(connection: "DuckDBPyConnection", table: str) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = $1"
        " AND database_name = current_database() INTERSECT"
        " SELECT column_name FROM duckdb_columns() WHERE table_name = $1"
        " AND database_name = 'damaged' ORDER BY column_name",
        [table],
    )
    return [str(name) for (name,) in rows.fetchall()]


def _sources_of(connection: "DuckDBPyConnection", first: int, last: int) -> dict[int | None, int]:
    """Return how many attempts of each source stand in rows that cannot be read whole.

    The column of sources has blocks of its own, which can mostly be read. Where not, the source is
    None, and removed rows are counted with the others.
    """
    import duckdb

    try:
        rows = connection.execute(
            f"SELECT source_id, count(*) FROM damaged.{_ATTEMPTS} WHERE rowid BETWEEN ? AND ?"
            " GROUP BY source_id",
            [first, last],
        ).fetchall()
    except duckdb.Error:
        return {None: last - first + 1}
    return {int(number): int(count) for number, count in rows}
