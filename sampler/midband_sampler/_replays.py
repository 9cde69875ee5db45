"""Replays: the history's own agents as candidates, each against a model that has not seen it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler._attempts import AttemptPrediction, Attempts
from midband_sampler._costs import expected_usd
from midband_sampler._model import PredictionModel
from midband_sampler._prediction import rank_bounds
from midband_sampler._reach import Reach
from midband_sampler._steering import is_live
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.snapshot import Snapshot

if TYPE_CHECKING:
    from midband_sampler._strategies import Chooser

_MAX_FOLDS = 10


@dataclass(frozen=True, eq=False)
class Fold:
    """Agents held out together, and the rest of the history with its fitted model."""

    history: OutcomeMatrix
    candidates: OutcomeMatrix
    model: PredictionModel
    attempts: Attempts | None = None
    costs: FloatArray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Replays:
    """How a policy went on every agent of a history, for each width of interval.

    Parameters
    ----------
    covered : ndarray of bool, shape (n_replays, n_multipliers)
        Whether the interval at the stop held the true rank.
    run : ndarray of float64, shape (n_replays, n_multipliers)
        Share of the benchmark's tasks run until the stop.
    error : ndarray of float64, shape (n_replays, n_multipliers)
        Estimated less true full score at the stop.
    spent : ndarray of float64, shape (n_replays, n_multipliers)
        Share of the expected cost of all tasks that ran until the stop; NaN without costs.
    """

    covered: NDArray[np.bool_]
    run: FloatArray
    error: FloatArray
    spent: FloatArray


def make_folds(
    matrix: OutcomeMatrix, attempts: Attempts | None = None, costs: FloatArray | None = None
) -> tuple[list[Fold], str]:
    """Hold out each group of `hold_out_folds` in turn; fitted once for all strategies."""
    groups, held_out = hold_out_folds(matrix.scaffolds)
    everyone = np.arange(len(matrix.agents))
    folds = []
    for group in groups:
        history = matrix.select(agents=np.setdiff1d(everyone, group))
        candidates = matrix.select(agents=group)
        folds.append(Fold(history, candidates, PredictionModel.fit(history), attempts, costs))
    return folds, held_out


def hold_out_folds(scaffolds: tuple[str, ...]) -> tuple[list[IntArray], str]:
    """Group agents to hold out together: whole scaffolds where that leaves enough agents.

    At most ten groups; the largest scaffolds are dealt first to the smallest group. Agents of
    unknown scaffold stand for themselves.
    """
    n_agents = len(scaffolds)
    names = [name or f"\0{row}" for row, name in enumerate(scaffolds)]
    labels, counts = np.unique(names, return_counts=True)
    known = len({name for name in scaffolds if name})
    if known >= 2 and n_agents - counts.max() >= 4:
        sizes = [0] * min(_MAX_FOLDS, labels.size)
        group: dict[str, int] = {}
        for place in np.argsort(-counts, kind="stable"):
            smallest = sizes.index(min(sizes))
            group[str(labels[place])] = smallest
            sizes[smallest] += int(counts[place])
        fold, held_out = np.array([group[name] for name in names]), "scaffold"
    else:
        fold, held_out = np.arange(n_agents) % min(n_agents, _MAX_FOLDS), "agent"
    return [np.flatnonzero(fold == k).astype(np.int64) for k in np.unique(fold)], held_out


def replay_all(
    folds: Sequence[Fold],
    chooser: "Chooser",
    multipliers: FloatArray,
    *,
    rule: Rule,
    max_tasks: int | None,
    seed: int,
) -> Replays:
    """Replay a policy on every held-out agent, at every multiplier at once."""
    parts = [
        _replay(fold, chooser, multipliers, rule=rule, max_tasks=max_tasks, seed=seed)
        for fold in folds
    ]
    return Replays(
        covered=np.concatenate([part.covered for part in parts]),
        run=np.concatenate([part.run for part in parts]),
        error=np.concatenate([part.error for part in parts]),
        spent=np.concatenate([part.spent for part in parts]),
    )


def _replay(
    fold: Fold,
    chooser: "Chooser",
    multipliers: FloatArray,
    *,
    rule: Rule,
    max_tasks: int | None,
    seed: int,
) -> Replays:
    candidates = fold.candidates
    agents, references, others = _with_named(fold, rule)
    attempts = fold.attempts if is_live(chooser) else None
    most = 1 if attempts is None else attempts.most
    if attempts is not None:
        candidates = _first_attempts(candidates, most)
    n_candidates, n_tasks = candidates.scores.shape
    prediction = fold.model.predict(candidates=n_candidates, attempts=attempts)
    order = chooser.order(fold.history, prediction, rng=np.random.default_rng(seed))
    limit = min(order.size * most, max_tasks or order.size * most)
    scores = candidates.scores
    truth = candidates.full_scores()
    best, _ = rank_bounds(truth, truth, references)
    worst = 1 + np.sum(references[None, :] >= truth[:, None] - 1e-9, axis=1)
    expected_cost = expected_usd(fold.history)
    reach = Reach(prediction, None if is_live(chooser) else order) if rule.looks_ahead else None
    known = np.sum(~np.isnan(scores) if attempts is None else candidates.attempts, axis=1)
    shape = (n_candidates, multipliers.size)
    stopped, covered = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    run, error, spent = np.ones(shape), np.zeros(shape), np.ones(shape)
    costs = np.full(n_tasks, np.nan) if fold.costs is None else fold.costs
    paid, total = np.zeros(n_candidates), costs.sum() * most
    rows = np.arange(n_candidates)
    valid = np.zeros(n_candidates, dtype=np.int64)
    usd, seconds = np.zeros(n_candidates), np.zeros(n_candidates)
    for step in range(limit):
        tasks = chooser.choose(prediction, order, step)
        results = scores[rows, tasks]
        if isinstance(prediction, AttemptPrediction):
            results = candidates.attempt_scores[rows, tasks, prediction.made[rows, tasks]]
        prediction.observe(rows, tasks, results)
        told = candidates.cost_usd[rows, tasks]
        usd += np.where(np.isnan(told), expected_cost[tasks], told)
        seconds += candidates.duration_s[rows, tasks]
        paid += costs[tasks] / total
        valid += ~np.isnan(results)
        if valid.max() < rule.min_tasks and step + 1 < limit:
            continue
        low, high = prediction.bounds_each(multipliers)
        lowest, highest = rank_bounds(low, high, references)
        look = Snapshot(
            rank_low=lowest,
            rank_high=highest,
            score_low=low,
            score_high=high,
            tasks=valid[:, None],
            tasks_run=np.full((n_candidates, 1), step + 1),
            tasks_left=np.full((n_candidates, 1), limit - step - 1),
            usd=usd[:, None],
            seconds=seconds[:, None],
            reference_scores=references,
            reference_agents=agents,
            least_half_width=None
            if reach is None
            else partial(_least_half_width, reach, step + 1, multipliers),
        )
        settled = rule.stops(look)
        last = (step + 1 == limit) | (valid >= known)
        now = (settled | last[:, None]) & ~stopped
        held = (lowest <= worst[:, None]) & (highest >= best[:, None])
        if rule.claims_score:
            held &= (low <= truth[:, None] + 1e-9) & (high >= truth[:, None] - 1e-9)
        covered |= now & held
        run[now] = (step + 1) / (n_tasks * most)
        miss = (prediction.moments()[0] - truth)[:, None]
        error = np.where(now, miss, error)
        spent = np.where(now, paid[:, None], spent)
        stopped |= now
        if stopped.all():
            break
    return Replays(
        covered=covered[others], run=run[others], error=error[others], spent=spent[others]
    )


def _first_attempts(matrix: OutcomeMatrix, most: int) -> OutcomeMatrix:
    """Return what running everything so many times would have shown."""
    each = np.full((*matrix.scores.shape, most), np.nan)
    kept = matrix.attempt_scores[:, :, :most]
    each[:, :, : kept.shape[2]] = kept
    counts = np.sum(~np.isnan(each), axis=2).astype(np.int64)
    total = np.where(np.isnan(each), 0.0, each).sum(axis=2)
    scores = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
    return replace(matrix, scores=scores, attempts=counts, attempt_scores=each)


def _with_named(fold: Fold, rule: Rule) -> tuple[tuple[str, ...], FloatArray, NDArray[np.bool_]]:
    """Return the references with every agent that the rule names, and who is replayed.

    A named agent is known when the plan is used, so it is known to the replays, and ranked against:
    an interval that holds the rank then leaves no room for a wrong side. It is not replayed itself,
    for it can be neither better nor worse than itself.
    """
    named = set(rule.named_agents)
    is_named = np.array([agent in named for agent in fold.candidates.agents], dtype=bool)
    held_out = np.flatnonzero(is_named)
    agents = (*fold.history.agents, *(fold.candidates.agents[row] for row in held_out))
    truth = fold.candidates.full_scores()[held_out]
    return agents, np.concatenate([fold.model.reference_full_scores, truth]), ~is_named


def _least_half_width(
    reach: Reach, run: int, multipliers: FloatArray, left: IntArray
) -> FloatArray:
    return reach.half_width(run + left[:, 0], multipliers)
