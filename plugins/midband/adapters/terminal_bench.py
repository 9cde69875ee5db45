"""Terminal-bench before Harbor: ``results.json`` of a run or of a trial."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import Adapter, ImportOnly
from midband.adapters.files import (
    content_hash,
    foreign,
    list_of_objects,
    load_object,
    mapping,
    moment,
    number,
    seconds_between,
    start_of,
)
from midband.adapters.stated import Quantities, choose_metric, counted, errors_counted, rounding
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Note, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

_WHAT = "results of terminal-bench"
_TRIAL = re.compile(r"\.(?P<attempt>\d{1,6})-of-\d+")
# "20250923_droid_opus-4-1", as the leaderboard calls a submission.
_SUBMISSION = re.compile(r"(?:\d{8}|\d{4}-\d{2}-\d{2})_(?P<rest>[^_].*_.*[^_])")
_NOBODY = frozenset({"none", "null", "unknown", "n/a"})
RESOLVED = Metric(name="is_resolved", declared="source")
# Ends that are not the agent's doing. Where the tests gave no verdict, nothing is resolved either.
_INFRASTRUCTURE = frozenset({"agent_installation_failed", "unknown_agent_error", "unknown"})


def sniff(path: Path) -> bool:
    """Whether a file is named like results and begins with a trial."""
    start = start_of(path, "results.json")
    return b'"trial_name":' in start and b'"instruction":' in start


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Read one file; a trial in the run's file and in its own is one attempt.

    Terminal-bench counts every trial that is not resolved as failed, whatever it ended in.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        Of which `benchmark` overrides the name of the data set, and `agent`, `scaffold` and
        `model` stand in for what ``run_metadata.json`` or the folder of a submission would tell.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign, or nothing names the agent.
    """
    data = load_object(path, _WHAT)
    choose_metric(path, options, "is_resolved")
    run = _metadata(path)
    who, notes = _who(path, run, options)
    whole = "results" in data
    # What is to be said of a run is said of its own file, not of every trial again.
    above = [folder / "results.json" for folder in path.absolute().parents[2:3]]
    told = not whole and any(file.is_file() for file in above)
    yield from () if told else notes
    name = options.benchmark or str(run.get("dataset_name") or who.benchmark or "terminal-bench")
    settings = run.get("agent_kwargs")
    quantities = Quantities()
    errors = 0
    for trial in list_of_objects(data.get("results", [data]), path, _WHAT):
        task, trial_name = trial.get("task_id"), str(trial.get("trial_name") or "")
        if not task or not trial_name:
            raise foreign(path, _WHAT, "a trial without task_id and trial_name")
        numbered = _TRIAL.search(trial_name)
        place = str(trial.get("recording_path") or "").split("/")[0]
        run_id = str(run.get("run_id") or place or who.run_id)
        errored = (
            str(trial.get("failure_mode")) in _INFRASTRUCTURE or trial.get("is_resolved") is None
        )
        errors += errored
        yield Record(
            benchmark=name,
            task_id=str(task),
            agent=who.agent,
            score=_resolved(trial),
            attempt=max(int(numbered["attempt"]) - 1, 0) if numbered else 0,
            run_id=run_id,
            model=who.model,
            scaffold=who.scaffold,
            settings={"agent_kwargs": settings} if settings else {},
            harness="terminal-bench",
            started=moment(run.get("start_time")),
            tokens=quantities.tokens(
                trial.get("total_input_tokens"), trial.get("total_output_tokens")
            ),
            duration_s=seconds_between(trial.get("agent_started_at"), trial.get("agent_ended_at")),
            task_digest=content_hash(trial.get("instruction") or ""),
            source_key=f"terminal_bench/{name}/{who.agent}/{run_id}/{trial_name}",
            metric=RESOLVED,
            benchmark_version=str(run.get("dataset_version") or who.version),
            errored=errored,
        )
    what = "trials ended in an error or without a verdict of the tests; terminal-bench counts them"
    yield from errors_counted(0 if told else errors, f"{what} as failed", options)
    yield from quantities.notes()
    if whole:
        yield from _stated(data, run)


def _resolved(trial: dict[str, Any]) -> float:
    """Return 1 for a trial whose tests passed, as its own accuracy counts, and 0 for any other."""
    return float(trial.get("is_resolved") is True)


