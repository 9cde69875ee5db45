"""From a user's own Inspect logs to a run that stopped, in three commands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests import tutorial

pytest.importorskip("inspect_ai")

from midband.inspect.demo import PROVIDER

N_TASKS = 100
BENCHMARK = "toy_benchmark"
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
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tutorial.Step]]:
    """Follow the tutorial from the logs of 12 agents, as plain ``inspect eval`` writes them."""
    where = tmp_path_factory.mktemp("user")
    return where, tutorial.follow(where)


@pytest.fixture
def place(followed: tuple[Path, list[tutorial.Step]]) -> Path:
    """Return the directory in which the tutorial was followed."""
    return followed[0]


def _in_words(output: str) -> str:
    """Drop what depends on dates, durations, and the numerics of a machine."""
    plain = re.sub(r"\b[0-9a-f]{16}\b|[\d.,]*\d", "#", output)
    plain = re.sub(r"[━┏┳┓┡╇┩└─┴┘═●·\[\]]+", " ", plain)
    rows = re.sub(r"^(│.*│\n)+", "│\n", re.sub(r" +", " ", plain), flags=re.MULTILINE)
    return " ".join(rows.split())


def test_the_tutorial_shows_what_its_commands_print(
    followed: tuple[Path, list[tutorial.Step]],
) -> None:
    steps = followed[1]
    assert len(steps) == tutorial.PAGE.read_text(encoding="utf-8").count("$ ") - 1
    for step in steps:
        if step.shown:
            assert _in_words(step.printed) == _in_words(step.shown), step.command
    (counted,) = (step for step in steps if step.command.startswith("midband import"))
    assert counted.printed == counted.shown
    assert sum(bool(step.shown) for step in steps) >= 5


def test_three_commands_lead_to_a_run_that_stopped(place: Path) -> None:
    from inspect_ai.log import read_eval_log

    (path,) = (place / "new").glob("*.eval")
    log = read_eval_log(str(path))
    assert log.status == "success"
    assert log.eval.metadata is not None
    said = log.eval.metadata["midband_run"]
    (ranked,) = json.loads(_call("midband", "rank", "plan.json", "new", "--json", cwd=place))
    assert said["stop"] is True
    for name in ("rank", "low", "high", "confidence", "tasks_run", "reason", "plan_digest"):
        assert said[name] == ranked[name]
    assert len(log.samples or []) < ranked["tasks_total"]


def test_a_plan_of_another_benchmark_is_refused_by_name(place: Path) -> None:
    task = (place / f"{BENCHMARK}.py").read_text().replace(f"def {BENCHMARK}", "def other")
    (place / "other.py").write_text(task.replace("toy_task(100)", "Task(toy_task(100).dataset)"))
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
    assert BENCHMARK in done.stdout + done.stderr
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
    ninth = _start("plan", BENCHMARK, "--output", "plan-of-team.json", cwd=place, history=history)
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
    plan = _start("plan", BENCHMARK, "--output", "plan-of-team.json", cwd=place, history=history)
    assert plan.communicate()[0]
    assert plan.returncode == 0
