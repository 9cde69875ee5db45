"""One Harbor trial: which reward is read, whether it counts, and which attempt it is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.files import (
    foreign,
    load_object,
    load_optional,
    mapping,
    moment,
    seconds_between,
    truth_or_number,
    written_number,
)
from midband.adapters.stated import Quantities, rounding
from midband_history import (
    Metric,
    Note,
    OutcomeKind,
    Record,
    StatedAggregate,
    UnreadableSourceError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from midband.descriptors import ReadItem, ReadOptions

WHAT = "the result.json of a Harbor trial"
REWARD = "reward"  # of these that a verifier may give, the one that Harbor itself writes
TIMEOUT = "AgentTimeoutError"
# Harbor 0.26 counts the rewards of trials that ended so, and writes its policy beside each
# exception. For files of older versions these names stand in for it; after any other exception the
# reward says nothing about the agent.
COUNTED_NEVERTHELESS = frozenset(
    {
        TIMEOUT,
        "NonZeroAgentExitCodeError",
        "ContextWindowExceededError",
        "ContextLengthExceededError",
        "OutputTokenExceededError",
        "OutputLengthExceededError",
        "AgentSafetyRefusalError",
        "ContentPolicyViolationError",
    }
)


def read_trial(path: Path, trial: dict[str, Any], options: "ReadOptions") -> "Iterator[ReadItem]":
    """Yield the record of one trial, and what its job states about it.

    Raises
    ------
    UnreadableSourceError
        The file is foreign, names no data set, or holds several rewards of which none is chosen.
    """
    quantities = Quantities()
    record = trial_record(path, trial, options, quantities=quantities)
    yield record
    yield from quantities.notes()
    others = [name for name in _rewards(trial) if name != record.metric.name]
    if others:
        text = f"read the reward {record.metric.name}; it also holds {', '.join(sorted(others))}"
        yield Note(code="other-metrics", text=text)
    stated = _stated(path.parent.parent).get(str(trial.get("trial_name")), {})
    if record.kind == "valid" and record.metric.name in stated:
        value = stated[record.metric.name]
        name = f"{record.metric.name} of this trial in the job's result.json"
        yield StatedAggregate(name=name, value=value, tolerance=rounding(value))


def trial_record(
    path: Path, trial: dict[str, Any], options: "ReadOptions", *, quantities: Quantities
) -> Record:
    """Return the record of one trial; raises as `read_trial`."""
    task, agent = selector(trial), mapping(trial.get("agent_info"))
    scaffold = str(agent.get("name") or "")
    if not task or not (scaffold or options.agent):
        raise foreign(path, WHAT, "none of its task_name and agent_info")
    source = str(trial.get("source") or "")
    benchmark = options.benchmark or Path(source).name
    if not benchmark:
        raise foreign(path, "a Harbor trial of a data set", "one without: use --benchmark NAME")
    job = path.parent.parent
    config = mapping(trial.get("config"))
    metric, score = _reward(path, trial, options)
    kind = outcome(trial, score)
    settings = mapping(config.get("agent")).get("kwargs")
    contexts = _contexts(trial)
    return Record(
        benchmark=benchmark,
        task_id=task,
        agent=_label(trial) or options.agent,
        score=score if kind == "valid" else None,
        kind=kind,
        attempt=_attempt(path),
        run_id=str(config.get("job_id") or job.name),
        model=_model(trial),
        scaffold=scaffold,
        agent_version=str(agent.get("version") or ""),
        settings={"kwargs": settings} if settings else {},
        harness="harbor",
        started=_job_start(job) or moment(trial.get("started_at")),
        cost_usd=quantities.cost(*(each.get("cost_usd") for each in contexts)),
        tokens=quantities.tokens(
            *(each.get(f"n_{kind}_tokens") for each in contexts for kind in ("input", "output"))
        ),
        duration_s=seconds_between(trial.get("started_at"), trial.get("finished_at")),
        task_digest=str(trial.get("task_checksum") or ""),
        source_key=str(trial.get("id") or ""),
        metric=metric,
        benchmark_version=_version(job, source),
        errored=_errored(trial, kind),
    )


def selector(trial: dict[str, Any]) -> str:
    """Return the name by which Harbor selects a task, which its own name need not be."""
    known = mapping(trial.get("task_id"))
    if known.get("org") and known.get("name"):
        return f"{known['org']}/{known['name']}"
    if known.get("path"):
        return Path(str(known["path"])).name
    return str(trial.get("task_name") or "")


def exceptions(trial: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the exceptions of a trial and of its steps."""
    steps = trial.get("step_results")
    owners = [trial, *(steps if isinstance(steps, list) else [])]
    found = (mapping(owner).get("exception_info") for owner in owners)
    return [each if isinstance(each, dict) else {} for each in found if each]


