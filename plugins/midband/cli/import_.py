"""``midband import``: results of past runs into the history."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.options import (
    SOURCE,
    examples,
    history_option,
    json_option,
    read_options,
    source_options,
)
from midband.cli.output import (
    count,
    echo,
    open_history,
    print_json,
    print_table,
    say,
    warn,
)
from midband.cli.progress import counted
from midband_history import StoreError

if TYPE_CHECKING:
    from midband.importers.reports import ImportReport, SourceReport

_SHOWN_NOTES = 20
_SHOWN_COUNTS = 40


@click.command("import", epilog=examples("midband import logs/ results.csv --map question=task_id"))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=SOURCE)
@source_options()
@history_option
@json_option
def import_(
    paths: tuple[Path | str, ...], history_path: Path | None, as_json: bool, **reading: Any
) -> int:
    """Read the results in files, or in all files of directories, into the history.

    PATH may also be the address of a file: https://HOST/FILE or hf://datasets/OWNER/NAME/FILE.

    Each file is imported as a whole, or refused and named. The other files are imported all the
    same. Importing the same file again adds nothing. docs/importing.md says what is read of each
    format.

    The exit code is 1 if a file was refused or nothing was found.
    """
    from midband.importers.reports import ImportEndedError
    from midband.importers.sources import import_paths

    ended = ""
    options = read_options(**reading)
    with (
        open_history(history_path, read_only=False) as store,
        counted("file") as shown,
    ):
        try:
            report = import_paths(
                store, paths, format=reading["format_name"], options=options, reading=shown.reads
            )
        except ImportEndedError as error:
            report, ended = error.report, str(error)
        where = store.name
    if ended and not report.sources:
        raise StoreError(ended)
    if as_json:
        print_json(_as_dict(report, where))
    else:
        _show(report, where)
    if ended:
        echo(f"midband: {ended}", err=True)
        return 1
    return 0 if report.imported and not report.refused else 1


def _as_dict(report: "ImportReport", where: str) -> dict[str, object]:
    from midband.importers.discovery import path_text

    return {
        "history": where,
        "imported": report.imported,
        "unchanged": report.unchanged,
        "refused": len(report.refused),
        "added": report.added,
        "duplicates": report.duplicates,
        "replaced": report.replaced,
        "counts": report.counts,
        "notes": [
            *({"code": note.code, "source": "", "text": note.text} for note in report.notes),
            *(
                {"code": note.code, "source": path_text(source.path), "text": note.text}
                for source in report.sources
                for note in source.notes
            ),
        ],
        "sources": [
            {
                "path": path_text(source.path),
                "format": source.format,
                "added": source.added,
                "duplicates": source.duplicates,
                "replaced": source.replaced,
                "skipped": source.skipped,
                "known": source.known,
                "error": source.error,
            }
            for source in report.sources
        ],
    }


def _show(report: "ImportReport", where: str) -> None:
    from midband.importers.discovery import path_text
    from midband.importers.reports import NO_RESULTS

    for source in report.refused:
        echo(f"midband: refused {source.error}", err=True)
    alike: dict[str, list[SourceReport]] = {}
    for source in report.sources:
        for note in source.notes:
            if note.code != NO_RESULTS:
                alike.setdefault(note.text, []).append(source)
    notes = [note.text for note in report.notes]
    for text, sources in alike.items():
        first, others = sources[0].path, len(sources) - 1
        more = f" and {count(others, 'other source')}" if others else ""
        named = not others and str(first) in text
        notes.append(text if named else f"{path_text(first)}{more}: {text}")
    for line in notes[:_SHOWN_NOTES]:
        say(f"midband: note: {line}")
    if len(notes) > _SHOWN_NOTES:
        say(f"midband: note: {len(notes) - _SHOWN_NOTES} more; see --json")
    if empty := [
        source for source in report.sources if any(n.code == NO_RESULTS for n in source.notes)
    ]:
        more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
        say(
            f"midband: note: {path_text(empty[0].path)}{more}: no results of its own, as in a run's"
            " totals"
        )
    if not report.sources:
        echo(
            "midband: expected files of results, found no results in these paths: check the paths,"
            " or name the format with --format",
            err=True,
        )
    _show_counts(report)
    parts = [f"imported {count(report.imported, 'source')}"]
    if report.unchanged:
        parts.append(f"{report.unchanged} of them had nothing new")
    if report.refused:
        parts.append(f"refused {len(report.refused)}")
    parts.append(f"added {count(report.added, 'attempt')} to {where}")
    if report.replaced:
        parts.append(f"read {count(report.replaced, 'attempt')} anew")
    if report.duplicates:
        parts.append(f"{count(report.duplicates, 'attempt')} known already")
    echo(", ".join(parts))


def _show_counts(report: "ImportReport") -> None:
    """Show what the attempts are; of very many agents only the sums for each benchmark."""
    counts = report.counts
    if not counts:
        return
    columns = ("benchmark", "agent", "metric", "valid", "passed", "errors", "unscored", "off_scale")
    rows: list[tuple[Any, ...]] = [
        (
            one.benchmark,
            one.agent,
            one.metric or "unknown",
            one.valid,
            one.passed,
            one.errors,
            one.unscored,
            one.out_of_range,
        )
        for one in counts
    ]
    if len(rows) > _SHOWN_COUNTS:
        sums: dict[tuple[str, str], list[int]] = {}
        agents: dict[tuple[str, str], int] = {}
        for benchmark, _, metric, *numbers in rows:
            key = (benchmark, metric)
            sums[key] = [a + b for a, b in zip(sums.get(key, [0] * 5), numbers, strict=True)]
            agents[key] = agents.get(key, 0) + 1
        rows = [
            (benchmark, f"{agents[benchmark, metric]:,} agents", metric, *numbers)
            for (benchmark, metric), numbers in sorted(sums.items())
        ]
    # On an unknown scale nobody knows what passed.
    rows = [(*row[:4], None if row[7] else row[4], *row[5:]) for row in rows]
    print_table(columns, rows)
    if any(one.out_of_range for one in counts):
        names = sorted({one.benchmark for one in counts if one.out_of_range})
        warn(
            f"values outside 0 to 1 were seen, so nothing of {', '.join(names)} can be used until"
            " the scale is stated: import again with --scale LOW HIGH, and --lower-is-better if it"
            " is"
        )
