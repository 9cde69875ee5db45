"""Options that say how result files are read: alike wherever a command reads some."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from midband.cli._options import pairs
from midband.descriptors import ReadOptions

Command = TypeVar("Command", bound=Callable[..., object])
_OPTIONS = (
    click.option(
        "--format", "format_name", metavar="NAME", help="The format; recognised by default."
    ),
    click.option(
        "--benchmark",
        metavar="NAME",
        help="The name of the benchmark, whatever the sources call it.",
    ),
    click.option(
        "--metric",
        metavar="NAME[.KEY]",
        help="The metric to read (of a table, a column), or the name of an unnamed one; by default"
        " the source's main one.",
    ),
    click.option(
        "--scale",
        type=(float, float),
        metavar="LOW HIGH",
        help="The least and the greatest value that the metric can give.",
    ),
    click.option(
        "--lower-is-better/--higher-is-better",
        default=None,
        help="Whether a low or a high value is good; by default as the source says.",
    ),
    click.option("--agent", "agent_name", metavar="NAME", help="The name of the agent that ran."),
    click.option("--model", metavar="NAME", help="The model that the agent used."),
    click.option("--scaffold", metavar="NAME", help="The program around the model."),
    click.option(
        "--errors",
        type=click.Choice(["source", "missing", "failed"]),
        default="source",
        show_default=True,
        help="How attempts that ended in an error count: as the source counts them, as no"
        " result, or"
        " as failures.",
    ),
    click.option(
        "--parts",
        is_flag=True,
        help="Put the part (subject, domain) before each task id, as PART/ID.",
    ),
    click.option(
        "--tasks",
        "tasks_path",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="All task ids, one a line, for sources that list only the solved ones; by default"
        " those that the history holds of the benchmark.",
    ),
    click.option(
        "--benchmark-version",
        metavar="LABEL",
        help="The version of the benchmark that was run, if the source does not say it.",
    ),
    click.option(
        "--wide",
        type=click.Choice(["tasks", "agents"]),
        help="The table has a row for each task and a column for each agent, or a row for"
        " each agent"
        " and a column for each task.",
    ),
    click.option(
        "--map",
        "mappings",
        multiple=True,
        metavar="THEIRS=OURS",
        help="Read the column THEIRS as OURS, such as question=task_id; may be repeated.",
    ),
    click.option(
        "--accept-difference",
        is_flag=True,
        help="Read a source although its own aggregate differs from its results for no"
        " known reason.",
    ),
)


def source_options(
    *, leave_out: Iterable[str] = (), only: Iterable[str] | None = None
) -> Callable[[Command], Command]:
    """Add the options; the command takes them as keyword arguments for `read_options`.

    Parameters
    ----------
    leave_out : iterable of str
        Options, as on the command line, that the command has in another meaning.
    only : iterable of str, optional
        The options to add; all but `leave_out` by default.
    """
    kept = None if only is None else set(only)

    def add(command: Command) -> Command:
        for option in reversed(_OPTIONS):
            probe = option(lambda: None)
            names = set(probe.__click_params__[0].opts)  # type: ignore[attr-defined]
            if not names & set(leave_out) and (kept is None or names & kept):
                command = option(command)
        return command

    return add


def read_options(
    *,
    format_name: str | None = None,
    benchmark: str | None = None,
    metric: str | None = None,
    scale: tuple[float, float] | None = None,
    lower_is_better: bool | None = None,
    agent_name: str | None = None,
    model: str | None = None,
    scaffold: str | None = None,
    errors: Any = "source",
    parts: bool = False,
    tasks_path: Path | None = None,
    benchmark_version: str | None = None,
    wide: Any = None,
    mappings: tuple[str, ...] = (),
    accept_difference: bool = False,
) -> ReadOptions:
    """Return what the options say, but for the format, which chooses the importer."""
    del format_name
    return ReadOptions(
        benchmark=benchmark,
        metric=metric or "",
        scale=scale,
        lower_is_better=lower_is_better,
        agent=agent_name or "",
        model=model or "",
        scaffold=scaffold or "",
        errors=errors,
        parts=parts,
        tasks=() if tasks_path is None else read_ids(tasks_path, "--tasks"),
        benchmark_version=benchmark_version or "",
        wide=wide or "",
        columns=pairs(mappings),
        accept_difference=accept_difference,
    )


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
