"""The course of a run: its plan, told the results again, and what was known after each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from midband.report.sources import RunResults, known_sum
from midband.rounds.journal import AttemptResult, by_task
from midband_history import FloatArray

if TYPE_CHECKING:
    from midband_sampler import Decision, Plan

# A longer run is looked at this often, at even distances, and at its end.
MOST_LOOKS = 400
_COMPARED = ("stop", "reason", "rank", "low", "high", "tasks_run", "results", "errors")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was known after some tasks.

    Parameters
    ----------
    tasks : int
        Judged so far.
    rank : int or None
    low, high : int
    score, score_low, score_high : float
        Estimated score on the target and its bounds; NaN while too little is known.
    usd : float
        Spent on the judged tasks, US dollars; NaN where not known.
    """

    tasks: int
    rank: int | None
    low: int
    high: int
    score: float
    score_low: float
    score_high: float
    usd: float


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """What became of a task that was started.

    Parameters
    ----------
    task : str
    place : int
        In the order in which the results are judged, from 1.
    score : float
        Mean of its attempts with a result; NaN without any.
    kinds : tuple of str
        Of its attempts, as in `Record`.
    predicted : float
        What the response model expected just before the result came; NaN without a model.
    pass_rate : float
        Mean score of the reference agents; NaN where none ran it.
    usd, seconds, tokens : float
        Of all its attempts; NaN where not known.
    judged : bool
        Whether the decision rests on it; a task that was under way at the stop is not judged.
    """

    task: str
    place: int
    score: float
    kinds: tuple[str, ...]
    predicted: float
    pass_rate: float
    usd: float
    seconds: float
    tokens: float
    judged: bool

    @property
    def outcome(self) -> str:
        """Return the outcome in words."""
        if math.isnan(self.score):
            found = "; ".join(dict.fromkeys(_KINDS.get(kind, kind) for kind in self.kinds))
            return f"no result ({found})"
        if len(self.kinds) == 1 and self.score in (0.0, 1.0):
            return "passed" if self.score else "failed"
        return f"{self.score:.4g}"


_KINDS = {
    "valid": "no score",
    "infra_error": "infrastructure error",
    "grader_error": "error of the grader",
    "cancelled": "cancelled",
    "missing": "missing",
}


@dataclass(frozen=True, kw_only=True)
class Money:
    """What a run cost, US dollars; NaN where not known.

    Parameters
    ----------
    recorded : float
        What was recorded.
    spent : float
        The same with an expected cost for each attempt that recorded none.
    left : float
        Expected cost of the tasks of the benchmark that did not run.
    """

    recorded: float
    spent: float
    left: float

    @property
    def whole(self) -> float:
        """Return what a full run would have cost."""
        return self.spent + self.left

    @property
    def is_guessed(self) -> bool:
        """Whether a part of what was spent is expected and not recorded."""
        return math.isnan(self.recorded) or self.spent > self.recorded + 0.005


@dataclass(frozen=True, kw_only=True)
class Course:
    """A run, gone through again.

    Parameters
    ----------
    decision : Decision
        At its end.
    looks : tuple of Look
    runs : tuple of TaskRun
        Tasks that were started and told, in the order in which they are judged.
    money : Money
    differences : tuple of str
        How the verdict that the run stated differs from the one that was found again.
    pass_rates : ndarray of float64, shape (n_all_tasks,)
        Mean score of the reference agents; NaN where none ran the task.
    plan : Plan
        As it was run: its fixed order where the run chose nothing.
    """

    decision: "Decision"
    looks: tuple[Look, ...]
    runs: tuple[TaskRun, ...]
    money: Money
    differences: tuple[str, ...]
    pass_rates: FloatArray
    plan: "Plan"


