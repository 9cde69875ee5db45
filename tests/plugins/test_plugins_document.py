"""What docs/plugins.md shows is one plugin that works: every hook of it is called here."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from midband import Decision, Harness, OutcomeMatrix, Plan, PluginManager, hookspecs, make_plan
from midband.descriptors import ReadOptions
from midband.importers.reading import read_source
from midband.importers.sources import import_paths
from midband.testing import HarnessContract, StoppingRuleContract, StrategyContract
from midband_history import History, Record
from midband_sampler import Rule, Session, Strategy, parse_stop, racing

DOCUMENT = Path(__file__).parents[2] / "docs" / "plugins.md"


def _plugin() -> ModuleType:
    module = ModuleType("documented")
    for block in re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S):
        exec(compile(block, DOCUMENT.name, "exec"), vars(module))  # noqa: S102
    return module


PLUGIN = _plugin()


@pytest.fixture
def manager() -> PluginManager:
    made = PluginManager(environment={"MIDBAND_DISABLE_PLUGINS": "all"})
    made.register(PLUGIN, name="documented")
    return made


def test_every_hook_is_shown() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("midband_")}
    assert hooks <= set(vars(PLUGIN))


def test_its_allocation_races(manager: PluginManager) -> None:
    allocation = manager.allocations()["leaders"]
    scores = np.random.default_rng(0).random((3, 60)) < np.array([[0.9], [0.6], [0.2]])
    plan = racing.make_race(
        None,
        ("a", "b", "c"),
        question="top:1:0.9",
        tasks=[f"t{place}" for place in range(60)],
        allocation=allocation,
    )
    race = racing.replay_race(plan, scores.astype(float))
    tasks = {each.candidate: each.tasks for each in race.verdict().ranked}
    assert tasks["a"] == tasks["b"] > tasks["c"]


def test_its_format_is_read(manager: PluginManager, tmp_path: Path) -> None:
    path = tmp_path / "results.mine"
    path.write_text("t1 a 1\nt2 a 0.5\n")
    importer = manager.importers()["mine"]
    assert importer.sniff(path)
    records = [
        each for each in read_source(importer, path, ReadOptions()) if isinstance(each, Record)
    ]
    assert [(each.task_id, each.score) for each in records] == [("t1", 1.0), ("t2", 0.5)]


def test_its_format_is_checked_and_its_notes_are_told(
    manager: PluginManager, tmp_path: Path
) -> None:
    right, wrong = tmp_path / "right.mine", tmp_path / "wrong.mine"
    right.write_text("t1 a 1\nt2 a 0.5\nt3 a crashed\nmean of 0.75\n")
    wrong.write_text("t1 b 1\nt2 b 0.5\nmean of 0.25\n")
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path], manager.importers())
    assert [source.error == "" for source in report.sources] == [True, False]
    assert "mean 0.25" in report.sources[1].error
    (counts,) = report.counts
    assert (counts.metric, counts.valid, counts.passed, counts.errors) == ("judge", 2, 1, 1)
    assert [note.code for note in report.sources[0].notes] == ["crashed"]


class TestItsHarness(HarnessContract):
    def make_harness(self) -> Harness:
        made: Harness = PLUGIN.MyHarness()
        return made

    def results(self, tmp_path: Path) -> Path:
        where = tmp_path / "results"
        where.mkdir(exist_ok=True)
        for place in range(3):
            found = {"task": f"t{place}", "agent": "a", "benchmark": "b", "run": "r", "score": 1.0}
            (where / f"{place}.result.json").write_text(json.dumps(found))
        return where


class TestItsStrategy(StrategyContract):
    def make_strategy(self) -> Strategy:
        made: Strategy = PLUGIN.Undecided()
        return made


class TestItsLiveStrategy(StrategyContract):
    def make_strategy(self) -> Strategy:
        made: Strategy = PLUGIN.Hardest()
        return made


class TestItsRule(StoppingRuleContract):
    def make_rule(self) -> Rule:
        made: Rule = PLUGIN.NotLast.parse("3", "0.9")
        return made

    def restore(self, **settings: Any) -> Rule:
        made: Rule = PLUGIN.NotLast(**settings)
        return made


class TestItsContract(PLUGIN.TestMine):  # type: ignore[misc, name-defined]
    """The example of a contract, run as pytest would."""


@pytest.fixture
def decided(manager: PluginManager) -> tuple[Plan, Decision]:
    rng = np.random.default_rng(3)
    chance = np.linspace(0.1, 0.9, 12)[:, None]
    matrix = OutcomeMatrix.from_scores((rng.random((12, 60)) < chance).astype(float))
    builds = {name: each.build for name, each in manager.stopping_rules().items()}
    strategy: Any = manager.strategies()["undecided"].build()
    plan = make_plan(matrix, strategy=strategy, stop=parse_stop("not-last:3:0.9", builds))
    session = Session(plan)
    while tasks := session.ask(1):
        session.tell(tasks[0], score=1.0)
    return plan, session.decision()


def test_its_rule_stops_a_session(decided: tuple[Plan, Decision]) -> None:
    _, decision = decided
    assert decision.stop
    assert decision.reason == "better than 3 of the agents"
    assert decision.tasks_run < 60


def test_its_observers_are_told(
    manager: PluginManager,
    decided: tuple[Plan, Decision],
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan, decision = decided
    manager.hook.midband_result_recorded(plan=plan, task_id="t1", score=None)
    manager.hook.midband_run_finished(plan=plan, decision=decision, source=None)
    assert capsys.readouterr().err.splitlines() == [
        "t1: no result",
        f"rank {decision.low} to {decision.high}: better than 3 of the agents",
    ]


def test_its_section_and_its_command(manager: PluginManager) -> None:
    cells = [{"strategy": "band", "fraction_run": 0.25}, {"strategy": "all", "fraction_run": 1.0}]
    assert manager.report_sections()["Longest"].render(cells) == "all ran 100% of the tasks."
    cli = click.Group()
    manager.add_commands(cli, ours=["plan"])
    assert CliRunner().invoke(cli, ["greet", "you"]).output == "hello you\n"
