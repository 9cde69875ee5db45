"""The history file: how it is opened, at which schema, and how SQL statements reach it."""

import os
import re
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband_history.damage import first_line, is_damage, why_not_read
from midband_history.errors import StoreError

if os.name == "posix":
    import fcntl

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# DuckDB 2.0 would write files that 1.x cannot read; this keeps one file readable by all.
STORAGE_VERSION = "v1.4.0"
# DuckDB's own headers: a shorter file holds no row.
_HEADER_BYTES = 3 * 4096
_MAGIC = b"DUCK"
_MAGIC_PLACE = 8
_STORE = "history"
# Python, numpy and what DuckDB does not count come to some 200 MB beside it.
MEMORY_LIMIT = "600MB"
# Every thread holds buffers of its own, so that many of them would not fit.
_MOST_THREADS = 4


def default_path() -> Path:
    """Return where the history is when nobody says: MIDBAND_HISTORY, else the user's data."""
    named = os.environ.get("MIDBAND_HISTORY")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "midband" / "history.duckdb"


def connect(path: Path, *, read_only: bool, current: bool = True) -> "DuckDBPyConnection":
    """Open the file at `path`, with its schema up to date.

    Parameters
    ----------
    read_only : bool
        A file that is open to read may be replaced: who opens it then sees the new one.
    current : bool
        Whether an older schema is an error where the file is read only.

    Raises
    ------
    StoreError
        The file cannot be opened, is not a history, or is newer than this midband.
    OldSchemaError
        It is of an older midband.
    """
    import duckdb

    where = str(path.absolute())
    try:
        if read_only:
            # Opened by its path, a file that was replaced would still be the one that is open.
            connection = duckdb.connect(":memory:")
            connection.execute(f"ATTACH {quoted(where)} AS {_STORE} (READ_ONLY)")
            connection.execute(f"USE {_STORE}")
        else:
            settings: dict[str, str | bool | int | float | list[str]] = {
                "storage_compatibility_version": STORAGE_VERSION
            }
            connection = duckdb.connect(where, config=settings)
    except (duckdb.Error, OSError) as error:
        raise StoreError(_why_not_open(path, str(error), read_only)) from error
    try:
        connection.execute("SET TimeZone = 'UTC'")
        if not read_only:
            _bound_memory(connection, in_memory=False)
        try:
            _migrate(connection, path, read_only=read_only)
        except OldSchemaError:
            if current:
                raise
    except duckdb.Error as error:
        connection.close()
        raise StoreError(why_not_read(path, str(error))) from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect_plain() -> "DuckDBPyConnection":
    """Open a DuckDB in memory that is no store, to stage rows in."""
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    _bound_memory(connection, in_memory=True)
    return connection


def connect_in_memory() -> "DuckDBPyConnection":
    """Open an empty store that is gone when it is closed."""
    connection = connect_plain()
    _migrate(connection, None, read_only=False)
    return connection


def cursor_of(connection: "DuckDBPyConnection") -> "DuckDBPyConnection":
    """Return a second connection to the same store, for a result that is read bit by bit."""
    cursor = connection.cursor()
    database = fetch_value(connection, "SELECT current_database()")
    cursor.execute(f'USE "{database}"')
    return cursor


def closed() -> StoreError:
    """Return the error of a history that is used after it was closed."""
    return StoreError("expected an open history, got a closed one: open it again")


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


class OldSchemaError(StoreError):
    """The file is of an older midband and is open for reading only."""


def _bound_memory(connection: "DuckDBPyConnection", *, in_memory: bool) -> None:
    """Keep an import of any size within 1 GB; sorts and joins that need more spill to disk.

    Parameters
    ----------
    in_memory : bool
        Whether the store has no file of its own, beside which it would spill.
    """
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    if (os.cpu_count() or 1) > _MOST_THREADS:
        connection.execute(f"SET threads = {_MOST_THREADS}")
    if in_memory:  # else DuckDB would make a directory where the user happens to be
        place = Path(tempfile.gettempdir()) / f"midband-{uuid.uuid4().hex}"
        connection.execute("SET temp_directory = $place", {"place": str(place)})


