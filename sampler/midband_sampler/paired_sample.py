"""Finished results of two agents on the same tasks: how far one is above the other.

Two questions can be asked of them. On *these tasks* the difference is known, up to results that
are missing. With the tasks as a *sample* of tasks like them, it is the mean of all such tasks, and
has bounds. Both agents' luck in the recorded runs is part of that sample.

Each difference d_j lies in [-1, 1], and nothing else is assumed of it. The lower bound at error a
is the a-quantile of

    W_1 d_1 + ... + W_n d_n + W_0 (-1),    W ~ Dirichlet(1, ..., 1),

and the upper one mirrors it: the Bayesian bootstrap with one more result, the worst that there can
be (Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a
nonnegative variable", Mathematical Methods of Statistics 14, 2005). For d with two values it is the
exact bound of Clopper and Pearson. For others no case is known in which it fails, though a proof is
missing (Phan, Thomas and Learned-Miller, "Towards practical mean bounds for small samples", ICML
2021). It does not rely on n being large, and differences that are all alike do not make it sure.

Tasks in clusters (the repository that a task is about) are not drawn one by one. The variance is
then that of the clusters' sums, with the correction of Bell and McCaffrey for few and unequal
clusters (CR2; Survey Methodology 28, 2002) and a t distribution with their degrees of freedom.
These are worked out for independent tasks and for tasks that only differ between clusters, and the
smaller number counts. The bounds are the outer ones of these and of those without clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from midband_history import FloatArray, InputError
from midband_sampler.stopping.base import check_confidence

Scores = tuple[FloatArray, FloatArray, FloatArray]
Target = Literal["sample", "tasks"]

BASES = {
    "tasks": "these tasks, known from the results",
    "sample": "tasks as a sample, Gaffke's bound for bounded differences",
    "clusters": "clusters as a sample, cluster-robust t and Gaffke's bound",
}
_DRAWS = 20_000
_AT_ONCE = 2_000_000
_MOST_VALUES = 1_000
_STEP = 1.0 / 500


@dataclass(frozen=True, kw_only=True)
class PairedSample:
    """How far a candidate is above a baseline, by finished results on the same tasks.

    Parameters
    ----------
    estimate : float
        Mean difference over the tasks where both have a result, in [-1, 1]; NaN without any.
    low, high : float
        Its bounds; each holds with the confidence that was asked for, whatever the missing results
        would have been.
    tasks : int
    clusters : int or None
        None where tasks count one by one.
    basis : str
        What the bounds rest on.
    """

    estimate: float
    low: float
    high: float
    tasks: int
    clusters: int | None
    basis: str


def compare_results(
    candidate: Scores,
    baseline: Scores,
    *,
    confidence: float,
    target: Target = "sample",
    clusters: Sequence[str] | None = None,
    seed: int = 0,
) -> PairedSample:
    """Bound the mean of candidate minus baseline.

    Parameters
    ----------
    candidate, baseline : tuple of three ndarray of float64, shape (n_tasks,)
        Mean score of each task's attempts, in [0, 1]: without the attempts that have no result (NaN
        where none has), with these told as 0, and with these told as 1.
    confidence : float
        Chance that the lower bound holds, and that the upper one does. In (0.5, 1).
    target : {"sample", "tasks"}
        Whether the tasks count as a sample of tasks like them.
    clusters : sequence of str, optional
        The cluster of each task; only of use where the tasks are a sample.
    seed : int
        Of the draws behind the quantiles.

    Raises
    ------
    InputError
        There is no task, one cluster only, or a confidence out of range.
    """
    check_confidence(confidence)
    least, most = candidate[1] - baseline[2], candidate[2] - baseline[1]
    difference = candidate[0] - baseline[0]
    known = ~np.isnan(difference)
    if not least.size:
        msg = "expected tasks that both agents ran, got none: name results of one benchmark"
        raise InputError(msg)
    estimate = float(difference[known].mean()) if known.any() else math.nan
    groups = None
    if target == "tasks":
        low, high, basis = float(least.mean()), float(most.mean()), BASES["tasks"]
    else:
        error, basis = 1.0 - confidence, BASES["sample"]
        low = _lowest_mean(least, error=error, seed=seed)
        high = -_lowest_mean(-most, error=error, seed=seed)
        if clusters is not None:
            low = min(low, _lowest_by_clusters(least, clusters, error=error))
            high = max(high, -_lowest_by_clusters(-most, clusters, error=error))
            groups, basis = len(set(clusters)), BASES["clusters"]
    return PairedSample(
        estimate=estimate,
        low=max(low, -1.0),
        high=min(high, 1.0),
        tasks=least.size,
        clusters=groups,
        basis=basis,
    )


def _lowest_mean(values: FloatArray, *, error: float, seed: int) -> float:
    """Bound the mean of values in [-1, 1] from below; see the head of this module.

    The quantile is estimated from draws. It is taken two standard errors of its level too low.
    Where there are more than a thousand different values they are rounded down to multiples of
    1/500.
    """
    found, counts = np.unique(values, return_counts=True)
    if found.size > _MOST_VALUES:
        found, counts = np.unique(np.floor(values / _STEP) * _STEP, return_counts=True)
    found = np.concatenate([[-1.0], np.maximum(found, -1.0)])
    shape = np.concatenate([[1.0], counts])
    rng = np.random.default_rng(seed)
    means: list[FloatArray] = []
    size = max(_AT_ONCE // found.size, 1)
    for first in range(0, _DRAWS, size):
        weights = rng.standard_gamma(shape, size=(min(size, _DRAWS - first), found.size))
        means.append(weights @ found / weights.sum(axis=1))
    level = error - 2.0 * math.sqrt(error * (1.0 - error) / _DRAWS)
    place = int(max(level, 0.0) * _DRAWS)
    return float(np.sort(np.concatenate(means))[place])


def _lowest_by_clusters(values: FloatArray, clusters: Sequence[str], *, error: float) -> float:
    """Bound the mean from below with the clusters as the unit; see the head of this module."""
    names, which = np.unique(np.asarray(clusters), return_inverse=True)
    if names.size < 2:
        msg = (
            f"expected tasks of several clusters, got {names.size} of {values.size} tasks"
            f" ({names[0]!r}): leave --cluster out, or choose another column"
        )
        raise InputError(msg)
    size = np.bincount(which).astype(np.float64)
    total = size.sum()
    mean = float(values.mean())
    left = np.bincount(which, weights=values - mean)
    # Without regressors but the mean, CR2 divides a cluster's sum by sqrt(1 - its share).
    scale = 1.0 / (total * np.sqrt(1.0 - size / total))
    variance = float(((scale * left) ** 2).sum())
    freedom = min(_freedom(size, scale, alike=False), _freedom(size, scale, alike=True))
    return mean - float(stdtrit(freedom, 1.0 - error)) * math.sqrt(variance)


def _freedom(size: FloatArray, scale: FloatArray, *, alike: bool) -> float:
    """Degrees of freedom by Satterthwaite of the sum of squares of the scaled cluster sums.

    Parameters
    ----------
    size : ndarray of float64, shape (n_clusters,)
    scale : ndarray of float64, shape (n_clusters,)
        What each cluster's sum about the mean is multiplied by.
    alike : bool
        Whether the tasks of a cluster are taken to differ from the mean together, or one by one.
    """
    # Cluster sums have covariance diag(own). About the mean of all each loses its share of them, so
    # that entry i, j is scale_i scale_j (own_i [i = j] - share_i own_j - own_i share_j + share_i
    # share_j total). Trace and sum of squares follow without the matrix.
    share, own, weight = size / size.sum(), size**2 if alike else size, scale**2
    total = own.sum()
    by_share, by_both, by_own = (
        float((weight * each).sum()) for each in (share**2, share * own, own**2)
    )
    common = total * share**2 - 2.0 * share * own
    trace = (weight * (own + common)).sum()
    squares = 2.0 * by_share * by_own + 2.0 * by_both**2 + (total * by_share) ** 2
    squares += (weight**2 * own * (own + 2.0 * common)).sum() - 4.0 * total * by_share * by_both
    return float(trace**2 / squares)
