"""A Harbor job's own file: no results of its own, but means that its trials must reproduce."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.harnesses._files import foreign, load_object, mapping, number
from midband.harnesses._harbor_trials import (
    WHAT,
    exceptions,
    raw_reward,
    tells_policy,
    trial_record,
)
from midband.harnesses._quantities import Quantities, rounding
from midband_history import (
    Note,
    Reconciliation,
    Record,
    StatedAggregate,
    UnreadableSourceError,
)

if TYPE_CHECKING:
    from midband.descriptors import ReadItem, ReadOptions

_Trials = list[tuple[dict[str, Any], Record]]


def read_job(path: Path, options: "ReadOptions") -> "Iterator[ReadItem]":
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


def _groups(files: list[Path], options: "ReadOptions") -> tuple[dict[str, _Trials], int]:
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


_KEPT = ("reward_valid", "exception_info", "step_results", "verifier_result")


def _compare(
    path: Path, key: str, stat: dict[str, Any], trials: _Trials, options: "ReadOptions"
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
    options: "ReadOptions",
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
    if left_out and abs(sum(raw) / len(raw) - value) <= rounding(value):
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
