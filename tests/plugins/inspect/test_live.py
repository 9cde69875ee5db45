import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai import eval_retry, eval_set
from inspect_ai.log import EvalLog
from tests.plugins.inspect.judged import rank_logs

from midband._manager import get_plugin_manager
from midband.hookspecs import hookimpl
from midband_history import Metric
from midband_sampler import Decision, Never, Plan, Session

pytestmark = pytest.mark.skipif(
    not hasattr(inspect_ai, "SampleSource"), reason="inspect-ai cannot choose samples live"
)

SLOW = pytest.mark.slow
TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
MakePlan = Callable[..., Path]
SETTINGS: dict[str, Any] = {"display": "none", "log_level": "critical"}


def run(plan: Path, *, model: Any = "toy/97", **settings: Any) -> list[EvalLog]:
    inner = settings.pop("args", {})
    return inspect_eval(
        "midband/adaptive",
        model=model,
        task_args={"task": TOY, "plan": str(plan), **inner},
        log_dir=str(plan.parent / "logs"),
        **SETTINGS,
        **settings,
    )


def record(log: EvalLog) -> dict[str, Any]:
    found: dict[str, Any] = (log.eval.metadata or {})["midband_run"]
    return found


def path_of(log: EvalLog) -> Path:
    return Path(log.location.removeprefix("file://"))


def again(plan: Path, log: EvalLog) -> Decision:
    """Return what `midband rank` says of a log."""
    ((_, _, decision),) = rank_logs(Plan.read(plan), [path_of(log)])
    return decision


def assert_same(decision: Decision, found: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(decision.to_dict()))
    plain.pop("cost_saved_usd")
    assert set(plain.pop("warnings")) <= set(found["warnings"])
    assert {name: found[name] for name in plain} == plain


class Recorder:
    """Notes the results in the order of their arrival."""

    def __init__(self) -> None:
        self.results: list[tuple[str, float | None]] = []
        self.finished: list[Decision] = []
        self.heard = asyncio.Event()

    @hookimpl
    def midband_result_recorded(self, task_id: str, score: float | None) -> None:
        self.heard.set()
        self.results.append((task_id, score))

    @hookimpl
    def midband_run_finished(self, decision: Decision) -> None:
        self.finished.append(decision)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    manager = get_plugin_manager()
    plugin = Recorder()
    manager.register(plugin, name="recorder")
    yield plugin
    manager._pluggy.unregister(plugin)


def replay(plan: Path, results: list[tuple[str, float | None]], width: int) -> list[str]:
    """Choose by the same outcomes, with so many at work at a time, without Inspect."""
    session = Session(Plan.read(plan))
    chosen = [task for _ in range(width) for task in session.ask(1)]
    for task, score in results:
        session.tell(task, score=score)
        chosen += session.ask(1)
    return chosen


@pytest.mark.parametrize(
    ("strategy", "width", "settings"),
    [
        ("information", 1, {"max_samples": 1}),
        ("information", 4, {}),
        ("matched", 4, {}),
        pytest.param("matched", 1, {"max_samples": 1}, marks=SLOW),
        pytest.param("cost", 4, {}, marks=SLOW),
        pytest.param("information", 7, {"max_samples": 7}, marks=SLOW),
    ],
)
def test_a_live_run_and_a_replay_of_its_outcomes_choose_the_same(
    make: MakePlan, recorder: Recorder, strategy: str, width: int, settings: dict[str, Any]
) -> None:
    path = make(strategy=strategy)
    first = replay(path, [], 1)[0]
    (log,) = run(path, args={"hold": "" if width == 1 else first}, **settings)
    found = record(log)
    assert log.status == "success"
    assert found["tasks_chosen"] == "live"
    assert found["stop"] is True
    assert found["order"] == replay(path, recorder.results, width)
    arrived = [task for task, _ in recorder.results]
    assert (arrived == found["order"]) == (
        width == 1
    )  # else the first was held until another had ended
    assert sorted(arrived) == sorted(found["order"])
    assert found["tasks_run"] <= len(arrived) < len(Plan.read(path).tasks)
    assert log.samples is not None
    notes = {str(sample.id): sample.metadata["midband"] for sample in log.samples}
    assert sorted(notes, key=lambda task: notes[task]["chosen"]) == found["order"]
    known = [note for note in notes.values() if note["rank"] is not None]
    assert all(note["low"] <= note["rank"] <= note["high"] for note in known)
    assert sum(note["tasks_judged"] > 0 for note in notes.values()) == len(known) > 0
    assert_same(again(path, log), found)
    assert [decision.rank for decision in recorder.finished] == [found["rank"]]


