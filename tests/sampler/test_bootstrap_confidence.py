"""Bootstrap rank confidence: the resamples are the stated ones, and the stop is calibrated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from midband_history import OutcomeMatrix
from midband_sampler import (
    Plan,
    PlanError,
    PredictionModel,
    RankSettled,
    Session,
    make_plan,
    start_kernel,
)
from midband_sampler.bounds.base import Bounds, real, whole
from midband_sampler.bounds.bootstrap import level_text
from midband_sampler.bounds.calibrated import BOOTSTRAP, paired_bootstrap
from midband_sampler.bounds.resamples import (
    RESAMPLES,
    PairedResamples,
    PredictedResamples,
    prior_draws,
    prior_results,
    resampling_weights,
)

WIDTHS = np.array([0.6, 1.0, 2.0, 3.5])
RULE = RankSettled(0.8, 0.25)


def history(n_agents: int = 24, n_tasks: int = 40, seed: int = 0) -> OutcomeMatrix:
    rng = np.random.default_rng(seed)
    ability = rng.normal(0, 1, n_agents)[:, None]
    chance = 1 / (1 + np.exp(-(ability + rng.normal(0, 1.2, n_tasks))))
    scores = (rng.random(chance.shape) < chance).astype(float)
    return OutcomeMatrix.from_scores(scores, scaffolds=[f"s{row % 4}" for row in range(n_agents)])


def run(plan: Plan, scores: np.ndarray) -> Session:
    session, column = Session(plan), {task: place for place, task in enumerate(plan.all_tasks)}
    while tasks := session.ask(1):
        session.tell(tasks[0], score=float(scores[column[tasks[0]]]))
    return session


def values(bounds: Bounds) -> np.ndarray:
    found = bounds.interval()
    each = (found.rank, found.low, found.high, found.score, found.score_low, found.score_high)
    return np.array(np.broadcast_arrays(*each), dtype=float)


def told(bounds: Bounds, scores: np.ndarray) -> Bounds:
    for place, score in enumerate(scores):
        bounds.observe(whole(place), real(score))
    return bounds


def test_paired_resamples_give_the_ranks_of_their_weighted_means() -> None:
    """By loops: each resample's weighted mean of paired differences, and its rank."""
    scores, n, n_planned = history(7, 30).scores, 12, 30
    results, width = history(8, 30, seed=1).scores[3], 1.5
    bounds = told(paired_bootstrap(scores, multipliers=np.array([width]), seed=5), results[:n])
    easy = [sum(column) / 7 for column in scores.T]
    weights = resampling_weights(n_planned, 5)
    residuals = [
        scores[k, j] - easy[j] - (scores[k].mean() - np.mean(easy))
        for k in range(7)
        for j in range(n_planned)
    ]
    extra, extra_weight = prior_results(np.array(residuals), 5)
    difference = [results[j] - easy[j] for j in range(n)]
    mean = sum(difference) / n
    shrink = ((1 - n / n_planned) * (n + 1) / (n - 1)) ** 0.5
    resampled = []
    for b in range(RESAMPLES):
        about = extra[b] + sum(float(weights[j, b]) * (difference[j] - mean) for j in range(n))
        about /= extra_weight[b] + sum(float(weights[j, b]) for j in range(n))
        resampled.append(np.mean(easy) + mean + shrink * about)
    found = bounds.interval()
    assert found.score == pytest.approx(np.mean(easy) + mean)
    tail = float(ndtr(-width))
    low, high = np.quantile(resampled, [tail, 1 - tail], method="hazen")
    # Scores of 0 and 1: the bounds move inwards to what can be reached.
    assert found.score_low == pytest.approx(np.ceil(low * n_planned - 1e-6) / n_planned)
    assert found.score_high == pytest.approx(np.floor(high * n_planned + 1e-6) / n_planned)
    inside = 0
    for each in resampled:
        rank = 1 + sum(row.mean() > round(each * n_planned) / n_planned + 1e-9 for row in scores)
        inside += int(found.low) <= rank <= int(found.high)
    assert bounds.diagnose().naive == pytest.approx(inside / RESAMPLES)


