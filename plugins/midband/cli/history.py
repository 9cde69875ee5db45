"""``midband history``: what the history holds."""

from pathlib import Path

import click

from midband.cli._options import history_option, json_option
from midband.cli._output import print_json, print_table
from midband.cli._store import open_history


@click.command(epilog="Example: midband history gaia --json")
@click.argument("benchmark", required=False)
@history_option
@json_option
def history(benchmark: str | None, history_path: Path | None, as_json: bool) -> int:
    """Show the benchmarks in the history, or the agents of BENCHMARK."""
    with open_history(history_path) as store:
        rows: list[object] = list(
            store.benchmarks() if benchmark is None else store.agents(benchmark)
        )
    if as_json:
        print_json(rows)
    elif benchmark is None:
        columns = ("name", "tasks", "agents", "attempts", "first", "last", "cost_usd")
        print_table(columns, [[getattr(row, name) for name in columns] for row in rows])
    else:
        columns = ("name", "model", "scaffold", "first", "tasks", "mean")
        print_table(columns, [[getattr(row, name) for name in columns] for row in rows])
    return 0 if rows else 1
