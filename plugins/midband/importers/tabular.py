"""Files of rows, one an attempt: CSV, JSONL and Parquet with the columns of `TABLE_COLUMNS`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from midband._descriptors import Importer, ReadOptions
from midband.hookspecs import hookimpl
from midband.importers._reading import with_scale
from midband_history import Metric, Record, Table, UnreadableSourceError, read_table, table_format

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="tabular",
            sniff=sniff,
            read=read,
            suffixes=SUFFIXES,
            summary="Rows of attempts: CSV, TSV, JSONL, Parquet; --map theirs=ours names columns.",
            table=open_table,
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file is named like one of rows; what is in it shows when it is read."""
    return table_format(path) is not None and path.is_file()


def open_table(path: Path, *, options: ReadOptions) -> Table:
    """Describe a file of rows by its ending; one of an unknown ending is taken for CSV."""
    if not path.is_file():
        msg = f"{path}: expected a file of rows, got none of that name: check the path"
        raise UnreadableSourceError(msg)
    if path.stat().st_size == 0:
        msg = f"{path}: expected rows, got an empty file: export it again"
        raise UnreadableSourceError(msg)
    return Table(
        path=path,
        format=table_format(path) or "csv",
        benchmark=options.benchmark,
        columns=options.columns,
        metric=with_scale(Metric(), options),
    )


def read(path: Path, *, options: ReadOptions) -> Iterator[Record]:
    """Yield a record a row; all rows are checked before the first is yielded.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        `columns` maps the file's own column names to those of `midband_history.TABLE_COLUMNS`.

    Raises
    ------
    UnreadableSourceError
        The file is truncated, lacks a column, or holds a value that cannot be read.
    """
    yield from read_table(open_table(path, options=options))
