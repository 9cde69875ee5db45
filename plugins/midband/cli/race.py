"""``midband plan --candidates`` and ``midband race``: several candidates, one question."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband import __version__
from midband.cli.options import FILE, json_option, read_ids, read_options, rounds_options
from midband.cli.output import (
    count,
    echo,
    echo_document,
    listed,
    open_history,
    print_facts,
    print_json,
    say_undated,
    warn,
)
from midband.cli.run import Lines, check_driven, oddities, progress_bar
from midband_history import InputError, default_path

if TYPE_CHECKING:
    from midband.descriptors import Harness, Round
    from midband.race_file import RaceFile
    from midband.rounds import RaceReport, RaceStanding, RoundEnd
    from midband_history import OutcomeMatrix
    from midband_sampler import MaxErrors
    from midband_sampler.racing import RacePlan

DEFAULT_OUTPUT = Path("race.json")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class RaceRequest:
    """What a user asks of the plan of a race.

    Parameters
    ----------
    benchmark : str
    candidates : Path
        The file that names them.
    output : Path
        Where to write the plan; ``-`` prints it.
    tasks : Path or None
        A file of task ids, one a line.
    metric, version : str or None
        What is read of the history.
    as_of : datetime or None
    exclude_agents : tuple of str
        Patterns of agents that are left out of the history.
    seed : int
    history : Path or None
    """

    benchmark: str
    candidates: Path
    output: Path
    tasks: Path | None = None
    metric: str | None = None
    version: str | None = None
    as_of: datetime | None = None
    exclude_agents: tuple[str, ...] = ()
    seed: int = 0
    history: Path | None = None


def plan_race(request: RaceRequest, *, as_json: bool) -> int:
    """Plan a race, and say what it is expected to cost."""
    from midband.race_file import read_race_file

    said = read_race_file(request.candidates)
    made, notes = _made(request, said)
    to_screen = str(request.output) == "-"
    if to_screen:
        for note in (*notes, *made.notes):
            warn(note)
        echo_document(made.to_json())
        return 0
    made.write(request.output)
    facts = race_facts(made, request.output)
    if as_json:
        print_json({**facts, **_costs(made), "notes": (*notes, *made.notes)})
        return 0
    print_facts(facts)
    for note in (*notes, *made.notes):
        echo(note)
    return 0


def _made(request: RaceRequest, said: "RaceFile") -> "tuple[RacePlan, tuple[str, ...]]":
    """Make the plan; with lines on what the history lacks, and on names that it knows better."""
    from midband._manager import get_plugin_manager
    from midband_history import Metric
    from midband_sampler.racing import make_race

    found = _from_history(request, said.candidates)
    matrix, names = found.matrix, found.names
    tasks = None if request.tasks is None else read_ids(request.tasks, "--tasks")
    made = make_race(
        matrix,
        [names.get(name, name) for name in said.candidates],
        question=said.question,
        allocation=said.allocation,
        budget=said.budget,
        others=found.others,
        tasks=found.tasks if tasks is None else tasks,
        task_digests=found.task_digests,
        benchmark=request.benchmark if matrix is None else matrix.benchmark,
        metric=None if matrix is not None or not request.metric else Metric(name=request.metric),
        version="" if matrix is not None else request.version or "",
        arguments={names.get(name, name): words for name, words in said.arguments.items()},
        versions={"midband": __version__, **get_plugin_manager().versions()},
        seed=request.seed,
    )
    notes = found.notes
    if not made.tasks:
        notes += ("the tasks are not known yet: name them with --tasks FILE, here or at the start",)
    return made, notes


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the history gives a race."""

    matrix: "OutcomeMatrix | None" = None
    others: "Sequence[OutcomeMatrix]" = ()
    names: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] | None = None
    task_digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _from_history(request: RaceRequest, candidates: "Sequence[str]") -> _Found:
    """Read the history; a race needs none, so a default one that is not there is no error."""
    from midband.choices import current_name, other_outcomes

    if request.history is None and not default_path().exists():
        return _Found(notes=(f"there is no history at {default_path()}: the race goes without",))
    benchmark = request.benchmark
    with open_history(request.history) as store:
        held = [each.name for each in store.benchmarks()]
        if benchmark not in {*held, *(store.benchmark_name(name) for name in held)}:
            known = f"it holds {listed(held, 5)}" if held else "it is empty"
            line = f"the history has no results of {benchmark} ({known}): the race goes without"
            return _Found(notes=(line,))
        matrix = store.outcomes(
            benchmark,
            as_of=request.as_of,
            exclude_agents=request.exclude_agents,
            metric=request.metric,
            version=request.version,
        )
        if not matrix.agents:
            return _Found(
                tasks=matrix.tasks,
                task_digests=dict(zip(matrix.tasks, matrix.task_digests, strict=True)),
                notes=(f"the history has no scores of {benchmark}: the race goes without",),
            )
        names = {
            name: current
            for name in candidates
            if (current := current_name(store, benchmark, name, matrix.agents)) != name
        }
        others = other_outcomes(store, benchmark, request.as_of)
        say_undated(store, benchmark, request.as_of)
    notes = tuple(f"the history calls {old} {new}" for old, new in names.items())
    return _Found(matrix=matrix, others=others, names=names, notes=notes)


