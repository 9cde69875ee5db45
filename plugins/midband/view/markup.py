"""Pieces of the local page: escaped texts, times, tables, and charts that scale with the page."""

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from midband.text import one_line

UNKNOWN = "\u2013"
_CODE = re.compile("`([^`]+)`")
_UNSORTED = "Picture"
# A table of more columns than this becomes a list of its rows on a narrow screen.
_STACKS = 4


def text(value: object) -> str:
    """Return a foreign text for HTML: escaped, on one line."""
    return html.escape(one_line(str(value)))


def prose(value: str) -> str:
    """Return a foreign text for HTML in which what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", text(value))


def number(value: float | None, digits: int = 0) -> str:
    """Return a number for people; a dash where it is unknown."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def dollars(value: float | None) -> str:
    """Return an amount for people; a dash where it is unknown."""
    if value is None:
        return UNKNOWN
    return f"${value:,.2f}" if abs(value) < 1000 else f"${value:,.0f}"


def percent(value: float | None) -> str:
    """Return a share for people; a dash where it is unknown."""
    return UNKNOWN if value is None else f"{100 * value:.1f}\u00a0%"


def count(value: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def when(moment: datetime | None) -> str:
    """Return a time that the page's script shows as how long ago it was."""
    if moment is None:
        return UNKNOWN
    said = moment.astimezone(UTC)
    return f'<time datetime="{said.isoformat(timespec="seconds")}">{said:%Y-%m-%d %H:%M} UTC</time>'


def day(moment: datetime | None) -> str:
    """Return a date."""
    return UNKNOWN if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d}"


