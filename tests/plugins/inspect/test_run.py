"""``midband run inspect``: one adaptive eval with the journal, limits and resume of a run."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai.log import read_eval_log, write_eval_log

from midband_history import InputError
from midband_sampler import MaxErrors, Never, parse_max_errors

pytestmark = pytest.mark.skipif(
    not hasattr(inspect_ai, "SampleSource"), reason="inspect-ai cannot choose samples live"
)
MakePlan = Callable[..., Path]

# Notes every sample that it runs, and is killed at the given one; no model is called.
BENCHMARK = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.scorer import match
from inspect_ai.model import ModelOutput
from inspect_ai.solver import solver
from toy_benchmark import samples, solves

HERE = Path(__file__).parent

@solver
def noted(kill_at):
    async def solve(state, generate):
        place = HERE / "ran.txt"
        ran = place.read_text().split() if place.exists() else []
        place.write_text(" ".join([*ran, str(state.sample_id)]))
        if len(ran) + 1 == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        text = "yes" if solves(97, state.input_text.rpartition(" ")[2]) else "no"
        state.output = ModelOutput.from_content("mockllm/model", text)
        return state
    return solve

@task
def toy(kill_at: int = 0) -> Task:
    return Task(
        dataset=MemoryDataset(samples(), name="toy"),
        solver=noted(kill_at),
        scorer=match(),
    )
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
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run(plan: Path, bench: Path, *ours: str, theirs: tuple[str, ...] = ()) -> Any:
    words = ("run", "inspect", str(plan), "--output", "out", "--json", *ours, "--", str(bench))
    return midband(*words, "--model", "mockllm/model", *theirs, folder=bench.parent)


def ran(bench: Path) -> Counter[str]:
    place = bench.parent / "ran.txt"
    return Counter(place.read_text().split() if place.exists() else [])


def test_a_run_stops_early_with_the_verdict_of_its_log_and_is_not_run_again(
    make: MakePlan, bench: Path
) -> None:
    plan = make(strategy="information")
    first = run(plan, bench)
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["stop"]
    assert report["tasks_run"] < 40
    assert report["spent_usd"] == pytest.approx(0.01 * report["tasks_started"])
    before = ran(bench)
    assert before.total() == report["tasks_started"]
    second = run(plan, bench)
    assert (second.returncode, json.loads(second.stdout)) == (0, report)
    assert ran(bench) == before
    judged = midband("rank", str(plan), "out/logs", "--json", folder=bench.parent)
    (row,) = json.loads(judged.stdout)
    for name in ("rank", "low", "high", "score", "tasks_run", "reason"):
        assert row[name] == report[name], name
    other = run(plan, bench, theirs=("--temperature", "0.5"))
    assert other.returncode == 2
    assert "expected the same arguments" in other.stderr
    assert len(other.stderr.splitlines()) == 1
    foreign = run(make(strategy="random", name="other.json"), bench)
    assert foreign.returncode == 2
    assert "expected plan" in foreign.stderr
    assert ran(bench) == before


def test_a_killed_run_goes_on_and_no_result_is_paid_twice(make: MakePlan, bench: Path) -> None:
    plan = make(strategy="information", stop=Never())
    ours = ("--max-tasks", "9")
    theirs = ("-T", "kill_at=6", "--max-samples", "2")
    killed = run(plan, bench, *ours, theirs=theirs)
    assert killed.returncode == 1
    at_kill = ran(bench)
    assert at_kill.total() == 6
    done = json.loads(killed.stdout)["tasks_started"]
    assert 4 <= done < 6
    # A second kill came before Inspect had copied more than one sample of the first log.
    (log,) = (bench.parent / "out" / "logs").glob("*.eval")
    copy = read_eval_log(str(log))
    copy.samples = (copy.samples or [])[:1]
    write_eval_log(copy, str(log.with_name(f"{log.stem}-2.eval")))
    more = run(plan, bench, "--max-tasks", "12", theirs=theirs)
    assert more.returncode == 2
    assert "expected the same max_tasks" in more.stderr
    resumed = run(plan, bench, *ours, theirs=theirs)
    assert resumed.returncode == 0, resumed.stderr
    report = json.loads(resumed.stdout)
    assert "task limit reached: 9 of 9" in report["ended"]
    assert report["rounds"] == 2
    counts = ran(bench)
    assert len(counts) == 9
    assert counts.total() == 9 + 6 - done
    assert set(at_kill) <= set(counts)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (("--max-usd", "3"), ("--total-usd", "9"), "--total-usd"),
        (("--round-size", "3"), (), "--round-size"),
        (("--in-process",), (), "--in-process"),
        (("--errors", "failed"), (), "--errors"),
        ((), ("--adaptive", "other.json"), "--adaptive"),
        ((), ("--log-dir", "elsewhere"), "--log-dir"),
        ((), ("--no-log-samples",), "--no-log-samples"),
        (("--max-tasks", "3"), ("--limit", "5"), "--limit"),
        ((), ("another.py",), "expected one TASK"),
    ],
)
def test_what_such_a_run_cannot_keep_is_refused_in_one_line_before_it_begins(
    make: MakePlan, bench: Path, ours: tuple[str, ...], theirs: tuple[str, ...], said: str
) -> None:
    from click.testing import CliRunner

    from midband.cli.root import cli

    words = ["run", "inspect", str(make()), "--output", str(bench.parent / "out"), *ours, "--"]
    words += [str(bench), "--model", "mockllm/model", *theirs]
    done = CliRunner().invoke(cli, words)
    text = str(done.exception) if isinstance(done.exception, InputError) else done.output
    assert done.exit_code != 0
    assert said in text
    assert "\n" not in text.strip()
    assert not (bench.parent / "out" / "logs").exists()
    assert not ran(bench)


@pytest.mark.parametrize("most", [MaxErrors(count=0), MaxErrors(count=5), MaxErrors(share=0.2)])
def test_the_most_errors_are_written_as_they_are_read(most: MaxErrors) -> None:
    assert parse_max_errors(str(most)) == most
