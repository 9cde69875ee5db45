from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from midband_history import OutcomeMatrix, read_matrix
from midband_sampler import PlanError, make_plan, parse_stop
from midband_sims import (
    LeaveOneAgentOut,
    SyntheticSettings,
    draw_candidate,
    replay,
    synthetic_history,
)


def same(matrix: OutcomeMatrix, *, strategy: str, stop: str, seed: int, limit: int = 6) -> int:
    """Count replays in which the fast path and the session agree on everything; fail otherwise."""
    count = 0
    for split in LeaveOneAgentOut().splits(matrix)[:limit]:
        known = matrix.select(agents=list(split.references))
        plan = make_plan(known, strategy=strategy, stop=parse_stop(stop), seed=seed)
        candidate = draw_candidate(matrix, split.candidates[0], np.random.default_rng(seed))
        fast = asdict(replay(plan, candidate, track=True))
        slow = asdict(replay(plan, candidate, track=True, by_session=True, resamples=200))
        for name, value in fast.items():
            np.testing.assert_equal(value, slow[name], err_msg=name)
        count += 1
    return count


@pytest.mark.parametrize("strategy", ["band", "random", "stratified"])
@pytest.mark.parametrize("stop", ["rank:0.95:0.2", "rank:0.8:0.4", "none"])
def test_the_fast_path_is_the_session(strategy: str, stop: str) -> None:
    for seed in range(2):
        settings = SyntheticSettings(agents=12, tasks=50, infra_error_rate=0.08, missing_rate=0.05)
        matrix = synthetic_history(settings, np.random.default_rng(seed)).matrix
        assert same(matrix, strategy=strategy, stop=stop, seed=seed)


def test_the_fast_path_takes_a_width_for_what_it_says() -> None:
    settings = SyntheticSettings(agents=50, tasks=40)
    matrix = synthetic_history(settings, np.random.default_rng(3)).matrix
    assert 0.58 * 50 < 29  # in the last bit
    assert same(matrix, strategy="random", stop="rank:0.8:0.58", seed=0, limit=12) == 12


def test_the_fast_path_is_the_session_on_real_data(shared_data: Path) -> None:
    for name in ("gaia", "corebench_hard"):
        matrix = read_matrix(shared_data / "hal_leaderboard.parquet", name)
        assert same(matrix, strategy="band", stop="rank:0.9:0.25", seed=1, limit=10) == 10


def test_missing_results_are_neither_failures_nor_paid(matrix: OutcomeMatrix) -> None:
    plan = make_plan(matrix.select(agents=range(10)), strategy="random", stop=parse_stop("none"))
    agent = int(np.argmax(np.isnan(matrix.scores[10:]).sum(axis=1))) + 10
    candidate = draw_candidate(matrix, agent, np.random.default_rng(0))
    assert np.isnan(candidate.scores).any()
    done = replay(plan, candidate)
    assert done.score == pytest.approx(np.nanmean(matrix.scores[agent]))
    assert done.cost_usd == pytest.approx(done.cost_full_usd)
    assert done.low <= done.true_high
    assert done.high >= done.true_low


@pytest.mark.parametrize("in_flight", [1, 4])
def test_tasks_in_flight_save_time_and_cost_tasks(matrix: OutcomeMatrix, in_flight: int) -> None:
    plan = make_plan(
        matrix.select(agents=range(11)), strategy="random", stop=parse_stop("rank:0.8:0.5")
    )
    candidate = draw_candidate(matrix, 13, np.random.default_rng(0))
    done = replay(plan, candidate, in_flight=in_flight, by_session=True, resamples=200)
    alone = replay(plan, candidate)
    assert alone.conclusive
    assert alone.tasks_run <= done.tasks_run
    if in_flight > 1:
        assert done.seconds < alone.seconds
    else:
        assert done.seconds == pytest.approx(alone.seconds)


def test_run_cost_is_spread_evenly_and_says_so() -> None:
    scores = np.tile([1.0, 0.0, 1.0, np.nan], (6, 1))
    matrix = OutcomeMatrix.from_scores(scores, run_cost_usd=np.full(6, 9.0))
    candidate = draw_candidate(matrix, 5, np.random.default_rng(0))
    assert candidate.cost_basis == "run cost spread evenly"
    np.testing.assert_array_equal(candidate.cost_usd, [3.0, 3.0, 3.0, np.nan])
    unknown = OutcomeMatrix.from_scores(scores)
    assert draw_candidate(unknown, 5, np.random.default_rng(0)).cost_basis == "unknown"


def test_attempts_are_drawn_without_replacement() -> None:
    each = np.tile(np.array([0.0, 0.5, 1.0]), (4, 30, 1))
    matrix = OutcomeMatrix.from_scores(each[:, :, 0], attempt_scores=each)
    generator = np.random.default_rng(0)
    one = draw_candidate(matrix, 0, generator, attempts=1)
    assert set(one.scores) <= {0.0, 0.5, 1.0}
    assert one.truth == 0.5
    all_three = draw_candidate(matrix, 0, generator, attempts=3)
    np.testing.assert_allclose(all_three.scores, 0.5)
    fresh = draw_candidate(matrix, 0, generator, attempts=1, fresh_truth=True)
    assert fresh.truth == pytest.approx((1.5 * 30 - fresh.scores.sum()) / 60)


def test_the_interval_covers_as_often_as_it_claims() -> None:
    covered = trials = 0
    for seed in range(60):
        settings = SyntheticSettings(agents=16, tasks=80, ability_sd=0.6)
        matrix = synthetic_history(settings, np.random.default_rng(seed)).matrix
        try:
            plan = make_plan(
                matrix.select(agents=range(15)),
                strategy="random",
                stop=parse_stop("rank:0.9:0.4"),
                seed=seed,
            )
        except PlanError:
            continue
        done = replay(plan, draw_candidate(matrix, 15, np.random.default_rng(seed)))
        trials += 1
        covered += done.low <= done.true_high and done.high >= done.true_low
    # A rule that covers exactly 90 % fails this with chance 1e-4.
    assert binomtest(covered, trials, 0.9, alternative="less").pvalue > 1e-4
