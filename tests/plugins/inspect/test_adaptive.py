import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai import eval_retry, eval_set
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog, read_eval_log
from tests.plugins.inspect.judged import rank_logs

from midband.descriptors import ReadOptions
from midband.inspect.logs import read
from midband_history import Metric, MidbandError, Record
from midband_sampler import Never, Plan, Session

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
MakePlan = Callable[..., Path]


def run(plan: Path, *, model: Any = "toy/97", task: str = TOY, **settings: Any) -> list[EvalLog]:
    inner = settings.pop("args", {})
    settings.setdefault("max_samples", 4)
    return inspect_eval(
        "midband/adaptive",
        model=model,
        task_args={"task": task, "plan": str(plan), **inner},
        display="none",
        log_dir=str(plan.parent / "logs"),
        log_level="critical",
        **settings,
    )


def early(log: EvalLog) -> Any:
    assert log.results is not None, log.error
    assert log.results.early_stopping is not None
    return log.results.early_stopping


def path_of(log: EvalLog) -> Path:
    return Path(log.location.removeprefix("file://"))


def test_a_run_stops_early_and_the_log_says_why(make: MakePlan) -> None:
    path = make()
    plan = Plan.read(path)
    (log,) = run(path)
    stopping = early(log)
    verdict = stopping.metadata
    assert log.status == "success"
    assert log.eval.task == "toy"
    assert stopping.manager == "midband"
    assert verdict["stop"] is True
    assert verdict["reason"] == "rank settled"
    assert verdict["plan_digest"] == plan.digest
    assert verdict["low"] <= verdict["rank"] <= verdict["high"]
    assert verdict["confidence"] == 0.9
    assert verdict["guarantee"]
    assert verdict["error"] is None
    assert log.samples is not None
    assert len(log.samples) + len(stopping.early_stops) == len(plan.tasks)
    assert verdict["samples_skipped"] == len(stopping.early_stops) > 10
    assert verdict["estimated_cost_saved_usd"] == pytest.approx(0.01 * verdict["samples_skipped"])
    assert {sample.id for sample in log.samples} == set(plan.tasks[: len(log.samples)])


@pytest.mark.parametrize("suffix", ["eval", "json"])
def test_the_log_gives_the_verdict_again(make: MakePlan, suffix: str) -> None:
    path = make()
    (log,) = run(path, log_format=suffix)
    ((agent, source, decision),) = rank_logs(Plan.read(path), [path_of(log)])
    verdict = dict(early(log).metadata)
    again = json.loads(json.dumps(decision.to_dict()))
    assert agent == "toy/97"
    assert source == path_of(log)
    for name in set(again) - {"cost_saved_usd"}:
        assert again[name] == verdict[name], name
    assert again["cost_saved_usd"] == pytest.approx(verdict["estimated_cost_saved_usd"])


def test_a_full_run_gets_the_verdict_of_the_stopped_run(make: MakePlan) -> None:
    path = make()
    (stopped,) = run(path)
    (full,) = inspect_eval(
        TOY, model="toy/97", display="none", log_dir=str(path.parent / "full"), log_level="critical"
    )
    verdicts = rank_logs(Plan.read(path), [path_of(stopped), path_of(full)])
    (_, _, one), (_, _, other) = verdicts
    assert full.samples is not None
    assert len(full.samples) == 40
    assert (one.rank, one.low, one.high, one.tasks_run, one.reason) == (
        other.rank,
        other.low,
        other.high,
        other.tasks_run,
        other.reason,
    )


@pytest.mark.parametrize("ids", ["int", "none"])
def test_ids_that_are_no_text(make: MakePlan, ids: str) -> None:
    path = make(ids=[str(place) for place in range(1, 41)])
    (log,) = run(path, args={"ids": ids}, sample_shuffle=True)
    assert early(log).metadata["stop"] is True
    assert log.samples is not None
    run_first = set(Plan.read(path).tasks[: len(log.samples)])
    assert {str(sample.id) for sample in log.samples} == run_first
    digests = {record.task_id: record.task_digest for record in records(log)}
    planned = Plan.read(path).task_digests
    assert all(planned[name] == digest for name, digest in digests.items())


