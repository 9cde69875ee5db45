"""Formats of one file: SWE-bench Pro, EvalPlus, promptfoo, BFCL, aider, MLE-bench, METR."""

from pathlib import Path
from typing import Any

import pytest
from tests.plugins.adapters.reading import lines, read, write

from midband.adapters import bfcl, evalplus, mle_bench, promptfoo
from midband_history import UnreadableSourceError


def _refused(path: Path, name: str, match: str, **options: Any) -> None:
    with pytest.raises(UnreadableSourceError, match=match) as refusal:
        read(path, name, **options)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("place", "agent"),
    [
        ("model-a/eval_results.json", "model-a"),
        ("model-a/output/eval_results.json", "model-a"),
        ("any/eval_results_model-b.json", "model-b"),
    ],
)
def test_pro_is_a_truth_value_an_instance(tmp_path: Path, place: str, agent: str) -> None:
    path = write(tmp_path / place, {"i-1": True, "i-2": False, "i-3": None})
    found = read(path, "swebench-pro")
    assert found.kinds == {"i-1": ("valid", 1.0), "i-2": ("valid", 0.0), "i-3": ("missing", None)}
    assert (found.all("agent"), found.all("benchmark")) == ({agent}, {"swe-bench-pro"})
    assert agent in found.notes["agent-from-name"]
    named = read(path, "swebench-pro", agent="me", benchmark="b")
    assert (named.all("agent"), named.all("benchmark")) == ({"me"}, {"b"})
    assert named.notes == {}


def test_pro_of_no_one_or_with_other_values_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "eval" / "results" / "eval_results.json", {"a": True})
    _refused(path, "swebench-pro", "--agent NAME")
    _refused(write(path, {"a": True, "b": 0.5}), "swebench-pro", "for 'b'", agent="me")


def _solution(base: str | None, plus: str | None) -> dict[str, Any]:
    return {"task_id": "HumanEval/0", "solution": "x", "base_status": base, "plus_status": plus}


EVALPLUS = {
    "date": "2024-05-01 10:00",
    "hash": "abc",
    "eval": {
        "HumanEval/0": [_solution("pass", "fail"), _solution("pass", "pass")],
        "HumanEval/1": [_solution("fail", "pass"), _solution("timeout", "timeout")],
    },
    "pass_at_k": {"base": {"pass@1": 0.5}, "plus": {"pass@1": 0.25, "pass@10": 0.9}},
}


def test_evalplus_counts_the_extra_tests_unless_told_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "org--m_vllm_temp_0.2.eval_results.json", EVALPLUS)
    found = read(path, "evalplus")
    scores = {(each.task_id, each.attempt): each.score for each in found.records}
    assert scores == {
        ("HumanEval/0", 0): 0.0,
        ("HumanEval/0", 1): 1.0,
        ("HumanEval/1", 0): 0.0,
        ("HumanEval/1", 1): 0.0,
    }
    assert (found.all("agent"), found.all("benchmark")) == ({"org/m"}, {"humaneval"})
    assert found.records[0].settings == {"temperature": 0.2, "backend": "vllm"}
    assert "base" in found.notes["other-metrics"]
    assert found.unexplained == []
    assert "pass@10" in found.explained[0]
    base = read(path, "evalplus", metric="base")
    assert [each.score for each in base.records] == [1.0, 1.0, 0.0, 0.0]
    assert base.all("metric") != found.all("metric")
    assert base.unexplained == []
    _refused(path, "evalplus", r"\(plus, base\)", metric="pass@1")


def test_evalplus_before_its_rewrite_and_without_extra_tests(tmp_path: Path) -> None:
    tests = {"nfiles": 2, "base": [["success", []], ["failed", []]], "plus": []}
    old = {"date": "2023-05-01 10:00", "eval": {"Mbpp/2": tests}}
    found = read(write(tmp_path / "m_temp_0.0" / "eval_results.json", old), "evalplus")
    assert [each.score for each in found.records] == [1.0, 0.0]
    assert (found.all("agent"), found.all("benchmark")) == ({"m"}, {"mbpp"})
    assert {each.metric.label for each in found.records} == {"base"}


