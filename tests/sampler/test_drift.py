"""The drift alarm: quiet on agents like those of the history, heard on others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import OutcomeMatrix
from midband_sampler import Never, Plan, Session, make_plan


def chances(ability: np.ndarray, difficulty: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(difficulty - ability[:, None])))


def draw(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(chance.shape) < chance).astype(float)


def history(seed: int, *, agents: int = 24, tasks: int = 90) -> tuple[OutcomeMatrix, np.ndarray]:
    """A Rasch history with the difficulties it was drawn from."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1.3, tasks)
    return OutcomeMatrix.from_scores(
        draw(chances(rng.normal(0, 1, agents), difficulty), rng)
    ), difficulty


def warned(plan: Plan, scores: np.ndarray) -> str:
    """The alarm after the whole plan; empty if it is quiet."""
    column = {task: place for place, task in enumerate(plan.all_tasks)}
    session = Session(plan, resamples=200)
    for task in plan.tasks:
        session.tell(task, score=float(scores[column[task]]))
    found = [each for each in session.decision().warnings if "improbable" in each]
    return found[0] if found else ""


def planned(matrix: OutcomeMatrix, strategy: str) -> Plan:
    return make_plan(matrix, strategy=strategy, stop=Never(0.9), max_tasks=60)


@pytest.mark.parametrize("strategy", ["design", "band", "random"])
def test_agents_like_the_earlier_ones_rarely_raise_it(strategy: str) -> None:
    # 200 new agents, 5 % of whom may raise it; fails by chance below 1e-4 if no more do.
    alarms = 0
    for seed in range(4):
        matrix, difficulty = history(seed)
        rng = np.random.default_rng(1000 + seed)
        plan = planned(matrix, strategy)
        newcomers = draw(chances(rng.normal(0, 1, 50), difficulty), rng)
        alarms += sum(bool(warned(plan, scores)) for scores in newcomers)
    assert binomtest(alarms, 200, 0.05, alternative="greater").pvalue > 1e-4


def test_an_agent_far_ahead_raises_it_with_the_numbers() -> None:
    matrix, difficulty = history(1)
    rng = np.random.default_rng(2)
    far = draw(chances(np.full(20, 5.0), difficulty), rng)
    for strategy in ("design", "band"):
        plan = planned(matrix, strategy)
        texts = [warned(plan, scores) for scores in far]
        assert sum(map(bool, texts)) >= 18
        text = next(filter(None, texts))
        assert "passed" in text
        assert "expected" in text
        assert "to 1 against it" in text


def test_other_difficulties_raise_it_where_there_is_a_model() -> None:
    matrix, difficulty = history(3, tasks=120)
    rng = np.random.default_rng(4)
    plan = make_plan(matrix, strategy="stratified", stop=Never(0.9), guarantee="calibrated")
    other = draw(chances(rng.normal(0, 1, 20), rng.permutation(difficulty)), rng)
    texts = [warned(plan, scores) for scores in other]
    assert sum("does not follow how hard they were" in text for text in texts) >= 15


def test_missing_results_are_no_drift() -> None:
    matrix, _ = history(5)
    plan = planned(matrix, "design")
    session = Session(plan)
    for task in plan.tasks:
        session.tell(task, outcome="infra_error")
    assert not any("improbable" in each for each in session.decision().warnings)


def test_few_agents_are_no_ground_for_it() -> None:
    matrix, _ = history(6, agents=4)
    plan = make_plan(matrix, strategy="random")
    assert warned(plan, np.ones(90)) == ""


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["design", "random"]))
def test_it_does_not_depend_on_when_one_asks(random: "object", strategy: str) -> None:
    matrix, difficulty = history(7)
    plan = planned(matrix, strategy)
    scores = draw(chances(np.array([4.0]), difficulty), np.random.default_rng(8))[0]
    column = {task: place for place, task in enumerate(plan.all_tasks)}
    often, rebuilt = Session(plan, resamples=200), Session(plan, resamples=200)
    for task in plan.tasks[:45]:
        often.tell(task, score=float(scores[column[task]]))
        often.decision()
    told = list(plan.tasks[:45])
    random.shuffle(told)  # type: ignore[attr-defined]
    for task in told:
        rebuilt.tell(task, score=float(scores[column[task]]))
    assert rebuilt.decision().warnings == often.decision().warnings


def test_a_plan_keeps_how_surprising_earlier_agents_were() -> None:
    matrix, _ = history(9)
    plan = planned(matrix, "design")
    assert plan.calibration is not None
    assert plan.calibration.surprise >= 0.0
    assert Plan.from_json(plan.to_json()) == plan
