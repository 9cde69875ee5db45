"""``midband plan``: which tasks to run, and when to stop."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from midband.choices import (
    stopping_rule,
    strategy_named,
)
from midband.cli.ids import read_ids
from midband.cli.options import (
    FILE,
    LateHelp,
    as_of_option,
    examples,
    history_option,
    json_option,
    metric_options,
)
from midband.cli.output import (
    echo,
    echo_document,
    open_history,
    print_facts,
    print_json,
    warn,
)
from midband.cli.plan_request import PlanRequest
from midband_history import InputError
from midband_sampler import Option, Plan, PlanSettings, renamed_rules

Decorator = Callable[[Callable[..., object]], Callable[..., object]]
EXAMPLES = examples(
    "midband plan gaia --output plan.json --stop rank:0.95:0.2",
    'midband plan gaia --stop "beats:my-agent or usd:20"',
    "midband plan gaia --strategy cost --always smoke_tests.txt --explore 0.1",
    "midband plan gaia --candidates race.toml --output race.json",
    "midband plan --all --output suite",
)
# What the plan of a race has as well; the other settings are those of a single agent.
_OF_A_RACE = {
    *("benchmarks", "output", "candidates", "tasks", "metric", "version", "as_of"),
    *("exclude_agents", "seed", "history_path", "as_json"),
}


def plan_options(*, leave_out: Iterable[str] = (), **own: Decorator) -> Decorator:
    """Add an option for every setting of a plan; see `PlanSettings.options`.

    The command takes the texts as keyword arguments, None where an option is not given, for
    `plan_settings`.

    Parameters
    ----------
    leave_out : iterable of str
        Settings that the command gets in another way.
    **own
        Options that stand for the setting of their name.
    """

    def add(command: Callable[..., object]) -> Callable[..., object]:
        for each in reversed(PlanSettings.options()):
            if each.name not in leave_out:
                command = own.get(each.name, _plan_option(each))(command)
        return command

    return add


def _plan_option(each: Option) -> Decorator:
    kind: Any = click.Choice(each.choices) if each.choices else each.kind
    if each.least is not None:
        kind = click.IntRange(min=each.least)
    default = f"  [default: {each.default_text}]" if each.default_text else ""
    return click.option(
        each.flag,
        each.name,
        type=(kind,) * each.values if each.values > 1 else kind,
        metavar=each.metavar or None,
        help=each.help + default,
    )


def plan_settings(given: Mapping[str, Any], **readers: Callable[[Any], Any]) -> PlanSettings:
    """Return the settings of a plan that the options of `plan_options` say.

    Parameters
    ----------
    given : mapping of str to object
        By the names of the settings.
    **readers
        What reads a setting, where `Option.read` does not.

    Raises
    ------
    InputError
        A value is none that the setting takes.
    """
    read = {each.name: each.read for each in PlanSettings.options()} | readers
    said = {name: value for name, value in given.items() if value is not None}
    try:
        return PlanSettings(
            **{
                name: read[name](" ".join(map(str, value)) if isinstance(value, tuple) else value)
                for name, value in said.items()
            }
        )
    except ValueError as problem:
        raise InputError(str(problem)) from problem


@click.command(epilog=EXAMPLES)
@click.argument("benchmarks", metavar="[BENCHMARK]...", nargs=-1)
@click.option(
    "--all",
    "suite",
    is_flag=True,
    help="Write one plan for each benchmark of the history, or for each that is named, into the"
    " directory --output (suite by default).",
)
@click.option(
    "--list",
    "listed_in",
    type=FILE,
    metavar="FILE",
    help="With --all: a file of benchmarks or Inspect tasks, one a line.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(allow_dash=True, path_type=Path),
    default=Path("plan.json"),
    show_default=True,
    help="The file to write the plan to, or the directory with --all. - prints a plan instead.",
)
@plan_options(
    leave_out=("metric", "as_of", "fallback"),
    strategy=click.option(
        "--strategy", default="auto", show_default=True, cls=LateHelp, late_help="strategy_help"
    ),
    stop=click.option(
        "--stop",
        default="rank:0.95:0.2",
        show_default=True,
        metavar="RULE",
        cls=LateHelp,
        late_help="rule_help",
    ),
    always=click.option(
        "--always",
        type=FILE,
        metavar="FILE",
        help="A file of task ids, one a line, that run first with every strategy. By default there"
        " are none.",
    ),
)
@click.option(
    "--candidates",
    type=FILE,
    metavar="FILE",
    help="Plan a race between the candidates that this TOML file names; docs/race.md explains"
    " it. The plan is written to race.json by default.",
)
@click.option(
    "--tasks",
    type=FILE,
    metavar="FILE",
    help="With --candidates: the ids of the tasks, one a line. By default they are all tasks that"
    " the history holds of the benchmark.",
)
@metric_options
@as_of_option
@click.option(
    "--exclude-agent",
    "exclude_agents",
    multiple=True,
    metavar="GLOB",
    help="Leave out the known agents whose names match this pattern, such as 'old-*'. The option"
    " may be repeated.",
)
@history_option
@json_option
def plan(
    benchmarks: tuple[str, ...],
    suite: bool,
    listed_in: Path | None,
    output: Path,
    candidates: Path | None,
    tasks: Path | None,
    metric: str | None,
    version: str | None,
    as_of: datetime | None,
    exclude_agents: tuple[str, ...],
    history_path: Path | None,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Choose which tasks of BENCHMARK a new agent runs, in which order, and when it stops.

    The results of known agents in the history decide which tasks are chosen. The plan holds all
    that a run needs, so a run does not open the history.

    By default the run stops once the agent's rank is known to within a fifth of the ranks with 95 %
    confidence. --stop sets another rule.

    With --candidates the plan is that of a race, which finds the best of several agents. Run it
    with `midband race` or with `midband inspect`. With --all it is a suite of several benchmarks.
    """
    benchmark = _one_benchmark(benchmarks, output, suite=suite, listed_in=listed_in)
    if candidates is not None:
        from midband.cli.plan_race import DEFAULT_OUTPUT, RaceRequest, plan_race

        given = _given()
        _refuse_settings_of_one(given)
        race = RaceRequest(
            benchmark=benchmark,
            candidates=candidates,
            output=output if "output" in given else DEFAULT_OUTPUT,
            tasks=tasks,
            metric=metric,
            version=version,
            as_of=as_of,
            exclude_agents=exclude_agents,
            seed=plan_settings({"seed": chosen["seed"]}).seed,
            history=history_path,
        )
        return plan_race(race, as_json=as_json)
    if tasks is not None:
        msg = "expected --candidates FILE beside --tasks, got none: a plan takes its tasks from the"
        msg += " history"
        raise click.UsageError(msg, click.get_current_context())
    settings = plan_settings(
        {**chosen, "as_of": as_of and as_of.isoformat()},
        strategy=strategy_named,
        stop=stopping_rule,
        always=lambda path: read_ids(path, "--always"),
    )
    request = PlanRequest(
        settings=settings,
        metric=metric,
        version=version,
        as_of=as_of,
        exclude_agents=exclude_agents,
    )
    if suite:
        from midband.cli.plan_suite import DEFAULT_OUTPUT as SUITE
        from midband.cli.plan_suite import plan_suite

        return plan_suite(
            request,
            output if "output" in _given() else SUITE,
            names=[*benchmarks, *(read_ids(listed_in, "--list") if listed_in else ())],
            history_path=history_path,
            as_json=as_json,
        )
    with open_history(history_path) as store:
        made, unused = request.make(store, benchmark)
    if str(output) != "-":
        made.write(output)
    for warning in (*made.warnings, *renamed_rules(chosen["stop"])):
        warn(warning)
    if str(output) == "-":
        echo_document(made.to_json())
        return 0
    facts = _facts(made, output, chosen["stop"])
    notes = (*made.notes, *unused, *_unnamed(made))
    if as_json:
        print_json({**facts, "warnings": made.warnings, "notes": notes})
        return 0
    print_facts(facts)
    for note in notes:
        echo(note)
    return 0


