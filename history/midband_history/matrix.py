"""The outcome matrix: agents x tasks, each cell the mean of its attempts."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midband_history.connection import cursor_of, dicts_of, fetch, statement, utc
from midband_history.errors import InputError
from midband_history.frames import Column, Frames
from midband_history.grids import GridReader
from midband_history.labels import AgentRow, read_version
from midband_history.metrics import UNKNOWN_METRIC, Metric, as_metric
from midband_history.rates import read_runs
from midband_history.records import OUTCOME_KINDS, Record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
DateArray = NDArray[np.datetime64]
# Attempts that are sorted, and that are held as rows, at once.
_BATCH = 50_000
_CHUNK = 5_000
_GRIDS = ("scores", "attempts", "cost_usd", "duration_s", "without_score", "attempt_scores")


@dataclass(frozen=True, eq=False, kw_only=True)
class OutcomeMatrix(Frames):
    """Mean scores of agents on the tasks of one benchmark.

    Parameters
    ----------
    benchmark : str
    agents : tuple of str, length n_agents
        Unique labels, in the order of the rows.
    tasks : tuple of str, length n_tasks
        Unique task ids, in the order of the columns.
    scores : ndarray of float64, shape (n_agents, n_tasks)
        Mean score of the valid attempts, in [0, 1]; NaN where never validly run.
    attempts : ndarray of int64, shape (n_agents, n_tasks)
        Number of valid attempts; 0 exactly where `scores` is NaN.
    models, scaffolds : tuple of str, length n_agents
        Empty text where unknown.
    dates : ndarray of datetime64[s], shape (n_agents,)
        Start of the agent's first run in UTC; NaT where unknown.
    cost_usd, duration_s : ndarray of float64, shape (n_agents, n_tasks)
        Mean cost (US dollars) and duration (seconds) of one attempt; NaN where unknown.
    run_cost_usd : ndarray of float64, shape (n_agents,)
        Mean cost of a whole run, where only that was recorded; NaN where unknown.
    task_digests : tuple of str, length n_tasks
        Digest of each task's content; empty text where the source had none.
    attempt_scores : ndarray of float64, shape (n_agents, n_tasks, max_attempts)
        Each valid attempt's score in attempt order, NaN-padded on the right.
    metric : Metric
        What the scores are scores of; they have been brought from its scale to [0, 1].
    version : str
        The version of the benchmark; empty where its runs tell no versions apart.
    without_score : ndarray of int64, shape (n_agents, n_tasks)
        Attempts without a score; they are in no mean.
    notes : tuple of str
        What was left out of the matrix, and why.
    """

    benchmark: str
    agents: tuple[str, ...]
    tasks: tuple[str, ...]
    scores: FloatArray
    attempts: IntArray
    models: tuple[str, ...]
    scaffolds: tuple[str, ...]
    dates: DateArray
    cost_usd: FloatArray
    duration_s: FloatArray
    run_cost_usd: FloatArray
    task_digests: tuple[str, ...]
    attempt_scores: FloatArray
    metric: Metric = UNKNOWN_METRIC
    version: str = ""
    without_score: IntArray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shape = f"{len(self.agents)} agents x {len(self.tasks)} tasks"
        return (
            f"<OutcomeMatrix of {self.benchmark!r}: {shape}, {int(self.attempts.sum())} attempts>"
        )

    def __post_init__(self) -> None:
        shape = (len(self.agents), len(self.tasks))
        if not self.without_score.size:
            object.__setattr__(self, "without_score", np.zeros(shape, dtype=np.int64))
        for name in _GRIDS:
            if getattr(self, name).shape[:2] != shape:
                msg = f"expected {name} of shape {shape}, got {getattr(self, name).shape}"
                raise InputError(msg)
        for name, kind in (("agents", "agent"), ("tasks", "task")):
            labels = getattr(self, name)
            if len(set(labels)) != len(labels):
                twice = next(label for label in labels if labels.count(label) > 1)
                msg = f"expected every {kind} once, got {twice!r} twice: give them unique labels"
                raise InputError(msg)
        low = np.fmin.reduce(self.scores, axis=None, initial=np.inf)
        high = np.fmax.reduce(self.scores, axis=None, initial=-np.inf)
        if low < 0 or high > 1:
            msg = f"expected scores in [0, 1], got {low:g} to {high:g}: rescale them"
            raise InputError(msg)

    @classmethod
    def from_scores(
        cls,
        scores: FloatArray,
        *,
        benchmark: str = "benchmark",
        agents: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        attempt_scores: FloatArray | None = None,
        models: Sequence[str] | None = None,
        scaffolds: Sequence[str] | None = None,
        dates: DateArray | None = None,
        cost_usd: FloatArray | None = None,
        duration_s: FloatArray | None = None,
        run_cost_usd: FloatArray | None = None,
        task_digests: Sequence[str] | None = None,
        metric: Metric = UNKNOWN_METRIC,
    ) -> "OutcomeMatrix":
        """Build a matrix from mean scores alone; what is not given is unknown.

        `attempt_scores`, shape (n_agents, n_tasks, max_attempts), overrides `scores` by its own
        mean over attempts. Without it each known cell counts as one attempt.
        """
        if attempt_scores is None:
            values = np.asarray(scores, dtype=float)
            each = values[:, :, None]
        else:
            each = np.asarray(attempt_scores, dtype=float)
        counts = np.sum(~np.isnan(each), axis=2).astype(np.int64)
        with np.errstate(invalid="ignore"):
            values = np.where(counts > 0, np.nansum(each, axis=2) / counts, np.nan)
        n_agents, n_tasks = values.shape
        unknown = np.full((n_agents, n_tasks), np.nan)
        return cls(
            benchmark=benchmark,
            agents=tuple(agents or (f"agent-{i}" for i in range(n_agents))),
            tasks=tuple(tasks or (f"task-{j}" for j in range(n_tasks))),
            scores=values,
            attempts=counts,
            models=tuple(models or ("",) * n_agents),
            scaffolds=tuple(scaffolds or ("",) * n_agents),
            dates=np.full(n_agents, np.datetime64("NaT", "s"))
            if dates is None
            else dates.astype("datetime64[s]"),
            cost_usd=unknown if cost_usd is None else cost_usd,
            duration_s=unknown if duration_s is None else duration_s,
            run_cost_usd=np.full(n_agents, np.nan) if run_cost_usd is None else run_cost_usd,
            task_digests=tuple(task_digests or ("",) * n_tasks),
            attempt_scores=each,
            metric=metric,
        )

    def select(
        self,
        *,
        agents: Sequence[int] | IntArray | NDArray[np.bool_] | None = None,
        tasks: Sequence[int] | IntArray | NDArray[np.bool_] | None = None,
    ) -> "OutcomeMatrix":
        """Keep some rows and columns, given by position or by mask, in the order given."""
        rows = np.arange(len(self.agents))[slice(None) if agents is None else np.asarray(agents)]
        columns = np.arange(len(self.tasks))[slice(None) if tasks is None else np.asarray(tasks)]
        cells = np.ix_(rows, columns)
        kept: dict[str, Any] = {name: getattr(self, name)[cells] for name in _GRIDS}
        for name in ("agents", "models", "scaffolds"):
            kept[name] = tuple(getattr(self, name)[i] for i in rows)
        for name in ("tasks", "task_digests"):
            kept[name] = tuple(getattr(self, name)[j] for j in columns)
        return replace(self, dates=self.dates[rows], run_cost_usd=self.run_cost_usd[rows], **kept)

    def pass_rates(self) -> FloatArray:
        """Mean over agents of each agent's own mean score, shape (n_tasks,).

        An agent counts once however often it tried; NaN for a task that no agent has run.
        """
        return mean_known(self.scores, axis=0)

    def frame(self) -> dict[str, Column]:
        """Return a row for each agent and each task that it tried, in the order of the matrix."""
        rows, columns = np.nonzero((self.attempts > 0) | (self.without_score > 0))
        of_agent = {"agent": self.agents, "model": self.models, "scaffold": self.scaffolds}
        of_task = {"task_id": self.tasks, "task_digest": self.task_digests}
        texts = [(of_agent, rows), (of_task, columns)]
        found = {
            name: Column("text", np.array(values, dtype=object)[places])
            for group, places in texts
            for name, values in group.items()
        }
        for name in ("score", "cost_usd", "duration_s"):
            grid = self.scores if name == "score" else getattr(self, name)
            found[name] = Column("number", grid[rows, columns])
        for name in ("attempts", "without_score"):
            found[name] = Column("count", getattr(self, name)[rows, columns])
        found["first_run"] = Column("moment", self.dates.astype("datetime64[us]")[rows])
        return found

    def full_scores(self) -> FloatArray:
        """Mean score of each agent over the tasks it has run, shape (n_agents,); NaN if none."""
        return mean_known(self.scores, axis=1)


def mean_known(values: FloatArray, axis: int) -> FloatArray:
    """Mean of the known values along an axis; NaN (and no warning) where none is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def build_matrix(
    connection: "DuckDBPyConnection",
    *,
    benchmark: str,
    benchmark_id: int,
    agents: list[AgentRow],
    as_of: datetime | None,
    metric_id: int,
    unnamed_id: int | None,
    metric: Metric,
    version: str | None,
) -> OutcomeMatrix:
    """Read the attempts of these agents by a date into a matrix.

    Agents without a valid attempt are left out; a task that was only tried in vain stays, as NaN.
    Rows are in order of labels, columns in order of task ids, whatever the order of import.
    """
    chosen = read_version(connection, benchmark_id, as_of, version, benchmark=benchmark)
    runs = read_runs(
        connection, benchmark_id=benchmark_id, agents=agents, as_of=as_of, version=chosen.label
    )
    reader = GridReader(
        connection=connection,
        runs=runs,
        agents=agents,
        chosen=chosen,
        metric=metric,
        bound={
            "benchmark_id": benchmark_id,
            "metric_id": metric_id,
            "unnamed_id": unnamed_id,
            "as_of": as_of,
            "version": chosen.label,
        },
    )
    every = reader.read()
    ran, used = every.tried()
    grids = every.select(ran, used)
    agents = [agent for agent, kept in zip(agents, ran, strict=True) if kept]
    places = np.flatnonzero(used).tolist()
    return OutcomeMatrix(
        benchmark=benchmark,
        agents=tuple(agent.label for agent in agents),
        tasks=tuple(chosen.names[place] for place in places),
        scores=grids.scores,
        attempts=grids.attempts,
        models=tuple(agent.model for agent in agents),
        scaffolds=tuple(agent.scaffold for agent in agents),
        dates=np.array(
            [np.datetime64("NaT", "s") if a.first is None else a.first for a in agents],
            dtype="datetime64[s]",
        ),
        cost_usd=grids.cost_usd,
        duration_s=grids.duration_s,
        run_cost_usd=np.array([agent.run_cost_usd for agent in agents], dtype=float),
        task_digests=tuple(chosen.digests[place] for place in places),
        attempt_scores=grids.attempt_scores,
        metric=metric,
        version=chosen.label,
        without_score=grids.without_score,
        notes=reader.notes(),
    )


