"""Strategies: cost chooses by the reduction per cost, and larger plans contain smaller ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler import Never, Plan, PlanError, RankSettled, Session, make_plan, strategy_names
from midband_sampler.spending import choice_costs

LIVE = ("cost", "difficulty-matched", "information", "sampled-information")
FIXED = ("band", "random", "stratified", *(f"{name}-fixed" for name in LIVE[:-1]))


def history(
    n_agents: int = 24, n_tasks: int = 40, seed: int = 0, *, costs: FloatArray | None = None
) -> OutcomeMatrix:
    rng = np.random.default_rng(seed)
    ability, intercept = rng.normal(0, 1, n_agents), rng.normal(0, 1.3, n_tasks)
    chance = 1 / (1 + np.exp(-(intercept + ability[:, None])))
    each = rng.lognormal(0, 1, n_tasks) if costs is None else costs
    return OutcomeMatrix.from_scores(
        (rng.random(chance.shape) < chance).astype(float),
        cost_usd=np.tile(each, (n_agents, 1)),
        duration_s=np.tile(each[::-1] * 60, (n_agents, 1)),
    )


def drive(plan: Plan, matrix: OutcomeMatrix, row: int) -> tuple[Session, list[str]]:
    scores = dict(zip(matrix.tasks, matrix.scores[row].tolist(), strict=True))
    session, order = Session(plan, resamples=200), []
    while tasks := session.ask(1):
        session.tell(tasks[0], score=scores[tasks[0]])
        order += tasks
    return session, order


def test_cost_takes_the_greatest_reduction_per_dollar() -> None:
    matrix = history()
    costs = matrix.cost_usd[0]
    plan = make_plan(matrix, strategy="cost", stop=RankSettled(0.9, 0.0))
    assert plan.model is not None
    prediction, session = plan.model.predict(), Session(plan)
    dearer = 0
    for step in range(15):
        gain = prediction.variance_reduction()[0]
        expected = int((gain / costs).argmax())
        dearer += expected != int(gain.argmax())
        assert session.ask(1) == [matrix.tasks[expected]]
        session.tell(matrix.tasks[expected], score=float(step % 2))
        prediction.observe(np.array([0]), np.array([expected]), np.array([float(step % 2)]))
    assert dearer > 5  # costs do change the choice


@pytest.mark.parametrize(
    ("name", "without"), [("cost", "information"), ("cost-fixed", "information-fixed")]
)
def test_equal_costs_change_nothing(name: str, without: str) -> None:
    matrix = history(costs=np.full(40, 0.25))
    stop = RankSettled(0.9, 0.2)
    one, other = (make_plan(matrix, strategy=each, stop=stop) for each in (name, without))
    assert one.tasks == other.tasks
    assert drive(one, matrix, 3)[1] == drive(other, matrix, 3)[1]
    assert "all alike" in " ".join(one.notes)


def test_the_fixed_form_of_cost_goes_by_its_old_name_too() -> None:
    matrix = history()
    stop = RankSettled(0.9, 0.2)
    live, design = (make_plan(matrix, strategy=each, stop=stop) for each in ("cost", "cost-design"))
    fixed = live.fixed()
    assert (fixed.strategy, fixed.tasks) == ("cost-fixed", design.tasks)
    assert fixed.calibration == design.calibration
    assert drive(fixed, matrix, 5)[1] == drive(design, matrix, 5)[1]


def test_cost_settles_for_less_money() -> None:
    matrix = history(60, 80, seed=3)
    known, new = matrix.select(agents=range(30)), range(30, 48)
    costs = dict(zip(matrix.tasks, matrix.cost_usd[0].tolist(), strict=True))
    spent = {}
    for name in ("cost", "information"):
        plan = make_plan(known, strategy=name, stop=RankSettled(0.9, 0.2))
        orders = [drive(plan, matrix, row)[1] for row in new]
        spent[name] = np.array([sum(costs[task] for task in order) for order in orders])
    saved = spent["information"] - spent["cost"]
    assert saved.mean() > 3 * saved.std(ddof=1) / np.sqrt(saved.size)


def test_a_plan_by_cost_says_what_the_costs_were_good_for() -> None:
    stop = RankSettled(0.9, 0.2)
    saves = make_plan(history(30, 80, seed=3), strategy="cost", stop=stop)
    (note,) = [note for note in saves.notes if "expected cost of all tasks" in note]
    assert "information" in note
    assert not saves.warnings
    # Cheap tasks that tell nothing of an agent, which the prior of the model does not believe.
    matrix = history(24, 60, seed=5, costs=np.repeat([0.4, 1.0], 30))
    scores = matrix.scores.copy()
    scores[:, :30] = np.random.default_rng(6).random((24, 30)) < 0.5
    odd = OutcomeMatrix.from_scores(scores, cost_usd=matrix.cost_usd)
    for name, without in (("cost", "information"), ("cost-fixed", "information-fixed")):
        plan = make_plan(odd, strategy=name, stop=stop)
        (warning,) = plan.warnings
        assert "weighing costs saved nothing" in warning
        assert repr(without) in warning


def test_unknown_costs_are_the_median_and_free_tasks_are_merely_cheap() -> None:
    costs = np.array([np.nan, 1.0, 2.0, 3.0, 0.0, np.nan])
    matrix = history(n_tasks=6, costs=costs)
    assert choice_costs(matrix, unit="usd").tolist() == [2.0, 1.0, 2.0, 3.0, 0.02, 2.0]
    seconds = choice_costs(matrix, unit="seconds")
    assert seconds[[2, 3, 4]].tolist() == [180.0, 120.0, 60.0]
    assert seconds[0] == 120.0


def test_without_costs_there_is_no_choice_by_cost() -> None:
    matrix = history(costs=np.full(40, np.nan))
    with pytest.raises(PlanError, match="--strategy information"):
        make_plan(matrix, strategy="cost")
    with pytest.raises(PlanError, match="--strategy information"):
        make_plan(matrix, strategy="cost-design", cost_unit="seconds")
    with pytest.raises(PlanError, match="got none"):
        make_plan(history(costs=np.zeros(40)), strategy="cost")
    with pytest.raises(InputError, match="cost or cost-fixed"):
        make_plan(history(), strategy="design", cost_unit="seconds")
    with pytest.raises(InputError, match="usd, seconds"):
        make_plan(history(), strategy="cost", cost_unit="euros")


def test_a_plan_by_seconds_says_so_and_survives_a_file() -> None:
    matrix = history()
    plan = make_plan(matrix, strategy="cost", cost_unit="seconds", stop=RankSettled(0.9, 0.2))
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.cost_unit == "seconds"
    assert again.task_costs is not None
    assert np.array_equal(again.task_costs, matrix.duration_s[0].round(9))
    assert "expected seconds" in " ".join(plan.notes)
    assert drive(plan, matrix, 2)[1] == drive(again, matrix, 2)[1]


def test_too_few_agents_need_no_costs_in_the_plan() -> None:
    plan = make_plan(history(8), strategy="cost", stop=RankSettled(0.9, 0.2))
    assert (plan.strategy, plan.task_costs) == ("random", None)


@pytest.mark.parametrize("name", [*FIXED, *LIVE])
@settings(max_examples=3, deadline=None)
@given(
    seed=st.integers(0, 1000),
    sizes=st.tuples(st.integers(4, 20), st.integers(1, 20)),
    guards=st.lists(st.integers(0, 39), max_size=3, unique=True),
    share=st.sampled_from([0.0, 0.3]),
)
def test_a_larger_plan_begins_with_the_smaller_one(
    name: str, seed: int, sizes: tuple[int, int], guards: list[int], share: float
) -> None:
    matrix = history(12)
    small, large = sizes[0], sizes[0] + sizes[1]
    plans = [
        make_plan(
            matrix,
            strategy=name,
            stop=Never(0.9),
            guarantee="calibrated",
            max_tasks=size,
            seed=seed,
            always=[matrix.tasks[j] for j in guards],
            explore=share,
        )
        for size in (small, large)
    ]
    one, other = (drive(plan, matrix, seed % 12)[1] for plan in plans)
    assert len(one) == min(small, len(other))
    assert other[: len(one)] == one


def test_every_strategy_is_among_those_tested_for_nesting() -> None:
    assert {*FIXED, *LIVE, "auto"} == set(strategy_names())
