"""The estimator of a decision's score is a setting; ranks and bounds do not depend on it."""

import math

import numpy as np
import pytest

from midband_history import InputError, OutcomeMatrix
from midband_sampler import Decision, Plan, PlanSettings, Session, make_plan, parse_stop

BOUNDS = ("low", "high", "target_score_low", "target_score_high")


def history() -> OutcomeMatrix:
    rng = np.random.default_rng(8)
    chance = 1 / (1 + np.exp(rng.normal(0, 1.2, 30) - np.linspace(-1.5, 1.5, 24)[:, None]))
    return OutcomeMatrix.from_scores((rng.random(chance.shape) < chance).astype(float))


def decided(plan: Plan, runs: int = 12) -> tuple[Decision, dict[str, float]]:
    rng = np.random.default_rng(2)
    answers = {task: float(rng.random() < 0.5) for task in plan.all_tasks}
    session, told = Session(plan, resamples=200), {}
    for _ in range(runs):
        (task,) = session.ask()
        told[task] = answers[task]
        session.tell(task, score=answers[task])
    return session.decision(), told


def test_the_paired_mean_is_what_an_always_valid_plan_estimates() -> None:
    plans = [
        make_plan(history(), strategy="random", stop=parse_stop("none"), estimator=name)
        for name in ("auto", "paired")
    ]
    auto, paired = (decided(plan)[0] for plan in plans)
    assert auto.target_score == pytest.approx(paired.target_score, abs=1e-12)
    assert plans[1].estimator == "paired"
    assert Plan.from_json(plans[1].to_json()) == plans[1]
    assert "estimator" not in plans[0].to_json()


def test_each_estimator_moves_the_score_and_not_the_bounds() -> None:
    made = {
        name: decided(
            make_plan(
                history(),
                strategy="information-fixed",
                stop=parse_stop("none:0.8"),
                max_tasks=20,
                explore=0.5,
                estimator=name,
            )
        )[0]
        for name in ("auto", "model", "paired", "assisted")
    }
    auto = made["auto"]
    assert made["model"].target_score == pytest.approx(auto.target_score)
    assert made["paired"].target_score != pytest.approx(auto.target_score, abs=1e-6)
    expected = min(max(auto.randomised_score, auto.target_score_low), auto.target_score_high)
    assert made["assisted"].target_score == pytest.approx(expected)
    for each in made.values():
        assert [getattr(each, name) for name in BOUNDS] == [getattr(auto, name) for name in BOUNDS]


def test_the_paired_mean_adds_the_mean_difference_to_the_references() -> None:
    matrix = history()
    plan = make_plan(matrix, strategy="random", stop=parse_stop("none"), estimator="paired")
    decision, told = decided(plan)
    expected = dict(zip(matrix.tasks, matrix.scores.mean(axis=0), strict=True))
    difference = np.mean([score - expected[task] for task, score in told.items()])
    assert decision.target_score == pytest.approx(matrix.scores.mean() + difference)


@pytest.mark.parametrize("name", ["model", "assisted"])
def test_an_estimator_without_what_it_needs_is_not_used_and_said(name: str) -> None:
    plan = make_plan(history(), strategy="random", stop=parse_stop("none"), estimator=name)
    assert plan.estimator == "auto"
    assert any(f"estimator {name} is not used" in each for each in plan.warnings)
    assert not math.isnan(decided(plan)[0].target_score)


def test_an_unknown_estimator_and_one_for_attempts_are_refused() -> None:
    with pytest.raises(InputError, match="estimator among auto, paired, model, assisted"):
        PlanSettings(estimator="guess")
    with pytest.raises(InputError, match="expected estimator 'auto' for attempts=2"):
        PlanSettings(estimator="paired", attempts=2)
