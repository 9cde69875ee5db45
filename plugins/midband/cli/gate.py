"""``--gate``: what it compares, what it prints, and with which code the command ends."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from midband.cli.output import echo, listed, print_json, warn
from midband.cli.results import plan_records, reference_named, say_note
from midband.cli.summary import command_markdown, summary_option, write_summary
from midband.descriptors import ReadOptions
from midband_history import InputError, Metric, UnreadableSourceError, plain_benchmark

if TYPE_CHECKING:
    from midband._gate import GateResult
    from midband._ranking import Verdict
    from midband_history import Record
    from midband_sampler import MaxErrors, NotWorse, Plan

Command = TypeVar("Command", bound=Callable[..., object])
_HEAD = 4096


def gate_options(command: Command) -> Command:
    """Add ``--gate RULE`` and ``--summary FILE``."""
    command = summary_option(command)
    return click.option(
        "--gate",
        metavar="not-worse:BASELINE:POINTS[:CONFIDENCE]",
        help="Compare the new agent with the agent BASELINE. The exit code is 0 if the new agent is"
        " not worse by more than POINTS percentage points, 4 if it is worse, and 3 if that is"
        " undecided. CONFIDENCE is 0.95 by default.",
    )(command)


def comparison_options(command: Command) -> Command:
    """Add what two sets of finished results are compared by."""
    command = click.option(
        "--target",
        type=click.Choice(["sample", "tasks"]),
        help="With --baseline: what the comparison speaks of. sample means all tasks of this kind,"
        " of which these are a sample. tasks means these very tasks.  [default: sample]",
    )(command)
    command = click.option(
        "--cluster",
        metavar="COLUMN",
        help="With --baseline: count tasks with the same value as one unit, such as all tasks of"
        " one repository. COLUMN is a column of the results, a key of the samples' metadata in"
        " Inspect logs, the word part, or FILE:COLUMN for a table with task_id and COLUMN. By"
        " default each task is a unit.",
    )(command)
    return click.option(
        "--baseline",
        "baselines",
        multiple=True,
        type=click.Path(exists=True, path_type=Path),
        metavar="RESULTS",
        help="With --gate: finished results of BASELINE. They are compared task by task, without a"
        " plan. The option may be repeated.",
    )(command)


def is_plan(path: Path) -> bool:
    """Whether a file is one that `midband plan` wrote, by how it begins."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"midband_plan"' in file.read(_HEAD)


def checked_gate(text: str | None) -> "NotWorse | None":
    """Return the gate; None without one."""
    from midband._gate import read_gate

    return None if text is None else read_gate(text)


