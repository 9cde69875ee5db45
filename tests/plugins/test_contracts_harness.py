"""Every registered harness keeps its contract on real files, the example does, each check fails."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from midband import Capabilities, Command, Harness, Plan, Probe, Record, Round
from midband._manager import get_plugin_manager
from midband.testing import HarnessContract, StoppingRuleContract, StrategyContract
from midband_history import UnreadableSourceError
from midband_sampler import StoppingRule, Strategy
from tests.example_plugin.midband_example import Separating, ToyEval, WithinRanks, toy_eval

RAW = Path(__file__).parents[3] / "shared" / "raw_samples"


def _real(path: str) -> Path:
    if not RAW.is_dir():
        if os.environ.get("CI"):
            pytest.fail("expected real results in ../shared under CI, found none")
        pytest.skip("no ../shared beside this checkout: real results are not part of the project")
    return RAW / path


def _after(command: Command, flag: str) -> list[str]:
    """Return the words after a flag, up to the next."""
    for step in command.steps:
        if flag in step:
            words = step[step.index(flag) + 1 :]
            ends = [place for place, word in enumerate(words) if word.startswith("-")]
            return list(words[: min(ends, default=len(words))])
    return []


class Ours(HarnessContract):
    """A registered harness on real files."""

    harness: str
    real: str

    def make_harness(self) -> Harness:
        return get_plugin_manager().harnesses()[self.harness]

    def results(self, tmp_path: Path) -> Path:
        target = tmp_path / "real"
        if not target.exists():
            shutil.copytree(_real(self.real), target, copy_function=shutil.copyfile)
        return target


class TestInspect(Ours):
    harness = "inspect"
    real = "inspect/cyber_horizons"
    refused_arguments = (("--limit", "3"), ("--sample-id=x",), ("--run-config", "x.yaml"))
    arguments = ("task.py", "--model", "m/m")

    def selected(
        self, command: Command, files: Sequence[Path], universe: Sequence[str]
    ) -> Iterable[str]:
        assert _after(command, "--run-config") == [str(files[0])]
        lines = re.findall(r"^    - (.*)$", files[0].read_text(encoding="utf-8"), re.MULTILINE)
        patterns = [json.loads(line) for line in lines]
        return [task for task in universe if any(fnmatchcase(task, each) for each in patterns)]


class TestHarbor(Ours):
    harness = "harbor"
    real = "harbor"
    arguments = ("-d", "ds@1", "-a", "oracle")
    refused_arguments = (("-i", "x"), ("--job-name=x",), ("-k", "3"), ("--n-tasks", "1"))

    def selected(
        self, command: Command, files: Sequence[Path], universe: Sequence[str]
    ) -> Iterable[str]:
        (step,) = command.steps
        patterns = [step[place + 1] for place, word in enumerate(step) if word == "-i"]
        return [task for task in universe if any(fnmatchcase(task, each) for each in patterns)]


class TestSweBench(Ours):
    harness = "swebench"
    real = "swebench/experiments_repo_layout"
    arguments = ("-m", "model")
    refused_arguments = (("--filter", "x"), ("--slice", "0:3"), ("--", "--instance_ids", "x"))
    flag = "--filter"

    def selected(
        self, command: Command, files: Sequence[Path], universe: Sequence[str]
    ) -> Iterable[str]:
        agent, scoring = command.steps
        pattern = agent[agent.index(self.flag) + 1]
        run = [task for task in universe if re.match(pattern, task)]
        scored = scoring[scoring.index("--instance_ids") + 1 :]
        assert sorted(run) == sorted(scored)
        return run


class TestSweAgent(TestSweBench):
    harness = "swe-agent"
    arguments = ("--agent.model.name", "model")
    refused_arguments = (("--instances.slice", "0:3"), ("--output_dir=x",))
    flag = "--instances.filter"


class TestTau2Bench(Ours):
    harness = "tau2-bench"
    real = "tau2_bench"
    benchmark = "tau2-retail"
    arguments = ("--agent-llm", "a", "--user-llm", "b")
    refused_arguments = (("--task-ids", "1"), ("--num-tasks=3",), ("--save-to", "x"))

    def selected(
        self, command: Command, files: Sequence[Path], universe: Sequence[str]
    ) -> Iterable[str]:
        return [task for task in universe if task in _after(command, "--task-ids")]


class TestLmEvalHarness(Ours):
    harness = "lm-eval-harness"
    real = "lm_eval_harness"
    task_ids = ("0", "3", "30", "12", "7", "103")
    odd_task_ids = (*HarnessContract.odd_task_ids, "07", "1.0", "-1", "٣", "1e3")
    arguments = ("--model", "hf", "--model_args", "pretrained=tiny")
    refused_arguments = (("--limit", "3"), ("--cache_requests", "true"), ("--tasks", "other"))

    def selected(
        self, command: Command, files: Sequence[Path], universe: Sequence[str]
    ) -> Iterable[str]:
        (numbers,) = json.loads(files[0].read_text()).values()
        assert _after(command, "--samples") == [str(files[0])]
        assert numbers == sorted(set(numbers))
        return [task for task in universe if task in map(str, numbers)]


class TestHal(Ours):
    harness = "hal"
    real = "hal"
    arguments = ("--agent_name", "a", "--agent_function", "main.run")
    refused_arguments = (("--task_ids", "1"), ("--max_tasks", "3"), ("--run_id=x",))

    def selected(
        self, command: Command, files: Sequence[Path], universe: Sequence[str]
    ) -> Iterable[str]:
        (step,) = command.steps
        asked = [each.strip() for each in step[step.index("--task_ids") + 1].split(",")]
        return [task for task in universe if task in asked]


class TestOpenHandsIndex(Ours):
    harness = "openhands-index"
    real = "openhands_index"
    benchmark = "gaia"
    arguments = ("llm.json",)
    refused_arguments = (("--select", "x"), ("--n-limit", "3"))

    def selected(
        self, command: Command, files: Sequence[Path], universe: Sequence[str]
    ) -> Iterable[str]:
        assert _after(command, "--select") == [str(files[0])]
        asked = [line.strip() for line in files[0].read_text(encoding="utf-8").splitlines()]
        return [task for task in universe if task in asked]


class TestHelm(Ours):
    harness = "helm"
    real = "helm"


class TestTauBench(Ours):
    harness = "tau-bench"
    real = "tau_bench"


class TestTerminalBench(Ours):
    harness = "terminal-bench"

    def results(self, tmp_path: Path) -> Path:
        target = tmp_path / "real"
        target.mkdir(exist_ok=True)
        run = "terminal_bench/chaterm__2025-09-10__19-49-26__"
        for name in ("results.json", "run_metadata.json"):
            shutil.copyfile(_real(run + name), target / name)
        return target


class TestEveryEvalEver(Ours):
    harness = "every-eval-ever"
    real = "every_eval_ever/converted_from_lm_eval/data/math_perturbed_full"


def test_every_registered_harness_is_tried() -> None:
    tried = {each.harness for each in _subclasses(Ours)}
    assert tried == set(get_plugin_manager().harnesses())


def _subclasses(kind: type[Ours]) -> Iterable[type[Ours]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


class TestExampleHarness(HarnessContract):
    arguments = ("--agent", "me", "--skill", "3")
    refused_arguments = (("--tasks", "x"),)

    def make_harness(self) -> Harness:
        return ToyEval()

    def results(self, tmp_path: Path) -> Path:
        tasks = tmp_path / "tasks.json"
        tasks.write_text(json.dumps([f"task-{place}" for place in range(5)]))
        where = tmp_path / "run" / "results"
        toy_eval(
            ["--benchmark", "toy", "--run", "r000", "--agent", "me", "--repeat", "2", "--skill",
             "3", "--tasks", str(tasks), "--output", str(where)]
        )  # fmt: skip
        return where


class TestExampleStrategy(StrategyContract):
    def make_strategy(self) -> Strategy:
        return Separating()


class TestExampleRule(StoppingRuleContract):
    def make_rule(self) -> StoppingRule:
        return WithinRanks(2, 0.9)

    def restore(self, **settings: Any) -> StoppingRule:
        return WithinRanks(**settings)
