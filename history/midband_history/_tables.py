"""Files of rows (CSV, JSONL, JSON, Parquet): which columns they may have, and their checks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from midband_history._archives import TableFormat, opened, shown
from midband_history._errors import (
    InputError,
    OutOfRangeError,
    StoreError,
    UnreadableSourceError,
)
from midband_history._limits import FIRST_YEAR, LAST_YEAR, LIMITS
from midband_history._metric import Metric
from midband_history._names import clean_id
from midband_history._records import OUTCOME_KINDS, UNKNOWN_METRIC
from midband_history._scanning import cause
from midband_history._selecting import NUMBERS, Selection, select_member
from midband_history._sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Wide = Literal["tasks", "agents"]

TABLE_COLUMNS: Mapping[str, str] = {
    "benchmark": "name of the benchmark; may be given as an option instead",
    "task_id": "the task, required; numbers are kept as text",
    "agent": "name of the agent, required",
    "score": "in [0, 1]; this or `passed` or `kind` is required; empty or NaN is no information",
    "passed": "whether the attempt counts as a success; by default score >= 1",
    "kind": f"one of {', '.join(OUTCOME_KINDS)}; by default valid where there is a score",
    "attempt": "number of the attempt within its run, from 0; by default counted down the file",
    "run_id": "names one run of one agent",
    "run_date": "when the run started, ISO date or time, UTC unless it says otherwise",
    "model": "the model within the agent",
    "scaffold": "what is around the model",
    "agent_version": "version of the agent",
    "settings": "what else sets two agents of one name apart, as text",
    "harness": "what ran it",
    "harness_version": "version of the harness",
    "cost_usd": "cost of the attempt in US dollars",
    "tokens": "tokens of the attempt",
    "duration_s": "duration of the attempt in seconds",
    "run_cost_usd": "cost of the whole run in US dollars",
    "task_digest": "digest of the task's content",
    "source_key": "the harness's own unique id of the attempt",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file of rows, one an attempt, or a wide one with an attempt a cell.

    Parameters
    ----------
    path : Path
        Read as it is named: no character in it is a pattern, and no directory a column. It may be
        compressed with gzip.
    format : {"csv", "jsonl", "json", "parquet", "zip"}
        "json" is one array of objects; "zip" an archive of files of the other formats.
    benchmark : str, optional
        Overrides the column of that name, and stands in for it.
    columns : mapping of str to str
        The file's own column names to those of `TABLE_COLUMNS`, where they differ.
    only : str, optional
        Keep only the rows of this benchmark.
    agent : str, optional
        The one agent of the file; a file that names several is refused. Where neither this nor a
        column names the agent, it is the file's name without its ending.
    model, scaffold : str, optional
        Override the column of that name, and stand in for it.
    wide : {"tasks", "agents"}, optional
        What is in the rows of a table whose every other column is one of the other kind, with a
        score in every cell. An empty cell is a task that was not run.
    metric : Metric
        What the scores are scores of, and their scale. If it has the name of a column that is
        mapped to nothing, the scores are read from there.
    version : str
        The version of the benchmark that was run; empty if unknown.
    errors_fail : bool
        Whether infrastructure and grader errors get the worst score instead of none.
    """

    path: Path
    format: TableFormat
    benchmark: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None
    agent: str | None = None
    model: str | None = None
    scaffold: str | None = None
    wide: Wide | None = None
    metric: Metric = UNKNOWN_METRIC
    version: str = ""
    errors_fail: bool = False

    def __post_init__(self) -> None:
        for theirs, ours in self.columns.items():
            if ours not in TABLE_COLUMNS:
                msg = (
                    f"expected a column of midband in {theirs}={ours}, got {ours!r}:"
                    f" choose from {', '.join(TABLE_COLUMNS)}"
                )
                raise InputError(msg)
        for name in ("benchmark", "agent"):
            given = getattr(self, name)
            if given is not None and not clean_id(given):
                msg = f"expected a name for --{name}, got {given!r}: name it or leave it out"
                raise InputError(msg)
        if self.wide not in (None, "tasks", "agents"):
            msg = f"expected --wide tasks or --wide agents, got {self.wide!r}: say what a row is"
            raise InputError(msg)
        if self.wide and self.agent is not None:
            msg = (
                f"expected --agent or --wide, got --agent {self.agent} with --wide {self.wide}:"
                " a wide table names its agents"
            )
            raise InputError(msg)

    @property
    def overrides(self) -> dict[str, str]:
        """Columns of ours with the one value that holds for every row."""
        given = {
            "benchmark": self.benchmark,
            "agent": self.agent,
            "model": self.model,
            "scaffold": self.scaffold,
        }
        return {name: clean_id(value) for name, value in given.items() if value is not None}


def stage_table(
    connection: "DuckDBPyConnection", table: Table, *, source_id: int
) -> tuple[str, ...]:
    """Fill the staging table ``incoming`` with the rows of a file; return what is left out.

    The file is read twice, to check it and to take it in, so that it is never held whole.

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
                select_member(
                    connection,
                    member,
                    number=number,
                    columns=table.columns,
                    overrides=table.overrides,
                    wide=table.wide,
                    only=table.only,
                    scale=(table.metric.low, table.metric.high),
                    metric=table.metric.label,
                )
                for number, member in enumerate(members)
            ]
            parts = " UNION ALL BY NAME ".join(part.sql for part in chosen)
            connection.execute(f"CREATE OR REPLACE TEMP VIEW raw AS {parts}")
            notes += tuple(note for part in chosen for note in part.notes)
            notes += _check(connection, table, chosen)
            connection.execute(statement("stage"))
            worst, best = table.metric.low, table.metric.high
            if table.metric.lower_is_better:
                worst, best = best, worst
            bound = {"kinds": list(OUTCOME_KINDS), "worst": worst, "best": best}
            said = {"version": clean_id(table.version), "errors_fail": table.errors_fail}
            connection.execute(
                statement("stage_raw"), {"source_id": source_id, **bound, **said, **_LIMITS}
            )
        except duckdb.OutOfMemoryException as error:
            msg = f"expected room for {shown(table.path)}, got: {cause(error)}: free some"
            raise StoreError(msg) from error
        except duckdb.Error as error:
            kind = {"zip": "archive of"}.get(table.format, table.format)
            msg = f"{shown(table.path)}: expected a whole {kind} file, got: {cause(error)}"
            raise UnreadableSourceError(msg) from error
    for view in ("numbered", "raw"):
        connection.execute(f"DROP VIEW {view}")
    return (*notes, *_near_names(connection))


_LIMITS = {
    **{f"most_{name}": most for name, most in LIMITS.items()},
    "first_date": f"{FIRST_YEAR}-01-01",
    "last_date": f"{LAST_YEAR}-01-01",
}


def _check(
    connection: "DuckDBPyConnection", table: Table, chosen: list[Selection]
) -> tuple[str, ...]:
    """Refuse the file at its first value that cannot be read; return what counts as unknown."""
    metric = table.metric
    kinds = {"kinds": list(OUTCOME_KINDS), "low": metric.low, "high": metric.high}
    faults, unnumbered, missing, low, high, dates, *amounts = connection.execute(
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
    numbered = "number_attempts" if unnumbered else "numbered"
    connection.execute(statement(numbered))
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
    return tuple(notes)


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
    rows = connection.execute(statement("near_names")).fetchall()
    if not rows:
        return ()
    benchmark, whole, point = rows[0]
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return (
        f"{benchmark} has tasks {whole!r} and {point!r}{more}, which are kept apart:"
        " if they are one, write their ids as text in every file",
    )
