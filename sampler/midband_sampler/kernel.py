"""The kernel: the one loop that live sessions, calibrations and studies step through.

A run is a sequence of steps, one for each completed task:

    choose   a `Policy` names the next task: its strategy chooses by the results so far, or takes
             the next task of a fixed order
    observe  `Bounds` take in the result of the task
    bound    `Bounds` limit the candidate's rank and score on the target
    rule     a stopping `Rule` sees a `Snapshot` of the step, and may end the run

Missing results are read in three ways: left out, told as 0 and told as 1. Each reading has bounds
of its own. The rule sees the outer bounds, and its claims must hold in each reading.

A live session has one candidate and one width of interval. `Session` chooses when a harness asks,
and steps through the completed prefix of the started tasks. A calibration replays many candidates
at many widths at once. A study replays one candidate. If the order is fixed and the bounds support
it, one step of the kernel covers the whole run, and each task is an entry of an array.

Only the kernel enforces minimum numbers of results, limits and stops.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import (
    Bounds,
    Diagnostics,
    Interval,
    least_sure,
    outer_interval,
    whole,
)
from midband_sampler.bounds.evidence import (
    Difference,
    outer_differences,
    score_difference,
    weakest,
)
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.stopping.base import UNKNOWN, Rule, Snapshot
from midband_sampler.strategies.policy import Policy

ALL_RUN = "all planned tasks run"


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """Result of one step of the kernel.

    Arrays have the shape of the bounds. If the step took in a whole order at once, their first axis
    runs over its tasks.

    Parameters
    ----------
    run : int or ndarray of int64
        Completed tasks.
    interval : Interval or None
        None while there are too few results to ask the rule.
    settled : ndarray of bool
        Whether the rule lets the run stop.
    ends : ndarray of bool
        Whether the run ends at exactly this task: the rule is met, or nothing is left to run.
    snapshot : Snapshot or None
        The state that the rule was asked about.
    """

    run: IntArray
    interval: Interval | None
    settled: NDArray[np.bool_]
    ends: NDArray[np.bool_]
    snapshot: Snapshot | None

    def at(self, place: int) -> "Step":
        """Return the entry of one task of a whole order, with its snapshot only if settled."""
        if self.interval is None or self.snapshot is None:
            return self
        return Step(
            run=self.run[place],
            interval=self.interval.at(place),
            settled=self.settled[place],
            ends=self.ends[place],
            snapshot=self.snapshot.at(place) if self.settled[place] else None,
        )


class Kernel:
    """Step candidates through their results, and determine where each run ends.

    Parameters
    ----------
    rule : Rule
    bounds : Bounds
    agents : tuple of str, length n_reference
        Reference agents, in the order of the bounds.
    limit : int
        Number of completed tasks after which a run ends.
    available : ndarray of int64 or None
        Total number of recorded results of each candidate, shape (candidates, 1). A run ends when
        all of them are used. None if the number is not known.
    again : callable or None
        Returns fresh bounds, which read missing results as 0 and as 1. None if a missing result
        means that the task was never run: it is then only left out.
    """

    def __init__(
        self,
        rule: Rule,
        bounds: Bounds,
        *,
        agents: tuple[str, ...],
        limit: int,
        available: IntArray | None = None,
        again: Callable[[], Bounds] | None = None,
    ) -> None:
        self.rule = rule
        self.bounds = bounds
        self.readings: tuple[Bounds, ...] = (bounds,)
        self._again = again
        self._taken: list[tuple[IntArray, tuple[FloatArray, ...]]] = []
        self.agents = agents
        self.limit = limit
        self.run = 0
        self._available = available
        self._ended: NDArray[np.bool_] | None = None
        self._looks_ahead = rule.looks_ahead
        self._least = rule.min_tasks

    @property
    def all_ended(self) -> bool:
        """Whether every run has ended."""
        return self._ended is not None and bool(self._ended.all())

    def step(
        self,
        tasks: IntArray,
        scores: FloatArray,
        *,
        usd: FloatArray,
        seconds: FloatArray,
        tokens: FloatArray = UNKNOWN,
        missing_as: tuple[FloatArray, FloatArray] | None = None,
    ) -> Step:
        """Take in a result of each candidate, update the bounds, and ask the rule.

        Parameters
        ----------
        tasks : ndarray of int64
            Numbers of the tasks as the bounds count them, shape () or (candidates,). Bounds of one
            candidate that support it also take a whole order, shape (n_tasks,).
        scores : ndarray of float64, of the same shape
            In [0, 1]; NaN is no result.
        usd, seconds, tokens : ndarray of float64
            Spent so far; NaN where not known.
        missing_as : tuple of two ndarray of float64, or None
            The scores with missing results told as 0, and told as 1. None if no result is missing.
        """
        self._observe(tasks, scores, missing_as or (scores, scores), new=missing_as is not None)
        now = self.bounds.tasks
        at_once = now.ndim == 1
        run = np.arange(1, len(scores) + 1) if at_once else whole(self.run + 1)
        self.run += len(scores) if at_once else 1
        last = run >= self.limit
        if self._available is not None:
            last = last | (now >= self._available)
        enough = now >= self._least
        if not at_once and self.run < self.limit and not enough.any():
            nothing = np.zeros(now.shape, dtype=bool)
            return Step(run=run, interval=None, settled=nothing, ends=nothing, snapshot=None)
        interval, snapshot = self._look(run, usd=usd, seconds=seconds, tokens=tokens)
        settled = self.rule.stops(snapshot)
        ends = settled | last
        if interval.low.ndim and not at_once:
            ends = np.broadcast_to(ends, interval.low.shape)
        if at_once:
            ends = ends & (np.cumsum(ends) == 1)
        elif self._ended is not None:
            ends = ends & ~self._ended
        self._ended = ends if self._ended is None else self._ended | ends
        return Step(run=run, interval=interval, settled=settled, ends=ends, snapshot=snapshot)

    def _observe(
        self,
        tasks: IntArray,
        scores: FloatArray,
        extremes: tuple[FloatArray, FloatArray],
        *,
        new: bool,
    ) -> None:
        """Add results to each reading; the first missing result starts the extreme readings."""
        if self._again is not None:
            if new and len(self.readings) == 1:
                self.readings = (self.bounds, self._again(), self._again())
                for earlier, each in self._taken:
                    for reading, score in zip(self.readings[1:], each, strict=True):
                        reading.observe(earlier, score)
                self._taken.clear()
            elif len(self.readings) == 1:
                self._taken.append((tasks, extremes))
        for reading, score in zip(self.readings, (scores, *extremes), strict=False):
            reading.observe(tasks, score)

    def interval(self) -> Interval:
        """Bound rank and score by the results so far, whatever the missing results would be."""
        return outer_interval([each.interval() for each in self.readings])

    def stated_differences(self) -> dict[str, dict[str, float]]:
        """Return the score difference between one candidate and each agent with a margin.

        The agents are those of the rule's `paired_with`. The bounds hold whatever the missing
        results would have been.
        """
        agents = self.rule.paired_with
        readings = [
            {agent: self._difference(bounds, agent) for agent in agents} for bounds in self.readings
        ]
        return {agent: each.stated() for agent, each in outer_differences(readings).items()}

    def _difference(self, bounds: Bounds, agent: str) -> Difference:
        """Return the paired bounds if there are any, else the difference by the score bounds."""
        found = bounds.differences.get(agent)
        if found is not None:
            return found
        interval = bounds.interval()
        return score_difference(
            (interval.score, interval.score_low, interval.score_high),
            self.agents.index(agent),
            bounds.reference_scores,
            bounds.reference_margins,
        )

    def diagnose(self) -> Diagnostics:
        """Return the uncorrected diagnostics, each from the reading with the least confidence."""
        return least_sure([each.diagnose() for each in self.readings])

    def _look(self, run: IntArray, **spent: FloatArray) -> tuple[Interval, Snapshot]:
        """Return the outer interval, and the snapshot for the rule."""
        if len(self.readings) == 1:
            interval = self.bounds.interval()
            return interval, self._snapshot(self.bounds, interval, run, spent)
        intervals = [each.interval() for each in self.readings]
        seen = [
            self._snapshot(bounds, interval, run, spent)
            for bounds, interval in zip(self.readings, intervals, strict=True)
        ]
        outer, ahead = outer_interval(intervals), [each.least_half_width for each in seen]
        reaches = [each for each in ahead if each is not None]
        snapshot = replace(
            seen[0],
            rank_low=outer.low,
            rank_high=outer.high,
            score_low=outer.score_low,
            score_high=outer.score_high,
            evidence=weakest([each.evidence for each in seen]),
            differences=outer_differences([each.differences for each in seen]),
            least_half_width=partial(_widest, reaches) if reaches else None,
            readings=tuple(seen),
        )
        return outer, snapshot

    def _snapshot(
        self,
        bounds: Bounds,
        interval: Interval,
        run: IntArray,
        spent: Mapping[str, Any],
    ) -> Snapshot:
        return Snapshot(
            rank_low=interval.low,
            rank_high=interval.high,
            score_low=interval.score_low,
            score_high=interval.score_high,
            tasks=bounds.tasks,
            tasks_run=run,
            tasks_left=self.limit - run,
            **spent,
            reference_scores=bounds.reference_scores,
            reference_margins=bounds.reference_margins,
            reference_agents=self.agents,
            evidence=bounds.evidence,
            differences=bounds.differences,
            least_half_width=partial(bounds.least_half_width, run) if self._looks_ahead else None,
        )


def _widest(reaches: Sequence[Callable[[IntArray], FloatArray]], left: IntArray) -> FloatArray:
    """Return the widest of the readings' least half widths."""
    return np.asarray(np.max([reach(left) for reach in reaches], axis=0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Recorded:
    """Recorded results of candidates, which a replay reads instead of running tasks.

    Parameters
    ----------
    scores : ndarray of float64, shape (candidates, n_tasks) or (candidates, n_tasks, n_attempts)
        Scores in [0, 1]; NaN where there is no result.
    usd, seconds : ndarray of float64, shape (candidates, n_tasks)
        Cost of one attempt; NaN where not known.
    """

    scores: FloatArray
    usd: FloatArray
    seconds: FloatArray


def replay(
    kernel: Kernel,
    policy: Policy,
    recorded: Recorded,
    *,
    order: IntArray,
    posterior: FullScorePosterior | None,
) -> Iterator[tuple[IntArray, Step]]:
    """Replay recorded results until every run has ended; yield each step with its tasks.

    With a posterior, the bounds count tasks by their position among all tasks. Without one, the run
    follows the order, and the bounds count tasks by their place in it.

    Parameters
    ----------
    kernel : Kernel
    policy : Policy
    recorded : Recorded
    order : ndarray of int64
        The policy's order before the run.
    posterior : FullScorePosterior or None
        Posterior of the kernel's bounds, by which the policy chooses.

    Yields
    ------
    tasks : ndarray of int64, shape (candidates,)
    step : Step
    """
    rows = np.arange(recorded.scores.shape[0])
    usd, seconds = np.zeros(rows.size), np.zeros(rows.size)
    shape = np.shape(kernel.bounds.tasks)
    while kernel.run < kernel.limit and not kernel.all_ended:
        if posterior is None:
            tasks = np.full(rows.size, order[kernel.run])
            told = np.full(shape[:1], kernel.run)
            scores = recorded.scores[rows, tasks].reshape(told.shape)
        else:
            tasks = told = policy.choose(posterior, posterior.available, kernel.run, order).tasks
            scores = recorded.scores[rows, tasks]
            if scores.ndim > 1:
                scores = scores[rows, posterior.attempt_numbers(rows, tasks)]
        usd = usd + recorded.usd[rows, tasks]
        seconds = seconds + recorded.seconds[rows, tasks]
        yield (
            tasks,
            kernel.step(told, scores, usd=usd.reshape(shape), seconds=seconds.reshape(shape)),
        )


def replay_order(kernel: Kernel, recorded: Recorded, *, order: IntArray) -> Step:
    """Replay one candidate in a fixed order, with all tasks in one step.

    Parameters
    ----------
    kernel : Kernel
        Its bounds count tasks by their place in the order.
    recorded : Recorded
        Results of one candidate.
    order : ndarray of int64, shape (n_planned,)
    """
    return kernel.step(
        np.arange(order.size),
        recorded.scores[0, order],
        usd=np.cumsum(recorded.usd[0, order]),
        seconds=np.cumsum(recorded.seconds[0, order]),
    )
