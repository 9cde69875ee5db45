"""Posterior rank bounds: the predicted full score, as wide as the calibration requires."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import ndtr, ndtri

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import TIE, Diagnostics, Interval, real, unknown, whole
from midband_sampler.bounds.evidence import NoPairs, PairedEProcess
from midband_sampler.bounds.references import References
from midband_sampler.model.posterior import FullScorePosterior

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


class PosteriorRankBounds(NoPairs):
    """Rank on the full benchmark: the predicted full score with calibrated bounds.

    A task without a result leaves the full scores of the reference agents too; one that did not run
    it keeps its mean. References that did not run every task have scores with an error, which the
    rank bounds carry: see `References`.

    Parameters
    ----------
    posterior : FullScorePosterior
        Of the candidates: one in a session, many in a replay.
    references : ndarray of float64, shape (n_reference,) or (candidates, n_reference)
        Full score of each reference agent; one row a candidate where their targets differ.
    deviations : ndarray of float64, of the same shape, or None
        Standard deviation of each, 0 where it ran every task of the target. None where all did.
        Like those of the candidates they are multiplied by the multiplier.
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
        deviations: FloatArray | None = None,
        recorded: FloatArray | None = None,
        nominal: float = math.nan,
        best_case: BestCaseWidth | None = None,
    ) -> None:
        self.posterior: FullScorePosterior = posterior
        errors = np.zeros_like(references) if deviations is None else deviations
        self._among = Targets.of(references, errors)
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
        return self._among.scores

    @property
    def reference_margins(self) -> FloatArray | None:
        """How far each reference may be from its score, as calibrated; None where all are known."""
        return self._among.margins(self._multipliers, single=self._single)

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
            rows = np.arange(tasks.size)
            inside = self.posterior.available[rows, tasks]
            if not inside.all():
                rows, tasks, scores = rows[inside], tasks[inside], scores[inside]
            self.posterior.observe(rows, tasks, scores)
            self._tasks[rows] += ~np.isnan(scores)
            return
        task, score = tasks.item(), scores.item()
        if not self.posterior.available[0, task]:
            return
        before = self.posterior.total(0)
        self.posterior.observe_one(0, task, score)
        self._tasks[0] += score == score
        after = self.posterior.total(0)
        if self._recorded is not None and 0.0 < after < before:
            column = self._recorded[:, task]
            references = self._among.first.scores
            lost = np.where(np.isnan(column), references, column)
            self._among = Targets.of(
                (references * before - lost) / after, self._among.first.deviations
            )

    def interval(self) -> Interval:
        """Bound the rank as calibrated."""
        if self._found is None:
            self._found = self._interval()
        return self._found

    def _interval(self) -> Interval:
        if not self._single:
            low, high = self.posterior.bounds_each(self._multipliers)
            mean = np.broadcast_to(self.posterior.moments()[0][:, None], low.shape)
            ranks = self._among.ranks(mean, low, high, self._multipliers)
            return Interval(*ranks, mean, low, high)
        if not self.posterior.total(0):
            return unknown(self._among.first.scores.size)[0]
        value = float(self.posterior.moments()[0][0])
        multiplier = float(self._multipliers[0])
        lowest, highest = self.posterior.bounds_one(0, multiplier)
        rank, top, bottom = self._among.first.rank_one(value, lowest, highest, multiplier)
        return Interval(
            whole(rank),
            whole(top),
            whole(bottom),
            real(min(max(value, lowest), highest)),
            real(lowest),
            real(highest),
        )

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
            return unknown(self._among.first.scores.size)[1]
        mean, deviation = (float(part[0]) for part in self.posterior.moments())
        found = self.interval()
        low, high = float(found.score_low), float(found.score_high)
        references, errors = self._among.first.scores, self._among.first.deviations
        spread = np.hypot(deviation, errors) * self._stretch
        better = ndtr((mean - references) / np.maximum(spread, TIE))
        if deviation <= TIE:
            return Diagnostics(naive=1.0, better=better)
        inside = ndtr((high - mean) / deviation) - ndtr((low - mean) / deviation)
        return Diagnostics(naive=float(inside), better=better)


class Targets:
    """The references of each candidate: the same for all of one target."""

    def __init__(self, each: list[References], which: IntArray | None) -> None:
        self.each = each
        self.first = each[0]
        self._which = which

    @classmethod
    def of(cls, scores: FloatArray, deviations: FloatArray) -> "Targets":
        """Tell the targets apart by the references' scores on them."""
        if scores.ndim == 1:
            return cls([References(scores, deviations)], None)
        both = np.concatenate([scores, deviations], axis=1)
        _, rows, which = np.unique(both, axis=0, return_index=True, return_inverse=True)
        each = [References(scores[row], deviations[row]) for row in rows]
        return cls(each, which.reshape(-1).astype(np.int64))

    @property
    def scores(self) -> FloatArray:
        """Shape (n_reference,), or (n_reference, candidates, 1) where targets differ."""
        return self._of_each([one.scores for one in self.each])

    @property
    def deviations(self) -> FloatArray:
        """Of the same shape."""
        return self._of_each([one.deviations for one in self.each])

    def margins(self, multipliers: FloatArray, *, single: bool) -> FloatArray | None:
        """Return the deviations times the multipliers; None where all are 0."""
        errors = self.deviations
        if not errors.any():
            return None
        if single:
            return np.asarray(errors * multipliers[0])
        return np.asarray(errors.reshape(*errors.shape[:2], 1) * multipliers)

    def _of_each(self, values: list[FloatArray]) -> FloatArray:
        if self._which is None:
            return values[0]
        return np.asarray(np.stack(values)[self._which].T[:, :, None])

    def ranks(
        self, mean: FloatArray, low: FloatArray, high: FloatArray, multipliers: FloatArray
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Rank each candidate among the references on its own target; see `References.ranks`."""
        if self._which is None:
            return self.first.ranks(mean, low, high, multipliers)
        found = np.empty((3, *low.shape), dtype=np.int64)
        for place, one in enumerate(self.each):
            rows = self._which == place
            found[:, rows] = one.ranks(mean[rows], low[rows], high[rows], multipliers)
        rank, best, worst = found
        return rank, best, worst
