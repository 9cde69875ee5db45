"""``midband inspect``: Inspect AI's own command line, with one flag more."""

import os
from pathlib import Path

import click

from midband.cli._options import history_option

_PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(
    context_settings=_PASS_ON,
    epilog="Example: midband inspect eval gsm8k.py --adaptive plan.json --model openai/gpt-5",
)
@history_option
@click.argument("arguments", metavar="COMMAND...", nargs=-1, type=click.UNPROCESSED)
def inspect(history_path: Path | None, arguments: tuple[str, ...]) -> int:
    """Run `inspect COMMAND...`; with --adaptive PLAN an eval stops once the rank is settled.

    eval and eval-set take --adaptive PLAN, --allow-changed (accept tasks whose content has changed
    since the plan was made), --metric NAME (the scorer, or SCORER.KEY, where the plan does not know
    its metric) and --max-errors N|SHARE (end a run with more attempts without a usable result; by
    default when none of the first ten has one). Everything else is Inspect's own and is passed on.
    An adaptive run takes 4 samples at a time unless --max-samples says otherwise: a stop can only
    save what has not been started. A plan that chooses live names the next sample after every
    result (Inspect 0.3.250 or newer; its fixed order runs on others).
    See docs/harnesses/inspect.md.
    """
    from midband.inspect import is_installed, main

    if not arguments:
        msg = "expected an Inspect command such as eval, got none"
        raise click.UsageError(msg, click.get_current_context())
    if not is_installed():
        msg = "expected Inspect AI, found none: pip install 'midband[inspect]'"
        raise click.ClickException(msg)

    rest, path = _without_history(arguments, history_path)
    if path is not None:
        os.environ["MIDBAND_HISTORY"] = str(path)
    return main(rest)


def _without_history(
    arguments: tuple[str, ...], path: Path | None
) -> tuple[list[str], Path | None]:
    """Take ``--history FILE`` out of what Inspect gets: it is ours wherever it stands."""
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == "--history":
            value = next(items, None)
            if value is None:
                msg = "expected a file after --history, got nothing"
                raise click.UsageError(msg, click.get_current_context())
            path = Path(value)
        elif item.startswith("--history="):
            path = Path(item.partition("=")[2])
        else:
            rest.append(item)
    return rest, path