def race_facts(made: "RacePlan", output: Path) -> dict[str, object]:
    """Return what a person wants to know of the plan of a race before it costs anything."""
    from midband_sampler.racing import budget_text

    known = int(made.known.size) - made.full
    return {
        "race": str(output),
        "benchmark": made.benchmark,
        "metric": made.metric.label if made.metric and made.metric.known else "unknown",
        "version": made.version or None,
        "question": made.question.text,
        "allocation": made.allocation.name,
        "budget": budget_text(made.budget) or None,
        "candidates": ", ".join(made.candidates),
        "tasks": len(made.tasks) or None,
        "full_price": _in_words(made, 1.0) if made.tasks else None,
        "known_results": known or None,
        "expected_cost": _expected_text(made),
        "reference_agents": len(made.reference_agents),
        "guarantee": _guarantee(made),
        "digest": made.digest,
    }


def _guarantee(made: "RacePlan") -> str:
    from midband_sampler.racing import EXACT

    if made.question.confidence is None:
        return "nothing is claimed: the question names no confidence"
    if made.claims_by_history and made.calibration is not None:
        return made.calibration.guarantee
    return EXACT


def _usd(made: "RacePlan", share: float) -> float:
    """Return what a share of the full price is expected to cost, US dollars; NaN if unknown."""
    costs = [cost for cost in made.expected_cost_usd.tolist() if not math.isnan(cost)]
    return math.nan if not costs else share * made.full * math.fsum(costs) / len(costs)


def _in_words(made: "RacePlan", share: float) -> str:
    usd = _usd(made, share)
    results = f"{round(share * made.full):,} results"
    return results if math.isnan(usd) else f"{results}, about ${usd:,.2f}"


def _expected_text(made: "RacePlan") -> str:
    most = 1.0 if made.jobs is None else made.jobs / max(made.full, 1)
    if math.isnan(made.cost):
        if not made.tasks:
            return "unknown: no history says"
        limit = "the full price" if most == 1.0 else f"{most:.1%} of the full price"
        return f"unknown, no history says; at most {limit}: {_in_words(made, most)}"
    text = f"{made.cost:.1%} of the full price"
    if made.cost_low < made.cost_high:
        text += f" ({made.cost_low:.1%} to {made.cost_high:.1%} in 8 of 10 replays)"
    if not made.tasks:
        return text
    usd_low, usd_high = _usd(made, made.cost_low), _usd(made, made.cost_high)
    text += f": {_in_words(made, made.cost)}"
    if made.cost_low < made.cost_high and not math.isnan(usd_low):
        text += f" (${usd_low:,.2f} to ${usd_high:,.2f})"
    return text


def _costs(made: "RacePlan") -> dict[str, object]:
    """Return the expected cost as numbers: share of the full price, results and US dollars."""
    shares = {"low": made.cost_low, "mean": made.cost, "high": made.cost_high}
    return {
        "full_results": made.full,
        "cost_share": shares,
        "cost_results": {name: share * made.full for name, share in shares.items()},
        "cost_usd": {name: _usd(made, share) for name, share in shares.items()},
        "warnings": made.notes,
    }


