"""The prediction against its definitions: whole grid, dense covariance, one result at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_sampler import FullScorePosterior
from midband_sampler.model.response import ability_grid, candidate_prior


def profiles(n_tasks: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    slope = np.exp(rng.normal(0, 0.5, (n_tasks, 1)))
    return np.asarray(
        1 / (1 + np.exp(-(rng.normal(0, 1.3, (n_tasks, 1)) + slope * ability_grid())))
    )


def started(
    rates: np.ndarray, seed: int, told: int, *, candidates: int = 1, centre: float = 0.0
) -> FullScorePosterior:
    """Tell each candidate so many results of its own."""
    rng = np.random.default_rng(seed)
    made = FullScorePosterior(rates, candidate_prior(centre), candidates=candidates, binary=True)
    orders = np.stack([rng.permutation(len(rates)) for _ in range(candidates)])
    for step in range(told):
        made.observe(
            np.arange(candidates), orders[:, step], rng.integers(0, 2, candidates).astype(float)
        )
    return made


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 300), st.floats(-3, 3), st.sampled_from([1, 3]))
def test_a_part_of_the_nodes_stands_for_all(
    seed: int, told: int, centre: float, candidates: int
) -> None:
    rates = profiles(300, seed)
    made = started(rates, seed, told, candidates=candidates, centre=centre)
    for row, weight in enumerate(made.ability()):
        unseen = made.unseen[row]
        rate = rates @ weight
        assert np.allclose(made.predicted()[row], rate, atol=1e-6)
        ahead = rates[unseen].sum(axis=0)
        shared = rates @ (weight * (ahead - weight @ ahead))
        gain = (shared + (rates * (1 - rates)) @ weight) ** 2 / (rate * (1 - rate))
        found = made.variance_reduction()[row]
        assert np.allclose(found[unseen], gain[unseen], rtol=1e-4, atol=1e-4 * gain.max())
        assert np.all(found[~unseen] == -np.inf)


def test_results_one_at_a_time_are_results_at_once() -> None:
    rates = profiles(80, 1)
    together = started(rates, 2, 30, candidates=4)
    rng = np.random.default_rng(2)
    orders = np.stack([rng.permutation(80) for _ in range(4)])
    results = np.stack([rng.integers(0, 2, 4).astype(float) for _ in range(30)])
    for row in range(4):
        alone = FullScorePosterior(rates, candidate_prior(0.0), binary=True)
        alone.moments()
        for step in range(30):
            alone.observe_one(0, int(orders[row, step]), float(results[step, row]))
        for ours, theirs in zip(alone.moments(), together.moments(), strict=True):
            assert ours[0] == pytest.approx(theirs[row], abs=1e-12)
        assert np.array_equal(alone.unseen[0], together.unseen[row])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60), st.floats(0.1, 6.0), st.booleans())
def test_bounds_of_one_are_bounds_of_each(
    seed: int, told: int, multiplier: float, binary: bool
) -> None:
    rng = np.random.default_rng(seed)
    made = FullScorePosterior(profiles(60, seed), candidate_prior(0.0), candidates=2, binary=binary)
    for step in range(told):
        scores = rng.integers(0, 2, 2).astype(float) if binary else rng.random(2)
        made.observe(
            np.arange(2), np.array([step, step]), np.where(rng.random(2) < 0.1, np.nan, scores)
        )
    low, high = made.bounds_each(np.array([1.0, multiplier]))
    for row in range(2):
        assert made.bounds_one(row, multiplier) == (low[row, 1], high[row, 1])


def test_tasks_that_are_alike_tie_to_the_first() -> None:
    rates = np.repeat(profiles(40, 3), 7, axis=0)[np.random.default_rng(0).permutation(280)]
    made = started(rates, 3, 25, candidates=3)
    for _ in range(60):
        chosen = made.variance_reduction().argmax(axis=1)
        for row, task in enumerate(chosen):
            alike = (rates == rates[task]).all(axis=1) & made.unseen[row]
            assert task == np.flatnonzero(alike)[0]
        made.observe(np.arange(3), chosen, np.array([1.0, 0.0, 1.0]))


@pytest.mark.parametrize("costly", [False, True])
def test_a_design_is_greedy_on_the_covariance_of_the_results(costly: bool) -> None:
    rates = profiles(40, 4)
    costs = np.random.default_rng(1).uniform(0.5, 2.0, 40) if costly else np.ones(40)
    made = FullScorePosterior(rates, candidate_prior(0.3), binary=True)
    weight = made.ability()[0]
    centred = rates - (rates @ weight)[:, None]
    covariance = (centred * weight) @ centred.T + np.diag((rates * (1 - rates)) @ weight)
    expected: list[int] = []
    for _ in range(40):
        variance = np.maximum(np.diag(covariance), 1e-12)
        gain = covariance.sum(axis=1) ** 2 / variance / costs
        gain[expected] = -np.inf
        chosen = int(gain.argmax())
        expected.append(chosen)
        column = covariance[:, chosen].copy()
        covariance -= np.outer(column, column) / column[chosen]
        covariance[chosen] = covariance[:, chosen] = 0.0
    assert made.design(costs if costly else None).tolist() == expected


def test_a_fractional_result_ends_the_rounding_to_what_passes_and_fails_can_reach() -> None:
    profiles, prior = np.full((2, 1), 0.9), np.zeros(1)
    one = FullScorePosterior(profiles, prior, binary=True)
    many = FullScorePosterior(profiles, prior, candidates=2, binary=True)
    one.observe_one(0, 0, 0.5)
    many.observe(np.array([0, 1]), np.array([0, 0]), np.array([0.5, 0.5]))
    low, high = one.bounds_one(0, 2.0)
    assert (low, high) == pytest.approx(
        (0.4, 0.75)
    )  # (0.5 + 0.9 - 2 x 0.3) / 2; nothing above 0.75
    lows, highs = many.bounds_each(np.array([2.0]))
    assert lows[:, 0] == pytest.approx([low, low])
    assert highs[:, 0] == pytest.approx([high, high])
