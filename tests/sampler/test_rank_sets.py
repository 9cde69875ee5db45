"""Rank sets: the stated procedure, and that all of them are right at once."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import InputError, OutcomeMatrix
from midband_sampler import rank_sets


def by_the_book(
    scores: np.ndarray, confidence: float, resamples: int, seed: int
) -> tuple[list[int], list[int]]:
    """The procedure in plain loops, written from the paper's steps and our stated departures."""
    n_agents, n_tasks = scores.shape
    signs = np.where(np.random.default_rng(seed).random((resamples, n_tasks)) < 0.5, -1.0, 1.0)
    gap, error, chance = {}, {}, {}
    for j, k in itertools.permutations(range(n_agents), 2):
        both = ~np.isnan(scores[j]) & ~np.isnan(scores[k])
        if both.sum() < 2:
            continue
        d = (scores[j] - scores[k])[both]
        root = float(np.sqrt(np.sum(d**2)))
        gap[j, k], error[j, k] = float(d.mean()), root / both.sum()
        chance[j, k] = signs[:, both] @ d / root if root else np.zeros(resamples)
    better: set[tuple[int, int]] = set()
    while left := set(gap) - better:
        largest = np.max([chance[pair] for pair in sorted(left)], axis=0)
        critical = np.sort(largest)[int(np.ceil(confidence * (resamples - 1)))]
        found = {pair for pair in left if gap[pair] > critical * error[pair] * (1 + 1e-6)}
        if not found:
            break
        better |= found
    low = [1 + sum(worse == j for _, worse in better) for j in range(n_agents)]
    high = [n_agents - sum(over == j for over, _ in better) for j in range(n_agents)]
    return low, high


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("partial", [False, True])
def test_they_are_those_of_the_plain_loops(missing: float, partial: bool) -> None:
    told_apart = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        chance = np.linspace(0.05, 0.95, 7)[:, None]
        scores = rng.random((7, 60)) if partial else np.zeros((7, 60))
        scores = scores * 0.2 + (rng.random((7, 60)) < chance) * 0.8
        scores[rng.random(scores.shape) < missing] = np.nan
        matrix = OutcomeMatrix.from_scores(scores)
        low, high = rank_sets(matrix, confidence=0.9, resamples=400, seed=seed)
        assert (low.tolist(), high.tolist()) == by_the_book(matrix.scores, 0.9, 400, seed)
        told_apart += int(np.sum(high - low < 6))
    assert told_apart > 20


def wrongly_apart(
    ability: np.ndarray, n_tasks: int, repeats: int, seed: int, *, missing: float = 0.0
) -> int:
    """Count samples of tasks in which any set excludes a rank that ties allow."""
    rng = np.random.default_rng(seed)
    best = 1 + np.sum(ability[:, None] < ability - 1e-9, axis=1)
    worst = np.sum(ability[:, None] <= ability + 1e-9, axis=1)
    wrong = 0
    for repeat in range(repeats):
        difficulty = rng.normal(0, 1.3, n_tasks)
        chance = 1 / (1 + np.exp(difficulty - ability[:, None]))
        scores = (rng.random(chance.shape) < chance).astype(float)
        scores[rng.random(scores.shape) < missing] = np.nan
        matrix = OutcomeMatrix.from_scores(scores)
        low, high = rank_sets(matrix, confidence=0.9, resamples=400, seed=repeat)
        wrong += bool(np.any((low > best) | (high < worst)))
    return wrong


@pytest.mark.parametrize(
    ("ability", "n_tasks", "missing"),
    [
        (np.zeros(10), 50, 0.0),
        (np.repeat([-1.0, 0.0, 1.0], 4), 80, 0.0),
        (np.repeat([-0.5, 0.5], 4), 60, 0.2),
    ],
)
def test_all_sets_cover_at_once(ability: np.ndarray, n_tasks: int, missing: float) -> None:
    # Fails by chance below 1e-4 if 90 % of the samples have every set right.
    wrong = wrongly_apart(ability, n_tasks, 150, 1, missing=missing)
    assert binomtest(wrong, 150, 0.1, alternative="greater").pvalue > 1e-4


