"""The response model: how likely an agent of a given ability passes each task."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from midband_history import DateArray, FloatArray, InputError, OutcomeMatrix

N_NODES = 161
_REACH = 4.0
_RECENT = 10
_SD_INTERCEPT = 2.0
_SD_LOG_DISCRIMINATION = 0.15
_PRIOR_WIDTH = 1.5


@dataclass(frozen=True, eq=False)
class ResponseModel:
    """A fitted two-parameter logistic model.

    ``P(pass task j | ability t) = 1 / (1 + exp(-(intercept_j + discrimination_j t)))``
    (Birnbaum 1968), abilities of the history's agents being standard normal.

    Parameters
    ----------
    intercepts, discriminations : ndarray of float64, shape (n_tasks,)
        MAP estimates; discriminations are positive.
    covariances : ndarray of float64, shape (n_tasks, 2, 2)
        Laplace covariance of (intercept, log discrimination): how little a sparse task is known.
    abilities : ndarray of float64, shape (n_agents,)
        Posterior mean of each agent of the history.
    """

    intercepts: FloatArray
    discriminations: FloatArray
    covariances: FloatArray
    abilities: FloatArray

    def pass_rates(self, abilities: FloatArray) -> FloatArray:
        """Predicted pass rates, shape (n_tasks, n_abilities).

        Averaged over what is not known of the task: logit over sqrt(1 + pi/8 var) (MacKay 1992).
        """
        slope = self.discriminations[:, None] * abilities
        logit = self.intercepts[:, None] + slope
        cov = self.covariances
        variance = cov[:, 0, :1] + 2.0 * slope * cov[:, 0, 1:] + slope**2 * cov[:, 1, 1:]
        return np.asarray(expit(logit / np.sqrt(1.0 + np.pi / 8.0 * variance)))

    def to_array(self) -> FloatArray:
        """Task parameters, shape (n_tasks, 5): intercept, discrimination, three covariances."""
        cov = self.covariances
        columns = (self.intercepts, self.discriminations, cov[:, 0, 0], cov[:, 0, 1], cov[:, 1, 1])
        return np.stack(columns, axis=1)

    @classmethod
    def from_array(cls, tasks: FloatArray) -> "ResponseModel":
        """Rebuild from `to_array`, without the abilities of the history's agents."""
        covariances = tasks[:, [2, 3, 3, 4]].reshape(-1, 2, 2)
        return cls(tasks[:, 0], tasks[:, 1], covariances, np.zeros(0))


def ability_grid() -> FloatArray:
    """Nodes of the ability, shape (161,): fewer miss the posterior of a long benchmark."""
    return np.linspace(-_REACH, _REACH, N_NODES)


def recent_ability(model: ResponseModel, dates: DateArray) -> float:
    """Mean ability of the ten latest agents: where the prior of a new one is centred.

    Parameters
    ----------
    model : ResponseModel
    dates : ndarray of datetime64, shape (n_agents,)
        NaT counts as earliest; ties keep the order of the rows.
    """
    known = np.where(np.isnat(dates), np.datetime64(0, "s"), dates)
    latest = np.argsort(known, kind="stable")[-_RECENT:]
    return float(model.abilities[latest].mean())


def candidate_prior(centre: float) -> FloatArray:
    """Log prior of a new agent's ability on `ability_grid`: N(centre, 1.5)."""
    log_prior = -0.5 * ((ability_grid() - centre) / _PRIOR_WIDTH) ** 2
    return np.asarray(log_prior - np.log(np.exp(log_prior).sum()))


