"""mini-swe-agent itself with a scripted model, and SWE-bench's own report of what it left.

Tests in containers are replaced by a stand-in that writes their reports; the run's report is then
written by SWE-bench.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.plugins.adapters.conftest import Environment, MakePlan

from midband._manager import get_plugin_manager
from midband.descriptors import Round
from midband.importers.sources import import_paths
from midband_history import History, Record

pytestmark = pytest.mark.slow

INSTANCES = ("x__y-1", "x__y-10", "x__y-2", "x__y-3")
CONFIG = """
agent: {system_template: You fix bugs., instance_template: "{{task}}", step_limit: 3}
environment: {environment_class: local}
model:
  model_class: deterministic
  model_name: org/scripted
  outputs: OUTPUTS
"""
PATCH = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo +patch"
# Instead of tests in containers: one passes, one fails, one leaves no report.
EVALUATION = """
import argparse, json
from pathlib import Path
from swebench.harness.reporting import make_run_report

parser = argparse.ArgumentParser()
for flag in ("-m", "--dataset_name", "--split", "--predictions_path", "--run_id", "--report_dir"):
    parser.add_argument(flag)
parser.add_argument("--instance_ids", nargs="+")
given = parser.parse_args()
assert given.m == "swebench.harness.run_evaluation"
predictions = json.loads(Path(given.predictions_path).read_text())
for task, prediction in predictions.items():
    model = prediction["model_name_or_path"].replace("/", "__")
    logs = Path("logs/run_evaluation", given.run_id, model, task)
    if prediction["model_patch"] and task != "x__y-3":
        logs.mkdir(parents=True)
        report = {task: {"patch_is_None": False, "resolved": task == "x__y-1"}}
        (logs / "report.json").write_text(json.dumps(report))
instances = [{"instance_id": task} for task in given.instance_ids]
make_run_report(predictions, instances, given.run_id, None, given.report_dir)
"""


@pytest.fixture(scope="module")
def programs(environment: Environment) -> Path:
    return environment("mini-swe-agent", "swebench")


@pytest.fixture
def variables(programs: Path, tmp_path: Path) -> dict[str, str]:
    """Return variables under which ``python`` is the stand-in for the evaluation."""
    script = tmp_path / "evaluation.py"
    script.write_text(EVALUATION)
    stand_in = tmp_path / "bin" / "python"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\nexec {programs / "python"} {script} "$@"\n')
    stand_in.chmod(0o755)
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(stand_in.parent), str(programs), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "cache"),
        "MSWEA_SILENT_STARTUP": "1",
    }


def _run(
    make_a_plan: MakePlan, variables: dict[str, str], folder: Path, *more: str, outputs: str
) -> list[Record]:
    data = folder / "data" / "test.jsonl"
    data.parent.mkdir(exist_ok=True)
    rows = [{"instance_id": task, "problem_statement": f"fix {task}"} for task in INSTANCES]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = folder / "config.yaml"
    config.write_text(CONFIG.replace("OUTPUTS", outputs))
    batch = Round(
        plan=make_a_plan("swe-bench", INSTANCES),
        tasks=tuple(task for task in INSTANCES if task != "x__y-10"),
        directory=folder / "r000",
        name="r000",
        arguments=("--subset", str(data.parent), "-c", str(config), *more),
    )
    harness = get_plugin_manager().harnesses()["swebench"]
    harness.write_subset(batch.plan, batch.directory, tasks=batch.tasks)
    command = harness.build_command(batch)
    for step in command.steps:
        done = subprocess.run(
            step, env=variables, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return list(harness.read_results(command.results))


def test_a_round_is_run_evaluated_and_read(
    make_a_plan: MakePlan, variables: dict[str, str], tmp_path: Path
) -> None:
    action = {"role": "assistant", "content": "", "extra": {"cost": 0.25}}
    action["extra"] |= {"actions": [{"command": PATCH}]}  # type: ignore[operator]
    records = _run(make_a_plan, variables, tmp_path, outputs=json.dumps([action]))
    assert {each.task_id: (each.kind, each.score, each.cost_usd) for each in records} == {
        "x__y-1": ("valid", 1.0, 0.25),
        "x__y-2": ("valid", 0.0, 0.25),
        "x__y-3": ("infra_error", None, 0.25),
    }
    assert {each.agent for each in records} == {"org/scripted"}
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path / "r000"])
        assert (report.refused, report.added, report.duplicates) == ((), 3, 2)


@pytest.mark.parametrize(
    "more", [(), ("--environment-class", "no.such.Environment")], ids=["crash", "no environment"]
)
def test_agents_that_never_ran_are_no_failures(
    make_a_plan: MakePlan, variables: dict[str, str], tmp_path: Path, more: tuple[str, ...]
) -> None:
    records = _run(make_a_plan, variables, tmp_path, *more, outputs="[]")
    (report,) = (tmp_path / "r000").glob("*.json")
    assert json.loads(report.read_text())["empty_patch_ids"] == ["x__y-1", "x__y-2", "x__y-3"]
    assert [(each.kind, each.score) for each in records] == [("infra_error", None)] * 3
