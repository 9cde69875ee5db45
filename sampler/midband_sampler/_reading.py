"""The readings: results that are missing are left out, or taken for 0, or taken for 1."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from midband_history import FloatArray, IntArray
from midband_sampler._confidence import Diagnostics, PairedRanks, PredictedRanks, RankInterval
from midband_sampler._drift import DriftAlarm
from midband_sampler._evidence import Evidence
from midband_sampler._look import Look
from midband_sampler._plan import Plan
from midband_sampler._reach import Reach
from midband_sampler._spending import Spending

LEFT_OUT = math.nan
_EXTREMES = (0.0, 1.0)
_TIE = 1e-9


class Reading:
    """One way to read a session's results.

    Parameters
    ----------
    plan : Plan
    columns : ndarray of int64, shape (n_planned,)
        Position of each planned task among all tasks.
    resamples : int
        Bootstrap resamples.
    rivals : tuple of str
        Reference agents that are bet on; see `Evidence`.
    gives_up : bool
        Whether the rule asks what can still come.
    instead : float
        Score that stands for a missing result: 0, 1, or NaN, which leaves it out.
    """

    def __init__(
        self,
        plan: Plan,
        columns: IntArray,
        *,
        resamples: int,
        rivals: Sequence[str] = (),
        gives_up: bool = False,
        instead: float = LEFT_OUT,
    ) -> None:
        self._plan = plan
        self._reference = plan.reference_scores[:, columns]
        self._row = {agent: plan.reference_agents.index(agent) for agent in rivals}
        self._instead = instead
        self._taken = 0
        self.reference_agents = plan.reference_agents
        self.predicted: PredictedRanks | None = None
        self.ranks: PairedRanks | PredictedRanks
        if plan.model is not None and plan.calibration is not None:
            self.predicted = PredictedRanks(
                plan.model, plan.calibration, columns, plan.reference_scores, plan.attempts
            )
            self.ranks = self.predicted
        else:
            self.ranks = PairedRanks(self._reference, resamples=resamples, seed=plan.seed)
        self.evidence = {agent: Evidence.nothing() for agent in rivals}
        self.least_half_width = self._reach(columns) if gives_up else None

    def _reach(self, columns: IntArray) -> Callable[[IntArray], FloatArray]:
        """How narrow the score bounds can become; see `Hopeless`."""
        ranks = self.ranks
        if isinstance(ranks, PairedRanks):
            return partial(ranks.least_half_width, confidence=self._plan.stop.confidence)
        reach = Reach(ranks.prediction, None if self._plan.chooses_live else columns)
        width = np.array([ranks.multiplier])
        return lambda left: reach.half_width(self._taken + left.reshape(1), width)[0, 0]

    def take(self, place: int, scores: Sequence[float]) -> float:
        """Take in a completed task and return the score that it counts with.

        Parameters
        ----------
        place : int
            Of the task in the plan.
        scores : sequence of float
            One an attempt, in any order; NaN where the result is missing.
        """
        read = [self._instead if math.isnan(score) else score for score in scores]
        known = sorted(score for score in read if not math.isnan(score))
        score = math.fsum(known) / len(known) if known else math.nan
        self._taken += 1
        if self._plan.tasks[place] in self._plan.always and isinstance(self.ranks, PairedRanks):
            self.ranks.add_certain(place, score)  # known, but no sample of the other tasks
            return score
        self.ranks.add(place, score)
        for agent, evidence in self.evidence.items():
            difference = np.asarray(score - self._reference[self._row[agent], place])
            self.evidence[agent] = evidence.after(difference)
        return score

    def watch(self) -> DriftAlarm:
        """Return what watches for an agent of another kind."""
        plan, predicted = self._plan, self.predicted
        if predicted is not None and plan.model is not None and plan.calibration is not None:
            return DriftAlarm.by_model(
                predicted.prediction.profiles, plan.model.prior_centre, plan.calibration.surprise
            )
        return DriftAlarm.by_references(self._reference[:, len(plan.always) :])

    def interval(self) -> RankInterval:
        """Bound the rank over all looks."""
        return self.ranks.interval(self._plan.stop.confidence)

    def look(
        self, interval: RankInterval, *, tasks_run: int, tasks_left: int, spending: Spending
    ) -> Look:
        """Return what a rule sees of this reading."""
        return Look(
            rank_low=np.array(interval.low),
            rank_high=np.array(interval.high),
            score_low=np.array(interval.score_low),
            score_high=np.array(interval.score_high),
            tasks=np.array(interval.tasks),
            tasks_run=np.array(tasks_run),
            tasks_left=np.array(tasks_left),
            usd=np.array(spending.usd),
            seconds=np.array(spending.seconds),
            reference_scores=self.ranks.reference_scores,
            reference_agents=self._plan.reference_agents,
            evidence=self.evidence,
            least_half_width=self.least_half_width,
        )


class Readings:
    """All readings of a session's results: one while none is missing, three from then on.

    Bounds are the outer ones of the three, and a rule has to be met in each, so that no value of a
    missing result between 0 for all and 1 for all could overturn a claim.

    Parameters
    ----------
    build : callable
        Returns a reading in which nothing was taken in; takes `instead` as `Reading` does.
    bounded : bool
        False: missing results are left out and nothing else.
    """

    def __init__(self, build: Callable[..., Reading], *, bounded: bool) -> None:
        self._build = build
        self._bounded = bounded
        self._taken: list[tuple[int, tuple[float, ...]]] = []
        self._extremes: tuple[Reading, ...] = ()
        self._intervals: tuple[RankInterval, ...] | None = None
        self.plain = build(instead=LEFT_OUT)

    def take(self, place: int, scores: Sequence[float]) -> float:
        """Take in a completed task, as `Reading.take`; return its score without missing results."""
        missing = any(math.isnan(score) for score in scores)
        if missing and self._bounded and not self._extremes:
            self._extremes = tuple(self._build(instead=instead) for instead in _EXTREMES)
            for reading in self._extremes:
                for earlier in self._taken:
                    reading.take(*earlier)
        self._intervals = None
        self._taken.append((place, tuple(scores)))
        for reading in self._extremes:
            reading.take(place, scores)
        return self.plain.take(place, scores)

    def interval(self) -> RankInterval:
        """Return the outer bounds of all readings."""
        return _outer(self._each())

    def _each(self) -> tuple[RankInterval, ...]:
        if self._intervals is None:
            self._intervals = tuple(each.interval() for each in (self.plain, *self._extremes))
        return self._intervals

    def tied(self, interval: RankInterval) -> tuple[str, ...]:
        """Return the reference agents whose score lies within the bounds; all if these are NaN."""
        scores = self.plain.ranks.reference_scores
        outside = scores < interval.score_low - _TIE
        outside |= scores > interval.score_high + _TIE
        agents = self.plain.reference_agents
        return tuple(agents[row] for row in np.flatnonzero(~outside))

    def look(self, *, tasks_run: int, tasks_left: int, spending: Spending) -> Look:
        """Return what a rule sees: the outer bounds, with each reading beside them."""
        intervals = self._each()
        each = tuple(
            reading.look(interval, tasks_run=tasks_run, tasks_left=tasks_left, spending=spending)
            for reading, interval in zip((self.plain, *self._extremes), intervals, strict=True)
        )
        if len(each) == 1:
            return each[0]
        outer = _outer(intervals)
        return replace(
            each[0],
            rank_low=np.array(outer.low),
            rank_high=np.array(outer.high),
            score_low=np.array(outer.score_low),
            score_high=np.array(outer.score_high),
            evidence=_weakest([look.evidence for look in each]),
            least_half_width=_widest([look.least_half_width for look in each]),
            readings=each,
        )


def _outer(intervals: Sequence[RankInterval]) -> RankInterval:
    plain = intervals[0]
    if len(intervals) == 1 or math.isnan(plain.score):
        return plain
    return replace(
        plain,
        low=min(each.low for each in intervals),
        high=max(each.high for each in intervals),
        score_low=min(each.score_low for each in intervals),
        score_high=max(each.score_high for each in intervals),
        diagnose=partial(_least_sure, tuple(intervals)),
    )


def _least_sure(intervals: Sequence[RankInterval]) -> Diagnostics:
    """Of each chance the one nearest to a half, or a half where the readings disagree."""
    better = np.stack([each.better for each in intervals])
    return Diagnostics(
        naive=min(each.naive for each in intervals),
        better=np.clip(0.5, better.min(axis=0), better.max(axis=0)),
    )


def _weakest(readings: Sequence[Mapping[str, Evidence]]) -> dict[str, Evidence]:
    """Evidence for either side as it is in the reading that has least of it."""
    return {
        agent: Evidence(
            min((each[agent] for each in readings), key=lambda one: float(one.log_better)).better,
            min((each[agent] for each in readings), key=lambda one: float(one.log_worse)).worse,
        )
        for agent in readings[0]
    }


def _widest(
    reaches: Sequence[Callable[[IntArray], FloatArray] | None],
) -> Callable[[IntArray], FloatArray] | None:
    """Return the least half width in the reading where it stays widest."""
    known = [reach for reach in reaches if reach is not None]
    if not known:
        return None
    return lambda left: np.asarray(np.max([reach(left) for reach in known], axis=0))
