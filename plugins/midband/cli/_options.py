"""Options that several commands share, and how their texts become values."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from midband_sampler import MaxErrors

Command = TypeVar("Command", bound=Callable[..., object])

EXISTING = click.Path(exists=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
TARGET = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


def history_option(command: Command) -> Command:
    """Add ``--history FILE``."""
    return click.option(
        "--history",
        "history_path",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The history file; MIDBAND_HISTORY or one in your user data directory by default.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
    )(command)


class Errors(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic since 8.4
    """How many attempts may end without a usable result: a number, or a share of them."""

    name = "errors"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "MaxErrors":
        """Return the limit."""
        from midband_history import InputError
        from midband_sampler import MaxErrors, parse_max_errors

        if isinstance(value, MaxErrors):
            return value
        try:
            return parse_max_errors(str(value))
        except InputError as problem:
            self.fail(str(problem), param, ctx)


def max_errors_option(command: Command) -> Command:
    """Add ``--max-errors N|SHARE``."""
    return click.option(
        "--max-errors",
        type=Errors(),
        metavar="N|SHARE",
        help="End once more attempts have no usable result, such as 5 or 20%; scores of 0 are"
        " results. By default it ends where none of the first ten has one; 100% never ends.",
    )(command)


def map_option(command: Command) -> Command:
    """Add ``--map THEIRS=OURS``."""
    return click.option(
        "--map",
        "mappings",
        multiple=True,
        metavar="THEIRS=OURS",
        help="Read the column THEIRS as OURS, such as question=task_id; may be repeated.",
    )(command)


def pairs(mappings: Iterable[str]) -> dict[str, str]:
    """Return the columns that ``--map`` names, theirs to ours."""
    columns = {}
    for text in mappings:
        theirs, equals, ours = text.partition("=")
        if not (theirs and equals and ours):
            msg = f"expected --map THEIRS=OURS, got {text!r}: name both columns"
            raise click.UsageError(msg, click.get_current_context())
        columns[theirs] = ours
    return columns


class Moment(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic since 8.4
    """An ISO date or time; a date alone means the end of that day in UTC."""

    name = "date"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment in UTC."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"expected an ISO date such as 2025-06-30, got {text!r}", param, ctx)
        if "T" not in text and ":" not in text:
            moment = datetime.combine(moment.date(), time.max)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def as_of_option(command: Command) -> Command:
    """Add ``--as-of DATE``."""
    return click.option(
        "--as-of",
        type=Moment(),
        metavar="DATE",
        help="Use only results of runs that began by then; a date means the end of that day, UTC.",
    )(command)


def metric_options(command: Command) -> Command:
    """Add ``--metric NAME[.KEY]`` and ``--version LABEL``: what is read of the history."""
    command = click.option(
        "--version",
        metavar="LABEL",
        help="The version of the benchmark, as its sources call it; the newest by default.",
    )(command)
    return click.option(
        "--metric",
        metavar="NAME[.KEY]",
        help="The metric, if the benchmark has results by several, or the name of an unnamed one.",
    )(command)


class LateHelp(click.Option):
    """An option whose help lists what there is, and is worked out only when it is shown."""

    def __init__(self, *args: Any, late_help: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._late_help = late_help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Ask for the help text."""
        from midband import choices

        self.help = getattr(choices, self._late_help)()
        return super().get_help_record(ctx)
