"""The one thing that history hands on: agents x tasks, with what is needed to judge them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from midband_history._errors import InputError
from midband_history._metric import Metric
from midband_history._records import UNKNOWN_METRIC

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
DateArray = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False, kw_only=True)
class OutcomeMatrix:
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

    def __post_init__(self) -> None:
        shape = (len(self.agents), len(self.tasks))
        if not self.without_score.size:
            object.__setattr__(self, "without_score", np.zeros(shape, dtype=np.int64))
        for name in ("scores", "attempts", "cost_usd", "duration_s", "without_score"):
            if getattr(self, name).shape != shape:
                msg = f"expected {name} of shape {shape}, got {getattr(self, name).shape}"
                raise InputError(msg)
        for name, kind in (("agents", "agent"), ("tasks", "task")):
            labels = getattr(self, name)
            if len(set(labels)) != len(labels):
                twice = next(label for label in labels if labels.count(label) > 1)
                msg = f"expected every {kind} once, got {twice!r} twice: give them unique labels"
                raise InputError(msg)
        known = self.scores[~np.isnan(self.scores)]
        if known.size and (known.min() < 0 or known.max() > 1):
            msg = f"expected scores in [0, 1], got {known.min():g} to {known.max():g}: rescale them"
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
        return OutcomeMatrix(
            benchmark=self.benchmark,
            agents=tuple(self.agents[i] for i in rows),
            tasks=tuple(self.tasks[j] for j in columns),
            scores=self.scores[cells],
            attempts=self.attempts[cells],
            models=tuple(self.models[i] for i in rows),
            scaffolds=tuple(self.scaffolds[i] for i in rows),
            dates=self.dates[rows],
            cost_usd=self.cost_usd[cells],
            duration_s=self.duration_s[cells],
            run_cost_usd=self.run_cost_usd[rows],
            task_digests=tuple(self.task_digests[j] for j in columns),
            attempt_scores=self.attempt_scores[cells],
            metric=self.metric,
            version=self.version,
            without_score=self.without_score[cells],
            notes=self.notes,
        )

    def pass_rates(self) -> FloatArray:
        """Mean over agents of each agent's own mean score, shape (n_tasks,).

        An agent counts once however often it tried; NaN for a task that no agent has run.
        """
        return _mean_known(self.scores, axis=0)

    def full_scores(self) -> FloatArray:
        """Mean score of each agent over the tasks it has run, shape (n_agents,); NaN if none."""
        return _mean_known(self.scores, axis=1)


def _mean_known(values: FloatArray, axis: int) -> FloatArray:
    """Mean of the known values along an axis; NaN (and no warning) where none is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))
