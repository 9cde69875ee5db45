"""Which metric a run in rounds is about, before money is spent and whenever results are read."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from midband._ranking import check_metric, is_old
from midband.importers.reading import with_scale
from midband_history import InputError, Metric

if TYPE_CHECKING:
    from midband._descriptors import ReadOptions
    from midband._harness import Harness
    from midband_sampler import Plan


def says_metric(harness: "Harness") -> bool:
    """Whether a harness can be told which metric to read, and so names it."""
    parameters = inspect.signature(harness.read_results).parameters
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return open_ended or "options" in parameters


def plan_to_read_by(
    plan: "Plan",
    harness: "Harness",
    reading: "ReadOptions",
    *,
    begun: Mapping[str, Any],
    note: Callable[[str], None],
) -> "Plan":
    """Return the plan with the metric by which a run's results are read.

    Parameters
    ----------
    begun : mapping
        How the run was begun, by its journal; empty for a new one. What was said then holds.
    note : callable
        Told one line where the run goes on without knowing its metric.

    Raises
    ------
    InputError
        The user names another metric or scale than the plan's or than before, or the plan does not
        know its metric and nobody has named it.
    """
    said, before = reading.metric, str(begun.get("metric") or "")
    if plan.metric is None and said and before and said != before:
        msg = (
            f"expected --metric {before}, with which the run was begun, got {said}: repeat it, or"
            " use another directory"
        )
        raise InputError(msg)
    if plan.metric is not None:
        if said and said != plan.metric.label:
            msg = (
                f"expected results by {plan.metric.label}, the metric of the plan, got --metric"
                f" {said}: leave it out, or make a plan for {said}"
            )
            raise InputError(msg)
        stated = with_scale(plan.metric, reading)
        check_metric(plan, replace(stated, declared="user") if stated != plan.metric else stated)
        return plan
    if said or before:
        name = said or before
        return replace(plan, metric=with_scale(Metric(name=name), reading))
    if is_old(plan):
        note("the plan was made by midband 0.1 and does not say which metric it is about")
    elif says_metric(harness):
        msg = (
            f"expected a plan that knows its metric, got one of {plan.benchmark} that does not:"
            " name the metric that its scores are by with --metric NAME"
        )
        raise InputError(msg)
    return plan


def reading_by(plan: "Plan", reading: "ReadOptions") -> "ReadOptions":
    """Return how results are read: by the plan's metric, as the user says of the rest.

    A scale that a person stated for the history holds for the results too. One that sources
    declare is theirs to declare again.
    """
    options = replace(reading, benchmark=plan.benchmark)
    metric = plan.metric
    if metric is None:
        return options
    options = replace(options, metric=metric.label)
    if metric.declared == "user":
        options = replace(
            options, scale=(metric.low, metric.high), lower_is_better=metric.lower_is_better
        )
    return options
