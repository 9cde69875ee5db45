"""Files of rows: which columns they may have, and which column of a file holds which of ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from midband_history.archives import Member, TableFormat
from midband_history.connection import quoted
from midband_history.errors import InputError, UnreadableSourceError
from midband_history.metrics import UNKNOWN_METRIC, Metric
from midband_history.names import clean_id
from midband_history.records import OUTCOME_KINDS
from midband_history.scanning import (
    COLUMNS,
    Cell,
    Scan,
    few,
    known_text,
    scan,
    select_columns,
)

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
# What a row of a wide table may say of all its cells.
_OF_ROWS = (
    *("benchmark", "scaffold", "agent_version", "settings", "run_id", "run_date"),
    *("harness", "harness_version"),
)
# A file whose name says nothing of who ran it.
_PLAIN_STEMS = frozenset(
    re.findall(
        r"\w+",
        "all answers benchmark data eval evaluation evals export final log logs matrix "
        "metrics outcomes output outputs predictions records report result results rows run "
        "runs sample samples score scores summary table tasks test tests train trials "
        "validation",
    )
)
# A column of a wide table that sums up the others.
_SUMS = frozenset(
    ("all", "average", "avg", "global average", "mean", "overall", "score", "sum", "total")
)
_WHO = ("agent", "model", "llm", "system", "solver", "submission", "candidate", "method")


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


@dataclass(frozen=True, kw_only=True)
class Selection:
    """SQL that reads one file into the columns of ``raw``.

    Parameters
    ----------
    name : str
        What errors call the file.
    sql : str
    theirs : mapping of str to str
        Our columns to the file's own.
    notes : tuple of str
        What was assumed of the file, one sentence each.
    """

    name: str
    sql: str
    theirs: Mapping[str, str]
    notes: tuple[str, ...] = ()


def select_member(
    connection: "DuckDBPyConnection", member: Member, table: Table, *, number: int
) -> Selection:
    """Choose the columns of one file.

    Parameters
    ----------
    member : Member
        The file of the table, or one of those in its archive.
    number : int
        Which of the files of an archive it is.

    Raises
    ------
    UnreadableSourceError
        A column that is needed is not there.
    duckdb.Error
        The file is not of its format.
    """
    found = scan(connection, member)
    for theirs in table.columns:
        if theirs not in found.types:
            msg = (
                f"{member.name}: expected a column {theirs!r}, got {few(list(found.types))}:"
                " correct the mapping"
            )
            raise UnreadableSourceError(msg)
    choose = _long if table.wide is None else _wide
    return choose(connection, found, table, number)


def _long(connection: "DuckDBPyConnection", found: Scan, table: Table, number: int) -> Selection:
    """Choose from a file with a row an attempt."""
    name, columns, metric = found.member.name, table.columns, table.metric.label
    theirs = {ours: column for column, ours in columns.items()}
    for column in found.types:
        if column in COLUMNS and column not in columns:
            theirs.setdefault(column, column)
    notes: tuple[str, ...] = ()
    overrides = table.overrides
    if metric in found.types and metric not in columns and "score" not in columns.values():
        theirs = {ours: column for ours, column in theirs.items() if column != metric}
        theirs["score"] = metric
    if "task_id" not in theirs:
        raise _lacks(found, "task_id", "--map theirs=task_id")
    if metric and not {"score", "passed", "kind"} & set(theirs):
        numeric = few(_numeric(connection, found, taken=set(theirs.values()))) or "none"
        msg = (
            f"{name}: expected a column {metric!r} for --metric, got these with numbers: {numeric}:"
            " name one of them"
        )
        raise UnreadableSourceError(msg)
    if not {"score", "passed", "kind"} & set(theirs):
        msg = (
            f"{name}: expected a column 'score' or 'passed', got {few(list(found.types))}:"
            " say which one it is with --map theirs=score, or what its rows are with --wide"
        )
        raise UnreadableSourceError(msg)
    if "agent" not in theirs and "agent" not in overrides:
        notes = (_guess_agent(found, theirs, overrides, columns),)
    if "benchmark" not in theirs and "benchmark" not in overrides:
        raise _lacks(found, "benchmark", "--map theirs=benchmark or --benchmark")
    unread = [column for column in found.types if column not in theirs.values()]
    if unread:
        notes = (*notes, f"columns that are not read: {few(unread)}")
    relation = found.relation(set(theirs.values()))
    if "agent" in overrides and "agent" in theirs:
        _check_one_agent(connection, found, relation, theirs["agent"], overrides["agent"])
    cells = {
        ours: Cell(sql=found.column(column), type=found.types[column])
        for ours, column in theirs.items()
    }
    sql = select_columns(
        f"(SELECT *, row_number() OVER () AS midband_place FROM {relation})",
        cells,
        number=number,
        overrides=overrides,
        only=table.only,
        decimal_comma=found.delimiter == ";",
        scale=(table.metric.low, table.metric.high),
    )
    return Selection(name=name, sql=sql, theirs=theirs, notes=notes)


def _numeric(connection: "DuckDBPyConnection", found: Scan, *, taken: set[str]) -> list[str]:
    """Return the columns that begin with nothing but numbers, in the order of the file."""
    if not (free := [column for column in found.types if column not in taken]):
        return []
    cells = [known_text(found.column(column)) for column in free]
    tests = ", ".join(
        f"count({cell}) > 0 AND count({cell}) = count(try_cast({cell} AS DOUBLE))" for cell in cells
    )
    relation = found.relation(set(found.types))
    row = connection.execute(f"SELECT {tests} FROM (FROM {relation} LIMIT 1000)").fetchone()
    return [column for column, is_number in zip(free, row or (), strict=True) if is_number]


def _wide(connection: "DuckDBPyConnection", found: Scan, table: Table, number: int) -> Selection:
    """Choose from a file with an attempt a cell."""
    columns, overrides, wide = table.columns, table.overrides, table.wide
    row, cell = ("task_id", "agent") if wide == "tasks" else ("agent", "task_id")
    theirs = {ours: column for column, ours in columns.items()}
    wrong = sorted({cell, "score", "passed", "kind"} & set(theirs))
    if wrong:
        msg = (
            f"{found.member.name}: expected --map of the rows' {row} with --wide {wide}, got"
            f" {theirs[wrong[0]]}={wrong[0]}: the other columns hold the scores"
        )
        raise UnreadableSourceError(msg)
    if row not in theirs:
        theirs[row] = row if row in found.types else _first(found, columns)
    of_rows = (*_OF_ROWS, "task_digest" if wide == "tasks" else "model")
    taken = set(theirs.values())
    for column in found.types:
        if column in of_rows and column not in taken:
            theirs[column] = column
            taken.add(column)
    if "benchmark" not in theirs and "benchmark" not in overrides:
        raise _lacks(found, "benchmark", "--map theirs=benchmark or --benchmark")
    rest = [column for column in found.types if column not in taken]
    sums = [column for column in rest if column.strip().lower() in _SUMS]
    rest = [column for column in rest if column not in sums]
    if not rest:
        raise _lacks(found, cell, f"a wide table with a column for every {cell}")
    names = [clean_id(column) for column in rest]
    if len(set(names)) != len(names) or "" in names:
        msg = (
            f"{found.member.name}: expected columns of distinct names, got {few(rest)}:"
            " correct the first line"
        )
        raise UnreadableSourceError(msg)
    relation = found.relation(set(found.types))
    kept = ", ".join(
        f"CAST({found.column(column)} AS VARCHAR) AS midband_{ours}"
        for ours, column in theirs.items()
    )
    scores = ", ".join(
        f"CAST({found.column(column)} AS VARCHAR) AS midband_cell_{i}"
        for i, column in enumerate(rest)
    )
    cells_of = ", ".join(f"midband_cell_{i}" for i in range(len(rest)))
    listed = ", ".join(quoted(each) for each in names)
    unpivoted = (
        f"(SELECT *, list_extract([{listed}], CAST(substr(midband_which, 14) AS INTEGER) + 1)"
        f" AS midband_{cell} FROM (UNPIVOT (SELECT row_number() OVER () AS midband_place,"
        f" {kept}, {scores} FROM {relation}) ON {cells_of}"
        f" INTO NAME midband_which VALUE midband_score)"
        f" WHERE {known_text('midband_score')} IS NOT NULL)"
    )
    cells = {ours: Cell(sql=f"midband_{ours}") for ours in (*theirs, cell, "score")}
    sql = select_columns(
        unpivoted,
        cells,
        number=number,
        overrides=overrides,
        only=table.only,
        decimal_comma=found.delimiter == ";",
        scale=(table.metric.low, table.metric.high),
    )
    counted = connection.execute(
        f"SELECT (SELECT count(*) FROM {relation}) * {len(rest)} - (SELECT count(*) FROM ({sql}))"
    ).fetchone()
    kept_back = ", ".join(map(repr, theirs.values()))
    notes = [
        f"{len(rest)} columns are taken for {cell.removesuffix('_id')}s, all but {kept_back}:"
        f" {few(rest)}"
    ]
    if sums:
        notes.append(f"left out {few(sums)}: taken for sums of the other columns")
    if table.only is None and counted and counted[0]:
        notes.append(f"{counted[0]} cells are empty: taken as not run")
    return Selection(name=found.member.name, sql=sql, theirs=theirs, notes=tuple(notes))


def _first(found: Scan, columns: Mapping[str, str]) -> str:
    """Return the first column that is not mapped to another."""
    for column in found.types:
        if column not in columns:
            return column
    raise _lacks(found, "task_id", "--map theirs=task_id")


def _guess_agent(
    found: Scan, theirs: dict[str, str], overrides: dict[str, str], columns: Mapping[str, str]
) -> str:
    """Name the agent of a file that does not: by its model, or by the file; say which."""
    if "model" in theirs:
        theirs["agent"] = theirs["model"]
        return f"the agents are named by the column {theirs['model']!r}: --map or --agent differs"
    for column in found.types:
        if column not in columns and any(word in column.lower() for word in _WHO):
            raise _lacks(found, "agent", f"--map {column}=agent, or name it with --agent")
    stem = clean_id(found.member.stem)
    if not stem or stem.lower() in _PLAIN_STEMS:
        raise _lacks(found, "agent", "--map theirs=agent, or name it with --agent")
    overrides["agent"] = stem
    return f"the agent is named after the file, {stem!r}: name another with --agent"


def _check_one_agent(
    connection: "DuckDBPyConnection", found: Scan, relation: str, column: str, agent: str
) -> None:
    name = f"{found.column(column)}"
    held = connection.execute(f"SELECT DISTINCT {name} FROM {relation} LIMIT 2").fetchall()
    if len(held) > 1:
        msg = (
            f"{found.member.name}: expected one agent for --agent {agent}, got {held[0][0]!r} and"
            f" {held[1][0]!r} in column {column!r}: leave --agent out"
        )
        raise UnreadableSourceError(msg)


def _lacks(found: Scan, name: str, way: str) -> UnreadableSourceError:
    return UnreadableSourceError(
        f"{found.member.name}: expected a column {name!r}, got {few(list(found.types))}:"
        f" say which one it is with {way}"
    )
