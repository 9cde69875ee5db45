"""A history in one DuckDB file that any number of processes read and write.

The file is never changed in place: a writer works on a copy and puts it in the place of the file,
so that readers are never locked out, and keep what they have opened. Writers go one after the
other; one that must not wait leaves its results in the inbox instead.
"""

import os
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history.backends.inbox import Batch, Inbox, confirm, fold, pending
from midband_history.connection import (
    OldSchemaError,
    check_place,
    closed,
    connect,
    holds_nothing,
    make_room,
    transaction,
)
from midband_history.damage import first_line
from midband_history.errors import StoreError

if os.name == "posix":
    import fcntl

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WORKING = ".writing"
# A writer that is stopped in the middle must not hold up the others for good.
PATIENCE_S = 600.0
# How often a file that keeps being replaced is opened again before that is an error.
_TRIES = 100
_PAUSE_S = 0.01
Identity = tuple[int, int, int, int]


class FileBackend:
    """One history file and its inbox; see `Backend`.

    Parameters
    ----------
    path : Path
    read_only : bool
        Refuse to write. Otherwise the file is created if it is missing, and its inbox taken in.
    patience_s : float
        How long to wait for other writers, seconds.
    """

    def __init__(self, path: Path, *, read_only: bool, patience_s: float = PATIENCE_S) -> None:
        self.path: Path = path
        self.name = str(path)
        self.inbox = Inbox(path)
        if path.exists() or not (read_only and self.inbox.names()):
            check_place(path, read_only=read_only)
        self.folded: tuple[Batch, ...] = ()
        self._read_only = read_only
        self._patience_s = patience_s
        self._reader: DuckDBPyConnection | None = None
        self._writer: DuckDBPyConnection | None = None
        self._open = True
        if not read_only and (not path.exists() or holds_nothing(path) or self.inbox.names()):
            with self.writing():
                pass
        try:
            self.reading()
        except OldSchemaError:
            if not _writable(path):
                raise
            with self._replacing():
                pass

    def reading(self) -> "DuckDBPyConnection":
        """Return the file as it was when it was opened or last written by us, with its inbox."""
        if not self._open:
            raise closed()
        if self._writer is not None:
            return self._writer
        if self._reader is None:
            self._reader = self._snapshot()
        return self._reader

    @contextmanager
    def writing(self) -> "Iterator[DuckDBPyConnection]":
        """Give a copy of the file, in a transaction; it then takes the place of the file."""
        if not self._open:
            raise closed()
        if self._read_only:
            msg = f"expected to write the history {self.path}, got one open to read only"
            raise StoreError(msg)
        with self._replacing() as connection, transaction(connection):
            yield connection

    def compact(self) -> None:
        """Take in the inbox."""
        with self.writing():
            pass

    def close(self) -> None:
        """Let go of the file and the inbox."""
        self._open = False
        self._let_go()
        self.inbox.close()

    def _let_go(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _snapshot(self) -> "DuckDBPyConnection":
        """Open the file, and what it does not hold yet of its inbox, as of one moment."""
        for _ in range(_TRIES):
            before = _identity(self.path)
            if before is None and self.inbox.names():
                with suppress(FileNotFoundError):
                    return self._overlaid(None)
            if before is None or holds_nothing(self.path):
                check_place(self.path, read_only=True)
            connection = connect(self.path, read_only=True)
            try:
                waiting = pending(connection, self.inbox.names())
            except BaseException:
                connection.close()
                raise
            # A batch is removed only after the file that holds it has taken its place.
            if _identity(self.path) == before:
                if not waiting:
                    return connection
                connection.close()
                with suppress(FileNotFoundError):
                    return self._overlaid(before)
            else:
                connection.close()
            time.sleep(_PAUSE_S)
        msg = (
            f"expected to read the history {self.path}, found it replaced by other writers"
            f" {_TRIES} times meanwhile: try again"
        )
        raise StoreError(msg)

    def _overlaid(self, identity: Identity | None) -> "DuckDBPyConnection":
        """Open a private copy of the file into which the inbox was taken in.

        Raises
        ------
        FileNotFoundError
            The file or a batch was replaced meanwhile.
        """
        folder = Path(tempfile.mkdtemp(prefix="midband-"))
        copy = folder / "history.duckdb"
        try:
            if identity is not None:
                _copy(self.path, copy)
            inbox = self.inbox.copied(copy)
            if _identity(self.path) != identity:  # a batch may have gone into the new file
                raise FileNotFoundError(self.path)
            connection = connect(copy, read_only=False)
            try:
                folded = fold(connection, inbox)
            finally:
                connection.close()
            for each in folded:
                if each.refused:
                    warnings.warn(
                        f"left out the batch {self.inbox.folder / each.name}: {each.refused}",
                        stacklevel=6,
                    )
            return connect(copy, read_only=True)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            msg = f"expected room in {folder} for a copy of the history, got: {first_line(error)}"
            raise StoreError(msg) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # what is open stays readable

    @contextmanager
    def _replacing(self) -> "Iterator[DuckDBPyConnection]":
        """Give a copy of the file with its inbox taken in, which then takes the file's place."""
        copy = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}{_WORKING}")
        with _exclusive(self.inbox.folder, self.path, self._patience_s):
            try:
                self._begin(copy)
                connection = connect(copy, read_only=False)
                try:
                    folded = fold(connection, self.inbox, keep_broken=True)
                    self._writer = connection
                    yield connection
                    with _told(self.path):
                        connection.execute("CHECKPOINT")
                finally:
                    self._writer = None
                    connection.close()
                with _told(self.path):
                    self._publish(copy)
                    self.inbox.remove(folded)
            finally:
                _remove_copies(self.path)
        self._let_go()
        self.folded += tuple(each for each in folded if each.attempts or each.refused)
        for each in folded:
            if each.refused:
                warnings.warn(
                    f"set aside the batch {each.name} of {self.inbox.folder}: {each.refused}",
                    stacklevel=4,
                )

    def _begin(self, copy: Path) -> None:
        """Copy the file, if there is one, once nobody changes it in place."""
        with _told(self.path):
            _remove_copies(self.path)
        if self.path.exists() and holds_nothing(self.path):
            make_room(self.path)
        if not self.path.exists():
            return
        if self.path.with_name(f"{self.path.name}.wal").exists():  # an older midband was killed
            connect(self.path, read_only=False).close()
        connect(self.path, read_only=True, current=False).close()  # says why it cannot be
        with _told(self.path):
            _copy(self.path, copy)

    def _publish(self, copy: Path) -> None:
        """Let the copy take the place of the file, for good."""
        confirm(copy)
        copy.replace(self.path)
        confirm(self.path.parent)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn a full disk and its like into one line."""
    import duckdb

    try:
        yield
    except (OSError, duckdb.Error) as error:
        msg = (
            f"expected to write to the history {path}, got: {first_line(error)}; nothing was added"
        )
        raise StoreError(msg) from error


@contextmanager
def _exclusive(folder: Path, path: Path, patience_s: float) -> Iterator[None]:
    """Wait until no other process writes to the history, and keep others waiting meanwhile."""
    with _told(path):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        until = time.monotonic() + patience_s
        while not _locked(handle):
            if time.monotonic() > until:
                msg = (
                    f"expected to write to the history {path}, found another process writing for"
                    f" {patience_s:g} s; nothing was added: end that one, or try again later"
                )
                raise StoreError(msg)
            time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Whether the lock is ours; the system takes it back when this process ends."""
    if os.name == "posix":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    import msvcrt

    lock: Callable[[int, int, int], None] = getattr(msvcrt, "locking")  # noqa: B009
    try:
        lock(handle, 2, 1)  # without waiting, one byte
    except OSError:
        return False
    return True


def _identity(path: Path) -> Identity | None:
    """Return what tells one file of a name from the next; None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _copy(path: Path, copy: Path) -> None:
    shutil.copyfile(path, copy)
    shutil.copymode(path, copy)


def _remove_copies(path: Path) -> None:
    """Remove copies that a kill has left; only one process at a time may be here."""
    for left in path.parent.glob(f"{_escaped(path.name)}.*{_WORKING}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
