"""Reconciliation: a number that a source states is what was read, or somebody is told why not."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from midband_history import Metric, Note, Reconciliation, Record, StatedAggregate

PLAIN = Metric()
COSTLY = Metric(name="ppl", low=0, high=4, lower_is_better=True, declared="source")


def _judge(
    scores: Sequence[float | None], *stated: StatedAggregate, metric: Metric = PLAIN,
    tasks: list[str] | None = None,
) -> tuple[list[Note], list[Note]]:  # fmt: skip
    check = Reconciliation()
    for i, score in enumerate(scores):
        check.see(
            Record(
                benchmark="b",
                task_id=tasks[i] if tasks else str(i),
                agent="a",
                attempt=i,
                score=score,
                kind="infra_error" if score is None else "valid",
                metric=metric,
            )
        )
    return check.judge(stated)


def _mean(value: float, **more: object) -> StatedAggregate:
    return StatedAggregate(name="accuracy", value=value, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "stated",
    [
        _mean(0.5),
        _mean(0.5 + 9e-7),
        _mean(0.49, tolerance=0.02),
        _mean(0.25, total=4),
        _mean(0.5, total=1),
        StatedAggregate(name="n", value=1, statistic="passed"),
        StatedAggregate(name="n", value=2, statistic="valid"),
        StatedAggregate(name="n", value=2, statistic="attempts"),
        StatedAggregate(name="n", value=2, statistic="tasks"),
    ],
)
def test_what_was_read_is_what_is_stated(stated: StatedAggregate) -> None:
    assert _judge([1.0, 0.0], stated) == ([], [])


@pytest.mark.parametrize(
    ("scores", "stated", "reason"),
    [
        ([1.0, 0.0, None], _mean(1 / 3), "counts 1 attempts without a score as failed"),
        ([1.0, 0.0, None], _mean(0.5, missing="failed"), "leaves out 1 attempts"),
        ([1.0, 0.0], _mean(0.5, total=4), "divides by 4, among them tasks that were not read"),
    ],
)
def test_each_known_reason_is_named_with_both_numbers(
    scores: list[float | None], stated: StatedAggregate, reason: str
) -> None:
    explained, unexplained = _judge(scores, stated)
    assert unexplained == []
    (note,) = explained
    assert note.code == "aggregate-explained"
    assert reason in note.text
    assert f"states accuracy {stated.value:.6g}" in note.text


@pytest.mark.parametrize(
    "stated",
    [
        _mean(0.6),
        _mean(0.5 + 2e-6),
        _mean(1.0, total=1),
        StatedAggregate(name="n", value=2, statistic="passed"),
        StatedAggregate(name="n", value=3, statistic="attempts"),
    ],
)
def test_a_difference_that_nobody_knows_the_reason_of(stated: StatedAggregate) -> None:
    explained, (note,) = _judge([1.0, 0.0], stated)
    assert (explained, note.code) == ([], "aggregate-differs")
    assert "the reason is unknown" in note.text


def test_what_fails_has_the_worst_value_of_the_metric() -> None:
    assert _judge([1.0, None], _mean(2.5, missing="failed"), metric=COSTLY) == ([], [])
    assert _judge([1.0], _mean(2.5, total=2), metric=COSTLY) == ([], [])
    assert _judge([1.0], _mean(0.5, total=2), metric=COSTLY)[1]


def test_a_mean_over_tasks_weighs_tasks_and_not_attempts() -> None:
    scores, tasks = [1.0, 1.0, 1.0, 0.0], ["1", "1", "1", "2"]
    assert _judge(scores, _mean(0.5, per_task=True), tasks=tasks) == ([], [])
    assert _judge(scores, _mean(0.25, per_task=True, total=4), tasks=tasks) == ([], [])
    assert _judge(scores, _mean(0.75, per_task=True), tasks=tasks)[1]
    missing = [1.0, None, 0.0]
    named = ["1", "1", "2"]
    assert _judge(missing, _mean(0.25, per_task=True, missing="failed"), tasks=named) == ([], [])
    assert _judge(missing, _mean(0.5, per_task=True), tasks=named) == ([], [])


def test_numbers_that_cannot_be_checked_are_said_and_refuse_nothing() -> None:
    (note,), unexplained = _judge(
        [1.0],
        _mean(0.3, not_checkable="pass@k"),
        StatedAggregate(name="bleu", value=20, not_checkable="pass@k"),
    )
    assert (note.code, unexplained) == ("not-checkable", [])
    assert "accuracy 0.3, bleu 20 are not checkable: pass@k" in note.text


def test_a_number_that_is_none_is_not_checkable() -> None:
    (note,), unexplained = _judge([1.0], StatedAggregate(name="accuracy", value=math.nan))
    assert (note.code, unexplained) == ("not-checkable", [])
    assert "no number" in note.text


def test_a_number_without_any_result_is_a_difference() -> None:
    assert "no mean" in _judge([], _mean(0.5))[1][0].text


def test_an_aggregate_is_of_one_agent_and_benchmark() -> None:
    check = Reconciliation()
    for agent, score in (("a", 1.0), ("b", 0.0)):
        check.see(Record(benchmark="x", task_id="1", agent=agent, score=score))
    good = [_mean(1.0, agent="a"), _mean(0.0, agent="b", benchmark="x"), _mean(0.5)]
    assert check.judge(good) == ([], [])
    assert len(check.judge([_mean(1.0, agent="b"), _mean(1.0, benchmark="y")])[1]) == 2


GRID = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), GRID), min_size=1, max_size=8),
    st.integers(0, 7),
    GRID,
    st.sampled_from(["left out", "failed"]),
    st.booleans(),
    st.sampled_from([None, 4, 8]),
)
def test_a_misread_score_is_never_silent(
    scores: list[float | None], place: int, other: float, missing: str, per_task: bool,
    total: int | None,
) -> None:  # fmt: skip
    """Whatever the source's policy, one score that was read otherwise is a note or a refusal."""
    place %= len(scores)
    assume(scores[place] is not None and scores[place] != other)
    known = [score for score in scores if score is not None]
    divisor = len(scores) if missing == "failed" else len(known)
    stated = sum(known) / max(divisor, total or 0)
    aggregate = _mean(stated, missing=missing, per_task=per_task, total=total)
    assert _judge(scores, aggregate) == ([], [])
    misread = [other if i == place else score for i, score in enumerate(scores)]
    explained, unexplained = _judge(misread, aggregate)
    assert explained or unexplained
