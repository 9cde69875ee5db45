"""Candidates: recorded agents that play the new one."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError, OutcomeMatrix

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """What a recorded agent answers when it plays the new one.

    Parameters
    ----------
    name : str
    scores : ndarray of float, shape (n_tasks,)
        Result that the replay hands out for each task; NaN where there is none.
    truth : float
        Full score to be judged against.
    cost_usd, duration_s : ndarray of float, shape (n_tasks,)
        Cost and duration of the attempts handed out; NaN if unknown.
    cost_basis : str
        ``"cost per task"``, ``"run cost spread evenly"`` or ``"unknown"``.
    attempts : ndarray of float, shape (n_tasks, n_attempts)
        Results of the single attempts, for plans that ask for several.
    """

    name: str
    scores: FloatArray
    truth: float
    cost_usd: FloatArray
    duration_s: FloatArray
    cost_basis: str
    attempts: FloatArray


def draw_candidate(
    matrix: OutcomeMatrix,
    agent: int,
    generator: np.random.Generator,
    *,
    attempts: int = 0,
    fresh_truth: bool = False,
) -> Candidate:
    """Let a recorded agent play the new one.

    Parameters
    ----------
    matrix : OutcomeMatrix
    agent : int
        Its row.
    generator : numpy.random.Generator
        Draws the attempts, without replacement.
    attempts : int
        Attempts a task whose mean is handed out; 0 for all of them.
    fresh_truth : bool
        Judge by the attempts that were not drawn, over the tasks that have some left; at least one
        attempt is then drawn, and one kept back. Otherwise the truth is the mean over all tasks of
        all attempts: the rank that a full run containing the subset would have shown.
    """
    if attempts < 0:
        msg = f"expected attempts >= 0, got {attempts}: 0 stands for all"
        raise InputError(msg)
    each = matrix.attempt_scores[agent]
    counts = matrix.attempts[agent]
    if fresh_truth:
        draw = np.minimum(max(attempts, 1), np.maximum(counts - 1, 1))
    else:
        draw = counts if attempts == 0 else np.minimum(attempts, counts)
    if not fresh_truth and attempts == 0:
        scores = matrix.scores[agent].copy()
    else:
        key = np.where(np.isnan(each), np.inf, generator.random(each.shape))
        rank = np.argsort(np.argsort(key, axis=1), axis=1)
        scores = _mean_where(each, (rank < draw[:, None]) & ~np.isnan(each))
    if fresh_truth:
        rest = _mean_where(each, (rank >= draw[:, None]) & ~np.isnan(each))
        truth = float(np.nanmean(rest))
    else:
        truth = float(np.nanmean(matrix.scores[agent]))
    cost, basis = _costs(matrix, agent)
    return Candidate(
        name=matrix.agents[agent],
        scores=scores,
        truth=truth,
        cost_usd=cost,
        duration_s=matrix.duration_s[agent],
        cost_basis=basis,
        attempts=each,
    )


def _mean_where(values: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    count = mask.sum(axis=1)
    total = np.where(mask, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def _costs(matrix: OutcomeMatrix, agent: int) -> tuple[FloatArray, str]:
    cost = matrix.cost_usd[agent]
    ran = matrix.attempts[agent] > 0
    if not np.isnan(cost[ran]).any():
        return cost, "cost per task"
    whole = float(matrix.run_cost_usd[agent])
    if math.isnan(whole):
        return np.full(cost.shape, np.nan), "unknown"
    return np.where(ran, whole / max(int(ran.sum()), 1), np.nan), "run cost spread evenly"
