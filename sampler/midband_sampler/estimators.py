"""Estimators: the full score from some of the tasks, and how far each may be off."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from midband_history import FloatArray, InputError, IntArray
from midband_sampler.bounds.base import Interval
from midband_sampler.model.posterior import FullScorePosterior


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimated mean with its standard error.

    Parameters
    ----------
    value : float
        NaN where the results say nothing.
    standard_error : float
        NaN where too few results are there to tell.
    tasks : int
        Results that the estimate draws on.
    """

    value: float = math.nan
    standard_error: float = math.nan
    tasks: int = 0


def randomised_full_score(
    scores: FloatArray, tasks: IntArray, propensity: FloatArray, expected: FloatArray
) -> Estimate:
    """Full score by the known chances of choices alone: honest even if the model is wrong.

    Before step m of M let R be the n_m tasks not chosen yet, f_m what was then expected of them,
    and q_m the chance with which task i_m was drawn. With y the scores,

        T_m = sum of y over the tasks chosen before + sum of f_m over R + (y - f_m)(i_m) / q_m

    has the full sum as its mean given all before, whatever f_m is (Robins, Rotnitzky, Zhao
    1994). So has any average with weights that do not depend on the draws; the weights are
    1 / (n_m (n_m - 1)), as in the levelled estimator R_LURE of active testing (Farquhar, Gal,
    Rainforth 2021; Kossen et al. 2021), to which this is equal for f = 0 and M < N. The errors
    T_m - sum are martingale differences, so their squares add up: the standard error is the root
    of ``sum w_m^2 (T_m - estimate)^2 / (1 - sum w_m^2)``.

    A step with propensity 1 (a guard task; a strategy's own choice, which is no draw) has weight
    0: what it saw counts as known in the later steps. Departing from R_LURE, a mixture of own
    choices and draws is thus best given by what the coin said, 1 or 1 / n_m, and not by the
    marginal chance: the coin knows nothing of the scores, so this is honest and has less variance.

    Unbiased for a number of steps that does not depend on the scores; one that does can shift it.

    Parameters
    ----------
    scores : ndarray of float64, shape (M,)
        In the order of choice; in [0, 1]. A task without a result (NaN) leaves the target, and
        chances are scaled up to the tasks that stay in it: exact for uniform draws.
    tasks : ndarray of int64, shape (M,)
        Position of each choice, each task at most once.
    propensity : ndarray of float64, shape (M,)
        Chance in (0, 1] of the choice that was made, given everything before it. Where it is below
        1, every task of R must have had a chance above 0.
    expected : ndarray of float64, shape (N,) or (M, N)
        Expected score of every task, in the second form as it was before each step; rows of
        steps with propensity 1 are not read.

    Returns
    -------
    Estimate
        NaN if no choice was drawn; standard error NaN if only one was. `tasks` counts the draws.
    """
    steps, n_all = tasks.size, expected.shape[-1]
    if not (scores.shape == tasks.shape == propensity.shape) or (
        expected.ndim == 2 and len(expected) != steps
    ):
        msg = (
            f"expected one score, propensity and row of predictions a choice, got {scores.shape},"
            f" {propensity.shape}, {expected.shape} for {steps} choices"
        )
        raise InputError(msg)
    if len(set(tasks.tolist())) != steps:
        msg = "expected every task to be chosen at most once, got one twice: merge its attempts"
        raise InputError(msg)
    if np.any((propensity <= 0.0) | (propensity > 1.0)):
        msg = "expected propensities in (0, 1], got others: a choice had some chance"
        raise InputError(msg)
    in_target = np.ones(n_all, dtype=bool)
    in_target[tasks[np.isnan(scores)]] = False
    unseen = in_target.copy()
    known, totals, weights = 0.0, [], []
    for step, (task, score) in enumerate(zip(tasks, scores, strict=True)):
        if not in_target[task]:
            continue
        left = int(unseen.sum())
        if propensity[step] < 1.0:
            guess = expected if expected.ndim == 1 else expected[step]
            chance = min(1.0, propensity[step] * (n_all - step) / left)
            totals.append(known + float(guess[unseen].sum()) + (score - guess[task]) / chance)
            weights.append(1.0 / max(left * (left - 1), 1))
        known += score
        unseen[task] = False
    n_target = int(in_target.sum())
    if not unseen.any() and n_target:
        return Estimate(value=known / n_target, standard_error=0.0, tasks=len(totals))
    if not totals:
        return Estimate()
    share = np.array(weights) / np.sum(weights)
    sums = np.array(totals)
    value = float(share @ sums)
    squares = float(share @ share)
    variance = np.nan
    if len(totals) > 1:
        variance = float(share**2 @ (sums - value) ** 2) / (1.0 - squares)
    return Estimate(
        value=value / n_target,
        standard_error=float(np.sqrt(variance)) / n_target,
        tasks=len(totals),
    )


