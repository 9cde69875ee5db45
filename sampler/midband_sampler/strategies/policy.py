"""The policy: a strategy together with the guard tasks and the random choices."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Choice, Selection, Strategy

_STREAM = 0x65787000  # separates these draws from all other uses of the plan's seed


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """Guard tasks, and the share of random choices.

    Parameters
    ----------
    always : tuple of int
        Positions of the guard tasks, which run first in this order.
    explore : float
        Chance in [0, 1) that a choice after the guard tasks is drawn uniformly from all tasks not
        chosen yet. Both the decision to draw and the draw depend only on `seed`, the number of
        tasks and the number of the choice.
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
        """Choose a guard task that has not run, else at random if due, else by the strategy."""
        for guard in self.always:
            if (posterior.unseen[:, guard] & available[:, guard]).any():
                return Choice(np.full(len(available), guard, dtype=np.int64))
        return self.drawn(available, step) or strategy.choose(posterior, available, step)

    def drawn(self, available: NDArray[np.bool_], step: int) -> Choice | None:
        """Return the random choice number `step`; None if this choice is not random.

        Parameters
        ----------
        available : ndarray of bool, shape (candidates, n_tasks)
        step : int
            Number of the choice, counted from 0 and including the guard tasks.
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
        """Tell how choice number `step` of an order by `arrange` was made, without its task."""
        if not self.explore or step < len(self.always):
            return None
        drawn = bool(_coins(self.seed, n_tasks)[step, 0] < self.explore)
        return Choice(np.zeros(0, dtype=np.int64), drawn, 1.0 / (n_tasks - step) if drawn else 1.0)

    def arrange(self, order: IntArray, n_tasks: int) -> tuple[Choice, ...]:
        """Put the guard tasks before an order, and mix the random choices into it.

        The result ends with the last task of `order`. If `order` is extended, the earlier choices
        stay the same.
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
    """Return two uniform numbers for each choice, coin and place, shape (n_tasks, 2)."""
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
        """Order the tasks before the run; return the order and the strategy's selection."""
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
        """Choose the next task of each candidate, live or from the order.

        Parameters
        ----------
        posterior : FullScorePosterior
        available : ndarray of bool, shape (candidates, n_tasks)
        step : int
            Number of earlier choices.
        order : ndarray of int64
            The order that the method `order` returned.
        """
        if self.strategy.live:
            return self.exploration.choose(self.strategy, posterior, available, step)
        return Choice(np.full(len(available), order[step], dtype=np.int64))

    def fixed(self) -> "Policy":
        """Return the policy with the strategy's fixed form, whose order is known before the run."""
        return Policy(self.strategy.fixed(), self.exploration)
