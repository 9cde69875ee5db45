"""The history: one DuckDB file of attempts, added to as a whole and read as a matrix."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from midband_history._adding import (
    Incoming,
    add_incoming,
    add_staged,
    next_source_ids,
    note_range,
    refusal,
)
from midband_history._attempts import read_records
from midband_history._connection import connect, default_path, transaction
from midband_history._errors import (
    InputError,
    OutOfRangeError,
    StoreError,
    UnknownBenchmarkError,
    nearest,
)
from midband_history._labels import read_aliases
from midband_history._matrix import FloatArray, OutcomeMatrix
from midband_history._metric import Metric
from midband_history._metrics import choose_metric, declare_metric, read_metrics
from midband_history._reading import (
    AgentRow,
    build_matrix,
    read_agents,
    read_contents,
)
from midband_history._records import Record
from midband_history._sql import statement
from midband_history._staging import as_utc
from midband_history._summaries import (
    AddReport,
    AgentSummary,
    BenchmarkSummary,
    LeftOut,
    MetricSummary,
    PassRate,
    VersionSummary,
)
from midband_history._tables import Table, stage_table
from midband_history._versions import choose_version, labels_of

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
        report = self.add_sources([Incoming(records=records, name=source, digest=source_digest)])[0]
        if report.refused:
            raise refusal(source, report.refused)
        return report

    def add_sources(self, sources: Sequence[Incoming]) -> list[AddReport]:
        """Add several small sources in one transaction, which is quicker than one by one.

        A source that contradicts what the history holds is refused as a whole, and its report says
        why; the others are added.

        Returns
        -------
        list of AddReport
            One a source, in their order.
        """
        if not sources:
            return []
        connection = self._connection
        with transaction(connection):
            return add_incoming(connection, sources)

    def add_table(self, table: Table, incoming: Incoming | None = None) -> AddReport:
        """Add a file of rows without a Python object a row; otherwise as `add_sources`.

        Parameters
        ----------
        table : Table
        incoming : Incoming, optional
            What is known of the source; its records are not used.

        Raises
        ------
        UnreadableSourceError
            The file is truncated, lacks a column, or holds a value that cannot be read.
        OutOfRangeError
            A score lies outside the scale. The history remembers it: where the scale was only
            assumed, results by the same metric cannot be used until it is stated.
        """
        connection = self._connection
        source = incoming or Incoming(name=str(table.path))
        try:
            with transaction(connection):
                ids = next_source_ids(connection, 1)
                notes = stage_table(connection, table, source_id=ids[0])
                report = add_staged(connection, ids, [source], {table.metric: 0})[0]
        except OutOfRangeError as error:
            if not table.metric.declared:
                with transaction(connection):
                    for benchmark in error.benchmarks:
                        note_range(connection, benchmark, table.metric, error.low, error.high)
            raise
        return replace(report, skipped=(*notes, *report.skipped))

    def known_sources(self, digests: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return those digests under which a source was added, with its id and reader's version.

        Where a source was added several times, the last counts.
        """
        found = self._connection.execute(
            "SELECT digest, max(source_id), arg_max(reader_version, source_id) FROM sources"
            " WHERE digest <> '' AND digest IN (SELECT unnest(?::VARCHAR[])) GROUP BY digest",
            [list(digests)],
        )
        return {row[0]: (int(row[1]), int(row[2])) for row in found.fetchall()}

    def readings_of(self, content: str, *, benchmark: str, metric: str) -> list[int]:
        """Return the ids of sources with this very content, read with other options.

        Parameters
        ----------
        content : str
            Digest of the content alone.
        benchmark, metric : str
            The names that the person gave, or empty text: a reading under another name stands.
        """
        found = self._connection.execute(
            "SELECT source_id, options FROM sources WHERE content = ? AND content <> ''", [content]
        )
        return [
            int(number)
            for number, options in found.fetchall()
            if _named(options) == (benchmark, metric)
        ]

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
                without_score=row[7],
                metrics=tuple(each.metric.label for each in self.metrics(row[0])),
            )
            for row in rows
        ]

    def metrics(self, benchmark: str) -> list[MetricSummary]:
        """Summarise the metrics by which a benchmark has results, in order of name."""
        found = read_metrics(self._connection, self._id(benchmark))
        return [summary for _, attempts, summary in found if attempts]

    def versions(self, benchmark: str) -> list[VersionSummary]:
        """Summarise the versions of a benchmark, the newest first; at least one."""
        benchmark_id = self._id(benchmark)
        contents = read_contents(self._connection, benchmark_id, None)
        counts = dict(
            self._connection.execute(
                "SELECT outcomes.task_id, list(DISTINCT outcomes.agent_id) FROM outcomes"
                " JOIN tasks USING (task_id) WHERE benchmark_id = ? GROUP BY outcomes.task_id",
                [benchmark_id],
            ).fetchall()
        )
        found = []
        labels: list[str | None] = [*labels_of(contents)]
        for label in labels or [None]:
            version = choose_version(contents, label, benchmark=benchmark)
            starts = [
                each.last
                for each in contents
                if each.last is not None and (label is None or each.version == label)
            ]
            found.append(
                VersionSummary(
                    label=version.label,
                    tasks=len(version.names),
                    agents=len({a for task in version.column_of for a in counts.get(task, ())}),
                    last=_utc(max(starts, default=None)),
                )
            )
        return found

    def agents(
        self, benchmark: str, *, metric: str | None = None, version: str | None = None
    ) -> list[AgentSummary]:
        """Summarise every agent with a result on a benchmark, in order of label.

        Parameters as in `outcomes`. An agent without a single score is listed with a mean of NaN.
        """
        matrix = self.outcomes(benchmark, metric=metric, version=version)
        scores = matrix.full_scores()
        tasks = np.sum(matrix.attempts > 0, axis=1)
        place = {label: i for i, label in enumerate(matrix.agents)}
        benchmark_id = self._id(benchmark)
        missing = dict(
            self._connection.execute(
                statement("without_score"), {"benchmark_id": benchmark_id}
            ).fetchall()
        )
        return [
            AgentSummary(
                name=row.label,
                model=row.model,
                scaffold=row.scaffold,
                first=_utc(row.first),
                tasks=int(tasks[place[row.label]]) if row.label in place else 0,
                mean=float(scores[place[row.label]]) if row.label in place else float("nan"),
                without_score=sum(missing.get(number, 0) for number in row.agent_ids),
            )
            for row in read_agents(self._connection, benchmark, benchmark_id, None)
        ]

    def pass_rates(
        self,
        benchmark: str,
        *,
        as_of: datetime | None = None,
        agents: Sequence[str] | None = None,
        metric: str | None = None,
        version: str | None = None,
    ) -> list[PassRate]:
        """Return how often each task is solved, in order of task id.

        A rate is the mean over agents of each agent's own mean, so an agent counts once however
        often it tried. Parameters as in `outcomes`.
        """
        matrix = self.outcomes(
            benchmark, as_of=as_of, agents=agents, metric=metric, version=version
        )
        missing = matrix.without_score.sum(axis=0)
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
                without_score=int(missing[j]),
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
        metric: str | None = None,
        version: str | None = None,
    ) -> OutcomeMatrix:
        """Return the results on a benchmark as a matrix of agents x tasks.

        Only valid attempts have a score; an infrastructure error is missing, never a failure.
        Agents without a valid attempt are left out. Scores are brought from the metric's scale to
        [0, 1], 1 = best.

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
        metric : str, optional
            ``NAME`` or ``NAME.KEY``; needed where the benchmark has results by several metrics.
        version : str, optional
            The version of the benchmark, by its label; by default the newest.

        Raises
        ------
        UnknownBenchmarkError
            The history does not hold the benchmark.
        InputError
            No agent matches, nothing started by `as_of`, the metric or version is not held or must
            be chosen, or values contradict the metric's assumed scale.
        """
        benchmark_id = self._id(benchmark)
        benchmark = self.benchmark_name(benchmark)
        moment = as_utc(as_of)
        metric_id, unnamed_id, chosen = choose_metric(
            self._connection, benchmark, benchmark_id, metric
        )
        rows = read_agents(self._connection, benchmark, benchmark_id, moment)
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
            metric_id=metric_id,
            unnamed_id=unnamed_id,
            metric=chosen,
            version=version,
        )

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
        with transaction(self._connection):
            return declare_metric(
                self._connection,
                benchmark,
                self._id(benchmark),
                metric,
                name=name,
                scale=scale,
                lower_is_better=lower_is_better,
            )

    def benchmark_name(self, name: str) -> str:
        """Return the name that the history uses for a benchmark: of an alias, what it stands for.

        >>> with History.in_memory() as history:
        ...     history.benchmark_name("inspect_evals/gsm8k")
        'gsm8k'
        """
        plain = plain_benchmark(name)
        return read_aliases(self._connection, "benchmark").get(plain, plain)

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
            "SELECT benchmark_id FROM benchmarks WHERE name = ? OR name = ? ORDER BY name = ? DESC",
            [self.benchmark_name(benchmark), benchmark, benchmark],
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


