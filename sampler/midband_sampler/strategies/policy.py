"""The policy: a strategy with the tasks that run anyway and the choices left to chance."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Choice, Selection, Strategy

_STREAM = 0x65787000  # apart from every other use of the plan's seed


@dataclass(frozen=True, kw_only=True)
class Exploration:
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

    def choose(
        self,
        strategy: Strategy,
        posterior: FullScorePosterior,
        available: NDArray[np.bool_],
        step: int,
    ) -> Choice:
        """Choose a guard task that has not run, else what chance draws, else by the strategy."""
        for guard in self.always:
            if (posterior.unseen[:, guard] & available[:, guard]).any():
                return Choice(np.full(len(available), guard, dtype=np.int64))
        return self.drawn(available, step) or strategy.choose(posterior, available, step)

    def drawn(self, available: NDArray[np.bool_], step: int) -> Choice | None:
        """Return what chance draws at choice number `step`; None where it does not choose.

        Parameters
        ----------
        available : ndarray of bool, shape (candidates, n_tasks)
        step : int
            Counted from 0 with the guard tasks.
        """
        n_tasks = available.shape[1]
        if not self.explore or step < len(self.always):
            return None
        coin, place = _coins(self.seed, n_tasks)[step]
        if coin >= self.explore:
            return None
        counts = np.cumsum(available, axis=1)
        wanted = np.floor(place * counts[:, -1:]) + 1
        tasks = np.asarray((counts >= wanted).argmax(axis=1), dtype=np.int64)
        return Choice(tasks, drawn=True, probability=1.0 / float(n_tasks - step))

    def planned(self, step: int, n_tasks: int) -> Choice | None:
        """Return how choice number `step` of an order that `arrange` made was made."""
        if not self.explore or step < len(self.always):
            return None
        drawn = bool(_coins(self.seed, n_tasks)[step, 0] < self.explore)
        return Choice(np.zeros(0, dtype=np.int64), drawn, 1.0 / (n_tasks - step) if drawn else 1.0)

    def arrange(self, order: IntArray, n_tasks: int) -> tuple[Choice, ...]:
        """Put guard tasks before an order and mix the draws into it.

        Ends with the last task of `order`. The first so many choices do not depend on how long
        `order` is beyond them.
        """
        left = np.ones((1, n_tasks), dtype=bool)
        left[0, list(self.always)] = False
        arranged = [Choice(np.array([guard])) for guard in self.always]
        for task in order:
            while left[0, task]:
                computed = Choice(np.array([task], dtype=np.int64))
                choice = self.drawn(left, len(arranged)) or computed
                arranged.append(choice)
                left[0, choice.tasks] = False
        return tuple(arranged)


@lru_cache(maxsize=8)
def _coins(seed: int, n_tasks: int) -> FloatArray:
    """Coin and place of each choice, shape (n_tasks, 2)."""
    return np.random.default_rng([seed, _STREAM]).random((n_tasks, 2))


@dataclass(frozen=True, eq=False)
class Policy:
    """How the next task of a run is chosen.

    Parameters
    ----------
    strategy : Strategy
    exploration : Exploration
    """

    strategy: Strategy
    exploration: Exploration = field(default_factory=Exploration)

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> tuple[IntArray, Selection]:
        """Order the tasks before the run; return the order and what the strategy selected."""
        selected = self.strategy.order(history, posterior, rng)
        if not self.exploration.explore:
            first = np.array(self.exploration.always, dtype=np.int64)
            rest = selected.tasks[~np.isin(selected.tasks, first)] if first.size else selected.tasks
            return np.concatenate([first, rest]), selected
        choices = self.exploration.arrange(selected.tasks, len(history.tasks))
        return np.concatenate([each.tasks for each in choices]).astype(np.int64), selected

    def choose(
        self,
        posterior: FullScorePosterior,
        available: NDArray[np.bool_],
        step: int,
        order: IntArray,
    ) -> Choice:
        """Choose the next task of each candidate: live, or the next of the order.

        Parameters
        ----------
        posterior : FullScorePosterior
        available : ndarray of bool, shape (candidates, n_tasks)
        step : int
            Number of choices made before.
        order : ndarray of int64
            As `order` returned it.
        """
        if self.strategy.live:
            return self.exploration.choose(self.strategy, posterior, available, step)
        return Choice(np.full(len(available), order[step], dtype=np.int64))

    def fixed(self) -> "Policy":
        """Return the policy whose order is known before the run."""
        return Policy(self.strategy.fixed(), self.exploration)
