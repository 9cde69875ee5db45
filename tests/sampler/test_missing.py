"""Results that are missing: no claim that they could overturn, and counts that say so."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import InputError, OutcomeMatrix
from midband_sampler import (
    Decision,
    MaxErrors,
    Plan,
    Session,
    make_plan,
    parse_max_errors,
    parse_stop,
)

N_TASKS = 40
STRATEGIES = ("random", "band", "design", "information")


def history(seed: int = 0, n_agents: int = 14, n_tasks: int = N_TASKS) -> OutcomeMatrix:
    generator = np.random.default_rng(seed)
    ability = generator.normal(0.0, 1.2, n_agents)
    difficulty = generator.normal(0.0, 1.0, n_tasks)
    chance = 1.0 / (1.0 + np.exp(difficulty[None] - ability[:, None]))
    return OutcomeMatrix.from_scores((generator.random(chance.shape) < chance).astype(float))


HISTORY = history()
PLANS = {
    name: make_plan(HISTORY, strategy=name, stop=parse_stop("none:0.8")) for name in STRATEGIES
}


def told(plan: Plan, scores: Sequence[float | None], kind: str = "infra_error") -> Decision:
    """Tell the first tasks of the plan; None is an attempt without a result."""
    session = Session(plan, resamples=200, live=False, max_errors=MaxErrors(share=1.0))
    for task, score in zip(session.plan.tasks, scores, strict=False):
        outcome = kind if score is None else "valid"
        session.tell(task, score=score, outcome=outcome)
    return session.decision()


def contains(outer: Decision, inner: Decision) -> bool:
    ranks = outer.low <= inner.low and inner.high <= outer.high
    if math.isnan(inner.target_score):
        return ranks
    return (
        ranks
        and outer.target_score_low <= inner.target_score_low + 1e-12
        and inner.target_score_high <= outer.target_score_high + 1e-12
    )


RESULTS = st.lists(st.sampled_from([0.0, 1.0, 1.0, 0.0, None]), min_size=3, max_size=N_TASKS)


@settings(max_examples=25, deadline=None)
@given(RESULTS, st.sampled_from(STRATEGIES))
def test_the_bounds_hold_every_completion_of_the_missing_results(
    scores: list[float | None], strategy: str
) -> None:
    plan = PLANS[strategy]
    outer = told(plan, scores)
    usable = sum(score is not None for score in scores[: len(plan.tasks)])
    assert outer.results == usable
    if not usable:
        assert (outer.rank, outer.low, outer.high) == (None, 1, len(plan.reference_agents) + 1)
        return
    if math.isnan(outer.target_score):
        return
    for value in (0.0, 1.0):
        filled = [value if score is None else score for score in scores]
        assert contains(outer, told(plan, filled))


@settings(max_examples=15, deadline=None)
@given(RESULTS, st.sampled_from(STRATEGIES), st.randoms(use_true_random=False))
def test_results_may_be_told_in_any_order(
    scores: list[float | None], strategy: str, random: object
) -> None:
    plan = PLANS[strategy].fixed()
    pairs = list(zip(plan.tasks, scores, strict=False))
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    sessions = [Session(plan, resamples=200, max_errors=MaxErrors(share=1.0)) for _ in range(2)]
    for session, order in zip(sessions, (pairs, shuffled), strict=True):
        for task, score in order:
            session.tell(task, score=score)
    assert sessions[0].decision() == sessions[1].decision()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_changes_while_nothing_is_missing(strategy: str) -> None:
    plan = PLANS[strategy]
    scores = [float(place % 3 > 0) for place in range(30)]
    plain = Session(plan, resamples=200, live=False, never_run=True)
    for task, score in zip(plain.plan.tasks, scores, strict=False):
        plain.tell(task, score=score)
    assert plain.decision() == told(plan, scores)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stop", ["rank:0.8:0.3", "top:3:0.8", "score:12:0.8"])
def test_a_claim_holds_whatever_the_missing_results_are(strategy: str, stop: str) -> None:
    plan = replace(PLANS[strategy].fixed(), stop=parse_stop(f"{stop} or tasks:38"))
    scores: list[float | None] = [1.0] * len(plan.tasks)
    without = told(plan, scores)
    scores[::4] = [None] * len(scores[::4])
    decision = told(plan, scores)
    for value in (0.0, 1.0):
        filled = [value if score is None else score for score in scores]
        never = replace(plan, stop=parse_stop("none:0.8"))
        judged = slice(decision.tasks_run)
        assert contains(told(never, scores[judged]), told(never, filled[judged]))
    assert decision.tasks_run >= without.tasks_run
    assert any("have no usable result" in each for each in decision.warnings)


def test_a_bet_is_won_only_if_missing_results_cannot_undo_it() -> None:
    matrix = history(3)
    middling = matrix.agents[int(np.argmin(np.abs(matrix.full_scores() - 0.6)))]
    stop = parse_stop(f"beats:{middling}:0.8")
    plan = make_plan(matrix, strategy="random", stop=stop)
    assert told(plan, [1.0] * N_TASKS).reason == f"better than {middling}"
    half = [1.0 if place % 2 else None for place in range(N_TASKS)]
    assert told(plan, half).claims == ()


@pytest.mark.parametrize("order", ["first", "spread"])
@pytest.mark.parametrize("strategy", ["random", "information"])
def test_a_run_that_mostly_crashed_claims_nothing(strategy: str, order: str) -> None:
    matrix = history(5, n_agents=12, n_tasks=95)
    plan = make_plan(matrix, strategy=strategy, stop=parse_stop("rank:0.9:0.2"))
    session = Session(plan, resamples=200)
    step = 0
    while tasks := session.ask(1):
        crashed = step >= 8 if order == "first" else step % 5 > 0
        score = float(step % 4 > 0)
        session.tell(tasks[0], score=score, outcome="infra_error" if crashed else "valid")
        step += 1
    decision = session.decision()
    assert step > 10
    assert decision.claims == ()
    assert decision.high - decision.low > 2


def test_live_choices_do_not_depend_on_the_bounds() -> None:
    plan = PLANS["information"]
    orders = []
    for never_run in (False, True):
        session, order = Session(plan, resamples=200, never_run=never_run), []
        while tasks := session.ask(1):
            order.append(tasks[0])
            place = HISTORY.tasks.index(tasks[0])
            session.tell(tasks[0], score=HISTORY.scores[3, place] if len(order) % 4 else None)
        orders.append(order)
    assert orders[0] == orders[1]


def test_one_missing_attempt_of_several_counts_too() -> None:
    plan = PLANS["random"]
    session = Session(plan, resamples=200)
    for task in plan.tasks:
        session.tell(task, score=1.0)
        session.tell(task, outcome="grader_error")
    decision = session.decision()
    assert (decision.results, decision.errors, decision.unscored) == (N_TASKS, N_TASKS, 0)
    assert (decision.target_score_low, decision.target_score_high) == pytest.approx((0.5, 1.0))


def test_nothing_known_is_no_rank() -> None:
    for strategy in STRATEGIES:
        decision = told(PLANS[strategy], [None] * 9, kind="missing")
        assert (decision.rank, decision.low, decision.high) == (None, 1, 15)
        assert (decision.results, decision.errors, decision.unscored) == (0, 0, 9)
        assert decision.to_dict()["rank"] is None
        assert "rank unknown" in str(decision)
        assert "rank 1" not in str(decision)
        assert decision.short.startswith("#? (1-15) 9/")


def test_by_default_ten_attempts_in_vain_end_a_session() -> None:
    plan = PLANS["random"]
    session = Session(plan, resamples=200)
    for step in range(N_TASKS):
        (task,) = session.ask(1) or [""]
        if not task:
            break
        session.tell(task, outcome="infra_error" if step % 2 else "missing")
    decision = session.decision()
    assert (decision.stop, decision.tasks_run, decision.claims) == (True, 10, ())
    assert decision.reason.startswith("too many errors: none of the first 10")
    zeros = Session(plan, resamples=200)
    for task in plan.tasks:
        zeros.tell(task, score=0.0)
    assert not zeros.decision().too_many_errors


@pytest.mark.parametrize(
    ("text", "run"), [("2", 6), ("0", 2), ("20%", 10), ("0.5", N_TASKS), ("100%", N_TASKS)]
)
def test_a_limit_of_errors_ends_a_session(text: str, run: int) -> None:
    plan = PLANS["random"]
    session = Session(plan, resamples=200, max_errors=parse_max_errors(text))
    for step, task in enumerate(plan.tasks):
        session.tell(task, score=None if step % 2 else 0.0)
    decision = session.decision()
    assert decision.tasks_run == run
    assert decision.too_many_errors == (run < N_TASKS)
    assert decision.claims == ()


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "120%", "1.5", "many", "5e3", "%"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="5, or a share such as 20%"):
        parse_max_errors(text)


def test_limits_are_counts_or_shares() -> None:
    assert parse_max_errors("5") == MaxErrors(count=5)
    assert parse_max_errors("20%") == parse_max_errors("0.2") == MaxErrors(share=0.2)
    with pytest.raises(InputError, match="a count or a share"):
        MaxErrors()


def test_bounds_cover_agents_whose_failures_crash() -> None:
    # Half of all failures are lost as errors: left out, they would flatter. Chance below 1e-4.
    misses = trials = 0
    for seed in range(40):
        matrix = history(100 + seed, n_agents=13)
        known = matrix.select(agents=range(12))
        plan = make_plan(known, strategy="random", stop=parse_stop("rank:0.8:0.4"), seed=seed)
        generator = np.random.default_rng(seed)
        session = Session(plan, resamples=200)
        while tasks := session.ask(1):
            score = float(matrix.scores[12, matrix.tasks.index(tasks[0])])
            lost = score == 0.0 and generator.random() < 0.5
            session.tell(tasks[0], score=score, outcome="infra_error" if lost else "valid")
        decision = session.decision()
        own, others = matrix.full_scores()[12], known.full_scores()
        best, worst = 1 + int(np.sum(others > own + 1e-9)), 1 + int(np.sum(others >= own - 1e-9))
        trials += 1
        misses += not (decision.low <= worst and decision.high >= best)
    assert binomtest(misses, trials, 0.2, alternative="greater").pvalue > 1e-4
