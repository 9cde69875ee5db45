"""Files of rows (CSV, JSONL, Parquet): which columns they may have and how they are checked."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from midband_history._errors import InputError, OutOfRangeError, UnreadableSourceError
from midband_history._metric import Metric
from midband_history._records import OUTCOME_KINDS, UNKNOWN_METRIC
from midband_history._sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TableFormat = Literal["csv", "jsonl", "parquet"]

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
_TEXTS = (
    "benchmark",
    "task_id",
    "agent",
    "model",
    "scaffold",
    "agent_version",
    "settings",
    "run_id",
    "harness",
    "harness_version",
    "kind",
    "task_digest",
    "source_key",
)
_AMOUNTS = ("cost_usd", "tokens", "duration_s", "run_cost_usd")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file of rows, one an attempt.

    Parameters
    ----------
    path : Path
    format : {"csv", "jsonl", "parquet"}
    benchmark : str, optional
        Overrides the column of that name, and stands in for it.
    columns : mapping of str to str
        The file's own column names to those of `TABLE_COLUMNS`, where they differ.
    only : str, optional
        Keep only the rows of this benchmark.
    metric : Metric
        What the scores are scores of, and their scale.
    """

    path: Path
    format: TableFormat
    benchmark: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None
    metric: Metric = UNKNOWN_METRIC

    def __post_init__(self) -> None:
        for theirs, ours in self.columns.items():
            if ours not in TABLE_COLUMNS:
                msg = (
                    f"expected a column of midband in {theirs}={ours}, got {ours!r}:"
                    f" choose from {', '.join(TABLE_COLUMNS)}"
                )
                raise InputError(msg)


def stage_table(
    connection: "DuckDBPyConnection", table: Table, *, source_id: int
) -> tuple[str, ...]:
    """Fill the staging table ``incoming`` with the rows of a file; return what is left out.

    Raises
    ------
    UnreadableSourceError
        The file cannot be read to its end, lacks a column, or holds a value out of range. The
        message names the file, and the first row in question, counted from 1.
    """
    import duckdb

    try:
        relation, found = _scan(connection, table)
        theirs = _their_columns(table, found)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE raw AS {_select(table, relation, theirs)}"
        )
    except duckdb.Error as error:
        reason = _cause(error)
        msg = f"{table.path}: expected a whole {table.format} file, got: {reason}"
        raise UnreadableSourceError(msg) from error
    _check(connection, table)
    connection.execute(statement("stage"))
    connection.execute(
        statement("stage_raw"), {"source_id": source_id, "kinds": list(OUTCOME_KINDS)}
    )
    row = connection.execute("SELECT count(*) FROM incoming WHERE kind = 4").fetchone()
    connection.execute("DROP TABLE raw")
    if row and row[0]:
        return (f"{row[0]} rows have no score: kept as missing, outside every rate",)
    return ()