@contextmanager
def transaction(connection: "DuckDBPyConnection") -> Iterator[None]:
    """Commit what the block does as a whole, or nothing of it."""
    import duckdb

    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException as error:
        with suppress(duckdb.Error):  # a failed commit has rolled back already
            connection.rollback()
        if isinstance(error, duckdb.Error):
            msg = f"expected to write to the history, got: {first_line(error)}; nothing was added"
            raise StoreError(msg) from error
        raise


def check_place(path: Path, *, read_only: bool) -> None:
    """Refuse a place where no history can be: to read, one without a file; to write, a closed one.

    Raises
    ------
    StoreError
        Says what is there instead.
    """
    if str(path).startswith(":memory:"):
        msg = f"expected a history file, got {path}: name a file, a history in memory is not kept"
        raise StoreError(msg)
    if path.is_dir():
        msg = f"expected a history file, got the directory {path}: name a file in it"
        raise StoreError(msg)
    if read_only:
        if not path.exists():
            msg = f"expected a history at {path}, found no file: import results first"
            raise StoreError(msg)
        if holds_nothing(path):
            msg = (
                f"expected a history at {path}, found a file that a kill or a full disk left"
                " without results: import results first"
            )
            raise StoreError(msg)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = (
            f"expected to create {path.parent} for the history, got: {error.strerror}:"
            " name a history elsewhere"
        )
        raise StoreError(msg) from error
    writable = os.access(path if path.exists() else path.parent, os.W_OK)
    if not writable or not os.access(path.parent, os.W_OK):
        msg = (
            f"expected to write the history {path}, got a read-only file or directory:"
            " name a history elsewhere, or open it to read only"
        )
        raise StoreError(msg)


def holds_nothing(path: Path) -> bool:
    """Whether a file is the beginning of a DuckDB database, too short to hold a row."""
    try:
        if not path.is_file() or path.stat().st_size >= _HEADER_BYTES:
            return False
        content = path.read_bytes()
    except OSError:  # opening it says why
        return False
    magic = content[_MAGIC_PLACE : _MAGIC_PLACE + len(_MAGIC)]
    return not content.strip(b"\0") or magic == _MAGIC


def make_room(path: Path) -> None:
    """Make room for a new history where a file holds none; its log is kept under another name.

    Warns
    -----
    UserWarning
        A kill or a full disk had left the file without a row.
    """
    log = path.with_name(f"{path.name}.wal")
    kept = path.with_name(f"{path.name}.broken.wal")
    try:
        with path.open("r+b") as file:
            if os.name == "posix":  # elsewhere a file in use cannot be removed
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if log.exists():
                log.replace(kept)
        path.unlink()
    except BlockingIOError as error:
        raise StoreError(_in_use(path)) from error
    except OSError as error:
        msg = (
            f"expected a history at {path}, found a file without results, and cannot remove it:"
            f" {error.strerror}: remove it, or name a history elsewhere"
        )
        raise StoreError(msg) from error
    also = f"; its log is kept as {kept}" if kept.exists() else ""
    warnings.warn(
        f"created the history {path} anew: a kill or a full disk had left it without results{also}",
        stacklevel=5,
    )


def _in_use(path: Path) -> str:
    return (
        f"expected to open the history {path}, found it in use by another process that writes:"
        " try again when that has finished"
    )


def _why_not_open(path: Path, reason: str, read_only: bool) -> str:
    for name in (str(path.absolute()), str(path)):  # a name may hold any of the words below
        reason = reason.replace(name, "it")
    no_locks = ("No locks available", "not supported", "not implemented", "not permitted")
    locked = "Could not set lock" in reason
    wish = "to read" if read_only else "to write"
    answers = (
        (
            locked and any(words in reason for words in no_locks),
            f"expected to open the history {path}, got a file system without locks"
            f" ({first_line(reason)}): name a history on another disk",
        ),
        (locked or "used by another process" in reason, _in_use(path)),
        (
            "different configuration" in reason,
            f"expected to open the history {path} {wish}, found it open the other way in this"
            " process: close that one first",
        ),
        (
            "version number" in reason,
            f"expected a history that this DuckDB can read at {path}, got one written by a newer"
            " DuckDB: upgrade with `pip install -U duckdb midband`",
        ),
        (
            "not a valid DuckDB database" in reason or "in-memory database" in reason,
            f"expected a midband history at {path}, got a file of another kind:"
            " name another with --history or MIDBAND_HISTORY",
        ),
    )
    if is_damage(reason):
        return why_not_read(path, reason)
    other = (
        f"expected to open the history {path}, got: {first_line(reason)}:"
        " put that right, or name another with --history or MIDBAND_HISTORY"
    )
    return next((text for holds, text in answers if holds), other)


