"""Baselines: what noise allows at best, and what tasks picked by chance would have reached."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import OutcomeMatrix
from midband_sims._measures import kendall, mean_known, spearman
from midband_sims._protocols import has_repeats
from midband_sims._replay import draw_candidate

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
    """Agreement with the truth in each of several draws, all of shape (draws,); NaN if undefined.

    Parameters
    ----------
    spearman, kendall : ndarray of float
        Of the candidates' scores; see `spearman` and `kendall` of the measures.
    pairwise_accuracy : ndarray of float
        Share of (candidate, reference) pairs on the right side; ties of the estimate count half,
        true ties not at all.
    rank_error : ndarray of float
        Mean distance of the candidate's rank among its references from its true rank.
    """

    spearman: FloatArray
    kendall: FloatArray
    pairwise_accuracy: FloatArray
    rank_error: FloatArray


@dataclass(frozen=True, kw_only=True)
class Placing:
    """One candidate, whom it is ranked against, and how many tasks it may run."""

    candidate: int
    references: tuple[int, ...]
    tasks: int


def random_subsets(
    matrix: OutcomeMatrix,
    placings: Sequence[Placing],
    *,
    seed: int,
    draws: int = 100,
    fresh_truth: bool = False,
) -> Agreement:
    """Rank candidates on tasks picked by chance, as many for each as its policy ran.

    In one draw all candidates run the tasks in one random order, each up to its own number among
    those it has results for; references are averaged over the same stretch of the order. One
    order for all is how a fixed random subset is used; a subset of its own for each
    candidate ranks worse (the study's random column does that).

    Parameters
    ----------
    fresh_truth : bool
        Hand out one random attempt a task and judge by the others, as protocol self does.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, 4]))
    rows = np.array([placing.candidate for placing in placings])
    sizes = np.array([max(placing.tasks, 1) for placing in placings])
    against = np.zeros((len(matrix.agents), len(placings)), dtype=bool)
    for place, placing in enumerate(placings):
        against[list(placing.references), place] = True
    full = matrix.full_scores()
    results = np.full((4, draws), np.nan)
    for draw in range(draws):
        scores, truth = matrix.scores, full[rows]
        if fresh_truth:
            drawn = [draw_candidate(matrix, int(i), generator, fresh_truth=True) for i in rows]
            truth = np.array([each.truth for each in drawn])
            own_scores = np.array([each.scores for each in drawn])
        else:
            own_scores = scores[rows]
        order = generator.permutation(scores.shape[1])
        own = _prefix_means(own_scores[:, order])
        reach = np.array(
            [
                np.searchsorted(count, min(size, count[-1]))
                for count, size in zip(own[1], sizes, strict=True)
            ]
        )
        estimate = own[0][np.arange(len(rows)), reach]
        others = _prefix_means(scores[:, order])[0][:, reach]
        results[:, draw] = _agreement(estimate, others, truth, full, against)
    return Agreement(
        spearman=results[0],
        kendall=results[1],
        pairwise_accuracy=results[2],
        rank_error=results[3],
    )


def noise_ceiling(
    matrix: OutcomeMatrix, agents: Sequence[int], *, seed: int, draws: int = 100
) -> Agreement:
    """Rank agents by one full run each against the truth of their other attempts.

    One attempt is drawn for every (agent, task); the mean of it over all tasks is ranked against
    the mean of the attempts not drawn. No policy that sees one attempt a task can be expected to
    rank better than this. All NaN unless at least three of the agents tried most tasks twice.
    """
    rows = [i for i in agents if has_repeats(matrix, i)]
    if len(rows) < 3:
        nothing = np.full(1, np.nan)
        return Agreement(
            spearman=nothing, kendall=nothing, pairwise_accuracy=nothing, rank_error=nothing
        )
    generator = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    against = ~np.eye(len(rows), dtype=bool)
    full = matrix.full_scores()[rows]
    results = np.full((4, draws), np.nan)
    for draw in range(draws):
        drawn = [draw_candidate(matrix, i, generator, fresh_truth=True) for i in rows]
        single = np.array([float(np.nanmean(each.scores)) for each in drawn])
        rest = np.array([each.truth for each in drawn])
        others = np.repeat(full[:, None], len(rows), axis=1)
        results[:, draw] = _agreement(single, others, rest, full, against)
    return Agreement(
        spearman=results[0],
        kendall=results[1],
        pairwise_accuracy=results[2],
        rank_error=results[3],
    )


def _prefix_means(scores: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """Mean of the known values of each prefix (NaN before the first), and their number."""
    known = ~np.isnan(scores)
    count = np.cumsum(known, axis=1)
    total = np.cumsum(np.where(known, scores, 0.0), axis=1)
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return means, count


def _agreement(
    estimate: FloatArray,
    others: FloatArray,
    truth: FloatArray,
    full: FloatArray,
    against: NDArray[np.bool_],
) -> tuple[float, float, float, float]:
    """Agreement of one draw; `others` and `against` have shape (agents, candidates)."""
    gap = truth[None, :] - full[:, None]
    usable = against & ~np.isnan(gap) & ~np.isnan(others) & ~np.isnan(estimate)[None, :]
    gap = np.where(np.abs(gap) <= 1e-9, 0.0, gap)
    lead = np.sign(np.round(estimate[None, :] - others, 9))
    right = np.where(lead == 0, 0.5, lead == np.sign(gap))
    sided = usable & (gap != 0)
    pairwise = float(right[sided].mean()) if sided.any() else float("nan")
    rank = 1 + np.sum(usable & (lead < 0), axis=0)
    best = 1 + np.sum(usable & (gap < 0), axis=0)
    worst = best + np.sum(usable & (gap == 0), axis=0)
    error = np.maximum(0, np.maximum(best - rank, rank - worst)).astype(float)
    return spearman(estimate, truth), kendall(estimate, truth), pairwise, mean_known(error)
