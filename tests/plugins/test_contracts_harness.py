"""Every registered harness keeps its contract on real files, the example does, each check fails."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from tests.example_plugin.midband_bottom_half import BottomHalf
from tests.example_plugin.midband_easiest import Easiest
from tests.example_plugin.midband_example import Separating, ToyEval, WithinRanks, toy_eval

from midband import Capabilities, Command, Harness, InputError, Plan, Probe, Record, Round
from midband._manager import get_plugin_manager
from midband.testing import HarnessContract, StoppingRuleContract, StrategyContract
from midband_history import UnreadableSourceError
from midband_sampler import Rule, Strategy

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
    refused_arguments: tuple[tuple[str, ...], ...] = (
        ("--filter", "x"),
        ("--slice", "0:3"),
        ("--", "--instance_ids", "x"),
    )
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


class TestExampleLiveStrategy(StrategyContract):
    def make_strategy(self) -> Strategy:
        return Easiest()


class TestExampleBottomHalf(StoppingRuleContract):
    def make_rule(self) -> Rule:
        return BottomHalf(0.9)


class TestExampleRule(StoppingRuleContract):
    def make_rule(self) -> Rule:
        return WithinRanks(2, 0.9)

    def restore(self, **settings: Any) -> Rule:
        return WithinRanks(**settings)


@dataclass(frozen=True)
class Broken(ToyEval):
    """The example's harness with one method of another kind."""

    write: Callable[..., Any] | None = None
    build: Callable[..., Any] | None = None
    look: Callable[..., Any] | None = None
    results_: Callable[..., Any] | None = None

    def probe(self) -> Any:
        return super().probe() if self.look is None else self.look()

    def write_subset(
        self, plan: Plan, directory: Path, *, tasks: Sequence[str] | None = None
    ) -> Any:
        directory.mkdir(parents=True, exist_ok=True)
        if self.write is None:
            return super().write_subset(plan, directory, tasks=tasks)
        return self.write(plan, directory, tasks)

    def build_command(self, batch: Round) -> Any:
        return super().build_command(batch) if self.build is None else self.build(self, batch)

    def read_results(self, path: Path, *, benchmark: str | None = None) -> Any:
        if self.results_ is None:
            return super().read_results(path, benchmark=benchmark)
        return self.results_(path, benchmark)


def _names(directory: Path, tasks: Iterable[str]) -> tuple[Path, ...]:
    path = directory / "tasks.json"
    path.write_text(json.dumps(list(tasks)))
    return (path,)


def _unchecked(plan: Plan, directory: Path, tasks: Sequence[str] | None) -> tuple[Path, ...]:
    return _names(directory, plan.tasks if tasks is None else tasks)


def _all_if_many(plan: Plan, directory: Path, tasks: Sequence[str] | None) -> tuple[Path, ...]:
    many = tasks is None or not 0 < len(tasks) < 3
    return _names(directory, plan.tasks if many or tasks is None else tasks)


def _first_word(plan: Plan, directory: Path, tasks: Sequence[str] | None) -> tuple[Path, ...]:
    return _names(directory, [task.split()[0] for task in tasks or plan.tasks])


def _known_only(plan: Plan, directory: Path, tasks: Sequence[str] | None) -> tuple[Path, ...]:
    if tasks is not None and not tasks:
        raise InputError("no tasks")
    return _names(directory, [task for task in tasks or plan.tasks if task in plan.tasks])


def _outside(plan: Plan, directory: Path, tasks: Sequence[str] | None) -> tuple[Path, ...]:
    return _names(directory.parent, tasks or plan.tasks)


def _here(plan: Plan, directory: Path, tasks: Sequence[str] | None) -> tuple[Path, ...]:
    Path("log.txt").write_text("left behind")
    return _names(directory, tasks or plan.tasks)


def _listed(plan: Plan, directory: Path, tasks: Sequence[str] | None) -> list[Path]:
    return list(_names(directory, tasks or plan.tasks))


