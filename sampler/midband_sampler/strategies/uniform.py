"""All tasks in random order."""

from dataclasses import dataclass

import numpy as np

from midband_history import OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Selection, Strategy


@dataclass(frozen=True)
class RandomStrategy(Strategy):
    """All tasks in random order: no assumption, the baseline of every comparison."""

    name = "random"
    random_order = True
    keeps_all = True

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Shuffle all tasks."""
        del posterior
        return Selection(rng.permutation(len(history.tasks)).astype(np.int64))
