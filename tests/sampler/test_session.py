"""The session: order, prefixes, missing results, and that a stop keeps its promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import InputError, OutcomeMatrix, UnknownTaskError
from midband_sampler import Decision, Never, Plan, RankSettled, ScoreWithin, Session, make_plan


def history(n_agents: int = 20, n_tasks: int = 60, seed: int = 0) -> OutcomeMatrix:
    """A Rasch history: abilities spread evenly, difficulties normal."""
    rng = np.random.default_rng(seed)
    ability = np.linspace(-2, 2, n_agents)
    difficulty = rng.normal(0, 1, n_tasks)
    chance = 1 / (1 + np.exp(-(ability[:, None] - difficulty)))
    scores = (rng.random(chance.shape) < chance).astype(float)
    return OutcomeMatrix.from_scores(scores, cost_usd=np.full(scores.shape, 0.25))


def run(plan: Plan, scores: dict[str, float], width: int = 1) -> Decision:
    session = Session(plan, resamples=200)
    while tasks := session.ask(width):
        for task in tasks:
            session.tell(task, score=scores[task])
    return session.decision()


def scores_of(matrix: OutcomeMatrix, row: int) -> dict[str, float]:
    return dict(zip(matrix.tasks, matrix.scores[row].tolist(), strict=True))


def test_a_clear_winner_stops_early_and_is_first() -> None:
    matrix = history(n_tasks=200)
    plan = make_plan(matrix, strategy="random", stop=RankSettled(0.9, 0.2))
    decision = run(plan, dict.fromkeys(matrix.tasks, 1.0))
    assert decision.stop
    assert decision.reason == "rank settled"
    assert decision.rank == 1
    assert decision.tasks_run < 150
    assert decision.target == "full benchmark"


def test_all_tasks_give_the_exact_rank() -> None:
    matrix = history()
    plan = make_plan(matrix, strategy="random", stop=Never())
    decision = run(plan, scores_of(matrix, 7))
    full = matrix.full_scores()
    better, equal = int(np.sum(full > full[7] + 1e-9)), int(np.sum(abs(full - full[7]) < 1e-9))
    assert decision.rank == decision.low == decision.high == 1 + better
    assert equal >= 1
    assert decision.reason == "all planned tasks run"


def test_only_the_completed_prefix_counts() -> None:
    plan = make_plan(history(), strategy="random")
    session = Session(plan, resamples=200)
    first, second, third = session.ask(3)
    session.tell(third, score=0.0)
    session.tell(second, score=0.0)
    assert session.decision().tasks_run == 0
    assert session.pending == (first,)
    session.tell(first, score=1.0)
    assert session.decision().tasks_run == 3


def test_an_infrastructure_error_is_no_failure() -> None:
    plan = make_plan(history(), strategy="random")
    told, untold = Session(plan, resamples=200), Session(plan, resamples=200)
    for place, task in enumerate(told.ask(30)):
        if place % 2:
            told.tell(task, outcome="infra_error")
        else:
            told.tell(task, score=1.0)
    for task in untold.ask(30):
        untold.tell(task, score=1.0)
    decision = told.decision()
    assert decision.score == 1.0
    assert decision.tasks_without_result == decision.tasks_run // 2
    assert decision.tasks_run > untold.decision().tasks_run


@pytest.mark.parametrize("strategy", ["random", "design"])
def test_tasks_without_a_result_leave_every_agent_s_score(strategy: str) -> None:
    matrix = history(n_agents=24)
    known = matrix.select(agents=[row for row in range(24) if row != 9])
    hardest = set(np.argsort(matrix.scores.mean(axis=0))[:20].tolist())
    plan = make_plan(known, strategy=strategy, stop=Never(0.9))
    session = Session(plan, resamples=200)
    for task in session.ask(60):
        place = matrix.tasks.index(task)
        failed = place in hardest
        session.tell(
            task,
            score=float(matrix.scores[9, place]),
            outcome="infra_error" if failed else "valid",
        )
    rest = [place for place in range(60) if place not in hardest]
    scores = matrix.scores[:, rest].mean(axis=1)
    true_rank = 1 + int(np.sum(scores > scores[9] + 1e-9))
    decision = session.decision()
    assert decision.rank == true_rank
    assert true_rank != 1 + int(np.sum(known.full_scores() > scores[9] + 1e-9))
    assert (decision.results, decision.errors, decision.unscored) == (40, 20, 0)
    passed = matrix.scores[9, rest].sum()
    full = known.full_scores()
    for extreme, bound in ((0, decision.high), (20, decision.low)):
        assert bound == 1 + int(np.sum(full > (passed + extreme) / 60 + 1e-9))


@pytest.mark.parametrize("strategy", ["random", "design"])
def test_nothing_known_is_not_rank_one(strategy: str) -> None:
    plan = make_plan(history(), strategy=strategy, stop=RankSettled(0.9))
    session = Session(plan, resamples=200)
    for task in session.ask(60):
        session.tell(task, score=float("nan"))
    decision = session.decision()
    assert (decision.low, decision.high) == (1, 21)
    assert np.isnan(decision.score)
    assert decision.to_dict()["score"] is None


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 19))
def test_a_rebuilt_session_decides_alike_in_any_order(random: "object", row: int) -> None:
    matrix = history()
    plan = make_plan(matrix, strategy="random", stop=RankSettled(0.9, 0.3))
    scores = scores_of(matrix, row)
    original = run(plan, scores)
    told = list(plan.tasks[: original.tasks_run])
    random.shuffle(told)  # type: ignore[attr-defined]
    rebuilt = Session(plan, resamples=200)
    for task in told:
        rebuilt.tell(task, score=scores[task])
    assert rebuilt.decision() == original
    assert rebuilt.ask(1) == []


@settings(max_examples=10, deadline=None)
@given(st.permutations(list(range(12))))
def test_relabelling_agents_changes_no_rank(order: list[int]) -> None:
    matrix = history(n_agents=12)
    shuffled = matrix.select(agents=order)
    scores = scores_of(matrix, 4)
    one = run(make_plan(matrix, strategy="random"), scores)
    other = run(make_plan(shuffled, strategy="random"), scores)
    assert (one.rank, one.low, one.high, one.tasks_run) == (
        other.rank,
        other.low,
        other.high,
        other.tasks_run,
    )


def test_attempts_average_whenever_they_come() -> None:
    matrix = history()
    plan = make_plan(matrix, strategy="random", stop=Never())
    session = Session(plan, resamples=200)
    for task in session.ask(60):
        session.tell(task, score=1.0)
    late = Session(plan, resamples=200)
    for task in late.ask(59):
        late.tell(task, score=1.0)
    late.tell(plan.tasks[0], score=0.0)
    assert late.decision().score == pytest.approx(58.5 / 59)


def test_an_attempt_that_fails_late_is_paid_in_a_rebuilt_session_too() -> None:
    plan = make_plan(history(), strategy="random", stop=Never())
    session, rebuilt = Session(plan, resamples=200), Session(plan, resamples=200)
    task = session.ask(1)[0]
    session.tell(task, score=1.0, usd=0.5)
    assert session.decision().spent_usd == 0.5
    session.tell(task, outcome="infra_error", usd=2.0)
    rebuilt.tell(task, outcome="infra_error", usd=2.0)
    rebuilt.tell(task, score=1.0, usd=0.5)
    assert session.decision() == rebuilt.decision()
    assert session.decision().spent_usd == 2.5


def test_foreign_tasks_and_scores_are_refused() -> None:
    session = Session(make_plan(history(), strategy="random"), resamples=200)
    with pytest.raises(UnknownTaskError, match="expected a task of plan"):
        session.tell("nope", score=1.0)
    with pytest.raises(InputError, match=r"expected a score in \[0, 1\]"):
        session.tell(session.ask(1)[0], score=7.0)


def coverage(n_candidates: int, *, confidence: float) -> tuple[int, float]:
    """Count stops whose interval misses the full rank; looks after every task."""
    matrix = history(n_agents=40, n_tasks=150, seed=5)
    rng = np.random.default_rng(11)
    full = matrix.full_scores()
    misses, share = 0, 0.0
    for seed in range(n_candidates):
        row = int(rng.integers(40))
        others = matrix.select(agents=[i for i in range(40) if i != row])
        plan = make_plan(
            others, strategy="random", stop=RankSettled(confidence, 0.15), seed=int(seed)
        )
        decision = run(plan, scores_of(matrix, row))
        better = int(np.sum(full > full[row] + 1e-9))
        level = int(np.sum(full >= full[row] - 1e-9))
        misses += not (decision.low <= level and decision.high >= 1 + better)
        share += decision.tasks_run / 150 / n_candidates
    return misses, share


def test_the_interval_at_the_stop_covers_the_full_rank() -> None:
    # Fails by chance with probability below 1e-4 if the coverage is 90 % or more.
    misses, share = coverage(120, confidence=0.9)
    assert binomtest(misses, 120, 0.1, alternative="greater").pvalue > 1e-4
    assert share < 0.9  # and it does save: not an interval that never stops


def test_rare_passes_do_not_make_a_score_sure() -> None:
    """On a hard benchmark the first passes come late; until then all results are equal."""
    reference = np.zeros((6, 100))
    reference[:, :2] = 1.0
    plan = make_plan(
        OutcomeMatrix.from_scores(reference), strategy="random", stop=ScoreWithin(5.0, 0.95)
    )
    rng, misses = np.random.default_rng(0), 0
    for _ in range(200):
        passed = rng.choice(100, 10, replace=False)
        scores = {task: float(place in passed) for place, task in enumerate(plan.all_tasks)}
        decision = run(plan, scores)
        misses += not decision.full_score_low <= 0.1 + 1e-9 <= decision.full_score_high + 2e-9
    # An interval that covers 95 % fails this with chance 1e-4; with an extra 1/4 in place of
    # ln(1 / alpha) under the root, a fifth of the intervals miss.
    assert binomtest(misses, 200, 0.05, alternative="greater").pvalue > 1e-4


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_an_estimate_lies_within_its_bounds_and_these_among_the_scores_there_are(
    score: float,
) -> None:
    for seed in range(20):
        plan = make_plan(history(), strategy="random", stop=Never(), seed=seed)
        session = Session(plan, resamples=200)
        for task in session.ask(30):
            session.tell(task, score=score)
            decision = session.decision()
            if decision.tasks_run >= 2:
                bounds = (decision.full_score_low, decision.full_score, decision.full_score_high)
                assert list(bounds) == sorted(bounds)
                assert 0.0 <= bounds[0] <= bounds[2] <= 1.0
