"""The journal: finished units on disk, so that a killed study goes on where it was."""

import errno
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from midband_history import InputError, StoreError

if os.name == "posix":
    import fcntl
else:
    import msvcrt

LOCK = ".lock"


class _Lock:
    """Keeps a directory for one process; the system lets go of it however that process ends."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if sys.platform == "win32":
                msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # A file system without locks must not keep anybody from a study.
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return
            os.close(self._file)
            msg = (
                f"expected {directory} for this study alone, another midband study is at work in"
                " it: wait for its end, or use another directory"
            )
            raise InputError(msg) from error

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._file)


class Journal:
    """Appends one line a finished unit and knows which are there.

    A line is written and synced before its unit counts as done. A line torn by a kill is dropped
    when the journal is opened again; its unit is run again.

    Parameters
    ----------
    path : Path
        In the directory of one study.

    Raises
    ------
    InputError
        Another process has a study in the directory.
    StoreError
        It cannot be written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results: dict[str, dict[str, object]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _Lock(path.parent)
            try:
                self._recover()
                self._file: TextIO = path.open("a", encoding="utf-8")
            except BaseException:
                self._lock.close()
                raise
        except StoreError:
            raise
        except OSError as error:
            msg = f"expected a writable study directory, got {path.parent}: {error.strerror}"
            raise StoreError(msg) from error

    def _recover(self) -> None:
        if not self._path.exists():
            return
        data = self._path.read_bytes()
        end = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:end].splitlines(), 1):
            try:
                entry = json.loads(line)
                self.results[str(entry["unit"])] = dict(entry["result"])
            except (ValueError, KeyError, TypeError, RecursionError):
                msg = (
                    f"expected a finished unit on line {number} of {self._path}, got something"
                    " else: it is not a midband study, or was edited; choose another directory"
                )
                raise StoreError(msg) from None
        if end < len(data):
            with self._path.open("r+b") as file:
                file.truncate(end)

    def add(self, key: str, result: Mapping[str, object]) -> None:
        """Append a finished unit."""
        plain = json.loads(json.dumps(result))
        self._file.write(json.dumps({"unit": key, "result": plain}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.results[key] = plain

    def close(self) -> None:
        """Close the file and let another process have the directory."""
        self._file.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
