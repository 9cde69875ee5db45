"""The evidence: who of two agents is better, valid at every look at once."""

from dataclasses import dataclass

import numpy as np

from midband_history import FloatArray, IntArray

# Small stakes find small differences after many tasks, large ones large differences after few.
_STAKES = np.exp(np.linspace(np.log(0.02), np.log(0.9), 16))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Bets on the paired differences between the candidate and one agent.

    With d = the candidate's score minus the agent's on one task, in [-1, 1], a bettor who stakes
    a share s on "better" multiplies the capital by 1 + s d at every task. If neither is better,
    E[d | tasks before] = 0, this capital is a martingale, and so is the mean over a fixed grid of
    stakes: it ever reaches 1 / a with chance a at most (Ville 1939; testing by betting,
    Waudby-Smith and Ramdas 2024, with a mixture of fixed stakes in place of their predictable
    ones). "Worse" is the same bet on -d.

    Parameters
    ----------
    better, worse : ndarray of float64, shape (n_stakes,)
        Log capital of each stake.
    """

    better: FloatArray
    worse: FloatArray

    @classmethod
    def nothing(cls) -> "Evidence":
        """Begin with a capital of 1 on either side."""
        return cls(np.zeros(_STAKES.size), np.zeros(_STAKES.size))

    def after(self, difference: float) -> "Evidence":
        """Take in one paired difference in [-1, 1]; NaN says nothing."""
        if np.isnan(difference):
            return self
        return Evidence(
            self.better + np.log1p(_STAKES * difference),
            self.worse + np.log1p(-_STAKES * difference),
        )

    def at_best(self, left: IntArray) -> "Evidence":
        """Take in `left` more tasks, each decided for the side that it is counted on."""
        more = int(left) * np.log1p(_STAKES)
        return Evidence(self.better + more, self.worse + more)

    @property
    def log_better(self) -> float:
        """Natural logarithm of the e-value against "not better"."""
        return _log_mean(self.better)

    @property
    def log_worse(self) -> float:
        """Natural logarithm of the e-value against "not worse"."""
        return _log_mean(self.worse)


def _log_mean(logarithms: FloatArray) -> float:
    largest = float(logarithms.max())
    return largest + float(np.log(np.exp(logarithms - largest).mean()))
