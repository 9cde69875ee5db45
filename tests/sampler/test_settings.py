"""Settings of a plan as texts, as values of a file, and as what a plan keeps of them."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from midband_history import InputError, Metric, OutcomeMatrix
from midband_sampler import (
    Band,
    Budget,
    Candidate,
    Plan,
    PlanError,
    PlanSettings,
    Session,
    make_plan,
    parse_stop,
)


def history() -> OutcomeMatrix:
    scores = np.random.default_rng(3).integers(0, 2, (8, 24)).astype(float)
    return OutcomeMatrix.from_scores(scores, agents=[f"agent-{row}" for row in range(8)])


def test_every_field_is_an_option_that_reads_its_own_default_text() -> None:
    options = {each.name: each for each in PlanSettings.options()}
    assert list(options) == [each.name for each in fields(PlanSettings)]
    for each in options.values():
        assert each.help.endswith(".")
        assert each.flag.startswith("--")
        if each.default_text:
            assert each.read(each.default_text) == each.default
    assert options["guarantee"].choices == ("auto", "always-valid", "calibrated", "bootstrap")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("band", "0.2:0.8", Band(0.2, 0.8)),
        ("band", "0.2 0.8", Band(0.2, 0.8)),
        ("band", [0.2, 0.8], Band(0.2, 0.8)),
        ("stop", "tokens:900", Budget(tokens=900)),
        ("max_tasks", "12", 12),
        ("max_tasks", "none", None),
        ("always", "task-1, task-2", ("task-1", "task-2")),
        ("explore", "0.25", 0.25),
        ("fallback", "no", False),
        ("fallback", True, True),
        ("agent", "agent-x", "agent-x"),
    ],
)
def test_settings_are_read_from_texts_and_from_values(
    name: str, value: object, expected: object
) -> None:
    assert getattr(PlanSettings.from_mapping({name: value}), name) == expected


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("max_tasks", "0", "max_tasks >= 1"),
        ("seed", -1, "seed >= 0"),
        ("attempts", 1.5, "a whole number for attempts"),
        ("explore", "red", "a number for explore"),
        ("explore", True, "a number for explore"),
        ("band", "0.2", "two pass rates"),
        ("guarantee", "sure", "always-valid"),
        ("fallback", "perhaps", "true or false"),
        ("metric", 3, "a text for metric"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name: str, value: object, named: str) -> None:
    with pytest.raises(InputError, match=named):
        PlanSettings.from_mapping({name: value})


def test_a_plan_keeps_for_whom_it_was_made() -> None:
    plan = make_plan(history(), strategy="random", agent="agent-3", model="model-x")
    assert plan.candidate == Candidate(agent="agent-3", model="model-x")
    assert Plan.from_json(plan.to_json()) == plan
    assert any("agent-3 is ranked against its own earlier results" in note for note in plan.notes)
    assert "candidate" not in make_plan(history(), strategy="random").to_json()


def test_a_plan_by_another_metric_is_refused() -> None:
    known = replace(history(), metric=Metric(name="judge"))
    assert make_plan(known, strategy="random", metric="judge").metric == known.metric
    for matrix in (known, history()):
        with pytest.raises(PlanError, match="by the metric 'accuracy'"):
            make_plan(matrix, strategy="random", metric="accuracy")


@pytest.mark.parametrize(("told", "run", "warned"), [(100, 5, False), (None, 24, True)])
def test_a_budget_of_tokens_stops_where_they_are_told(
    told: int | None, run: int, warned: bool
) -> None:
    plan = make_plan(history(), strategy="random", stop=parse_stop("tokens:500"))
    assert Plan.from_json(plan.to_json()).stop == Budget(tokens=500)
    session = Session(plan, resamples=200)
    while tasks := session.ask():
        session.tell(tasks[0], score=1.0, tokens=told)
    decision = session.decision()
    assert decision.tasks_run == run
    assert (decision.reason == "budget spent") is not warned
    assert any("the number of tokens of 24" in each for each in decision.warnings) is warned
    assert decision.spent_tokens == 500 or warned


def test_tokens_are_no_negative_number() -> None:
    session = Session(make_plan(history(), strategy="random"), resamples=200)
    values: dict[str, Any] = {"score": 1.0, "tokens": -1}
    with pytest.raises(InputError, match="tokens >= 0"):
        session.tell(session.ask()[0], **values)
