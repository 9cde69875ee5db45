"""The policy: a strategy with the tasks that run anyway and the choices left to chance."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from midband_history import IntArray, OutcomeMatrix
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.strategies.base import Choice, Selection, Strategy
from midband_sampler.strategies.exploration import Exploration


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
