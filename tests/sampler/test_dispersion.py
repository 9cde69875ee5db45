"""Dispersion: averaged and graded scores are no single coins, in fit, bounds and choice."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import OutcomeMatrix
from midband_sampler import (
    Dispersion,
    FullScorePosterior,
    Plan,
    PlanError,
    PredictionModel,
    RankSettled,
    Session,
    fit_response_model,
    make_plan,
)
from midband_sampler.bounds.posterior import BestCaseWidth
from midband_sampler.model.prediction import AttemptPosterior, Attempts
from midband_sampler.model.response import ability_grid, candidate_prior


def profiles(n_tasks: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    slope = np.exp(rng.normal(0, 0.5, (n_tasks, 1)))
    return np.asarray(
        1 / (1 + np.exp(-(rng.normal(0, 1.3, (n_tasks, 1)) + slope * ability_grid())))
    )


def begun(
    rates: np.ndarray, dispersion: Dispersion | None, candidates: int = 1
) -> FullScorePosterior:
    return FullScorePosterior(
        rates,
        candidate_prior(0.0),
        candidates=candidates,
        binary=False,
        dispersion=dispersion,
    )


def averaged(
    n_agents: int, n_tasks: int, seed: int, *, attempts: int = 5, correlation: float = 0.3
) -> OutcomeMatrix:
    """Draw agents that run every task so often, each with a pass rate of its own at each task."""
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-(rng.normal(0, 1, (n_agents, 1)) - rng.normal(0, 1.2, n_tasks))))
    strength = 1 / correlation - 1
    own = rng.beta(chance * strength, (1 - chance) * strength)
    each = (rng.random((n_agents, n_tasks, attempts)) < own[:, :, None]).astype(float)
    return OutcomeMatrix.from_scores(each[:, :, 0], attempt_scores=each)


def graded(n_agents: int, n_tasks: int, seed: int) -> tuple[OutcomeMatrix, np.ndarray]:
    """Draw graded scores: at some tasks nearly passes and fails, at others all in the middle."""
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-(rng.normal(0, 1, (n_agents, 1)) - rng.normal(0, 1.2, n_tasks))))
    strength = rng.uniform(0.2, 9.0, n_tasks)
    scores = rng.beta(
        np.maximum(chance * strength, 1e-3), np.maximum((1 - chance) * strength, 1e-3)
    )
    return OutcomeMatrix.from_scores(np.clip(scores, 0.0, 1.0)), 1 / (1 + strength)


def same(one: FullScorePosterior, other: FullScorePosterior) -> bool:
    multipliers = np.array([0.7, 2.0])
    return all(
        np.array_equal(ours, theirs)
        for ours, theirs in (
            *zip(one.moments(), other.moments(), strict=True),
            *zip(one.bounds_each(multipliers), other.bounds_each(multipliers), strict=True),
            (one.variance_reduction(), other.variance_reduction()),
            (one.predicted(), other.predicted()),
        )
    )


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(0, 40), st.sampled_from([1, 3]), st.sampled_from([0, 2, 5])
)
def test_passes_and_fails_are_single_coins_whatever_the_history_holds(
    seed: int, told: int, candidates: int, attempts: int
) -> None:
    rng = np.random.default_rng(seed)
    rates = profiles(40, seed)
    spread = Dispersion(per_task=rng.uniform(0.5, 1.0, 40), attempts=attempts)
    plain, dispersed = begun(rates, None, candidates), begun(rates, spread, candidates)
    order = rng.permutation(40)
    for task in order[:told]:
        scores = np.where(rng.random(candidates) < 0.1, np.nan, rng.integers(0, 2, candidates))
        for each in (plain, dispersed):
            each.observe(np.arange(candidates), np.full(candidates, task), scores)
    assert same(plain, dispersed)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 40))
def test_a_dispersion_of_one_changes_nothing(seed: int, told: int) -> None:
    rng = np.random.default_rng(seed)
    rates = profiles(40, seed)
    plain = begun(rates, None, 2)
    dispersed = begun(rates, Dispersion(per_task=np.ones(40), attempts=0), 2)
    for task in range(told):
        scores = rng.random(2).round(1)
        for each in (plain, dispersed):
            each.observe(np.arange(2), np.full(2, task), scores)
    for ours, theirs in zip(plain.moments(), dispersed.moments(), strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)
    gain = plain.variance_reduction()
    assert np.allclose(gain, dispersed.variance_reduction(), rtol=1e-4)
    assert np.array_equal(plain.design(), dispersed.design())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([0, 4]))
def test_neither_order_nor_company_changes_what_results_say(
    seed: int, told: int, attempts: int
) -> None:
    rng = np.random.default_rng(seed)
    rates = profiles(40, seed)
    spread = Dispersion(per_task=rng.uniform(0.3, 1.0, 40), attempts=attempts)
    scores = rng.choice([0.0, 0.25, 0.5, 1.0, 1.0, np.nan], (2, 40))
    together = begun(rates, spread, 2)
    for task in range(told):
        together.observe(np.arange(2), np.full(2, task), scores[:, task])
    for row in range(2):
        alone = begun(rates, spread)
        for task in rng.permutation(told):
            alone.observe_one(0, int(task), float(scores[row, task]))
        for ours, theirs in zip(alone.moments(), together.moments(), strict=True):
            assert ours[0] == pytest.approx(theirs[row], abs=1e-6)


@given(st.floats(0.0, 1.0), st.integers(2, 9), st.data())
def test_the_variance_of_what_is_left_is_that_of_means_of_so_many_attempts(
    correlation: float, most: int, data: st.DataObject
) -> None:
    attempts = data.draw(st.integers(2, most))
    spread = Dispersion(per_task=np.full(3, correlation + (1 - correlation) / most), attempts=most)
    rate = np.array([[0.3], [0.6], [0.8]])
    one = FullScorePosterior(rate, np.zeros(1), binary=False, dispersion=spread)
    one.observe_one(0, 0, 1 / attempts)
    phi = correlation + (1 - correlation) / attempts
    variance = phi * (0.6 * 0.4 + 0.8 * 0.2)
    assert one.moments()[1][0] == pytest.approx(np.sqrt(variance) / 3)
    assert spread.worth(np.array([[0.0], [1.0], [float(attempts)]]))[:, 0] == pytest.approx(
        [0.0, 1.0, 1 / phi]
    )


def test_a_result_moves_the_ability_as_much_as_its_dispersion_allows() -> None:
    rates = profiles(30, 5)
    spread = Dispersion(per_task=np.full(30, 0.25), attempts=0)
    made = begun(rates, spread)
    before = made.ability()[0]
    made.observe_one(0, 4, 0.7)
    expected = before * (rates[4] ** 0.7 * (1 - rates[4]) ** 0.3) ** 4
    assert np.allclose(made.ability()[0], expected / expected.sum(), atol=1e-9)


@pytest.mark.parametrize("attempts", [0, 5])
def test_choice_and_design_are_by_the_covariance_of_the_results(attempts: int) -> None:
    rates = profiles(40, 4)
    phi = np.random.default_rng(2).uniform(0.25, 0.9, 40)
    made = begun(rates, Dispersion(per_task=phi, attempts=attempts))
    expected: list[int] = []
    covariance = _covariance(rates, made.ability()[0], phi)
    for _ in range(40):
        gain = covariance.sum(axis=1) ** 2 / np.maximum(np.diag(covariance), 1e-12)
        gain[expected] = -np.inf
        chosen = int(gain.argmax())
        expected.append(chosen)
        column = covariance[:, chosen].copy()
        covariance -= np.outer(column, column) / column[chosen]
        covariance[chosen] = covariance[:, chosen] = 0.0
    assert made.design().tolist() == expected
    for task, score in ((3, 0.2), (8, 0.6), (9, 1.0)):
        made.observe_one(0, task, score)
    unseen = made.unseen[0]
    covariance = _covariance(rates[unseen], made.ability()[0], phi[unseen])
    gain = covariance.sum(axis=1) ** 2 / np.diag(covariance)
    assert np.allclose(made.variance_reduction()[0, unseen], gain, rtol=1e-4)


def _covariance(rates: np.ndarray, weight: np.ndarray, phi: np.ndarray) -> np.ndarray:
    centred = rates - (rates @ weight)[:, None]
    return np.asarray(
        (centred * weight) @ centred.T + np.diag(phi * ((rates * (1 - rates)) @ weight))
    )


def test_the_dispersion_of_means_is_learnt() -> None:
    found = PredictionModel.fit(averaged(40, 100, 3)).dispersion
    assert found is not None
    assert found.attempts == 5
    assert found.per_task.mean() == pytest.approx(0.3 + 0.7 / 5, abs=0.05)


def test_the_dispersion_of_graded_scores_is_learnt_task_by_task() -> None:
    matrix, phi = graded(60, 100, 3)
    found = PredictionModel.fit(matrix).dispersion
    assert found is not None
    assert found.attempts == 0
    assert np.sqrt(np.mean((found.per_task - phi) ** 2)) < 0.06
    assert phi.std() > 0.1


def test_few_agents_share_the_dispersion_of_the_benchmark() -> None:
    matrix, phi = graded(60, 100, 3)
    few = PredictionModel.fit(matrix.select(agents=range(6))).dispersion
    assert few is not None
    assert few.per_task.std() < phi.std()
    assert few.per_task.mean() == pytest.approx(phi.mean(), abs=0.08)


def test_tasks_that_nobody_does_differently_keep_a_dispersion() -> None:
    scores = np.full((12, 20), 0.5)
    scores[:, :4] = np.random.default_rng(0).random((12, 4)).round(2)
    found = PredictionModel.fit(OutcomeMatrix.from_scores(scores)).dispersion
    assert found is not None
    assert found.per_task.min() >= 0.05
    assert found.per_task.max() <= 1.0


def test_passes_and_fails_have_no_dispersion_and_neither_have_a_few_repeated_runs() -> None:
    matrix = averaged(12, 30, 1)
    single = matrix.attempt_scores.copy()
    single[:, :, 1:] = np.nan
    assert PredictionModel.fit(OutcomeMatrix.from_scores(single[:, :, 0])).dispersion is None
    single[:4] = matrix.attempt_scores[:4]
    few = OutcomeMatrix.from_scores(single[:, :, 0], attempt_scores=single)
    fitted = PredictionModel.fit(few)
    assert fitted.dispersion is None
    assert np.array_equal(fitted.tasks, np.round(fit_response_model(few).to_array(), 9))


def test_a_plan_of_means_survives_a_file_and_one_of_passes_is_as_before() -> None:
    matrix = averaged(14, 30, 2)
    plan = make_plan(matrix, strategy="information", stop=RankSettled(0.8, 0.2))
    assert plan.model is not None
    assert plan.model.dispersion is not None
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.digest == plan.digest
    assert again.model is not None
    assert again.model.dispersion is not None
    assert again.model.dispersion.attempts == 5
    assert np.array_equal(again.model.dispersion.per_task, plan.model.dispersion.per_task)
    passes = OutcomeMatrix.from_scores(matrix.attempt_scores[:, :, 0])
    plain = make_plan(passes, strategy="information", stop=RankSettled(0.8, 0.2))
    assert "dispersion" not in json.loads(plain.to_json())["model"]


@pytest.mark.parametrize(
    ("name", "value"), [("attempts", 1), ("attempts", 10**9), ("attempts", "5"), ("per_task", "")]
)
def test_a_plan_with_an_impossible_dispersion_is_refused(name: str, value: object) -> None:
    plan = make_plan(averaged(14, 30, 2), strategy="information", stop=RankSettled(0.8, 0.2))
    content = json.loads(plan.to_json())
    content["model"]["dispersion"][name] = value
    with pytest.raises(PlanError):
        Plan.from_json(json.dumps(content))


def drive(plan: Plan, scores: np.ndarray, *, apart: bool = False) -> Session:
    """Tell the mean of the attempts at each task, or each of them apart."""
    session = Session(plan)
    place = {task: column for column, task in enumerate(plan.all_tasks)}
    while tasks := session.ask(1):
        told = scores[place[tasks[0]]]
        for score in told if apart else [told.mean()]:
            session.tell(tasks[0], score=float(score))
    return session


def covers(session: Session, truth: float, references: np.ndarray) -> bool:
    decision = session.decision()
    best = 1 + int(np.sum(references > truth + 1e-9))
    worst = 1 + int(np.sum(references >= truth - 1e-9))
    return decision.low <= worst and decision.high >= best


@pytest.mark.parametrize("kind", ["averaged", "graded", "one attempt of five"])
def test_intervals_cover_new_agents_with_fewer_tasks_than_as_coins(kind: str) -> None:
    # 120 new agents; fails by chance below 1e-4 at a true coverage of 90 %.
    misses, run, as_coins = 0, 0, 0
    for seed in range(3):
        everyone = graded(70, 60, 50 + seed)[0] if kind == "graded" else averaged(70, 60, seed)
        plan = make_plan(
            everyone.select(agents=range(30)), strategy="information", stop=RankSettled(0.9, 0.2)
        )
        assert plan.model is not None
        coins = replace(plan, model=replace(plan.model, dispersion=None))
        references = everyone.full_scores()[:30]
        for row in range(30, 70):
            told = everyone.attempt_scores[row]
            told = told[:, :1] if kind == "one attempt of five" else told
            session = drive(plan, told)
            misses += not covers(session, float(told.mean()), references)
            run += session.decision().tasks_run
            if row < 40:
                as_coins += 4 * drive(coins, told).decision().tasks_run
    assert binomtest(misses, 120, 0.1, alternative="greater").pvalue > 1e-4
    if kind == "one attempt of five":
        assert run == pytest.approx(as_coins, rel=0.25)
    else:
        assert run < 0.85 * as_coins


def test_attempts_told_one_by_one_are_their_mean() -> None:
    everyone = averaged(21, 40, 7)
    plan = make_plan(
        everyone.select(agents=range(20)), strategy="information", stop=RankSettled(0.8, 0.2)
    )
    told = everyone.attempt_scores[20]
    one, other = drive(plan, told), drive(plan, told, apart=True)
    assert one.decision().tasks_run == other.decision().tasks_run
    assert one.decision().target_score == other.decision().target_score


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from([0, 5]))
def test_no_bounds_are_narrower_than_the_best_case(seed: int, told: int, attempts: int) -> None:
    rng = np.random.default_rng(seed)
    rates = profiles(40, seed)
    spread = Dispersion(per_task=rng.uniform(0.2, 1.0, 40), attempts=attempts)
    made = begun(rates, spread)
    best = BestCaseWidth(made, np.arange(40))
    for task in range(told):
        made.observe_one(0, task, float(rng.integers(0, 6)) / 5)
    multiplier = np.array([1.5])
    low, high = made.bounds_each(multiplier)
    least = best.half_width(np.array([told]), multiplier)
    assert least[0, 0] <= (high[0, 0] - low[0, 0]) / 2 + 1e-6


def graded_attempts(n_agents: int, n_tasks: int, seed: int, *, attempts: int = 3) -> OutcomeMatrix:
    """Draw graded attempts: of dispersion .4, half of it the agent's own at the task."""
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-(rng.normal(0, 1, (n_agents, 1)) - rng.normal(0, 1.2, n_tasks))))
    own = np.clip(rng.beta(4 * chance, 4 * (1 - chance)), 1e-4, 1 - 1e-4)[:, :, None]
    each = rng.beta(3 * own, 3 * (1 - own), (n_agents, n_tasks, attempts))
    return OutcomeMatrix.from_scores(each[:, :, 0], attempt_scores=each)


