"""The stopping rule ``bottom-half``: all that a plugin with one rule needs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband import Claim, Rule, Snapshot, hookimpl


@dataclass(frozen=True)
class BottomHalf(Rule):
    """Stop when the candidate is certainly in the bottom half.

    Parameters
    ----------
    confidence : float
        Chance that the claim is right, over all looks.
    """

    name = "bottom-half"
    confidence: float = 0.95

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Compare the best possible rank with the middle."""
        return np.asarray(snapshot.rank_low > (len(snapshot.reference_agents) + 1) / 2)

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim it."""
        del snapshot
        return Claim("in the bottom half", self.confidence)


@hookimpl
def midband_register_stopping_rules() -> Iterable[type[Rule]]:
    """Offer ``--stop bottom-half:CONFIDENCE``."""
    return [BottomHalf]
