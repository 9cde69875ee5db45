"""Posterior rank bounds: the predicted full score, as wide as the calibration requires."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import ndtr, ndtri

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import TIE, Diagnostics, Interval, real, unknown, whole
from midband_sampler.bounds.evidence import PairedEProcess
from midband_sampler.model.posterior import FullScorePosterior, rank_bounds

_PLAUSIBLE = 1e-6


class BestCaseWidth:
    """Least half width of predicted score bounds after more tasks, under the model.

    Whatever the results will be, those of the tasks that never run stay open. At an ability t
    they add up to the mean sum p_j(t) with variance sum phi_j p_j(t) (1 - p_j(t)), phi_j being
    1 for passes and fails and what can be least for averaged or graded scores; the bounds lie
    multiplier standard deviations to either side, but not beyond no pass and all passed. The
    half width is the least of these over the abilities that are now plausible (posterior weight
    above 1e-6); what will not be known of the ability itself is left out.

    Parameters
    ----------
    prediction : FullScorePosterior
        Of the candidates, who may have run some tasks already.
    order : ndarray of int64 or None
        Tasks in the order in which they run; None where they are chosen live, in which case the
        tasks that never run are taken to be the surest.
    """

    def __init__(self, prediction: FullScorePosterior, order: IntArray | None) -> None:
        self._prediction = prediction
        rate = prediction.profiles
        variance = prediction.least_dispersion[:, None] * rate * (1.0 - rate)
        if order is None:
            self._least_passes = _sums_from_end(-np.sort(-rate, axis=0))
            self._least_fails = _sums_from_end(-np.sort(rate - 1.0, axis=0))
            self._variance = _sums_from_end(-np.sort(-variance, axis=0))
        else:
            rest = np.setdiff1d(np.arange(rate.shape[0]), order)
            last = np.concatenate([order, rest])
            self._least_passes = _sums_from_end(rate[last])
            self._least_fails = _sums_from_end(1.0 - rate[last])
            self._variance = _sums_from_end(variance[last])

    def half_width(self, run: IntArray, multipliers: FloatArray) -> FloatArray:
        """Least half width once so many tasks have run.

        Parameters
        ----------
        run : ndarray of int64, shape (candidates,)
        multipliers : ndarray of float64, shape (n,)

        Returns
        -------
        half_width : ndarray of float64, shape (candidates, n)
        """
        reach = multipliers[:, None] * np.sqrt(self._variance[run])[:, None, :]
        below = np.minimum(reach, self._least_passes[run][:, None, :])
        above = np.minimum(reach, self._least_fails[run][:, None, :])
        plausible = self._prediction.ability()[:, None, :] >= _PLAUSIBLE
        half = np.where(plausible, (below + above) / 2.0, np.inf).min(axis=2)
        if self._prediction.binary:
            half = np.maximum(half - 1.0, 0.0)  # the bounds move inwards to what can be reached
        return np.asarray(half / self._prediction.tasks_in_target[:, None])


def _sums_from_end(values: FloatArray) -> FloatArray:
    """Sum over the tasks from each place on, shape (n_tasks + 1, n_nodes); the last is 0."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1]))
    sums[:-1] = np.cumsum(values[::-1], axis=0)[::-1]
    return sums