def tells_policy(trial: dict[str, Any]) -> bool:
    """Whether the file itself says which rewards count, as of Harbor 0.26."""
    return "reward_valid" in trial or any("policy" in each for each in exceptions(trial))


def outcome(trial: dict[str, Any], score: float | None) -> OutcomeKind:
    """Return what a trial ended in, by Harbor's own policy."""
    told = trial.get("reward_valid")
    fatal = [] if told is True else [each for each in exceptions(trial) if not _counted(each)]
    if fatal:
        name = str(fatal[0].get("exception_type"))
        if "Cancel" in name:
            return "cancelled"
        return "grader_error" if name.startswith(("Verifier", "Reward")) else "infra_error"
    return "missing" if score is None or told is False else "valid"


def raw_reward(trial: dict[str, Any], name: str) -> float:
    """Return what Harbor before 0.26 counted a trial as: any reward, and none as 0."""
    return truth_or_number(_rewards(trial).get(name)) or 0.0


def _counted(exception: dict[str, Any]) -> bool:
    told = mapping(exception.get("policy")).get("has_valid_reward")
    if isinstance(told, bool):
        return told
    return exception.get("exception_type") in COUNTED_NEVERTHELESS


def _errored(trial: dict[str, Any], kind: OutcomeKind) -> bool:
    """Whether it ended in an exception; time that ran out is a limit, unless nothing was graded."""
    names = {str(each.get("exception_type")) for each in exceptions(trial)}
    return bool(names - {TIMEOUT}) or (bool(names) and kind != "valid")


def _rewards(trial: dict[str, Any]) -> dict[str, Any]:
    return mapping(mapping(trial.get("verifier_result")).get("rewards"))


def _reward(
    path: Path, trial: dict[str, Any], options: "ReadOptions"
) -> tuple[Metric, float | None]:
    """Return the metric and its value; None where the trial has none."""
    rewards = _rewards(trial)
    if not rewards:
        return Metric(name=options.metric or _usual(path.parent.parent)), None
    name = options.metric or (next(iter(rewards)) if len(rewards) == 1 else REWARD)
    if name not in rewards:
        wanted = f"a reward called {name}" if options.metric else "one reward, or one called reward"
        got = f"{', '.join(sorted(rewards))}: choose with --metric NAME"
        raise foreign(path, wanted, got)
    return Metric(name=name), truth_or_number(rewards[name])


def _usual(job: Path) -> str:
    """Return the reward that the other trials of a job have."""
    names = {name for rewards in _stated(job).values() for name in rewards}
    return next(iter(names)) if len(names) == 1 else REWARD


