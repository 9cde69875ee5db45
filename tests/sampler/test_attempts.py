"""Attempts: one more attempt or one more task, by the gains that enumeration confirms."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler import (
    FullScorePosterior,
    Never,
    Plan,
    PlanError,
    RankSettled,
    Session,
    make_plan,
)
from midband_sampler.model.prediction import AttemptPosterior, Attempts

Told = Sequence[tuple[int, float]]


def chance_of(results: Sequence[float], rate: float, strength: float) -> float:
    """Probability of one task's binary results in order: Polya's urn, written out."""
    probability, passes = 1.0, 0.0
    for tries, result in enumerate(results):
        passing = (strength * rate + passes) / (strength + tries)
        probability *= passing if result else 1.0 - passing
        passes += result
    return probability


def enumerated(
    profiles: FloatArray, prior: FloatArray, most: int, strength: float, told: Told
) -> tuple[float, float]:
    """Mean and variance of the full score's sum over all ways the rest can go."""
    n_tasks = len(profiles)
    seen: list[list[float]] = [[] for _ in range(n_tasks)]
    for task, result in told:
        seen[task].append(result)
    ways = [list(product((0.0, 1.0), repeat=most - len(each))) for each in seen]
    weight = total = square = 0.0
    for node, chance in enumerate(prior):
        for rest in product(*ways):
            probability = chance
            score = 0.0
            for task in range(n_tasks):
                results = (*seen[task], *rest[task])
                probability *= chance_of(results, float(profiles[task, node]), strength)
                score += sum(results) / most
            weight += probability
            total += probability * score
            square += probability * score**2
    mean = total / weight
    return mean, square / weight - mean**2


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    most=st.integers(1, 3),
    correlation=st.floats(0.05, 0.95),
    told=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.0, 1.0])), max_size=5),
)
def test_moments_and_gains_are_those_of_enumeration(
    seed: int, most: int, correlation: float, told: list[tuple[int, float]]
) -> None:
    rng = np.random.default_rng(seed)
    profiles = rng.uniform(0.05, 0.95, (3, 4))
    prior = rng.dirichlet(np.ones(4))
    kept: list[tuple[int, float]] = []
    for task, result in told:
        if sum(each == task for each, _ in kept) < most:
            kept.append((task, result))
    prediction = AttemptPosterior(
        profiles, np.log(prior), attempts=Attempts(most=most, correlation=correlation)
    )
    for task, result in kept:
        prediction.observe(np.array([0]), np.array([task]), np.array([result]))
    strength = 1 / correlation - 1
    mean, variance = enumerated(profiles, prior, most, strength, kept)
    moments = prediction.moments()
    assert moments[0][0] * 3 == pytest.approx(mean)
    assert (moments[1][0] * 3) ** 2 == pytest.approx(variance, abs=1e-9)
    gains, rates = prediction.variance_reduction()[0], prediction.predicted()[0]
    for task in range(3):
        if sum(each == task for each, _ in kept) == most:
            assert gains[task] == -np.inf
            continue
        after = sum(
            weight * enumerated(profiles, prior, most, strength, [*kept, (task, result)])[1]
            for result, weight in ((1.0, rates[task]), (0.0, 1 - rates[task]))
        )
        assert gains[task] == pytest.approx(variance - after, rel=1e-4, abs=1e-7)


def test_one_attempt_is_the_plain_prediction() -> None:
    rng = np.random.default_rng(1)
    profiles, prior = rng.uniform(0.05, 0.95, (6, 9)), np.log(rng.dirichlet(np.ones(9)))
    plain = FullScorePosterior(profiles, prior, binary=False, candidates=2)
    one = AttemptPosterior(
        profiles, prior, candidates=2, attempts=Attempts(most=1, correlation=0.4)
    )
    for tasks, scores in (([0, 3], [1.0, 0.0]), ([2, 2], [0.5, np.nan])):
        for each in (plain, one):
            each.observe(np.arange(2), np.array(tasks), np.array(scores))
        for ours, theirs in zip(one.moments(), plain.moments(), strict=True):
            assert np.allclose(ours, theirs)
        assert np.allclose(one.variance_reduction(), plain.variance_reduction())
        for ours, theirs in zip(
            one.bounds_each(np.array([2.0])), plain.bounds_each(np.array([2.0])), strict=True
        ):
            assert np.allclose(ours, theirs)