class ChoiceLog:
    """How each completed task of a run was chosen: what `randomised_full_score` needs.

    Parameters
    ----------
    n_tasks : int
        Tasks of the benchmark.
    """

    def __init__(self, n_tasks: int) -> None:
        self._n_tasks = n_tasks
        self.tasks: list[int] = []
        self.probabilities: list[float] = []
        self.expected: list[FloatArray | None] = []

    def estimate(self, scores: Sequence[float]) -> Estimate:
        """Estimate the full score from the choices left to chance; see `randomised_full_score`."""
        nothing = np.zeros(self._n_tasks)
        expected = [nothing if each is None else each for each in self.expected]
        return randomised_full_score(
            np.array(scores),
            np.array(self.tasks, dtype=np.int64),
            np.array(self.probabilities),
            np.array(expected).reshape(-1, nothing.size),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """What an estimator sees of one candidate.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_results,)
        In [0, 1], in the order of `choices`; NaN is no result.
    reference : ndarray of float64, shape (n_reference, n_tasks)
        Scores of the reference agents; NaN where not run.
    target : ndarray of int64
        Positions of the tasks whose mean score is estimated.
    choices : ChoiceLog
    posterior : FullScorePosterior or None
        After these results; None where there is no model.
    """

    scores: FloatArray
    reference: FloatArray
    target: IntArray
    choices: ChoiceLog
    posterior: FullScorePosterior | None = None

    @property
    def tasks(self) -> IntArray:
        """Position among all tasks of each completed task, each once."""
        return np.array(self.choices.tasks, dtype=np.int64)

    def estimate(self, name: str, interval: Interval) -> float:
        """Estimate by the estimator of that name, within the bounds of one candidate.

        The middle of the bounds stands for ``auto``, and where the results say nothing.
        """
        middle = float(interval.score)
        wanted = ESTIMATORS.get(name)
        if wanted is None or math.isnan(middle):
            return middle
        value = wanted.estimate(self).value
        low, high = float(interval.score_low), float(interval.score_high)
        return middle if math.isnan(value) else min(max(value, low), high)


class Estimator(ABC):
    """Estimates the mean score on the target; bounds and ranks do not depend on it.

    Attributes
    ----------
    name : str
        What the setting ``estimator`` calls it.
    needs_model, needs_draws : bool
        Whether it needs a calibrated plan, and choices left to chance (``explore``).
    """

    name: ClassVar[str]
    needs_model: ClassVar[bool] = False
    needs_draws: ClassVar[bool] = False

    @abstractmethod
    def estimate(self, results: Results) -> Estimate:
        """Estimate from the results so far; NaN where they say nothing."""


class PairedMean(Estimator):
    """The references' mean on the target, and the mean paired difference to them on what ran.

    It needs no model, and tasks that ran because of what was expected of them shift it.
    """

    name = "paired"

    def estimate(self, results: Results) -> Estimate:
        """Add the mean difference to the references' mean score of each task."""
        known = ~np.isnan(results.reference)
        sums, counts = np.where(known, results.reference, 0.0).sum(axis=0), known.sum(axis=0)
        overall = sums.sum() / max(int(counts.sum()), 1)
        expected = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
        told = ~np.isnan(results.scores)
        target = np.setdiff1d(results.target, results.tasks[~told])
        excess = results.scores[told] - expected[results.tasks[told]]
        n, n_target = excess.size, target.size
        if not n:
            return Estimate()
        left = math.sqrt(max(1.0 - n / n_target, 0.0) / n)
        return Estimate(
            value=float(expected[target].mean() + excess.mean()),
            standard_error=float(excess.std(ddof=1)) * left if n > 1 else math.nan,
            tasks=n,
        )


class ModelMean(Estimator):
    """The posterior mean of the full score, under the response model."""

    name = "model"
    needs_model = True

    def estimate(self, results: Results) -> Estimate:
        """Return the moments of the posterior."""
        if results.posterior is None:
            raise TypeError(self.name)
        mean, deviation = (float(part[0]) for part in results.posterior.moments())
        return Estimate(
            value=mean, standard_error=deviation, tasks=int(np.sum(~np.isnan(results.scores)))
        )


class ModelAssisted(Estimator):
    """The model's prediction, corrected by the choices left to chance: honest if it is wrong."""

    name = "assisted"
    needs_model = True
    needs_draws = True

    def estimate(self, results: Results) -> Estimate:
        """Return `randomised_full_score` of the choices."""
        return results.choices.estimate(results.scores.tolist())


ESTIMATORS: Mapping[str, Estimator] = {
    each.name: each() for each in (PairedMean, ModelMean, ModelAssisted)
}


def mean_known(scores: Sequence[float]) -> float:
    """Mean of the known scores, whatever their order; NaN if none is known."""
    if len(scores) == 1:
        return scores[0]
    total = math.fsum(scores) if scores else math.nan
    if not math.isnan(total):
        return total / len(scores)
    known = [score for score in scores if not math.isnan(score)]
    return math.fsum(known) / len(known) if known else math.nan


def mean_of_tasks(tasks: Sequence[int], scores: Sequence[float]) -> float:
    """Mean over the tasks that have a known score of the mean of their attempts; NaN without one.

    Parameters
    ----------
    tasks : sequence of int
        Task of each score, by its position.
    scores : sequence of float
    """
    by_task: dict[int, list[float]] = {}
    for task, score in zip(tasks, scores, strict=False):
        if not math.isnan(score):
            by_task.setdefault(task, []).append(score)
    means = [math.fsum(each) / len(each) for each in by_task.values()]
    return math.fsum(means) / len(means) if means else math.nan
