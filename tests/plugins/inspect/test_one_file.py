"""One file with a stopping rule, or a strategy, is all that every command needs to use it."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog
from tests.plugins.conftest import Call

from midband import Capabilities, Command, Plan, Probe, Record, Round, Session, hookimpl
from midband._manager import get_plugin_manager
from midband.choices import read_plan
from midband_history import History, Metric

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
MATCH = Metric(name="match", declared="source")
ABILITIES = range(5, 100, 5)
N_TASKS = 40
ALL_WRONG = "import json, sys; json.dump({t: 0.0 for t in sys.argv[2:]}, open(sys.argv[1], 'w'))"


class Wrong:
    """A harness whose agent solves nothing."""

    name = "wrong"
    summary = "wrong: in rounds."
    tested_versions = ("1",)
    capabilities = Capabilities(subset=True, rounds=True)

    def probe(self) -> Probe:
        return Probe(version="1")

    def write_subset(
        self, plan: Plan, directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        return ()

    def build_command(self, batch: Round) -> Command:
        output = batch.directory / "scores.json"
        step = (sys.executable, "-IS", "-c", ALL_WRONG, str(output), *batch.tasks)
        return Command(steps=(step,), results=output)

    def read_results(self, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
        for task, score in json.loads(path.read_text()).items():
            yield Record(
                benchmark=benchmark or "toy", task_id=task, agent="new", score=score, metric=MATCH
            )

    @hookimpl
    def midband_register_harnesses(self) -> list["Wrong"]:
        return [self]


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process find the two plugins of one file each."""
    entries = [
        EntryPoint(name, f"tests.example_plugin.midband_{name.replace('-', '_')}", "midband")
        for name in ("bottom-half", "easiest")
    ]
    monkeypatch.setattr("midband._manager.entry_points", lambda group: entries)
    get_plugin_manager.cache_clear()
    get_plugin_manager().register(Wrong(), name="wrong")
    yield
    monkeypatch.undo()
    get_plugin_manager.cache_clear()


@pytest.fixture
def past(tmp_path: Path, toy: Any) -> Path:
    """Return a history of 19 agents on the toy benchmark."""
    from midband.inspect import task_digest

    samples = toy.samples(n=N_TASKS)
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add(
            (
                Record(
                    benchmark="toy",
                    metric=MATCH,
                    task_id=str(sample.id),
                    task_digest=task_digest(sample.input, sample.target),
                    agent=f"toy/{ability}",
                    score=float(toy.solves(ability, str(place))),
                )
                for ability in ABILITIES
                for place, sample in enumerate(samples, start=1)
            ),
            source="test",
        )
    return path


Live = Callable[[Path], EvalLog]


@pytest.fixture
def live(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Live:
    """Run a weak model adaptively by a plan."""

    def _run(plan: Path) -> EvalLog:
        (log,) = inspect_eval(
            "midband/adaptive",
            model="toy/1",
            task_args={"task": TOY, "plan": str(plan)},
            max_samples=1,
            display="none",
            log_dir=str(tmp_path / "logs"),
            log_level="critical",
        )
        capsys.readouterr()  # what Inspect itself prints
        return log

    return _run


@pytest.mark.usefixtures("plugged")
def test_a_rule_works_in_plan_study_inspect_run_and_rank(
    call: Call, live: Live, past: Path, tmp_path: Path
) -> None:
    plan, rule = tmp_path / "plan.json", "bottom-half:0.8"
    options = ("--history", past, "--strategy", "random", "--stop", rule)
    assert "bottom-half" in call("plan", "--help")[1]
    code, _, err = call("plan", "toy", "-o", plan, *options)
    assert code == 0, err
    assert read_plan(plan).stop.to_dict() == {"rule": "bottom-half", "confidence": 0.8}

    code, out, err = call("study", "--json", *options)
    assert code == 0, err
    (cell,) = json.loads(out)
    assert cell["stop"] == rule
    assert 0.2 < cell["fraction_run"] < 0.9  # the strong run all tasks

    log = live(plan)
    assert log.results is not None, log.error
    assert log.results.early_stopping is not None
    verdict: dict[str, Any] = log.results.early_stopping.metadata
    assert verdict["stop"] is True
    assert verdict["tasks_run"] < N_TASKS
    assert verdict["low"] > 10
    assert [each["text"] for each in verdict["claims"]] == ["in the bottom half"]

    code, out, err = call("run", "wrong", plan, "--output", tmp_path / "run", "--json")
    assert code == 0, err
    ran = json.loads(out)
    assert ran["tasks_run"] < N_TASKS
    assert [each["text"] for each in ran["claims"]] == ["in the bottom half"]

    code, out, err = call("rank", plan, log.location.removeprefix("file://"), "--json")
    assert code == 0, err
    (again,) = json.loads(out)
    for name in ("reason", "claims", "low", "high", "tasks_run"):
        assert again[name] == verdict[name], name


@pytest.mark.usefixtures("plugged")
def test_a_strategy_works_in_plan_session_inspect_and_study(
    call: Call, live: Live, past: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    options = ("--history", past, "--strategy", "easiest", "--stop", "rank:0.8:0.01 or tasks:6")
    code, _, err = call("plan", "toy", "-o", plan, *options)
    assert code == 0, err
    made = read_plan(plan)
    assert (made.strategy, made.chooses_live) == ("easiest", True)

    session, chosen = Session(made), list[str]()
    while tasks := session.ask(1):
        chosen += tasks
        session.tell(tasks[0], score=0.0)
    assert len(set(chosen)) == len(chosen) == 6

    verdict = (live(plan).eval.metadata or {})["midband_run"]
    assert verdict["tasks_chosen"] == "live"
    assert verdict["order"][0] == chosen[0]
    assert len(verdict["order"]) == 6

    code, out, err = call("study", "--json", *options)
    assert code == 0, err
    (cell,) = json.loads(out)
    assert cell["strategy_ran"] == "easiest"
    assert cell["fraction_run"] == pytest.approx(6 / N_TASKS)
