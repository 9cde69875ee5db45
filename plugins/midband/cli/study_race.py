"""``midband study --race``: races replayed from a history, beside published baselines."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from midband.cli.output import print_json, print_table, say, warn
from midband.cli.progress import counted

if TYPE_CHECKING:
    from midband_history import OutcomeMatrix

Command = TypeVar("Command", bound=Callable[..., object])

COLUMNS = (
    "benchmark", "question", "within", "budget", "allocation", "n_candidates", "n_reference",
    "draws", "cost_share", "right", "right_low", "right_high", "regret", "false_claims",
    "false_claims_high", "conclusive",
)  # fmt: skip
# From the options of a race study to what `RaceSettings` calls them.
RACE_OPTIONS = {
    "candidates": "candidates", "question": "questions", "allocation": "allocations",
    "draws": "draws", "no_history": "history", "split": "split", "within": "within",
    "replay_guesses": "replayed",
}  # fmt: skip
_SHARED = ("budgets", "seed")
_OF_STUDY = {
    "protocols": "--protocol", "cuts": "--cut", "strategies": "--strategy", "stops": "--stop",
    "plan_settings": "--plan", "guarantees": "--guarantee", "seeds": "--seeds",
    "in_flight": "--in-flight",
}  # fmt: skip


def race_options(command: Command) -> Command:
    """Add ``--race`` and the options that only a study of races has."""
    options = (
        click.option(
            "--race",
            is_flag=True,
            help="Replay races between agents of the history. The options below belong to it.",
        ),
        click.option(
            "--question",
            multiple=True,
            metavar="TEXT",
            help="What each race finds out: top:K[:CONFIDENCE], order[:CONFIDENCE] or"
            " not-worse:NEW:OLD:POINTS[:CONFIDENCE]. May be repeated.  [default: top:1:0.9, or"
            " top:1 with --budget]",
        ),
        click.option(
            "--candidates",
            type=click.IntRange(2),
            metavar="N",
            help="The number of agents in each race.  [default: half of them, or all with"
            " --no-history]",
        ),
        click.option(
            "--allocation",
            multiple=True,
            metavar="NAME",
            help="How a race spends its tasks: contested, racing, halving, uniform or that of a"
            " plugin. Published baselines are sysrs, successive-halving, ucb-e, top-two-thompson"
            " and random. May be repeated.  [default: several of them]",
        ),
        click.option(
            "--draws",
            type=click.IntRange(1),
            metavar="N",
            help="The number of races for each row of the table.  [default: 20]",
        ),
        click.option(
            "--no-history",
            is_flag=True,
            help="Let the race use no results of the agents that do not take part.",
        ),
        click.option(
            "--split",
            type=click.Choice(["random", "temporal"]),
            help="Which agents race: random ones, or the later ones (temporal).  [default: random]",
        ),
        click.option(
            "--within",
            type=float,
            metavar="POINTS",
            help="Candidates whose scores differ by no more than so many percentage points need not"
            " be told apart.  [default: 0]",
        ),
        click.option(
            "--replay-guesses",
            is_flag=True,
            help="Let each race without a confidence measure by replays how often such a guess is"
            " right. This takes longer.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def take_race_options(
    given: dict[str, Any], *, source: Path | None, recommend: str | None, race: bool
) -> dict[str, Any]:
    """Take the options of a race study out of those that were given, as `RaceSettings` has them.

    Raises
    ------
    click.UsageError
        An option was given that means nothing for what is studied.
    """
    own = {name: given.pop(name) for name in RACE_OPTIONS}
    if not race:
        for name, value in own.items():
            if value not in (None, False, ()):
                option = f"--{name.replace('_', '-')}"
                msg = f"expected {option} with --race, got it without: add --race, or leave it out"
                raise click.UsageError(msg, click.get_current_context())
        return {}
    others = [option for name, option in _OF_STUDY.items() if given[name] not in (None, ())]
    others += ["--recommend"] if recommend else []
    others += [str(source)] if source is not None and source.suffix == ".toml" else []
    if others:
        msg = f"expected options of races with --race, got {others[0]}: leave one of the two out"
        raise click.UsageError(msg, click.get_current_context())
    own["no_history"] = False if own["no_history"] else None
    if not own["question"]:
        own["question"] = ("top:1",) if given.get("budgets") else ("top:1:0.9",)
    found = {RACE_OPTIONS[name]: value for name, value in own.items()}
    found |= {name: given[name] for name in _SHARED}
    return {name: value for name, value in found.items() if value not in (None, ())}


def study_races(
    matrices: "Sequence[OutcomeMatrix]",
    others: "Sequence[OutcomeMatrix]",
    options: Mapping[str, Any],
    *,
    workers: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Replay the races and print one row a cell."""
    from midband.race_file import allocation_named
    from midband_sims import RaceSettings, RaceStudy

    grid = RaceStudy(matrices, RaceSettings(**options), others=others, find=allocation_named)
    for missing in grid.skipped:
        warn(missing)
    with counted("race") as advance:
        result = grid.run(
            workers=workers, output=output, progress=advance, about=about_this_study()
        )
    for cell in result.cells:
        if refused := int(str(cell["n_refused"])):
            warn(
                f"{cell['benchmark']}, {cell['allocation']}, {cell['question']}: {refused} of"
                f" {refused + int(str(cell['draws']))} races were refused:"
                f" {cell['refused_because']}"
            )
    if output is not None:
        write_study_page(output)
    if as_json:
        print_json(list(result.cells))
        return
    print_table(COLUMNS, [[cell[name] for name in COLUMNS] for cell in result.cells])


def about_this_study() -> dict[str, object]:
    """Return what a study keeps of itself for its page: the command, the version and the date."""
    from datetime import UTC, datetime

    from midband import __version__
    from midband.cli.report import command_line
    from midband.text import without_credentials

    begun = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    command = without_credentials(command_line())
    return {"about": {"Command": command, "Begun": begun, "Run with midband": __version__}}


def write_study_page(output: Path) -> None:
    """Write ``report.html`` into the directory of a study, and say so."""
    from midband.report import render
    from midband.report.study import study_page

    page = study_page(output)
    for warning in page.warnings:
        if warning.startswith("left out"):
            warn(warning)
    (output / "report.html").write_text(render(page), encoding="utf-8")
    say(f"midband: wrote {output / 'report.html'}")
