"""``midband history export`` and ``merge``: a history as one file, and results of another."""

from pathlib import Path

import click

from midband.cli.options import examples, history_option, json_option
from midband.cli.output import echo, open_history, print_json, warn


@click.command(
    "export",
    epilog=examples("midband history export gaia.parquet --benchmark gaia --anonymise"),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--benchmark",
    metavar="NAME",
    help="Write the results on this benchmark only. By default all results are written.",
)
@click.option(
    "--anonymise",
    is_flag=True,
    help="Give made-up names to agents, runs and sources, and leave out models, scaffolds,"
    " settings, options, notes and digests of sources.",
)
@click.option(
    "--salt",
    metavar="TEXT",
    help="With --anonymise: a secret from which the made-up names follow, so that two exports with"
    " the same salt agree. By default it is random.",
)
@click.option("--private", is_flag=True, help="Let only you read the file (mode 0600).")
@history_option
@json_option
def export_command(
    file: Path,
    benchmark: str | None,
    anonymise: bool,
    salt: str | None,
    private: bool,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Write every attempt to the Parquet file FILE, without loss.

    `midband history merge` adds the file to another history, and other programs can read it. Like
    the history, it holds results only, and no transcript, prompt or target.
    """
    with open_history(history_path) as store:
        attempts = store.export(
            file,
            benchmark=benchmark,
            anonymise=anonymise,
            salt=salt,
            private=private,
        )
    if as_json:
        print_json({"file": file, "attempts": attempts, "anonymous": anonymise})
    else:
        echo(f"wrote {attempts:,} attempts to {file}")
    return 0 if attempts else 1


@click.command(
    "merge",
    epilog=examples(
        "midband history merge ../laptop/history.duckdb", "midband history merge gaia.parquet"
    ),
)
@click.argument(
    "others",
    nargs=-1,
    required=True,
    metavar="OTHER...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@history_option
@json_option
def merge_command(others: tuple[Path, ...], history_path: Path | None, as_json: bool) -> int:
    """Add every attempt of other histories, together with its source.

    OTHER is a history file, which is only read, or a file that `midband history export` wrote.
    Attempts that the history holds already are not added again, so merging twice is harmless.

    Each OTHER is added as a whole or not at all, except for sources that contradict the history.
    These are left out and named, and the exit code is 1.
    """
    refused = 0
    reports: list[dict[str, object]] = []
    with open_history(history_path, read_only=False) as store:
        for other in others:
            report = store.merge(other)
            reports.append({"file": other, "report": report})
            refused += len(report.refused)
            if as_json:
                continue
            held = f", {report.duplicates:,} were held already" if report.duplicates else ""
            echo(f"{other}: {report.added:,} attempts added{held}")
            for line in report.skipped:
                warn(line)
            for line in report.refused:
                warn(f"not added: {line}")
    if as_json:
        print_json(reports)
    return 1 if refused else 0
