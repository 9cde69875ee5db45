"""Result files of harnesses: each by its own reader, and unknown outcomes never as failures."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from midband._descriptors import ReadOptions
from midband._manager import get_plugin_manager
from midband.importers._reading import read_source
from midband.importers._sources import ImportReport, import_paths
from midband_history import History, Record, UnreadableSourceError

SHARED = Path(__file__).parents[3] / "shared"
SUBMISSION = "20240825_SWE-agent_gpt-4o-2024-05-13"
LM_TIME = "2026-01-21T03-44-18.458309"
# One real file of each format.
REAL = {
    "eval-arena": "swebench/eval-arena_swebench-verified.head.jsonl",
    "every-eval-ever": "every_eval_ever/f3a1c0de-4b2e-4c1a-9f6d-1b7e5a2c8d40_samples.jsonl",
    "harbor": "harbor/round-000/alpha__DJxshJW/result.json",
    "helm": "helm/narrative_qa-model=openai_gpt2/per_instance_stats.json",
    "lm-eval-harness": f"lm_eval_harness/samples_math_perturbed_full_{LM_TIME}.jsonl",
    "metr": "metr/all_runs.sample.jsonl",
    "openhands-index": "openhands_index/results__DeepSeek-V4-Pro/gaia.json",
    "swebench": f"swebench/experiments_repo_layout/{SUBMISSION}/results.json",
    "swebench-pro": "swebench_pro/eval_results_claude45.json",
    "tau2_bench": "tau2_bench/ironshell_ironforge_v3_deepseek.json",
    "tau_bench": "tau_bench/gpt-4o-airline.first16.json",
    "terminal_bench": "terminal_bench/chaterm__2025-09-10__19-49-26__results.json",
}


@pytest.fixture(scope="module")
def real() -> Path:
    path = SHARED / "raw_samples"
    if not path.is_dir():
        if os.environ.get("CI"):
            pytest.fail("expected real results in ../shared under CI, found none")
        pytest.skip("no ../shared beside this checkout: real results are not part of the project")
    return path


@pytest.fixture(scope="module")
def whole_tree(real: Path) -> ImportReport:
    with History.in_memory() as history:
        return import_paths(history, [real])


def _read(
    name: str, path: Path, benchmark: str | None = None, columns: dict[str, str] | None = None
) -> list[Record]:
    importer = get_plugin_manager().importers()[name]
    assert importer.sniff(path)
    options = ReadOptions(benchmark=benchmark, columns=columns or {})
    return [each for each in read_source(importer, path, options) if isinstance(each, Record)]


def _write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    return _write(path, "".join(json.dumps(row) + "\n" for row in rows))


def _kinds(records: list[Record]) -> dict[str, tuple[str, float | None]]:
    return {each.task_id: (each.kind, each.score) for each in records}


def test_each_real_file_goes_to_its_own_reader(real: Path, whole_tree: ImportReport) -> None:
    folders = {name: {path.split("/")[0]} for name, path in REAL.items()} | {
        "hal": {"hal"},
        "inspect": {"inspect"},
    }
    formats = {source.format for source in whole_tree.sources if source.added}
    assert formats == set(folders)
    for source in whole_tree.sources:
        if source.format not in ("", "tabular", "mle-bench"):
            assert source.path.relative_to(real).parts[0] in folders[source.format], source.path
        assert "what looks like" not in source.error
    graded = [source for source in whole_tree.sources if source.format == "mle-bench"]
    assert len(graded) == 3
    assert all("--agent NAME" in source.error for source in graded)
    of_path = {source.path: source for source in whole_tree.sources}
    for name, path in REAL.items():
        assert of_path[real / path].format == name
        assert not of_path[real / path].error


def test_what_is_not_recognised_is_listed(real: Path, whole_tree: ImportReport) -> None:
    unknown = {
        str(source.path.relative_to(real)) for source in whole_tree.refused if not source.format
    }
    assert "every_eval_ever/eval.schema.json" in unknown
    assert not any(path.startswith(("harbor/", "helm/", "openhands_index/")) for path in unknown)


def test_importing_the_tree_again_adds_nothing(real: Path) -> None:
    with History.in_memory() as history:
        chosen = [real / path for path in REAL.values()]
        first = import_paths(history, chosen)
        assert (first.refused, first.duplicates) == ((), 0)
        again = import_paths(history, chosen)
        assert (again.added, again.unchanged) == (0, len(REAL))


@pytest.mark.parametrize("name", sorted(REAL))
def test_half_a_real_file_is_refused_by_name(real: Path, tmp_path: Path, name: str) -> None:
    path = real / REAL[name]
    folder = tmp_path / "job" / path.parent.name
    folder.mkdir(parents=True)
    for beside in ("run_spec.json", "metadata.json"):
        if (path.parent / beside).is_file():
            shutil.copy(path.parent / beside, folder)
    torn = folder / path.name
    content = path.read_bytes()
    torn.write_bytes(content[: max(len(content) * 3 // 5, 600)])
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        (refused,) = report.refused
        assert (refused.path, refused.format) == (torn, name)
        assert str(torn) in refused.error
        assert "truncated" in refused.error
        assert history.benchmarks() == []


def _trial(**changes: Any) -> dict[str, Any]:
    return {
        "id": "t1",
        "task_name": "alpha",
        "trial_name": "alpha__aaaaaaa",
        "source": "ds",
        "task_checksum": "c0ffee",
        "config": {"job_id": "j", "agent": {"kwargs": {}}},
        "agent_info": {"name": "a", "version": "1", "model_info": {"name": "m", "provider": "p"}},
        "agent_result": {"n_input_tokens": 10, "n_output_tokens": 5, "cost_usd": 0.25},
        "verifier_result": {"rewards": {"reward": 0.0}},
        "exception_info": None,
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:01:00Z",
    } | changes


def test_harbor_numbers_the_attempts_of_a_real_job_and_ignores_its_aggregate(real: Path) -> None:
    job = real / "harbor" / "round-000"
    records = [_read("harbor", path)[0] for path in sorted(job.glob("*/result.json"))]
    assert [(each.task_id, each.attempt) for each in records] == [
        ("alpha", 0),
        ("alpha", 1),
        ("gamma", 0),
        ("gamma", 1),
    ]
    assert {each.agent for each in records} == {"nop (openai/gpt-x)"}
    assert len({each.source_key for each in records}) == 4
    assert len({(each.run_id, each.started) for each in records}) == 1
    assert all(each.task_digest and each.score == 1.0 for each in records)
    assert _read("harbor", job / "result.json") == []


def test_harbor_aggregate_without_trials_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "job" / "result.json", {"n_total_trials": 4, "stats": {"mean": 1.0}})
    with pytest.raises(UnreadableSourceError, match="aggregate"):
        _read("harbor", path)


@pytest.mark.parametrize(
    ("trouble", "kind", "score"),
    [
        ("AgentTimeoutError", "valid", 0.0),
        ("EnvironmentStartTimeoutError", "infra_error", None),
        ("RewardFileNotFoundError", "grader_error", None),
        ("VerifierTimeoutError", "grader_error", None),
        ("CancelledError", "cancelled", None),
    ],
)
def test_harbor_reward_zero_of_an_exception_is_unknown(
    tmp_path: Path, trouble: str, kind: str, score: float | None
) -> None:
    trial = _trial(exception_info={"exception_type": trouble})
    (record,) = _read("harbor", _write(tmp_path / "j" / "alpha__aaaaaaa" / "result.json", trial))
    assert (record.kind, record.score) == (kind, score)
    assert (record.cost_usd, record.tokens, record.duration_s) == (0.25, 15, 60)


def test_harbor_trial_without_a_reward_is_missing(tmp_path: Path) -> None:
    path = _write(tmp_path / "j" / "alpha__a" / "result.json", _trial(verifier_result=None))
    (record,) = _read("harbor", path)
    assert (record.kind, record.score) == ("missing", None)


def test_swebench_instance_reports_are_the_attempts_of_the_run_report(tmp_path: Path) -> None:
    run = {"total_instances": 2, "resolved_instances": 1, "resolved_ids": ["a"]}
    _write(tmp_path / "org__m.r0.json", run | {"unresolved_ids": ["b"]})
    for task, resolved in (("a", True), ("b", False)):
        folder = tmp_path / "logs" / "run_evaluation" / "r0" / "org__m" / task
        _write(folder / "report.json", {task: {"patch_is_None": False, "resolved": resolved}})
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (report.refused, report.added, report.duplicates) == ((), 2, 2)
        assert history.outcomes("swe-bench").scores.tolist() == [[1.0, 0.0]]


def test_tau_bench_exception_recorded_as_reward_zero_is_an_infrastructure_error(
    tmp_path: Path,
) -> None:
    runs = [
        {"task_id": 0, "reward": 0.0, "info": {"error": "boom"}, "traj": [], "trial": 0},
        {"task_id": 0, "reward": 0.0, "info": {"task": {"x": 1}}, "traj": [], "trial": 1},
        {"task_id": 0, "reward": 1.0, "info": {"task": {"x": 1}}, "traj": [], "trial": 2},
    ]
    name = "tool-calling-gpt-4o-0.0_range_0--1_user-gpt-4o-llm_0614120000.json"
    path = _write(tmp_path / name, runs)
    with pytest.raises(UnreadableSourceError, match="--benchmark"):
        _read("tau_bench", path)
    records = _read("tau_bench", path, "tau-retail")
    assert [(each.kind, each.score, each.attempt) for each in records] == [
        ("infra_error", None, 0),
        ("valid", 0.0, 1),
        ("valid", 1.0, 2),
    ]
    assert records[0].agent == "tool-calling-gpt-4o-0.0"


def test_tau_bench_real_trials_are_attempts(real: Path) -> None:
    records = _read("tau_bench", real / REAL["tau_bench"])
    assert {(each.task_id, each.attempt) for each in records} == {
        (str(task), trial) for task in range(4) for trial in range(4)
    }
    assert {each.benchmark for each in records} == {"tau-airline"}


def test_tau2_bench_infrastructure_errors_are_unknown(real: Path, tmp_path: Path) -> None:
    data = json.loads((real / REAL["tau2_bench"]).read_text())
    whole = _read("tau2_bench", real / REAL["tau2_bench"])
    assert whole[0].agent == "ironforge (deepseek/deepseek-chat)"
    assert all(each.cost_usd and each.task_digest and each.duration_s for each in whole)
    first, second, third, _ = data["simulations"]
    first |= {"termination_reason": "infrastructure_error", "reward_info": {"reward": 0.0}}
    second |= {"termination_reason": "max_steps", "reward_info": {"reward": 0.0}, "trial": 1}
    third |= {"reward_info": None}
    records = _read("tau2_bench", _write(tmp_path / "results.json", data))
    assert [(each.kind, each.score, each.attempt) for each in records[:3]] == [
        ("infra_error", None, 0),
        ("valid", 0.0, 1),
        ("missing", None, 0),
    ]


def test_terminal_bench_unresolved_is_a_failure_and_unparsed_is_unknown(real: Path) -> None:
    records = _read("terminal_bench", real / REAL["terminal_bench"])
    assert Counter((each.kind, each.score) for each in records) == {
        ("valid", 1.0): 37,
        ("valid", 0.0): 31,
        ("grader_error", None): 12,
    }
    assert records[0].agent == "chaterm (anthropic/claude-sonnet-4-20250514)"


def test_terminal_bench_trial_in_two_files_is_one_numbered_attempt(tmp_path: Path) -> None:
    trials: list[dict[str, Any]] = [
        {
            "trial_name": f"t.{number}-of-2.run",
            "task_id": "t",
            "instruction": "do",
            "is_resolved": number == 2,
            "failure_mode": "unset",
        }
        for number in (1, 2)
    ]
    trials.append({**trials[0], "task_id": "x", "trial_name": "x.1-of-1.run"})
    trials[2]["failure_mode"] = "agent_installation_failed"
    run = tmp_path / "run"
    _write(run / "run_metadata.json", {"run_id": "run", "agent_name": "a", "dataset_name": "core"})
    _write(run / "results.json", {"id": "1", "results": trials, "accuracy": 0.1})
    for trial in trials:
        _write(run / trial["task_id"] / trial["trial_name"] / "results.json", trial)
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (report.refused, report.added, report.duplicates) == ((), 3, 3)
    records = _read("terminal_bench", run / "results.json")
    assert [each.attempt for each in records] == [0, 1, 0]
    assert (records[2].kind, records[2].score) == ("infra_error", None)


def test_terminal_bench_trial_of_an_unnamed_agent_is_refused(real: Path) -> None:
    path = real / "terminal_bench" / "trial__blind-maze-explorer-5x5.1-of-5__results.json"
    with pytest.raises(UnreadableSourceError, match=r"run_metadata\.json"):
        _read("terminal_bench", path)
