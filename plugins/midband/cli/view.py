"""``midband view``: a local page over runs, races and the history."""

from pathlib import Path

import click

from midband.cli.options import examples, history_option
from midband.cli.output import echo


@click.command(epilog=examples("midband view --open"))
@click.option(
    "--port",
    type=click.IntRange(min=0, max=65535),
    metavar="N",
    help="The port of the page. 0 takes any free port. By default it is 7557, or else the next free"
    " one.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in your browser at once.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The directory where runs say how they stand. By default it is the one that the variable"
    " MIDBAND_STATE names, or else one in your user state directory.",
)
@history_option
def view(port: int | None, opens: bool, state: Path | None, history_path: Path | None) -> None:
    """Show runs, races and the history on a local page.

    The page follows what is running: every run and race that midband drives writes a small state
    file, and the page reads these files and the history. The page can be opened on this machine
    only, and it changes nothing. Ctrl-C ends it. docs/view.md tells more.
    """
    from importlib.util import find_spec

    from midband_history import MissingPackageError

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        what = " and ".join(missing)
        msg = f"expected {what} for midband view, found none: pip install 'midband[view]'"
        raise MissingPackageError(msg)
    from midband.view.server import ADDRESS, listening, make_app, serve

    app = make_app(history=history_path, runs=None if state is None else state / "runs")
    with listening(port) as opened:
        address = f"http://{ADDRESS}:{opened.getsockname()[1]}/"
        echo(f"midband view: {address} (Ctrl-C ends it)")
        if opens:
            import webbrowser

            webbrowser.open(address)
        serve(app, opened)
