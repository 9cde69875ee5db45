"""What the local page knows of the history: read again only once it has changed."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from midband_history import AgentSummary, BenchmarkSummary, History, MidbandError, default_path

# How often a history that is not in a file of this machine is read again, and how long the page
# waits after each reading of a large one, as a multiple of what the reading took.
_EVERY_S, _REST = 20.0, 10.0


@dataclass(frozen=True, kw_only=True)
class BenchmarkView:
    """One benchmark of the history.

    Parameters
    ----------
    key : str
        Stands for its name in addresses.
    summary : BenchmarkSummary
    imported : datetime or None
        When results last came in, UTC.
    agents : sequence of AgentSummary
        Read only for the page of the benchmark.
    problem : str
        Why the agents could not be read.
    """

    key: str
    summary: BenchmarkSummary
    imported: datetime | None = None
    agents: Sequence[AgentSummary] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class HistoryView:
    """The history as it was read last.

    Parameters
    ----------
    name : str
        Where it is, without any password.
    benchmarks : tuple of BenchmarkView
    problem : str
        Why it could not be read; empty if it could.
    absent : bool
        Whether that is because there is none yet.
    """

    name: str
    benchmarks: tuple[BenchmarkView, ...] = ()
    problem: str = ""
    absent: bool = False


class HistoryReader:
    """Reads the history for the page, from several threads; no method raises.

    Others may write at the same time: a reader opens the file as it is, reads, and lets go of it.

    Parameters
    ----------
    path : Path or None
        As `History.open` takes it; the user's history by default.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = default_path() if path is None else path
        self._lock = threading.Lock()
        self._seen: object = None
        self._known: HistoryView | None = None
        self._not_before = 0.0
        self._agents: dict[str, BenchmarkView] = {}

    @property
    def path(self) -> Path:
        """Where the history is."""
        return self._path

    def view(self) -> HistoryView:
        """Return the benchmarks, read again if the history has changed."""
        with self._lock:
            return self._view()

    def benchmark(self, key: str) -> BenchmarkView | None:
        """Return one benchmark with its agents; None where the history holds none of this key."""
        with self._lock:
            found = next((each for each in self._view().benchmarks if each.key == key), None)
            if found is None:
                return None
            if key not in self._agents:
                try:
                    with History.open(self._path, read_only=True) as history:
                        agents = tuple(history.agents(found.summary.name))
                    self._agents[key] = replace(found, agents=agents)
                except Exception as error:
                    return replace(found, problem=_why(error))
            return self._agents[key]

    def _view(self) -> HistoryView:
        identity = self._identity()
        now = time.monotonic()
        if self._known is not None and (identity == self._seen or now < self._not_before):
            return self._known
        self._seen, self._agents = identity, {}
        self._known = self._read()
        self._not_before = time.monotonic() + min(_REST * (time.monotonic() - now), 3 * _EVERY_S)
        return self._known

    def _read(self) -> HistoryView:
        # The name of a shared history may hold a password until it is open.
        name = (
            str(self._path) if "://" not in str(self._path) and ":" not in str(self._path) else ""
        )
        try:
            if not History.exists(self._path):
                return HistoryView(
                    name=name,
                    absent=True,
                    problem=f"There is no history at {name} yet. Import results of past runs with"
                    " `midband import PATH`, or name another with --history.",
                )
            with History.open(self._path, read_only=True) as history:
                name = history.name
                imported = history.last_imports()
                found = tuple(
                    BenchmarkView(
                        key=key_of(each.name), summary=each, imported=imported.get(each.name)
                    )
                    for each in history.benchmarks()
                )
        except Exception as error:
            return HistoryView(name=name, problem=_why(error))
        return HistoryView(name=name, benchmarks=found)

    def _identity(self) -> object:
        """Return what changes when the history does; the present while where that is unknown."""
        try:
            about = self._path.stat()
            inbox = self._path.with_name("inbox") / self._path.name
            waiting = inbox.stat().st_mtime_ns if inbox.exists() else 0
        except (OSError, ValueError):
            return int(time.monotonic() / _EVERY_S)
        return about.st_ino, about.st_size, about.st_mtime_ns, waiting


def key_of(name: str) -> str:
    """Return what stands for the name of a benchmark in addresses."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _why(error: Exception) -> str:
    if isinstance(error, MidbandError):
        return " ".join(str(error).split())
    return f"The history could not be read: {type(error).__name__}: {' '.join(str(error).split())}"
