"""How files of rows are checked and staged without a Python object a row."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history.archives import FORMATS, TableFormat, format_of, opened, shown
from midband_history.connection import (
    connect_in_memory,
    dicts_of,
    fetch,
    fetch_value,
    run_all,
    statement,
)
from midband_history.errors import (
    InputError,
    OutOfRangeError,
    StoreError,
    UnreadableSourceError,
)
from midband_history.metrics import Metric
from midband_history.names import clean_id
from midband_history.records import (
    FIRST_YEAR,
    LAST_YEAR,
    LIMITS,
    OUTCOME_KINDS,
    Record,
)
from midband_history.scanning import NUMBERS, cause
from midband_history.tables import Selection, Table, select_member

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LIMITS = {
    **{f"most_{name}": most for name, most in LIMITS.items()},
    "first_date": f"{FIRST_YEAR}-01-01",
    "last_date": f"{LAST_YEAR}-01-01",
}
# As many rows of names are looked through in no time.
_FEW_NAMES = 100_000
_OF_TASKS = ("benchmark", "task_id", "task_digest")
_OF_RUNS = (
    *("benchmark", "agent", "model", "scaffold", "agent_version", "settings", "run_id"),
    *("harness", "harness_version", "started", "run_cost_usd"),
)


def stage_table(
    connection: "DuckDBPyConnection", table: Table, *, source_id: int
) -> tuple[str, ...]:
    """Fill the staging table ``incoming`` with the rows of a file; return what is left out.

    The file is read three times, to check it, to number its names and to take it in, so that it is
    never held whole.

    Raises
    ------
    UnreadableSourceError
        The file cannot be read to its end, lacks a column, or holds a value out of range. The
        message names the file, and the first row in question, counted from 1.
    StoreError
        There is not enough memory or room on the disk.
    """
    import duckdb

    with opened(table.path, table.format) as (members, notes):
        try:
            chosen = [
                select_member(connection, member, table, number=number)
                for number, member in enumerate(members)
            ]
            parts = " UNION ALL BY NAME ".join(part.sql for part in chosen)
            connection.execute(f"CREATE OR REPLACE TEMP VIEW raw AS {parts}")
            notes += tuple(note for part in chosen for note in part.notes)
            rows, found = _check(connection, table, chosen)
            notes += found
            connection.execute(statement("stage"))
            worst, best = table.metric.low, table.metric.high
            if table.metric.lower_is_better:
                worst, best = best, worst
            bound = {
                "source_id": source_id,
                "worst": worst,
                "best": best,
                **_LIMITS,
                "version": clean_id(table.version),
                "errors_fail": table.errors_fail,
            }
            run_all(connection, "name_raw", "name_runs", "name_tasks", bound=bound)
            staged = statement("stage_raw").format(
                same_run=_same(connection, "incoming_runs", _OF_RUNS),
                same_task=_same(connection, "incoming_tasks", _OF_TASKS),
            )
            bound["kinds"] = list(OUTCOME_KINDS)
            known = {name: value for name, value in bound.items() if f"${name}" in staged}
            if connection.execute(staged, known).fetchall()[0][0] != rows:
                msg = f"{shown(table.path)}: expected {rows} rows again, the file has changed: wait"
                raise UnreadableSourceError(msg)
        except duckdb.OutOfMemoryException as error:
            msg = f"expected room for {shown(table.path)}, got: {cause(error)}: free some"
            raise StoreError(msg) from error
        except duckdb.Error as error:
            kind = {"zip": "archive of"}.get(table.format, table.format)
            msg = f"{shown(table.path)}: expected a whole {kind} file, got: {cause(error)}"
            raise UnreadableSourceError(msg) from error
    run_all(connection, "drop_raw")
    return (*notes, *_near_names(connection))


def _check(
    connection: "DuckDBPyConnection", table: Table, chosen: list[Selection]
) -> tuple[int, tuple[str, ...]]:
    """Refuse the file at its first value that cannot be read.

    Returns
    -------
    tuple
        How many rows it has, and what counts as unknown.
    """
    metric = table.metric
    kinds = {"kinds": list(OUTCOME_KINDS), "low": metric.low, "high": metric.high}
    rows, faults, unnumbered, missing, low, high, dates, *amounts = connection.execute(
        statement("survey_raw"), {**kinds, **_LIMITS}
    ).fetchall()[0]
    if faults:
        found = connection.execute(statement("check_raw"), kinds).fetchone()
        if found is not None:
            reason = _refusal(chosen, *found, low=low, high=high, metric=metric)
            if low is None or (low >= metric.low and high <= metric.high) or math.isinf(high - low):
                raise UnreadableSourceError(reason)
            benchmarks = connection.execute("SELECT DISTINCT benchmark FROM raw").fetchall()
            names = [str(name) for (name,) in benchmarks if name]
            raise OutOfRangeError(reason, benchmarks=names, low=low, high=high)
    run_all(connection, "number_attempts" if unnumbered else "numbered")
    notes = []
    if missing:
        notes.append(f"{missing} rows have no score: kept as missing, outside every rate")
    if dates:
        notes.append(
            f"{dates} rows have a run_date outside {FIRST_YEAR} to {LAST_YEAR - 1}:"
            " taken as unknown"
        )
    for name, absurd in zip(NUMBERS[1:], amounts, strict=True):
        if absurd:
            notes.append(
                f"{absurd} rows have a {name} below 0 or above {LIMITS[name]:g}: taken as unknown"
            )
    return rows, tuple(notes)


def _same(connection: "DuckDBPyConnection", names: str, columns: tuple[str, ...]) -> str:
    """Return SQL of whether a row has the names of a row of `names`.

    Columns without which the rows of `names` still differ are not compared, the last first: what is
    compared is worked out for every row of the file.
    """

    def differ(some: Sequence[str]) -> bool:
        chosen = ", ".join(some)
        query = f"SELECT (SELECT count(*) FROM (SELECT DISTINCT {chosen} FROM {names})) = count(*)"
        return bool(fetch_value(connection, f"{query} FROM {names}"))

    compared = list(columns)
    if fetch_value(connection, f"SELECT count(*) FROM {names}") <= _FEW_NAMES:
        for each in reversed(columns):
            rest = [one for one in compared if one != each]
            if rest and differ(rest):
                compared = rest
    return " AND ".join(f"checked.{each} IS NOT DISTINCT FROM {names}.{each}" for each in compared)


def _refusal(
    chosen: list[Selection],
    member: int,
    place: int,
    column: str,
    value: str,
    expected: str,
    *,
    low: float | None,
    high: float | None,
    metric: Metric,
) -> str:
    """Return why the file is refused, in one line."""
    part = chosen[member]
    theirs = part.theirs.get(column, column)
    label = column if theirs == column else f"{theirs} (as {column})"
    what = "correct it"
    seen = ""
    if column == "score" and value.strip().endswith("%"):
        what = "write a share such as 0.85 for 85%"
    elif column == "score" and low is not None and high is not None:
        seen = f"; the column goes from {low:g} to {high:g}"
        if low < metric.low or high > metric.high:
            what = "state its scale with --scale LOW HIGH"
            what += ", 0 100 if it is a percentage" if 1 < high <= 100 and low >= 0 else ""
    elif column == "passed":
        what = "use `kind` for attempts that broke off"
    if len(value) > 80:
        value = value[:77] + "..."
    return f"{part.name}: expected {expected} in row {place}, got {label}={value!r}{seen}: {what}"


def _near_names(connection: "DuckDBPyConnection") -> tuple[str, ...]:
    """Warn of ids that differ as ``1`` and ``1.0`` do, in this file or beside the history's."""
    rows = fetch(connection, "near_names")
    if not rows:
        return ()
    benchmark, whole, point = rows[0]
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return (
        f"{benchmark} has tasks {whole!r} and {point!r}{more}, which are kept apart:"
        " if they are one, write their ids as text in every file",
    )


