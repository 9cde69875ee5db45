"""The drift alarm: results that are improbable if the new agent is like those of the history."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from midband_history import FloatArray, IntArray
from midband_sampler.leaving_out import Fold, can_be_replayed
from midband_sampler.model.response import ability_grid
from midband_sampler.strategies.policy import Policy

FALSE_ALARM = 0.05
_BLOCK = 16
_MOST_TASKS = 200
_COARSE = 2  # every other node of the ability is enough to tell agents of another kind
_FLATTENING = (1.0, 0.5, 0.0)
_FEWEST_AGENTS = 5
_EDGE = 1e-6


@dataclass(frozen=True, eq=False)
class Expectation:
    """What agents like those of the history may do, and what else there is.

    A hypothesis is a prior over nodes with the pass rate of every task at each node: abilities
    where there is a response model, else pass rates of the planned tasks as a whole.

    Parameters
    ----------
    rates : ndarray of float64, shape (n_tasks or 1, n_nodes)
        In (0, 1).
    log_prior : ndarray of float64, shape (n_nodes,)
        Of agents like those of the history.
    log_other : ndarray of float64, shape (n_nodes,)
        Of agents of any kind.
    flattening : tuple of float
        The other hypotheses: differences between tasks are so many times those of the history.
    """

    rates: FloatArray
    log_prior: FloatArray
    log_other: FloatArray
    flattening: tuple[float, ...]

    @classmethod
    def of_model(cls, profiles: FloatArray, centre: float) -> "Expectation":
        """Expect abilities like those of the history, spread by 1 around that of recent agents.

        Parameters
        ----------
        profiles : ndarray of float64, shape (n_tasks, n_nodes)
            Predicted pass rates on `ability_grid`.
        centre : float
            `PredictionModel.prior_centre`.
        """
        abilities = ability_grid()[::_COARSE]
        return cls(
            np.clip(profiles[:, ::_COARSE], _EDGE, 1.0 - _EDGE),
            _normed(-0.5 * (abilities - centre) ** 2),
            np.full(abilities.size, -math.log(abilities.size)),
            _FLATTENING,
        )

    @classmethod
    def of_references(cls, passed: FloatArray, tasks: FloatArray) -> "Expectation":
        """Expect pass rates like those of the references.

        A Beta distribution by moments, the binomial part of the variance taken out.

        Parameters
        ----------
        passed, tasks : ndarray of float64, shape (n_reference,)
            Sum of scores, and number of tasks run.
        """
        nodes = np.arange(1, 200) / 200.0
        rates = passed / tasks
        mean = min(max(float(rates.mean()), 0.01), 0.99)
        binomial = mean * (1.0 - mean)
        spread = float(rates.var(ddof=1)) - binomial * float(np.mean(1.0 / tasks))
        spread = min(max(spread, 0.02**2), 0.9 * binomial) * (1.0 + 1.0 / rates.size)
        concentration = max(binomial / spread - 1.0, 0.1)
        alpha, beta = mean * concentration, (1.0 - mean) * concentration
        log_prior = (alpha - 1.0) * np.log(nodes) + (beta - 1.0) * np.log1p(-nodes)
        log_other = -0.5 * (np.log(nodes) + np.log1p(-nodes))
        return cls(nodes[None, :], _normed(log_prior), _normed(log_other), (1.0,))


class Surprise:
    """Odds against the expectation, one result after the other.

    Each hypothesis predicts the mean of the next score from those before; with q the prediction of
    the expectation and a that of another hypothesis, a score x multiplies the odds by
    ``x a / q + (1 - x) (1 - a) / (1 - q)``. If the expectation is right the mean of these products
    over the hypotheses ever reaches k with chance 1 / k at most (Ville 1939).

    Parameters
    ----------
    expectation : Expectation
    """

    def __init__(self, expectation: Expectation) -> None:
        self._expectation = expectation
        logit = np.log(expectation.rates) - np.log1p(-expectation.rates)
        self._middle = logit.mean(axis=0)
        others = len(expectation.flattening)
        self._weights = np.concatenate(
            [expectation.log_prior[None], np.tile(expectation.log_other, (others, 1))]
        )
        self._products = np.zeros(others)
        self.largest = 0.0

    def add(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in results in order.

        Parameters
        ----------
        tasks : ndarray of int64, shape (n,)
            Rows of the expectation's rates.
        scores : ndarray of float64, shape (n,)
            In [0, 1].
        """
        known = self._expectation.rates[tasks]
        logit = np.log(known) - np.log1p(-known)
        steps = [known]
        for factor in self._expectation.flattening:
            bent = self._middle + factor * (logit - self._middle)
            steps.append(known if factor == 1.0 else 1.0 / (1.0 + np.exp(-bent)))
        rates = np.stack(steps)  # (hypotheses, n, nodes)
        score = scores[:, None]
        gained = np.cumsum(score * np.log(rates) + (1.0 - score) * np.log1p(-rates), axis=1)
        before = np.concatenate([np.zeros_like(gained[:, :1]), gained[:, :-1]], axis=1)
        before += self._weights[:, None, :]
        weights = np.exp(before - before.max(axis=2, keepdims=True))
        predicted = (weights * rates).sum(axis=2) / weights.sum(axis=2)
        expected, others = predicted[0], predicted[1:]
        odds = scores * others / expected + (1.0 - scores) * (1.0 - others) / (1.0 - expected)
        products = self._products[:, None] + np.cumsum(np.log(odds), axis=1)
        self.largest = max(self.largest, float(_log_mean(products).max(initial=0.0)))
        self._products = products[:, -1] if scores.size else self._products
        self._weights = self._weights + gained[:, -1] if scores.size else self._weights

    def expected(self, tasks: IntArray) -> float:
        """Mean score expected on these tasks, before any result."""
        prior = np.exp(self._expectation.log_prior)
        return float((self._expectation.rates[tasks] @ prior).mean())

    @property
    def flat(self) -> bool:
        """Whether other differences between tasks explain the results better than other agents."""
        return bool(self._products.argmax() > 0)


