"""``midband history`` and ``midband rates``: what the history holds, and how results leave it."""

import csv
import sys
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.history_check import check, repair, salvage
from midband.cli.history_inbox import compact
from midband.cli.history_merge import export_command, merge_command
from midband.cli.history_tasks import tasks
from midband.cli.options import as_of_option, examples, history_option, json_option, metric_options
from midband.cli.output import (
    csv_cell,
    echo,
    open_history,
    plain,
    print_json,
    print_table,
    say,
    say_other_contents,
    say_undated,
)
from midband.cli.output import (
    show as show_rows,
)

if TYPE_CHECKING:
    from midband_history import History

_BENCHMARK = [
    *("name", "tasks", "agents", "attempts", "without_score", "metrics", "first", "last"),
    "cost_usd",
]
_ATTEMPT = [
    *("agent", "attempt", "kind", "score", "metric", "run_id", "source", "reader"),
    *("task_digest", "imported_at"),
]
_AGENT = ["name", "model", "scaffold", "first", "tasks", "mean", "without_score"]
_EXPORT_ONLY = {
    "output": "--output",
    "organization": "--organization",
    "relationship": "--relationship",
    "developers": "--developer",
}


class HistoryGroup(click.Group):
    """``midband history [BENCHMARK]`` beside its subcommands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take a first word that is no subcommand for the name of a benchmark."""
        if args and args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "show", self.commands["show"], args

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options of showing beside the subcommands."""
        shown = [found for p in self.commands["show"].params if (found := p.get_help_record(ctx))]
        with formatter.section("Options of `midband history [BENCHMARK]`"):
            formatter.write_dl(shown)
        super().format_options(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the benchmarks where nothing else is asked for."""
        if args[:1] not in (["--help"], ["-h"]) and (not args or args[0] not in self.commands):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=HistoryGroup,
    context_settings={"ignore_unknown_options": True},
    epilog=examples("midband history gaia", "midband history why gaia task-7"),
)
def history() -> None:
    """Show what the history holds, and keep it in order.

    Without a subcommand, this shows all benchmarks, or the agents of one BENCHMARK. The subcommands
    show where a number comes from, state what a metric is, check the tasks, share the history, and
    put it right.

    If a benchmark has the name of a subcommand, use `midband history show NAME`, for example
    `midband history show check`.
    """


for _command in (check, compact, export_command, merge_command, repair, salvage, tasks):
    history.add_command(_command)


