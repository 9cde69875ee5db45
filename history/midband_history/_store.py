"""The history: one DuckDB file of attempts, added to as a whole and read as a matrix."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from midband_history._adding import add_staged, number_sources
from midband_history._attempts import read_records
from midband_history._connection import connect, default_path, transaction
from midband_history._errors import InputError, StoreError, UnknownBenchmarkError, nearest
from midband_history._matrix import FloatArray, OutcomeMatrix
from midband_history._reading import AgentRow, build_matrix, read_agents
from midband_history._records import Record
from midband_history._sql import statement
from midband_history._staging import as_utc, stage_records
from midband_history._summaries import AddReport, AgentSummary, BenchmarkSummary, LeftOut, PassRate
from midband_history._tables import Table, stage_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class History:
    """What was run, when, by whom, with what result and cost.

    Open one with `History.open`, or `History.in_memory` for one that is not kept. One process can
    write at a time; any number can read while none writes.

    Examples
    --------
    >>> with History.in_memory() as history:
    ...     report = history.add(
    ...         [Record(benchmark="toy", task_id="1", agent="a", score=1.0)], source="by hand"
    ...     )
    ...     (report.added, history.pass_rates("toy")[0].pass_rate)
    (1, 1.0)
    """

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

    def add(
        self, records: Iterable[Record], *, source: str = "", source_digest: str = ""
    ) -> AddReport:
        """Add the attempts of one source: all of them, or on an error none.

        An attempt is named by its `source_key`, or else by benchmark, task, agent, run, start and
        attempt number. One that the history holds already is left as it is and counted as a
        duplicate; if its result differs, the report says so.

        Parameters
        ----------
        records : iterable of Record
            Read in chunks, so a generator of millions is fine.
        source : str
            Where they come from, for people.
        source_digest : str
            Digest of the source's content; a source of known digest is not read again.
        """
        return self.add_sources([(source, source_digest, records)])[0]

    def add_sources(self, sources: Sequence[tuple[str, str, Iterable[Record]]]) -> list[AddReport]:
        """Add several small sources in one transaction, which is quicker than one by one.

        Parameters
        ----------
        sources : sequence of (source, source_digest, records)
            As in `add`.

        Returns
        -------
        list of AddReport
            One a source, in their order.
        """
        if not sources:
            return []
        connection = self._connection
        with transaction(connection):
            ids = number_sources(connection, [(name, digest) for name, digest, _ in sources])
            stage_records(
                connection,
                (
                    (source_id, record)
                    for source_id, (_, _, records) in zip(ids, sources, strict=True)
                    for record in records
                ),
            )
            return add_staged(connection, ids)

    def add_table(self, table: Table, *, source: str = "", source_digest: str = "") -> AddReport:
        """Add a file of rows without a Python object a row; otherwise as `add`.

        Raises
        ------
        UnreadableSourceError
            The file is truncated, lacks a column, or holds a value that cannot be read.
        """
        connection = self._connection
        with transaction(connection):
            ids = number_sources(connection, [(source or str(table.path), source_digest)])
            notes = stage_table(connection, table, source_id=ids[0])
            report = add_staged(connection, ids)[0]
        return replace(report, skipped=(*notes, *report.skipped))

    def has_source(self, digest: str) -> bool:
        """Whether a source of this digest has been added."""
        found = self._connection.execute(
            "SELECT 1 FROM sources WHERE digest = ? AND digest <> '' LIMIT 1", [digest]
        )
        return found.fetchone() is not None

    def known_sources(self, digests: Iterable[str]) -> frozenset[str]:
        """Return those digests under which a source has been added."""
        found = self._connection.execute(
            "SELECT DISTINCT digest FROM sources"
            " WHERE digest <> '' AND digest IN (SELECT unnest(?::VARCHAR[]))",
            [list(digests)],
        )
        return frozenset(row[0] for row in found.fetchall())

    def benchmarks(self) -> list[BenchmarkSummary]:
        """Summarise every benchmark, in order of name."""
        rows = self._connection.execute(statement("benchmarks")).fetchall()
        return [
            BenchmarkSummary(
                name=row[0],
                tasks=row[1],
                agents=row[2],
                attempts=row[3],
                first=_utc(row[4]),
                last=_utc(row[5]),
                cost_usd=row[6],
            )
            for row in rows
        ]

    def agents(self, benchmark: str) -> list[AgentSummary]:
        """Summarise every agent with a result on a benchmark, in order of label."""
        matrix = self.outcomes(benchmark)
        scores = matrix.full_scores()
        tasks = np.sum(matrix.attempts > 0, axis=1)
        rows = {row.label: row for row in read_agents(self._connection, self._id(benchmark), None)}
        return [
            AgentSummary(
                name=label,
                model=matrix.models[i],
                scaffold=matrix.scaffolds[i],
                first=_utc(rows[label].first),
                tasks=int(tasks[i]),
                mean=float(scores[i]),
            )
            for i, label in enumerate(matrix.agents)
        ]

    def pass_rates(
        self,
        benchmark: str,
        *,
        as_of: datetime | None = None,
        agents: Sequence[str] | None = None,
    ) -> list[PassRate]:
        """Return how often each task is solved, in order of task id.

        A rate is the mean over agents of each agent's own mean, so an agent counts once however
        often it tried. Parameters as in `outcomes`.
        """
        matrix = self.outcomes(benchmark, as_of=as_of, agents=agents)
        rates = matrix.pass_rates()
        costs = _column_means(matrix.cost_usd)
        durations = _column_means(matrix.duration_s)
        return [
            PassRate(
                task_id=task,
                pass_rate=float(rates[j]),
                agents=int(np.sum(matrix.attempts[:, j] > 0)),
                attempts=int(matrix.attempts[:, j].sum()),
                cost_usd=float(costs[j]),
                duration_s=float(durations[j]),
                task_digest=matrix.task_digests[j],
            )
            for j, task in enumerate(matrix.tasks)
        ]

    def outcomes(
        self,
        benchmark: str,
        *,
        as_of: datetime | None = None,
        agents: Sequence[str] | None = None,
        exclude_agents: Sequence[str] = (),
    ) -> OutcomeMatrix:
        """Return the results on a benchmark as a matrix of agents x tasks.

        Only valid attempts have a score; an infrastructure error is missing, never a failure.
        Agents without a valid attempt are left out.

        Parameters
        ----------
        benchmark : str
        as_of : datetime, optional
            Nothing that started later is seen, nor a run of unknown date, which may have; see
            `left_out`. Naive times are UTC.
        agents : sequence of str, optional
            Labels or globs of the agents to keep; each must match.
        exclude_agents : sequence of str
            Labels or globs of agents to leave out.

        Raises
        ------
        UnknownBenchmarkError
            The history does not hold the benchmark.
        InputError
            No agent matches, or nothing started by `as_of`.
        """
        benchmark_id = self._id(benchmark)
        moment = as_utc(as_of)
        rows = read_agents(self._connection, benchmark_id, moment)
        if not rows and as_of is not None:
            gone = self.left_out(benchmark, as_of=as_of)
            msg = (
                f"expected runs of {benchmark} that started by {as_of.isoformat()}, found"
                f" {gone.later} later and {gone.undated} of unknown date: choose a later date"
            )
            raise InputError(msg)
        return build_matrix(
            self._connection,
            benchmark=benchmark,
            benchmark_id=benchmark_id,
            agents=_choose(rows, benchmark, agents, exclude_agents),
            as_of=moment,
        )

    def records(self, benchmark: str | None = None) -> Iterator[Record]:
        """Yield every attempt at a benchmark, or at all, as it was added; those of a run together.

        Runs come in the order of import, the attempts of a run in order of task and attempt. A
        bounded number is in memory at a time. `Record.source_key` is not kept, so it is empty.

        Raises
        ------
        UnknownBenchmarkError
            The history does not hold the benchmark.
        """
        benchmark_id = None if benchmark is None else self._id(benchmark)
        return read_records(self._connection, benchmark_id)

    def left_out(self, benchmark: str, *, as_of: datetime) -> LeftOut:
        """Count the runs that `as_of` leaves out: later ones, and those of unknown date."""
        row = self._connection.execute(
            statement("left_out"),
            {"benchmark_id": self._id(benchmark), "as_of": as_utc(as_of)},
        ).fetchone()
        return LeftOut(*(row or (0, 0, 0)))

    @property
    def _connection(self) -> "DuckDBPyConnection":
        if self._open_connection is None:
            msg = "expected an open history, got a closed one: open it again"
            raise StoreError(msg)
        return self._open_connection

    def _id(self, benchmark: str) -> int:
        row = self._connection.execute(
            "SELECT benchmark_id FROM benchmarks WHERE name = ?", [benchmark]
        ).fetchone()
        if row is not None:
            return int(row[0])
        names = [
            name
            for (name,) in self._connection.execute(
                "SELECT name FROM benchmarks ORDER BY name"
            ).fetchall()
        ]
        held = nearest(benchmark, names)
        msg = f"expected a benchmark of the history, got {benchmark!r}: " + (
            f"it holds {held}" if names else "it is empty, import results first"
        )
        raise UnknownBenchmarkError(msg)


def _choose(
    rows: list[AgentRow], benchmark: str, keep: Sequence[str] | None, exclude: Sequence[str]
) -> list[AgentRow]:
    for wanted in keep or ():
        if not any(_matches(row, wanted) for row in rows):
            known = ", ".join(row.label for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
            msg = f"expected agents of {benchmark} such as {known}, got {wanted!r}: none matches"
            raise InputError(msg)
    chosen = [
        row
        for row in rows
        if (keep is None or any(_matches(row, wanted) for wanted in keep))
        and not any(_matches(row, unwanted) for unwanted in exclude)
    ]
    if not chosen:
        msg = (
            f"expected to keep agents of {benchmark}, got none of {len(rows)}:"
            " choose others, or exclude fewer"
        )
        raise InputError(msg)
    return chosen


def _matches(row: AgentRow, pattern: str) -> bool:
    """Whether a label, or a glob over it, means this agent; a plain label means itself alone."""
    return row.label == pattern or fnmatchcase(row.label, pattern)


def _column_means(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
