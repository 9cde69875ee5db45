"""``midband run`` and ``midband inspect``: a harness runs until the session has decided."""

import math
import os
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.gate import checked_gate, finish_gate, gate_options
from midband.cli.options import (
    EXISTING,
    examples,
    history_option,
    json_option,
    read_options,
    rounds_options,
)
from midband.cli.output import count, echo, echo_block, is_quiet, listed, print_facts, print_json
from midband.cli.progress import Display, display, interrupted, oddities, spent_text, watched
from midband.cli.recording import Recorder, record_option
from midband.cli.results import reference_named
from midband.cli.summary import command_markdown, decision_markdown, summary_path, write_summary
from midband_history import InputError

if TYPE_CHECKING:
    from midband.descriptors import Harness, Round
    from midband.rounds import RoundEnd, RunReport, Standing
    from midband_sampler import Decision, MaxErrors, Plan

_SHOWN = 5
_INTERRUPTED = 130


@click.command(
    epilog=examples(
        "midband run harbor plan.json --output runs/new --max-usd 20 --"
        " -d terminal-bench@2.0 -a claude-code -m anthropic/claude-opus-4-1"
    ),
)
@click.argument("harness_name", metavar="HARNESS")
@click.argument("plan_path", metavar="PLAN", type=EXISTING)
@click.argument("arguments", metavar="-- ARGUMENTS", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--output",
    "-o",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The directory that keeps this run. The same command with the same directory resumes it.",
)
@click.option(
    "--round-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="The number of tasks in a round. By default it is a tenth of the planned tasks.",
)
@click.option(
    "--in-process",
    is_flag=True,
    help="Load the harness and its model once, in this process, instead of once a round.",
)
@record_option
@rounds_options
@gate_options
@history_option
@json_option
def run(
    harness_name: str,
    plan_path: Path,
    arguments: tuple[str, ...],
    directory: Path,
    round_size: int | None,
    attempts: int,
    max_usd: float | None,
    max_seconds: float | None,
    max_tokens: int | None,
    max_tasks: int | None,
    timeout: float | None,
    benchmark: str | None,
    in_process: bool,
    record: bool,
    gate: str | None,
    summary: Path | None,
    max_errors: "MaxErrors | None",
    continues: Path | None,
    allow_changed: bool,
    history_path: Path | None,
    as_json: bool,
    **reading: Any,
) -> int:
    """Run HARNESS on the tasks of PLAN, round by round, until the verdict is settled.

    Each round runs the harness's own command on some of the tasks. ARGUMENTS are passed on to it,
    such as the model, the agent and the data set. After each round midband reads the results and
    decides whether to stop.

    If a run was stopped or killed, the same command resumes it. Nothing that finished is run again.
    Ctrl-C lets the running round finish, and a second Ctrl-C ends it.

    PLAN may be a suite that `midband plan --all` wrote. Its plans run one after the other, each in
    a directory of its own below --output, and share the limits.

    With the harness inspect, the whole run is one round, which ends once the verdict is settled.

    With --gate, the last line and the exit code say whether the new agent is worse than a baseline
    by more than a margin. The plan must have been made with the same rule as its --stop.
    """
    from midband._gate import gate_of_decision, gated_plan
    from midband._manager import choose, get_plugin_manager
    from midband.choices import read_plan
    from midband.cli.rank_suite import check_suite_options
    from midband.rounds import LOGS, Interrupt, LiveDriver, LiveHarness, RoundDriver, RunSettings
    from midband.suite import Suite, is_suite

    harnesses = get_plugin_manager().harnesses()
    harness = choose(harnesses, harness_name, kind="HARNESS")
    check_driven(harness, harnesses)
    settings = RunSettings(
        arguments=arguments,
        round_size=round_size,
        attempts=attempts,
        max_usd=max_usd,
        max_seconds=max_seconds,
        max_tokens=max_tokens,
        max_tasks=max_tasks,
        timeout=timeout,
        benchmark=benchmark,
        in_process=in_process,
        continues=continues,
        allow_changed=allow_changed,
        max_errors=max_errors,
        reading=read_options(**reading),
    )
    if is_suite(plan_path):
        from midband.cli.run_suite import run_suite

        check_suite_options({"--gate": gate, "--from": continues, "--benchmark": benchmark})
        return run_suite(
            harness,
            Suite.read(plan_path),
            directory,
            settings,
            record=record,
            history_path=history_path,
            summary=summary,
            as_json=as_json,
        )
    plan = read_plan(plan_path)
    rule = checked_gate(gate)
    if rule is not None:
        rule = replace(rule, agent=reference_named(plan, rule.agent, history_path))
        _, rule = gated_plan(plan, rule, ahead=True)
    # A harness in this process writes where it likes: no display stands in its way.
    with display("task", live=not in_process) as shown:
        recorder = None
        if record:
            recorder = Recorder(
                directory, benchmark=plan.benchmark, history_path=history_path, shown=shown
            )
        alone = isinstance(harness, LiveHarness)
        screen = Screen(shown, max_usd=max_usd, recorder=recorder, live=alone)
        interrupt = Interrupt(partial(interrupted, shown))
        if isinstance(harness, LiveHarness):
            shown.board.watch = watched(directory / LOGS, max_usd)
            live = LiveDriver(harness, plan, directory, settings, screen, interrupt)
            report = live.run()
        else:
            report = RoundDriver(harness, plan, directory, settings, screen, interrupt).run()
    code = 0
    if not as_json:
        _show(report, plan, directory, recorded=record)
    section = decision_markdown(
        report.standing.decision,
        agent="the new agent",
        benchmark=plan.benchmark,
        ended=report.reason,
    )
    if rule is not None:
        found = gate_of_decision(plan, rule, report.standing.decision, candidate="the new agent")
        code = finish_gate(
            found,
            summary=summary,
            as_json=as_json,
            beside=_as_dict(report, directory),
            warned=True,
            section=section,
        )
    elif summary is not None:
        write_summary(summary, section + command_markdown())
    if rule is None and as_json:
        print_json(_as_dict(report, directory))
    if report.interrupted:
        return _INTERRUPTED
    return 1 if report.failed else code


