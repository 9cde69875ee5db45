"""Stop when the candidate is certainly among the best, or certainly not."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler.stopping.base import (
    MIN_TASKS,
    Claim,
    Rule,
    check_confidence,
    check_min_tasks,
)
from midband_sampler.stopping.snapshot import Snapshot


@dataclass(frozen=True)
class TopK(Rule):
    """Stop when the candidate is certainly among the best `k`, or certainly not.

    Parameters
    ----------
    k : int
        At least 1.
    confidence : float
        Chance that the rank interval covers at the stop, over all looks. In (0.5, 1).
    min_tasks : int
        The rule does not stop before so many results.
    """

    name = "top"
    k: int
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if self.k < 1:
            msg = f"expected a top of 1 or more, got {self.k}: try top:3"
            raise InputError(msg)

    def warnings(self, n_reference: int) -> Iterator[str]:
        """Warn where everybody is among the best `k`."""
        if self.k > n_reference:
            yield f"every agent is in the top {self.k} of {n_reference + 1}: nothing to decide"

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Ask whether the whole interval lies on one side of `k`."""
        return np.asarray((snapshot.rank_high <= self.k) | (snapshot.rank_low > self.k))

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim the side."""
        side = "" if snapshot.rank_high <= self.k else "not "
        return Claim(f"{side}in the top {self.k}", self.confidence)
