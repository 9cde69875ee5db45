"""The task whose predicted pass rate for this agent is nearest to one half."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Choice, Selection, Strategy


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
