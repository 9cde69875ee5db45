"""Betting on the total of a finite population: exact bounds after every draw at once.

N tasks have values x_1..x_N in [low, high], fixed and unknown. They are drawn in random order,
without replacement. Given the draws so far, which sum to S, the next value has the mean

    mu(T) = (T - S) / (tasks left)

if T is the total of all N. Somebody who holds T against the next value and stakes a share s of
the capital, fixed before the draw, multiplies the capital by 1 + s (x - mu(T)). For the true T
this is a martingale that begins at 1 and never falls below 0, so it ever reaches 1 / a with chance
a at most (Ville 1939), whatever the values are, however few they are and however often one looks.
The totals whose capital is below 1 / a are a confidence sequence (Waudby-Smith and Ramdas,
"Confidence sequences for sampling without replacement", NeurIPS 2020, and "Estimating means of
bounded random variables by betting", JRSS-B 2024, section 5).

Values may be differences from predictions that are known beforehand: predictions that fit make the
spread of the values small, and the bounds narrow.

The stakes are ours. At the k-th stake the share is

    s_k = min( r_k sqrt(2 N ln(2 / a)) / (sd * tasks left), K / (mu(T) - low) )

with an expected spread sd. The first term is the bet that a Brownian bridge would call for; it is
best after a share 1 / (1 + r_k^2) of the tasks. The second keeps the capital above 0 (K < 1). The
capital is the mean over the stakes, so that none has to be right. These bets hold that a total is
too small. The same bets on the values with their signs turned hold that it is too large, and each
side has half of a.

Totals are continuous, so they are cut into cells. Within a cell the share is the one allowed at its
upper end, and each stake's capital is a product of falling straight lines in T. It falls in T, so
that a cell is excluded as a whole by its upper end. Its logarithm is concave, so that between the
ends it lies above the straight line through them. A bound inside a cell is taken from these lines,
and is never tighter than what the bets exclude.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, cast

import numpy as np

from midband_history import FloatArray, InputError, IntArray

# Chosen by the tasks that recorded agents need to a settled rank; validity does not depend on them.
_STAKES = np.array([0.45, 0.9, 1.8])
_KEPT = 0.03  # of the capital, whatever comes
_CELLS = 96
_NEWTON_STEPS = 4
_LEAST_SPREAD = 0.05  # of the range of the values
_SUMS = 48
_TINY = 1e-12
_LARGEST = 1e300


@dataclass(frozen=True, eq=False)
class Capital:
    """What the bettors hold after some draws.

    Parameters
    ----------
    drawn : ndarray of int64, shape (...)
        Number of values drawn; the leading axis is that of the draws, none for a single moment.
    total : ndarray of float64, shape (...)
        Their sum.
    above, below : ndarray of float64, shape (..., 2, n_stakes, n_cells)
        Capital of the bets that the total is above a candidate value, at the lower and the upper
        end of each cell; and of the bets on the values with their signs turned.
    """

    drawn: IntArray
    total: FloatArray
    above: FloatArray
    below: FloatArray

    def at(self, place: Any) -> "Capital":
        """Return entries of the first axis."""
        return Capital(self.drawn[place], self.total[place], self.above[place], self.below[place])


@dataclass(frozen=True, kw_only=True)
class FinitePopulation:
    """A population whose total is bounded by betting while its values are drawn.

    Parameters
    ----------
    size : int
        Number of values, N, at least 1.
    low, high : float
        Every value lies in [low, high].
    error : float
        Chance that the bounds ever exclude the total, at most. In (0, 1).
    spread : float
        Expected standard deviation of the values, known before the draws. A wrong one makes the
        bounds wider, never wrong.
    reach : tuple of float, optional
        Least and largest possible total, where more is known than ``size * low`` to
        ``size * high``.
    """

    size: int
    low: float
    high: float
    error: float
    spread: float
    reach: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            msg = f"expected a population of at least 1, got {self.size}: there is nothing to draw"
            raise InputError(msg)
        if not self.low < self.high:
            msg = f"expected low < high, got low={self.low:g}, high={self.high:g}: state the range"
            raise InputError(msg)
        if not 0.0 < self.error < 1.0:
            msg = f"expected 0 < error < 1, got {self.error:g}: 0.05 is usual"
            raise InputError(msg)

    @cached_property
    def _edges(self) -> FloatArray:
        """Candidate totals between which the cells lie, shape (n_cells + 1,)."""
        least, largest = self.reach or (self.size * self.low, self.size * self.high)
        return np.linspace(least, largest, _CELLS + 1)

    @cached_property
    def _shares(self) -> FloatArray:
        """Share of each stake times the tasks left, where nothing limits it, shape (n_stakes,)."""
        spread = max(self.spread, _LEAST_SPREAD * (self.high - self.low))
        return np.asarray(math.sqrt(2.0 * self.size * self._enough) / spread * _STAKES)

    @property
    def _enough(self) -> float:
        """Logarithm of the capital that excludes a total from one side."""
        return math.log(2.0 / self.error)

    @cached_property
    def _saved(self) -> FloatArray:
        """Bound what limited shares save by each draw, running sums, shape (size + 1, n_stakes)."""
        left = np.arange(self.size, 0, -1.0)[:, None]
        widest = self.high - self.low + (self._edges[1] - self._edges[0]) / left
        saved = _saved(left / (widest * self._shares))
        return np.concatenate([np.zeros((1, _STAKES.size)), np.cumsum(saved, axis=0)])

    def start(self) -> Capital:
        """Return the capital before the first draw: 1 at every stake."""
        one = np.ones((2, _STAKES.size, _CELLS))
        zero = cast("FloatArray", np.float64(0.0))
        return Capital(cast("IntArray", np.int64(0)), zero, one, one)

    def after(self, capital: Capital, values: FloatArray) -> Capital:
        """Draw one value after the other and keep every stage, on the first axis.

        Parameters
        ----------
        capital : Capital
            Of a single moment.
        values : ndarray of float64, shape (n_values,)
            In [low, high], and no more than are left.
        """
        if capital.drawn + values.size > self.size:
            count = int(capital.drawn) + values.size
            msg = f"expected at most {self.size} values, got {count}: each is drawn once"
            raise InputError(msg)
        drawn = capital.drawn + np.arange(values.size)
        totals = np.cumsum(np.concatenate([[capital.total], values]))
        left = (self.size - drawn).astype(np.float64)
        above = self._bet(capital.above, values, totals[:-1], left, self._edges, self.low)
        below = self._bet(
            capital.below, -values, -totals[:-1], left, -self._edges[::-1], -self.high
        )
        return Capital(drawn + 1, totals[1:], above, below)

    def _bet(
        self,
        capital: FloatArray,
        values: FloatArray,
        before: FloatArray,
        left: FloatArray,
        edges: FloatArray,
        low: float,
    ) -> FloatArray:
        """Bet that the total is above each edge; shape (n_values, 2, n_stakes, n_cells)."""
        mean = (edges - before[:, None]) / left[:, None]
        gain = values[:, None] - mean
        most = (1.0 - _KEPT) / np.maximum(mean[:, 1:] - low, _TINY)
        share = np.minimum((self._shares / left[:, None])[:, :, None], most[:, None, :])
        kept = np.empty((values.size + 1, 2, _STAKES.size, _CELLS))
        kept[0] = capital
        np.multiply(share, gain[:, None, :-1], out=kept[1:, 0])
        np.multiply(share, gain[:, None, 1:], out=kept[1:, 1])
        kept[1:] += 1.0
        with np.errstate(over="ignore"):
            for earlier, here in pairwise(kept):  # quicker than `np.multiply.accumulate`
                np.multiply(earlier, here, out=here)
        return kept[1:]

    def bounds(
        self, capital: Capital, *, rest: tuple[FloatArray, FloatArray] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Bound the total at every stage; both bounds have the shape of ``capital.drawn``.

        The bounds are those of this stage's capital, within what the values that are left can
        still come to. Where the bets exclude every such total, which happens with chance `error`
        at most, only the latter holds, so that the bounds are never empty.

        Parameters
        ----------
        capital : Capital
        rest : tuple of ndarray of float64, optional
            Least and largest sum of the values that are left, where the caller knows more of them
            than `low` and `high`.
        """
        left = self.size - capital.drawn
        low, high = rest or (left * self.low, left * self.high)
        least, most = capital.total + low, capital.total + high
        # Both sides at once: a session takes results one by one, and calls are what that costs.
        found = self._excluded(np.stack([capital.above, capital.below], axis=-4))
        lower, upper = found[..., 0], -found[..., 1]
        lower, upper = np.maximum(lower, least), np.minimum(upper, most)
        empty = lower > upper
        return np.where(empty, least, lower), np.where(empty, most, upper)

    def least_width(
        self, capital: Capital, more: IntArray, *, rest: tuple[FloatArray, FloatArray] | None = None
    ) -> FloatArray:
        """Return the least width of the bounds to which `more` draws can lead.

        Certain, whatever the values: let S' be the sum after these draws. By ln(1 + y) <= y, the
        logarithm of a stake's capital grows at most by a multiple of how far S' lies from what the
        total calls for, and by what the limit on its share can save, which is known beforehand. So
        each S' has a highest total that can be excluded as too small, and a lowest one that can be
        excluded as too large. The result is the least distance over all S'.

        Parameters
        ----------
        capital : Capital
        more : ndarray of int64
            Shape of ``capital.drawn``; no more than what is left.
        rest : tuple of ndarray of float64, optional
            Least and largest sum of the values that are then left, where the caller bounds the
            total by more than `low` and `high`.
        """
        size, after = self.size, capital.drawn + more
        left, rests = (size - capital.drawn)[..., None], (size - after)[..., None]
        low, high = rest or (rests[..., 0] * self.low, rests[..., 0] * self.high)
        sums = capital.total[..., None] + more[..., None] * np.linspace(
            self.low, self.high, _SUMS + 1
        )
        saved = (self._saved[after] - self._saved[capital.drawn])[..., None]
        lift = more[..., None] / np.maximum(left, 1)
        most = np.maximum(rests, 1)

        def reached(
            held: FloatArray, edges: FloatArray, total: FloatArray, low: float
        ) -> FloatArray:
            """Return the least sum that can exclude each cell from below."""
            logs = np.log(np.clip(held[..., 0, :, :], 1.0 / _LARGEST, _LARGEST))
            above_low = np.maximum((edges[1:] - total - left * low) / most, _TINY)
            each = _saved(most[..., None] / (above_low[..., None, :] * self._shares[:, None]))
            saving = np.minimum(saved, more[..., None, None] * each)
            short = ((self._enough - logs - saving) / self._shares[:, None]).min(axis=-2)
            return np.asarray(rests * (short + total / np.maximum(left, 1)) + lift * edges[:-1])

        def highest(needed: FloatArray, sums: FloatArray, edges: FloatArray) -> FloatArray:
            """Return the upper end of the highest cell that each sum can exclude."""
            highest_needed = np.minimum.accumulate(needed[..., ::-1], axis=-1)[..., ::-1]
            count = (highest_needed[..., None, :] <= sums[..., None]).sum(axis=-1)
            return np.where(count > 0, edges[count], -np.inf)

        mirrored = -self._edges[::-1]
        total = capital.total[..., None]
        needed = reached(capital.above, self._edges, total, self.low)
        lower = highest(needed, sums[..., 1:], self._edges)
        needed = reached(capital.below, mirrored, -total, -self.high)
        upper = -highest(needed, -sums[..., :-1], mirrored)
        lower = np.maximum(lower, sums[..., 1:] + low[..., None])
        upper = np.minimum(upper, sums[..., :-1] + high[..., None])
        least = np.maximum((upper - lower).min(axis=-1), 0.0)
        now = np.subtract(*self.bounds(capital, rest=rest)[::-1])
        return np.asarray(np.where(more == 0, now, least))

    def _excluded(self, capital: FloatArray) -> FloatArray:
        """Return the total that is excluded with all below it, of both sides on the last axis."""
        enough = self._enough
        sides = np.stack([self._edges, -self._edges[::-1]])
        full = capital[..., 1, :, :].sum(axis=-2) >= math.exp(enough) * _STAKES.size
        cell = np.where(full.all(axis=-1), _CELLS - 1, full.argmin(axis=-1))
        ends = np.take_along_axis(capital, cell[..., None, None, None], axis=-1)[..., 0]
        logs = np.log(np.clip(ends, 1.0 / _LARGEST, _LARGEST))
        start, slope = logs[..., 0, :], logs[..., 1, :] - logs[..., 0, :]
        # Newton's steps on a convex function, begun where it is too large, stop short of its root.
        inside = np.zeros(cell.shape)
        for _ in range(_NEWTON_STEPS):
            line = start + inside[..., None] * slope
            top = line.max(axis=-1)
            weight = np.exp(line - top[..., None])
            total = weight.sum(axis=-1)
            excess = top + np.log(total / _STAKES.size) - enough
            fall = -(weight * slope).sum(axis=-1) / total
            inside += np.maximum(excess, 0.0) / np.maximum(fall, _TINY)
            np.minimum(inside, 1.0, out=inside)
        here = np.array([0, 1])
        begin = sides[here, cell]
        return np.asarray(begin + inside * (sides[here, cell + 1] - begin))


def _saved(free: FloatArray) -> FloatArray:
    """Bound what the limit on a share saves at one draw, in logarithms of the capital.

    With the free share a and the limited one r a, r < 1, the most of ln(1 + r a x) - a x over all x
    is ln(r) - 1 + 1 / r.

    Parameters
    ----------
    free : ndarray of float64
        Share at which the capital can be lost, over the free share.
    """
    ratio = np.minimum((1.0 - _KEPT) * free, 1.0)
    return np.asarray(np.log(ratio) - 1.0 + 1.0 / ratio)