def read_header(path: Path) -> tuple[list[str], str]:
    """Return the column names of a CSV file and its delimiter: comma, tab or semicolon."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: expected a text file of columns, got: {error}"
        raise UnreadableSourceError(msg) from error
    delimiter = max(",\t;", key=first.count)
    return next(csv.reader([first.rstrip("\r\n")], delimiter=delimiter), []), delimiter


def _scan(connection: "DuckDBPyConnection", table: Table) -> tuple[str, list[str]]:
    """Return SQL that reads the file, and the columns that it has."""
    path = _quoted(str(table.path))
    if table.format == "parquet":
        relation = f"read_parquet({path})"
    elif table.format == "csv":
        names, delimiter = read_header(table.path)
        if not names or len(set(names)) != len(names) or "" in names:
            msg = f"{table.path}: expected a header line of distinct column names, got {names}"
            raise UnreadableSourceError(msg)
        typed = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in names)
        return (
            f"read_csv({path}, auto_detect = false, header = true, delim = {_quoted(delimiter)},"
            f" quote = '\"', escape = '\"', columns = {{{typed}}})",
            names,
        )
    else:
        relation = f"read_json({path}, format = 'newline_delimited', sample_size = -1)"
    names = [str(row[0]) for row in connection.execute(f"DESCRIBE FROM {relation}").fetchall()]
    if table.format == "jsonl":
        typed = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in names)
        relation = f"read_json({path}, format = 'newline_delimited', columns = {{{typed}}})"
    return relation, names


def _their_columns(table: Table, found: list[str]) -> dict[str, str]:
    """Return which column of the file holds which of ours."""
    missing = [theirs for theirs in table.columns if theirs not in found]
    if missing:
        msg = (
            f"{table.path}: expected a column {missing[0]!r}, got {_few(found)}:"
            " correct the mapping"
        )
        raise UnreadableSourceError(msg)
    mapped = {ours: theirs for theirs, ours in table.columns.items()}
    taken = set(table.columns)
    for name in found:
        if name in TABLE_COLUMNS and name not in taken:
            mapped.setdefault(name, name)
    needed = ["task_id", "agent"] + ([] if table.benchmark else ["benchmark"])
    for name in needed:
        if name not in mapped:
            way = (
                "--map theirs=benchmark or --benchmark"
                if name == "benchmark"
                else f"--map theirs={name}"
            )
            msg = (
                f"{table.path}: expected a column {name!r}, got {_few(found)}:"
                f" say which one it is with {way}"
            )
            raise UnreadableSourceError(msg)
    if not {"score", "passed", "kind"} & set(mapped):
        msg = (
            f"{table.path}: expected a column 'score' or 'passed', got {_few(found)}:"
            " say which one it is with --map theirs=score"
        )
        raise UnreadableSourceError(msg)
    return mapped


def _select(table: Table, relation: str, theirs: Mapping[str, str]) -> str:
    """Return SQL that reads the file into texts and numbers, with what cannot be read marked."""

    def text(ours: str) -> str:
        if ours not in theirs:
            return "CAST(NULL AS VARCHAR)"
        return f"nullif(trim(CAST({_name(theirs[ours])} AS VARCHAR)), '')"

    parts = ["row_number() OVER () AS place"]
    parts += [
        f"coalesce({text(ours)}, '') AS {ours}"
        for ours in _TEXTS
        if not (ours == "benchmark" and table.benchmark)
    ]
    if table.benchmark:
        parts.append(f"{_quoted(table.benchmark)} AS benchmark")
    for ours in ("score", *_AMOUNTS):
        parts.append(f"{text(ours)} AS {ours}_text, try_cast({ours}_text AS DOUBLE) AS {ours}")
    parts += [
        f"{text('passed')} AS passed_text, try_cast(passed_text AS BOOLEAN) AS passed",
        f"{text('run_date')} AS run_date_text,"
        " try_cast(run_date_text AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS started",
        f"{text('attempt')} AS attempt_text, try_cast(attempt_text AS INTEGER) AS attempt",
    ]
    only = f" WHERE {text('benchmark')} = {_quoted(table.only)}" if table.only else ""
    return f"SELECT {', '.join(parts)} FROM {relation}{only}"


def _check(connection: "DuckDBPyConnection", table: Table) -> None:
    """Refuse the file at its first value that cannot be read, rather than guess."""
    row = connection.execute(
        statement("check_raw"),
        {"kinds": list(OUTCOME_KINDS), "low": table.metric.low, "high": table.metric.high},
    ).fetchone()
    if row is None:
        return
    place, column, value, expected = row
    if column == "range":
        low, high, benchmarks = connection.execute(
            "SELECT min(score), max(score), list(DISTINCT benchmark) FROM raw"
            " WHERE score IS NOT NULL AND NOT isnan(score)"
        ).fetchall()[0]
        msg = (
            f"{table.path}: expected {expected} in row {place}, got score={value!r}, and values"
            f" from {low:g} to {high:g} in all: state the scale with --scale LOW HIGH,"
            " or correct it"
        )
        raise OutOfRangeError(msg, benchmarks=benchmarks, low=low, high=high)
    msg = f"{table.path}: expected {expected} in row {place}, got {column}={value!r}: correct it"
    raise UnreadableSourceError(msg)


def _few(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _cause(error: Exception) -> str:
    """Return what DuckDB says is wrong, without its query and its advice on options."""
    text = " ".join(str(error).split())
    for tail in (" LINE 1:", " Possible fixes", " Possible solutions", " Candidates"):
        text = text.partition(tail)[0]
    return text[:200].rstrip()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
