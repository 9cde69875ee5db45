"""``midband history``: what the history holds, and how results leave it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from midband.cli._options import history_option, json_option
from midband.cli._output import print_facts, print_json, print_table, warn
from midband.cli._store import open_history

_BENCHMARK = ["name", "tasks", "agents", "attempts", "first", "last", "cost_usd"]
_AGENT = ["name", "model", "scaffold", "first", "tasks", "mean"]
_EXPORT_ONLY = {
    "output": "--output",
    "organization": "--organization",
    "relationship": "--relationship",
    "developers": "--developer",
}


@click.command(
    epilog="Example: midband history gaia --export every-eval-ever --output results/"
    " --organization 'My Lab' --relationship first_party --developer 'gpt-*=openai'"
)
@click.argument("benchmark", required=False)
@click.option(
    "--export",
    "export_format",
    type=click.Choice(["every-eval-ever"]),
    help="Write the results in this format instead, a pair of files a run, below --output.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where --export writes.",
)
@click.option("--organization", metavar="NAME", help="Who provides the results, for --export.")
@click.option(
    "--relationship",
    type=click.Choice(["first_party", "third_party", "collaborative", "other"]),
    help="Of the evaluator to the models, for --export.  [default: other]",
)
@click.option(
    "--developer",
    "developers",
    multiple=True,
    metavar="GLOB=NAME",
    help="Who made the models whose name does not begin with it, for --export; may be repeated.",
)
@history_option
@json_option
def history(
    benchmark: str | None,
    export_format: str | None,
    history_path: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Show the benchmarks in the history, or the agents of BENCHMARK; or export the results."""
    if export_format is not None:
        return _export(benchmark, history_path, as_json=as_json, **given)
    for name, option in _EXPORT_ONLY.items():
        if given[name]:
            msg = f"expected {option} only with --export, got it alone"
            raise click.UsageError(msg)
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


def _export(
    benchmark: str | None,
    history_path: Path | None,
    *,
    as_json: bool,
    output: Path | None,
    organization: str | None,
    relationship: Any,
    developers: tuple[str, ...],
) -> int:
    from midband.harnesses.every_eval_ever_export import UNKNOWN, Publisher, export

    if output is None:
        msg = "expected --output DIR with --export, got none"
        raise click.UsageError(msg)
    named = dict(_developer(text) for text in developers)
    publisher = Publisher(
        organization=organization or UNKNOWN,
        relationship=relationship or "other",
        developers=named,
    )
    facts = {"runs": 0, "samples": 0, "without_score": 0, "runs_left_out": 0}
    nameless: set[str] = set()
    with open_history(history_path) as store:
        for done in export(
            store.records(benchmark), output, created=datetime.now(UTC), publisher=publisher
        ):
            facts["runs"] += done.aggregate is not None
            facts["runs_left_out"] += done.aggregate is None
            facts["samples"] += done.rows
            facts["without_score"] += done.not_scored
            if done.aggregate is not None and not done.developer:
                nameless.add(done.model)
    if facts["runs_left_out"]:
        warn(f"left out {facts['runs_left_out']} runs without a single score")
    if nameless:
        few = ", ".join(sorted(nameless)[:3]) + (", ..." if len(nameless) > 3 else "")
        warn(f"the developer of {few} is unknown: name it with --developer 'GLOB=NAME'")
    if as_json:
        print_json({"output": output, **facts})
    else:
        print_facts({"output": str(output), **facts})
    return 0 if facts["runs"] else 1


def _developer(text: str) -> tuple[str, str]:
    glob, equals, name = text.partition("=")
    if not (glob and equals and name):
        msg = f"expected --developer GLOB=NAME, got {text!r}"
        raise click.UsageError(msg)
    return glob, name
