"""The dispersion: how far results spread about what is expected, where they are no single coins."""

from dataclasses import dataclass

import numpy as np

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler.model.response import ResponseModel

# A score may be told rounded to two decimals.
_ROUNDED = 0.02
_LARGEST_LEVERAGE = 0.9
# One surprising score shifts an ability by no more than twenty passes or fails.
_SMALLEST = 0.05
# Before any is seen, so many results are taken to have been single passes and fails.
_LIKE_SINGLE = 20
# A strategy seeks out the tasks whose dispersion was estimated too small.
_OWN = 0.75
_FEWEST_AGENTS = 5
_MOST_ATTEMPTS = 100


@dataclass(frozen=True, eq=False, kw_only=True)
class Dispersion:
    """Variance of results, in units of the variance of a single pass or fail.

    Given the ability t of an agent, its result at task j has mean p_j(t) and variance
    ``phi_j p_j(t) (1 - p_j(t))``, and its log likelihood is that of a pass or fail over phi_j
    (quasi-binomial; Wedderburn 1974). A single pass or fail has phi 1. The mean of K attempts that
    correlate by rho, given the ability, has

        phi(K) = rho + (1 - rho) / K

    Graded scores have the phi that the history shows: near 1 at a task whose scores are mostly 0
    and 1, small where they keep to the middle.

    Parameters
    ----------
    per_task : ndarray of float64, shape (n_tasks,)
        Of results such as those of the history; in (0, 1].
    attempts : int
        How many attempts such a result is the mean of, 2 to 100; 0 where scores are graded.
    """

    per_task: FloatArray
    attempts: int

    def __post_init__(self) -> None:
        if self.attempts == 1 or not 0 <= self.attempts <= _MOST_ATTEMPTS:
            msg = f"expected means of 2 to {_MOST_ATTEMPTS} attempts, or 0, got {self.attempts}"
            raise InputError(msg)

    @classmethod
    def learn(
        cls, matrix: OutcomeMatrix, model: ResponseModel, trials: FloatArray
    ) -> "Dispersion | None":
        """Estimate the dispersion by moments of the residuals of a fitted history.

        A squared residual is enlarged by what the fit took away from it, 1 over 1 - its leverage
        (McCullagh and Nelder 1989). Over all tasks the moments count together with twenty results
        that are single passes and fails. Each task is then drawn to all tasks, by as much as its
        own moment is noise, and by a quarter at least.

        Parameters
        ----------
        matrix : OutcomeMatrix
        model : ResponseModel
            Fitted to it.
        trials : ndarray of float64, shape (n_agents, n_tasks)
            What each cell counted in that fit.

        Returns
        -------
        Dispersion or None
            None where results are single passes and fails, or fewer than five agents tried most of
            their tasks repeatedly.
        """
        attempts = matrix.attempts
        ran, repeated = attempts > 0, attempts > 1
        rate = model.pass_rates(model.abilities).T
        binomial = np.where(ran, rate * (1.0 - rate), 0.0)
        free = 1.0 - _leverage(model, trials * binomial)
        squares = np.where(ran, np.nan_to_num(matrix.scores) - rate, 0.0) ** 2 / free
        each = matrix.attempt_scores
        if not np.isin(each[~np.isnan(each)], (0.0, 1.0)).all():
            found = np.clip(_shrunken(squares, binomial), _SMALLEST, 1.0)
            return cls(per_task=np.round(found, 9), attempts=0)
        often = 2 * repeated.sum(axis=1) >= np.maximum(ran.sum(axis=1), 1)
        if often.sum() < _FEWEST_AGENTS:
            return None
        single = np.where(repeated, 1.0 / np.maximum(attempts, 1), 1.0)
        excess = np.where(repeated, squares - binomial * single, 0.0)
        alike = np.clip(_shrunken(excess, binomial * (1.0 - single)), 0.0, 1.0)
        usual = min(int(np.median(attempts[repeated])), _MOST_ATTEMPTS)
        return cls(per_task=np.round(alike + (1.0 - alike) / usual, 9), attempts=usual)

    def levels(self) -> FloatArray:
        """Dispersion of means of 1, 2, ... attempts, shape (attempts, n_tasks).

        Where scores are graded: of a pass or fail, and of a graded score, shape (2, n_tasks).
        """
        if not self.attempts:
            return np.stack([np.ones_like(self.per_task), self.per_task])
        counts = np.arange(1.0, self.attempts + 1.0)[:, None]
        return np.asarray(1.0 / self.worth(counts))

    def worth(self, attempts: FloatArray) -> FloatArray:
        """Return what the mean of so many attempts counts in single passes or fails: 1 / phi.

        Parameters
        ----------
        attempts : ndarray of float64, shape (..., n_tasks) or (..., 1)
            0 where a cell is missing, which counts 0.
        """
        if not self.attempts:
            return np.where(attempts > 0.0, 1.0 / self.per_task, 0.0)
        least = 1.0 / self.attempts
        alike = np.clip((self.per_task - least) / (1.0 - least), 0.0, 1.0)
        return np.asarray(attempts / (1.0 + np.maximum(attempts - 1.0, 0.0) * alike))

    def fits(self, level: int, scores: FloatArray) -> bool:
        """Whether a candidate's scores can all be results of this row of `levels`."""
        if not self.attempts:
            return level > 0 or bool(np.isin(scores, (0.0, 1.0)).all())
        times = scores * (level + 1)
        most = level + 1 == self.attempts
        return most or bool(np.all(np.abs(times - np.round(times)) <= _ROUNDED))


def _leverage(model: ResponseModel, weight: FloatArray) -> FloatArray:
    """How much of its own residual each result takes away, shape (n_agents, n_tasks).

    The diagonal of the hat matrix of the weighted fit: variance of the logit by the task's
    parameters and by the agent's ability, each given the other, times the weight.
    """
    cov, slope = model.covariances, model.discriminations
    along = np.multiply.outer(model.abilities, slope)
    of_task = cov[:, 0, 0] + 2.0 * along * cov[:, 0, 1] + along**2 * cov[:, 1, 1]
    of_agent = slope**2 / (1.0 + weight @ slope**2)[:, None]
    return np.asarray(np.minimum(weight * (of_task + of_agent), _LARGEST_LEVERAGE))


def _shrunken(parts: FloatArray, units: FloatArray) -> FloatArray:
    """Sum of parts over sum of units of each task, drawn to that of all (random effects).

    By moments (DerSimonian and Laird 1986). The noise of a task's ratio is taken to be that of all
    over the number of its results: with few of them its own would be a guess.

    Parameters
    ----------
    parts, units : ndarray of float64, shape (n_agents, n_tasks)
        0 where there is no result.

    Returns
    -------
    ratio : ndarray of float64, shape (n_tasks,)
    """
    unit = np.maximum(units.sum(axis=0), 1e-9)
    one = float(unit.sum() / max(int(np.sum(units > 0.0)), 1))
    common = float((parts.sum() + one * _LIKE_SINGLE) / (unit.sum() + one * _LIKE_SINGLE))
    own = parts.sum(axis=0) / unit
    results = unit**2 / np.maximum((units**2).sum(axis=0), 1e-18)
    weight = unit / unit.sum()
    noise = np.sum((parts - own * units) ** 2, axis=0) / unit**2
    noise = float(weight @ (noise * results)) / results
    spread = max(float(weight @ ((own - common) ** 2 - noise)), 0.0)
    kept = _OWN * spread / (spread + noise + 1e-12)
    return np.asarray(common + kept * (own - common))
