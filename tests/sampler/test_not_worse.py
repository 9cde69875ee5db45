"""The gate's rule and bounds: exact at every look, ties let through, missing as extremes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from midband_history import InputError, OutcomeMatrix
from midband_sampler import (
    Decision,
    NotWorse,
    Session,
    compare_results,
    make_plan,
    parse_stop,
    stop_from_dict,
)
from midband_sampler.bounds.base import real, whole
from midband_sampler.bounds.paired_rank import PairedDifference

SURE = 1.0 - 1e-12
graded = st.integers(0, 4).map(lambda part: part / 4)
several = st.lists(st.tuples(graded, graded, graded), min_size=10, max_size=24)


def judged(
    baseline: list[float],
    candidate: list[float],
    rule: str,
    *,
    other: list[float] | None = None,
    strategy: str = "random",
    seed: int = 0,
) -> Decision:
    """Run a candidate, NaN being an attempt without a result, by a plan that knows a baseline."""
    known = np.array([baseline, *([] if other is None else [other])])
    matrix = OutcomeMatrix.from_scores(known, agents=["base", "other"][: len(known)])
    plan = make_plan(matrix, strategy=strategy, stop=parse_stop(rule), seed=seed)
    session = Session(plan, resamples=200)
    score = dict(zip(matrix.tasks, candidate, strict=True))
    while tasks := session.ask(1):
        told = score[tasks[0]]
        session.tell(tasks[0], score=None if math.isnan(told) else told)
    return session.decision()


@settings(max_examples=40, deadline=None)
@given(several, st.integers(-2, 2), st.integers(0, 5))
def test_what_is_certain_is_claimed_and_a_tie_at_the_margin_is_let_through(
    cells: list[tuple[float, float, float]], beyond: int, seed: int
) -> None:
    """The margin is the true difference, or a task's smallest step away from it."""
    baseline, candidate, other = (list(each) for each in zip(*cells, strict=True))
    quarters = round(4 * (sum(baseline) - sum(candidate))) + beyond
    points = 100.0 * quarters / (4 * len(cells))
    if not 0.1 <= points < 100.0:
        return
    rule = NotWorse("base", points, SURE)
    text = f"not-worse:base:{points!r}:{SURE!r}"
    found = judged(baseline, candidate, text, other=other, seed=seed)
    assert [claim.text for claim in found.claims] == [
        rule.held_text if beyond >= 0 else rule.failed_text
    ]


@settings(max_examples=25, deadline=None)
@given(several, st.data())
def test_results_one_by_one_say_what_a_whole_order_does(
    cells: list[tuple[float, float, float]], data: st.DataObject
) -> None:
    columns = np.array(cells).T
    reference, scores = columns[:2].copy(), columns[2].copy()
    size = scores.size
    for place in data.draw(st.sets(st.integers(0, size - 1), max_size=3)):
        reference[0, place] = math.nan
    for place in data.draw(st.sets(st.integers(0, size - 1), max_size=3)):
        scores[place] = math.nan
    at_once = PairedDifference(reference, 0, confidence=0.9)
    at_once.observe(np.arange(size), scores)
    after_all = at_once.bounds()
    one_by_one = PairedDifference(reference, 0, confidence=0.9)
    for place in range(size):
        one_by_one.observe(whole(place), real(float(scores[place])))
        now = one_by_one.bounds()
        for name in ("low", "high"):
            early, late = getattr(now, name), getattr(after_all, name)[place]
            np.testing.assert_allclose(early, late, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(several, st.sets(st.integers(0, 23), min_size=1, max_size=4))
def test_a_missing_result_counts_as_0_against_holding_and_as_1_against_failing(
    cells: list[tuple[float, float, float]], missing: set[int]
) -> None:
    baseline, candidate, _ = (list(each) for each in zip(*cells, strict=True))
    lost = [place for place in missing if place < len(cells)]

    def told(value: float) -> list[float]:
        return [value if place in lost else each for place, each in enumerate(candidate)]

    def reach(value: float) -> float:
        return float(np.mean(np.array(told(value)) - baseline))

    worst, best = 100.0 * reach(0.0), 100.0 * reach(1.0)
    if len(lost) == len(cells) or not -99.0 <= worst < best <= -1.0:
        return
    between = (worst + best) / 2.0
    for points, said in ((-worst + 0.2, "not worse than"), (-best - 0.2, "worse than")):
        if points >= 0.1:
            found = judged(baseline, told(math.nan), f"not-worse:base:{points!r}:{SURE!r}")
            assert all(claim.text.startswith(said) for claim in found.claims)
    assert not judged(baseline, told(math.nan), f"not-worse:base:{-between!r}:{SURE!r}").claims


@settings(max_examples=30, deadline=None)
@given(several, st.sets(st.integers(0, 23), max_size=4), st.sampled_from(["sample", "tasks"]))
def test_swapping_the_agents_mirrors_the_bounds(
    cells: list[tuple[float, float, float]], missing: set[int], target: str
) -> None:
    ours, theirs, _ = np.array(cells).T
    lost = np.isin(np.arange(ours.size), list(missing))

    def readings(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return tuple(np.where(lost, value, scores) for value in (math.nan, 0.0, 1.0))  # type: ignore[return-value]

    one = compare_results(readings(ours), (theirs,) * 3, confidence=0.9, target=target)  # type: ignore[arg-type]
    two = compare_results((theirs,) * 3, readings(ours), confidence=0.9, target=target)  # type: ignore[arg-type]
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low))
    full = compare_results((ours,) * 3, (theirs,) * 3, confidence=0.9, target="tasks")
    assert one.low <= full.low + 1e-9
    assert one.high >= full.high - 1e-9


