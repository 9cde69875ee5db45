"""All tasks, with the pass rates in proportion in every prefix."""

from dataclasses import dataclass

import numpy as np

from midband_history import OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Selection, Strategy

N_STRATA = 10


@dataclass(frozen=True)
class StratifiedStrategy(Strategy):
    """All tasks, each tenth of the pass rates in proportion in every prefix.

    Tasks are sorted by pass rate (unknown last; ties by a random key) and cut into ten strata.
    Within blocks of one task a stratum, strata come in random order.
    """

    name = "stratified"
    random_order = True
    keeps_all = True

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Interleave the strata."""
        del posterior
        rates = history.pass_rates()
        n_tasks = rates.size
        by_rate = np.lexsort((rng.random(n_tasks), rates))
        stratum = np.empty(n_tasks, dtype=np.int64)
        stratum[by_rate] = np.arange(n_tasks) * N_STRATA // max(n_tasks, 1)
        place = np.empty(n_tasks)
        for each in range(N_STRATA):
            members = rng.permutation(np.flatnonzero(stratum == each))
            place[members] = (np.arange(members.size) + rng.random(members.size)) / max(
                members.size, 1
            )
        return Selection(np.argsort(place, kind="stable").astype(np.int64))
