"""How wide intervals are made: by this benchmark's replays, and by those of the others."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midband_history import OutcomeMatrix
from midband_sampler import Plan, RankSettled, Session, make_plan
from midband_sampler.shrinkage import interval_multipliers, narrowest

STOP = RankSettled(0.9, 0.2)


def simulate(
    n_agents: int, n_tasks: int, seed: int, *, scaffolds: int = 0, noise: float = 0.0
) -> OutcomeMatrix:
    """Draw binary results from the response model; `noise` is a second dimension."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 1.3, n_tasks) + rng.normal(0, 1, (n_agents, 1))
    logit = logit + noise * rng.normal(0, 1, (n_agents, 1)) * rng.normal(0, 1, n_tasks)
    scores = (rng.random((n_agents, n_tasks)) < 1 / (1 + np.exp(-logit))).astype(float)
    matrix = OutcomeMatrix.from_scores(scores, benchmark=f"bench-{seed}")
    names = tuple(f"scaffold-{k % scaffolds}" if scaffolds else "" for k in range(n_agents))
    return replace(matrix, scaffolds=names)


coverage = st.integers(1, 40).flatmap(
    lambda n: st.lists(st.integers(0, 59), min_size=n, max_size=n)
)


@given(coverage, st.sampled_from([0.8, 0.9, 0.95]))
def test_without_others_the_count_is_the_conformal_one(needed: list[int], level: float) -> None:
    covered = np.arange(60) >= np.array(needed)[:, None]
    n = len(needed)
    place = narrowest(covered, [], confidence=level)
    least = int(np.ceil((n + 1) * level - 1e-9))
    if least > n:
        assert place is None
    else:
        assert place == sorted(needed)[least - 1]


@given(coverage, st.integers(0, 59), st.floats(0.0, 0.6))
def test_others_pull_the_width_towards_what_they_need(
    needed: list[int], elsewhere: int, spread: float
) -> None:
    covered = np.arange(60) >= np.array(needed)[:, None]
    others = [(np.arange(60) >= elsewhere).astype(float)]
    place = narrowest(covered, others, confidence=0.9)
    assert place is not None  # everything covers at the last width, and 20 replays are enough
    bounds = sorted([*needed, elsewhere])
    assert bounds[0] <= place <= bounds[-1]
    wider = narrowest(covered, others, confidence=0.9, spread=spread)
    assert wider is None or wider >= place


def test_widths_rise_in_steps_of_three_percent_from_below_the_normal_quantile() -> None:
    few, every = interval_multipliers()
    assert few[0] == every[0] < 1.0
    assert np.allclose(every[1:] / every[:-1], 1.03, rtol=1e-4)
    assert np.array_equal(every[: few.size], few)


def test_other_benchmarks_widen_and_are_named() -> None:
    here = simulate(12, 60, 0)
    wild = [simulate(24, 60, seed, noise=2.5) for seed in (1, 2, 3)]
    alone = make_plan(here, strategy="information", stop=STOP)
    among = make_plan(here, strategy="information", stop=STOP, others=wild)
    again = make_plan(here, strategy="information", stop=STOP, others=wild)
    assert alone.calibration is not None
    assert among.calibration is not None
    assert among.calibration.benchmarks == 3
    assert among.calibration.multiplier > alone.calibration.multiplier
    assert "3 other benchmarks" in among.guarantee
    assert any("those of 3 other benchmarks" in note for note in among.notes)
    assert among == again == Plan.from_json(among.to_json())


def test_with_other_benchmarks_fewer_agents_are_enough() -> None:
    few = simulate(6, 60, 4)
    assert make_plan(few, stop=STOP).calibration is None
    others = [simulate(24, 60, seed) for seed in (5, 6)]
    assert make_plan(few, stop=STOP, others=others).calibration is not None


@pytest.mark.parametrize(
    ("scaffold", "mode"), [("scaffold-1", "agent"), ("scaffold-new", "scaffold"), ("", "scaffold")]
)
def test_what_is_new_about_the_candidate_is_left_out(scaffold: str, mode: str) -> None:
    history = simulate(24, 60, 7, scaffolds=4)
    plan = make_plan(history, strategy="information", stop=STOP, scaffold=scaffold)
    assert plan.calibration is not None
    assert plan.calibration.held_out == mode
    assert plan.calibration.spread == 0.0
    other = {"agent": "scaffold", "scaffold": "agent"}[mode]
    assert any(f"(without its {other}: " in note for note in plan.notes)


def test_a_new_scaffold_beside_a_single_known_one_widens() -> None:
    wider = []
    for seed in (8, 11, 12):
        history = simulate(24, 60, seed, scaffolds=1)
        known = make_plan(history, strategy="stratified", stop=STOP, scaffold="scaffold-0")
        new = make_plan(history, strategy="stratified", stop=STOP, scaffold="scaffold-new")
        assert known.calibration is not None
        assert new.calibration is not None
        assert known.calibration.spread == 0.0 < new.calibration.spread
        assert "widened" in new.guarantee
        assert Plan.from_json(new.to_json()) == new
        wider.append(new.calibration.multiplier / known.calibration.multiplier)
    assert min(wider) >= 1.0
    assert max(wider) > 1.05


def test_auto_hands_a_stratified_order_to_harnesses_that_cannot_choose() -> None:
    history = simulate(14, 120, 9, noise=1.5)
    plan = make_plan(history, stop=STOP, seed=3)
    assert plan.strategy == "sampled-information"
    fixed = Plan.from_json(plan.to_json()).fixed()
    assert fixed.strategy == "stratified"
    assert fixed.calibration == plan.fallback
    rates = history.pass_rates()
    columns = fixed.columns[:12]
    assert len({int(10 * np.mean(rates < rates[j])) for j in columns}) >= 6  # spread over tenths


def test_sampled_information_draws_few_and_takes_the_most_informative_of_these() -> None:
    history = simulate(24, 80, 10)
    plan = make_plan(history, strategy="sampled-information", stop=STOP, seed=5)
    assert plan.model is not None

    def first_tasks(seed: int) -> list[str]:
        session = Session(replace(plan, seed=seed))
        taken = []
        for step in range(20):
            (task,) = session.ask(1)
            taken.append(task)
            session.tell(task, score=float(step % 2))
        return taken

    assert first_tasks(5) == first_tasks(5)
    gain = plan.model.predict().variance_reduction()[0]
    place = {task: j for j, task in enumerate(plan.all_tasks)}
    firsts = [gain[place[first_tasks(seed)[0]]] for seed in range(40)]
    # The best of eight drawn is far above the middle: by chance below 1e-6 for 40 seeds.
    assert np.mean(np.array(firsts) > np.median(gain)) > 0.8
    assert len({first_tasks(seed)[0] for seed in range(10)}) > 3
