"""Adaptive evals and races from Python: tasks for ``inspect_ai.eval``, and their verdicts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from inspect_ai import Task
from inspect_ai._eval.task.constants import TASK_FILE_ATTR
from inspect_ai._util.registry import is_registry_object, registry_info, registry_params
from inspect_ai.log import EvalLog

from midband.inspect.log_file import RACE_RECORD, RECORD
from midband.inspect.race_source import race_report
from midband.inspect.race_task import race as registered_race
from midband.inspect.task import OBJECTS, RefusedError, given_task
from midband.inspect.task import adaptive as registered_adaptive
from midband_history import InputError
from midband_sampler import Decision
from midband_sampler.racing import RaceVerdict

if TYPE_CHECKING:
    from inspect_ai.model import Model

    from midband_sampler import Plan
    from midband_sampler.racing import Question, RacePlan

_TAKEN = ("task", "plan", "race", "allow_changed")


def adaptive(
    task: "Task | str",
    plan: "Plan | Path | str",
    *,
    allow_changed: bool = False,
    metric: str = "",
    max_errors: int | str | None = None,
    **arguments: Any,
) -> Task:
    """Return an Inspect task that runs by a plan and stops once the verdict is in.

    ``eval(adaptive(task(), plan="plan.json"), model=[...])`` judges each model on its own. It works
    with `eval`, `eval_async`, `eval_set` and `eval_retry`. The verdicts are printed when the run
    has ended, unless ``display="none"``; `verdict` and `verdicts` return them. An error of
    midband's own never ends the run: the remaining planned samples then run, and there is no
    verdict.

    Parameters
    ----------
    task : Task or str
        A task, which is changed in place as by Inspect's ``task_with``, or Inspect's name for one:
        a registered task, or ``file.py@task``.
    plan : Plan, Path or str
        A plan, or the path of one. `eval_retry` in another process reads the plan again, and
        therefore needs a path.
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.
    metric : str
        ``NAME`` or ``NAME.KEY`` of the score that counts, for a plan that does not know its own.
    max_errors : int or str, optional
        Ends a run once more attempts than this number, or share such as ``"20%"``, have no usable
        result. By default a run ends when none of the first ten has one.
    **arguments
        Of the task, where it is given by its name.

    Raises
    ------
    RefusedError
        The plan and the task do not fit each other, in one line that says why.
    """
    from midband_sampler import Plan

    place, digest = _place(plan, Plan)
    ours: dict[str, Any] = {"plan_digest": digest} if digest else {}
    if metric:
        ours["plan_metric"] = metric
    if max_errors is not None:
        ours["plan_max_errors"] = str(max_errors)
    name, inner, theirs = _named(task, arguments)
    token = given_task.set(inner)
    try:
        return registered_adaptive(
            task=name, plan=place, allow_changed=allow_changed, **ours, **theirs
        )
    finally:
        given_task.reset(token)


def race(
    task: "Task | str",
    question: "Question | str | None" = None,
    *,
    plan: "RacePlan | Path | str | None" = None,
    models: "Sequence[str | Model]" = (),
    budget: str = "",
    allocation: str = "",
    allow_changed: bool = False,
    metric: str = "",
    **arguments: Any,
) -> Task:
    """Return an Inspect task that several models race on until it is settled which is best.

    ``eval(race(task(), "top:1:0.9", models=MODELS), model=MODELS)`` runs the models at the same
    time, and the samples of each end when the race lets go of it. The verdict is printed when the
    run has ended, unless ``display="none"``; `verdict` returns it. An error of midband's own never
    ends the run: every model then runs all its samples, and there is no verdict.

    Parameters
    ----------
    task : Task or str
        As in `adaptive`.
    question : Question or str, optional
        Such as ``"top:1:0.9"``; needs no history.
    plan : RacePlan, Path or str, optional
        A planned race, or the path of one, in place of a question.
    models : sequence of str or Model
        Who competes, for a question; the same that are given to `eval`.
    budget : str
        For a question, such as ``"20%"`` or ``"tasks:300"``.
    allocation : str
        For a question; ``"racing"`` by default.
    allow_changed : bool
        Accept tasks whose content differs from what the race was planned from.
    metric : str
        ``NAME`` or ``NAME.KEY`` of the score that counts; by default the plan's, else the task's
        own main score.
    **arguments
        Of the task, where it is given by its name.

    Raises
    ------
    RefusedError
        The race and the task do not fit each other, in one line that says why.
    """
    from midband_sampler.racing import RacePlan

    if (question is None) == (plan is None):
        msg = (
            f"expected a question or a plan, got {'none' if plan is None else 'both'}: write"
            " race(task, 'top:1:0.9', models=[...]) or race(task, plan='race.json')"
        )
        raise RefusedError(msg)
    names = [str(each) for each in ([models] if isinstance(models, str) else models)]
    if plan is None:
        if len(names) < 2:
            msg = (
                f"expected two models or more that compete, got {', '.join(names) or 'none'}: name"
                " them as models=[...], the same as for eval"
            )
            raise RefusedError(msg)
        text, digest = question if isinstance(question, str) else getattr(question, "text", ""), ""
    else:
        text, digest = _place(plan, RacePlan)
        if names:
            msg = f"expected no models beside a plan, got {', '.join(names)}: it has its candidates"
            raise RefusedError(msg)
    given = {
        "digest": digest,
        "models": ",".join(names),
        "budget": str(budget),
        "allocation": allocation,
        "metric": metric,
    }
    ours = {f"race_{key}": value for key, value in given.items() if value}
    name, inner, theirs = _named(task, arguments)
    token = given_task.set(inner)
    try:
        return registered_race(task=name, race=text, allow_changed=allow_changed, **ours, **theirs)
    finally:
        given_task.reset(token)


def _place(plan: "Plan | RacePlan | Path | str", kind: type) -> tuple[str, str]:
    """Return where a plan lies, and the digest of one that is given as an object.

    What is logged of an object is the file that a retry in another process looks for.
    """
    if isinstance(plan, str | Path):
        return str(Path(plan).absolute()), ""
    if not isinstance(plan, kind):
        msg = f"expected a {kind.__name__} or the path of one, got {type(plan).__name__}"
        raise RefusedError(msg)
    digest = plan.digest
    OBJECTS[digest] = plan
    return str(Path(f"midband-plan-{digest}.json").absolute()), digest


def _named(
    task: "Task | str", arguments: Mapping[str, Any]
) -> tuple[str, Task | None, dict[str, Any]]:
    """Return Inspect's name for a task, the task if it is one, and its arguments for a retry."""
    if isinstance(task, str):
        return task, None, dict(arguments)
    if not isinstance(task, Task):
        msg = f"expected a task or its name, got {type(task).__name__}: call the task's function"
        raise RefusedError(msg)
    if arguments:
        msg = (
            f"expected no arguments beside a task, got {', '.join(arguments)}: give them to the"
            " function that makes the task"
        )
        raise RefusedError(msg)
    if not is_registry_object(task):
        return task.name, task, {}
    name, known = registry_info(task).name, dict(registry_params(task))
    file = getattr(task, TASK_FILE_ATTR, None)
    spec = f"{Path(file).absolute()}@{name}" if file else name
    nested = {key: value for key, value in known.items() if key in _TAKEN}
    rest = {key: value for key, value in known.items() if key not in _TAKEN}
    return spec, task, {**rest, "kwargs": nested} if nested else rest


