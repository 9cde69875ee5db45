"""Questions of a race: what is right, what is lost, what follows from claims, and their texts."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband_history import InputError
from midband_sampler import racing
from midband_sampler.racing.question import Standing

FULL = st.lists(st.integers(0, 8).map(lambda x: x / 8), min_size=2, max_size=6).map(np.array)
ZONES = st.sampled_from([0.0, 0.125, 0.25, 0.3])


def texts() -> "st.SearchStrategy[racing.Question]":
    confidence = st.none() | st.sampled_from([0.8, 0.9, 0.95, 0.999, 0.9999999])
    within = st.sampled_from([0.0, 0.01, 0.025, 0.0012345678])
    name = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
    return st.one_of(
        st.builds(racing.TopK, st.integers(1, 9), confidence, within),
        st.builds(racing.Order, confidence, within),
        st.builds(racing.NotWorse, name, name, within, confidence),
    )


@given(texts())
def test_a_question_is_read_back_from_its_text(question: racing.Question) -> None:
    assert racing.parse_question(question.text) == question


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("top:3:0.9", racing.TopK(3, 0.9)),
        ("top:1", racing.TopK(1, None)),
        ("top:2:0.9:1", racing.TopK(2, 0.9, 0.01)),
        ("top:2::1", racing.TopK(2, None, 0.01)),
        ("order", racing.Order(None)),
        ("order:0.8:2", racing.Order(0.8, 0.02)),
        ("not-worse:new:old:2", racing.NotWorse("new", "old", 0.02, None)),
        ("not-worse:l/a%3A8b:50%:2:0.9", racing.NotWorse("l/a:8b", "50%", 0.02, 0.9)),
    ],
)
def test_texts_mean_what_the_documents_say(text: str, question: racing.Question) -> None:
    assert racing.parse_question(text) == question


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "top:3:0.9"),
        ("best", "got 'best'"),
        ("top", "got 'top'"),
        ("top:x", "got 'top:x'"),
        ("top:1:", "got 'top:1:'"),
        ("top:0:0.9", "a top of 1 or more, got 0"),
        ("top:1:0.4", "confidence < 1, got 0.4"),
        ("top:1:90", "confidence < 1, got 90"),
        ("top:1:nan", "confidence < 1, got nan"),
        ("top:1:0.9:100", "within < 1, .* got 1"),
        ("top:1:0.9:-1", "within < 1"),
        ("order:0.9:1:2", "got 'order:0.9:1:2'"),
        ("not-worse:a:b", "got 'not-worse:a:b'"),
        ("not-worse:a:b:-1", "margin < 1"),
        ("not-worse:x:1:b:2:0.9", "a colon in a name is written as %3A"),
    ],
)
def test_a_bad_text_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        racing.parse_question(text)
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(
    ("question", "names", "said"),
    [
        ("top:3:0.9", ("a", "b", "c"), "smaller than the 3 candidates, got 3"),
        ("not-worse:a:b:2", ("a", "c"), "'a' and 'b', got 'a', 'c'"),
        ("not-worse:a:b:2", ("a", "b", "c"), "these two alone"),
    ],
)
def test_a_question_that_the_candidates_cannot_answer_is_refused(
    question: str, names: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        racing.parse_question(question).check(names)


@given(FULL, ZONES, st.data())
def test_a_top_is_right_if_it_is_one_within_the_zone(
    truth: np.ndarray, within: float, data: st.DataObject
) -> None:
    n = len(truth)
    k = data.draw(st.integers(1, n - 1))
    best = data.draw(st.permutations(range(n)))[:k]
    rest = sorted(set(range(n)) - set(best))
    question = racing.TopK(k, 0.9, within)
    ordered = sorted(truth, reverse=True)
    fine = all(truth[each] >= ordered[k - 1] - within - 1e-6 for each in best) and all(
        truth[each] <= ordered[k] + within + 1e-6 for each in rest
    )
    assert question.right(best, truth) == fine
    assert not question.right(best[1:], truth)
    most = max(truth[list(top)].mean() for top in combinations(range(n), k))
    lost = float(question.regret(best, truth))
    assert lost == pytest.approx(most - truth[list(best)].mean())
    if not within:
        assert question.right(best, truth) == (lost < 1e-9)


@given(FULL, ZONES, st.data())
def test_an_order_is_right_if_nobody_stands_behind_a_worse_one(
    truth: np.ndarray, within: float, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(truth))))
    question = racing.Order(0.9, within)
    fine = all(truth[a] >= truth[b] - within - 1e-6 for a, b in combinations(order, 2))
    assert question.right(order, truth) == fine
    ordered = sorted(truth, reverse=True)
    lost = np.mean([abs(a - truth[b]) for a, b in zip(ordered, order, strict=True)])
    assert float(question.regret(order, truth)) == pytest.approx(lost)
    assert question.regret(order, np.stack([truth, truth])).shape == (2,)


@given(st.integers(0, 20), st.integers(0, 20), st.sampled_from([0.0, 0.1, 0.25]))
def test_not_worse_is_right_on_its_side_of_the_margin(a: int, b: int, margin: float) -> None:
    truth = np.array([a / 20, b / 20])
    question = racing.NotWorse("a", "b", margin, 0.9)
    holds = a + round(20 * margin) >= b
    assert question.right((0,), truth) == holds
    assert question.right((), truth) != holds
    beyond = abs(truth[0] - truth[1] + margin)
    assert float(question.regret((0,), truth)) == pytest.approx(0.0 if holds else beyond)
    assert float(question.regret((), truth)) == pytest.approx(beyond if holds else 0.0)


def standing(scores: np.ndarray, above: np.ndarray, *, known: bool = False) -> Standing:
    n = len(scores)
    return Standing(scores, above & ~np.eye(n, dtype=bool), np.full((n, n), known))


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 5), st.data())
def test_a_top_claims_what_holds_whoever_is_the_next(n: int, data: st.DataObject) -> None:
    # By brute force over all tops and all candidates that may come next behind it.
    k = data.draw(st.integers(1, n - 1))
    cells = data.draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n))
    scores = np.array(data.draw(st.permutations(range(n)))) / n
    now = standing(scores, np.array(cells).reshape(n, n))
    tops: list[set[int]] = []
    for top in map(set, combinations(range(n), k)):
        for after in set(range(n)) - top:
            others = set(range(n)) - top - {after}
            if not any(now.above[each, after] for each in others) and not any(
                now.above[after, each] for each in top
            ):
                tops.append(top)
    found = racing.TopK(k, 0.9).answer(now)
    ranking = sorted(range(n), key=lambda each: -scores[each])
    assert set(found.best) == set(ranking[:k])
    for better, worse in found.pairs:
        assert better in ranking[:k]
        assert worse in ranking[k:]
        assert not now.above[better, worse]
    assert found.settled == (not found.pairs)
    if found.settled:
        assert set(found.inside) == set(ranking[:k])
        assert all(top == set(ranking[:k]) for top in tops)
    elif tops:
        surely = {each for each in range(n) if all(each in top for top in tops)}
        never = {each for each in range(n) if not any(each in top for top in tops)}
        assert set(found.inside) <= surely
        assert set(found.outside) <= never
        if not (now.above & now.above.T).any():
            assert (set(found.inside), set(found.outside)) == (surely, never)
    elif not (now.above & now.above.T).any():
        assert not found.inside
        assert not found.outside


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 5), st.data())
def test_an_order_claims_what_follows_and_bounds_the_ranks(n: int, data: st.DataObject) -> None:
    truth = data.draw(st.permutations(range(n)))
    place = np.argsort(truth)
    cells = np.array(data.draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n)))
    true = place[:, None] < place[None, :]
    now = standing(1.0 - place / n, cells.reshape(n, n) & true)
    question = racing.Order(0.9)
    found = question.answer(now)
    fits = [
        np.argsort(order)
        for order in permutations(range(n))
        if all(np.argsort(order)[a] < np.argsort(order)[b] for a, b in np.argwhere(now.above))
    ]
    bounds = question.rank_bounds(found, now)
    for each in range(n):
        ranks = {int(fit[each]) + 1 for fit in fits}
        assert bounds[each] == (min(ranks), max(ranks))
    assert found.settled == (len(fits) == 1)
    assert list(found.best) == list(truth)


def test_two_who_ran_everything_with_the_same_results_are_tied_in_any_order() -> None:
    # .3 + .2 + .1 and .1 + .2 + .3 differ by a rounding error.
    scores = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]]).mean(axis=1)
    for each in (scores, scores[::-1]):
        now = standing(each, np.zeros((2, 2), dtype=bool), known=True)
        for question in (racing.TopK(1, 0.9), racing.Order(0.9)):
            found = question.answer(now)
            assert found.settled
            assert found.best[0] == 0
        assert racing.NotWorse("a", "b", 0.0, 0.9).answer(now).inside == (0,)


def test_a_zone_asks_less_of_a_pair() -> None:
    names = ("a", "b", "c")
    assert (racing.TopK(1, 0.9, 0.02).thresholds(names) == -0.02).all()
    assert (racing.TopK(1, 0.9).thresholds(names) == 0.0).all()
    margins = racing.NotWorse("a", "b", 0.03, 0.9).thresholds(names[:2])
    assert (margins[0, 1], margins[1, 0]) == (-0.03, 0.03)


@pytest.mark.parametrize(
    ("question", "pairs"),
    [
        (racing.TopK(2, 0.9), 5),
        (racing.TopK(2, 0.9, 0.01), 8),
        (racing.Order(0.9), 15),
        (racing.NotWorse("a", "b", 0.0, 0.9), 1),
    ],
)
def test_the_error_is_shared_among_the_pairs(question: racing.Question, pairs: int) -> None:
    assert question.error(6) == pytest.approx(0.1 / pairs)


@pytest.mark.parametrize(
    ("question", "rates"),
    [
        ("top:1:0.8", [0.5, 0.5, 0.49, 0.47, 0.3]),
        ("top:2:0.8", [0.8, 0.5, 0.5, 0.5, 0.49]),
        ("order:0.8", [0.5, 0.5, 0.48]),
        ("top:1:0.8:2", [0.55, 0.5, 0.5, 0.48]),
    ],
)
def test_a_race_claims_something_false_in_no_more_draws_than_it_says(
    question: str, rates: list[float]
) -> None:
    # Claims have a chance of .8 to be right: this fails by chance once in 10,000 runs for each.
    asked = racing.parse_question(question)
    rng = np.random.default_rng(len(rates))
    draws, size, wrong, settled = 30, 36, 0, 0
    tasks = tuple(f"t{place}" for place in range(size))
    names = tuple(f"c{place}" for place in range(len(rates)))
    for seed in range(draws):
        scores = (rng.random((len(rates), size)) < np.array(rates)[:, None]).astype(float)
        plan = racing.make_race(
            None, names, question=asked, allocation="racing", tasks=tasks, seed=seed
        )
        truth = scores.mean(axis=1)
        race = racing.Race(plan, step=3)
        false = False
        while not race.done:
            rows, columns = race.jobs
            race.tell_all(rows, columns, scores[rows, columns])
            _, now, answer = race.judge()
            false |= claims_false(asked, now, answer, truth)
        settled += race.verdict().settled and race.results < scores.size
        wrong += false
    assert binomtest(wrong, draws, 0.2, alternative="greater").pvalue > 1e-4
    assert settled > 0


def claims_false(
    question: racing.Question, now: Standing, answer: object, truth: np.ndarray
) -> bool:
    inside, outside = answer.inside, answer.outside  # type: ignore[attr-defined]
    if isinstance(question, racing.Order):
        beaten = truth[:, None] < truth[None, :] - question.within - 1e-9
        return bool((question.claimed(now) & beaten).any())
    assert isinstance(question, racing.TopK)
    ordered = np.sort(truth)[::-1]
    high, low = ordered[question.k - 1], ordered[question.k]
    slack = question.within + 1e-9
    return bool(
        (truth[list(inside)] < high - slack).any() or (truth[list(outside)] > low + slack).any()
    )
