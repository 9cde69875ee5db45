"""``midband report``: pages that say what came of runs, races and studies."""

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.options import (
    EXISTING,
    examples,
    history_option,
    max_errors_option,
    metric_options,
    read_options,
    source_options,
)
from midband.cli.output import echo, warn
from midband_history import InputError, StoreError

if TYPE_CHECKING:
    from midband.report import Page
    from midband_sampler import MaxErrors

_SUFFIXES = (".html", ".htm")


@click.group(
    epilog=examples("midband report run runs/new --output new.html --open"),
)
def report() -> None:
    """Write a page that says what came of a run, and what it rests on.

    The page is one HTML file, which loads nothing from a network.
    """


def output_options(command: Any) -> Any:
    """Add ``--output FILE.html`` and ``--open``, which every report takes."""
    command = click.option(
        "--open", "opens", is_flag=True, help="Open the page in the browser when it is written."
    )(command)
    return click.option(
        "--output",
        "-o",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.html",
        help="The file to write. By default it lies beside the source.",
    )(command)


def beside(source: Path) -> Path:
    """Return where the report of a source is written by default."""
    place = source.absolute()
    place = place.resolve() if place.name in ("", "..") else place
    return place.with_name(f"{place.stem if place.is_file() else place.name}-report.html")


def command_line() -> str:
    """Return the command that is running, as a user would type it."""
    return shlex.join(["midband", *sys.argv[1:]])


def write_page(page: "Page", target: Path, *, opens: bool = False) -> None:
    """Write a page, say where it is, and open it if wanted; half a page is never left behind.

    Raises
    ------
    InputError
        The name is not that of a page.
    StoreError
        It cannot be written.
    """
    from midband.report import render
    from midband.report.page import NO_CHARTS, draws_charts

    if target.suffix.lower() not in _SUFFIXES:
        msg = f"expected a name that ends in .html, got {target}: choose such a name with --output"
        raise InputError(msg)
    text = render(page)
    partial = target.with_name(f".{target.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        msg = (
            f"expected a writable place for the report, got {target}: {error.strerror}:"
            " name another with --output"
        )
        raise StoreError(msg) from error
    if not draws_charts():
        warn(NO_CHARTS)
    echo(str(target))
    if opens:
        import webbrowser

        webbrowser.open(target.absolute().as_uri())


@report.command(
    epilog=examples("midband report run runs/new --open"),
)
@click.argument("source", metavar="SOURCE", type=EXISTING)
@click.argument("results", metavar="[RESULTS...]", nargs=-1, type=EXISTING)
@output_options
@click.option(
    "--agent",
    metavar="NAME",
    default="",
    help="Show the run of this agent. It is needed if there are runs of several agents.",
)
@source_options(leave_out=("agent",))
@max_errors_option
@click.option(
    "--allow-changed",
    is_flag=True,
    help="Accept tasks whose content has changed since the plan was made. By default they are an"
    " error.",
)
def run(
    source: Path,
    results: tuple[Path, ...],
    output: Path | None,
    opens: bool,
    agent: str,
    max_errors: "MaxErrors | None",
    allow_changed: bool,
    **reading: Any,
) -> int:
    """Show a run: its rank, what that rests on, and what it cost.

    SOURCE is a directory of `midband run`, or the Inspect log of an adaptive run or a directory of
    such logs. It may also be a plan, with RESULTS after it, as `midband rank` takes them. A run
    that is not over can be shown as well.
    """
    from midband.report.run import run_page
    from midband.report.sources import Asked, read_run

    asked = Asked(
        options=read_options(**reading),
        agent=agent,
        format_name=reading["format_name"],
        allow_changed=allow_changed,
        max_errors=max_errors,
    )
    found = read_run(source, results, asked)
    target = output or beside(results[0] if results else source)
    write_page(run_page(found, command=command_line()), target, opens=opens)
    return 0


@report.command(
    epilog=examples("midband report race races/june --open"),
)
@click.argument("source", metavar="SOURCE", type=EXISTING)
@output_options
def race(source: Path, output: Path | None, opens: bool) -> int:
    """Show a race: who is best, what is tied, and what it cost.

    SOURCE is a directory of `midband race`, or one with the logs of `midband inspect eval --race`,
    or one of these logs. A race that is not over can be shown as well.
    """
    from midband.report.race import race_page

    # A file stays as it is: only a page that is served has a reason to load itself again.
    page = replace(race_page(source, command=command_line()), refresh_s=0)
    write_page(page, output or beside(source), opens=opens)
    return 0


@report.command(
    epilog=examples("midband report history gaia --output gaia.html"),
)
@click.argument("benchmark", metavar="BENCHMARK")
@output_options
@metric_options
@history_option
def history(
    benchmark: str,
    output: Path | None,
    opens: bool,
    metric: str | None,
    version: str | None,
    history_path: Path | None,
) -> int:
    """Show what the history holds of BENCHMARK, and what it lacks.

    The page is written into the current directory unless --output names another place.
    """
    from midband.report.history import history_page

    page = history_page(
        benchmark,
        history_path=history_path,
        metric=metric,
        version=version,
        command=command_line(),
    )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", benchmark).strip(".-") or "benchmark"
    write_page(page, output or Path(f"{name}-history-report.html"), opens=opens)
    return 0


@report.command(
    epilog=examples("midband report study study/ --open"),
)
@click.argument("source", metavar="SOURCE", type=EXISTING)
@output_options
def study(source: Path, output: Path | None, opens: bool) -> int:
    """Show a study: what policies would have saved, and how often they fail.

    SOURCE is the directory of `midband study --output`. A study that is not complete can be shown
    as well. The page is `report.html` in that directory unless --output names another place.
    """
    from midband.report.study import study_page

    page = study_page(source, command=command_line())
    write_page(page, output or source / "report.html", opens=opens)
    return 0