def test_alike_attempts_are_not_repeated_and_unlike_ones_may_be() -> None:
    # One task tells of the ability, the others hardly do.
    profiles = np.vstack([np.linspace(0.02, 0.98, 9), np.full((4, 9), 0.97)])
    prior = np.log(np.full(9, 1 / 9))
    again = {}
    for correlation in (0.95, 0.05):
        prediction = AttemptPosterior(
            profiles, prior, attempts=Attempts(most=5, correlation=correlation)
        )
        assert prediction.variance_reduction()[0].argmax() == 0
        prediction.observe(np.array([0]), np.array([0]), np.array([1.0]))
        again[correlation] = int(prediction.variance_reduction()[0].argmax()) == 0
    assert again == {0.95: False, 0.05: True}


def test_a_lost_attempt_is_used_up_and_a_lost_task_leaves_the_target() -> None:
    profiles = np.full((2, 3), 0.5)
    prediction = AttemptPosterior(
        profiles, np.log(np.full(3, 1 / 3)), attempts=Attempts(most=2, correlation=0.5)
    )
    for task, score in ((0, np.nan), (0, 1.0), (1, np.nan), (1, np.nan)):
        prediction.observe(np.array([0]), np.array([task]), np.array([score]))
    mean, deviation = prediction.moments()
    assert (mean[0], deviation[0]) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))
    assert prediction.tasks_in_target[0] == 1.0
    assert not prediction.may_run.any()


def repeated(
    n_agents: int, n_tasks: int, attempts: int, correlation: float, seed: int
) -> OutcomeMatrix:
    """Agents whose own pass rates scatter about those of the response model."""
    rng = np.random.default_rng(seed)
    ability, intercept = rng.normal(0, 1, n_agents), rng.normal(0, 1.2, n_tasks)
    rate = 1 / (1 + np.exp(-(intercept + ability[:, None])))
    strength = 1 / correlation - 1
    own = rng.beta(strength * rate, strength * (1 - rate))
    each = (rng.random((n_agents, n_tasks, attempts)) < own[:, :, None]).astype(float)
    costs = np.tile(rng.lognormal(0, 0.5, n_tasks), (n_agents, 1))
    return OutcomeMatrix.from_scores(each.mean(axis=2), attempt_scores=each, cost_usd=costs)


@pytest.mark.parametrize("correlation", [0.2, 0.6])
def test_the_correlation_of_attempts_is_learnt(correlation: float) -> None:
    learnt = Attempts.learn(repeated(60, 80, 3, correlation, 2), 3)
    # Its standard error at 4,800 cells is near .01.
    assert learnt.correlation == pytest.approx(correlation, abs=0.06)


def drive(plan: Plan, matrix: OutcomeMatrix, row: int, width: int = 1) -> tuple[Session, list[str]]:
    session = Session(plan)
    order: list[str] = []
    column = {task: place for place, task in enumerate(matrix.tasks)}
    while tasks := session.ask(width):
        for task in tasks:
            attempt = order.count(task)
            order.append(task)
            session.tell(task, score=float(matrix.attempt_scores[row, column[task], attempt]))
    return session, order


@pytest.mark.parametrize("strategy", ["information", "cost"])
def test_a_session_asks_again_up_to_the_limit(strategy: str) -> None:
    matrix = repeated(24, 20, 3, 0.15, 3)
    plan = make_plan(matrix, strategy=strategy, stop=RankSettled(0.9, 0.1), attempts=3)
    again = Plan.from_json(plan.to_json())
    assert again == plan
    session, order = drive(again, matrix, 5)
    assert len(order) > len(set(order))
    assert max(order.count(task) for task in order) <= 3
    assert session.decision().tasks_run == len(order)
    assert "attempts" in " ".join(plan.notes)


def test_the_session_s_choice_is_the_greatest_gain() -> None:
    matrix = repeated(24, 15, 3, 0.3, 4)
    plan = make_plan(matrix, strategy="information", stop=RankSettled(0.9, 0.0), attempts=3)
    assert plan.model is not None
    assert plan.attempts is not None
    prediction = plan.model.predict(attempts=plan.attempts)
    _, order = drive(plan, matrix, 2)
    tries: dict[str, int] = {}
    for task in order:
        place = matrix.tasks.index(task)
        assert place == int(prediction.variance_reduction()[0].argmax())
        score = matrix.attempt_scores[2, place, tries.get(task, 0)]
        prediction.observe(np.array([0]), np.array([place]), np.array([score]))
        tries[task] = tries.get(task, 0) + 1


