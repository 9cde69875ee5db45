"""The response model: how likely an agent of a given ability passes each task."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from midband_history import DateArray, FloatArray, InputError, OutcomeMatrix

N_NODES = 161
_REACH = 4.0
_RECENT = 10
_SD_INTERCEPT = 2.0
_SD_LOG_DISCRIMINATION_RANGE = (0.15, 1.0)
_LOG_DISCRIMINATION_RANGE = (-3.0, 2.0)
_LARGEST_STEP = 1.0
_PRIOR_WIDTH = 1.5
# With fewer, agents that are alike in more than ability pass for differences in discrimination.
_AGENTS_TO_TELL_SPREAD = 200


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


def candidate_prior(centre: float, width: float = _PRIOR_WIDTH) -> FloatArray:
    """Log prior of an agent's ability on `ability_grid`: N(centre, width); 1.5 for a new one."""
    log_prior = -0.5 * ((ability_grid() - centre) / width) ** 2
    return np.asarray(log_prior - np.log(np.exp(log_prior).sum()))


def fit_response_model(
    matrix: OutcomeMatrix,
    *,
    weights: FloatArray | None = None,
    trials: FloatArray | None = None,
    start: ResponseModel | None = None,
    max_iterations: int = 200,
    tolerance: float = 1e-4,
) -> ResponseModel:
    """Fit the model by marginal maximum a posteriori (Bock and Aitkin 1981).

    EM over the ability grid, with one Newton step for all tasks at once as its M step. Each
    iteration then moves and stretches all abilities together with the tasks, which leaves every
    pass rate as it is, to where the priors are highest: that direction EM alone follows slowly
    (parameter expansion; Liu, Rubin and Wu 1998). A cell counts as `trials` binomial trials with
    fractional successes; a missing cell counts nothing.

    Priors: intercept ~ N(0, 2), log discrimination ~ N(0, s), where s is 0.15, and from 200 agents
    on what the history's own discriminations speak for, up to 1 (empirical Bayes).

    Parameters
    ----------
    matrix : OutcomeMatrix
        At least two agents.
    weights : ndarray of float64, shape (n_agents,), optional
        Weight of each agent, for instance by recency; 1 is a full agent.
    trials : ndarray of float64, shape (n_agents, n_tasks), optional
        What each cell counts, in single passes or fails; 0 where missing. The number of attempts by
        default; `Dispersion.worth` says what these are worth.
    start : ResponseModel, optional
        An earlier fit of the same tasks, to start from.
    max_iterations : int
    tolerance : float
        Largest change of a parameter in one iteration that counts as converged.
    """
    if len(matrix.agents) < 2:
        msg = f"expected at least 2 agents to fit tasks, got {len(matrix.agents)}: import more"
        raise InputError(msg)
    data = _Counts.of(matrix, weights, trials)
    if start is None:
        counted = matrix.attempts if trials is None else trials
        rate = (data.passes.sum(axis=0) + 0.5) / (counted.sum(axis=0) + 1.0)
        intercept, log_slope = np.log(rate / (1.0 - rate)), np.zeros_like(rate)
    else:
        intercept, log_slope = start.intercepts, np.log(start.discriminations)
    spread, _ = _SD_LOG_DISCRIMINATION_RANGE
    for _ in range(max_iterations):
        before = np.stack([intercept, log_slope])
        posterior, abilities, odds_against = _expect(data, intercept, log_slope)
        intercept, log_slope, information = _maximise(
            data, intercept, log_slope, spread, posterior, abilities, odds_against
        )
        intercept, log_slope = _move_together(
            data, intercept, log_slope, spread, posterior, abilities
        )
        last = spread
        if len(matrix.agents) >= _AGENTS_TO_TELL_SPREAD:
            spread = _evident_spread(log_slope, spread, information)
        change = np.abs(np.stack([intercept, log_slope]) - before).max()
        if max(change, abs(np.log(spread / last))) < tolerance:
            break
    return ResponseModel(
        intercepts=intercept,
        discriminations=np.exp(log_slope),
        covariances=_inverse(information),
        abilities=abilities,
    )


@dataclass(frozen=True, eq=False)
class _Counts:
    """Binomial counts; `trials` has one row where all agents ran the same."""

    passes: FloatArray
    fails: FloatArray
    trials: FloatArray
    weights: FloatArray

    @classmethod
    def of(
        cls, matrix: OutcomeMatrix, weights: FloatArray | None, trials: FloatArray | None
    ) -> "_Counts":
        trials = matrix.attempts.astype(float) if trials is None else trials
        passes = np.where(trials > 0, np.nan_to_num(matrix.scores), 0.0) * trials
        alike = bool((trials == trials[0]).all())
        return cls(
            passes=passes,
            fails=trials - passes,
            trials=trials[:1] if alike else trials,
            weights=np.ones(len(trials)) if weights is None else weights,
        )