class DriftAlarm:
    """Watches a session's results and says so when they are improbable for its history.

    Results are taken in sixteen at a time, the rest at the end: what it says depends on how many
    results there are, not on how often it is asked.

    Parameters
    ----------
    expect : callable
        Returns the expectation, None if there is nothing to expect; asked with the first results.
    limit : callable
        Returns the log odds that agents like those of the history stay under; asked at need.
    like : str
        Whom the expectation describes.
    """

    def __init__(
        self, expect: Callable[[], Expectation | None], limit: Callable[[], float], *, like: str
    ) -> None:
        self._expect = expect
        self._limit = limit
        self._like = like
        self._surprise: Surprise | None = None
        self._threshold = -math.log(FALSE_ALARM)
        self._exceeded = False
        self._tasks: list[int] = []
        self._scores: list[float] = []
        self._taken = 0
        self._warning = ""

    @classmethod
    def by_model(cls, profiles: FloatArray, centre: float, limit: float) -> "DriftAlarm":
        """Compare to agents as the response model expects them; see `Expectation.of_model`."""
        return cls(
            lambda: Expectation.of_model(profiles, centre),
            lambda: limit,
            like="the recent ones of the history",
        )

    @classmethod
    def by_references(cls, scores: FloatArray) -> "DriftAlarm":
        """Compare to the reference agents' pass rates; to nothing with fewer than five.

        Parameters
        ----------
        scores : ndarray of float64, shape (n_reference, n_planned)
            On the planned tasks in their order; NaN where not run. Results are added as task 0.
        """

        @cache
        def ran() -> tuple[FloatArray, FloatArray, FloatArray]:
            tasks = np.sum(~np.isnan(scores), axis=1).astype(float)
            some = tasks > 0
            return np.nansum(scores[some], axis=1), tasks[some], scores[some]

        def expect() -> Expectation | None:
            passed, tasks, _ = ran()
            few = tasks.size < _FEWEST_AGENTS
            return None if few else Expectation.of_references(passed, tasks)

        like = "the reference agents on the planned tasks"
        return cls(expect, lambda: reference_limit(*ran()), like=like)

    def add(self, task: int, score: float) -> None:
        """Take in a result; NaN says nothing."""
        if not math.isnan(score):
            self._tasks.append(task)
            self._scores.append(score)

    def warnings(self, *, final: bool) -> tuple[str, ...]:
        """Return the warning, if there is one; it stays once it was given."""
        whole = len(self._scores) if final else len(self._scores) // _BLOCK * _BLOCK
        if whole > self._taken:
            new = slice(self._taken, whole)
            self._taken = whole
            if self._surprise is None:
                expectation = self._expect()
                if expectation is None:
                    return ()
                self._surprise = Surprise(expectation)
            self._surprise.add(np.array(self._tasks[new]), np.array(self._scores[new]))
            self._judge(self._surprise)
        return (self._warning,) if self._warning else ()

    def _judge(self, surprise: Surprise) -> None:
        if surprise.largest > self._threshold and not self._exceeded:
            self._exceeded = True
            self._threshold = max(self._limit(), self._threshold)
        if surprise.largest <= self._threshold:
            return
        expected = surprise.expected(np.array(self._tasks[: self._taken]))
        observed = float(np.mean(self._scores[: self._taken]))
        why = f"{observed:.0%} passed, {expected:.0%} expected"
        if surprise.flat:
            why = f"which tasks are passed does not follow how hard they were before ({why})"
        self._warning = (
            f"results are improbable for an agent like {self._like}: {why}, after {self._taken}"
            f" results; odds of {_odds(surprise.largest)} to 1 against it, where at most"
            f" {FALSE_ALARM:.0%} of such agents exceed {_odds(self._threshold)}: the history may"
            " not speak for this agent"
        )


