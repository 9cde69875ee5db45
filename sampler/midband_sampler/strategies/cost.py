"""The task that tells most of the full score for what it costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler.band import Band
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Choice, Selection, Strategy
from midband_sampler.strategies.information import InformationStrategy


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
