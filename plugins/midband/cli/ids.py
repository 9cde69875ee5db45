"""Task ids that a person names, in a file or at an address."""

import re
from pathlib import Path


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
