"""Harbor: a ``result.json`` a trial, the job's own only compared; and a job a round."""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import Adapter, CommandHarness
from midband.adapters.files import foreign, head, load_object, mapping, number
from midband.adapters.harbor.trials import (
    WHAT,
    exceptions,
    raw_reward,
    read_trial,
    tells_policy,
    trial_record,
)
from midband.adapters.stated import Quantities, fits, rounding
from midband.descriptors import Capabilities, Command, Importer, ReadOptions, Round
from midband_history import (
    InputError,
    Note,
    Reconciliation,
    Record,
    StatedAggregate,
    UnreadableSourceError,
)

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

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
_Trials = list[tuple[dict[str, Any], Record]]
_KEPT = ("reward_valid", "exception_info", "step_results", "verifier_result")
_DATASETS = ("-d", "--dataset", "-p", "--path", "--repo")


def sniff(path: Path) -> bool:
    """Whether a file is the result of a trial or of a job."""
    if path.name != "result.json" or not path.is_file():
        return False
    start = head(path)
    return (b'"task_name":' in start and b'"trial_name":' in start) or _of_job(start)


def _of_job(start: bytes) -> bool:
    return b'"n_total_trials":' in start and b'"stats":{' in start


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Read one trial; of a job's own file, no results, but its means are compared.

    Harbor does not number attempts: trials of one task are numbered in order of their names, and
    known again by their ids. Whether a reward counts after an exception is Harbor's own policy,
    which the file states as of 0.26.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        Of which `benchmark` overrides the name of the data set, and `metric` names the reward.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, is an aggregate without its trials or in contradiction to
        them, or holds several rewards of which none is chosen.
    """
    if _of_job(head(path)):
        yield from _read_job(path, options)
    else:
        yield from read_trial(path, load_object(path, WHAT), options)


def _read_job(path: Path, options: ReadOptions) -> "Iterator[ReadItem]":
    """Compare the means of a job with its trials, which are sources of their own.

    Raises
    ------
    UnreadableSourceError
        The file is truncated, its trials are gone, or one of its means cannot be explained.
    """
    job = load_object(path, "the result.json of a Harbor job")
    files = [each for each in sorted(path.parent.glob("*/result.json")) if "__" in each.parent.name]
    if not files:
        raise foreign(path, WHAT, "the aggregate of a job without its trials")
    stats = mapping(job.get("stats"))
    evals = mapping(stats.get("evals"))
    ended = number(stats.get("n_completed_trials", stats.get("n_trials")))
    if not any(mapping(each).get("metrics") for each in evals.values()):
        return
    try:
        groups, read = _groups(files, options)
    except UnreadableSourceError:
        yield _unchecked("the job's means", "some of its trials cannot be read")
        return
    if ended is not None and ended != read:
        yield _unchecked("the job's means", f"{read} of its {ended:g} trials are there")
        return
    for key, stat in evals.items():
        yield from _compare(path, key, mapping(stat), groups.get(key, []), options)


def _groups(files: list[Path], options: ReadOptions) -> tuple[dict[str, _Trials], int]:
    """Return the trials under the names by which the job's file states its means."""
    groups: dict[str, _Trials] = {}
    for file in files:
        trial = load_object(file, WHAT)
        record = trial_record(file, trial, options, quantities=Quantities())
        agent = mapping(trial.get("agent_info"))
        model = mapping(agent.get("model_info")).get("name")
        names = (agent.get("name"), model, trial.get("source") or "adhoc")
        key = "__".join(str(name) for name in names if name)
        slim = {name: trial.get(name) for name in _KEPT if name in trial}
        groups.setdefault(key, []).append((slim, record))
    return groups, len(files)


def _compare(
    path: Path, key: str, stat: dict[str, Any], trials: _Trials, options: ReadOptions
) -> Iterator[Note]:
    if not trials:
        return
    metric = next(record.metric.name for _, record in trials if record.metric.known)
    metrics = stat.get("metrics")
    for stated in metrics if isinstance(metrics, list) else []:
        for name, raw in mapping(stated).items():
            value = number(raw)
            if value is None or (len(stated) > 1 and name != metric):
                continue
            label = f"{name} of {key}"
            if name == "mean" or name == metric:
                yield from _judge(path, label, value, trials, options, certain=name == "mean")
            else:
                yield _unchecked(f"{label} {value:g}", "it is not a mean of rewards")


def _judge(
    path: Path,
    label: str,
    value: float,
    trials: _Trials,
    options: ReadOptions,
    *,
    certain: bool,
) -> Iterator[Note]:
    """Compare one mean; `certain` is whether the file says that it is one."""
    # Before it knew error policies, Harbor counted what has no reward as 0.
    modern = any(tells_policy(trial) for trial, _ in trials)
    reconciliation = Reconciliation()
    for _, record in trials:
        reconciliation.see(record)
    aggregate = StatedAggregate(
        name=label,
        value=value,
        missing="left out" if modern else "failed",
        tolerance=rounding(value),
    )
    explained, unexplained = reconciliation.judge([aggregate])
    yield from explained
    if not unexplained:
        return
    left_out = [
        trial
        for trial, record in trials
        if record.kind != "valid" and exceptions(trial) and not tells_policy(trial)
    ]
    raw = [raw_reward(trial, record.metric.name) for trial, record in trials]
    if left_out and fits(value, sum(raw) / len(raw), rounding(value)):
        text = f"{label} {value:g} counts {len(left_out)} rewards of trials that ended in an error"
        yield Note(code="aggregate-explained", text=f"{text}, which midband leaves out")
    elif not certain:
        yield _unchecked(f"{label} {value:g}", "the file does not say how it is computed")
    elif options.accept_difference:
        yield from unexplained
    else:
        wanted = "a job whose means follow from its trials"
        raise foreign(path, wanted, f"another one, {unexplained[0].text}: see --accept-difference")


def _unchecked(name: str, why: str) -> Note:
    return Note(code="not-checkable", text=f"{name} is not checkable: {why}")


IMPORTER = Importer(
    name="harbor",
    sniff=sniff,
    read=read,
    suffixes=(".json",),
    version=2,
    summary="Harbor jobs, a result.json a trial (terminal-bench 2).",
)


class HarborHarness(CommandHarness):
    """``harbor run -i TASK ...``, a job a round."""

    name = "harbor"
    summary = "Harbor (terminal-bench 2): a job a round, each task by its name."
    tested_versions = ("0.24.0",)
    capabilities = Capabilities(subset=True, rounds=True, attempts=True, costs=True)
    importer = IMPORTER
    results = WHAT
    program = package = "harbor"
    hint = "pip install harbor, with Python 3.12 or newer"
    refused = REFUSED
    abbreviated = False
    ids = "that Harbor can be given"

    def command(self, batch: Round, tasks: tuple[str, ...]) -> Command:
        """Return ``harbor run``.

        Harbor continues with a job of that name only where nothing was changed: where there is one,
        a round that is run again gets a job of its own.
        """
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


def _free_name(batch: Round) -> str:
    name, number = batch.name, 1
    while (batch.directory / name).exists():
        number += 1
        name = f"{batch.name}-{number}"
    return name


ADAPTER = Adapter(IMPORTER, harnesses=[HarborHarness()])
