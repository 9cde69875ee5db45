"""The base of every strategy: which tasks a plan holds, in what order, and which comes next."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler.band import Band
from midband_sampler.model.posterior import FullScorePosterior


@dataclass(frozen=True)
class Selection:
    """Chosen tasks in the order in which they run.

    Parameters
    ----------
    tasks : ndarray of int64
        Positions in the matrix, each at most once.
    band : Band or None
        The band that was used, if the strategy has one.
    warnings : tuple of str
    """

    tasks: IntArray
    band: Band | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Choice:
    """The next task of each candidate, and how it was chosen.

    Parameters
    ----------
    tasks : ndarray of int64, shape (candidates,)
    drawn : bool
        Whether chance made the choice, all tasks that were left being equally likely. Otherwise
        it was computed.
    probability : float
        Chance of each of these tasks: 1 for a computed choice.
    """

    tasks: IntArray
    drawn: bool = False
    probability: float = 1.0


class Strategy(ABC):
    """Orders the tasks worth running; sees nothing but its arguments.

    A strategy of your own states its `name` and answers `order`. If it is `live` it also answers
    `choose`, and its `fixed` form is the order that it gives under the prior. Whatever a strategy
    can do stands in these attributes, and nothing else in midband knows a strategy by name.

    Attributes
    ----------
    name : str
        What settings and plans call the strategy.
    old_names, old_fixed_names : tuple of str
        Earlier names of the strategy and of its fixed form, which are still read.
    live : bool
        Whether each next task depends on the results so far.
    random_order : bool
        Whether each prefix of the order is a simple random sample of what is planned. The
        always-valid bound rests on that.
    keeps_all : bool
        Whether every task is planned, so that no result of a reference agent decided which are.
    needs_model, needs_costs : bool
        Whether the strategy needs a response model, and costs of the tasks; see `configured`.
    repeats : bool
        Whether the strategy weighs another attempt at a task against another task.
    """

    name: str = ""
    old_names: tuple[str, ...] = ()
    old_fixed_names: tuple[str, ...] = ()
    live: bool = False
    random_order: bool = False
    keeps_all: bool = False
    needs_model: bool = False
    needs_costs: bool = False
    repeats: bool = False

    @abstractmethod
    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Order the tasks before the run.

        Parameters
        ----------
        history : OutcomeMatrix
        posterior : FullScorePosterior or None
            Of a candidate without results. None where `needs_model` is False and there is no model.
        rng : numpy.random.Generator
        """

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Choose the next task of each candidate; only asked of a strategy that is `live`.

        Parameters
        ----------
        posterior : FullScorePosterior
            Of the candidates, after the results so far.
        available : ndarray of bool, shape (candidates, n_tasks)
            Tasks that may run next; at least one a candidate.
        step : int
            Number of choices made before.
        """
        msg = f"the strategy {self.name} does not choose while it runs"
        raise NotImplementedError(msg)

    def fixed(self) -> "Strategy":
        """Return the strategy for a harness that cannot choose while it runs."""
        return FixedForm(self) if self.live else self

    def configured(self, *, band: Band, costs: FloatArray | None) -> "Strategy":
        """Return the strategy with the settings that it needs.

        Parameters
        ----------
        band : Band
        costs : ndarray of float64, shape (n_tasks,), or None
            Expected cost of one attempt at each task, positive, in any one unit.
        """
        del band, costs
        return self

    def without_costs(self) -> "Strategy | None":
        """Return the same strategy without weighing costs; None where it does not."""
        return None


@dataclass(frozen=True, eq=False)
class FixedForm(Strategy):
    """The order that a live strategy gives under the prior, fixed before the run.

    Parameters
    ----------
    strategy : Strategy
        One that is live.
    """

    strategy: Strategy

    def __post_init__(self) -> None:
        self._set(
            name=f"{self.strategy.name}-fixed",
            needs_model=self.strategy.needs_model,
            needs_costs=self.strategy.needs_costs,
        )

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Let the live strategy order."""
        return self.strategy.order(history, posterior, rng)

    def configured(self, *, band: Band, costs: FloatArray | None) -> Strategy:
        """Configure the live strategy."""
        return FixedForm(self.strategy.configured(band=band, costs=costs))

    def without_costs(self) -> Strategy | None:
        """Return the fixed form of the live strategy without costs."""
        plain = self.strategy.without_costs()
        return None if plain is None else FixedForm(plain)
