"""A folder of many harnesses' results: each is read by its own reader, and the rest is listed."""

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.plugins.conftest import Call

from midband.importers.sources import import_paths
from midband_history import History


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a folder with a result of seven harnesses, one of which is torn, and other files."""
    folder = tmp_path / "results"
    trial = {
        "id": "t1",
        "task_name": "alpha",
        "trial_name": "alpha__1",
        "source": "ds",
        "config": {"job_id": "j"},
        "agent_info": {"name": "a"},
        "verifier_result": {"rewards": {"reward": 1.0}},
    }
    _write(folder / "job" / "alpha__1" / "result.json", trial)
    _write(folder / "job" / "config.json", {"job_name": "job"})
    torn = json.dumps(trial | {"id": "t2", "trial_name": "beta__1", "task_name": "beta"})
    _write(folder / "job" / "beta__1" / "result.json", torn[:-20])
    run = {"total_instances": 1, "resolved_instances": 0, "resolved_ids": []}
    _write(folder / "org__m.r0.json", run | {"unresolved_ids": ["x__y-1"]})
    row = {"doc_id": 0, "filter": "none", "metrics": ["acc"], "acc": 1.0, "doc_hash": "h"}
    _write(folder / "org__m" / "samples_toy_2026-01-21T03-44-18.458309.jsonl", json.dumps(row))
    info = {
        "num_trials": 1,
        "user_info": {"llm": "u"},
        "agent_info": {"implementation": "llm_agent", "llm": "m"},
        "environment_info": {"domain_name": "retail"},
    }
    simulation = {"id": "s", "task_id": "3", "trial": 0, "reward_info": {"reward": 1.0}}
    _write(
        folder / "tau2" / "results.json",
        {"timestamp": "2026-01-01", "info": info, "tasks": [], "simulations": [simulation]},
    )
    _write(folder / "m-airline.json", [{"task_id": 0, "reward": 0.0, "info": {}, "trial": 0}])
    config = {"agent_name": "A", "benchmark_name": "gaia", "run_id": "g"}
    lists = {"successful_tasks": ["1"], "failed_tasks": []}
    _write(folder / "g_UPLOAD.json", {"config": config, "results": lists})
    _write(folder / "table.csv", "benchmark,task_id,agent,score\nb,1,a,1\n")
    _write(folder / "grading_report.json", {"score": 0.5})
    _write(folder / "notes.txt", "not a result")
    return folder


def test_each_result_goes_to_its_own_reader_and_the_rest_is_listed(mixed: Path) -> None:
    with History.in_memory() as history:
        report = import_paths(history, [mixed])
        names = {each.name for each in history.benchmarks()}
    assert Counter(source.format for source in report.sources if source.added) == {
        "hal": 1,
        "harbor": 1,
        "lm-eval-harness": 1,
        "swebench": 1,
        "tabular": 1,
        "tau2-bench": 1,
        "tau-bench": 1,
    }
    assert names == {"b", "ds", "gaia", "swe-bench", "tau-airline", "tau2-retail", "toy"}
    reasons = {source.path.relative_to(mixed): source.error for source in report.refused}
    assert set(reasons) == {Path("grading_report.json"), Path("job/beta__1/result.json")}
    assert "another kind" in reasons[Path("grading_report.json")]
    assert "truncated" in reasons[Path("job/beta__1/result.json")]


def test_the_command_names_what_it_did_not_take(mixed: Path, tmp_path: Path, call: Call) -> None:
    code, out, err = call("import", mixed, "--history", tmp_path / "h.duckdb")
    assert code == 1
    assert "refused 2" in out
    refused = [line for line in err.splitlines() if line.startswith("midband: refused ")]
    assert [line.split(": ")[1].split("/")[-1] for line in refused] == [
        "grading_report.json",
        "result.json",
    ]