@pytest.mark.slow
def test_results_change_what_is_chosen(make: MakePlan) -> None:
    path = make(strategy="information", stop=Never())
    strong, weak = (
        record(run(path, model=f"toy/{ability}", max_samples=1)[0])["order"] for ability in (97, 8)
    )
    assert strong[0] == weak[0]
    assert strong != weak
    assert sorted(strong) == sorted(weak) == sorted(Plan.read(path).tasks)


@pytest.mark.slow
def test_two_models_at_once_choose_apart(make: MakePlan) -> None:
    path = make(strategy="information")
    models = ["toy/97", "toy/8"]
    alone = {model: record(run(path, model=model, max_samples=1)[0]) for model in models}
    logs = run(path, model=models, max_tasks=2, max_samples=1)
    assert {str(log.eval.model): record(log)["order"] for log in logs} == {
        model: found["order"] for model, found in alone.items()
    }
    assert alone["toy/97"]["rank"] < alone["toy/8"]["rank"]


def test_epochs_are_told_together(make: MakePlan) -> None:
    path = make(strategy="information")
    (log,) = run(path, epochs=3)
    found = record(log)
    assert found["stop"] is True
    assert log.samples is not None
    assert len(log.samples) == 3 * len(found["order"])
    # Two tasks of three attempts fill four places.
    assert found["tasks_run"] <= len(found["order"]) <= found["tasks_run"] + 1
    assert_same(again(path, log), found)


def test_samples_that_error_are_no_information(make: MakePlan) -> None:
    path = make(strategy="information")
    first, second = (task.removeprefix("item-") for task in Plan.read(path).tasks[:2])
    wrong = f"{first} {second}"
    (log,) = run(path, args={"errors": wrong}, fail_on_error=False, log_format="json")
    found = record(log)
    assert found["stop"] is True
    assert found["reason"] == "rank settled"
    assert found["tasks_without_result"] == found["samples_without_score"] == 2
    assert found["error"] is None
    assert_same(again(path, log), found)


@pytest.mark.parametrize(
    "odd", ["nan", pytest.param("list", marks=SLOW), pytest.param("word", marks=SLOW)]
)
def test_a_run_without_any_score_ends(make: MakePlan, odd: str) -> None:
    path = make(strategy="information", n=12, metric=Metric(name="odd_scorer"))
    (log,) = run(path, args={"n": 12, "odd": odd})
    found = record(log)
    assert found["samples_scored"] == 0
    assert found["tasks_without_result"] == found["unscored"] == 10 <= len(found["order"])
    assert found["reason"].startswith("too many errors")
    assert (found["score"], found["rank"], found["claims"]) == (None, None, [])


def test_a_run_in_which_all_samples_error_ends(make: MakePlan) -> None:
    path = make(strategy="information", n=12)
    everything = " ".join(map(str, range(1, 13)))
    (log,) = run(path, args={"n": 12, "errors": everything}, fail_on_error=False)
    found = record(log)
    assert found["tasks_without_result"] == found["errors"] == 10
    assert log.samples is not None
    assert 10 <= len(log.samples) == len(found["order"])


