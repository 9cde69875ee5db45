"""``midband plan``: which tasks to run, and when to stop."""

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband import __version__
from midband.cli.options import (
    FILE,
    TARGET,
    LateHelp,
    as_of_option,
    history_option,
    json_option,
    metric_options,
    read_ids,
)
from midband.cli.output import (
    echo,
    echo_document,
    open_history,
    print_facts,
    print_json,
    say_undated,
    warn,
)

if TYPE_CHECKING:
    from midband_history import History, OutcomeMatrix
    from midband_sampler import Plan


EXAMPLES = """\b
Examples:
  midband plan gaia --output plan.json --stop rank:0.95:0.2
  midband plan gaia --stop "beats:my-agent or usd:20"
  midband plan gaia --strategy cost --always smoke_tests.txt --explore 0.1
"""


@click.command(epilog=EXAMPLES)
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
    cls=LateHelp,
    late_help="strategy_help",
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
    cls=LateHelp,
    late_help="rule_help",
)
@metric_options
@as_of_option
@click.option(
    "--exclude-agent",
    "exclude_agents",
    multiple=True,
    metavar="GLOB",
    help="Leave out reference agents whose name matches; may be repeated.",
)
@click.option(
    "--always",
    "always_path",
    type=FILE,
    metavar="FILE",
    help="A file of guard tasks, one id a line, which run first with every strategy.",
)
@click.option(
    "--explore",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Choose this share of the tasks at random, for a score estimate without a model.",
)
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    help="Allow up to K attempts at a task, where a further attempt is more informative than"
    " another task; for --strategy information and cost, in your own sessions.",
)
@click.option(
    "--cost-unit",
    type=click.Choice(["usd", "seconds"]),
    default="usd",
    show_default=True,
    help="What the strategies cost and cost-fixed minimise.",
)
@click.option("--max-tasks", type=click.IntRange(min=1), help="Never run more tasks than this.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of all random choices; the same seed gives the same plan.",
)
@history_option
@json_option
def plan(
    benchmark: str,
    output: Path,
    strategy: str,
    guarantee: str,
    band_limits: tuple[float, float],
    stop_text: str,
    metric: str | None,
    version: str | None,
    as_of: datetime | None,
    exclude_agents: tuple[str, ...],
    always_path: Path | None,
    explore: float,
    attempts: int,
    cost_unit: str,
    max_tasks: int | None,
    seed: int,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Choose the tasks of BENCHMARK that a new agent should run, in order, and when to stop.

    The plan holds all that a run needs, so the run does not open the history.
    """
    from midband._manager import get_plugin_manager
    from midband._plans import current_name, stopping_rule, strategy_named, with_agents
    from midband_history import InputError
    from midband_sampler import Band, make_plan, renamed_rules

    try:
        band = Band(*band_limits)
        stop = stopping_rule(stop_text)
    except ValueError as problem:
        raise InputError(str(problem)) from problem
    always = () if always_path is None else read_ids(always_path, "--always")
    with open_history(history_path) as store:
        if exclude_agents:
            everyone = store.outcomes(benchmark, metric=metric, version=version).agents
            _say_unmatched(exclude_agents, everyone, store, benchmark)
        matrix = store.outcomes(
            benchmark, as_of=as_of, exclude_agents=exclude_agents, metric=metric, version=version
        )
        if not matrix.agents:
            _say_nothing_scored(store, benchmark)
        stop = with_agents(stop, lambda name: current_name(store, benchmark, name, matrix.agents))
        unused = _unused(store, benchmark, matrix)
        say_undated(store, benchmark, as_of)
    made = make_plan(
        matrix,
        strategy=strategy_named(strategy),
        guarantee=guarantee,
        band=band,
        stop=stop,
        max_tasks=max_tasks,
        always=always,
        explore=explore,
        attempts=attempts,
        cost_unit=cost_unit,
        seed=seed,
        as_of="" if as_of is None else as_of.isoformat(),
        versions={"midband": __version__, **get_plugin_manager().versions()},
    )
    if str(output) != "-":
        made.write(output)
    for warning in (*made.warnings, *renamed_rules(stop_text)):
        warn(warning)
    if str(output) == "-":
        echo_document(made.to_json())
        return 0
    facts = _facts(made, output, stop_text)
    notes = (*made.notes, *unused, *_unnamed(made))
    if as_json:
        print_json({**facts, "warnings": made.warnings, "notes": notes})
    else:
        print_facts(facts)
        for note in notes:
            echo(note)
    return 0


def _say_nothing_scored(store: "History", benchmark: str) -> None:
    """Refuse a benchmark of which no attempt has a score, with what is held instead."""
    from midband_history import InputError

    missing = sum(each.without_score for each in store.agents(benchmark))
    msg = (
        f"expected results of {benchmark} with a score, got {missing} attempts without one: see"
        f" `midband history {benchmark}`, and import them with --metric or --errors"
    )
    raise InputError(msg)


def _unused(store: "History", benchmark: str, matrix: "OutcomeMatrix") -> tuple[str, ...]:
    """Say in a line which metrics and versions of the benchmark the plan does not use."""
    metrics = [
        f"metric {each.metric.label or 'without a name'} ({each.agents} agents)"
        for each in store.metrics(benchmark)
        if each.attempts and each.metric.known and not each.metric.same_as(matrix.metric)
    ]
    versions = [
        f"version {each.label or 'without a label'} ({each.tasks} tasks, {each.agents} agents)"
        for each in store.versions(benchmark)
        if matrix.version and each.label != matrix.version
    ]
    if not metrics and not versions:
        return ()
    options = ["--metric"] * bool(metrics) + ["--version"] * bool(versions)
    line = f"not used of {benchmark}: {', '.join([*metrics, *versions])}"
    return (f"{line}; {' and '.join(options)} choose",)


def _unnamed(made: "Plan") -> tuple[str, ...]:
    """Say in a line that nobody has named the plan's metric, and how to."""
    if made.metric is not None:
        return ()
    return (
        f"the history does not name the metric of {made.benchmark}, so results that name theirs are"
        " not accepted: import its sources again, or name it once with --metric NAME",
    )


def _say_unmatched(
    patterns: Sequence[str], agents: Sequence[str], store: "History", benchmark: str
) -> None:
    for pattern in patterns:
        if pattern not in agents and not any(fnmatchcase(agent, pattern) for agent in agents):
            if store.has_agent(benchmark, pattern):
                continue
            warn(
                f"--exclude-agent {pattern} leaves out nobody: no agent of {benchmark} has such a"
                f" name, `midband history {benchmark}` lists them"
            )


def _facts(made: "Plan", output: Path, stop_text: str) -> dict[str, object]:
    return {
        "plan": str(output),
        "benchmark": made.benchmark,
        "metric": "unknown" if made.metric is None else made.metric.label,
        "version": made.version or None,
        "strategy": made.strategy,
        "stop": stop_text,
        "target": made.target,
        "guarantee": made.guarantee,
        "tasks": len(made.tasks),
        "tasks_in_benchmark": len(made.all_tasks),
        "guard_tasks": len(made.always) or None,
        "explore": made.explore or None,
        "attempts": None if made.attempts is None else made.attempts.most,
        "reference_agents": len(made.reference_agents),
        "digest": made.digest,
    }
