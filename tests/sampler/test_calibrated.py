"""Predicted ranks: the model recovers, the choice is the stated one, the interval covers."""

import numpy as np
import pytest
from scipy.stats import binomtest

from midband_history import InputError, OutcomeMatrix
from midband_sampler import (
    FullScorePosterior,
    Plan,
    PredictionModel,
    RandomStrategy,
    RankSettled,
    Session,
    fit_response_model,
    make_plan,
)
from midband_sampler.calibration import required_replays
from midband_sampler.leaving_out import AGENT, SCAFFOLD, can_hold_out_scaffolds, hold_out_groups
from midband_sampler.model.response import ability_grid, candidate_prior


def simulate(
    n_agents: int, n_tasks: int, seed: int, *, scaffolds: int = 1
) -> tuple[OutcomeMatrix, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ability, intercept = rng.normal(0, 1, n_agents), rng.normal(0, 1.3, n_tasks)
    slope = np.exp(rng.normal(0, 0.15, n_tasks))
    chance = 1 / (1 + np.exp(-(intercept + slope * ability[:, None])))
    scores = (rng.random(chance.shape) < chance).astype(float)
    names = [f"scaffold-{i % scaffolds}" for i in range(n_agents)]
    return OutcomeMatrix.from_scores(scores, scaffolds=names), ability, intercept


def drive(plan: Plan, scores: dict[str, float]) -> tuple[Session, list[str]]:
    session, order = Session(plan), []
    while tasks := session.ask(1):
        session.tell(tasks[0], score=scores[tasks[0]])
        order += tasks
    return session, order


def test_the_model_recovers_abilities_and_intercepts() -> None:
    matrix, ability, intercept = simulate(200, 150, 1)
    model = fit_response_model(matrix)
    assert np.corrcoef(model.abilities, ability)[0, 1] > 0.96
    # The intercept's own standard error at 200 agents is near 0.2.
    centred = (model.intercepts - model.intercepts.mean()) - (intercept - intercept.mean())
    assert np.sqrt(np.mean(centred**2)) < 0.3


def test_a_missing_cell_is_no_failure_and_attempts_count() -> None:
    matrix, *_ = simulate(60, 40, 2)
    holes = matrix.scores.copy()
    holes[np.random.default_rng(0).random(holes.shape) < 0.3] = np.nan
    full, holed = fit_response_model(matrix), fit_response_model(OutcomeMatrix.from_scores(holes))
    assert abs(float(np.mean(full.intercepts - holed.intercepts))) < 0.1
    many = OutcomeMatrix.from_scores(
        matrix.scores, attempt_scores=np.repeat(matrix.scores[:, :, None], 4, axis=2)
    )
    sure = fit_response_model(many)
    assert sure.covariances[:, 0, 0].mean() < full.covariances[:, 0, 0].mean()


def test_a_warm_start_reaches_the_same_fit() -> None:
    matrix, *_ = simulate(60, 40, 3)
    cold = fit_response_model(matrix, tolerance=1e-6, max_iterations=500)
    warm = fit_response_model(matrix, start=cold, tolerance=1e-6, max_iterations=500)
    assert np.allclose(cold.intercepts, warm.intercepts, atol=1e-3)


def test_the_predicted_variance_reduction_is_the_exact_expectation() -> None:
    rng = np.random.default_rng(4)
    profiles = rng.uniform(0.05, 0.95, (6, 9))
    prior = np.log(np.full(9, 1 / 9))
    base = FullScorePosterior(profiles, prior, binary=True)
    gains = base.variance_reduction()[0]
    before = float(base.moments()[1][0] * 6) ** 2
    for task in range(6):
        expected = 0.0
        rate = float(base.predicted()[0, task])
        for score, chance in ((1.0, rate), (0.0, 1 - rate)):
            after = FullScorePosterior(profiles, prior, binary=True)
            after.observe(np.array([0]), np.array([task]), np.array([score]))
            expected += chance * float(after.moments()[1][0] * 6) ** 2
        assert gains[task] == pytest.approx(before - expected, rel=1e-6)


def test_everything_run_leaves_nothing_to_predict() -> None:
    matrix, *_ = simulate(20, 30, 5)
    prediction = PredictionModel.fit(matrix).predict()
    scores = np.random.default_rng(1).integers(0, 2, 30).astype(float)
    for task, score in enumerate(scores):
        prediction.observe(np.array([0]), np.array([task]), np.array([score]))
    mean, deviation = prediction.moments()
    assert mean[0] == pytest.approx(scores.mean())
    assert deviation[0] < 1e-6
    low, high = prediction.bounds_each(np.array([3.0]))
    assert low[0, 0] == pytest.approx(high[0, 0])


@pytest.mark.parametrize("strategy", ["auto", "design", "information", "matched"])
def test_calibrated_plans_survive_a_file_and_repeat(strategy: str) -> None:
    matrix, *_ = simulate(24, 80, 6, scaffolds=4)
    plan = make_plan(matrix, strategy=strategy, stop=RankSettled(0.9, 0.2), seed=2)
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert plan.target == "full benchmark"
    assert plan.calibration is not None
    assert plan.calibration.held_out == "scaffold"
    scores = dict(zip(matrix.tasks, matrix.scores[0].tolist(), strict=True))
    one, order = drive(plan, scores)
    other, order_again = drive(again, scores)
    assert order == order_again
    assert one.decision() == other.decision() or np.isnan(one.decision().cost_saved_usd)
    assert "24 replays" in one.decision().guarantee


def test_live_choice_is_the_task_of_greatest_reduction() -> None:
    matrix, *_ = simulate(24, 60, 7)
    plan = make_plan(matrix, strategy="information", stop=RankSettled(0.9, 0.2))
    assert plan.model is not None
    prediction = plan.model.predict()
    session = Session(plan)
    for step in range(8):
        expected = int(prediction.variance_reduction()[0].argmax())
        (task,) = session.ask(1)
        assert task == matrix.tasks[expected]
        session.tell(task, score=float(step % 2))
        prediction.observe(np.array([0]), np.array([expected]), np.array([float(step % 2)]))
    two = session.ask(2)
    assert len(set(two)) == 2  # what is in flight is not chosen again


def test_a_live_session_keeps_its_budget() -> None:
    matrix, *_ = simulate(24, 60, 8)
    plan = make_plan(matrix, strategy="information", stop=RankSettled(0.9, 0.0), max_tasks=12)
    scores = dict(zip(matrix.tasks, matrix.scores[3].tolist(), strict=True))
    session, order = drive(plan, scores)
    assert len(order) == 12
    assert session.decision().reason == "all planned tasks run"


def test_too_few_agents_fall_back_and_say_so() -> None:
    matrix, *_ = simulate(9, 60, 9)
    plan = make_plan(matrix, strategy="auto", stop=RankSettled(0.9, 0.2))
    assert plan.calibration is None
    assert "10 are needed to calibrate" in plan.warnings[0]
    assert required_replays(0.95) == 19
    assert required_replays(0.9) == 10


def test_too_few_agents_and_a_limit_claim_only_what_is_certain() -> None:
    matrix, *_ = simulate(9, 60, 9)
    history = matrix.select(agents=range(8))
    plan = make_plan(history, strategy="auto", stop=RankSettled(0.9, 0.2), max_tasks=50)
    assert plan.strategy == "sampled-information"
    assert "holds whatever is possible" in plan.warnings[0]
    session, order = drive(plan, dict(zip(matrix.tasks, matrix.scores[8].tolist(), strict=True)))
    decision = session.decision()
    assert decision.guarantee.startswith("certain")
    assert decision.full_score == pytest.approx(matrix.full_scores()[8], abs=0.1)
    told = sum(float(matrix.scores[8, matrix.tasks.index(task)]) for task in order)
    left = len(matrix.tasks) - len(order)
    assert left > 0
    references = history.full_scores()
    best = 1 + int(np.sum(references > (told + left) / 60 + 1e-9))
    worst = 1 + int(np.sum(references > told / 60 + 1e-9))
    assert (decision.low, decision.high) == (best, worst)
    # The chances are the model's, which says more than what is certain.
    assert any(abs(chance - 0.5) > 0.1 for chance in decision.better_than.values())


def test_whole_scaffolds_are_held_out() -> None:
    scaffolds = ("a",) * 5 + ("b",) * 3 + ("c",) * 4
    assert can_hold_out_scaffolds(scaffolds)
    folds = hold_out_groups(scaffolds, SCAFFOLD)
    assert sorted(np.concatenate(folds).tolist()) == list(range(12))
    for fold in folds:
        inside = {scaffolds[i] for i in fold}
        assert not inside & {s for i, s in enumerate(scaffolds) if i not in set(fold.tolist())}
    assert not can_hold_out_scaffolds(("a",) * 12)
    by_agent = hold_out_groups(scaffolds, AGENT)
    assert max(len(group) for group in by_agent) == 2
    assert any({scaffolds[i] for i in group} == {"a"} for group in by_agent)


@pytest.mark.parametrize("name", ["information-fixed", "information", "difficulty-matched"])
def test_calibrated_intervals_cover_unseen_agents(name: str) -> None:
    # 240 new agents that the history never saw; fails by chance below 1e-4 at true coverage 90 %.
    misses, share = 0, []
    for seed in range(4):
        everyone, *_ = simulate(90, 100, 100 + seed)
        history = everyone.select(agents=range(30))
        plan = make_plan(history, strategy=name, stop=RankSettled(0.9, 0.2))
        references = history.full_scores()
        for row in range(30, 90):
            scores = dict(zip(everyone.tasks, everyone.scores[row].tolist(), strict=True))
            decision = drive(plan, scores)[0].decision()
            truth = everyone.scores[row].mean()
            best = 1 + int(np.sum(references > truth + 1e-9))
            worst = 1 + int(np.sum(references >= truth - 1e-9))
            misses += not (decision.low <= worst and decision.high >= best)
            share.append(decision.tasks_run / 100)
    assert binomtest(misses, 240, 0.1, alternative="greater").pvalue > 1e-4
    assert np.mean(share) < 0.6


def test_the_grid_is_fine_enough_for_a_long_benchmark() -> None:
    grid = ability_grid()
    assert grid.size >= 161
    assert np.exp(candidate_prior(0.4)).sum() == pytest.approx(1.0)


def test_the_guarantee_asked_for_is_given_or_refused() -> None:
    matrix, *_ = simulate(12, 40, 3)
    for strategy in ("auto", "design", "information", "stratified"):
        with pytest.raises(
            InputError, match=r"always-valid, got .*: use strategy band, random for"
        ):
            make_plan(matrix, strategy=strategy, guarantee="always-valid")
    own, named = (
        make_plan(matrix, strategy=each, guarantee="calibrated", stop=RankSettled(0.9, 0.2))
        for each in (RandomStrategy(), "random")
    )
    assert own == named
    assert make_plan(matrix, strategy="random", guarantee="always-valid").calibration is None


def test_a_calibrated_random_order_is_the_one_that_was_replayed() -> None:
    matrix, *_ = simulate(12, 40, 3)
    rule = RankSettled(0.9, 0.2)
    plan = make_plan(matrix, strategy="random", guarantee="calibrated", stop=rule, seed=4)
    assert plan.calibration is not None
    assert plan.tasks == make_plan(matrix, strategy="random", stop=rule, seed=4).tasks