def test_clear_differences_are_told_apart() -> None:
    rng = np.random.default_rng(2)
    chance = np.array([0.95, 0.5, 0.5, 0.05])[:, None]
    scores = (rng.random((4, 200)) < chance).astype(float)
    low, high = rank_sets(OutcomeMatrix.from_scores(scores))
    assert low.tolist() == [1, 2, 2, 4]
    assert high.tolist() == [1, 3, 3, 4]


def test_equal_rows_share_their_rank() -> None:
    row = (np.random.default_rng(3).random(50) < 0.5).astype(float)
    low, high = rank_sets(OutcomeMatrix.from_scores(np.stack([row, row, np.ones(50)])))
    assert low.tolist() == [2, 2, 1]
    assert high.tolist() == [3, 3, 1]


def test_agents_without_common_tasks_are_not_told_apart() -> None:
    scores = np.full((2, 40), np.nan)
    scores[0, :20], scores[1, 20:] = 1.0, 0.0
    low, high = rank_sets(OutcomeMatrix.from_scores(scores))
    assert low.tolist() == [1, 1]
    assert high.tolist() == [2, 2]


@settings(max_examples=15, deadline=None)
@given(st.permutations(list(range(6))))
def test_relabelling_agents_relabels_the_sets(order: list[int]) -> None:
    rng = np.random.default_rng(4)
    matrix = OutcomeMatrix.from_scores(
        (rng.random((6, 60)) < np.linspace(0.1, 0.9, 6)[:, None]).astype(float)
    )
    low, high = rank_sets(matrix, resamples=300)
    low_again, high_again = rank_sets(matrix.select(agents=order), resamples=300)
    assert low_again.tolist() == low[order].tolist()
    assert high_again.tolist() == high[order].tolist()


def repeated(gap: float, seed: int) -> OutcomeMatrix:
    """Four attempts of six agents at tasks on which only the last agent is better by `gap`."""
    rng = np.random.default_rng(seed)
    chance = np.tile(rng.uniform(0.0, 1.0 - gap, 100), (6, 1))
    chance[5] += gap
    attempts = (rng.random((6, 100, 4)) < chance[:, :, None]).astype(float)
    return OutcomeMatrix.from_scores(attempts[:, :, 0], attempt_scores=attempts)


def test_repeated_attempts_bound_the_rank_on_these_tasks() -> None:
    # Fails by chance below 1e-4 if 90 % of the samples of attempts have every set right.
    wrong = 0
    for seed in range(150):
        low, high = rank_sets(
            repeated(0.0, seed), confidence=0.9, resamples=300, seed=seed, reading="these tasks"
        )
        wrong += bool(np.any((low > 1) | (high < 6)))
    assert binomtest(wrong, 150, 0.1, alternative="greater").pvalue > 1e-4
    assert binomtest(wrong, 150, 0.1, alternative="less").pvalue > 1e-4
    low, high = rank_sets(repeated(0.2, 0), reading="these tasks")
    assert (low[5], high[5]) == (1, 1)


def test_what_cannot_be_ranked_is_refused() -> None:
    matrix = repeated(0.1, 0)
    once = OutcomeMatrix.from_scores(matrix.attempt_scores[:, :, 0])
    with pytest.raises(InputError, match="at least 2 attempts of every agent"):
        rank_sets(once, reading="these tasks")
    with pytest.raises(InputError, match="at least 40 repeated attempts of every agent, got 30"):
        rank_sets(matrix.select(tasks=range(10)), reading="these tasks")
    with pytest.raises(InputError, match="expected a reading among"):
        rank_sets(matrix, reading="all")
    with pytest.raises(InputError, match="expected 0 < confidence < 1"):
        rank_sets(matrix, confidence=95)
    with pytest.raises(InputError, match="expected at least 2 agents"):
        rank_sets(matrix.select(agents=[0]))
