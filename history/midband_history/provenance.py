"""An open history and its upkeep: where numbers come from, what is stated of them, what goes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from midband_history.aliases import benchmark_id_of, plain_benchmark, set_alias
from midband_history.backends import (
    Backend,
    Batch,
    DuckLakeBackend,
    FileBackend,
    Inbox,
    MemoryBackend,
    is_lake,
)
from midband_history.backends.file import PATIENCE_S
from midband_history.cells import refresh_cells
from midband_history.connection import (
    default_path,
    fetch,
    fetch_dicts,
    run_all,
    utc,
)
from midband_history.damage import says_why
from midband_history.errors import (
    InputError,
    UnknownBenchmarkError,
    UnknownTaskError,
    nearest,
)
from midband_history.frames import Rows
from midband_history.labels import read_aliases, read_labels
from midband_history.metrics import Metric, declare_metric
from midband_history.records import OUTCOME_KINDS, Note
from midband_history.soundness import find_damage, find_faults, find_stale, mend, refuse_damage
from midband_history.summaries import Origin, Removed, SourceFault

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from duckdb import DuckDBPyConnection

_ALL = 2**31 - 1  # above the id of every source


@says_why
class Upkeep:
    """The part of `History` that opens its file and looks after what it holds."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def name(self) -> str:
        """What messages call the history: its file or its database, without any password."""
        return self._backend.name

    @property
    def path(self) -> Path | None:
        """The file that the history is in; None for one in memory or in a database."""
        return self._backend.path

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        read_only: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> Self:
        """Open the history file, and create it when it is opened for writing and missing.

        Parameters
        ----------
        path : path, optional
            By default MIDBAND_HISTORY, else a file in the user's data directory. A name that
            begins with ``ducklake:postgres:`` is that of a shared history in a database.
        read_only : bool
            Any number of processes can read and write one file at a time. What is read is the
            file as it was when it was opened, or last written through this object.
        patience_s : float
            How long a write waits for other writers before it is an error, seconds.

        Raises
        ------
        StoreError
            The file is read-only, of another kind, or newer than this midband.
        """
        where = default_path() if path is None else Path(path).expanduser()
        if is_lake(where):
            return cls(
                DuckLakeBackend.open(where.as_posix(), read_only=read_only, patience_s=patience_s)
            )
        return cls(FileBackend(where, read_only=read_only, patience_s=patience_s))

    @classmethod
    def in_memory(cls) -> Self:
        """Open an empty history that is gone when it is closed."""
        return cls(MemoryBackend())

    @staticmethod
    def exists(path: str | Path | None = None) -> bool:
        """Whether there is a history at a place, if only in the inbox beside it."""
        where = default_path() if path is None else Path(path).expanduser()
        return is_lake(where) or where.exists() or bool(Inbox(where).names())

    def compact(self) -> tuple[Batch, ...]:
        """Take in what the inbox holds, which opening a history for writing does by itself.

        Of a shared history, join small files into larger ones and delete what nobody reads any
        more.

        Returns
        -------
        tuple of Batch
            What became of each batch since this history was opened: one that could not be added
            says why, and its file is kept in ``refused/`` or ``broken/`` in the inbox.
        """
        self._backend.compact()
        return self._backend.folded

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def set_aside(self) -> list[Path]:
        """Return the batches that the history has refused or could not read."""
        return [] if self.path is None else Inbox(self.path).set_aside()

    def waiting(self) -> list[str]:
        """Return the batches that still lie in the inbox, oldest first; readers count them."""
        return [] if self.path is None else Inbox(self.path).names()

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
        return self._backend.reading()

    def _writing(self) -> "AbstractContextManager[DuckDBPyConnection]":
        """Give the connection to write with; `_connection` is the same one meanwhile."""
        return self._backend.writing()

    def _id(self, benchmark: str) -> int:
        connection = self._connection
        number = benchmark_id_of(connection, self.benchmark_name(benchmark))
        if number is not None:
            return number
        names = [name for (name,) in fetch(connection, "names_of_benchmarks")]
        held = nearest(benchmark, names)
        empty = "it is empty, import results first with `midband import`"
        msg = f"expected a benchmark of the history, got {benchmark!r}: " + (
            f"it holds {held}" if names else empty
        )
        raise UnknownBenchmarkError(msg)

    def known_sources(self, digests: Iterable[str]) -> dict[str, tuple[tuple[int, ...], int]]:
        """Return those digests under which sources were added, with their ids and reader's version.

        Copies of one file are several sources of one digest; the version is that of the oldest
        reader.
        """
        found = self._connection.execute(
            "SELECT digest, list(source_id ORDER BY source_id), min(reader_version) FROM sources"
            " WHERE digest <> '' AND digest IN (SELECT unnest(?::VARCHAR[])) GROUP BY digest",
            [list(digests)],
        )
        return {row[0]: (tuple(row[1]), int(row[2])) for row in found.fetchall()}

    def source_names(self, ids: Iterable[int]) -> dict[int, str]:
        """Return the names of sources: the files or directories that they were imported from."""
        found = self._connection.execute(
            "SELECT source_id, name FROM sources WHERE source_id IN (SELECT unnest(?::INTEGER[]))",
            [list(ids)],
        )
        return {int(number): str(name) for number, name in found.fetchall()}

    def readings_of(
        self, contents: Iterable[str], *, benchmark: str, metric: str
    ) -> dict[str, list[int]]:
        """Return the ids of sources with one of these very contents, whatever their other options.

        Parameters
        ----------
        contents : iterable of str
            Digests of the contents alone.
        benchmark, metric : str
            The names that the person gave, or empty text: a reading under another name stands.
        """
        found = self._connection.execute(
            "SELECT content, source_id, options FROM sources WHERE content <> ''"
            " AND content IN (SELECT unnest(?::VARCHAR[])) ORDER BY source_id",
            [list(contents)],
        )
        readings: dict[str, list[int]] = {}
        for content, number, options in found.fetchall():
            if _named(options) == (benchmark, metric):
                readings.setdefault(content, []).append(int(number))
        return readings

    def declare_metric(
        self,
        benchmark: str,
        metric: str = "",
        *,
        name: str | None = None,
        scale: tuple[float, float] | None = None,
        lower_is_better: bool | None = None,
    ) -> Metric:
        """State what a metric of a benchmark is; the results themselves are not changed.

        Parameters
        ----------
        metric : str
            ``NAME`` or ``NAME.KEY`` of a metric that is held; empty for the unnamed one.
        name : str, optional
            A name for the unnamed metric; a metric of that name that is held joins it.
        scale : tuple of float, optional
            The least and the greatest value that the metric can give.
        lower_is_better : bool, optional
            Whether the least value is the best.

        Raises
        ------
        InputError
            No such metric is held, or values lie outside the scale.
        """
        with self._writing():
            return declare_metric(
                self._connection,
                benchmark,
                self._id(benchmark),
                metric,
                name=name,
                scale=scale,
                lower_is_better=lower_is_better,
            )

    def why(self, benchmark: str, task: str, agent: str | None = None) -> Rows[Origin]:
        """Return every attempt behind the numbers of a task, with where it comes from.

        Parameters
        ----------
        agent : str, optional
            A label or glob; every agent by default.

        Raises
        ------
        UnknownTaskError
            The benchmark has no such task.
        InputError
            No such agent ran it.
        """
        name, benchmark_id = self.benchmark_name(benchmark), self._id(benchmark)
        labels = read_labels(self._connection, [name])
        rows = fetch_dicts(self._connection, "why", benchmark_id=benchmark_id, task=task)
        if not rows:
            held = fetch(self._connection, "names_of_tasks", benchmark_id=benchmark_id)
            known = nearest(task, [row[0] for row in held])
            msg = f"expected a task of {name}, got {task!r}: it holds {known}"
            raise UnknownTaskError(msg)
        found = [_origin(row, labels[name, row.pop("agent_id")]) for row in rows]
        kept = [each for each in found if agent is None or _fits(each.agent, agent)]
        if agent is not None and not kept:
            known = nearest(agent, sorted({each.agent for each in found}))
            msg = f"expected an agent that ran {task!r}, got {agent!r}: these did: {known}"
            raise InputError(msg)
        return Rows(kept, of=Origin)

    def check(self, readers: Mapping[str, int]) -> tuple[list[SourceFault], list[str]]:
        """Return what is wrong with the history.

        Parameters
        ----------
        readers : mapping of str to int
            The version of every importer.

        Returns
        -------
        stale : list of SourceFault
            Sources that an older importer has read, which may have misread them.
        broken : list of str
            What cannot be read, or else what contradicts itself; nothing, in a sound history. Every
            block of the file is read for it.
        """
        if damaged := find_damage(self._connection):
            return [], damaged
        return self.stale(readers), find_faults(self._connection)

    def stale(self, readers: Mapping[str, int]) -> list[SourceFault]:
        """Return the sources that an older importer has read; the part of `check` that is quick."""
        return find_stale(self._connection, readers)

    def mend(self) -> tuple[list[str], list[str]]:
        """Put right what can be put right without losing an attempt, and say what is left.

        Use `repair_history`, which copies the file first.
        """
        refuse_damage(self._connection, self.path)
        with self._writing():
            return mend(self._connection)

    def forget(
        self,
        *,
        source: str | None = None,
        run: str | None = None,
        agent: str | None = None,
        benchmark: str | None = None,
    ) -> Rows[Removed]:
        """Remove the attempts that fit all that is named; their sources can be imported again.

        Parameters
        ----------
        source, agent : str, optional
            The path of a source, and the label of an agent; globs are understood.
        run, benchmark : str, optional
            The id of a run, and the name of a benchmark.

        Raises
        ------
        InputError
            Nothing is named.
        """
        what = {"source": source, "run": run, "agent": agent, "benchmark": benchmark}
        named = {name: text for name, text in what.items() if text is not None}
        if not named:
            msg = "expected a source, run, agent or benchmark to forget, got none: name one"
            raise InputError(msg)
        with self._writing():
            benchmark_id = None if benchmark is None else self._id(benchmark)
            rows = fetch(self._connection, "forgettable", benchmark_id=benchmark_id, run=run)
            labels = read_labels(self._connection, sorted({row[3] for row in rows}))
            chosen = [
                (run_id, source_id, (name, label, where), attempts)
                for run_id, agent_id, source_id, name, where, attempts in rows
                for label in [labels[name, agent_id]]
                if (source is None or _fits(where, source))
                and (agent is None or _fits(label, agent))
            ]
            if chosen:
                _forget(self._connection, [each[:2] for each in chosen])
                self._connection.execute(
                    "INSERT INTO removals"
                    " VALUES (CAST(get_current_timestamp() AS TIMESTAMP), ?, ?)",
                    [json.dumps(named), sum(each[3] for each in chosen)],
                )
        sums: Counter[tuple[str, str, str]] = Counter()
        for *_, place, attempts in chosen:
            sums[place] += attempts
        removed = [
            Removed(benchmark=name, agent=label, source=where, attempts=attempts)
            for (name, label, where), attempts in sorted(sums.items())
        ]
        return Rows(removed, of=Removed)

    def alias(self, what: Literal["agent", "benchmark"], alias: str, name: str) -> int:
        """Let `alias` stand for `name`, for what is held and for what will be imported.

        Two agents of which one is an alias of the other are one agent. A benchmark that becomes an
        alias moves its results to the other.

        Returns
        -------
        int
            Attempts that were moved to another benchmark.
        """
        with self._writing():
            return set_alias(self._connection, what, alias, name)

    def aliases(self, what: Literal["agent", "benchmark"]) -> dict[str, str]:
        """Return the aliases of agents or benchmarks, each with the name that it stands for."""
        return read_aliases(self._connection, what)


