import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import recompute_metrics, write_eval_log
from inspect_ai.model import get_model

from midband.inspect.demo import _TASK_FILE, PROVIDER, agent_names, attempt
from midband.inspect.simulated import toy_task

PAGE = Path(__file__).parents[3] / "docs" / "harnesses" / "inspect.md"


def simulate_logs(directory: Path) -> None:
    """Write a log for each agent: one is run, the others are that one with their own results."""
    first, *others = agent_names()
    (log,) = inspect_eval(
        toy_task(), model=f"{PROVIDER}/{first}", log_dir=str(directory), display="none"
    )
    assert log.samples is not None
    for agent in others:
        log.eval.model = f"{PROVIDER}/{agent}"
        log.eval.run_id = log.eval.eval_id = log.eval.task_id = f"run of {agent}"
        for sample in log.samples:
            sample.uuid = f"{agent} {sample.id}"
            solved = attempt(agent, int(str(sample.id).removeprefix("toy-"))).solved
            assert sample.scores is not None
            for score in sample.scores.values():
                score.value = "C" if solved else "I"
        recompute_metrics(log)
        write_eval_log(log, str(directory / f"{agent}.json"))


@pytest.mark.slow
def test_the_page_runs_as_written(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    first, *_ = re.findall(r"^```console\n(.*?)^```", page, flags=re.M | re.S)
    commands = [shlex.split(line.removeprefix("$ ")) for line in first.splitlines()]
    assert [words[1] for words in commands] == ["import", "plan", "inspect", "rank"]
    simulate_logs(tmp_path / "logs")
    (tmp_path / "toy_benchmark.py").write_text(_TASK_FILE, encoding="utf-8")
    environment = {
        **os.environ,
        "MIDBAND_HISTORY": str(tmp_path / "history.duckdb"),
        "INSPECT_DISPLAY": "plain",
    }
    said = []
    for _, *words in commands:
        done = subprocess.run(
            [sys.executable, "-m", "midband", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout + done.stderr)
    last = said[2][said[2].rindex("midband: midband_demo/agent-new:") :]
    assert max(len(line) for line in last.splitlines()) <= 100
    assert last.rstrip().endswith("(tasks chosen live)")
    verdict = last.replace("midband: ", "", 1).rstrip().removesuffix("(tasks chosen live)")
    assert " ".join(said[3].split()).startswith(" ".join(verdict.split()))


def test_a_misspelt_simulated_agent_is_refused_before_anything_runs() -> None:
    with pytest.raises(
        PrerequisiteError, match="agent-01 to agent-24 or agent-new, got 'agent-99'"
    ):
        get_model(f"{PROVIDER}/agent-99")
