"""The metric that a plan is made for, and the score that a running eval gives by it."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from midband.inspect._scores import ScoreChoice, Scores, Shape, choose_score
from midband_history import InputError, Metric

if TYPE_CHECKING:
    from midband_sampler import Plan


def metric_of(plan: "Plan") -> Metric:
    """Return the metric of a plan; one without a name if the plan does not know it."""
    found = getattr(plan, "metric", None)
    return found if isinstance(found, Metric) else Metric()


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
