"""Harbor jobs: one ``result.json`` a trial; the job's own ``result.json`` is never counted."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from midband._descriptors import Importer
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
from midband_history import OutcomeKind, Record, UnreadableSourceError

_WHAT = "the result.json of a Harbor trial"
# Harbor grades what an agent left behind when its time was up; after any other exception the
# reward says nothing about the agent.
_GRADED_NEVERTHELESS = frozenset({"AgentTimeoutError"})


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
    task, agent = trial.get("task_name"), mapping(trial.get("agent_info"))
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
            task_id=str(task),
            agent=f"{agent['name']} ({model})" if model else str(agent["name"]),
            score=score,
            kind=kind,
            attempt=_attempt(path, str(task)),
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
