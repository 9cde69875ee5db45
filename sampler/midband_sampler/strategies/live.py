"""Live strategies: each next task by the prediction from the results so far."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Band, Choice, Selection, Strategy


@dataclass(frozen=True)
class InformationStrategy(Strategy):
    """The task whose result is expected to leave the least variance in the full score.

    Ties go to the lowest position.
    """

    name = "information"
    old_fixed_names = ("design",)
    live = True
    needs_model = True
    repeats = True

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Order greedily under the prior, each result taken to reduce the covariance (rank one)."""
        del history, rng
        if posterior is None:
            raise TypeError(self.name)
        return Selection(posterior.design())

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Maximise the variance reduction."""
        del step
        gain = np.where(available, posterior.variance_reduction(), -np.inf)
        return Choice(np.asarray(gain.argmax(axis=1), dtype=np.int64))


@dataclass(frozen=True, eq=False)
class CostStrategy(Strategy):
    """The task whose result is expected to reduce the variance of the full score most per cost.

    Ties go to the lowest position.

    Parameters
    ----------
    costs : ndarray of float64, shape (n_tasks,), or None
        Expected cost of one attempt at each task, positive, in any one unit. None until it is
        `configured`.
    """

    name = "cost"
    old_fixed_names = ("cost-design",)
    live = True
    needs_model = True
    needs_costs = True
    repeats = True
    costs: FloatArray | None = None

    def configured(self, *, band: Band, costs: FloatArray | None) -> Strategy:
        """Take the costs."""
        del band
        return CostStrategy(costs)

    def without_costs(self) -> Strategy:
        """Return `InformationStrategy`."""
        return InformationStrategy()

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Order greedily under the prior by the reduction per cost."""
        del history, rng
        if posterior is None:
            raise TypeError(self.name)
        return Selection(posterior.design(self.costs))

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Maximise the variance reduction per cost."""
        del step
        costs = np.ones(available.shape[1]) if self.costs is None else self.costs
        gain = np.where(available, posterior.variance_reduction() / costs, -np.inf)
        return Choice(np.asarray(gain.argmax(axis=1), dtype=np.int64))


@dataclass(frozen=True)
class DifficultyMatchedStrategy(Strategy):
    """The task whose predicted pass rate for this agent is nearest to one half.

    Ties go to the lowest position.
    """

    name = "difficulty-matched"
    old_names = ("matched",)
    old_fixed_names = ("matched, fixed order",)
    live = True
    needs_model = True

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Order by distance from one half under the prior."""
        del history, rng
        if posterior is None:
            raise TypeError(self.name)
        distance = np.abs(posterior.predicted()[0] - 0.5)
        return Selection(np.argsort(distance, kind="stable").astype(np.int64))

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Minimise the distance of the predicted pass rate from one half."""
        del step
        distance = np.abs(posterior.predicted() - 0.5)
        nearest = np.where(available, distance, np.inf).argmin(axis=1)
        return Choice(np.asarray(nearest, dtype=np.int64))
