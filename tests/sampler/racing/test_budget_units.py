"""Budgets in dollars, seconds and tokens: what nobody told is never free."""

from typing import Any

import pytest

from midband_sampler.racing import Race, RacePlan, make_race

TASKS = [f"t{place}" for place in range(60)]


def _race(budget: str) -> Race:
    plan: RacePlan = make_race(
        None, ("a", "b"), question="top:1", tasks=TASKS, budget=budget, allocation="uniform"
    )
    return Race(plan)


def _run(race: Race, told: dict[str, float | None], unit: str) -> int:
    """Give every job the same score, with what each candidate tells of its cost."""
    results = 0
    while jobs := race.ask(2):
        for candidate, task in jobs:
            cost: dict[str, Any] = {unit: told[candidate]}
            race.tell(candidate, task, score=1.0, **cost)
            results += 1
    return results


@pytest.mark.parametrize("unit", ["usd", "seconds", "tokens"])
def test_a_result_that_does_not_say_its_cost_counts_as_the_mean(unit: str) -> None:
    spoken, silent = (_race(f"{unit}:200") for _ in range(2))
    full = _run(spoken, {"a": 10.0, "b": 10.0}, unit)
    assert full == _run(silent, {"a": 10.0, "b": None}, unit)
    assert 20 <= full <= 22
    assert not spoken.verdict().warnings
    (said,) = silent.verdict().warnings
    assert "each counts as the mean of those known" in said


def test_a_budget_that_nobody_can_count_says_so() -> None:
    race = _race("tokens:200")
    assert _run(race, {"a": None, "b": None}, "tokens") == 2 * len(TASKS)
    (said,) = race.verdict().warnings
    assert "the budget in tokens cannot be held" in said
