"""The response model's fit: the maximum that it claims to be, whatever the order of things."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler import fit_response_model


def simulate(
    n_agents: int, n_tasks: int, seed: int, *, spread: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and the discriminations that they were drawn with."""
    rng = np.random.default_rng(seed)
    slope = np.exp(rng.normal(0, spread, n_tasks))
    logit = rng.normal(0, 1.3, n_tasks) + slope * rng.normal(0, 1, (n_agents, 1))
    return (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float), slope


def log_posterior(parameters: np.ndarray, passes: np.ndarray, fails: np.ndarray) -> float:
    """Marginal log posterior, written down anew: a sum over agents of an integral."""
    intercept, log_slope = parameters.reshape(2, -1)
    ability = np.linspace(-4, 4, 801)
    total = -0.5 * np.sum((intercept / 2.0) ** 2) - 0.5 * np.sum((log_slope / 0.15) ** 2)
    for won, lost in zip(passes, fails, strict=True):
        logit = intercept + np.exp(log_slope) * ability[:, None]
        log_pass = -np.logaddexp(0.0, -logit)
        exponent = (won * log_pass + lost * (log_pass - logit)).sum(axis=1) - 0.5 * ability**2
        total += np.log(np.sum(np.exp(exponent - exponent.max()))) + exponent.max()
    return float(total)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_fit_is_the_maximum_of_the_marginal_posterior(seed: int) -> None:
    rng = np.random.default_rng(seed)
    attempts = rng.integers(0, 4, (9, 5))
    held = (np.arange(3) < attempts[:, :, None]) & (rng.random((9, 5, 3)) < 0.6)
    tried = np.where(np.arange(3) < attempts[:, :, None], held.astype(float), np.nan)
    passes = held.sum(axis=2).astype(float)
    scores = np.where(attempts > 0, passes / np.maximum(attempts, 1), np.nan)
    model = fit_response_model(
        OutcomeMatrix.from_scores(scores, attempt_scores=tried), tolerance=1e-7
    )

    def loss(parameters: FloatArray) -> float:
        return -log_posterior(parameters, passes, attempts - passes)

    start: FloatArray = np.zeros(10)
    best = np.asarray(minimize(loss, start, method="BFGS").x).reshape(2, 5)
    assert np.allclose(model.intercepts, best[0], atol=2e-3)
    assert np.allclose(np.log(model.discriminations), best[1], atol=2e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 20), st.integers(1, 12))
def test_agents_and_tasks_have_no_order_and_a_weight_is_a_repetition(
    seed: int, n_agents: int, n_tasks: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((n_agents, n_tasks)).round(1)
    scores[rng.random(scores.shape) < 0.3] = np.nan
    plain = fit_response_model(OutcomeMatrix.from_scores(scores), tolerance=1e-7)
    agents, tasks = rng.permutation(n_agents), rng.permutation(n_tasks)
    mixed = fit_response_model(
        OutcomeMatrix.from_scores(scores[np.ix_(agents, tasks)]), tolerance=1e-7
    )
    assert np.allclose(mixed.intercepts, plain.intercepts[tasks], atol=1e-4)
    assert np.allclose(mixed.abilities, plain.abilities[agents], atol=1e-4)
    weight = np.ones(n_agents)
    weight[0] = 2.0
    weighted = fit_response_model(OutcomeMatrix.from_scores(scores), weights=weight, tolerance=1e-7)
    twice = fit_response_model(
        OutcomeMatrix.from_scores(np.concatenate([scores[:1], scores])), tolerance=1e-7
    )
    assert np.allclose(weighted.intercepts, twice.intercepts, atol=1e-4)
    assert np.allclose(weighted.discriminations, twice.discriminations, atol=1e-4)


def test_a_few_steps_reach_the_maximum() -> None:
    # The common level of abilities and intercepts is what plain EM takes hundreds of steps for.
    scores, _ = simulate(12, 400, 4)
    matrix = OutcomeMatrix.from_scores(np.minimum(scores + (np.arange(400) % 3 > 0), 1.0))
    short = fit_response_model(matrix, max_iterations=10, tolerance=0.0)
    long = fit_response_model(matrix, max_iterations=400, tolerance=0.0)
    assert np.abs(short.intercepts - long.intercepts).max() < 1e-3


def test_what_nobody_ran_keeps_its_prior() -> None:
    scores, _ = simulate(30, 12, 3)
    scores[:, 4] = np.nan
    model = fit_response_model(OutcomeMatrix.from_scores(scores), tolerance=1e-8)
    assert model.intercepts[4] == pytest.approx(0.0, abs=1e-4)
    assert model.discriminations[4] == pytest.approx(1.0, abs=1e-4)
    assert np.sqrt(model.covariances[4, 0, 0]) == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_odd_histories_have_a_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_agents, n_tasks = int(rng.choice([2, 3, 40])), int(rng.choice([1, 2, 200]))
    scores = np.full((n_agents, n_tasks), float(seed % 3))
    if seed % 3 == 2:
        scores = rng.random(scores.shape)
    many = OutcomeMatrix.from_scores(
        scores, attempt_scores=np.repeat(scores[:, :, None], 50, axis=2)
    )
    model = fit_response_model(many)
    assert np.isfinite(model.abilities).all()
    assert (np.linalg.eigvalsh(model.covariances) > 0).all()
    again = fit_response_model(many, start=model)
    assert np.allclose(model.intercepts, again.intercepts, atol=1e-2)


def test_many_agents_say_how_much_tasks_differ_in_discrimination() -> None:
    error = {}
    for spread in (0.0, 0.5):
        scores, slope = simulate(300, 300, 5, spread=spread)
        model = fit_response_model(OutcomeMatrix.from_scores(scores))
        error[spread] = np.log(model.discriminations / slope)
        if spread:
            assert np.corrcoef(np.log(model.discriminations), np.log(slope))[0, 1] > 0.9
            assert np.log(model.discriminations).std() > 0.35
        else:
            assert np.log(model.discriminations).std() < 0.12
    # Maximum likelihood alone is off by about 0.2 here.
    assert error[0.5].std() < 0.2
