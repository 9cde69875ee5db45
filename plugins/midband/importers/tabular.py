"""Files of rows, one an attempt: CSV, JSONL and Parquet with the columns of `TABLE_COLUMNS`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from midband.adapters.files import head
from midband.descriptors import Importer, ReadOptions
from midband.hookspecs import hookimpl
from midband.importers.reading import with_scale
from midband_history import (
    Metric,
    Record,
    Table,
    UnreadableSourceError,
    members_of,
    read_table,
    table_format,
)

_PLAIN = (".csv", ".tsv", ".jsonl", ".ndjson")
SUFFIXES = (*_PLAIN, ".parquet", ".zip", *(f"{suffix}.gz" for suffix in _PLAIN), ".json.gz")


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="tabular",
            sniff=sniff,
            read=read,
            suffixes=SUFFIXES,
            summary="Rows of attempts: CSV, JSONL, JSON, Parquet, .gz, .zip; --map names columns.",
            table=open_table,
            version=2,
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file is named like one of rows; what is in it shows when it is read.

    A JSON file is one only if it begins as an array of objects, an archive if it holds files of
    rows.
    """
    found = table_format(path)
    if found is None or not path.is_file():
        return False
    if found == "zip":
        return bool(members_of(path))
    return found != "json" or path.name.lower().endswith(".gz") or head(path).startswith(b"[{")


def open_table(path: Path, *, options: ReadOptions) -> Table:
    """Describe a file of rows by its ending; one of an unknown ending is taken for CSV.

    A metric that is the name of a column is read from there.

    Raises
    ------
    UnreadableSourceError
        There is no such file, or it is empty.
    """
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
        agent=options.agent or None,
        model=options.model or None,
        scaffold=options.scaffold or None,
        wide=options.wide or None,
        metric=with_scale(Metric(), options),
        version=options.benchmark_version,
        errors_fail=options.errors == "failed",
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
