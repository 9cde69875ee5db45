"""A history that is open: its file, its connection, and the names of its benchmarks."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from midband_history._connection import connect, default_path
from midband_history._errors import StoreError, UnknownBenchmarkError, nearest
from midband_history._labels import read_aliases

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Opened:
    """What every part of `History` stands on."""

    def __init__(self, connection: "DuckDBPyConnection", path: Path | None) -> None:
        self._open_connection: DuckDBPyConnection | None = connection
        self.path = path

    @classmethod
    def open(cls, path: str | Path | None = None, *, read_only: bool = False) -> Self:
        """Open the history file, and create it when it is opened for writing and missing.

        Parameters
        ----------
        path : path, optional
            By default MIDBAND_HISTORY, else a file in the user's data directory.
        read_only : bool
            Several processes can read one file at a time.

        Raises
        ------
        StoreError
            The file is in use, read-only, of another kind, or newer than this midband.
        """
        where = default_path() if path is None else Path(path).expanduser()
        return cls(connect(where, read_only=read_only), where)

    @classmethod
    def in_memory(cls) -> Self:
        """Open an empty history that is gone when it is closed."""
        return cls(connect(None, read_only=False), None)

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        if self._open_connection is not None:
            self._open_connection.close()
            self._open_connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def benchmark_name(self, name: str) -> str:
        """Return the name that the history uses for a benchmark: of an alias, what it stands for.

        >>> from midband_history import History
        >>> with History.in_memory() as history:
        ...     history.benchmark_name("inspect_evals/gsm8k")
        'gsm8k'
        """
        plain = plain_benchmark(name)
        aliases = read_aliases(self._connection, "benchmark")
        return aliases.get(name, aliases.get(plain, plain))

    @property
    def _connection(self) -> "DuckDBPyConnection":
        if self._open_connection is None:
            msg = "expected an open history, got a closed one: open it again"
            raise StoreError(msg)
        return self._open_connection

    def _id(self, benchmark: str) -> int:
        row = self._connection.execute(
            "SELECT benchmark_id FROM benchmarks WHERE name = ?", [self.benchmark_name(benchmark)]
        ).fetchone()
        if row is not None:
            return int(row[0])
        names = [
            name
            for (name,) in self._connection.execute(
                "SELECT name FROM benchmarks"
                " WHERE benchmark_id IN (SELECT benchmark_id FROM runs) ORDER BY name"
            ).fetchall()
        ]
        held = nearest(benchmark, names)
        msg = f"expected a benchmark of the history, got {benchmark!r}: " + (
            f"it holds {held}" if names else "it is empty, import results first"
        )
        raise UnknownBenchmarkError(msg)


def plain_benchmark(name: str) -> str:
    """Return a benchmark's name without the package of evaluations that it was run from.

    >>> plain_benchmark("inspect_evals/gsm8k")
    'gsm8k'
    """
    return name.removeprefix("inspect_evals/")
