"""The base of every strategy, the band of pass rates, and the strategies by name.

Every strategy in the files of this folder is found automatically. No strategy is named here.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix
from midband_sampler.errors import PlanError
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.registry import kinds_in

MIN_SHARE = 0.10
MIN_TASKS = 8
SPARSE_AGENTS = 5
_WIDENINGS = (0.0, 0.05, 0.15)
_EDGE = 1e-9  # a rate of 3/10 must be inside a bound of 0.3 in spite of rounding


@dataclass(frozen=True)
class Band:
    """A closed range of pass rates.

    Parameters
    ----------
    low, high : float
        ``0 <= low < high <= 1``. The default 0.3 to 0.7 is that of arXiv:2603.23749.
    """

    low: float = 0.3
    high: float = 0.7

    def __post_init__(self) -> None:
        if not 0.0 <= self.low < self.high <= 1.0:
            msg = (
                "expected 0 <= low < high <= 1,"
                f" got low={self.low:g}, high={self.high:g}: give the lower bound first"
            )
            raise InputError(msg)

    def __str__(self) -> str:
        return f"{self.low * 100:.0f}-{self.high * 100:.0f} %"

    def contains(self, rates: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Tell whether each rate lies inside, bounds included; False for NaN."""
        return np.asarray((rates >= self.low - _EDGE) & (rates <= self.high + _EDGE))

    def widened(self, by: float) -> "Band":
        """Move both bounds outwards by `by`, within [0, 1]."""
        return Band(round(max(0.0, self.low - by), 10), round(min(1.0, self.high + by), 10))


def in_band(matrix: OutcomeMatrix, band: Band) -> IntArray:
    """Return the positions of the tasks that count as mid-difficulty, ascending.

    A task that at least 5 agents ran is judged by its pass rate. A task with fewer agents is judged
    by a Beta-binomial posterior, because one pass of two agents does not show a rate of 50 %. Its
    posterior mean must lie in the band, and the band must hold at least half of the posterior. The
    prior is fitted by the method of moments to the tasks with at least 5 agents, or is Beta(1, 1)
    if there are fewer than 10 such tasks.
    """
    rates = matrix.pass_rates()
    agents = np.sum(matrix.attempts > 0, axis=0)
    known_well = agents >= SPARSE_AGENTS
    inside = band.contains(rates) & known_well
    sparse = np.flatnonzero((agents > 0) & ~known_well)
    if sparse.size:
        prior_pass, prior_fail = _beta_prior(rates[known_well])
        passes = prior_pass + rates[sparse] * agents[sparse]
        fails = prior_fail + (1.0 - rates[sparse]) * agents[sparse]
        mass = betainc(passes, fails, band.high) - betainc(passes, fails, band.low)
        inside[sparse] = band.contains(passes / (passes + fails)) & (mass >= 0.5)
    return np.flatnonzero(inside).astype(np.int64)


def _beta_prior(rates: FloatArray) -> tuple[float, float]:
    """Return Beta parameters by the method of moments; their sum is clipped to [1, 20]."""
    if rates.size < 10:
        return 1.0, 1.0
    mean = float(np.clip(rates.mean(), 0.02, 0.98))
    variance = float(max(rates.var(), 1e-6))
    strength = float(np.clip(mean * (1 - mean) / variance - 1.0, 1.0, 20.0))
    return mean * strength, (1 - mean) * strength


