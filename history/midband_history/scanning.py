"""How DuckDB reads a plain file of rows: its columns, and SQL that makes them texts and numbers."""

import csv
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history.archives import Member, shown
from midband_history.connection import quoted
from midband_history.errors import UnreadableSourceError
from midband_history.records import LIMITS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MOST_HEADER = 16 << 20
# DuckDB sets buffers of twice this size a thread aside, so the larger bound is only tried where
# the smaller is too small.
_OBJECT_BYTES = (16 << 20, 64 << 20)
_MOST_LINE = 2 << 20
_LONG_LINE = "a line of more than 2 MB: leave the long column out, or convert to JSONL or Parquet"
_TOO_LARGE = "maximum_object_size"
# Names: one spelling each.
_NAMES = (
    *("benchmark", "task_id", "agent", "model", "scaffold", "agent_version"),
    *("run_id", "harness", "harness_version"),
)
_TEXTS = (*_NAMES, "settings", "kind", "task_digest", "source_key")
NUMBERS = ("score", *LIMITS)
COLUMNS = (*_TEXTS, *NUMBERS, "passed", "run_date", "attempt")
_YES = ("true", "yes", "pass", "passed", "resolved", "solved", "success", "succeeded", "correct")
_NO = ("false", "no", "fail", "failed", "unresolved", "unsolved", "failure", "incorrect", "wrong")
_SHORT_YES = ("t", "y", "1", "1.0")
_SHORT_NO = ("f", "n", "0", "0.0")
_UNKNOWN = ("", "null", "none", "na", "n/a", "nan", "<na>")
_NUMERIC = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "BOOLEAN", "HUGEINT")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A file that DuckDB can read.

    Parameters
    ----------
    member : Member
    types : mapping of str to str
        The file's own column names, in its order, to DuckDB's types.
    delimiter : str
        Of a CSV file; empty for other formats.
    object_bytes : int
        The largest JSON object that is read.
    """

    member: Member
    types: Mapping[str, str]
    delimiter: str = ""
    object_bytes: int = _OBJECT_BYTES[0]

    def column(self, name: str) -> str:
        """Return SQL for one of the file's columns."""
        if self.member.format == "csv":  # names that differ by case alone are one name to DuckDB
            return f"c{list(self.types).index(name)}"
        return identifier(name)

    def relation(self, wanted: Collection[str]) -> str:
        """Return SQL that reads the file with at least the columns that are wanted."""
        path = quoted(str(self.member.path))
        if self.member.format == "parquet":
            return f"read_parquet({path}, hive_partitioning = false)"
        if self.member.format == "csv":
            typed = ", ".join(f"c{i}: 'VARCHAR'" for i in range(len(self.types)))
            return (
                f"read_csv({path}, auto_detect = false, header = true, hive_partitioning = false,"
                f" delim = {quoted(self.delimiter)}, quote = '\"', escape = '\"',"
                f" columns = {{{typed}}})"
            )
        typed = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in self.types if name in wanted)
        return f"read_json({path}, {_json_options(self)}, columns = {{{typed}}})"


def scan(connection: "DuckDBPyConnection", member: Member) -> Scan:
    """Look which columns a file has.

    Raises
    ------
    UnreadableSourceError
        It has no header of distinct names, or one that is not text.
    duckdb.Error
        It is not of its format.
    """
    import duckdb

    if member.format == "csv":
        names, delimiter = read_header(member.path, name=member.name)
        if not any(names) or len(set(names)) != len(names) or "" in names[1:]:
            msg = (
                f"{member.name}: expected a header line of distinct column names, got {few(names)}:"
                " correct the first line"
            )
            raise UnreadableSourceError(msg)
        _check_lines(member)
        return Scan(member=member, types=dict.fromkeys(names, "VARCHAR"), delimiter=delimiter)
    if member.format == "parquet":
        return Scan(
            member=member, types=_describe(connection, Scan(member=member, types={}).relation(()))
        )
    try:
        return _scan_json(connection, member, _OBJECT_BYTES[0])
    except duckdb.Error as error:
        if _TOO_LARGE not in str(error):
            raise
    return _scan_json(connection, member, _OBJECT_BYTES[1])


