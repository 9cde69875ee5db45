"""``midband run HARNESS SUITE``: the plans of a suite, one after the other, in shared limits."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from midband.cli.output import count, echo, warn
from midband.cli.rank_suite import show_suite
from midband.cli.summary import command_markdown, suite_markdown, write_summary
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midband.descriptors import Harness
    from midband.rounds import RunReport, RunSettings
    from midband.suite import Suite
    from midband_sampler import Decision, Plan

BENCHMARK = "{benchmark}"
_INTERRUPTED = 130


def run_suite(
    harness: "Harness",
    suite: "Suite",
    directory: Path,
    settings: "RunSettings",
    *,
    record: bool,
    history_path: Path | None,
    summary: Path | None,
    as_json: bool,
) -> int:
    """Run every plan of a suite in a directory of its own, and print one verdict.

    The limits of `settings` are those of the whole suite. What any of its directories has spent
    counts, in an earlier call too. ``{benchmark}`` in the harness's arguments is the benchmark.

    Returns
    -------
    int
        0; 1 if a benchmark failed, and 130 after Ctrl-C.

    Raises
    ------
    InputError
        The harness asks for each task, or no plan is held.
    """
    from midband.cli.progress import display, interrupted
    from midband.cli.recording import Recorder
    from midband.cli.run import Screen
    from midband.rounds import Interrupt, LiveHarness, RoundDriver
    from midband.rounds.race_state import folders
    from midband.suite_verdict import SuiteVerdict, suite_rows

    if isinstance(harness, LiveHarness):
        msg = (
            f"expected a harness that runs in rounds, got {harness.name}, which asks for each task:"
            " use midband inspect eval-set TASK... --adaptive SUITE"
        )
        raise InputError(msg)
    plans = suite.plans()
    if not plans:
        msg = f"expected a suite with plans, got none in {suite.directory}: plan it anew"
        raise InputError(msg)
    places = dict(zip(plans, (directory / each for each in folders(tuple(plans))), strict=True))
    spent = {
        name: _spent_before(plan, places[name], settings.attempts) for name, plan in plans.items()
    }
    decisions: dict[str, list[tuple[str, Decision]]] = {name: [] for name in plans}
    reasons: dict[str, str] = {}
    code = 0
    with display("task", live=not settings.in_process) as shown:
        interrupt = Interrupt(partial(interrupted, shown))
        for name, plan in plans.items():
            others = [each for other, each in spent.items() if other != name]
            left, reasons[name] = _left(settings, others)
            if reasons[name]:
                continue
            shown.note(f"{name}:")
            recorder = None
            if record:
                recorder = Recorder(
                    places[name],
                    benchmark=plan.benchmark,
                    history_path=history_path,
                    shown=shown,
                )
            screen = Screen(shown, max_usd=left.get("max_usd"), recorder=recorder)
            words = tuple(word.replace(BENCHMARK, name) for word in settings.arguments)
            own = replace(settings, arguments=words, **cast("dict[str, Any]", left))
            try:
                report = RoundDriver(harness, plan, places[name], own, screen, interrupt).run()
            except MidbandError as problem:
                reasons[name] = f"failed: {' '.join(str(problem).split())}"
                code = 1
                continue
            spent[name] = _spent_now(report)
            reasons[name] = report.reason
            decisions[name] = [("the new agent", report.standing.decision)]
            code = max(code, int(report.failed))
            if report.interrupted:
                code = _INTERRUPTED
                break
    rows = tuple(
        replace(row, reason=reasons.get(row.benchmark) or row.reason)
        for row in suite_rows(decisions)
    )
    verdict = SuiteVerdict(rows=rows, not_planned=suite.not_planned, digest=suite.digest)
    for name, why in reasons.items():
        if why.startswith("failed: "):
            warn(f"{name} {why}")
    show_suite(verdict, as_json=as_json)
    if summary is not None:
        write_summary(summary, suite_markdown(verdict) + command_markdown())
    if not as_json:
        run = sum(bool(each) for each in decisions.values())
        echo(f"{count(run, 'benchmark')} run in {directory}")
    return code


def _spent_now(report: "RunReport") -> dict[str, float]:
    standing = report.standing
    return {
        "usd": standing.spent_usd,
        "seconds": standing.spent_seconds,
        "tokens": standing.spent_tokens,
        "tasks": standing.tasks,
    }


def _spent_before(plan: "Plan", directory: Path, attempts: int) -> dict[str, float]:
    """Return what an earlier call spent in a directory; nothing where there was none."""
    from midband.rounds.costs import Costs
    from midband.rounds.earlier import state_of
    from midband.rounds.run_settings import UNITS

    state = state_of(directory, plan.all_tasks)
    if state is None:
        return {}
    found = {unit: Costs(plan, state, attempts=attempts, unit=unit).spent for unit in UNITS}
    return {**found, "tasks": state.tasks}


def _left(
    settings: "RunSettings", others: "list[dict[str, float]]"
) -> "tuple[Mapping[str, int | float], str]":
    """Return the limits of one benchmark's directory, or why it may not run.

    Parameters
    ----------
    settings : RunSettings
        With the limits of the suite.
    others : list of dict
        What the directories of the other benchmarks have spent, by unit.
    """
    from midband.rounds.run_settings import amount_text

    left: dict[str, int | float] = {}
    for unit, most in settings.limits.items():
        gone = math.fsum(each.get(unit, 0.0) for each in others)
        if math.isnan(gone):
            return {}, f"not run: the limit --max-{unit} cannot be held, a run did not say its cost"
        if gone >= most:
            text = f"{amount_text(unit, gone, bare=True)} of {amount_text(unit, most)} spent"
            return {}, f"not run: the limit of the suite is reached, {text}"
        left[f"max_{unit}"] = most - gone
    if settings.max_tasks is not None:
        run = int(math.fsum(each.get("tasks", 0) for each in others))
        if run >= settings.max_tasks:
            return {}, f"not run: {run} of {settings.max_tasks} tasks of the suite are run"
        left["max_tasks"] = settings.max_tasks - run
    return left, ""