def _moody(plan: Plan, directory: Path, tasks: Sequence[str] | None) -> tuple[Path, ...]:
    _CALLS.append(1)
    return _names(directory, [*(tasks or plan.tasks), f"#{len(_CALLS)}"])


_CALLS: list[int] = []


def _built(**changes: Any) -> Callable[[Broken, Round], Command]:
    return lambda harness, batch: replace(ToyEval.build_command(harness, batch), **changes)


def _step(change: Callable[[tuple[str, ...]], Any]) -> Callable[[Broken, Round], Command]:
    def _build(harness: Broken, batch: Round) -> Command:
        command = ToyEval.build_command(harness, batch)
        return replace(command, steps=(change(command.steps[0]),))

    return _build


def _regardless(harness: Broken, batch: Round) -> Command:
    rest = replace(batch, tasks=batch.plan.tasks, arguments=())
    (step,) = ToyEval.build_command(harness, rest).steps
    return Command(steps=((*step, *batch.arguments),), results=batch.directory / "results")


def _read(path: Path, benchmark: str | None) -> list[Record]:
    return list(ToyEval().read_results(path, benchmark=benchmark))


def _whole_files_only(path: Path, benchmark: str | None) -> list[Record]:
    try:
        return _read(path, benchmark)
    except UnreadableSourceError:
        return []


def _by_decoder(path: Path, benchmark: str | None) -> list[Record]:
    for file in path.rglob("*.json"):
        json.loads(file.read_bytes())
    return _read(path, benchmark)


def _any_json(path: Path, benchmark: str | None) -> list[Record]:
    more = [
        Record(benchmark="toy", task_id=file.name, agent="me", score=1.0)
        for file in path.rglob("other.json")
    ]
    return _read(path, benchmark) + more


def _needs_directory(path: Path, benchmark: str | None) -> list[Record]:
    next(path.iterdir())
    return _read(path, benchmark)


def _writes_beside(path: Path, benchmark: str | None) -> list[Record]:
    found = _read(path, benchmark)
    (path / "read.mark").write_text("read")
    return found


def _renumbered(path: Path, benchmark: str | None) -> list[Record]:
    _CALLS.append(1)
    return [replace(each, run_id=str(len(_CALLS))) for each in _read(path, benchmark)]


def _raises() -> Probe:
    raise FileNotFoundError("toy-eval")