def table_format(path: Path) -> TableFormat | None:
    """Return the format of a file of rows by its name, ``.gz`` aside; None if it has none."""
    return format_of(shown(Path(path.name)))


def read_table(table: Table) -> Iterator[Record]:
    """Yield the rows of a file as records; all are checked before the first.

    Raises
    ------
    UnreadableSourceError
        The file is truncated, lacks a column, or holds a value that cannot be read.
    """
    connection = connect_in_memory()
    try:
        stage_table(connection, table, source_id=0)
        rows = connection.execute(
            "SELECT benchmark, task_id, agent, score, passed, kind, attempt, run_id, model,"
            " scaffold, agent_version, settings, harness, harness_version, started, cost_usd,"
            " tokens, duration_s, run_cost_usd, task_digest, source_key"
            " FROM incoming JOIN incoming_runs USING (run)"
            " JOIN (SELECT task, task_id, task_digest FROM incoming_tasks) USING (task)"
            " ORDER BY incoming.place"
        )
        while chunk := rows.fetchmany(10_000):
            for row in dicts_of(rows, chunk):
                row["kind"] = OUTCOME_KINDS[row["kind"]]
                row["settings"] = {"settings": row["settings"]} if row["settings"] else {}
                yield Record(**row, metric=table.metric)
    finally:
        connection.close()


def known_format(path: Path) -> TableFormat:
    """Return the format of a file of rows.

    Raises
    ------
    InputError
        Its name ends in none that is known.
    """
    known = table_format(path)
    if known is None:
        msg = f"expected a file that ends in {', '.join(FORMATS)}, got {path}: rename or convert it"
        raise InputError(msg)
    return known
