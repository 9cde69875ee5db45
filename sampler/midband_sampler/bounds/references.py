"""The reference agents: where a score ranks among them if some of theirs are only predicted."""

import math
from bisect import bisect_right

import numpy as np
from scipy.special import ndtr

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import TIE

# Of an error's variance, the part that all predicted references have in common. Set by hand near
# the mean of what recorded benchmarks of 22 to 134 agents show (0.00 to 0.96, mean .28, median
# .10, six draws each), on the same data that the bounds are measured on.
_SHARED = 0.25
_POINTS = 1001


class References:
    """Ranks a score among references of known and of predicted scores.

    A reference that did not run every task has a score with mean u_k and standard deviation s_k.
    Given the candidate's score s it is better with probability P_k = Phi((u_k - s) / s_k), so that
    the number of better ones has the mean sum P_k and, with independent errors, the variance
    sum P_k (1 - P_k) (Poisson binomial): errors of several references cancel in part. A share r of
    each s_k^2 is taken to be common to all of them, which adds r sum over pairs of phi_k phi_l, to
    first order in r, phi being the density at (u_k - s) / s_k.

    A candidate whose score lies in [low, high] about a mean has ranks between those of `high` and
    `low`; its rank at the mean, plus and minus ``hypot(ranks up to that bound, multiplier times
    the standard deviation of the number of better ones)``, is the interval. The standard deviation
    is that of Simpson's mean of the variances at low, mean and high.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_reference,)
        Full scores on the target; means where they are predicted.
    deviations : ndarray of float64, shape (n_reference,)
        Their standard deviations; 0 where the score is known.
    """

    def __init__(self, scores: FloatArray, deviations: FloatArray) -> None:
        self.scores = scores
        self.deviations = deviations
        known = deviations <= 0.0
        self._known: list[float] = np.sort(scores[known]).tolist()
        self._known_array = np.array(self._known)
        self._predicted = int(np.sum(~known))
        if not self._predicted:
            return
        self._grid = np.linspace(0.0, 1.0, _POINTS)
        away = (scores[~known, None] - self._grid) / deviations[~known, None]
        better = ndtr(away)
        density = np.exp(-0.5 * away**2) / math.sqrt(2.0 * math.pi)
        pairs = density.sum(axis=0) ** 2 - (density**2).sum(axis=0)
        self._better = better.sum(axis=0)
        self._variance = (better * (1.0 - better)).sum(axis=0) + _SHARED * pairs

    @property
    def all_known(self) -> bool:
        """Whether every reference ran every task."""
        return not self._predicted

    def known_rank(self, score: float) -> int:
        """Return 1 + the number of references of known score that are strictly better."""
        return 1 + len(self._known) - bisect_right(self._known, score + TIE)

    def rank_one(
        self, mean: float, low: float, high: float, multiplier: float
    ) -> tuple[int, int, int]:
        """Rank one candidate's score; see `ranks`."""
        top, middle, bottom = self.known_rank(high), self.known_rank(mean), self.known_rank(low)
        if not self._predicted:
            return min(max(middle, top), bottom), top, bottom
        at = np.array([low, mean, high])
        most, centre, least = np.interp(at, self._grid, self._better).tolist()
        first, second, third = np.interp(at, self._grid, self._variance).tolist()
        noise = multiplier * math.sqrt((first + 4.0 * second + third) / 6.0)
        rank = middle + centre
        best = rank - math.hypot(rank - top - least, noise)
        worst = rank + math.hypot(bottom + most - rank, noise)
        nearest = math.floor(rank + 0.5)
        best = min(max(math.floor(best + 0.5), top), nearest)
        worst = max(min(math.ceil(worst - 0.5), bottom + self._predicted), nearest)
        return nearest, best, worst

    def ranks(
        self, mean: FloatArray, low: FloatArray, high: FloatArray, multipliers: FloatArray
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Rank scores within bounds.

        Parameters
        ----------
        mean, low, high : ndarray of float64, shape (candidates, n_multipliers)
            Estimated score and its bounds.
        multipliers : ndarray of float64, shape (n_multipliers,)
            Standard deviations that the bounds are wide.

        Returns
        -------
        rank, best, worst : ndarray of int64, shape (candidates, n_multipliers)
            1 + number strictly better, and its bounds.
        """
        top, middle, bottom = (self._ranks_among_known(each) for each in (high, mean, low))
        if not self._predicted:
            return middle, top, bottom
        least, centre, most = (
            np.interp(each, self._grid, self._better) for each in (high, mean, low)
        )
        variance = 4.0 * np.interp(mean, self._grid, self._variance)
        for each in (low, high):
            variance += np.interp(each, self._grid, self._variance)
        noise = multipliers * np.sqrt(variance / 6.0)
        rank = middle + centre
        best = np.floor(rank - np.hypot(rank - top - least, noise) + 0.5)
        worst = np.ceil(rank + np.hypot(bottom + most - rank, noise) - 0.5)
        nearest = np.floor(rank + 0.5)
        best = np.minimum(np.maximum(best, top), nearest)
        worst = np.maximum(np.minimum(worst, bottom + self._predicted), nearest)
        return nearest.astype(np.int64), best.astype(np.int64), worst.astype(np.int64)

    def _ranks_among_known(self, scores: FloatArray) -> IntArray:
        above = self._known_array.size - np.searchsorted(
            self._known_array, scores + TIE, side="right"
        )
        return np.asarray(1 + above, dtype=np.int64)
