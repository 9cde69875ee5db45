"""``midband history``: what the history holds."""

from pathlib import Path

import click

from midband.cli._options import history_option, json_option
from midband.cli._output import print_json, print_table
from midband.cli._store import open_history

_BENCHMARK = ["name", "tasks", "agents", "attempts", "first", "last", "cost_usd"]
_AGENT = ["name", "model", "scaffold", "first", "tasks", "mean"]


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
    else:
        columns = _BENCHMARK if benchmark is None else _AGENT
        print_table(columns, [[getattr(row, name) for name in columns] for row in rows])
    return 0 if rows else 1
