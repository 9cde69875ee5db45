"""Which column of a file holds which of ours, and SQL that turns them into texts and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midband_history._archives import Member
from midband_history._errors import UnreadableSourceError
from midband_history._names import clean_id
from midband_history._scanning import Scan, few, quoted, scan

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Names: one spelling each.
_NAMES = (
    "benchmark",
    "task_id",
    "agent",
    "model",
    "scaffold",
    "agent_version",
    "run_id",
    "harness",
    "harness_version",
)
_TEXTS = (*_NAMES, "settings", "kind", "task_digest", "source_key")
NUMBERS = ("score", "cost_usd", "tokens", "duration_s", "run_cost_usd")
COLUMNS = (*_TEXTS, *NUMBERS, "passed", "run_date", "attempt")
# What a row of a wide table may say of all its cells.
_OF_ROWS = (
    "benchmark",
    "scaffold",
    "agent_version",
    "settings",
    "run_id",
    "run_date",
    "harness",
    "harness_version",
)
_YES = ("true", "yes", "pass", "passed", "resolved", "solved", "success", "succeeded", "correct")
_NO = ("false", "no", "fail", "failed", "unresolved", "unsolved", "failure", "incorrect", "wrong")
_SHORT_YES = ("t", "y", "1", "1.0")
_SHORT_NO = ("f", "n", "0", "0.0")
_UNKNOWN = ("", "null", "none", "na", "n/a", "nan", "<na>")
# A file whose name says nothing of who ran it.
_PLAIN_STEMS = frozenset(
    (
        "all",
        "answers",
        "benchmark",
        "data",
        "eval",
        "evaluation",
        "evals",
        "export",
        "final",
        "log",
        "logs",
        "matrix",
        "metrics",
        "outcomes",
        "output",
        "outputs",
        "predictions",
        "records",
        "report",
        "result",
        "results",
        "rows",
        "run",
        "runs",
        "sample",
        "samples",
        "score",
        "scores",
        "summary",
        "table",
        "tasks",
        "test",
        "tests",
        "train",
        "trials",
        "validation",
    )
)
# A column of a wide table that sums up the others.
_SUMS = frozenset(
    ("all", "average", "avg", "global average", "mean", "overall", "score", "sum", "total")
)
_WHO = ("agent", "model", "llm", "system", "solver", "submission", "candidate", "method")
_NUMERIC = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "BOOLEAN", "HUGEINT")


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


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """SQL of one of our columns, and the type that it has in the file."""

    sql: str
    type: str = "VARCHAR"


def select_member(
    connection: "DuckDBPyConnection",
    member: Member,
    *,
    number: int,
    columns: Mapping[str, str],
    overrides: Mapping[str, str],
    wide: str | None,
    only: str | None,
    scale: tuple[float, float],
    metric: str = "",
) -> Selection:
    """Choose the columns of one file.

    Parameters
    ----------
    number : int
        Which of the files of an archive it is.
    columns, overrides, wide, only
        As in `Table`.
    scale : tuple of float
        The least and the greatest score.
    metric : str
        What the scores are scores of: a column of that name holds them, if none is mapped.

    Raises
    ------
    UnreadableSourceError
        A column that is needed is not there.
    duckdb.Error
        The file is not of its format.
    """
    found = scan(connection, member)
    for theirs in columns:
        if theirs not in found.types:
            msg = (
                f"{member.name}: expected a column {theirs!r}, got {few(list(found.types))}:"
                " correct the mapping"
            )
            raise UnreadableSourceError(msg)
    if wide is None:
        return _long(connection, found, number, columns, overrides, only, scale, metric)
    return _wide(connection, found, number, columns, overrides, only, wide, scale)


def _long(
    connection: "DuckDBPyConnection",
    found: Scan,
    number: int,
    columns: Mapping[str, str],
    overrides: Mapping[str, str],
    only: str | None,
    scale: tuple[float, float],
    metric: str,
) -> Selection:
    """Choose from a file with a row an attempt."""
    name = found.member.name
    theirs = {ours: column for column, ours in columns.items()}
    for column in found.types:
        if column in COLUMNS and column not in columns:
            theirs.setdefault(column, column)
    notes: tuple[str, ...] = ()
    overrides = dict(overrides)
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
        ours: _Cell(sql=found.column(column), type=found.types[column])
        for ours, column in theirs.items()
    }
    sql = _select(
        f"(SELECT *, row_number() OVER () AS midband_place FROM {relation})",
        cells,
        number=number,
        overrides=overrides,
        only=only,
        decimal_comma=found.delimiter == ";",
        scale=scale,
    )
    return Selection(name=name, sql=sql, theirs=theirs, notes=notes)


def _numeric(connection: "DuckDBPyConnection", found: Scan, *, taken: set[str]) -> list[str]:
    """Return the columns that begin with nothing but numbers, in the order of the file."""
    if not (free := [column for column in found.types if column not in taken]):
        return []
    cells = [_known(found.column(column)) for column in free]
    tests = ", ".join(
        f"count({cell}) > 0 AND count({cell}) = count(try_cast({cell} AS DOUBLE))" for cell in cells
    )
    relation = found.relation(set(found.types))
    row = connection.execute(f"SELECT {tests} FROM (FROM {relation} LIMIT 1000)").fetchone()
    return [column for column, is_number in zip(free, row or (), strict=True) if is_number]


def _wide(
    connection: "DuckDBPyConnection",
    found: Scan,
    number: int,
    columns: Mapping[str, str],
    overrides: Mapping[str, str],
    only: str | None,
    wide: str,
    scale: tuple[float, float],
) -> Selection:
    """Choose from a file with an attempt a cell."""
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
        f" WHERE {_known('midband_score')} IS NOT NULL)"
    )
    cells = {ours: _Cell(sql=f"midband_{ours}") for ours in (*theirs, cell, "score")}
    sql = _select(
        unpivoted,
        cells,
        number=number,
        overrides=overrides,
        only=only,
        decimal_comma=found.delimiter == ";",
        scale=scale,
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
    if only is None and counted and counted[0]:
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


def _select(
    relation: str,
    cells: Mapping[str, _Cell],
    *,
    number: int,
    overrides: Mapping[str, str],
    only: str | None,
    decimal_comma: bool,
    scale: tuple[float, float],
) -> str:
    """Return SQL that reads the file into texts and numbers, with what cannot be read marked."""

    def text(ours: str) -> str:
        if ours not in cells:
            return "CAST(NULL AS VARCHAR)"
        read = _trimmed(cells[ours].sql)
        return f"nfc_normalize({read})" if ours in _NAMES else read

    parts = [f"{number} AS member", "midband_place AS place"]
    for ours in _TEXTS:
        if ours in overrides:
            parts.append(f"{quoted(overrides[ours])} AS {ours}")
        else:
            parts.append(f"coalesce({text(ours)}, '') AS {ours}")
    for ours in NUMBERS:
        parts += _number(ours, cells.get(ours), decimal_comma=decimal_comma, scale=scale)
    passed = _known(cells["passed"].sql) if "passed" in cells else "CAST(NULL AS VARCHAR)"
    parts += [
        f"{passed} AS passed_text, {_word('passed_text', short=True)} AS passed",
        f"{text('run_date')} AS run_date_text, {_MOMENT} AS started",
        f"{text('attempt')} AS attempt_text, try_cast(attempt_text AS INTEGER) AS attempt",
    ]
    chosen = f" WHERE {text('benchmark')} = {quoted(only)}" if only else ""
    return f"SELECT {', '.join(parts)} FROM {relation}{chosen}"


# Files that pandas writes hold dates as seconds since 1970, or thousandths of them and smaller.
_MOMENT = (
    "CASE WHEN regexp_full_match(run_date_text, '\\d{10}(\\d{3}|\\d{6}|\\d{9})?')"
    " THEN make_timestamp(CAST(rpad(substr(run_date_text, 1, 16), 16, '0') AS BIGINT))"
    " ELSE try_cast(run_date_text AS TIMESTAMPTZ) AT TIME ZONE 'UTC' END"
)


def _number(
    ours: str, cell: _Cell | None, *, decimal_comma: bool, scale: tuple[float, float]
) -> list[str]:
    """Return SQL of a number and of its text, which is only kept where it may be at fault."""
    if cell is None:
        return [f"CAST(NULL AS VARCHAR) AS {ours}_text", f"CAST(NULL AS DOUBLE) AS {ours}"]
    if cell.type.startswith(_NUMERIC) and not cell.type.endswith("]"):
        number = f"CAST({cell.sql} AS DOUBLE)"
        fault = f"CASE WHEN NOT ({number} BETWEEN {scale[0]!r} AND {scale[1]!r})"
        fault += f" THEN CAST({cell.sql} AS VARCHAR) END"
        shown = fault if ours == "score" else "CAST(NULL AS VARCHAR)"
        return [f"{shown} AS {ours}_text", f"{number} AS {ours}"]
    text = _trimmed(cell.sql)
    read = text
    if decimal_comma:
        read = f"regexp_replace({text}, '^([+-]?\\d*),(\\d+)$', '\\1.\\2')"
    number = f"try_cast({read} AS DOUBLE)"
    # Words are only looked for where there is no number: most cells of most files are numbers.
    shown = f"CASE WHEN {number} IS NULL AND lower({text}) IN {_listed(_UNKNOWN)}"
    shown = f"{shown} THEN NULL ELSE {text} END"
    if ours == "score":
        number = f"coalesce({number}, CAST({_word(text, short=False)} AS DOUBLE))"
    return [f"{shown} AS {ours}_text", f"{number} AS {ours}"]


def _word(text: str, *, short: bool) -> str:
    """Return SQL of whether a text says yes or no."""
    yes = _YES + (_SHORT_YES if short else ())
    no = _NO + (_SHORT_NO if short else ())
    return (
        f"CASE WHEN lower({text}) IN {_listed(yes)} THEN true"
        f" WHEN lower({text}) IN {_listed(no)} THEN false END"
    )


def _known(column: str) -> str:
    """Return SQL of a text that is NULL where it says that nothing is known."""
    read = _trimmed(column)
    return f"CASE WHEN lower({read}) NOT IN {_listed(_UNKNOWN)} THEN {read} END"


def _trimmed(column: str) -> str:
    return f"nullif(trim(CAST({column} AS VARCHAR)), '')"


def _listed(words: tuple[str, ...]) -> str:
    return "(" + ", ".join(quoted(word) for word in words) + ")"
