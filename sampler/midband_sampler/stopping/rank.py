"""Stop when the rank interval is narrow enough."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler.stopping.base import (
    MIN_TASKS,
    TIE,
    Claim,
    Rule,
    check_confidence,
    check_min_tasks,
)
from midband_sampler.stopping.snapshot import Snapshot


@dataclass(frozen=True)
class RankSettled(Rule):
    """Stop when the rank interval is narrow enough.

    Parameters
    ----------
    confidence : float
        Chance that the interval covers the candidate's rank on the target at the stop, however
        often the rule looks. In (0.5, 1).
    width : float
        Largest ``(high - low) / (n_reference + 1)`` that counts as settled. In [0, 1).
    min_tasks : int
        The rule does not stop before so many results, because variances of fewer are not to be
        trusted.
    """

    name = "rank"
    confidence: float = 0.95
    width: float = 0.2
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not 0.0 <= self.width < 1.0:
            msg = f"expected 0 <= width < 1 (a share of the ranks), got {self.width:g}: try 0.2"
            raise InputError(msg)

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Compare the interval with the width."""
        widest = self.width * (len(snapshot.reference_agents) + 1) + TIE
        return np.asarray(snapshot.rank_high - snapshot.rank_low <= widest)

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim the interval."""
        low, high = int(snapshot.rank_low), int(snapshot.rank_high)
        text = f"rank {low}" if low == high else f"rank {low} to {high}"
        return Claim(f"{text} of {len(snapshot.reference_agents) + 1}", self.confidence)

    def reason(self, snapshot: Snapshot) -> str:
        """Return ``rank settled``."""
        del snapshot
        return "rank settled"