def read_records(
    connection: "DuckDBPyConnection", benchmark_id: int | None, *, batch: int = _BATCH
) -> Iterator[Record]:
    """Yield the attempts of one benchmark, or of all, those of a run together.

    Parameters
    ----------
    batch : int
        Attempts sorted at once; a longer run is sorted on its own.
    """
    cursor = cursor_of(connection)
    cursor.execute("FROM metrics")
    metrics = {row["metric_id"]: as_metric(row) for row in dicts_of(cursor, cursor.fetchall())}
    try:
        for first, last in _batches(cursor, benchmark_id, batch):
            bound = {"first": first, "last": last, "benchmark_id": benchmark_id}
            cursor.execute(statement("records"), bound)
            while rows := cursor.fetchmany(_CHUNK):
                for row in dicts_of(cursor, rows):
                    yield _record(row, metrics)
    finally:
        cursor.close()


def _batches(
    cursor: "DuckDBPyConnection", benchmark_id: int | None, batch: int
) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    held = batch
    for run_id, attempts in fetch(cursor, "run_sizes", benchmark_id=benchmark_id):
        if held + attempts > batch:
            spans.append((run_id, run_id))
            held = attempts
        else:
            spans[-1] = (spans[-1][0], run_id)
            held += attempts
    return spans


def _record(row: dict[str, Any], metrics: dict[int, Metric]) -> Record:
    for name in ("started", "scored_at"):
        row[name] = utc(row[name])
    row["kind"] = OUTCOME_KINDS[row["kind"]]
    settings = row.pop("settings")
    metric = metrics[row.pop("metric_id")]
    if row["score"] is not None and not metric.known and not metric.holds(row["score"]):
        metric = replace(metric, name="unnamed")  # its scale has yet to be stated
    return Record(**row, metric=metric, settings=json.loads(settings or "{}"))
