"""Paired bets: which of several candidates is above which, by their results on shared tasks.

All candidates run the tasks in one random order, each a prefix of it. For candidates a and b the
differences x_a - x_b on the tasks that both have run are then draws without replacement from the
finite population of their differences on all N tasks, values in [-1, 1]. Whether their mean is
above a threshold is bet on as in `betting`, for one total only: somebody who holds that the total
is at most T stakes a share against it before each draw,

    mu = (T - S) / (tasks left),    capital *= 1 + share (d - mu),

and for every true total of at most T the chance that the capital ever reaches 1 / e is e at most
(Ville 1939), whatever the values are and however often one looks. How far a candidate runs may
depend on all results: the bets of a pair are defined for every length of its prefix at once.

The shares are ours: r_k sqrt(2 N ln(1 / e)) / (sd * tasks left) at the k-th of three stakes, where
sd is the standard deviation of the draws so far, drawn to what is usual; it is known before the
draw, which is all that validity needs. The capital is the mean over the stakes.
"""

import math

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray

_STAKES = np.array([0.45, 0.9, 1.8])
_KEPT = 0.03  # of the capital, whatever comes
_USUAL_VARIANCE, _WEIGHT = 0.15, 8.0
_LEAST_SPREAD = 0.1
_TIE = 1e-9


class PairedBets:
    """Bets on every ordered pair of candidates that the first is above the second by more than t.

    Parameters
    ----------
    candidates : int
    size : int
        Tasks of the benchmark, N.
    thresholds : ndarray of float64, shape (candidates, candidates)
        The claim of (a, b) is that mean(x_a) - mean(x_b) > t; entries of the diagonal are not used.
    error : float
        Chance that a claim of one ordered pair is ever made though it is false. In (0, 1).
    """

    def __init__(self, candidates: int, size: int, *, thresholds: FloatArray, error: float) -> None:
        shape = (candidates, candidates)
        self.size = size
        self.thresholds = thresholds
        self._enough = math.log(1.0 / error)
        self._scale = math.sqrt(2.0 * size * self._enough) * _STAKES
        self.common: IntArray = np.zeros(shape, dtype=np.int64)
        self._sum, self._squares = np.zeros(shape), np.zeros(shape)
        self._log = np.zeros((*shape, _STAKES.size))
        self.most: FloatArray = np.zeros(shape)

    def observe(self, first: IntArray, second: IntArray, low: FloatArray) -> None:
        """Take in the next shared task of some ordered pairs.

        Parameters
        ----------
        first, second : ndarray of int64, shape (n,)
            Each ordered pair at most once.
        low : ndarray of float64, shape (n,)
            The difference of their results there, in [-1, 1]; a missing one of the first counts as
            0, of the second as 1.
        """
        n, total = self.common[first, second], self._sum[first, second]
        squares = self._squares[first, second]
        left = (self.size - n).astype(np.float64)
        spread = squares - total**2 / np.maximum(n, 1) + _WEIGHT * _USUAL_VARIANCE
        deviation = np.maximum(np.sqrt(spread / (n + _WEIGHT)), _LEAST_SPREAD)
        mean = (self.thresholds[first, second] * self.size - total) / left
        most = (1.0 - _KEPT) / np.maximum(mean + 1.0, _TIE)
        share = np.minimum(self._scale / (deviation * left)[:, None], most[:, None])
        gain = np.maximum(1.0 + share * (low - mean)[:, None], _TIE)
        self._log[first, second] += np.log(gain)
        self._sum[first, second] = total + low
        self._squares[first, second] = squares + low**2
        self.common[first, second] = n + 1
        logs = self._log[first, second]
        top = logs.max(axis=1)
        capital = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
        self.most[first, second] = np.maximum(self.most[first, second], capital)

    def above(self) -> NDArray[np.bool_]:
        """Return which claims are made, shape (candidates, candidates); once made, they stay.

        What the results so far cannot be undone by those to come is claimed too. Where a pair has
        run everything, its sum says all, and overrules the bets.
        """
        left = self.size - self.common
        target = self.thresholds * self.size
        certain = self._sum - left > target + _TIE
        claimed = np.where(left > 0, (self.most >= self._enough) | certain, certain)
        np.fill_diagonal(claimed, val=False)
        return np.asarray(claimed)

    def means(self) -> FloatArray:
        """Mean difference of each ordered pair so far; NaN where nothing is shared."""
        return np.where(self.common > 0, self._sum / np.maximum(self.common, 1), np.nan)

    def deviations(self) -> FloatArray:
        """Return the standard deviation of each mean; infinite where nothing is shared.

        Without replacement. For the choice of what runs next only: no claim rests on it.
        """
        n = self.common
        spread = self._squares - self._sum**2 / np.maximum(n, 1) + _WEIGHT * _USUAL_VARIANCE
        variance = spread / (n + _WEIGHT) / np.maximum(n, 1) * (1.0 - n / self.size)
        return np.where(n > 0, np.sqrt(np.maximum(variance, 0.0)), np.inf)