def check_driven(harness: "Harness", harnesses: "dict[str, Harness]") -> None:
    """Refuse a harness that midband cannot run."""
    from midband.rounds import LiveHarness

    def is_driven(each: "Harness") -> bool:
        return each.capabilities.rounds or isinstance(each, LiveHarness)

    if is_driven(harness):
        return
    able = ", ".join(sorted(name for name in harnesses if is_driven(harnesses[name])))
    msg = f"expected a harness that midband runs ({able}), got {harness.summary}"
    raise InputError(msg)


class Screen:
    """What is shown of a run, and kept of it.

    Parameters
    ----------
    shown : Display
    max_usd : float or None
        The limit of the run, US dollars.
    recorder : Recorder or None
    live : bool
        Whether the harness asks for each task itself, so that nothing is known before it ends.
    """

    def __init__(
        self,
        shown: Display,
        *,
        max_usd: float | None,
        recorder: Recorder | None,
        live: bool = False,
    ) -> None:
        self._shown, self._max_usd, self._recorder, self._live = shown, max_usd, recorder, live

    def note(self, line: str) -> None:
        """Say a line."""
        self._shown.note(line)

    def round_started(self, batch: "Round", standing: "Standing") -> None:
        """Show what runs."""
        line = f"{batch.name}: running {count(len(batch.tasks), 'task')}"
        if self._live:
            line = f"{batch.name}: running up to {count(len(batch.tasks), 'task')}"
        else:
            self._stands(standing)
        self._shown.begins("", line, plainly=line)

    def round_ended(self, end: "RoundEnd", standing: "Standing") -> None:
        """Say what it brought, what is odd about it, and where the run stands."""
        self._shown.ends("")
        self._stands(standing)
        for line in oddities(end):
            self.note(f"{end.name}: {line}")
        decision = standing.decision
        self._shown.plain(
            f"{end.name}: {len(end.scored)} of {count(len(end.tasks), 'task')} scored;"
            f" {_rank(decision)}, {decision.tasks_run} of {decision.tasks_planned} tasks"
            f"{_money(standing)}"
        )
        if self._recorder is not None:
            self._recorder.record()

    def _stands(self, standing: "Standing") -> None:
        decision, board = standing.decision, self._shown.board
        board.done, board.total = decision.tasks_run, decision.tasks_planned
        money = spent_text(standing.spent_usd, self._max_usd)
        without = len(standing.without_result)
        facts = (_rank(decision), money, f"{without} without a result" if without else "")
        board.facts = ("; ".join(each for each in facts if each),)


def _rank(decision: "Decision") -> str:
    of = decision.n_reference + 1
    return f"rank {decision.rank or 'unknown'} of {of} ({decision.low} to {decision.high})"


def _money(standing: "Standing") -> str:
    spent, remaining = standing.spent_usd, standing.remaining_usd
    if math.isnan(spent):
        return ""
    text = f", ${spent:.2f} spent"
    if spent > standing.recorded_usd + 0.005:
        text += f" (${spent - standing.recorded_usd:.2f} of it expected, not recorded)"
    return text if math.isnan(remaining) else f"{text}, at most ${remaining:.2f} to go"


def _as_dict(report: "RunReport", directory: Path) -> dict[str, object]:
    standing = report.standing
    return {
        **standing.decision.to_dict(),
        "ended": report.reason,
        "failed": report.failed,
        "interrupted": report.interrupted,
        "rounds": standing.rounds,
        "tasks_started": standing.tasks,
        "without_result": standing.without_result,
        "recorded_usd": standing.recorded_usd,
        "spent_usd": standing.spent_usd,
        "spent_seconds": standing.spent_seconds,
        "spent_tokens": standing.spent_tokens,
        "remaining_usd": standing.remaining_usd,
        "directory": str(directory),
    }


