"""Rank confidence: what the completed tasks say about the candidate's rank, over all looks."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from midband_history import FloatArray, IntArray
from midband_sampler._calibration import Calibration
from midband_sampler._model import PredictionModel
from midband_sampler._prediction import rank_bounds

_TIE = 1e-9


@dataclass(frozen=True)
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
    naive : float
        What the bounds would claim uncorrected (share of bootstrap resamples, or of the
        prediction, inside them): a diagnostic, not a guarantee.
    better : ndarray of float64, shape (n_reference,)
        Chance that the candidate's mean is above the reference's: by the bootstrap, or by the
        prediction where the interval rests on one. NaN while nothing is known.
    score, score_low, score_high : float
        The candidate's mean score on the target with the bounds that the ranks follow from; NaN
        while nothing is known.
    """

    rank: int
    low: int
    high: int
    confidence: float
    tasks: int
    naive: float
    better: FloatArray
    score: float
    score_low: float
    score_high: float


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

    and at n = N the mean is known. The squared sum carries an extra 1/4, the largest variance of
    a score, so that a first run of equal results is not taken for certainty. A reference that
    missed planned tasks enters with the same estimator over those it ran.

    The bootstrap resamples tasks, the same for every agent, by exponential weights (the Bayesian
    bootstrap: unlike Poisson weights they never sum to 0) and one product of weights and scores,
    kept up to date a task at a time.

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
        self._excess = np.where(known, reference - self._expected, np.nan)
        self._in_target = np.ones(reference.shape[1], dtype=bool)
        self._resamples = resamples
        self._seed = seed
        self._weights = np.zeros((resamples, 1), np.float32)
        self._weighted = np.zeros((resamples, reference.shape[0]), np.float32)
        self._references = self._reference_means()
        self._reference_scores: FloatArray | None = None
        self._sum = 0.0
        self._squares = 0.0
        self._certain = 0
        self._certain_sum = 0.0
        self._certain_difference = np.zeros(reference.shape[0], np.float32)
        self.tasks = 0

    def _reference_means(self) -> FloatArray:
        """Each reference's mean excess over the expectation, on the tasks of the target."""
        excess = self._excess[:, self._in_target]
        known = ~np.isnan(excess)
        total = np.where(known, excess, 0.0).sum(axis=1)
        return np.asarray(total / np.maximum(known.sum(axis=1), 1))

    @property
    def reference_scores(self) -> FloatArray:
        """Estimated mean score of each reference on the target, shape (n_reference,)."""
        if self._reference_scores is None:
            target = self._expected[self._in_target]
            base = float(target.mean()) if target.size else np.nan
            self._reference_scores = self._references + base
        return self._reference_scores

    def add_certain(self, position: int, score: float) -> None:
        """Take in a task that was sure to run; NaN takes it out of the target instead."""
        if np.isnan(score):
            self.add(position, score)
            return
        excess = score - self._expected[position]
        self._certain += 1
        self._certain_sum += excess
        self._certain_difference += (excess - np.nan_to_num(self._excess[:, position])).astype(
            np.float32
        )

    def add(self, position: int, score: float) -> None:
        """Take in one completed task; NaN takes it out of the target instead."""
        if np.isnan(score):
            self._in_target[position] = False
            self._reference_scores = None
            self._references = self._reference_means()
            return
        excess = score - self._expected[position]
        self._sum += excess
        self._squares += excess**2
        generator = np.random.Generator(np.random.PCG64((self._seed, position)))
        weight = generator.standard_exponential(self._resamples, dtype=np.float32)[:, None]
        self._weights += weight
        self._weighted += weight * (excess - np.nan_to_num(self._excess[:, position])).astype(
            np.float32
        )
        self.tasks += 1

    def interval(self, confidence: float) -> RankInterval:
        """Bound the rank over all looks; the widest bounds before the second task."""
        n_reference = self._references.size
        n, planned = self.tasks, int(self._in_target.sum())
        if n < 2:
            better = np.full(n_reference, np.nan)
            return RankInterval(
                1, 1, n_reference + 1, confidence, n, 1.0, better, np.nan, np.nan, np.nan
            )
        mean = self._sum / n
        sd = np.sqrt((max(self._squares - n * mean**2, 0.0) + 0.25) / n)
        bound = np.sqrt(np.log(2.0 / (1.0 - confidence)) / 2.0)
        sampled = planned - self._certain
        share = sampled / planned
        mean = share * mean + self._certain_sum / planned
        half = _TIE if n >= sampled else share * sd * np.sqrt(sampled) / n * bound
        low = 1 + int(np.sum(self._references > mean + half))
        high = 1 + int(np.sum(self._references > mean + _TIE - (half if n < sampled else 0.0)))
        base = float(self._expected[self._in_target].mean())
        resampled = share * (self._weighted / self._weights) + self._certain_difference / planned
        ranks = 1 + np.sum(resampled < 0, axis=1)
        return RankInterval(
            rank=1 + int(np.sum(self._references > mean + _TIE)),
            low=low,
            high=high,
            confidence=confidence,
            tasks=n,
            naive=float(np.mean((ranks >= low) & (ranks <= high))),
            better=np.mean(resampled > 0, axis=0),
            score=base + mean,
            score_low=max(base + mean - half, 0.0),
            score_high=min(base + mean + half, 1.0),
        )

    def least_half_width(self, left: IntArray, confidence: float) -> FloatArray:
        """Least half width of the score bounds after `left` more results.

        Certain: the sum of squares about the mean can only grow, and n is known.
        """
        n = self.tasks + int(left)
        planned = int(self._in_target.sum())
        sampled = planned - self._certain
        if n >= sampled:
            return np.array(0.0)
        if n < 1:
            return np.array(np.inf)
        about = self._squares - self._sum**2 / max(self.tasks, 1)
        sd = np.sqrt((max(about, 0.0) + 0.25) / n)
        bound = np.sqrt(np.log(2.0 / (1.0 - confidence)) / 2.0)
        return np.asarray(sampled / planned * sd * np.sqrt(sampled) / n * bound)