@click.command(
    epilog="Example: midband race harbor race.json --output races/june --max-usd 200 --"
    " -d terminal-bench@2.0 -a claude-code",
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
    help="The directory of this race; the same command resumes it.",
)
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many candidates run at the same time; the result is the same.",
)
@click.option(
    "--round-size",
    type=click.IntRange(min=1),
    help="Tasks that a candidate runs in a round at least; a tenth of what is expected by default.",
)
@click.option(
    "--tasks",
    type=FILE,
    metavar="FILE",
    help="The task ids, one a line, where the plan of the race has none.",
)
@rounds_options
@json_option
def race(
    harness_name: str,
    race_path: Path,
    arguments: tuple[str, ...],
    directory: Path,
    parallel: int,
    round_size: int | None,
    tasks: Path | None,
    attempts: int,
    max_usd: float | None,
    max_tasks: int | None,
    timeout: float | None,
    benchmark: str | None,
    max_errors: "MaxErrors | None",
    continues: Path | None,
    allow_changed: bool,
    as_json: bool,
    **reading: Any,
) -> int:
    """Run the candidates of RACE with HARNESS, round by round, until the question is settled.

    Each round of a candidate runs the harness's own command on some of the tasks, with ARGUMENTS
    and those that the file of the candidates gives this one. `{candidate}` in them is its name. If
    the race was stopped or killed, the same command resumes it, and nothing that finished is run
    again. A candidate that fails is set apart, and the others go on. Ctrl-C lets the running rounds
    finish; a second one ends them. The exit code is 0 if the question is settled or held, 1 if the
    race failed, 3 if the question is undecided and 4 if it did not hold.
    """
    from midband._manager import choose, get_plugin_manager
    from midband.rounds import Interrupt, RaceDriver, RaceSettings

    harnesses = get_plugin_manager().harnesses()
    harness = choose(harnesses, harness_name, kind="HARNESS")
    _check_rounds(harness, harnesses)
    plan = _with_tasks(race_path, tasks, directory)
    settings = RaceSettings(
        arguments=arguments,
        parallel=parallel,
        round_size=round_size,
        attempts=attempts,
        max_usd=max_usd,
        max_tasks=max_tasks,
        timeout=timeout,
        benchmark=benchmark,
        continues=continues,
        allow_changed=allow_changed,
        max_errors=max_errors,
        reading=read_options(**reading),
    )
    with progress_bar() as bar:
        screen = _Screen(bar)
        interrupt = Interrupt(screen.interrupted)
        report = RaceDriver(harness, plan, directory, settings, screen, interrupt).run()
    if as_json:
        print_json(_as_dict(report, directory))
    else:
        _show(report, plan, directory)
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


class _Screen(Lines):
    """What is said of a race."""

    def round_started(self, candidate: str, batch: "Round") -> None:
        """Say what runs."""
        self.runs(f"{candidate} {batch.name}: running {count(len(batch.tasks), 'task')}")

    def round_ended(self, candidate: str, end: "RoundEnd") -> None:
        """Say what it brought, and what is odd about it."""
        name = f"{candidate} {end.name}"
        for line in oddities(end, place=f"{candidate}/"):
            self.note(f"{name}: {line}")
        self.note(f"{name}: {len(end.scored)} of {count(len(end.tasks), 'task')} scored")

    def stands(self, standing: "RaceStanding") -> None:
        """Say where the race stands."""
        verdict = standing.verdict
        spent = standing.spent_usd
        money = "" if math.isnan(spent) or not spent else f", ${spent:.2f} spent"
        ahead = f"; ahead: {listed(verdict.best, _SHOWN)}" if verdict.best else ""
        self.note(
            f"race: {verdict.results} of {verdict.full} results,"
            f" {verdict.cost_share:.1%} of the full price{ahead}{money}"
        )


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
        "exit_code": report.exit_code,
        "directory": str(directory),
    }


def _show(report: "RaceReport", plan: "RacePlan", directory: Path) -> None:
    standing = report.standing
    for line in standing.verdict.lines():
        echo(line)
    spent = standing.spent_usd
    print_facts(
        {
            "ended": report.reason,
            "rounds": standing.rounds,
            "spent_usd": spent if spent else None,
        }
    )
    for line in report.last_lines:
        echo(f"  {line}", err=True)
    if report.failed:
        echo(f"midband: {report.reason}", err=True)
    if standing.rounds:
        words = ["midband", "import", str(directory), "--benchmark", plan.benchmark]
        echo(f"keep the results: {shlex.join(words)}")