@pytest.mark.parametrize("others", [0, 4])
@pytest.mark.parametrize(("beyond", "wrong_side"), [(0, "failed"), (1, "held")])
def test_a_claim_at_the_margin_is_wrong_as_rarely_as_stated_over_all_looks(
    others: int, beyond: int, wrong_side: str
) -> None:
    """80 tasks, 16 of them apart, the truth at the margin or a task beyond; a look after each.

    Fails by chance for one seed in 10,000 at most, if the chance of error is the stated one.
    """
    rng = np.random.default_rng([3, others, beyond])
    rule = NotWorse("base", 5.0, 0.9)
    wrong, draws = 0, 500
    for _ in range(draws):
        baseline = np.zeros(80)
        baseline[rng.permutation(80)[:48]] = 1.0
        candidate = baseline.copy()
        down = 10 + beyond
        candidate[rng.permutation(np.flatnonzero(baseline))[:down]] = 0.0
        candidate[rng.permutation(np.flatnonzero(baseline == 0.0))[:6]] = 1.0
        known = np.where(rng.random((others, 80)) < 0.2, 1.0 - baseline, baseline)
        order = rng.permutation(80)
        bounds = PairedDifference(np.vstack([baseline, known])[:, order], 0, confidence=0.9)
        bounds.observe(np.arange(80), candidate[order])
        found = bounds.bounds()
        sides = {"held": rule.held(found.low), "failed": rule.failed(found.high)}
        wrong += bool(sides[wrong_side][9:].any())
    assert binomtest(wrong, draws, 0.1, alternative="greater").pvalue > 1e-4
    assert wrong, "bounds that are never wrong in 500 draws at the margin are not tight"


@pytest.mark.parametrize("clustered", [False, True])
def test_bounds_for_tasks_as_a_sample_miss_as_rarely_as_stated(clustered: bool) -> None:
    """60 tasks, in 12 clusters of unequal size that differ; fails by chance once in 10,000."""
    rng = np.random.default_rng([5, clustered])
    sizes = np.array([1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 15])
    groups = [str(each) for each in np.repeat(np.arange(12), sizes)]
    missed, draws = np.zeros(2), 250
    for _ in range(draws):
        shift = np.repeat(rng.normal(0, 0.15, 12), sizes) if clustered else np.zeros(60)
        ours = (rng.random(60) < np.clip(0.5 + shift, 0, 1)).astype(float)
        theirs = (rng.random(60) < 0.5).astype(float)
        found = compare_results(
            (ours,) * 3, (theirs,) * 3, confidence=0.9, clusters=groups if clustered else None
        )
        missed += [found.low > 0.0, found.high < 0.0]
    for each in missed:
        assert binomtest(int(each), draws, 0.1, alternative="greater").pvalue > 1e-4
    assert missed.sum() > 0


