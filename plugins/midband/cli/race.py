"""``midband race``: several candidates, one question, in rounds of a harness."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.gate import checked_gate, finish_gate, gate_options
from midband.cli.ids import read_ids
from midband.cli.options import (
    FILE,
    examples,
    history_option,
    json_option,
    read_options,
    rounds_options,
)
from midband.cli.output import (
    count,
    echo,
    echo_block,
    is_quiet,
    listed,
    print_facts,
    print_json,
)
from midband.cli.progress import Display, display, interrupted, oddities, spent_text
from midband.cli.recording import Recorder, record_option
from midband.cli.run import check_driven
from midband.cli.summary import command_markdown, race_markdown, write_summary
from midband_history import InputError

if TYPE_CHECKING:
    from midband.descriptors import Harness, Round
    from midband.rounds import RaceReport, RaceStanding, RoundEnd
    from midband_sampler import MaxErrors
    from midband_sampler.racing import RacePlan

_SHOWN = 5


@click.command(
    epilog=examples(
        "midband race harbor race.json --output races/june --max-usd 200 --"
        " -d terminal-bench@2.0 -a claude-code"
    ),
)
@click.argument("harness_name", metavar="HARNESS")
@click.argument("race_path", metavar="RACE", type=FILE)
@click.argument("arguments", metavar="-- ARGUMENTS", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--output",
    "-o",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The directory that keeps this race. The same command with the same directory resumes it.",
)
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many candidates run at the same time. The number does not change the result.",
)
@click.option(
    "--round-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="The least number of tasks that a candidate runs in a round. By default it is a tenth of"
    " the tasks that a candidate is expected to need.",
)
@click.option(
    "--tasks",
    type=FILE,
    metavar="FILE",
    help="The ids of the tasks, one a line. It is needed if the plan of the race names no tasks.",
)
@record_option
@rounds_options
@gate_options
@history_option
@json_option
def race(
    harness_name: str,
    race_path: Path,
    arguments: tuple[str, ...],
    directory: Path,
    parallel: int,
    round_size: int | None,
    tasks: Path | None,
    record: bool,
    attempts: int,
    max_usd: float | None,
    max_seconds: float | None,
    max_tokens: int | None,
    max_tasks: int | None,
    timeout: float | None,
    benchmark: str | None,
    max_errors: "MaxErrors | None",
    continues: Path | None,
    allow_changed: bool,
    gate: str | None,
    summary: Path | None,
    history_path: Path | None,
    as_json: bool,
    **reading: Any,
) -> int:
    """Run the candidates of RACE with HARNESS, round by round, until the question is settled.

    RACE is a plan that `midband plan --candidates` wrote. Each round of a candidate runs the
    harness's own command on some of the tasks. The command gets ARGUMENTS and those that the file
    of the candidates gives this candidate. `{candidate}` in them stands for its name.

    If a race was stopped or killed, the same command resumes it. Nothing that finished is run
    again. A candidate that fails is set apart, and the others continue. Ctrl-C lets the running
    rounds finish, and a second Ctrl-C ends them.

    The exit code is 0 if the question is settled or held, 1 if the race failed, 3 if the question
    is undecided, and 4 if it did not hold. With --gate the last line says the same. RACE must ask
    the question of the gate.
    """
    from midband._gate import check_gate_of_race, gate_of_race
    from midband._manager import choose, get_plugin_manager
    from midband.rounds import Interrupt, RaceDriver, RaceSettings

    harnesses = get_plugin_manager().harnesses()
    harness = choose(harnesses, harness_name, kind="HARNESS")
    _check_rounds(harness, harnesses)
    plan = _with_tasks(race_path, tasks, directory)
    rule = checked_gate(gate)
    if rule is not None:
        check_gate_of_race(plan, rule)
    settings = RaceSettings(
        arguments=arguments,
        parallel=parallel,
        round_size=round_size,
        attempts=attempts,
        max_usd=max_usd,
        max_seconds=max_seconds,
        max_tokens=max_tokens,
        max_tasks=max_tasks,
        timeout=timeout,
        benchmark=benchmark,
        continues=continues,
        allow_changed=allow_changed,
        max_errors=max_errors,
        reading=read_options(**reading),
    )
    with display("result") as shown:
        recorder = None
        if record:
            recorder = Recorder(
                directory, benchmark=plan.benchmark, history_path=history_path, shown=shown
            )
        number = len(plan.candidates)
        screen = _Screen(shown, candidates=number, max_usd=max_usd, recorder=recorder)
        interrupt = Interrupt(partial(interrupted, shown))
        report = RaceDriver(harness, plan, directory, settings, screen, interrupt).run()
    if not as_json:
        _show(report, plan, directory)
    section = race_markdown(report.standing.verdict.to_dict(), ended=report.reason)
    if rule is not None and not (report.failed or report.interrupted):
        found = gate_of_race(plan, rule, report.standing.verdict)
        beside = _as_dict(report, directory)
        return finish_gate(
            found,
            summary=summary,
            as_json=as_json,
            beside=beside,
            warned=True,
            section=section,
        )
    if summary is not None:
        write_summary(summary, section + command_markdown())
    if as_json:
        print_json(_as_dict(report, directory))
    return report.exit_code


def _check_rounds(harness: "Harness", harnesses: "dict[str, Harness]") -> None:
    from midband.rounds import LiveHarness

    if isinstance(harness, LiveHarness):
        msg = (
            f"expected a harness that runs in rounds, got {harness.name}, which asks for each task:"
            " use midband inspect eval TASK --race RACE --model A,B"
        )
        raise InputError(msg)
    check_driven(harness, harnesses)


def _with_tasks(path: Path, tasks: Path | None, directory: Path) -> "RacePlan":
    """Read the race, with the tasks that the user names, or those that it was begun with."""
    from midband.race_file import read_race
    from midband.rounds.race_state import RACE

    plan, kept = read_race(path), directory / RACE
    if tasks is not None:
        return plan.with_tasks(read_ids(tasks, "--tasks"))
    if plan.tasks:
        return plan
    if kept.exists():
        begun = read_race(kept)
        return plan.with_tasks(begun.tasks, begun.task_digests)
    msg = (
        f"expected the tasks of {plan.benchmark}, got a race without any: name a file of their ids,"
        " one a line, with --tasks FILE"
    )
    raise InputError(msg)


class _Screen:
    """What is shown of a race, and kept of it.

    Parameters
    ----------
    shown : Display
    candidates : int
        How many race.
    max_usd : float or None
        The limit of the race, US dollars.
    recorder : Recorder or None
    """

    def __init__(
        self,
        shown: Display,
        *,
        candidates: int,
        max_usd: float | None,
        recorder: Recorder | None,
    ) -> None:
        self._shown, self._candidates = shown, candidates
        self._max_usd, self._recorder = max_usd, recorder

    def note(self, line: str) -> None:
        """Say a line."""
        self._shown.note(line)

    def round_started(self, candidate: str, batch: "Round") -> None:
        """Show what runs."""
        line = f"{candidate} {batch.name}: running {count(len(batch.tasks), 'task')}"
        self._shown.begins(candidate, line, plainly=line)

    def round_ended(self, candidate: str, end: "RoundEnd") -> None:
        """Say what it brought, and what is odd about it."""
        self._shown.ends(candidate)
        name = f"{candidate} {end.name}"
        for line in oddities(end, place=f"{candidate}/"):
            self.note(f"{name}: {line}")
        if len(end.scored) < len(end.tasks):
            scored = f"{len(end.scored)} of {count(len(end.tasks), 'task')} scored"
            self._shown.plain(f"{name}: {scored}")

    def stands(self, standing: "RaceStanding") -> None:
        """Say where the race stands."""
        verdict, board = standing.verdict, self._shown.board
        board.done, board.total = verdict.results, verdict.full
        money = spent_text(standing.spent_usd, self._max_usd)
        ahead = f"ahead: {listed(verdict.best, _SHOWN)}" if verdict.best else ""
        number = names = ""
        if standing.running:
            number = f"{len(standing.running)} of {count(self._candidates, 'candidate')} still in"
            names = f": {listed(standing.running, _SHOWN)}"
        lines = (f"{number}{names}", "; ".join(each for each in (ahead, money) if each))
        board.facts = tuple(line for line in lines if line)
        self._shown.plain(
            f"race: {verdict.results} of {verdict.full} results,"
            f" {verdict.cost_share:.1%} of the full price"
            + "".join(f"; {each}" for each in (number, ahead, money) if each)
        )
        if self._recorder is not None:
            self._recorder.record()


def _as_dict(report: "RaceReport", directory: Path) -> dict[str, object]:
    standing = report.standing
    return {
        **standing.verdict.to_dict(),
        "ended": report.reason,
        "failed": report.failed,
        "interrupted": report.interrupted,
        "rounds": standing.rounds,
        "recorded_usd": standing.recorded_usd,
        "spent_usd": standing.spent_usd,
        "spent_seconds": standing.spent_seconds,
        "spent_tokens": standing.spent_tokens,
        "exit_code": report.exit_code,
        "directory": str(directory),
    }


def _show(report: "RaceReport", plan: "RacePlan", directory: Path) -> None:
    standing = report.standing
    echo_block(standing.verdict.lines)
    spent = standing.spent_usd
    print_facts(
        {
            "ended": report.reason,
            "rounds": standing.rounds,
            "spent_usd": spent if spent else None,
            "spent_tokens": standing.spent_tokens or None,
        }
    )
    for line in report.last_lines:
        echo(f"  {line}", err=True)
    if report.failed:
        echo(f"midband: {report.reason}", err=True)
    if standing.rounds and not is_quiet():
        words = ["midband", "import", str(directory), "--benchmark", plan.benchmark]
        echo(f"keep the results: {shlex.join(words)}")