def test_the_dispersion_of_graded_attempts_is_learnt_with_their_correlation() -> None:
    found = Attempts.learn(graded_attempts(60, 80, 2), 3)
    assert found.dispersion == pytest.approx(0.4, abs=0.04)
    assert found.correlation == pytest.approx(0.5, abs=0.06)
    assert Attempts.learn(averaged(30, 40, 2, attempts=3), 3).dispersion == 1.0


@given(st.floats(0.01, 1.0), st.floats(0.05, 0.95), st.integers(1, 4))
def test_graded_attempts_scale_the_variance_of_what_is_left(
    dispersion: float, correlation: float, most: int
) -> None:
    rate = np.array([[0.3], [0.6], [0.8]])
    alike = Attempts(most=most, correlation=correlation, dispersion=dispersion)
    made = AttemptPosterior(rate, np.zeros(1), attempts=alike)
    coins = AttemptPosterior(rate, np.zeros(1), attempts=replace(alike, dispersion=1.0))
    for each in (made, coins):
        each.observe_one(0, 0, 0.4)
    assert made.moments()[1][0] == pytest.approx(np.sqrt(dispersion) * coins.moments()[1][0])
    gains = made.variance_reduction()[0], coins.variance_reduction()[0]
    some = gains[1] > -np.inf
    assert np.allclose(gains[0][some], dispersion * gains[1][some], rtol=1e-4)


