"""The prediction of a candidate's full score: the fitted history, and several attempts a task."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix
from midband_sampler.errors import PlanError
from midband_sampler.model.dispersion import Dispersion
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.model.response import (
    ResponseModel,
    ability_grid,
    candidate_prior,
    fit_response_model,
    recent_ability,
)

_LEAST, _MOST = 0.01, 0.99
MIN_REPEATED = 0.5


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How often a task may be tried, and how alike attempts at one task are.

    Parameters
    ----------
    most : int
        Attempts at each task that make up the full score.
    correlation : float
        Of the results of two attempts of one agent at one task, given its ability; in [0, 1].
        0: attempts at a task are as different as tasks of the same difficulty. 1: always the same.
    dispersion : float
        Variance of one attempt's result, given the ability, in units of that of a pass or fail: 1,
        or less where attempts are graded.
    """

    most: int
    correlation: float
    dispersion: float = 1.0

    @classmethod
    def learn(cls, matrix: OutcomeMatrix, most: int) -> "Attempts":
        """Estimate the correlation from the cells of a history that were tried repeatedly.

        By moments: with x, x' two attempts at a cell and p its rate under the response model, the
        sum over cells of the mean of (x - p) (x' - p) over that of p (1 - p), within .01 to .99.
        Where attempts are graded it is over that of (x - p)^2, and this over that of p (1 - p) is
        the dispersion.

        Raises
        ------
        PlanError
            Fewer than half of the history's cells were tried more than once.
        """
        if most < 2:
            msg = f"expected at least 2 attempts to learn from, got {most}"
            raise InputError(msg)
        ran, repeated = matrix.attempts > 0, matrix.attempts > 1
        share = repeated.sum() / max(int(ran.sum()), 1)
        if share < MIN_REPEATED:
            msg = (
                f"expected several attempts at most tasks in the history of {matrix.benchmark!r},"
                f" to learn what a second one tells, got them at {share:.0%}: leave --attempts out"
            )
            raise PlanError(msg)
        model = fit_response_model(matrix)
        rate = model.pass_rates(model.abilities).T
        excess = np.where(
            np.isnan(matrix.attempt_scores), 0.0, matrix.attempt_scores - rate[:, :, None]
        )
        pairs = matrix.attempts * (matrix.attempts - 1)
        products = excess.sum(axis=2) ** 2 - (excess**2).sum(axis=2)
        alike = (products[repeated] / pairs[repeated]).sum()
        variance = binomial = float((rate * (1.0 - rate))[repeated].sum())
        known = matrix.attempt_scores[~np.isnan(matrix.attempt_scores)]
        if not np.isin(known, (0.0, 1.0)).all():
            squares = (excess**2).sum(axis=2)[repeated] / matrix.attempts[repeated]
            variance = min(float(squares.sum()), binomial)
        correlation = float(alike) / variance
        return cls(
            most=most,
            correlation=round(float(np.clip(correlation, _LEAST, _MOST)), 6),
            dispersion=round(max(variance / binomial, _LEAST), 6),
        )


