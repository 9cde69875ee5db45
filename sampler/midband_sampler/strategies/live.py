"""Live strategies: the next task is chosen by a prediction from the results so far."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Band, Choice, Selection, Strategy
from midband_sampler.strategies.fixed_orders import StratifiedStrategy


class PredictingStrategy(Strategy):
    """Base of strategies that run the task of greatest predicted value; ties go to the first."""

    live = True
    needs_model = True

    @abstractmethod
    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the value of the next result at each task, shape (candidates, n_tasks)."""

    @abstractmethod
    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order all tasks before the first result, shape (n_tasks,)."""

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Order by the prior alone."""
        del history, rng
        if posterior is None:
            raise TypeError(self.name)
        return Selection(self.under_prior(posterior))

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Choose the available task of greatest value."""
        del step
        worth = np.where(available, self.worth(posterior), -np.inf)
        return Choice(np.asarray(worth.argmax(axis=1), dtype=np.int64))


@dataclass(frozen=True)
class InformationStrategy(PredictingStrategy):
    """Run the task whose result is expected to leave the least variance in the full score."""

    name = "information"
    old_fixed_names = ("design",)
    repeats = True

    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the variance reduction."""
        return posterior.variance_reduction()

    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order greedily, each result taken to reduce the covariance (rank one)."""
        return posterior.design()


_STREAM = 0x73616D70  # apart from every other use of the plan's seed
_MOST_DRAWN = 8
_FADES_AFTER = 40.0


@dataclass(frozen=True)
class SampledInformationStrategy(PredictingStrategy):
    """The most informative of a few tasks drawn by chance: eight at first, in the end a single one.

    Stochastic greedy choice (Mirzasoleiman et al. 2015). Choosing among all tasks piles the results
    on those that the model thinks best, and its errors there grow into a bias of the score; among a
    few drawn tasks most of the information is found, and the tasks stay near a random sample. After
    s choices the number drawn is 1 + 7 exp(-s / 40), rounded by chance: what the first results are
    good for is the ability, which they tell fast, while a long run is read by its mean.

    A harness that cannot choose live runs a stratified order instead.

    Parameters
    ----------
    seed : int
        Of the draws, which depend on it and the number of the choice alone.
    """

    name = "sampled-information"
    seed: int = 0

    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the variance reduction."""
        return posterior.variance_reduction()

    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order all tasks by that alone, which no run does."""
        return posterior.design()

    def seeded(self, seed: int) -> Strategy:
        """Take the seed."""
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
        """Order as a harness that cannot choose live runs it."""
        return self.fixed().order(history, posterior, rng)

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Draw some of the available tasks, and take the most informative of these."""
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
    """The task whose result is expected to reduce the variance of the full score most per cost.

    Parameters
    ----------
    costs : ndarray of float64, shape (n_tasks,), or None
        Expected cost of one attempt at each task, positive, in any one unit. None until it is
        `configured`.
    """

    name = "cost"
    old_fixed_names = ("cost-design",)
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

    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the variance reduction per cost."""
        return posterior.variance_reduction() / (1.0 if self.costs is None else self.costs)

    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order greedily by the reduction per cost."""
        return posterior.design(self.costs)


@dataclass(frozen=True)
class DifficultyMatchedStrategy(PredictingStrategy):
    """The task whose predicted pass rate for this agent is nearest to one half."""

    name = "difficulty-matched"
    old_names = ("matched",)
    old_fixed_names = ("matched, fixed order",)

    def worth(self, posterior: FullScorePosterior) -> FloatArray:
        """Return the closeness of the predicted pass rate to one half."""
        return -np.abs(posterior.predicted() - 0.5)

    def under_prior(self, posterior: FullScorePosterior) -> IntArray:
        """Order by distance from one half."""
        return np.argsort(-self.worth(posterior)[0], kind="stable").astype(np.int64)
