"""Rank confidence: what the completed tasks say about the candidate's rank, over all looks."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy.special import ndtr, ndtri

from midband_history import FloatArray, IntArray
from midband_sampler._attempts import Attempts
from midband_sampler._bootstrap import SIGN_BLOCK, resampling_signs
from midband_sampler._calibration import Calibration
from midband_sampler._model import PredictionModel

_TIE = 1e-9


@dataclass(frozen=True)
class Diagnostics:
    """What an interval would be taken for if nobody had looked before; no guarantee.

    Parameters
    ----------
    naive : float
        Share of bootstrap resamples, or of the prediction, inside the bounds.
    better : ndarray of float64, shape (n_reference,)
        Chance that the candidate's mean is above the reference's; NaN while nothing is known.
    """

    naive: float
    better: FloatArray


@dataclass(frozen=True, eq=False)
class RankInterval:
    """Rank of the candidate among itself and the reference agents, 1 = best.

    Parameters
    ----------
    rank : int
        1 + number of reference agents with a strictly higher mean on the completed tasks.
    low, high : int
        Bounds of the rank on all planned tasks.
    confidence : float
        Chance that the bounds cover at every look at once.
    tasks : int
        Completed tasks with a usable result.
    score, score_low, score_high : float
        The candidate's mean score on the target with the bounds that the ranks follow from; NaN
        while nothing is known.
    diagnose : callable
        Works out `diagnostics`: a rule that looks after every task needs none.
    """

    rank: int
    low: int
    high: int
    confidence: float
    tasks: int
    score: float
    score_low: float
    score_high: float
    diagnose: Callable[[], Diagnostics]

    def unknown(self, *, n_reference: int) -> "RankInterval":
        """Return the interval of an agent without a single result: every rank is possible."""
        nothing = Diagnostics(naive=1.0, better=np.full(n_reference, np.nan))
        nan = math.nan
        return RankInterval(
            1, 1, n_reference + 1, self.confidence, 0, nan, nan, nan, lambda: nothing
        )

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """The uncorrected view, as things were at this look."""
        return self.diagnose()

    @property
    def naive(self) -> float:
        """What the bounds would claim uncorrected: `Diagnostics.naive`."""
        return self.diagnostics.naive

    @property
    def better(self) -> FloatArray:
        """Chance of being above each reference: `Diagnostics.better`."""
        return self.diagnostics.better


class PairedRanks:
    """Rank on the planned tasks: a confidence sequence, with the paired bootstrap beside it.

    The reference agents' means over the planned tasks are known, so the candidate's rank is a
    function of one unknown number: its own mean over them. That is estimated by the difference
    estimator: with m_j the references' mean on task j and e_j = x_j - m_j, it is mean(m) over all
    planned tasks plus mean(e) over the completed ones. Tasks run in random order, so the centred
    sum of e is a tied-down random walk; scaled by sd(e) sqrt(N) it tends to a Brownian
    bridge, whose maximum over all looks exceeds c with probability below 2 exp(-2 c^2)
    (Kolmogorov). Hence, for every n of N at once,

        |estimate - truth| <= sd(e) sqrt(N) / n * sqrt(ln(2 / alpha) / 2),

    and at n = N the mean is known. That limit is far off where few results differ from the others,
    such as rare passes, and none was seen yet. So the squared sum carries an extra ln(1 / alpha):
    as many rare results as stay unseen with chance alpha (Poisson). A reference that missed
    planned tasks enters with the same estimator over those it ran.

    The bootstrap resamples the excesses e by random signs (`resampling_signs`), kept up to date a
    task at a time, with the finite-population factor sqrt(1 - n / N). As the references' means are
    known, a resample's rank follows from where its estimate falls among them.

    Guard tasks (`add_certain`) are a stratum of their own: run whatever happens, they are no
    sample of the others, but once run they are known. With G of N planned tasks certain, the bound
    above holds for the mean over the other N - G, and the mean over all N follows.

    Parameters
    ----------
    reference : ndarray of float64, shape (n_reference, n_planned)
        Reference scores on the planned tasks, NaN where not run.
    resamples : int
        Number of bootstrap resamples.
    seed : int
    """

    def __init__(self, reference: FloatArray, *, resamples: int, seed: int) -> None:
        known = ~np.isnan(reference)
        by_task = known.sum(axis=0)
        scores = np.where(known, reference, 0.0)
        overall = scores.sum() / max(int(known.sum()), 1)
        self._expected = np.where(by_task > 0, scores.sum(axis=0) / np.maximum(by_task, 1), overall)
        self._known = known
        self._excess = np.where(known, reference - self._expected, 0.0)
        self._reference_sums = self._excess.sum(axis=1)
        self._reference_counts = known.sum(axis=1)
        self._in_target = np.ones(reference.shape[1], dtype=bool)
        self._set_references()
        self._pairs = resamples // 2
        self._seed = seed
        self._block = -1
        self._signs = np.zeros((0, self._pairs), np.float32)
        self._signed = np.zeros(self._pairs)
        self._sign_sums = np.zeros(self._pairs)
        self._sum = 0.0
        self._squares = 0.0
        self._certain = 0
        self._certain_sum = 0.0
        self.tasks = 0

    def _set_references(self) -> None:
        """Each reference's mean excess over the expectation, on the tasks of the target."""
        self._references = self._reference_sums / np.maximum(self._reference_counts, 1)
        self._order = np.argsort(self._references, kind="stable")
        self._ordered: list[float] = self._references[self._order].tolist()
        target = self._expected[self._in_target]
        self._planned = target.size
        self._base = float(target.mean()) if target.size else math.nan
        self._reference_scores = np.asarray(self._references + self._base)

    @property
    def reference_scores(self) -> FloatArray:
        """Estimated mean score of each reference on the target, shape (n_reference,)."""
        return self._reference_scores

    def _above(self, score: float) -> int:
        """Count the references with a mean excess above `score`."""
        return len(self._ordered) - bisect_right(self._ordered, score)

    def _drop(self, position: int) -> None:
        """Take a task without a result out of the target."""
        self._in_target[position] = False
        self._reference_sums = self._reference_sums - self._excess[:, position]
        self._reference_counts = self._reference_counts - self._known[:, position]
        self._set_references()

    def add_certain(self, position: int, score: float) -> None:
        """Take in a task that was sure to run; NaN takes it out of the target instead."""
        if math.isnan(score):
            self._drop(position)
            return
        self._certain += 1
        self._certain_sum += score - float(self._expected[position])

    def add(self, position: int, score: float) -> None:
        """Take in one completed task; NaN takes it out of the target instead."""
        if math.isnan(score):
            self._drop(position)
            return
        excess = score - float(self._expected[position])
        self._sum += excess
        self._squares += excess**2
        block, row = divmod(position, SIGN_BLOCK)
        if block != self._block:
            self._signs = resampling_signs(self._pairs, block=block, seed=self._seed)
            self._block = block
        # New arrays, not updates in place: earlier intervals still look at the old ones.
        self._signed = self._signed + excess * self._signs[row]
        self._sign_sums = self._sign_sums + self._signs[row]
        self.tasks += 1

    def interval(self, confidence: float) -> RankInterval:
        """Bound the rank over all looks; the widest bounds before the second task."""
        n_reference = len(self._ordered)
        n, planned = self.tasks, self._planned
        if n < 2:
            unknown = Diagnostics(naive=1.0, better=np.full(n_reference, np.nan))
            nan = math.nan
            return RankInterval(
                1, 1, n_reference + 1, confidence, n, nan, nan, nan, lambda: unknown
            )
        sampled = planned - self._certain
        share = sampled / planned
        mean = self._sum / n
        unseen = -math.log(1.0 - confidence)
        sd = math.sqrt((max(self._squares - n * mean**2, 0.0) + unseen) / n)
        bound = math.sqrt(math.log(2.0 / (1.0 - confidence)) / 2.0)
        estimate = share * mean + self._certain_sum / planned
        half = _TIE if n >= sampled else share * sd * math.sqrt(sampled) / n * bound
        low = 1 + self._above(estimate + half)
        high = 1 + self._above(estimate + _TIE - (half if n < sampled else 0.0))
        score = self._base + estimate
        score_low = min(max(score - half, 0.0), 1.0)
        score_high = min(max(score + half, 0.0), 1.0)
        diagnose = partial(
            self._diagnose,
            signed=self._signed,
            sign_sums=self._sign_sums,
            mean=mean,
            factor=share / n * math.sqrt(max(1.0 - n / sampled, 0.0)),
            estimate=estimate,
            bounds=(low, high),
            order=self._order,
            ordered=self._ordered,
        )
        return RankInterval(
            rank=1 + self._above(estimate + _TIE),
            low=low,
            high=high,
            confidence=confidence,
            tasks=n,
            score=min(max(score, score_low), score_high),
            score_low=score_low,
            score_high=score_high,
            diagnose=diagnose,
        )

    @staticmethod
    def _diagnose(
        *,
        signed: FloatArray,
        sign_sums: FloatArray,
        mean: float,
        factor: float,
        estimate: float,
        bounds: tuple[int, int],
        order: IntArray,
        ordered: list[float],
    ) -> Diagnostics:
        deviation = (factor * (signed - mean * sign_sums)).astype(np.float32)
        deviation.sort()
        resamples, n_reference = 2 * deviation.size, len(ordered)

        def below(scores: FloatArray) -> IntArray:
            """Count the resamples below each score; they lie in pairs about the estimate."""
            away = scores - estimate
            under = deviation.searchsorted(away)
            return np.asarray(under + deviation.size - deviation.searchsorted(-away, side="right"))

        # At most `high` from the first reference's mean on, at least `low` below the second's.
        low, high = bounds
        edges = (
            ordered[n_reference - high] if high <= n_reference else -math.inf,
            ordered[n_reference + 1 - low] if low >= 2 else math.inf,
        )
        worst, best = below(np.array(edges) - _TIE).tolist()
        reach = float(max(deviation[-1], -deviation[0])) + 2.0 * _TIE
        first = bisect_left(ordered, estimate - reach)
        last = bisect_right(ordered, estimate + reach)
        above = np.zeros(n_reference)
        above[:first] = 1.0
        above[first:last] = 1.0 - below(np.array(ordered[first:last]) + _TIE) / resamples
        better = np.empty(n_reference)
        better[order] = above
        return Diagnostics(naive=(best - worst) / resamples, better=better)

    def least_half_width(self, left: IntArray, confidence: float) -> FloatArray:
        """Least half width of the score bounds after `left` more results.

        Certain: the sum of squares about the mean can only grow, and n is known.
        """
        n = self.tasks + int(left)
        planned = self._planned
        sampled = planned - self._certain
        if n >= sampled:
            return np.array(0.0)
        if n < 1:
            return np.array(np.inf)
        about = self._squares - self._sum**2 / max(self.tasks, 1)
        sd = np.sqrt((max(about, 0.0) - np.log(1.0 - confidence)) / n)
        bound = np.sqrt(np.log(2.0 / (1.0 - confidence)) / 2.0)
        return np.asarray(sampled / planned * sd * np.sqrt(sampled) / n * bound)


