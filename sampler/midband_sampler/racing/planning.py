"""Planning a race: what the history says of the candidates, and how far to trust it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from midband_history import FloatArray, InputError, Metric, OutcomeMatrix
from midband_sampler.errors import PlanError
from midband_sampler.model.prediction import PredictionModel
from midband_sampler.racing.allocations.base import Allocation, find_allocation
from midband_sampler.racing.calibrating import calibrate
from midband_sampler.racing.calibration import RaceCalibration
from midband_sampler.racing.question import Question, check_candidates
from midband_sampler.racing.questions import parse_question
from midband_sampler.racing.race_plan import RacePlan, parse_budget
from midband_sampler.spending import expected_usd
from midband_sampler.stopping.budget import Budget

MIN_HISTORY = 8


def make_race(
    history: OutcomeMatrix | None,
    candidates: Sequence[str],
    *,
    question: Question | str,
    allocation: Allocation | str = "contested",
    budget: float | str | Budget | None = None,
    others: Sequence[OutcomeMatrix] = (),
    tasks: Sequence[str] | None = None,
    task_digests: Mapping[str, str] | None = None,
    benchmark: str = "",
    metric: Metric | None = None,
    version: str = "",
    arguments: Mapping[str, tuple[str, ...]] | None = None,
    calibration: RaceCalibration | None = None,
    versions: Mapping[str, str] | None = None,
    seed: int = 0,
) -> RacePlan:
    """Plan a race.

    Parameters
    ----------
    history : OutcomeMatrix or None
        Results of known agents on the benchmark. Candidates that are among them bring theirs.
    candidates : sequence of str
        Two at least.
    question : Question or str
        `TopK`, `Order` or `NotWorse`, or its text.
    allocation : Allocation or str
    budget : float, str, Budget or None
        See `RacePlan`, or its text.
    others : sequence of OutcomeMatrix
        Other benchmarks, whose agents are raced too to calibrate.
    tasks : sequence of str, optional
        Tasks of the benchmark; by default all of the history's.
    task_digests : mapping of str to str, optional
        Content of the tasks; by default the history's. Where both know a task they have to agree.
    benchmark : str
        By default the history's.
    metric : Metric, optional
        What the results are scores of; a history of another metric is refused.
    version : str
        Of the benchmark; a history of another one is refused.
    arguments : mapping of str to tuple of str, optional
        What a harness is given besides for each candidate.
    calibration : RaceCalibration, optional
        What an earlier calibration for the same history, question and allocation found.
    versions : mapping of str to str, optional
    seed : int

    Raises
    ------
    InputError
        The question, the budget or the candidates are not such as a race can have.
    PlanError
        The history is of another metric or version.
    """
    asked = parse_question(question) if isinstance(question, str) else question
    found = find_allocation(allocation) if isinstance(allocation, str) else allocation
    spend = parse_budget(budget) if isinstance(budget, str) else budget
    names = asked.check(check_candidates(candidates))
    _check_history(history, metric=metric, version=version)
    if history is not None and tasks is not None:
        history = _on_tasks(history, tasks)
    plan = RacePlan(
        benchmark=benchmark or (history.benchmark if history else ""),
        candidates=names,
        question=asked,
        allocation=found,
        budget=spend,
        tasks=tuple(tasks or ()) if history is None else history.tasks,
        task_digests=_digests(history, task_digests or {}),
        known=np.zeros((0, 0)) if history is None else _known(history, names),
        arguments=dict(arguments or {}),
        metric=metric if history is None or not history.metric.known else history.metric,
        version=version if history is None else history.version or version,
        versions=dict(versions or {}),
        seed=seed,
    )
    if history is None:
        return plan
    return _informed(plan, history, others, calibration)


def _informed(
    plan: RacePlan,
    history: OutcomeMatrix,
    others: Sequence[OutcomeMatrix],
    calibration: RaceCalibration | None,
) -> RacePlan:
    """Add what the history says: costs, a model, and how far replays allow to trust it."""
    notes = []
    brought = [name for name in plan.candidates if name in history.agents]
    if brought:
        notes.append(
            f"{', '.join(brought)} {'is' if len(brought) == 1 else 'are'} in the history: what was"
            " run already counts and is not paid for again"
        )
    rest = [row for row, name in enumerate(history.agents) if name not in plan.candidates]
    known = history.select(agents=np.array(rest, dtype=np.int64))
    plan = replace(plan, expected_cost_usd=expected_usd(known))
    if len(rest) < MIN_HISTORY:
        notes.append(
            f"{len(rest)} other agents are in the history and {MIN_HISTORY} are needed to predict"
            " from it: the race continues without it"
        )
        return replace(plan, notes=tuple(notes))
    share = None if plan.jobs is None else plan.jobs / max(plan.full, 1)
    found = calibration or calibrate(
        known,
        others,
        count=len(plan.candidates),
        question=plan.question,
        allocation=plan.allocation,
        share=share,
        seed=plan.seed,
    )
    plan = replace(plan, reference_agents=known.agents, calibration=found)
    if plan.question.confidence is not None and math.isinf(found.width):
        notes.append(f"claims do not rest on the history: {found.guarantee}")
        return replace(plan, reference_agents=(), notes=tuple(notes))
    try:
        model = PredictionModel.fit(known)
    except PlanError as error:
        notes.append(f"the history is not used: {error}")
        return replace(plan, reference_agents=(), calibration=None, notes=tuple(notes))
    return replace(plan, model=model, notes=tuple(notes))


def _known(history: OutcomeMatrix, names: Sequence[str]) -> FloatArray:
    known = np.full((len(names), len(history.tasks)), np.nan)
    place = {name: row for row, name in enumerate(history.agents)}
    for row, name in enumerate(names):
        if name in place:
            known[row] = history.scores[place[name]]
    return known


def _on_tasks(history: OutcomeMatrix, tasks: Sequence[str]) -> OutcomeMatrix:
    column = {task: place for place, task in enumerate(history.tasks)}
    strange = [task for task in tasks if task not in column]
    if strange:
        msg = (
            f"expected tasks of the history of {history.benchmark!r}, got {strange[0]!r}: leave it"
            " out, or race without the history"
        )
        raise InputError(msg)
    return history.select(tasks=np.array([column[task] for task in tasks], dtype=np.int64))


def _digests(history: OutcomeMatrix | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return the content digest of each task; the history's and what is given have to agree."""
    if history is None:
        return dict(given)
    found = dict(zip(history.tasks, history.task_digests, strict=True))
    for task, digest in found.items():
        asked = given.get(task, "")
        if digest and asked and asked != digest:
            msg = (
                f"expected task {task!r} as the history of {history.benchmark!r} has it, got one of"
                " other content: leave it out, or race without the history"
            )
            raise PlanError(msg)
        found[task] = digest or asked
    return found


def _check_history(history: OutcomeMatrix | None, *, metric: Metric | None, version: str) -> None:
    if history is None:
        return
    unknown = Metric()
    if metric not in (None, unknown) and history.metric not in (unknown, metric):
        msg = (
            f"expected a history of the metric {metric.label!r}, got one of"
            f" {history.metric.label!r}: choose the metric with --metric"
        )
        raise PlanError(msg)
    if version and history.version and version != history.version:
        msg = (
            f"expected a history of version {version!r} of the benchmark, got {history.version!r}:"
            " choose the version, or race without the history"
        )
        raise PlanError(msg)
