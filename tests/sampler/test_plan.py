"""Plans: what is chosen, what is refused, and that a plan survives a file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import InputError, OutcomeMatrix
from midband_sampler import Band, Never, Plan, PlanError, RankSettled, make_plan, parse_stop
from midband_sampler.strategies.base import in_band


def graded(rates: list[float], n_agents: int = 20, benchmark: str = "toy") -> OutcomeMatrix:
    """Every task passed by exactly that share of the agents, spread over different agents."""
    scores = np.zeros((n_agents, len(rates)))
    for j, rate in enumerate(rates):
        passing = (np.arange(round(rate * n_agents)) + j) % n_agents
        scores[passing, j] = 1.0
    return OutcomeMatrix.from_scores(scores, benchmark=benchmark)


def test_the_band_holds_its_bounds() -> None:
    matrix = graded([0.25, 0.3, 0.5, 0.7, 0.75], n_agents=20)
    assert in_band(matrix, Band()).tolist() == [1, 2, 3]


def test_a_task_seen_twice_is_not_taken_for_half() -> None:
    scores = np.full((20, 40), np.nan)
    scores[:, :39] = graded([0.05] * 39).scores
    scores[:2, 39] = [0.0, 1.0]
    matrix = OutcomeMatrix.from_scores(scores)
    assert matrix.pass_rates()[39] == 0.5
    assert in_band(matrix, Band()).size == 0


def test_a_thin_band_is_widened_and_says_so() -> None:
    matrix = graded([0.5] * 4 + [0.2] * 8 + [0.0] * 48)
    plan = make_plan(matrix, strategy="band")
    assert len(plan.tasks) == 12
    assert plan.band == Band(0.15, 0.85)
    assert "widened to 15-85 %" in plan.warnings[0]
    assert "4 of 60" in plan.warnings[0]


def test_a_benchmark_that_no_band_can_rank_is_refused() -> None:
    matrix = graded([0.5] * 4 + [0.0] * 61, benchmark="scicode")
    with pytest.raises(PlanError, match="at least 8 mid-difficulty tasks in 'scicode'"):
        make_plan(matrix, strategy="band")


def test_few_reference_agents_get_a_random_order_without_a_promise() -> None:
    plan = make_plan(graded([0.5] * 30, n_agents=4), max_tasks=10)
    assert plan.strategy == "random"
    assert plan.stop == Never(0.95)
    assert "only 4 agents" in plan.warnings[0]


def test_agents_that_ran_little_are_no_references() -> None:
    scores = graded([0.5] * 30).scores
    scores[3, 5:] = np.nan
    plan = make_plan(OutcomeMatrix.from_scores(scores), strategy="random")
    assert "agent-3" not in plan.reference_agents
    assert any("fewer than half" in warning for warning in plan.warnings)


@pytest.mark.parametrize("strategy", ["band", "random", "stratified"])
def test_a_larger_plan_contains_the_smaller(strategy: str) -> None:
    matrix = graded(list(np.linspace(0, 1, 80)))
    small = make_plan(matrix, strategy=strategy, max_tasks=10, seed=3)
    large = make_plan(matrix, strategy=strategy, max_tasks=20, seed=3)
    assert large.tasks[:10] == small.tasks


def test_stratified_prefixes_hold_every_stratum() -> None:
    matrix = graded(list(np.linspace(0, 1, 100)))
    plan = make_plan(matrix, strategy="stratified")
    rates = dict(zip(matrix.tasks, matrix.pass_rates(), strict=True))
    first = sorted(rates[task] for task in plan.tasks[:20])
    assert abs(np.mean(first) - 0.5) < 0.05
    assert first[0] < 0.11
    assert first[-1] > 0.89


def test_a_file_gives_back_the_plan(tmp_path: "object") -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "plan.json"
    plan = make_plan(graded([0.5] * 30), stop=RankSettled(0.9, 0.1), seed=7, as_of="2026-01-01")
    plan.write(path)
    again = Plan.read(path)
    assert again == plan
    assert again.digest == plan.digest
    assert np.array_equal(again.reference_scores, plan.reference_scores, equal_nan=True)


def test_a_changed_plan_is_refused(tmp_path: "object") -> None:
    text = make_plan(graded([0.5] * 30)).to_json()
    with pytest.raises(PlanError, match="changed by hand"):
        Plan.from_json(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(PlanError, match="expected a plan"):
        Plan.from_json('{"some": "json"}')


@settings(max_examples=30, deadline=None)
@given(
    rates=st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0]), min_size=1, max_size=40),
    low=st.floats(0, 0.45),
    high=st.floats(0.55, 1),
    by=st.floats(0, 0.3),
)
def test_a_wider_band_keeps_more(rates: list[float], low: float, high: float, by: float) -> None:
    matrix = graded(rates, n_agents=10)
    narrow, wide = Band(low, high), Band(low, high).widened(by)
    assert set(in_band(matrix, narrow)) <= set(in_band(matrix, wide))


def test_bad_settings_say_what_was_expected() -> None:
    with pytest.raises(InputError, match=r"expected 0 <= low < high <= 1, got low=0.7, high=0.3"):
        Band(0.7, 0.3)
    with pytest.raises(InputError, match="expected a strategy among"):
        make_plan(graded([0.5] * 30), strategy="best")
    with pytest.raises(InputError, match="expected a stopping rule"):
        parse_stop("rank:high")
    with pytest.raises(InputError, match=r"0.5 < confidence < 1"):
        parse_stop("rank:95")
