"""Every Eval Ever: whose rows are whose, on which scale, and the aggregate as their check."""

import json
from pathlib import Path
from typing import Any

import pytest

from midband.adapters.every_eval_ever import read, sniff
from midband.adapters.every_eval_ever.results import score_of
from midband.descriptors import ReadOptions
from midband_history import Note, Reconciliation, Record, StatedAggregate, UnreadableSourceError

UNIT = {"score_type": "continuous", "min_score": 0.0, "max_score": 1.0, "metric_name": "accuracy"}


def _row(sample: str, score: float, result: str = "", **more: Any) -> dict[str, Any]:
    named = {"evaluation_result_id": result} if result else {}
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "e",
        "model_id": "org/m",
        "evaluation_name": "bench",
        "sample_id": sample,
        "interaction_type": "single_turn",
        "input": {"raw": f"question {sample}", "reference": ["a"]},
        "evaluation": {"score": score, "is_correct": score > 0},
    } | named | more  # fmt: skip


def _result(score: float | None, result: str = "", **more: Any) -> dict[str, Any]:
    config = {"lower_is_better": False} | more.pop("config", UNIT)
    return {
        "evaluation_name": "bench",
        **({"evaluation_result_id": result} if result else {}),
        "metric_config": config,
        "score_details": {"score": score} | more.pop("details", {}),
    } | more