def _odds(logarithm: float) -> str:
    return f"{math.exp(min(logarithm, 600.0)):.3g}"


def surprise_limit(folds: Sequence[Fold], policy: Policy, *, seed: int) -> float:
    """Log odds that agents of the history stay under, each against a model without it.

    Over the first 200 tasks of the policy's order before the run.
    """
    largest: list[float] = []
    for fold in folds:
        prediction = fold.model.predict()
        expectation = Expectation.of_model(prediction.profiles, fold.model.prior_centre)
        planned, _ = policy.order(fold.history, prediction, np.random.default_rng(seed))
        order = np.array(list(dict.fromkeys(planned.tolist())), dtype=np.int64)
        largest.extend(
            _surprise_of(expectation, order, row[order])
            for row in fold.candidates.scores[can_be_replayed(fold.candidates)]
        )
    return round(usual_surprise(np.array(largest)), 3)


def reference_limit(passed: FloatArray, tasks: FloatArray, scores: FloatArray) -> float:
    """Log odds that reference agents stay under, each against the pass rates of the others.

    Parameters
    ----------
    passed, tasks : ndarray of float64, shape (n_reference,)
        As for `Expectation.of_references`.
    scores : ndarray of float64, shape (n_reference, n_planned)
        In planned order; NaN where not run.
    """
    largest: list[float] = []
    for row, own in enumerate(scores):
        expectation = Expectation.of_references(np.delete(passed, row), np.delete(tasks, row))
        largest.append(_surprise_of(expectation, np.zeros(own.size, dtype=np.int64), own))
    return usual_surprise(np.array(largest))


def usual_surprise(largest: FloatArray) -> float:
    """Log odds that all but `FALSE_ALARM` of agents like these stay under (a conformal quantile).

    Parameters
    ----------
    largest : ndarray of float64, shape (n_agents,)
        `Surprise.largest` of each, against an expectation that has not seen it. With fewer than 19
        the largest of them all: one in n + 1 then exceeds it.
    """
    place = math.ceil((largest.size + 1) * (1.0 - FALSE_ALARM)) - 1
    return float(np.sort(largest)[min(place, largest.size - 1)])


def _surprise_of(expectation: Expectation, tasks: IntArray, scores: FloatArray) -> float:
    valid = np.flatnonzero(~np.isnan(scores))[:_MOST_TASKS]
    surprise = Surprise(expectation)
    surprise.add(tasks[valid], scores[valid])
    return surprise.largest


def _normed(logarithms: FloatArray) -> FloatArray:
    largest = logarithms.max()
    return np.asarray(logarithms - largest - np.log(np.exp(logarithms - largest).sum()))


def _log_mean(logarithms: FloatArray) -> FloatArray:
    largest = logarithms.max(axis=0)
    return np.asarray(largest + np.log(np.exp(logarithms - largest).mean(axis=0)))
