"""A run claims only what its scores carry, and says so where people look."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai import eval_retry
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import MemoryDataset
from inspect_ai.log import EvalLog
from tests.plugins.inspect.judged import rank_logs

from midband.descriptors import ReadOptions
from midband.inspect.logs import read
from midband.inspect.shown import caption_of, counter_text
from midband_history import Metric, Record, StatedAggregate
from midband_sampler import Plan, RankSettled, Session

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
MakePlan = Callable[..., Path]
STRATEGIES = ["random"]
if hasattr(inspect_ai, "SampleSource"):
    STRATEGIES.append("information")
QUIET: dict[str, Any] = {"display": "none", "log_level": "critical"}


def run(plan: Path, *, args: dict[str, Any] | None = None, **settings: Any) -> EvalLog:
    (log,) = inspect_eval(
        "midband/adaptive",
        model=settings.pop("model", "toy/97"),
        task_args={"task": TOY, "plan": str(plan), **(args or {})},
        log_dir=str(plan.parent / "logs"),
        **QUIET,
        **settings,
    )
    return log


def verdict_of(log: EvalLog) -> dict[str, Any]:
    """What the log keeps of a run, whichever way its tasks were chosen."""
    assert log.results is not None, log.error
    live: dict[str, Any] | None = (log.eval.metadata or {}).get("midband_run")
    return live or dict(log.results.early_stopping.metadata)  # type: ignore[union-attr]


def refused(plan: Path, **args: Any) -> str:
    with pytest.raises(PrerequisiteError) as caught:
        run(plan, args=args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without_metric(path: Path, *, version: str) -> Path:
    plan = Plan.read(path)
    versions = {**plan.versions, "midband": version}
    replace(plan, metric=None, versions=versions).write(path)
    return path


def test_another_metric_is_refused_before_anything_runs(make: MakePlan) -> None:
    for metric, args in (
        (Metric(name="judge"), {}),
        (Metric(name="match", key="tone"), {"plan_metric": "match"}),
        (Metric(name="match"), {"odd": "judge"}),
    ):
        path = make(n=12, metric=metric, name=f"{metric.label}.json")
        message = refused(path, n=12, **args)
        assert metric.label in message
    assert not (path.parent / "logs").exists() or not list((path.parent / "logs").iterdir())


def test_a_plan_without_a_metric_asks_for_one(make: MakePlan) -> None:
    path = without_metric(make(n=12), version="0.2.0")
    assert "expected --metric NAME" in refused(path, n=12)
    assert "odd_scorer, match" in refused(path, n=12, odd="judge", both=True, plan_metric="f1")
    log = run(path, args={"n": 12, "plan_metric": "match", "odd": "judge", "both": True})
    assert verdict_of(log)["error"] is None
    assert (log.eval.metadata or {})["midband"]["metric"] == "match"


def test_a_plan_of_an_older_midband_goes_on_with_a_warning(make: MakePlan) -> None:
    log = run(without_metric(make(n=12), version="0.1.0"), args={"n": 12})
    verdict = verdict_of(log)
    assert verdict["error"] is None
    assert any("made by midband 0.1" in each for each in verdict["warnings"])
    assert "made by midband 0.1" in (log.eval.metadata or {})["midband_verdict"].replace("\n ", "")


@pytest.mark.parametrize(
    ("metric", "args", "score"),
    [
        (Metric(name="odd_scorer", low=1, high=10, declared="user"), {"odd": "judge"}, 6 / 9),
        (
            Metric(name="odd_scorer", low=1, high=10, lower_is_better=True, declared="user"),
            {"odd": "judge", "both": True},
            3 / 9,
        ),
        (Metric(name="odd_scorer", key="tone"), {"odd": "mapping"}, 0.25),
        (Metric(name="odd_scorer", key="correct"), {"odd": "mapping"}, 1.0),
    ],
)
def test_scores_are_read_by_the_metric_of_the_plan(
    make: MakePlan, metric: Metric, args: dict[str, Any], score: float
) -> None:
    log = run(make(n=12, metric=metric), args={"n": 12, **args})
    verdict = verdict_of(log)
    assert verdict["error"] is None
    assert verdict["score"] == pytest.approx(score)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("metric", "odd", "said"),
    [
        (Metric(name="odd_scorer"), "judge", "from 0 to 1, got 7"),
        (Metric(name="odd_scorer", key="depth"), "mapping", "got a mapping with correct, tone"),
        (Metric(name="odd_scorer"), "mapping", "got a mapping with correct, tone"),
    ],
)
def test_scores_that_are_not_the_plans_are_judged_by_nobody_and_nothing_is_skipped(
    make: MakePlan, strategy: str, metric: Metric, odd: str, said: str
) -> None:
    log = run(make(n=12, metric=metric, strategy=strategy), args={"n": 12, "odd": odd})
    verdict = verdict_of(log)
    assert log.status == "success"
    assert log.samples is not None
    assert len(log.samples) == 12
    assert verdict["failed_open"] is True
    assert said in verdict["error"]
    assert "rank" not in verdict
    assert "claims" not in verdict
    assert said in (log.eval.metadata or {})["midband_verdict"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_whose_agent_crashes_on_most_tasks_claims_nothing(
    make: MakePlan, strategy: str
) -> None:
    path = make(n=95, strategy=strategy, stop=RankSettled(confidence=0.9, width=0.2))
    crashed = " ".join(str(place) for place in range(1, 96) if place % 19 not in (0, 5, 9, 14))
    assert len(crashed.split()) == 75
    log = run(path, args={"n": 95, "errors": crashed}, fail_on_error=False)
    verdict = verdict_of(log)
    assert log.status == "success"
    assert verdict["claims"] == []
    assert verdict["high"] - verdict["low"] >= 10
    assert verdict["errors"] > verdict["results"]
    assert any("no usable result" in each for each in verdict["warnings"])
    assert "without a result" in verdict["verdict"]
    assert "errors)" in verdict["verdict"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_too_many_errors_end_a_run_early(make: MakePlan, strategy: str) -> None:
    everything = " ".join(map(str, range(1, 41)))
    path = make(strategy=strategy)
    settings: dict[str, Any] = {"fail_on_error": False, "max_samples": 4}
    by_default = run(path, args={"errors": everything}, **settings)
    named = run(path, args={"errors": everything, "plan_max_errors": 2}, **settings)
    never = run(path, args={"errors": everything, "plan_max_errors": "100%"}, **settings)
    for log, most in ((by_default, 10), (named, 3), (never, 40)):
        assert log.samples is not None
        assert most <= len(log.samples) <= most + 8  # those that were at work run to their end
        text = " ".join((log.eval.metadata or {})["midband_verdict"].split())
        assert text.startswith("toy/97: rank unknown of 20 on the full benchmark")
        assert ("too many errors" in text) == (most < 40)
    assert "plan_max_errors" not in (named.eval.metadata or {})["midband"]["args"]


def test_tasks_that_are_kept_out_are_not_said_to_have_run(make: MakePlan) -> None:
    path = make(strategy="random")
    wanted = list(Plan.read(path).tasks[:40:8])
    log = run(path, sample_id=wanted)
    verdict = verdict_of(log)
    text = " ".join((log.eval.metadata or {})["midband_verdict"].split())
    assert verdict["claims"] == []
    assert verdict["tasks_planned"] == 40
    assert "1 of 40 tasks" in text  # the one that comes first in the plan
    assert "only 5 of 40 planned tasks are run" in text
    assert "40 of 40" not in text


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_verdict_leads_the_log(make: MakePlan, strategy: str) -> None:
    path = make(strategy=strategy)
    order = Plan.read(path).tasks
    flag = path.parent / "fixed"
    broken = order[5].removeprefix("item-") if strategy == "random" else "1 2 3 4 5 6 7 8 9"
    first = run(path, args={"errors": broken, "until": str(flag)}, max_samples=1)
    assert first.status == "error"
    flag.touch()
    place = Path(first.location.removeprefix("file://"))
    (again,) = eval_retry(str(place), log_dir=str(path.parent / "logs"), **QUIET)
    for log in (run(path), again):
        verdict = verdict_of(log)
        assert log.results is not None
        metrics = log.results.scores[0].metrics
        assert list(metrics)[:2] == ["accuracy", "stderr"]
        assert metrics["midband_full_score"].value == pytest.approx(verdict["full_score"])
        assert metrics["midband_tasks_in_full"].value == 40
        assert str(log.eval.task_display_name) == "toy (tasks chosen by midband)"
        assert metrics["midband_tasks_chosen"].value == len(log.samples or [])
        name, text = next(iter((log.eval.metadata or {}).items()))
        assert name == "midband_verdict"
        assert text.startswith(f"toy/97: rank {verdict['rank']} of 20")
        items = list(read(Path(log.location.removeprefix("file://")), options=ReadOptions()))
        assert not any(item.whole_benchmark for item in items if isinstance(item, Record))
        stated = [item.name for item in items if isinstance(item, StatedAggregate)]
        assert stated == ["match accuracy"]


def test_a_dataset_that_shuffles_itself_is_matched_by_content(make: MakePlan, toy: Any) -> None:
    from midband.inspect import prepare_task

    plan = Plan.read(make(ids=[str(place) for place in range(1, 41)]))
    task = toy.toy(ids="none")
    contents = {str(place): sample.input for place, sample in enumerate(task.dataset, start=1)}
    task.dataset = MemoryDataset(list(task.dataset)[::-1], name="toy")
    prepared = prepare_task(task, plan)
    assert {str(sample.id): sample.input for sample in prepared.dataset} == contents
    assert all(isinstance(sample.id, int) for sample in prepared.dataset)


def test_a_shuffled_run_of_samples_without_ids_is_ranked_by_content(make: MakePlan) -> None:
    path = make(ids=[str(place) for place in range(1, 41)])
    verdicts = []
    kinds: list[dict[str, Any]] = [{}, {"sample_shuffle": 3}]
    for settings in kinds:
        (log,) = inspect_eval(
            TOY,
            model="toy/97",
            task_args={"ids": "none"},
            log_dir=str(path.parent / "full"),
            **QUIET,
            **settings,
        )
        place = Path(log.location.removeprefix("file://"))
        ((_, _, decision),) = rank_logs(Plan.read(path), [place])
        verdicts.append((decision.rank, decision.low, decision.high, decision.tasks_run))
    assert verdicts[0] == verdicts[1]
    assert verdicts[0][3] > 5


def test_five_models_fit_the_screen(make: MakePlan) -> None:
    names = [
        "anthropic/claude-sonnet-4-5-20250929",
        "anthropic/claude-haiku-4-5-20251001",
        "openrouter/anthropic/claude-sonnet-4-5",
        "google/gemini-2.5-pro",
        "openai/gpt-4o-mini-2024-07-18",
    ]
    captions: list[str] = []
    for name in names:
        captions.append(caption_of(name, captions))
    assert len(set(captions)) == 5
    decision = Session(Plan.read(make(n=12))).decision()
    decision = replace(decision, low=10, high=19, tasks_run=100, tasks_planned=100)
    shown = "  ".join(f"{each}: {counter_text(decision, alone=False)}" for each in captions)
    assert len(f"{shown}  HTTP retries: 0") <= 120
