"""The verdict on finished runs: recorded results told to the session that a live run drives."""

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from midband_history import InputError, Metric
from midband_sampler import DigestMismatchError, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from midband_history import Record
    from midband_sampler import Decision, MaxErrors, Plan


_Attempt = tuple[str, str, str, int]  # agent, run id, task id, number

UNIT_METRIC = Metric(name="score in [0, 1]", declared="source")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one agent, from its finished results.

    Parameters
    ----------
    agent : str
    decision : Decision
    ignored : int
        Results on tasks that the plan does not hold.
    unjudged : int
        Planned tasks with a result that are not judged, since `missing` comes before them.
    missing : str
        The first task in order without a result, where it keeps others from being judged.
    """

    agent: str
    decision: "Decision"
    ignored: int
    unjudged: int = 0
    missing: str = ""


@dataclass(kw_only=True)
class Told:
    """What the session of one agent was told, for whoever wants to tell it again.

    Parameters
    ----------
    live : bool
        Whether it was judged in the order that the run chose.
    records : list of Record
        In the order in which they were told, by the metric of the plan; planned tasks alone.
    started, unlogged : tuple of str
        As in `LiveOrder`.
    """

    live: bool
    records: "list[Record]" = field(default_factory=list)
    started: tuple[str, ...] = ()
    unlogged: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LiveOrder:
    """What a run that chose its tasks while it went on says of itself.

    Parameters
    ----------
    tasks : tuple of str
        In the order of their start.
    unlogged : tuple of str
        Those among them that never ran: no information, at no cost.
    """

    tasks: tuple[str, ...]
    unlogged: tuple[str, ...] = ()


def rank_records(
    plan: "Plan",
    records: "Iterable[Record]",
    *,
    allow_changed: bool = False,
    versus: "Sequence[str]" = (),
    orders: "Mapping[str, LiveOrder] | None" = None,
    max_errors: "MaxErrors | None" = None,
    kept: "dict[str, Told] | None" = None,
) -> list[Verdict]:
    """Rank every agent in the records by the plan, in the order of first appearance.

    By a plan that chooses live, a run is judged in the order that it chose where this is known,
    and else in the plan's fixed order. An attempt that ended without a result and was made good
    later, under one run id and attempt number, counts as the later one.

    Parameters
    ----------
    plan : Plan
    records : iterable of Record
        An attempt that stands in two sources under one `source_key` counts once.
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.
    versus : sequence of str
        Reference agents whose comparison each decision shows.
    orders : mapping of str to LiveOrder, optional
        By the run ids of records. An agent's first run decides in which way it is judged.
    max_errors : MaxErrors, optional
        As for `Session`.
    kept : dict of str to Told, optional
        Filled with what each agent's session was told.

    Raises
    ------
    InputError
        The results are of another benchmark or by another metric than the plan.
    DigestMismatchError
        A task's content has changed since the plan was made.
    """
    sessions: dict[str, Session] = {}
    ignored: dict[str, int] = {}
    told: dict[str, set[str]] = {}
    kept = {} if kept is None else kept
    seen: set[str] = set()
    begun: set[tuple[str, str]] = set()
    planned = set(plan.tasks)
    by_content = _by_content(plan)
    usable: set[_Attempt] = set()
    in_vain: dict[_Attempt, Record] = {}
    for record in records:
        if record.benchmark != plan.benchmark:
            msg = (
                f"expected results of {plan.benchmark!r}, for which the plan was made,"
                f" got results of {record.benchmark!r}: use the plan of that benchmark"
                " (or name theirs with --benchmark if they are the same)"
            )
            raise InputError(msg)
        if record.source_key and record.source_key in seen:
            continue
        seen.add(record.source_key)
        record = replace(
            record,
            task_id=by_content.get(record.task_digest, record.task_id)
            if record.task_id == record.task_digest
            else record.task_id,
            score=score_by(plan, record),
            metric=UNIT_METRIC,
        )
        _check_digest(plan, record, allow_changed=allow_changed)
        order = (orders or {}).get(record.run_id)
        if record.agent not in sessions:
            sessions[record.agent] = Session(
                plan, versus=versus, live=order is not None, max_errors=max_errors
            )
            told[record.agent] = set()
            kept[record.agent] = Told(live=order is not None)
        session = sessions[record.agent]
        if order is not None and (record.agent, record.run_id) not in begun:
            begun.add((record.agent, record.run_id))
            kept[record.agent].started += order.tasks
            kept[record.agent].unlogged += order.unlogged
            for task in order.tasks:
                session.start(task)
            for task in order.unlogged:
                session.tell(task, outcome="missing", usd=0.0, seconds=0.0, tokens=0.0)
        if record.task_id in planned:
            told[record.agent].add(record.task_id)
            key = (record.agent, record.run_id, record.task_id, record.attempt)
            if record.kind == "valid" and record.score is not None:
                usable.add(key)
            elif record.run_id:
                in_vain.setdefault(key, record)
                continue
            _tell(session, record, kept[record.agent])
        else:
            ignored[record.agent] = ignored.get(record.agent, 0) + 1
    for key, record in in_vain.items():
        if key not in usable:
            _tell(sessions[record.agent], record, kept[record.agent])
    return [
        _verdict(agent, session, told[agent], ignored.get(agent, 0))
        for agent, session in sessions.items()
    ]


def _by_content(plan: "Plan") -> dict[str, str]:
    """Return the task of each content that only one task has."""
    tasks: dict[str, list[str]] = {}
    for task, digest in plan.task_digests.items():
        tasks.setdefault(digest, []).append(task)
    return {digest: found[0] for digest, found in tasks.items() if digest and len(found) == 1}


def _tell(session: Session, record: "Record", kept: Told) -> None:
    kept.records.append(record)
    session.tell(
        record.task_id,
        score=record.score,
        outcome=record.kind,
        usd=record.cost_usd,
        seconds=record.duration_s,
        tokens=record.tokens,
    )


def _verdict(agent: str, session: Session, told: set[str], ignored: int) -> Verdict:
    decision = session.decision()
    order = session.plan.tasks
    first = next((place for place, task in enumerate(order) if task not in told), len(order))
    if decision.stop or session.plan.chooses_live or first >= len(told):
        return Verdict(agent=agent, decision=decision, ignored=ignored)
    return Verdict(
        agent=agent,
        decision=decision,
        ignored=ignored,
        unjudged=len(told) - first,
        missing=order[first],
    )


@dataclass(frozen=True, kw_only=True)
class RankSet:
    """Where one agent may rank, right for all agents at once.

    Parameters
    ----------
    agent : str
    low, high : int
        1 = best.
    score : float
        Mean score on the tasks that it ran.
    """

    agent: str
    low: int
    high: int
    score: float


def rank_everyone(
    plan: "Plan",
    records: "Iterable[Record]" = (),
    *,
    confidence: float,
    allow_changed: bool = False,
) -> tuple[list[RankSet], tuple[str, ...]]:
    """Bound the rank of every reference agent, and of agents in the records that ran everything.

    Agents that ran a part, or stopped early, stay out: how much they ran may depend on their
    results, which these sets do not allow for.

    Parameters
    ----------
    plan : Plan
    records : iterable of Record
    confidence : float
        Chance that all the sets cover at once.
    allow_changed : bool
        As for `rank_records`.

    Returns
    -------
    sets : list of RankSet
        The best first; ties in the order of the plan.
    left_out : tuple of str
        Agents in the records that did not run every task, or are in the plan already.
    """
    import numpy as np

    from midband_history import OutcomeMatrix
    from midband_sampler import rank_sets

    column = {task: place for place, task in enumerate(plan.all_tasks)}
    told: dict[str, list[list[float]]] = {}
    for record in records:
        if record.benchmark == plan.benchmark and record.task_id in column:
            _check_digest(plan, record, allow_changed=allow_changed)
            cells = told.setdefault(record.agent, [[] for _ in column])
            cells[column[record.task_id]].append(
                float("nan") if (score := score_by(plan, record)) is None else score
            )
    whole = {
        agent: np.array([_mean_known(cell) for cell in cells])
        for agent, cells in told.items()
        if all(cells) and agent not in plan.reference_agents
    }
    agents = (*plan.reference_agents, *whole)
    scores = np.concatenate([plan.reference_scores, *(row[None] for row in whole.values())])
    low, high = rank_sets(
        OutcomeMatrix.from_scores(scores, agents=agents), confidence=confidence, seed=plan.seed
    )
    means = np.nanmean(scores, axis=1)
    order = np.argsort(-means, kind="stable")
    sets = [
        RankSet(agent=agents[row], low=int(low[row]), high=int(high[row]), score=float(means[row]))
        for row in order
    ]
    return sets, tuple(agent for agent in told if agent not in whole)


def score_by(plan: "Plan", record: "Record") -> float | None:
    """Return the score of a record in [0, 1], by the plan's metric; None where there is none.

    Raises
    ------
    InputError
        The record's score is by another metric than those of the plan, or off its scale.
    """
    if record.score is None:
        return None
    check_metric(plan, record.metric)
    metric = record.metric
    if plan.metric is not None and not metric.declared:
        metric = plan.metric
    return metric.unit(record.score)


def is_old(plan: "Plan") -> bool:
    """Whether midband 0.1 made the plan, which did not ask for a metric: such runs go on."""
    return plan.versions.get("midband", "").startswith("0.1.")


def check_metric(plan: "Plan", metric: "Metric") -> None:
    """Refuse results by another metric than the plan's.

    A plan of an unknown metric, and results of one, match only each other: that both are the same
    has to be said once, with ``--metric``.

    Raises
    ------
    InputError
        The metrics differ in name, scale or direction, or only one of them is known.
    """
    wanted = plan.metric
    if wanted is None:
        if metric.known and not is_old(plan):
            msg = (
                f"expected results by the metric of the plan, which its history does not name, got"
                f" {metric.label}: if it is the same, add --metric {metric.label} to this command,"
                " or make the plan with it"
            )
            raise InputError(msg)
        return
    if not metric.known:
        msg = (
            f"expected results by {wanted.label}, the metric of the plan, got results whose metric"
            f" is unknown: say that it is the same with --metric {wanted.label}"
        )
        raise InputError(msg)
    if not wanted.same_as(metric) and wanted.label != metric.label:
        msg = (
            f"expected results by {wanted.label}, the metric of the plan, got {metric.label}:"
            f" choose it with --metric {wanted.label}, or make a plan for {metric.label}"
        )
        raise InputError(msg)
    ours = (wanted.low, wanted.high, wanted.lower_is_better)
    theirs = (metric.low, metric.high, metric.lower_is_better)
    if metric.declared and ours != theirs:
        msg = (
            f"expected {wanted.label} on the plan's scale {wanted.scale_text()}, got"
            f" {metric.scale_text()}: state it with --scale LOW HIGH, or make the plan anew"
        )
        raise InputError(msg)


def _mean_known(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def _check_digest(plan: "Plan", record: "Record", *, allow_changed: bool) -> None:
    expected = plan.task_digests.get(record.task_id, "")
    if allow_changed or not expected or not record.task_digest:
        return
    if expected != record.task_digest:
        msg = (
            f"expected task {record.task_id!r} as it was when the plan was made (digest"
            f" {expected}), got another content ({record.task_digest}): make a new plan,"
            " or pass --allow-changed"
        )
        raise DigestMismatchError(msg)
