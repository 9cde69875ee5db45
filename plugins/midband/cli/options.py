"""Options that commands share, how sources are read among them, and how texts become values."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TypeVar

import click

from midband.cli.ids import given_ids
from midband.cli.output import QUIET
from midband.descriptors import ReadOptions

if TYPE_CHECKING:
    from midband_sampler import MaxErrors

Command = TypeVar("Command", bound=Callable[..., object])

EXISTING = click.Path(exists=True, path_type=Path)
_EXAMPLE_WIDTH = 72
_ADDRESSES = ("http://", "https://", "hf://")


class Sources(click.Path):
    """An existing path, or the address of a file on the web as text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a Path, or the address as it is."""
        if isinstance(value, str) and value.lower().startswith(_ADDRESSES):
            return value
        return super().convert(value, param, ctx)


SOURCE = Sources(exists=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def examples(*commands: str) -> str:
    """Return the end of a help page: commands to copy, which `click` leaves as they stand.

    Parameters
    ----------
    *commands : str
        A line each; one that is too long for a terminal continues behind a backslash.
    """
    lines: list[str] = []
    for command in commands:
        parts = wrap(command, _EXAMPLE_WIDTH, break_long_words=False, break_on_hyphens=False)
        lines += [f"  {parts[0]}", *(f"    {part}" for part in parts[1:])]
        place = len(lines) - len(parts)
        lines[place:-1] = [f"{line} \\" for line in lines[place:-1]]
    head = "Examples:" if len(commands) > 1 else "Example:"
    return "\n".join(["\b", head, *lines])


def history_option(command: Command) -> Command:
    """Add ``--history FILE``."""
    return click.option(
        "--history",
        "history_path",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The file of the history. By default it is the file that the variable MIDBAND_HISTORY"
        " names, or else one in your user data directory.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json``, and ``--quiet``, of which `midband.cli.output.is_quiet` tells."""

    def keep(context: click.Context, option: click.Parameter, value: bool) -> None:
        del option
        if value:
            context.meta[QUIET] = True

    command = click.option(
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="Print the result and errors only, without progress, notes and warnings.",
    )(command)
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
        help="End the run once more attempts than this have no usable result: a number such as 5,"
        " or a share such as 20%. A score of 0 is a usable result. By default the run ends when"
        " none of the first ten attempts has one. 100% never ends it.",
    )(command)


def pairs(
    texts: Iterable[str], form: str = "--map THEIRS=OURS: name both columns"
) -> dict[str, str]:
    """Return what texts such as ``THEIRS=OURS`` join, the left one to the right one.

    Parameters
    ----------
    texts : iterable of str
    form : str
        The option with its form, and what to do, for the error.
    """
    wanted, _, advice = form.partition(": ")
    found = {}
    for text in texts:
        left, equals, right = text.partition("=")
        if not (left and equals and right):
            msg = f"expected {wanted}, got {text!r}" + (f": {advice}" if advice else "")
            raise click.UsageError(msg, click.get_current_context())
        found[left] = right
    return found


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
        help="Use only the results of runs that began by this date or time. A date such as"
        " 2025-06-30 means the end of that day in UTC. By default all results are used.",
    )(command)