def records(log: EvalLog) -> Any:
    items = read(path_of(log), options=ReadOptions())
    return [item for item in items if isinstance(item, Record)]


def test_epochs_average_within_a_task(make: MakePlan) -> None:
    undecided = make(stop=Never(), n=12, name="wide.json")
    (log,) = run(undecided, epochs=2, args={"n": 12})
    assert log.samples is not None
    assert len(log.samples) == 24
    assert early(log).metadata["tasks_run"] == 12
    assert early(log).metadata["samples_scored"] == 24
    ((_, _, decision),) = rank_logs(Plan.read(undecided), [path_of(log)])
    assert decision.score == early(log).metadata["score"]
    settled = make()
    (log,) = run(settled, epochs=2)
    assert log.samples is not None
    assert {sample.epoch for sample in log.samples} == {1}
    assert early(log).metadata["samples_skipped"] == 80 - len(log.samples)
    assert early(log).metadata["estimated_cost_saved_usd"] == pytest.approx(
        0.01 * (80 - 2 * len(log.samples))
    )


def test_two_models_at_once_are_judged_apart(make: MakePlan) -> None:
    path = make()
    alone = {
        model: early(run(path, model=model)[0]).metadata["rank"] for model in ("toy/97", "toy/8")
    }
    logs = run(path, model=["toy/97", "toy/8"], max_tasks=2)
    together = {str(log.eval.model): early(log).metadata["rank"] for log in logs}
    assert together == alone
    assert together["toy/97"] < together["toy/8"]


@pytest.mark.parametrize("odd", ["nan", "list", "word"])
def test_a_score_that_says_nothing_is_no_failure(make: MakePlan, odd: str) -> None:
    path = make(n=12, metric=Metric(name="odd_scorer"))
    (log,) = run(path, args={"n": 12, "odd": odd})
    verdict = early(log).metadata
    assert verdict["samples_scored"] == 0
    assert verdict["tasks_without_result"] == verdict["unscored"] == 10
    assert verdict["samples_without_score"] + verdict["samples_skipped"] == 12
    assert verdict["reason"].startswith("too many errors")
    assert (verdict["score"], verdict["rank"], verdict["claims"]) == (None, None, [])
    assert {record.kind for record in records(log)} == {"missing"}
    assert {record.score for record in records(log)} == {None}


def test_a_sample_that_errors_does_not_hold_up_the_verdict(make: MakePlan) -> None:
    path = make()
    first = Plan.read(path).tasks[1].removeprefix("item-")
    (log,) = run(path, args={"errors": first}, fail_on_error=False)
    verdict = early(log).metadata
    assert verdict["stop"] is True
    assert verdict["reason"] == "rank settled"
    assert verdict["tasks_without_result"] == 1
    assert [r.kind for r in records(log) if r.score is None] == ["infra_error"]
    ((_, _, decision),) = rank_logs(Plan.read(path), [path_of(log)])
    assert (decision.rank, decision.tasks_run) == (verdict["rank"], verdict["tasks_run"])


