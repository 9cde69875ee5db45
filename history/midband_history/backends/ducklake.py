"""A history that a team shares: a DuckLake, whose catalogue is in a Postgres database."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from midband_history.backends.file import PATIENCE_S
from midband_history.backends.inbox import confirm
from midband_history.connection import (
    closed,
    connect_in_memory,
    connect_plain,
    fetch_value,
    migrations,
    quoted,
    run_all,
    transaction,
)
from midband_history.damage import first_line
from midband_history.errors import InputError, StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEME = "ducklake:"
_FORM = "ducklake:postgres:DATABASE, such as ducklake:postgres:postgresql://user@host/database"
_INSTALL = "install them with `pip install 'midband[team]'`"
# Any number that no other program takes; in hexadecimal it says "midband".
_LOCK = 0x6D696462616E64
_CATALOGUE = "midband_catalogue"
# A reader that opened the history before may read old files for this long.
_KEPT = "now() - INTERVAL 2 DAY"
_COMPACTION = (
    "CALL ducklake_flush_inlined_data('history')",
    "CALL ducklake_rewrite_data_files('history')",
    "CALL ducklake_merge_adjacent_files('history')",
    f"CALL ducklake_expire_snapshots('history', older_than => {_KEPT})",
    f"CALL ducklake_cleanup_old_files('history', older_than => {_KEPT})",
    f"CALL ducklake_delete_orphaned_files('history', older_than => {_KEPT})",
)


def is_lake(place: Path) -> bool:
    """Whether the name of a history means a DuckLake and no file."""
    return str(place).startswith(SCHEME)


@dataclass(frozen=True)
class LakeAddress:
    """Where a shared history is.

    Parameters
    ----------
    catalogue : str
        The Postgres database: a URI or ``key=value`` text, as libpq reads it.
    data : str
        Where the Parquet files are: a directory or ``s3://`` prefix; empty for the one that the
        catalogue names.
    """

    catalogue: str
    data: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``ducklake:postgres:DATABASE[?data=PLACE]``; ``MIDBAND_DATA`` names a place too.

        Raises
        ------
        InputError
            The text has another form.

        Examples
        --------
        >>> LakeAddress.parse("ducklake:postgres:postgresql://ann@db/evals?data=/srv/evals")
        LakeAddress(catalogue='postgresql://ann@db/evals', data='/srv/evals')
        """
        kind, _, rest = text.removeprefix(SCHEME).partition(":")
        if not text.startswith(SCHEME) or kind not in ("postgres", "postgresql"):
            msg = f"expected {_FORM}, got {hide_passwords(text)!r}: name a Postgres catalogue"
            raise InputError(msg)
        if rest.startswith("/"):  # ducklake:postgres://user@host/database is a fair guess
            rest = f"postgresql://{rest.lstrip('/')}"
        data = os.environ.get("MIDBAND_DATA", "")
        found = re.search(r"\s*[?&]data=([^&]*)", rest)
        if found:
            data = found[1].strip()
            rest = rest[: found.start()] + re.sub(r"^&", _joint(rest, found), rest[found.end() :])
        return cls(catalogue=_whole_uri(rest.strip()), data=_place(data))

    @property
    def name(self) -> str:
        """What messages call the history; no password is in it."""
        return hide_passwords(f"{SCHEME}postgres:{self.catalogue}")


def _joint(rest: str, found: re.Match[str]) -> str:
    return "?" if rest[found.start() :].lstrip().startswith("?") else "&"


def _whole_uri(text: str) -> str:
    """Give a URI its second slash again, which it loses where it is taken for a file's path."""
    return re.sub(r"^([a-z][a-z0-9]+):/(?=[^/])", r"\1://", text)


def _place(data: str) -> str:
    data = _whole_uri(data)
    if not data or "://" in data:
        return data
    return str(Path(data).expanduser().absolute())


def hide_passwords(text: str) -> str:
    """Return a text without the passwords of database addresses in it."""
    text = re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
    return re.sub(r"(password\s*=\s*)('[^']*'|[^\s&]+)", r"\1***", text)


