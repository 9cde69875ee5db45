"""Properties of the history that hold for whatever is put in."""

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import (
    OUTCOME_KINDS,
    History,
    InputError,
    Metric,
    OutcomeMatrix,
    Record,
    clean_id,
)
from midband_history.matrix import mean_known
from midband_history.metrics import UNKNOWN_METRIC

# NUL is left out: no harness names a task so, and DuckDB ends a text there in some versions.
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
NAMES = NAMES.map(lambda text: clean_id(text[:12])).filter(bool)
DATES = st.none() | st.integers(0, 1000).map(
    lambda days: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days)
)
AMOUNTS = st.none() | st.floats(0, 1e6)


@st.composite
def records(draw: st.DrawFn) -> Record:
    kind = draw(st.sampled_from(OUTCOME_KINDS[:1] * 3 + OUTCOME_KINDS[1:]))
    return Record(
        benchmark=draw(st.sampled_from(["toy", "other"])),
        task_id=draw(NAMES),
        agent=draw(st.sampled_from(["a", "b"]) | NAMES),
        score=draw(st.floats(0, 1)) if kind == "valid" else None,
        kind=kind,
        attempt=draw(st.integers(0, 3)),
        run_id=draw(st.sampled_from(["", "r1", "r2"])),
        model=draw(st.sampled_from(["", "m"])),
        settings=draw(st.dictionaries(NAMES, st.integers() | NAMES, max_size=2)),
        started=draw(DATES),
        cost_usd=draw(AMOUNTS),
        duration_s=draw(AMOUNTS),
        source_key=draw(st.just("") | st.uuids().map(str)),
    )


def _same(one: OutcomeMatrix, two: OutcomeMatrix) -> bool:
    return (
        one.tasks == two.tasks
        and one.agents == two.agents
        and np.array_equal(one.attempts, two.attempts)
        and np.array_equal(one.attempt_scores, two.attempt_scores, equal_nan=True)
    )


def _rows(matrix: OutcomeMatrix) -> list[str]:
    return sorted(
        repr((matrix.models[row], [[x for x in cell if x == x] for cell in each.tolist()]))
        for row, each in enumerate(matrix.attempt_scores)
    )


@settings(deadline=None, max_examples=10)
@given(st.lists(records(), max_size=20))
def test_what_goes_in_comes_out_once(batch: list[Record]) -> None:
    with History.in_memory() as history:
        report = history.add(batch)
        assert report.added + report.duplicates == len(batch)
        again = history.add(batch)
        assert (again.added, again.duplicates) == (0, len(batch))
        assert sum(each.attempts for each in history.benchmarks()) == report.added
        for summary in history.benchmarks():
            matrix = history.outcomes(summary.name)
            mine = [record for record in batch if record.benchmark == summary.name]
            assert set(matrix.tasks) == {record.task_id for record in mine}
            given_scores = defaultdict(set)
            for record in mine:
                if record.score is not None:
                    given_scores[record.task_id].add(record.score)
            for column, task in enumerate(matrix.tasks):
                scores = matrix.attempt_scores[:, column]
                assert set(scores[~np.isnan(scores)].tolist()) <= given_scores[task]
                assert (matrix.attempts[:, column].sum() > 0) == bool(given_scores[task])


@settings(deadline=None, max_examples=10)
@given(st.lists(records(), max_size=8, unique_by=lambda record: (record.agent, record.attempt)))
def test_the_order_of_import_does_not_matter(batch: list[Record]) -> None:
    with History.in_memory() as one, History.in_memory() as two:
        one.add(batch)
        for record in reversed(batch):
            two.add([record])
        assert [each.name for each in one.benchmarks()] == [each.name for each in two.benchmarks()]
        for summary in one.benchmarks():
            assert _same(one.outcomes(summary.name), two.outcomes(summary.name))


