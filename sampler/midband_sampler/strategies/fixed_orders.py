"""Fixed orders that need no model: a band, all tasks at random, all tasks by strata."""

from dataclasses import dataclass, field

import numpy as np

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Band, Selection, Strategy, find_band


@dataclass(frozen=True)
class BandStrategy(Strategy):
    """Tasks in a fixed band of historical pass rates (arXiv:2603.23749), in random order.

    Because the order is random, every prefix is a simple random sample of the band. The interval at
    an early stop requires this.

    Parameters
    ----------
    band : Band
    """

    name = "band"
    random_order = True
    band: Band = field(default_factory=Band)

    def configured(self, *, band: Band, costs: FloatArray | None) -> Strategy:
        """Take the band."""
        del costs
        return BandStrategy(band)

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Keep the tasks whose pass rate lies in the band."""
        del posterior
        tasks, used, warnings = find_band(history, self.band)
        return Selection(rng.permutation(tasks), used, warnings)


@dataclass(frozen=True)
class RandomStrategy(Strategy):
    """All tasks in random order, without assumptions; the baseline of every comparison."""

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


N_STRATA = 10


@dataclass(frozen=True)
class StratifiedStrategy(Strategy):
    """All tasks, with ten strata of pass rates represented about equally in every prefix.

    Tasks are sorted by pass rate (unknown rates last; ties by a random key) and cut into ten
    strata of equal size. The order consists of blocks with about one task of each stratum, in
    random order within a block. A prefix is therefore not a simple random sample of the tasks, and
    the always-valid bound does not hold. Replays can calibrate the order.
    """

    name = "stratified"
    keeps_all = True

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Interleave the strata at random."""
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
