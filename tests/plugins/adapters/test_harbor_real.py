"""Harbor itself, with its oracle and no-op agents on tasks of our own, in a local environment."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.plugins.adapters.conftest import Environment, MakePlan

from midband.adapters.harbor import REFUSED, HarborHarness
from midband.descriptors import Round
from midband_history import Record

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TASKS = ("alpha", "beta[1]", "beta1", "gamma")


@pytest.fixture(scope="module")
def programs(environment: Environment) -> Path:
    return environment("harbor", minimum=(3, 12))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a data set of tasks that call themselves otherwise than their folders."""
    for task in TASKS:
        folder = tmp_path / "ds" / task
        contents = {
            "task.toml": f'[task]\nname = "org/{task.replace("[", "").replace("]", "")}"\n',
            "instruction.md": "Write yes into done.\n",
            "environment/Dockerfile": "FROM scratch\n",
            "solution/solve.sh": '#!/bin/sh\necho yes > "$ROOT/app/done"\n',
            "tests/test.sh": '#!/bin/sh\ngrep -q yes "$ROOT/app/done" && echo 1 > "$ROOT/logs/'
            'verifier/reward.txt" || echo 0 > "$ROOT/logs/verifier/reward.txt"\n',
        }
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
    return tmp_path / "ds"


def _run(
    programs: Path, batch: Round, *, expected: int = 0
) -> tuple[list[Record], subprocess.CompletedProcess[str]]:
    variables = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(HERE),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    harness = HarborHarness()
    harness.write_subset(batch.plan, batch.directory, tasks=batch.tasks)
    command = harness.build_command(batch)
    (step,) = command.steps
    done = subprocess.run(
        step, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode == 0) == (expected == 0), done.stdout + done.stderr
    records = list(harness.read_results(command.results)) if command.results.exists() else []
    return records, done


def test_a_job_runs_the_tasks_of_its_round_and_no_other(
    programs: Path, dataset: Path, make_a_plan: MakePlan, tmp_path: Path
) -> None:
    options = ("-p", str(dataset), "-e", "harbor_environment:LocalEnvironment", "-n", "2")
    plan = make_a_plan("ds", TASKS)

    def batch(tasks: tuple[str, ...], agent: str, attempts: int = 1) -> Round:
        return Round(
            plan=plan,
            tasks=tasks,
            directory=tmp_path / agent / "r000",
            name="r000",
            attempts=attempts,
            arguments=(*options, "-a", agent, "-m", "org/m"),
        )

    # As a pattern, beta[1] would be beta1.
    solved, _ = _run(programs, batch(("beta[1]", "alpha"), "oracle", attempts=2))
    assert {(each.task_id, each.attempt, each.score) for each in solved} == {
        (task, attempt, 1.0) for task in ("alpha", "beta[1]") for attempt in (0, 1)
    }
    assert {(each.agent, each.benchmark) for each in solved} == {("oracle (org/m)", "ds")}
    assert len({each.source_key for each in solved}) == 4
    assert all(each.task_digest and each.duration_s is not None for each in solved)

    failed, _ = _run(programs, batch(("gamma",), "nop"))
    assert [(each.task_id, each.kind, each.score) for each in failed] == [("gamma", "valid", 0.0)]
    # The round is run again with other tasks: the job that is there is left as it is.
    more, _ = _run(programs, batch(("alpha",), "nop"))
    assert sorted(each.task_id for each in more) == ["alpha", "gamma"]


def test_a_name_that_harbor_drops_in_silence_is_missing_from_the_results(
    programs: Path, dataset: Path, make_a_plan: MakePlan, tmp_path: Path
) -> None:
    arguments = ("-p", str(dataset), "-e", "harbor_environment:LocalEnvironment", "-a", "oracle")
    plan = make_a_plan("ds", (*TASKS, "no-such-task"))
    both = Round(
        plan=plan,
        tasks=("alpha", "no-such-task"),
        directory=tmp_path / "r000",
        name="r000",
        arguments=arguments,
    )
    records, _ = _run(programs, both)
    assert [each.task_id for each in records] == ["alpha"]
    neither = Round(
        plan=plan,
        tasks=("no-such-task",),
        directory=tmp_path / "r001",
        name="r001",
        arguments=arguments,
    )
    records, _ = _run(programs, neither, expected=1)
    assert records == []


def test_every_flag_that_is_set_or_refused_is_one_of_the_harness(programs: Path) -> None:
    done = subprocess.run(
        [programs / "harbor", "run", "--help"],
        env={**os.environ, "COLUMNS": "250", "TERM": "dumb"},
        check=True,
        capture_output=True,
        text=True,
    )
    flags = {flag for word in done.stdout.split() for flag in word.split(",")}
    ours = {"--jobs-dir", "--job-name", "-k", "-i", "-y", "-q", "-d", "--dataset", "-p", "--path"}
    assert (ours | {"--repo"} | set(REFUSED)) <= flags
