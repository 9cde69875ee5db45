"""Attempts leave the history as they came in, those of a run together."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import OUTCOME_KINDS, History, Record, UnknownBenchmarkError, clean_id
from midband_history.matrix import read_records

NAMES = st.text("ab/ é*", min_size=1, max_size=4).map(clean_id).filter(bool)


@st.composite
def records(draw: st.DrawFn) -> Record:
    kind = draw(st.sampled_from(OUTCOME_KINDS))
    known = st.none() | st.floats(0, 1e6)
    return Record(
        benchmark=draw(st.sampled_from(["toy", "other"])),
        task_id=draw(NAMES),
        agent=draw(NAMES),
        score=draw(st.floats(0, 1)) if kind == "valid" else None,
        passed=draw(st.booleans()) if kind == "valid" else None,
        kind=kind,
        attempt=draw(st.integers(0, 3)),
        run_id=draw(st.sampled_from(["", "r1", "r2"])),
        scaffold=draw(st.sampled_from(["", "s"])),
        settings=draw(st.dictionaries(NAMES, st.integers() | NAMES, max_size=2)),
        started=draw(st.none() | st.just(datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))),
        cost_usd=draw(known),
        tokens=draw(known),
        task_digest=draw(st.sampled_from(["", "d1"])),
    )


def _name(each: Record) -> tuple[object, ...]:
    return (
        each.benchmark, each.task_id, each.agent, each.scaffold, str(sorted(each.settings.items())),
        each.run_id, each.started, each.attempt,
    )  # fmt: skip


def _text(each: Record) -> str:
    return json.dumps(asdict(each), sort_keys=True, default=str)


@settings(deadline=None, max_examples=15)
@given(st.lists(records(), max_size=12, unique_by=_name), st.sampled_from([1, 3, 50_000]))
def test_records_come_out_as_they_went_in(batch: list[Record], size: int) -> None:
    with History.in_memory() as history:
        history.add(batch)
        found = list(read_records(history._connection, None, batch=size))
        assert sorted(map(_text, found)) == sorted(map(_text, batch))
        assert [repr(each) for each in history.records()] == [repr(each) for each in found]
        runs = [
            (each.benchmark, each.agent, each.scaffold, str(each.settings), each.run_id,
             each.started)
            for each in found
        ]  # fmt: skip
        assert len([run for run, _ in groupby(runs)]) == len(set(runs))
        again = history.add(found)
        assert (again.added, again.duplicates) == (0, len(batch))


def test_only_the_benchmark_that_is_asked_for() -> None:
    with History.in_memory() as history:
        history.add(
            [Record(benchmark=name, task_id="t", agent="a", score=0.5) for name in ("one", "two")]
        )
        assert [each.benchmark for each in history.records("two")] == ["two"]
        with pytest.raises(UnknownBenchmarkError, match="three"):
            history.records("three")


def test_the_history_can_be_asked_while_records_are_read() -> None:
    with History.in_memory() as history:
        history.add(
            [
                Record(benchmark="toy", task_id=f"t{task}", agent="a", score=task / 9)
                for task in range(10)
            ]
        )
        scores = []
        for each in history.records():
            scores.append(each.score)
            assert history.benchmarks()[0].tasks == 10
        assert np.allclose(np.sort(np.array(scores, dtype=float)), np.arange(10) / 9)