@settings(deadline=None, max_examples=10)
@given(st.lists(records(), min_size=1, max_size=20), DATES.filter(lambda date: date is not None))
def test_as_of_equals_a_history_that_ends_there(batch: list[Record], date: datetime) -> None:
    earlier = [record for record in batch if record.started and record.started <= date]
    with History.in_memory() as full, History.in_memory() as cut:
        full.add(earlier)
        full.add(batch)
        cut.add(earlier)
        for summary in cut.benchmarks():
            there = full.outcomes(summary.name, as_of=date)
            here = cut.outcomes(summary.name)
            # Labels may differ: they tell an agent from all of its namesakes, later ones included.
            assert there.tasks == here.tasks
            assert _rows(there) == _rows(here)


SCALES = ((0.0, 1.0, False), (0.0, 100.0, False), (-1.0, 3.0, True))


@st.composite
def measured_records(draw: st.DrawFn) -> Record:
    """Draw results on several scales, versions and contents, of agents that share few names."""
    benchmark, (low, high, lower) = draw(st.sampled_from([*zip("xyz", SCALES, strict=True)]))
    kind = draw(st.sampled_from(OUTCOME_KINDS[:1] * 2 + OUTCOME_KINDS[1:]))
    named = Metric(name="m", low=low, high=high, lower_is_better=lower, declared="source")
    return Record(
        benchmark=benchmark,
        task_id=draw(st.sampled_from("pqr")),
        agent=draw(st.sampled_from("ab")),
        score=draw(st.floats(low, high)) if kind == "valid" else None,
        kind=kind,
        attempt=draw(st.integers(0, 2)),
        run_id=draw(st.sampled_from(["r1", "r2"])),
        settings=draw(st.sampled_from([{}, {"t": 1}])),
        started=draw(DATES),
        cost_usd=draw(AMOUNTS),
        duration_s=draw(AMOUNTS),
        task_digest=draw(st.sampled_from(["", "", "d1", "d2"])),
        benchmark_version=draw(st.sampled_from(["", "1", "2"])),
        metric=named if kind == "valid" else draw(st.sampled_from([named, UNKNOWN_METRIC])),
    )


@settings(deadline=None, max_examples=8)
@given(st.lists(measured_records(), min_size=1, max_size=30), DATES)
def test_rates_and_means_are_those_of_the_matrix(
    batch: list[Record], date: datetime | None
) -> None:
    with History.in_memory() as history:
        history.add(batch)
        for summary in history.benchmarks():
            name = summary.name
            labels = [None, *(each.label for each in history.versions(name))]
            for version in labels:
                if version == "":
                    continue
                _check_rates(history, name, version, date)


def _check_rates(history: History, name: str, version: str | None, date: datetime | None) -> None:
    try:
        matrix = history.outcomes(name, version=version, as_of=date)
    except InputError as error:
        with pytest.raises(InputError, match=re.escape(str(error))):
            history.pass_rates(name, version=version, as_of=date)
        return
    assert history.left_out_results(name, version=version, as_of=date) == matrix.notes
    rates = history.pass_rates(name, version=version, as_of=date)
    assert [one.task_id for one in rates] == list(matrix.tasks)
    assert [one.task_digest for one in rates] == list(matrix.task_digests)
    assert [one.attempts for one in rates] == matrix.attempts.sum(axis=0).tolist()
    assert [one.agents for one in rates] == (matrix.attempts > 0).sum(axis=0).tolist()
    assert [one.without_score for one in rates] == matrix.without_score.sum(axis=0).tolist()
    for mine, theirs in (
        ([one.pass_rate for one in rates], matrix.pass_rates()),
        ([one.cost_usd for one in rates], mean_known(matrix.cost_usd, axis=0)),
        ([one.duration_s for one in rates], mean_known(matrix.duration_s, axis=0)),
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)
    if date is not None:
        return
    found = {one.name: one for one in history.agents(name, version=version)}
    tasks = (matrix.attempts > 0).sum(axis=1).tolist()
    assert [found[label].tasks for label in matrix.agents] == tasks
    means = [found[label].mean for label in matrix.agents]
    np.testing.assert_allclose(means, matrix.full_scores(), rtol=1e-12, atol=1e-12)
    for label in found.keys() - set(matrix.agents):
        assert found[label].tasks == 0
        assert np.isnan(found[label].mean)