def test_evalplus_of_no_one_or_of_unknown_tasks_is_refused(tmp_path: Path) -> None:
    _refused(write(tmp_path / "samples" / "eval_results.json", EVALPLUS), "evalplus", "--agent")
    other = {"eval": {"Other/1": [_solution("pass", None)]}}
    _refused(write(tmp_path / "m_eval_results.json", other), "evalplus", "--benchmark")


def test_a_misreading_of_evalplus_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evalplus, "_both", lambda base, plus: plus)
    path = write(tmp_path / "m_temp_0.0.eval_results.json", EVALPLUS)
    assert len(read(path, "evalplus").unexplained) == 1


def _answer(provider: str, test: int, success: bool, **more: Any) -> dict[str, Any]:
    return {
        "provider": {"id": provider, "label": ""},
        "promptIdx": 0,
        "promptId": "p",
        "prompt": {"raw": "q", "label": "short"},
        "testIdx": test,
        "vars": {"q": f"question {test}"},
        "testCase": {"vars": {"q": f"question {test}"}, "assert": [{"type": "equals"}]},
        "success": success,
        "score": float(success),
        "failureReason": 0 if success else 1,
        "error": None if success else "expected something else",
        "latencyMs": 1500,
        "cost": 0.25,
        "namedScores": {"tone": 3.0},
    } | more


def _promptfoo(*rows: dict[str, Any], **stats: int) -> dict[str, Any]:
    counts = {"successes": sum(each["success"] for each in rows)}
    counts |= {"failures": len(rows) - counts["successes"], "errors": 0} | stats
    results = {"version": 3, "timestamp": "2026-01-02T00:00:00Z", "prompts": []}
    inner = results | {"results": list(rows), "stats": counts}
    return {"evalId": "eval-1", "results": inner, "config": {"description": "my suite"}}


def test_promptfoo_is_a_table_of_providers_and_tests(tmp_path: Path) -> None:
    rows = [
        _answer("openai:a", 0, True),
        _answer("openai:b", 0, False, score=0.5),
        _answer("openai:a", 1, False, failureReason=2),
        _answer("openai:b", 1, True),
    ]
    path = write(tmp_path / "out.json", _promptfoo(*rows, failures=1, errors=1))
    found = read(path, "promptfoo")
    assert [(each.agent, each.task_id, each.kind, each.score) for each in found.records] == [
        ("openai:a", "0", "valid", 1.0),
        ("openai:b", "0", "valid", 0.0),
        ("openai:a", "1", "infra_error", None),
        ("openai:b", "1", "valid", 1.0),
    ]
    assert [each.errored for each in found.records] == [False, False, True, False]
    assert found.all("benchmark") == {"my suite"}
    assert found.all("duration_s") == {1.5}
    assert len(found.all("task_digest")) == 2
    assert (found.explained, found.unexplained) == ([], [])
    assert "score, tone" in found.notes["other-metrics"]
    scored = read(path, "promptfoo", metric="score")
    assert [each.score for each in scored.records] == [1.0, 0.5, None, 1.0]
    tone = read(path, "promptfoo", metric="tone")
    assert tone.records[0].score == 3.0
    assert tone.unexplained == []


def test_promptfoo_repeats_are_attempts_and_prompts_are_agents(tmp_path: Path) -> None:
    other = {"promptIdx": 1, "promptId": "p2", "prompt": {"raw": "long", "label": "x\ny"}}
    rows = [
        _answer("a", 0, True),
        _answer("a", 0, False, **other),
        _answer("a", 1, False) | {"testCase": _answer("a", 0, True)["testCase"]},
    ]
    path = write(tmp_path / "out.json", _promptfoo(*rows))
    found = read(path, "promptfoo")
    assert [(each.agent, each.task_id, each.attempt) for each in found.records] == [
        ("a [short]", "0", 0),
        ("a [prompt 2]", "0", 0),
        ("a [short]", "0", 1),
    ]


def test_promptfoo_before_it_counted_errors_takes_them_for_failures(tmp_path: Path) -> None:
    data = _promptfoo(_answer("a", 0, False, failureReason=2), _answer("a", 1, True))
    del data["results"]["stats"]["errors"]
    found = read(write(tmp_path / "out.json", data), "promptfoo")
    assert found.kinds == {"0": ("valid", 0.0), "1": ("valid", 1.0)}
    assert [each.errored for each in found.records] == [True, False]
    assert found.unexplained == []


