"""What adaptive evals and races of Inspect say of themselves for the local page."""

import asyncio
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog
from tests.plugins.inspect.conftest import MakePlan

from midband.view import RunState, StateReader

pytestmark = pytest.mark.skipif(
    not hasattr(inspect_ai, "SampleSource"), reason="inspect-ai cannot choose samples live"
)

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
SETTINGS: dict[str, Any] = {"display": "none", "log_level": "critical"}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIDBAND_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "runs"


def adaptive(plan: Path, *, model: str = "toy/97", **settings: Any) -> EvalLog:
    (log,) = inspect_eval(
        "midband/adaptive",
        model=model,
        task_args={"task": TOY, "plan": str(plan), **settings.pop("args", {})},
        log_dir=str(plan.parent / "logs"),
        **SETTINGS,
        **settings,
    )
    return log


def only(runs: Path) -> RunState:
    (found,) = StateReader(runs).read()
    return found


@pytest.mark.parametrize("strategy", ["random", "information"])
def test_an_eval_writes_its_verdict_its_course_and_where_its_log_is(
    make: MakePlan, runs: Path, strategy: str
) -> None:
    log = adaptive(make(strategy=strategy, n=20), args={"n": 20})
    state = only(runs)
    record = (log.eval.metadata or {}).get("midband_run") or log.results.early_stopping.metadata  # type: ignore[union-attr]
    assert state.shown_status == "ended"
    assert not state.failed
    assert state.text("directory") == log.location.removeprefix("file://")
    assert state.list("agents") == ("toy/97",)
    for name in ("rank", "low", "high", "tasks_run", "tasks_total", "results", "spent_usd"):
        assert state.number(name) == record[name], name
    assert state.text("reason") == record["reason"]
    last = state.course[-1]
    assert last.at == record["tasks_run"]
    assert last.ranks == ((record["low"], record["high"], record["rank"]),)
    assert state.recent
    assert {kind for *_, kind in state.recent} == {"valid"}


@pytest.mark.parametrize("broken", ["look_at_decision", "StateKeeper"])
def test_what_a_state_cannot_do_never_reaches_the_eval(
    make: MakePlan, runs: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no state")

    monkeypatch.setattr(f"midband.inspect.kept.{broken}", fails)
    log = adaptive(make())
    assert log.status == "success"
    assert log.results is not None
    assert log.results.early_stopping is not None
    found: dict[str, Any] = log.results.early_stopping.metadata
    assert found["reason"].startswith("rank settled")
    assert not found["failed_open"]
    if broken == "look_at_decision":  # what needs no look is known all the same
        assert (only(runs).shown_status, only(runs).text("reason")) == ("ended", found["reason"])
    else:
        assert not runs.exists()


def test_an_eval_that_fails_has_ended_for_the_page(make: MakePlan, runs: Path) -> None:
    log = adaptive(make(), model="toy/97-dead", fail_on_error=True)
    assert log.status == "error"
    state = only(runs)
    assert state.shown_status == "ended"
    assert state.failed


def test_the_last_result_of_a_burst_is_written_without_another(
    make: MakePlan, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from midband.inspect.kept import KeptRun
    from midband.view import Look
    from midband.view import keeper as module

    monkeypatch.setattr(module, "_PACE_S", 0.02)
    monkeypatch.setattr(module, "_SHARE", 1.0)
    numbers = {"tasks_run": 0}
    kept = KeptRun()
    kept._keeper = module.StateKeeper(
        kind="run", key="k", harness="inspect", benchmark="toy", agents=("a",), plan_digest="d",
        directory="", note=pytest.fail,
    )  # fmt: skip

    async def burst() -> None:
        for number in range(5):
            numbers["tasks_run"] = number + 1
            kept._write(lambda: Look(numbers=dict(numbers)))
        while only(runs).whole("tasks_run") != 5:
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(burst(), 60))


def test_a_race_writes_every_candidate_and_its_end(tmp_path: Path, runs: Path, toy: Any) -> None:
    models = ["toy/30", "toy/97"]
    logs = inspect_eval(
        "midband/race",
        model=models,
        task_args={
            "task": TOY,
            "race": "top:1:0.9",
            "race_models": ",".join(models),
            "race_id": "0-kept",
            "n": 60,
        },
        log_dir=str(tmp_path / "logs"),
        **SETTINGS,
    )
    verdict = (logs[0].eval.metadata or {})["midband_race"]["verdict"]
    state = only(runs)
    assert (state.kind, state.shown_status) == ("race", "ended")
    assert state.text("question") == "top:1:0.9"
    assert state.text("answer") == verdict["answer"]
    assert state.whole("tasks_run") == verdict["results"]
    assert [
        (each.name, each.rank_low, each.rank_high, each.tasks) for each in state.candidates
    ] == [
        (each["candidate"], each["rank_low"], each["rank_high"], each["tasks"])
        for each in verdict["ranked"]
    ]
    assert state.text("directory") in {log.location.removeprefix("file://") for log in logs}
    assert {agent for agent, *_ in state.recent} <= set(models)
