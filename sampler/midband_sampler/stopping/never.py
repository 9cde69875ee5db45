"""Run everything in the plan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.snapshot import Snapshot


@dataclass(frozen=True)
class Never(Rule):
    """Run everything in the plan; the interval is reported and nothing stops on it."""

    name = "none"
    confidence: float = 0.95

    @property
    def min_tasks(self) -> int:
        """No look matters."""
        return 0

    @property
    def can_claim(self) -> bool:
        """Nothing is asked, so nothing is claimed."""
        return False

    @property
    def can_stop(self) -> bool:
        """Only the end of the plan ends the run."""
        return False

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Go on."""
        return np.zeros(np.broadcast(snapshot.rank_low, snapshot.tasks).shape, dtype=bool)

    def claim(self, snapshot: Snapshot) -> None:
        """Claim nothing."""
        del snapshot