class DuckLakeBackend:
    """The history as tables of a DuckLake; Postgres lets one process write at a time.

    Readers are never refused and never wait. One that is open for reading only sees the state at
    its opening, as of one moment, however much is written meanwhile.

    A writer holds an advisory lock of Postgres for the length of its transaction, because ids are
    made as one more than the greatest. The lock of a process that was killed goes with its
    connection.

    Parameters
    ----------
    address : LakeAddress
    read_only : bool
    patience_s : float
        How long to wait for other writers, seconds.

    Raises
    ------
    StoreError
        The extensions or the database cannot be reached, or the catalogue is of another kind.
    """

    path = None
    folded = ()

    def __init__(
        self, address: LakeAddress, *, read_only: bool, patience_s: float = PATIENCE_S
    ) -> None:
        self.address = address
        self.name = address.name
        self._read_only = read_only
        self._patience_s = patience_s
        self._is_open = True
        self._connection = connect_plain()
        # To wait for another writer is a query, and no progress.
        self._connection.execute("SET enable_progress_bar = false")
        try:
            self._open()
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def open(cls, text: str, *, read_only: bool, patience_s: float = PATIENCE_S) -> Self:
        """Open ``ducklake:postgres:DATABASE[?data=PLACE]``."""
        return cls(LakeAddress.parse(text), read_only=read_only, patience_s=patience_s)

    def reading(self) -> "DuckDBPyConnection":
        """Return the one connection; open for reading only, it sees one moment."""
        if not self._is_open:
            raise closed()
        return self._connection

    @contextmanager
    def writing(self) -> "Iterator[DuckDBPyConnection]":
        """Write alone, in one transaction, which is on disk when the block is left."""
        connection = self.reading()
        if self._read_only:
            msg = f"expected to write the history {self.name}, got one open to read only"
            raise StoreError(msg)
        with self._alone():
            before = self._files()
            with transaction(connection):
                yield connection
                _to_disk(self._files() - before)  # the catalogue may name no file that can be lost

    def compact(self) -> None:
        """Join small files into larger ones, and delete those that no reader can need any more."""
        connection = self.reading()
        with self._alone():
            before = self._files()
            for each in _COMPACTION:
                connection.execute(each)
            _to_disk(self._files() - before)

    def close(self) -> None:
        """Let go of the database; closing twice is harmless."""
        self._is_open = False
        self._connection.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of all writers, in a transaction of its own."""
        import duckdb

        cursor = self._connection.cursor()
        try:
            cursor.begin()
            patience = f"SET LOCAL lock_timeout = {max(1, round(self._patience_s * 1000))}"
            cursor.execute(f"CALL postgres_execute('{_CATALOGUE}', ?)", [patience])
            _ask(cursor, f"SELECT 1 FROM pg_advisory_xact_lock({_LOCK})")
        except duckdb.Error as error:
            with suppress(duckdb.Error):
                cursor.rollback()
            raise self._problem(error, wish="to write") from error
        try:
            yield
        finally:
            with suppress(duckdb.Error):  # a lost connection has given up the lock already
                cursor.rollback()
            cursor.close()

    def _open(self) -> None:
        """Attach the tables; make them where there are none, or they are of an older midband."""
        import duckdb

        load_extensions(self._connection, data=self.address.data)
        try:
            self._connection.execute(
                f"ATTACH {quoted(self.address.catalogue)} AS {_CATALOGUE} (TYPE postgres)"
            )
            if self._is_there():
                self._attach()
            elif not self._read_only:
                with self._alone():  # processes that begin at once make one lake together
                    self._attach()
            else:
                raise self._empty()
        except (duckdb.Error, OSError) as error:
            if isinstance(error, StoreError):
                raise
            raise self._problem(error) from error
        newest = migrations()[-1][0]
        schema = self._schema()
        if schema > newest:
            msg = (
                f"expected a history of schema {newest} or older at {self.name}, got schema"
                f" {schema} written by a newer midband: upgrade with `pip install -U midband`"
            )
            raise StoreError(msg)
        if schema == newest:
            return
        if not self._read_only:
            with self._alone():
                self._migrate()
        elif schema == 0:
            raise self._empty()
        else:
            type(self)(self.address, read_only=False).close()
            self._connection.execute("USE memory; DETACH history")
            self._attach()

    def _is_there(self) -> bool:
        found = _ask(self._connection, "SELECT to_regclass('ducklake_snapshot')::text")
        return found is not None

    def _empty(self) -> StoreError:
        return StoreError(f"expected a history at {self.name}, found no results: import some first")

    def _attach(self) -> None:
        mine, held = self.address.data, self._data() if self._is_there() else ""
        if not mine and not held:
            msg = (
                f"expected a place for the results of the new history {self.name}, got none: set"
                " MIDBAND_DATA to a directory that everybody can reach"
            )
            raise StoreError(msg)
        if mine and held and mine.rstrip("/") != held.rstrip("/"):
            msg = (
                f"expected the results of {self.name} in {held}, got {mine}: unset MIDBAND_DATA, or"
                " give that place the same name on every machine"
            )
            raise StoreError(msg)
        load_extensions(self._connection, data=held)
        options = []
        if not held:
            if "://" not in mine:
                Path(mine).mkdir(parents=True, exist_ok=True)
            options.append(f"DATA_PATH {quoted(mine)}")
        if self._read_only:
            newest = _ask(self._connection, "SELECT max(snapshot_id) FROM ducklake_snapshot")
            options += ["READ_ONLY", f"SNAPSHOT_VERSION {newest}"]
        chosen = f" ({', '.join(options)})" if options else ""
        self._connection.execute(
            f"ATTACH {quoted(f'{SCHEME}postgres:{self.address.catalogue}')} AS history{chosen}"
        )
        self._connection.execute("USE history")

    def _schema(self) -> int:
        """Return the number of the last migration that the tables have seen; 0 for no tables."""
        names = {str(row[0]) for row in self._connection.execute("SHOW TABLES").fetchall()}
        if "midband_migrations" in names:
            query = "SELECT coalesce(max(number), 0) FROM midband_migrations"
            return int(fetch_value(self._connection, query))
        if not names:
            return 0
        msg = (
            f"expected a midband history at {self.name}, got a DuckLake with other tables"
            f" ({', '.join(sorted(names)[:3])}): name another database with --history or"
            " MIDBAND_HISTORY"
        )
        raise StoreError(msg)

    def _migrate(self) -> None:
        with transaction(self._connection):
            current = self._schema()  # another process may have migrated meanwhile
            if not current:
                for each in _schema_statements():
                    self._connection.execute(each)
            for number, name in migrations():
                if number > current:
                    if current:
                        run_all(self._connection, name)
                    self._connection.execute(
                        "INSERT INTO midband_migrations"
                        " VALUES (?, ?, CAST(get_current_timestamp() AS TIMESTAMP))",
                        [number, name],
                    )

    def _files(self) -> set[Path]:
        """Return every data file that is in a directory of this machine."""
        place = self._data()
        if not place or "://" in place:
            return set()
        return {Path(folder, name) for folder, _, names in os.walk(place) for name in names}

    def _data(self) -> str:
        query = "SELECT value FROM ducklake_metadata WHERE key = 'data_path'"
        return str(_ask(self._connection, query) or "")

    def _problem(self, error: Exception, *, wish: str = "to reach") -> StoreError:
        reason = hide_passwords(" ".join(str(error).split()))
        msg = f"expected {wish} the history {self.name}, got: {reason}"
        if "lock timeout" in reason:
            msg = (
                f"expected {wish} to the history {self.name}, found another process writing for"
                f" {self._patience_s:g} s; nothing was added: end that one, or try again later"
            )
        return StoreError(msg)


def _ask(connection: "DuckDBPyConnection", query: str) -> object:
    """Return the one value that Postgres gives for a query; None where it finds no row."""
    return fetch_value(connection, f"FROM postgres_query('{_CATALOGUE}', ?)", query)


@cache
def _schema_statements() -> tuple[str, ...]:
    """Return what makes the tables as they are after every migration.

    The first migrations pass through types that a DuckLake does not have.
    """
    with connect_in_memory() as blank:
        rows = blank.execute("SELECT sql FROM duckdb_tables() ORDER BY table_oid").fetchall()
    return tuple(str(sql) for (sql,) in rows)


def _to_disk(files: set[Path]) -> None:
    """Have files outlast a loss of power; DuckDB itself does not wait for the disk."""
    for place in sorted({*files, *(each.parent for each in files)}):
        confirm(place)


def load_extensions(connection: "DuckDBPyConnection", *, data: str = "") -> None:
    """Load what DuckDB needs to read a DuckLake, from wheels or from where it keeps extensions.

    Raises
    ------
    StoreError
        One is not there and cannot be fetched.
    """
    import duckdb

    names = ["ducklake", "postgres_scanner", *(["httpfs"] if "://" in data else [])]
    for name in names:
        held = _wheel_file(name, duckdb.__version__)
        try:
            if held:
                connection.execute(f"LOAD {quoted(str(held))}")
                continue
            with suppress(duckdb.Error):
                connection.execute(f"LOAD {name}")
                continue
            connection.execute(f"INSTALL {name}")
            connection.execute(f"LOAD {name}")
        except duckdb.Error as error:
            msg = (
                f"expected DuckDB's extension {name} for duckdb {duckdb.__version__}, got:"
                f" {first_line(error)[:200]}: {_INSTALL}"
            )
            raise StoreError(msg) from error


def _wheel_file(name: str, version: str) -> Path | None:
    """Return the file of an extension in an installed wheel; None if that is for another DuckDB."""
    found = find_spec(f"duckdb_extension_{name}")
    for place in (found.submodule_search_locations or ()) if found else ():
        file = Path(place) / "extensions" / f"v{version}" / f"{name}.duckdb_extension"
        if file.is_file():
            return file
    return None
