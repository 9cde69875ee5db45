"""Which metric is read, on which scale: asked for where sources leave it open, once."""

import json
from pathlib import Path

import numpy as np
import pytest

from midband_history import (
    History,
    Incoming,
    InputError,
    Metric,
    OutOfRangeError,
    Record,
    Table,
    UnknownBenchmarkError,
)

JUDGE = Metric(name="judge")


def _records(scores: dict[str, float], agent: str = "a", metric: Metric = JUDGE) -> list[Record]:
    return [
        Record(benchmark="b", task_id=task, agent=agent, score=score, metric=metric)
        for task, score in scores.items()
    ]


def _scores(history: History, **choice: str) -> dict[tuple[str, str], float]:
    found = history.outcomes("b", **choice)  # type: ignore[arg-type]
    return {
        (agent, task): round(float(found.scores[i, j]), 6)
        for i, agent in enumerate(found.agents)
        for j, task in enumerate(found.tasks)
        if not np.isnan(found.scores[i, j])
    }


def _table(path: Path, scores: list[float], metric: Metric) -> Table:
    rows = [
        {"benchmark": "b", "task_id": str(i), "agent": "t", "score": score}
        for i, score in enumerate(scores)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Table(path=path, format="jsonl", metric=metric)


def test_two_metrics_are_asked_for_and_never_mixed() -> None:
    with History.in_memory() as history:
        history.add(_records({"1": 1.0, "2": 0.0}, metric=Metric(name="exact")))
        history.add(_records({"1": 0.25, "2": 0.5}, metric=Metric(name="f1", key="macro")))
        with pytest.raises(InputError, match=r"got exact \(1 agents\), f1\.macro \(1 agents\)"):
            history.outcomes("b")
        assert _scores(history, metric="exact") == {("a", "1"): 1.0, ("a", "2"): 0.0}
        assert _scores(history, metric="f1.macro") == {("a", "1"): 0.25, ("a", "2"): 0.5}
        with pytest.raises(InputError, match="got 'f1': it holds exact"):
            history.outcomes("b", metric="f1")
        assert history.benchmarks()[0].metrics == ("exact", "f1.macro")
        assert history.benchmarks()[0].attempts == 2


def test_an_unknown_metric_never_matches_a_known_one_until_it_is_named() -> None:
    with History.in_memory() as history:
        history.add(_records({"1": 1.0}, "bare", Metric()))
        history.add(_records({"1": 0.0}, "named", Metric(name="exact")))
        with pytest.raises(InputError, match="an unnamed one"):
            history.outcomes("b")
        assert _scores(history, metric="exact") == {("named", "1"): 0.0}
        history.declare_metric("b", name="exact")
        assert _scores(history) == {("bare", "1"): 1.0, ("named", "1"): 0.0}
        assert history.benchmarks()[0].metrics == ("exact",)


def test_a_wanted_name_names_the_only_metric_there_is() -> None:
    with History.in_memory() as history:
        history.add(_records({"1": 1.0}, metric=Metric()))
        assert history.outcomes("b", metric="mine").metric.name == "mine"


@pytest.mark.parametrize("first", ["worst", "other"])
def test_a_value_outside_an_assumed_scale_stops_every_source(first: str) -> None:
    """An official rubric of 1 to 3: the log of the worst model holds only 1s."""
    worst, other = _records({"1": 1.0, "2": 1.0}, "worst"), _records({"1": 3.0, "2": 2.0}, "other")
    with History.in_memory() as history:
        for batch in (worst, other) if first == "worst" else (other, worst):
            history.add(batch)
        with pytest.raises(InputError, match="got 1 to 3: state its scale with `midband history"):
            history.outcomes("b")
        history.declare_metric("b", "judge", scale=(1, 3))
        assert _scores(history) == {
            ("worst", "1"): 0.0,
            ("worst", "2"): 0.0,
            ("other", "1"): 1.0,
            ("other", "2"): 0.5,
        }


def test_a_refused_table_contradicts_the_scale_of_what_is_held(tmp_path: Path) -> None:
    bare = Metric()
    with History.in_memory() as history:
        history.add(_records({"1": 1.0, "2": 1.0}, "held", bare))
        history.add(_records({"1": 0.5}, "else", JUDGE))
        with pytest.raises(OutOfRangeError):
            history.add_table(_table(tmp_path / "t.jsonl", [1, 3, 2], bare))
        with pytest.raises(InputError, match="got 1 to 3"):
            history.outcomes("b", metric="")
        # what concerns another metric or benchmark leaves the evidence alone
        history.add([Record(benchmark="c", task_id="1", agent="x", score=1.0)], source="other")
        history.forget(source="other")
        assert not next(x for x in history.metrics("b") if not x.metric.known).settled
        # the person's word stands against a source that was refused
        history.declare_metric("b", scale=(0, 1))
        assert _scores(history, metric="") == {("held", "1"): 1.0, ("held", "2"): 1.0}


def test_a_refused_table_alone_leaves_no_results_to_use(tmp_path: Path) -> None:
    with History.in_memory() as history:
        with pytest.raises(OutOfRangeError):
            history.add_table(_table(tmp_path / "t.jsonl", [1, 3, 2], Metric()))
        with pytest.raises(InputError, match="expected results of b, got none"):
            history.outcomes("b")
        history.add(_records({"1": 1.0}, "worst", Metric()))
        with pytest.raises(InputError, match="got 1 to 3"):
            history.outcomes("b")


def test_a_stated_scale_refuses_what_contradicts_it_and_only_that() -> None:
    stated = Metric(name="judge", low=1, high=10, declared="source")
    with History.in_memory() as history:
        history.add(_records({"1": 10.0}, metric=stated))
        reports = history.add_sources(
            [
                Incoming(name="fits", records=_records({"1": 1.0}, "low")),
                Incoming(name="off", records=_records({"1": 11.0}, "high")),
                Incoming(
                    name="other scale",
                    records=_records(
                        {"1": 5.0},
                        "other",
                        Metric(name="judge", low=0, high=10, declared="source"),
                    ),
                ),
            ]
        )
        assert [bool(report.refused) for report in reports] == [False, True, True]
        assert "got values from 11 to 11" in reports[1].refused
        assert "1 to 10, got one of 0 to 10" in reports[2].refused
        assert _scores(history) == {("a", "1"): 1.0, ("low", "1"): 0.0}


def test_a_person_settles_two_stated_scales() -> None:
    with History.in_memory() as history:
        history.add(
            _records({"1": 5.0}, metric=Metric(name="judge", low=0, high=10, declared="source"))
        )
        history.add(_records({"1": 5.0}, "b", Metric(name="judge", low=0, high=5, declared="user")))
        assert _scores(history) == {("a", "1"): 1.0, ("b", "1"): 1.0}


def test_lower_is_better_turns_scores_round_and_is_asked_where_sources_differ() -> None:
    perplexity = Metric(name="ppl", low=0, high=50, lower_is_better=True, declared="user")
    with History.in_memory() as history:
        history.add(_records({"1": 10.0}, metric=perplexity))
        assert _scores(history) == {("a", "1"): 0.8}
        history.declare_metric("b", "ppl", lower_is_better=False)
        assert _scores(history) == {("a", "1"): 0.2}
    with History.in_memory() as history:
        history.add(_records({"1": 0.5}))
        (report,) = history.add_sources(
            [
                Incoming(
                    records=_records({"1": 0.5}, "c", Metric(name="judge", lower_is_better=True))
                )
            ]
        )
        assert "higher values better, got lower ones" in report.refused


def test_a_scale_that_does_not_hold_what_is_held_is_refused() -> None:
    with History.in_memory() as history:
        history.add(_records({"1": 4.0, "2": 0.0}))
        with pytest.raises(InputError, match="got 1 to 5 and values from 0 to 4"):
            history.declare_metric("b", "judge", scale=(1, 5))
        with pytest.raises(InputError, match="got 'jury': it holds judge"):
            history.declare_metric("b", "jury", scale=(1, 5))
        with pytest.raises(InputError, match="expected an unnamed metric"):
            history.declare_metric("b", "judge", name="jury")


def test_naming_does_not_join_what_differs_in_scale() -> None:
    with History.in_memory() as history:
        history.add(_records({"1": 3.0}, "x", Metric(low=0, high=5, declared="user")))
        history.add(
            _records({"1": 3.0}, "y", Metric(name="judge", low=1, high=10, declared="source"))
        )
        with pytest.raises(InputError, match="0 to 5 and 1 to 10"):
            history.declare_metric("b", name="judge")
        assert set(history.benchmarks()[0].metrics) == {"", "judge"}


def test_forgetting_the_only_contradiction_settles_the_metric() -> None:
    with History.in_memory() as history:
        history.add(_records({"1": 1.0, "2": 0.0}, "good"), source="good")
        history.add(_records({"1": 7.0}, "odd"), source="odd")
        assert not history.metrics("b")[0].settled
        history.forget(source="odd")
        summary = history.metrics("b")[0]
        assert (summary.seen_low, summary.seen_high) == (0.0, 1.0)
        assert _scores(history) == {("good", "1"): 1.0, ("good", "2"): 0.0}
        history.forget(benchmark="b")
        with pytest.raises(UnknownBenchmarkError):
            history.outcomes("b")


def test_a_newer_reading_takes_the_range_of_the_older_with_it() -> None:
    with History.in_memory() as history:
        history.add_sources([Incoming(digest="d", records=_records({"1": 7.0}))])
        (old,) = history.known_sources(["d"])["d"][0]
        history.add_sources([Incoming(digest="e", records=_records({"1": 0.7}), replaces=(old,))])
        assert _scores(history) == {("a", "1"): 0.7}


def test_a_refused_source_leaves_no_benchmark_and_no_metric_behind() -> None:
    elsewhere = Metric(name="own", low=0, high=5, declared="user")
    with History.in_memory() as history:
        history.add(_records({"1": 1.0}))
        mixed = [
            Record(benchmark="new", task_id="1", agent="a", score=3.0, metric=elsewhere),
            *_records({"1": 0.5}, "c", Metric(name="judge", lower_is_better=True)),
        ]
        (report,) = history.add_sources([Incoming(name="mixed", records=mixed)])
        assert report.refused
        assert [each.name for each in history.benchmarks()] == ["b"]
        with pytest.raises(UnknownBenchmarkError):
            history.metrics("new")
