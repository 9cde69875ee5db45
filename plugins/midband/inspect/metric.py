"""The metric of a plan: what a task declares of its scores, and what a running eval gives."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from inspect_ai.scorer._scorer import scorer_metrics, unique_scorer_name

from midband.inspect.scores import ScoreChoice, Scores, Shape, choose_score
from midband_history import InputError, Metric

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.scorer import Scorer

    from midband_sampler import Plan

UNKNOWN_METRIC = (
    "the plan was made by midband 0.1 and does not say which metric it is about: the task's own"
    " main score is taken for it"
)


def metric_of(plan: "Plan") -> Metric:
    """Return the metric of a plan; one without a name if the plan does not know it."""
    return plan.metric or Metric()


class ScoreReader:
    """Reads the scores of one running eval as a plan counts them.

    Parameters
    ----------
    metric : Metric
        The plan's. Of one without a name, the task's own main metric is read.
    spec : EvalSpec, optional
        What Inspect says of the eval: its scorers in order, and its headline metric.
    """

    def __init__(self, metric: Metric, *, spec: object = None) -> None:
        self.metric = metric
        self._scorers = [each.name for each in getattr(spec, "scorers", None) or ()]
        self._headline = getattr(spec, "headline_metric", None)
        self._shapes: dict[str, Shape] = {}

    def read(self, scores: Scores | None) -> float | None:
        """Return the score of a sample in [0, 1], 1 = best; None is no information.

        Raises
        ------
        InputError
            The sample has a score that is not the plan's metric, or lies outside its scale.
        """
        if not scores:
            return None
        choice = self._choice(scores)
        value = choice.value(scores)
        if value is None:
            self._check(choice, scores)
            return None
        return self.metric.unit(value)

    def _choice(self, scores: Scores) -> ScoreChoice:
        if self.metric.known:
            return ScoreChoice(scorer=self.metric.name, key=self.metric.key)
        for name, score in scores.items():
            self._shapes.setdefault(name, Shape()).see(score.value)
        return choose_score(self._shapes, scorers=self._scorers, headline=self._headline)

    def _check(self, choice: ScoreChoice, scores: Scores) -> None:
        """Refuse what a score of another metric is; an unscored sample is none."""
        if not self.metric.known:
            return
        value = scores[choice.scorer].value if choice.scorer in scores else None
        if choice.scorer not in scores:
            got = f"scores of {', '.join(scores)}"
        elif isinstance(value, Mapping):
            if choice.key in value:
                return
            got = f"a mapping with {', '.join(map(str, value))}"
        elif not choice.key or (isinstance(value, float) and math.isnan(value)):
            return
        else:
            got = f"the single value {value!r}"
        msg = f"expected scores of the plan's metric {choice.label}, got {got}"
        raise InputError(msg)


def check_metric(plan: "Plan", task: str, shapes: Mapping[str, Shape], *, wanted: str) -> Metric:
    """Return the metric that a run by this plan is judged by, before anything is paid for.

    Parameters
    ----------
    plan : Plan
    task : str
        Name of the Inspect task.
    shapes : mapping of str to Shape
        The task's scorers in order, with the keys of those that declare metrics by key; empty
        where the task has none, so that only its solver can give a score.
    wanted : str
        What a person asked for: ``NAME`` or ``NAME.KEY``; empty for the plan's own.

    Raises
    ------
    PlanError
        The task does not give the plan's metric; or the plan does not know its metric and nobody
        names it. A plan of midband 0.1 continues.
    """
    from midband._ranking import is_old
    from midband_sampler import PlanError

    metric = metric_of(plan)
    labels = [f"{name}.{key}" for name, shape in shapes.items() for key in shape.keys]
    labels += [name for name, shape in shapes.items() if not shape.keys]
    if metric.known:
        if wanted and wanted != metric.label:
            msg = (
                f"expected a run of the plan's metric {metric.label}, got --metric {wanted}: make a"
                f" plan with `midband plan --metric {wanted}`"
            )
            raise PlanError(msg)
        if shapes and not _gives(shapes, metric):
            msg = (
                f"expected the plan's metric {metric.label}, got {task!r} with"
                f" {', '.join(labels)}: make a plan for one of these, or run the task that the"
                " history holds"
            )
            raise PlanError(msg)
        return metric
    if wanted:
        return _named(wanted, task, shapes, labels)
    if not is_old(plan):
        msg = (
            f"expected --metric NAME, since the plan does not know its metric; {task!r} has"
            f" {', '.join(labels) or 'none'}: name the one that the history was read by, also to"
            " `midband plan`"
        )
        raise PlanError(msg)
    return metric


def _gives(shapes: Mapping[str, Shape], metric: Metric) -> bool:
    """Whether a task may give a metric; only its run shows what a scorer without keys gives."""
    shape = shapes.get(metric.name)
    if shape is None:
        return False
    if not shape.keys:
        return True
    return metric.key in shape.keys if metric.key else shape.plain


def _named(wanted: str, task: str, shapes: Mapping[str, Shape], labels: "list[str]") -> Metric:
    from midband_sampler import PlanError

    owners = sorted((name for name in shapes if f"{wanted}.".startswith(f"{name}.")), key=len)
    name = owners[-1] if owners else wanted if not shapes else ""
    metric = Metric(name=name, key=wanted[len(name) + 1 :])
    if not name or (shapes and not _gives(shapes, metric)):
        msg = f"expected one of the metrics {', '.join(labels)} of {task!r}, got {wanted!r}"
        raise PlanError(msg)
    return metric


_PATTERN = frozenset("*?[")


def declared_shapes(task: "Task") -> dict[str, Shape]:
    """Return the task's scorers by the names that its log will give them, in order.

    The keys of a scorer are known where its metrics, or the task's, are given by key; a pattern
    says nothing of them.
    """
    shapes: dict[str, Shape] = {}
    for scorer in _scorers(task):
        shape = Shape()
        for metrics in _entries(task.metrics or scorer_metrics(scorer)):
            if not isinstance(metrics, Mapping):
                shape.plain = True
            elif any(_PATTERN.intersection(key) for key in metrics):
                shape = Shape(plain=True)
                break
            else:
                shape.keys.update(dict.fromkeys(metrics, True))
        shapes[unique_scorer_name(scorer, list(shapes))] = shape
    return shapes


def _scorers(task: "Task") -> "list[Scorer]":
    found: Any = task.scorer
    if found is None:
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def _entries(metrics: Any) -> Iterator[Any]:
    if isinstance(metrics, Mapping):
        yield metrics
    else:
        yield from metrics
