"""Storage: the journal of finished units, and the results of a study on disk."""

import errno
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, TypeVar

import duckdb

from midband_history import InputError, StoreError, notebook_html
from midband_sims.executors import run_units

if os.name == "posix":
    import fcntl
else:
    import msvcrt

LOCK = ".lock"
ABOUT = "study.json"


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


UnitType = TypeVar("UnitType")


@dataclass(frozen=True, kw_only=True)
class Done:
    """Results of all units of a study.

    Parameters
    ----------
    results : mapping of str to mapping
        By the key of the unit.
    run, found : int
        Units run now, and found finished from before.
    """

    results: Mapping[str, Mapping[str, Any]]
    run: int
    found: int


@contextmanager
def run_journaled(
    function: Callable[[UnitType], dict[str, object]],
    units: Mapping[str, UnitType],
    *,
    workers: str,
    output: Path | None,
    progress: Callable[[int, int], None] | None,
    about: Mapping[str, object] | None = None,
) -> Iterator[Done]:
    """Run the units that the journal of a directory does not have, and give the results of all.

    The directory is kept for this study until the context ends.

    Parameters
    ----------
    function : callable
        See `run_units`.
    units : mapping of str to object
        By a key that says all that determines their result.
    workers : str
    output : Path or None
        Directory of the journal; None to keep none.
    progress : callable or None
        Called with units done and units in all.
    about : mapping, optional
        What the study is, kept beside the journal so that a report can be made before its end.
    """
    journal = Journal(output / "units.jsonl") if output is not None else None
    results: dict[str, dict[str, object]] = {} if journal is None else journal.results
    try:
        if output is not None and about is not None:
            _write_json(output / ABOUT, about)
        missing = [key for key in units if key not in results]
        found = len(units) - len(missing)
        if progress:
            progress(found, len(units))
        runs = run_units(function, [units[key] for key in missing], workers=workers)
        for count, (position, result) in enumerate(runs, found + 1):
            if journal is None:
                results[missing[position]] = result
            else:
                journal.add(missing[position], result)
            if progress:
                progress(count, len(units))
        yield Done(results=results, run=len(missing), found=found)
    finally:
        if journal is not None:
            journal.close()


def plain_cell(cell: Mapping[str, object]) -> dict[str, object]:
    """Return a cell as JSON can hold it: unknown numbers are null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in cell.items()
    }


# What a notebook shows of a cell, and what it calls it there.
_SHOWN = {
    "benchmark": "benchmark",
    "protocol": "protocol",
    "strategy": "strategy",
    "stop": "stop",
    "n_candidates": "candidates",
    "fraction_run": "share of tasks run",
    "spearman": "rank correlation",
    "coverage": "coverage on the full benchmark",
    "coverage_planned": "coverage on the planned tasks",
    "nominal": "promised coverage",
    "cost_saved_share": "share of cost saved",
}


def cells_html(
    cells: Sequence[Mapping[str, object]], *, replays: int, skipped: Sequence[str]
) -> str:
    """Return the cells of a study as a notebook shows them."""
    caption = f"Study of {len(cells)} cell{'' if len(cells) == 1 else 's'} with {replays} replays."
    rows: Any = [[cell.get(name) for name in _SHOWN] for cell in cells]
    notes = [f"Not served: {each}" for each in skipped]
    return notebook_html(caption, columns=tuple(_SHOWN.values()), rows=rows, notes=notes)


def cells_json(cells: Sequence[Mapping[str, object]]) -> str:
    """All cells as a JSON array."""
    return json.dumps([plain_cell(cell) for cell in cells], indent=1, ensure_ascii=False)


def write_results(
    directory: Path,
    *,
    cells: Sequence[Mapping[str, object]],
    replays: Sequence[Mapping[str, object]],
) -> None:
    """Write ``cells.json``, ``cells.parquet`` and ``replays.parquet``; no half file is left."""
    try:
        _write_text(directory / "cells.json", cells_json(cells))
        _write_parquet(cells, directory / "cells.parquet")
        _write_parquet(replays, directory / "replays.parquet")
    except (OSError, duckdb.Error) as error:
        msg = f"expected room to write the results to {directory}, got: {error}"
        raise StoreError(msg) from error


def _write_json(path: Path, data: Mapping[str, object]) -> None:
    try:
        _write_text(path, json.dumps(data, indent=1, ensure_ascii=False))
    except OSError as error:
        msg = f"expected room to write {path}, got: {error}"
        raise StoreError(msg) from error


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def _write_parquet(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    columns: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kind = _kind(value)
            if kind and columns.get(name) != "DOUBLE":
                columns[name] = kind
            else:
                columns.setdefault(name, "")
    types = {name: kind or "VARCHAR" for name, kind in columns.items()}
    lines = path.with_name(f".{path.name}.jsonl")
    partial = path.with_name(f".{path.name}.part")
    lines.write_text("".join(json.dumps(plain_cell(row)) + "\n" for row in rows), encoding="utf-8")
    try:
        with duckdb.connect() as connection:
            relation = connection.read_json(str(lines), format="newline_delimited", columns=types)
            relation.write_parquet(str(partial), compression="zstd")
        partial.replace(path)
    finally:
        lines.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _kind(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "BIGINT"
    if isinstance(value, float):
        return "DOUBLE"
    if isinstance(value, list | tuple):
        if not value:
            return ""
        first = value[0]
        if isinstance(first, str):
            return "VARCHAR[]"
        return "DOUBLE[][]" if isinstance(first, list | tuple) else "DOUBLE[]"
    return "VARCHAR"
