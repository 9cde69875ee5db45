"""Stop when the bounds of the score are narrow enough."""

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
class ScoreWithin(Rule):
    """Stop when the bounds of the score on the target are narrow enough.

    Parameters
    ----------
    points : float
        Largest half width that counts, in percentage points of the score. Above 0.
    confidence : float
        Chance that the score bounds cover at the stop, over all looks. In (0.5, 1).
    min_tasks : int
        The rule does not stop before so many results.
    """

    name = "score"
    points: float
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not 0.0 < self.points < 50.0:
            msg = f"expected 0 < points < 50 (percentage points), got {self.points:g}: try 2"
            raise InputError(msg)

    @property
    def claims_score(self) -> bool:
        """The claim is the bounds of the score."""
        return True

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Compare the half width with the points."""
        return np.asarray((snapshot.score_high - snapshot.score_low) * 50.0 <= self.points + TIE)

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim the bounds."""
        low, high = 100 * float(snapshot.score_low), 100 * float(snapshot.score_high)
        return Claim(f"score {low:.1f} to {high:.1f} %", self.confidence)

    def reason(self, snapshot: Snapshot) -> str:
        """Return ``score settled``."""
        del snapshot
        return "score settled"