def test_equal_clusters_are_bounded_by_the_t_interval_of_their_means() -> None:
    ours = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.5, 0.0], 25)
    theirs = np.full(200, 0.25)
    groups = [str(place // 25) for place in range(200)]
    found = compare_results((ours,) * 3, (theirs,) * 3, confidence=0.95, clusters=groups)
    means = (ours - theirs).reshape(8, 25).mean(axis=1)
    expected = ttest_1samp(means, 0.0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.clusters == 8


def test_futility_beside_the_gate_never_forgoes_a_claim() -> None:
    rng = np.random.default_rng(11)
    claimed = 0
    for seed in range(20):
        baseline = (rng.random(60) < 0.6).astype(float).tolist()
        candidate = (rng.random(60) < 0.55).astype(float).tolist()
        rule = f"not-worse:base:5:0.9 or tasks:{55 if seed % 2 else 60}"
        alone = judged(baseline, candidate, rule, seed=seed)
        claimed += bool(alone.claims)
        assert judged(baseline, candidate, f"{rule} or futility", seed=seed).claims == alone.claims
    assert claimed


def test_a_calibrated_plan_claims_what_its_score_bounds_say() -> None:
    rng = np.random.default_rng(2)
    ability, difficulty = rng.normal(0, 1, 31), rng.normal(0, 1.2, 60)
    chance = 1 / (1 + np.exp(difficulty - ability[:, None]))
    scores = (rng.random(chance.shape) < chance).astype(float)
    order = np.argsort(scores.mean(axis=1))
    known, best, worst = scores[order[1:-1]], scores[order[-1]], scores[order[0]]
    matrix = OutcomeMatrix.from_scores(known)
    middle = matrix.agents[14]
    rule = NotWorse(middle, 5.0, 0.8)
    plan = make_plan(matrix, strategy="information", stop=rule, seed=1)
    assert plan.calibration is not None
    for row, text in ((best, rule.held_text), (worst, rule.failed_text)):
        session = Session(plan, resamples=200)
        score = dict(zip(matrix.tasks, row.tolist(), strict=True))
        while tasks := session.ask(1):
            session.tell(tasks[0], score=score[tasks[0]])
        decision = session.decision()
        assert [claim.text for claim in decision.claims] == [text]
        assert decision.tasks_run < 60
        found = decision.differences[middle]
        assert found["low"] <= found["estimate"] <= found["high"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("not-worse:base:2", NotWorse("base", 2.0)),
        ("not-worse:org/base:v2:0.5:0.9", NotWorse("org/base:v2", 0.5, 0.9)),
        ("not-worse:'a base':0", NotWorse("a base", 0.0)),
        ("not-worse:'old:2':1.5", NotWorse("old:2", 1.5)),
        ("not-worse:'old:2':1.5:0.9", NotWorse("old:2", 1.5, 0.9)),
        ("not-worse:llama:70b:2", NotWorse("llama:70b", 2.0)),
    ],
)
def test_the_rule_is_written_as_a_text_and_in_plans(text: str, rule: NotWorse) -> None:
    assert parse_stop(text) == rule
    assert stop_from_dict(rule.to_dict()) == rule


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("not-worse:base", "not-worse"),
        ("not-worse::2", "name of a baseline"),
        ("not-worse:base:two", "margin"),
        ("not-worse:base:-1", "margin"),
        ("not-worse:base:0.02", "write 2 for two points"),
        ("not-worse:base:2:0.4", "confidence"),
        ("not-worse:old:2:1.5", "confidence such as 0.95.*'1.5'.*not-worse:'old:2':1.5"),
        ("not-worse:old:2:95", "confidence such as 0.95"),
    ],
)
def test_what_is_no_such_rule_is_refused(text: str, part: str) -> None:
    with pytest.raises(InputError, match=part):
        parse_stop(text)
