"""Strategies: which tasks a plan holds, and in what order."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix
from midband_sampler._band import Band, find_band
from midband_sampler._prediction import FullScorePrediction

N_STRATA = 10


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


class Strategy(Protocol):
    """Chooses tasks from a history; sees nothing but its arguments."""

    @property
    def name(self) -> str:
        """Name by which settings and plans refer to the strategy."""

    def select(self, matrix: OutcomeMatrix, *, band: Band, rng: np.random.Generator) -> Selection:
        """Order the tasks worth running. A prefix of the order must be a fair sample of it."""


@dataclass(frozen=True)
class BandStrategy:
    """The fixed band of historical pass rates (arXiv:2603.23749), in random order.

    The order is random so that every prefix is a simple random sample of the band: the interval at
    an early stop rests on that.
    """

    name: str = "band"

    def select(self, matrix: OutcomeMatrix, *, band: Band, rng: np.random.Generator) -> Selection:
        """Keep the tasks whose pass rate lies in the band."""
        tasks, used, warnings = find_band(matrix, band)
        return Selection(rng.permutation(tasks), used, warnings)


@dataclass(frozen=True)
class RandomStrategy:
    """All tasks in random order: no assumption, the baseline of every comparison."""

    name: str = "random"

    def select(self, matrix: OutcomeMatrix, *, band: Band, rng: np.random.Generator) -> Selection:
        """Shuffle all tasks."""
        del band
        return Selection(rng.permutation(len(matrix.tasks)).astype(np.int64))


@dataclass(frozen=True)
class StratifiedStrategy:
    """All tasks, each tenth of the pass rates in proportion in every prefix.

    Tasks are sorted by pass rate (unknown last; ties by a random key) and cut into ten strata;
    within blocks of one task a stratum, strata come in random order.
    """

    name: str = "stratified"

    def select(self, matrix: OutcomeMatrix, *, band: Band, rng: np.random.Generator) -> Selection:
        """Interleave the strata."""
        del band
        rates = matrix.pass_rates()
        n_tasks = rates.size
        by_rate = np.lexsort((rng.random(n_tasks), rates))
        stratum = np.empty(n_tasks, dtype=np.int64)
        stratum[by_rate] = np.arange(n_tasks) * N_STRATA // max(n_tasks, 1)
        place = np.empty(n_tasks)
        for each in range(N_STRATA):
            members = rng.permutation(np.flatnonzero(stratum == each))
            place[members] = (np.arange(members.size) + rng.random(members.size)) / max(
                members.size, 1
            )
        return Selection(np.argsort(place, kind="stable").astype(np.int64))


class Chooser(Protocol):
    """Names the next task of each candidate during a run, given what was predicted so far."""

    def order(
        self, matrix: OutcomeMatrix, prediction: FullScorePrediction, *, rng: np.random.Generator
    ) -> IntArray:
        """Order the tasks for a harness that cannot choose while it runs."""

    def choose(self, prediction: FullScorePrediction, order: IntArray, step: int) -> IntArray:
        """Return the next task of each candidate, an unseen one, shape (candidates,)."""


@dataclass(frozen=True)
class InformationChooser:
    """The task whose result is expected to leave the least variance in the full score.

    Ties go to the lowest position.
    """

    def order(
        self, matrix: OutcomeMatrix, prediction: FullScorePrediction, *, rng: np.random.Generator
    ) -> IntArray:
        """Order greedily under the prior, each result taken to reduce the covariance (rank one)."""
        del matrix, rng
        return prediction.design()

    def choose(self, prediction: FullScorePrediction, order: IntArray, step: int) -> IntArray:
        """Maximise the variance reduction."""
        del order, step
        return np.asarray(prediction.variance_reduction().argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class CostChooser:
    """The task whose result is expected to reduce the variance of the full score most per cost.

    Ties go to the lowest position.

    Parameters
    ----------
    costs : ndarray of float64, shape (n_tasks,)
        Expected cost of one attempt at each task, positive, in any one unit.
    """

    costs: FloatArray

    def order(
        self, matrix: OutcomeMatrix, prediction: FullScorePrediction, *, rng: np.random.Generator
    ) -> IntArray:
        """Order greedily under the prior by the reduction per cost."""
        del matrix, rng
        return prediction.design(self.costs)

    def choose(self, prediction: FullScorePrediction, order: IntArray, step: int) -> IntArray:
        """Maximise the variance reduction per cost."""
        del order, step
        gain = prediction.variance_reduction() / self.costs
        return np.asarray(gain.argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class MatchedChooser:
    """The task whose predicted pass rate for this agent is nearest to one half."""

    def order(
        self, matrix: OutcomeMatrix, prediction: FullScorePrediction, *, rng: np.random.Generator
    ) -> IntArray:
        """Order by distance from one half under the prior."""
        del matrix, rng
        return np.argsort(np.abs(prediction.predicted()[0] - 0.5), kind="stable").astype(np.int64)

    def choose(self, prediction: FullScorePrediction, order: IntArray, step: int) -> IntArray:
        """Minimise the distance of the predicted pass rate from one half."""
        del order, step
        distance = np.abs(prediction.predicted() - 0.5)
        nearest = np.where(prediction.unseen, distance, np.inf).argmin(axis=1)
        return np.asarray(nearest, dtype=np.int64)


@dataclass(frozen=True)
class FixedChooser:
    """The order of a strategy that is fixed before the run."""

    strategy: Strategy
    band: Band

    def order(
        self, matrix: OutcomeMatrix, prediction: FullScorePrediction, *, rng: np.random.Generator
    ) -> IntArray:
        """Let the strategy select."""
        del prediction
        return self.strategy.select(matrix, band=self.band, rng=rng).tasks

    def choose(self, prediction: FullScorePrediction, order: IntArray, step: int) -> IntArray:
        """Go down the order."""
        return np.full(prediction.unseen.shape[0], order[step], dtype=np.int64)


@dataclass(frozen=True)
class InOrder:
    """The order of a live strategy under the prior, fixed before the run."""

    chooser: Chooser

    def order(
        self, matrix: OutcomeMatrix, prediction: FullScorePrediction, *, rng: np.random.Generator
    ) -> IntArray:
        """Let the live strategy order."""
        return self.chooser.order(matrix, prediction, rng=rng)

    def choose(self, prediction: FullScorePrediction, order: IntArray, step: int) -> IntArray:
        """Go down the order."""
        return np.full(prediction.unseen.shape[0], order[step], dtype=np.int64)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {each.name: each for each in (BandStrategy(), RandomStrategy(), StratifiedStrategy())}
)


def find_strategy(name: str) -> Strategy:
    """Return the strategy of that name; the error lists the names there are."""
    if name not in STRATEGIES:
        msg = f"expected a strategy among {', '.join(STRATEGY_NAMES)}, got {name!r}"
        raise InputError(msg)
    return STRATEGIES[name]


CHOOSERS: Mapping[str, Chooser] = MappingProxyType(
    {
        "design": InOrder(InformationChooser()),
        "information": InformationChooser(),
        "matched": MatchedChooser(),
    }
)
PER_COST = ("cost", "cost-design")
WITHOUT_COSTS: Mapping[str, str] = MappingProxyType(
    {"cost": "information", "cost-design": "design"}
)
PREDICTIVE = frozenset([*CHOOSERS, *PER_COST])
LIVE = frozenset({"cost", "information", "matched"})
STRATEGY_NAMES: tuple[str, ...] = ("auto", *sorted([*STRATEGIES, *PREDICTIVE]))


def check_strategy(name: str) -> None:
    """Raise an error that lists the names there are unless `name` is one of them."""
    if name not in STRATEGY_NAMES:
        find_strategy(name)


def find_chooser(name: str, *, band: Band, costs: FloatArray | None = None) -> Chooser:
    """Return the chooser of that name; a fixed strategy becomes one that goes down its order.

    Parameters
    ----------
    name : str
    band : Band
        For the strategies that have one.
    costs : ndarray of float64, shape (n_tasks,), optional
        For ``cost`` and ``cost-design``: see `CostChooser`.
    """
    if name in PER_COST:
        if costs is None:
            msg = f"expected the costs of tasks for strategy {name!r}, got none: use information"
            raise InputError(msg)
        return CostChooser(costs) if name in LIVE else InOrder(CostChooser(costs))
    if name in CHOOSERS:
        return CHOOSERS[name]
    return FixedChooser(find_strategy(name), band)