def _contexts(trial: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the agent used, by step where the trial has steps only."""
    whole = trial.get("agent_result")
    if isinstance(whole, dict):
        return [whole]
    steps = trial.get("step_results")
    return [
        mapping(mapping(each).get("agent_result"))
        for each in (steps if isinstance(steps, list) else [])
    ]


def _model(trial: dict[str, Any]) -> str:
    about = mapping(mapping(trial.get("agent_info")).get("model_info"))
    return "/".join(str(part) for part in (about.get("provider"), about.get("name")) if part)


def _label(trial: dict[str, Any]) -> str:
    name, model = str(mapping(trial.get("agent_info")).get("name") or ""), _model(trial)
    return f"{name} ({model})" if name and model else name


def _same_cell(trial: dict[str, Any]) -> tuple[str, ...]:
    """Return what two trials have in common that are attempts of one agent at one task."""
    settings = mapping(mapping(trial.get("config")).get("agent")).get("kwargs")
    version = str(mapping(trial.get("agent_info")).get("version"))
    source = str(trial.get("source"))
    return (source, selector(trial), _label(trial), version, repr(settings))


def _attempt(path: Path) -> int:
    """Return the number of a trial among those of its agent at its task, by name of folder.

    Harbor cuts the names of tasks to 32 characters for these folders, so that several tasks may
    share the beginning of theirs: the files say which task they are of.
    """
    job, folder = path.parent.parent, path.parent.name
    stem = folder.rpartition("__")[0]
    siblings = _folders(job, job.stat().st_mtime_ns).get(stem, ())
    if not stem or len(siblings) < 2 or folder not in siblings:
        return 0
    numbers = _numbers(job, siblings)
    if folder not in numbers:  # it was written after the others had been looked at
        _numbers.cache_clear()
        numbers = _numbers(job, siblings)
    return numbers.get(folder, 0)


@lru_cache(maxsize=8)
def _folders(job: Path, changed: int) -> dict[str, tuple[str, ...]]:
    """Return the folders of a job's trials by stem; `changed` only tells when to look again."""
    del changed
    found: dict[str, list[str]] = {}
    for folder in sorted(each.name for each in job.iterdir() if each.is_dir()):
        found.setdefault(folder.rpartition("__")[0], []).append(folder)
    return {stem: tuple(names) for stem, names in found.items()}


@lru_cache(maxsize=64)
def _numbers(job: Path, folders: Sequence[str]) -> dict[str, int]:
    """Return the numbers of the trials in some folders of a job; unreadable ones have none."""
    found: dict[str, int] = {}
    counts: Counter[tuple[str, ...]] = Counter()
    for folder in folders:
        try:
            cell = _same_cell(load_object(job / folder / "result.json", WHAT))
        except UnreadableSourceError:
            continue
        found[folder] = counts[cell]
        counts[cell] += 1
    return found


def job_file(job: Path) -> dict[str, Any]:
    """Return a job's own file; empty where it is absent, or half written while the job runs."""
    path = job / "result.json"
    try:
        return _job_file(path, path.stat().st_mtime_ns)
    except (OSError, UnreadableSourceError):
        return {}


@lru_cache(maxsize=4)
def _job_file(path: Path, changed: int) -> dict[str, Any]:
    del changed
    return load_object(path, "the result.json of a Harbor job")


def _job_start(job: Path) -> "datetime | None":
    return moment(job_file(job).get("started_at"))


def _stated(job: Path) -> dict[str, dict[str, float]]:
    """Return the rewards that a job's file states for each trial."""
    path = job / "result.json"
    try:
        return _rewards_of(job, path.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=4)
def _rewards_of(job: Path, changed: int) -> dict[str, dict[str, float]]:
    del changed
    found: dict[str, dict[str, float]] = {}
    for stats in mapping(mapping(job_file(job).get("stats")).get("evals")).values():
        for name, values in mapping(mapping(stats).get("reward_stats")).items():
            for text, trials in mapping(values).items():
                value = written_number(text)
                if value is not None and isinstance(trials, list):
                    for trial in trials:
                        found.setdefault(str(trial), {})[name] = value
    return found


def _version(job: Path, source: str) -> str:
    """Return the version of a data set that the job's settings name; empty where they do not."""
    try:
        config = _config(job)
    except UnreadableSourceError:
        return ""
    datasets = config.get("datasets")
    named = [
        each
        for each in (datasets if isinstance(datasets, list) else [])
        if isinstance(each, dict) and source in (each.get("name"), each.get("path"))
    ]
    if len(named) != 1:
        return ""
    return str(named[0].get("version") or named[0].get("ref") or "")


@lru_cache(maxsize=8)
def _config(job: Path) -> dict[str, Any]:
    return load_optional(job / "config.json", "the config.json of a Harbor job")
