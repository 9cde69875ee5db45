"""What Inspect's log and viewer show of a run's verdict: a metric, and the top of the metadata."""

import math
from typing import TYPE_CHECKING, Any

from inspect_ai._util.registry import registry_info
from inspect_ai.scorer import Metric, SampleScore, Value, metric
from inspect_ai.scorer._scorer import SCORER_METRICS, scorer_metrics, unique_scorer_name

from midband.inspect._observer import RunningEval, running_eval

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalSpec

    from midband.inspect._live import LiveRun

VERDICT = "midband_verdict"


def begin_run(run: "LiveRun", spec: "EvalSpec | None") -> None:
    """Note the run of the eval whose context this is; a verdict of an earlier attempt goes."""
    current = running_eval.get()
    if current is None or current.spec is not spec:
        current = RunningEval(spec)
        running_eval.set(current)
    current.run = run
    known = (spec.metadata or {}) if spec is not None else {}
    if spec is not None and VERDICT in known:
        spec.metadata = {name: each for name, each in known.items() if name != VERDICT}


def current_run() -> "LiveRun | None":
    """Return the run of the eval whose context this is."""
    current = running_eval.get()
    return None if current is None else current.run


def say_in_header(run: "LiveRun") -> None:
    """Put the verdict in words first in the metadata of the log's header; never raises."""
    current = running_eval.get()
    spec = None if current is None else current.spec
    try:
        if spec is not None:
            rest = {name: each for name, each in (spec.metadata or {}).items() if name != VERDICT}
            spec.metadata = {VERDICT: run.verdict, **rest}
    except Exception as error:  # what cannot be noted must not end the eval
        run.fail(error)


@metric(name="midband")
def verdict_metric(prefix: str = "midband_") -> Metric:
    """Estimate of the full benchmark, beside metrics that are over the chosen tasks alone.

    Parameters
    ----------
    prefix : str
        What the names of the values begin with. Inspect puts the metric's own name before them
        where a scorer has metrics for each key, and then they need no other.
    """

    def compute(scores: list[SampleScore]) -> Value:
        run = current_run()
        decision = None if run is None else run.decision
        if decision is None:
            return math.nan
        found = {
            "full_score": decision.full_score,
            "full_score_low": decision.full_score_low,
            "full_score_high": decision.full_score_high,
            "tasks_chosen": float(len({each.sample_id for each in scores})),
            "tasks_in_full": float(decision.tasks_total),
        }
        return {f"{prefix}{name}": value for name, value in found.items() if not math.isnan(value)}

    return compute


def add_verdict_metric(task: "Task", *, scorer: str, key: str) -> None:
    """Let a task's log show the estimate beside the metrics of the score that is judged.

    Parameters
    ----------
    task : Task
        Changed in place.
    scorer, key : str
        The metric of the run; the first scorer by default.
    """
    if task.metrics:
        task.metrics = _with_ours(task.metrics, key)
        return
    found: Any = task.scorer
    names: list[str] = []
    for each in found if isinstance(found, list | tuple) else [found] if found else []:
        name = unique_scorer_name(each, names)
        names.append(name)
        if scorer in ("", name):
            metrics = _with_ours(scorer_metrics(each), key)
            registry_info(each).metadata[SCORER_METRICS] = metrics
            return


def _with_ours(metrics: Any, key: str) -> Any:
    if not isinstance(metrics, dict):
        return [*metrics, verdict_metric()]
    chosen = key if key in metrics else next(iter(metrics), "")
    return {
        name: [*each, verdict_metric("")] if name == chosen else each
        for name, each in metrics.items()
    }
