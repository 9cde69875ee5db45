"""The fixed band of historical pass rates, in random order."""

from dataclasses import dataclass, field

import numpy as np

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler.band import Band, find_band
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Selection, Strategy


@dataclass(frozen=True)
class BandStrategy(Strategy):
    """The fixed band of historical pass rates (arXiv:2603.23749), in random order.

    The order is random so that every prefix is a simple random sample of the band: the interval at
    an early stop rests on that.

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