def _stated(data: dict[str, Any], run: dict[str, Any]) -> Iterator[StatedAggregate]:
    """Yield what a run's file and its ``run_metadata.json`` say about it."""
    resolved, unresolved = number(data.get("n_resolved")), number(data.get("n_unresolved"))
    yield from counted("n_resolved", resolved, "passed")
    if resolved is not None and unresolved is not None:
        yield from counted("n_resolved and n_unresolved", resolved + unresolved, "attempts")
    own, beside = number(data.get("accuracy")), number(run.get("accuracy"))
    for name, accuracy in (("accuracy", own), ("accuracy in run_metadata.json", beside)):
        if accuracy is None:
            continue
        stale = own is not None and abs(accuracy - own) > rounding(accuracy)
        yield StatedAggregate(
            name=name,
            value=accuracy,
            missing="failed",
            tolerance=rounding(accuracy),
            not_checkable="results.json beside it states another" if stale else "",
        )
    for attempts, value in mapping(data.get("pass_at_k")).items():
        found = number(value)
        if found is not None:
            why = "it is of several attempts at once"
            yield StatedAggregate(name=f"pass@{attempts}", value=found, not_checkable=why)


@dataclass(frozen=True, kw_only=True)
class _Who:
    """Who ran, and what the folders of a submission say of the run besides."""

    agent: str
    scaffold: str
    model: str
    benchmark: str = ""
    version: str = ""
    run_id: str = ""


def _who(path: Path, run: dict[str, Any], options: ReadOptions) -> tuple[_Who, list[Note]]:
    """Name the agent: by the metadata, by the options, or by the folder of a submission."""
    scaffold = str(run.get("agent_name") or "")
    settings = mapping(run.get("agent_kwargs"))
    named = (run.get("model_name"), settings.get("model_name"), settings.get("model"))
    model = next((str(each) for each in named if each and str(each).lower() not in _NOBODY), "")
    place = _submission(path)
    notes = []
    label = ""
    if options.agent or options.model:
        scaffold, model = options.scaffold or scaffold, options.model or model
        label = options.agent or (f"{scaffold} ({model})" if scaffold else "")
    elif scaffold and model:
        label = f"{scaffold} ({model})"
    elif place is not None:
        code, lacking = "agent-from-folder", "no model" if scaffold else "no agent"
        known = _plain(scaffold)
        parts = [place.rest.split("_", cut) for cut in range(1, place.rest.count("_") + 1)]
        ends = [("_".join(each[:-1]), each[-1]) for each in parts]
        fitting = [end for end in ends if known and _plain(end[0]) == known] or ends
        if len(fitting) == 1:
            scaffold, model = scaffold or fitting[0][0], fitting[0][1]
            label = f"{scaffold} ({model})"
        else:  # nothing tells where the agent ends and the model begins
            label = f"{scaffold} ({place.rest})" if scaffold else place.rest
        text = f"run_metadata.json names {lacking}, so the folder {place.folder} names the agent"
        notes.append(Note(code=code, text=f"{text}: {label}"))
    elif scaffold:
        label = scaffold
        text = f"no model is named for {scaffold}: where several were run, name each with --model"
        notes.append(Note(code="model-unknown", text=text))
    if not label:
        got = (
            "no run_metadata.json with agent_name beside or above it: copy the whole run, or name"
            " who ran with --agent NAME"
        )
        raise foreign(path, _WHAT, got)
    about = place or _Place()
    return _Who(
        agent=label,
        scaffold=scaffold,
        model=model,
        benchmark=about.benchmark,
        version=about.version,
        run_id=about.run_id or path.absolute().parent.name,
    ), notes


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a file stands in the leaderboard: ``<data set>/<date>_<agent>_<model>/<run>/``."""

    folder: str = ""
    rest: str = ""
    benchmark: str = ""
    version: str = ""
    run_id: str = ""


def _submission(path: Path) -> _Place | None:
    """Return the folder above that is named as submissions are; None where none or several are."""
    above = [path.absolute(), *path.absolute().parents]
    found: list[_Place] = []
    for below, folder in pairwise(above):
        match = _SUBMISSION.fullmatch(folder.name)
        if match is None:
            continue
        benchmark, _, version = folder.parent.name.replace(":", "@").partition("@")
        named = benchmark.startswith("terminal-bench")
        place = _Place(
            folder=folder.name,
            rest=match["rest"],
            benchmark=benchmark if named else "",
            version=version if named else "",
            run_id=below.name if below != above[0] else "",
        )
        if named:
            return place
        found.append(place)
    return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())


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


IMPORTER = Importer(
    name="terminal-bench",
    sniff=sniff,
    read=read,
    suffixes=(".json",),
    version=2,
    summary="Legacy terminal-bench results.json with run_metadata.json.",
)
ADAPTER = Adapter(
    IMPORTER,
    harnesses=[
        ImportOnly(
            importer=IMPORTER,
            results="Terminal-bench before Harbor: its results are read.",
            why="its tasks have moved to Harbor; use harbor with -d terminal-bench@2.0",
        )
    ],
)
