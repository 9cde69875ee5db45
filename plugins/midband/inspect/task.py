"""The registered task ``midband/adaptive``: an inner task, cut to a plan and stopped early."""

import glob
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import inspect_ai
from inspect_ai import Task, list_tasks, task, task_with
from inspect_ai._eval.loader import load_tasks
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import MemoryDataset, Sample
from rich.markup import escape

from midband.inspect.limits import UNITS, read_limits
from midband.inspect.metric import check_metric, declared_shapes
from midband.inspect.scores import benchmark_name, task_digest, task_id
from midband.inspect.shown import add_verdict_metric, say_refused
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from midband_sampler import MaxErrors, Plan
    from midband_sampler.racing import RacePlan

SHOWN = 3
_MEDIA = ("image", "audio", "video", "document")
# Plans that a program gave as objects, by their digests: what it retries knows them.
OBJECTS: "dict[str, Plan | RacePlan]" = {}
# The task that a program gave as an object, while the registered task is made from it.
given_task: ContextVar[Task | None] = ContextVar("midband_task", default=None)


class RefusedError(MidbandError, PrerequisiteError):
    """An adaptive task that cannot be run; Inspect shows it as one line without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = escape(message)


@task(name="adaptive")
def adaptive(
    task: str,
    plan: str,
    allow_changed: bool = False,
    **kwargs: Any,
) -> Task:
    """Run an Inspect task by a midband plan: its tasks in its order, until the rank is settled.

    Parameters
    ----------
    task : str
        Inspect's name for the inner task: a registered task, or ``file.py@task``.
    plan : str
        Path of the plan, or of a suite that holds the task's plan.
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.
    **kwargs
        Arguments of the inner task, but for those that ``midband inspect`` adds: ``plan_digest`` is
        checked against the plan, so that a retry cannot go on with another plan; ``plan_metric``
        names the metric of a plan that does not know its own; ``plan_max_errors`` is the number or
        share of attempts without a usable result at which the run ends; ``plan_total_usd``,
        ``plan_total_seconds`` and ``plan_total_tokens`` are hard limits, see `TotalLimits`.
    """
    from midband.choices import read_plan
    from midband.suite import Suite, is_suite
    from midband_sampler import Plan, parse_max_errors

    arguments = unwrapped(kwargs)
    try:
        expected = arguments.pop("plan_digest", None)
        wanted = text_of(arguments.pop("plan_metric", ""))
        most = arguments.pop("plan_max_errors", None)
        limits = read_limits(
            {f"total_{unit}": arguments.pop(f"plan_total_{unit}", None) for unit in UNITS}
        )
        path = Path(text_of(plan)).absolute()
        if is_suite(path):
            read: Plan | Suite = Suite.read(path)
        else:
            known = None if path.is_file() else OBJECTS.get(text_of(expected))
            read = known if isinstance(known, Plan) else read_plan(path)
        if expected is not None and str(expected) != read.digest:
            msg = (
                f"expected plan {expected}, with which this run began, got {read.digest} in {path}:"
                " put the first plan back, or start a new run"
            )
            raise InputError(msg)
        inner = load_inner(text_of(task), arguments)
        chosen = read if isinstance(read, Plan) else read.plan(benchmark_name(inner.name))
        notes = {"task": text_of(task), "args": arguments}
        return prepare_task(
            inner,
            chosen,
            allow_changed=allow_changed,
            notes=notes,
            metric=wanted,
            max_errors=None if most is None else parse_max_errors(text_of(most)),
            limits=limits,
        )
    except MidbandError as error:
        say_refused(error)
        raise RefusedError(str(error)) from error


def prepare_task(
    inner: Task,
    plan: "Plan",
    *,
    allow_changed: bool = False,
    notes: Mapping[str, Any] | None = None,
    metric: str = "",
    max_errors: "MaxErrors | None" = None,
    limits: Mapping[str, float] | None = None,
) -> Task:
    """Cut a task to a plan, in place, so that it stops once the verdict is in.

    A plan that chooses live becomes a sample source, which names the next sample after every
    result. Where that cannot be (an Inspect before 0.3.250, or a sample that refers to media files,
    which Inspect reads only for samples known beforehand) and for every other plan, the samples
    stand in the plan's order and an early stopping skips what is no longer needed.

    Parameters
    ----------
    inner : Task
    plan : Plan
    allow_changed : bool
        Accept tasks that changed or are gone since the plan was made.
    notes : mapping, optional
        Added to what the log's metadata says under ``midband``.
    metric : str
        The metric of a plan that does not know its own; see `check_metric`.
    max_errors : MaxErrors, optional
        Ends the run early once more attempts than this have no usable result. By default it ends
        when none of the first ten has one.
    limits : mapping of str to float, optional
        Hard limits to what all samples of the command may cost: ``usd``, ``seconds``, ``tokens``.

    Raises
    ------
    PlanError
        The plan is for another benchmark or another metric, or the task has an early stopping of
        its own.
    DigestMismatchError
        Planned tasks changed or are gone, and `allow_changed` is not set.
    """
    from midband_sampler import PlanError

    benchmark = benchmark_name(inner.name)
    if benchmark != benchmark_name(plan.benchmark):
        msg = (
            f"expected a plan for {benchmark!r}, got a plan for {plan.benchmark!r}: make one with"
            f" `midband plan {benchmark}`, or import the logs with --benchmark {benchmark}"
        )
        raise PlanError(msg)
    plan.check_single()
    if getattr(inner, "early_stopping", None) is not None:
        msg = f"expected a task without early stopping, got {inner.name!r} with its own: remove it"
        raise PlanError(msg)
    if getattr(inner, "sample_source", None) is not None:
        msg = (
            f"expected a task with a dataset, got {inner.name!r} with a SampleSource: not supported"
        )
        raise PlanError(msg)
    judged = check_metric(plan, inner.name, declared_shapes(inner), wanted=metric)
    samples = samples_by_id(inner.dataset, plan.all_tasks, plan.task_digests)
    changed = check_tasks(plan.tasks, plan.task_digests, samples, allow_changed=allow_changed)
    chosen = {name: samples[name] for name in plan.tasks if name in samples}
    obstacle = _obstacle(chosen.values()) if plan.chooses_live else ""
    live = plan.chooses_live and not obstacle
    if obstacle:
        plan.fixed()  # refused here, not in the run, where this order was not calibrated
    known = set(plan.all_tasks)
    note = {
        "plan_digest": plan.digest,
        "benchmark": plan.benchmark,
        "version": version_of("midband"),
        "inner_package": package_of(inner.name),
        "tasks_chosen": "live" if live else "in a fixed order",
        "metric": judged.label or None,
        "tasks_changed": changed,
        "tasks_unknown_to_plan": sum(name not in known for name in samples),
        **(notes or {}),
    }
    metadata = {**(inner.metadata or {}), "midband": note}
    add_verdict_metric(inner, scorer=judged.name, key=judged.key)
    name, location = inner.dataset.name, inner.dataset.location
    if live:
        from midband.inspect.hooks import AdaptiveSource

        source = AdaptiveSource(plan, chosen, metric=judged, max_errors=max_errors, limits=limits)
        prepared = task_with(inner, name=inner.name, dataset=source, metadata=metadata)
        label_task(prepared)
        # A source's dataset, of which nothing is known beforehand, has no name of its own.
        prepared.dataset = MemoryDataset([], name=name, location=location)
        return prepared
    from midband.inspect.hooks import AdaptiveStopping

    prepared = task_with(
        inner,
        name=inner.name,
        # The order is the plan's: --sample-shuffle must leave it alone.
        dataset=MemoryDataset(list(chosen.values()), name=name, location=location, shuffled=True),
        early_stopping=AdaptiveStopping(
            plan, metric=judged, max_errors=max_errors, limits=limits, note=obstacle
        ),
        metadata=metadata,
    )
    label_task(prepared)
    return prepared


def label_task(task: Task) -> None:
    """Say in the title of log and screen whose accuracy it is that they show."""
    if hasattr(task, "_display_name"):
        task._display_name = f"{task.display_name} (tasks chosen by midband)"


def _obstacle(samples: Iterable[Sample]) -> str:
    """Return why the samples cannot be chosen live, or nothing."""
    if not hasattr(inspect_ai, "SampleSource"):
        why = f"inspect-ai {version_of('inspect-ai')} cannot choose samples (0.3.250 can)"
    elif has_media(samples):
        why = "Inspect reads the media files of samples only where these are known beforehand"
    else:
        return ""
    return f"{why}: the plan's tasks run in its fixed order, until the rank is settled"


def has_media(samples: Iterable[Sample]) -> bool:
    """Whether an image, sound, video or document of a sample stands in a file or at a URL."""
    return any(_refers_to_media(sample) for sample in samples)


def _refers_to_media(sample: Sample) -> bool:
    """Whether an image, sound, video or document of a sample stands in a file or at a URL."""
    if isinstance(sample.input, str):
        return False
    for message in sample.input:
        for part in () if isinstance(message.content, str) else message.content:
            place = getattr(part, part.type, None)
            if part.type in _MEDIA and not str(place).startswith("data:"):
                return True
    return False


def load_inner(spec: str, arguments: Mapping[str, Any]) -> Task:
    """Return one task by Inspect's name for it, or by its file; the one that a program gave."""
    given = given_task.get()
    if given is not None:
        return given
    path = Path(spec)
    if path.suffix == ".py" and path.is_file():
        # Inspect takes a bare file only relative to the working directory.
        names = [info.name for info in list_tasks(glob.escape(path.name), root_dir=path.parent)]
        specs = [f"{path.absolute()}@{name}" for name in names]
    else:
        specs = names = [spec]
    if len(specs) != 1:
        got = ", ".join(names) or "none"
        msg = f"expected one task in {spec}, got {got}: name one as {path.name}@TASK"
        raise InputError(msg)
    try:
        found = load_tasks(specs, dict(arguments))
    except FileNotFoundError as error:
        msg = f"expected an Inspect task, got {spec!r}: {error}"
        raise InputError(msg) from error
    except PrerequisiteError as error:
        say_refused(error)
        raise
    if len(found) != 1:
        got = ", ".join(one.name for one in found) or "none"
        msg = f"expected one task named {spec!r}, got {got}: name a registered task or file.py@TASK"
        raise InputError(msg)
    return found[0]


