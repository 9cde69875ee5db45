"""Matrices straight from a file of rows, without a history: what studies read."""

from collections.abc import Iterator
from pathlib import Path

from midband_history._archives import FORMATS, TableFormat, format_of, shown
from midband_history._connection import connect
from midband_history._errors import InputError, UnknownBenchmarkError, nearest
from midband_history._matrix import OutcomeMatrix
from midband_history._records import OUTCOME_KINDS, Record
from midband_history._store import History
from midband_history._tables import Table, stage_table


def table_format(path: Path) -> TableFormat | None:
    """Return the format of a file of rows by its name, ``.gz`` aside; None if it has none."""
    return format_of(shown(Path(path.name)))


def read_matrix(path: Path | str, benchmark: str) -> OutcomeMatrix:
    """Read one benchmark of a Parquet, CSV or JSONL file with the columns of `TABLE_COLUMNS`.

    Raises
    ------
    UnreadableSourceError
        The file cannot be read.
    UnknownBenchmarkError
        It does not hold the benchmark.
    """
    path = Path(path)
    with History.in_memory() as history:
        history.add_table(Table(path=path, format=_known_format(path), only=benchmark))
        if not history.benchmarks():
            held = nearest(benchmark, list_benchmarks(path))
            msg = f"expected a benchmark of {path}, got {benchmark!r}: it holds {held}"
            raise UnknownBenchmarkError(msg)
        return history.outcomes(benchmark)


def read_table(table: Table) -> Iterator[Record]:
    """Yield the rows of a file as records; all are checked before the first.

    Raises
    ------
    UnreadableSourceError
        The file is truncated, lacks a column, or holds a value that cannot be read.
    """
    connection = connect(None, read_only=False)
    try:
        stage_table(connection, table, source_id=0)
        rows = connection.execute(
            "SELECT * EXCLUDE (source_id, metric, part, version, whole, scored, said)"
            " FROM incoming ORDER BY rowid"
        )
        names = [str(column[0]) for column in rows.description or ()]
        while chunk := rows.fetchmany(10_000):
            for row in chunk:
                values = dict(zip(names, row, strict=True))
                settings = values.pop("settings")
                values["kind"] = OUTCOME_KINDS[values["kind"]]
                yield Record(
                    **values,
                    metric=table.metric,
                    settings={"settings": settings} if settings else {},
                )
    finally:
        connection.close()


def list_benchmarks(path: Path) -> list[str]:
    """Return the names of the benchmarks in a file of rows, sorted."""
    with History.in_memory() as history:
        history.add_table(Table(path=path, format=_known_format(path)))
        return [summary.name for summary in history.benchmarks()]


def _known_format(path: Path) -> TableFormat:
    known = table_format(path)
    if known is None:
        msg = f"expected a file that ends in {', '.join(FORMATS)}, got {path}: rename or convert it"
        raise InputError(msg)
    return known
