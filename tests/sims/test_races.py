"""Races in the simulator: baselines keep to their budgets, and answers are judged by the truth."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import InputError, OutcomeMatrix
from midband_sampler import racing
from midband_sims import RaceSettings, RaceStudy, baselines, summarise_races
from midband_sims.racing import draw_fields, pool_of

NAMES = tuple(baselines())
DOWN = tuple(range(15, -1, -1))


def _scores(rates: "list[float]", tasks: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    difficulty = rng.random(tasks)
    return (difficulty < np.array(rates)[:, None]).astype(float)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 9),
    tasks=st.integers(3, 30),
    keep=st.integers(1, 4),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
)
def test_a_baseline_keeps_to_its_budget_and_ranks_everybody_once(
    name: str, count: int, tasks: int, keep: int, share: float, seed: int
) -> None:
    scores = np.random.default_rng(seed).integers(0, 3, (count, tasks)) / 2
    budget = max(count, round(share * scores.size))
    found = [
        baselines()[name].run(
            scores, budget=budget, keep=min(keep, count), generator=np.random.default_rng(seed)
        )
        for _ in range(2)
    ]
    spent, again = found
    assert count <= spent.tasks.sum() <= budget
    assert (spent.tasks >= 1).all()
    assert (spent.tasks <= tasks).all()
    assert sorted(spent.ranking) == list(range(count))
    assert spent.ranking == again.ranking
    if (spent.tasks == tasks).all():
        np.testing.assert_allclose(spent.scores, scores.mean(axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_that_may_run_everything_names_the_best(name: str) -> None:
    scores = _scores([0.2, 0.9, 0.5, 0.4], 40, 1)
    found = baselines()[name].run(
        scores, budget=scores.size, keep=1, generator=np.random.default_rng(0)
    )
    assert found.ranking[0] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_does_not_prefer_the_first_of_equals(name: str) -> None:
    # Fails by chance once in 10,000 runs for each baseline.
    scores = np.ones((2, 6))
    first = sum(
        baselines()[name].run(scores, budget=4, generator=np.random.default_rng(s)).ranking[0] == 0
        for s in range(200)
    )
    assert binomtest(first, 200, 0.5).pvalue > 1e-4


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_a_baseline_is_right_more_often_than_random_tasks(name: str) -> None:
    # Both names are right with the same chance only if the baseline does not work: p < 1e-4.
    rates = [0.6, *np.linspace(0.1, 0.5, 19)]
    rng = np.random.default_rng(3)
    right = {name: 0, "random": 0}
    for seed in range(60):
        scores = (rng.random((20, 200)) < np.array(rates)[:, None]).astype(float)
        best = scores.mean(axis=1).max() - 1e-9
        for each in right:
            found = baselines()[each].run(scores, budget=300, generator=np.random.default_rng(seed))
            right[each] += scores[found.ranking[0]].mean() >= best
    assert binomtest(right[name], 60, right["random"] / 60, alternative="greater").pvalue < 0.01


def test_sysrs_follows_the_published_schedule() -> None:
    # K = 4, n = 40: L = 1/2 + 1/2 + 1/3 + 1/4, depths ceil(36 / L / (5 - k)) for k = 1, 2, 3.
    scores = np.zeros((4, 100))
    found = baselines()["sysrs"].run(scores, budget=40, generator=np.random.default_rng(0))
    level = 0.5 + 1 / 2 + 1 / 3 + 1 / 4
    depths = [int(np.ceil(36 / level / each)) for each in (4, 3, 2)]
    assert sorted(found.tasks.tolist()) == [*depths, depths[-1]]


def test_spare_results_of_sysrs_go_to_the_other_phases() -> None:
    scores = _scores([0.1, 0.3, 0.5, 0.7], 20, 2)
    found = baselines()["sysrs"].run(scores, budget=70, generator=np.random.default_rng(0))
    assert sorted(found.tasks.tolist())[-2:] == [20, 20]
    assert found.tasks.sum() > 65


def test_halving_keeps_at_least_those_that_are_asked_for() -> None:
    scores = _scores([0.9, 0.8, 0.7, 0.1, 0.2, 0.15, 0.05, 0.12], 64, 4)
    found = baselines()["successive-halving"].run(
        scores, budget=200, keep=3, generator=np.random.default_rng(0)
    )
    assert set(found.ranking[:3]) == {0, 1, 2}
    assert len(set(found.tasks[[0, 1, 2]].tolist())) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_below_one_task_each_is_refused_with_the_least(name: str) -> None:
    with pytest.raises(InputError, match=r"at least 5 results .* got 4"):
        baselines()[name].run(np.zeros((5, 9)), budget=4, generator=np.random.default_rng(0))


def test_a_missing_result_is_refused() -> None:
    scores = np.zeros((3, 4))
    scores[1, 2] = np.nan
    with pytest.raises(InputError, match="NaN"):
        baselines()["sysrs"].run(scores, budget=12, generator=np.random.default_rng(0))


@pytest.fixture
def outcomes() -> OutcomeMatrix:
    scores = _scores(list(np.linspace(0.15, 0.9, 16)), 60, 5)
    flip = np.random.default_rng(6).random(scores.shape) < 0.15
    return OutcomeMatrix.from_scores(
        np.where(flip, 1 - scores, scores),
        benchmark="toy",
        dates=np.datetime64("2025-01-01", "s") + np.arange(16) * np.timedelta64(86400, "s"),
    )


def _cells(matrix: OutcomeMatrix, **given: Any) -> list[dict[str, object]]:
    return list(RaceStudy([matrix], RaceSettings(**given)).run().cells)


def test_the_pool_keeps_what_everybody_ran(outcomes: OutcomeMatrix) -> None:
    scores = outcomes.scores.copy()
    scores[0, 3] = np.nan
    scores[1, 5:] = np.nan
    scores[2, :20] = np.nan
    pool = pool_of(OutcomeMatrix.from_scores(scores, benchmark="toy"))
    assert set(pool.agents) == set(range(16)) - {1, 2}
    assert len(pool.matrix.tasks) == 59
    assert "2 of 16 agents" in pool.left_out
    assert "1 of 60 tasks" in pool.left_out
    assert not np.isnan(pool.matrix.scores[list(pool.agents)]).any()


def test_candidates_are_no_part_of_their_history(outcomes: OutcomeMatrix) -> None:
    pool = pool_of(outcomes)
    question = racing.parse_question("top:1")
    for split in ("random", "temporal"):
        draws = draw_fields(
            pool, question, candidates=5, history=True, split=split, draws=6, seed=1
        )
        assert len({draw.candidates for draw in draws}) > 1
        for draw in draws:
            assert not set(draw.candidates) & set(draw.references)
            if split == "temporal":
                last = outcomes.dates[list(draw.references)].max()
                assert (outcomes.dates[list(draw.candidates)] > last).all()
    (alone,) = draw_fields(
        pool, question, candidates=0, history=False, split="random", draws=1, seed=1
    )
    assert sorted(alone.candidates) == list(range(16))
    assert not alone.references


def test_a_benchmark_with_too_few_agents_says_how_many_there_are(outcomes: OutcomeMatrix) -> None:
    with pytest.raises(InputError, match=r"of the 16 agents .* got 15"):
        _cells(outcomes, questions=("top:1:0.9",), candidates=15)
    undated = replace(outcomes, dates=np.full(16, np.datetime64("NaT", "s")))
    with pytest.raises(InputError, match="the 0 agents with a date"):
        _cells(undated, questions=("top:1:0.9",), split="temporal")


def test_cells_have_what_they_promise_and_do_not_depend_on_workers(
    outcomes: OutcomeMatrix,
) -> None:
    asked = RaceSettings(questions=("top:2",), candidates=6, budgets=("30%",), draws=4, seed=2)
    one = RaceStudy([outcomes], asked).run()
    two = RaceStudy([outcomes], asked).run(workers="2")
    assert {str(cell["allocation"]) for cell in one.cells} >= {"halving", "sysrs", "random"}
    for cell, again in zip(one.cells, two.cells, strict=True):
        assert str({**cell, "seconds": 0}) == str({**again, "seconds": 0})
        assert cell["draws"] == 4
        assert 0 < float(str(cell["cost_share"])) <= 0.3
        assert cell["right_low"] <= cell["right"] <= cell["right_high"]  # type: ignore[operator]
        assert cell["false_claims"] == 0
        assert cell["conclusive"] == 0
        assert (cell["n_candidates"], cell["n_reference"], cell["n_tasks"]) == (6, 10, 60)


def test_races_without_a_history_settle_and_are_right(outcomes: OutcomeMatrix) -> None:
    (cell,) = _cells(
        outcomes,
        questions=("top:3:0.9",),
        candidates=6,
        history=False,
        allocations=("racing",),
        draws=10,
    )
    assert cell["n_reference"] == 0
    assert cell["nominal"] == 0.9
    # Right answers and true claims have a chance of .9 each: this fails once in 10,000 runs.
    for name in ("right", "false_claims"):
        wrong = 10 * (1 - float(str(cell[name])) if name == "right" else float(str(cell[name])))
        assert binomtest(round(wrong), 10, 0.1, alternative="greater").pvalue > 1e-4
    assert cell["settled"] == 1.0
    assert "random order" in str(cell["guarantee"])


def test_ties_and_the_zone_are_right_either_way() -> None:
    scores = np.tile(np.arange(40) % 2, (4, 1)).astype(float)
    scores[3] = 0.0
    tied = OutcomeMatrix.from_scores(scores, benchmark="tied")
    given = {"history": False, "draws": 20, "budgets": ("40%",), "allocations": ("random",)}
    (cell,) = _cells(tied, questions=("top:1",), **given)
    assert cell["right"] == 1.0
    assert cell["regret"] == 0.0
    near = scores.copy()
    near[0, 0] = 1.0
    close = OutcomeMatrix.from_scores(near, benchmark="near")
    (strict,) = _cells(close, questions=("top:1",), **given)
    (loose,) = _cells(close, questions=("top:1",), within=3.0, **given)
    assert 0.0 < float(str(strict["right"])) < 1.0
    assert loose["right"] == 1.0
    assert loose["regret"] == strict["regret"]


def test_not_worse_races_the_two_that_it_names(outcomes: OutcomeMatrix) -> None:
    worst, best = outcomes.agents[0], outcomes.agents[-1]
    given = {"history": False, "allocations": ("contested",), "draws": 5}
    for new, old in ((best, worst), (worst, best)):
        (cell,) = _cells(outcomes, questions=(f"not-worse:{new}:{old}:2:0.95",), **given)
        assert cell["n_candidates"] == 2
        assert cell["right"] == 1.0
    with pytest.raises(InputError, match="got 'nobody'"):
        _cells(outcomes, questions=(f"not-worse:nobody:{best}:2:0.95",), **given)


@pytest.mark.parametrize(
    ("question", "told", "false"),
    [
        ("top:2:0.9", {"inside": (15,), "outside": ()}, False),
        ("top:2:0.9", {"inside": (13,), "outside": ()}, True),
        ("top:2:0.9", {"inside": (), "outside": (14,)}, True),
        ("top:2:0.9", {"inside": (), "outside": (0, 13)}, False),
        ("order:0.9", {"best": DOWN, "open_pairs": ()}, False),
        ("order:0.9", {"best": (14, 15, *DOWN[2:]), "open_pairs": ()}, True),
        ("order:0.9", {"best": (14, 15, *DOWN[2:]), "open_pairs": ((14, 15),)}, False),
        ("not-worse:a:b:2:0.95", {"not_worse": None}, False),
        ("not-worse:a:b:2:0.95", {"not_worse": True}, True),
        ("not-worse:a:b:2:0.95", {"not_worse": False}, False),
    ],
)
def test_false_claims_are_counted_and_true_or_open_ones_are_not(
    question: str,
    told: dict[str, Any],
    false: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # m0 passes 3 tasks of 60, m1 6 and so on up to m15; a and b are m0 and m15.
    scores = (np.arange(60) < 3 * np.arange(1, 17)[:, None]).astype(float)
    ab = {0: "a", 15: "b"} if question.startswith("not") else {}
    named = OutcomeMatrix.from_scores(
        scores, benchmark="toy", agents=[ab.get(place, f"m{place}") for place in range(16)]
    )

    def called(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(called(each) for each in value)
        return f"m{value}" if type(value) is int else value

    class Told:
        def __init__(self, race: racing.Race) -> None:
            self._race = race

        def verdict(self) -> racing.RaceVerdict:
            found = self._race.verdict()
            return replace(found, **{name: called(value) for name, value in told.items()})

    play = racing.replay_race
    monkeypatch.setattr(racing, "replay_race", lambda plan, scores: Told(play(plan, scores)))
    given = {"history": False, "draws": 1, "allocations": ("racing",)}
    (cell,) = _cells(named, questions=(question,), **given)
    assert cell["false_claims"] == float(false)


def test_refused_races_are_in_no_other_number() -> None:
    row = {
        "conclusive": 1, "settled": 1, "guarantee": "g", "chance_right": np.nan, "by_history": 0,
        "seconds": 0.0,
    }  # fmt: skip
    cell = summarise_races(
        [
            {**row, "right": 0, "false_claim": 1, "regret": 4.0, "cost_share": 0.5},
            {**row, "right": 1, "false_claim": 0, "regret": 0.0, "cost_share": 0.3},
            {"refused": "too small", "seconds": 0.0},
        ]
    )
    assert (cell["draws"], cell["n_refused"], cell["refused_because"]) == (2, 1, "too small")
    assert (cell["right"], cell["false_claims"], cell["regret"]) == (0.5, 0.5, 2.0)
    assert float(str(cell["false_claims_high"])) > 0.9


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"questions": ()}, "at least one question"),
        ({"questions": ("top:1",)}, "expected a budget for 'top:1'"),
        ({"questions": ("top:1:0.9",), "draws": 0}, "draws >= 1"),
        ({"questions": ("top:1:0.9",), "split": "half"}, "'half'"),
        ({"questions": ("top:1:0.9",), "budgets": ("usd:3",)}, "'usd:3'"),
        ({"questions": ("top:1:0.9",), "candidates": 1}, "2 or more"),
        ({"questions": ("not-worse:a:b:2",), "budgets": ("5%",), "within": 1.0}, "--within"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        RaceSettings(**given)


def test_an_allocation_that_needs_a_budget_or_is_unknown_is_refused(
    outcomes: OutcomeMatrix,
) -> None:
    for name, said in (("sysrs", "budget for sysrs"), ("best", "baselines are random, sysrs")):
        with pytest.raises(InputError, match=said):
            _cells(outcomes, questions=("top:1:0.9",), allocations=(name,))


def test_budgets_that_are_too_small_are_counted_as_refused(outcomes: OutcomeMatrix) -> None:
    cells = _cells(
        outcomes,
        questions=("top:1",),
        candidates=6,
        budgets=("tasks:3",),
        allocations=("halving", "sysrs"),
        draws=2,
    )
    for cell in cells:
        assert (cell["draws"], cell["n_refused"]) == (0, 2)
        assert "at least 6 results" in str(cell["refused_because"])
        assert np.isnan(float(str(cell["right"])))
