"""The page of a history: what it holds of a benchmark, what it supports, and what it lacks."""

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from midband.report.history_facts import HistoryFacts, gather_history
from midband.report.history_sections import sections_of
from midband.report.page import Page
from midband.report.words import counted, percent
from midband.text import without_credentials

_CONFIDENCES = (0.95, 0.9)


def history_page(
    benchmark: str,
    *,
    history_path: Path | None = None,
    metric: str | None = None,
    version: str | None = None,
    command: str = "",
) -> Page:
    """Return the page of one benchmark of a history; parameters as in `midband history`."""
    from midband.cli.output import open_history

    with open_history(history_path, warned=False) as store:
        facts = gather_history(store, benchmark, metric=metric, version=version)
    return page_of(facts, command=command)


def page_of(facts: HistoryFacts, *, command: str = "") -> Page:
    """Say what the history holds, what it supports, and what it lacks."""
    matrix = facts.matrix
    return Page(
        title=f"History of {matrix.benchmark}",
        verdict=_verdict(facts),
        facts=_facts(facts, command),
        warnings=tuple(_warnings(facts)),
        missing=tuple(_missing(facts)),
        sections=sections_of(facts),
    )


def _verdict(facts: HistoryFacts) -> tuple[str, ...]:
    from midband_sampler import can_be_replayed

    matrix = facts.matrix
    if not matrix.agents:
        return (
            f"No agent has a score on {matrix.benchmark}, so this history supports no plan.",
            f"It holds {counted(facts.summary.attempts, 'attempt')}, none of them with a score.",
        )
    known = int(can_be_replayed(matrix).sum())
    held = f"{counted(len(matrix.agents), 'agent')} on {counted(len(matrix.tasks), 'task')}"
    first = f"This history holds the results of {held} of {matrix.benchmark}."
    return first, _support(facts, known), _rests_on(facts, known)


def _support(facts: HistoryFacts, known: int) -> str:
    """Say which guarantees the number of agents is enough for."""
    from midband_sampler import MIN_REFERENCE, agents_needed

    able = counted(known, "agent")
    if known < MIN_REFERENCE:
        verb = "is" if known == 1 else "are"
        return (
            f"It is too small for a plan that stops early: {able} ran at least half of the tasks,"
            f" and {MIN_REFERENCE} {'are' if verb else ''} needed to rank a new agent."
        )
    need = {
        level: max(MIN_REFERENCE, agents_needed(level, others=facts.others > 0))
        for level in _CONFIDENCES
    }
    enough = [level for level in _CONFIDENCES if known >= need[level]]
    with_others = " with the help of the other benchmarks" if facts.others else ""
    if _CONFIDENCES[0] in enough:
        return (
            f"It is big enough for every guarantee: {able} ran at least half of the tasks, and"
            f" {need[0.95]} are needed{with_others} to calibrate a plan at 95 % confidence."
        )
    if enough:
        return (
            f"It can calibrate a plan at 90 % confidence but not at 95 %{with_others}: {able} ran"
            f" at least half of the tasks, and {need[0.95]} are needed for 95 %."
        )
    return (
        f"It cannot calibrate a plan yet{with_others}: {able} ran at least half of the tasks, and"
        f" {need[0.9]} are needed for 90 % confidence; until then tasks run in random order with"
        " the always-valid bound."
    )


def _rests_on(facts: HistoryFacts, known: int) -> str:
    matrix = facts.matrix
    share = float(np.mean(matrix.attempts > 0)) if matrix.attempts.size else 0.0
    rates = matrix.pass_rates()
    inside = int(np.sum((rates >= 0.3 - 1e-9) & (rates <= 0.7 + 1e-9)))
    stale = sum(each.stale for each in facts.tasks.tasks)
    part = len(matrix.agents) - known
    rest = f" {counted(part, 'agent')} ran fewer than half of the tasks." if part else ""
    return (
        f"{percent(share, 0)} of all pairs of an agent and a task have a score.{rest}"
        f" {counted(inside, 'task')} of {len(matrix.tasks):,} {'lies' if inside == 1 else 'lie'} in"
        f" the band of 30-70 % pass rate, and {stale:,} no longer"
        f" {'separates' if stale == 1 else 'separate'} the newest agents."
    )


