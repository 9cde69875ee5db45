"""``midband plugins`` and ``midband demo``: what there is, and what it does, without a history."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from midband.cli.options import examples, history_option, json_option
from midband.cli.output import echo, is_quiet, print_facts, print_json, print_table, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from midband.inspect import Outcome


@click.command(epilog=examples("midband plugins --all --json"))
@click.option(
    "--all", "show_all", is_flag=True, help="List the plugins that come with midband as well."
)
@history_option
@json_option
def plugins(show_all: bool, history_path: Path | None, as_json: bool) -> int:
    """Show the plugins, the hooks they implement, and those that failed to load.

    Plugins that come with midband are left out unless they failed. The exit code is 1 if a plugin
    failed, or if two plugins offer the same name.

    The variable MIDBAND_DISABLE_PLUGINS switches plugins off by name, such as a,b. The word all
    switches off every plugin that does not come with midband. MIDBAND_LOAD_PLUGINS loads only the
    plugins that it names.
    """
    from midband._manager import get_plugin_manager

    manager = get_plugin_manager()
    conflicts = manager.conflicts()
    found = [
        status
        for status in manager.statuses
        if show_all or not status.built_in or status.status == "failed"
    ]
    if as_json:
        print_json(found)
    else:
        print_table(
            ("name", "version", "status", "hooks", "error"),
            [
                (item.name, item.version, item.status, ", ".join(item.hooks), item.error)
                for item in found
            ],
        )
    for conflict in conflicts:
        warn(conflict)
    for name in manager.unknown_names:
        warn(f"MIDBAND_DISABLE_PLUGINS or MIDBAND_LOAD_PLUGINS names {name}, which is not there")
    return 1 if conflicts or any(item.status == "failed" for item in found) else 0


@click.command(epilog=examples("midband demo --directory /tmp/midband-demo"))
@click.option(
    "--directory",
    "-d",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("midband-demo"),
    show_default=True,
    help="The directory for the logs, the history and the plan. If an earlier demo made it, it is"
    " emptied first.",
)
@history_option
@json_option
def demo(directory: Path, history_path: Path | None, as_json: bool) -> int:
    """Watch an adaptive run of simulated agents stop early.

    The demo runs the real Inspect AI with made-up models. It needs no keys and no network, and
    takes about two minutes. Install it with `pip install 'midband[inspect]'`. The history is kept
    inside the directory unless --history names another file.
    """
    from midband.inspect import DemoError, is_installed, run_demo

    if not is_installed():
        msg = "expected Inspect AI, which the demo runs, found none: pip install 'midband[inspect]'"
        raise DemoError(msg)
    outcome = run_demo(directory, history_path, _narrate(as_json=as_json))
    if as_json:
        print_json(outcome)
    else:
        if not is_quiet():
            click.echo()
        print_facts(_summary(outcome), title="What the simulation shows")
        echo(f"Open this in a browser to see it: {' and '.join(outcome.reports)}")
        store = history_path or directory / "history.duckdb"
        words = ["midband", "view", "--state", str(directory / "state"), "--history", str(store)]
        echo(f"See its runs on a local page: {shlex.join(words)} --open")
    return 0


def _narrate(*, as_json: bool) -> "Callable[[str], None]":
    """Return what prints the steps of the demo; nothing where only the result is wanted."""
    if is_quiet():
        return lambda line: None
    return lambda line: click.echo(line, err=as_json)


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
        "race": _race_text(outcome),
        "time": f"{outcome.seconds:.0f} s for the whole demonstration",
    }


def _race_text(outcome: "Outcome") -> str:
    """Say what the best of three cost to find, without and with the history."""
    cold, informed = outcome.races["race"], outcome.races["race-history"]
    best = ", ".join(str(name).rpartition("/")[2] for name in cast("list[str]", cold["best"]))
    return (
        f"{best} is the best of three for {_percent(cold['cost_share'])} of the full price without"
        f" a history, {_percent(informed['cost_share'])} with it"
    )


def _percent(value: object) -> str:
    return f"{float(str(value)):.0%}"
