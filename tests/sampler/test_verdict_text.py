"""The verdict in words: what stands in it, and that it fits."""

import numpy as np
import pytest

from midband_history import OutcomeMatrix
from midband_sampler import Decision, Session, make_plan, parse_stop


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
