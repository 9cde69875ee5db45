"""Costs: what one attempt at each task is expected to take, in dollars or seconds."""

import numpy as np

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler._errors import PlanError

COST_UNITS = ("usd", "seconds")
_LEAST = 0.01


def expected_usd(matrix: OutcomeMatrix) -> FloatArray:
    """Mean recorded cost of a task; where only run costs are known, these spread evenly.

    Returns
    -------
    ndarray of float64, shape (n_tasks,)
        US dollars for one attempt; NaN if unknown.
    """
    each = _mean_over_agents(matrix.cost_usd)
    if not np.isnan(each).all() or np.isnan(matrix.run_cost_usd).all():
        return each
    tasks_run = np.maximum((matrix.attempts > 0).sum(axis=1), 1)
    spread = float(np.nanmean(matrix.run_cost_usd / tasks_run))
    return np.full(each.shape, round(spread, 9))


def expected_seconds(matrix: OutcomeMatrix) -> FloatArray:
    """Mean recorded duration of one attempt at a task, shape (n_tasks,); NaN if unknown."""
    return _mean_over_agents(matrix.duration_s)


def choice_costs(matrix: OutcomeMatrix, *, unit: str) -> FloatArray:
    """Costs to weigh information against: complete and positive.

    A task of unknown cost gets the median of the known ones, and none counts less than a hundredth
    of the median, so that a task recorded as free is cheap and not infinitely attractive.

    Parameters
    ----------
    matrix : OutcomeMatrix
    unit : str
        ``"usd"`` or ``"seconds"``.

    Raises
    ------
    PlanError
        The history holds no cost above 0 in that unit.
    """
    check_cost_unit(unit)
    costs = expected_usd(matrix) if unit == "usd" else expected_seconds(matrix)
    known = costs[costs > 0.0]
    if not known.size:
        other = {"usd": "--cost-unit seconds", "seconds": "--cost-unit usd"}[unit]
        msg = (
            f"expected costs of tasks in {unit} in the history of {matrix.benchmark!r}, got none:"
            f" use --strategy information, or {other}"
        )
        raise PlanError(msg)
    middle = float(np.median(known))
    return np.asarray(np.maximum(np.where(np.isnan(costs), middle, costs), _LEAST * middle))


def check_cost_unit(unit: str) -> None:
    """Raise an error that lists the units there are unless `unit` is one of them."""
    if unit not in COST_UNITS:
        msg = f"expected a cost unit among {', '.join(COST_UNITS)}, got {unit!r}"
        raise InputError(msg)


def _mean_over_agents(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    each = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return np.asarray(np.round(each, 9))
