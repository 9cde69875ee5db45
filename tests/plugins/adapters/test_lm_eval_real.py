"""lm-evaluation-harness itself, with its dummy model on a toy task: subset, files, numbers."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.environments import ROOT
from tests.plugins.adapters.conftest import Environment, MakePlan

from midband.adapters.lm_eval_harness import LmEvalHarness
from midband.descriptors import Round
from midband_history import Record

pytestmark = pytest.mark.slow

SIZE = 12
NUMBERS = ("10", "2", "0", "11", "3")
MODEL = ("--model", "dummy", "--model_args", "model=mine")
PACKAGES = ("lm-eval", "click", "duckdb", "pluggy", "rich", "scipy")
ROOMS = [str(ROOT / room) for room in ("history", "sampler", "sims", "plugins")]


@pytest.fixture(scope="module")
def programs(environment: Environment) -> Path:
    return environment(*PACKAGES)


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Return a folder with a task whose every third document the dummy model answers right."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    documents = [
        {"question": f"number {place}", "answer": "lol" if place % 3 == 0 else "no"}
        for place in range(SIZE)
    ]
    data = folder / "toy.jsonl"
    data.write_text("".join(json.dumps(each) + "\n" for each in documents))
    (folder / "toy.yaml").write_text(
        "task: toy\n"
        "dataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        'doc_to_text: "Say a word: {{question}}"\n'
        'doc_to_target: "{{answer}}"\n'
        'generation_kwargs: {until: ["\\n"]}\n'
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    (folder / "both.yaml").write_text("group: both\ntask: [toy]\n")
    return folder


def _variables(programs: Path, cache: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(ROOMS),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(cache),
    }


def _rows(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.rglob("samples_*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def _round(make_a_plan: MakePlan, directory: Path, tasks: Path, *, of: tuple[str, ...]) -> Round:
    return Round(
        plan=make_a_plan("toy", [*map(str, range(SIZE)), "99"]),
        tasks=of,
        directory=directory,
        name=directory.name,
        arguments=(*MODEL, "--include_path", str(tasks)),
    )


def _alike(records: list[Record]) -> list[Record]:
    """Return records without what is of their run alone, in the order of the data."""
    known = [replace(record, run_id="", started=None) for record in records]
    return sorted(known, key=lambda record: int(record.task_id))


def test_command_and_library_run_the_same_documents_under_their_own_numbers(
    programs: Path, tasks: Path, make_a_plan: MakePlan, tmp_path: Path
) -> None:
    harness, variables = LmEvalHarness(), _variables(programs, tmp_path / "cache")
    batch = _round(make_a_plan, tmp_path / "r000", tasks, of=NUMBERS)
    harness.write_subset(batch.plan, batch.directory, tasks=batch.tasks)
    command = harness.build_command(batch)
    (step,) = command.steps
    subprocess.run(step, env=variables, check=True, capture_output=True, timeout=300)
    rows = _rows(command.results)
    # Unsorted numbers would stand beside other documents; the word tells which one was run.
    assert {row["doc_id"]: row["doc"]["question"] for row in rows} == {
        int(number): f"number {number}" for number in NUMBERS
    }
    records = list(harness.read_results(command.results, benchmark="toy"))
    assert {(each.task_id, each.score) for each in records} == {
        (number, float(int(number) % 3 == 0)) for number in NUMBERS
    }
    assert {each.agent for each in records} == {"mine"}
    assert all(each.task_digest for each in records)
    assert {each.harness_version for each in records} == set(harness.tested_versions)

    plan = tmp_path / "plan.json"
    batch.plan.write(plan)
    script = tmp_path / "library.py"
    script.write_text(LIBRARY)
    words = [str(programs / "python"), *map(str, (script, plan, tmp_path / "library"))]
    done = subprocess.run(
        [*words, *batch.arguments],
        env=variables,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    # One model for both rounds.
    *refusals, loaded = done.stdout.splitlines()[-4:]
    assert loaded == "loaded 1"
    # A group would run in full; so would a task of another name.
    assert "expected one task called 'both', got 1 (toy)" in refusals[0]
    assert "expected documents of 'toy' below 12, got 99" in refusals[1]
    assert "expected no --cache_requests" in refusals[2]
    found = [
        record
        for name in ("r000", "r001")
        for record in harness.read_results(tmp_path / "library" / name, benchmark="toy")
    ]
    assert _alike(found) == _alike(records)


# In the harness's own environment: two rounds through the library, and a refusal.
LIBRARY = """
import sys
from dataclasses import replace
from pathlib import Path

from lm_eval.models.dummy import DummyLM
from midband import InputError, Plan
from midband.descriptors import Round
from midband.adapters.lm_eval_harness import LmEvalHarness

loaded = []
start = DummyLM.__init__


def count(self, *args, **kwargs):
    loaded.append(self)
    start(self, *args, **kwargs)


DummyLM.__init__ = count
plan, folder = Plan.read(sys.argv[1]), Path(sys.argv[2])
harness, arguments = LmEvalHarness(), tuple(sys.argv[3:])
run = harness.start(arguments)
for name, tasks in (("r000", ("10", "2")), ("r001", ("0", "11", "3"))):
    batch = Round(
        plan=plan, tasks=tasks, directory=folder / name, name=name, arguments=arguments
    )
    assert run(batch).is_relative_to(folder / name)
group = replace(plan, benchmark="both")
for each, task in ((group, "0"), (plan, "99")):
    batch = Round(
        plan=each, tasks=(task,), directory=folder / "no", name="no", arguments=arguments
    )
    try:
        run(batch)
    except InputError as error:
        print(error)
try:
    harness.start((*arguments, "--cache_requests", "true"))
except InputError as error:
    print(error)
print("loaded", len(loaded))
"""


def test_every_flag_that_is_set_or_refused_is_one_of_the_harness(programs: Path) -> None:
    from midband.adapters.lm_eval_harness import REFUSED

    done = subprocess.run(
        [programs / "lm_eval", "run", "--help"], check=True, capture_output=True, text=True
    )
    flags = {word.strip(",") for word in done.stdout.split() if word.startswith("-")}
    set_by_us = {"--tasks", "--samples", "--output_path", "--log_samples"}
    assert (set_by_us | set(REFUSED)) <= flags