def _expect(
    data: _Counts, intercept: FloatArray, log_slope: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Posterior of each agent (n_agents, n_nodes), its mean, odds of failing (n_tasks, n_nodes).

    With z the logit, log P(pass) = -log(1 + exp(-z)) and log P(fail) = log P(pass) - z, and z is
    linear in the ability: fails enter through two sums an agent.
    """
    grid = ability_grid()
    slope = np.exp(log_slope)
    odds_against = np.multiply.outer(-slope, grid)
    odds_against -= intercept[:, None]
    np.exp(odds_against, out=odds_against)
    sums = data.fails @ np.stack([intercept, slope], axis=1)
    log_likelihood = -0.5 * grid**2 - sums[:, :1] - sums[:, 1:] * grid
    log_likelihood -= data.trials @ np.log1p(odds_against)
    log_likelihood -= log_likelihood.max(axis=1, keepdims=True)
    posterior = np.exp(log_likelihood)
    posterior /= posterior.sum(axis=1, keepdims=True)
    return posterior, posterior @ grid, odds_against


def _maximise(
    data: _Counts,
    intercept: FloatArray,
    log_slope: FloatArray,
    spread: float,
    posterior: FloatArray,
    abilities: FloatArray,
    odds_against: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One Newton step for each task; with the information (3, n_tasks) that it used."""
    grid = ability_grid()
    powers = np.stack([np.ones_like(grid), grid, grid**2], axis=1)
    slope = np.exp(log_slope)
    weighted = posterior * data.weights[:, None]
    if len(data.trials) == 1:
        weighted = weighted.sum(axis=0, keepdims=True)
    chance = 1.0 / (1.0 + odds_against)
    expected_passes = data.trials.T @ weighted
    expected_passes *= chance
    expected = expected_passes @ powers[:, :2]
    expected_passes *= chance
    expected_passes *= odds_against
    curvature = expected_passes @ powers
    observed = np.stack([data.weights, data.weights * abilities]) @ data.passes
    precision = _SD_INTERCEPT**-2, spread**-2
    gradient = observed[0] - expected[:, 0] - intercept * precision[0]
    gradient_slope = (observed[1] - expected[:, 1]) * slope - log_slope * precision[1]
    information = np.stack(
        [
            curvature[:, 0] + precision[0],
            curvature[:, 1] * slope,
            curvature[:, 2] * slope**2 + precision[1],
        ]
    )
    # Where fewer pass than expected, a log discrimination bends more than its expected information.
    bent = information.copy()
    bent[2] += np.maximum((expected[:, 1] - observed[1]) * slope, 0.0)
    inverse = _inverse(bent)
    step = inverse[:, :, 0] * gradient[:, None] + inverse[:, :, 1] * gradient_slope[:, None]
    step = np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
    return (
        intercept + step[:, 0],
        np.clip(log_slope + step[:, 1], *_LOG_DISCRIMINATION_RANGE),
        information,
    )


def _move_together(
    data: _Counts,
    intercept: FloatArray,
    log_slope: FloatArray,
    spread: float,
    posterior: FloatArray,
    abilities: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Move the origin of the abilities, then their unit, by one Newton step on the priors each."""
    slope = np.exp(log_slope)
    n_agents = data.weights.sum()
    gradient = data.weights @ abilities - slope @ intercept / _SD_INTERCEPT**2
    origin = gradient / (n_agents + slope @ slope / _SD_INTERCEPT**2)
    square = data.weights @ (posterior @ ability_grid() ** 2)
    precision = spread**-2
    unit = (square - n_agents - log_slope.sum() * precision) / (
        2.0 * square + log_slope.size * precision
    )
    return intercept + slope * origin, np.clip(log_slope + unit, *_LOG_DISCRIMINATION_RANGE)


def _evident_spread(log_slope: FloatArray, spread: float, information: FloatArray) -> float:
    """Prior sd s of the log discriminations, one Fisher scoring step up its evidence.

    With g_j = 1 - (posterior variance) / s^2 the share of task j that the data determine, its
    estimate without the prior is normal with variance s^2 / g_j about a common mean (random
    effects), and the step for s^2 is (sum d_j^2 - s^2 sum g_j (1 - g_j)) / sum g_j^2, d_j being
    the deviations from that mean. It is shortened, to half where the data determine little: the
    g_j take the abilities for known and would overshoot.
    """
    determined = 1.0 - _inverse(information)[:, 1, 1] / spread**2
    squares = float(np.sum((log_slope - log_slope.mean()) ** 2))
    excess = squares - spread**2 * float(determined @ (1.0 - determined))
    evident = np.sqrt(max(excess, 0.0) / max(float(determined @ determined), 1e-9))
    factor = np.clip(evident / spread, 0.5, 2.0) ** (0.5 + 0.5 * determined.mean())
    return float(np.clip(spread * factor, *_SD_LOG_DISCRIMINATION_RANGE))


def _inverse(information: FloatArray) -> FloatArray:
    """Inverses of symmetric 2 x 2 matrices given as rows 00, 01, 11, shape (n_tasks, 2, 2)."""
    first, cross, second = information
    rows = np.stack([second, -cross, -cross, first], axis=1)
    return np.asarray((rows / (first * second - cross**2)[:, None]).reshape(-1, 2, 2))
