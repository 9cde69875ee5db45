"""The registered task ``midband/race``: one task for several models, raced against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import inspect_ai
from inspect_ai import Task, task, task_with
from inspect_ai.dataset import MemoryDataset

from midband.inspect.limits import UNITS, read_limits
from midband.inspect.metric import check_metric, declared_shapes
from midband.inspect.scores import benchmark_name, choose_score, task_digest
from midband.inspect.shown import say_refused
from midband.inspect.task import (
    OBJECTS,
    RefusedError,
    check_tasks,
    has_media,
    label_task,
    load_inner,
    package_of,
    samples_by_id,
    text_of,
    unwrapped,
    version_of,
)
from midband_history import InputError, Metric, MidbandError

if TYPE_CHECKING:
    from midband_sampler import Plan
    from midband_sampler.racing import RacePlan


@task(name="race")
def race(
    task: str,
    race: str,
    allow_changed: bool = False,
    **kwargs: Any,
) -> Task:
    """Run an Inspect task with several models until it is settled which of them are best.

    Parameters
    ----------
    task : str
        Inspect's name for the inner task: a registered task, or ``file.py@task``.
    race : str
        Path of a race that `midband plan` wrote, or a question such as ``top:1:0.9``.
    allow_changed : bool
        Accept tasks whose content differs from what the race was planned from.
    **kwargs
        Arguments of the inner task, but for those that ``midband inspect`` adds: ``race_id``,
        ``race_digest``, ``race_models``, ``race_budget``, ``race_allocation``, ``race_metric`` and
        ``race_total_usd``, ``race_total_seconds`` and ``race_total_tokens``.
    """
    from midband_sampler.racing import RacePlan

    arguments = unwrapped(kwargs)
    given = {
        name: text_of(arguments.pop(f"race_{name}", ""))
        for name in ("id", "digest", "models", "budget", "allocation", "metric")
    }
    totals = {f"total_{unit}": arguments.pop(f"race_total_{unit}", None) for unit in UNITS}
    try:
        known = None if Path(text_of(race)).is_file() else OBJECTS.get(given["digest"])
        chosen = (
            known
            if isinstance(known, RacePlan)
            else read_race(
                text_of(race),
                models=[name for name in given["models"].split(",") if name],
                budget=given["budget"],
                allocation=given["allocation"],
                digest=given["digest"],
            )
        )
        return prepare_race(
            load_inner(text_of(task), arguments),
            chosen,
            allow_changed=allow_changed,
            notes={"task": text_of(task), "args": arguments},
            metric=given["metric"],
            race_id=given["id"],
            limits=read_limits(totals),
        )
    except MidbandError as error:
        say_refused(error)
        raise RefusedError(str(error)) from error


def read_race(
    text: str,
    *,
    models: Sequence[str] = (),
    budget: str = "",
    allocation: str = "",
    digest: str = "",
) -> "RacePlan":
    """Return the race that a file holds, or that a question asks.

    Parameters
    ----------
    text : str
        Path, or question.
    models : sequence of str
        Who competes, for a question.
    budget, allocation : str
        For a question; a planned race has its own.
    digest : str
        Of the race with which an earlier attempt began.

    Raises
    ------
    InputError
        The question is none, or an option contradicts the file.
    PlanError
        The file cannot be read.
    """
    from midband.race_file import allocation_named
    from midband.race_file import read_race as read_planned
    from midband_sampler.racing import make_race

    path = Path(text)
    if not (path.is_file() or text.endswith(".json")):
        return make_race(
            None,
            models,
            question=text,
            budget=budget or None,
            allocation=allocation_named(allocation or "racing"),
        )
    for name, value in (("--budget", budget), ("--allocation", allocation)):
        if value:
            msg = f"expected no {name} beside {text}, got {value!r}: give it to `midband plan`"
            raise InputError(msg)
    found = read_planned(path)
    if digest and digest != found.digest:
        msg = (
            f"expected race {digest}, with which this run began, got {found.digest} in {path}: put"
            " the first file back, or start a new run"
        )
        raise InputError(msg)
    return found


def prepare_race(
    inner: Task,
    race: "RacePlan | str",
    *,
    models: Sequence[str] = (),
    budget: str = "",
    allow_changed: bool = False,
    notes: Mapping[str, Any] | None = None,
    metric: str = "",
    race_id: str = "",
    limits: Mapping[str, float] | None = None,
) -> Task:
    """Let the models that a task is run with race against each other, in place.

    ``inspect_ai.eval(prepare_race(task, "top:1:0.9", models=names), model=names)`` runs the models
    at the same time, and each one's samples end when the race lets go of it. `race_report` says
    what came of it.

    Parameters
    ----------
    inner : Task
    race : RacePlan or str
        A planned race, or a question such as ``top:1:0.9``.
    models : sequence of str
        Who competes, for a question; by the names that Inspect gives the models.
    budget : str
        For a question, such as ``20%`` or ``tasks:300``.
    allow_changed : bool
        Accept tasks that changed or are gone since the race was planned.
    notes : mapping, optional
        Added to what the log's metadata says under ``midband``.
    metric : str
        ``NAME`` or ``NAME.KEY`` of the score that counts; by default the race's, else the task's
        own main score.
    race_id : str
        Joins several evals to one race: what logs of that id in the same directory hold is known.
    limits : mapping of str to float, optional
        Hard limits to what all samples of the command may cost: ``usd``, ``seconds``, ``tokens``.

    Raises
    ------
    InputError
        The question, the budget or the candidates are not such as a race can have.
    PlanError
        The race is of another benchmark or metric, or the task or Inspect cannot be raced.
    DigestMismatchError
        Planned tasks changed or are gone, and `allow_changed` is not set.
    """
    from midband.inspect.race_source import RaceSource
    from midband_sampler import PlanError

    plan = read_race(race, models=models, budget=budget) if isinstance(race, str) else race
    benchmark = benchmark_name(inner.name)
    if plan.benchmark and benchmark != benchmark_name(plan.benchmark):
        msg = (
            f"expected a race on {benchmark!r}, got one on {plan.benchmark!r}: make one with"
            f" `midband plan {benchmark} --candidates FILE`"
        )
        raise PlanError(msg)
    _check_can_race(inner)
    judged = _metric(plan, inner, wanted=metric)
    samples = samples_by_id(inner.dataset, plan.tasks, plan.task_digests)
    if has_media(samples.values()):
        msg = (
            f"expected samples without media files, got {inner.name!r}: Inspect reads these only"
            " for samples that it knows beforehand; run each model with --adaptive"
        )
        raise PlanError(msg)
    changed = check_tasks(plan.tasks, plan.task_digests, samples, allow_changed=allow_changed)
    digests = {name: task_digest(each.input, each.target) for name, each in samples.items()}

    @cache
    def planned(tasks: tuple[str, ...]) -> "RacePlan":
        return _with_tasks(plan, tasks, digests, benchmark)

    planned(tuple(samples))  # a budget that is too small is refused here and not in the run
    note = {
        "race": race_id or None,
        "plan_digest": plan.digest,
        "benchmark": benchmark,
        "version": version_of("midband"),
        "inner_package": package_of(inner.name),
        "tasks_chosen": "live, by a race",
        "metric": judged.label or None,
        "tasks_changed": changed,
        **(notes or {}),
    }
    name, location = inner.dataset.name, inner.dataset.location
    source = RaceSource(
        lambda tasks: planned(tuple(tasks)),
        samples=samples,
        race_id=race_id,
        metric=judged,
        limits=limits,
    )
    metadata = {**(inner.metadata or {}), "midband": note}
    prepared = task_with(inner, name=inner.name, dataset=source, metadata=metadata)
    label_task(prepared)
    # A source's dataset, of which nothing is known beforehand, has no name of its own.
    prepared.dataset = MemoryDataset([], name=name, location=location)
    return prepared


def _check_can_race(inner: Task) -> None:
    from midband_sampler import PlanError

    if not hasattr(inspect_ai, "SampleSource"):
        msg = (
            f"expected inspect-ai 0.3.250 or newer, got {version_of('inspect-ai')}: it cannot"
            " choose samples while it runs; update it"
        )
        raise PlanError(msg)
    for name, what in (("early_stopping", "early stopping"), ("sample_source", "SampleSource")):
        if getattr(inner, name, None) is not None:
            msg = f"expected a task without a {what}, got {inner.name!r} with its own: remove it"
            raise PlanError(msg)


def _metric(plan: "RacePlan", inner: Task, *, wanted: str) -> Metric:
    """Return the metric that the race is judged by, before anything is paid for."""
    shapes = declared_shapes(inner)
    if wanted or (plan.metric is not None and plan.metric.known):
        # Of a plan, only its metric is looked at where that is known or wanted.
        return check_metric(cast("Plan", plan), inner.name, shapes, wanted=wanted)
    if not shapes:  # only the solver can give a score
        return Metric()
    choice = choose_score(shapes, headline=getattr(inner, "headline_metric", None))
    return Metric(name=choice.scorer, key=choice.key) if choice.scorer else Metric()


def _with_tasks(
    plan: "RacePlan", tasks: Sequence[str], digests: Mapping[str, str], benchmark: str
) -> "RacePlan":
    if plan.tasks:
        return plan
    made = plan.with_tasks(tasks, {name: digests[name] for name in tasks})
    return replace(made, benchmark=benchmark)