def test_promptfoo_without_a_benchmark_or_with_wrong_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _promptfoo(_answer("a", 0, True), _answer("a", 1, False))
    path = write(tmp_path / "out.json", data | {"config": {}})
    _refused(path, "promptfoo", "--benchmark NAME")
    assert read(path, "promptfoo", benchmark="b").all("benchmark") == {"b"}
    monkeypatch.setattr(promptfoo, "_outcome", lambda *_, **__: (None, "missing"))
    assert read(path, "promptfoo", benchmark="b").unexplained


def _bfcl(folder: Path, *, results: bool = True) -> Path:
    name = "BFCL_v4_simple_python"
    rows = [
        {"id": "simple_python_1", "model_name": "org/m", "valid": False, "error_type": "ast"},
        {"id": "simple_python_3", "valid": False, "error": {"error_type": "inference_error"}},
    ]
    stated = {"accuracy": 0.5, "correct_count": 2, "total_count": 4}
    if results:
        answers = [{"id": f"simple_python_{number}"} for number in range(4)]
        lines(folder / "result" / "org_m" / "non_live" / f"{name}_result.json", *answers)
    return lines(folder / "score" / "org_m" / "non_live" / f"{name}_score.json", stated, *rows)


def test_bfcl_lists_failures_and_the_rest_passed(tmp_path: Path) -> None:
    expected = {f"simple_python_{number}": ("valid", float(number % 2 == 0)) for number in range(4)}
    found = read(_bfcl(tmp_path / "a"), "bfcl")
    assert found.kinds == expected
    assert (found.all("agent"), found.all("benchmark")) == ({"org_m"}, {"bfcl-v4"})
    assert found.all("part") == {"simple_python"}
    assert [each.task_id for each in found.records if each.errored] == ["simple_python_3"]
    assert (found.explained, found.unexplained) == ([], [])
    alone = _bfcl(tmp_path / "b", results=False)
    _refused(alone, "bfcl", "--tasks FILE")
    tasks = (*expected, "simple_java_0", "live_simple_python_0")
    assert read(alone, "bfcl", tasks=tasks).kinds == expected
    _refused(alone, "bfcl", "got 3 ids", tasks=tasks[:3])


def test_a_misreading_of_bfcl_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = bfcl._tasks
    monkeypatch.setattr(bfcl, "_tasks", lambda *a, **k: [*tasks(*a, **k), "simple_python_9"])
    assert len(read(_bfcl(tmp_path), "bfcl").unexplained) == 3


def _exercise(folder: Path, **more: Any) -> Path:
    data = {
        "testcase": folder.name,
        "model": "m",
        "edit_format": "diff",
        "tests_outcomes": [False, True],
        "cost": 0.1,
        "duration": 3.0,
        "commit_hash": "c",
    } | more
    return write(folder / ".aider.results.json", data)


def test_aider_takes_the_last_try_unless_told_otherwise(tmp_path: Path) -> None:
    run = tmp_path / "2025-01-02-10-00-00--first"
    path = _exercise(run / "python" / "exercises" / "practice" / "bowling")
    found = read(path, "aider")
    (record,) = found.records
    assert (record.agent, record.task_id, record.part) == ("m", "bowling", "python")
    assert (record.score, record.benchmark, record.run_id) == (1.0, "aider-polyglot", run.name)
    assert (record.cost_usd, record.duration_s) == (0.1, 3.0)
    assert record.started is not None
    assert record.started.isoformat() == "2025-01-02T10:00:00+00:00"
    assert "passed_first_try" in found.notes["other-metrics"]
    assert read(path, "aider", metric="passed_first_try").records[0].score == 0.0


@pytest.mark.parametrize(
    ("more", "outcome", "errored"),
    [
        ({"tests_outcomes": [False, False]}, ("valid", 0.0), False),
        ({"tests_outcomes": [True], "cost": -1.0}, ("valid", 1.0), False),
        ({"tests_outcomes": []}, ("missing", None), False),
        ({"tests_outcomes": [], "exception": "boom"}, ("valid", 0.0), True),
    ],
)
def test_aider_exceptions_fail_and_what_was_not_tested_is_missing(
    tmp_path: Path, more: dict[str, Any], outcome: tuple[str, float | None], errored: bool
) -> None:
    found = read(_exercise(tmp_path / "run" / "bowling", **more), "aider")
    assert found.kinds == {"bowling": outcome}
    assert found.records[0].errored == errored
    assert "cost" not in more or found.records[0].cost_usd is None