def samples_by_id(
    dataset: Sequence[Sample], tasks: Sequence[str], digests: Mapping[str, str]
) -> dict[str, Sample]:
    """Return the samples by id.

    Those without one get their place, counted from 1, as in a log. A dataset that shuffles itself
    gives a sample another place every time: such samples are known by their content.
    """
    samples: dict[str, Sample] = {}
    for place, sample in enumerate(dataset, start=1):
        known = sample if sample.id is not None else sample.model_copy(update={"id": place})
        name = task_id(known.id)
        if name in samples:
            msg = f"expected distinct sample ids, got {name!r} twice: give the samples other ids"
            raise InputError(msg)
        samples[name] = known
    if any(sample.id is not None for sample in dataset):
        return samples
    return _by_content(samples, tasks, digests)


def _by_content(
    samples: Mapping[str, Sample], tasks: Sequence[str], known: Mapping[str, str]
) -> dict[str, Sample]:
    """Name samples, of which the numbers say nothing, as the plan names their contents."""
    digests = {name: task_digest(each.input, each.target) for name, each in samples.items()}
    moved = [name for name in tasks if known.get(name) and digests.get(name) != known[name]]
    kept = {name for name in tasks if name in samples and name not in moved}
    free: dict[str, list[str]] = {}
    for name, digest in digests.items():
        if name not in kept:
            free.setdefault(digest, []).append(name)
    found = {name: samples[name] for name in kept}
    for name in moved:
        if places := free.get(known[name]):
            number = int(name) if name.isascii() and name.isdecimal() else name
            found[name] = samples[places.pop(0)].model_copy(update={"id": number})
    left = [name for places in free.values() for name in places]
    found |= {name: samples[name] for name in left if name not in found}
    return found