def finish_gate(
    result: "GateResult",
    *,
    summary: Path | None,
    as_json: bool = False,
    beside: Mapping[str, object] | None = None,
    warned: bool = False,
    section: str = "",
    command: str | None = None,
) -> int:
    """Print the result, write the summary and return the exit code.

    Parameters
    ----------
    result : GateResult
    summary : Path or None
    as_json : bool
    beside : mapping, optional
        What a JSON document holds besides.
    warned : bool
        Whether the warnings were printed already.
    section : str
        What the summary says besides, as Markdown.
    command : str, optional
        The command as Markdown; that of this process by default.
    """
    command = command_markdown() if command is None else command
    if as_json:
        print_json({**(beside or {}), "gate": result.to_dict()})
    else:
        echo(result.line())
        for warning in () if warned else result.warnings:
            warn(warning)
    if summary is not None:
        write_summary(summary, f"{result.markdown()}{chr(10) if section else ''}{section}{command}")
    return result.exit_code


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the options of ``rank`` say to a gate.

    Parameters
    ----------
    paths : tuple of Path
        Results of the candidate.
    agents : tuple of str
        As ``--agent`` names them.
    options : ReadOptions
    format_name : str or None
    allow_changed : bool
    max_errors : MaxErrors or None
    history_path : Path or None
    """

    paths: tuple[Path, ...]
    agents: tuple[str, ...]
    options: ReadOptions
    format_name: str | None = None
    allow_changed: bool = False
    max_errors: "MaxErrors | None" = None
    history_path: Path | None = None


def gate_by_plan(plan: "Plan", rule: "NotWorse", asked: Asked) -> "tuple[GateResult, Verdict]":
    """Judge finished results through a plan, one of whose reference agents is the baseline.

    Raises
    ------
    InputError
        The plan does not settle the gate, or the results are not those of one new agent.
    """
    from midband._gate import gate_of_decision, gated_plan
    from midband._ranking import rank_records
    from midband.inspect import live_orders

    rule = replace(rule, agent=reference_named(plan, rule.agent, asked.history_path))
    judged, rule = gated_plan(plan, rule, ahead=False)
    options = asked.options
    if options.metric and plan.metric is None:
        judged = replace(judged, metric=Metric(name=options.metric))
    if judged.metric is not None:
        options = replace(options, prefer_metric=judged.metric.label)
    orders = live_orders(plan, asked.paths, format_name=asked.format_name)
    records = plan_records(judged, asked.paths, asked.format_name, options, asked.agents)
    if not asked.agents:  # the baseline's own results may lie beside those of the new agent
        records = [each for each in records if each.agent != rule.agent] or records
    agents = list(dict.fromkeys(record.agent for record in records))
    _check_one(agents, rule.agent, where="the logs")
    verdicts = rank_records(
        judged,
        records,
        allow_changed=asked.allow_changed,
        orders=orders,
        max_errors=asked.max_errors,
    )
    (verdict,) = verdicts
    if verdict.agent == rule.agent:
        raise _itself(rule.agent)
    decision = replace(verdict.decision, plan_digest=plan.digest)
    result = gate_of_decision(judged, rule, decision, candidate=verdict.agent)
    return result, replace(verdict, decision=decision)


def gate_by_results(
    rule: "NotWorse",
    asked: Asked,
    baselines: Sequence[Path],
    *,
    target: str | None,
    cluster: str | None,
) -> "GateResult":
    """Compare two agents by their finished results, without a plan.

    Raises
    ------
    InputError
        The results were chosen by results, or cannot be compared.
    """
    from midband._comparing import clusters_of, gate_of_results

    paths = (*asked.paths, *baselines)
    _refuse_chosen(paths, asked.format_name)
    ours = _read(asked.paths, asked, name=asked.agents[0] if len(asked.agents) == 1 else "")
    theirs = _read(baselines, asked, name=rule.agent) if baselines else ours
    mine = [each for each in ours if not asked.agents or each.agent in asked.agents]
    if not mine:
        mine = _called(asked.agents, ours)
    theirs, baseline = _of_baseline(theirs, rule.agent, apart=bool(baselines))
    same = _same_attempts(mine, theirs)
    if not asked.agents and (not baselines or same):
        mine = [each for each in mine if each.agent != baseline]
    if not mine or _same_attempts(mine, theirs):
        raise _itself(baseline)
    _check_one(list(dict.fromkeys(each.agent for each in mine)), "", where="the results")
    mine, theirs = _of_one_benchmark(mine, theirs)
    clusters = None
    if cluster is not None and target != "tasks":
        clusters = clusters_of(
            cluster, paths, (*mine, *theirs), options=asked.options, format_name=asked.format_name
        )
    elif cluster is not None:
        msg = "expected --cluster with tasks as a sample, got --target tasks: leave one of them out"
        raise InputError(msg)
    return gate_of_results(
        replace(rule, agent=baseline),
        mine,
        theirs,
        target="tasks" if target == "tasks" else "sample",
        clusters=clusters,
        cluster_name=cluster or "",
        allow_changed=asked.allow_changed,
    )


def _read(paths: Sequence[Path], asked: Asked, *, name: str) -> "list[Record]":
    """Read results; where they name no agent, `name` is whose they are."""
    from midband.importers.reading import read_records

    def read(options: ReadOptions) -> "list[Record]":
        found = read_records(paths, format_name=asked.format_name, options=options, note=say_note)
        return list(found)

    try:
        found = read(asked.options)
    except UnreadableSourceError:
        if not name:
            raise
        found = read(replace(asked.options, agent=name))
    if not found:
        msg = f"expected results in {listed([str(path) for path in paths])}, got none"
        raise InputError(msg)
    return found


def _of_baseline(records: "list[Record]", name: str, *, apart: bool) -> "tuple[list[Record], str]":
    """Return the results of the agent that is named, in full or without what is in brackets."""
    from midband._gate import unknown_baseline

    agents = list(dict.fromkeys(each.agent for each in records))
    meant = [name] if name in agents else []
    meant = meant or [each for each in agents if each.startswith((f"{name} [", f"{name}#"))]
    if len(meant) > 1:
        msg = f"expected one baseline, got {name!r}, which means {listed(meant)}: choose one"
        raise InputError(msg)
    if not meant:
        raise unknown_baseline(name, agents, where="--baseline" if apart else "the results")
    return [each for each in records if each.agent == meant[0]], meant[0]


def _called(agents: Sequence[str], records: "Sequence[Record]") -> "list[Record]":
    """Return the results of one agent under the name that it is given.

    Raises
    ------
    InputError
        They are those of several agents, or several names are given.
    """
    names = sorted({each.agent for each in records})
    if len(names) > 1 or len(agents) > 1:
        msg = f"expected an agent of these results, got {listed(agents)}: they hold {listed(names)}"
        raise InputError(msg)
    warn(f"the results call the agent {names[0]}; it is judged as {agents[0]}")
    return [replace(each, agent=agents[0]) for each in records]


def _check_one(agents: Sequence[str], baseline: str, *, where: str) -> None:
    if not agents:
        msg = f"expected results of a new agent in {where}, got none: check the paths and names"
        raise InputError(msg)
    if list(agents) == [baseline]:
        raise _itself(baseline)
    if len(agents) > 1:
        msg = (
            f"expected one new agent in {where}, got {listed(agents)}: choose it with --agent NAME"
        )
        raise InputError(msg)


def _itself(name: str) -> InputError:
    return InputError(
        f"expected another agent than the baseline, got the results of {name} on both sides:"
        " name those of the new agent, or choose it with --agent NAME"
    )


def _same_attempts(mine: "Sequence[Record]", theirs: "Sequence[Record]") -> bool:
    """Whether both are the same results of one agent."""
    if not mine or not theirs or mine[0].agent != theirs[0].agent:
        return False

    def said(records: "Sequence[Record]") -> set[object]:
        return {
            (each.run_id, each.task_id, each.attempt, each.source_key, each.kind, each.score)
            for each in records
        }

    return said(mine) == said(theirs)


def _of_one_benchmark(
    mine: "list[Record]", theirs: "list[Record]"
) -> "tuple[list[Record], list[Record]]":
    ours, other = ({plain_benchmark(each.benchmark) for each in side} for side in (mine, theirs))
    common = sorted(ours & other)
    if len(common) != 1:
        said = listed(common) or f"{listed(sorted(ours))} and {listed(sorted(other))}"
        msg = (
            f"expected results on one benchmark that both agents ran, got {said}: name the files of"
            " one, or call it alike with --benchmark NAME"
        )
        raise InputError(msg)

    def kept(side: "list[Record]") -> "list[Record]":
        return [each for each in side if plain_benchmark(each.benchmark) == common[0]]

    return kept(mine), kept(theirs)


def _refuse_chosen(paths: Sequence[Path], format_name: str | None) -> None:
    """Refuse results of runs whose tasks a plan chose: these are judged through it."""
    found = next(_plans(paths, format_name), None)
    if found is None:
        return
    path, digest = found
    msg = (
        f"expected results whose tasks were not chosen by results, got those of a run by the plan"
        f" {digest} in {path}: judge it through the plan, `midband rank PLAN {path} --gate ...`,"
        " with the baseline in its history"
    )
    raise InputError(msg)


def _plans(paths: Sequence[Path], format_name: str | None) -> "Iterator[tuple[Path, str]]":
    """Yield runs that a plan chose the tasks of, each with the plan's digest."""
    from midband._manager import get_plugin_manager
    from midband.choices import read_plan
    from midband.importers.unpacking import opened_sources
    from midband.inspect import FORMAT, plan_of_log
    from midband.rounds.journal import FILE

    for path in paths:
        near = [path, *path.glob("*")] if path.is_dir() else list(path.absolute().parents)[:3]
        for place in near:
            if (place / FILE).is_file() and is_plan(place / "plan.json"):
                yield path, read_plan(place / "plan.json").digest
    with opened_sources(paths, get_plugin_manager().importers(), format_name=format_name) as found:
        for source in found.sources:
            if source.importer.name == FORMAT and (digest := plan_of_log(source.path)):
                yield found.path(source.path), digest
