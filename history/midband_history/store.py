"""The history: one DuckDB file of attempts, added to as a whole and read as a matrix."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from midband_history.connection import fetch, fetch_dicts, utc
from midband_history.damage import says_why
from midband_history.errors import (
    InputError,
    OutOfRangeError,
    UnknownBenchmarkError,
    nearest,
)
from midband_history.frames import Rows
from midband_history.ingest import (
    add_incoming,
    add_staged,
    next_source_ids,
    note_range,
    refusal,
)
from midband_history.labels import (
    choose_agents,
    choose_version,
    only_former,
    read_agents,
    read_contents,
    read_versions,
)
from midband_history.matrix import OutcomeMatrix, build_matrix, read_records
from midband_history.merging import Sharing
from midband_history.metrics import MetricSummary, choose_metric, read_metrics
from midband_history.notebook import notebook_html
from midband_history.rates import (
    add_up_cells,
    left_out_results,
    means_of_agents,
    rates_of_tasks,
)
from midband_history.record_columns import as_utc
from midband_history.records import Incoming, Record
from midband_history.staging import known_format, stage_table
from midband_history.summaries import (
    AddReport,
    AgentSummary,
    BenchmarkSummary,
    LeftOut,
    PassRate,
    SourceSummary,
    VersionSummary,
)
from midband_history.tables import Table

_NO_SCORE = (0, float("nan"))


@says_why
class History(Sharing):
    """The history of runs: what ran, when, by which agent, with which result and cost.

    Open one with `History.open`, or `History.in_memory` for one that is not kept. Any number of
    processes can read and write one at a time; writers wait for each other, readers for nobody.

    Examples
    --------
    >>> with History.in_memory() as history:
    ...     report = history.add(
    ...         [Record(benchmark="toy", task_id="1", agent="a", score=1.0)], source="by hand"
    ...     )
    ...     (report.added, history.pass_rates("toy")[0].pass_rate)
    (1, 1.0)
    """

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
        with self._writing() as connection:
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
        source = incoming or Incoming(name=str(table.path))
        try:
            with self._writing() as connection:
                ids = next_source_ids(connection, 1)
                notes = stage_table(connection, table, source_id=ids[0])
                report = add_staged(connection, ids, [source], {table.metric: 0})[0]
        except OutOfRangeError as error:
            if not table.metric.declared:
                with self._writing() as connection:
                    for benchmark in error.benchmarks:
                        note_range(connection, benchmark, table.metric, error.low, error.high)
            raise
        return replace(report, skipped=(*notes, *report.skipped))

    def benchmarks(self) -> Rows[BenchmarkSummary]:
        """Summarise every benchmark, in order of name."""
        found = Rows(of=BenchmarkSummary)
        for row in fetch_dicts(self._connection, "benchmarks"):
            first, last = utc(row.pop("first")), utc(row.pop("last"))
            metrics = tuple(each.metric.label for each in self.metrics(row["name"]))
            found.append(BenchmarkSummary(first=first, last=last, metrics=metrics, **row))
        return found

    def __repr__(self) -> str:
        return f"<History {self.name}>"

    def _repr_html_(self) -> str:
        try:
            held = self.benchmarks()
        except Exception as problem:  # a notebook shows what it can: this one may be closed
            return notebook_html(f"History {self.name}: it cannot be read ({problem}).")
        known = ("benchmark", "tasks", "agents", "attempts", "without a score")
        columns = (*known, "first run", "last run", "US dollars")
        rows = [
            (
                each.name,
                each.tasks,
                each.agents,
                each.attempts,
                each.without_score,
                each.first,
                each.last,
                each.cost_usd,
            )
            for each in held
        ]
        attempts = sum(each.attempts for each in held)
        plural = "" if len(held) == 1 else "s"
        caption = f"History {self.name}: {len(held)} benchmark{plural}, {attempts:,} attempts."
        return notebook_html(caption, columns=columns, rows=rows)

    def last_imports(self) -> dict[str, datetime | None]:
        """Return when results on each benchmark were last imported, UTC, in order of name."""
        return {name: utc(moment) for name, moment in fetch(self._connection, "last_imports")}

    def metrics(self, benchmark: str) -> Rows[MetricSummary]:
        """Summarise the metrics by which a benchmark has results, in order of name."""
        found = read_metrics(self._connection, self._id(benchmark))
        return Rows((one for _, attempts, one in found if attempts), of=MetricSummary)

    def versions(self, benchmark: str) -> Rows[VersionSummary]:
        """Summarise the versions of a benchmark, the newest first; at least one."""
        return read_versions(self._connection, benchmark, self._id(benchmark))

    def sources(self, benchmark: str) -> Rows[SourceSummary]:
        """Summarise the sources that a benchmark has attempts from, the largest first."""
        number = self._id(benchmark)
        found = fetch_dicts(self._connection, "sources_of_benchmark", benchmark_id=number)
        return Rows((SourceSummary(**row) for row in found), of=SourceSummary)

    def agents(
        self, benchmark: str, *, metric: str | None = None, version: str | None = None
    ) -> Rows[AgentSummary]:
        """Summarise every agent with a result on a benchmark, in order of label.

        Parameters as in `outcomes`. An agent without a single score is listed with a mean of NaN.
        """
        benchmark = self.benchmark_name(benchmark)
        benchmark_id = self._id(benchmark)
        chosen = self._choose(benchmark, metric=metric, version=version)
        found = means_of_agents(add_up_cells(self._connection, "means_of_agents", **chosen)[1])
        means = {chosen["agents"][line].label: one for line, one in found.items()}
        missing = dict(fetch(self._connection, "without_score", benchmark_id=benchmark_id))
        summaries = (
            AgentSummary(
                name=row.label,
                model=row.model,
                scaffold=row.scaffold,
                first=utc(row.first),
                tasks=means.get(row.label, _NO_SCORE)[0],
                mean=means.get(row.label, _NO_SCORE)[1],
                without_score=sum(missing.get(number, 0) for number in row.agent_ids),
            )
            for row in read_agents(self._connection, benchmark, benchmark_id, None)
        )
        return Rows(summaries, of=AgentSummary)

    def pass_rates(
        self,
        benchmark: str,
        *,
        as_of: datetime | None = None,
        agents: Sequence[str] | None = None,
        metric: str | None = None,
        version: str | None = None,
    ) -> Rows[PassRate]:
        """Return how often each task is solved, in order of task id.

        A rate is the mean over agents of each agent's own mean, so an agent counts once however
        often it tried. Parameters as in `outcomes`.
        """
        chosen = self._choose(benchmark, as_of=as_of, agents=agents, metric=metric, version=version)
        tasks, sums = add_up_cells(self._connection, "rates_of_tasks", **chosen)
        found = rates_of_tasks(sums)
        places = [row.pop("place") for row in found]
        rates = (
            PassRate(task_id=tasks.names[place], task_digest=tasks.digests[place], **row)
            for place, row in zip(places, found, strict=True)
        )
        return Rows(rates, of=PassRate)

    def left_out_results(
        self,
        benchmark: str,
        *,
        as_of: datetime | None = None,
        metric: str | None = None,
        version: str | None = None,
    ) -> tuple[str, ...]:
        """Return the notes of `outcomes`: how many results at other contents no number counts.

        Parameters as in `outcomes`.
        """
        chosen = self._choose(benchmark, as_of=as_of, metric=metric, version=version)
        return left_out_results(self._connection, **chosen)

    def mean_tokens(self, benchmark: str, *, as_of: datetime | None = None) -> float:
        """Return the mean number of tokens of an attempt; NaN where none is recorded.

        Every attempt counts that ran, whatever its metric.
        """
        bound = {"benchmark_id": self._id(benchmark), "as_of": as_utc(as_of)}
        ((mean,),) = fetch(self._connection, "mean_tokens", **bound)
        return float("nan") if mean is None else float(mean)

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
        chosen = self._choose(
            benchmark,
            as_of=as_of,
            agents=agents,
            exclude_agents=exclude_agents,
            metric=metric,
            version=version,
        )
        return build_matrix(self._connection, **chosen)

    def _choose(
        self,
        benchmark: str,
        *,
        as_of: datetime | None = None,
        agents: Sequence[str] | None = None,
        exclude_agents: Sequence[str] = (),
        metric: str | None = None,
        version: str | None = None,
    ) -> dict[str, Any]:
        """Return what `build_matrix` and `add_up_cells` read; parameters as in `outcomes`."""
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
        return {
            "benchmark": benchmark,
            "benchmark_id": benchmark_id,
            "agents": choose_agents(rows, benchmark, agents, exclude_agents),
            "as_of": moment,
            "metric_id": metric_id,
            "unnamed_id": unnamed_id,
            "metric": chosen,
            "version": version,
        }

    def task_ids(self, benchmark: str) -> tuple[str, ...]:
        """Return the tasks of a benchmark's newest version, in order.

        Raises
        ------
        UnknownBenchmarkError
            The history does not hold the benchmark.
        """
        contents = read_contents(self._connection, self._id(benchmark), None)
        return choose_version(contents, benchmark=benchmark).names

    def resolve_agent(self, benchmark: str, name: str) -> str:
        """Return the label of the one agent that a label or a former name means.

        Parameters
        ----------
        name : str
            Its label; or its plain name, its label in histories of midband 0.1 or an alias, if
            that means one agent only.

        Raises
        ------
        InputError
            It means no agent of the benchmark, or several, which are named.
        """
        known = self.benchmark_name(benchmark)
        rows = read_agents(self._connection, known, self._id(benchmark), None)
        if any(row.label == name for row in rows):
            return name
        return only_former(rows, known, name, needed=True)[0]

    def has_agent(self, benchmark: str, name: str) -> bool:
        """Whether a label or a former name means agents of a benchmark, one or several."""
        known = self.benchmark_name(benchmark)
        rows = read_agents(self._connection, known, self._id(benchmark), None)
        return any(name == row.label or name in row.former for row in rows)

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
        bound = {"benchmark_id": self._id(benchmark), "as_of": as_utc(as_of)}
        return LeftOut(**fetch_dicts(self._connection, "left_out", **bound)[0])


def read_matrix(path: Path | str, benchmark: str) -> OutcomeMatrix:
    """Read one benchmark of a Parquet, CSV or JSONL file with the columns of `TABLE_COLUMNS`.

    Raises
    ------
    UnreadableSourceError
        The file cannot be read.
    UnknownBenchmarkError
        It does not hold the benchmark.
    """
    path = Path(path)
    with History.in_memory() as history:
        history.add_table(Table(path=path, format=known_format(path), only=benchmark))
        if not history.benchmarks():
            held = nearest(benchmark, list_benchmarks(path))
            msg = f"expected a benchmark of {path}, got {benchmark!r}: it holds {held}"
            raise UnknownBenchmarkError(msg)
        return history.outcomes(benchmark)


def list_benchmarks(path: Path) -> list[str]:
    """Return the names of the benchmarks in a file of rows, sorted."""
    with History.in_memory() as history:
        history.add_table(Table(path=path, format=known_format(path)))
        return [summary.name for summary in history.benchmarks()]
