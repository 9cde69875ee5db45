"""From a user's own Inspect logs to a run that stopped, in three commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai")

from midband.inspect.demo import PROVIDER, agent_names

N_TASKS = 100
TASK = f"""
from inspect_ai import Task, task
from midband.inspect.simulated import toy_task

@task
def mine() -> Task:
    inner = toy_task({N_TASKS})
    return Task(dataset=inner.dataset, scorer=inner.scorer, solver=inner.solver)
"""
pytestmark = pytest.mark.slow


def _call(*words: str | Path, cwd: Path, expected: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *(str(word) for word in words)],
        cwd=cwd,
        env={**os.environ, "INSPECT_DISPLAY": "plain", "MIDBAND_HISTORY": str(cwd / "h.duckdb")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the logs of 12 agents, as plain ``inspect eval`` writes them."""
    where = tmp_path_factory.mktemp("user")
    (where / "mine.py").write_text(TASK)
    models = ",".join(f"{PROVIDER}/{agent}" for agent in agent_names()[::2])
    _call("inspect_ai", "eval", "mine.py", "--model", models, "--log-dir", "logs", cwd=where)
    return where


def test_three_commands_lead_to_a_run_that_stopped(place: Path) -> None:
    model = f"{PROVIDER}/agent-new"
    assert "12 sources" in _call("midband", "import", "logs", cwd=place)
    _call("midband", "plan", "mine", "--output", "plan.json", cwd=place)
    run = ("inspect", "eval", "mine.py", "--adaptive", "plan.json", "--model", model)
    _call("midband", *run, "--log-dir", "new", cwd=place)

    from inspect_ai.log import read_eval_log

    (path,) = (place / "new").glob("*.eval")
    log = read_eval_log(str(path))
    assert log.status == "success"
    assert log.results is not None
    assert log.results.early_stopping is not None
    said = log.results.early_stopping.metadata
    (ranked,) = json.loads(_call("midband", "rank", "plan.json", "new", "--json", cwd=place))
    assert said["stop"] is True
    for name in ("rank", "low", "high", "confidence", "tasks_run", "reason", "plan_digest"):
        assert said[name] == ranked[name]
    assert len(log.samples or []) < ranked["tasks_total"]


def test_a_plan_of_another_benchmark_is_refused_by_name(place: Path) -> None:
    (place / "other.py").write_text(TASK.replace("def mine", "def other"))
    _call("midband", "import", "logs", cwd=place)
    _call("midband", "plan", "mine", "--output", "plan.json", cwd=place)
    run = ("inspect", "eval", "other.py", "--adaptive", "plan.json")
    model = f"{PROVIDER}/agent-new"
    done = subprocess.run(
        [sys.executable, "-m", "midband", *run, "--model", model, "--log-dir", "refused"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "mine" in done.stdout + done.stderr
    assert "other" in done.stdout + done.stderr
    assert not list(place.glob("refused/*.eval"))


def _start(*words: str | Path, cwd: Path, history: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "midband", *(str(word) for word in words)],
        cwd=cwd,
        env={**os.environ, "MIDBAND_HISTORY": history},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_eight_shells_import_into_one_history_while_a_ninth_plans(place: Path) -> None:
    history = str(place / "team" / "history.duckdb")
    logs = sorted((place / "logs").glob("*.eval"))
    assert len(logs) == 12
    # Eight overlapping halves; every log is in four of them.
    halves = [[logs[(3 * i + j) % 12] for j in range(6)] for i in range(8)]
    shells = [_start("import", *half, cwd=place, history=history) for half in halves]
    ninth = _start("plan", "mine", "--output", "plan-of-team.json", cwd=place, history=history)
    for shell in shells[:2]:
        assert shell.stdout is not None
        shell.kill()
        shell.communicate()
    again = [_start("import", *half, cwd=place, history=history) for half in halves[:2]]
    said, _ = ninth.communicate()
    # It may have been too early for a plan; then it says so in one line.
    assert ninth.returncode == 0 or "midband: expected" in said, said
    for shell in (*shells[2:], *again):
        said, _ = shell.communicate()
        assert shell.returncode == 0, said
    found = _start("history", "--json", cwd=place, history=history).communicate()[0]
    (benchmark,) = json.loads(found)
    assert (benchmark["agents"], benchmark["tasks"]) == (12, N_TASKS)
    assert benchmark["attempts"] == 12 * N_TASKS
    check = _start("history", "check", cwd=place, history=history)
    assert check.communicate()[0].strip() == "nothing is wrong"
    plan = _start("plan", "mine", "--output", "plan-of-team.json", cwd=place, history=history)
    assert plan.communicate()[0]
    assert plan.returncode == 0
