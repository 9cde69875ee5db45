"""Estimators: the stated formulas, without bias, with the error they claim."""

import numpy as np
import pytest
from scipy.stats import binomtest

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix
from midband_sampler import PredictionModel
from midband_sampler.estimators import randomised_full_score

N_TASKS = 30


def population(seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Scores of a candidate, and an expectation of them that is badly wrong."""
    rng = np.random.default_rng(seed)
    scores = (rng.random(N_TASKS) < np.linspace(0.1, 0.9, N_TASKS)).astype(float)
    return scores, np.linspace(0.9, 0.2, N_TASKS)


def explore(
    scores: FloatArray, steps: int, share: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Choose by what was seen, except for a share: order, what the coin said, predictions."""
    unseen = np.ones(scores.size, dtype=bool)
    order, propensity, rows = [], [], []
    guess = np.full(scores.size, 0.5)
    for _ in range(steps):
        rows.append(guess.copy())
        left = np.flatnonzero(unseen)
        if rng.random() < share:
            task, chance = int(rng.choice(left)), 1.0 / left.size
        else:  # follow success: the choice depends on the scores seen
            task, chance = int(left[np.argmax(guess[left])]), 1.0
        order.append(task)
        propensity.append(chance)
        unseen[task] = False
        near = np.abs(np.arange(scores.size) - task) <= 3
        guess[near] += 0.5 * (scores[task] - guess[near])
    return np.array(order), np.array(propensity), np.array(rows)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_a_randomised_share_leaves_no_bias_and_an_honest_error(share: float) -> None:
    scores, _ = population()
    rng = np.random.default_rng(3)
    values, plain, inside = [], [], 0
    for _ in range(3000):
        order, propensity, rows = explore(scores, 20, share, rng)
        estimate = randomised_full_score(scores[order], order, propensity, rows)
        if estimate.tasks < 2:
            continue
        values.append(estimate.value)
        plain.append(scores[order].mean())
        inside += abs(estimate.value - scores.mean()) <= 2.5 * estimate.standard_error
    spread = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - scores.mean()) < 5 * spread
    if share < 1:  # what the strategy saw is not a fair sample, and its plain mean shows it
        assert abs(np.mean(plain) - scores.mean()) > 20 * np.std(plain) / np.sqrt(len(plain))
    if share >= 0.5:  # with four draws the error is itself too uncertain for a normal interval
        assert binomtest(inside, len(values), 0.95, alternative="less").pvalue > 1e-4


def test_it_is_the_levelled_estimator_of_active_testing() -> None:
    scores, _ = population()
    rng = np.random.default_rng(4)
    taken, steps = 12, np.arange(1, 13)
    order, propensity = [], []
    unseen = np.ones(N_TASKS, dtype=bool)
    for _ in range(taken):
        chance = np.where(unseen, np.linspace(1, 3, N_TASKS), 0.0)
        chance /= chance.sum()
        task = int(rng.choice(N_TASKS, p=chance))
        order.append(task)
        propensity.append(chance[task])
        unseen[task] = False
    told = scores[order]
    left = N_TASKS - steps
    weight = 1 + (N_TASKS - taken) / left * (1 / ((left + 1) * np.array(propensity)) - 1)
    estimate = randomised_full_score(told, np.array(order), np.array(propensity), np.zeros(N_TASKS))
    assert estimate.value == pytest.approx(float(np.mean(weight * told)))


def test_everything_run_is_exact_and_nothing_drawn_is_unknown() -> None:
    scores, wrong = population()
    order = np.arange(N_TASKS)
    whole = randomised_full_score(scores, order, np.ones(N_TASKS), wrong)
    assert whole.value == pytest.approx(scores.mean())
    assert whole.standard_error == 0.0
    part = randomised_full_score(scores[:5], order[:5], np.ones(5), wrong)
    assert np.isnan(part.value)
    assert np.isnan(part.standard_error)


def test_a_task_without_a_result_leaves_the_target() -> None:
    scores, _ = population()
    rng = np.random.default_rng(5)
    lost = np.array([3, 17, 25])
    truth = np.delete(scores, lost).mean()
    values = []
    for _ in range(4000):
        order = rng.permutation(N_TASKS)[:15]
        told = np.where(np.isin(order, lost), np.nan, scores[order])
        chance = 1.0 / (N_TASKS - np.arange(15))
        values.append(randomised_full_score(told, order, chance, np.zeros(N_TASKS)).value)
    # Lost tasks taken for failures would be off by 0.05.
    assert abs(np.mean(values) - truth) < 0.01


def test_the_prediction_is_exact_once_everything_was_run() -> None:
    rng = np.random.default_rng(6)
    matrix = OutcomeMatrix.from_scores((rng.random((12, N_TASKS)) < 0.5).astype(float))
    prediction = PredictionModel.fit(matrix).predict()
    before = float(prediction.moments()[1][0])
    scores, _ = population()
    for task in range(N_TASKS):
        prediction.observe(np.array([0]), np.array([task]), scores[[task]])
    value, error = (float(part[0]) for part in prediction.moments())
    assert value == pytest.approx(scores.mean())
    assert error < 1e-6 < before


def test_what_does_not_fit_is_refused() -> None:
    one = np.ones(2)
    with pytest.raises(InputError, match="at most once"):
        randomised_full_score(one, np.array([1, 1]), one / 2, np.zeros(5))
    with pytest.raises(InputError, match="propensities"):
        randomised_full_score(one, np.array([1, 2]), one * 0, np.zeros(5))
    with pytest.raises(InputError, match="one score, propensity"):
        randomised_full_score(one, np.array([1, 2]), one, np.zeros((3, 5)))
