"""Allocations: a contract for all of midband's own, and what each of them runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sampler.racing.fields import plan_of, run, scores_of

from midband_history import InputError
from midband_sampler import racing

NAMES = list(racing.all_allocations())


def test_all_of_them_are_found_by_name() -> None:
    assert NAMES == ["contested", "halving", "racing", "uniform"]
    for name in NAMES:
        assert racing.find_allocation(name) is racing.all_allocations()[name]
    with pytest.raises(InputError, match=r"among contested, .* got 'best'"):
        racing.find_allocation("best")


def test_an_added_allocation_is_found_and_raced() -> None:
    class Alternate(racing.Allocation):
        name = "alternate"

        def next(self, field: racing.Field) -> np.ndarray:
            goal = field.depth.copy()
            goal[int(field.depth.argmin())] += 1
            return goal

    added = {"alternate": Alternate()}
    assert racing.find_allocation("alternate", added) is added["alternate"]
    plan = plan_of(3, 20, question="top:1", allocation=added["alternate"], budget=0.5)
    assert racing.replay_race(plan, np.ones((3, 20))).taken.depth.tolist() == [10, 10, 10]
    again = racing.RacePlan.from_json(plan.to_json(), allocations=added)
    assert again.allocation is added["alternate"]


@st.composite
def fields(draw: st.DrawFn) -> racing.Field:
    n, size = draw(st.integers(2, 6)), draw(st.integers(1, 60))
    depth = np.array(draw(st.lists(st.integers(0, size), min_size=n, max_size=n)))
    apart = draw(st.sets(st.integers(0, n - 1), max_size=n - 2))
    ranking = [row for row in draw(st.permutations(range(n))) if row not in apart]
    known = depth == size
    known &= np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    running = (depth < size) & ~np.isin(np.arange(n), list(apart))
    keep = draw(st.integers(1, n - 1))
    pairs = [(a, b) for a in ranking[:keep] for b in ranking[keep:] if draw(st.booleans())]
    sureness = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 2, (n, n))
    return racing.Field(
        depth=depth,
        size=size,
        running=running,
        known=known,
        ranking=tuple(ranking),
        pairs=tuple(pairs),
        sureness=sureness,
        keep=keep,
        jobs=draw(st.integers(n, n * size + 1)),
        predicted=draw(st.booleans()),
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(field=fields())
def test_depths_never_fall_and_never_pass_the_size(name: str, field: racing.Field) -> None:
    allocation = racing.find_allocation(name)
    before = field.depth.copy()
    goal = allocation.next(field)
    np.testing.assert_array_equal(field.depth, before)
    np.testing.assert_array_equal(goal, allocation.next(field))
    assert goal.shape == before.shape
    assert (goal >= before).all()
    assert (goal <= field.size).all()
    assert (goal[~field.running] == before[~field.running]).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(2, 6),
    size=st.integers(1, 30),
    share=st.floats(0.0, 1.0),
    keep=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_every_race_ends_within_its_budget(
    name: str, count: int, size: int, share: float, keep: int, seed: int
) -> None:
    jobs = max(count, round(share * count * size))
    plan = plan_of(
        count,
        size,
        question=f"top:{min(keep, count - 1)}",
        allocation=name,
        budget=f"tasks:{jobs}",
        seed=seed,
    )
    race = run(racing.Race(plan), scores_of(np.linspace(0.9, 0.1, count).tolist(), size, seed))
    assert count <= race.results <= jobs
    assert (race.taken.depth >= 1).all()
    assert len(race.verdict().best) == plan.question.keep


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_survivors_of_halving_have_run_what_those_let_go_have_and_rank_above(
    keep: int, seed: int
) -> None:
    plan = plan_of(6, 100, question=f"top:{keep}", allocation="halving", budget=0.3, seed=seed)
    scores = scores_of((0.9, 0.75, 0.6, 0.5, 0.4, 0.2), 100, seed)
    race = racing.Race(plan)
    while not race.done:
        running = set(race.jobs[0].tolist())
        left = [row for row in range(6) if row not in running]
        assert all(race.taken.depth[row] <= race.taken.depth[list(running)].min() for row in left)
        rows, tasks = race.jobs
        race.tell_all(rows, tasks, scores[rows, tasks])
    order = np.argsort(-race.taken.depth, kind="stable")
    assert race.results <= 180
    assert len(set(race.taken.depth.tolist())) == 6 - keep
    assert set(np.flatnonzero(race.taken.depth == race.taken.depth.max())) >= set(order[:keep])
    ranked = [each.tasks for each in race.verdict().ranked]
    assert ranked[:keep] == [max(ranked)] * keep


def test_halving_follows_the_schedule_of_successive_rejects() -> None:
    # Audibert, Bubeck, Munos 2010: K = 4, log-bar(4) = 1/2 + 1/2 + 1/3 + 1/4 = 19/12, and
    # n_k = (n - K) / log-bar / (K + 1 - k), which is 30, 40 and 60 for n - K = 190. The K results
    # are for rounding up; midband rounds down and sets none aside.
    plan = plan_of(4, 500, question="top:1", allocation="halving", budget="tasks:190")
    scores = scores_of((0.9, 0.6, 0.4, 0.1), 500)
    race = racing.replay_race(plan, scores)
    assert race.taken.depth.tolist() == [60, 60, 40, 30]
    assert race.results == 190
    assert race.verdict().best == ("a",)


def test_what_a_short_benchmark_leaves_over_goes_to_the_other_phases() -> None:
    plan = plan_of(4, 50, question="top:1", allocation="halving", budget="tasks:190")
    race = racing.replay_race(plan, scores_of((0.9, 0.6, 0.4, 0.1), 50))
    assert race.taken.depth[:2].tolist() == [50, 50]
    assert race.results >= 186


def test_contested_runs_the_pair_that_is_least_sure_and_racing_all_that_are_open() -> None:
    sureness = np.zeros((4, 4))
    sureness[0, 1:] = (2.0, 0.5, 1.0)
    common = {
        "depth": np.array([20, 20, 20, 20]),
        "size": 100,
        "running": np.ones(4, dtype=bool),
        "known": np.zeros(4, dtype=bool),
        "ranking": (0, 1, 2, 3),
        "pairs": ((0, 1), (0, 2)),
        "sureness": sureness,
        "keep": 1,
        "jobs": None,
        "predicted": False,
    }

    def moved(name: str, **changed: object) -> list[int]:
        field = racing.Field(**{**common, **changed})  # type: ignore[arg-type]
        return np.flatnonzero(racing.find_allocation(name).next(field) > field.depth).tolist()

    assert moved("contested") == [0, 2]
    assert moved("racing") == [0, 1, 2]
    assert moved("uniform") == [0, 1, 2, 3]
    behind = np.array([20, 20, 15, 20])
    assert moved("contested", depth=behind) == [2]
    assert moved("contested", pairs=()) == []
    assert moved("racing", pairs=()) == []
    begun = np.array([20, 20, 20, 3])
    assert moved("contested", depth=begun) == moved("racing", depth=begun) == [3]
