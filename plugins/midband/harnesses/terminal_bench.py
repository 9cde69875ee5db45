"""Terminal-bench before Harbor: ``results.json`` of a run or of a trial."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._descriptors import Importer
from midband.harnesses._adapting import ImportOnly
from midband.harnesses._files import (
    content_hash,
    foreign,
    head,
    list_of_objects,
    load_object,
    moment,
    seconds_between,
    total,
)
from midband.hookspecs import hookimpl
from midband_history import OutcomeKind, Record

if TYPE_CHECKING:
    from midband._harness import Harness

_WHAT = "results of terminal-bench"
_TRIAL = re.compile(r"\.(?P<attempt>\d+)-of-\d+")
# Ends that are not the agent's doing, and those of the tests, after which nothing is resolved.
_INFRASTRUCTURE = frozenset({"agent_installation_failed", "unknown_agent_error", "unknown"})


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the harness, whose results are only read."""
    return [
        ImportOnly(
            name="terminal-bench",
            summary="Terminal-bench before Harbor: its results are read.",
            sniff=sniff,
            read=read,
            why="its tasks have moved to Harbor; use harbor with -d terminal-bench@2.0",
        )
    ]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="terminal_bench",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="Legacy terminal-bench results.json with run_metadata.json.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file is named like results and begins with a trial."""
    if not path.name.endswith("results.json") or not path.is_file():
        return False
    start = head(path)
    return b'"trial_name":' in start and b'"instruction":' in start


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> list[Record]:
    """Read one file; a trial in the run's file and in its own is one attempt.

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
        A file is truncated or foreign, or no ``run_metadata.json`` names the agent.
    """
    del columns
    data = load_object(path, _WHAT)
    run = _metadata(path)
    scaffold, model = str(run.get("agent_name") or ""), str(run.get("model_name") or "")
    if not scaffold:
        got = "no run_metadata.json with agent_name beside or above it: copy the whole run"
        raise foreign(path, _WHAT, got)
    name = benchmark or str(run.get("dataset_name") or "terminal-bench")
    agent = f"{scaffold} ({model})" if model else scaffold
    options = run.get("agent_kwargs")
    trials = list_of_objects(data.get("results", [data]), path, _WHAT)
    records = []
    for trial in trials:
        task, trial_name = trial.get("task_id"), str(trial.get("trial_name") or "")
        if not task or not trial_name:
            raise foreign(path, _WHAT, "a trial without task_id and trial_name")
        score, kind = _outcome(trial)
        numbered = _TRIAL.search(trial_name)
        run_id = str(run.get("run_id") or str(trial.get("recording_path") or "").split("/")[0])
        records.append(
            Record(
                benchmark=name,
                task_id=str(task),
                agent=agent,
                score=score,
                kind=kind,
                attempt=max(int(numbered["attempt"]) - 1, 0) if numbered else 0,
                run_id=run_id,
                model=model,
                scaffold=scaffold,
                settings={"agent_kwargs": options} if options else {},
                harness="terminal_bench",
                started=moment(run.get("start_time")),
                tokens=total(trial.get("total_input_tokens"), trial.get("total_output_tokens")),
                duration_s=seconds_between(
                    trial.get("agent_started_at"), trial.get("agent_ended_at")
                ),
                task_digest=content_hash(trial.get("instruction") or ""),
                source_key=f"terminal_bench/{name}/{agent}/{run_id}/{trial_name}",
            )
        )
    return records


def _outcome(trial: dict[str, Any]) -> tuple[float | None, OutcomeKind]:
    if trial.get("failure_mode") in _INFRASTRUCTURE:
        return None, "infra_error"
    resolved = trial.get("is_resolved")
    if isinstance(resolved, bool):
        return float(resolved), "valid"
    return None, "grader_error"  # the tests ran out of time or said nothing that can be read


def _metadata(path: Path) -> dict[str, Any]:
    """Return what is known of the run: from beside the file, or up to two folders above."""
    beside = path.with_name(path.name.removesuffix("results.json") + "run_metadata.json")
    above = [folder / "run_metadata.json" for folder in path.absolute().parents[:3]]
    for candidate in (beside, *above):
        if candidate.is_file():
            return _run_of(candidate, candidate.stat().st_mtime_ns)
    return {}


@lru_cache(maxsize=8)
def _run_of(path: Path, changed: int) -> dict[str, Any]:
    """Read it once for all trials of a run; `changed` only tells when to look again."""
    del changed
    return load_object(path, "the run_metadata.json of terminal-bench")