def find_band(matrix: OutcomeMatrix, band: Band) -> tuple[IntArray, Band, tuple[str, ...]]:
    """Return the tasks in the band, which is widened in steps if it holds too few tasks.

    A band holds too few if it has fewer than 10 % of the tasks, or fewer than 8 tasks. The steps of
    the default band are 25-75 % and 15-85 %.

    Returns
    -------
    tasks : ndarray of int64
        Positions of the chosen tasks, ascending.
    used : Band
        The band after any widening.
    warnings : tuple of str

    Raises
    ------
    PlanError
        Even the widest band holds too few tasks.
    """
    n_tasks = len(matrix.tasks)
    needed = max(MIN_TASKS, int(np.ceil(MIN_SHARE * n_tasks)))
    counts: list[str] = []
    for by in _WIDENINGS:
        wider = band.widened(by)
        tasks = in_band(matrix, wider)
        if tasks.size >= needed:
            if not by:
                return tasks, wider, ()
            warning = (
                f"only {counts[0]}: the band was widened to {wider}"
                f" ({tasks.size} of {n_tasks} tasks)"
            )
            return tasks, wider, (warning,)
        counts.append(f"{tasks.size} of {n_tasks} tasks lie in the {wider} band")
    msg = (
        f"expected at least {needed} mid-difficulty tasks in {matrix.benchmark!r}, but only"
        f" {counts[-1]}: do not reduce this benchmark by a band; run it in full, or use"
        " --strategy random"
    )
    raise PlanError(msg)


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
        Whether the choice was random, with equal chances for all remaining tasks. Otherwise it was
        computed.
    probability : float
        Chance with which each of these tasks was chosen; 1 for a computed choice.
    """

    tasks: IntArray
    drawn: bool = False
    probability: float = 1.0


class Strategy(ABC):
    """Selects and orders the tasks to run, from its arguments alone.

    A strategy of your own has a `name` and the method `order`. A `live` strategy also has the
    method `choose`, and its `fixed` form is the order that it gives under the prior. These
    attributes state all abilities of a strategy; midband does not rely on the names of strategies.

    Attributes
    ----------
    name : str
        Name of the strategy in settings and plans.
    old_names, old_fixed_names : tuple of str
        Earlier names of the strategy and of its fixed form, which are still read.
    live : bool
        Whether each next task depends on the results so far.
    random_order : bool
        Whether each prefix of the order is a simple random sample of the planned tasks. The
        always-valid bound requires this.
    keeps_all : bool
        Whether every task is planned, so that no result of a reference agent influences which tasks
        are planned.
    needs_model, needs_costs : bool
        Whether the strategy needs a response model, and the costs of tasks; see `configured`.
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
            Posterior of a candidate without results. None if there is no model, which can occur
            only if `needs_model` is False.
        rng : numpy.random.Generator
        """

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Choose the next task of each candidate; called only if the strategy is `live`.

        Parameters
        ----------
        posterior : FullScorePosterior
            Posterior of the candidates, after the results so far.
        available : ndarray of bool, shape (candidates, n_tasks)
            Tasks that may run next; at least one for each candidate.
        step : int
            Number of earlier choices.
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

    def seeded(self, seed: int) -> "Strategy":
        """Return the strategy with the seed of the plan, which its random choices use."""
        del seed
        return self

    def without_costs(self) -> "Strategy | None":
        """Return the variant that ignores costs; None if this strategy does not weigh costs."""
        return None


@dataclass(frozen=True, eq=False)
class FixedForm(Strategy):
    """The order that a live strategy gives under the prior, fixed before the run.

    Parameters
    ----------
    strategy : Strategy
        A live strategy.
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
        """Return the order of the live strategy under the prior."""
        return self.strategy.order(history, posterior, rng)

    def configured(self, *, band: Band, costs: FloatArray | None) -> Strategy:
        """Configure the live strategy."""
        return FixedForm(self.strategy.configured(band=band, costs=costs))

    def seeded(self, seed: int) -> Strategy:
        """Seed the live strategy."""
        return FixedForm(self.strategy.seeded(seed))

    def without_costs(self) -> Strategy | None:
        """Return the fixed form of the live strategy without costs."""
        plain = self.strategy.without_costs()
        return None if plain is None else FixedForm(plain)


AUTO = "auto"


@cache
def strategies() -> Mapping[str, Strategy]:
    """Return midband's own strategies and the fixed forms of the live ones, by name."""
    package = __name__.rpartition(".")[0]
    found = [kind() for kind in kinds_in(package, Strategy)]  # type: ignore[type-abstract]
    forms = [each.fixed() for each in found if each.live]
    return {each.name: each for each in sorted([*found, *forms], key=lambda each: each.name)}


@cache
def old_strategy_names() -> Mapping[str, str]:
    """Return the current name of a strategy by each of its old names."""
    names = {}
    for each in strategies().values():
        names.update(dict.fromkeys(each.old_names, each.name))
        names.update(dict.fromkeys(each.old_fixed_names, each.fixed().name))
    return names


def strategy_names() -> tuple[str, ...]:
    """Return the values that ``--strategy`` accepts, ``auto`` first."""
    return (AUTO, *strategies())


def present_name(name: str) -> str:
    """Return the current name of a strategy."""
    return old_strategy_names().get(name, name)


def renamed_strategy(name: str) -> str:
    """Return a sentence with the strategy's current name; empty if `name` is current."""
    present = present_name(name)
    if present == name:
        return ""
    return (
        f"the strategy {name!r} is called {present!r} now: the old name goes with the next release"
    )


def find_strategy(name: str) -> Strategy:
    """Return the strategy of that name; for an unknown name, the error lists all names."""
    found = strategies().get(present_name(name))
    if found is None:
        msg = f"expected a strategy among {', '.join(strategy_names())}, got {name!r}"
        raise InputError(msg)
    return found


def check_strategy(name: str) -> None:
    """Raise an error that lists all names unless `name` is one of them."""
    if name != AUTO:
        find_strategy(name)
