"""Resamples: where the candidate may be, by the tasks that ran with other weights."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import TIE
from midband_sampler.bounds.posterior import Targets
from midband_sampler.model.posterior import FullScorePosterior

Float32Array = NDArray[np.float32]
RESAMPLES = 256
_BLOCK = 64
_STREAM = 0x626F6F74  # apart from every other use of the plan's seed
_THIN = 2  # every second node of the ability will do: between nodes the peak is interpolated
_PRIOR_RESULTS = 2  # results of the history that stand beside the candidate's own


@lru_cache(maxsize=4)
def resampling_weights(n_tasks: int, seed: int) -> Float32Array:
    """Weights of the tasks in each resample, shape (n_tasks, `RESAMPLES`), mean 1.

    Exponential variables: divided by their sum over the tasks that ran they are the Bayesian
    bootstrap's (Rubin 1981). A task's weights depend on the seed and its position alone, so that
    resamples stay as they are while results come in. The candidate and every known agent share
    them.
    """
    blocks = [
        np.random.Generator(np.random.SFC64((seed, _STREAM, block))).standard_exponential(
            (_BLOCK, RESAMPLES), dtype=np.float32
        )
        for block in range(-(-n_tasks // _BLOCK))
    ]
    weights = np.concatenate(blocks)[:n_tasks]
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=4)
def prior_draws(seed: int) -> FloatArray:
    """Of each resample: two normal variables and an exponential one, shape (3, `RESAMPLES`).

    They are independent, and each is spread evenly over its distribution.
    """
    generator = np.random.Generator(np.random.SFC64((seed, _STREAM + 1)))
    even = (np.arange(RESAMPLES) + 0.5) / RESAMPLES
    spread = (ndtri(even), ndtri(even), -np.log1p(-even))
    drawn = np.stack([generator.permutation(each) for each in spread])
    drawn.flags.writeable = False
    return drawn


class PredictedResamples:
    """Full scores predicted from every resample of the results.

    Each resample weighs the log likelihood of the results by its tasks' weights (weighted
    likelihood bootstrap; Newton and Raftery 1994). The prior counts as one more result: it has a
    weight of the same kind and is moved to a draw from it, so that few results leave the prior's
    spread, also where all of them are alike, and many leave the bootstrap's (compare the posterior
    bootstrap of Lyddon, Walker and Holmes 2018, which resamples results from the prior). The
    ability is the peak of that, the full score the results plus a draw of those to come: their sum
    at that ability is taken to be normal.

    Several attempts at a task share the task's weight.

    Parameters
    ----------
    posterior : FullScorePosterior
        Of the candidates: one in a session, many in a replay. Its prior is taken to be normal.
    references, deviations : ndarray of float64
        Full score of each reference agent, and its standard deviation where it did not run every
        task: as in `PosteriorRankBounds`.
    recorded : ndarray of float64, shape (n_reference, n_tasks), or None
        Reference scores, NaN where not run; None where a task without a result stays in the
        references' full scores.
    seed : int
    clusters : ndarray of int64, shape (n_tasks,), or None
        Tasks of one cluster share their weights; by default each task is one of its own.
    """

    def __init__(
        self,
        posterior: FullScorePosterior,
        references: FloatArray,
        *,
        deviations: FloatArray | None = None,
        recorded: FloatArray | None = None,
        seed: int = 0,
        clusters: IntArray | None = None,
    ) -> None:
        self.posterior: FullScorePosterior | None = posterior
        self._prediction = posterior
        errors = np.zeros_like(references) if deviations is None else deviations
        self.among = Targets.of(references, errors)
        self._recorded = recorded
        n_candidates, n_tasks = posterior.unseen.shape
        self._clusters = np.arange(n_tasks) if clusters is None else clusters
        self._weights = resampling_weights(int(self._clusters.max()) + 1, seed)
        self._tasks = np.zeros(n_candidates, dtype=np.int64)
        moved, self._luck, weight = prior_draws(seed)
        node = np.arange(posterior.ability().shape[1], dtype=np.float64)
        weights = posterior.ability()
        centre = weights @ node
        width = np.sqrt(np.maximum(weights @ node**2 - centre**2, TIE))
        kept = node[::_THIN]
        away = kept - (centre[:, None] + width[:, None] * moved)[:, :, None]
        away /= width[:, None, None]
        self._log: Float32Array = (-0.5 * weight[:, None] * away**2).astype(np.float32)
        self._prior = self._log[0].copy()

    @property
    def tasks(self) -> IntArray:
        """Results of each candidate so far, shape (candidates,)."""
        return self._tasks

    @property
    def binary(self) -> bool:
        """Whether every score is 0 or 1."""
        return self._prediction.binary

    @property
    def references(self) -> FloatArray:
        """Full score of each reference over the tasks of the target; see `Targets.scores`."""
        return self.among.scores

    def observe(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in one result of each candidate, by its position among all tasks."""
        prediction, rows = self._prediction, np.arange(tasks.size)
        inside = prediction.available[rows, tasks]
        if not inside.all():  # outside of the target of some candidates
            scores = np.where(inside, scores, np.nan)
        before = prediction.log_ability[:, ::_THIN].copy()
        levels, total = prediction.levels.copy(), prediction.total(0)
        prediction.observe(rows[inside], tasks[inside], scores[inside])
        told = prediction.log_ability[:, ::_THIN] - before
        told -= told.max(axis=1, keepdims=True)
        weights = self._weights[self._clusters[tasks]]
        self._log += weights[:, :, None] * told[:, None, :].astype(np.float32)
        for row in np.flatnonzero(prediction.levels != levels):
            self._read_anew(int(row))
        self._tasks += ~np.isnan(scores)
        after = prediction.total(0)
        if self._recorded is not None and 0.0 < after < total:
            column, first = self._recorded[:, tasks[0]], self.among.first
            lost = np.where(np.isnan(column), first.scores, column)
            self.among = Targets.of((first.scores * total - lost) / after, first.deviations)

    def _read_anew(self, row: int) -> None:
        """Weigh all results of a candidate whose scores turn out to be of another kind."""
        tasks, told = self._prediction.told(row)
        told = told[:, ::_THIN] - told.max(axis=1, keepdims=True)
        weights = self._weights[self._clusters[tasks]]
        self._log[row] = self._prior + weights.T @ told.astype(np.float32)

    def scores(self) -> tuple[FloatArray, FloatArray]:
        """Estimates, shape (candidates,), and resamples, shape (candidates, `RESAMPLES`)."""
        mean, variance = self._prediction.ahead()
        place = _peaks(self._log) * _THIN
        node = np.minimum(place.astype(np.int64), mean.shape[1] - 2)
        share = place - node
        ahead, spread = (
            np.take_along_axis(each, node, axis=1) * (1.0 - share)
            + np.take_along_axis(each, node + 1, axis=1) * share
            for each in (mean, variance)
        )
        known, left = self._prediction.known()
        ahead = ahead + self._luck * np.sqrt(np.maximum(spread, 0.0))
        ahead = np.minimum(np.maximum(ahead, 0.0), left[:, None])
        resampled = (known[:, None] + ahead) / self._prediction.tasks_in_target[:, None]
        return self._prediction.moments()[0], resampled

    def reach(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sum of the results, the most that can be added, and tasks of the target."""
        known, left = self._prediction.known()
        return known, left, self._prediction.totals


def _peaks(values: Float32Array) -> FloatArray:
    """Where each row along the last axis peaks, between places: by the parabola through three."""
    last = values.shape[-1] - 1
    highest = values.argmax(axis=-1)
    middle = np.clip(highest, 1, last - 1)[..., None]
    low, here, high = (
        np.take_along_axis(values, middle + step, axis=-1)[..., 0].astype(np.float64)
        for step in (-1, 0, 1)
    )
    bend = np.maximum(2.0 * here - low - high, TIE)
    peak = middle[..., 0] + 0.5 * (high - low) / bend
    near = np.clip(peak, highest - 0.5, highest + 0.5)
    return np.asarray(np.clip(near, 0.0, last))


class PairedResamples:
    """Scores on the planned tasks from every resample of the paired differences.

    Resamples weigh the completed tasks, each with the same weight for every agent. As the
    references' means m over all planned tasks are known, the candidate's follows from that of its
    paired differences e_j = x_j - m_j to the references' mean score on each task: the difference
    estimator of `SequentialRankBounds`. Deviations of a resample's weighted mean of e from the
    plain one shrink by sqrt(1 - n / N), for n of N tasks have run, and grow by
    sqrt((n + 1) / (n - 1)), for the Bayesian bootstrap's variance is the usual one of a mean times
    the inverse of that. Guard tasks are known once run, and no sample of the others.

    Results that are all alike leave resamples nothing to differ in, although others may come. So
    two more stand beside them in each resample, with weights of the same kind: drawn from the known
    agents' differences, each less that agent's mean, about the candidate's own mean (a proper
    Bayesian bootstrap; Muliere and Secchi 1996).

    Parameters
    ----------
    reference : ndarray of float64, shape (n_reference, n_planned)
        Reference scores on the planned tasks in their order, NaN where not run.
    candidates : int
    guards : int
        The first so many planned tasks are guard tasks.
    seed : int
    clusters : ndarray of int64, shape (n_planned,), or None
        Tasks of one cluster share their weights; by default each task is one of its own.
    """

    posterior: FullScorePosterior | None = None

    def __init__(
        self,
        reference: FloatArray,
        *,
        candidates: int = 1,
        guards: int = 0,
        seed: int = 0,
        clusters: IntArray | None = None,
    ) -> None:
        known = ~np.isnan(reference)
        by_task = known.sum(axis=0)
        scores = np.where(known, reference, 0.0)
        overall = scores.sum() / max(int(known.sum()), 1)
        self._expected = np.where(by_task > 0, scores.sum(axis=0) / np.maximum(by_task, 1), overall)
        self._known = known
        self._excess = np.where(known, reference - self._expected, 0.0)
        self._guards = guards
        n_planned = reference.shape[1]
        self._clusters = np.arange(n_planned) if clusters is None else clusters
        self._weights = resampling_weights(int(self._clusters.max()) + 1, seed)
        each = np.ones((candidates, 1))
        self._reference_sums = each * self._excess.sum(axis=1)
        self._reference_counts = each * known.sum(axis=1)
        self._expected_sum = each[:, 0] * self._expected.sum()
        self._planned = each[:, 0] * n_planned
        self._sum = np.zeros(candidates)
        self._tasks = np.zeros(candidates, dtype=np.int64)
        self._total, self._squares, self._certain, self._certain_total = np.zeros((4, candidates))
        self._weighted, self._weight = np.zeros((2, candidates, RESAMPLES))
        own = self._excess - (self._excess.sum(axis=1) / np.maximum(known.sum(axis=1), 1))[:, None]
        self._prior_weighted, self._prior_weight = prior_results(own[known], seed)
        self._binary = np.full(candidates, bool(np.isin(reference[known], (0.0, 1.0)).all()))

    @property
    def tasks(self) -> IntArray:
        """Results of the sample of each candidate so far, shape (candidates,)."""
        return self._tasks

    @property
    def binary(self) -> NDArray[np.bool_]:
        """Whether every score is 0 or 1, shape (candidates,)."""
        return self._binary

    @property
    def references(self) -> FloatArray:
        """Estimated mean score of each reference on the target, (candidates, n_reference)."""
        means = self._reference_sums / np.maximum(self._reference_counts, 1)
        return np.asarray(means + self._base[:, None])

    @property
    def _base(self) -> FloatArray:
        return np.asarray(self._expected_sum / np.maximum(self._planned, 1))

    def observe(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in one result of each candidate, by its place in the plan."""
        known, guard, excess = self._read(tasks, scores)
        sampled = known & ~guard
        weights = self._weights[self._clusters[tasks]] * sampled[:, None]
        self._weight += weights
        self._weighted += weights * excess[:, None]
        self._tasks += sampled
        self._sum += np.where(known, scores, 0.0)
        self._total += np.where(sampled, excess, 0.0)
        self._squares += np.where(sampled, excess**2, 0.0)
        self._certain += known & guard
        self._certain_total += np.where(guard, excess, 0.0)
        self._binary = self._binary & (~known | (scores == 0.0) | (scores == 1.0))
        lost = ~known
        if lost.any():
            self._planned -= lost
            self._expected_sum -= np.where(lost, self._expected[tasks], 0.0)
            self._reference_sums -= np.where(lost[:, None], self._excess[:, tasks].T, 0.0)
            self._reference_counts -= lost[:, None] & self._known[:, tasks].T

    def observe_order(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in the results of an order at once; each prefix of it is then a candidate."""
        known, guard, excess = self._read(tasks, scores)
        sampled, lost = known & ~guard, ~known
        weights = self._weights[self._clusters[tasks]] * sampled[:, None]
        self._weight = np.cumsum(weights, axis=0, dtype=np.float64)
        self._weighted = np.cumsum(weights * excess[:, None], axis=0, dtype=np.float64)
        self._tasks = np.cumsum(sampled)
        self._sum = np.cumsum(np.where(known, scores, 0.0))
        self._total = np.cumsum(np.where(sampled, excess, 0.0))
        self._squares = np.cumsum(np.where(sampled, excess**2, 0.0))
        self._certain = np.cumsum(known & guard, dtype=np.float64)
        self._certain_total = np.cumsum(np.where(guard, excess, 0.0))
        fits = ~known | (scores == 0.0) | (scores == 1.0)
        self._binary = self._binary & np.logical_and.accumulate(fits)
        self._planned = self._planned - np.cumsum(lost)
        gone = np.where(lost, self._expected[tasks], 0.0)
        self._expected_sum = self._expected_sum - np.cumsum(gone)
        excesses = np.where(lost[:, None], self._excess[:, tasks].T, 0.0)
        self._reference_sums = self._reference_sums - np.cumsum(excesses, axis=0)
        counts = np.cumsum(lost[:, None] & self._known[:, tasks].T, axis=0)
        self._reference_counts = self._reference_counts - counts

    def _read(
        self, tasks: IntArray, scores: FloatArray
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], FloatArray]:
        known = ~np.isnan(scores)
        excess = np.where(known, scores - self._expected[tasks], 0.0)
        return known, tasks < self._guards, excess

    def scores(self) -> tuple[FloatArray, FloatArray]:
        """Estimates, shape (candidates,), and resamples, shape (candidates, `RESAMPLES`)."""
        n, planned = np.maximum(self._tasks, 1), np.maximum(self._planned, 1.0)
        sampled = self._planned - self._certain
        mean, share = self._total / n, sampled / planned
        estimate = self._base + share * mean + self._certain_total / planned
        shrink = share * np.sqrt(
            np.maximum(1.0 - n / np.maximum(sampled, 1.0), 0.0) * (n + 1) / np.maximum(n - 1, 1)
        )
        about = self._weighted - mean[:, None] * self._weight + self._prior_weighted
        about /= self._weight + self._prior_weight
        return estimate, estimate[:, None] + shrink[:, None] * about

    def reach(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sum of the results, the most that can be added, and tasks of the target.

        Zero tasks before the second result of the sample, unless all are known.
        """
        left = self._planned - self._certain - self._tasks
        total = np.where((self._tasks >= 2) | (left <= 0.0), self._planned, 0.0)
        return self._sum, left, total

    def least_half_width(self, left: IntArray, multipliers: FloatArray) -> FloatArray:
        """Return the least half width of the score bounds after `left` more results.

        The sum of squares about the mean can only grow, and n is known; the quantiles are taken to
        be those of a normal distribution.

        Parameters
        ----------
        left : ndarray of int64, shape (candidates,)
        multipliers : ndarray of float64, shape (n,)

        Returns
        -------
        half_width : ndarray of float64, shape (candidates, n)
        """
        n, sampled = self._tasks + left, self._planned - self._certain
        about = self._squares - self._total**2 / np.maximum(self._tasks, 1)
        variance = np.maximum(about, 0.0) / np.maximum(n * (n - 1), 1)
        variance = variance * np.maximum(1.0 - n / np.maximum(sampled, 1.0), 0.0)
        half = sampled / np.maximum(self._planned, 1.0) * np.sqrt(variance)
        half = np.where(n >= sampled, 0.0, np.where(n < 2, np.inf, half))
        return np.asarray(half[:, None] * multipliers)


def prior_results(residuals: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Weighted residuals of the results that stand for the history, and their weights.

    Each of shape (`RESAMPLES`,); spread evenly over the residuals.
    """
    generator = np.random.Generator(np.random.SFC64((seed, _STREAM + 2)))
    weights = generator.standard_exponential((_PRIOR_RESULTS, RESAMPLES))
    even = (np.arange(RESAMPLES) + 0.5) / RESAMPLES
    drawn = np.zeros(RESAMPLES)
    if residuals.size:
        drawn = np.quantile(residuals, even, method="nearest")
    each = np.stack([generator.permutation(drawn) for _ in range(_PRIOR_RESULTS)])
    return (weights * each).sum(axis=0), weights.sum(axis=0)
