"""One table of what is aimed at and what was measured, printed row by row."""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table.

    Parameters
    ----------
    where, bar, measured : str
    met : bool or None
        None where the bar could not be judged.
    numbers : mapping
        What the verdict rests on.
    cells : sequence of mapping
        The same by cell.
    """

    where: str
    bar: str
    measured: str
    met: bool | None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    cells: Sequence[Mapping[str, Any]] = ()


def not_available(where: str, bar: str, why: object) -> Line:
    return Line(where=where, bar=bar, measured=f"not available: {why}", met=None)


VERDICTS = {True: "yes", False: "**no**", None: "-"}


def cells_table(line: Line) -> str:
    """Lay a line's cells out as Markdown."""
    names = list(dict.fromkeys(name for cell in line.cells for name in cell))
    head = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    texts = [[_shown(cell.get(name, "")) for name in names] for cell in line.cells]
    return "\n".join([f"### {line.where}\n", *head, *(f"| {' | '.join(row)} |" for row in texts)])


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Make values that JSON holds: NaN becomes None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def print_bars(
    rows: Mapping[str, Callable[[Any], Iterator[Line]]],
    table_of: Callable[[Path, int, bool], Any],
    *,
    title: str,
    needs: str,
    seed: int,
    errors: tuple[type[Exception], ...],
) -> int:
    """Read the command line, print the rows that it names, and return the exit code.

    Parameters
    ----------
    rows : mapping of str to callable
        From a table to its lines.
    table_of : callable
        From the data directory, the number of workers and whether to be quick to the table, which
        has `sizes`.
    title : str
    needs : str
        A file that the data directory must have.
    seed : int
        Of all draws.
    errors : tuple of type
        Errors of the data that end a row and not the table.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--workers", type=int, default=1, metavar="N")
    parser.add_argument("--rows", default=",".join(rows), metavar="NAME,NAME")
    parser.add_argument("--quick", action="store_true", help="Fewer draws, for a first look.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the numbers by cell.")
    options = parser.parse_args()
    wanted = options.rows.split(",")
    if strange := sorted(set(wanted) - set(rows)):
        parser.error(f"expected rows of {', '.join(rows)}, got {', '.join(strange)}")
    if not (options.data / needs).exists():
        print(f"expected {needs} in {options.data}, got none: give the directory that has it")
        return 1
    table = table_of(options.data, options.workers, options.quick)
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}{', quick' if options.quick else ''}\n\n"
        "| where | bar | measured | met? |\n|---|---|---|---|",
        flush=True,
    )
    found: dict[str, list[Line]] = {}
    for name in (each for each in rows if each in wanted):
        begun = time.perf_counter()
        found[name] = []
        try:
            for line in rows[name](table):
                found[name].append(line)
                print(
                    f"| {line.where} | {line.bar} | {line.measured} | {VERDICTS[line.met]} |",
                    flush=True,
                )
        except errors as error:
            line = not_available(name, "", error)
            found[name].append(line)
            print(f"| {name} | | {line.measured} | - |", flush=True)
        print(f"# {name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    for lines in found.values():
        for line in lines:
            if line.cells:
                print(f"\n{cells_table(line)}")
    if options.json:
        plain = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "seed": seed,
            "quick": options.quick,
            "sizes": asdict(table.sizes),
            "rows": {name: [asdict(line) for line in lines] for name, lines in found.items()},
        }
        options.json.write_text(json.dumps(_plain(plain), indent=1) + "\n", encoding="utf-8")
    return 0
