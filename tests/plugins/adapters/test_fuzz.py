"""Every reader of a format meets damaged files: it refuses them in one line, and never crashes.

`MIDBAND_FUZZ=500 pytest tests/plugins/adapters/test_fuzz.py` damages each file in more ways.
"""

import copy
import json
import math
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.adapters.reading import lines, write

from midband._manager import get_plugin_manager
from midband.descriptors import Importer, ReadOptions
from midband.importers.sources import import_paths
from midband_history import History, MidbandError, Record

DAMAGES = int(os.environ.get("MIDBAND_FUZZ", "20"))
# Values that stand where a reader expects others.
NUMBERS = (0, -1, 2**70, 1e308, float("nan"), float("-inf"))
TEXTS = ("", "x", "\x00", "1e999", "\ud800", "2026-99-99T00:00:00Z", "0" * 5_000)
ODD: tuple[Any, ...] = (None, True, *NUMBERS, *TEXTS, [], {}, [None], [[]], {"": None})
TRIAL = {
    "id": "alpha__1",
    "task_name": "alpha",
    "trial_name": "alpha__1",
    "source": "ds",
    "config": {"job_id": "j", "agent": {"kwargs": {}}},
    "agent_info": {"name": "a", "version": "1", "model_info": {"name": "m", "provider": "p"}},
    "agent_result": {"n_input_tokens": 10, "n_output_tokens": 5, "cost_usd": 0.25},
    "verifier_result": {"rewards": {"reward": 1.0}},
    "exception_info": None,
    "started_at": "2026-01-01T00:00:00Z",
    "finished_at": "2026-01-01T00:01:00Z",
}
SOLUTION = {"task_id": "HumanEval/0", "base_status": "pass", "plus_status": "fail"}
ANSWER = {
    "provider": {"id": "openai:a", "label": ""},
    "promptIdx": 0,
    "prompt": {"raw": "q", "label": "short"},
    "testIdx": 0,
    "vars": {"q": "question"},
    "success": True,
    "score": 1.0,
    "failureReason": 0,
    "latencyMs": 1500,
    "cost": 0.25,
}
UNIT = {"score_type": "continuous", "min_score": 0.0, "max_score": 1.0, "metric_name": "accuracy"}
ROW = {
    "schema_version": "0.3.0",
    "evaluation_id": "e",
    "model_id": "org/m",
    "evaluation_name": "bench",
    "sample_id": "s",
    "interaction_type": "single_turn",
    "input": {"raw": "question", "reference": ["a"]},
    "evaluation": {"score": 1.0, "is_correct": True},
}
AGGREGATE = {
    "schema_version": "0.3.0",
    "evaluation_id": "e",
    "evaluation_timestamp": "1750000000",
    "source_metadata": {"source_name": "x", "source_type": "evaluation_run"},
    "eval_library": {"name": "inspect_ai", "version": "0.3"},
    "evaluation_results": [
        {
            "evaluation_name": "bench",
            "metric_config": {"lower_is_better": False} | UNIT,
            "score_details": {"score": 1.0},
        }
    ],
    "detailed_evaluation_results": {"total_rows": 1},
}
TAU2 = {
    "timestamp": "2026-01-01",
    "info": {
        "num_trials": 1,
        "user_info": {"llm": "u"},
        "agent_info": {"implementation": "llm_agent", "llm": "m"},
        "environment_info": {"domain_name": "retail"},
    },
    "tasks": [],
    "simulations": [{"id": "s", "task_id": "3", "trial": 0, "reward_info": {"reward": 1.0}}],
}
TERMINAL = {
    "id": "1",
    "n_resolved": 1,
    "n_unresolved": 0,
    "accuracy": 1.0,
    "results": [
        {
            "trial_name": "t.1-of-1.run",
            "task_id": "t",
            "instruction": "do t",
            "is_resolved": True,
            "failure_mode": "unset",
            "recording_path": "run/x",
        }
    ],
}
METR = {
    "run_id": "r",
    "task_id": "f/main",
    "task_family": "f",
    "alias": "A",
    "model": "a",
    "score_cont": 0.5,
    "score_binarized": 1,
    "fatal_error_from": None,
    "started_at": 1_000_000,
    "completed_at": 1_060_000,
}
# By importer: files by their place, the first of which is the source.
FILES: dict[str, dict[str, Any]] = {
    "aider": {
        "run/bowling/.aider.results.json": {
            "testcase": "bowling",
            "model": "m",
            "edit_format": "diff",
            "tests_outcomes": [False, True],
            "cost": 0.1,
            "duration": 3.0,
            "commit_hash": "c",
        }
    },
    "bfcl": {
        "score/org_m/BFCL_v4_simple_python_score.json": [
            {"accuracy": 0.5, "correct_count": 1, "total_count": 2},
            {"id": "simple_python_1", "model_name": "org/m", "valid": False, "error_type": "ast"},
        ],
        "result/org_m/BFCL_v4_simple_python_result.json": [
            {"id": "simple_python_0"},
            {"id": "simple_python_1"},
        ],
    },
    "evalplus": {
        "m_vllm_temp_0.2.eval_results.json": {
            "date": "2024-05-01 10:00",
            "hash": "abc",
            "eval": {"HumanEval/0": [SOLUTION, SOLUTION]},
            "pass_at_k": {"base": {"pass@1": 1.0}, "plus": {"pass@1": 0.0}},
        }
    },
    "every-eval-ever": {"u_samples.jsonl": [ROW], "u.json": AGGREGATE},
    "eval-arena": {
        "a.jsonl": [{"benchmark_id": "b", "model": "m", "example_id": "e", "pass1": 0.25}]
    },
    "hal": {
        "g_UPLOAD.json": {
            "config": {"agent_name": "A", "benchmark_name": "gaia", "run_id": "g"},
            "results": {"successful_tasks": ["1"], "failed_tasks": ["2"], "total_cost": 1.0},
        }
    },
    "harbor": {"job/alpha__1/result.json": TRIAL, "job/config.json": {"job_name": "job"}},
    "helm": {
        "run/per_instance_stats.json": [
            {
                "instance_id": "i",
                "train_trial_index": 0,
                "stats": [{"name": {"name": "f1_score", "split": "test"}, "count": 1, "mean": 1.0}],
            }
        ],
        "run/run_spec.json": {
            "name": "narrative_qa:model=o_m",
            "adapter_spec": {"model": "o/m", "temperature": 0.0},
            "groups": [],
        },
    },
    "lm-eval-harness": {
        "org__m/samples_toy_2026-01-21T03-44-18.458309.jsonl": [
            {"doc_id": 0, "filter": "none", "metrics": ["acc"], "acc": 1.0, "doc_hash": "h"}
        ]
    },
    "metr": {"runs.jsonl": [METR]},
    "mle-bench": {
        "2024-10-04T22-44-59-GMT_run-group_aide/grading_report.json": {
            "total_runs": 1,
            "total_medals": 1,
            "total_above_median": 1,
            "competition_reports": [
                {"competition_id": "c", "score": 12.5, "any_medal": True, "above_median": True}
            ],
        }
    },
    "openhands-index": {
        "e/instance_results/gaia.json": {"g0": {"cost": 0.5, "resolved": True}},
        "e/metadata.json": {"agent_name": "OpenHands", "model": "M", "agent_version": "v1"},
        "e/scores.json": [{"benchmark": "gaia", "score": 100.0, "metric": "accuracy"}],
    },
    "promptfoo": {
        "out.json": {
            "evalId": "eval-1",
            "results": {
                "version": 3,
                "timestamp": "2026-01-02T00:00:00Z",
                "prompts": [],
                "results": [ANSWER],
                "stats": {"successes": 1, "failures": 0, "errors": 0},
            },
            "config": {"description": "my suite"},
        }
    },
    "swebench": {
        "org__m.r0.json": {
            "total_instances": 2,
            "resolved_instances": 1,
            "resolved_ids": ["x__y-2"],
            "unresolved_ids": ["x__y-1"],
        }
    },
    "swebench-pro": {"model-a/eval_results.json": {"i-1": True, "i-2": False, "i-3": None}},
    "tau-bench": {"m-airline.json": [{"task_id": 0, "reward": 0.0, "info": {}, "trial": 0}]},
    "tau2-bench": {"tau2/results.json": TAU2},
    "terminal-bench": {"20250923_droid_opus/run/results.json": TERMINAL},
    "tabular": {"table.jsonl": [{"benchmark": "b", "task_id": "1", "agent": "a", "score": 1}]},
}
# Another file tests each of these: they are no text that can be written here in a few lines, or
# they are always refused.
ELSEWHERE = {"aider-leaderboard", "inspect"}


