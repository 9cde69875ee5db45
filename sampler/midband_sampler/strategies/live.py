"""Live strategies, which choose each next task by a prediction from the results so far."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Band, Choice, Selection, Strategy
from midband_sampler.strategies.fixed_orders import StratifiedStrategy


class PredictingStrategy(Strategy):
    """Choose the task of the highest predicted worth; ties go to the lowest position."""

    live = True
    needs_model = True

    @abstractmethod
    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the worth of the next result at each task, shape (candidates, n_tasks)."""

    @abstractmethod
    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order all tasks before the first result; return positions, shape (n_tasks,)."""

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Order the tasks by the prior alone."""
        del history, rng
        if posterior is None:
            raise TypeError(self.name)
        return Selection(self.under_prior(posterior))

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Choose the available task of the highest worth."""
        del step
        worth = np.where(available, self.worth(posterior), -np.inf)
        return Choice(np.asarray(worth.argmax(axis=1), dtype=np.int64))


@dataclass(frozen=True)
class InformationStrategy(PredictingStrategy):
    """Choose the task whose result is expected to leave the least variance in the full score."""

    name = "information"
    old_fixed_names = ("design",)
    repeats = True

    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the variance reduction."""
        return posterior.variance_reduction()

    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order greedily; each expected result reduces the covariance by a rank-one update."""
        return posterior.design()


_STREAM = 0x73616D70  # separates these draws from all other uses of the plan's seed
_MOST_DRAWN = 8
_FADES_AFTER = 40.0


@dataclass(frozen=True)
class SampledInformationStrategy(PredictingStrategy):
    """Choose the most informative of a few tasks drawn at random: eight at first, one in the end.

    This is the stochastic greedy choice of Mirzasoleiman et al. (2015). A choice among all tasks
    concentrates the results on the tasks that the model prefers, and errors of the model there bias
    the score. A choice among a few random tasks keeps most of the information, and the chosen tasks
    stay close to a random sample. After s choices, 1 + 7 exp(-s / 40) tasks are drawn, rounded up
    or down at random. Early results serve to find the ability, which takes few informative results.
    A long run is judged by its mean score.

    A harness that cannot choose live runs a stratified order instead.

    Parameters
    ----------
    seed : int
        Seed of the draws, which depend only on it and on the number of the choice.
    """

    name = "sampled-information"
    seed: int = 0

    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the variance reduction."""
        return posterior.variance_reduction()

    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order all tasks by the variance reduction alone; no run uses this order."""
        return posterior.design()

    def seeded(self, seed: int) -> Strategy:
        """Return the strategy with this seed."""
        return SampledInformationStrategy(seed)

    def fixed(self) -> Strategy:
        """Return the stratified order."""
        return StratifiedStrategy()

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Return the stratified order, for a harness that cannot choose live."""
        return self.fixed().order(history, posterior, rng)

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Draw some of the available tasks, and choose the most informative of these."""
        rng = np.random.default_rng([self.seed, _STREAM, step])
        size = int(1.0 + (_MOST_DRAWN - 1.0) * np.exp(-step / _FADES_AFTER) + rng.random())
        keys = np.where(available, rng.random(available.shape[1]), np.inf)
        if size == 1:
            return Choice(np.asarray(keys.argmin(axis=1), dtype=np.int64))
        size = min(size, keys.shape[1])
        highest = np.partition(keys, size - 1, axis=1)[:, size - 1 : size]
        return super().choose(posterior, available & (keys <= highest), step)


@dataclass(frozen=True, eq=False)
class CostStrategy(PredictingStrategy):
    """Choose the task with the largest expected variance reduction of the full score per cost.

    Parameters
    ----------
    costs : ndarray of float64, shape (n_tasks,), or None
        Expected cost of one attempt at each task, positive, in any one unit. None until
        `configured` sets it.
    """

    name = "cost"
    old_fixed_names = ("cost-design",)
    needs_costs = True
    repeats = True
    costs: FloatArray | None = None

    def configured(self, *, band: Band, costs: FloatArray | None) -> Strategy:
        """Return the strategy with these costs."""
        del band
        return CostStrategy(costs)

    def without_costs(self) -> Strategy:
        """Return `InformationStrategy`."""
        return InformationStrategy()

    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the variance reduction per cost."""
        return posterior.variance_reduction() / (1.0 if self.costs is None else self.costs)

    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order greedily by the variance reduction per cost."""
        return posterior.design(self.costs)


@dataclass(frozen=True)
class DifficultyMatchedStrategy(PredictingStrategy):
    """Choose the task whose predicted pass rate for this agent is nearest to one half."""

    name = "difficulty-matched"
    old_names = ("matched",)
    old_fixed_names = ("matched, fixed order",)

    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the closeness of the predicted pass rate to one half."""
        return -np.abs(posterior.predicted() - 0.5)

    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order by distance from one half."""
        return np.argsort(-self.worth(posterior)[0], kind="stable").astype(np.int64)