def fit_response_model(
    matrix: OutcomeMatrix,
    *,
    weights: FloatArray | None = None,
    start: ResponseModel | None = None,
    max_iterations: int = 40,
    tolerance: float = 2e-3,
) -> ResponseModel:
    """Fit the model by marginal maximum a posteriori (Bock and Aitkin 1981).

    EM over the ability grid; in each M step two Newton steps for all tasks at once. Priors:
    intercept ~ N(0, 2), log discrimination ~ N(0, 0.15). A cell counts as `attempts`
    binomial trials with fractional successes; a missing cell counts nothing.

    Parameters
    ----------
    matrix : OutcomeMatrix
        At least two agents.
    weights : ndarray of float64, shape (n_agents,), optional
        Weight of each agent, for instance by recency; 1 is a full agent.
    start : ResponseModel, optional
        An earlier fit of the same tasks, to start from.
    max_iterations : int
    tolerance : float
        Largest change of a parameter that counts as converged.
    """
    if len(matrix.agents) < 2:
        msg = f"expected at least 2 agents to fit tasks, got {len(matrix.agents)}: import more"
        raise InputError(msg)
    trials = matrix.attempts.astype(float)
    passes = np.where(trials > 0, np.nan_to_num(matrix.scores), 0.0) * trials
    fails = trials - passes
    agent_weights = np.ones(len(trials)) if weights is None else weights
    grid = ability_grid()
    log_prior = -0.5 * grid**2
    design = np.stack([np.ones_like(grid), grid], axis=1)
    rate = (passes.sum(axis=0) + 0.5) / (trials.sum(axis=0) + 1.0)
    intercept = np.log(rate / (1.0 - rate)) if start is None else start.intercepts.copy()
    log_slope = np.zeros_like(rate) if start is None else np.log(start.discriminations)
    posterior = np.zeros((len(trials), grid.size))
    hessian = np.zeros((rate.size, 2, 2))
    for _ in range(max_iterations):
        before = np.stack([intercept, log_slope])
        posterior = _agent_posterior(passes, fails, intercept, log_slope, grid, log_prior)
        weighted = posterior * agent_weights[:, None]
        expected_passes, expected_trials = passes.T @ weighted, trials.T @ weighted
        for _ in range(2):
            slope = np.exp(log_slope)
            chance = expit(intercept[:, None] + slope[:, None] * grid)
            residual = expected_passes - expected_trials * chance
            information = expected_trials * chance * (1.0 - chance)
            moments = information @ np.stack([np.ones_like(grid), grid, grid**2], axis=1)
            gradient = residual @ design
            gradient[:, 1] *= slope
            gradient[:, 0] -= intercept / _SD_INTERCEPT**2
            gradient[:, 1] -= log_slope / _SD_LOG_DISCRIMINATION**2
            hessian[:, 0, 0] = moments[:, 0] + _SD_INTERCEPT**-2
            hessian[:, 0, 1] = hessian[:, 1, 0] = moments[:, 1] * slope
            hessian[:, 1, 1] = moments[:, 2] * slope**2 + _SD_LOG_DISCRIMINATION**-2
            step = np.clip(np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0], -1.0, 1.0)
            intercept = intercept + step[:, 0]
            log_slope = np.clip(log_slope + step[:, 1], -3.0, 2.0)
        if np.abs(np.stack([intercept, log_slope]) - before).max() < tolerance:
            break
    return ResponseModel(
        intercepts=intercept,
        discriminations=np.exp(log_slope),
        covariances=np.linalg.inv(hessian),
        abilities=posterior @ grid,
    )


def _agent_posterior(
    passes: FloatArray,
    fails: FloatArray,
    intercept: FloatArray,
    log_slope: FloatArray,
    grid: FloatArray,
    log_prior: FloatArray,
) -> FloatArray:
    """Posterior of each agent's ability on the grid, shape (n_agents, n_nodes)."""
    logit = np.clip(intercept[:, None] + np.exp(log_slope)[:, None] * grid, -30.0, 30.0)
    log_fail = -np.logaddexp(0.0, logit)
    log_likelihood = passes @ (logit + log_fail) + fails @ log_fail + log_prior
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    return np.asarray(likelihood / likelihood.sum(axis=1, keepdims=True))
