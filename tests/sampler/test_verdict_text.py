"""The verdict in words: what stands in it, and that it fits."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midband_history import OutcomeMatrix
from midband_sampler import Claim, Decision, Session, make_plan, parse_stop
from midband_sampler.bounds.sequential import NOT_RANDOM
from midband_sampler.plain_lines import interval_bar


def decided(
    n_told: int, *, strategy: str = "random", stop: str = "none:0.8", every: int = 0
) -> Decision:
    generator = np.random.default_rng(8)
    chance = generator.random((14, 1)) * 0.6 + generator.random((1, 40)) * 0.4
    scores = (generator.random((14, 40)) < chance).astype(float)
    matrix = OutcomeMatrix.from_scores(scores, cost_usd=np.full(scores.shape, 0.25))
    plan = make_plan(matrix, strategy=strategy, stop=parse_stop(stop), max_tasks=None)
    session = Session(plan, resamples=200, live=False)
    for place, task in enumerate(session.plan.tasks[:n_told]):
        missing = every and place % every == 0
        session.tell(task, score=None if missing else float(place % 2), usd=0.5)
    return session.decision()


def test_the_verdict_says_all_that_it_rests_on() -> None:
    decision = decided(30, every=5)
    text = " ".join(str(decision).split())
    assert f"rank {decision.rank} of 15 ({decision.low} to {decision.high} at 80 %" in text
    low, high = 100 * decision.target_score_low, 100 * decision.target_score_high
    assert (
        f"estimated full score {100 * decision.full_score:.1f} % ({low:.1f} to {high:.1f} %)"
        in text
    )
    assert "30 of 40 tasks ran, 6 without a result (6 unscored)" in text
    assert "$15.00 spent" in text
    assert f"1 {'-' * 3}" in text or "1 [" in text
    for warning in decision.warnings:
        assert f"warning: {warning}" in text


def test_a_band_is_not_taken_for_the_benchmark() -> None:
    text = " ".join(str(decided(12, strategy="band")).split())
    assert "estimated score on the planned tasks" in text
    assert "full score" not in text


@pytest.mark.parametrize("width", [60, 91, 100])
@pytest.mark.parametrize("told", [0, 1, 12, 40])
def test_lines_break_at_words_and_fit(told: int, width: int) -> None:
    decision = decided(told, every=3)
    lines = decision.lines(
        prefix="some-provider/some-model: ", ended=True, resume="a command", width=width
    )
    assert max(map(len, lines)) <= width
    words = " ".join(decision.lines(width=10_000)).split()
    drawn = {word for word in words if set(word) <= set("-=o[]")}
    assert set(words[1:]) - drawn - {"the", "run", "is", "not", "over"} <= set(
        " ".join(lines).split()
    )


def test_a_run_that_ended_does_not_go_on() -> None:
    decision = decided(12)
    assert "12 of 40 tasks ran; the run is not over" in str(decision)
    text = " ".join(" ".join(decision.lines(ended=True, resume="midband run")).split())
    assert "not over" not in text
    assert "12 of 40 tasks ran; ended before the stopping rule was met" in text
    assert "to continue: midband run" in text
    settled = decided(40, stop="tasks:12")
    assert settled.stop
    assert "to continue" not in " ".join(settled.lines(ended=True, resume="midband run"))


def test_the_counter_is_short() -> None:
    decision = decided(30, every=5)
    assert decision.short == f"#{decision.rank} ({decision.low}-{decision.high}) 30/40!"
    assert decided(30).short.endswith("30/40") or decided(30).warnings
    assert len(decided(0).short) <= 22


CALIBRATED = "calibrated on 24 replays of earlier agents, each without its agent"


def bars(decision: Decision, **settings: Any) -> list[str]:
    """Return the lines that draw an interval."""
    return [line for line in decision.lines(**settings) if re.match(r"  1 \S+ \d+$", line)]


def test_an_interval_is_drawn_where_it_stands_among_the_ranks() -> None:
    decision = decided(40, stop="rank:0.8:0.4")
    assert decision.stop
    assert decision.holds
    (bar,) = bars(decision)
    cells = bar.split()[1]
    low, high = cells.index("["), cells.index("]")
    assert bar.isascii()
    assert low < cells.index("o") < high
    share = (high - low) / (len(cells) - 1)
    assert share == pytest.approx((decision.high - decision.low) / 14, abs=0.05)
    (unicode_bar,) = bars(decision, encoding="UTF-8")
    assert len(unicode_bar) == len(bar)
    assert not unicode_bar.isascii()
    assert bars(decision, encoding="cp1252") == [bar]


def test_nothing_is_drawn_where_nothing_is_claimed() -> None:
    going = replace(decided(12), guarantee=CALIBRATED)
    for decision, ended, why in (
        (decided(0), False, "no usable result"),
        (going, False, "no interval is claimed: the run is not over"),
        (going, True, "no interval is claimed: the run ended before the stopping rule was met"),
        (
            replace(going, stop=True, reason="budget spent"),
            True,
            "no interval is claimed: budget spent before the stopping rule was met",
        ),
        (replace(decided(12), guarantee=NOT_RANDOM), True, "do not run in random order"),
        (
            replace(decided(12), stop=True, reason="too many errors: 9 attempts"),
            True,
            "too many attempts ended without a usable result",
        ),
    ):
        assert not decision.holds
        assert not bars(decision, ended=ended)
        text = " ".join(" ".join(decision.lines(ended=ended)).split())
        assert why in text
        assert "not told apart" not in text
        assert " % (" not in text  # no bounds of the score either
    claimed = replace(going, stop=True, claims=(Claim("rank 2 to 14 of 15", 0.8),))
    assert claimed.holds
    assert bars(claimed)
    assert "calibrated" in claimed.lines()[0]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    of=st.integers(1, 3000),
    ends=st.tuples(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000)),
    width=st.integers(1, 120),
)
def test_a_drawing_fits_and_keeps_the_order(
    of: int, ends: tuple[int, int, int], width: int
) -> None:
    low, rank, high = sorted(min(each, of) for each in ends)
    bar = interval_bar(rank, low, high, of=of, width=width)
    if not bar:
        assert of < 2 or width < 20
        return
    assert len(bar) + 2 <= width
    assert re.fullmatch(rf"1 [\-=o\[\]]+ {of}", bar)
    cells = bar.split()[1]
    assert cells.count("o") == 1
    assert cells.find("[") <= cells.index("o")
    assert cells.rfind("]") == -1 or cells.rfind("]") >= cells.index("o")
