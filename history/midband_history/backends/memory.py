"""A history that is gone when it is closed."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

from midband_history.connection import closed, connect_in_memory, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection


class MemoryBackend:
    """One connection for everything; see `Backend`."""

    name = "in memory"
    path = None
    folded = ()

    def __init__(self) -> None:
        self._connection: DuckDBPyConnection | None = connect_in_memory()

    def reading(self) -> "DuckDBPyConnection":
        """Return the one connection."""
        if self._connection is None:
            raise closed()
        return self._connection

    @contextmanager
    def writing(self) -> "Iterator[DuckDBPyConnection]":
        """Give the one connection, in a transaction."""
        connection = self.reading()
        with transaction(connection):
            yield connection

    def compact(self) -> None:
        """Do nothing: there is neither a file nor an inbox."""

    def close(self) -> None:
        """Forget everything."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
