"""``midband rank``: the verdict of a plan on finished runs."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.options import (
    EXISTING,
    FILE,
    history_option,
    json_option,
    max_errors_option,
    read_options,
    source_options,
)
from midband.cli.output import (
    echo,
    listed,
    open_history,
    print_facts,
    print_json,
    print_table,
    warn,
)
from midband.descriptors import ReadOptions
from midband_history import (
    InputError,
    Metric,
    StoreError,
    UnknownBenchmarkError,
    UnreadableSourceError,
    plain_benchmark,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from midband._ranking import Verdict
    from midband_history import Note, Record
    from midband_sampler import MaxErrors, Plan


@click.command(epilog="Example: midband rank plan.json logs/")
@click.argument("plan_path", metavar="PLAN", type=FILE)
@click.argument("paths", metavar="[LOGS...]", nargs=-1, type=EXISTING)
@source_options(leave_out=("agent",))
@click.option(
    "--agent",
    "agents",
    multiple=True,
    metavar="NAME",
    help="Rank only this agent; where the logs name no agent, this is its name. May be repeated.",
)
@click.option(
    "--versus",
    multiple=True,
    metavar="AGENT",
    help="Show the chance of being better than this reference agent; may be repeated.",
)
@click.option(
    "--all",
    "everyone",
    is_flag=True,
    help="Bound the ranks of all reference agents at once, together with agents of LOGS that ran"
    " every task; LOGS may be left out.",
)
@max_errors_option
@click.option("--allow-changed", is_flag=True, help="Accept tasks that changed since the plan.")
@history_option
@json_option
def rank(
    plan_path: Path,
    paths: tuple[Path, ...],
    agents: tuple[str, ...],
    versus: tuple[str, ...],
    everyone: bool,
    max_errors: "MaxErrors | None",
    allow_changed: bool,
    history_path: Path | None,
    as_json: bool,
    **reading: Any,
) -> int:
    """Rank the agents of LOGS by PLAN, as an adaptive run would.

    The results are judged in the order of the plan, so a full run and a run that stopped early get
    the same verdict. A run that chose its tasks live is judged in the order that it chose. A note
    names results of other benchmarks, which are left out.
    """
    from midband._ranking import is_old, rank_records
    from midband.choices import read_plan
    from midband.importers.reading import check_columns
    from midband.inspect import live_orders

    options = read_options(**reading)
    check_columns(options.columns)
    format_name = reading["format_name"]
    plan = read_plan(plan_path)
    if not paths and not everyone:
        msg = "expected LOGS to rank, got none: name them, or pass --all for the plan's own agents"
        raise click.UsageError(msg)
    if options.metric and plan.metric is None:
        plan = replace(plan, metric=Metric(name=options.metric))
    if plan.metric is not None:
        options = replace(options, prefer_metric=plan.metric.label)
    orders = live_orders(plan, paths, format_name=format_name)
    records = _records(plan, paths, format_name, options, agents) if paths else []
    if everyone:
        return _show_everyone(plan, records, allow_changed=allow_changed, as_json=as_json)
    if plan.metric is None and is_old(plan) and any(record.metric.known for record in records):
        warn("the plan was made by midband 0.1 and does not say which metric it is about")
    versus = tuple(_reference(plan, name, history_path) for name in versus)
    verdicts = rank_records(
        plan,
        records,
        allow_changed=allow_changed,
        versus=versus,
        orders=orders,
        max_errors=max_errors,
    )
    if as_json:
        print_json([_row(verdict) for verdict in verdicts])
    else:
        _show(plan, verdicts)
    if plan.metric is None and records and not any(record.metric.known for record in records):
        warn(
            "neither the plan nor the results name their metric: they are taken to be by the same,"
            " --metric NAME says which"
        )
    for line in _oddities(plan, verdicts):
        warn(line)
    if not verdicts:
        warn("found no results in these logs")
        return 1
    return 0


def _reference(plan: "Plan", name: str, history_path: Path | None) -> str:
    """Return the reference agent of the plan that a name means, or meant formerly.

    Raises
    ------
    InputError
        It means several.
    """
    from midband.choices import current_name

    agents = plan.reference_agents
    if name in agents:
        return name
    namesakes = [agent for agent in agents if agent.startswith((f"{name} [", f"{name}#"))]
    if len(namesakes) > 1:
        msg = (
            f"expected one agent of the plan, got {name!r}, which means {listed(namesakes)}:"
            " choose one of these"
        )
        raise InputError(msg)
    if namesakes:
        return namesakes[0]
    with suppress(StoreError, UnknownBenchmarkError), open_history(history_path) as store:
        label = current_name(store, plan.benchmark, name, ())
        for agent in agents:
            with suppress(InputError):
                if label == current_name(store, plan.benchmark, agent, ()):
                    return agent
    return name


def _records(
    plan: "Plan",
    paths: "Sequence[Path]",
    format_name: str | None,
    options: ReadOptions,
    agents: "Sequence[str]",
) -> "list[Record]":
    """Read the results of the plan's benchmark by the agents that are asked for.

    A name that no source knows names the agent of results that name nobody else.
    """
    from midband.importers.reading import read_records

    def read(options: ReadOptions) -> "list[Record]":
        found = read_records(paths, format_name=format_name, options=options, note=_say_note)
        return _of_benchmark(plan, list(found), options)

    alone = agents[0] if len(agents) == 1 else ""
    try:
        records = read(options)
    except UnreadableSourceError:
        if not alone:
            raise
        return read(replace(options, agent=alone))
    names = sorted({record.agent for record in records})
    kept = [record for record in records if not agents or record.agent in agents]
    if kept or not records or not alone:
        return kept
    if len(names) > 1:
        msg = f"expected an agent of these logs, got {alone!r}: they hold {', '.join(names)}"
        raise InputError(msg)
    warn(f"the logs call the agent {names[0]}; it is ranked as {alone}")
    return [replace(record, agent=alone) for record in records]


def _of_benchmark(plan: "Plan", records: "list[Record]", options: ReadOptions) -> "list[Record]":
    """Keep the results of the plan's benchmark where there are some, and name the others."""
    mine = [record for record in records if plain_benchmark(record.benchmark) == plan.benchmark]
    others = sorted({record.benchmark for record in records} - {plan.benchmark})
    others = [name for name in others if plain_benchmark(name) != plan.benchmark]
    if not mine or options.benchmark:
        return records
    if others:
        warn(f"results of other benchmarks are passed over: {listed(others)}")
    return [replace(record, benchmark=plan.benchmark) for record in mine]