def _named(options: str) -> tuple[str, str]:
    """Return the benchmark and the metric that the options of a source name."""
    said = json.loads(options) if options else {}
    return str(said.get("benchmark") or ""), str(said.get("metric") or "")


def _origin(row: dict[str, Any], label: str) -> Origin:
    """Return one attempt and where it comes from, of a row of ``why``."""
    reader, version = row.pop("reader"), row.pop("reader_version")
    for name in ("started", "scored_at", "imported_at"):
        row[name] = utc(row[name])
    row["kind"] = OUTCOME_KINDS[row["kind"]]
    row["metric"] = Metric(name=row["metric"], key=row.pop("key")).label
    row["options"] = json.loads(row["options"] or "{}")
    row["notes"] = tuple(Note(code=code, text=text) for code, text in json.loads(row["notes"]))
    return Origin(agent=label, reader=f"{reader} {version}" if reader else "midband 0.1", **row)


def _fits(text: str, wanted: str) -> bool:
    return text == wanted or fnmatchcase(text, wanted)


def _forget(connection: "DuckDBPyConnection", pairs: Sequence[tuple[int, int]]) -> None:
    """Remove the attempts of pairs of a run and a source, and what then has none left."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE forgotten AS SELECT unnest($1::INTEGER[]) AS run_id,"
        " unnest($2::INTEGER[]) AS source_id",
        [list(ids) for ids in zip(*pairs, strict=True)],
    )
    steps = ("forget_outcomes", "see_again", "forget_sources", "drop_orphans")
    run_all(connection, *steps, bound={"first": _ALL})
    refresh_cells(connection, "SELECT DISTINCT run_id FROM forgotten")
    for table in ("taken_away", "forgotten"):
        connection.execute(f"DROP TABLE {table}")
