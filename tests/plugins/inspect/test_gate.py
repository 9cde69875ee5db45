"""``--gate`` on ``midband inspect``: the verdict as an exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai.dataset import MemoryDataset
from inspect_ai.scorer import match
from inspect_ai.solver import generate

from midband.cli.recording import record_results
from midband.descriptors import ReadOptions
from midband_history import History
from midband_sampler import NotWorse, RankSettled

MODEL = ("--model", "mockllm/model")
Call = Callable[..., tuple[int, str, str]]
MakePlan = Callable[..., Path]
BENCHMARK = """
import sys
sys.path.insert(0, {folder!r})
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import match
from inspect_ai.solver import solver
from toy_benchmark import samples, solves

@solver
def able(ability):
    async def solve(state, generate):
        text = "yes" if solves(ability, state.input_text.rpartition(" ")[2]) else "no"
        state.output = ModelOutput.from_content("mockllm/model", text)
        return state
    return solve

@task
def toy(ability: int = 97) -> Task:
    data = [
        each.model_copy(update={{"metadata": {{"repo": "r" + str(place % 10)}}}})
        for place, each in enumerate(samples())
    ]
    return Task(dataset=MemoryDataset(data, name="toy"), solver=able(ability), scorer=match())
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    path = tmp_path / "bench.py"
    path.write_text(BENCHMARK.format(folder=str(Path(__file__).parent)))
    return path


def midband(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "midband", *words],
        cwd=folder,
        env={**os.environ, "INSPECT_LOG_DIR": "some-logs", "INSPECT_DISPLAY": "plain"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_an_eval_ends_with_the_gates_code(
    make: MakePlan, bench: Path, tmp_path: Path, call: Call
) -> None:
    plan = make(stop=NotWorse("toy/50", 5.0))
    words = ("eval", str(bench), "--adaptive", str(plan), *MODEL, "-T", "ability=97")
    ours = ("--gate", "not-worse:toy/50:5", "--summary=gate.md", "--record")
    ended = midband("inspect", *words, *ours, "--history", "new.duckdb", folder=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    with History.open(tmp_path / "new.duckdb", read_only=True) as history:
        (recorded,) = history.agents("toy")
    assert recorded.name.startswith("mockllm/model")
    assert f"recorded {recorded.tasks} attempts in the history" in ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("gate held: mockllm/model is")
    assert "baseline | toy/50" in (tmp_path / "gate.md").read_text()
    gate = ("--gate", "not-worse:mockllm/model:5")
    code, _, error = call("rank", tmp_path / "some-logs", *gate, "--agent", "new")
    assert code == 2
    assert "through the plan" in error


def test_what_cannot_be_recorded_is_one_line(tmp_path: Path, call: Call) -> None:
    said: list[str] = []
    options = ReadOptions(benchmark="toy")
    ways: Any = {"history_path": tmp_path, "again": "midband import logs", "say": said.append}
    assert record_results([tmp_path], options=options, note=said.append, **ways) == 0
    (line,) = said
    assert line.startswith("not recorded: ")
    assert line.endswith(": midband import logs")
    code, _, error = call("inspect", "list", "--record")
    assert (code, "expected --record with eval or eval-set, got 'list'" in error) == (2, True)


def test_a_plan_that_stops_by_something_else_is_refused_before_anything_is_spent(
    make: MakePlan, bench: Path, call: Call
) -> None:
    plan = make(stop=RankSettled())
    words = ("inspect", "eval", bench, "--adaptive", plan, *MODEL, "--gate", "not-worse:toy/50:5")
    code, _, error = call(*words)
    assert code == 2
    assert '--stop "not-worse:toy/50:5:0.95"' in error
    code, _, error = call("inspect", "eval", bench, *words[5:])
    assert code == 2
    assert "--adaptive PLAN beside --gate" in error


def test_the_metadata_of_samples_clusters_tasks(toy: Any, tmp_path: Path, call: Call) -> None:
    data = [
        each.model_copy(update={"metadata": {"repo": f"r{place % 10}"}})
        for place, each in enumerate(toy.samples())
    ]
    task = inspect_ai.Task(
        dataset=MemoryDataset(data, name="toy"), solver=generate(), scorer=match(), name="toy"
    )
    for ability in (50, 97):
        inspect_ai.eval(
            task, model=f"toy/{ability}", log_dir=str(tmp_path / str(ability)), display="none"
        )
    gate = ("--gate", "not-worse:toy/50:5", "--baseline", tmp_path / "50", "--json")
    code, out, error = call("rank", tmp_path / "97", *gate, "--cluster", "repo")
    assert code == 0, error
    assert json.loads(out)["gate"]["clusters"] == 10
