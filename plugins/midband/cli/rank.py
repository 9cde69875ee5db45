"""``midband rank``: the verdict of a plan on finished runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband.cli._options import EXISTING, FILE, history_option, json_option, map_option, pairs
from midband.cli._output import echo, print_facts, print_json, print_table, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from midband._ranking import LiveOrder, Verdict
    from midband_history import Record
    from midband_sampler import Plan

_SHOWN = 8


@click.command(epilog="Example: midband rank plan.json logs/")
@click.argument("plan_path", metavar="PLAN", type=FILE)
@click.argument("paths", metavar="[LOGS...]", nargs=-1, type=EXISTING)
@click.option("--format", "format_name", metavar="NAME", help="Their format; sniffed if left out.")
@click.option("--benchmark", metavar="NAME", help="The benchmark, where logs name it otherwise.")
@map_option
@click.option("--agent", "agents", multiple=True, help="Rank only this agent; may be repeated.")
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
    help="Bound the ranks of all reference agents at once, with agents of LOGS that ran every"
    " task; LOGS may be left out.",
)
@click.option("--allow-changed", is_flag=True, help="Accept tasks that changed since the plan.")
@history_option
@json_option
def rank(
    plan_path: Path,
    paths: tuple[Path, ...],
    format_name: str | None,
    benchmark: str | None,
    mappings: tuple[str, ...],
    agents: tuple[str, ...],
    versus: tuple[str, ...],
    everyone: bool,
    allow_changed: bool,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Rank the agents of LOGS by PLAN: the verdict that an adaptive run of them gives.

    The results are judged in the order of the plan, so a full run and a run that was stopped
    get the same verdict. A run that chose its tasks live is judged in the order that it chose.
    """
    from midband._plans import read_plan
    from midband._ranking import rank_records
    from midband.importers._sources import check_columns, find_sources, read_records

    columns = check_columns(pairs(mappings))
    plan = read_plan(plan_path)
    if not paths and not everyone:
        msg = "expected LOGS to rank, got none: name them, or pass --all for the plan's own agents"
        raise click.UsageError(msg)
    orders: dict[str, LiveOrder] = {}
    if plan.chooses_live:
        from midband.inspect._rank import live_orders

        sources = find_sources(paths, format_name=format_name)
        orders = live_orders(
            plan, [each.path for each in sources if each.importer.name == "inspect"]
        )
    records = (
        record
        for record in read_records(
            paths, format_name=format_name, benchmark=benchmark, columns=columns
        )
        if not agents or record.agent in agents
    )
    if everyone:
        named = records if paths else ()
        return _show_everyone(plan, named, allow_changed=allow_changed, as_json=as_json)
    verdicts = rank_records(
        plan, records, allow_changed=allow_changed, versus=versus, orders=orders
    )
    if as_json:
        print_json([_row(verdict) for verdict in verdicts])
    else:
        _show(plan, verdicts)
    for line in _oddities(plan, verdicts):
        warn(line)
    if not verdicts:
        warn("found no results in these logs")
        return 1
    return 0


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
            f"ranked against itself too, being one of the plan's own agents: {_names(own)};"
            " `midband plan --exclude-agent` leaves an agent out"
        )


def _show(plan: "Plan", verdicts: "list[Verdict]") -> None:
    if len(verdicts) == 1:
        row = _row(verdicts[0])
        better = row.pop("better_than")
        warnings = row.pop("warnings")
        row["claims"] = "; ".join(
            f"{each.text} ({each.confidence:.0%})" for each in verdicts[0].decision.claims
        )
        row["tie_group"] = _names(verdicts[0].decision.tie_group)
        echo(f"{verdicts[0].agent}: {verdicts[0].decision}")
        print_facts(row)
        if isinstance(better, dict) and better:
            print_table(("close to", "chance_better"), sorted(better.items()))
        for warning in warnings if isinstance(warnings, list) else []:
            warn(str(warning))
        return
    columns = ("agent", "rank", "low", "high", "score", "tasks_run", "reason")
    print_table(
        columns,
        [[_row(verdict)[name] for name in columns] for verdict in verdicts],
        title=f"{plan.benchmark} on the planned tasks" if verdicts else "",
    )


def _names(agents: "Sequence[str]") -> str:
    more = len(agents) - _SHOWN
    return ", ".join(agents[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


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
        warn(f"left out, being in the plan or without every task: {_names(left_out)}")
    return 0
