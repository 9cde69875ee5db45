"""A race: the same whoever answers when, nothing paid twice, and nobody waits for nothing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sampler.racing.fields import history_of, names_of, plan_of, run, scores_of, tell

from midband_history import InputError, OutcomeMatrix, UnknownTaskError
from midband_sampler import Budget, racing
from midband_sampler.racing.claims import PosteriorClaims

NAN = float("nan")
RATES = (0.75, 0.55, 0.5, 0.2)
HISTORY = history_of()
PLANNED: dict[str, racing.RacePlan] = {}

WIDE = racing.RaceCalibration(width=50.0, replays=9, separate=9, candidates=2)


def planned(kind: str) -> racing.RacePlan:
    """Return a plan of four candidates with 40 tasks, with or without the history."""
    if kind not in PLANNED:
        allocation, _, what = kind.partition(" ")
        given: dict[str, Any] = {"question": "top:1:0.8", "allocation": allocation}
        if allocation == "halving":
            given = {"question": "top:1", "allocation": allocation, "budget": "50%"}
        PLANNED[kind] = (
            racing.make_race(HISTORY, names_of(4), **given) if what else plan_of(4, 40, **given)
        )
    return PLANNED[kind]


KINDS = [
    *(f"{name}{what}" for name in racing.all_allocations() for what in ("", " history")),
]


def state(race: racing.Race) -> dict[str, object]:
    return {**race.verdict().to_dict(), "order": race.order, "apart": race.apart}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(batch=st.integers(1, 60), seed=st.integers(0, 999), missing=st.booleans())
def test_a_race_is_the_same_whatever_the_batch_and_the_order_of_results(
    kind: str, batch: int, seed: int, *, missing: bool
) -> None:
    plan = planned(kind)
    assert (plan.model is not None) == ("history" in kind)
    scores = scores_of(RATES, 40, seed)
    if missing:
        scores[np.random.default_rng(seed).random(scores.shape) < 0.1] = np.nan
    one = racing.replay_race(plan, scores)
    two = run(racing.Race(plan), scores, batch=batch, shuffle=np.random.default_rng(seed), usd=None)
    assert state(one) == state(two)
    told = np.argwhere(two.taken.told)
    rebuilt = racing.Race(plan)
    for row, task in np.random.default_rng(seed + 1).permutation(told):
        tell(rebuilt, (plan.candidates[row], plan.tasks[task]), scores)
    assert state(rebuilt) == state(one)
    assert rebuilt.ask(9) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_tasks_of_each_candidate_are_a_prefix_of_the_shared_order(kind: str) -> None:
    plan, scores = planned(kind), scores_of(RATES, 40, 3)
    race = racing.Race(plan)

    def nested() -> None:
        for row, depth in enumerate(race.taken.depth):
            told = {plan.tasks[task] for task in np.flatnonzero(race.taken.told[row])}
            assert told == set(race.order[:depth])

    run(race, scores, after=nested)
    assert race.results < scores.size


def test_the_order_does_not_depend_on_the_names_and_changes_with_the_seed() -> None:
    scores = scores_of(RATES, 40)
    orders = {racing.replay_race(plan_of(4, 40, seed=seed), scores).order for seed in range(3)}
    assert len(orders) == 3


def test_a_settled_race_is_right_and_cheaper_than_everything() -> None:
    scores = scores_of((0.9, 0.3, 0.2), 200)
    verdict = racing.replay_race(plan_of(3, 200), scores).verdict()
    assert verdict.settled
    assert verdict.exit_code == 0
    assert verdict.best == verdict.inside == ("a",)
    assert set(verdict.outside) == {"b", "c"}
    assert verdict.cost_share < 0.5
    assert [each.rank_text for each in verdict.ranked] == ["1", "2-3", "2-3"]
    assert verdict.lines()[0] == "The best is a."


def test_equals_are_run_in_full_and_called_tied() -> None:
    scores = np.tile(scores_of([0.5], 30), (2, 1))
    race = racing.replay_race(plan_of(2, 30), scores)
    assert race.results == scores.size
    assert race.verdict().settled
    assert race.verdict().tied == (("a", "b"),)


def test_fractions_that_are_equal_but_for_rounding_are_settled() -> None:
    scores = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]])
    for each in (scores, scores[::-1]):
        verdict = racing.replay_race(plan_of(2, 3), each).verdict()
        assert verdict.settled
        assert verdict.best == ("a",)


def test_a_zone_ends_the_race_of_two_that_are_close() -> None:
    scores = np.tile(scores_of([0.5], 300), (2, 1))
    race = racing.replay_race(plan_of(2, 300, question="top:1:0.9:10"), scores)
    assert race.verdict().settled
    assert race.results < 0.7 * scores.size
    assert race.verdict().tied


@pytest.mark.parametrize("missing_of", [0, 1])
def test_a_missing_result_counts_against_the_claim_both_ways(missing_of: int) -> None:
    # a is better on everything but for three tasks out of ten, on which one has no result.
    scores = np.array([[1.0] * 6 + [0.0] * 4, [0.0] * 10])
    scores[1, 6:8] = 1.0
    assert racing.replay_race(plan_of(2, 10), scores).verdict().settled
    lost = scores.copy()
    lost[missing_of, [3, 4, 5, 8] if missing_of else [0, 1, 2, 3]] = np.nan
    verdict = racing.replay_race(plan_of(2, 10), lost).verdict()
    assert verdict.best == ("a",)
    assert not verdict.settled
    assert verdict.exit_code == 3
    assert verdict.missing == 4


@pytest.mark.parametrize("kind", ["racing", "racing history", "contested", "uniform"])
def test_a_candidate_that_fails_everything_is_set_apart_and_the_others_go_on(kind: str) -> None:
    scores = scores_of((0.9, 0.9, 0.2, 0.1), 40)
    scores[1] = np.nan
    race = run(racing.Race(planned(kind)), scores)
    assert list(race.apart) == ["b"]
    verdict = race.verdict()
    assert verdict.settled
    assert verdict.best == ("a",)
    last = verdict.ranked[-1]
    assert (last.candidate, last.state, last.rank_text, last.errors) == ("b", "set apart", "-", 10)
    assert "b" not in race.running


@pytest.mark.parametrize("question", ["top:1:0.9", "top:2:0.9", "order:0.9", "top:1"])
@pytest.mark.parametrize("fail", [(0, 1), (0, 1, 2)])
def test_a_race_ends_where_fewer_than_two_are_left(question: str, fail: tuple[int, ...]) -> None:
    scores = np.ones((3, 20))
    scores[list(fail)] = np.nan
    budget = None if ":0.9" in question else "100%"
    plan = plan_of(3, 20, question=question, allocation="racing", budget=budget)
    verdict = run(racing.Race(plan), scores).verdict()
    assert not verdict.settled
    assert verdict.exit_code == 3
    assert "fewer than two" in verdict.reason
    assert verdict.lines()
    assert verdict.best == names_of(3)[len(fail) :]


@pytest.mark.parametrize("fail", [(0,), (1,), (0, 1)])
def test_a_comparison_ends_where_one_of_the_two_fails(fail: tuple[int, ...]) -> None:
    scores = np.ones((2, 20))
    scores[list(fail)] = np.nan
    verdict = run(racing.Race(plan_of(2, 20, question="not-worse:a:b:2:0.9")), scores).verdict()
    assert verdict.exit_code == 3
    assert verdict.not_worse is None
    assert verdict.lines()


@pytest.mark.parametrize(("rates", "code"), [((0.9, 0.3), 0), ((0.3, 0.9), 4)])
def test_a_comparison_ends_with_its_side(rates: tuple[float, ...], code: int) -> None:
    plan = plan_of(2, 200, question="not-worse:a:b:2:0.9")
    race = racing.replay_race(plan, scores_of(rates, 200))
    assert race.verdict().exit_code == code
    assert race.verdict().not_worse == (code == 0)
    assert race.results < 200


def test_a_withdrawn_candidate_gets_no_more_tasks_and_the_others_end_the_round() -> None:
    scores = scores_of((0.9, 0.8, 0.1), 40)
    race = racing.Race(plan_of(3, 40))
    first = race.ask(4)
    for job in first:
        tell(race, job, scores)
    race.withdraw("b", "out of credit")
    assert race.apart == {"b": "out of credit"}
    run(race, scores, after=lambda: None)
    assert race.taken.told[1].sum() <= 2
    assert race.verdict().best == ("a",)
    assert "out of credit" in "\n".join(race.verdict().lines())


def test_withdrawing_within_a_round_asks_the_others_alone() -> None:
    race = racing.Race(plan_of(3, 40))
    race.ask(2)
    race.withdraw("c", "dead")
    assert {name for name, _ in race.ask(100)} == {"a", "b"}


def test_withdrawing_the_last_that_is_out_ends_the_round() -> None:
    race = racing.Race(plan_of(3, 40))
    for name, task in race.ask(100):
        if name != "c":
            race.tell(name, task, score=1.0)
    assert race.ask(1) == []
    race.withdraw("c", "dead")
    assert {name for name, _ in race.ask(100)} <= {"a", "b"}
    assert not race.done
    assert race.taken.depth.tolist() == [8, 8, 0]


def test_withdrawing_all_but_one_ends_the_race() -> None:
    race = racing.Race(plan_of(3, 40))
    race.withdraw("a", "dead")
    assert not race.done
    race.withdraw("c", "dead")
    assert race.done
    assert race.ask(5) == []
    assert not race.verdict().settled


def test_known_results_count_and_are_not_asked_for() -> None:
    known = HISTORY.scores.copy()
    known[3, ::2] = np.nan
    matrix = OutcomeMatrix.from_scores(known, agents=HISTORY.agents)
    names = ("agent-3", "agent-20", "new")
    scores = np.vstack([HISTORY.scores[[3, 20]], np.ones((1, 40))])
    for budget, question in ((None, "top:1:0.9"), ("60%", "top:1")):
        for allocation in ("racing", "uniform") if budget is None else racing.all_allocations():
            plan = racing.make_race(
                matrix, names, question=question, allocation=allocation, budget=budget
            )
            assert plan.full == 20 + 0 + 40
            assert "agent-3, agent-20 are in the history" in plan.notes[0]
            race = racing.Race(plan)
            asked: list[tuple[str, str]] = []
            while not race.done:
                new = race.ask(7)
                asked += new
                for job in new:
                    tell(race, job, scores)
            assert "agent-20" not in dict(asked)
            for name, task in asked:
                if name == "agent-3":
                    assert matrix.tasks.index(task) % 2 == 0
            assert race.results == len(asked) == len(set(asked))
            ranked = {each.candidate: each for each in race.verdict().ranked}
            assert ranked["agent-20"].tasks == 40
            assert ranked["agent-20"].score == pytest.approx(scores[1].mean())
            if budget:
                assert race.results <= 36


@pytest.mark.parametrize("name", racing.all_allocations())
def test_one_open_candidate_beside_a_known_one_is_raced(name: str) -> None:
    known = np.full((2, 20), np.nan)
    known[0] = 1.0
    plan = racing.RacePlan(
        benchmark="",
        candidates=("a", "b"),
        question=racing.TopK(1, None),
        allocation=racing.find_allocation(name),
        budget=0.5,
        tasks=tuple(f"t{place}" for place in range(20)),
        known=known,
    )
    race = racing.replay_race(plan, np.zeros((2, 20)))
    assert 1 <= race.results <= 10
    assert race.verdict().best == ("a",)


def test_a_race_of_known_results_alone_is_over_at_once() -> None:
    plan = racing.make_race(HISTORY, ("agent-3", "agent-20"), question="top:1:0.9")
    race = racing.Race(plan)
    assert race.done
    assert race.verdict().settled
    assert race.verdict().best == ("agent-20",)
    assert race.verdict().cost_share == 0.0


@pytest.mark.parametrize("kind", ["halving", "uniform", "racing", "contested"])
@pytest.mark.parametrize("budget", [0.1, 0.35, Budget(tasks=31), 1.0])
def test_a_budget_of_results_is_kept_exactly(kind: str, budget: "float | Budget") -> None:
    plan = plan_of(5, 50, question="top:2", allocation=kind, budget=budget)
    scores = scores_of((0.5,) * 5, 50)
    race = racing.Race(plan)
    seen: list[int] = []
    run(race, scores, batch=3, after=lambda: seen.append(race.results))
    most = budget.tasks if isinstance(budget, Budget) else int(budget * 250)
    assert max(seen) <= most  # type: ignore[operator]
    assert race.results >= 0.8 * most or race.results == 250  # type: ignore[operator]
    assert race.verdict().exit_code == 0  # nothing was to be claimed
    assert race.verdict().inside == ()


def test_a_budget_of_dollars_ends_the_race_within_a_round() -> None:
    plan = plan_of(3, 100, question="top:1:0.9", allocation="uniform", budget="usd:5")
    race = racing.Race(plan)
    run(race, np.ones((3, 100)), usd=0.1)
    assert race.verdict().reason == "the budget is spent"
    assert 5.0 <= race.verdict().usd <= 5.0 + 0.1 * 3 * 2
    assert sum(each.usd for each in race.verdict().ranked) == pytest.approx(race.verdict().usd)


def test_what_an_absent_candidate_cost_counts_after_a_late_result() -> None:
    plan = plan_of(3, 20, question="top:1", allocation="uniform", budget="tasks:40")
    race = racing.Race(plan)
    late = race.ask(1)[0]
    race.tell(*late)
    while not race.done:
        for job in race.ask(100):
            race.tell(*job, score=1.0)
        if race.taken.depth[2] >= 10 and "c" not in race.apart:
            race.withdraw("c", "dead")
            race.tell(*late, score=1.0)
    assert race.results == 40


def test_a_late_result_takes_the_place_of_a_missing_one() -> None:
    scores = scores_of(RATES, 40, 5)
    lost = scores.copy()
    plan = planned("racing")
    early = racing.Race(plan).ask(1)[0]
    lost[plan.candidates.index(early[0]), plan.tasks.index(early[1])] = np.nan
    race = run(racing.Race(plan), lost)
    tell(race, early, scores)
    if not race.done:
        run(race, scores)
    assert race.verdict().missing == 0
    with pytest.raises(InputError, match="expected one result of"):
        tell(race, early, scores)


def test_results_that_cannot_be_are_refused() -> None:
    race = racing.Race(plan_of(2, 5))
    for job, error, said in (
        (("a", "nothing"), UnknownTaskError, "'nothing'"),
        (("z", "task-1"), InputError, "among a, b, got 'z'"),
    ):
        with pytest.raises(error, match=said):
            race.tell(*job, score=1.0)
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"score": 1.5}, r"in \[0, 1\]"),
        ({"score": 1.0, "outcome": "fine"}, "an outcome among"),
        ({"score": 1.0, "usd": -1.0}, "usd >= 0"),
    )
    for values, said in wrong:
        with pytest.raises(InputError, match=said):
            race.tell("a", "task-1", **values)
    assert race.results == 0
    race.tell("a", "task-1", score=NAN)
    race.tell("b", "task-1", score=1.0, outcome="infra_error")
    assert race.results == 2
    assert np.isnan(race.taken.scores).all()
    with pytest.raises(InputError, match="n >= 1"):
        race.ask(0)
    for step, order, said in ((0, (), "step >= 1"), (1, ("task-1", "task-1"), "once")):
        with pytest.raises(InputError, match=said):
            racing.Race(plan_of(2, 5), step=step, order=order)
    with pytest.raises(InputError, match="with tasks, got none"):
        racing.Race(racing.make_race(None, ("a", "b"), question="top:1:0.9"))


def test_an_order_that_another_seed_drew_is_refused() -> None:
    order = racing.replay_race(plan_of(2, 20, seed=1), np.ones((2, 20))).order
    racing.Race(plan_of(2, 20, seed=1), order=order)
    with pytest.raises(InputError, match="that the seed draws"):
        racing.Race(plan_of(2, 20, seed=2), order=order)


def test_an_order_claims_what_follows_from_others() -> None:
    # a against b and b against c are settled early; a against c follows.
    scores = scores_of((0.95, 0.5, 0.05), 120)
    verdict = racing.replay_race(plan_of(3, 120, question="order:0.9"), scores).verdict()
    assert verdict.settled
    assert verdict.best == ("a", "b", "c")
    assert [(each.rank_low, each.rank_high) for each in verdict.ranked] == [(1, 1), (2, 2), (3, 3)]


def live(plan: racing.RacePlan, order: "tuple[str, ...]" = ()) -> racing.Race:
    return racing.Race(plan, together=False, order=order)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "halving" not in kind])
def test_a_fast_candidate_does_not_wait_for_one_that_told_nothing(kind: str) -> None:
    race, scores = live(planned(kind)), scores_of(RATES, 40)
    for name in "bcd":
        assert race.ask_for(name) is not None
    for place in range(40):
        task = race.ask_for("a")
        assert task is not None, place
        tell(race, ("a", task), scores)
    assert race.ask_for("a") is None
    assert not race.done
    assert "a" not in race.running


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_a_live_race_ends_at_whatever_pace_and_is_rebuilt_from_its_order(
    kind: str, seed: int
) -> None:
    plan, scores = planned(kind), scores_of(RATES, 40, seed)
    rng = np.random.default_rng(seed)
    race, out = live(plan), list[tuple[str, str]]()
    told, asked = list[tuple[str, str]](), set[tuple[str, str]]()
    pace = rng.permutation([1, 2, 5, 20]) / 28
    while not race.done:
        free = [name for name in race.running if sum(job[0] == name for job in out) < 2]
        new = [(name, task) for name in free if (task := race.ask_for(name)) is not None]
        assert not asked.intersection(new)
        asked.update(new)
        out += new
        assert out, "nobody is at work, and it is not over"
        weights = np.array([pace[plan.candidates.index(job[0])] for job in out])
        job = out.pop(int(rng.choice(len(out), p=weights / weights.sum())))
        tell(race, job, scores)
        told.append(job)
    assert all(race.ask_for(name) is None for name in plan.candidates)
    if plan.jobs is not None:
        assert race.results + len(out) <= plan.jobs
    again = live(plan, race.order)
    for job in told:
        tell(again, job, scores)
    assert again.verdict().to_dict() == race.verdict().to_dict()
    assert again.order[: len(race.order)] == race.order or plan.model is None


def test_a_late_result_leaves_the_order_of_a_live_race_as_it_was() -> None:
    plan = racing.make_race(
        HISTORY, names_of(4), question="top:1", allocation="uniform", budget=1.0
    )
    race, scores = live(plan), scores_of(RATES, 40)
    for place in range(6):
        for name in "abcd":
            task = race.ask_for(name)
            assert task is not None
            if (place, name) == (0, "a"):
                race.tell(name, task, outcome="infra_error")
            else:
                tell(race, (name, task), scores)
    order = race.order
    tell(race, ("a", order[0]), scores)
    assert race.order == order
    assert race.taken.depth.tolist() == [6] * 4
    assert not race.taken.missing.any()


@pytest.mark.parametrize("row", [0, 1])
def test_a_missing_result_makes_a_predicted_claim_less_sure(row: int) -> None:
    scores = scores_of((0.9, 0.3), 40)
    lacking = scores.copy()
    lacking[row, :6] = np.nan
    shifts = []
    for answers in (scores, lacking):
        plan = racing.make_race(
            history_of(30, 40), ("a", "b"), question="top:1:0.9", calibration=WIDE
        )
        race = racing.Race(plan)
        while len(race.order) < 20 and not race.done:
            rows, tasks = race.jobs
            race.tell_all(rows, tasks, answers[rows, tasks])
        claims = race.claims
        assert isinstance(claims, PosteriorClaims)
        first, second = claims.scores()
        plain = (first - second) / np.hypot(*claims.deviations())
        shifts.append(plain - claims.sureness()[0, 1])
    assert shifts[0] == pytest.approx(0.0)
    assert shifts[1] > 0.1


def test_a_live_race_on_a_small_budget_keeps_a_result_for_each_candidate() -> None:
    race = racing.Race(plan_of(3, 20, question="top:1", budget="tasks:4"), together=False)
    first = [race.ask_for("a") for _ in range(4)]
    assert sum(task is not None for task in first) == 2
    assert race.ask_for("b") is not None
    assert race.ask_for("c") is not None
    assert race.ask_for("a") is None