def test_plans_of_graded_attempts_cover_with_fewer_of_them_than_as_coins() -> None:
    # 40 new agents; fails by chance below 1e-4 at a true coverage of 90 %.
    everyone = graded_attempts(70, 40, 4)
    plan = make_plan(
        everyone.select(agents=range(30)),
        strategy="information",
        stop=RankSettled(0.9, 0.2),
        attempts=3,
    )
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.attempts is not None
    coins = replace(plan, attempts=replace(plan.attempts, dispersion=1.0))
    assert "dispersion" not in json.loads(coins.to_json())["attempts"]
    references, misses, run, as_coins = everyone.full_scores()[:30], 0, 0, 0
    for row in range(30, 70):
        session = attempt_by_attempt(plan, everyone.attempt_scores[row])
        misses += not covers(session, float(everyone.attempt_scores[row].mean()), references)
        run += session.decision().tasks_run
        if row < 40:
            told = everyone.attempt_scores[row]
            as_coins += 4 * attempt_by_attempt(coins, told).decision().tasks_run
    assert binomtest(misses, 40, 0.1, alternative="greater").pvalue > 1e-4
    assert run < 0.85 * as_coins


def attempt_by_attempt(plan: Plan, scores: np.ndarray) -> Session:
    session, made = Session(plan), dict.fromkeys(plan.all_tasks, 0)
    place = {task: column for column, task in enumerate(plan.all_tasks)}
    while tasks := session.ask(1):
        session.tell(tasks[0], score=float(scores[place[tasks[0]], made[tasks[0]]]))
        made[tasks[0]] += 1
    return session
