"""How commands open the history, and how they print: tables, plain lines in a pipe, or JSON."""

import json
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband.text import block_width, encoding_of, one_line
from midband_history import StoreError, default_path

if TYPE_CHECKING:
    from midband_history import History

QUIET = "midband.quiet"
_LEAST_WIDTH = 10
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@")


def survive_encoding() -> None:
    """Have standard output and error write what their encoding lacks as an escape, not fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def echo(line: str = "", *, err: bool = False) -> None:
    """Print one line; what could steer the terminal or begin another line is shown as an escape."""
    click.echo(one_line(line), err=err)


def echo_lines(text: str, *, err: bool = False) -> None:
    """Print a text of several lines of ours, each as `echo` does."""
    for line in text.split("\n"):
        echo(line, err=err)


def echo_block(lines: Callable[..., Sequence[str]], **settings: object) -> None:
    """Print the lines of a verdict, which are asked for in the width and encoding of the output."""
    for line in lines(width=block_width(), encoding=encoding_of(), **settings):
        echo(line)


def echo_document(text: str) -> None:
    """Print a document for a program, such as a file that goes to standard output: as it is.

    On a terminal its lines are shown as `echo` does. In a pipe it is UTF-8, whatever the encoding
    of the terminal: a name that was changed would be another name.
    """
    if on_terminal():
        echo_lines(text.removesuffix("\n"))
    else:
        click.echo(text.encode("utf-8", "surrogateescape"), nl=not text.endswith("\n"))


def on_terminal() -> bool:
    """Whether a person is looking at standard output."""
    return sys.stdout.isatty()


def plain(value: object) -> object:
    """Turn a value into what JSON can hold: unknown numbers become null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(plain(value), indent=2, allow_nan=False))


def csv_cell(value: object) -> object:
    """Return a value for a CSV file: a text that is no number never begins a formula."""
    if not isinstance(value, str):
        return "" if value is None else value
    text = one_line(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def cell(value: object) -> str:
    """Return the text of one value, as `echo` shows it; empty where it is unknown."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, datetime):
        return value.date().isoformat()
    return one_line(str(value))


def _heading(name: str) -> str:
    """Return what a person reads of the name of a value; programs get the name itself."""
    return name.replace("_", " ")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = ""
) -> None:
    """Print rows: a table on a terminal, else a header line and tab-separated lines.

    A terminal has little room: columns that are unknown throughout are left out there, and where
    the others do not fit beside each other, every row is a list of its own.
    """
    if not on_terminal():
        click.echo("\t".join(map(one_line, columns)))
        for row in rows:
            click.echo("\t".join(cell(value) for value in row))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = [i for i in range(len(columns)) if not rows or any(cell(row[i]) for row in rows)]
    numbers = {i for i in shown if any(isinstance(row[i], (int, float)) for row in rows)}
    console = Console()
    widest = {i: max(len(columns[i]), *(len(cell(row[i])) for row in rows), 0) for i in shown}
    least = sum(widest[i] if i in numbers else min(widest[i], _LEAST_WIDTH) for i in shown)
    if least + 3 * len(shown) + 1 > console.width:
        for place, row in enumerate(rows):
            if place:
                click.echo()
            print_facts({columns[i]: row[i] for i in shown}, title=title)
        return
    table = Table(title=escape(one_line(title)) or None, title_justify="left", header_style="bold")
    for index in shown:
        numeric = index in numbers
        table.add_column(
            escape(_heading(one_line(columns[index]))),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",  # a name that is cut short cannot be copied
        )
    for row in rows:
        table.add_row(*(escape(cell(row[index])) for index in shown))
    console.print(table)


def show(
    rows: Sequence[object],
    columns: Sequence[str],
    *,
    as_json: bool,
    title: str = "",
    shown: Callable[[object], object] = lambda value: value,
) -> None:
    """Print records, as one JSON document or as a table of some of their fields.

    Parameters
    ----------
    rows : sequence of object
    columns : sequence of str
        Fields of each record.
    as_json : bool
    title : str
    shown : callable
        What a cell of the table shows of a value.
    """
    if as_json:
        print_json(rows)
        return
    cells = [[shown(getattr(row, name)) for name in columns] for row in rows]
    print_table(columns, cells, title=title)


def print_facts(facts: Mapping[str, object], *, title: str = "") -> None:
    """Print named values, one a line; those that are unknown are left out."""
    known = {one_line(name): cell(value) for name, value in facts.items() if cell(value)}
    if not on_terminal():
        for name, text in known.items():
            click.echo(f"{name}: {text}")
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, text in known.items():
        table.add_row(f"[bold]{escape(_heading(name))}[/bold]", escape(text))
    console = Console()
    if title:
        console.print(f"[bold]{escape(one_line(title))}[/bold]")
    console.print(table)


def is_quiet() -> bool:
    """Whether the command that runs was asked for its result and errors only."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def say(line: str) -> None:
    """Print one line on standard error that is neither the result nor an error."""
    if not is_quiet():
        echo(line, err=True)


def warn(message: str) -> None:
    """Print one warning line on standard error."""
    say(f"midband: warning: {message}")


def count(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def open_history(
    path: Path | None,
    *,
    read_only: bool = True,
    warned: bool = True,
    patience_s: float | None = None,
) -> "History":
    """Open the history, and say what is odd about it if `warned`; to read, it must be there."""
    from midband_history import History

    where = default_path() if path is None else path
    in_memory = str(where).startswith(":memory:")  # refused when it is opened
    if read_only and not in_memory and not History.exists(where):
        msg = (
            f"expected a history at {where}, found no file:"
            " import results first with `midband import PATH`, or name another with --history"
        )
        raise StoreError(msg)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        patience = {} if patience_s is None else {"patience_s": patience_s}
        store = History.open(where, read_only=read_only, **patience)
    for note in notes if warned else ():
        warn(str(note.message))
    return store


def say_undated(store: "History", benchmark: str, as_of: datetime | None) -> None:
    """Warn of runs of unknown date, which a date leaves out because they may be later."""
    if as_of is None:
        return
    undated = store.left_out(benchmark, as_of=as_of).undated
    if undated:
        warn(f"left out {undated} runs of {benchmark} of unknown date: they may be later")


def say_other_contents(
    store: "History",
    benchmark: str,
    *,
    as_of: datetime | None = None,
    metric: str | None = None,
    version: str | None = None,
) -> None:
    """Warn of results that no number shown counts, being at other contents of the tasks."""
    for note in store.left_out_results(benchmark, as_of=as_of, metric=metric, version=version):
        warn(f"{note}: see `midband history why {benchmark} TASK`")
