"""What an Inspect log states about its own results, so that the reading can be checked."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from midband_history import StatedAggregate

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalMetric, EvalScore

    from midband.inspect._scores import ScoreChoice

_MEANS = ("accuracy", "mean")
_SPREAD = "it is a spread and no mean"
_SPREADS = ("stderr", "bootstrap_stderr", "std", "var", "ci", "ci_wilson")


def stated_by(
    header: "EvalLog", choice: "ScoreChoice", *, logged: int, scored: int
) -> Iterator[StatedAggregate]:
    """Yield the metrics of the score that was read.

    Inspect leaves samples without a score out, averages the attempts at a sample first unless the
    run says that epochs are not reduced, and then takes the mean over samples.

    Parameters
    ----------
    header : EvalLog
    choice : ScoreChoice
        The score that was read.
    logged : int
        Samples that the log holds, an epoch each.
    scored : int
        Samples among them of which a score was read.
    """
    found = list(_stated(header, choice, logged=logged, scored=scored))
    checkable = any(not each.not_checkable for each in found)
    for each in found:  # beside a mean that agrees, a spread tells nothing
        if not (checkable and each.not_checkable == _SPREAD):
            yield each


def _stated(
    header: "EvalLog", choice: "ScoreChoice", *, logged: int, scored: int
) -> Iterator[StatedAggregate]:
    results = header.results
    if results is None:
        return
    mine = [score for score in results.scores if _is_of(score, choice)]
    complete = logged >= results.completed_samples
    for score in mine:
        per_task = not _unreduced(header, score, mine)
        for name, metric in score.metrics.items():
            if not math.isfinite(metric.value) or name.partition("_")[0] == "midband":
                continue
            reason = _obstacle(score, name, metric)
            if not reason and choice.key and score.name != choice.key:
                reason = f"it is over the whole mapping, of which {choice.key} was read"
            if not reason and not complete:
                reason = f"the log holds {logged} of its {results.completed_samples} samples"
            if not reason and not scored and metric.value == 0:
                continue  # Inspect's mean of nothing
            yield StatedAggregate(
                name=_name(score, name),
                value=float(metric.value),
                per_task=per_task,
                not_checkable=reason,
                tolerance=1e-6 * max(1.0, abs(metric.value)),
            )


def metric_names(header: "EvalLog", choice: "ScoreChoice") -> list[str]:
    """Return the names of all metrics that the log gives of the score that was read."""
    scores = header.results.scores if header.results is not None else []
    return [name for score in scores if _is_of(score, choice) for name in score.metrics]


def _is_of(score: "EvalScore", choice: "ScoreChoice") -> bool:
    """Whether an entry of the results is about a scorer, and about its key if there is one."""
    if score.scorer != choice.scorer and score.name != choice.scorer:
        return False
    return not choice.key or score.name in (choice.key, choice.scorer)


def _unreduced(header: "EvalLog", score: "EvalScore", all_of: "list[EvalScore]") -> bool:
    """Whether the attempts at a sample were not averaged before the mean over samples."""
    if score.reducer is not None:
        return False
    if header.eval.config.epochs_reducer == []:
        return True
    return any(other.name == score.name and other.reducer is not None for other in all_of)


def _obstacle(score: "EvalScore", name: str, metric: "EvalMetric") -> str:
    """Return why a metric is no mean of what was read; nothing if it is one."""
    plain = metric.name.rpartition("/")[2]
    if score.reducer not in (None, "mean"):
        return f"the attempts at a sample are reduced by {score.reducer}, and all are read"
    if (metric.group or plain).rpartition("/")[2] in _SPREADS:
        return _SPREAD
    if plain not in _MEANS or getattr(metric, "group", None) not in (None, plain):
        return f"{name} is a metric of the task's own"
    if metric.params:
        return f"it is computed with options ({', '.join(metric.params)})"
    return ""


def _name(score: "EvalScore", metric: str) -> str:
    reducer = f" ({score.reducer})" if score.reducer else ""
    return f"{score.name} {metric}{reducer}"