class AttemptPosterior(FullScorePosterior):
    """Posterior predictive full scores where a task may be tried up to K times.

    The target is what running everything K times would show: S, the sum over tasks of the mean of
    K attempts. Given the ability t, the candidate's own pass rate of task j is taken to be
    Beta-distributed with mean p_j(t) and concentration k = 1 / correlation - 1, and its attempts
    to be independent given that rate. After n attempts with s passes the next one passes with
    probability

        mu = (k p_j(t) + s) / (k + n)

    and the m = K - n attempts left have a mean with variance
    mu (1 - mu) (k + n + m) / (k + n + 1) / m. For a binary result x of one more attempt at j, first
    or not, the expected posterior variance of S is Var(S) - Cov(S, x)^2 / Var(x), exactly, with

        Cov(S, x) = Cov(E[S | t], mu) + E[mu (1 - mu)] (1 + (m - 1) / (k + n + 1)) / K

    over the ability's posterior: what it tells of the ability, and of its own task. With k small
    (attempts alike) a second attempt at a task tells little; with k large it is worth as much as a
    first attempt at a task of that difficulty. K = 1 is `FullScorePosterior`.

    Where attempts are graded, variances given the ability are times their dispersion and log
    likelihoods over it; mu is then the best linear prediction (Buhlmann 1967).

    An attempt without a result is used up: the task's score is then the mean of those left.

    Parameters
    ----------
    profiles, log_prior, candidates
        As in `FullScorePosterior`.
    attempts : Attempts
    """

    def __init__(
        self,
        profiles: FloatArray,
        log_prior: FloatArray,
        *,
        candidates: int = 1,
        attempts: Attempts,
    ) -> None:
        super().__init__(profiles, log_prior, candidates=candidates, binary=False)
        shape = self.unseen.shape
        self.may_run = np.ones(shape, dtype=bool)
        self.made = np.zeros(shape, dtype=np.int64)
        self._strength = 1.0 / float(np.clip(attempts.correlation, _LEAST, _MOST)) - 1.0
        self._phi_one = attempts.dispersion
        self._of = np.full(shape, attempts.most, dtype=np.int64)
        self._valid = np.zeros(shape)
        self._passes = np.zeros(shape)
        everything = np.arange(shape[1])
        for row in range(shape[0]):
            rows = np.full(shape[1], row)
            self._unseen_variance[row] = self._ahead(rows, everything)[1].sum(axis=0)

    @property
    def available(self) -> NDArray[np.bool_]:
        """Tasks with an attempt left, shape (candidates, n_tasks)."""
        return self.may_run

    def attempt_numbers(self, rows: IntArray, tasks: IntArray) -> IntArray:
        """Count the attempts that each named candidate has made at its task."""
        return np.asarray(self.made[rows, tasks])

    def keep(self, target: NDArray[np.bool_]) -> None:
        """Take the tasks that a candidate will never run out of its target, before any result."""
        super().keep(target)
        self.may_run = target.copy()
        self._of = np.where(target, self._of, 0)
        for row, kept in enumerate(target):
            tasks = np.flatnonzero(kept)
            rows = np.full(tasks.size, row)
            self._unseen_variance[row] = self._ahead(rows, tasks)[1].sum(axis=0)

    def _rate(self, rows: IntArray, tasks: IntArray) -> FloatArray:
        """Chance mu that the next attempt passes, shape (n, n_nodes)."""
        strength = self._strength
        passes, valid = self._passes[rows, tasks, None], self._valid[rows, tasks, None]
        return np.asarray((strength * self._profiles[tasks] + passes) / (strength + valid))

    def _ahead(self, rows: IntArray, tasks: IntArray) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of what each task's attempts left will add, shape (n, n_nodes)."""
        of = np.maximum(self._of[rows, tasks, None], 1)
        left = self._of[rows, tasks, None] - self._valid[rows, tasks, None]
        known = self._strength + self._valid[rows, tasks, None]
        rate = self._rate(rows, tasks)
        spread = self._phi_one * left * (known + left) / (known + 1.0) / of**2
        return left / of * rate, spread * rate * (1.0 - rate)

    def observe(self, rows: IntArray, tasks: IntArray, scores: FloatArray) -> None:
        """Take in one attempt of each named candidate; NaN uses the attempt up.

        Parameters
        ----------
        rows, tasks : ndarray of int64, shape (n,)
            Candidate and task of each score; a candidate stands in `rows` at most once.
        scores : ndarray of float64, shape (n,)
        """
        self._weights = self._moments = None
        mean, variance = self._ahead(rows, tasks)
        seen, left = self._seen(rows, tasks)
        rate = self._rate(rows, tasks)
        known = ~np.isnan(scores)
        self.made[rows, tasks] += 1
        self._valid[rows, tasks] += known
        self._passes[rows, tasks] += np.where(known, scores, 0.0)
        self._of[rows, tasks] -= ~known
        self.unseen[rows, tasks] = False
        self.may_run[rows, tasks] = self._valid[rows, tasks] < self._of[rows, tasks]
        mean_after, variance_after = self._ahead(rows, tasks)
        seen_after, left_after = self._seen(rows, tasks)
        self._unseen_mean[rows] += mean_after - mean
        self._unseen_variance[rows] += variance_after - variance
        self._sum[rows] += seen_after - seen
        self._left[rows] += left_after - left
        self._total[rows] -= self._of[rows, tasks] == 0
        rows, rate, scores = rows[known], rate[known], scores[known, None]
        gained = scores * np.log(rate) + (1.0 - scores) * np.log1p(-rate)
        self._log_posterior[rows] += gained / self._phi_one

    def _seen(self, rows: IntArray, tasks: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return what each task has added for sure, and what it can still add at most."""
        of = np.maximum(self._of[rows, tasks], 1)
        left = self._of[rows, tasks] - self._valid[rows, tasks]
        return self._passes[rows, tasks] / of, left / of

    def observe_one(self, row: int, task: int, score: float) -> None:
        """Take in one attempt of one candidate; NaN uses the attempt up."""
        self.observe(np.array([row]), np.array([task]), np.array([score]))

    def predicted(self) -> FloatArray:
        """Chance that the next attempt at each task passes, shape (candidates, n_tasks)."""
        return np.asarray(
            (self._strength * super().predicted() + self._passes) / (self._strength + self._valid)
        )

    def variance_reduction(self, rows: IntArray | None = None) -> FloatArray:
        """How much one more attempt is expected to reduce the variance of the full score's sum.

        Shape (candidates, n_tasks), in single precision; -inf where none is left. The formula
        stands with the class; mu is linear in p, so that two matrix products do for all tasks.

        Parameters
        ----------
        rows : ndarray of int64, optional
            Of these candidates only, in that order.
        """
        nodes, weights = self._support(rows)
        which = slice(None) if rows is None else rows
        rates, ahead = self._rates[nodes], self._unseen_mean[which, nodes]
        about = ahead - (weights * ahead).sum(axis=1, keepdims=True)
        of, passes, valid = self._of[which], self._passes[which], self._valid[which]
        known = self._strength + valid
        slope, base = self._strength / known, passes / known
        mean, square = weights @ rates, weights @ self._rate_squares[nodes]
        rate = slope * mean + base
        noise = base * (1.0 - base) + slope * (1.0 - 2.0 * base) * mean - slope**2 * square
        own = noise * (1.0 + (of - valid - 1.0) / (known + 1.0)) / np.maximum(of, 1)
        covariance = slope * ((weights * about) @ rates) + self._phi_one * own
        variance = rate * (1.0 - rate) - (1.0 - self._phi_one) * noise
        gain = covariance**2 / np.maximum(variance, 1e-9)
        return np.where(self.may_run[which], gain.astype(np.float32), -np.inf)


@dataclass(frozen=True, eq=False)
class CompletedScores:
    """Mean scores of agents, results that are missing predicted.

    Parameters
    ----------
    scores, deviations : ndarray of float64, shape (n_agents,) or (n_targets, n_agents)
        Mean score of each agent and its standard deviation, 0 where it ran every task.
    """

    scores: FloatArray
    deviations: FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictionModel:
    """The model with which a session predicts a candidate's full score.

    Parameters
    ----------
    tasks : ndarray of float64, shape (n_all_tasks, 5)
        `ResponseModel.to_array`.
    prior_centre : float
        Ability around which a new agent is expected.
    binary : bool
        Whether every score of the history is 0 or 1.
    reference_full_scores : ndarray of float64, shape (n_reference,)
        Full scores of the reference agents, missing cells predicted.
    dispersion : Dispersion or None
        Of averaged or graded scores; None where results are single passes and fails.
    reference_deviations : ndarray of float64, shape (n_reference,), or None
        Standard deviation of each of these, 0 where the agent ran every task. None where all did.
    """

    tasks: FloatArray
    prior_centre: float
    binary: bool
    reference_full_scores: FloatArray
    dispersion: Dispersion | None = None
    reference_deviations: FloatArray | None = None

    @classmethod
    def fit(cls, matrix: OutcomeMatrix) -> "PredictionModel":
        """Fit the history of one benchmark."""
        model, dispersion = fit_response_model(matrix), None
        if not is_binary(matrix):
            model, dispersion = _refitted(matrix, model)
        fitted = cls(
            tasks=np.round(model.to_array(), 9),
            prior_centre=round(recent_ability(model, matrix.dates), 9),
            binary=is_binary(matrix),
            reference_full_scores=np.zeros(0),
            dispersion=dispersion,
        )
        known = fitted.complete(matrix.scores)
        deviations = np.round(known.deviations, 9)
        return replace(
            fitted,
            reference_full_scores=np.round(known.scores, 9),
            reference_deviations=deviations if deviations.any() else None,
        )

    def complete(
        self, scores: FloatArray, targets: NDArray[np.bool_] | None = None
    ) -> "CompletedScores":
        """Predict the mean scores of agents that did not run every task, from what they ran.

        Given the ability t the missing results of an agent add up to the mean sum p_j(t) with
        variance sum phi_j p_j(t) (1 - p_j(t)), phi being the dispersion; both are averaged over the
        posterior of t given all its results, t being standard normal among the agents of the
        history. Which tasks an agent ran may depend on its results there, as in a run that chose
        its tasks: given these results the choice says nothing more of the ability, so that the
        posterior needs no correction (ignorable missingness; Rubin 1976).

        Parameters
        ----------
        scores : ndarray of float64, shape (n_agents, n_tasks)
            NaN where not run.
        targets : ndarray of bool, shape (n_targets, n_tasks), optional
            Tasks of which the scores are the mean; by default all.
        """
        everything = targets is None
        wanted = np.ones((1, scores.shape[1]), dtype=bool) if targets is None else targets
        missing = np.isnan(scores)
        some = np.flatnonzero(missing.any(axis=1))
        known = np.where(missing, 0.0, scores) @ wanted.T.astype(float)
        variance = np.zeros_like(known)
        if some.size:
            lacking = missing[some]
            profiles = ResponseModel.from_array(self.tasks).pass_rates(ability_grid())
            own = FullScorePosterior(
                profiles,
                candidate_prior(0.0, 1.0),
                candidates=some.size,
                binary=self.binary,
                dispersion=self.dispersion,
            )
            for task in np.flatnonzero(~lacking.all(axis=0)):
                rows = np.flatnonzero(~lacking[:, task])
                own.observe(rows, np.full(rows.size, task), scores[some[rows], task])
            weights = own.ability()
            noise = profiles * (1.0 - profiles)
            if self.dispersion is not None:
                noise *= self.dispersion.per_task[:, None]
            patterns, place = np.unique(wanted, axis=0, return_inverse=True)
            for column, pattern in enumerate(patterns):
                left = (lacking & pattern).astype(float)
                ahead = left @ profiles
                mean = (weights * ahead).sum(axis=1)
                about = weights * ((ahead - mean[:, None]) ** 2 + left @ noise)
                same = np.flatnonzero(place.reshape(-1) == column)
                known[np.ix_(some, same)] += mean[:, None]
                variance[np.ix_(some, same)] = about.sum(axis=1)[:, None]
        count = np.maximum(wanted.sum(axis=1), 1)
        means, deviations = (known / count).T, (np.sqrt(variance) / count).T
        if everything:
            means, deviations = means[0], deviations[0]
        return CompletedScores(means, deviations)

    def predict(
        self, *, candidates: int = 1, attempts: Attempts | None = None
    ) -> FullScorePosterior:
        """Begin a prediction for new agents, of whom nothing is known yet.

        Parameters
        ----------
        candidates : int
        attempts : Attempts, optional
            Where tasks may be tried several times, one result an attempt.
        """
        profiles = ResponseModel.from_array(self.tasks).pass_rates(ability_grid())
        prior = candidate_prior(self.prior_centre)
        if attempts is not None:
            return AttemptPosterior(profiles, prior, candidates=candidates, attempts=attempts)
        return FullScorePosterior(
            profiles,
            prior,
            candidates=candidates,
            binary=self.binary,
            dispersion=self.dispersion,
        )


def _refitted(
    matrix: OutcomeMatrix, model: ResponseModel
) -> tuple[ResponseModel, Dispersion | None]:
    """Learn the dispersion, and fit again with every cell counting what it is worth."""
    attempts = matrix.attempts.astype(float)
    dispersion = Dispersion.learn(matrix, model, attempts)
    if dispersion is None:
        return model, None
    worth = dispersion.worth(attempts)
    model = fit_response_model(matrix, trials=worth, start=model)
    return model, Dispersion.learn(matrix, model, worth)


def is_binary(matrix: OutcomeMatrix) -> bool:
    """Whether every known score is 0 or 1."""
    known = matrix.scores[~np.isnan(matrix.scores)]
    return bool(np.isin(known, (0.0, 1.0)).all())
