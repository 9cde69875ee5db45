"""SWE-bench: run reports, reports of single instances, and tables of other sites."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.descriptors import Importer, ReadOptions
from midband.harnesses._files import (
    foreign,
    head,
    list_of_objects,
    load_lines,
    load_object,
    mapping,
    moment,
    number,
)
from midband.harnesses._stating import Amounts, choose_metric, rounding
from midband.harnesses._swebench_ends import Ends
from midband.harnesses._swebench_names import BENCHMARK, of_instance, of_run
from midband.harnesses._swebench_reports import instances, listed, lists_solved_only, totals
from midband.hookspecs import hookimpl
from midband_history import Metric, Note, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import Harness, ReadItem

_WHAT = "a SWE-bench report"
RESOLVED = Metric(name="resolved", declared="source")
_ARENA = "rows of benchmark_id, model, example_id, pass1"
_OF_IDS = re.compile(
    rb'"(resolved|unresolved|completed|submitted|incomplete|empty_patch|error|pending)_ids":\['
)
_OLD = re.compile(rb'\{"(no_generation|no_logs|generated|resolved)":\[')
# The data of a board, where it is called otherwise.
_BOARDS = {"bash-only": "verified", "test": ""}


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the agents to ``midband export`` and ``midband run``."""
    from midband.harnesses._swebench_agents import MiniSweAgent, SweAgent

    return [MiniSweAgent(), SweAgent()]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the formats to ``midband import``."""
    return [
        Importer(
            name="swebench",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="SWE-bench run reports, report.json files, experiments, leaderboard details.",
            version=2,
        ),
        Importer(
            name="eval-arena",
            sniff=sniff_arena,
            read=read_arena,
            suffixes=(".jsonl",),
            summary="eval-arena JSONL: benchmark_id, model, example_id, pass1.",
            version=2,
            former_names=("eval_arena",),
        ),
    ]


def sniff(path: Path) -> bool:
    """Whether a JSON file begins like one of SWE-bench's."""
    return path.suffix == ".json" and path.is_file() and _layout(path) != ""