def test_everything_run_is_exact() -> None:
    matrix = repeated(24, 12, 2, 0.3, 5)
    plan = make_plan(matrix, strategy="information", stop=Never(0.9), attempts=2)
    session = Session(plan)
    for task in matrix.tasks:
        for attempt in range(2):
            place = matrix.tasks.index(task)
            session.tell(task, score=float(matrix.attempt_scores[7, place, attempt]))
    decision = session.decision()
    full = matrix.full_scores()
    assert decision.full_score == pytest.approx(full[7])
    assert decision.low <= 1 + int(np.sum(full > full[7] + 1e-9)) <= decision.high
    assert decision.full_score_low == pytest.approx(decision.full_score_high)


def test_a_task_in_flight_is_not_asked_for_again() -> None:
    matrix = repeated(24, 12, 3, 0.1, 6)
    plan = make_plan(matrix, strategy="information", stop=RankSettled(0.9, 0.0), attempts=3)
    session = Session(plan)
    first = session.ask(12)
    assert len(set(first)) == len(first) == 12
    assert session.ask(1) == []
    assert set(session.pending) == set(first)
    session.tell(first[0], score=1.0)
    assert session.ask(5) == [first[0]]
    assert not session.decision().stop


def test_the_interval_covers_with_several_attempts() -> None:
    # 70 new agents, ranked by what all their attempts at all tasks show; fails by chance below
    # 1e-4 at a true coverage of 90 %.
    everyone = repeated(100, 30, 3, 0.3, 7)
    known = everyone.select(agents=range(30))
    plan = make_plan(known, strategy="information", stop=RankSettled(0.9, 0.2), attempts=3)
    full, misses, shares = known.full_scores(), 0, []
    for row in range(30, 100):
        session, order = drive(plan, everyone, row)
        decision = session.decision()
        own = float(everyone.scores[row].mean())
        best, worst = 1 + int(np.sum(full > own + 1e-9)), 1 + int(np.sum(full >= own - 1e-9))
        misses += not (decision.low <= worst and decision.high >= best)
        shares.append(len(order) / 90)
    assert binomtest(misses, 70, 0.1, alternative="greater").pvalue > 1e-4
    assert np.mean(shares) < 0.6


def test_what_attempts_cannot_do_is_refused() -> None:
    matrix = repeated(20, 12, 3, 0.3, 8)
    with pytest.raises(InputError, match="cost or information"):
        make_plan(matrix, strategy="design", attempts=2)
    with pytest.raises(InputError, match="explore"):
        make_plan(matrix, strategy="information", attempts=2, explore=0.1)
    with pytest.raises(InputError, match="attempts >= 1"):
        make_plan(matrix, strategy="information", attempts=0)
    single = OutcomeMatrix.from_scores((matrix.scores > 0.5).astype(float))
    with pytest.raises(PlanError, match="leave --attempts out"):
        make_plan(single, strategy="information", attempts=2)
    plan = make_plan(matrix, strategy="information", stop=RankSettled(0.9, 0.2), attempts=2)
    session = Session(plan)
    session.tell("task-0", score=1.0)
    session.tell("task-0", score=1.0)
    with pytest.raises(InputError, match="at most 2 attempts"):
        session.tell("task-0", score=1.0)
    assert plan.fixed().attempts is None


def test_attempts_that_are_alike_are_no_drift() -> None:
    """What a second attempt repeats is not improbable once more."""
    alarms = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        logit = rng.normal(0, 1, 60)[:, None] - rng.normal(0, 1.3, 60)
        mean, strength = 1 / (1 + np.exp(-logit)), 1 / 0.85 - 1
        own = rng.beta(np.maximum(strength * mean, 1e-3), np.maximum(strength * (1 - mean), 1e-3))
        each = (rng.random((60, 60, 3)) < own[:, :, None]).astype(float)
        matrix = OutcomeMatrix.from_scores(each.mean(axis=2), attempt_scores=each)
        history = matrix.select(agents=range(30))
        plan = make_plan(
            history, strategy="information", attempts=3, stop=Never(0.9), max_tasks=100, seed=seed
        )
        for row in range(30, 60):
            session = Session(plan, resamples=200)
            made: dict[str, int] = {}
            while tasks := session.ask(1):
                attempt = made[tasks[0]] = made.get(tasks[0], -1) + 1
                score = float(each[row, matrix.tasks.index(tasks[0]), attempt])
                session.tell(tasks[0], score=score)
            alarms += any("improbable" in each for each in session.decision().warnings)
    # At a rate of .05 fails with chance 1e-4; where every attempt counts a third raise it.
    assert binomtest(alarms, 90, 0.05, alternative="greater").pvalue > 1e-4