class PosteriorRankBounds:
    """Rank on the full benchmark: the predicted full score with calibrated bounds.

    A task without a result leaves the full scores of the reference agents too; one that did not run
    it keeps its mean.

    Parameters
    ----------
    posterior : FullScorePosterior
        Of the candidates: one in a session, many in a replay.
    references : ndarray of float64, shape (n_reference,)
        Full score of each reference agent.
    multipliers : ndarray of float64, shape (n_multipliers,)
        How many standard deviations wide the bounds are, on either side.
    recorded : ndarray of float64, shape (n_reference, n_tasks), or None
        Reference scores, NaN where not run; None where a task without a result stays in the
        references' full scores.
    nominal : float
        Confidence that the bounds were calibrated to; see `diagnose`. NaN where nothing was
        checked.
    best_case : BestCaseWidth or None
        How narrow the bounds can become, for a rule that looks ahead.
    """

    def __init__(
        self,
        posterior: FullScorePosterior,
        references: FloatArray,
        *,
        multipliers: FloatArray,
        recorded: FloatArray | None = None,
        nominal: float = math.nan,
        best_case: BestCaseWidth | None = None,
    ) -> None:
        self.posterior: FullScorePosterior = posterior
        self._references = references
        self._ordered: list[float] = np.sort(references).tolist()
        self._recorded = recorded
        self._multipliers = multipliers
        # Nothing was checked without a calibration: the chances are then the model's own.
        checked = not math.isnan(nominal)
        usual = float(ndtri(0.5 + nominal / 2)) if checked else 1.0
        self._stretch = max(float(multipliers[0]) / usual, 1.0) if checked else 1.0
        self._best_case = best_case
        self._single = posterior.unseen.shape[0] == 1 and multipliers.size == 1
        self._found: Interval | None = None
        self._tasks = np.zeros(posterior.unseen.shape[0], dtype=np.int64)

    @property
    def tasks(self) -> IntArray:
        """Results so far, shape () or (candidates, 1)."""
        return self._tasks[0] if self._single else self._tasks[:, None]

    @property
    def reference_scores(self) -> FloatArray:
        """Full score of each reference over the tasks of the target."""
        return self._references

    @property
    def evidence(self) -> Mapping[str, PairedEProcess]:
        """Nothing: results chosen by the model are no fair bets."""
        return MappingProxyType({})

    def observe(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in one result of each candidate, by its position among all tasks.

        Parameters
        ----------
        tasks : ndarray of int64, shape () or (candidates,)
        scores : ndarray of float64
            NaN takes the task out of the target.
        """
        self._found = None
        if not self._single:
            self.posterior.observe(np.arange(tasks.size), tasks, scores)
            self._tasks += ~np.isnan(scores)
            return
        task, score = tasks.item(), scores.item()
        before = self.posterior.total(0)
        self.posterior.observe_one(0, task, score)
        self._tasks[0] += score == score
        after = self.posterior.total(0)
        if self._recorded is not None and 0.0 < after < before:
            column = self._recorded[:, task]
            lost = np.where(np.isnan(column), self._references, column)
            self._references = (self._references * before - lost) / after
            self._ordered = np.sort(self._references).tolist()

    def interval(self) -> Interval:
        """Bound the rank as calibrated."""
        if self._found is None:
            self._found = self._interval()
        return self._found

    def _interval(self) -> Interval:
        if not self._single:
            low, high = self.posterior.bounds_each(self._multipliers)
            best, worst = rank_bounds(low, high, self._references)
            mean = np.broadcast_to(self.posterior.moments()[0][:, None], low.shape)
            rank, _ = rank_bounds(mean, mean, self._references)
            return Interval(rank, best, worst, mean, low, high)
        if not self.posterior.total(0):
            return unknown(len(self._ordered))[0]
        value = float(self.posterior.moments()[0][0])
        lowest, highest = self.posterior.bounds_one(0, float(self._multipliers[0]))
        top, bottom = self._rank(highest), self._rank(lowest)
        return Interval(
            whole(min(max(self._rank(value), top), bottom)),
            whole(top),
            whole(bottom),
            real(min(max(value, lowest), highest)),
            real(lowest),
            real(highest),
        )

    def _rank(self, score: float) -> int:
        return 1 + len(self._ordered) - bisect_right(self._ordered, score + TIE)

    def least_half_width(self, run: IntArray, left: IntArray) -> FloatArray:
        """Return the least half width of the score bounds after `left` more tasks."""
        if self._best_case is None:
            return np.full(np.shape(left), np.nan)
        rows = np.broadcast_to(run + left, self.tasks.shape).reshape(-1)
        half = self._best_case.half_width(rows, self._multipliers)
        return half[0, 0] if self._single else half

    def diagnose(self) -> Diagnostics:
        """Return the chances of the posterior, as much wider as the bounds had to be made."""
        if not self.posterior.total(0):
            return unknown(len(self._ordered))[1]
        mean, deviation = (float(part[0]) for part in self.posterior.moments())
        found = self.interval()
        low, high = float(found.score_low), float(found.score_high)
        better = ndtr((mean - self._references) / max(deviation * self._stretch, TIE))
        if deviation <= TIE:
            return Diagnostics(naive=1.0, better=better)
        inside = ndtr((high - mean) / deviation) - ndtr((low - mean) / deviation)
        return Diagnostics(naive=float(inside), better=better)
