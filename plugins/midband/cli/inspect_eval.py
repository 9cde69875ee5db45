"""``midband inspect eval`` with ``--gate``, ``--summary`` or ``--record``: once Inspect ends."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from midband.cli.gate import Asked, finish_gate, gate_by_plan
from midband.cli.output import say, warn
from midband.cli.recording import record_results
from midband.cli.results import reference_named
from midband.cli.summary import (
    command_markdown,
    decision_markdown,
    race_markdown,
    suite_markdown,
    write_summary,
)
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from midband_sampler import NotWorse


def gated_eval(
    words: list[str], rule: "NotWorse", summary: Path | None, *, record: bool = False
) -> int:
    """Run an adaptive eval and judge its log; return Inspect's exit code unless it ended well.

    Raises
    ------
    InputError
        The plan does not settle the gate, or several agents would run.
    """
    from midband._gate import gated_plan
    from midband.choices import read_plan
    from midband.descriptors import ReadOptions
    from midband.inspect import parsed
    from midband.suite import is_suite
    from midband_sampler import parse_max_errors

    found = parsed(words)
    if found.flag == "--race":
        msg = (
            "expected no --gate beside --race, got it: let the race ask"
            " not-worse:NEW:OLD:POINTS:CONFIDENCE, which ends with the codes of a gate"
        )
        raise InputError(msg)
    if found.plan is None:
        msg = (
            "expected --adaptive PLAN beside --gate, got none: name the plan, or judge finished"
            " logs with `midband rank`"
        )
        raise InputError(msg)
    if is_suite(found.plan):
        msg = f"expected one plan beside --gate, got the suite {found.plan}: name a plan of it"
        raise InputError(msg)
    plan = read_plan(Path(found.plan))
    rule = replace(rule, agent=reference_named(plan, rule.agent, None))
    _, rule = gated_plan(plan, rule, ahead=True)
    model = found.value("--model") or os.environ.get("INSPECT_EVAL_MODEL", "")
    if "," in model:
        msg = f"expected one model beside --gate, got {model}: run each by itself"
        raise InputError(msg)
    code, logs = _run(words, record=record)
    if code:
        return code
    local = _local(logs[-1:])
    if not local:
        where = logs[-1] if logs else "none"
        msg = (
            f"expected a log on this machine to judge, got {where}: judge it with"
            " `midband rank PLAN LOG --gate ...`"
        )
        raise click.ClickException(msg)
    most = found.values.get("plan_max_errors")
    asked = Asked(
        paths=local,
        agents=(),
        options=ReadOptions(metric=found.values.get("plan_metric", "")),
        allow_changed=found.allow_changed,
        max_errors=parse_max_errors(most) if most else None,
    )
    result, verdict = gate_by_plan(plan, rule, asked)
    section = decision_markdown(verdict.decision, agent=verdict.agent, benchmark=plan.benchmark)
    return finish_gate(result, summary=summary, section=section)


def recorded_eval(words: list[str]) -> int:
    """Run an eval, import its logs into the history, and return Inspect's exit code.

    Raises
    ------
    InputError
        The command runs no samples.
    """
    return _run(words, record=True)[0]


def _run(words: list[str], *, record: bool) -> tuple[int, list[str]]:
    """Run Inspect; return its exit code, and where it says that its logs are."""
    from midband.inspect import COMMANDS

    if record and words[:1] and words[0] not in COMMANDS:
        msg = f"expected --record with {' or '.join(COMMANDS)}, got {words[0]!r}: leave it out"
        raise InputError(msg)
    from midband.inspect import main

    with TemporaryDirectory(prefix="midband-") as folder:
        place = Path(folder) / "logs.txt"
        code = main(words, logs=place)
        logs = place.read_text(encoding="utf-8").splitlines() if place.is_file() else []
    if record:
        _record(words, logs)
    return code, logs


def _record(words: list[str], logs: Sequence[str]) -> None:
    """Import the logs of an eval under the name by which its plan calls the benchmark."""
    from midband.descriptors import ReadOptions
    from midband.inspect import parsed

    paths = list(dict.fromkeys(_local(logs)))
    if not paths:
        warn(f"not recorded: no log on this machine, got {', '.join(logs) or 'none'}")
        return
    found = parsed(words)
    benchmark = _benchmark(found.plan)
    named = [] if benchmark is None else ["--benchmark", benchmark]
    record_results(
        paths,
        options=ReadOptions(benchmark=benchmark, metric=found.values.get("plan_metric", "")),
        history_path=None,
        again=shlex.join(["midband", "import", *map(str, paths), *named]),
        say=warn,
        note=say,
    )


def _benchmark(plan: str | None) -> str | None:
    """Return the benchmark of a plan; None for a suite or a question, whose logs name their own."""
    from midband.choices import read_plan
    from midband.race_file import read_race
    from midband.suite import is_suite

    if plan is None or is_suite(plan) or not Path(plan).is_file():
        return None
    for read in (read_plan, read_race):
        try:
            return read(Path(plan)).benchmark or None
        except MidbandError:
            continue
    return None


def _local(logs: Sequence[str]) -> tuple[Path, ...]:
    """Return the logs that lie on this machine."""
    paths = [log.removeprefix("file://") for log in logs]
    return tuple(Path(path) for path in paths if "://" not in path)


def summarised_eval(words: list[str], summary: Path, *, record: bool = False) -> int:
    """Run an eval by a plan, a suite or a race, write its summary, and return its exit code.

    A summary that cannot be made is a warning: the eval was paid for, and its logs stay.

    Raises
    ------
    InputError
        The command runs nothing that midband judges.
    """
    from midband.inspect import parsed

    found = parsed(words)
    if found.plan is None:
        msg = "expected --adaptive PLAN or --race RACE beside --summary, got none: name one"
        raise InputError(msg)
    code, logs = _run(words, record=record)
    place = found.value("--log-dir") or os.environ.get("INSPECT_LOG_DIR")
    if found.command == "eval-set" and place:  # what earlier calls finished is not run again
        logs = [place]
    try:
        section = _section(found.flag, found.plan, _local(logs), found.values, found.allow_changed)
    except MidbandError as problem:
        warn(f"the logs cannot be judged for the summary: {' '.join(str(problem).split())}")
        section = f"### No verdict\n\nInspect ended with code {code}.\n"
    write_summary(summary, section + command_markdown())
    return code


def _section(
    flag: str,
    plan_path: str,
    logs: Sequence[Path],
    values: "dict[str, str]",
    allow_changed: bool,
) -> str:
    """Return what the logs of one command say, as Markdown."""
    from midband._ranking import rank_records
    from midband.choices import read_plan
    from midband.cli.rank_suite import SuiteRanking
    from midband.cli.results import plan_records
    from midband.descriptors import ReadOptions
    from midband.inspect import live_orders
    from midband.suite import Suite, is_suite
    from midband_sampler import parse_max_errors

    if not logs:
        msg = "expected logs on this machine, got none: judge them with `midband rank`"
        raise InputError(msg)
    if flag == "--race":
        return _race_section(logs)
    options = ReadOptions(metric=values.get("plan_metric", ""))
    text = values.get("plan_max_errors")
    most = parse_max_errors(text) if text else None
    if is_suite(plan_path):
        ranking = SuiteRanking(
            suite=Suite.read(plan_path),
            paths=logs,
            options=options,
            allow_changed=allow_changed,
            max_errors=most,
        )
        return suite_markdown(ranking.verdict())
    plan = read_plan(Path(plan_path))
    if plan.metric is not None:
        options = replace(options, prefer_metric=plan.metric.label)
    verdicts = rank_records(
        plan,
        plan_records(plan, logs, None, options, ()),
        allow_changed=allow_changed,
        orders=live_orders(plan, logs),
        max_errors=most,
    )
    return "\n".join(
        decision_markdown(each.decision, agent=each.agent, benchmark=plan.benchmark)
        for each in verdicts
    )


def _race_section(logs: Sequence[Path]) -> str:
    from midband.inspect import race_report_in

    report = race_report_in(logs)
    if report.get("verdict") is None:
        msg = f"expected the verdict of a race in its logs, got none: {report.get('error')}"
        raise InputError(msg)
    return race_markdown(report["verdict"])
