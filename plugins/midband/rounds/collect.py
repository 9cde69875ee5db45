"""Reading what a round left: by which metric, and whether it is what was asked for."""

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._ranking import check_metric, is_old, score_by
from midband.importers.reading import apply_options, call_reader, with_scale
from midband.rounds.journal import AttemptResult, EarlierResults, RoundEnd, amount, odd_notes
from midband_history import InputError, Metric, MidbandError, UnreadableSourceError
from midband_sampler import DigestMismatchError

if TYPE_CHECKING:
    from midband.descriptors import Harness, ReadOptions
    from midband_history import Record
    from midband_sampler import Plan


def says_metric(harness: "Harness") -> bool:
    """Whether a harness can be told which metric to read, and so names it."""
    parameters = inspect.signature(harness.read_results).parameters
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return open_ended or "options" in parameters


def plan_to_read_by(
    plan: "Plan",
    harness: "Harness",
    reading: "ReadOptions",
    *,
    begun: Mapping[str, Any],
    note: Callable[[str], None],
) -> "Plan":
    """Return the plan with the metric by which a run's results are read.

    It is settled before money is spent.

    Parameters
    ----------
    plan : Plan
    harness : Harness
    reading : ReadOptions
        What the user says about the results.
    begun : mapping
        How the run was begun, by its journal; empty for a new one. What was said then holds.
    note : callable
        Told one line where the run continues without knowing its metric.

    Raises
    ------
    InputError
        The user names another metric or scale than the plan's or than before, or the plan does not
        know its metric and nobody has named it.
    """
    said, before = reading.metric, str(begun.get("metric") or "")
    if plan.metric is not None:
        if said and said != plan.metric.label:
            msg = (
                f"expected results by {plan.metric.label}, the metric of the plan, got --metric"
                f" {said}: leave it out, or make a plan for {said}"
            )
            raise InputError(msg)
        stated = with_scale(plan.metric, reading)
        check_metric(plan, replace(stated, declared="user") if stated != plan.metric else stated)
        return plan
    if said and before and said != before:
        msg = (
            f"expected --metric {before}, with which the run was begun, got {said}: repeat it, or"
            " use another directory"
        )
        raise InputError(msg)
    if said or before:
        return replace(plan, metric=with_scale(Metric(name=said or before), reading))
    if is_old(plan):
        note("the plan was made by midband 0.1 and does not say which metric it is about")
    elif says_metric(harness):
        msg = (
            f"expected a plan that knows its metric, got one of {plan.benchmark} that does not:"
            " name the metric that its scores are by with --metric NAME"
        )
        raise InputError(msg)
    return plan


def reading_by(plan: "Plan", reading: "ReadOptions") -> "ReadOptions":
    """Return how results are read: by the plan's metric, as the user says of the rest.

    A scale that a person stated for the history holds for the results too. One that sources
    declare is theirs to declare again.
    """
    options, metric = replace(reading, benchmark=plan.benchmark), plan.metric
    if metric is None:
        return options
    if metric.declared == "user":
        scale = (metric.low, metric.high)
        options = replace(options, scale=scale, lower_is_better=metric.lower_is_better)
    return replace(options, metric=metric.label)


def metric_found(
    harness: "Harness", path: Path, *, plan: "Plan", reading: "ReadOptions"
) -> Metric | None:
    """Return the metric of the first result at `path` that names one; None where none does."""
    if not path.exists():
        return None
    records, _ = _read(harness, path, reading_by(plan, reading))
    return next((record.metric for record in records if record.metric.known), None)


def collect(
    harness: "Harness",
    path: Path,
    end: RoundEnd,
    *,
    plan: "Plan",
    earlier: EarlierResults,
    reading: "ReadOptions",
    named: bool = False,
    allow_changed: bool,
) -> RoundEnd:
    """Return the end of a round with what it left at `path`, its scores in [0, 1].

    Parameters
    ----------
    harness : Harness
    path : Path
        Absent if the round left nothing.
    end : RoundEnd
        With everything but the results.
    plan : Plan
        With the metric by which results are read, see `plan_to_read_by`.
    earlier : EarlierResults
    reading : ReadOptions
        What the user says about the results.
    named : bool
        Whether the user said that results without a metric are by the plan's.
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.

    Raises
    ------
    InputError
        There are results of several agents, or by another metric than the plan's.
    DigestMismatchError
        A task's content has changed since the plan was made.
    MidbandError
        The harness's adapter failed.
    """
    records: list[Record] = []
    if path.exists():
        options = reading_by(plan, reading)
        records, unreadable = _read(harness, path, options)
        if unreadable and options.metric:
            # A file that lacks the plan's metric is told from a torn one by reading what it has.
            for record in _read(harness, path, replace(options, metric=""))[0]:
                score_by(plan, record)
        end = replace(end, unreadable=unreadable)
    metric = plan.metric
    if metric is not None and (named or not says_metric(harness)):
        unnamed = [record for record in records if not record.metric.known]
        if any(record.score is not None for record in unnamed):
            note = f"the results name no metric: taken as {metric.label}"
            end = replace(end, notes=(*end.notes, note))
            records = [
                each if each.metric.known else replace(each, metric=metric) for each in records
            ]
    return _sorted_out(records, end, plan=plan, earlier=earlier, allow_changed=allow_changed)