def _facts(facts: HistoryFacts, command: str) -> tuple[tuple[str, str], ...]:
    from midband import __version__

    summary, matrix = facts.summary, facts.matrix
    dates = "unknown"
    if summary.first is not None and summary.last is not None:
        first, last = summary.first.date().isoformat(), summary.last.date().isoformat()
        dates = first if first == last else f"{first} to {last}"
    cost = "unknown" if math.isnan(summary.cost_usd) else f"about ${summary.cost_usd:,.2f}"
    named = [("Command", without_credentials(command))] if command else []
    return (
        *named,
        ("History", facts.place),
        ("Benchmark", matrix.benchmark),
        ("Version of the benchmark", matrix.version or "not stated by the sources"),
        ("Metric", f"{matrix.metric.label or 'unknown'}, {matrix.metric.scale_text()}"),
        ("Agents", f"{len(matrix.agents):,}"),
        ("Tasks", f"{len(matrix.tasks):,}"),
        ("Attempts", f"{summary.attempts:,}, {summary.without_score:,} without a score"),
        ("Runs", dates),
        ("Known costs", cost),
        ("Report", f"made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with midband {__version__}"),
    )


def _warnings(facts: HistoryFacts) -> list[str]:
    found = []
    found += [
        f"{each.source}: {each.fault} ({counted(each.attempts, 'attempt')})"
        for each in facts.faults[:3]
    ]
    if (more := len(facts.faults) - 3) > 0:
        found.append(f"{counted(more, 'further source')} should be imported again: see Sources")
    broken = sum(each.broken is True for each in facts.tasks.tasks)
    if broken:
        found.append(
            f"{counted(broken, 'task')} {'is' if broken == 1 else 'are'} probably broken: stronger"
            " agents fail more often than weaker ones"
        )
    if facts.set_aside:
        found.append(
            f"{counted(len(facts.set_aside), 'batch', 'batches')} of the inbox"
            f" {'was' if len(facts.set_aside) == 1 else 'were'} set aside, and no number counts"
            " what they hold: `midband history compact` names them"
        )
    others = [each for each in facts.versions if each.label != facts.matrix.version]
    if len(facts.versions) > 1 and others:
        named = ", ".join(each.label or "unnamed" for each in others[:3])
        found.append(f"this page shows one version; the history also holds {named}")
    if len(facts.metrics) > 1:
        others_of = [each.metric.label or "unknown" for each in facts.metrics]
        shown = facts.matrix.metric.label
        rest = ", ".join(name for name in others_of if name != shown)
        found.append(f"this page shows one metric; the history also holds {rest}")
    return [*found, *facts.matrix.notes]


def _missing(facts: HistoryFacts) -> list[str]:
    matrix = facts.matrix
    found = []
    if not matrix.metric.known:
        found.append(
            "What the scores measure is unknown: no source names its metric, and `midband history"
            f" metric {matrix.benchmark} --name NAME` states it."
        )
    undated = int(np.isnat(matrix.dates).sum())
    if undated:
        found.append(
            f"The date of {undated:,} of {counted(len(matrix.agents), 'agent')} is unknown: they"
            " are left out of the chart over time, and --as-of leaves them out."
        )
    ran = matrix.attempts > 0
    uncosted = int((ran & np.isnan(matrix.cost_usd)).sum())
    if uncosted:
        whole = int((~np.isnan(matrix.run_cost_usd)).sum())
        spread = (
            f" The cost of the whole run is known for {counted(whole, 'agent')}." if whole else ""
        )
        if uncosted == ran.sum():
            found.append(
                f"No result has a cost, so what a plan saves in money cannot be said.{spread}"
            )
        else:
            found.append(
                f"The cost of {uncosted:,} of {int(ran.sum()):,} results is unknown, so what a plan"
                f" saves in money can only be said for the others.{spread}"
            )
    nameless = sum(not model for model in matrix.models)
    if nameless:
        found.append(f"The model of {counted(nameless, 'agent')} is unknown.")
    undigested = sum(not digest for digest in matrix.task_digests)
    if undigested:
        found.append(
            f"The content of {counted(undigested, 'task')} is unknown, so a change of these tasks"
            " would not be noticed."
        )
    unknown = sum(each.broken is None for each in facts.tasks.tasks)
    if unknown:
        found.append(
            f"Whether {counted(unknown, 'task')} {'is' if unknown == 1 else 'are'} broken is"
            " unknown: too few models ran them, or their results could be chance."
        )
    return found
