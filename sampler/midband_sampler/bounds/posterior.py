"""Posterior rank bounds: the predicted full score, as wide as the calibration requires."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import ndtr, ndtri

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import TIE, Diagnostics, Interval, real, unknown, whole
from midband_sampler.bounds.best_case import BestCaseWidth
from midband_sampler.bounds.e_process import PairedEProcess
from midband_sampler.model.posterior import FullScorePosterior, rank_bounds


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
