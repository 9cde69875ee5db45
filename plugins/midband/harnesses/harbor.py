"""Harbor: a ``result.json`` a trial, the job's own never counted; and a job a round."""

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._descriptors import Importer
from midband._harness import Capabilities, Command, Probe, Round, subset_of
from midband.harnesses._adapting import look_for, read_below, refuse, refuse_ids, tasks_of
from midband.harnesses._files import (
    foreign,
    head,
    load_object,
    mapping,
    moment,
    number,
    seconds_between,
    total,
    unit_score,
)
from midband.hookspecs import hookimpl
from midband_history import InputError, OutcomeKind, Record, UnreadableSourceError

if TYPE_CHECKING:
    from midband._harness import Harness
    from midband_sampler import Plan

_WHAT = "the result.json of a Harbor trial"
# Harbor grades what an agent left behind when its time was up; after any other exception the
# reward says nothing about the agent.
_GRADED_NEVERTHELESS = frozenset({"AgentTimeoutError"})
_TASKS = "midband names the tasks"
_SELF = "midband sets it"
_NO_RESULT = "there would be no results to read"
# What midband sets itself, and what would make a round other than it seems.
REFUSED = {
    **dict.fromkeys(("--include-task-name", "-i", "--exclude-task-name", "-x"), _TASKS),
    **dict.fromkeys(("--n-tasks", "-l", "--task", "-t"), _TASKS),
    **dict.fromkeys(("--n-attempts", "-k"), "it is --attempts of midband"),
    **dict.fromkeys(("--job-name", "--jobs-dir", "-o"), _SELF),
    **dict.fromkeys(("--launch", "--dry-run", "--print-config", "--install-only"), _NO_RESULT),
    "--disable-verification": _NO_RESULT,
    "--diff": "it would take results of another job for the round's",
}
_DATASETS = ("-d", "--dataset", "-p", "--path", "--repo")


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the harness to ``midband export`` and ``midband run``."""
    return [HarborHarness()]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="harbor",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="Harbor jobs, a result.json a trial (terminal-bench 2).",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file is the result of a trial or of a job."""
    if path.name != "result.json" or not path.is_file():
        return False
    start = head(path)
    return (b'"task_name":' in start and b'"trial_name":' in start) or _of_job(start)


def _of_job(start: bytes) -> bool:
    return b'"n_total_trials":' in start and b'"stats":{' in start


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> list[Record]:
    """Read one trial; of a job's aggregate, nothing.

    Harbor does not number attempts: trials of one task are numbered in order of their names, and
    known again by their ids.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides the name of the data set.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or is an aggregate without its trials.
    """
    del columns
    if _of_job(head(path)):
        if not any(path.parent.glob("*__*/result.json")):
            raise foreign(path, _WHAT, "the aggregate of a job without its trials")
        return []
    trial = load_object(path, _WHAT)
    task, agent = _selector(trial), mapping(trial.get("agent_info"))
    if not task or not agent.get("name"):
        raise foreign(path, _WHAT, "none of its task_name and agent_info")
    config = mapping(trial.get("config"))
    about = mapping(agent.get("model_info"))
    model = "/".join(str(part) for part in (about.get("provider"), about.get("name")) if part)
    used = mapping(trial.get("agent_result"))
    score, kind = _outcome(trial)
    source = benchmark or Path(str(trial.get("source") or "")).name
    if not source:
        raise foreign(path, "a Harbor trial of a data set", "one without: use --benchmark NAME")
    options = mapping(config.get("agent")).get("kwargs")
    return [
        Record(
            benchmark=source,
            task_id=task,
            agent=f"{agent['name']} ({model})" if model else str(agent["name"]),
            score=score,
            kind=kind,
            attempt=_attempt(path, str(trial.get("task_name"))),
            run_id=str(config.get("job_id") or path.parent.parent.name),
            model=model,
            scaffold=str(agent["name"]),
            agent_version=str(agent.get("version") or ""),
            settings={"kwargs": options} if options else {},
            harness="harbor",
            started=_job_start(path.parent.parent) or moment(trial.get("started_at")),
            cost_usd=number(used.get("cost_usd")),
            tokens=total(used.get("n_input_tokens"), used.get("n_output_tokens")),
            duration_s=seconds_between(trial.get("started_at"), trial.get("finished_at")),
            task_digest=str(trial.get("task_checksum") or ""),
            source_key=str(trial.get("id") or ""),
        )
    ]