def _read(
    harness: "Harness", path: Path, options: "ReadOptions"
) -> "tuple[list[Record], tuple[str, ...]]":
    """Return what can be read, and why the rest cannot."""
    records: list[Record] = []
    try:
        for record in call_reader(harness.read_results, path, options):
            records.append(apply_options(record, replace(options, metric="")))
    except UnreadableSourceError as error:
        return records, (" ".join(str(error).split()),)
    except MidbandError:
        raise
    except (Exception, SystemExit) as error:  # a fault of the adapter, not of the user
        msg = (
            f"expected {harness.name} to read {path}, its adapter failed,"
            f" {type(error).__name__}: {error}: report it to its authors; nothing is lost"
        )
        raise MidbandError(msg) from error
    return records, ()


def _sorted_out(
    records: "list[Record]",
    end: RoundEnd,
    *,
    plan: "Plan",
    earlier: EarlierResults,
    allow_changed: bool,
) -> RoundEnd:
    """Return the end of a round with those records that are new and were asked for."""
    keys, attempts = set(earlier.keys), set(earlier.attempts)
    agents = dict.fromkeys(filter(None, (earlier.agent,)))
    odd: Counter[str] = Counter()
    size = Counter(record.run_id for record in records)
    results: list[AttemptResult] = []
    extra: set[str] = set()
    extras, duplicates = dict.fromkeys(("usd", "seconds", "tokens"), 0.0), 0
    for record in records:
        place = (record.task_id, record.attempt)
        if (record.source_key and record.source_key in keys) or place in attempts:
            duplicates += 1
            continue
        keys.add(record.source_key)
        attempts.add(place)
        costs = {
            "usd": _cost(record, size[record.run_id], odd),
            "seconds": amount(record.duration_s, "duration", odd),
            "tokens": amount(record.tokens, "number of tokens", odd),
        }
        if record.task_id not in end.tasks:
            extra.add(record.task_id)
            for unit, cost in costs.items():
                extras[unit] += cost or 0.0
            continue
        agents[record.agent] = None
        if not allow_changed:
            _check_content(plan, record)
        results.append(
            AttemptResult(
                task=record.task_id,
                attempt=record.attempt,
                score=score_by(plan, record),
                kind=record.kind,
                cost_usd=costs["usd"],
                seconds=costs["seconds"],
                tokens=costs["tokens"],
                key=record.source_key,
            )
        )
    if len(agents) > 1:
        msg = (
            f"expected results of one agent in {end.name}, got {' and '.join(sorted(agents))}:"
            " run one agent in one directory"
        )
        raise InputError(msg)
    return replace(
        end,
        results=tuple(results),
        extra=tuple(sorted(extra)),
        extra_usd=extras["usd"],
        extra_seconds=extras["seconds"],
        extra_tokens=extras["tokens"],
        duplicates=duplicates,
        agent=next(iter(agents), ""),
        notes=(*end.notes, *odd_notes(odd)),
    )


def _cost(record: "Record", attempts: int, odd: "Counter[str]") -> float | None:
    """Return the cost of an attempt; where only that of its run is known, an equal share."""
    if record.cost_usd is not None:
        return amount(record.cost_usd, "cost", odd)
    whole = amount(record.run_cost_usd, "cost", odd, attempts=attempts)
    return None if whole is None else whole / attempts


def _check_content(plan: "Plan", record: "Record") -> None:
    expected = plan.task_digests.get(record.task_id, "")
    if expected and record.task_digest not in ("", expected):
        msg = (
            f"expected task {record.task_id!r} as it was when the plan was made (digest"
            f" {expected}), got another content ({record.task_digest}): make a new plan, or pass"
            " --allow-changed"
        )
        raise DigestMismatchError(msg)
