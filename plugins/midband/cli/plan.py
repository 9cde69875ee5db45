"""``midband plan``: which tasks to run, and when to stop."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband import __version__
from midband.cli._options import TARGET, as_of_option, history_option, json_option
from midband.cli._output import print_facts, print_json, warn
from midband.cli._store import open_history, say_undated

if TYPE_CHECKING:
    from midband_sampler import Plan


@click.command(epilog="Example: midband plan gaia --output plan.json --stop rank:0.95:0.2")
@click.argument("benchmark")
@click.option(
    "--output",
    "-o",
    type=TARGET,
    default=Path("plan.json"),
    show_default=True,
    help="Where to write the plan; - prints it.",
)
@click.option(
    "--strategy",
    default="auto",
    show_default=True,
    help="How tasks are chosen: auto, band, design, information, matched, random, stratified, or"
    " a plugin's. auto replays the history's own agents and takes the cheapest order.",
)
@click.option(
    "--guarantee",
    type=click.Choice(["auto", "always-valid", "calibrated"]),
    default="auto",
    show_default=True,
    help="What the confidence rests on; see docs/guarantees.md.",
)
@click.option(
    "--band",
    "band_limits",
    type=(float, float),
    metavar="LOW HIGH",
    default=(0.3, 0.7),
    show_default=True,
    help="The pass rates that count as mid-difficulty.",
)
@click.option(
    "--stop",
    "stop_text",
    default="rank:0.95:0.2",
    show_default=True,
    metavar="RULE",
    help="rank:CONFIDENCE:WIDTH (width as a share of the reference agents), or none.",
)
@as_of_option
@click.option(
    "--exclude-agent",
    "exclude_agents",
    multiple=True,
    metavar="GLOB",
    help="Leave out reference agents whose name matches; may be repeated.",
)
@click.option("--max-tasks", type=click.IntRange(min=1), help="Never run more tasks than this.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@history_option
@json_option
def plan(
    benchmark: str,
    output: Path,
    strategy: str,
    guarantee: str,
    band_limits: tuple[float, float],
    stop_text: str,
    as_of: datetime | None,
    exclude_agents: tuple[str, ...],
    max_tasks: int | None,
    seed: int,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Choose the tasks of BENCHMARK that a new agent should run, in order, and when to stop.

    The plan is self-contained: a run with it never opens the history.
    """
    from midband._manager import get_plugin_manager
    from midband.cli._choices import stopping_rule, strategy_named
    from midband_history import InputError
    from midband_sampler import Band, make_plan

    try:
        band = Band(*band_limits)
        stop = stopping_rule(stop_text)
    except ValueError as problem:
        raise InputError(str(problem)) from problem
    with open_history(history_path) as store:
        matrix = store.outcomes(benchmark, as_of=as_of, exclude_agents=exclude_agents)
        say_undated(store, benchmark, as_of)
    made = make_plan(
        matrix,
        strategy=strategy_named(strategy),
        guarantee=guarantee,
        band=band,
        stop=stop,
        max_tasks=max_tasks,
        seed=seed,
        as_of="" if as_of is None else as_of.isoformat(),
        versions={"midband": __version__, **get_plugin_manager().versions()},
    )
    if str(output) != "-":
        made.write(output)
    for warning in made.warnings:
        warn(warning)
    if str(output) == "-":
        click.echo(made.to_json())
        return 0
    facts = _facts(made, output)
    if as_json:
        print_json({**facts, "warnings": made.warnings, "notes": made.notes})
    else:
        print_facts(facts)
        for note in made.notes:
            click.echo(note)
    return 0


def _facts(made: "Plan", output: Path) -> dict[str, object]:
    return {
        "plan": str(output),
        "benchmark": made.benchmark,
        "strategy": made.strategy,
        "tasks": len(made.tasks),
        "tasks_in_benchmark": len(made.all_tasks),
        "reference_agents": len(made.reference_agents),
        "digest": made.digest,
    }