def _pair(
    folder: Path, rows: list[dict[str, Any]], results: list[dict[str, Any]], **more: Any
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    aggregate = {
        "schema_version": "0.3.0",
        "evaluation_id": "e",
        "evaluation_timestamp": "1750000000",
        "source_metadata": {"source_name": "x", "source_type": "evaluation_run"},
        "eval_library": {"name": "inspect_ai", "version": "0.3"},
        "evaluation_results": results,
        "detailed_evaluation_results": {"total_rows": len(rows)},
    } | more
    (folder / "u.json").write_text(json.dumps(aggregate))
    path = folder / "u_samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Read:
    """What one source gave."""

    def __init__(self, path: Path, **options: Any) -> None:
        assert sniff(path)
        items = list(read(path, options=ReadOptions(**options)))
        self.records = [each for each in items if isinstance(each, Record)]
        self.notes = {each.code: each.text for each in items if isinstance(each, Note)}
        self.stated = [each for each in items if isinstance(each, StatedAggregate)]
        check = Reconciliation()
        for record in self.records:
            check.see(record)
        self.explained, self.unexplained = check.judge(self.stated)

    @property
    def scores(self) -> dict[str, float | None]:
        return {each.task_id: each.score for each in self.records}


def test_rows_without_the_id_of_the_only_result_are_its_rows(tmp_path: Path) -> None:
    rows = [_row(f"s{each}", each % 2) for each in range(4)]
    path = _pair(tmp_path, rows, [_result(0.5, "r1", config={})])
    found = Read(path)
    assert found.scores == {"s0": 0.0, "s1": 1.0, "s2": 0.0, "s3": 1.0}
    assert (len(found.stated), found.explained, found.unexplained) == (1, [], [])
    # The id of a result may be that of one run, so it names no metric.
    assert found.records[0].metric.label == "score"
    assert found.records[0].metric.declared == ""


def test_several_results_of_a_sample_by_their_ids(tmp_path: Path) -> None:
    rows = [
        _row(sample, score, result)
        for sample, scores in {"a": (0.0, 1.0), "b": (1.0, 1.0)}.items()
        for result, score in zip(("match:accuracy", "judge:accuracy"), scores, strict=True)
    ]
    results = [_result(0.5, "match:accuracy"), _result(1.0, "judge:accuracy")]
    path = _pair(tmp_path, rows, results)
    found = Read(path)
    assert found.scores == {"a": 0.0, "b": 1.0}
    assert found.records[0].metric.label == "accuracy.match"
    assert found.notes["other-metrics"].endswith("accuracy.judge")
    assert found.unexplained == []
    other = Read(path, metric="accuracy.judge")
    assert other.scores == {"a": 1.0, "b": 1.0}
    assert Read(path, metric="judge:accuracy").scores == other.scores
    with pytest.raises(UnreadableSourceError, match=r"'f1'.*accuracy\.match, accuracy\.judge"):
        Read(path, metric="f1")


def test_several_results_of_a_sample_without_ids_stand_in_turn(tmp_path: Path) -> None:
    scores = {"a": (0.0, 0.25), "b": (1.0, 0.75), "c": (1.0, 0.8)}
    rows = [_row(sample, score) for sample, pair in scores.items() for score in pair]
    results = [
        _result(2 / 3, "x", config=UNIT | {"metric_name": "acc"}),
        _result(0.6, "y", config=UNIT | {"metric_name": "f1"}),
    ]
    path = _pair(tmp_path, rows, results)
    found = Read(path)
    assert found.scores == {"a": 0.0, "b": 1.0, "c": 1.0}
    assert {each.attempt for each in found.records} == {0}
    assert "acc, f1" in found.notes["results-in-turn"]
    assert Read(path, metric="f1").scores == {"a": 0.25, "b": 0.75, "c": 0.8}
    # The same rows, of which the aggregate says something else, are nobody's.
    results[1]["score_details"]["score"] = results[0]["score_details"]["score"] = 0.9
    with pytest.raises(UnreadableSourceError, match="--metric NAME"):
        Read(_pair(tmp_path / "other", rows, results))


def test_a_spread_beside_the_mean_is_no_metric(tmp_path: Path) -> None:
    rows = [_row(each, float(each != "a")) for each in "abcd"]
    results = [
        _result(0.43, "s", config={"metric_name": "std"}),
        _result(0.75, "m", config={"metric_name": "accuracy"}),
    ]
    found = Read(_pair(tmp_path, rows, results))
    assert found.records[0].metric.label == "accuracy"
    assert found.unexplained == []


def test_results_named_by_converters_of_before_august_2026(tmp_path: Path) -> None:
    rows = [_row(each, float(each != "a")) for each in "abcd"]
    names = ("accuracy on bench for scorer match", "std on bench for scorer match")
    results = [
        _result(score, evaluation_name=name, config={})
        for name, score in zip(names, (0.75, 0.43), strict=True)
    ]
    found = Read(_pair(tmp_path, rows, results))
    assert [each.benchmark for each in found.records] == ["bench"] * 4
    assert found.records[0].metric.label == "accuracy.match"
    assert (len(found.stated), found.unexplained) == (1, [])


def test_rows_of_an_evaluation_that_the_aggregate_names_otherwise(tmp_path: Path) -> None:
    rows = [_row(each, float(each != "a")) for each in "abcd"]
    results = [
        _result(score, evaluation_name=f"bench/{name}", config=UNIT | {"metric_name": name})
        for name, score in (("f1", 0.9), ("acc", 0.75))
    ]
    found = Read(_pair(tmp_path, rows, results))
    assert (found.records[0].benchmark, found.records[0].metric.label) == ("bench", "acc")
    other = Read(_pair(tmp_path / "o", rows, [*results], evaluation_results=[
        each | {"evaluation_name": "elsewhere"} for each in results
    ]))  # fmt: skip
    assert other.records[0].metric.declared == ""
    assert "no result of the aggregate" in other.notes["result-unknown"]


def test_filters_of_lm_eval_are_keys_of_one_benchmark(tmp_path: Path) -> None:
    rows = [
        _row("0", score, f"exact_match:{name}", evaluation_name=f"gsm8k/{name}")
        for name, score in (("strict", 0.0), ("flexible", 1.0))
    ]
    results = [
        _result(
            score,
            f"exact_match:{name}",
            evaluation_name=f"gsm8k/{name}",
            config=UNIT | {"metric_name": "exact_match"},
        )
        for name, score in (("strict", 0.0), ("flexible", 1.0))
    ]
    path = _pair(tmp_path, rows, results, eval_library={"name": "lm_eval", "version": "0.4"})
    found = Read(path)
    assert [(each.benchmark, each.score) for each in found.records] == [("gsm8k", 0.0)]
    assert Read(path, metric="exact_match.flexible").scores == {"0": 1.0}


@pytest.mark.parametrize(
    ("config", "scale", "lower"),
    [
        ({"score_type": "continuous", "min_score": 1, "max_score": 10}, (1, 10), False),
        ({"score_type": "binary"}, (0, 1), False),
        ({"score_type": "binary", "lower_is_better": True}, (0, 1), True),
        (
            {"score_type": "levels", "level_names": ["a", "b", "c"], "has_unknown_level": True},
            (0, 2),
            False,
        ),
        ({"score_type": "continuous", "min_score": 0, "max_score": "Infinity"}, None, False),
        ({"score_type": "continuous", "min_score": None, "max_score": None}, None, False),
    ],
)
def test_the_declared_scale_is_the_metric_s(
    tmp_path: Path, config: dict[str, Any], scale: tuple[float, float] | None, lower: bool
) -> None:
    path = _pair(tmp_path, [_row("a", 1.0)], [_result(1.0, config=config)])
    metric = Read(path).records[0].metric
    assert (metric.low, metric.high) == (scale or (0, 1))
    assert metric.declared == ("source" if scale else "")
    assert metric.lower_is_better == lower
    assert Read(path, scale=(0.0, 5.0)).records[0].metric.declared == ""


def test_an_unknown_level_is_no_score(tmp_path: Path) -> None:
    levels = {"score_type": "levels", "level_names": ["no", "half", "yes"]}
    config = levels | {"has_unknown_level": True}
    path = _pair(tmp_path, [_row("a", -1), _row("b", 2)], [_result(2.0, config=config)])
    assert Read(path).scores == {"a": None, "b": 2.0}
    config = levels | {"has_unknown_level": False}
    path = _pair(tmp_path / "x", [_row("a", -1)], [_result(-1.0, config=config)])
    with pytest.raises(UnreadableSourceError, match="got -1: state its scale"):
        Read(path)


def test_rows_from_0_to_1_below_a_percentage(tmp_path: Path) -> None:
    config = UNIT | {"max_score": 100.0}
    rows = [_row(each, float(each != "a")) for each in "abcd"]
    found = Read(_pair(tmp_path, rows, [_result(75.0, config=config)]))
    assert (found.records[1].metric.high, found.records[1].score) == (1.0, 1.0)
    assert (found.stated[0].value, found.unexplained) == (0.75, [])
    rows = [_row(each, 100.0 * (each != "a")) for each in "abcd"]
    found = Read(_pair(tmp_path / "raw", rows, [_result(75.0, config=config)]))
    assert (found.records[1].metric.high, found.unexplained) == (100.0, [])


def test_rows_with_an_error_count_as_the_aggregate_counts_them(tmp_path: Path) -> None:
    rows = [_row("a", 1.0), _row("b", 0.0, error="no network"), _row("c", 1.0)]
    left_out = Read(_pair(tmp_path, rows, [_result(1.0)]))
    assert {each.task_id: each.kind for each in left_out.records}["b"] == "infra_error"
    counted = Read(_pair(tmp_path / "c", rows, [_result(0.6667)]))
    assert counted.scores == {"a": 1.0, "b": 0.0, "c": 1.0}
    for found in (left_out, counted):
        assert [each.task_id for each in found.records if each.errored] == ["b"]
        assert (found.explained, found.unexplained) == ([], [])


def test_a_planted_misreading_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [_row(f"s{each}", float(each < 5)) for each in range(8)]
    path = _pair(tmp_path, rows, [_result(0.625)])
    assert Read(path).unexplained == []
    rows[7]["evaluation"]["score"] = 1.0
    assert Read(_pair(tmp_path / "altered", rows, [_result(0.625)])).unexplained != []
    right = score_of
    monkeypatch.setattr(
        "midband.adapters.every_eval_ever.score_of", lambda row: 1.0 - (right(row) or 0.0)
    )
    assert Read(path).unexplained != []


@pytest.mark.parametrize(
    ("config", "details", "source"),
    [
        (UNIT, {"uncertainty": {"num_samples": 500}}, "evaluation_run"),
        (UNIT | {"metric_kind": "pass_at_k", "metric_parameters": {"k": 3}}, {}, "evaluation_run"),
        (UNIT, {}, "documentation"),
    ],
)
def test_an_aggregate_of_something_else_is_not_checkable(
    tmp_path: Path, config: dict[str, Any], details: dict[str, Any], source: str
) -> None:
    results = [_result(0.9, config=config, details=details)]
    path = _pair(
        tmp_path, [_row("a", 1.0), _row("b", 0.0)], results, source_metadata={"source_type": source}
    )
    found = Read(path)
    assert [each.code for each in found.explained] == ["not-checkable"]
    assert found.unexplained == []


def test_several_evaluations_are_benchmarks_or_parts_of_one(tmp_path: Path) -> None:
    rows = [
        _row(str(place), score, evaluation_name=name)
        for name, scores in {"inspect_evals/x": (1.0,), "y": (0.0, 1.0, 1.0)}.items()
        for place, score in enumerate(scores)
    ]
    results = [
        _result(1.0, evaluation_name="inspect_evals/x"),
        _result(2 / 3, evaluation_name="y"),
        _result(0.8, evaluation_name="overall"),
    ]
    path = _pair(tmp_path, rows, results)
    found = Read(path)
    assert [(each.benchmark, each.part) for each in found.records[:2]] == [("x", "x"), ("y", "y")]
    assert "overall" in found.notes["not-checkable"]
    assert (len(found.stated), found.unexplained) == (2, [])
    one = Read(path, benchmark="all")
    assert {(each.benchmark, each.part) for each in one.records} == {("all", "x"), ("all", "y")}
    assert one.stated[0].value == pytest.approx(0.75)
    assert one.unexplained == []


def test_content_is_the_digest_by_the_format_s_recipe(tmp_path: Path) -> None:
    row = _row("a", 1.0, input={"raw": "What is 2 + 2?", "reference": ["4"]})
    bare = _row("b", 1.0, input={"raw": "", "reference": []}, sample_hash="h")
    hashed = _row("c", 1.0, metadata={"doc_hash": "of lm-eval"})
    first, second, third = Read(_pair(tmp_path, [row, bare, hashed], [_result(1.0)])).records
    assert first.task_digest == "9c94305328f8e70341f9d1880f4eaa6ea7f93b8922e6a03a8cdcf1924d28db0b"
    assert second.task_digest == "h"
    assert third.task_digest == "of lm-eval"


def test_costs_that_cannot_be_are_unknown(tmp_path: Path) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": -2}
    row = _row("a", 1.0, token_usage=usage, metadata={"cost_usd": "-1", "attempt": "2"})
    found = Read(_pair(tmp_path, [row], [_result(1.0)]))
    (record,) = found.records
    assert (record.tokens, record.cost_usd, record.attempt) == (None, None, 2)
    assert "absurd-amounts" in found.notes


def test_scaffold_attempts_and_errors_of_rows(tmp_path: Path) -> None:
    more: dict[str, Any] = {"metadata": {"attempt": "2", "scaffold": "S", "cost_usd": "0.5"}}
    rows = [_row("s", 0.0), _row("s", 1.0), _row("v", 1.0, **more)]
    found = Read(_pair(tmp_path, rows, [_result(2 / 3)]))
    assert [(each.task_id, each.attempt) for each in found.records] == [
        ("s", 0),
        ("s", 1),
        ("v", 2),
    ]
    assert (found.records[2].agent, found.records[2].cost_usd) == ("S (org/m)", 0.5)


def test_lost_rows_and_aggregates_alone_are_refused(tmp_path: Path) -> None:
    rows = [_row("s", 0.0), _row("t", 1.0)]
    path = _pair(tmp_path, rows, [_result(0.5)])
    path.write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(UnreadableSourceError, match="in 2 rows, got 1"):
        Read(path)
    aggregate = tmp_path / "u.json"
    assert list(read(aggregate, options=ReadOptions())) == []
    path.unlink()
    with pytest.raises(UnreadableSourceError, match="aggregate without"):
        list(read(aggregate, options=ReadOptions()))


def test_how_the_model_was_called_tells_two_of_its_runs_apart(tmp_path: Path) -> None:
    found = []
    for heat in (0.1, 0.9):
        called = {"generation_args": {"temperature": heat, "top_p": None}}
        results = [_result(1.0, "r1") | {"generation_config": called}]
        path = _pair(tmp_path / str(heat), [_row("s", 1.0, "r1")], results)
        found.append(Read(path).records[0].settings)
    assert found == [{"temperature": 0.1}, {"temperature": 0.9}]


def test_a_setting_in_which_the_results_differ_is_no_setting_of_the_run(tmp_path: Path) -> None:
    results = [
        _result(1.0, name)
        | {"generation_config": {"generation_args": {"temperature": heat, "max_tokens": 9}}}
        for name, heat in (("r1", 0.1), ("r2", 0.9))
    ]
    path = _pair(tmp_path, [_row("s", 1.0, "r1"), _row("s", 1.0, "r2")], results)
    assert Read(path).records[0].settings == {"max_tokens": 9}