def _migrate(connection: "DuckDBPyConnection", path: Path | None, *, read_only: bool) -> None:
    """Bring the schema up to date, or say why it cannot be."""
    where = path or "in memory"
    names = {str(row[0]) for row in connection.execute("SHOW TABLES").fetchall()}
    newest = migrations()[-1][0]
    if "midband_migrations" in names:
        current = fetch_value(connection, "SELECT max(number) FROM midband_migrations") or 0
    elif names:
        msg = (
            f"expected a midband history at {where}, got a DuckDB database with other tables"
            f" ({', '.join(sorted(names)[:3])}): name another with --history or MIDBAND_HISTORY"
        )
        raise StoreError(msg)
    else:
        current = 0
    if current > newest:
        msg = (
            f"expected a history of schema {newest} or older at {where}, got schema {current}"
            " written by a newer midband: upgrade with `pip install -U midband`"
        )
        raise StoreError(msg)
    if current == newest:
        return
    if read_only:
        msg = (
            f"expected a history of schema {newest} at {where}, got schema {current}:"
            " open it once for writing, for instance with `midband import`"
        )
        raise OldSchemaError(msg)
    with transaction(connection):
        apply_migrations(connection, after=current)


def apply_migrations(
    connection: "DuckDBPyConnection", *, after: int = 0, until: int | None = None
) -> None:
    """Apply the migrations after one number and until another, by default the newest."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS midband_migrations"
        " (number INTEGER NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
    )
    for number, name in migrations():
        if number > after and (until is None or number <= until):
            connection.execute(statement(name))
            connection.execute(
                "INSERT INTO midband_migrations"
                " VALUES (?, ?, CAST(get_current_timestamp() AS TIMESTAMP))",
                [number, name],
            )


@cache
def _statements() -> dict[str, str]:
    """Return the text of every named statement, and of every migration by the file's name."""
    found: dict[str, str] = {}
    for file in (files("midband_history") / "sql").iterdir():
        text = file.read_text(encoding="utf-8")
        if re.match(r"\d{4}_", file.name):  # a migration
            found[file.name.removesuffix(".sql")] = text
        else:
            parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
            found.update(zip(parts[1::2], parts[2::2], strict=True))
    return found


def statement(name: str) -> str:
    """Return the text of one statement, or of the few that go by one name."""
    return _statements()[name]


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Return the number and the name of every migration, in order."""
    return tuple(sorted((int(name[:4]), name) for name in _statements() if name[:4].isdigit()))


def run_all(
    connection: "DuckDBPyConnection", *names: str, bound: Mapping[str, object] | None = None
) -> None:
    """Execute every statement of these names, each with those of the values that it names.

    DuckDB binds values to the last statement of a text only.
    """
    for name in names:
        for each in connection.extract_statements(statement(name)):
            known = each.named_parameters
            connection.execute(each, {k: v for k, v in (bound or {}).items() if k in known})


def fetch(connection: "DuckDBPyConnection", name: str, **bound: object) -> list[tuple[Any, ...]]:
    """Return every row of the statement of this name."""
    return connection.execute(statement(name), bound or None).fetchall()


def fetch_dicts(
    connection: "DuckDBPyConnection", name: str, **bound: object
) -> list[dict[str, Any]]:
    """Return every row of the statement of this name, by the names of its columns."""
    cursor = connection.execute(statement(name), bound or None)
    return dicts_of(cursor, cursor.fetchall())


def dicts_of(cursor: "DuckDBPyConnection", rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return rows that a cursor gave by the names of their columns."""
    columns = [str(column[0]) for column in cursor.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def utc(moment: datetime | None) -> datetime | None:
    """Return a moment of the store, which is in UTC without saying so, with its zone."""
    return None if moment is None else moment.replace(tzinfo=UTC)


def fetch_value(connection: "DuckDBPyConnection", query: str, *bound: object) -> Any:
    """Return the one value of a query; None where it finds no row."""
    row = connection.execute(query, list(bound)).fetchone()
    return row[0] if row else None