def test_a_failing_session_lets_the_run_go_on(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        msg = "out of luck"
        raise RuntimeError(msg)

    monkeypatch.setattr(Session, "tell", broken)
    (log,) = run(make(n=12), args={"n": 12})
    assert log.status == "success"
    assert log.samples is not None
    assert len(log.samples) == 12
    verdict = early(log).metadata
    assert verdict["error"] == "RuntimeError: out of luck"
    assert verdict["failed_open"] is True
    assert "rank" not in verdict


def test_a_failing_start_lets_the_run_go_on(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        msg = "no memory"
        raise MemoryError(msg)

    monkeypatch.setattr(Session, "__init__", broken)
    (log,) = run(make(n=12), args={"n": 12})
    assert log.status == "success"
    assert early(log).metadata["error"] == "MemoryError: no memory"


def test_a_failing_plugin_is_named_and_the_run_still_stops(make: MakePlan) -> None:
    from midband._manager import get_plugin_manager
    from midband.hookspecs import hookimpl

    seen: list[str] = []

    class Observer:
        @hookimpl
        def midband_result_recorded(self, task_id: str) -> None:
            seen.append(task_id)

        @hookimpl
        def midband_run_finished(self) -> None:
            msg = "no network"
            raise OSError(msg)

    manager = get_plugin_manager()
    plugin = Observer()
    manager.register(plugin, name="observer")
    try:
        (log,) = run(make())
    finally:
        manager._pluggy.unregister(plugin)
    verdict = early(log).metadata
    assert len(seen) == verdict["samples_scored"]
    assert verdict["stop"] is True
    assert verdict["warnings"] == ["a plugin failed in midband_run_finished: OSError: no network"]


def test_a_limit_and_a_missing_sample_log_are_said(make: MakePlan) -> None:
    path = make(stop=Never())
    (log,) = run(path, limit=5)
    verdict = early(log).metadata
    assert verdict["stop"] is False
    assert any("only 5 of 40 planned tasks" in text for text in verdict["warnings"])
    (log,) = run(make(), log_samples=False)
    assert any("--no-log-samples" in text for text in early(log).metadata["warnings"])


def test_eval_retry_rebuilds_the_state(make: MakePlan) -> None:
    path = make()
    tasks = Plan.read(path).tasks
    broken = tasks[6].removeprefix("item-")
    flag = path.parent / "fixed"
    (first,) = run(path, args={"errors": broken, "until": str(flag)}, max_samples=1)
    assert first.status == "error"
    flag.touch()
    (second,) = eval_retry(
        str(path_of(first)), display="none", log_dir=str(path.parent / "logs"), log_level="critical"
    )
    assert second.status == "success"
    assert second.samples is not None
    reused = {s.uuid for s in first.samples or [] if s.error is None}
    assert reused
    assert reused <= {s.uuid for s in second.samples}
    (whole,) = run(path, max_samples=1)
    expected, got = early(whole).metadata, early(second).metadata
    assert (got["rank"], got["low"], got["high"]) == (
        expected["rank"],
        expected["low"],
        expected["high"],
    )
    # Inspect looks reused samples up first and may start the others in another order.
    assert got["tasks_run"] == expected["tasks_run"] <= got["samples_scored"] < 40


def test_eval_set_finishes_and_finds_itself_finished(make: MakePlan) -> None:
    path = make()
    settings: dict[str, Any] = {
        "model": "toy/97",
        "task_args": {"task": TOY, "plan": str(path)},
        "log_dir": str(path.parent / "set"),
        "display": "none",
        "max_samples": 4,
        "log_level": "critical",
    }
    done, logs = eval_set("midband/adaptive", **settings)
    assert done
    assert early(logs[0]).metadata["stop"] is True
    again, second = eval_set("midband/adaptive", **settings)
    assert again
    assert second[0].eval.eval_id == logs[0].eval.eval_id
    assert read_eval_log(logs[0].location).status == "success"


def refused(path: Path, **arguments: Any) -> str:
    with pytest.raises(PrerequisiteError) as caught:
        run(path, **arguments)
    assert isinstance(caught.value, MidbandError)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_plan_for_another_benchmark_is_refused(make: MakePlan) -> None:
    message = refused(make(benchmark="gaia"))
    assert "'toy'" in message
    assert "'gaia'" in message


def test_a_designed_order_stops(make: MakePlan) -> None:
    (log,) = run(make(strategy="design", name="design.json"))
    assert log.results is not None
    assert log.results.early_stopping is not None
    verdict = log.results.early_stopping.metadata
    assert verdict["stop"]
    assert verdict["target"] == "full benchmark"
    assert "19 replays" in str(verdict["guarantee"])


def test_where_samples_cannot_be_chosen_the_order_is_fixed(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(inspect_ai, "SampleSource", raising=False)
    path = make(strategy="information")
    plan = Plan.read(path)
    (log,) = run(path)
    assert (log.eval.metadata or {})["midband"]["tasks_chosen"] == "in a fixed order"
    verdict = early(log).metadata
    assert verdict["stop"] is True
    assert verdict["plan_digest"] == plan.digest
    assert any("0.3.250" in str(text) for text in verdict["warnings"])
    assert {sample.id for sample in log.samples or []} == set(plan.tasks[: len(log.samples or [])])
    ((_, _, again),) = rank_logs(plan, [path_of(log)])
    session = Session(plan, live=False)
    for task in plan.tasks:
        for sample in log.samples or []:
            if sample.id == task and sample.scores:
                session.tell(task, score=float(sample.scores["match"].value == "C"))
    for decision in (session.decision(), again):
        assert (decision.rank, decision.low, decision.high, decision.tasks_run) == (
            verdict["rank"],
            verdict["low"],
            verdict["high"],
            verdict["tasks_run"],
        )


def test_a_live_plan_without_a_calibrated_fixed_order_is_refused_where_it_would_be_needed(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(inspect_ai, "SampleSource", raising=False)
    path = make(strategy="information")
    replace(Plan.read(path), fallback=None).write(path)
    assert "-fixed" in refused(path)


def test_changed_tasks_are_refused_unless_allowed(make: MakePlan) -> None:
    path = make()
    message = refused(path, args={"changed": 2})
    assert "2 changed" in message
    assert "--allow-changed" in message
    (log,) = run(path, args={"changed": 2, "allow_changed": True})
    assert log.status == "success"
    assert (log.eval.metadata or {})["midband"]["tasks_changed"] == 2


def test_missing_tasks_are_refused(make: MakePlan) -> None:
    path = make()
    assert "10 gone" in refused(path, args={"n": 30})
    (log,) = run(path, args={"n": 30, "allow_changed": True})
    assert log.status == "success"
    foreign = make(ids=[f"other-{place}" for place in range(40)], name="foreign.json")
    assert "none of them" in refused(foreign, args={"allow_changed": True})


def test_unknown_digests_are_not_compared(make: MakePlan) -> None:
    (log,) = run(make(digests=False), args={"changed": 3})
    assert log.status == "success"


def test_other_bad_arguments(make: MakePlan, tmp_path: Path) -> None:
    path = make()
    assert "cannot read" in refused(tmp_path / "none.json")
    assert "got other, toy" in refused(path, task=TOY.partition("@")[0])
    assert "put the first plan back" in refused(path, args={"plan_digest": "0123"})


def test_arguments_nested_by_older_retries_reach_the_inner_task(make: MakePlan) -> None:
    path = make()
    digest = Plan.read(path).digest
    nested = {"kwargs": {"kwargs": {"changed": 1, "plan_digest": digest}}}
    assert "1 changed" in refused(path, args=nested)
    (log,) = run(path, args={"kwargs": {"plan_digest": digest, "errors": "999"}})
    assert (log.eval.metadata or {})["midband"]["args"] == {"errors": "999"}
    assert records(log)[0].settings["task_args"] == {"errors": "999"}


def test_the_counter_shows_rank_and_interval(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from midband.inspect import hooks

    shown: list[tuple[str, str]] = []

    def show(caption: str, value: str) -> None:
        shown.append((caption, value))
        msg = "no screen"
        raise OSError(msg)

    monkeypatch.setattr(hooks, "display_counter", show)
    (log,) = run(make())
    verdict = early(log).metadata
    assert verdict["error"] is None
    assert {caption for caption, _ in shown} == {"97"}
    last = f"#{verdict['rank']} ({verdict['low']}-{verdict['high']}) {verdict['tasks_run']}/40"
    assert shown[-1][1].rstrip("!") == last
    assert len(shown) > verdict["tasks_run"]