def test_predicted_resamples_peak_where_weighted_likelihoods_do() -> None:
    """By loops over the nodes of the ability, each task's log likelihood with its own weight."""
    matrix = history(30, 40)
    model = PredictionModel.fit(matrix)
    results = history(30, 40, seed=3).scores[4]
    posterior = model.predict()
    weight, node = posterior.ability()[0], np.arange(161)
    centre = float(weight @ node)
    width = float(weight @ (node - centre) ** 2) ** 0.5
    sample = PredictedResamples(posterior, model.reference_full_scores, seed=2)
    for place in range(25):
        sample.observe(np.array([place]), results[[place]])
    found = sample.scores()[1][0] * 40 - results[:25].sum()
    weights, rate = resampling_weights(40, 2), posterior.profiles
    moved, luck, prior_weight = prior_draws(2)
    for b in range(0, RESAMPLES, 29):
        total = -0.5 * prior_weight[b] * ((node - centre) / width - moved[b]) ** 2
        for place in range(25):
            chance = rate[place] if results[place] else 1 - rate[place]
            total = total + float(weights[place, b]) * np.log(chance)
        near = slice(max(int(total.argmax()) - 1, 0), int(total.argmax()) + 2)
        mean = rate[25:, near].sum(axis=0)
        spread = (rate[25:, near] * (1 - rate[25:, near])).sum(axis=0) ** 0.5
        each = np.clip(mean + luck[b] * spread, 0.0, 15.0)
        assert each.min() - 1e-6 <= found[b] <= each.max() + 1e-6


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_many_candidates_and_a_whole_order_are_bounded_as_each_alone(
    seed: int, graded: bool, holes: bool
) -> None:
    rng = np.random.default_rng(seed)
    matrix = history(6, 14, seed)
    results = rng.random((3, 14)) if graded else rng.integers(0, 2, (3, 14)).astype(float)
    if holes:
        results[rng.random(results.shape) < 0.2] = np.nan
    together = paired_bootstrap(
        matrix.scores, multipliers=WIDTHS, candidates=3, guards=2, seed=seed
    )
    for place in range(9):
        together.observe(np.full(3, place), results[:, place])
    one = WIDTHS[2:3]
    for row in range(3):
        alone = paired_bootstrap(matrix.scores, multipliers=one, guards=2, seed=seed)
        told(alone, results[row, :9])
        assert np.allclose(values(alone), values(together)[:, row, 2], equal_nan=True)
        whole = paired_bootstrap(matrix.scores, multipliers=one, guards=2, seed=seed)
        whole.observe(np.arange(9), results[row, :9])
        assert np.allclose(values(whole)[:, -1], values(alone), equal_nan=True)
        assert whole.tasks[-1] == alone.tasks


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_predicted_bounds_of_many_are_those_of_each_and_widen_with_the_level(seed: int) -> None:
    matrix = history(12, 20, seed)
    model = PredictionModel.fit(matrix)
    results = np.random.default_rng(seed).integers(0, 2, (3, 20)).astype(float)
    references = model.reference_full_scores
    together = BOOTSTRAP.begin(
        model.predict(candidates=3), references, multipliers=WIDTHS, seed=seed
    )
    for place in range(11):
        together.observe(np.full(3, place), results[:, place])
    wide = together.interval()
    assert np.all(np.diff(wide.low, axis=1) <= 0)
    assert np.all(np.diff(wide.high, axis=1) >= 0)
    for row in range(3):
        alone = BOOTSTRAP.begin(model.predict(), references, multipliers=WIDTHS[1:2], seed=seed)
        for place in range(11):
            alone.observe(whole(place), real(results[row, place]))
        found = alone.interval()
        assert (found.low, found.high) == (wide.low[row, 1], wide.high[row, 1])
        assert found.score_low == pytest.approx(wide.score_low[row, 1])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_everything_run_leaves_one_rank(seed: int, predicted: bool) -> None:
    matrix = history(12, 24, seed)
    known, results = matrix.scores[1:], matrix.scores[0]
    width = np.array([3.0])
    if predicted:
        model = PredictionModel.fit(matrix.select(agents=np.arange(1, 12)))
        bounds = BOOTSTRAP.begin(model.predict(), model.reference_full_scores, multipliers=width)
    else:
        bounds = paired_bootstrap(known, multipliers=width)
    for place, score in enumerate(results):
        bounds.observe(whole(place), real(score))
    found = bounds.interval()
    truth = 1 + int(np.sum(known.mean(axis=1) > results.mean() + 1e-9))
    assert [int(found.low), int(found.rank), int(found.high)] == [truth] * 3
    assert bounds.diagnose().naive == 1.0


def test_results_that_are_all_alike_do_not_settle_anything() -> None:
    """Rare passes: none of the first tasks could tell the agents apart."""
    scores = np.zeros((12, 60))
    scores[:, 55:] = np.random.default_rng(0).integers(0, 2, (12, 5))
    bounds = paired_bootstrap(scores, multipliers=np.array([2.0]))
    told(bounds, np.zeros(14))
    found = bounds.interval()
    assert found.high - found.low >= 4
    model = PredictionModel.fit(history(30, 60))
    predicted = BOOTSTRAP.begin(
        model.predict(), model.reference_full_scores, multipliers=np.array([2.0])
    )
    for place in range(10):
        predicted.observe(whole(place), real(0.0))
    low, high = predicted.interval().score_low, predicted.interval().score_high
    assert high - low > 0.1