def follow(found: RunResults) -> Course:
    """Tell a new session the results one after the other, and keep what it says in between.

    Tasks are told in the order in which the session judges them, so that each result moves the
    interval once. The prediction of a task is the one before its own result.
    """
    from midband_sampler import Session

    live = found.started is not None
    session = Session(found.plan, live=live, max_errors=found.max_errors)
    plan = session.plan
    for task in found.started or ():
        session.start(task)
    told = by_task(found.results)
    order = _order(found, plan, told)
    every = max(1, math.ceil(len(order) / MOST_LOOKS))
    pass_rates = _pass_rates(plan)
    column = {task: place for place, task in enumerate(plan.all_tasks)}
    posterior = None if plan.model is None else plan.model.predict()
    looks: list[Look] = []
    runs: list[TaskRun] = []
    for number, task in enumerate(order, start=1):
        before = session.tasks_run
        was_over = session.done
        for each in told.get(task, ()):
            session.tell(
                task,
                score=each.score,
                outcome=each.kind,
                usd=each.cost_usd,
                seconds=each.seconds,
                tokens=each.tokens,
            )
        if task not in told:
            session.tell(task, outcome="missing", usd=0.0, seconds=0.0, tokens=0.0)
        stopped = session.done
        place, scores = column[task], [each.score for each in told.get(task, ())]
        score = _mean([each for each in scores if each is not None])
        predicted = math.nan
        if posterior is not None:
            predicted = float(posterior.predicted()[0, place])
            posterior.observe_one(0, place, score)
        if task in told:
            runs.append(
                TaskRun(
                    task=task,
                    place=number,
                    score=score,
                    kinds=tuple(each.kind for each in told[task]),
                    predicted=predicted,
                    pass_rate=float(pass_rates[place]),
                    usd=known_sum([each.cost_usd for each in told[task]]),
                    seconds=known_sum([each.seconds for each in told[task]]),
                    tokens=known_sum([each.tokens for each in told[task]]),
                    judged=not was_over and session.tasks_run > before,
                )
            )
        moved = not was_over and session.tasks_run > before
        if moved and (number % every == 0 or stopped or number == len(order)):
            looks.append(_look(session.decision()))
    decision = session.decision()
    return Course(
        decision=decision,
        looks=tuple(looks),
        runs=tuple(runs),
        money=_money(found, plan),
        differences=_differences(found.recorded, decision),
        pass_rates=pass_rates,
        plan=plan,
    )


def _order(found: RunResults, plan: "Plan", told: Mapping[str, object]) -> list[str]:
    """Return the tasks to tell, in the order in which a session judges them."""
    if found.started is None:
        return [task for task in plan.tasks if task in told]
    chosen = [task for task in found.started if task in told or task in found.unlogged]
    known = set(found.started)
    return [task for task in plan.tasks if task in told and task not in known] + chosen


def _look(decision: "Decision") -> Look:
    return Look(
        tasks=decision.tasks_run,
        rank=decision.rank,
        low=decision.low,
        high=decision.high,
        score=decision.target_score,
        score_low=decision.target_score_low,
        score_high=decision.target_score_high,
        usd=decision.spent_usd,
    )


def _pass_rates(plan: "Plan") -> FloatArray:
    known = ~np.isnan(plan.reference_scores)
    total = np.where(known, plan.reference_scores, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _money(found: RunResults, plan: "Plan") -> Money:
    """Add up costs; what was not recorded is expected to cost what the history says of its task."""
    expected = dict(zip(plan.all_tasks, plan.expected_cost_usd.tolist(), strict=True))
    typical = _mean([each for each in expected.values() if not math.isnan(each)])
    paid = [each for each in found.results if each.task not in found.free]
    recorded = known_sum([each.cost_usd for each in paid])
    if found.extra_usd:
        recorded = found.extra_usd + (0.0 if math.isnan(recorded) else recorded)

    def guess(task: str) -> float:
        cost = expected.get(task, math.nan)
        return typical if math.isnan(cost) else cost

    uncosted = [guess(each.task) for each in paid if _has_unknown_cost(each)]
    spent = recorded
    if uncosted:
        spent = math.fsum(uncosted) + (0.0 if math.isnan(recorded) else recorded)
    elif math.isnan(recorded):
        spent = 0.0 if not paid and not math.isnan(typical) else math.nan
    run = {each.task for each in found.results}
    left = math.fsum(guess(task) for task in plan.all_tasks if task not in run)
    return Money(recorded=recorded, spent=spent, left=left)


def _has_unknown_cost(result: AttemptResult) -> bool:
    """Whether an attempt cost something that is not known; one that is missing never ran."""
    return result.cost_usd is None and result.kind != "missing"


def _differences(recorded: Mapping[str, object] | None, decision: "Decision") -> tuple[str, ...]:
    """Compare the verdict that a run stated with the one that was found again."""
    if recorded is None or "low" not in recorded:
        return ()
    return tuple(
        f"{name.replace('_', ' ')}: {recorded[name]} stated, {getattr(decision, name)} found"
        for name in _COMPARED
        if name in recorded and recorded[name] != getattr(decision, name)
    )