def check_tasks(
    tasks: Sequence[str],
    digests: Mapping[str, str],
    samples: Mapping[str, Sample],
    *,
    allow_changed: bool,
) -> int:
    """Check the planned tasks against the dataset; return how many differ."""
    from midband_sampler import DigestMismatchError

    gone = [name for name in tasks if name not in samples]
    other = [
        name
        for name in tasks
        if name in samples
        and digests.get(name)
        and digests[name] != task_digest(samples[name].input, samples[name].target)
    ]
    if tasks and len(gone) == len(tasks):
        msg = (
            f"expected the planned tasks ({_some(tasks)}) in the dataset, got none of them"
            f" (it has {_some(list(samples))}): check the task's arguments"
        )
        raise DigestMismatchError(msg)
    if (gone or other) and not allow_changed:
        found = [f"{len(other)} changed ({_some(other)})"] if other else []
        found += [f"{len(gone)} gone ({_some(gone)})"] if gone else []
        msg = (
            f"expected the {len(tasks)} planned tasks as they were when the plan was made, got"
            f" {' and '.join(found)}: make a new plan, or pass --allow-changed"
        )
        raise DigestMismatchError(msg)
    return len(gone) + len(other)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def unwrapped(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Undo the nesting under ``kwargs`` with which older Inspect versions retry a task."""
    plain = dict(arguments)
    nested = plain.pop("kwargs", None)
    return {**unwrapped(nested), **plain} if isinstance(nested, Mapping) else dict(arguments)


def text_of(value: object) -> str:
    """Undo Inspect's splitting of ``-T`` values at commas."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def package_of(task_name: str) -> dict[str, str] | None:
    """Return name and version of the package that registered a task; None for a file's task."""
    package, slash, _ = task_name.partition("/")
    version = version_of(package) if slash else ""
    return {"name": package, "version": version} if version else None


def version_of(package: str) -> str:
    """Return the version of an installed package; empty without it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
