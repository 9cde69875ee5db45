"""Steering: the tasks that run whatever the strategy says, and the choices left to chance."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix
from midband_sampler._prediction import FullScorePrediction
from midband_sampler._strategies import Chooser, FixedChooser, InOrder

_STREAM = 0x65787000  # apart from every other use of the plan's seed


@dataclass(frozen=True, kw_only=True)
class Steering:
    """Guard tasks and a randomised share.

    Parameters
    ----------
    always : tuple of int
        Positions of the guard tasks: they run first, in this order.
    explore : float
        Chance in [0, 1) that a choice after the guard tasks is drawn uniformly from all tasks not
        chosen yet. Coin and draw follow from `seed` and the number of the choice.
    seed : int
    """

    always: tuple[int, ...] = ()
    explore: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.explore < 1.0:
            msg = f"expected 0 <= explore < 1, got {self.explore:g}: 0.1 is usual"
            raise InputError(msg)

    def apply(self, chooser: Chooser) -> Chooser:
        """Let a strategy choose under this steering."""
        return SteeredChooser(chooser, self) if self.always or self.explore else chooser

    def draws(self, step: int, n_tasks: int) -> bool:
        """Whether chance makes choice number `step`, counted from 0 with the guard tasks."""
        if not self.explore or step < len(self.always):
            return False
        return bool(_coins(self.seed, n_tasks)[step, 0] < self.explore)

    def draw(self, unseen: NDArray[np.bool_], step: int) -> IntArray:
        """Draw a task of each row that is not chosen yet, ``unseen`` of shape (rows, n_tasks)."""
        place = _coins(self.seed, unseen.shape[1])[step, 1]
        counts = np.cumsum(unseen, axis=1)
        wanted = np.floor(place * counts[:, -1:]) + 1
        return np.asarray((counts >= wanted).argmax(axis=1), dtype=np.int64)

    def arrange(self, order: IntArray, n_tasks: int) -> IntArray:
        """Put guard tasks before an order and mix the draws into it.

        Ends with the last task of `order`. The first so many tasks of the result do not depend on
        how long `order` is beyond them.
        """
        done = np.zeros(n_tasks, dtype=bool)
        done[list(self.always)] = True
        arranged = list(self.always)
        for task in order:
            while not done[task]:
                step = len(arranged)
                chosen = int(task)
                if self.draws(step, n_tasks):
                    chosen = int(self.draw(~done[None, :], step)[0])
                arranged.append(chosen)
                done[chosen] = True
        return np.array(arranged, dtype=np.int64)


@lru_cache(maxsize=8)
def _coins(seed: int, n_tasks: int) -> FloatArray:
    """Coin and place of each choice, shape (n_tasks, 2)."""
    return np.random.default_rng([seed, _STREAM]).random((n_tasks, 2))


@dataclass(frozen=True)
class SteeredChooser:
    """A strategy under steering: guard tasks first, then its choice unless chance makes it."""

    chooser: Chooser
    steering: Steering

    def order(
        self, matrix: OutcomeMatrix, prediction: FullScorePrediction, *, rng: np.random.Generator
    ) -> IntArray:
        """Arrange the strategy's order."""
        base = self.chooser.order(matrix, prediction, rng=rng)
        return self.steering.arrange(base, prediction.unseen.shape[1])

    def choose(self, prediction: FullScorePrediction, order: IntArray, step: int) -> IntArray:
        """Return a guard task that has not run, the draw of this step, or the strategy's choice."""
        unseen = prediction.unseen
        if isinstance(self.chooser, FixedChooser | InOrder):
            return np.full(unseen.shape[0], order[step], dtype=np.int64)
        for guard in self.steering.always:
            if unseen[:, guard].any():
                return np.full(unseen.shape[0], guard, dtype=np.int64)
        if self.steering.draws(step, unseen.shape[1]):
            return self.steering.draw(unseen, step)
        return self.chooser.choose(prediction, order, step)


def is_live(chooser: Chooser) -> bool:
    """Whether what it chooses depends on results, so that no order is known before the run."""
    inner = chooser.chooser if isinstance(chooser, SteeredChooser) else chooser
    return not isinstance(inner, FixedChooser | InOrder)