def read_header(path: Path, *, name: str = "") -> tuple[list[str], str]:
    """Return the column names of a CSV file and its delimiter: comma, tab or semicolon.

    Parameters
    ----------
    name : str
        What errors call the file; its path by default.
    """
    name = name or shown(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(_MOST_HEADER)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{name}: expected a text file of columns in UTF-8, got: {error}: save it as UTF-8"
        raise UnreadableSourceError(msg) from error
    if len(first) == _MOST_HEADER or "\0" in first:
        got = "a NUL byte" if "\0" in first else f"a line of more than {_MOST_HEADER:,} characters"
        msg = f"{name}: expected a header line of column names, got {got}: export it again"
        raise UnreadableSourceError(msg)
    delimiter = max(",\t;", key=first.count)
    try:
        names = next(csv.reader([first.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error as error:
        msg = f"{name}: expected a header line of column names, got: {error}: export it again"
        raise UnreadableSourceError(msg) from error
    return [each.strip() for each in names], delimiter


def _check_lines(member: Member) -> None:
    """Refuse a line without end: DuckDB drops one at the end of a large file without a word."""
    with member.path.open("rb") as file:
        while len(block := file.read(_MOST_LINE)) == _MOST_LINE:
            if b"\n" not in block and b"\r" not in block:
                msg = f"{member.name}: expected rows, got {_LONG_LINE}"
                raise UnreadableSourceError(msg)


# What stands before the name of a file in DuckDB's messages.
_DIRECTORIES = re.compile(r"(?<=file [\"'])(?:[A-Za-z]:)?[/\\][^\"']*[/\\](?=[^\"'/\\]+[\"'])")


def cause(error: Exception) -> str:
    """Return what DuckDB says is wrong, without its query, its advice on options and directories.

    The names of directories can be so long that nothing else would be left of the message.
    """
    text = _DIRECTORIES.sub("", " ".join(str(error).split()))
    if _TOO_LARGE in text:
        return f"an object of more than {_OBJECT_BYTES[-1] >> 20} MB"
    if "aximum line size" in text:
        return _LONG_LINE
    if "invalid state" in text:
        return "line ends or quotes that do not agree: use one kind of line end throughout"
    for tail in (" LINE 1:", " Possible fixes", " Possible solutions", " Possible Solution"):
        text = text.partition(tail)[0]
    for tail in (" Candidates", " Try "):
        text = text.partition(tail)[0]
    return text[:200].rstrip()


def identifier(name: str) -> str:
    """Return a name of a column as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def few(names: list[str]) -> str:
    """Return the first names of a list, each cut, for a message."""
    return ", ".join(name[:60] for name in names[:8]) + (", ..." if len(names) > 8 else "")


def _scan_json(connection: "DuckDBPyConnection", member: Member, size: int) -> Scan:
    """Look at the names of columns alone: their values may be nested without end."""
    relation = (
        f"read_json({quoted(str(member.path))},"
        f" {_json_options(Scan(member=member, types={}, object_bytes=size))},"
        " sample_size = -1, maximum_depth = 1)"
    )
    texts = dict.fromkeys(_describe(connection, relation), "VARCHAR")
    return Scan(member=member, types=texts, object_bytes=size)


def _json_options(scanned: Scan) -> str:
    layout = "array" if _starts_with_bracket(scanned.member.path) else "newline_delimited"
    return (
        f"format = '{layout}', hive_partitioning = false,"
        f" maximum_object_size = {scanned.object_bytes}"
    )


def _starts_with_bracket(path: Path) -> bool:
    with path.open("rb") as file:
        while block := file.read(4096):
            if text := block.lstrip():
                return text.startswith(b"[")
    return False


def _describe(connection: "DuckDBPyConnection", relation: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE FROM {relation}").fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """SQL of one of our columns, and the type that it has in the file."""

    sql: str
    type: str = "VARCHAR"


def select_columns(
    relation: str,
    cells: Mapping[str, Cell],
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
    passed = known_text(cells["passed"].sql) if "passed" in cells else "CAST(NULL AS VARCHAR)"
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
    ours: str, cell: Cell | None, *, decimal_comma: bool, scale: tuple[float, float]
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


def known_text(column: str) -> str:
    """Return SQL of a text that is NULL where it says that nothing is known."""
    read = _trimmed(column)
    return f"CASE WHEN lower({read}) NOT IN {_listed(_UNKNOWN)} THEN {read} END"


def _trimmed(column: str) -> str:
    return f"nullif(trim(CAST({column} AS VARCHAR)), '')"


def _listed(words: tuple[str, ...]) -> str:
    return "(" + ", ".join(quoted(word) for word in words) + ")"
