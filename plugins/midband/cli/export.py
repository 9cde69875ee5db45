"""``midband export``: a plan as a harness's own subset file."""

from pathlib import Path

import click

from midband.cli._options import FILE, TARGET, history_option
from midband.cli._output import on_terminal


@click.command(epilog="Example: midband export plan.json --for inspect --output subset.yaml")
@click.argument("plan_path", metavar="PLAN", type=FILE)
@click.option("--for", "harness", required=True, help="The harness, as `midband plugins` names it.")
@click.option("--output", "-o", type=TARGET, help="Where to write it; standard output by default.")
@history_option
def export(plan_path: Path, harness: str, output: Path | None, history_path: Path | None) -> int:
    """Write the tasks of PLAN as the file with which a harness runs only those.

    For machines where midband is not installed. Such a run cannot stop early: rank its logs
    afterwards with `midband rank`.
    """
    from midband._manager import choose, get_plugin_manager
    from midband_history import InputError
    from midband_sampler import Plan

    able = {name: item for name, item in get_plugin_manager().harnesses().items() if item.export}
    chosen = choose(able, harness, kind="--for")
    if chosen.export is None:
        msg = f"expected a harness that takes a subset file, got {harness!r}"
        raise InputError(msg)
    text = chosen.export(Plan.read(plan_path))
    if output is None or str(output) == "-":
        click.echo(text, nl=not text.endswith("\n"))
        return 0
    output.write_text(text, encoding="utf-8")
    if on_terminal():
        hint = chosen.how_to_run.format(file=output)
        click.echo(f"wrote {output}" + (f"; run it with: {hint}" if hint else ""))
    return 0
