"""Result files in, records out: which importer reads which file of the paths given."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from midband._manager import choose, get_plugin_manager
from midband_history import UnreadableSourceError

if TYPE_CHECKING:
    from midband._descriptors import Importer
    from midband_history import Record


def read_records(
    paths: Sequence[Path],
    *,
    format_name: str | None = None,
    benchmark: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> "Iterator[Record]":
    """Yield the records of files and of what directories hold, without a history.

    Parameters
    ----------
    paths : sequence of Path
        A file that no importer knows is an error where it is named, and passed over where it
        only lies in a directory.
    format_name : str, optional
        The importer; sniffed by default.
    benchmark : str, optional
        Overrides the benchmark that the sources name.
    columns : mapping, optional
        The source's own column names to midband's.
    """
    for path, importer in find_sources(paths, format_name=format_name):
        yield from importer.read(path, benchmark=benchmark, columns=columns or {})


def find_sources(
    paths: Sequence[Path], *, format_name: str | None = None
) -> "Iterator[tuple[Path, Importer]]":
    """Yield each result file with its importer, sorted by path within a directory."""
    importers = get_plugin_manager().importers()
    if format_name is not None:
        importers = {format_name: choose(importers, format_name, kind="--format")}
    for path in paths:
        found = _sniffed(path, importers)
        if found is not None:
            yield path, found
        elif path.is_dir():
            for inner in sorted(path.rglob("*")):
                inside = _sniffed(inner, importers)
                if inner.is_file() and inside is not None:
                    yield inner, inside
        elif format_name is not None:
            yield path, importers[format_name]
        else:
            msg = (
                f"expected one of the formats {', '.join(sorted(importers))}, got something else"
                f" in {path}: name its format with --format"
            )
            raise UnreadableSourceError(msg)


def _sniffed(path: Path, importers: "Mapping[str, Importer]") -> "Importer | None":
    return next((each for each in importers.values() if each.sniff(path)), None)
