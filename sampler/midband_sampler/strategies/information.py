"""The task that tells most of the full score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Choice, Selection, Strategy


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
