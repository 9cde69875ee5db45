"""What a damaged history file is, and how it is reported: in one line that names the file."""

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from midband_history.errors import StoreError

_Kind = TypeVar("_Kind", bound=type)
# What DuckDB says of a block, a header or a log that is not as it was written.
_DAMAGE = (
    *("Corrupt", "checksum", "Could not read", "ailed to deserialize", "erialization"),
    *("replaying WAL", "INTERNAL", "invalidated", "Failed to load metadata"),
)


def first_line(error: object) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"


def is_damage(reason: str) -> bool:
    """Whether what DuckDB says means that a file is not as it was written."""
    return any(words in reason for words in _DAMAGE)


def why_not_read(where: Path | str, reason: str) -> str:
    """Return the one line that says why DuckDB cannot read a history.

    Parameters
    ----------
    where : path or str
        The file of the history, or what messages call it.
    reason : str
        What DuckDB says.
    """
    got = first_line(reason)
    if is_damage(reason):
        return (
            f"expected to read the history {where}, found its file damaged ({got}): restore a copy,"
            " or keep what is readable with `midband history salvage DAMAGED NEW`"
        )
    return f"expected to read the history {where}, got: {got}: put that right and try again"


def says_why(kind: _Kind) -> _Kind:
    """Let the public methods of a class raise `StoreError` where DuckDB cannot read the history.

    The class has the attribute ``name``. The iterators that its methods return are covered too.
    """
    for name, method in list(vars(kind).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(kind, name, _saying_why(method))
    return kind


def _saying_why(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            result = method(self, *arguments, **options)
        except _duckdb_error() as error:
            raise StoreError(why_not_read(self.name, str(error))) from error
        except StoreError as error:  # of a transaction, which does not know the file
            cause = error.__cause__
            if isinstance(cause, _duckdb_error()) and is_damage(str(cause)):
                raise StoreError(why_not_read(self.name, str(cause))) from cause
            raise
        return _read_on(self.name, result) if inspect.isgenerator(result) else result

    return call


def _read_on(name: str, rows: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from rows
    except _duckdb_error() as error:
        raise StoreError(why_not_read(name, str(error))) from error


def _duckdb_error() -> type[Exception]:
    import duckdb

    return duckdb.Error