def _choose(
    rows: list[AgentRow], benchmark: str, keep: Sequence[str] | None, exclude: Sequence[str]
) -> list[AgentRow]:
    kept = (
        None if keep is None else {label for one in keep for label in _find(rows, benchmark, one)}
    )
    gone = {label for one in exclude for label in _find(rows, benchmark, one, needed=False)}
    chosen = [row for row in rows if (kept is None or row.label in kept) and row.label not in gone]
    if not chosen:
        msg = (
            f"expected to keep agents of {benchmark}, got none of {len(rows)}:"
            " choose others, or exclude fewer"
        )
        raise InputError(msg)
    return chosen


def _find(rows: list[AgentRow], benchmark: str, pattern: str, *, needed: bool = True) -> list[str]:
    """Return the labels that a label, a glob, or an unambiguous former name means."""
    exact = [row.label for row in rows if row.label == pattern]
    found = exact or [row.label for row in rows if fnmatchcase(row.label, pattern)]
    if found:
        return found
    former = [row.label for row in rows if pattern in row.former]
    if len(former) > 1:
        msg = (
            f"expected one agent of {benchmark}, got {pattern!r}, which was a name of"
            f" {', '.join(former)}: choose one of these"
        )
        raise InputError(msg)
    if not former and needed:
        known = nearest(pattern, [row.label for row in rows])
        msg = f"expected agents of {benchmark} such as {known}, got {pattern!r}: none matches"
        raise InputError(msg)
    return former


def plain_benchmark(name: str) -> str:
    """Return a benchmark's name without the package of evaluations that it was run from.

    >>> plain_benchmark("inspect_evals/gsm8k")
    'gsm8k'
    """
    return name.removeprefix("inspect_evals/")


def _named(options: str) -> tuple[str, str]:
    """Return the benchmark and the metric that the options of a source name."""
    said = json.loads(options) if options else {}
    return str(said.get("benchmark") or ""), str(said.get("metric") or "")


def _column_means(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
