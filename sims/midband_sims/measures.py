"""Measures: how near a reduced run came to the full one, each with its definition."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
GAP_BUCKETS = ((0.0, 2.0), (2.0, 5.0), (5.0, 10.0), (10.0, 100.0))


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its confidence limits; all NaN where nothing was observed."""

    estimate: float
    low: float
    high: float


def spearman(estimates: FloatArray, truth: FloatArray) -> float:
    """Spearman's rho: Pearson correlation of the average ranks of two score lists.

    Pairs with a NaN on either side are left out. NaN with fewer than three pairs, or where one
    list is constant: an order cannot be judged there.
    """
    return float(spearman_rows(estimates[None, :], truth)[0])


def spearman_rows(estimates: FloatArray, truth: FloatArray) -> FloatArray:
    """Spearman's rho of every row of `estimates`, shape (n, agents), against `truth`."""
    out = np.full(len(estimates), np.nan)
    known = ~np.isnan(estimates) & ~np.isnan(truth)
    for row in range(len(estimates)):
        mask = known[row]
        if mask.sum() < 3:
            continue
        first = stats.rankdata(estimates[row, mask])
        second = stats.rankdata(truth[mask])
        first, second = first - first.mean(), second - second.mean()
        scale = np.sqrt(np.sum(first**2) * np.sum(second**2))
        if scale > 0:
            out[row] = np.sum(first * second) / scale
    return out


def kendall(estimates: FloatArray, truth: FloatArray) -> float:
    """Kendall's tau-b: (concordant - discordant) over the geometric mean of the untied pairs.

    NaN under the same conditions as `spearman`.
    """
    known = ~np.isnan(estimates) & ~np.isnan(truth)
    x, y = estimates[known], truth[known]
    if len(x) < 3:
        return float("nan")
    upper = np.triu_indices(len(x), 1)
    a = np.sign(x[:, None] - x[None, :])[upper]
    b = np.sign(y[:, None] - y[None, :])[upper]
    scale = np.sqrt(np.sum(a != 0) * np.sum(b != 0))
    return float(np.sum(a * b) / scale) if scale > 0 else float("nan")


def pairwise_counts(
    *,
    candidate: float,
    references: FloatArray,
    true_candidate: float,
    true_references: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Right placings and pairs by true gap, for one candidate against its references.

    A reference counts as right if the candidate is on the same side of it by the estimate as by
    the full scores, as half right if the estimate ties. Full scores that tie have no right side
    and are left out, as are unknown scores.

    Parameters
    ----------
    candidate : float
    references : ndarray of float, shape (n_references,)
        Estimated scores on the same tasks; NaN if unknown.
    true_candidate, true_references
        Full scores in [0, 1].

    Returns
    -------
    right, pairs : ndarray of float, shape (4,)
        By true gap of 0-2, 2-5, 5-10 and more than 10 points (each gap belongs to the bucket whose
        upper end it does not exceed).
    """
    gap = true_candidate - true_references
    usable = ~np.isnan(references) & ~np.isnan(gap) & (gap != 0) & ~np.isnan(candidate)
    estimate = np.sign(candidate - references[usable])
    points = np.abs(gap[usable]) * 100
    score = np.where(estimate == 0, 0.5, np.where(estimate == np.sign(gap[usable]), 1.0, 0.0))
    bucket = np.searchsorted([high for _, high in GAP_BUCKETS[:-1]], points - 1e-9, side="left")
    right = np.bincount(bucket, weights=score, minlength=4).astype(float)
    pairs = np.bincount(bucket, minlength=4).astype(float)
    return right, pairs


def tied_rank(score: float, references: FloatArray) -> tuple[int, int]:
    """Best and worst rank that a score can claim among the references.

    Best is 1 + the number strictly better; worst adds the references that tie. Scores within 1e-9
    of each other tie: sums taken in another order differ in the last bits.
    """
    known = references[~np.isnan(references)]
    better = int(np.sum(known > score + 1e-9))
    ties = int(np.sum(np.abs(known - score) <= 1e-9))
    return better + 1, better + 1 + ties


def top_k_agreement(estimates: FloatArray, truth: FloatArray, k: int) -> float:
    """Share of the true top `k` that the estimates also put into their top `k`.

    Ties are broken by the order of the agents, in both lists alike. NaN with fewer than k agents.
    """
    known = ~np.isnan(estimates) & ~np.isnan(truth)
    x, y = estimates[known], truth[known]
    if k < 1 or len(x) < k:
        return float("nan")
    best = np.argsort(-x, kind="stable")[:k]
    true_best = np.argsort(-y, kind="stable")[:k]
    return len(set(best.tolist()) & set(true_best.tolist())) / k


def clopper_pearson(share: float, trials: int, *, confidence: float = 0.95) -> Interval:
    """Exact (Clopper-Pearson) interval of a proportion.

    Parameters
    ----------
    share : float
        Observed proportion; NaN where nothing was observed.
    trials : int
        Number of *independent* observations that it rests on. Replays of one candidate under
        several seeds share its outcomes, so studies give the number of candidates here; the
        number of successes ``share * trials`` may then be fractional.
    confidence : float
        Chance that the interval holds the true proportion, for independent trials.
    """
    if trials < 1 or np.isnan(share):
        return Interval(estimate=float("nan"), low=float("nan"), high=float("nan"))
    alpha = 1 - confidence
    hits = share * trials
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(alpha / 2, hits, trials - hits + 1))
    high = 1.0 if hits >= trials else float(stats.beta.ppf(1 - alpha / 2, hits + 1, trials - hits))
    return Interval(estimate=share, low=low, high=high)


def quartiles(values: FloatArray) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of the known values; NaN if none is known."""
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan"), float("nan"), float("nan")
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def mean_known(values: FloatArray) -> float:
    """Mean of the known values; NaN if none is known."""
    return _mean(values)


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
