"""Shrinkage: how wide intervals must be here, told by this benchmark and by the others."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler.bounds.calibrated import POSTERIOR, CalibratedBound
from midband_sampler.calibration import MIN_REPLAYS, replay_all, required_replays
from midband_sampler.errors import PlanError
from midband_sampler.leaving_out import SCAFFOLD, Fold, can_hold_out_scaffolds, make_folds
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.settled import RankSettled
from midband_sampler.strategies.base import Strategy, strategies
from midband_sampler.strategies.policy import Policy

LEAST, LARGEST = 0.6, 6.0
_STEP = 1.03
_NARROW = 50
# What the other benchmarks weigh together, in replays of this one.
OTHERS_WEIGHT = 20.0
_MOST_OTHERS, _MOST_AGENTS, _MOST_TASKS = 8, 40, 300
# What `OtherBenchmarks.spread` finds among seven benchmarks of the HAL leaderboard, for a history
# that has fewer than four others to tell it.
_USUAL_SPREAD = 0.39
_ENOUGH_TO_TELL_SPREAD = 4


def agents_needed(confidence: float, *, others: bool = False, named: int = 0) -> int:
    """Return how many known agents a plan needs to calibrate its intervals by replay.

    Parameters
    ----------
    confidence : float
        Of the stopping rule.
    others : bool
        Whether other benchmarks of the history can be replayed as well.
    named : int
        Agents that the rule names, which are not replayed.
    """
    needed = required_replays(confidence) + named
    # A plan itself asks for a few more: `planning.MIN_REFERENCE`.
    return max(named + 1, needed - int(OTHERS_WEIGHT)) if others else needed


def interval_multipliers() -> tuple[FloatArray, FloatArray]:
    """Return the widths to try, in standard deviations: first the narrow ones, then all.

    From .6 to 6 in steps of 3 %. Wide intervals keep a replay going over most tasks, so they are
    tried only when needed.
    """
    steps = int(np.ceil(np.log(LARGEST / LEAST) / np.log(_STEP)))
    grid = np.round(LEAST * _STEP ** np.arange(steps + 1), 6)
    return grid[:_NARROW], grid


def narrowest(
    covered: NDArray[np.bool_],
    others: Sequence[FloatArray],
    *,
    confidence: float,
    spread: float = 0.0,
) -> int | None:
    """Find the narrowest of the widths from which on enough intervals cover at the stop.

    With n replays of this benchmark, of which a share p(w) covers at the width w, and the mean
    share q(w) of the other benchmarks, which counts as k = 20 replays (0 where there are none), it
    is the smallest width from which on

        n p(w) + k q(w) >= confidence (n + k + 1).

    Without others that is the split-conformal count (Vovk, Gammerman, Shafer 2005): the chance that
    a new agent like these is covered is the confidence at least. The others shrink it towards what
    was needed elsewhere: the fewer replays there are here, the more.

    Parameters
    ----------
    covered : ndarray of bool, shape (n_replays, n_widths)
        By ascending width, in steps of `interval_multipliers`.
    others : sequence of ndarray of float64, each of shape (n_widths,)
        Shares that cover, one a benchmark.
    confidence : float
    spread : float
        Standard deviation of the log of the width that this situation needs, about what the
        replays say: both shares are averaged over it (three-point Gauss-Hermite quadrature), and
        the width is not below that without it.

    Returns
    -------
    place : int or None
        Position of the width; None where not even the largest does.
    """
    n, n_widths = covered.shape
    weight = OTHERS_WEIGHT if len(others) else 0.0
    count = covered.sum(axis=0).astype(np.float64)
    if weight:
        count = count + weight * np.mean(others, axis=0)
    if spread:
        away = round(np.sqrt(3.0) * spread / np.log(_STEP))
        narrower = np.concatenate([np.zeros(min(away, n_widths)), count])[:n_widths]
        wider = np.concatenate([count, np.full(away, count[-1])])[away:]
        count = np.minimum(count, (narrower + 4.0 * count + wider) / 6.0)
    fails = np.flatnonzero(count < confidence * (n + weight + 1.0) - 1e-9)
    place = int(fails.max()) + 1 if fails.size else 0
    return None if place == n_widths else place


@dataclass(frozen=True, eq=False)
class OtherBenchmarks:
    """What the other benchmarks of a history say of the widths that intervals need.

    Parameters
    ----------
    matrices : tuple of OutcomeMatrix
        At most eight are replayed, those with the most agents; of each the latest 40 agents, and
        300 tasks.
    """

    matrices: tuple[OutcomeMatrix, ...] = ()

    @classmethod
    def of(cls, matrices: Sequence[OutcomeMatrix]) -> "OtherBenchmarks":
        """Keep the benchmarks that have agents enough to replay."""
        able = [_thinned(matrix) for matrix in matrices]
        able = [matrix for matrix in able if len(matrix.agents) >= MIN_REPLAYS]
        able.sort(key=lambda each: -len(each.agents))
        return cls(tuple(able[:_MOST_OTHERS]))

    def shares(
        self,
        strategy: Strategy,
        *,
        mode: str,
        rule: Rule,
        share: float,
        multipliers: FloatArray,
        bound: CalibratedBound = POSTERIOR,
    ) -> list[FloatArray]:
        """Return the share of replays that each width covers, one array a benchmark.

        Parameters
        ----------
        strategy : Strategy
            Without its costs.
        mode : str
            What a replay is to leave out; benchmarks that cannot leave scaffolds out are passed
            over, unless none can.
        rule : Rule
            Budgets in money, time and tokens, and rules that name agents, mean nothing elsewhere: a
            rank interval of the same confidence stands for them.
        share : float
            Share of its tasks that a run may take at most.
        multipliers : ndarray of float64
        bound : CalibratedBound
        """
        plain = strategy.without_costs() or strategy
        plain = strategies().get(plain.name, plain)
        able = [each for each in self.matrices if can_hold_out_scaffolds(each.scaffolds)]
        asked = able if mode == SCAFFOLD and able else self.matrices
        elsewhere = _elsewhere(rule)
        found = (_shares(each, plain, mode, elsewhere, share, multipliers, bound) for each in asked)
        return [each for each in found if each.size]

    def spread(
        self,
        strategy: Strategy,
        *,
        rule: Rule,
        share: float,
        multipliers: FloatArray,
        mode: str,
        bound: CalibratedBound = POSTERIOR,
    ) -> float:
        """Return how far the log multiplier of one more benchmark is expected to lie from these.

        The predictive standard deviation of a normal sample of b benchmarks, a Student t with b - 1
        degrees of freedom: sd * sqrt((1 + 1 / b) (b - 1) / (b - 3)).
        """
        found = []
        shares = self.shares(
            strategy, mode=mode, rule=rule, share=share, multipliers=multipliers, bound=bound
        )
        for each in shares:
            fails = np.flatnonzero(each < rule.confidence)
            place = min(int(fails.max()) + 1 if fails.size else 0, multipliers.size - 1)
            found.append(float(np.log(multipliers[place])))
        if len(found) < _ENOUGH_TO_TELL_SPREAD:
            return _USUAL_SPREAD
        b = len(found)
        return float(np.std(found, ddof=1) * np.sqrt((1 + 1 / b) * (b - 1) / (b - 3)))


_THINNED: WeakKeyDictionary[OutcomeMatrix, OutcomeMatrix] = WeakKeyDictionary()


def _thinned(matrix: OutcomeMatrix) -> OutcomeMatrix:
    enough = np.flatnonzero(np.mean(matrix.attempts > 0, axis=1) >= 0.5)
    known = np.where(np.isnat(matrix.dates), np.datetime64(0, "s"), matrix.dates)[enough]
    agents = enough[np.sort(np.argsort(known, kind="stable")[-_MOST_AGENTS:])]
    n_tasks = len(matrix.tasks)
    tasks = np.unique(np.linspace(0, n_tasks - 1, min(n_tasks, _MOST_TASKS)).astype(np.int64))
    if agents.size == len(matrix.agents) and tasks.size == n_tasks:
        return matrix
    if matrix not in _THINNED:  # the same object each time, for what is known of it
        _THINNED[matrix] = matrix.select(agents=agents, tasks=tasks)
    return _THINNED[matrix]


def _elsewhere(rule: Rule) -> Rule:
    units = ("usd", "seconds", "tokens")
    if rule.named_agents or any(rule.counts(unit) for unit in units) or not rule.can_claim:
        return RankSettled(rule.confidence)
    return rule


_FOLDS: WeakKeyDictionary[OutcomeMatrix, dict[str, list[Fold]]] = WeakKeyDictionary()
_SHARES: WeakKeyDictionary[OutcomeMatrix, dict[tuple[object, ...], FloatArray]] = (
    WeakKeyDictionary()
)


def _shares(
    matrix: OutcomeMatrix,
    strategy: Strategy,
    mode: str,
    rule: Rule,
    share: float,
    multipliers: FloatArray,
    bound: CalibratedBound,
) -> FloatArray:
    """Replay a benchmark; the same question is answered once.

    Nothing, as an array of size 0, where the strategy cannot order the tasks of the benchmark.
    """
    which = bound.name, bound.predicts
    key = (strategy.name, mode, json.dumps(rule.to_dict()), share, multipliers.size, which)
    known = _SHARES.setdefault(matrix, {})
    if key not in known or strategy.name not in strategies():
        folds = _FOLDS.setdefault(matrix, {})
        if mode not in folds:
            folds[mode] = make_folds(matrix, mode)
        limit: IntArray = np.ceil(np.array(share * len(matrix.tasks))).astype(np.int64)
        try:
            replays = replay_all(
                folds[mode],
                Policy(strategy),
                multipliers,
                rule=rule,
                max_tasks=int(limit) if share < 1.0 else None,
                seed=0,
                bound=bound,
            )
        except PlanError:
            known[key] = np.zeros(0)
        else:
            known[key] = replays.covered.mean(axis=0)
    return known[key]
