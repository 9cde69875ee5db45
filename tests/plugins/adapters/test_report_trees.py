"""Whole trees of reports through an import: every run its own agent, and nothing skipped."""

import json
from pathlib import Path
from typing import Any

from tests.plugins.adapters.reading import lines, write

from midband.descriptors import ReadOptions
from midband.importers.sources import import_paths
from midband_history import History


def _report(resolved: int) -> dict[str, Any]:
    ids = [f"o__p-{number}" for number in range(6)]
    counts = {"total_instances": 6, "resolved_instances": resolved}
    return counts | {"resolved_ids": ids[:resolved], "unresolved_ids": ids[resolved:]}


def _means(history: History, benchmark: str) -> dict[str, float]:
    matrix = history.outcomes(benchmark)
    means = matrix.scores.mean(axis=1).round(3).tolist()
    return dict(zip(matrix.agents, means, strict=True))


def test_two_runs_of_openhands_are_two_agents_of_their_benchmark(tmp_path: Path) -> None:
    for benchmark, model, resolved in (
        ("swe_bench-test", "a", 4),
        ("swe_bench-test", "b", 1),
        ("gaia", "a", 3),
    ):
        folder = tmp_path / "eval_outputs" / benchmark / model
        write(folder / "output.report.json", _report(resolved))
        lines(folder / "output.jsonl", {"instance_id": "o__p-0", "test_result": {}})
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (report.refused, report.added) == ((), 18)
        assert _means(history, "swe-bench") == {"a": 0.667, "b": 0.167}
        assert _means(history, "gaia") == {"a": 0.5}


def test_hidden_results_of_aider_are_met_in_a_folder(tmp_path: Path) -> None:
    run = tmp_path / "2025-01-02-10-00-00--first"
    for exercise, outcomes in (("bowling", [False, True]), ("wordy", [False, False])):
        data = {"testcase": exercise, "model": "m", "tests_outcomes": outcomes}
        write(run / exercise / ".aider.results.json", data)
        write(run / exercise / ".other.json", {"a": 1})
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert report.added == 2
        assert _means(history, "aider") == {"m": 0.5}


def test_scores_of_bfcl_are_completed_by_the_results_beside(tmp_path: Path) -> None:
    name = "BFCL_v4_simple_python"
    ids = [{"id": f"simple_python_{number}"} for number in range(4)]
    for run, failures in (("first", [1]), ("second", [1, 2, 3])):
        lines(tmp_path / run / "result" / "m" / f"{name}_result.json", *ids)
        right = 4 - len(failures)
        stated = {"accuracy": right / 4, "correct_count": right, "total_count": 4}
        failed = [{"id": f"simple_python_{number}", "valid": False} for number in failures]
        lines(tmp_path / run / "score" / "m" / f"{name}_score.json", stated, *failed)
        write(tmp_path / run / "score" / "data_overall.csv", "Rank,Overall Acc\n1,75.00%\n")
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (report.refused, report.added) == ((), 8)
        assert _means(history, "bfcl-v4") == {"m": 0.5}


def test_a_report_that_does_not_add_up_is_refused_unless_accepted(tmp_path: Path) -> None:
    write(tmp_path / "m.r.json", _report(2) | {"resolved_instances": 3})
    with History.in_memory() as history:
        (refused,) = import_paths(history, [tmp_path]).refused
        assert "--accept-difference" in refused.error
        options = ReadOptions(accept_difference=True)
        assert import_paths(history, [tmp_path], options=options).added == 6


def test_solved_instances_of_a_submission_need_the_tasks(tmp_path: Path) -> None:
    folder = tmp_path / "evaluation" / "verified" / "20250901_my_agent"
    write(folder / "metadata.yaml", "name: My Agent\n")
    solved = {"no_generation": [], "no_logs": [], "resolved": ["a"]}
    write(folder / "results" / "results.json", solved)
    write(folder / "results" / "resolved_by_repo.json", json.dumps({"o/p": {"resolved": 1}}))
    with History.in_memory() as history:
        (refused,) = import_paths(history, [tmp_path]).refused
        assert "--tasks FILE" in refused.error
        report = import_paths(history, [tmp_path], options=ReadOptions(tasks=("a", "b")))
        assert (report.refused, report.added) == ((), 2)
        assert _means(history, "swe-bench-verified") == {"My Agent": 0.5}
