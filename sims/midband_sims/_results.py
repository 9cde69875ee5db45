"""Results on disk: cells and replays as Parquet, cells as JSON as well."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from midband_history import StoreError


def plain_cell(cell: Mapping[str, object]) -> dict[str, object]:
    """Return a cell as JSON can hold it: unknown numbers are null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in cell.items()
    }


def cells_json(cells: Sequence[Mapping[str, object]]) -> str:
    """All cells as a JSON array."""
    return json.dumps([plain_cell(cell) for cell in cells], indent=1, ensure_ascii=False)


def write_results(
    directory: Path,
    *,
    cells: Sequence[Mapping[str, object]],
    replays: Sequence[Mapping[str, object]],
) -> None:
    """Write ``cells.json``, ``cells.parquet`` and ``replays.parquet``; no half file is left."""
    try:
        partial = directory / ".cells.json.part"
        partial.write_text(cells_json(cells) + "\n", encoding="utf-8")
        partial.replace(directory / "cells.json")
        _write_parquet(cells, directory / "cells.parquet")
        _write_parquet(replays, directory / "replays.parquet")
    except (OSError, duckdb.Error) as error:
        msg = f"expected room to write the results to {directory}, got: {error}"
        raise StoreError(msg) from error


def _write_parquet(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    columns: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kind = _kind(value)
            if kind and columns.get(name) != "DOUBLE":
                columns[name] = kind
            else:
                columns.setdefault(name, "")
    types = {name: kind or "VARCHAR" for name, kind in columns.items()}
    lines = path.with_name(f".{path.name}.jsonl")
    partial = path.with_name(f".{path.name}.part")
    lines.write_text("".join(json.dumps(plain_cell(row)) + "\n" for row in rows), encoding="utf-8")
    try:
        with duckdb.connect() as connection:
            relation = connection.read_json(str(lines), format="newline_delimited", columns=types)
            relation.write_parquet(str(partial), compression="zstd")
        partial.replace(path)
    finally:
        lines.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _kind(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "BIGINT"
    if isinstance(value, float):
        return "DOUBLE"
    if isinstance(value, list | tuple):
        if not value:
            return ""
        first = value[0]
        if isinstance(first, str):
            return "VARCHAR[]"
        return "DOUBLE[][]" if isinstance(first, list | tuple) else "DOUBLE[]"
    return "VARCHAR"
