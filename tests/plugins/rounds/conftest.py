"""What the tests of runs in rounds share: a plan, the stand-in, its ledger, and ways to run it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from tests.plugins.rounds.adapter import Plugin

from midband import Plan, get_plugin_manager
from midband_history import Metric, OutcomeMatrix
from midband_sampler import Never, RankSettled, Rule, make_plan

Call = Callable[..., tuple[int, str, str]]
ADAPTER = Path(__file__).with_name("adapter.py")


@dataclass
class Ledger:
    """What the stand-in did, as a bill would say."""

    path: Path

    def _of(self, kind: str) -> list[str]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{kind} ")]

    @property
    def rounds(self) -> list[list[str]]:
        return [line.split() for line in self._of("round")]

    @property
    def started(self) -> list[str]:
        return self._of("start")

    @property
    def results(self) -> list[str]:
        return self._of("result")


@dataclass
class Bench:
    """A plan on disk, a directory for the run, and the stand-in's ledger."""

    plan_path: Path
    directory: Path
    ledger: Ledger
    plugin: Plugin
    call: Call

    @property
    def plan(self) -> Plan:
        return Plan.read(self.plan_path)

    def words(self, *options: object, arguments: tuple[object, ...] = ()) -> list[str]:
        return [
            *("run", "stand-in", str(self.plan_path), "--output", str(self.directory)),
            *map(str, options),
            *("--", "--ledger", str(self.ledger.path), *map(str, arguments)),
        ]

    def run(self, *options: object, arguments: tuple[object, ...] = ()) -> tuple[int, str, str]:
        return self.call(*self.words(*options, arguments=arguments))

    def spawn(
        self, *options: object, arguments: tuple[object, ...] = ()
    ) -> "subprocess.Popen[str]":
        """Run in a process of its own, of a group of its own, as from a terminal."""
        return spawned(self.words(*options, arguments=arguments))

    def events(self, kind: str) -> list[dict[str, object]]:
        lines = (self.directory / "rounds.jsonl").read_text().splitlines()
        return [event for line in lines if (event := json.loads(line))["event"] == kind]


def spawned(words: Sequence[str]) -> "subprocess.Popen[str]":
    """Run midband in a process and a group of its own, as from a terminal."""
    return subprocess.Popen(
        [sys.executable, str(ADAPTER), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env=environment(),
    )


def line_with(stream: "IO[str] | None", words: str) -> str:
    """Read until a line says it; what was said in between is of no interest."""
    assert stream is not None
    for line in stream:
        if words in line:
            return line
    pytest.fail(f"it ended without saying: {words}")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Return a pipe at which a stand-in waits: it can be opened for writing when one does."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def environment() -> dict[str, str]:
    """Return this process's variables, with the import paths of the tests."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


MakeBench = Callable[..., Bench]


@pytest.fixture(scope="session")
def toy_history() -> OutcomeMatrix:
    """Twelve agents on 40 tasks that cost half a dollar each."""
    agent, task = np.indices((12, 40))
    return OutcomeMatrix.from_scores(
        ((task * 7 + agent) % 40 < 3 * (agent + 1)).astype(float),
        benchmark="toy",
        tasks=[f"t{number:02d}" for number in range(40)],
        task_digests=[f"digest-{number}" for number in range(40)],
        cost_usd=np.full((12, 40), 0.5),
        metric=Metric(name="reward"),  # as the stand-in's reader calls it
    )


@pytest.fixture
def make_bench(toy_history: OutcomeMatrix, tmp_path: Path, call: Call) -> Iterator[MakeBench]:
    """Build a bench: a random order of the toy benchmark, which nothing stops early by default."""
    plugin = Plugin()
    manager = get_plugin_manager()
    manager.register(plugin, name="stand-in-of-tests")

    def _make(
        *,
        n: int | None = 12,
        stop: Rule | None = None,
        costs: bool = True,
        strategy: str = "random",
    ) -> Bench:
        plan = make_plan(toy_history, strategy=strategy, stop=stop or Never(), max_tasks=n)
        if not costs:
            plan = replace(plan, expected_cost_usd=plan.expected_cost_usd * float("nan"))
        path = tmp_path / "plan.json"
        plan.write(path)
        return Bench(path, tmp_path / "run", Ledger(tmp_path / "ledger.txt"), plugin, call)

    yield _make
    manager._pluggy.unregister(plugin)


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    """Twelve tasks of half a dollar each."""
    return make_bench()


@pytest.fixture
def make_live(make_bench: MakeBench) -> MakeBench:
    """Build a bench whose strategy names each task after the result before."""

    def _make(*, n: int) -> Bench:
        return make_bench(n=n, stop=RankSettled(0.6, 0.0), strategy="information")

    return _make