def test_an_error_of_the_agent_ends_the_run_and_a_retry_goes_on(make: MakePlan) -> None:
    path = make(strategy="information")
    (whole,) = run(path)
    broken = record(whole)["order"][6].removeprefix("item-")
    flag = path.parent / "fixed"
    (first,) = run(path, args={"errors": broken, "until": str(flag)})
    assert first.status == "error"
    before = record(first)
    assert before["stop"] is False
    flag.touch()
    (second,) = eval_retry(str(path_of(first)), log_dir=str(path.parent / "logs"), **SETTINGS)
    assert second.status == "success"
    after = record(second)
    assert after["order"][: len(before["order"])] == before["order"]
    assert second.samples is not None
    reused = {sample.uuid for sample in first.samples or [] if sample.error is None}
    assert reused
    assert reused <= {sample.uuid for sample in second.samples}
    assert after["stop"] is True
    assert len(second.samples) == len(after["order"])
    assert_same(again(path, second), after)
    # The records of both attempts, of which those reused count once, say the same.
    assert_same(rank_logs(Plan.read(path), [path_of(first), path_of(second)])[-1][2], after)


def test_an_eval_set_tries_again_in_the_same_process_and_finds_itself_finished(
    make: MakePlan,
) -> None:
    path = make(strategy="information")
    (whole,) = run(path, max_samples=1)
    expected = record(whole)
    broken = expected["order"][4].removeprefix("item-")
    flag = path.parent / "fixed"
    inner = {"errors": broken, "until": str(flag), "heals": True}
    settings: dict[str, Any] = {
        "model": "toy/97",
        "task_args": {"task": TOY, "plan": str(path), **inner},
        "log_dir": str(path.parent / "set"),
        "max_samples": 1,
        "retry_attempts": 2,
        "retry_wait": 0,
        **SETTINGS,
    }
    done, logs = eval_set("midband/adaptive", **settings)
    assert flag.exists()  # it failed once
    assert done
    found = record(logs[0])
    assert found["order"] == expected["order"]
    assert (found["rank"], found["low"], found["high"], found["tasks_run"]) == (
        expected["rank"],
        expected["low"],
        expected["high"],
        expected["tasks_run"],
    )
    assert_same(again(path, logs[0]), found)
    again_done, second = eval_set("midband/adaptive", **settings)
    assert again_done
    assert second[0].eval.eval_id == logs[0].eval.eval_id


def breaks_after(calls: int) -> Callable[..., Any]:
    remaining = iter(range(calls))
    ask = Session.ask

    def broken(self: Session, n: int = 1) -> list[str]:
        if next(remaining, None) is None:
            msg = "out of luck"
            raise RuntimeError(msg)
        return ask(self, n)

    return broken


