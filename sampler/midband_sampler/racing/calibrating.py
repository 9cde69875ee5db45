"""Calibration of a race: races among known agents are replayed to find the required width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler.errors import PlanError
from midband_sampler.model.prediction import PredictionModel
from midband_sampler.racing.allocations.base import Allocation, find_allocation
from midband_sampler.racing.calibration import RaceCalibration
from midband_sampler.racing.claims import EXACT
from midband_sampler.racing.question import Question
from midband_sampler.racing.race import Race
from midband_sampler.racing.race_plan import RacePlan
from midband_sampler.shrinkage import OTHERS_WEIGHT, OtherBenchmarks, interval_multipliers

_DRAWS = 16
_LEAST_HISTORY = 8
_LARGEST = 4.1
_STREAM = 0x7265706C
_TOO_FEW = (
    "{have:.0f} separate replays of such a race are too few for {confidence:.0%}, which needs"
    " {need}"
)


@dataclass(frozen=True, eq=False)
class Replays:
    """Races that were replayed at every width at once.

    Parameters
    ----------
    right : ndarray of bool, shape (n_races, n_widths)
        Whether the answer is right where the race stops at each width.
    cost : ndarray of float64, shape (n_races, n_widths)
        Share of the full price that was then paid.
    regret : ndarray of float64, shape (n_races,)
        Of the answer at the end.
    """

    right: NDArray[np.bool_]
    cost: FloatArray
    regret: FloatArray


def widths_to_try() -> FloatArray:
    """Return the widths, in standard deviations of a difference: .6 to 4 in steps of 3 %."""
    _, widths = interval_multipliers()
    return widths[widths <= _LARGEST]


def draw_races(n_agents: int, count: int, draws: int, rng: np.random.Generator) -> list[IntArray]:
    """Draw who competes: groups of `count` agents, as many as fit without overlap, then anew."""
    found: list[IntArray] = []
    while len(found) < draws:
        mixed = rng.permutation(n_agents)
        for place in range(n_agents // count):
            found.append(np.sort(mixed[place * count : (place + 1) * count]))
            if len(found) == draws:
                break
    return found


_COMPLETE: WeakKeyDictionary[OutcomeMatrix, OutcomeMatrix] = WeakKeyDictionary()


def complete_agents(matrix: OutcomeMatrix) -> OutcomeMatrix:
    """Keep the agents and tasks whose truth is known.

    Tasks that fewer than nine of ten agents ran are left out, then the agents that lack one. The
    same matrix gives the same object each time.
    """
    if matrix not in _COMPLETE:
        _COMPLETE[matrix] = _complete_part(matrix)
    return _COMPLETE[matrix]


def _complete_part(matrix: OutcomeMatrix) -> OutcomeMatrix:
    ran = matrix.attempts > 0
    most = ran.mean(axis=1) >= 0.5
    tasks = ran[most].sum(axis=0) >= 0.9 * max(int(most.sum()), 1) - 1e-9
    agents = np.asarray(ran[:, tasks].all(axis=1) & tasks.any())
    if agents.all() and tasks.all():
        return matrix
    return matrix.select(agents=agents, tasks=tasks)


def replay_widths(
    matrix: OutcomeMatrix,
    races: Sequence[IntArray],
    *,
    question: Question,
    allocation: Allocation,
    share: float | None,
    seed: int,
) -> Replays:
    """Race groups of a benchmark's agents, the others being the history.

    A race is replayed without a stop. At each round it notes how sure its least sure pair is and
    whether its answer is right; so one replay shows where the race would stop at every width.

    Parameters
    ----------
    matrix : OutcomeMatrix
        Of agents that ran everything.
    races : sequence of ndarray of int64
        Rows of those who compete.
    question : Question
    allocation : Allocation
    share : float or None
        Share of the full price that may be paid; None for all.
    seed : int
    """
    widths = widths_to_try()
    everyone = np.arange(len(matrix.agents))
    right = np.zeros((len(races), widths.size), dtype=bool)
    cost, regret = np.zeros((len(races), widths.size)), np.zeros(len(races))
    for place, rows in enumerate(races):
        history = matrix.select(agents=np.setdiff1d(everyone, rows))
        names = tuple(matrix.agents[row] for row in rows)
        plan = RacePlan(
            benchmark=matrix.benchmark,
            candidates=names,
            question=question,
            allocation=allocation,
            budget=share,
            tasks=matrix.tasks,
            model=PredictionModel.fit(history),
            calibration=RaceCalibration(),
            seed=seed,
        )
        right[place], cost[place], regret[place] = _follow(plan, matrix.scores[rows], widths)
    return Replays(right, cost, regret)


def _follow(
    plan: RacePlan, scores: FloatArray, widths: FloatArray
) -> tuple[NDArray[np.bool_], FloatArray, float]:
    """Replay one race, and say where it would stop at each width."""
    race = Race(plan)
    question, truth = plan.question, scores.mean(axis=1)
    right: NDArray[np.bool_] = np.zeros(widths.size, dtype=bool)
    cost = np.ones(widths.size)
    reached = 0
    while not race.done:
        _, _, pairs = race.waits()
        first, second = np.array(pairs).T
        least = float(race.claims.sureness()[first, second].min())
        now = int(np.searchsorted(widths, least, side="right"))
        if now > reached:
            right[reached:now] = question.right(race.judge()[2].best, truth)
            cost[reached:now] = race.results / max(plan.full, 1)
            reached = now
        if reached == widths.size:
            break
        rows, tasks = race.jobs
        race.tell_all(rows, tasks, scores[rows, tasks])
    best = race.judge()[2].best
    right[reached:] = question.right(best, truth)
    cost[reached:] = race.results / max(plan.full, 1)
    return right, cost, float(question.regret(best, truth))


def calibrate(
    history: OutcomeMatrix,
    others: Sequence[OutcomeMatrix],
    *,
    count: int,
    question: Question,
    allocation: Allocation,
    share: float | None,
    seed: int,
    draws: int = _DRAWS,
) -> RaceCalibration:
    """Find the width that a claim needs, and what a race costs, from replayed races.

    With p(w) the share of this benchmark's replays that are right at width w, n the number of
    races that can be of different candidates, and q(w) the mean share on the other benchmarks,
    which counts as k replays, the width is the smallest from which on
    n p(w) + k q(w) >= confidence (n + k + 1), as in `midband_sampler.shrinkage.narrowest`; k is 20,
    or the number of races that can be of different agents there where it is less. With n + k below
    confidence / (1 - confidence) no width does, and the race rests on exact bounds.

    Parameters
    ----------
    history : OutcomeMatrix
        Without the candidates.
    others : sequence of OutcomeMatrix
    count : int
        Candidates of the race.
    question : Question
    allocation : Allocation
        For a question with a confidence `contested` is replayed in its place: the same path then
        serves all widths.
    share : float or None
        Share of the full price that may be paid.
    seed : int
    draws : int
        Races to replay on this benchmark at least; more where more can be of different candidates.
    """
    named = question.calibrated_as(count)
    if named is None:
        return RaceCalibration()
    confidence = question.confidence
    matrix = complete_agents(history)
    others = OtherBenchmarks.of([complete_agents(each) for each in others]).matrices
    size, separate = _size(len(matrix.agents), count, named, confidence, bool(others))
    followed = allocation if confidence is None else find_allocation("contested")
    limit = share if confidence is None else None
    own: Replays | None = None
    if size:
        rng = np.random.default_rng([seed, _STREAM])
        races = draw_races(len(matrix.agents), size, max(draws, separate), rng)
        asked = named.scaled(size, count)
        own = _replays(matrix, races, asked, followed, limit, seed)
    found, apart = [], 0
    for each in others:
        small, possible = _size(len(each.agents), count, named, None, others=True)
        if small:
            rng = np.random.default_rng([0, _STREAM])
            races = draw_races(len(each.agents), small, max(6, len(each.agents) // small), rng)
            replays = _elsewhere(each, races, named.scaled(small, count), followed, limit)
            if replays is not None:
                found.append(replays)
                apart += possible
    return _summarise(
        own,
        found,
        separate=separate,
        elsewhere=min(OTHERS_WEIGHT, float(apart)),
        size=size,
        count=count,
        confidence=confidence,
    )


def _size(
    n_agents: int, count: int, question: Question, confidence: float | None, others: bool
) -> tuple[int, int]:
    """Return how many candidates a replay has, 0 where there can be none, and how many separate."""
    spare = n_agents - _LEAST_HISTORY
    size = min(count, spare)
    if confidence is not None and not others:
        needed = math.ceil(confidence / (1.0 - confidence) - 1e-9)
        size = min(size, n_agents // needed)
        if size < max(math.ceil(count / 2), question.keep + 1, 2):
            return 0, n_agents // max(count, 1)
    elif others:
        size = min(size, max(n_agents // 3, question.keep + 1))
    if size < max(2, question.keep + 1):
        return 0, 0
    return size, n_agents // size


_KNOWN: WeakKeyDictionary[OutcomeMatrix, dict[tuple[object, ...], Replays | None]] = (
    WeakKeyDictionary()
)


def _replays(
    matrix: OutcomeMatrix,
    races: Sequence[IntArray],
    question: Question,
    allocation: Allocation,
    share: float | None,
    seed: int,
) -> Replays | None:
    try:
        return replay_widths(
            matrix, races, question=question, allocation=allocation, share=share, seed=seed
        )
    except PlanError:
        return None


def _elsewhere(
    matrix: OutcomeMatrix,
    races: Sequence[IntArray],
    question: Question,
    allocation: Allocation,
    share: float | None,
) -> Replays | None:
    """Replay another benchmark; the same question is answered once."""
    key = (question.text, allocation.name, share, len(races), races[0].size)
    known = _KNOWN.setdefault(matrix, {})
    if key not in known:
        known[key] = _replays(matrix, races, question, allocation, share, 0)
    return known[key]


def _summarise(
    own: Replays | None,
    others: Sequence[Replays],
    *,
    separate: int,
    elsewhere: float,
    size: int,
    count: int,
    confidence: float | None,
) -> RaceCalibration:
    """Put both together; `separate` and `elsewhere` are n and k of `calibrate`."""
    widths = widths_to_try()
    n, weight = (separate if own else 0), elsewhere
    replays = 0 if own is None else len(own.right)
    shares = np.zeros(widths.size)
    if own is not None:
        shares += n * own.right.mean(axis=0)
    if others:
        shares += weight * np.mean([each.right.mean(axis=0) for each in others], axis=0)
    told = own if own is not None else (others[0] if others else None)
    base = RaceCalibration(replays=replays, separate=n, candidates=size, benchmarks=len(others))
    total = n + weight
    if told is None or not total:
        return replace(base, guarantee=f"{EXACT} (the history has too few agents to replay)")
    if confidence is None:
        both = [own] if own is not None else list(others)
        return replace(
            base,
            right=float(shares[-1] / total),
            regret=float(np.mean([each.regret.mean() for each in both])),
            costs=_spread(told.cost[:, -1]),
        )
    fails = np.flatnonzero(shares < confidence * (total + 1.0) - 1e-9)
    place = int(fails.max()) + 1 if fails.size else 0
    if place == widths.size:
        needed = math.ceil(confidence / (1.0 - confidence) - 1e-9)
        why = _TOO_FEW.format(have=total, confidence=confidence, need=needed)
        if total >= needed:
            why = "replayed races on the history were not right often enough at any width"
        return replace(base, guarantee=f"{EXACT} ({why})")
    beside = f" and {len(others)} other benchmarks" if others else ""
    smaller = f", fewer than the {count} of this race" if size < count else ""
    return replace(
        base,
        width=float(widths[place]),
        right=float(shares[place] / total),
        costs=_spread(told.cost[:, place]),
        guarantee=(
            f"calibrated by {replays} replayed races of {size} agents of the history"
            f"{beside}{smaller}"
            if own is not None
            else f"calibrated by replayed races of {len(others)} other benchmarks"
        ),
    )


def _spread(costs: FloatArray) -> tuple[float, float, float]:
    low, high = np.quantile(costs, [0.1, 0.9])
    return float(low), float(costs.mean()), float(high)