def _write(folder: Path, files: dict[str, Any]) -> Path:
    for place, content in files.items():
        path = folder / place
        if isinstance(content, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        elif path.suffix == ".jsonl" or place.startswith(("score/", "result/")):
            lines(path, *content)
        else:
            write(path, content)
    return folder / next(iter(files))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a value with each of its keys."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _odd_value(files: dict[str, Any], rng: random.Random) -> None:
    content = files[rng.choice(list(files))]
    container, key = rng.choice(list(_places(content)))
    container[key] = rng.choice(ODD)


def _dropped(files: dict[str, Any], rng: random.Random) -> None:
    container, key = rng.choice(list(_places(files[rng.choice(list(files))])))
    del container[key]


def _repeated(files: dict[str, Any], rng: random.Random) -> None:
    found = [
        value for value, _ in _places(files[rng.choice(list(files))]) if isinstance(value, list)
    ]
    if found:
        chosen = rng.choice(found)
        chosen.append(copy.deepcopy(rng.choice(chosen)))


def _deep(files: dict[str, Any], rng: random.Random) -> None:
    container, key = rng.choice(list(_places(files[rng.choice(list(files))])))
    nested: Any = container[key]
    for _ in range(300):
        nested = [nested]
    container[key] = nested


def _bytes(files: dict[str, Any], rng: random.Random) -> None:
    place = rng.choice(list(files))
    content = files[place]
    rows = content if isinstance(content, list) else [content]
    text = "".join(json.dumps(row) + "\n" for row in rows) if len(rows) > 1 else json.dumps(content)
    damaged = bytearray(text.encode())
    for _ in range(rng.randint(1, 4)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    files[place] = bytes(damaged[: rng.randrange(len(damaged))] if rng.random() < 0.5 else damaged)


HOW: tuple[Callable[[dict[str, Any], random.Random], None], ...] = (
    *(_odd_value, _odd_value, _odd_value, _dropped, _repeated, _deep, _bytes),
)


def _read(importer: Importer, path: Path, options: ReadOptions) -> tuple[list[Any], str]:
    """Return what a reader yields, or why it refuses; any other error ends the test."""
    try:
        return list(importer.read(path, options=options)), ""
    except MidbandError as refusal:
        return [], str(refusal)


def test_every_format_is_among_them() -> None:
    assert set(get_plugin_manager().importers()) - ELSEWHERE == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    importer = get_plugin_manager().importers()[name]
    options = ReadOptions(benchmark="fuzzed" if name == "promptfoo" else None)
    rng = random.Random(name)
    with History.in_memory() as history:
        (whole,) = [
            each
            for each in import_paths(
                history, [_write(tmp_path / "whole", FILES[name])], options=options
            ).sources
            if each.added
        ]
        assert whole.format == name
    for number in range(DAMAGES):
        files = copy.deepcopy(FILES[name])
        rng.choice(HOW)(files, rng)
        path = _write(tmp_path / str(number), files)
        if importer.table is None and importer.sniff(path):
            found, refusal = _read(importer, path, options)
            assert "\n" not in refusal
            # A score off the scale is refused by its record, and the import adds the file.
            assert not refusal or str(tmp_path) in refusal or "for " in refusal, refusal
            records = [each for each in found if isinstance(each, Record)]
            assert all(each.score is None or math.isfinite(each.score) for each in records)
        if number % 5 == 0:
            with History.in_memory() as history:
                report = import_paths(history, [tmp_path / str(number)], options=options)
                assert all("\n" not in each.error for each in report.refused)
                assert history.check({})[1] == []


def test_a_metric_whose_name_is_no_text_is_cleaned_as_other_names_are(tmp_path: Path) -> None:
    files = copy.deepcopy(FILES["helm"])
    files["run/per_instance_stats.json"][0]["stats"][0]["name"]["name"] = "f1\ud800"
    path = _write(tmp_path, files)
    with History.in_memory() as history:
        report = import_paths(history, [path], options=ReadOptions(metric="f1\ud800"))
        assert report.added == 1, report.refused
        (metric,) = history.metrics("narrative_qa")
        assert metric.metric.name.startswith("f1?")
