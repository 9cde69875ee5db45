"""Bootstrap rank bounds: the share of resamples that the calibration requires."""

import math
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import TIE, Diagnostics, Interval, unknown, whole
from midband_sampler.bounds.evidence import NoPairs, PairedEProcess
from midband_sampler.bounds.posterior import BestCaseWidth
from midband_sampler.bounds.resamples import RESAMPLES, PairedResamples, PredictedResamples

RANK_CONFIDENCE = "bootstrap rank confidence"
_SHOWN = 2.0  # up to so many standard deviations the resamples show the quantiles themselves


def nominal_level(multiplier: float) -> float:
    """Return the share of a normal distribution within so many standard deviations.

    The widths of a calibration are multipliers; this is the level of the bootstrap that each
    stands for.
    """
    return float(2.0 * ndtr(multiplier) - 1.0)


def level_text(level: float) -> str:
    """Write a share without its leading zero: .90, .985; with as many nines as tell it from 1."""
    digits = 3
    while digits < 12 and level < 1.0 and float(f"{level:.{digits}f}") >= 1.0:
        digits += 1
    text = f"{level:.{digits}f}"
    text = text[:-1] if text.endswith("0") else text
    return text.removeprefix("0")


class BootstrapRankBounds(NoPairs):
    """Rank on the target: the central share of the resamples that the calibration requires.

    A width m stands for the level that a normal distribution holds within m standard deviations
    (`nominal_level`): the bounds are the quantiles of the resampled scores that leave out half of
    the rest on either side. So few resamples show no quantiles beyond two standard deviations:
    further out the distances of those from the estimate are stretched by m / 2. Bounds keep to what
    can still be reached, so that they are exact once everything was run.

    Parameters
    ----------
    resamples : PredictedResamples or PairedResamples
        Of the candidates: one in a session, many in a replay.
    multipliers : ndarray of float64, shape (n_multipliers,)
        The levels, as multipliers.
    nominal : float
        Confidence that the bounds were calibrated to; see `diagnose`. NaN where nothing was
        checked.
    best_case : BestCaseWidth or None
        How narrow the bounds can become, for a rule that looks ahead.
    """

    def __init__(
        self,
        resamples: PredictedResamples | PairedResamples,
        *,
        multipliers: FloatArray,
        nominal: float = math.nan,
        best_case: BestCaseWidth | None = None,
    ) -> None:
        self._resamples = resamples
        self.posterior = resamples.posterior
        self._multipliers = multipliers
        shown = np.minimum(multipliers, _SHOWN)
        self._stretch = multipliers / np.maximum(shown, TIE)
        place = np.clip(ndtr(-shown) * RESAMPLES - 0.5, 0.0, RESAMPLES - 1.0)
        self._place = np.minimum(place.astype(np.int64), RESAMPLES - 2)
        self._part = place - self._place
        checked = not math.isnan(nominal)
        usual = float(ndtri(0.5 + nominal / 2)) if checked else 1.0
        self._wider = max(float(multipliers[0]) / usual, 1.0) if checked else 1.0
        self._best_case = best_case
        self._single = resamples.tasks.size == 1 and multipliers.size == 1
        self._many = False
        self._found: Interval | None = None

    @property
    def _n_reference(self) -> int:
        resamples = self._resamples
        if isinstance(resamples, PredictedResamples):
            return int(resamples.among.first.scores.size)
        return int(resamples.references.shape[-1])

    @property
    def tasks(self) -> IntArray:
        """Results so far, shape (), (candidates, 1), or (n_results,) of a whole order."""
        tasks = self._resamples.tasks
        if self._many:
            return tasks
        return whole(int(tasks[0])) if self._single else tasks[:, None]

    @property
    def reference_scores(self) -> FloatArray:
        """Mean score of each reference on the target; its first axis is that of the agents."""
        references = self._resamples.references
        if isinstance(self._resamples, PredictedResamples):
            return references
        if self._many:
            return references.T
        return references[0] if self._single else references.T[:, :, None]

    @property
    def reference_margins(self) -> FloatArray | None:
        """How far each reference may be from its score, as calibrated; None where all are known."""
        if not isinstance(self._resamples, PredictedResamples):
            return None
        return self._resamples.among.margins(self._multipliers, single=self._single)

    @property
    def evidence(self) -> Mapping[str, PairedEProcess]:
        """Nothing: what is claimed follows from the bounds."""
        return MappingProxyType({})

    def observe(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in one result of each candidate, or all results of an order at once.

        Parameters
        ----------
        tasks : ndarray of int64, shape () or (candidates,), or (n_results,)
        scores : ndarray of float64
            NaN takes the task out of the target.
        """
        self._found = None
        each = np.atleast_1d(np.asarray(tasks)), np.atleast_1d(np.asarray(scores))
        if self._single and np.ndim(tasks) and isinstance(self._resamples, PairedResamples):
            self._many = True
            self._resamples.observe_order(*each)
        else:
            self._resamples.observe(*each)

    def interval(self) -> Interval:
        """Bound the rank as calibrated."""
        if self._found is None:
            self._found = self._interval()
        return self._found

    def _interval(self) -> Interval:
        known, left, total = self._resamples.reach()
        if self._single and not self._many and not total[0]:
            return unknown(self._n_reference)[0]
        estimate, resampled = self._resamples.scores()
        away = np.sort(resampled - estimate[:, None], axis=1)
        below, above = self._quantiles(away), -self._quantiles(-away[:, ::-1])
        centre = estimate[:, None]
        low, high = _reachable(
            centre + below, centre + above, centre, known, left, total, self._resamples.binary
        )
        rank, best, worst = self._ranks(centre, low, high)
        score = np.clip(centre, low, high)
        early = (total == 0.0)[:, None]
        if early.any():
            n_reference = self._n_reference
            best, rank = np.where(early, 1, best), np.where(early, 1, rank)
            worst = np.where(early, n_reference + 1, worst)
            low, high, score = (np.where(early, np.nan, each) for each in (low, high, score))
        found = Interval(rank, best, worst, score, low, high)
        if not (self._many or self._single):
            return found
        one = (slice(None), 0) if self._many else (0, 0)
        return Interval(*(getattr(found, each.name)[one] for each in fields(found)))

    def _ranks(
        self, centre: FloatArray, low: FloatArray, high: FloatArray
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Rank of the estimate, and its bounds, each of shape (candidates, n_multipliers)."""
        resamples = self._resamples
        if isinstance(resamples, PredictedResamples):
            middle = np.broadcast_to(centre, low.shape)
            return resamples.among.ranks(middle, low, high, self._multipliers)
        best, worst = (_count_above(edge, resamples.references) for edge in (high, low))
        return np.clip(_count_above(centre, resamples.references), best, worst), best, worst

    def _quantiles(self, ascending: FloatArray) -> FloatArray:
        """Distances below the estimate, at most 0, shape (candidates, n_multipliers)."""
        part = self._part
        at = ascending[:, self._place] * (1.0 - part) + ascending[:, self._place + 1] * part
        return np.asarray(np.minimum(at, 0.0) * self._stretch)

    def least_half_width(self, run: IntArray, left: IntArray) -> FloatArray:
        """Return the least half width of the score bounds after `left` more tasks."""
        resamples = self._resamples
        if isinstance(resamples, PairedResamples):
            more = np.broadcast_to(left, self.tasks.shape).reshape(-1)
            half = resamples.least_half_width(more, self._multipliers)
        elif self._best_case is None:
            return np.full(np.shape(left), np.nan)
        else:
            rows = np.broadcast_to(run + left, self.tasks.shape).reshape(-1)
            half = self._best_case.half_width(rows, self._multipliers)
        if self._many:
            return half[:, 0]
        return half[0, 0] if self._single else half

    def diagnose(self) -> Diagnostics:
        """Return the shares of the resamples, for chances as much wider as the bounds are made.

        `Diagnostics.naive` is the bootstrap rank confidence: the share of resamples whose rank lies
        inside the bounds.
        """
        known, left, total = self._resamples.reach()
        resamples = self._resamples
        references = (
            resamples.among.first.scores
            if isinstance(resamples, PredictedResamples)
            else resamples.references[0]
        )
        if not total[0]:
            return unknown(references.size)[1]
        estimate, resampled = (each[0] for each in self._resamples.scores())
        found = self.interval()
        steps = total[0] if np.all(self._resamples.binary) else 0.0
        rounded = np.round(resampled * steps) / steps if steps else resampled
        low, high = known[0] / total[0], (known[0] + left[0]) / total[0]
        ranks = _count_above(np.clip(rounded, low, high)[None], references)
        inside = (ranks >= int(found.low)) & (ranks <= int(found.high))
        wide = np.sort(np.clip(estimate + (resampled - estimate) * self._wider, low, high))
        under = np.searchsorted(wide, references + TIE, side="right")
        return Diagnostics(naive=float(inside.mean()), better=1.0 - under / wide.size)


def _reachable(
    low: FloatArray,
    high: FloatArray,
    centre: FloatArray,
    known: FloatArray,
    left: FloatArray,
    total: FloatArray,
    binary: bool | NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray]:
    """Keep bounds to what can be reached; of 0 and 1 they move inwards to a reachable score."""
    known, left, total = known[:, None], left[:, None], np.maximum(total, 1.0)[:, None]
    low = np.clip(low, known / total, (known + left) / total)
    high = np.clip(high, known / total, (known + left) / total)
    lattice = np.reshape(binary, (-1, 1))
    if lattice.any():
        inner_low = (known + np.ceil(low * total - known - 1e-6)) / total
        inner_high = (known + np.floor(high * total - known + 1e-6)) / total
        nearest = (known + np.clip(np.round(centre * total - known), 0.0, left)) / total
        empty = inner_low > inner_high
        low = np.where(lattice, np.where(empty, nearest, inner_low), low)
        high = np.where(lattice, np.where(empty, nearest, inner_high), high)
    return low, high


def _count_above(scores: FloatArray, references: FloatArray) -> IntArray:
    """Rank of each score, shape (candidates, n): 1 + number of references strictly above."""
    if references.ndim > 1 and references.shape[0] == 1:
        references = references[0]
    if references.ndim == 1:
        ordered = np.sort(references)
        return np.asarray(1 + ordered.size - np.searchsorted(ordered, scores + TIE, side="right"))
    return np.asarray(1 + np.sum(references[:, None, :] > scores[:, :, None] + TIE, axis=2))