def _selector(trial: dict[str, Any]) -> str:
    """Return the name by which Harbor selects a task, which its own name need not be."""
    known = mapping(trial.get("task_id"))
    if known.get("org") and known.get("name"):
        return f"{known['org']}/{known['name']}"
    if known.get("path"):
        return Path(str(known["path"])).name
    return str(trial.get("task_name") or "")


def _outcome(trial: dict[str, Any]) -> tuple[float | None, OutcomeKind]:
    trouble = mapping(trial.get("exception_info")).get("exception_type")
    if trial.get("exception_info") and trouble not in _GRADED_NEVERTHELESS:
        if "Cancel" in str(trouble):
            return None, "cancelled"
        verifier = str(trouble).startswith(("Verifier", "Reward"))
        return None, "grader_error" if verifier else "infra_error"
    rewards = mapping(mapping(trial.get("verifier_result")).get("rewards"))
    only = next(iter(rewards.values())) if len(rewards) == 1 else None
    score = unit_score(rewards.get("reward", only))
    return score, "missing" if score is None else "valid"


def _attempt(path: Path, task: str) -> int:
    job = path.parent.parent
    # A trial's folder is named after its task, cut to a length, and an id.
    stem = path.parent.name.rpartition("__")[0] or task
    names = _trials(str(job), job.stat().st_mtime_ns).get(stem, ())
    return names.index(path.parent.name) if path.parent.name in names else 0


@lru_cache(maxsize=8)
def _trials(job: str, changed: int) -> dict[str, tuple[str, ...]]:
    """Return the folders of a job's trials by task; `changed` only tells when to look again."""
    del changed
    found: dict[str, list[str]] = {}
    for folder in sorted(each.name for each in Path(job).iterdir() if each.is_dir()):
        found.setdefault(folder.rpartition("__")[0], []).append(folder)
    return {stem: tuple(names) for stem, names in found.items()}


@lru_cache(maxsize=8)
def _job_start(job: Path) -> datetime | None:
    """Return when a job began; its file may be half written while it runs."""
    path = job / "result.json"
    try:
        return moment(load_object(path, _WHAT).get("started_at")) if path.is_file() else None
    except UnreadableSourceError:
        return None


@dataclass(frozen=True, kw_only=True)
class HarborHarness:
    """``harbor run -i TASK ...``, a job a round."""

    name: str = "harbor"
    summary: str = "Harbor (terminal-bench 2): a job a round, each task by its name."
    tested_versions: tuple[str, ...] = ("0.24.0",)
    capabilities: Capabilities = Capabilities(subset=True, rounds=True, attempts=True, costs=True)  # noqa: RUF009 - frozen

    def probe(self) -> Probe:
        """Look for the ``harbor`` command."""
        hint = "pip install harbor, with Python 3.12 or newer"
        return look_for("harbor", package="harbor", hint=hint)

    def read_results(self, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
        """Yield the trials below `path`."""
        return read_below(path, sniff, read, benchmark=benchmark, what=_WHAT)

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write nothing: the command names the tasks."""
        _check_ids(subset_of(plan, tasks))
        directory.mkdir(parents=True, exist_ok=True)
        return ()

    def build_command(self, batch: Round) -> Command:
        """Return ``harbor run``; without arguments, capitals stand for what is missing.

        Harbor goes on with a job of that name only where nothing was changed: where there is one,
        a round that is run again gets a job of its own.
        """
        tasks = tasks_of(batch)
        _check_ids(tasks)
        refuse(batch.arguments, REFUSED, abbreviated=False)
        given = {word.partition("=")[0] for word in batch.arguments}
        if batch.arguments and not given.intersection(_DATASETS):
            msg = (
                "expected -d DATASET or -p PATH for harbor run, got neither: say whose tasks to run"
            )
            raise InputError(msg)
        # fnmatch reads the names: a bracket in one is no pattern.
        patterns = [word for task in tasks for word in ("-i", glob.escape(task))]
        command = (
            *("harbor", "run", "--jobs-dir", str(batch.directory), "--job-name", _free_name(batch)),
            *("-k", str(batch.attempts), *patterns, "-y", "-q"),
            *(batch.arguments or ("-d", "DATASET", "-a", "AGENT", "-m", "MODEL")),
        )
        return Command(steps=(command,), results=batch.directory)


def _check_ids(tasks: Sequence[str]) -> None:
    refuse_ids(tasks, lambda task: not task, why="that Harbor can be given")


def _free_name(batch: Round) -> str:
    name, number = batch.name, 1
    while (batch.directory / name).exists():
        number += 1
        name = f"{batch.name}-{number}"
    return name
