"""Adaptive evals and races from Python's own `eval`: what they return, print and survive."""

import asyncio
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import inspect_ai
import pytest
from inspect_ai import Task, eval_async, eval_retry, eval_set
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import MemoryDataset
from inspect_ai.log import EvalLog
from inspect_ai.scorer import match
from tests.plugins.inspect.conftest import MakePlan
from tests.plugins.inspect.judged import rank_logs

from midband.inspect import adaptive, race, verdict, verdicts
from midband_history import InputError, MidbandError
from midband_sampler import Decision, Plan
from midband_sampler.racing import RaceVerdict, make_race

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
MODELS = ["toy/30", "toy/60", "toy/97"]
QUIET: dict[str, Any] = {"display": "none", "log_level": "critical"}
STRATEGIES = ("random", "information") if hasattr(inspect_ai, "SampleSource") else ("random",)
races = pytest.mark.skipif(
    not hasattr(inspect_ai, "SampleSource"), reason="inspect-ai cannot choose samples live"
)


def settings(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {**QUIET, "log_dir": str(tmp_path / "logs"), "max_samples": 4, **more}


def path_of(log: EvalLog) -> Path:
    return Path(log.location.removeprefix("file://"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_adaptive_task_runs_with_several_models_and_returns_their_verdicts(
    make: MakePlan, toy: Any, tmp_path: Path, strategy: str
) -> None:
    path = make(strategy=strategy)
    task = adaptive(toy.toy(), plan=path)
    logs = inspect_eval(task, model=MODELS, **settings(tmp_path))
    found = verdicts(logs)
    assert list(found) == MODELS
    assert verdicts(task) == found
    ranks = [each.rank for each in found.values() if isinstance(each, Decision)]
    assert len(ranks) == 3
    assert ranks == sorted(ranks, key=lambda rank: -(rank or 0))
    for log in logs:
        decision = found[log.eval.model]
        assert isinstance(decision, Decision)
        assert decision == verdict(log) == verdict(path_of(log))
        assert decision.stop
        ((_, _, again),) = rank_logs(Plan.read(path), [path_of(log)])
        assert again.lines() == decision.lines()
        assert len(log.samples or []) < 40


def test_a_task_by_its_name_takes_arguments_and_epochs(make: MakePlan, tmp_path: Path) -> None:
    path = make()
    task = adaptive(TOY, path, n=40, errors="1 2 3", max_errors="100%")
    (log,) = inspect_eval(task, model="toy/97", epochs=2, fail_on_error=False, **settings(tmp_path))
    decision = verdict(log)
    assert isinstance(decision, Decision)
    assert log.results is not None
    saved = 0.01 * (40 - len({sample.id for sample in log.samples or []}))
    assert decision.cost_saved_usd == pytest.approx(saved)


@pytest.mark.parametrize(
    ("strategy", "as_object"), [(STRATEGIES[0], False), (STRATEGIES[-1], True)]
)
def test_a_failed_eval_is_retried_with_its_plan(
    make: MakePlan, toy: Any, tmp_path: Path, strategy: str, as_object: bool
) -> None:
    path = make(strategy=strategy)
    plan: Any = Plan.read(path) if as_object else str(path)
    flag = tmp_path / "fixed"
    every = " ".join(map(str, range(1, 41, 3)))
    task = adaptive(toy.toy(errors=every, until=str(flag)), plan)
    (first,) = inspect_eval(task, model="toy/97", **settings(tmp_path))
    assert first.status == "error"
    flag.touch()
    (again,) = eval_retry(str(path_of(first)), **settings(tmp_path))
    assert again.status == "success"
    decision = verdict(again)
    assert isinstance(decision, Decision)
    assert decision.stop
    assert decision.plan_digest == Plan.read(path).digest


def test_a_retry_elsewhere_says_where_it_looks_for_a_plan_that_was_an_object(
    make: MakePlan, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Plan.read(make())
    task = adaptive(toy.toy(errors="1 2 3 4 5 6 7 8 9"), plan)
    (first,) = inspect_eval(task, model="toy/97", **settings(tmp_path))
    monkeypatch.setattr("midband.inspect.task.OBJECTS", {})
    with pytest.raises(MidbandError, match=f"midband-plan-{plan.digest}.json"):
        eval_retry(str(path_of(first)), **settings(tmp_path))


def test_an_eval_set_runs_adaptive_tasks_and_is_done_the_second_time(
    make: MakePlan, toy: Any, tmp_path: Path
) -> None:
    path = make()
    again = []
    for _ in range(2):
        tasks = [adaptive(toy.toy(), path)]
        done, logs = eval_set(tasks, model=MODELS[1:], **settings(tmp_path))
        assert done
        again.append(verdicts(logs))
    assert again[0] == again[1]
    assert all(each is not None and each.to_dict()["stop"] for each in again[0].values())


def test_eval_async_works_in_a_running_event_loop(make: MakePlan, toy: Any, tmp_path: Path) -> None:
    async def run() -> list[EvalLog]:
        return await eval_async(
            adaptive(toy.toy(), make()),
            model="toy/97",
            log_dir=str(tmp_path / "logs"),
            log_level="critical",
        )

    (log,) = asyncio.run(run())
    assert isinstance(verdict(log), Decision)


@races
def test_a_race_needs_its_models_once_and_says_who_is_best(toy: Any, tmp_path: Path) -> None:
    task = race(toy.toy(n=60), "top:1:0.9", models=MODELS)
    logs = inspect_eval(task, model=MODELS, **settings(tmp_path))
    found = verdict(logs)
    assert isinstance(found, RaceVerdict)
    assert found.best == ("toy/97",)
    assert found.settled
    record = (logs[0].eval.metadata or {})["midband_race"]
    assert "\n".join(found.lines()) == record["text"]
    assert set(verdicts(logs)) == set(verdicts(task)) == set(MODELS)
    assert verdicts(task)["toy/97"] == found


@races
def test_a_planned_race_runs_from_an_object_and_a_path(toy: Any, tmp_path: Path) -> None:
    plan = make_race(None, MODELS[::2], question="top:1:0.9", allocation="racing")
    plan.write(tmp_path / "race.json")
    for each in (plan, tmp_path / "race.json"):
        task = race(toy.toy(), plan=each)
        logs = inspect_eval(task, model=MODELS[::2], **settings(tmp_path))
        found = verdict(logs)
        assert isinstance(found, RaceVerdict)
        assert found.best == ("toy/97",)


@races
def test_a_race_in_an_eval_set_goes_on_with_what_the_first_call_ran(
    toy: Any, tmp_path: Path
) -> None:
    flag = tmp_path / "fixed"
    asked: list[int] = []
    for _ in range(2):
        toy.CALLS.clear()
        inner = toy.toy(errors="1 2 3", until=str(flag))
        task = race(inner, "top:1:0.9", models=MODELS[::2])
        done, logs = eval_set(task, model=MODELS[::2], retry_attempts=0, **settings(tmp_path))
        asked.append(sum(toy.CALLS.values()))
        flag.touch()
    assert done
    found = verdict(logs)
    assert isinstance(found, RaceVerdict)
    assert found.settled
    assert found.results == sum(asked)


def test_the_verdict_is_printed_at_the_end_of_a_run_and_not_with_display_none(
    make: MakePlan, toy: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make()
    for display in ("none", "plain"):
        logs = inspect_eval(
            adaptive(toy.toy(), path),
            model=MODELS[:2],
            **{**settings(tmp_path), "display": display},
        )
        said = capfd.readouterr().err
        for log in logs:
            text = f"midband: {log.eval.model}: rank {getattr(verdict(log), 'rank', None)} of 20"
            assert (text in said) == (display == "plain")
    assert said.count("midband: ") == 2


def test_a_failure_of_midband_runs_everything_and_claims_nothing(
    make: MakePlan, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        msg = "out of order"
        raise RuntimeError(msg)

    monkeypatch.setattr("midband_sampler.Session.tell", broken)
    task = adaptive(toy.toy(), make(strategy=STRATEGIES[-1]))
    (log,) = inspect_eval(task, model="toy/97", **settings(tmp_path))
    assert log.status == "success"
    assert len(log.samples or []) == 40
    assert verdict(log) is None
    assert verdicts(task) == {"toy/97": None}


def test_an_argument_of_the_task_may_be_called_plan(
    make: MakePlan, toy: Any, tmp_path: Path
) -> None:
    @inspect_ai.task
    def planned(plan: str, task: int) -> Task:
        return Task(dataset=MemoryDataset(toy.samples(), name="toy"), scorer=match(), name="toy")

    (log,) = inspect_eval(
        adaptive(planned(plan="b", task=3), make()), model="toy/97", **settings(tmp_path)
    )
    assert isinstance(verdict(log), Decision)


def test_a_runner_that_gives_the_task_its_own_name_leaves_the_benchmark_alone(
    make: MakePlan, toy: Any, tmp_path: Path
) -> None:
    path = make()
    task = inspect_ai.task_with(adaptive(toy.toy(), path), name="midband/adaptive")
    (log,) = inspect_eval(task, model="toy/97", **settings(tmp_path))
    assert log.eval.task == "midband/adaptive"
    ((_, _, decision),) = rank_logs(Plan.read(path), [path_of(log)])
    assert decision.rank == getattr(verdict(log), "rank", None)


def test_the_page_runs_as_written(
    make: MakePlan, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    make()
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = [each.split("```")[0] for each in page.split("```py\n")[1:] if "inspect_ai" in each]
    module = ModuleType("my_benchmark")
    vars(module)["my_task"] = lambda: toy.toy(n=40)
    monkeypatch.setitem(sys.modules, "my_benchmark", module)
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    assert len(blocks) == 2 if len(STRATEGIES) == 2 else blocks.pop()
    for block in blocks:
        for number, name in enumerate(("gpt-5-mini", "gpt-5", "claude-sonnet-4-5")):
            for provider in ("openai", "anthropic"):
                block = block.replace(f'"{provider}/{name}"', f'"{MODELS[number]}"')
        exec(block, {})  # noqa: S102
    said = capsys.readouterr().out
    assert "toy/97 " in said
    assert len(STRATEGIES) == 1 or "toy/97" in said.splitlines()[-1]


def test_what_cannot_be_run_or_read_is_refused_in_one_line(
    make: MakePlan, toy: Any, tmp_path: Path
) -> None:
    path = make()
    wrong: list[Any] = [
        lambda: adaptive(toy.other(), path),
        lambda: adaptive(toy.toy(), tmp_path / "none.json"),
        lambda: adaptive(toy.toy(), 3),  # type: ignore[arg-type]
        lambda: adaptive(toy.toy, path),
        lambda: adaptive(toy.toy(), path, n=3),
        lambda: adaptive(adaptive(toy.toy(), path), path),
        lambda: race(toy.toy(), "top:1:0.9"),
        lambda: race(toy.toy(), "top:1:0.9", models="toy/97"),
        lambda: race(toy.toy(), models=MODELS),
        lambda: race(toy.toy(), "best", models=MODELS),
        lambda: race(toy.toy(), plan="race.json", models=MODELS),
        lambda: verdicts(toy.toy()),
    ]
    for call in wrong:
        with pytest.raises(MidbandError) as caught:
            call()
        text = str(caught.value)
        assert "\n" not in text
        assert "expected" in text
    (log,) = inspect_eval(toy.toy(), model="toy/97", limit=2, **settings(tmp_path))
    with pytest.raises(InputError, match="adaptive eval or a race"):
        verdict(log)
    with pytest.raises(InputError, match="two of toy/97"):
        verdicts(inspect_eval(adaptive(toy.toy(), path), model="toy/97", **settings(tmp_path)) * 2)


def test_a_decision_and_a_verdict_survive_json(make: MakePlan) -> None:
    from midband_sampler import Session
    from midband_sampler.racing import Race

    session = Session(Plan.read(make()))
    empty = session.decision()
    (task,) = session.ask()
    session.tell(task, score=1.0)
    for decision in (empty, session.decision()):
        data = json.loads(json.dumps(decision.to_dict()))
        assert Decision.from_dict(data) == decision
        assert str(Decision.from_dict(data)) == str(decision)
        for broken in ({}, {**data, "claims": 3}, {**data, "warnings": None}):
            with pytest.raises(InputError, match="expected a decision"):
                Decision.from_dict(broken)
    told = Race(make_race(None, MODELS, question="top:1:0.9").with_tasks(["a", "b"])).verdict()
    data = json.loads(json.dumps(told.to_dict()))
    assert RaceVerdict.from_dict(data).lines() == told.lines()
    with pytest.raises(InputError, match="expected a verdict"):
        RaceVerdict.from_dict({**data, "ranked": [{}]})
