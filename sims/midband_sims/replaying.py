"""Replay: one recorded agent plays the new one, against the very session of a live run."""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler import (
    ALL_RUN,
    Plan,
    Policy,
    Recorded,
    SequentialRankBounds,
    Session,
    find_strategy,
    replay_order,
    start_kernel,
)
from midband_sampler import replay as replay_tasks
from midband_sims.measures import pairwise_counts, tied_rank
from midband_sims.protocols import Candidate

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
RANDOM = "random"
TRACKED_LOOKS = 20


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Result of one replay; unknown numbers are NaN.

    Parameters
    ----------
    candidate, reason : str
    n_reference, tasks_planned, tasks_run, tasks_total : int
        `tasks_run` counts every task that was started.
    conclusive : bool
        Whether the stopping rule, and not the end of the plan, ended the run.
    rank, low, high : int
        Of the decision.
    true_low, true_high : int
        The tied range of ranks of the candidate's full score among the reference agents.
    planned_low, planned_high : int
        The same by the mean over the planned tasks: the target that a decision inside a band names.
    score, true_score : float
        Mean over the tasks run; full score.
    pairs_right, pairs_total : tuple of float, length 4
        See `pairwise_counts`.
    full_score, full_score_low, full_score_high : float
        Estimate of the full score, where the session gives one.
    cost_usd, cost_full_usd : float
        Of the tasks started, and of all tasks.
    cost_basis : str
    seconds : float
        Simulated wall-clock duration; NaN unless durations are recorded.
    widths : tuple of (float, float)
        Share of all tasks run, and interval width as a share of the ranks, along the run.
    """

    candidate: str
    reason: str
    n_reference: int
    tasks_planned: int
    tasks_run: int
    tasks_total: int
    conclusive: bool
    rank: int
    low: int
    high: int
    true_low: int
    true_high: int
    planned_low: int
    planned_high: int
    score: float
    true_score: float
    pairs_right: tuple[float, ...]
    pairs_total: tuple[float, ...]
    full_score: float
    full_score_low: float
    full_score_high: float
    cost_usd: float
    cost_full_usd: float
    cost_basis: str
    seconds: float
    widths: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Ending:
    """How a run ended; the parts of a `Decision` that studies need.

    Parameters
    ----------
    started : ndarray of int64
        Positions of the tasks that were started, in order.
    reason : str
    conclusive : bool
        Whether the stopping rule claimed something.
    rank, low, high : int
    full_score : tuple of float, length 3
        Estimate of the full score and its bounds; NaN where the decision is not about it.
    clock : float
        When the last task completed.
    widths : tuple of (float, float)
        Share of all tasks run, and interval width as a share of the ranks.
    """

    started: IntArray
    reason: str
    conclusive: bool
    rank: int
    low: int
    high: int
    full_score: tuple[float, float, float]
    clock: float
    widths: tuple[tuple[float, float], ...] = ()


def replay(
    plan: Plan,
    candidate: Candidate,
    *,
    in_flight: int = 1,
    resamples: int = 2000,
    bounds: SequentialRankBounds | None = None,
    reference_truth: Mapping[str, float] | None = None,
    track: bool = False,
    by_session: bool = False,
) -> Replay:
    """Run a plan to its decision on recorded outcomes.

    Parameters
    ----------
    plan : Plan
        Its `all_tasks` are the columns of the candidate's arrays.
    candidate : Candidate
    in_flight : int
        Tasks that run at once. They complete by their recorded durations (a task without one takes
        the median of the others, or 1 where none is known); ties complete in the started order.
    resamples : int
        Of the session.
    bounds : SequentialRankBounds, optional
        Those of a kernel of this plan, to be used again for many replays.
    reference_truth : mapping, optional
        Full score by reference agent, where more is known of it than the plan was told; by default
        see `true_references`.
    track : bool
        Record the interval width along the run.
    by_session : bool
        Drive a `Session` although one task in flight needs none (same verdicts).
    """
    if in_flight < 1:
        msg = f"expected in_flight >= 1, got {in_flight}"
        raise InputError(msg)
    columns = plan.columns
    looks = _tracked(len(plan.tasks)) if track else ()
    durations = _filled(candidate.duration_s)
    by_session |= in_flight > 1 or plan.attempts is not None or plan.estimator != "auto"
    if by_session:
        ending = _drive(
            plan, candidate, durations, in_flight=in_flight, resamples=resamples, looks=looks
        )
    else:
        ending = _step_through(plan, candidate, columns, durations, looks, bounds)
    return _judged(plan, candidate, ending, columns, reference_truth)


def _step_through(
    plan: Plan,
    candidate: Candidate,
    columns: IntArray,
    durations: FloatArray,
    looks: Sequence[int],
    bounds: SequentialRankBounds | None,
) -> Ending:
    """Step the kernel itself, with one task in flight."""
    kernel = start_kernel(plan, never_run=True, absent=_absent(plan, candidate), bounds=bounds)
    usd, expected = candidate.cost_usd, plan.expected_cost_usd
    recorded = Recorded(
        scores=candidate.scores[None],
        usd=np.where(np.isnan(usd), expected, usd)[None],
        seconds=candidate.duration_s[None],
    )
    posterior = kernel.bounds.posterior
    widths = []
    if posterior is None:
        whole = replay_order(kernel, recorded, order=columns[: kernel.limit])
        last = int(np.argmax(whole.ends))
        started, step = columns[: last + 1], whole.at(last)
        wide = whole.interval
        if wide is not None:
            reached = [look for look in looks if look <= last + 1]
            widths = [
                _width(plan, look, wide.high[look - 1] - wide.low[look - 1]) for look in reached
            ]
    else:
        policy = plan.policy() or Policy(find_strategy(RANDOM))
        tasks = []
        for chosen, step in replay_tasks(
            kernel, policy, recorded, order=columns, posterior=posterior
        ):
            tasks.append(int(chosen[0]))
            if len(tasks) in looks:
                now = step.interval or kernel.interval()
                widths.append(_width(plan, len(tasks), (now.high - now.low).item()))
        started = np.array(tasks, dtype=np.int64)
    if step.interval is None:
        msg = f"expected the last step of a run to be bounded, got none after {started.size}"
        raise RuntimeError(msg)
    found = step.interval
    seen = step.snapshot if step.settled else None
    whole_benchmark = plan.target == "full benchmark"
    full = (found.score, found.score_low, found.score_high) if whole_benchmark else (math.nan,) * 3
    return Ending(
        started=started,
        reason=ALL_RUN if seen is None else plan.stop.reason(seen),
        conclusive=seen is not None and bool(plan.stop.claims(seen)),
        rank=int(found.rank),
        low=int(found.low),
        high=int(found.high),
        full_score=(float(full[0]), float(full[1]), float(full[2])),
        clock=float(np.cumsum(durations[started])[-1]),  # summed in the session's order
        widths=tuple(widths),
    )


def _absent(plan: Plan, candidate: Candidate) -> tuple[str, ...]:
    """Tasks that the recorded agent never ran: they are in no target of its replay."""
    missing = np.flatnonzero(np.isnan(candidate.scores))
    return tuple(plan.all_tasks[place] for place in missing)


def _width(plan: Plan, look: int, ranks: float) -> tuple[float, float]:
    return look / len(plan.all_tasks), float(ranks) / (len(plan.reference_agents) + 1)


def _drive(
    plan: Plan,
    candidate: Candidate,
    durations: FloatArray,
    *,
    in_flight: int,
    resamples: int,
    looks: Sequence[int],
) -> Ending:
    """Drive a real session as an event simulation."""
    session = Session(plan, resamples=resamples, never_run=True, absent=_absent(plan, candidate))
    column = {task: place for place, task in enumerate(plan.all_tasks)}
    running: list[tuple[float, int, str]] = []
    started: list[int] = []
    widths: list[tuple[float, float]] = []
    waiting = list(looks)
    made: dict[int, int] = {}
    most = candidate.attempts.shape[1]
    clock = 0.0
    while True:
        free = in_flight - len(running)
        for task in session.ask(free) if free else []:
            heapq.heappush(running, (clock + durations[column[task]], len(started), task))
            started.append(column[task])
        if not running:
            break
        clock, _, task = heapq.heappop(running)
        place = column[task]
        score = float(candidate.scores[place])
        if plan.attempts is not None:
            told = made.get(place, 0)
            made[place] = told + 1
            score = float(candidate.attempts[place, told]) if told < most else math.nan
        session.tell(
            task,
            score=score,
            outcome="missing" if math.isnan(score) else "valid",
            usd=float(candidate.cost_usd[place]),
            seconds=float(candidate.duration_s[place]),
        )
        ended = session.done
        if waiting and session.tasks_run >= waiting[0]:
            decision = session.decision()
            waiting = [look for look in waiting if look > decision.tasks_run]
            width = (decision.high - decision.low) / (decision.n_reference + 1)
            widths.append((decision.tasks_run / decision.tasks_total, width))
        if ended:
            break
    decision = session.decision()
    return Ending(
        started=np.array(started, dtype=np.int64),
        reason=decision.reason,
        conclusive=bool(decision.claims),
        rank=1 if decision.rank is None else decision.rank,
        low=decision.low,
        high=decision.high,
        full_score=(decision.full_score, decision.full_score_low, decision.full_score_high),
        clock=clock,
        widths=tuple(widths),
    )


def _judged(
    plan: Plan,
    candidate: Candidate,
    ending: Ending,
    planned: IntArray,
    reference_truth: Mapping[str, float] | None,
) -> Replay:
    started, full = ending.started, ending.full_score
    true_reference = true_references(plan, candidate)
    if reference_truth is not None:
        true_reference = np.array([reference_truth[name] for name in plan.reference_agents])
    true_low, true_high = tied_rank(candidate.truth, true_reference)
    difference = _paired(candidate.scores, plan.reference_scores, planned)
    planned_low, planned_high = tied_rank(0.0, -difference)
    predicted = plan.predicts
    right, total = pairwise_counts(
        candidate=full[0] if predicted else 0.0,
        references=true_reference
        if predicted
        else -_paired(candidate.scores, plan.reference_scores, started),
        true_candidate=candidate.truth,
        true_references=true_reference,
    )
    ran = started[~np.isnan(candidate.scores[started])]
    available = ~np.isnan(candidate.scores)
    return Replay(
        candidate=candidate.name,
        reason=ending.reason,
        n_reference=len(plan.reference_agents),
        tasks_planned=len(plan.tasks),
        tasks_run=started.size,
        tasks_total=len(plan.all_tasks),
        conclusive=ending.conclusive,
        rank=ending.rank,
        low=ending.low,
        high=ending.high,
        true_low=true_low,
        true_high=true_high,
        planned_low=planned_low,
        planned_high=planned_high,
        score=float(candidate.scores[ran].mean()) if ran.size else math.nan,
        true_score=candidate.truth,
        pairs_right=tuple(right.tolist()),
        pairs_total=tuple(total.tolist()),
        full_score=full[0],
        full_score_low=full[1],
        full_score_high=full[2],
        cost_usd=float(np.sum(candidate.cost_usd[ran])) if ran.size else math.nan,
        cost_full_usd=float(np.sum(candidate.cost_usd[available])),
        cost_basis=candidate.cost_basis,
        seconds=math.nan if np.isnan(candidate.duration_s).all() else ending.clock,
        widths=ending.widths,
    )


def true_references(plan: Plan, candidate: Candidate) -> FloatArray:
    """Score of each reference that a candidate's truth is compared with, shape (n_reference,).

    The mean over the tasks that the candidate ran. Results that a reference lacks there are
    predicted by the plan's model. Without a model such a reference is compared on the tasks that
    both ran: its score is the candidate's truth less their mean difference there.
    """
    ran = ~np.isnan(candidate.scores)
    means, _ = plan.scores_on(ran)
    if plan.model is not None:
        return means
    lacking = np.isnan(plan.reference_scores[:, ran]).any(axis=1)
    difference = _paired(candidate.scores, plan.reference_scores, np.flatnonzero(ran))
    return np.where(lacking, candidate.truth - difference, means)


def _paired(scores: FloatArray, reference: FloatArray, tasks: NDArray[np.int64]) -> FloatArray:
    """Mean paired difference to each reference on some tasks; NaN without a common task."""
    difference = scores[tasks] - reference[:, tasks]
    known = ~np.isnan(difference)
    count = known.sum(axis=1)
    total = np.where(known, difference, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def _filled(durations: FloatArray) -> FloatArray:
    known = durations[~np.isnan(durations)]
    middle = float(np.median(known)) if known.size else 1.0
    return np.where(np.isnan(durations), middle, durations)


def _tracked(planned: int) -> tuple[int, ...]:
    looks = np.unique(np.ceil(np.linspace(0, planned, TRACKED_LOOKS + 1)[1:]).astype(int))
    return tuple(int(look) for look in looks)