@overload
def verdict(logs: EvalLog | Path | str) -> Decision | RaceVerdict | None: ...
@overload
def verdict(logs: Sequence[EvalLog]) -> Decision | RaceVerdict | None: ...
def verdict(logs: EvalLog | Path | str | Sequence[EvalLog]) -> Decision | RaceVerdict | None:
    """Return the verdict that a log holds.

    Parameters
    ----------
    logs : EvalLog, path, or sequence of EvalLog
        The log of an adaptive eval, or those of a race, as `eval` returns them.

    Returns
    -------
    Decision, RaceVerdict or None
        None where midband could not judge the run: ``midband_verdict`` in the log's metadata says
        why.

    Raises
    ------
    InputError
        No log is of an adaptive eval or a race, there are several evals, or the log was scored
        again since.
    """
    if isinstance(logs, str | Path):
        from inspect_ai.log import read_eval_log

        return verdict(read_eval_log(str(logs), header_only=True))
    if isinstance(logs, EvalLog):
        return _verdict_of(logs)
    if any(RACE_RECORD in (log.eval.metadata or {}) for log in logs):
        return _race_verdict(race_report(logs))
    if len(logs) != 1:
        msg = f"expected one log, or those of a race, got {len(logs)}: see midband.inspect.verdicts"
        raise InputError(msg)
    return _verdict_of(logs[0])


def verdicts(
    what: Task | Sequence[EvalLog],
) -> dict[str, Decision | RaceVerdict | None]:
    """Return the verdict on each model.

    Parameters
    ----------
    what : Task or sequence of EvalLog
        A task that `adaptive` or `race` returned, for what its evals in this process have come to,
        or the logs of one task as `eval` returns them.

    Returns
    -------
    dict of str to Decision, RaceVerdict or None
        By model; see `verdict`. The models of a race share one verdict.

    Raises
    ------
    InputError
        The task is none of midband's, or two logs are of the same model.
    """
    if isinstance(what, Task):
        judge = getattr(what, "sample_source", None) or getattr(what, "early_stopping", None)
        found = getattr(judge, "verdicts", None)
        if not isinstance(found, dict):
            msg = f"expected a task of midband.inspect.adaptive or race, got {what.name!r}"
            raise InputError(msg)
        return dict(found)
    named: dict[str, Decision | RaceVerdict | None] = {}
    for log in what:
        model = log.eval.model
        if model in named:
            msg = f"expected one log a model, got two of {model}: call verdict(log) with each"
            raise InputError(msg)
        named[model] = _verdict_of(log)
    return named


def _verdict_of(log: EvalLog) -> Decision | RaceVerdict | None:
    metadata = log.eval.metadata or {}
    if isinstance(record := metadata.get(RACE_RECORD), Mapping):
        return _race_verdict(record)
    record = metadata.get(RECORD)
    if not isinstance(record, Mapping) and log.results is not None:
        stopping: Any = getattr(log.results, "early_stopping", None)
        record = stopping.metadata if getattr(stopping, "manager", "") == "midband" else None
    if not isinstance(record, Mapping):
        if isinstance(metadata.get("midband"), Mapping):  # it ended before it could be judged
            return None
        msg = f"expected the log of an adaptive eval or a race, got one of {log.eval.task!r}"
        raise InputError(msg)
    _check_scores(record)
    if record.get("failed_open") or "stop" not in record:
        return None
    data = dict(record)
    saved, epochs = data.pop("estimated_cost_saved_usd", None), data.get("epochs") or 1
    data["cost_saved_usd"] = None if saved is None else saved / epochs
    return Decision.from_dict(data)


def _race_verdict(record: Mapping[str, Any]) -> RaceVerdict | None:
    _check_scores(record)
    found = record.get("verdict")
    return RaceVerdict.from_dict(found) if isinstance(found, Mapping) else None


def _check_scores(record: Mapping[str, Any]) -> None:
    if record.get("scored_again"):
        msg = (
            "expected a log with the scores of its run, got one that was scored again: judge it"
            " with `midband rank PLAN LOG`"
        )
        raise InputError(msg)