@history.command(
    epilog=examples(
        "midband history gaia --export every-eval-ever --output results/"
        " --organization 'My Lab' --relationship first_party --developer 'gpt-*=openai'"
    )
)
@click.argument("benchmark", required=False)
@click.option(
    "--metric",
    metavar="NAME[.KEY]",
    help="The metric to show. It is needed if the benchmark has results by several.",
)
@click.option(
    "--version",
    metavar="LABEL",
    help="The version of the benchmark to show. By default it is the newest.",
)
@click.option(
    "--export",
    "export_format",
    type=click.Choice(["every-eval-ever"]),
    help="Write the results in this format instead, two files for each run, into --output.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="With --export: the directory to write to.",
)
@click.option(
    "--organization",
    metavar="NAME",
    help="With --export: who provides the results.  [default: unknown]",
)
@click.option(
    "--relationship",
    type=click.Choice(["first_party", "third_party", "collaborative", "other"]),
    help="With --export: how the evaluator is related to the models.  [default: other]",
)
@click.option(
    "--developer",
    "developers",
    multiple=True,
    metavar="GLOB=NAME",
    help="With --export: who made the models whose names match GLOB, if the names do not say it."
    " The option may be repeated.",
)
@history_option
@json_option
def show(
    benchmark: str | None,
    metric: str | None,
    version: str | None,
    export_format: str | None,
    history_path: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Show all benchmarks, or the agents of one BENCHMARK.

    With --export the results are written as files of another format instead.
    """
    if export_format is not None:
        from midband.cli.export import export_history

        return export_history(benchmark, history_path, as_json=as_json, **given)
    for name, option in _EXPORT_ONLY.items():
        if given[name]:
            msg = f"expected {option} only with --export, got it alone"
            raise click.UsageError(msg)
    with open_history(history_path) as store:
        rows: list[object]
        if benchmark is None:
            rows = list(store.benchmarks())
        else:
            rows = list(store.agents(benchmark, metric=metric, version=version))
            if not as_json:
                _say_what(store, benchmark)
                say_other_contents(store, benchmark, metric=metric, version=version)
    columns = _BENCHMARK if benchmark is None else _AGENT
    show_rows(rows, columns, as_json=as_json, shown=_shown)
    if benchmark is not None and not as_json:
        _say_parts([int(getattr(row, "tasks", 0)) for row in rows])
    return 0 if rows else 1


def _say_parts(tasks: list[int]) -> None:
    """Say that the mean of an agent that ran a part is over that part."""
    most = max(tasks, default=0)
    if parts := sum(each < most for each in tasks):
        who = "1 agent" if parts == 1 else f"{parts} agents"
        say(
            f"the mean of {who} is over fewer than the {most} tasks that others ran: it is no score"
            " on the benchmark, which `midband rank` estimates"
        )


def _shown(value: object) -> object:
    if isinstance(value, tuple):
        return ", ".join(str(each) or "unknown" for each in value)
    return value


def _say_what(store: "History", benchmark: str) -> None:
    """Name the metrics and the versions where a reader must know them."""
    for each in store.metrics(benchmark):
        name = each.metric.label or "unknown"
        say(f"metric {name}: {each.metric.scale_text()}, {each.agents} agents")
    versions = store.versions(benchmark)
    if len(versions) > 1:
        for one in versions:
            say(f"version {one.label}: {one.tasks} tasks, {one.agents} agents")


@history.command(epilog=examples("midband history why gaia task-7 'gpt-5*'"))
@click.argument("benchmark")
@click.argument("task")
@click.argument("agent", required=False)
@history_option
@json_option
def why(
    benchmark: str, task: str, agent: str | None, history_path: Path | None, as_json: bool
) -> int:
    """Show every attempt at TASK, and the source that it came from.

    With AGENT, only the attempts of this agent are shown. AGENT may be a pattern such as 'gpt-5*'.
    """
    with open_history(history_path) as store:
        found = store.why(benchmark, task, agent)
    show_rows(found, _ATTEMPT, as_json=as_json)
    notes = dict.fromkeys((each.source, note.text) for each in found for note in each.notes)
    for source, text in () if as_json else notes:
        echo(f"note: {source}: {text}")
    return 0


@history.command(
    epilog=examples(
        "midband history metric judge --scale 1 10",
        "midband history metric mine --name exact_match",
    )
)
@click.argument("benchmark")
@click.argument("metric", required=False, default="")
@click.option(
    "--name", metavar="NAME", help="Give this name to a metric that the sources left unnamed."
)
@click.option(
    "--scale",
    type=(float, float),
    metavar="LOW HIGH",
    help="The least and the greatest value that the metric can give, such as 1 10.",
)
@click.option(
    "--lower-is-better/--higher-is-better",
    default=None,
    help="Say whether a low or a high value is good.",
)
@history_option
@json_option
def metric(
    benchmark: str,
    metric: str,
    name: str | None,
    scale: tuple[float, float] | None,
    lower_is_better: bool | None,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Show the metrics of BENCHMARK, or state what METRIC is.

    The options state the name, the scale and the direction of METRIC. No result is changed by this,
    because scores are kept as their sources give them.
    """
    stated = name is not None or scale is not None or lower_is_better is not None
    with open_history(history_path, read_only=not stated) as store:
        if stated:
            store.declare_metric(
                benchmark, metric, name=name, scale=scale, lower_is_better=lower_is_better
            )
        found = store.metrics(benchmark)
    if as_json:
        print_json(found)
    else:
        rows = [
            (x.metric.label or "unknown", x.metric.scale_text(), x.agents, x.attempts, x.seen_low,
             x.seen_high)
            for x in found
        ]  # fmt: skip
        print_table(("metric", "scale", "agents", "scores", "seen_low", "seen_high"), rows)
    return 0


@history.command(epilog=examples("midband history alias agent 'my-agent (gpt-5)' my-agent"))
@click.argument("what", type=click.Choice(["agent", "benchmark"]))
@click.argument("alias", required=False)
@click.argument("name", required=False)
@history_option
@json_option
def alias(
    what: Any, alias: str | None, name: str | None, history_path: Path | None, as_json: bool
) -> int:
    """Let ALIAS stand for NAME, or list all aliases.

    Agents that share a name through an alias count as one agent. If a benchmark becomes an alias,
    its results move to the benchmark NAME. Without ALIAS and NAME the aliases are listed.
    """
    if (alias is None) != (name is None):
        msg = f"expected ALIAS and NAME, got {alias!r} alone"
        raise click.UsageError(msg)
    with open_history(history_path, read_only=alias is None) as store:
        moved = 0 if alias is None or name is None else store.alias(what, alias, name)
        held = store.aliases(what)
    if as_json:
        print_json({"aliases": held, "moved": moved})
    elif alias is None:
        print_table(("alias", "name"), sorted(held.items()))
    else:
        echo(f"{alias} is {held[alias]} now" + (f", {moved:,} attempts moved" if moved else ""))
    return 0


@history.command(epilog=examples("midband history forget --source 'logs/broken*' --benchmark gaia"))
@click.option(
    "--source",
    metavar="PATH",
    help="Remove what came from this file or directory. PATH may be a pattern.",
)
@click.option("--run", "run_id", metavar="ID", help="Remove the run with this id.")
@click.option(
    "--agent", metavar="NAME", help="Remove the results of this agent. NAME may be a pattern."
)
@click.option("--benchmark", metavar="NAME", help="Remove the results on this benchmark.")
@history_option
@json_option
def forget(
    source: str | None,
    run_id: str | None,
    agent: str | None,
    benchmark: str | None,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Remove results from the history, and print what was removed.

    Results are removed if they match every option that is given. The files that they came from stay
    where they are, and can be imported again. The exit code is 1 if nothing matches.
    """
    with open_history(history_path, read_only=False) as store:
        removed = store.forget(source=source, run=run_id, agent=agent, benchmark=benchmark)
    total = sum(each.attempts for each in removed)
    if as_json:
        print_json({"removed": removed, "attempts": total})
    else:
        show_rows(removed, ("benchmark", "agent", "source", "attempts"), as_json=False)
        echo(f"removed {total:,} attempts")
    return 0 if total else 1


@click.command(epilog=examples("midband rates gaia --as-of 2025-06-30 --format csv > rates.csv"))
@click.argument("benchmark")
@as_of_option
@click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="Print the rates as a table, as CSV or as JSON.",
)
@metric_options
@history_option
@json_option
def rates(
    benchmark: str,
    metric: str | None,
    version: str | None,
    as_of: datetime | None,
    layout: str,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Show how often the known agents pass each task of BENCHMARK.

    The pass rate is the mean over agents of each agent's own mean. So every agent counts once,
    however many attempts it made.
    """
    with open_history(history_path) as store:
        found = store.pass_rates(benchmark, as_of=as_of, metric=metric, version=version)
        say_undated(store, benchmark, as_of)
        say_other_contents(store, benchmark, as_of=as_of, metric=metric, version=version)
    columns = [field.name for field in fields(found[0])] if found else ["task_id", "pass_rate"]
    if layout == "csv" and not as_json:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(
            [csv_cell(plain(getattr(each, name))) for name in columns] for each in found
        )
    else:
        show_rows(found, columns, as_json=as_json or layout == "json", title=benchmark)
    return 0 if found else 1