class PredictedRanks:
    """Rank on the full benchmark: the predicted full score with calibrated bounds.

    Parameters
    ----------
    model : PredictionModel
    calibration : Calibration
        Says how many standard deviations wide the bounds must be.
    columns : ndarray of int64, shape (n_planned,)
        Position of each planned task among all tasks.
    """

    def __init__(self, model: PredictionModel, calibration: Calibration, columns: IntArray) -> None:
        self.prediction = model.predict()
        self._references = model.reference_full_scores
        self._calibration = calibration
        self._columns = columns
        self.tasks = 0

    @property
    def multiplier(self) -> float:
        """Standard deviations on either side, as calibrated."""
        return self._calibration.multiplier

    @property
    def reference_scores(self) -> FloatArray:
        """Full score of each reference, missing cells predicted, shape (n_reference,)."""
        return self._references

    def add(self, position: int, score: float) -> None:
        """Take in one completed task; NaN takes it out of the target."""
        self.prediction.observe(
            np.zeros(1, dtype=np.int64), self._columns[[position]], np.array([score])
        )
        self.tasks += not np.isnan(score)

    def interval(self, confidence: float) -> RankInterval:
        """Bound the rank as calibrated; `confidence` is that of the calibration."""
        del confidence
        mean, deviation = (float(part[0]) for part in self.prediction.moments())
        low, high = self.prediction.bounds_each(np.array([self._calibration.multiplier]))
        best, worst = rank_bounds(low[:, 0], high[:, 0], self._references)
        nominal = float(ndtri(0.5 + self._calibration.confidence / 2))
        spread = max(deviation * max(self._calibration.multiplier / nominal, 1.0), _TIE)
        chance = ndtr((mean - self._references) / spread)
        low_edge, high_edge = float(low[0, 0]), float(high[0, 0])
        inside = ndtr((high_edge - mean) / max(deviation, _TIE)) - ndtr(
            (low_edge - mean) / max(deviation, _TIE)
        )
        rank = 1 + int(np.sum(self._references > mean + _TIE))
        return RankInterval(
            rank=min(max(rank, int(best[0])), int(worst[0])),
            low=int(best[0]),
            high=int(worst[0]),
            confidence=self._calibration.confidence,
            tasks=self.tasks,
            naive=float(inside) if deviation > _TIE else 1.0,
            better=chance,
            score=mean,
            score_low=low_edge,
            score_high=high_edge,
        )
