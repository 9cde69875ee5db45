"""The plan of a race: kept in full by its text, and refused where it cannot be run."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sampler.racing.fields import history_of, names_of, plan_of, tasks_of

from midband_history import InputError, Metric, OutcomeMatrix
from midband_sampler import Budget, PlanError, racing

HISTORY = history_of()
WRONG: tuple[object, ...] = (7.5, {"x": []}, "?")


def with_history(**given: object) -> racing.RacePlan:
    asked = {"question": "top:1:0.8", "budget": "tasks:60", **given}
    return racing.make_race(HISTORY, ("agent-3", "x", "y"), **asked)  # type: ignore[arg-type]


def test_a_plan_with_a_history_is_kept_by_its_text() -> None:
    plan = with_history(arguments={"x": ("--model", "m")}, versions={"midband": "9"}, seed=4)
    assert plan.model is not None
    again = racing.RacePlan.from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    assert again.digest == plan.digest
    assert again.arguments == {"x": ("--model", "m")}
    np.testing.assert_array_equal(again.known, plan.known)
    scores = np.vstack([HISTORY.scores[3], np.ones(40), np.zeros(40)])
    one, two = (racing.replay_race(each, scores).verdict() for each in (plan, again))
    assert one.to_dict() == two.to_dict()
    assert one.plan_digest == plan.digest


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.text("ab :%é", min_size=1, max_size=5), min_size=2, max_size=5, unique=True),
    size=st.integers(0, 9),
    share=st.none() | st.integers(500, 1000).map(lambda part: part / 1000),
    seed=st.integers(0, 2**40),
    allocation=st.sampled_from(["contested", "racing", "uniform"]),
)
def test_a_plan_without_a_history_is_kept_by_its_text(
    names: list[str], size: int, share: float | None, seed: int, allocation: str
) -> None:
    plan = racing.make_race(
        None,
        names,
        question="order:0.9",
        allocation=allocation,
        budget=share if size > 1 else None,
        tasks=tasks_of(size),
        seed=seed,
        metric=Metric(name="accuracy"),
        version="v1",
    )
    again = racing.RacePlan.from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    assert again.budget == pytest.approx(plan.budget)
    assert (again.jobs, again.seed) == (plan.jobs, seed)
    assert (again.candidates, again.tasks) == (tuple(names), tasks_of(size))
    assert (again.metric, again.version) == (Metric(name="accuracy"), "v1")


@pytest.mark.parametrize(
    "question", [racing.NotWorse("l/a:8b", "l/a:70b", 0.02, 0.9), racing.TopK(1, None, 0.01)]
)
def test_a_question_of_any_names_and_zone_is_kept(question: racing.Question) -> None:
    plan = racing.make_race(
        None, ("l/a:70b", "l/a:8b"), question=question, tasks=tasks_of(9), budget=0.5
    )
    assert racing.RacePlan.from_json(plan.to_json()).question == question


def test_the_digest_names_the_content() -> None:
    first = plan_of(3, 10)
    assert first.digest == plan_of(3, 10).digest
    others = [
        plan_of(3, 11),
        plan_of(3, 10, seed=1),
        plan_of(3, 10, question="top:2:0.9"),
        plan_of(3, 10, allocation="racing"),
        plan_of(3, 10, budget=0.5),
        plan_of(3, 10, task_digests={"task-1": "abc"}),
        plan_of(3, 10, arguments={"a": ("x",)}),
    ]
    assert len({each.digest for each in (first, *others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 5), ("question", "top:2:0.9"), ("candidates", ["a", "b", "z"]), ("version", "v9")],
)
def test_a_text_that_was_changed_by_hand_is_refused(name: str, value: object) -> None:
    text = json.dumps({**json.loads(plan_of(3, 10).to_json()), name: value})
    with pytest.raises(PlanError, match="changed by hand"):
        racing.RacePlan.from_json(text)


def test_foreign_and_broken_texts_are_refused_in_one_line() -> None:
    data = json.loads(plan_of(3, 10).to_json())
    texts = ["", "[]", "{}", "{", json.dumps({"midband_plan": 1})]
    for name in data:
        texts.append(json.dumps({key: each for key, each in data.items() if key != name}))
        texts += [json.dumps({**data, name: wrong}) for wrong in WRONG]
    for text in texts:
        with pytest.raises((PlanError, InputError)) as caught:
            racing.RacePlan.from_json(text, name="race.json")
        assert "\n" not in str(caught.value), text
        assert "race.json" in str(caught.value), text
    with pytest.raises(PlanError, match="update midband"):
        racing.RacePlan.from_json(json.dumps({**data, "midband_race": 99}))


def test_a_plan_is_written_and_read(tmp_path: Path) -> None:
    plan = with_history()
    plan.write(tmp_path / "race.json")
    assert [each.name for each in tmp_path.iterdir()] == ["race.json"]
    assert racing.RacePlan.read(tmp_path / "race.json").digest == plan.digest
    with pytest.raises(PlanError, match=r"cannot read .*: check the path"):
        racing.RacePlan.read(tmp_path / "other.json")
    with pytest.raises(InputError, match="cannot write"):
        plan.write(tmp_path / "no" / "race.json")


def test_a_race_takes_the_tasks_of_its_harness_once() -> None:
    plan = racing.make_race(None, names_of(2), question="top:1:0.9", budget="50%")
    assert plan.jobs is None
    filled = plan.with_tasks(["x", "y", "z"], {"x": "1"})
    assert (filled.tasks, filled.full, filled.jobs) == (("x", "y", "z"), 6, 3)
    assert filled.task_digests == {"x": "1"}
    assert filled.known.shape == (2, 3)
    assert filled.expected_cost_usd.shape == (3,)
    with pytest.raises(InputError, match="one with 3"):
        filled.with_tasks(["x"])
    with pytest.raises(InputError, match="at least 2 results"):
        plan.with_tasks(["x"])
    with pytest.raises(InputError, match="every task once"):
        plan.with_tasks(["x", "x"])


def test_known_results_follow_their_candidate() -> None:
    known = np.array([[1.0, 1.0], [0.0, np.nan]])
    plan = racing.RacePlan(
        benchmark="",
        candidates=("old", "new"),
        question=racing.NotWorse("new", "old", 0.0, 0.9),
        allocation=racing.find_allocation("racing"),
        tasks=("x", "y"),
        known=known,
    )
    assert plan.candidates == ("new", "old")
    np.testing.assert_array_equal(plan.known, known[::-1])
    assert plan.full == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": 0.19}, r"at least 4 results, .* \(20.0% of the full price of 20\), got 3"),
        ({"budget": "tasks:3"}, "at least 4 results, .* got 3: raise it"),
        ({"budget": 0.0}, "above 0 and at most 1, got 0"),
        ({"budget": 1.5}, "at most 1, got 1.5"),
        ({"budget": "150%"}, "a budget like 5%"),
        ({"budget": "tasks:2.5"}, "got 'tasks:2.5'"),
        ({"question": "top:1"}, "a question without a confidence, got none"),
        ({"allocation": "halving"}, "the allocation 'halving', got none"),
        ({"allocation": "halving", "budget": "usd:3"}, "in results for 'halving'"),
        ({"allocation": "best"}, "among contested, halving, racing, uniform, got 'best'"),
        ({"question": "top:4:0.9"}, "smaller than the 4 candidates"),
        ({"tasks": ("x", "x")}, "every task once"),
    ],
)
def test_a_race_that_cannot_be_is_refused(given: dict[str, object], said: str) -> None:
    asked = {"question": "top:1:0.9", "tasks": tasks_of(5), **given}
    with pytest.raises(InputError, match=said) as caught:
        racing.make_race(None, names_of(4), **asked)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_the_least_budget_is_enough() -> None:
    assert plan_of(4, 5, question="top:1", budget=0.2).jobs == 4
    assert plan_of(4, 5, question="top:1", budget="tasks:4").jobs == 4


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a",), "two candidates or more, got 1"),
        (("a", "b", "a"), "'a' twice"),
        (("a", ""), "empty"),
    ],
)
def test_candidates_that_cannot_be_are_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        racing.make_race(None, names, question="top:1:0.9")


@pytest.mark.parametrize("text", ["5%", "12.5%", "100%", "tasks:30", "usd:2.5", "seconds:60"])
def test_a_budget_is_read_back_from_its_text(text: str) -> None:
    assert racing.budget_text(racing.parse_budget(text)) == text


def test_budgets_as_shares_and_none() -> None:
    assert racing.parse_budget("0.05") == 0.05
    assert racing.parse_budget("") is None
    assert racing.parse_budget("tokens:500") == Budget(tokens=500)


def test_a_history_of_something_else_is_refused() -> None:
    metric = Metric(name="accuracy")
    history = history_of(metric=metric)
    with pytest.raises(PlanError, match="metric 'f1', got one of 'accuracy'"):
        racing.make_race(history, ("x", "y"), question="top:1:0.8", metric=Metric(name="f1"))
    object.__setattr__(history, "version", "v1")
    with pytest.raises(PlanError, match=r"version 'v2' .* got 'v1'"):
        racing.make_race(history, ("x", "y"), question="top:1:0.8", version="v2")
    with pytest.raises(InputError, match="got 'strange'"):
        racing.make_race(history, ("x", "y"), question="top:1:0.8", tasks=("task-1", "strange"))
    plan = racing.make_race(
        history, ("x", "y"), question="top:1:0.8", version="v1", metric=metric, tasks=tasks_of(30)
    )
    assert (plan.metric, plan.version, plan.tasks) == (metric, "v1", tasks_of(30))


def test_where_the_history_is_silent_what_is_given_counts() -> None:
    digests = ["same", "", *[""] * 38]
    history = history_of(task_digests=digests)
    given = {"task-0": "same", "task-1": "new"}
    plan = racing.make_race(
        history,
        ("x", "y"),
        question="top:1:0.8",
        metric=Metric(name="f1"),
        version="v2",
        task_digests=given,
    )
    assert (plan.metric, plan.version) == (Metric(name="f1"), "v2")
    assert {**plan.task_digests} == {**dict.fromkeys(history.tasks, ""), **given}
    with pytest.raises(PlanError, match=r"'task-0' .* other content"):
        racing.make_race(history, ("x", "y"), question="top:1:0.8", task_digests={"task-0": "new"})


def test_too_small_a_history_is_said_and_not_used() -> None:
    plan = racing.make_race(history_of(6), ("x", "y", "agent-1"), question="top:1:0.8")
    assert plan.model is None
    assert not plan.claims_by_history
    assert any("5 other agents" in note for note in plan.notes)
    assert math.isnan(plan.cost)
    empty = OutcomeMatrix.from_scores(np.full((20, 10), np.nan))
    plan = racing.make_race(empty, ("x", "y"), question="top:1", budget=0.5)
    assert racing.replay_race(plan, np.ones((2, 10))).done


def test_the_expected_cost_is_within_its_range_and_the_budget() -> None:
    plan = with_history(budget=None)
    assert 0 < plan.cost_low <= plan.cost <= plan.cost_high <= 1
    tight = with_history(budget="tasks:4")
    assert tight.cost_high == pytest.approx(4 / tight.full)
    assert plan_of(2, 10, question="top:1", budget=0.5).cost == 0.5
