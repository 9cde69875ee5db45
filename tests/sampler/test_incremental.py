"""Told one at a time, in whatever order: the verdict is that of everything told at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import OutcomeMatrix
from midband_sampler import Never, SequentialRankBounds, Session, make_plan


def history(seed: int, n_agents: int = 20, n_tasks: int = 50, *, holes: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    logit = np.linspace(-1.5, 1.5, n_agents)[:, None] - rng.normal(0, 1, n_tasks)
    scores = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float)
    scores[rng.random(scores.shape) < holes] = np.nan
    return scores


def from_definition(
    reference: np.ndarray, told: dict[int, float], certain: set[int]
) -> tuple[int, float]:
    """Rank by the difference estimator, everything at once; the share of the sample not run."""
    expected = np.nanmean(reference, axis=0)
    target = np.array([not np.isnan(told.get(j, 0.0)) for j in range(reference.shape[1])])
    means = np.nanmean(np.where(target, reference - expected, np.nan), axis=1)
    excess = {j: told[j] - expected[j] for j in told if target[j]}
    sample = np.array([excess[j] for j in excess if j not in certain])
    known = [excess[j] for j in excess if j in certain]
    planned = int(target.sum())
    others = planned - len(known)
    if sample.size < 2:
        return 1, 1.0
    mean = (others * sample.mean() + sum(known)) / planned
    return 1 + int(np.sum(means > mean + 1e-9)), 1.0 - sample.size / others


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 50), st.integers(0, 6))
def test_asked_at_the_end_is_asked_after_every_result(seed: int, told: int, guards: int) -> None:
    reference, rng = history(seed, holes=0.1), np.random.default_rng(seed)
    results = {task: float(rng.choice([0.0, 0.5, 1.0, np.nan])) for task in range(told)}
    one, other = (
        SequentialRankBounds(reference, confidence=0.9, guards=guards, resamples=400, seed=3)
        for _ in range(2)
    )
    for task, score in results.items():
        one.observe(np.array(task), np.array(score))
        each = one.interval()
        assert each.low <= each.rank <= each.high
        other.observe(np.array(task), np.array(score))
    rank, open_share = from_definition(reference, results, set(range(guards)))
    looked, once = one.interval(), other.interval()
    for name in ("rank", "low", "high", "score", "score_low", "score_high"):
        np.testing.assert_equal(getattr(looked, name), getattr(once, name), err_msg=name)
    assert rank == once.rank or rank not in range(int(once.low), int(once.high) + 1)
    if open_share == 0.0:
        assert once.low == once.high == rank
    ours, theirs = one.diagnose(), other.diagnose()
    assert ours.naive == pytest.approx(theirs.naive, abs=0.006)
    assert np.allclose(ours.better, theirs.better, atol=0.006, equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6), st.floats(0, 0.3))
def test_a_whole_order_at_once_is_one_result_after_the_other(
    seed: int, guards: int, lost: float
) -> None:
    reference, rng = history(seed, holes=0.1), np.random.default_rng(seed)
    results = rng.choice([0.0, 0.5, 1.0], 50)
    results[rng.random(50) < lost] = np.nan
    rivals = {"first": 0, "last": 19}
    one, whole = (
        SequentialRankBounds(reference, confidence=0.9, guards=guards, rivals=rivals)
        for _ in range(2)
    )
    whole.observe(np.arange(50), results)
    looks, least = whole.interval(), whole.least_half_width(np.arange(1, 51), np.array(5))
    for place, score in enumerate(results):
        one.observe(np.array(place), np.array(score))
        single, at_once = one.interval(), looks.at(place)
        for name in ("rank", "low", "high", "score", "score_low", "score_high"):
            np.testing.assert_equal(getattr(single, name), getattr(at_once, name), err_msg=name)
        assert one.tasks == whole.tasks[place]
        alone = one.least_half_width(np.array(place + 1), np.array(5))
        np.testing.assert_allclose(least[place], alone)
        for name in rivals:
            expected = one.evidence[name].log_better
            np.testing.assert_allclose(whole.evidence[name].at(place).log_better, expected)


def plain_diagnostics(
    reference: np.ndarray, results: np.ndarray, low: int, high: int
) -> tuple[float, np.ndarray]:
    """Draw tasks with replacement; shrink for the finite population; count."""
    rng, n = np.random.default_rng(5), results.size
    expected = reference.mean(axis=0)
    excess = results - expected[:n]
    means = excess[rng.integers(n, size=(4000, n))].mean(axis=1)
    means = excess.mean() + (means - excess.mean()) * np.sqrt(1 - n / reference.shape[1])
    above = (reference - expected).mean(axis=1) > means[:, None]
    ranks = 1 + above.sum(axis=1)
    return float(np.mean((ranks >= low) & (ranks <= high))), 1 - above.mean(axis=0)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.7, 0.76])
def test_the_diagnostics_are_those_of_the_plain_bootstrap_as_things_were(rate: float) -> None:
    reference = history(1, n_agents=40, n_tasks=400)
    results = (np.random.default_rng(2).random(400) < rate).astype(float)
    ranks = SequentialRankBounds(reference, confidence=0.6, resamples=4000, seed=0)
    for task, score in enumerate(results):
        ranks.observe(np.array(task), np.array(score))
        if task + 1 in (30, 80, 150, 220, 300, 400):
            found, interval = ranks.diagnose(), ranks.interval()
            naive, better = plain_diagnostics(
                reference, results[: task + 1], int(interval.low), int(interval.high)
            )
            assert found.naive == pytest.approx(naive, abs=0.04)
            assert np.allclose(found.better, better, atol=0.05)
    assert ranks.diagnose().naive == 1.0


@pytest.mark.parametrize("strategy", ["random", "information"])
def test_a_long_session_rebuilt_from_its_results_decides_alike(strategy: str) -> None:
    scores = history(4, n_agents=24, n_tasks=120)
    matrix = OutcomeMatrix.from_scores(scores, cost_usd=np.full(scores.shape, 0.5))
    plan = make_plan(matrix, strategy=strategy, stop=Never(0.9), max_tasks=40)
    session = Session(plan, resamples=400)
    results: dict[str, float] = {}
    decisions = []
    while tasks := session.ask(3):
        for task in reversed(tasks):
            results[task] = float(len(results) % 3 == 0)
            session.tell(task, score=results[task])
            decisions.append(session.decision())
    rebuilt = Session(plan, resamples=400)
    for task in sorted(results):
        rebuilt.tell(task, score=results[task])
    ours, theirs = decisions[-1], rebuilt.decision()
    assert (ours.rank, ours.low, ours.high) == (theirs.rank, theirs.low, theirs.high)
    assert ours.full_score == pytest.approx(theirs.full_score, nan_ok=True)
    assert ours.score == theirs.score
    assert ours.cost_saved_usd == theirs.cost_saved_usd == 40.0
    assert [each.tasks_run for each in decisions] == sorted(each.tasks_run for each in decisions)