def test_aider_of_no_model_is_refused_and_so_is_its_leaderboard(tmp_path: Path) -> None:
    path = _exercise(tmp_path / "run" / "bowling", model=None)
    _refused(path, "aider", "--agent NAME")
    assert read(path, "aider", agent="me").all("agent") == {"me"}
    board = "- dirname: 2025-01-01-run\n  test_cases: 225\n  model: m\n  pass_rate_1: 10.0\n"
    _refused(write(tmp_path / "polyglot.yml", board), "aider-leaderboard", "aggregates")


def _grading(*medals: bool) -> dict[str, Any]:
    reports = [
        {
            "competition_id": f"c{place // 2}",
            "score": 12.5,
            "any_medal": medal,
            "above_median": True,
            "created_at": "2025-10-02T00:42:36",
        }
        for place, medal in enumerate(medals)
    ]
    return {
        "total_runs": len(medals),
        "total_medals": sum(medals),
        "total_above_median": len(medals),
        "competition_reports": reports,
    }


def test_mle_bench_counts_medals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "2024-10-04T22-44-59-GMT_run-group_aide"
    path = write(group / "grading_report.json", _grading(True, False, False))
    found = read(path, "mle-bench")
    assert [(each.task_id, each.attempt, each.score) for each in found.records] == [
        ("c0", 0, 1.0),
        ("c0", 1, 0.0),
        ("c1", 0, 0.0),
    ]
    assert (found.all("agent"), found.explained, found.unexplained) == ({"aide"}, [], [])
    assert {each.score for each in read(path, "mle-bench", metric="above_median").records} == {1.0}
    other = write(tmp_path / "grading_report.json", _grading(True))
    _refused(other, "mle-bench", "--agent NAME")
    assert read(other, "mle-bench", agent="me").all("agent") == {"me"}
    monkeypatch.setitem(mle_bench._TOTALS, "any_medal", "total_above_median")
    assert read(path, "mle-bench").unexplained


def test_metr_runs_are_attempts_with_the_score_that_metr_counts(tmp_path: Path) -> None:
    run = {
        "run_id": "r1",
        "task_id": "f/main",
        "task_family": "f",
        "alias": "A",
        "model": "a",
        "score_cont": -0.8,
        "score_binarized": 0,
        "fatal_error_from": "usageLimits",
        "started_at": 1_000_000,
        "completed_at": 1_060_000,
    }
    other = run | {"run_id": "r2", "score_binarized": 1, "score_cont": 2.5, "started_at": 0.0}
    last = run | {"run_id": "r3", "alias": "B", "score_binarized": None}
    path = lines(tmp_path / "runs.jsonl", run, other, last)
    found = read(path, "metr")
    assert [(each.agent, each.attempt, each.score) for each in found.records] == [
        ("A", 0, 0.0),
        ("A", 1, 1.0),
        ("B", 0, None),
    ]
    assert found.records[0].errored
    assert [each.duration_s for each in found.records] == [60.0, None, 60.0]
    raw = read(path, "metr", metric="score_cont")
    assert [each.score for each in raw.records] == [-0.8, 2.5, -0.8]
    assert not raw.records[0].metric.declared


@pytest.mark.parametrize(
    ("name", "file", "start"),
    [
        ("swebench-pro", "m/eval_results.json", '{"a": true, '),
        ("evalplus", "m.eval_results.json", '{"date": "x", "eval": {"HumanEval/0": ['),
        ("promptfoo", "out.json", '{"evalId": "e", "results": {"version": 3, '),
        ("bfcl", "m/BFCL_v3_simple_score.json", '{"accuracy": 0.5, '),
        ("aider", ".aider.results.json", '{"testcase": '),
        ("mle-bench", "r.json", '{"total_runs": 1, "competition_reports": ['),
        ("metr", "r.jsonl", '{"alias": "a", "task_family": "f", "score_binarized": 1, '),
    ],
)
def test_half_a_file_is_refused_by_name(tmp_path: Path, name: str, file: str, start: str) -> None:
    _refused(write(tmp_path / file, start), name, "truncated", agent="me")