def _say_note(path: Path, note: "Note") -> None:
    if note.code != "not-checkable":
        echo(f"midband: note: {path}: {note.text}", err=True)


def _row(verdict: "Verdict") -> dict[str, object]:
    return {
        "agent": verdict.agent,
        **verdict.decision.to_dict(),
        "results_outside_plan": verdict.ignored,
        "results_not_judged": verdict.unjudged,
    }


def _oddities(plan: "Plan", verdicts: "list[Verdict]") -> "Iterator[str]":
    """Say what names or missing results may have done to the verdicts."""
    for verdict in verdicts:
        agent, decision = verdict.agent, verdict.decision
        if verdict.ignored and not decision.tasks_run and not verdict.unjudged:
            yield (
                f"{agent}: expected results on planned tasks, such as {plan.tasks[0]!r},"
                f" got {verdict.ignored} on others: check the task ids"
            )
        if verdict.unjudged:
            yield (
                f"{agent}: results on {verdict.unjudged} tasks are not judged: that is done"
                f" in the order of the plan, and {verdict.missing!r} before them has none: run it"
            )
    known = set(plan.reference_agents)
    if own := [verdict.agent for verdict in verdicts if verdict.agent in known]:
        yield (
            f"ranked against itself too, being one of the plan's own agents: {listed(own)};"
            " `midband plan --exclude-agent` leaves an agent out"
        )


def _show(plan: "Plan", verdicts: "list[Verdict]") -> None:
    if len(verdicts) == 1:
        row = _row(verdicts[0])
        better = row.pop("better_than")
        del row["warnings"]  # the verdict says them
        row["claims"] = "; ".join(
            f"{each.text} ({each.confidence:.0%})" for each in verdicts[0].decision.claims
        )
        row["tie_group"] = listed(verdicts[0].decision.tie_group)
        for line in verdicts[0].decision.lines(
            prefix=f"{verdicts[0].agent}: ",
            ended=True,
            resume="run the tasks that are left, and rank all results together",
        ):
            echo(line)
        print_facts(row)
        if isinstance(better, dict) and better:
            print_table(("close to", "chance_better"), sorted(better.items()))
        return
    columns = ("agent", "rank", "low", "high", "score", "tasks_run", "reason")
    print_table(
        columns,
        [[_row(verdict)[name] for name in columns] for verdict in verdicts],
        title=f"{plan.benchmark} on the {plan.target}" if verdicts else "",
    )
    for warning in plan.warnings if verdicts else ():
        warn(warning)
    for verdict in verdicts:
        for warning in verdict.decision.warnings[len(plan.warnings) :]:
            warn(f"{verdict.agent}: {warning}")


def _show_everyone(
    plan: "Plan", records: "Iterable[Record]", *, allow_changed: bool, as_json: bool
) -> int:
    from midband._ranking import rank_everyone

    confidence = plan.stop.confidence
    sets, left_out = rank_everyone(
        plan, records, confidence=confidence, allow_changed=allow_changed
    )
    if as_json:
        print_json(
            {
                "benchmark": plan.benchmark,
                "confidence": confidence,
                "agents": sets,
                "left_out": left_out,
            }
        )
    else:
        print_table(
            ("agent", "low", "high", "score"),
            [(each.agent, each.low, each.high, each.score) for each in sets],
            title=f"{plan.benchmark}: all ranks at once hold at {confidence:.0%}",
        )
    if left_out:
        warn(f"left out, being in the plan or without every task: {listed(left_out)}")
    return 0