def _show(report: "RunReport", plan: "Plan", directory: Path, *, recorded: bool) -> None:
    standing = report.standing
    resume = f"repeat the command; it continues in {directory}"
    echo_block(standing.decision.lines, ended=True, resume=resume)
    facts = {
        "ended": report.reason,
        "rounds": standing.rounds,
        "spent_usd": standing.spent_usd,
        "spent_tokens": standing.spent_tokens,
        "without_result": listed(standing.without_result, _SHOWN)
        if standing.without_result
        else None,
        "guarantee": standing.decision.guarantee,
    }
    print_facts(facts)
    for line in report.last_lines:
        echo(f"  {line}", err=True)
    if report.failed:
        echo(f"midband: {report.reason}", err=True)
    if standing.rounds and not recorded and not is_quiet():
        words = ["midband", "import", str(directory), "--benchmark", plan.benchmark]
        echo(f"keep the results: {shlex.join(words)}")


_PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(
    context_settings=_PASS_ON,
    epilog=examples("midband inspect eval gsm8k.py --adaptive plan.json --model openai/gpt-5"),
)
@gate_options
@history_option
@click.argument("arguments", metavar="COMMAND...", nargs=-1, type=click.UNPROCESSED)
def inspect(
    gate: str | None, summary: Path | None, history_path: Path | None, arguments: tuple[str, ...]
) -> int:
    r"""Run `inspect COMMAND...`, and stop early with --adaptive or --race.

    Inspect's own options are passed on. The commands eval and eval-set take these as well:

    \b
      --adaptive PLAN       Run the tasks of PLAN, and stop once its rule is met.
                            A suite of `midband plan --all` holds the plans of
                            several tasks.
      --race RACE           Let the models of --model A,B,... race by a plan of
                            `midband plan --candidates`. A question will do in
                            its place, such as top:1:0.9, order:0.9 or
                            not-worse:NEW:OLD:2:0.95.
      --budget SHARE        With a question: the most that the race may run, such
                            as 20% of all results. By default all of them.
      --allocation NAME     With a question: how the race spends its tasks.
      --metric NAME         The scorer, or SCORER.KEY, if the plan does not know
                            its metric.
      --max-errors N|SHARE  End the run once more attempts than this have no
                            usable result. By default it ends when none of the
                            first ten has one.
      --total-usd X         Start no sample that is expected to take the whole
      --total-seconds X     command above this, over all its tasks and models.
      --total-tokens N
      --record              Import the logs into the history when the command
                            ends.
      --allow-changed       Accept tasks whose content has changed since the plan
                            was made.

    An adaptive run takes 4 samples at a time, because a stop can only save what has not been
    started. --max-samples sets another number. A plan that chooses live names the next sample after
    every result. This needs Inspect 0.3.250 or newer; older versions run the plan's fixed order.

    A race with a not-worse question ends with the exit code 0 if it held, 4 if it did not hold, and
    3 if it is undecided. docs/harnesses/inspect.md tells more.
    """
    from importlib.util import find_spec

    from midband.cli.inspect_eval import gated_eval, recorded_eval, summarised_eval

    if not arguments:
        msg = "expected an Inspect command such as eval, got none"
        raise click.UsageError(msg, click.get_current_context())
    rest, ours = _without_ours(arguments)
    record = "--record" in rest
    rest = [word for word in rest if word != "--record"]
    if "--summary" in ours:
        summary = summary_path(ours["--summary"])
    rule = checked_gate(ours.get("--gate", gate))
    if find_spec("inspect_ai") is None:
        msg = "expected Inspect AI, found none: pip install 'midband[inspect]'"
        raise click.ClickException(msg)
    from midband.inspect import main

    if "--history" in ours:
        history_path = Path(ours["--history"])
    if history_path is not None:
        os.environ["MIDBAND_HISTORY"] = str(history_path)
    if rule is not None:
        return gated_eval(rest, rule, summary, record=record)
    if summary is not None:
        return summarised_eval(rest, summary, record=record)
    return recorded_eval(rest) if record else main(rest)


def _without_ours(arguments: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """Take out of what Inspect gets the options that are ours wherever they stand."""
    wanted = {"--history": "a file", "--gate": "a gate", "--summary": "a file"}
    rest: list[str] = []
    found: dict[str, str] = {}
    items = iter(arguments)
    for item in items:
        name, equals, value = item.partition("=")
        if name not in wanted:
            rest.append(item)
            continue
        given = value if equals else next(items, None)
        if not given:
            msg = f"expected {wanted[name]} after {name}, got nothing"
            raise click.UsageError(msg, click.get_current_context())
        found[name] = given
    return rest, found
