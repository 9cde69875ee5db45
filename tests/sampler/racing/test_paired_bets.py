"""Bets on paired differences: exact over all looks, and never against the full results."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import binomtest

from midband_sampler.bounds.paired import PairedBets

PAIRS = np.array([[0, 1], [1, 0]])


def bets_on(size: int, *, threshold: float, error: float) -> PairedBets:
    return PairedBets(2, size, thresholds=np.full((2, 2), threshold), error=error)


def ever_claimed(differences: np.ndarray, *, threshold: float, error: float) -> np.ndarray:
    """Whether each row of differences is ever claimed to be above: candidate 2i against 2i + 1."""
    rows, size = differences.shape
    first = 2 * np.arange(rows)
    shape = (2 * rows, 2 * rows)
    bets = PairedBets(2 * rows, size, thresholds=np.full(shape, threshold), error=error)
    found = np.zeros(rows, dtype=bool)
    for place in range(size):
        bets.observe(first, first + 1, differences[:, place])
        found |= bets.above()[first, first + 1]
    return found


@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ((1, 1, 1, -1, -1, -1, 0), 0.0),
        ((1, 1, 1, 1, 0, 0, 0), 4 / 7),
        ((1, 0, 0, 0, 0, 0, -1), 0.0),
        ((0.9, 0.6, 0.2, -0.4, -0.6, -0.7, 0.0), 0.0),
        ((-1, -1, -1, -1, -1, -1, 1), -5 / 7),
        ((1, 1, 1, 1, -1, -1, -1), 0.15),
    ],
)
@pytest.mark.parametrize("error", [0.6, 0.3, 0.1])
def test_over_all_orders_a_false_claim_is_made_no_more_often_than_was_said(
    values: tuple[float, ...], threshold: float, error: float
) -> None:
    # No randomness: every order of the population is equally likely, and all are tried.
    orders = np.array(sorted(set(permutations(values))), dtype=float)
    wrong = sum(
        int(ever_claimed(part, threshold=threshold, error=error).sum())
        for part in np.array_split(orders, max(1, len(orders) // 60))
    )
    assert wrong <= error * len(orders)


@pytest.mark.parametrize("below", [0, 1])
@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_over_many_orders_a_claim_at_the_threshold_is_rare(below: int, spread: float) -> None:
    # Fails by chance once in 10,000 runs for each case.
    rng = np.random.default_rng(below)
    size, draws, error = 120, 400, 0.1
    ones = round(spread * size / 2)
    population = np.zeros(size)
    population[:ones], population[ones : 2 * ones + below] = 1.0, -1.0
    wrong = 0
    for _ in range(draws // 40):
        differences = rng.permuted(np.tile(population, (40, 1)), axis=1)
        wrong += int(ever_claimed(differences, threshold=0.0, error=error).sum())
    assert binomtest(wrong, draws, error, alternative="greater").pvalue > 1e-4


def test_a_clear_difference_is_claimed_long_before_the_end() -> None:
    rng = np.random.default_rng(1)
    size = 200
    differences = (rng.random((20, size)) < 0.6).astype(float) - (rng.random((20, size)) < 0.2)
    assert ever_claimed(differences, threshold=0.0, error=0.05).all()
    first = 2 * np.arange(20)
    bets = PairedBets(40, size, thresholds=np.zeros((40, 40)), error=0.05)
    for place in range(100):
        bets.observe(first, first + 1, differences[:, place])
    assert bets.above()[first, first + 1].mean() > 0.8


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.float64, st.integers(1, 25), elements=st.integers(-4, 4).map(lambda x: x / 4)),
    st.integers(-4, 4).map(lambda x: x / 8),
    st.sampled_from([0.05, 0.3]),
)
def test_claims_do_not_contradict_the_full_results(
    values: np.ndarray, threshold: float, error: float
) -> None:
    size = len(values)
    bets = bets_on(size, threshold=threshold, error=error)
    for value in values:
        bets.observe(PAIRS[0], PAIRS[1], np.array([value, -value]))
    above = bets.above()
    total = values.sum()
    assert above[0, 1] == (total > threshold * size + 1e-9)
    assert above[1, 0] == (-total > threshold * size + 1e-9)
    assert not above.diagonal().any()
    np.testing.assert_allclose(bets.means()[0, 1], values.mean())
    assert bets.deviations()[0, 1] == 0.0


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=st.sampled_from([-1.0, -0.5, 0.0, 1.0])),
    st.integers(0, 20),
)
def test_swapping_a_pair_swaps_its_claims_and_claims_stay(values: np.ndarray, more: int) -> None:
    size = len(values) + more
    one, two = (bets_on(size, threshold=0.0, error=0.2) for _ in range(2))
    before = one.above()
    for value in values:
        one.observe(PAIRS[0], PAIRS[1], np.array([value, -value]))
        two.observe(PAIRS[0], PAIRS[1], np.array([-value, value]))
        np.testing.assert_array_equal(one.above(), two.above().T)
        if one.common[0, 1] < size:
            assert not (before & ~one.above()).any()
        before = one.above()


def test_what_cannot_be_undone_is_claimed() -> None:
    bets = bets_on(5, threshold=0.0, error=1e-9)
    for seen in range(3):
        assert not bets.above().any(), seen
        bets.observe(np.array([0]), np.array([1]), np.array([1.0]))
    assert bets.above()[0, 1]  # three of five are won


def test_nothing_shared_is_unknown() -> None:
    bets = bets_on(5, threshold=0.0, error=0.1)
    assert np.isnan(bets.means()[0, 1])
    assert np.isinf(bets.deviations()[0, 1])
