"""``midband rates``: the pass rate of every task of one benchmark."""

import csv
import sys
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import click

from midband.cli._options import as_of_option, history_option, json_option, metric_options
from midband.cli._output import csv_cell, plain, print_json, print_table
from midband.cli._store import open_history, say_other_contents, say_undated


@click.command(epilog="Example: midband rates gaia --as-of 2025-06-30 --format csv > rates.csv")
@click.argument("benchmark")
@as_of_option
@click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print the rates.",
)
@metric_options
@history_option
@json_option
def rates(
    benchmark: str,
    metric: str | None,
    version: str | None,
    as_of: datetime | None,
    layout: str,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Show the pass rate of every task of BENCHMARK.

    The rate is the mean over agents of each agent's own mean, so every agent counts once, however
    many attempts it made.
    """
    with open_history(history_path) as store:
        found = store.pass_rates(benchmark, as_of=as_of, metric=metric, version=version)
        say_undated(store, benchmark, as_of)
        say_other_contents(store, benchmark, as_of=as_of, metric=metric, version=version)
    columns = [field.name for field in fields(found[0])] if found else ["task_id", "pass_rate"]
    rows = [[getattr(rate, name) for name in columns] for rate in found]
    if as_json or layout == "json":
        print_json(found)
    elif layout == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([[csv_cell(value) for value in map(plain, row)] for row in rows])
    else:
        print_table(columns, rows, title=benchmark)
    return 0 if found else 1