def metric_options(command: Command) -> Command:
    """Add ``--metric NAME[.KEY]`` and ``--version LABEL``: what is read of the history."""
    command = click.option(
        "--version",
        metavar="LABEL",
        help="The version of the benchmark, as its sources call it. By default it is the newest.",
    )(command)
    return click.option(
        "--metric",
        metavar="NAME[.KEY]",
        help="The metric to use. It is needed if the benchmark has results by several metrics. It"
        " can also name a metric that the sources left unnamed.",
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


# What `ReadOptions` calls each of them, with the options and settings of click.
_READING: dict[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "format_name": (
        ("--format",),
        {
            "metavar": "NAME",
            "help": "The format of the sources, such as inspect or csv. By default it is"
            " recognised from the files.",
        },
    ),
    "benchmark": (
        ("--benchmark",),
        {
            "metavar": "NAME",
            "help": "The name of the benchmark. By default it is what the sources call it.",
        },
    ),
    "metric": (
        ("--metric",),
        {
            "metavar": "NAME[.KEY]",
            "help": "The metric to read. In a table it is a column. It can also name a metric that"
            " the source left unnamed. By default it is the main metric of the source.",
        },
    ),
    "scale": (
        ("--scale",),
        {
            "type": (float, float),
            "metavar": "LOW HIGH",
            "help": "The least and the greatest value that the metric can give, such as 1 10. By"
            " default the source says it, or else it is 0 to 1.",
        },
    ),
    "lower_is_better": (
        ("--lower-is-better/--higher-is-better",),
        {
            "default": None,
            "help": "Say whether a low or a high value is good. By default the source says it, or"
            " else a high value is good.",
        },
    ),
    "agent": (
        ("--agent",),
        {
            "metavar": "NAME",
            "help": "The name of the agent that ran, if the sources do not say it.",
        },
    ),
    "model": (
        ("--model",),
        {"metavar": "NAME", "help": "The model that the agent used, if the sources do not say it."},
    ),
    "scaffold": (
        ("--scaffold",),
        {"metavar": "NAME", "help": "The program around the model, if the sources do not say it."},
    ),
    "errors": (
        ("--errors",),
        {
            "type": click.Choice(["source", "missing", "failed"]),
            "default": "source",
            "show_default": True,
            "help": "How an attempt counts that ended in an error: as the source counts it"
            " (source), as no result (missing), or as a score of 0 (failed).",
        },
    ),
    "parts": (
        ("--parts",),
        {
            "is_flag": True,
            "help": "Put the part of the benchmark, such as a subject, before each task id:"
            " PART/ID.",
        },
    ),
    "tasks": (
        ("--tasks",),
        {
            "type": SOURCE,
            "metavar": "FILE",
            "callback": lambda context, option, path: path and given_ids(path, "--tasks"),
            "help": "The ids of all tasks, for sources that list only the solved ones. FILE holds"
            " one id a line, or is a Parquet file, here or at an address, with a column instance_id"
            " or task_id. By default they are the tasks that the history holds.",
        },
    ),
    "benchmark_version": (
        ("--benchmark-version",),
        {
            "metavar": "LABEL",
            "help": "The version of the benchmark that was run, if the sources do not say it.",
        },
    ),
    "wide": (
        ("--wide",),
        {
            "type": click.Choice(["tasks", "agents"]),
            "help": "Read a table in which each row is a task and each column an agent (tasks), or"
            " each row an agent and each column a task (agents). By default each row is one"
            " attempt.",
        },
    ),
    "columns": (
        ("--map",),
        {
            "multiple": True,
            "metavar": "THEIRS=OURS",
            "callback": lambda context, option, texts: pairs(texts),
            "help": "Read the column THEIRS of a table as OURS, such as question=task_id. The"
            " option may be repeated.",
        },
    ),
    "accept_difference": (
        ("--accept-difference",),
        {
            "is_flag": True,
            "help": "Read a source even if the total that it states differs from its results for"
            " no known reason. By default such a source is refused.",
        },
    ),
}


def source_options(
    *, leave_out: Iterable[str] = (), only: Iterable[str] = tuple(_READING)
) -> Callable[[Command], Command]:
    """Add the options; the command takes them as keyword arguments for `read_options`.

    Parameters
    ----------
    leave_out : iterable of str
        Options, as fields of `ReadOptions`, that the command has in another meaning.
    only : iterable of str
        The options to add; all but `leave_out` by default.
    """
    kept = set(only) - set(leave_out)

    def add(command: Command) -> Command:
        for name in reversed(_READING):
            if name in kept:
                declared, settings = _READING[name]
                command = click.option(*declared, name, **settings)(command)
        return command

    return add


def rounds_options(command: Command) -> Command:
    """Add what every run in rounds takes: attempts, limits, and how its results are read."""
    for option in (
        click.option(
            "--allow-changed",
            is_flag=True,
            help="Accept tasks whose content has changed since the plan was made. By default they"
            " end the run with an error.",
        ),
        click.option(
            "--from",
            "continues",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            metavar="DIR",
            help="The directory of an earlier run or race. Its results count, and are not paid for"
            " again.",
        ),
        max_errors_option,
        source_options(only=("metric", "scale", "lower_is_better", "errors")),
        click.option(
            "--benchmark",
            metavar="NAME",
            help="What the harness calls the benchmark, if the plan calls it otherwise.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="End the command of a round after so many seconds. Results that are finished by"
            " then are kept. By default there is no limit.",
        ),
        click.option(
            "--max-tasks",
            type=click.IntRange(min=1),
            metavar="N",
            help="Never run more tasks than this. By default the plan alone limits them.",
        ),
        click.option(
            "--max-usd",
            type=click.FloatRange(min=0, min_open=True),
            metavar="DOLLARS",
            help="Start no round that is expected to take the cost above so many US dollars. By"
            " default there is no limit.",
        ),
        click.option(
            "--max-seconds",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Start no round that is expected to take the work of all attempts above so many"
            " seconds. By default there is no limit.",
        ),
        click.option(
            "--max-tokens",
            type=click.IntRange(min=1),
            metavar="N",
            help="Start no round that is expected to take all attempts above so many tokens. By"
            " default there is no limit.",
        ),
        click.option(
            "--attempts",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="N",
            help="How many times each task is run.",
        ),
    ):
        command = option(command)
    return command


def read_options(*, format_name: str | None = None, **said: Any) -> ReadOptions:
    """Return what the options say, but for the format, which chooses the importer."""
    del format_name
    return ReadOptions(**{name: value for name, value in said.items() if value is not None})