def _layout(path: Path) -> str:
    start = head(path)
    if path.name == "report.json" and b'"patch_is_None":' in start:
        return "instance"
    if b'"total_instances":' in start and b'"resolved_instances":' in start:
        return "run"
    if start.startswith(b"{") and _OF_IDS.search(start) and b'"trial_name":' not in start:
        return "run"
    if _OLD.match(start):
        return "run"
    if start.startswith(b'{"leaderboards":['):
        return "leaderboards"
    return ""


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record for every instance that a report names, and what the report counts.

    Instances under ``error_ids`` and the like are unknown, not failed, unless the report states a
    rate that counts them; an empty patch is a failure, unless the agent's own files beside the
    report say that it never ran. They tell costs too.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        `tasks`, or else `known_tasks`, completes reports that list solved instances only.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, contradicts itself, or does not say who ran.
    """
    report, layout = load_object(path, _WHAT), _layout(path)
    choose_metric(options, [RESOLVED.name], path)
    place = path.absolute()
    if layout == "leaderboards":
        yield from _leaderboards(report, path, options)
        return
    if layout == "instance":
        origin, found = of_instance(place, options), instances(report, path)
        # <root>/logs/run_evaluation/<run>/<model>/<id>/report.json
        inside = place.parts[-6:-4] == ("logs", "run_evaluation")
        ends = Ends.below(place.parents[5]) if inside else Ends()
    elif layout == "run":
        ends = Ends.below(place.parent)
        origin = of_run(place, report, options, ends.agents)
        if not options.tasks and options.known_tasks and lists_solved_only(report):
            options = replace(options, tasks=options.known_tasks(origin.benchmark))
            if options.tasks:
                text = (
                    "the report lists resolved instances only: all others of the"
                    f" {len(options.tasks)} tasks that the history holds of {origin.benchmark} are"
                    " taken as failed"
                )
                yield Note(code="tasks-from-history", text=text)
        found = listed(report, path, options)
        yield from totals(report, found)
    else:
        raise foreign(path, _WHAT, "a file of another kind")
    amounts = Amounts()
    if origin.note is not None:
        yield origin.note
    for task, each in found.items():
        record = Record(
            benchmark=origin.benchmark,
            task_id=task,
            agent=origin.agent,
            score=each.score,
            kind=each.kind,
            errored=each.errored,
            run_id=origin.run_id,
            model=origin.model,
            harness="swebench",
            started=origin.started,
            metric=RESOLVED,
            source_key=f"swebench/{origin.benchmark}/{origin.run_id}/{origin.agent}/{task}",
        )
        yield ends.complete(record, amounts, renamed=bool(options.agent))
    yield from amounts.notes()


def _leaderboards(data: dict[str, Any], path: Path, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield the instances of those entries that give them; of the others there is only a rate."""
    bare, amounts = 0, Amounts()
    for board in list_of_objects(data.get("leaderboards"), path, _WHAT):
        title = str(board.get("name") or "").lower()
        part = _BOARDS.get(title, title.replace(" ", "-"))
        benchmark = options.benchmark or "-".join(filter(None, (BENCHMARK, part)))
        entries = list_of_objects(board.get("results") or [], path, _WHAT)
        names = Counter(_name(entry) for entry in entries if entry.get("per_instance_details"))
        for entry in entries:
            if not entry.get("per_instance_details"):
                bare += 1
                continue
            agent = options.agent or _name(entry)
            rate = number(entry.get("resolved"))
            if rate is not None:
                alone = names[_name(entry)] == 1 and not options.agent
                yield StatedAggregate(
                    name="resolved",
                    value=rate / 100,
                    tolerance=rounding(rate) / 100,
                    missing="failed",
                    agent=agent,
                    benchmark=benchmark,
                    not_checkable="" if alone else "several entries have one name",
                )
            yield from _details(entry, agent, benchmark, f"{board.get('name')}", amounts)
    yield from amounts.notes()
    if bare:
        text = f"{bare} entries give a rate and no instances; they were not read"
        yield Note(code="aggregates-only", text=text)


def _details(
    entry: dict[str, Any], agent: str, benchmark: str, board: str, amounts: Amounts
) -> Iterator[Record]:
    run_id = str(entry.get("folder") or entry.get("name") or "")
    for task, each in mapping(entry.get("per_instance_details")).items():
        resolved = mapping(each).get("resolved")
        score = float(resolved) if isinstance(resolved, bool) else None
        yield Record(
            benchmark=benchmark,
            task_id=task,
            agent=agent,
            score=score,
            kind="missing" if score is None else "valid",
            run_id=run_id,
            harness="swebench",
            started=moment(entry.get("date")),
            cost_usd=amounts.cost(mapping(each).get("cost")),
            metric=RESOLVED,
            source_key=f"swebench/{benchmark}/{board}/{run_id}/{task}",
        )


def _name(entry: dict[str, Any]) -> str:
    return str(entry.get("name") or entry.get("folder") or "")


def sniff_arena(path: Path) -> bool:
    """Whether a JSONL file begins with a row of eval-arena."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    start = head(path)
    return start.startswith(b"{") and b'"example_id":' in start and b'"pass1":' in start


def read_arena(path: Path, *, options: ReadOptions) -> Iterator[Record]:
    """Yield a record a row; parameters and errors as in `read`."""
    metric = Metric(name=choose_metric(options, ["pass1"], path))
    for row in load_lines(path, _ARENA):
        if not row.get("model") or not row.get("example_id"):
            raise foreign(path, _ARENA, f"a row of {', '.join(row)}")
        value = row.get("pass1")
        score = float(value) if isinstance(value, bool) else number(value)
        yield Record(
            benchmark=options.benchmark or str(row.get("benchmark_id") or BENCHMARK),
            task_id=str(row["example_id"]),
            agent=options.agent or str(row["model"]),
            score=score,
            kind="missing" if score is None else "valid",
            run_id=str(row["model"]),
            harness="eval-arena",
            metric=metric,
        )