NO_SUBSET = Capabilities()
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("it_says_what_it_is", {"name": "Toy Eval"}, "'Toy Eval'"),
    ("it_says_what_it_is", {"summary": "two\nlines"}, "summary of one line"),
    ("it_says_what_it_is", {"tested_versions": "1.0"}, "tuple of texts"),
    ("its_capabilities_agree_with_its_methods", {"capabilities": None}, "Capabilities"),
    (
        "its_capabilities_agree_with_its_methods",
        {"capabilities": Capabilities(rounds=True)},
        "only with subset",
    ),
    (
        "its_capabilities_agree_with_its_methods",
        {"capabilities": Capabilities(subset=True, in_process=True)},
        r"start\(\)",
    ),
    ("looking_for_it_never_fails", {"look": _raises}, "FileNotFoundError"),
    ("looking_for_it_never_fails", {"look": lambda: "1.0"}, "return a Probe"),
    ("looking_for_it_never_fails", {"look": lambda: Probe(problem="a\nb")}, "of one line"),
    (
        "without_a_subset_it_refuses_one",
        {"capabilities": NO_SUBSET},
        "refuse a subset",
    ),
    ("it_runs_the_tasks_that_it_is_given_and_no_others", {"write": _all_if_many}, "to run, got"),
    (
        "it_runs_the_tasks_that_it_is_given_and_no_others",
        {"write": lambda p, d, tasks: _names(d, tasks or p.tasks[:2])},
        "all planned tasks",
    ),
    ("odd_ids_are_exact_or_refused", {"write": _first_word}, "'two words'"),
    ("no_tasks_are_refused", {"write": _unchecked}, "subset of no tasks"),
    ("no_tasks_are_refused", {"build": _regardless}, "subset of no tasks"),
    ("unplanned_tasks_are_refused", {"write": _known_only}, "not planned"),
    ("a_task_named_twice_runs_once", {"write": _unchecked}, "'alpha' once"),
    ("it_writes_below_its_directory_only", {"write": _outside}, "files below"),
    ("it_writes_below_its_directory_only", {"write": _here}, "log.txt"),
    ("it_writes_below_its_directory_only", {"write": _listed}, "tuple of files"),
    ("the_same_subset_twice_is_the_same", {"write": _moody}, "same files and command"),
    ("its_command_can_be_run", {"build": lambda h, b: "toy-eval"}, "a Command"),
    ("its_command_can_be_run", {"build": _built(steps=())}, "at least one step"),
    ("its_command_can_be_run", {"build": _step(lambda words: ("", *words))}, "with a program"),
    ("its_command_can_be_run", {"build": _step(lambda words: (*words, 3))}, "step of words"),
    ("its_command_can_be_run", {"build": _step(lambda words: (*words, "a\0b"))}, "no NUL"),
    ("its_command_can_be_run", {"build": _built(environment={"SEED": 1})}, "environment"),
    ("its_command_can_be_run", {"build": _step(lambda words: words[:-1])}, "the arguments"),
    ("its_command_can_be_run", {"build": _built(results=Path("/results"))}, "results below"),
    (
        "each_round_has_results_of_its_own",
        {"build": _built(results=Path("/results"))},
        "each round",
    ),
    (
        "attempts_are_run_or_refused",
        {"capabilities": Capabilities(subset=True)},
        "as the capabilities say",
    ),
    (
        "attempts_are_run_or_refused",
        {"build": lambda h, b: ToyEval.build_command(h, replace(b, attempts=1))},
        "for two attempts",
    ),
    ("contradicting_arguments_are_refused", {"build": _regardless}, "--tasks x to be refused"),
    (
        "results_are_records_and_the_same_each_time",
        {"results_": lambda path, benchmark: []},
        "got none",
    ),
    (
        "results_are_records_and_the_same_each_time",
        {"results_": lambda path, benchmark: [{"score": 1.0}]},
        "records of midband",
    ),
    ("results_are_records_and_the_same_each_time", {"results_": _renumbered}, "records twice"),
    (
        "results_are_records_and_the_same_each_time",
        {"results_": lambda path, benchmark: _read(path, benchmark) * 2},
        "10 of 20 twice",
    ),
    ("results_are_records_and_the_same_each_time", {"results_": _writes_beside}, "unchanged"),
    ("the_benchmark_can_be_named", {"results_": lambda path, _: _read(path, None)}, "'another'"),
    ("half_a_file_is_refused", {"results_": _whole_files_only}, "where the whole gives 10"),
    ("half_a_file_is_refused", {"results_": _by_decoder}, "JSONDecodeError"),
    ("what_is_not_its_own_is_left_out", {"results_": _any_json}, "the same 10 records, got 11"),
    ("what_is_not_its_own_is_left_out", {"results_": _needs_directory}, "got StopIteration"),
]


@pytest.mark.parametrize(("check", "broken", "message"), BROKEN)
def test_a_broken_harness_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    broken: dict[str, Any],
    message: str,
) -> None:
    class Contract(TestExampleHarness):
        def make_harness(self) -> Harness:
            return Broken(**broken)

    method = getattr(Contract(), f"test_{check}")
    names = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    fixtures = {"tmp_path": tmp_path, "monkeypatch": monkeypatch}
    with pytest.raises(AssertionError, match=message):
        method(**{name: fixtures[name] for name in names})


def test_every_check_of_the_harness_is_seen_to_fail() -> None:
    checks = {name for name in dir(HarnessContract) if name.startswith("test_")}
    assert checks == {f"test_{check}" for check, _, _ in BROKEN}
