"""``midband rank``: the verdict of a plan on finished runs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.gate import (
    Asked,
    checked_gate,
    comparison_options,
    finish_gate,
    gate_by_plan,
    gate_by_results,
    gate_options,
    is_plan,
)
from midband.cli.options import (
    EXISTING,
    examples,
    history_option,
    json_option,
    max_errors_option,
    read_options,
    source_options,
)
from midband.cli.output import (
    echo_block,
    listed,
    on_terminal,
    print_facts,
    print_json,
    print_table,
    warn,
)
from midband.cli.results import plan_records, reference_named
from midband.cli.summary import (
    command_markdown,
    decision_markdown,
    suite_markdown,
    warning_list,
    write_summary,
)
from midband.text import marked
from midband_history import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from midband._ranking import Verdict
    from midband.cli.rank_suite import SuiteRanking
    from midband_history import Record
    from midband_sampler import MaxErrors, NotWorse, Plan


EXAMPLES = examples(
    "midband rank plan.json logs/",
    "midband rank plan.json logs/ --gate not-worse:my-agent:2",
    "midband rank suite/ logs/",
    "midband rank new.csv --baseline old.csv --gate not-worse:my-agent:2 --cluster repo",
)


@click.command(epilog=EXAMPLES)
@click.argument("plan_path", metavar="PLAN", type=EXISTING)
@click.argument("paths", metavar="[LOGS...]", nargs=-1, type=EXISTING)
@source_options(leave_out=("agent",))
@click.option(
    "--agent",
    "agents",
    multiple=True,
    metavar="NAME",
    help="Judge only the results of this agent. If the logs name no agent, this is its name. The"
    " option may be repeated.",
)
@click.option(
    "--versus",
    multiple=True,
    metavar="AGENT",
    help="Show the estimated chance of being better than this known agent. The option may be"
    " repeated.",
)
@click.option(
    "--all",
    "everyone",
    is_flag=True,
    help="Bound the ranks of all known agents at once, together with the agents of LOGS that ran"
    " every task. LOGS may be left out.",
)
@gate_options
@comparison_options
@max_errors_option
@click.option(
    "--allow-changed",
    is_flag=True,
    help="Accept tasks whose content has changed since the plan was made. By default they are an"
    " error.",
)
@history_option
@json_option
def rank(
    plan_path: Path,
    paths: tuple[Path, ...],
    agents: tuple[str, ...],
    versus: tuple[str, ...],
    everyone: bool,
    gate: str | None,
    summary: Path | None,
    baselines: tuple[Path, ...],
    cluster: str | None,
    target: str | None,
    max_errors: "MaxErrors | None",
    allow_changed: bool,
    history_path: Path | None,
    as_json: bool,
    **reading: Any,
) -> int:
    """Judge the agents whose results are in LOGS by PLAN, as an adaptive run would.

    The results are judged in the order of the plan, so a full run and a run that stopped early get
    the same verdict. A run that chose its tasks live is judged in the order that it chose. Results
    of other benchmarks are left out, and a note names them.

    PLAN may be a suite that `midband plan --all` wrote. The verdict is then a table with a row for
    each benchmark, and says with what confidence all rows hold together.

    With --gate the exit code says whether the new agent in LOGS is worse than a baseline by more
    than a margin. Standard output is then one line. The baseline is an agent of PLAN. To compare
    two sets of results without a plan, name the new results instead of PLAN and LOGS, and the old
    ones with --baseline.
    """
    from midband._ranking import is_old, rank_records
    from midband.choices import read_plan
    from midband.cli.rank_suite import SuiteRanking, check_suite_options
    from midband.importers.reading import check_columns
    from midband.inspect import live_orders
    from midband.suite import Suite, is_suite

    options = read_options(**reading)
    check_columns(options.columns)
    format_name = reading["format_name"]
    if is_suite(plan_path):
        check_suite_options(
            {"--gate": gate, "--versus": versus, "--all": everyone, "--baseline": baselines}
        )
        return _rank_suite(
            SuiteRanking(
                suite=Suite.read(plan_path),
                paths=paths,
                options=options,
                format_name=format_name,
                agents=agents,
                allow_changed=allow_changed,
                max_errors=max_errors,
            ),
            summary,
            as_json=as_json,
        )
    rule = checked_gate(gate)
    compared = {"--baseline": baselines, "--cluster": cluster, "--target": target}
    given = [name for name, value in compared.items() if value]
    if rule is None and given:
        msg = f"expected --gate beside {given[0]}, got none: name the baseline and the margin"
        raise click.UsageError(msg)
    if rule is not None:
        if versus or everyone:
            msg = f"expected --gate alone, got {'--all' if everyone else '--versus'} as well"
            raise click.UsageError(msg)
        asked = Asked(
            paths=paths,
            agents=agents,
            options=options,
            format_name=format_name,
            allow_changed=allow_changed,
            max_errors=max_errors,
            history_path=history_path,
        )
        if is_plan(plan_path):
            return _gate_plan(plan_path, rule, asked, given, summary, as_json=as_json)
        asked = replace(asked, paths=(plan_path, *paths))
        found = gate_by_results(rule, asked, baselines, target=target, cluster=cluster)
        return finish_gate(found, summary=summary, as_json=as_json)
    if plan_path.is_dir():
        msg = f"expected the file of a plan, got the directory {plan_path}: name the plan first"
        raise click.UsageError(msg)
    plan = read_plan(plan_path)
    if not paths and not everyone:
        msg = "expected LOGS to rank, got none: name them, or pass --all for the plan's own agents"
        raise click.UsageError(msg)
    if options.metric and plan.metric is None:
        plan = replace(plan, metric=Metric(name=options.metric))
    if plan.metric is not None:
        options = replace(options, prefer_metric=plan.metric.label)
    orders = live_orders(plan, paths, format_name=format_name)
    records = plan_records(plan, paths, format_name, options, agents) if paths else []
    if everyone and summary is not None:
        msg = "expected --summary with LOGS to judge, got --all: leave one of them out"
        raise click.UsageError(msg)
    if everyone:
        return _show_everyone(plan, records, allow_changed=allow_changed, as_json=as_json)
    if plan.metric is None and is_old(plan) and any(record.metric.known for record in records):
        warn("the plan was made by midband 0.1 and does not say which metric it is about")
    versus = tuple(reference_named(plan, name, history_path) for name in versus)
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
    elif verdicts:
        _show(plan, verdicts)
    if plan.metric is None and records and not any(record.metric.known for record in records):
        warn(
            "neither the plan nor the results name their metric: they are taken to be by the same,"
            " --metric NAME says which"
        )
    odd = list(_oddities(plan, verdicts))
    for line in odd:
        warn(line)
    if summary is not None:
        write_summary(summary, _markdown(plan, verdicts, odd) + command_markdown())
    if not verdicts:
        warn(f"expected results of {plan.benchmark}, found no results in these logs: check LOGS")
        return 1
    return 0


def _rank_suite(ranking: "SuiteRanking", summary: Path | None, *, as_json: bool) -> int:
    """Judge results by a suite."""
    from midband.cli.rank_suite import show_suite

    if not ranking.paths:
        msg = "expected LOGS to rank, got none: name them after the suite"
        raise click.UsageError(msg)
    verdict = ranking.verdict()
    show_suite(verdict, as_json=as_json)
    if summary is not None:
        write_summary(summary, suite_markdown(verdict) + command_markdown())
    if not verdict.agents:
        warn("found no results of the suite's benchmarks in these logs")
        return 1
    return 0


def _gate_plan(
    plan_path: Path,
    rule: "NotWorse",
    asked: Asked,
    given: list[str],
    summary: Path | None,
    *,
    as_json: bool,
) -> int:
    """Judge a gate through a plan."""
    from midband.choices import read_plan

    if given:
        msg = (
            f"expected no {given[0]} beside a plan, got it: the baseline is an agent of the plan,"
            " whose tasks are the target"
        )
        raise click.UsageError(msg)
    if not asked.paths:
        msg = "expected LOGS of the new agent, got none: name them after the plan"
        raise click.UsageError(msg)
    plan = read_plan(plan_path)
    result, verdict = gate_by_plan(plan, rule, asked)
    return finish_gate(
        result,
        summary=summary,
        as_json=as_json,
        beside={"verdict": _row(verdict)},
        section=_markdown(plan, [verdict]),
    )


def _markdown(plan: "Plan", verdicts: "Sequence[Verdict]", odd: "Sequence[str]" = ()) -> str:
    """Return the verdicts as sections, with what is odd about them."""
    sections = [
        decision_markdown(each.decision, agent=each.agent, benchmark=plan.benchmark)
        for each in verdicts
    ]
    if not sections:
        sections = [f"### {marked(plan.benchmark)}: no results\n"]
    return "\n".join([*sections, *warning_list(odd)]) + ("\n" if odd else "")


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
            f"ranked against itself too, as one of the plan's own agents: {listed(own)};"
            " `midband plan --exclude-agent` leaves an agent out"
        )


def _show(plan: "Plan", verdicts: "list[Verdict]") -> None:
    if len(verdicts) == 1:
        row = _row(verdicts[0])
        better = row.pop("better_than")
        del row["warnings"]  # the verdict says them
        row |= _ended(verdicts[0])
        row["claims"] = "; ".join(
            f"{each.text} ({each.confidence:.0%})" for each in verdicts[0].decision.claims
        )
        row["tie_group"] = listed(verdicts[0].decision.tie_group)
        echo_block(
            verdicts[0].decision.lines,
            prefix=f"{verdicts[0].agent}: ",
            ended=True,
            resume="run the tasks that are left, and rank all results together",
        )
        print_facts(row if not on_terminal() else _beside_the_verdict(row))
        if isinstance(better, dict) and better:
            print_table(("close to", "chance_better"), sorted(better.items()))
        return
    columns = ("agent", "rank", "low", "high", "score", "tasks_run", "reason")
    print_table(
        columns,
        [[{**_row(verdict), **_ended(verdict)}[name] for name in columns] for verdict in verdicts],
        title=f"{plan.benchmark} on the {plan.target}",
    )
    for warning in plan.warnings:
        warn(warning)
    for verdict in verdicts:
        for warning in verdict.decision.warnings[len(plan.warnings) :]:
            warn(f"{verdict.agent}: {warning}")


def _ended(verdict: "Verdict") -> dict[str, str]:
    """Return why a finished run ended, for people."""
    decision = verdict.decision
    return {"reason": decision.reason if decision.stop else "the stopping rule was not met"}


def _beside_the_verdict(row: Mapping[str, object]) -> dict[str, object]:
    """Return what the verdict's block does not say, for a person."""
    counts = ("results_outside_plan", "results_not_judged")
    shown = {name: row[name] for name in counts if row[name]}
    return {"guarantee": row["guarantee"], **shown, "plan_digest": row["plan_digest"]}


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
        warn(
            f"left out, because they are in the plan or did not run every task: {listed(left_out)}"
        )
    return 0
