"""``midband import``: results of past runs into the history."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband.cli._options import EXISTING, history_option, json_option, map_option, pairs
from midband.cli._output import on_terminal, print_json
from midband.cli._store import open_history

if TYPE_CHECKING:
    from midband.importers._sources import ImportReport, SourceReport

Progress = Callable[[int, int, Path], None]
_SHOWN_NOTES = 20


@click.command("import", epilog="Example: midband import logs/ results.csv --map question=task_id")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=EXISTING)
@click.option("--format", "format_name", metavar="NAME", help="The format; sniffed if left out.")
@click.option("--benchmark", metavar="NAME", help="The benchmark, whatever the sources call it.")
@map_option
@history_option
@json_option
def import_(
    paths: tuple[Path, ...],
    format_name: str | None,
    benchmark: str | None,
    mappings: tuple[str, ...],
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Read result files, or all result files in directories, into the history.

    Each file comes in as a whole or is refused by name, and the rest is imported. Importing the
    same again adds nothing. The exit code is 1 if a file was refused or nothing was found.
    """
    from midband.importers._sources import import_paths

    columns = pairs(mappings)
    with open_history(history_path, read_only=False) as store, _progress() as progress:
        report = import_paths(
            store,
            paths,
            format=format_name,
            benchmark=benchmark,
            columns=columns,
            progress=progress,
        )
        where = store.path
    if as_json:
        print_json(_as_dict(report, where))
    else:
        _show(report, where)
    return 0 if report.imported and not report.refused else 1


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """Show a bar on a terminal."""
    if not on_terminal():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=None)

        def _advance(done: int, total: int, path: Path) -> None:
            bar.update(task, completed=done, total=total)

        yield _advance


def _as_dict(report: "ImportReport", where: Path | None) -> dict[str, object]:
    return {
        "history": where,
        "imported": report.imported,
        "unchanged": report.unchanged,
        "refused": len(report.refused),
        "added": report.added,
        "duplicates": report.duplicates,
        "notes": report.notes,
        "sources": report.sources,
    }


def _show(report: "ImportReport", where: Path | None) -> None:
    from midband.importers._sources import EMPTY

    for source in report.refused:
        click.echo(f"midband: refused {source.error}", err=True)
    notes = list(report.notes) + [line for source in report.sources for line in _notes(source)]
    for line in notes[:_SHOWN_NOTES]:
        click.echo(f"midband: note: {line}", err=True)
    if len(notes) > _SHOWN_NOTES:
        click.echo(f"midband: note: {len(notes) - _SHOWN_NOTES} more; see --json", err=True)
    if empty := [source for source in report.sources if EMPTY in source.skipped]:
        more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
        click.echo(f"midband: note: {empty[0].path}{more}: {EMPTY}, as in a run's totals", err=True)
    if not report.sources:
        click.echo("midband: found no results in these paths", err=True)
    parts = [f"imported {_count(report.imported, 'source')}"]
    if report.unchanged:
        parts.append(f"{report.unchanged} of them had nothing new")
    if report.refused:
        parts.append(f"refused {len(report.refused)}")
    parts.append(f"added {_count(report.added, 'attempt')} to {where}")
    if report.duplicates:
        parts.append(f"{_count(report.duplicates, 'attempt')} known already")
    click.echo(", ".join(parts))


def _notes(source: "SourceReport") -> list[str]:
    from midband.importers._sources import EMPTY

    return [f"{source.path}: {note}" for note in source.skipped if note != EMPTY]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
