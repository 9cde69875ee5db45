"""Rank sets: where every agent of a history may rank, all of them right at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix

READINGS = ("tasks like these", "these tasks")
_BLOCK = 16_000_000
_TIE = 1e-6
_FEWEST_REPEATS = 40

_Largest = Callable[[NDArray[np.bool_]], FloatArray]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Differences of all ordered pairs, and how large they would be by chance alone.

    Parameters
    ----------
    difference, error : ndarray of float64, shape (n_agents, n_agents)
        Mean score of the row's agent less the column's, with its standard error; infinite where
        two agents have fewer than two tasks in common.
    largest : callable
        The largest studentised deviation of each resample among the pairs of a mask.
    """

    difference: FloatArray
    error: FloatArray
    largest: _Largest


def rank_sets(
    matrix: OutcomeMatrix,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    reading: str = "tasks like these",
) -> tuple[IntArray, IntArray]:
    """Bound the rank of every agent, all at once (Mogstad, Romano, Shaikh, Wilhelm 2024).

    With D_jk the mean difference of two agents over their common tasks, s_jk its standard error and
    c the `confidence` quantile of the largest studentised deviation of all pairs in a bootstrap,
    agent j is worse than every k with D_kj > c s_kj and better than every k with D_jk > c s_jk; the
    rest may be level. Pairs that are told apart leave the maximum, and the others are judged again
    until no more pair is told apart (Romano and Wolf 2005).

    Departures from the paper: a resample gives every task a random sign, the same for all agents,
    and s_jk is the root of the summed squares of the differences, not taken about their mean. For
    two agents that are equally good this is their exact randomisation test, however few the tasks.
    Two agents that never differ, and those whose difference is as large as c s, are not told apart.

    Parameters
    ----------
    matrix : OutcomeMatrix
        At least two agents and two tasks. Missing cells are left out of the pairs they touch.
    confidence : float
        Chance that the sets of all agents cover at once. In (0, 1).
    resamples : int
        At least 200.
    seed : int
    reading : str
        ``"tasks like these"``: ranks by the score on all tasks of the kind. The tasks are a sample,
        and an agent's luck in its attempts, one or many, is part of the differences between tasks.
        ``"these tasks"``: ranks by the chance to solve these very tasks; only attempts are a
        sample, of which every cell needs two, and every agent 40 more than it ran tasks.

    Returns
    -------
    low, high : ndarray of int64, shape (n_agents,)
        1 = best.
    """
    if not 0.0 < confidence < 1.0:
        msg = f"expected 0 < confidence < 1, got {confidence:g}: 0.95 is usual"
        raise InputError(msg)
    if resamples < 200:
        msg = f"expected resamples >= 200, got {resamples}: fewer cannot carry a 95 % bound"
        raise InputError(msg)
    if len(matrix.agents) < 2 or len(matrix.tasks) < 2:
        found = f"{len(matrix.agents)} agents, {len(matrix.tasks)} tasks"
        msg = f"expected at least 2 agents and 2 tasks to rank, got {found}: import more results"
        raise InputError(msg)
    if reading not in READINGS:
        msg = f"expected a reading among {', '.join(map(repr, READINGS))}, got {reading!r}"
        raise InputError(msg)
    generator = np.random.default_rng(seed)
    if reading == "these tasks":
        pairs = _over_attempts(matrix, resamples, generator)
    else:
        pairs = _over_tasks(matrix.scores, resamples, generator)
    apart = _told_apart(pairs, confidence)
    return 1 + apart.sum(axis=0), len(matrix.agents) - apart.sum(axis=1)


def _told_apart(pairs: _Pairs, confidence: float) -> NDArray[np.bool_]:
    """Whether the row's agent is better than the column's, shape (n_agents, n_agents)."""
    n_agents = len(pairs.difference)
    apart = np.zeros((n_agents, n_agents), dtype=bool)
    open_pairs = ~np.eye(n_agents, dtype=bool) & np.isfinite(pairs.error)
    while open_pairs.any():
        critical = np.quantile(pairs.largest(open_pairs), confidence, method="higher")
        more = open_pairs & (pairs.difference > critical * pairs.error * (1.0 + _TIE))
        if not more.any():
            break
        apart |= more
        open_pairs &= ~more
    return apart


