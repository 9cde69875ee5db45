"""``midband history tasks``: tasks that no longer separate agents, flip, or are broken."""

import csv
import sys
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband.cli.options import as_of_option, examples, history_option, json_option, metric_options
from midband.cli.output import (
    count,
    csv_cell,
    open_history,
    plain,
    print_json,
    print_table,
    say,
    say_other_contents,
    say_undated,
)

if TYPE_CHECKING:
    from midband_sampler import Cohort, TaskCheck, TaskReport

_KINDS = ("broken", "stale", "flips")


@click.command(
    epilog=examples(
        "midband history tasks gaia --only broken",
        "midband history tasks gaia --by year --csv > tasks.csv",
    )
)
@click.argument("benchmark")
@click.option(
    "--cohorts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Divide the agents into N cohorts of about the same size, by the date of their first runs."
    "  [default: 3, or fewer, so that each has 5 agents]",
)
@click.option(
    "--by", type=click.Choice(["year"]), help="Make one cohort of the agents of each year instead."
)
@click.option(
    "--only",
    type=click.Choice(_KINDS),
    multiple=True,
    help="Print only the tasks that are probably broken, that no longer separate agents (stale), or"
    " that an agent both passed and failed (flips). The option may be repeated.",
)
@as_of_option
@metric_options
@history_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print all numbers as CSV.")
def tasks(
    benchmark: str,
    cohorts: int | None,
    by: str | None,
    only: tuple[str, ...],
    as_of: datetime | None,
    metric: str | None,
    version: str | None,
    history_path: Path | None,
    as_json: bool,
    as_csv: bool,
) -> int:
    """Check whether each task of BENCHMARK still tells agents apart.

    The table says for each task whether it separates the agents of the newest cohort, and how many
    of the agents that repeated it both passed and failed it. It also says whether the task is
    probably broken, because stronger agents fail it significantly more often than weaker ones, or
    because only the weakest pass it. "unknown" means that there are too few results to tell, and
    the table says why.
    """
    from midband_sampler import check_tasks

    if as_json and as_csv:
        msg = "expected --json or --csv, got both"
        raise click.UsageError(msg)
    if cohorts is not None and by is not None:
        msg = f"expected --cohorts or --by, got --cohorts {cohorts} and --by {by}"
        raise click.UsageError(msg)
    with open_history(history_path) as store:
        matrix = store.outcomes(benchmark, as_of=as_of, metric=metric, version=version)
        say_undated(store, benchmark, as_of)
        say_other_contents(store, benchmark, as_of=as_of, metric=metric, version=version)
    report = check_tasks(matrix, cohorts=cohorts, by_year=by == "year")
    chosen = tuple(task for task in report.tasks if not only or _is_one_of(task, only))
    if as_json:
        print_json(replace(report, tasks=chosen))
    elif as_csv:
        _print_csv(report, chosen)
    else:
        for number, cohort in enumerate(report.cohorts, 1):
            say(_told(number, cohort))
        say(_summary(report))
        _print_tasks(report, chosen)
    return 0 if report.tasks else 1


def _is_one_of(task: "TaskCheck", kinds: tuple[str, ...]) -> bool:
    is_kind = {"broken": task.broken is True, "stale": task.stale, "flips": task.flipped > 0}
    return any(is_kind[kind] for kind in kinds)


def _told(number: int, cohort: "Cohort") -> str:
    """Return the line of one cohort."""
    parts = {
        "separate": cohort.separates,
        "all pass": cohort.all_pass,
        "none pass": cohort.none_pass,
        "same score": cohort.same_score,
        "unknown": cohort.unknown,
    }
    known = ", ".join(f"{many:,} {name}" for name, many in parts.items() if many)
    return f"cohort {number} ({cohort.name}): {count(cohort.agents, 'agent')}; tasks: {known}"


def _summary(report: "TaskReport") -> str:
    found = report.tasks
    unknown = sum(task.broken is None for task in found)
    return (
        f"{count(len(found), 'task')}: {sum(task.broken is True for task in found):,} probably"
        f" broken ({unknown:,} unknown), {sum(task.stale for task in found):,} no longer separate"
        f" agents, {sum(task.flipped > 0 for task in found):,} flip"
    )


def _print_tasks(report: "TaskReport", chosen: tuple["TaskCheck", ...]) -> None:
    """Print a row a task: broken ones first, then stale ones, then by how often they flip."""
    order = sorted(
        chosen,
        key=lambda task: (
            task.broken is not True,
            task.adjusted_p if task.broken else 0.0,
            not task.stale,
            -task.flip_rate if task.repeated else 0.0,
        ),
    )
    verdicts = {True: "probably", False: "no", None: "unknown"}
    names = [f"rate {number}" for number in range(1, len(report.cohorts) + 1)]
    rows = [
        (
            task.task_id,
            *(round(each.pass_rate, 3) for each in task.cohorts),
            task.separation,
            f"{task.flipped}/{task.repeated}" if task.repeated else "",
            round(task.item_rest, 2),
            verdicts[task.broken] + (f": {task.why}" if task.why else ""),
        )
        for task in order
    ]
    columns = ("task_id", *names, "separation", "flips", "item_rest", "broken")
    print_table(columns, rows, title=report.benchmark)


def _print_csv(report: "TaskReport", chosen: tuple["TaskCheck", ...]) -> None:
    """Write every number, with three columns a cohort; unknown is empty."""
    from midband_sampler import TaskCheck

    names = [field.name for field in fields(TaskCheck) if field.name != "cohorts"]
    inside = ("agents", "pass_rate", "separation")
    cohorts = [f"{name} {cohort.name}" for cohort in report.cohorts for name in inside]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*names, *cohorts])
    for task in chosen:
        values = [getattr(task, name) for name in names]
        values += [getattr(each, name) for each in task.cohorts for name in inside]
        writer.writerow([csv_cell(plain(value)) for value in values])
