"""How values are shown in tables, and handed to the script of a page."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midband.text import one_line

UNKNOWN = "\N{EN DASH}"
_SHORT = 28  # characters of a cell that stays on one line


@dataclass(frozen=True)
class Cell:
    """A number that is shown as a text of its own, such as ``$3.10``.

    Parameters
    ----------
    text : str
    value : float or None
        What the table sorts by; None where unknown.
    """

    text: str
    value: float | None


def cell_of(value: object) -> object:
    """Return a cell as the script takes it: a text, a number with its text, or None."""
    if isinstance(value, Cell):
        known = value.value is not None and math.isfinite(value.value)
        return [value.value, one_line(value.text)] if known else None
    if value is None or isinstance(value, str):
        return None if value is None else one_line(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "item"):
        return cell_of(value.item())
    if isinstance(value, int):
        return [value, f"{value:,}"]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return [value, f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"]
    return one_line(str(value))


def shown(cell: object) -> str:
    """Return the text of a cell."""
    if cell is None:
        return UNKNOWN
    return str(cell[1]) if isinstance(cell, list) else str(cell)


def column_style(column: Sequence[object]) -> str:
    """Return how a column is set: numbers stand to the right, short texts are not broken."""
    known = [each for each in column if each is not None]
    if known and all(isinstance(each, list) for each in known):
        return "number"
    return "short" if all(len(shown(each)) <= _SHORT for each in column) else ""


def json_for_script(value: object) -> str:
    """Return JSON that can stand in a script element: no text of it ends that element."""
    found = json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        found = found.replace(character, f"\\u{ord(character):04x}")
    return found


def _plain(value: object) -> object:
    """Return what JSON can hold: unknown numbers become null, texts are shown on one line."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {one_line(str(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else one_line(str(value))
