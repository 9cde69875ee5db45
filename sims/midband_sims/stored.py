"""The directory of a study, read again: also of one that was stopped half-way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from midband_history import InputError
from midband_sims.cells import summarise_rows
from midband_sims.racing import rows_of, summarise_races
from midband_sims.storage import ABOUT, plain_cell

RACES = "race study"


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """A study as its directory keeps it.

    Parameters
    ----------
    about : mapping
        What ``study.json`` says; empty for a study of an older midband.
    cells : tuple of mapping
        As in `StudyResult`, unknown numbers None. Of a study that is not complete, what follows
        from its finished replays; its baselines are unknown.
    replays : tuple of mapping
        With ``benchmark``, ``strategy``, ``plan`` and ``widths``, where widths were recorded.
    done, planned : int
        Units that are finished, and all; 0 planned where the directory does not say.
    complete : bool
        Whether the study came to its end.
    problems : tuple of str
        What cannot be read.
    """

    about: Mapping[str, Any]
    cells: tuple[Mapping[str, Any], ...]
    replays: tuple[Mapping[str, Any], ...] = ()
    done: int = 0
    planned: int = 0
    complete: bool = True
    problems: tuple[str, ...] = ()

    @property
    def of_races(self) -> bool:
        """Whether races were studied."""
        kind = self.about.get("kind")
        return kind == RACES or (not kind and any("allocation" in each for each in self.cells))


def read_study(directory: Path) -> StoredStudy:
    """Read a directory that ``midband study --output`` wrote; nothing of it is changed.

    Raises
    ------
    InputError
        It holds no study.
    """
    names = (ABOUT, "units.jsonl", "cells.json")
    if not any((directory / name).is_file() for name in names):
        msg = (
            f"expected the directory of a study, got {directory} without {', '.join(names)}: name"
            " one that `midband study --output` wrote"
        )
        raise InputError(msg)
    problems: list[str] = []
    about = _read_json(directory / ABOUT, problems, kind=dict) or {}
    units, damaged = _units(directory / "units.jsonl")
    if damaged:
        problems.append(f"{damaged} lines of {directory / 'units.jsonl'} cannot be read.")
    planned = {str(key) for cell in about.get("cells", ()) for key in cell["units"]}
    complete = (directory / "cells.json").is_file() and planned <= set(units)
    cells = _read_json(directory / "cells.json", problems, kind=list) if complete else None
    if cells is None:
        complete = False
        cells = _finished_part(about, units)
    return StoredStudy(
        about=about,
        cells=tuple(plain_cell(cell) for cell in cells),
        replays=tuple(_widths(directory, about, units, problems, complete=complete)),
        done=len(planned & set(units)) if planned else len(units),
        planned=len(planned),
        complete=complete,
        problems=tuple(problems),
    )


def _read_json(path: Path, problems: list[str], *, kind: type) -> Any:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        problems.append(f"{path} cannot be read: it is incomplete, or was edited.")
        return None
    return found


def _units(path: Path) -> tuple[dict[str, Mapping[str, Any]], int]:
    """Return the results of finished units by their key, and how many whole lines are damaged."""
    found: dict[str, Mapping[str, Any]] = {}
    damaged = 0
    if not path.is_file():
        return found, damaged
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
            found[str(entry["unit"])] = dict(entry["result"])
        except (ValueError, KeyError, TypeError, RecursionError):
            damaged += 1
    return found, damaged


def _finished_part(
    about: Mapping[str, Any], units: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    cells = []
    for cell in about.get("cells", ()):
        held = [units[key]["rows"] for key in cell["units"] if key in units]
        if about.get("kind") == RACES:
            rows = rows_of(cell["head"], held)
            cells.append({**cell["head"], **summarise_races(rows)})
        else:
            cells.append(summarise_rows(cell["head"], [row for rows in held for row in rows]))
    return cells


def _widths(
    directory: Path,
    about: Mapping[str, Any],
    units: Mapping[str, Mapping[str, Any]],
    problems: list[str],
    *,
    complete: bool,
) -> Sequence[Mapping[str, Any]]:
    """Return the replays of which the widths along the run are known."""
    names = ("benchmark", "strategy", "plan")
    path = directory / "replays.parquet"
    if complete and path.is_file():
        try:
            with duckdb.connect() as connection:
                relation = connection.read_parquet(str(path))
                if not {*names, "widths"} <= set(relation.columns):
                    return []
                rows = relation.filter("len(widths) > 0").project(f"{', '.join(names)}, widths")
                return [dict(zip((*names, "widths"), row, strict=True)) for row in rows.fetchall()]
        except duckdb.Error as problem:
            problems.append(f"{path} cannot be read: {str(problem).splitlines()[0]}.")
            return []
    if about.get("kind") == RACES:
        return []
    return [
        {**{name: cell["head"][name] for name in names}, "widths": row["widths"]}
        for cell in about.get("cells", ())
        for key in cell["units"]
        for row in units.get(key, {}).get("rows", ())
        if row.get("widths")
    ]
