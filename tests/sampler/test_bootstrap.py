"""The bootstrap of ranks against the plain loop, and the cases whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from midband_history import InputError
from midband_sampler import bootstrap_ranks


def scores_of(n_agents: int, n_tasks: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rate = np.linspace(0.4, 0.6, n_agents)[:, None] + rng.uniform(-0.3, 0.3, n_tasks)
    return (rng.random(rate.shape) < rate).astype(float)


def plain_loop(scores: np.ndarray, resamples: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    ranks = []
    for _ in range(resamples):
        means = scores[:, rng.integers(scores.shape[1], size=scores.shape[1])].mean(axis=1)
        ranks.append(1 + (means.round(9) > means.round(9)[:, None]).sum(axis=1))
    return np.array(ranks)


@pytest.mark.parametrize("n_tasks", [90, 1500])
def test_ranks_vary_as_in_the_plain_loop(n_tasks: int) -> None:
    scores = scores_of(12, n_tasks, 0)
    ours, plain = bootstrap_ranks(scores, resamples=4000), plain_loop(scores, 2000)
    # Two shares of 2,000 differ by 0.063 (four standard errors) once in 10,000 comparisons.
    for rank in range(1, 13):
        gap = (ours <= rank).mean(axis=0) - (plain <= rank).mean(axis=0)
        assert np.abs(gap).max() < 0.07


def test_missing_cells_leave_the_mean_of_the_rest_and_its_error() -> None:
    scores = (np.random.default_rng(18).random((2, 400)) < 0.7).astype(float)
    scores[0, :150] = np.nan
    scores[1, 300:] = np.nan
    deviation = np.where(np.isnan(scores), 0.0, scores - np.nanmean(scores, axis=1)[:, None])
    deviation /= (~np.isnan(scores)).sum(axis=1)[:, None]
    gap = np.nanmean(scores[0]) - np.nanmean(scores[1])
    chance = norm.cdf(gap / np.sqrt(np.sum((deviation[0] - deviation[1]) ** 2)))
    assert 0.8 < chance < 0.95
    ranks = bootstrap_ranks(scores, resamples=20_000)
    assert np.mean(ranks[:, 0] == 1) == pytest.approx(chance, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 130))
def test_a_whole_population_has_one_ranking(seed: int, n_agents: int, n_tasks: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 3, (n_agents, n_tasks)) / 2
    known = rankdata(-scores.mean(axis=1).round(9), method="min")
    ranks = bootstrap_ranks(scores, resamples=20, seed=seed, n_tasks=n_tasks)
    assert (ranks == known).all()


def test_part_of_a_population_varies_less() -> None:
    scores = scores_of(10, 200, 2)
    spread = [bootstrap_ranks(scores, n_tasks=n).std(axis=0).mean() for n in (None, 2000, 300, 200)]
    assert spread[0] > spread[1] > spread[2] > spread[3] == 0.0


def test_agents_with_the_same_results_tie_in_every_resample() -> None:
    scores = scores_of(8, 120, 3)
    scores[5] = scores[2]
    ranks = bootstrap_ranks(scores)
    assert (ranks[:, 5] == ranks[:, 2]).all()
    better = (ranks[:, :, None] > ranks[:, None, :]).sum(axis=2)
    assert (ranks == 1 + better).all()


def test_the_seed_decides_and_relabelling_agents_relabels_ranks() -> None:
    scores = scores_of(9, 100, 4)
    order = np.random.default_rng(0).permutation(9)
    ranks = bootstrap_ranks(scores, seed=7)
    assert np.array_equal(ranks, bootstrap_ranks(scores, seed=7))
    assert not np.array_equal(ranks, bootstrap_ranks(scores, seed=8))
    assert np.array_equal(ranks[:, order], bootstrap_ranks(scores[order], seed=7))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"resamples": 3}, "even number of resamples"),
        ({"n_tasks": 5}, "n_tasks of at least 20"),
    ],
)
def test_what_makes_no_sense_is_refused(settings_: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bootstrap_ranks(scores_of(3, 20, 5), **settings_)
    holed = scores_of(3, 20, 5)
    holed[1] = np.nan
    with pytest.raises(InputError, match="none in row 1"):
        bootstrap_ranks(holed)