def note(kind: str, title: str, lines: Iterable[str]) -> str:
    """Return a box with lines that a reader must not miss; nothing without lines."""
    items = "".join(f"<li>{prose(line)}</li>" for line in dict.fromkeys(lines))
    if not items:
        return ""
    return f'<aside class="note {kind}"><h2>{text(title)}</h2><ul>{items}</ul></aside>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return named values, which are HTML; those that are empty are left out."""
    lines = "".join(f"<dt>{text(name)}</dt><dd>{value}</dd>" for name, value in pairs if value)
    return f'<dl class="facts">{lines}</dl>' if lines else ""


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Parameters
    ----------
    shown : str
        HTML.
    value : str, float or None
        What the table sorts by; None where it is unknown.
    left : bool
        Whether it stands to the left although it sorts as a number.
    """

    shown: str
    value: str | float | None
    left: bool = False


def of_text(value: str) -> Cell:
    """Return the cell of a foreign text."""
    return Cell(text(value), value)


def of_number(value: float | None, shown: str | None = None) -> Cell:
    """Return the cell of a number; unknown ones are a dash and sort last."""
    known = value is not None and math.isfinite(value)
    return Cell((shown or number(value)) if known else UNKNOWN, value if known else None)


def of_time(moment: datetime | None) -> Cell:
    """Return the cell of a time."""
    return Cell(when(moment), None if moment is None else moment.timestamp(), left=True)


def of_day(moment: datetime | None) -> Cell:
    """Return the cell of a date."""
    shown = UNKNOWN if moment is None else f'<span class="nowrap">{day(moment)}</span>'
    return Cell(shown, None if moment is None else moment.timestamp(), left=True)


def table(name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table that sorts by each column; columns of numbers stand to the right.

    Parameters
    ----------
    name : str
        An id of ours.
    title : str
        For those who hear the page.
    columns : sequence of str
        One that is empty does not sort.
    rows : sequence of sequence of Cell
    """

    def has_numbers(place: int, *, right: bool) -> bool:
        cells = [row[place] for row in rows]
        return any(isinstance(c.value, int | float) and not (right and c.left) for c in cells)

    places = range(len(columns))
    kinds = [' class="number"' if has_numbers(place, right=True) else "" for place in places]
    ways = [' data-by="number"' if has_numbers(place, right=False) else "" for place in places]
    heads = "".join(
        f'<th scope="col"{kinds[place]}{ways[place]} aria-sort="none">'
        f'<button type="button" id="{name}-{place}">{text(column)}</button></th>'
        if column
        else f'<th scope="col"><span class="sr">{text(_UNSORTED)}</span></th>'
        for place, column in enumerate(columns)
    )
    lines = []
    for row in rows:
        cells = "".join(
            f'<td{kind}{_value(cell)} data-label="{text(column)}">{cell.shown}</td>'
            for cell, kind, column in zip(row, kinds, columns, strict=True)
        )
        lines.append(f"<tr>{cells}</tr>")
    wide = " stacks" if len(columns) > _STACKS else ""
    return (
        f'<div class="scroll{wide}" tabindex="0" role="region" aria-label="{text(title)}"'
        f' id="{name}-box"><table id="{name}" class="sorts"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _value(cell: Cell) -> str:
    return "" if cell.value is None else f' data-value="{text(cell.value)}"'


def bar(share: float | None, label: str) -> str:
    """Return a bar of how much is done."""
    done = 0.0 if share is None else max(0.0, min(1.0, share))
    return (
        f'<svg class="progress" role="img" aria-label="{text(label)}">'
        '<rect class="rail" width="100%" height="100%"/>'
        f'<rect class="done" width="{100 * done:.2f}%" height="100%"/></svg>'
    )


def strip(
    low: float | None, high: float | None, middle: float | None, of: float | None, label: str
) -> str:
    """Return a rail of ranks 1 to `of`, with an interval and an estimate on it."""
    if low is None or high is None or not of or of < 1:
        return ""

    def place(rank: float) -> float:
        return 100 * (max(1.0, min(rank, of)) - 1) / max(of - 1, 1)

    left, right = place(low), place(high)
    dot = (
        "" if middle is None else f'<circle class="dot" cx="{place(middle):.2f}%" cy="50%" r="5"/>'
    )
    return (
        f'<svg class="strip" role="img" aria-label="{text(label)}">'
        '<svg x="1.5%" width="97%" height="100%" overflow="visible">'
        '<line class="rail" x1="0" x2="100%" y1="50%" y2="50%"/>'
        f'<line class="span" x1="{left:.2f}%" x2="{right:.2f}%" y1="50%" y2="50%"/>'
        f'<line class="edge" x1="{left:.2f}%" x2="{left:.2f}%" y1="20%" y2="80%"/>'
        f'<line class="edge" x1="{right:.2f}%" x2="{right:.2f}%" y1="20%" y2="80%"/>'
        f"{dot}</svg></svg>"
    )


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a chart.

    Parameters
    ----------
    low, high : float
        What stands at the left or the bottom, and at the right or the top.
    ticks : sequence of (float, str)
    title : str
    """

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    title: str

    def place(self, value: float) -> float:
        """Return how far along a value stands, in [0, 100]."""
        share = (value - self.low) / (self.high - self.low) if self.high != self.low else 0.0
        return 100 * max(0.0, min(1.0, share))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between two numbers, at most so many."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / most))
    step *= next(each for each in (1, 2, 5, 10, 20) if span / (step * each) <= most)
    first = math.ceil(low / step)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


class Step(NamedTuple):
    """Bounds and estimate from a place on, until the next; None where they are unknown."""

    at: float
    low: float | None
    high: float | None
    middle: float | None


def chart(
    *,
    label: str,
    x: Axis,
    y: Axis,
    course: Sequence[Step],
    end: float | None = None,
) -> str:
    """Return a chart of bounds that close: a band of steps, with the estimate as a line.

    Parameters
    ----------
    label : str
        What it shows, for those who hear the page.
    x, y : Axis
    course : sequence of Step
        Sorted by x.
    end : float, optional
        Where it ended.
    """
    last = end if end is not None else (course[-1][0] if course else None)
    lows, highs, line = [], [], []
    for place, (at, low, high, middle) in enumerate(course):
        until = course[place + 1][0] if place + 1 < len(course) else last
        if low is None or high is None or until is None:
            continue
        left, right = x.place(at), max(x.place(until), x.place(at) + 0.4)
        lows += [(left, y.place(low)), (right, y.place(low))]
        highs += [(left, y.place(high)), (right, y.place(high))]
        if middle is not None:
            line += [(left, y.place(middle)), (right, y.place(middle))]
    band = _path([*lows, *reversed(highs)])
    shapes = [f'<path class="band" d="{band}Z"/>'] if lows else []
    shapes += [f'<path class="edge" d="{_path(each)}"/>' for each in (lows, highs) if each]
    shapes += [f'<path class="line" d="{_path(line)}"/>'] if line else []
    grid = "".join(
        f'<line class="grid" x1="0" x2="100%" y1="{100 - y.place(value):.2f}%"'
        f' y2="{100 - y.place(value):.2f}%"/>'
        for value, _ in y.ticks
    )
    after = ""
    if last is not None and end is not None and x.place(end) < 99.5:
        left = x.place(end)
        after = (
            f'<rect class="beyond" x="{left:.2f}%" width="{100 - left:.2f}%" height="100%"/>'
            f'<line class="stop" x1="{left:.2f}%" x2="{left:.2f}%" y1="0" y2="100%"/>'
        )
    y_labels = "".join(
        f'<text x="100%" y="{100 - y.place(value):.2f}%" dy=".35em" text-anchor="end">'
        f"{text(shown)}</text>"
        for value, shown in y.ticks
    )
    x_labels = "".join(
        f'<text x="{x.place(value):.2f}%" y="1em" text-anchor="{_anchor(x.place(value))}">'
        f"{text(shown)}</text>"
        for value, shown in x.ticks
    )
    return (
        f'<div class="plot" role="img" aria-label="{text(label)}">'
        f'<p class="axis">{text(y.title)}</p>'
        f'<svg class="ys" aria-hidden="true">{y_labels}</svg>'
        f'<svg class="area" aria-hidden="true">{grid}{after}'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%">'
        f'<g class="role-mark">{"".join(shapes)}</g></svg></svg>'
        f'<svg class="xs" aria-hidden="true">{x_labels}</svg>'
        f'<p class="axis below">{text(x.title)}</p></div>'
    )


def sparkline(course: Sequence[Step], of: int) -> str:
    """Return the course of a rank interval, small enough for a cell."""
    known = [each for each in course if each[1] is not None and each[2] is not None]
    if len(known) < 2 or of < 2:
        return ""
    x = Axis(low=known[0][0], high=known[-1][0], ticks=(), title="")
    y = Axis(low=of, high=1, ticks=(), title="")
    lows, highs = [], []
    for place, (at, low, high, _) in enumerate(known):
        until = known[place + 1][0] if place + 1 < len(known) else at
        lows += [(x.place(at), y.place(low or 0)), (x.place(until), y.place(low or 0))]
        highs += [(x.place(at), y.place(high or 0)), (x.place(until), y.place(high or 0))]
    band = _path([*lows, *reversed(highs)])
    edges = "".join(f'<path class="edge" d="{_path(each)}"/>' for each in (lows, highs))
    return (
        '<svg class="spark" aria-hidden="true" viewBox="0 -6 100 112" preserveAspectRatio="none">'
        f'<path class="band" d="{band}Z"/>{edges}</svg>'
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    steps = (f"{x:.2f},{100 - y:.2f}" for x, y in points)
    return "M" + "L".join(steps) if points else ""


def _anchor(place: float) -> str:
    if place < 4:
        return "start"
    return "end" if place > 96 else "middle"
