"""What a place must offer in which a history is kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from duckdb import DuckDBPyConnection

    from midband_history.backends.inbox import Batch


class Backend(Protocol):
    """One open history: a connection to read from, and a way to write.

    Every statement of the store runs unchanged on the connections that a backend gives; nothing
    else knows where the tables are.
    """

    @property
    def name(self) -> str:
        """What messages call the history."""

    @property
    def path(self) -> Path | None:
        """The file that the history is in; None where it is not in one."""

    @property
    def folded(self) -> "tuple[Batch, ...]":
        """What became of every batch of the inbox that was taken in since this was opened."""

    def reading(self) -> "DuckDBPyConnection":
        """Return the connection to read from; within `writing`, the one that is written to.

        Raises
        ------
        StoreError
            The history is closed, or cannot be read.
        """

    def writing(self) -> "AbstractContextManager[DuckDBPyConnection]":
        """Give a connection that nobody else writes to; what the block does is kept as a whole.

        When the block ends, its changes are on the disk and `reading` sees them. When it raises,
        nothing of it is kept.

        Raises
        ------
        StoreError
            The history was opened to read only, is closed, or cannot be written.
        """

    def compact(self) -> None:
        """Bring what is held into the form that is quickest to read; no number changes."""

    def close(self) -> None:
        """Let go of the history; closing twice is harmless."""