def _over_tasks(scores: FloatArray, resamples: int, generator: np.random.Generator) -> _Pairs:
    """Take the tasks as the sample: multiply each task's differences by a random sign."""
    signs = np.where(generator.random((resamples, scores.shape[1])) < 0.5, -1.0, 1.0)
    known = ~np.isnan(scores)
    present, filled = known.astype(float), np.where(known, scores, 0.0)
    common = present @ present.T
    usable = common >= 2
    count = np.where(usable, common, np.nan)
    sums = filled @ present.T  # of the row's scores over the tasks that both ran
    difference = (sums - sums.T) / count
    squares = (filled**2) @ present.T
    total = np.maximum(squares + squares.T - 2.0 * filled @ filled.T, 0.0)
    error = np.where(usable, np.sqrt(total) / count, np.inf)
    if known.all():
        largest = _largest_of_agents(signs @ scores.T / scores.shape[1], error)
    else:
        largest = _largest_of_pairs(filled, known, error, signs)
    return _Pairs(np.where(usable, difference, 0.0), error, largest)


def _over_attempts(matrix: OutcomeMatrix, resamples: int, generator: np.random.Generator) -> _Pairs:
    """Take the attempts as the sample: their mean over many tasks is near normal."""
    known = matrix.attempts > 0
    once = known & (matrix.attempts < 2)
    if once.any() or not known.all():
        found = int(once.sum()) + int((~known).sum())
        msg = (
            f"expected at least 2 attempts of every agent at every task, got fewer in {found}"
            " cells: use the reading 'tasks like these'"
        )
        raise InputError(msg)
    repeats = int((matrix.attempts - 1).sum(axis=1).min())
    if repeats < _FEWEST_REPEATS:
        msg = (
            f"expected at least {_FEWEST_REPEATS} repeated attempts of every agent, got {repeats}:"
            " fewer do not tell how much attempts vary; use the reading 'tasks like these'"
        )
        raise InputError(msg)
    within = np.nanvar(matrix.attempt_scores, axis=2, ddof=1) / matrix.attempts
    n_tasks = len(matrix.tasks)
    own = np.sqrt(within.sum(axis=1)) / n_tasks
    means = matrix.scores.mean(axis=1)
    error = np.sqrt(own[:, None] ** 2 + own**2)
    deviation = generator.standard_normal((resamples, own.size)) * own
    difference = means[:, None] - means
    return _Pairs(difference, error, _largest_of_agents(deviation, error))


def _largest_of_agents(deviation: FloatArray, error: FloatArray) -> _Largest:
    """From the deviation of each agent in each resample, shape (resamples, n_agents)."""
    rows = max(_BLOCK // error.size, 1)
    scale = np.divide(1.0, error, out=np.zeros(error.shape), where=error > 0.0)

    def largest(open_pairs: NDArray[np.bool_]) -> FloatArray:
        weight = np.where(open_pairs, scale, 0.0).astype(np.float32)
        found = []
        for start in range(0, len(deviation), rows):
            part = deviation[start : start + rows].astype(np.float32)
            ratio = (part[:, :, None] - part[:, None, :]) * weight
            found.append(ratio.max(axis=(1, 2)))
        return np.concatenate(found).astype(float)

    return largest


def _largest_of_pairs(
    filled: FloatArray,
    known: NDArray[np.bool_],
    error: FloatArray,
    signs: FloatArray,
) -> _Largest:
    """From the common tasks of each pair: slower, for histories with missing cells."""
    signs32, filled32 = signs.astype(np.float32), filled.astype(np.float32)
    upper = np.triu((error > 0.0) & np.isfinite(error))

    def largest(open_pairs: NDArray[np.bool_]) -> FloatArray:
        found = np.zeros(len(signs), dtype=np.float32)
        rows, columns = np.nonzero(upper & (open_pairs | open_pairs.T))
        step = max(_BLOCK // (filled.shape[1] + len(signs)), 1)
        for start in range(0, rows.size, step):
            j, k = rows[start : start + step], columns[start : start + step]
            both = known[j] & known[k]
            differences = (filled32[j] - filled32[k]) * both
            scale = (both.sum(axis=1) * error[j, k]).astype(np.float32)
            ratio = signs32 @ (differences / scale[:, None]).T
            for ordered, side in ((open_pairs[j, k], ratio), (open_pairs[k, j], -ratio)):
                found = np.maximum(found, side[:, ordered].max(axis=1, initial=0.0))
        return found.astype(float)

    return largest
