"""Options that commands share, how sources are read among them, and how texts become values."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from midband.cli.output import QUIET
from midband.descriptors import ReadOptions

if TYPE_CHECKING:
    from midband_sampler import MaxErrors

Command = TypeVar("Command", bound=Callable[..., object])

EXISTING = click.Path(exists=True, path_type=Path)
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
    """Add ``--json``, and ``--quiet``, of which `midband.cli.output.is_quiet` tells."""

    def keep(context: click.Context, option: click.Parameter, value: bool) -> None:
        del option
        if value:
            context.meta[QUIET] = True

    command = click.option(
        "--quiet",
        "-q",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="Print only the result and errors: no progress, notes or warnings.",
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
        help="End once more attempts have no usable result, such as 5 or 20%; scores of 0 are"
        " results. By default it ends where none of the first ten has one; 100% never ends.",
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


# What `ReadOptions` calls each of them, with the options and settings of click.
_READING: dict[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "format_name": (
        ("--format",),
        {"metavar": "NAME", "help": "The format; recognised by default."},
    ),
    "benchmark": (
        ("--benchmark",),
        {
            "metavar": "NAME",
            "help": "The name of the benchmark, whatever the sources call it.",
        },
    ),
    "metric": (
        ("--metric",),
        {
            "metavar": "NAME[.KEY]",
            "help": "The metric to read (of a table, a column), or the name of an unnamed one; by"
            " default the source's main one.",
        },
    ),
    "scale": (
        ("--scale",),
        {
            "type": (float, float),
            "metavar": "LOW HIGH",
            "help": "The least and the greatest value that the metric can give.",
        },
    ),
    "lower_is_better": (
        ("--lower-is-better/--higher-is-better",),
        {
            "default": None,
            "help": "Whether a low or a high value is good; by default as the source says.",
        },
    ),
    "agent": (("--agent",), {"metavar": "NAME", "help": "The name of the agent that ran."}),
    "model": (("--model",), {"metavar": "NAME", "help": "The model that the agent used."}),
    "scaffold": (("--scaffold",), {"metavar": "NAME", "help": "The program around the model."}),
    "errors": (
        ("--errors",),
        {
            "type": click.Choice(["source", "missing", "failed"]),
            "default": "source",
            "show_default": True,
            "help": "How attempts that ended in an error count: as the source counts them, as no"
            " result, or as failures.",
        },
    ),
    "parts": (
        ("--parts",),
        {
            "is_flag": True,
            "help": "Put the part (subject, domain) before each task id, as PART/ID.",
        },
    ),
    "tasks": (
        ("--tasks",),
        {
            "type": SOURCE,
            "metavar": "FILE",
            "callback": lambda context, option, path: path and given_ids(path, "--tasks"),
            "help": "All task ids, one a line, or a Parquet file or address of one with a column"
            " instance_id or task_id, for sources that list only the solved ones; by default those"
            " that the history holds of the benchmark.",
        },
    ),
    "benchmark_version": (
        ("--benchmark-version",),
        {
            "metavar": "LABEL",
            "help": "The version of the benchmark that was run, if the source does not say it.",
        },
    ),
    "wide": (
        ("--wide",),
        {
            "type": click.Choice(["tasks", "agents"]),
            "help": "The table has a row for each task and a column for each agent, or a row for"
            " each agent and a column for each task.",
        },
    ),
    "columns": (
        ("--map",),
        {
            "multiple": True,
            "metavar": "THEIRS=OURS",
            "callback": lambda context, option, texts: pairs(texts),
            "help": "Read the column THEIRS as OURS, such as question=task_id; may be repeated.",
        },
    ),
    "accept_difference": (
        ("--accept-difference",),
        {
            "is_flag": True,
            "help": "Read a source although its own aggregate differs from its results for no"
            " known reason.",
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
            "--allow-changed", is_flag=True, help="Accept tasks that changed since the plan."
        ),
        click.option(
            "--from",
            "continues",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            metavar="DIR",
            help="The directory of an earlier call: its results count and are not paid for again.",
        ),
        max_errors_option,
        source_options(only=("metric", "scale", "lower_is_better", "errors")),
        click.option("--benchmark", metavar="NAME", help="The harness's name of the benchmark."),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="End a round's command after so many seconds; finished results are kept.",
        ),
        click.option(
            "--max-tasks", type=click.IntRange(min=1), help="Never run more tasks than this."
        ),
        click.option(
            "--max-usd",
            type=click.FloatRange(min=0, min_open=True),
            help="Spend no more dollars than this.",
        ),
        click.option(
            "--attempts",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="How often each task is run.",
        ),
    ):
        command = option(command)
    return command


def read_options(*, format_name: str | None = None, **said: Any) -> ReadOptions:
    """Return what the options say, but for the format, which chooses the importer."""
    del format_name
    return ReadOptions(**{name: value for name, value in said.items() if value is not None})


def given_ids(source: "Path | str", option: str) -> tuple[str, ...]:
    """Read ids from a file or an address, of a data set in Parquet too; raises as `read_ids`."""
    from midband.importers.fetching import downloaded
    from midband_history import InputError

    with downloaded([source]) as local:
        for reason in local.refused.values():
            raise InputError(reason)
        (path,) = local.paths
        if path.suffix.lower() != ".parquet":
            return read_ids(path, option)
        return _ids_of_dataset(path, str(local.places.get(str(path), path)))


def _ids_of_dataset(path: Path, named: str) -> tuple[str, ...]:
    import duckdb

    from midband_history import InputError

    form = "expected a Parquet file with a column instance_id or task_id"
    try:
        with duckdb.connect() as connection:
            plain = re.sub(r"([*?\[])", r"[\1]", str(path))  # no part of a name is a pattern
            rows = connection.read_parquet(plain)
            column = next((each for each in ("instance_id", "task_id") if each in rows.columns), "")
            if not column:
                msg = f"{form}, got {', '.join(rows.columns)} in {named}: name another file"
                raise InputError(msg)
            found = rows.select(duckdb.ColumnExpression(column)).fetchall()
    except duckdb.Error as problem:
        reason = " ".join(str(problem).split())[:120]
        msg = f"{form}, cannot read {named}: {reason}"
        raise InputError(msg) from problem
    ids = tuple(dict.fromkeys(str(value) for (value,) in found if value is not None))
    if not ids:
        msg = f"{form}, got no id in {named}: name another file"
        raise InputError(msg)
    return ids


def read_ids(path: Path, option: str) -> tuple[str, ...]:
    """Read one task id a line; blank lines are nothing.

    Raises
    ------
    InputError
        The file is no text, or holds no id.
    """
    from midband_history import InputError

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        msg = f"expected a text file of task ids, one a line, cannot read {path}: {problem}"
        raise InputError(msg) from problem
    ids = tuple(line.strip() for line in lines if line.strip())
    if not ids:
        msg = f"expected task ids in {path}, one a line, got none: leave {option} out"
        raise InputError(msg)
    return ids
