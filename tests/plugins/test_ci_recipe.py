"""The recipe of docs/ci.md runs as it stands, with a provider that spends nothing."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
TASK = """
from inspect_ai import Task, task
from midband.inspect.simulated import toy_task

@task
def toy_benchmark() -> Task:
    return toy_task(60)
"""


def _block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def _shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-e", "-c", script],  # as GitHub runs a step
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def _results(path: Path, scores: dict[str, list[float]], metric: str = "score") -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["benchmark", "task_id", "agent", metric, "cost_usd"])
        for agent, row in scores.items():
            for place, score in enumerate(row, start=1):
                writer.writerow(["toy_benchmark", f"toy-{place:03d}", agent, score, 0.05])


def test_the_workflow_gates_a_pull_request(tmp_path: Path, call: Call) -> None:
    pytest.importorskip("inspect_ai")
    yaml = pytest.importorskip("yaml")
    from midband.inspect.demo import attempt

    (tmp_path / "task.py").write_text(TASK)
    agents = [f"agent-{place:02d}" for place in (1, 2, 3)]
    scores = {
        f"midband_demo/{agent}": [float(attempt(agent, task).solved) for task in range(1, 61)]
        for agent in agents
    }
    _results(tmp_path / "past.csv", scores, "match")
    baseline = "midband_demo/agent-01"
    history = ("--history", tmp_path / "h.duckdb")
    code, _, error = call("import", tmp_path / "past.csv", "--metric", "match", *history)
    assert code == 0, error
    stop = f"not-worse:'{baseline}':2 or usd:20"
    words = ("--strategy", "random", "--stop", stop, "--output", tmp_path / "gate.json")
    code, _, error = call("plan", "toy_benchmark", *words, *history)
    assert code == 0, error
    job = yaml.safe_load(_block("yaml"))["jobs"]["gate"]
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    assert set(job["env"]) >= {"TASK", "MODEL", "BASELINE"}
    done = _shell(
        steps["Not worse than the baseline"],
        tmp_path,
        TASK="task.py",
        MODEL="midband_demo/agent-new",
        BASELINE=baseline,
        GITHUB_STEP_SUMMARY=str(tmp_path / "step.md"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gate held" in done.stdout
    said = (tmp_path / "step.md").read_text()
    assert said.startswith("### Gate held\n")
    for part in ("| tasks |", "| spent |", "| interval |", "$ midband inspect eval task.py"):
        assert part in said
    assert list((tmp_path / "logs").glob("*.eval"))


@pytest.mark.parametrize(
    ("share", "code", "said"), [(0.5, 4, "did not hold."), (None, 2, "failed")]
)
def test_the_shell_lines_end_with_the_gates_code(
    tmp_path: Path, share: float | None, code: int, said: str
) -> None:
    base = [float(place % 10 < 8) for place in range(400)]
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    _results(tmp_path / "old" / "r.csv", {"base": base})
    if share is not None:
        new = [float(place % 10 < 10 * share) for place in range(400)]
        _results(tmp_path / "new" / "r.csv", {"candidate": new})
    (tmp_path / "summary.md").touch()
    done = _shell(_block("sh"), tmp_path, BASELINE="base")
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout
    if share is not None:
        assert "| margin | 2 points |" in (tmp_path / "summary.md").read_text()
