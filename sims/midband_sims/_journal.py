"""The journal: finished units on disk, so that a killed study goes on where it was."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from midband_history import StoreError


class Journal:
    """Appends one line a finished unit and knows which are there.

    A line is written and synced before its unit counts as done. A line torn by a kill is dropped
    when the journal is opened again; its unit is run again.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results: dict[str, dict[str, object]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._recover()
            self._file: TextIO = path.open("a", encoding="utf-8")
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
                self.results[entry["unit"]] = entry["result"]
            except (ValueError, KeyError, TypeError):
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
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
