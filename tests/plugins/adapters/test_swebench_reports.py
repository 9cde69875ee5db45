"""SWE-bench reports: whose they are, what they count, and never a guess or a failure made up."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.adapters.reading import lines, read, write

from midband.adapters import swebench
from midband.adapters.swebench.outcomes import Found, listed
from midband.descriptors import ReadOptions
from midband.importers.sources import import_paths
from midband_history import History, Record, UnreadableSourceError


def _report(resolved: int = 2, unresolved: int = 4, **more: Any) -> dict[str, Any]:
    ids = [f"o__p-{number}" for number in range(resolved + unresolved)]
    lists = {
        "completed": ids,
        "resolved": ids[:resolved],
        "unresolved": ids[resolved:],
        "submitted": ids,
        "incomplete": [],
        "empty_patch": [],
        "error": [],
    }
    counts = {f"{name}_instances": len(each) for name, each in lists.items()}
    named = {f"{name}_ids": each for name, each in lists.items()}
    return {"total_instances": len(ids)} | counts | named | {"schema_version": 2} | more


@pytest.mark.parametrize(
    ("stem", "agent", "run"),
    [
        ("org__agent.r0", "org/agent", "r0"),
        ("org__agent-x.gpt-4.1-t0.0", "org/agent-x", "gpt-4.1-t0.0"),
        ("org__agent-x.gpt-4.1-t0.5", "org/agent-x", "gpt-4.1-t0.5"),
        ("claude-3.5-sonnet.first", "claude-3.5-sonnet", "first"),
    ],
)
def test_a_dot_between_digits_is_part_of_a_name(
    tmp_path: Path, stem: str, agent: str, run: str
) -> None:
    found = read(write(tmp_path / f"{stem}.json", _report()), "swebench")
    assert found.all("agent") == {agent}
    assert found.all("run_id") == {run}
    assert ("agent-from-name" in found.notes) == (stem.count(".") > 1)
    assert found.explained == found.unexplained == []


@pytest.mark.parametrize("stem", ["a.b.c", "gpt-4.1", "v1.0.2", "model", "x.y-1.2.z"])
def test_a_name_that_can_be_read_in_several_ways_is_refused_and_not_guessed(
    tmp_path: Path, stem: str
) -> None:
    path = write(tmp_path / f"{stem}.json", _report())
    with pytest.raises(UnreadableSourceError, match="--agent NAME") as refusal:
        read(path, "swebench")
    assert "\n" not in str(refusal.value)
    assert read(path, "swebench", agent="org/me").all("agent") == {"org/me"}


def test_what_lies_beside_a_report_tells_the_model_from_the_run(tmp_path: Path) -> None:
    write(tmp_path / "agent" / "preds.json", {"o__p-0": {"model_name_or_path": "a/b.c"}})
    path = write(tmp_path / "a__b.c.d.json", _report())
    assert read(path, "swebench").all("agent") == {"a/b.c"}
    (tmp_path / "logs" / "run_evaluation" / "two.three" / "one").mkdir(parents=True)
    path = write(tmp_path / "one.two.three.json", _report())
    found = read(path, "swebench")
    assert (found.all("agent"), found.all("run_id")) == ({"one"}, {"two.three"})
    path = write(tmp_path / "q.r.s.json", _report(model_name_or_path="q.r"))
    found = read(path, "swebench")
    assert (found.all("agent"), found.all("run_id")) == ({"q.r"}, {"s"})


@pytest.mark.parametrize(
    ("folders", "benchmark"),
    [
        ("eval_outputs/swe_bench-test/m_maxiter_100", "swe-bench"),
        ("eval_outputs/princeton-nlp__SWE-bench_Verified-test/m_maxiter_100", "swe-bench-verified"),
        ("outputs/gaia/m_maxiter_100", "gaia"),
        ("outputs/gaia-validation/m_maxiter_100", "gaia"),
        ("outputs/commit0-test/m_maxiter_100", "commit0"),
        ("outputs/multiswebench-test/m_maxiter_100/eval_files/dataset", "multi-swe-bench"),
        ("outputs/some_new_bench-test/CodeActAgent/m_maxiter_100", "some-new-bench"),
    ],
)
@pytest.mark.parametrize("name", ["output.report.json", "final_report.json"])
def test_a_report_of_openhands_is_called_by_its_folders(
    tmp_path: Path, folders: str, benchmark: str, name: str
) -> None:
    report = _report(model_name_or_path="openhands")
    found = read(write(tmp_path / folders / name, report), "swebench")
    assert found.all("agent") == {"m_maxiter_100"}
    assert found.all("benchmark") == {benchmark}
    assert found.all("run_id") == {"m_maxiter_100"}


def test_costs_and_agents_that_never_ran_are_found_under_another_name(tmp_path: Path) -> None:
    name = {"model_name_or_path": "org/m"}
    predictions = {"a": name | {"model_patch": "+x"}, "b": name | {"model_patch": ""}}
    write(tmp_path / "agent" / "preds.json", predictions)
    stats = {"info": {"exit_status": "done", "model_stats": {"instance_cost": -0.5}}}
    write(tmp_path / "agent" / "a" / "a.traj.json", stats)
    lists = {"resolved_ids": ["a"], "unresolved_ids": [], "empty_patch_ids": ["b"]}
    counts = {"total_instances": 2, "resolved_instances": 1}
    path = write(tmp_path / "org__m.r.json", counts | lists)
    for options in ({}, {"agent": "me"}):
        found = read(path, "swebench", **options)
        assert found.kinds == {"a": ("valid", 1.0), "b": ("infra_error", None)}
        assert found.all("cost_usd") == {None}
        assert "1 values of cost" in found.notes["absurd-amounts"]
        assert found.all("run_id") == {"r"}


def test_a_report_of_openhands_is_not_of_swe_bench_unless_something_says_so(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "runs" / "m" / "output.report.json", _report())
    with pytest.raises(UnreadableSourceError, match="--benchmark NAME"):
        read(path, "swebench")
    assert read(path, "swebench", benchmark="gaia").all("benchmark") == {"gaia"}
    about = {"dataset": "org/SWE-bench_Verified", "llm": {"model": "litellm_proxy/m"}}
    write(path.with_name("metadata.json"), about)
    found = read(path, "swebench")
    assert found.all("benchmark") == {"swe-bench-verified"}
    assert found.all("model") == {"litellm_proxy/m"}
    alone = write(tmp_path / "gaia" / "output.report.json", _report())
    with pytest.raises(UnreadableSourceError, match="--agent NAME"):
        read(alone, "swebench")


@pytest.mark.parametrize(
    ("stem", "benchmark"),
    [
        ("swe-bench_verified__test__run.1", "swe-bench-verified"),
        ("swe-bench-m__dev__run.1", "swe-bench-multimodal-dev"),
    ],
)
def test_a_report_of_sb_cli_names_the_benchmark_and_no_agent(
    tmp_path: Path, stem: str, benchmark: str
) -> None:
    path = write(tmp_path / f"{stem}.json", _report(pending_ids=["z"], pending_instances=1))
    with pytest.raises(UnreadableSourceError, match="--agent NAME"):
        read(path, "swebench")
    found = read(path, "swebench", agent="me")
    assert found.all("benchmark") == {benchmark}
    assert found.all("run_id") == {"run.1"}
    assert found.kinds["z"] == ("missing", None)


def _submission(folder: Path, metadata: str | None = "name: My Agent\n") -> Path:
    content = {"no_generation": ["c"], "no_logs": ["d"], "resolved": ["a"]}
    if metadata is not None:
        write(folder / "metadata.yaml", metadata)
    return write(folder / "results" / "results.json", content)


def test_a_submission_of_solved_instances_is_completed_by_the_tasks(tmp_path: Path) -> None:
    path = _submission(tmp_path / "evaluation" / "verified" / "20250901_my_agent")
    with pytest.raises(UnreadableSourceError, match="--tasks FILE") as refusal:
        read(path, "swebench")
    assert "\n" not in str(refusal.value)
    found = read(path, "swebench", tasks=("a", "b", "c", "d"))
    assert found.kinds == {
        "a": ("valid", 1.0),
        "b": ("valid", 0.0),
        "c": ("valid", 0.0),
        "d": ("infra_error", None),
    }
    assert (found.all("agent"), found.all("benchmark")) == ({"My Agent"}, {"swe-bench-verified"})
    assert found.records[0].started is not None
    assert found.records[0].started.date().isoformat() == "2025-09-01"
    with pytest.raises(UnreadableSourceError, match="among the 2 tasks"):
        read(path, "swebench", tasks=("a", "b"))


@pytest.mark.parametrize(
    ("metadata", "agent", "model"),
    [
        (
            "info:\n  name: 'Two: Words'  # c\n  site: x\ntags:\n  model: org/m\n",
            "Two: Words",
            "org/m",
        ),
        ("name: Plain # comment\n", "Plain", ""),
        ("name: |\n  long\n", "my_agent", ""),
        ("name: &anchor x\nmodel: [a, b]\n", "my_agent", ""),
        (None, "my_agent", ""),
    ],
)
def test_the_metadata_of_a_submission_is_read_where_it_is_plain(
    tmp_path: Path, metadata: str | None, agent: str, model: str
) -> None:
    path = _submission(tmp_path / "evaluation" / "lite" / "20250901_my_agent", metadata)
    found = read(path, "swebench", tasks=("a", "b", "c", "d"))
    assert (found.all("agent"), found.all("model")) == ({agent}, {model})
    assert found.all("benchmark") == {"swe-bench-lite"}


def test_errors_are_unknown_and_empty_patches_failures(tmp_path: Path) -> None:
    report = {
        "total_instances": 500,
        "resolved_instances": 1,
        "submitted_instances": 6,
        "completed_ids": ["a", "b"],
        "incomplete_ids": ["f"],
        "resolved_ids": ["a"],
        "unresolved_ids": ["b", "e"],
        "empty_patch_ids": ["c"],
        "error_ids": ["d"],
        "infra_failure_ids": ["e"],
    }
    path = write(tmp_path / "org__m-1.5.r0.json", report)
    found = read(path, "swebench", benchmark="verified")
    assert found.kinds == {
        "a": ("valid", 1.0),
        "b": ("valid", 0.0),
        "c": ("valid", 0.0),
        "d": ("infra_error", None),
        "e": ("infra_error", None),
        "f": ("missing", None),
    }
    assert {each.task_id for each in found.records if each.errored} == {"d", "e"}
    assert (found.all("agent"), found.all("benchmark")) == ({"org/m-1.5"}, {"verified"})
    assert found.explained == [
        "total_instances 500 is not checkable: the report does not name 494 of them"
    ]
    report["unresolved_ids"] = ["a"]
    with pytest.raises(UnreadableSourceError, match="both resolved and unresolved"):
        read(write(path, report), "swebench")


@pytest.mark.parametrize(("rate", "errors_fail"), [(0.4, True), (40.0, True), (0.5, False)])
def test_errors_are_failures_where_the_stated_rate_counts_them(
    tmp_path: Path, rate: float, errors_fail: bool
) -> None:
    report = _report(2, 2, total_instances=5, submitted_instances=5, error_instances=1)
    report |= {"error_ids": ["e"], "submitted_ids": [*report["submitted_ids"], "e"]}
    path = write(tmp_path / "m.r.json", report | {"resolution_rate": rate})
    found = read(path, "swebench")
    assert found.kinds["e"] == (("valid", 0.0) if errors_fail else ("infra_error", None))
    assert [each.task_id for each in found.records if each.errored] == ["e"]
    assert found.unexplained == []


def test_counts_that_differ_from_their_lists_refuse_the_report(tmp_path: Path) -> None:
    path = write(tmp_path / "m.r.json", _report(unresolved_instances=40))
    with pytest.raises(UnreadableSourceError, match="expected 40 ids under unresolved_ids"):
        read(path, "swebench")
    assert len(read(path, "swebench", accept_difference=True).records) == 6


def test_a_misreading_of_a_report_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "m.r.json", _report())
    assert read(path, "swebench").unexplained == []

    def _all_failed(*given: Any) -> dict[str, Found]:
        return {task: replace(each, score=0.0) for task, each in listed(*given).items()}

    monkeypatch.setattr(swebench, "listed", _all_failed)
    assert "resolved_instances 2" in read(path, "swebench").unexplained[0]
    monkeypatch.setattr(swebench, "listed", lambda *given: dict(list(listed(*given).items())[:-1]))
    assert any("not name 1" in text for text in read(path, "swebench").explained)


def test_instance_with_an_infrastructure_failure_is_unknown(tmp_path: Path) -> None:
    content = {"a": {"patch_is_None": False, "resolved": False, "infra_failure": True}}
    path = tmp_path / "logs" / "run_evaluation" / "r" / "m" / "a" / "report.json"
    found = read(write(path, content), "swebench")
    assert found.kinds == {"a": ("infra_error", None)}
    assert (found.all("agent"), found.all("run_id")) == ({"m"}, {"r"})


def test_instances_in_the_outputs_of_a_run_are_called_by_the_run(tmp_path: Path) -> None:
    content = {"a": {"patch_is_None": False, "resolved": True}}
    path = tmp_path / "gaia" / "model-a" / "eval_outputs" / "a" / "report.json"
    found = read(write(path, content), "swebench")
    assert (found.all("agent"), found.all("benchmark")) == ({"model-a"}, {"gaia"})


def test_boards_are_benchmarks_and_their_rates_are_checked(tmp_path: Path) -> None:
    def _entry(name: str, resolved: float | None, *solved: bool) -> dict[str, Any]:
        details = {
            f"i{place}": {"resolved": each, "cost": 0.5} for place, each in enumerate(solved)
        }
        return {"name": name, "folder": f"f-{name}", "resolved": resolved} | (
            {"per_instance_details": details} if solved else {}
        )

    boards = [
        {"name": "bash-only", "results": [_entry("a", 33.33, True, False, False)]},
        {"name": "Lite", "results": [_entry("a", 50.0, True, False), _entry("b", 10.0)]},
    ]
    path = write(tmp_path / "leaderboards.json", {"leaderboards": boards})
    found = read(path, "swebench")
    assert found.all("benchmark") == {"swe-bench-verified", "swe-bench-lite"}
    assert found.unexplained == []
    assert "1 entries" in found.notes["aggregates-only"]
    boards[0]["results"][0]["resolved"] = 66.67  # type: ignore[index]
    path = write(tmp_path / "wrong.json", {"leaderboards": boards})
    assert len(read(path, "swebench").unexplained) == 1


def test_rows_of_eval_arena_keep_their_raw_value(tmp_path: Path) -> None:
    row = {"benchmark_id": "b", "model": "m", "example_id": "e", "pass1": 0.25}
    path = lines(tmp_path / "a.jsonl", row, row | {"example_id": "f", "pass1": None})
    found = read(path, "eval-arena")
    assert found.kinds == {"e": ("valid", 0.25), "f": ("missing", None)}


@pytest.mark.parametrize("ids", [[1, 2], ["a", ""], [None], [["a"]]])
def test_what_is_no_id_refuses_the_report(tmp_path: Path, ids: list[Any]) -> None:
    path = write(tmp_path / "m.r.json", _report(resolved_ids=ids, resolved_instances=len(ids)))
    with pytest.raises(UnreadableSourceError, match="no instance id under resolved_ids"):
        read(path, "swebench")


def test_a_torn_report_and_an_unknown_metric_are_refused_in_a_line(tmp_path: Path) -> None:
    text = json.dumps(_report())
    path = write(tmp_path / "m.r.json", text[: len(text) - 20])
    with pytest.raises(UnreadableSourceError, match="truncated"):
        read(path, "swebench")
    with pytest.raises(UnreadableSourceError, match=r"a metric of the source \(resolved\)"):
        read(write(path, text), "swebench", metric="accuracy")


def test_solved_instances_alone_are_completed_by_the_tasks_of_the_history(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole" / "one.run.json", _report())
    solved = write(tmp_path / "solved" / "two.run.json", {"resolved_ids": ["o__p-1"]})
    options = ReadOptions(benchmark="swe")
    with History.in_memory() as history:
        (refused,) = import_paths(history, [solved], options=options).refused
        assert "--tasks FILE" in refused.error
        import_paths(history, [whole], options=options)
        report = import_paths(history, [solved], options=options)
        assert (report.refused, report.added) == ((), 6)
        (note,) = [each for each in report.sources[0].notes if each.code == "tasks-from-history"]
        assert "6 tasks that the history holds of swe" in note.text
        rates = {agent.name: agent.mean for agent in history.agents("swe")}
        assert rates["two"] == pytest.approx(1 / 6)


def test_the_tasks_that_are_named_come_before_those_of_the_history(tmp_path: Path) -> None:
    solved = write(tmp_path / "two.run.json", {"resolved_ids": ["a"]})
    options = ReadOptions(tasks=("a", "b"), known_tasks=lambda benchmark: ("a", "b", "c"))
    records = [each for each in swebench.read(solved, options=options) if isinstance(each, Record)]
    assert {record.task_id for record in records} == {"a", "b"}
    options = replace(options, tasks=())
    records = [each for each in swebench.read(solved, options=options) if isinstance(each, Record)]
    assert {record.task_id for record in records} == {"a", "b", "c"}
