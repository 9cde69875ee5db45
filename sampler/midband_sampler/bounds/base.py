"""Bounds on rank and score: the interface that every kind of bounds has."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.evidence import Difference, PairedEProcess
from midband_sampler.model.posterior import FullScorePosterior

TIE = 1e-9
_NEAREST = 5
# A number of numpy's stands for an array of shape (), and is quicker.
whole = cast("Callable[[int], IntArray]", np.int64)
real = cast("Callable[[float], FloatArray]", np.float64)


@dataclass(frozen=True, eq=False)
class Interval:
    """Bounds of a candidate's rank and score on the target, 1 = best.

    All are arrays of one shape: () for one candidate after one result, the number of results where
    a whole order is bounded at once, or (candidates, multipliers) in a calibration.

    Parameters
    ----------
    rank, low, high : ndarray of int64
        1 + number of reference agents with a strictly higher score, and its bounds.
    score, score_low, score_high : ndarray of float64
        Mean score on the target with the bounds that the ranks follow from; NaN while nothing is
        known.
    """

    rank: IntArray
    low: IntArray
    high: IntArray
    score: FloatArray
    score_low: FloatArray
    score_high: FloatArray

    def at(self, place: int) -> "Interval":
        """Return one entry of the first axis, of shape ()."""
        return Interval(*(getattr(self, each.name)[place] for each in fields(self)))


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """The confidence that an interval would have at a single look. It is no guarantee.

    Parameters
    ----------
    naive : float
        Share of bootstrap resamples, or of the posterior, inside the bounds.
    better : ndarray of float64, shape (n_reference,)
        Chance that the candidate's mean is above the reference's; NaN while nothing is known.
    """

    naive: float
    better: FloatArray


class Bounds(Protocol):
    """Takes in results and bounds the candidate's rank among the reference agents."""

    @property
    def posterior(self) -> FullScorePosterior | None:
        """Posterior of the full score that the bounds follow from; None where there is none."""

    @property
    def tasks(self) -> IntArray:
        """Results so far."""

    @property
    def reference_scores(self) -> FloatArray:
        """Mean score of each reference on the target; its first axis is that of the agents."""

    @property
    def reference_margins(self) -> FloatArray | None:
        """How far each of these may be off, at the bounds' confidence; None where all are known."""

    @property
    def evidence(self) -> Mapping[str, PairedEProcess]:
        """E-process against each agent that is bet on."""

    @property
    def differences(self) -> Mapping[str, Difference]:
        """Bounds of the paired difference to each agent that is compared task by task."""

    def observe(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in results; NaN is no result and takes the task out of the target."""

    def interval(self) -> Interval:
        """Bound rank and score by the results so far."""

    def least_half_width(self, run: IntArray, left: IntArray) -> FloatArray:
        """Return the least half width of the score bounds to which `left` more tasks can lead.

        Parameters
        ----------
        run : ndarray of int64
            Tasks that have run, with or without a result.
        left : ndarray of int64
        """

    def diagnose(self) -> Diagnostics:
        """Return the uncorrected view, of one candidate."""


def unknown(n_reference: int) -> tuple[Interval, Diagnostics]:
    """Return what is known of an agent without a single result: every rank is possible."""
    one, nothing = whole(1), real(np.nan)
    interval = Interval(one, one, whole(n_reference + 1), nothing, nothing, nothing)
    return interval, Diagnostics(naive=1.0, better=np.full(n_reference, np.nan))


def outer_interval(intervals: Sequence[Interval]) -> Interval:
    """Return the outer bounds of several readings of one candidate, about the first estimate."""
    first = intervals[0]
    if len(intervals) == 1 or np.isnan(first.score):
        return first
    return replace(
        first,
        low=min(each.low for each in intervals),
        high=max(each.high for each in intervals),
        score_low=min(each.score_low for each in intervals),
        score_high=max(each.score_high for each in intervals),
    )


def least_sure(readings: Sequence[Diagnostics]) -> Diagnostics:
    """Of each chance the one nearest to a half, or a half where the readings disagree."""
    if len(readings) == 1:
        return readings[0]
    better = np.stack([each.better for each in readings])
    return Diagnostics(
        naive=min(each.naive for each in readings),
        better=np.clip(0.5, better.min(axis=0), better.max(axis=0)),
    )


def resampled_ranks(
    deviation: NDArray[np.float32],
    estimate: float,
    bounds: tuple[int, int],
    order: IntArray,
    ordered: Sequence[float],
) -> Diagnostics:
    """Count resamples of a mean: the share inside rank bounds, and that above each reference.

    Parameters
    ----------
    deviation : ndarray of float32, shape (pairs,)
        One resample of each pair about the estimate, ascending, less the estimate.
    estimate : float
    bounds : tuple of int
        Lowest and highest rank.
    order : ndarray of int64, shape (n_reference,)
        References from the lowest mean to the highest.
    ordered : sequence of float, length n_reference
        Their means.
    """
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
    worst, best = below(np.array(edges) - TIE).tolist()
    reach = float(max(deviation[-1], -deviation[0])) + 2.0 * TIE
    first = bisect_left(ordered, estimate - reach)
    last = bisect_right(ordered, estimate + reach)
    above = np.zeros(n_reference)
    above[:first] = 1.0
    above[first:last] = 1.0 - below(np.array(ordered[first:last]) + TIE) / resamples
    better = np.empty(n_reference)
    better[order] = above
    return Diagnostics(naive=(best - worst) / resamples, better=better)


def nearest(
    better: FloatArray, agents: Sequence[str], asked_for: Sequence[str]
) -> dict[str, float]:
    """Return the chances of the agents whose comparison is least certain, then those asked for.

    Parameters
    ----------
    better : ndarray of float64, shape (n_agents,)
        NaN where nothing is known.
    agents, asked_for : sequence of str
        Ties go to the agent that stands first.
    """
    closest = np.abs(better - 0.5).argsort(kind="stable")[:_NEAREST].tolist()
    shown = dict.fromkeys([*(agents[place] for place in closest), *asked_for])
    chances = {name: float(better[agents.index(name)]) for name in shown}
    return {name: round(each, 4) for name, each in chances.items() if not math.isnan(each)}


def tied(bounds: Bounds, interval: Interval, agents: tuple[str, ...]) -> tuple[str, ...]:
    """Name the references that the score bounds do not separate from the candidate."""
    if math.isnan(interval.score):
        return agents
    scores, margins = bounds.reference_scores, bounds.reference_margins
    margin = TIE if margins is None else margins + TIE
    inside = (scores >= interval.score_low - margin) & (scores <= interval.score_high + margin)
    return tuple(agents[place] for place in np.flatnonzero(inside))
