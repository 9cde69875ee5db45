"""Result files of harnesses: each by its own reader, and unknown outcomes never as failures."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from midband._manager import get_plugin_manager
from midband.descriptors import ReadOptions
from midband.importers.reading import read_source
from midband.importers.reports import ImportReport
from midband.importers.sources import import_paths
from midband_history import History, Record

SHARED = Path(__file__).parents[4] / "shared"
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
    "tau2-bench": "tau2_bench/ironshell_ironforge_v3_deepseek.json",
    "tau-bench": "tau_bench/gpt-4o-airline.first16.json",
    "terminal-bench": "terminal_bench/chaterm__2025-09-10__19-49-26__results.json",
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
