"""Calibration of a race: replays say how sure is sure enough, and say so where they cannot."""

import math
from typing import Any

import numpy as np
import pytest
from tests.sampler.racing.fields import history_of

from midband_history import OutcomeMatrix
from midband_sampler import PredictionModel, racing
from midband_sampler.racing.calibrating import replay_widths, widths_to_try

HISTORY = history_of(36, 30)


def found(history: OutcomeMatrix = HISTORY, **given: Any) -> racing.RaceCalibration:
    asked: dict[str, Any] = {
        "count": 3,
        "question": racing.TopK(1, 0.8),
        "allocation": racing.find_allocation("contested"),
        "share": None,
        "seed": 0,
    }
    others = given.pop("others", ())
    return racing.calibrate(history, others, **{**asked, **given})


def test_enough_agents_give_a_width_whose_replays_are_right() -> None:
    made = found()
    assert math.isfinite(made.width)
    assert (made.replays, made.separate, made.candidates) == (16, 12, 3)
    assert made.right >= 0.8
    low, mean, high = made.costs
    assert 0 < low <= mean <= high <= 1
    assert made.guarantee == "calibrated by 16 replayed races of 3 agents of the history"


def test_the_width_is_the_least_from_which_replays_are_right_often_enough() -> None:
    made = found()
    rng = np.random.default_rng([0, 0x7265706C])
    replays = replay_widths(
        HISTORY,
        racing.draw_races(36, 3, 16, rng),
        question=racing.TopK(1, 0.8),
        allocation=racing.find_allocation("contested"),
        share=None,
        seed=0,
    )
    # Of the 16 races 12 can be of different agents, and count as so many.
    enough = 12 * replays.right.mean(axis=0) >= 0.8 * 13
    place = int(np.searchsorted(widths_to_try(), made.width))
    assert enough[place:].all()
    assert place == 0 or not enough[place - 1]
    assert made.costs[1] == pytest.approx(replays.cost[:, place].mean())
    assert (np.diff(replays.cost, axis=1) >= -1e-12).all()


def test_more_confidence_needs_no_less_width_and_cost() -> None:
    low, high = found(question=racing.TopK(1, 0.6)), found(question=racing.TopK(1, 0.9))
    assert low.width <= high.width
    assert low.costs[1] <= high.costs[1]


@pytest.mark.parametrize("agents", [4, 9, 12])
def test_too_few_agents_and_no_others_fall_back_to_exact_bounds(agents: int) -> None:
    made = found(history_of(agents, 30), question=racing.TopK(1, 0.9), count=4)
    assert math.isinf(made.width)
    assert made.guarantee.startswith(racing.EXACT)
    assert "too few agents" in made.guarantee
    plan = racing.make_race(
        history_of(agents, 30), ("w", "x", "y", "z"), question="top:1:0.9", calibration=made
    )
    assert plan.model is None
    assert racing.Race(plan).verdict().guarantee == racing.EXACT
    assert any("exact bounds" in note or "are needed" in note for note in plan.notes)


def test_other_benchmarks_make_up_for_few_agents() -> None:
    others = [history_of(30, 30, seed=seed, benchmark=f"other-{seed}") for seed in (1, 2)]
    made = found(history_of(12, 30), question=racing.TopK(1, 0.7), others=others)
    assert made.benchmarks == 2
    assert math.isfinite(made.width)
    assert "2 other benchmarks" in made.guarantee


def test_a_fixed_budget_says_how_often_a_guess_is_right_and_what_it_loses() -> None:
    given: dict[str, Any] = {
        "question": racing.TopK(1, None),
        "allocation": racing.find_allocation("halving"),
    }
    small, large = (found(share=share, **given) for share in (0.1, 1.0))
    assert 0 < small.right <= large.right == 1.0
    assert small.regret >= large.regret == 0.0
    assert small.costs[2] <= 0.1
    plan = racing.make_race(
        HISTORY, ("x", "y", "z"), question="top:1", allocation="halving", budget=0.1
    )
    verdict = racing.replay_race(plan, np.ones((3, 30))).verdict()
    made = plan.calibration
    assert made is not None
    assert verdict.chance_right == made.right
    assert f"In {made.replays} replays on the history such a guess was right in" in "\n".join(
        verdict.lines()
    )


def test_the_same_seed_finds_the_same() -> None:
    assert found() == found()
    assert found(seed=1) != found()


def test_comparisons_are_not_calibrated() -> None:
    made = found(question=racing.NotWorse("a", "b", 0.02, 0.9), count=2)
    assert made.width == math.inf
    assert made.guarantee == racing.EXACT


@pytest.mark.parametrize("count", [2, 5])
def test_drawn_races_are_of_different_agents_as_far_as_they_reach(count: int) -> None:
    races = racing.draw_races(17, count, 17 // count + 2, np.random.default_rng(0))
    assert all(len(set(each.tolist())) == count for each in races)
    first = np.concatenate(races[: 17 // count])
    assert len(set(first.tolist())) == first.size


def test_only_agents_that_ran_everything_are_replayed() -> None:
    scores = HISTORY.scores.copy()
    scores[0, :20] = np.nan
    scores[1, 3] = np.nan
    scores[:10, 7] = np.nan
    kept = racing.complete_agents(OutcomeMatrix.from_scores(scores))
    assert "agent-0" not in kept.agents
    assert "agent-1" not in kept.agents
    assert "task-7" not in kept.tasks
    assert len(kept.agents) == 34
    assert not np.isnan(kept.scores).any()
    assert racing.complete_agents(HISTORY) is HISTORY


def test_a_calibration_is_kept_by_its_values() -> None:
    for made in (found(), racing.RaceCalibration()):
        again = racing.RaceCalibration.from_dict(made.to_dict())
        assert str(again) == str(made)


def test_no_replay_knows_who_competes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    fit = PredictionModel.fit

    def noting(matrix: OutcomeMatrix) -> PredictionModel:
        seen.append(set(matrix.agents))
        return fit(matrix)

    monkeypatch.setattr(PredictionModel, "fit", noting)
    races = racing.draw_races(36, 3, 4, np.random.default_rng(1))
    replay_widths(
        HISTORY,
        races,
        question=racing.TopK(1, 0.8),
        allocation=racing.find_allocation("contested"),
        share=None,
        seed=0,
    )
    assert len(seen) == 4
    for known, rows in zip(seen, races, strict=True):
        assert known == set(HISTORY.agents) - {HISTORY.agents[row] for row in rows}


def test_one_small_other_benchmark_is_no_twenty_replays() -> None:
    asked = {"question": racing.TopK(1, 0.9), "count": 4}
    few = found(history_of(13, 30), others=[history_of(12, 30, seed=5)], **asked)
    assert math.isinf(few.width)
    assert "too few for 90%" in few.guarantee
    many = [history_of(24, 30, seed=seed) for seed in (5, 6, 7)]
    assert math.isfinite(found(history_of(13, 30), others=many, **asked).width)
