"""The paired e-process: which of two agents is better, valid after every result at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from midband_history import FloatArray, IntArray

# Small stakes find small differences after many tasks, large ones large differences after few.
_STAKES = np.exp(np.linspace(np.log(0.02), np.log(0.9), 16))


@dataclass(frozen=True, eq=False)
class PairedEProcess:
    """Bets on the paired differences between the candidate and one agent.

    With d = the candidate's score minus the agent's on one task, in [-1, 1], a bettor who stakes
    a share s on "better" multiplies the capital by 1 + s d at every task. If neither is better,
    E[d | tasks before] = 0, this capital is a martingale, and so is the mean over a fixed grid of
    stakes: it ever reaches 1 / a with chance a at most (Ville 1939; testing by betting,
    Waudby-Smith and Ramdas 2024, with a mixture of fixed stakes in place of their predictable
    ones). "Worse" is the same bet on -d.

    Parameters
    ----------
    better, worse : ndarray of float64, shape (..., n_stakes)
        Log capital of each stake; the leading axes are those of the pairs, none in a session.
    """

    better: FloatArray
    worse: FloatArray

    @classmethod
    def nothing(cls, shape: tuple[int, ...] = ()) -> "PairedEProcess":
        """Begin with a capital of 1 on either side, for pairs of that shape."""
        return cls(np.zeros((*shape, _STAKES.size)), np.zeros((*shape, _STAKES.size)))

    def after(self, difference: FloatArray) -> "PairedEProcess":
        """Take in a task: a difference in [-1, 1] for each pair; NaN says nothing."""
        stake = np.where(np.isnan(difference), 0.0, difference)[..., None] * _STAKES
        return PairedEProcess(self.better + np.log1p(stake), self.worse + np.log1p(-stake))

    def after_each(self, differences: FloatArray) -> "PairedEProcess":
        """Take in tasks one after the other and keep every stage, on the first axis.

        Parameters
        ----------
        differences : ndarray of float64, shape (n_tasks,)
            NaN says nothing.
        """
        stake = np.where(np.isnan(differences), 0.0, differences)[:, None] * _STAKES
        return PairedEProcess(
            self.better + np.cumsum(np.log1p(stake), axis=0),
            self.worse + np.cumsum(np.log1p(-stake), axis=0),
        )

    def at(self, place: int) -> "PairedEProcess":
        """Return one entry of the first axis."""
        return PairedEProcess(self.better[place], self.worse[place])

    def at_best(self, left: IntArray) -> "PairedEProcess":
        """Take in more tasks, each decided for the side that it is counted on.

        Parameters
        ----------
        left : ndarray of int64
            Broadcast against the pairs with one more axis at the end: several futures a pair.
        """
        more = left[..., None] * np.log1p(_STAKES)
        better, worse = self.better[..., None, :] + more, self.worse[..., None, :] + more
        return PairedEProcess(better, worse)

    @property
    def log_better(self) -> FloatArray:
        """Natural logarithm of the e-value against "not better", one a pair."""
        return _log_mean(self.better)

    @property
    def log_worse(self) -> FloatArray:
        """Natural logarithm of the e-value against "not worse", one a pair."""
        return _log_mean(self.worse)


def weakest(readings: Sequence[Mapping[str, PairedEProcess]]) -> Mapping[str, PairedEProcess]:
    """Evidence for either side as it is in the reading that has least of it."""
    return {
        agent: PairedEProcess(
            min((each[agent] for each in readings), key=lambda one: float(one.log_better)).better,
            min((each[agent] for each in readings), key=lambda one: float(one.log_worse)).worse,
        )
        for agent in readings[0]
    }


def _log_mean(logarithms: FloatArray) -> FloatArray:
    largest = logarithms.max(axis=-1, keepdims=True)
    total = np.exp(logarithms - largest).sum(axis=-1)
    return np.asarray(largest[..., 0] + np.log(total / _STAKES.size))
