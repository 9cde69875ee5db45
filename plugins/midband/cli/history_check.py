"""``midband history check``, ``repair`` and ``salvage``: whether a history is sound, and if not."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband.cli.options import examples, history_option, json_option
from midband.cli.output import echo, open_history, print_json, print_table

if TYPE_CHECKING:
    from midband_history import History, SourceFault

_SHOWN_SOURCES = 20


@click.command(epilog=examples("midband history check"))
@history_option
@json_option
def check(history_path: Path | None, as_json: bool) -> int:
    """Check the history for damage and contradictions.

    Every block of the file is read, so damage is found wherever it is. Sources that an older
    midband read, and that should be imported again, are named as well, and so are batches of the
    inbox that could not be taken in. The exit code is 1 if anything is named.
    """
    from midband._manager import get_plugin_manager
    from midband_history import StoreError

    readers = {name: each.version for name, each in get_plugin_manager().importers().items()}
    with open_history(history_path) as store:
        stale, broken = store.check(readers)
        try:
            unsettled = _unsettled(store)
        except StoreError:  # named already: the file is damaged
            if not broken:
                raise
            unsettled = []
        aside = store.set_aside()
    if as_json:
        print_json({"sources": stale, "faults": broken, "scales": unsettled, "set_aside": aside})
    else:
        if stale:
            print_table(("source", "attempts", "fault"), _grouped(stale))
        for line in (*broken, *unsettled):
            echo(line)
        for path in aside:
            echo(f"{path}: a batch that was set aside: import its source again, then delete it")
        if not (stale or broken or unsettled or aside):
            echo("nothing is wrong")
    return 1 if stale or broken or unsettled or aside else 0


def _unsettled(store: "History") -> list[str]:
    """Return a line for each metric whose values contradict its scale."""
    return [
        f"{summary.name}: values of {each.metric.label or 'its unnamed metric'} from"
        f" {each.seen_low:g} to {each.seen_high:g} on a scale {each.metric.scale_text()}"
        for summary in store.benchmarks()
        for each in store.metrics(summary.name)
        if not each.settled
    ]


def _grouped(stale: "list[SourceFault]") -> list[tuple[str, int, str]]:
    """Return a row a source; of many with one fault, one row for the directory of all."""
    rows: list[tuple[str, int, str]] = []
    for fault in dict.fromkeys(each.fault for each in stale):
        mine = [each for each in stale if each.fault == fault]
        if len(mine) <= _SHOWN_SOURCES:
            rows += [(each.source, each.attempts, fault) for each in mine]
            continue
        folders = {os.path.dirname(each.source) for each in mine}  # noqa: PTH120 - may be no path
        try:
            place = os.path.commonpath(folders)
        except ValueError:  # absolute and relative paths
            place = ""
        where = f"{len(mine):,} sources below {place or '.'}"
        rows.append((where, sum(each.attempts for each in mine), fault))
    return rows


@click.command(epilog=examples("midband history repair"))
@history_option
@json_option
def repair(history_path: Path | None, as_json: bool) -> int:
    """Repair the contradictions that `midband history check` names.

    No attempt is lost. Rows that are there twice become one, rows that nothing refers to are
    removed, and the noted range of a metric becomes that of its scores. A copy of the file as it
    was is kept beside it. The exit code is 1 if something is still wrong.
    """
    from midband_history import default_path, repair_history

    report = repair_history(default_path() if history_path is None else history_path)
    if as_json:
        print_json(report)
        return 1 if report.left else 0
    for line in report.done:
        echo(line)
    if report.copy is not None:
        echo(f"the file as it was is {report.copy}")
    for line in report.left:
        echo(f"still wrong: {line}")
    if not report.done and not report.left:
        echo("nothing is wrong")
    return 1 if report.left else 0


@click.command(
    epilog=examples(
        "midband history salvage history.duckdb rescued.duckdb",
        "midband history check --history rescued.duckdb",
    )
)
@click.argument("damaged", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
def salvage(damaged: Path, new: Path, as_json: bool) -> int:
    """Copy what is readable of a damaged history file into a new one.

    The file DAMAGED is not changed, and nothing is made up for what cannot be read. The sources of
    lost attempts are named, and can be imported again. The exit code is 1 if attempts are lost.
    """
    from midband_history import salvage_history

    report = salvage_history(damaged, new)
    lost = sum(each.attempts for each in report.lost)
    if as_json:
        print_json(report)
        return 1 if lost or report.notes else 0
    for note in report.notes:
        echo(note)
    again = {each.source: (0, 0) for each in (*report.lost, *report.reduced)}
    for each in report.lost:
        again[each.source] = (each.attempts, 0)
    for each in report.reduced:
        again[each.source] = (again[each.source][0], each.attempts)
    if again:
        rows = [(source or "unknown", *numbers) for source, numbers in again.items()]
        print_table(("source to import again", "lost attempts", "without cost"), rows)
        if "" in again:
            echo("import every source again: what is there is not added twice")
    echo(f"kept {report.kept:,} attempts in {new}, lost {lost:,}")
    return 1 if lost or report.notes else 0
