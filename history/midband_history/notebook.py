"""How a result looks in a notebook: a sentence, perhaps an interval bar, and a small table.

Notebooks call ``_repr_html_``. What it returns here is one HTML fragment without scripts and style
sheets. It takes its colours from the page, so that it is readable in light and dark notebooks, and
everything that is shown is escaped: names of agents and tasks come from result files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

Cell = str | int | float | datetime | None
UNKNOWN = "–"  # noqa: RUF001 - an en dash, as tables show what is not known
MOST_ROWS = 20
_LONGEST = 300
_LINE = "border:0;border-bottom:1px solid rgba(128,128,128,.35);padding:.2em .8em .2em 0"
_BOX = "max-width:60em;overflow-x:auto;color:inherit;font-size:inherit;line-height:1.4"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """An interval on a scale, drawn as a line with a dot.

    Parameters
    ----------
    low, high : float
        The interval.
    estimate : float
        NaN for none.
    first, last : float
        Ends of the scale; the first may be the greater one.
    unit : str
        What stands behind the numbers.
    """

    low: float
    high: float
    first: float
    last: float
    estimate: float = math.nan
    unit: str = ""

    def html(self) -> str:
        """Return the bar as inline SVG with a description; empty text where a bound is unknown."""
        ends = (self.low, self.high, self.first, self.last)
        if not all(map(math.isfinite, ends)) or self.first == self.last:
            return ""
        low, high = self._place(self.low), self._place(self.high)
        said = f"{self.low:.4g} to {self.high:.4g}{self.unit}"
        if math.isfinite(self.estimate):
            said = f"{self.estimate:.4g}{self.unit}, between {said}"
        dot = ""
        if math.isfinite(self.estimate):
            dot = f'<circle cx="{self._place(self.estimate):.1f}" cy="10" r="4.5" fill="#1f77b4"/>'
        return (
            '<svg role="img" width="320" height="34" viewBox="0 0 320 34"'
            f' style="color:inherit;display:block;max-width:100%" aria-label="{escape(said)}">'
            f"<title>{escape(said)}</title>"
            '<line x1="10" x2="310" y1="10" y2="10" stroke="currentColor" stroke-opacity=".35"/>'
            f'<line x1="{min(low, high) - 1:.1f}" x2="{max(low, high) + 1:.1f}" y1="10" y2="10"'
            f' stroke="#1f77b4" stroke-width="5" stroke-opacity=".6"/>{dot}'
            '<g font-size="11" fill="currentColor">'
            f'<text x="10" y="29">{escape(f"{self.first:.4g}{self.unit}")}</text>'
            f'<text x="310" y="29" text-anchor="end">{escape(f"{self.last:.4g}{self.unit}")}</text>'
            "</g></svg>"
        )

    def _place(self, value: float) -> float:
        share = (value - self.first) / (self.last - self.first)
        return 10.0 + 300.0 * min(max(share, 0.0), 1.0)


def notebook_html(
    caption: str,
    *,
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[Cell]] = (),
    notes: Sequence[str] = (),
    bar: Bar | None = None,
) -> str:
    """Return a fragment of HTML.

    Parameters
    ----------
    caption : str
        The sentence that stands first, plain text.
    columns : sequence of str
        Heads of the table; none for a table of names and values.
    rows : sequence of sequence
        Numbers stand on the right, None and NaN are shown as a dash. Only the first `MOST_ROWS`
        are shown, and it is said how many there are.
    notes : sequence of str
        Sentences below the table.
    bar : Bar, optional
    """
    parts = [f'<div style="{_BOX}">', f'<p style="margin:.3em 0"><b>{_text(caption)}</b></p>']
    if bar is not None:
        parts.append(bar.html())
    if rows:
        parts.append('<table style="border-collapse:collapse;margin:.3em 0;color:inherit">')
        if columns:
            numeric = [all(map(_is_number, column)) for column in zip(*rows, strict=True)]
            heads = (
                _cell(head, "th", right=right) for head, right in zip(columns, numeric, strict=True)
            )
            parts.append(f"<thead><tr>{''.join(heads)}</tr></thead>")
        parts.append("<tbody>")
        for row in rows[:MOST_ROWS]:
            cells = [_cell(each, right=bool(columns) and _is_number(each)) for each in row]
            if not columns:
                cells[0] = _cell(row[0], "th", right=False)
            parts.append(f'<tr style="background:transparent">{"".join(cells)}</tr>')
        parts.append("</tbody></table>")
    if len(rows) > MOST_ROWS:
        notes = (f"The first {MOST_ROWS} of {len(rows)} rows are shown.", *notes)
    parts += [f'<p style="margin:.2em 0">{_text(each)}</p>' for each in notes]
    return "".join([*parts, "</div>"])


def _cell(value: Cell, tag: str = "td", *, right: bool) -> str:
    side = "right" if right else "left"
    weight = "font-weight:600;" if tag == "th" else ""
    scope = ' scope="col"' if tag == "th" and right else ""
    style = f"{_LINE};{weight}text-align:{side};vertical-align:top;background:transparent"
    return f'<{tag}{scope} style="{style}">{_text(value)}</{tag}>'


def _is_number(value: Cell) -> bool:
    return value is None or isinstance(value, int | float)


def _text(value: Cell) -> str:
    """Return a cell as escaped text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    text = " ".join(str(value).split())
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