def _one_benchmark(
    benchmarks: tuple[str, ...], output: Path, *, suite: bool, listed_in: Path | None
) -> str:
    """Return the benchmark of a single plan, after a check of what stands beside it."""
    context = click.get_current_context()
    if suite and str(output) == "-":
        msg = "expected a directory for the suite after --output, got -: name one"
        raise click.UsageError(msg, context)
    if suite:
        for name in ("candidates", "tasks", "always"):
            if name in (given := _given()):
                msg = f"expected no {given[name]} beside --all, got it: it is of one benchmark"
                raise click.UsageError(msg, context)
        return ""
    if listed_in is not None:
        msg = "expected --all beside --list, got none: a single plan is of one BENCHMARK"
        raise click.UsageError(msg, context)
    if len(benchmarks) != 1:
        got = ", ".join(benchmarks) or "none"
        msg = f"expected one BENCHMARK, got {got}: name one, or add --all for a plan of each"
        raise click.UsageError(msg, context)
    if output.is_dir():
        msg = f"expected a file for the plan after --output, got the directory {output}"
        raise click.UsageError(msg, context)
    return benchmarks[0]


def _given() -> dict[str, str]:
    """Return the options that stand on the command line, by the names of their settings."""
    context = click.get_current_context()
    return {
        name: next(iter(option.opts))
        for option in context.command.params
        if (name := option.name)
        and context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    }


def _refuse_settings_of_one(given: Mapping[str, str]) -> None:
    for name, option in given.items():
        if name not in _OF_A_RACE:
            msg = (
                f"expected no {option} beside --candidates, got it: it is a setting of a plan for a"
                " single agent; question, allocation and budget stand in the file"
            )
            raise InputError(msg)


def _unnamed(made: Plan) -> tuple[str, ...]:
    """Say in a line that nobody has named the plan's metric, and how to."""
    if made.metric is not None:
        return ()
    return (
        f"the history does not name the metric of {made.benchmark}, so results that name theirs are"
        " not accepted: import its sources again, or name it once with --metric NAME",
    )


def _facts(made: Plan, output: Path, stop_text: str) -> dict[str, object]:
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
        "mean_tokens": made.mean_tokens,
        "digest": made.digest,
    }