@pytest.mark.parametrize("calls", [pytest.param(0, marks=SLOW), 2, pytest.param(6, marks=SLOW)])
def test_after_an_error_the_rest_of_the_plan_runs(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    path = make(strategy="information", n=12)
    (whole,) = run(path, args={"n": 12}, max_samples=1)
    monkeypatch.setattr(Session, "ask", breaks_after(calls))
    (log,) = run(path, args={"n": 12}, max_samples=1)
    found = record(log)
    assert log.status == "success"
    assert log.samples is not None
    assert len(log.samples) == len(found["order"]) == 12
    chosen = found["order"][:calls]
    assert chosen == record(whole)["order"][:calls]
    planned = Plan.read(path).tasks
    assert found["order"][calls:] == [task for task in planned if task not in chosen]
    assert found["error"] == "RuntimeError: out of luck"
    assert found["failed_open"] is True
    assert "rank" not in found


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("midband_sampler.Session", "tell"),
        ("midband.inspect.choosing_run.ChoosingRun", "hand_out"),
        *(
            pytest.param(*names, marks=SLOW)
            for names in [
                ("midband_sampler.Session", "__init__"),
                ("midband.inspect.choosing_run.ChoosingRun", "about"),
                ("midband.inspect.choosing_run.ChoosingRun", "report"),
                ("midband.inspect.metric.ScoreReader", "read"),
            ]
        ),
    ],
)
def test_whatever_breaks_every_sample_runs(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        msg = "no memory"
        raise MemoryError(msg)

    path = make(strategy="information", n=12)
    monkeypatch.setattr(f"{where}.{name}", broken)
    (log,) = run(path, args={"n": 12})
    assert log.status == "success"
    assert log.samples is not None
    assert len(log.samples) == 12
    if name != "report":
        assert record(log)["error"] == "MemoryError: no memory"


def test_an_eval_that_inspect_does_not_announce_runs_in_full(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from midband.inspect.hooks import Observer
    from midband.inspect.shown import running_eval

    async def silent(*_: object) -> None:
        running_eval.set(None)

    monkeypatch.setattr(Observer, "on_task_start", silent)
    (log,) = run(make(strategy="information", n=12), args={"n": 12})
    assert log.status == "success"
    assert log.samples is not None
    assert len(log.samples) == 12


def test_a_limit_bounds_the_run(make: MakePlan) -> None:
    path = make(strategy="information", stop=Never())
    (log,) = run(path, limit=5)
    found = record(log)
    assert log.samples is not None
    assert len(log.samples) == len(found["order"]) == 5
    assert found["stop"] is False
    assert any("5 of 40 planned tasks" in warning for warning in found["warnings"])
    assert_same(again(path, log), found)


@pytest.mark.slow
def test_tasks_that_are_filtered_out_or_gone_hold_nothing_up(make: MakePlan) -> None:
    path = make(strategy="information", stop=Never())
    wanted = sorted(Plan.read(path).tasks)[10:15]
    (log,) = run(path, sample_id=wanted)
    found = record(log)
    assert sorted(str(sample.id) for sample in log.samples or []) == wanted
    assert sorted(found["order"]) == wanted
    assert found["unlogged"] == []
    assert (found["tasks_run"], found["tasks_planned"], found["claims"]) == (5, 40, [])
    assert "5 of 40 tasks ran; ended before" in " ".join(found["verdict"].split())
    assert any("only 5 of 40 planned tasks can run" in each for each in found["warnings"])
    assert_same(again(path, log), found)
    path = make(strategy="information")
    (log,) = run(path, args={"n": 30, "allow_changed": True})
    found = record(log)
    assert found["stop"] is True
    assert_same(again(path, log), found)


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


@pytest.mark.slow
def test_media_that_inspect_reads_only_beforehand_fix_the_order(
    make: MakePlan, tmp_path: Path
) -> None:
    path = make(strategy="information", digests=False)
    file = tmp_path / "pixel.png"
    file.write_bytes(base64.b64decode(PIXEL))
    (log,) = run(path, args={"image": str(file)})
    assert (log.eval.metadata or {})["midband"]["tasks_chosen"] == "in a fixed order"
    (log,) = run(path, args={"image": f"data:image/png;base64,{PIXEL}"})
    assert (log.eval.metadata or {})["midband"]["tasks_chosen"] == "live"


@pytest.mark.slow
def test_results_of_other_runs_are_judged_in_the_fixed_order(make: MakePlan) -> None:
    path = make(strategy="information")
    (full,) = inspect_eval(TOY, model="toy/97", log_dir=str(path.parent / "full"), **SETTINGS)
    decision = again(path, full)
    assert decision.stop
    assert decision.plan_digest == Plan.read(path).digest
    fixed = make(strategy="design", name="design.json")
    other = again(fixed, full)
    assert (decision.rank, decision.low, decision.high) == (other.rank, other.low, other.high)


@pytest.mark.slow
def test_as_many_are_at_work_as_inspect_may_run(make: MakePlan, recorder: Recorder) -> None:
    path = make(strategy="information")
    (log,) = run(path, max_connections=2)
    assert record(log)["order"] == replay(path, recorder.results, 2)
