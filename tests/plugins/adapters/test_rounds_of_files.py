"""What rounds leave behind, in layouts written here as the harnesses write them, and in real files.

SWE-bench, its agents and HAL need containers and models: their layouts follow their sources. The
file of tau2-bench is a real one.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.adapters.conftest import MakeRound

from midband._manager import get_plugin_manager
from midband.descriptors import Harness
from midband.importers.sources import import_paths
from midband_history import History, Record, UnreadableSourceError

SHARED = Path(__file__).parents[4] / "shared" / "raw_samples"
OUTCOMES = Mapping[str, tuple[str, float | None]]


def _harness(name: str) -> Harness:
    return get_plugin_manager().harnesses()[name]


def _write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _outcomes(records: list[Record]) -> OUTCOMES:
    assert len({each.task_id for each in records}) == len(records)
    return {each.task_id: (each.kind, each.score) for each in records}


def _trajectory(status: str, cost: float | None, **more: str) -> dict[str, Any]:
    return {"info": {"exit_status": status, "model_stats": {"instance_cost": cost}} | more}


def _swe_bench_round(folder: Path, *, run: str = "r000-1") -> Path:
    """Write what mini-swe-agent and the evaluation leave of six instances."""
    patches = {"won": "+1", "lost": "+2", "empty": "", "crashed": "", "unmade": "", "ungraded": "+"}
    predictions = {
        task: {"model_name_or_path": "org/m-1.5", "instance_id": task, "model_patch": patch}
        for task, patch in patches.items()
    }
    _write(folder / "agent" / "preds.json", predictions)
    ends = {
        "won": _trajectory("Submitted", 0.5),
        "lost": _trajectory("Submitted", 0.25),
        "empty": _trajectory("LimitsExceeded", 3.0),
        "crashed": _trajectory("AuthenticationError", 0.0, traceback="...", exception_str="no"),
        "ungraded": _trajectory("Submitted", 1.0),
    }
    for task, end in ends.items():
        _write(folder / "agent" / task / f"{task}.traj.json", end)
    logs = folder / "logs" / "run_evaluation" / run / "org__m-1.5"
    for task in ("won", "lost"):
        report = {task: {"patch_is_None": False, "resolved": task == "won"}}
        _write(logs / task / "report.json", report)
    run_report = {
        "total_instances": 500,
        "submitted_instances": 6,
        "completed_instances": 2,
        "resolved_instances": 1,
        "completed_ids": ["lost", "won"],
        "incomplete_ids": ["never"],
        "empty_patch_ids": ["crashed", "empty", "unmade"],
        "resolved_ids": ["won"],
        "unresolved_ids": ["lost"],
        "error_ids": ["ungraded"],
    }
    return _write(folder / f"org__m-1.5.{run}.json", run_report)


SWE_BENCH: OUTCOMES = {
    "won": ("valid", 1.0),
    "lost": ("valid", 0.0),
    "empty": ("valid", 0.0),
    "crashed": ("infra_error", None),
    "unmade": ("infra_error", None),
    "ungraded": ("infra_error", None),
}


def test_swe_bench_round_tells_failures_from_agents_that_never_ran(tmp_path: Path) -> None:
    _swe_bench_round(tmp_path)
    records = list(_harness("swebench").read_results(tmp_path, benchmark="verified"))
    assert _outcomes(records) == SWE_BENCH
    assert {(each.agent, each.benchmark) for each in records} == {("org/m-1.5", "verified")}
    costs = {each.task_id: each.cost_usd for each in records}
    assert costs == {
        "won": 0.5,
        "lost": 0.25,
        "empty": 3.0,
        "crashed": 0.0,
        "unmade": None,
        "ungraded": 1.0,
    }


def test_swe_bench_round_is_imported_as_it_was_read(tmp_path: Path) -> None:
    _swe_bench_round(tmp_path / "run")
    with History.open(tmp_path / "h.duckdb") as history:
        report = import_paths(history, [tmp_path / "run"])
        assert report.refused == ()
        assert (report.added, report.duplicates) == (len(SWE_BENCH) + 1, 2)
        matrix = history.outcomes("swe-bench")
        known = dict(zip(matrix.tasks, matrix.scores[0], strict=True))
        assert {task: score for task, score in known.items() if score == score} == {
            "won": 1.0,
            "lost": 0.0,
            "empty": 0.0,
        }


def test_swe_bench_reports_of_other_agents_take_no_costs(tmp_path: Path) -> None:
    """Two agents and two runs of one in a folder: what cannot be told apart stays unknown."""
    report = json.loads(_swe_bench_round(tmp_path).read_text())
    _write(tmp_path / "other__m.r000-1.json", report)
    found = list(_harness("swebench").read_results(tmp_path))
    costs = {each.cost_usd for each in found if each.agent == "other/m"}
    assert costs == {None}
    assert {
        each.kind for each in found if each.agent == "other/m" and each.task_id == "crashed"
    } == {"valid"}
    assert {each.cost_usd for each in found if each.agent == "org/m-1.5"} > {0.25, 0.5}
    again = json.loads((tmp_path / "agent" / "preds.json").read_text())
    _write(tmp_path / "agent-2" / "preds.json", {"won": again["won"]})
    records = list(_harness("swebench").read_results(tmp_path))
    unclear = {each.task_id for each in records if each.agent == "org/m-1.5" and not each.cost_usd}
    assert unclear == {"won", "crashed", "unmade"}


def test_swe_bench_round_cut_short_keeps_what_was_evaluated(tmp_path: Path) -> None:
    report = _swe_bench_round(tmp_path)
    whole = report.read_text()
    report.unlink()
    found = {"won": ("valid", 1.0), "lost": ("valid", 0.0)}
    assert _outcomes(list(_harness("swebench").read_results(tmp_path))) == found
    report.write_text(whole[: len(whole) // 2])
    records: list[Record] = []
    with pytest.raises(UnreadableSourceError, match="truncated"):
        records.extend(_harness("swebench").read_results(tmp_path))
    assert _outcomes(records) == found


def test_swe_agent_errors_of_the_environment_are_no_failures(tmp_path: Path) -> None:
    ends = {"a": "exit_cost", "b": "exit_environment_error", "c": "exit_api"}
    folder = tmp_path / "swe-agent-m"
    for task, end in ends.items():
        _write(folder / task / f"{task}.traj", _trajectory(end, 1.0))
    predictions = {
        task: {"model_name_or_path": "swe-agent-m", "model_patch": None} for task in ends
    }
    _write(folder / "preds.json", predictions)
    report = {
        "total_instances": 3,
        "submitted_instances": 3,
        "resolved_instances": 0,
        "completed_ids": [],
        "empty_patch_ids": sorted(ends),
        "resolved_ids": [],
        "unresolved_ids": [],
        "error_ids": [],
    }
    _write(tmp_path / "swe-agent-m.r000.json", report)
    records = list(_harness("swe-agent").read_results(tmp_path))
    assert _outcomes(records) == {
        "a": ("valid", 0.0),
        "b": ("infra_error", None),
        "c": ("infra_error", None),
    }
    assert {each.agent for each in records} == {"swe-agent-m"}


def test_the_evaluation_runs_within_the_round(make_a_round: MakeRound, tmp_path: Path) -> None:
    """A stand-in for the evaluation says where it was started and what it was given."""
    batch = make_a_round("swe-bench", ["a", "b"])
    batch.directory.mkdir()
    stand_in = _write(tmp_path / "bin" / "python", '#!/bin/sh\npwd > said\necho "$@" >> said\n')
    stand_in.chmod(0o755)
    step = _harness("swebench").build_command(batch).steps[1]
    subprocess.run(step, check=True, env={"PATH": f"{stand_in.parent}:/usr/bin:/bin"})
    place, words = (batch.directory / "said").read_text().splitlines()
    assert Path(place) == batch.directory
    assert words.startswith("-m swebench.harness.run_evaluation ")
    assert words.endswith(" --report_dir . --instance_ids a b")


def _upload(folder: Path, run: str = "r000", **results: list[str]) -> Path:
    config = {
        "agent_name": "Solver (org/m)",
        "benchmark_name": "scicode",
        "date": "2026-01-02",
        "run_id": run,
        "agent_args": {"model_name": "org/m"},
        "run_command": f"hal-eval --benchmark scicode --task_ids 1,2,3,4 --run_id {run}",
    }
    content = {
        "config": config,
        "results": {"accuracy": 0.5, "total_cost": 2.0} | results,
        "raw_eval_results": {},
        "total_cost": 2.0,
        "wall_clock_times": {"1": 12.5},
    }
    return _write(folder / f"{run}_UPLOAD.json", content)


def test_hal_counts_only_what_ran_of_the_full_benchmark(tmp_path: Path) -> None:
    failed = [str(task) for task in range(2, 81)]
    path = _upload(tmp_path, successful_tasks=["1"], failed_tasks=failed)
    asked = list(_harness("hal").read_results(path))
    assert _outcomes(asked) == {"1": ("valid", 1.0)} | dict.fromkeys("234", ("valid", 0.0))
    lines = [
        {"1": "answer"},
        {"2": "ERROR: no such container"},
        {"3": "ERROR: Task timed out after 2700 seconds"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"4": "half a li'
    _write(tmp_path / "r000_RAW_SUBMISSIONS.jsonl", text)
    ran = list(_harness("hal").read_results(tmp_path))
    assert _outcomes(ran) == {
        "1": ("valid", 1.0),
        "2": ("valid", 0.0),
        "3": ("valid", 0.0),
    }
    assert [each.errored for each in ran] == [False, True, False]
    assert {(each.agent, each.scaffold, each.model, each.benchmark) for each in ran} == {
        ("Solver (org/m)", "Solver", "org/m", "scicode")
    }
    assert ran[0].duration_s == 12.5
    assert {each.run_cost_usd for each in ran} == {2.0}


def test_hal_files_beside_an_upload_are_passed_over(tmp_path: Path) -> None:
    _upload(tmp_path, successful_tasks=["1"], failed_tasks=["2"])
    _write(tmp_path / "r000.json", {"1": {"score": 1}})
    _write(tmp_path / "r000_RAW_SUBMISSIONS.jsonl", '{"1": "answer"}\n{"2": "answer"}\n')
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (len(report.sources), report.refused, report.added) == (1, (), 2)


def test_hal_task_in_both_lists_is_refused(tmp_path: Path) -> None:
    path = _upload(tmp_path, successful_tasks=["1"], failed_tasks=["1"])
    with pytest.raises(UnreadableSourceError, match="both solved and failed"):
        list(_harness("hal").read_results(path))


def test_tau2_file_in_a_folder_of_simulations_is_read_as_one_file(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside this checkout: real results are not part of the project")
    source = SHARED / "tau2_bench" / "ironshell_ironforge_v3_deepseek.json"
    data = json.loads(source.read_text())
    expected = list(_harness("tau2-bench").read_results(source))
    for each in data.pop("simulations"):
        _write(tmp_path / "r" / "simulations" / f"{each['id']}.json", each)
    _write(tmp_path / "r" / "results.json", data | {"simulation_index": []})
    found = list(_harness("tau2-bench").read_results(tmp_path))
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (len(report.sources), report.refused, report.added) == (1, (), len(expected))
    key = [record.source_key for record in expected]
    assert sorted(key) == sorted(record.source_key for record in found)
    assert sum(each.score or 0 for each in found) == sum(each.score or 0 for each in expected)
    (tmp_path / "r" / "simulations" / f"{key[0]}.json").write_text('{"id": ')
    with pytest.raises(UnreadableSourceError, match=key[0]):
        list(_harness("tau2-bench").read_results(tmp_path))


@pytest.mark.parametrize("name", sorted(get_plugin_manager().harnesses()))
def test_a_path_that_is_not_there_or_foreign_is_refused(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "absent", _write(tmp_path / "notes.json", {"a": 1})):
        with pytest.raises(UnreadableSourceError, match=path.name):
            list(_harness(name).read_results(path))


def _trial(task: str, own_name: str, **task_id: str) -> dict[str, Any]:
    return {
        "id": f"trial-{task}",
        "task_name": own_name,
        "trial_name": f"{task}__x",
        "task_id": task_id,
        "source": "ds",
        "config": {"job_id": "j"},
        "agent_info": {"name": "a"},
        "verifier_result": {"rewards": {"reward": 1.0}},
    }


def test_harbor_task_is_called_as_harbor_selects_it(tmp_path: Path) -> None:
    trials = (
        _trial("alpha", "org/other", path="ds/alpha"),
        _trial("beta", "org/beta", org="org", name="beta", ref="sha256:1"),
        _trial("gamma", "gamma"),
    )
    for trial in trials:
        _write(tmp_path / "r000" / trial["trial_name"] / "result.json", trial)
    records = list(_harness("harbor").read_results(tmp_path))
    assert [each.task_id for each in records] == ["alpha", "org/beta", "gamma"]


def test_what_is_whole_is_read_before_what_is_torn_is_said(tmp_path: Path) -> None:
    for task in ("alpha", "beta", "gamma"):
        _write(tmp_path / "r000" / f"{task}__x" / "result.json", _trial(task, task))
    torn = tmp_path / "r000" / "alpha__x" / "result.json"
    torn.write_text(torn.read_text()[:-30])
    found: list[Record] = []
    with pytest.raises(UnreadableSourceError, match="alpha__x"):
        found.extend(_harness("harbor").read_results(tmp_path))
    assert [each.task_id for each in found] == ["beta", "gamma"]