class PredictedRanks:
    """Rank on the full benchmark: the predicted full score with calibrated bounds.

    A task without a result leaves the full scores of the reference agents too; one that did not run
    it keeps its mean.

    Parameters
    ----------
    model : PredictionModel
    calibration : Calibration
        Says how many standard deviations wide the bounds must be.
    columns : ndarray of int64, shape (n_planned,)
        Position of each planned task among all tasks.
    reference : ndarray of float64, shape (n_reference, n_all_tasks)
        Reference scores, NaN where not run.
    attempts : Attempts, optional
        Where tasks may be tried several times, one result an attempt.
    """

    def __init__(
        self,
        model: PredictionModel,
        calibration: Calibration,
        columns: IntArray,
        reference: FloatArray,
        attempts: Attempts | None = None,
    ) -> None:
        self.prediction = model.predict(attempts=attempts)
        self._references = model.reference_full_scores
        self._reference = reference
        self._ordered: list[float] = np.sort(self._references).tolist()
        self._calibration = calibration
        nominal = float(ndtri(0.5 + calibration.confidence / 2))
        # Nothing was checked without replays: the chances are then the model's own.
        self._stretch = max(calibration.multiplier / nominal, 1.0) if calibration.replays else 1.0
        self._columns: list[int] = columns.tolist()
        self.tasks = 0

    @property
    def multiplier(self) -> float:
        """Standard deviations on either side, as calibrated."""
        return self._calibration.multiplier

    @property
    def reference_scores(self) -> FloatArray:
        """Full score of each reference over the tasks of the target, shape (n_reference,)."""
        return self._references

    def add(self, position: int, score: float) -> None:
        """Take in one completed task; NaN takes it out of the target."""
        before = self.prediction.total(0)
        self.prediction.observe_one(0, self._columns[position], score)
        self.tasks += not math.isnan(score)
        after = self.prediction.total(0)
        if 0.0 < after < before:
            column = self._reference[:, self._columns[position]]
            lost = np.where(np.isnan(column), self._references, column)
            self._references = (self._references * before - lost) / after
            self._ordered = np.sort(self._references).tolist()

    def _rank(self, score: float) -> int:
        return 1 + len(self._ordered) - bisect_right(self._ordered, score + _TIE)

    def interval(self, confidence: float) -> RankInterval:
        """Bound the rank as calibrated; `confidence` is that of the calibration."""
        del confidence
        if not self.prediction.total(0):
            n_reference, nan = len(self._ordered), math.nan
            unknown = Diagnostics(naive=1.0, better=np.full(n_reference, nan))
            claimed = self._calibration.confidence
            return RankInterval(1, 1, n_reference + 1, claimed, 0, nan, nan, nan, lambda: unknown)
        mean, deviation = (float(part[0]) for part in self.prediction.moments())
        low, high = self.prediction.bounds_one(0, self._calibration.multiplier)
        best, worst = self._rank(high), self._rank(low)
        return RankInterval(
            rank=min(max(self._rank(mean), best), worst),
            low=best,
            high=worst,
            confidence=self._calibration.confidence,
            tasks=self.tasks,
            score=min(max(mean, low), high),
            score_low=low,
            score_high=high,
            diagnose=partial(self._diagnose, self._references, mean, deviation, low, high),
        )

    def _diagnose(
        self, references: FloatArray, mean: float, deviation: float, low: float, high: float
    ) -> Diagnostics:
        better = ndtr((mean - references) / max(deviation * self._stretch, _TIE))
        if deviation <= _TIE:
            return Diagnostics(naive=1.0, better=better)
        inside = ndtr((high - mean) / deviation) - ndtr((low - mean) / deviation)
        return Diagnostics(naive=float(inside), better=better)