def test_resamples_stay_as_they_are_while_results_come_in() -> None:
    assert np.array_equal(resampling_weights(70, 3), resampling_weights(200, 3)[:70])
    assert not np.array_equal(resampling_weights(70, 3), resampling_weights(70, 4))
    assert resampling_weights(500, 0).mean() == pytest.approx(1.0, abs=0.02)


def test_tasks_of_one_cluster_share_their_weights() -> None:
    """Copies of results in one cluster leave the spread that one of each leaves."""
    scores = history(8, 30).scores
    results = history(9, 30, seed=2).scores[0]
    twice, both = np.repeat(scores, 2, axis=1), np.repeat(results, 2)
    clusters = np.repeat(np.arange(30), 2)

    def spread(sample: PairedResamples, told: np.ndarray) -> float:
        for place, score in enumerate(told):
            sample.observe(np.array([place]), np.array([score]))
        return float(np.std(sample.scores()[1]))

    once = spread(PairedResamples(scores), results[:15])
    clustered = spread(PairedResamples(twice, clusters=clusters), both[:30])
    apart = spread(PairedResamples(twice), both[:30])
    assert clustered == pytest.approx(once, rel=0.15)
    assert apart < 0.85 * once


def test_scores_of_another_kind_are_weighed_anew_whatever_their_order() -> None:
    """Averaged attempts: what the first results were read as does not linger."""
    rng = np.random.default_rng(1)
    chance = 1 / (1 + np.exp(-(rng.normal(0, 1, (30, 1)) + rng.normal(0, 1.2, 25))))
    each = (rng.random((30, 25, 4)) < chance[:, :, None]).astype(float)
    model = PredictionModel.fit(OutcomeMatrix.from_scores(each.mean(axis=2), attempt_scores=each))
    results = rng.integers(0, 5, 25) / 4
    results[:6] = rng.integers(0, 2, 6)
    found = []
    for order in (np.arange(15), np.arange(15)[::-1]):
        bounds = BOOTSTRAP.begin(
            model.predict(), model.reference_full_scores, multipliers=np.array([1.5])
        )
        for place in order:
            bounds.observe(whole(place), real(results[place]))
        found.append([bounds.interval().score_low, bounds.interval().score_high])
    assert np.allclose(found[0], found[1], atol=2e-3)


@pytest.mark.parametrize(
    ("strategy", "target"), [("band", "planned tasks"), ("information", "full benchmark")]
)
def test_the_plan_and_the_verdict_show_the_bootstrap_rank_confidence(
    strategy: str, target: str
) -> None:
    matrix = history(26, 40)
    known = matrix.select(agents=np.arange(1, 26))
    plan = make_plan(
        known, strategy=strategy, guarantee="bootstrap", stop=RULE, seed=3, fallback=False
    )
    made = plan.calibration
    assert made is not None
    assert made.bound == "bootstrap"
    assert plan.target == target
    assert made.level == pytest.approx(2 * ndtr(made.multiplier) - 1)
    shown = f"stops at {level_text(made.level)} where .80 is asked (calibrated on 25 replays"
    assert plan.guarantee.startswith(f"bootstrap rank confidence: {shown}")
    again = Plan.from_json(plan.to_json())
    assert again == plan
    one, other = (run(each, matrix.scores[0]).decision() for each in (plan, again))
    assert one.lines() == other.lines()
    share = one.bootstrap_rank_confidence
    assert one.to_dict()["bootstrap_rank_confidence"] == share == one.naive_confidence
    assert made.level - 0.06 <= share <= 1.0
    assert f"bootstrap rank confidence {level_text(share)}" in " ".join(str(one).split())


def test_an_unknown_kind_of_bounds_in_a_plan_is_refused() -> None:
    plan = make_plan(history(), strategy="band", guarantee="bootstrap", stop=RULE)
    with pytest.raises(PlanError, match="bound"):
        Plan.from_json(plan.to_json().replace('"bound": "bootstrap"', '"bound": "other"'))


def test_futility_looks_ahead_in_a_band() -> None:
    plan = make_plan(
        history(26, 60),
        strategy="band",
        guarantee="bootstrap",
        stop=RULE,
        max_tasks=12,
    )
    kernel = start_kernel(plan)
    bounds = kernel.bounds
    for place in range(6):
        bounds.observe(whole(place), real(place % 2))
    now = float(bounds.least_half_width(whole(6), whole(1)))
    later = float(bounds.least_half_width(whole(6), whole(4)))
    assert now > later > 0.0
    assert float(bounds.least_half_width(whole(6), whole(6))) == 0.0
