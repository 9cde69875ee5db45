"""``--adaptive SUITE``: each task of a command finds its plan, and all of them share one limit."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_ai.log import list_eval_logs, read_eval_log
from tests.plugins.inspect.test_gate import BENCHMARK

from midband.inspect import inspect_argv
from midband.inspect.command import suite_tasks
from midband.inspect.limits import LEDGER
from midband.inspect.task import RefusedError, adaptive
from midband.suite import NotPlanned, Planned, Suite
from midband_history import InputError
from midband_sampler import Never, Plan

MakePlan = Callable[..., Path]
SECOND = """

@task
def other(ability: int = 97) -> Task:
    return Task(dataset=MemoryDataset(samples(), name="other"), solver=able(40), scorer=match())
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    path = tmp_path / "bench.py"
    path.write_text(BENCHMARK.format(folder=str(Path(__file__).parent)) + SECOND)
    return path


@pytest.fixture
def suite(make: MakePlan, tmp_path: Path) -> Path:
    place = tmp_path / "suite"
    place.mkdir()
    planned = []
    for name in ("toy", "other"):
        plan = Plan.read(make(benchmark=name, stop=Never()))
        plan.write(place / f"{name}.json")
        planned.append(Planned(benchmark=name, file=f"{name}.json", digest=plan.digest))
    gone = (NotPlanned(benchmark="third", reason="too few agents"),)
    Suite(directory=place, planned=tuple(planned), not_planned=gone).write()
    return place


def test_every_task_runs_by_its_plan_within_one_limit(bench: Path, suite: Path) -> None:
    words = ["eval-set", f"{bench}@toy", f"{bench}@other", "--adaptive", str(suite)]
    words += ["--model", "mockllm/model", "--log-dir", "logs", "--total-usd", "0.255"]
    done = subprocess.run(
        [sys.executable, "-m", "midband", "inspect", *words, "--summary", "s.md"],
        cwd=bench.parent,
        env={**os.environ, "INSPECT_DISPLAY": "none"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = (bench.parent / "s.md").read_text()
    assert text.count("| mockllm/model |") == 2
    assert "| not planned: too few agents |" in text
    logs = {
        log.eval.task: log
        for info in list_eval_logs(str(bench.parent / "logs"))
        for log in [read_eval_log(info)]
    }
    assert set(logs) == {"toy", "other"}
    assert {log.eval.task_registry_name for log in logs.values()} == {"midband/adaptive"}
    # Each task costs one cent by the history, as the provider does not say.
    assert sum(len(log.samples or []) for log in logs.values()) == 25
    assert len((bench.parent / "logs" / LEDGER).read_text().splitlines()) == 25
    for name, log in logs.items():
        noted = (log.eval.metadata or {})["midband"]
        assert noted["plan_digest"] == Suite.read(suite).plan(name).digest


def test_what_the_command_becomes(bench: Path, suite: Path) -> None:
    flag = ["--adaptive", str(suite)]
    words = ["eval-set", f"{bench}@toy", f"{bench}@other", *flag]
    found = inspect_argv(words)
    assert found[:3] == ["eval-set", "midband/suite-1", "midband/suite-2"]
    assert suite_tasks(words) == [f"{bench}@toy", f"{bench}@other"]
    alone = ["eval", f"{bench}@toy", *flag]
    assert inspect_argv(alone)[:2] == ["eval", "midband/adaptive"]
    assert suite_tasks(alone) == []
    one = ["eval", "a.py", "b.py", "--adaptive", str(suite / "toy.json")]
    with pytest.raises(InputError, match="makes a suite of several"):
        inspect_argv(one)


def test_a_task_without_a_plan_is_refused_before_it_runs(bench: Path, suite: Path) -> None:
    bench.write_text(bench.read_text().replace("def other", "def third"))
    with pytest.raises(RefusedError, match="could not be planned") as caught:
        adaptive(task=f"{bench}@third", plan=str(suite))
    assert "\n" not in str(caught.value)
    with pytest.raises(RefusedError, match="put the first plan back"):
        adaptive(task=f"{bench}@toy", plan=str(suite), plan_digest="another")


def test_a_log_that_is_named_after_our_task_is_of_its_own_benchmark(
    make: MakePlan, bench: Path
) -> None:
    """Inspect Flow names a log after the task that it runs, which is midband/adaptive."""
    from inspect_ai import eval as inspect_eval
    from inspect_ai import task_with

    from midband.importers.reading import read_records

    prepared = adaptive(task=f"{bench}@toy", plan=str(make()))
    (log,) = inspect_eval(
        task_with(prepared, name="midband/adaptive"),
        model="mockllm/model",
        log_dir=str(bench.parent / "flow"),
        display="none",
        max_samples=1,
    )
    assert log.eval.task.endswith("adaptive")
    assert {record.benchmark for record in read_records([bench.parent / "flow"])} == {"toy"}
