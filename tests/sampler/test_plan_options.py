"""Guard tasks and the randomised share: first, never evidence; drawn, and honest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler import Beats, Decision, Never, Plan, PlanError, RankSettled, Session, make_plan
from midband_sampler.strategies.policy import Exploration

PLANS = Path(__file__).parent / "plans"  # written before there were options


def simulate(
    n_agents: int, n_tasks: int, seed: int, *, easy: int = 0
) -> tuple[OutcomeMatrix, FloatArray]:
    """A Rasch history whose first `easy` tasks nearly every agent passes."""
    rng = np.random.default_rng(seed)
    ability, intercept = rng.normal(0, 1, n_agents), rng.normal(0, 1, n_tasks)
    intercept[:easy] = 3.0
    chance = 1 / (1 + np.exp(-(intercept + ability[:, None])))
    scores = (rng.random(chance.shape) < chance).astype(float)
    return OutcomeMatrix.from_scores(scores), intercept


def drive(plan: Plan, scores: dict[str, float]) -> Session:
    session = Session(plan, resamples=200)
    while tasks := session.ask(1):
        session.tell(tasks[0], score=scores[tasks[0]])
    return session


def scores_of(matrix: OutcomeMatrix, row: int) -> dict[str, float]:
    return dict(zip(matrix.tasks, matrix.scores[row].tolist(), strict=True))


def covers(decision: Decision, own: float, references: FloatArray) -> bool:
    best = 1 + int(np.sum(references > own + 1e-9))
    worst = 1 + int(np.sum(references >= own - 1e-9))
    return decision.low <= worst and decision.high >= best


@pytest.mark.parametrize("strategy", ["band", "design", "information", "random", "stratified"])
def test_guard_tasks_run_first_in_the_order_given(strategy: str) -> None:
    matrix, _ = simulate(20, 50, 1, easy=5)
    guards = ("task-3", "task-40", "task-0")
    plan = make_plan(
        matrix, strategy=strategy, stop=RankSettled(0.9, 0.2), always=[*guards, "task-3"]
    )
    assert plan.always == guards
    assert plan.tasks[:3] == guards
    assert len(set(plan.tasks)) == len(plan.tasks)
    assert Session(plan, resamples=200).ask(3) == list(guards)
    assert "3 guard tasks run first" in " ".join(plan.notes)
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.always == guards


def test_guard_tasks_are_known_results_and_no_evidence() -> None:
    matrix, _ = simulate(20, 60, 2, easy=25)
    guards = [f"task-{j}" for j in range(25)]
    plan = make_plan(matrix, strategy="random", stop=RankSettled(0.9, 0.2), always=guards)
    session = Session(plan, resamples=200)
    for task in session.ask(25):
        session.tell(task, score=1.0)
    decision = session.decision()
    assert (decision.low, decision.high) == (1, 21)  # twenty-five passes rank nobody yet
    assert decision.tasks_run == 25
    assert decision.target == "full benchmark"
    rival = matrix.agents[int(np.argmin(matrix.full_scores()))]
    bet = make_plan(matrix, strategy="random", stop=Beats(rival, 0.9), always=guards)
    session = Session(bet, resamples=200)
    for task in session.ask(25):
        session.tell(task, score=1.0)
    assert not session.decision().stop


def test_with_guard_tasks_everything_run_is_still_exact() -> None:
    matrix, _ = simulate(20, 40, 3, easy=8)
    guards = [f"task-{j}" for j in range(0, 16, 2)]
    for row in (0, 7, 13):
        plan = make_plan(matrix, strategy="random", stop=Never(), always=guards)
        decision = drive(plan, scores_of(matrix, row)).decision()
        full = matrix.full_scores()
        assert decision.rank == decision.low == decision.high == 1 + int(np.sum(full > full[row]))
        assert decision.full_score == pytest.approx(full[row])


def test_a_guard_task_without_a_result_leaves_the_target() -> None:
    matrix, _ = simulate(20, 40, 4)
    plan = make_plan(matrix, strategy="random", stop=Never(), always=["task-1", "task-2"])
    session = Session(plan, resamples=200)
    scores = scores_of(matrix, 5)
    while tasks := session.ask(1):
        lost = tasks[0] == "task-1"
        session.tell(tasks[0], score=scores[tasks[0]], outcome="infra_error" if lost else "valid")
    rest = np.delete(matrix.scores, 1, axis=1).mean(axis=1)
    assert session.decision().rank == 1 + int(np.sum(rest > rest[5] + 1e-9))


def test_the_always_valid_bound_covers_with_guard_tasks_of_another_kind() -> None:
    # The guard tasks tell a story of their own: candidates fail where all others pass.
    # Fails by chance below 1e-4 if the coverage is 90 % or more; looks after every task.
    misses, shares = 0, []
    everyone, _ = simulate(160, 120, 5, easy=20)
    references, guards = everyone.select(agents=range(40)), [f"task-{j}" for j in range(20)]
    for row in range(40, 160):
        scores = scores_of(everyone, row)
        scores.update(dict.fromkeys(guards, 0.0))
        plan = make_plan(
            references, strategy="random", stop=RankSettled(0.9, 0.15), seed=row, always=guards
        )
        decision = drive(plan, scores).decision()
        own = float(np.mean(list(scores.values())))
        misses += not covers(decision, own, references.full_scores())
        shares.append(decision.tasks_run / 120)
    assert binomtest(misses, 120, 0.1, alternative="greater").pvalue > 1e-4
    assert np.mean(shares) < 0.95


def test_the_calibrated_interval_covers_with_guard_tasks() -> None:
    # 150 new agents; fails by chance below 1e-4 at a true coverage of 90 %.
    misses = 0
    for seed in range(3):
        everyone, _ = simulate(80, 80, 20 + seed, easy=8)
        known = everyone.select(agents=range(30))
        plan = make_plan(
            known,
            strategy="information",
            stop=RankSettled(0.9, 0.2),
            always=[f"task-{j}" for j in range(8)],
            explore=0.1,
        )
        for row in range(30, 80):
            decision = drive(plan, scores_of(everyone, row)).decision()
            own = float(everyone.scores[row].mean())
            misses += not covers(decision, own, known.full_scores())
    assert binomtest(misses, 150, 0.1, alternative="greater").pvalue > 1e-4


def test_guard_tasks_that_cannot_be_are_refused() -> None:
    matrix, _ = simulate(20, 30, 6)
    with pytest.raises(InputError, match="'nope', 'neither'"):
        make_plan(matrix, always=["task-1", "nope", "neither"])
    with pytest.raises(InputError, match="above the 3 guard tasks, got 3"):
        make_plan(matrix, always=["task-1", "task-2", "task-3"], max_tasks=3)
    with pytest.raises(PlanError, match="at least 2 planned tasks besides"):
        make_plan(matrix, strategy="random", always=[f"task-{j}" for j in range(29)])
    plan = make_plan(matrix, strategy="random", always=["task-1"])
    with pytest.raises(InputError, match="guard tasks"):
        replace(plan, tasks=plan.tasks[::-1])


def test_a_share_of_the_choices_is_drawn_and_repeats_with_the_seed() -> None:
    matrix, _ = simulate(20, 200, 7)
    plans = [
        make_plan(
            matrix, strategy="design", stop=Never(0.9), max_tasks=150, seed=seed, explore=share
        )
        for seed, share in ((1, 0.2), (1, 0.2), (2, 0.2), (1, 0.0))
    ]
    assert plans[0].tasks == plans[1].tasks != plans[2].tasks
    estimate = drive(plans[0], scores_of(matrix, 3)).randomised_score()
    # Of 150 choices a fifth is drawn; fails by chance below 1e-6 for a fixed seed of the plan.
    assert 10 <= estimate.tasks <= 55
    assert np.isnan(drive(plans[3], scores_of(matrix, 3)).randomised_score().value)


@pytest.mark.parametrize("strategy", ["design", "information"])
def test_the_randomised_score_is_right_where_the_model_is_wrong(strategy: str) -> None:
    matrix, _ = simulate(20, 60, 8)
    plain = make_plan(matrix, strategy=strategy, stop=Never(0.9), max_tasks=60)
    order = np.array([matrix.tasks.index(task) for task in plain.tasks])
    # A candidate of a new kind: it fails where the strategy looks first, and nowhere else.
    odd = np.ones(60)
    odd[order[:30]] = 0.0
    scores = dict(zip(matrix.tasks, odd.tolist(), strict=True))
    values, errors, predicted = [], [], []
    for seed in range(150):
        steering = Exploration(explore=0.4, seed=seed)
        tasks = tuple(matrix.tasks[int(each.tasks[0])] for each in steering.arrange(order, 60))
        plan = replace(plain, tasks=tasks, explore=0.4, seed=seed, max_tasks=20)
        session = drive(plan, scores)
        estimate = session.randomised_score()
        if estimate.tasks:
            values.append(estimate.value)
            errors.append(estimate.standard_error)
        predicted.append(session.decision().full_score)
    truth, n = float(odd.mean()), len(values)
    # Fails by chance below 1e-5; the model's own estimate is beyond it by far.
    assert abs(np.mean(values) - truth) < 4.5 * np.std(values, ddof=1) / np.sqrt(n)
    assert abs(np.mean(predicted) - truth) > 10 * np.std(predicted, ddof=1) / np.sqrt(n)
    claimed = np.sqrt(np.nanmean(np.square(errors)))
    assert 0.7 * np.std(values) < claimed < 1.4 * np.std(values)


def test_a_rebuilt_session_of_a_fixed_order_has_the_same_randomised_score() -> None:
    matrix, _ = simulate(20, 60, 9)
    plan = make_plan(
        matrix, strategy="design", stop=Never(0.9), max_tasks=25, always=["task-9"], explore=0.3
    )
    scores = scores_of(matrix, 4)
    one = drive(plan, scores)
    rebuilt = Session(plan)
    for task in sorted(plan.tasks):
        rebuilt.tell(task, score=scores[task])
    assert rebuilt.randomised_score() == one.randomised_score()
    assert one.randomised_score().tasks > 0


def test_a_rebuilt_live_session_needs_the_order_of_its_choices() -> None:
    matrix, _ = simulate(20, 60, 10)
    plan = make_plan(matrix, strategy="matched", stop=Never(0.9), max_tasks=25, explore=0.3)
    scores, one, order = scores_of(matrix, 4), Session(plan), []
    while tasks := one.ask(1):
        one.tell(tasks[0], score=scores[tasks[0]])
        order += tasks
    decision = one.decision()
    estimate = one.randomised_score()
    assert estimate.tasks > 0
    assert decision.randomised_score == estimate.value
    assert decision.randomised_error == estimate.standard_error
    told = Session(plan)
    for task in sorted(order):
        told.tell(task, score=scores[task])
    assert np.isnan(told.randomised_score().value)
    assert told.decision().to_dict()["randomised_score"] is None
    started = Session(plan)
    for task in order:
        started.start(task)
    for task in sorted(order):
        started.tell(task, score=scores[task])
    assert started.randomised_score() == estimate


def test_draws_are_uniform() -> None:
    firsts = [
        int(Exploration(explore=0.99, seed=seed).arrange(np.arange(8), 8)[0].tasks[0])
        for seed in range(3000)
    ]
    counts = np.bincount(firsts, minlength=8)
    expected = np.full(8, 3000 * 0.99 / 8)
    expected[0] += 30
    # Fails by chance with probability 1e-5.
    assert chisquare(counts, expected).pvalue > 1e-5


def test_draws_never_repeat_what_is_in_flight() -> None:
    matrix, _ = simulate(20, 40, 11)
    plan = make_plan(matrix, strategy="information", stop=Never(0.9), explore=0.9)
    session = Session(plan)
    tasks = session.ask(40)
    assert sorted(tasks) == sorted(matrix.tasks)


def test_a_random_order_needs_no_randomised_share() -> None:
    matrix, _ = simulate(20, 40, 12)
    with pytest.raises(InputError, match="--guarantee calibrated"):
        make_plan(matrix, strategy="band", explore=0.1)
    with pytest.raises(InputError, match="0 <= explore < 1"):
        make_plan(matrix, strategy="design", explore=1.0)
    few = matrix.select(agents=range(8))
    plan = make_plan(few, strategy="auto", stop=RankSettled(0.9, 0.2), explore=0.1)
    assert plan.explore == 0.0
    assert any("explore is not used" in warning for warning in plan.warnings)


def test_a_plan_without_options_does_not_mention_them() -> None:
    matrix, _ = simulate(20, 40, 13)
    text = make_plan(matrix, strategy="random").to_json()
    for name in ("always", "attempts", "cost_unit", "explore", "fallback", "task_costs"):
        assert f'"{name}"' not in text
    plan = Plan.from_json(text)
    assert (plan.always, plan.explore, plan.task_costs, plan.attempts) == ((), 0.0, None, None)


@pytest.mark.parametrize(
    ("name", "digest", "first"),
    [
        ("always_valid", "538d2a3a3463dbfa", ["task-11", "task-7"]),
        ("calibrated", "1b62ac29f59a284a", ["task-10", "task-11"]),
    ],
)
def test_plans_from_before_these_options_still_run(
    name: str, digest: str, first: list[str]
) -> None:
    plan = Plan.read(PLANS / f"{name}.json")
    assert plan.digest == digest
    assert Session(plan).ask(2) == first


def test_the_model_s_own_estimate_is_at_hand_beside_it() -> None:
    matrix, _ = simulate(20, 40, 14)
    plan = make_plan(matrix, strategy="design", stop=Never(0.9), max_tasks=20)
    assert plan.model is not None
    prediction = plan.model.predict()
    scores = scores_of(matrix, 2)
    column = {task: place for place, task in enumerate(matrix.tasks)}
    for task in plan.tasks:
        prediction.observe(np.array([0]), np.array([column[task]]), np.array([scores[task]]))
    decision = drive(plan, scores).decision()
    assert prediction.moments()[0][0] == pytest.approx(decision.full_score)
