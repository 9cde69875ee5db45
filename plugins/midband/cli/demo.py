"""``midband demo``: a simulated run that stops early, through real Inspect, offline."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband.cli._options import history_option, json_option
from midband.cli._output import print_facts, print_json

if TYPE_CHECKING:
    from midband.inspect import Outcome


@click.command(epilog="Example: midband demo --directory /tmp/midband-demo")
@click.option(
    "--directory",
    "-d",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("midband-demo"),
    show_default=True,
    help="Where logs, history and plan are written; emptied first if a demo made it.",
)
@history_option
@json_option
def demo(directory: Path, history_path: Path | None, as_json: bool) -> int:
    """Watch an adaptive run stop early: simulated agents, real Inspect, no keys, under 2 minutes.

    Needs midband[inspect]. The history is kept inside the directory unless --history is given.
    """
    from midband.inspect import DemoError, is_installed, run_demo

    if not is_installed():
        msg = "expected Inspect AI, which the demo runs, found none: pip install 'midband[inspect]'"
        raise DemoError(msg)
    outcome = run_demo(directory, history_path, lambda line: click.echo(line, err=as_json))
    if as_json:
        print_json(outcome)
    else:
        click.echo()
        print_facts(_summary(outcome), title="What the simulation shows")
    return 0


def _summary(outcome: "Outcome") -> dict[str, object]:
    stopped = outcome.adaptive
    agents = int(str(stopped["n_reference"])) + 1
    saved = 1 - outcome.adaptive_cost_usd / outcome.full_cost_usd
    return {
        "stopped run": f"rank {stopped['rank']} of {agents}, {stopped['low']} to {stopped['high']}"
        f" on the {stopped['target']} at {_percent(stopped['confidence'])}",
        "full run": f"rank {outcome.full_rank} of {agents} on all {outcome.samples_total} tasks"
        + (
            ""
            if stopped["target"] == "full benchmark"
            else f"; on all planned tasks, which the interval is about, {outcome.planned_rank}"
        ),
        "samples": f"{outcome.samples_run} scored instead of {outcome.samples_total}"
        f" ({stopped['tasks_run']} used at the stop, the rest were in flight)",
        "cost": f"${outcome.adaptive_cost_usd:.2f} instead of ${outcome.full_cost_usd:.2f},"
        f" {saved:.0%} less (simulated; no money was spent)",
        "time": f"{outcome.seconds:.0f} s for the whole demonstration",
    }


def _percent(value: object) -> str:
    return f"{float(str(value)):.0%}"
