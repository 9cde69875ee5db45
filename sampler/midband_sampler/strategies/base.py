"""The base of every strategy, the band of pass rates, and the strategies by name.

Every strategy in a file of this folder is found by itself; nothing here names one.
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
_EDGE = 1e-9  # a rate of 3/10 is inside 0.3, whatever the last bit of the division says


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
        """Whether each rate lies inside, bounds included; False for NaN."""
        return np.asarray((rates >= self.low - _EDGE) & (rates <= self.high + _EDGE))

    def widened(self, by: float) -> "Band":
        """Move both bounds outwards by `by`, within [0, 1]."""
        return Band(round(max(0.0, self.low - by), 10), round(min(1.0, self.high + by), 10))


def in_band(matrix: OutcomeMatrix, band: Band) -> IntArray:
    """Positions of the tasks that count as mid-difficulty, ascending.

    A task run by at least 5 agents is judged by its pass rate. A task run by fewer is judged by a
    Beta-binomial posterior, so that one pass of two agents is not taken for a rate of 50 %: its
    posterior mean must lie in the band and the band must hold at least half of the posterior. The
    prior is fitted by moments to the well-known tasks (Beta(1, 1) when fewer than 10 of those).
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
    """Method-of-moments Beta parameters; their sum is kept within [1, 20]."""
    if rates.size < 10:
        return 1.0, 1.0
    mean = float(np.clip(rates.mean(), 0.02, 0.98))
    variance = float(max(rates.var(), 1e-6))
    strength = float(np.clip(mean * (1 - mean) / variance - 1.0, 1.0, 20.0))
    return mean * strength, (1 - mean) * strength


def find_band(matrix: OutcomeMatrix, band: Band) -> tuple[IntArray, Band, tuple[str, ...]]:
    """Tasks in the band, widened step by step when it holds too few to rank agents.

    Too few is fewer than 10 % of the tasks or fewer than 8. The steps of the default band are
    25-75 % and 15-85 %.

    Returns
    -------
    tasks : ndarray of int64
        Positions of the chosen tasks, ascending.
    used : Band
        The band that was used in the end.
    warnings : tuple of str

    Raises
    ------
    PlanError
        When even the widest band holds too few tasks.
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

    def seeded(self, seed: int) -> "Strategy":
        """Return the strategy with the seed of the plan, for choices that chance takes part in."""
        del seed
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
    """Return the present name of each strategy that had another."""
    names = {}
    for each in strategies().values():
        names.update(dict.fromkeys(each.old_names, each.name))
        names.update(dict.fromkeys(each.old_fixed_names, each.fixed().name))
    return names


def strategy_names() -> tuple[str, ...]:
    """Return what ``--strategy`` takes, ``auto`` first."""
    return (AUTO, *strategies())


def present_name(name: str) -> str:
    """Return what a strategy is called now."""
    return old_strategy_names().get(name, name)


def renamed_strategy(name: str) -> str:
    """Say what a strategy is called now; empty where the name is the present one."""
    present = present_name(name)
    if present == name:
        return ""
    return (
        f"the strategy {name!r} is called {present!r} now: the old name goes with the next release"
    )


def find_strategy(name: str) -> Strategy:
    """Return the strategy of that name; the error lists the names there are."""
    found = strategies().get(present_name(name))
    if found is None:
        msg = f"expected a strategy among {', '.join(strategy_names())}, got {name!r}"
        raise InputError(msg)
    return found


def check_strategy(name: str) -> None:
    """Raise an error that lists the names there are unless `name` is one of them."""
    if name != AUTO:
        find_strategy(name)
