"""Verdicts as lines of plain text: paragraphs that break at words, and ranks that are drawn."""

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap

WIDTH = 80
UNFOLDED = 1_000_000
_LEAST_WIDTH = 20
_LEAST_BAR = 9
_MOST_BAR = 50
INDENT = "  "


@dataclass(frozen=True)
class Marks:
    """Characters that a rank interval is drawn with, each one column wide.

    Parameters
    ----------
    outside, inside, rank : str
        A rank outside the interval, one inside it, and the estimate.
    """

    outside: str
    inside: str
    rank: str


ASCII = Marks("-", "=", "o")
UNICODE = Marks("\N{MIDDLE DOT}", "\N{BOX DRAWINGS DOUBLE HORIZONTAL}", "\N{BLACK CIRCLE}")


def marks_for(encoding: str | None) -> Marks:
    """Return the marks that an encoding can write: ASCII ones unless it is a form of Unicode."""
    return UNICODE if (encoding or "").lower().replace("-", "").startswith("utf") else ASCII


def folded(paragraphs: Iterable[str], width: int = WIDTH, *, first: str = "") -> tuple[str, ...]:
    """Return paragraphs as lines that break at words; all but the first line are indented.

    Parameters
    ----------
    paragraphs : iterable of str
    width : int
        Most columns of a line. Only a single word that is longer, such as a path, exceeds it.
    first : str
        What the first line is indented by.
    """
    lines: list[str] = []
    for text in paragraphs:
        lines += wrap(
            " ".join(text.split()),
            max(width, _LEAST_WIDTH),
            initial_indent=INDENT if lines else first,
            subsequent_indent=INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return tuple(lines)


def interval_bar(
    rank: int | None, low: int, high: int, *, of: int, width: int = WIDTH, marks: Marks = ASCII
) -> str:
    """Draw an interval of ranks, such as ``1 ----[=o=]---------- 33``.

    Parameters
    ----------
    rank : int or None
        The estimate; it may lie outside the interval.
    low, high : int
        Bounds of the rank, 1 being the best.
    of : int
        The worst rank there can be.
    width : int
        Columns of the line in which the drawing stands, with its indent.
    marks : Marks

    Returns
    -------
    str
        Empty where there is no room for it, or nothing to draw.

    Examples
    --------
    >>> interval_bar(7, 5, 9, of=33, width=40)
    '1 ----[=o=]------------------------ 33'
    >>> interval_bar(2, 2, 2, of=5, width=20)
    '1 ---o---------- 5'
    """
    size = min(width - len(INDENT) - len(f"1  {of}"), _MOST_BAR, max(4 * of, _LEAST_BAR))
    if of < 2 or size < _LEAST_BAR:
        return ""

    def column(place: int) -> int:
        return round((min(max(place, 1), of) - 1) / (of - 1) * (size - 1))

    left, right = column(low), column(high)
    cells = [marks.outside] * size
    if left < right:
        cells[left : right + 1] = ["[", *[marks.inside] * (right - left - 1), "]"]
    else:
        cells[left] = marks.inside
    if rank is not None:
        cells[column(rank)] = marks.rank
    return f"1 {''.join(cells)} {of}"


def ranks_drawn(low: int, high: int, *, of: int, marks: Marks = ASCII) -> str:
    """Draw the ranks that are open to a candidate, one column a rank, such as ``-==--``."""
    return "".join(
        marks.inside if low <= each <= high else marks.outside for each in range(1, of + 1)
    )
