"""The verdict on the terminal, printed when Inspect's own screen is gone."""

import atexit
import re
import sys
from collections.abc import Collection
from textwrap import wrap
from typing import TYPE_CHECKING

from midband._text import one_line

if TYPE_CHECKING:
    from midband_sampler import Decision

# Five captions and counters, and Inspect's own, go into 120 columns.
_CAPTION = 7
_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


_LINES: dict[str, str] = {}


def say_at_exit(key: str, line: str) -> None:
    """Print a line on stderr when the ``inspect`` command ends; of those of one key the last.

    In a program of somebody's own that calls Inspect nothing is printed: the log has the verdict.
    """
    if "inspect_ai._cli.main" not in sys.modules:
        return
    if not _LINES:
        atexit.register(_print)
    _LINES[key] = line


def caption_of(model: str, others: Collection[str] = ()) -> str:
    """Return a short caption for a model: the end of its name, without a date.

    Parameters
    ----------
    model : str
    others : collection of str
        Captions that are on the screen already.

    Examples
    --------
    >>> caption_of("openai/gpt-4o")
    'gpt-4o'
    >>> caption_of("anthropic/claude-sonnet-4-5-20250929")
    'net-4-5'
    """
    name = one_line(_DATE.sub("", model.rpartition("/")[2]) or model)[-_CAPTION:]
    caption, number = name, 2
    while caption in others:
        caption, number = f"{name[1:]}{number}", number + 1
    return caption


def counter_text(decision: "Decision", *, alone: bool) -> str:
    """Return what the counter shows; beside other models only the bounds and the progress."""
    if alone:
        return decision.short
    share = 100 * decision.tasks_run // max(decision.tasks_planned, 1)
    return f"{decision.low}-{decision.high} {share}%{'!' if decision.warnings else ''}"


def wrapped(text: str, width: int) -> list[str]:
    """Return a text as further lines of a verdict, which break at words."""
    return wrap(
        " ".join(text.split()),
        width,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _print() -> None:
    for text in _LINES.values():
        first, *rest = text.split("\n")
        for line in (f"midband: {first}", *rest):
            print(one_line(line), file=sys.stderr)
