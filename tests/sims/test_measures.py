import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from midband_history import OutcomeMatrix
from midband_sims import (
    Placing,
    SyntheticSettings,
    clopper_pearson,
    kendall,
    random_subsets,
    spearman,
    synthetic_history,
)
from midband_sims.cells import noise_ceiling
from midband_sims.measures import pairwise_counts, tied_rank, top_k_agreement

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), min_size=3, max_size=12)


@given(SCORES, st.randoms(use_true_random=False))
def test_correlations_are_those_of_scipy(values: list[float], random: object) -> None:
    x = np.array(values)
    y = np.roll(x, 1) + 0.5 * x
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(spearman(x, y))
        assert np.isnan(kendall(x, y))
        return
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)


def test_unknown_scores_are_left_out_not_zero() -> None:
    x = np.array([0.1, 0.2, 0.3, np.nan])
    y = np.array([0.2, 0.4, 0.5, 0.0])
    assert spearman(x, y) == 1.0
    assert kendall(x, y) == 1.0
    assert np.isnan(spearman(x[2:], y[2:]))


def test_pairs_fall_into_buckets_of_true_gap() -> None:
    right, pairs = pairwise_counts(
        candidate=0.5,
        references=np.array([0.4, 0.6, 0.5, 0.4, 0.4, np.nan]),
        true_candidate=0.5,
        true_references=np.array([0.49, 0.46, 0.42, 0.2, 0.5, 0.1]),
    )
    assert pairs.tolist() == [1, 1, 1, 1]  # true ties and unknown scores have no right side
    assert right.tolist() == [1, 0, 0.5, 1]


def test_ties_claim_a_range_of_ranks() -> None:
    assert tied_rank(0.5, np.array([0.9, 0.5, 0.5, 0.1, np.nan])) == (2, 4)


def test_top_k_breaks_ties_by_order() -> None:
    assert top_k_agreement(np.array([1.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.1]), 1) == 1.0
    assert top_k_agreement(np.array([0.0, 1.0, 0.5]), np.array([0.9, 0.5, 0.1]), 1) == 0.0


def test_clopper_pearson_is_that_of_scipy() -> None:
    exact = stats.binomtest(7, 20).proportion_ci(0.95, "exact")
    ours = clopper_pearson(0.35, 20)
    assert (ours.low, ours.high) == pytest.approx((exact.low, exact.high))
    assert np.isnan(clopper_pearson(float("nan"), 0).estimate)
    assert clopper_pearson(0.0, 5).low == 0.0
    assert clopper_pearson(1.0, 5).high == 1.0


def test_ceiling_is_one_without_noise_and_unknown_without_repeats() -> None:
    calm = SyntheticSettings(agents=8, tasks=40, attempts=3, deterministic=True)
    matrix = synthetic_history(calm, np.random.default_rng(0)).matrix
    assert noise_ceiling(matrix, range(8), seed=0, draws=5).spearman.tolist() == [1.0] * 5
    once = OutcomeMatrix.from_scores(matrix.scores)
    assert np.isnan(noise_ceiling(once, range(8), seed=0).spearman).all()


def test_all_tasks_by_chance_are_the_full_run(matrix: OutcomeMatrix) -> None:
    everyone = tuple(range(len(matrix.agents)))
    placings = [
        Placing(candidate=i, references=tuple(j for j in everyone if j != i), tasks=10_000)
        for i in everyone
    ]
    full = random_subsets(matrix, placings, seed=0, draws=3)
    np.testing.assert_allclose(full.spearman, 1.0)
    np.testing.assert_array_equal(full.rank_error, 0.0)
    fewer = [Placing(candidate=p.candidate, references=p.references, tasks=6) for p in placings]
    assert random_subsets(matrix, fewer, seed=0, draws=20).spearman.mean() < 1.0
