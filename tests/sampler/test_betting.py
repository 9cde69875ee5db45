"""Bounds by betting: exact by enumeration, and the same however they are asked."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import InputError, OutcomeMatrix
from midband_sampler import (
    FinitePopulation,
    Plan,
    SequentialRankBounds,
    Session,
    make_plan,
    parse_stop,
)


def ever_excluded(population: FinitePopulation, values: np.ndarray) -> bool:
    lower, upper = population.bounds(population.after(population.start(), values))
    total = values.sum()
    return bool(((lower > total + 1e-9) | (upper < total - 1e-9)).any())


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ((0, 0, 0, 0, 0, 1), 0.0, 1.0),
        ((0, 0, 0, 1, 1, 1), 0.0, 1.0),
        ((0.1, 0.2, 0.5, 0.5, 0.9, 1.0), 0.0, 1.0),
        ((-1, -1, 0, 0, 0, 1), -1.0, 1.0),
        ((-0.9, -0.9, -0.9, -0.9, -0.9, 0.1), -0.9, 0.1),
    ],
)
def test_over_all_orders_the_truth_is_excluded_in_no_more_than_was_said(
    values: tuple[float, ...], low: float, high: float
) -> None:
    # No randomness: every order of the population is equally likely, and all are tried. Equal
    # values may change places, so that each different order stands for as many.
    orders = [np.array(order, dtype=float) for order in sorted(set(permutations(values)))]
    found = []
    for error in (0.9, 0.6, 0.4, 0.2, 0.1):
        population = FinitePopulation(size=6, low=low, high=high, error=error, spread=0.2)
        wrong = sum(ever_excluded(population, order) for order in orders)
        assert wrong <= error * len(orders)
        found.append(wrong)
    assert found[0] > 0  # and it is no empty statement


@pytest.mark.parametrize("guards", [0, 1])
def test_over_all_orders_the_known_agents_make_no_bound_wrong(guards: int) -> None:
    rng = np.random.default_rng(guards)
    wrong = 0
    reference = (rng.random((5, 6 + guards)) < 0.4).astype(float)
    scores = np.array([1.0] * guards + [1, 0, 0, 0.5, 0, 1])
    fixed = list(range(guards))
    orders = [[*fixed, *order] for order in permutations(range(guards, 6 + guards))]
    bounds = None
    for order in orders:
        bounds = SequentialRankBounds(reference[:, order], confidence=0.6, guards=guards)
        bounds.observe(np.arange(len(order)), scores[order])
        found = bounds.interval()
        low, high = found.score_low[1:], found.score_high[1:]
        wrong += bool(((low > scores.mean() + 1e-9) | (high < scores.mean() - 1e-9)).any())
        better = int((reference.mean(axis=1) > scores.mean() + 1e-9).sum())
        assert found.low[-1] == found.high[-1] == 1 + better
    assert wrong <= 0.4 * len(orders)


def capital(population: FinitePopulation, values: np.ndarray, total: float) -> tuple[float, float]:
    """Capital of both sides against one total, by the formula and without cells."""
    spread = max(population.spread, 0.05 * (population.high - population.low))
    free = math.sqrt(2 * population.size * math.log(2 / population.error)) / spread
    sides = []
    for sign, low in ((1.0, population.low), (-1.0, -population.high)):
        stakes = []
        for stake in (0.45, 0.9, 1.8):
            held, seen = 1.0, 0.0
            for before, value in enumerate(sign * values):
                left = population.size - before
                mean = (sign * total - seen) / left
                share = min(stake * free / left, 0.97 / max(mean - low, 1e-12))
                held *= 1 + share * (value - mean)
                seen += value
            stakes.append(held)
        sides.append(float(np.mean(stakes)))
    return sides[0], sides[1]


@pytest.mark.parametrize(("size", "drawn"), [(40, 15), (40, 30), (150, 60), (150, 130)])
def test_the_bounds_are_where_the_capital_says(size: int, drawn: int) -> None:
    rng = np.random.default_rng(size + drawn)
    predicted = rng.random(size)
    values = ((rng.random(size) < predicted) - predicted)[:drawn]
    population = FinitePopulation(size=size, low=-1.0, high=1.0, error=0.1, spread=0.4)
    held = population.after(population.start(), values).at(-1)
    lower, upper = (float(each) for each in population.bounds(held))
    step = 0.02 * size
    left = size - drawn
    if lower > values.sum() - left + 1e-9:
        assert capital(population, values, lower)[0] > 18.0
        assert capital(population, values, lower + step)[0] < 20.0
    if upper < values.sum() + left - 1e-9:
        assert capital(population, values, upper)[1] > 18.0
        assert capital(population, values, upper - step)[1] < 20.0
    assert (upper - lower) < 2 * left  # and the bets say something


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10_000), st.sampled_from([0.3, 0.05]))
def test_one_draw_at_a_time_is_all_at_once(size: int, seed: int, error: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([-1.0, -0.25, 0.0, 0.7], size)
    population = FinitePopulation(size=size, low=-1.0, high=0.7, error=error, spread=0.3)
    lower, upper = population.bounds(population.after(population.start(), values))
    held = population.start()
    for place, value in enumerate(values):
        held = population.after(held, np.array([value])).at(0)
        one_lower, one_upper = population.bounds(held)
        assert (one_lower, one_upper) == (lower[place], upper[place])
        assert one_lower <= one_upper
    assert lower[-1] == pytest.approx(values.sum(), abs=1e-9)
    assert upper[-1] == pytest.approx(values.sum(), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 120), st.integers(0, 10_000), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_least_width_is_never_undercut(size: int, seed: int, rate: float, then: float) -> None:
    rng = np.random.default_rng(seed)
    # Other values come than those before, as a bad day or a cherry would have it.
    share = np.where(np.arange(size) < size // 3, rate, then)
    values = (rng.random(size) < share).astype(float)
    population = FinitePopulation(size=size, low=0.0, high=1.0, error=0.1, spread=0.4)
    held = population.after(population.start(), values)
    lower, upper = population.bounds(held)
    width = upper - lower
    for end in (size // 2, size - 1):
        stages = np.arange(end + 1)
        least = population.least_width(held.at(slice(0, end + 1)), end - stages)
        assert (least <= width[end] + 1e-9).all()
        assert least[-1] == width[end]


def test_the_least_width_says_something_before_the_end() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random(500) < 0.4).astype(float)
    population = FinitePopulation(size=500, low=0.0, high=1.0, error=0.1, spread=0.5)
    held = population.after(population.start(), values)
    lower, upper = population.bounds(held)
    least = population.least_width(held.at(39), np.array(10))
    assert least > 0.5 * (upper - lower)[49]


@pytest.mark.parametrize("informed", [False, True])
@pytest.mark.parametrize("passes", [1, 3])
def test_rare_passes_do_not_break_the_bounds(passes: int, informed: bool) -> None:
    # 300 orders, a look after each of 60 tasks; fails by chance below 1e-4 at a true error of .1.
    rng = np.random.default_rng(passes + 10 * informed)
    reference = np.zeros((6, 60))
    reference[:, :4] = informed
    scores = np.zeros(60)
    scores[rng.permutation(60)[:passes]] = 1.0
    wrong = 0
    for _ in range(300):
        order = rng.permutation(60)
        bounds = SequentialRankBounds(reference[:, order], confidence=0.9)
        bounds.observe(np.arange(60), scores[order])
        found = bounds.interval()
        low, high = found.score_low[1:], found.score_high[1:]
        wrong += bool(((low > passes / 60 + 1e-9) | (high < passes / 60 - 1e-9)).any())
    assert binomtest(wrong, 300, 0.1, alternative="greater").pvalue > 1e-4


def test_after_the_last_lost_task_the_bounds_cover_those_with_a_result() -> None:
    # 200 orders of 40 tasks, of which the ten hardest have no result; by chance below 1e-4.
    rng = np.random.default_rng(3)
    reference = (rng.random((8, 40)) < np.linspace(0.1, 0.9, 40)).astype(float)
    scores = (rng.random(40) < np.linspace(0.2, 1.0, 40)).astype(float)
    scores[:10] = np.nan
    truth, wrong = np.nanmean(scores), 0
    for _ in range(200):
        order = rng.permutation(40)
        bounds = SequentialRankBounds(reference[:, order], confidence=0.9)
        bounds.observe(np.arange(40), scores[order])
        found = bounds.interval()
        last = int(np.flatnonzero(np.isnan(scores[order])).max())
        low, high = found.score_low[last:], found.score_high[last:]
        wrong += bool(((low > truth + 1e-8) | (high < truth - 1e-8)).any())
        assert found.score_low[-1] == pytest.approx(truth, abs=1e-8)
        assert found.score_high[-1] == pytest.approx(truth, abs=1e-8)
    assert binomtest(wrong, 200, 0.1, alternative="greater").pvalue > 1e-4


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": 0}, "expected a population of at least 1, got 0"),
        ({"low": 1.0}, "expected low < high, got low=1, high=1"),
        ({"error": 0.0}, "expected 0 < error < 1, got 0"),
    ],
)
def test_a_population_that_cannot_be_is_refused(wrong: dict[str, float], said: str) -> None:
    given_ = {"size": 5, "low": 0.0, "high": 1.0, "error": 0.1, "spread": 0.5, **wrong}
    with pytest.raises(InputError, match=said):
        FinitePopulation(**given_)  # type: ignore[arg-type]


def test_no_more_can_be_drawn_than_there_is() -> None:
    population = FinitePopulation(size=2, low=0.0, high=1.0, error=0.1, spread=0.5)
    with pytest.raises(InputError, match="expected at most 2 values, got 3"):
        population.after(population.start(), np.zeros(3))


def test_an_order_that_only_resembles_a_random_one_is_not_called_exact() -> None:
    matrix = OutcomeMatrix.from_scores(
        (np.random.default_rng(1).random((12, 40)) < np.linspace(0.1, 0.9, 40)).astype(float)
    )
    plan = make_plan(matrix, strategy="random", stop=parse_stop("rank:0.9:0.2"))
    assert "exact at every look" in plan.guarantee
    # A plan of an earlier version: an order by strata, without a calibration.
    earlier = Plan.from_json(replace(plan, strategy="stratified").to_json())
    session = Session(earlier, resamples=200)
    while tasks := session.ask(1):
        session.tell(tasks[0], score=1.0)
    decision = session.decision()
    assert decision.rank == 1
    assert "only resembles" in decision.guarantee
    assert "exact" not in decision.guarantee


def test_strata_with_too_few_agents_to_calibrate_give_way_to_a_random_order() -> None:
    matrix = OutcomeMatrix.from_scores(np.eye(7, 40))
    plan = make_plan(matrix, strategy="stratified", stop=parse_stop("rank:0.9:0.2"))
    assert (plan.strategy, plan.calibration) == ("random", None)
    assert "always-valid bound with strategy 'random' instead" in " ".join(plan.warnings)
