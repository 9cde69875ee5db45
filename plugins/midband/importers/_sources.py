"""How results reach the history: every source as a whole or refused by name, and the rest go on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from midband.importers._discovery import Source, content_digest, path_text, survey
from midband_history import (
    TABLE_COLUMNS,
    AddReport,
    InputError,
    MidbandError,
    Record,
    StoreError,
    UnreadableSourceError,
)

if TYPE_CHECKING:
    from midband._descriptors import Importer
    from midband_history import History

Progress = Callable[[int, int, Path], None]
# Small sources share a transaction up to so many records or sources; a larger one has its own.
_BATCH_RECORDS = 20_000
_BATCH_SOURCES = 256
EMPTY = "no results of its own"


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """What became of one file or directory.

    Parameters
    ----------
    path : Path
    format : str
        Name of the importer; empty if none recognised it.
    added, duplicates : int
        Attempts that were new, and that the history held already.
    skipped : tuple of str
        What was kept outside every rate or left out, and why.
    known : bool
        Whether this very content had been imported before, so that it was not read again.
    error : str
        Why it was refused, on one line; empty if it was imported.
    """

    path: Path
    format: str = ""
    added: int = 0
    duplicates: int = 0
    skipped: tuple[str, ...] = ()
    known: bool = False
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What became of all files and directories, in order of path.

    Parameters
    ----------
    notes : tuple of str
        What was passed over in directories, and why: a hidden result, a broken link.
    """

    sources: tuple[SourceReport, ...]
    notes: tuple[str, ...] = ()

    @property
    def imported(self) -> int:
        """Sources that were imported, now or before."""
        return sum(not source.error for source in self.sources)

    @property
    def unchanged(self) -> int:
        """Sources among the imported of which nothing was new."""
        return sum(not source.error and source.added == 0 for source in self.sources)

    @property
    def refused(self) -> tuple[SourceReport, ...]:
        """Sources that were refused, each with its error."""
        return tuple(source for source in self.sources if source.error)

    @property
    def added(self) -> int:
        """Attempts that were new."""
        return sum(source.added for source in self.sources)

    @property
    def duplicates(self) -> int:
        """Attempts that the history held already, in sources that were read."""
        return sum(source.duplicates for source in self.sources)


def import_paths(
    history: "History",
    paths: Iterable[Path],
    importers: "Mapping[str, Importer] | None" = None,
    *,
    format: str | None = None,  # noqa: A002 - the name of the command's option
    benchmark: str | None = None,
    columns: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Add the results in files and directories to a history.

    A source is added as a whole or not at all; one that cannot be read is refused by name and the
    rest is imported. Importing the same again adds nothing.

    Parameters
    ----------
    history : History
        Open for writing.
    paths : iterable of Path
    importers : mapping of str to Importer, optional
        Those of all plugins by default.
    format : str, optional
        The importer to use, instead of the one that recognises a file.
    benchmark : str, optional
        Overrides the benchmark that a source names.
    columns : mapping of str to str, optional
        The source's own column names to midband's.
    progress : callable, optional
        Called after each source with how many are done, how many there are, and its path.

    Raises
    ------
    InputError
        `format` or `columns` names what there is not.
    StoreError
        The history cannot be written.
    """
    columns = check_columns(columns or {})
    sources, unrecognised = survey(list(paths), _importers(importers), format_name=format)
    run = _Run(history, benchmark, columns, len(sources), progress)
    for one in unrecognised:
        if not one.note:
            run.reports[one.path] = SourceReport(path=one.path, error=one.reason)
    fresh = run.not_known(sources)
    for _, group in groupby(fresh, key=lambda source: source.importer.name):
        run.take(list(group))
    run.flush()
    return ImportReport(
        sources=tuple(run.reports[path] for path in sorted(run.reports)),
        notes=tuple(one.reason for one in unrecognised if one.note),
    )


def check_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the columns, theirs to ours.

    Raises
    ------
    InputError
        One of ours is none of `TABLE_COLUMNS`.
    """
    for theirs, ours in columns.items():
        if ours not in TABLE_COLUMNS:
            msg = (
                f"expected a column of midband in {theirs}={ours}, got {ours!r}:"
                f" choose from {', '.join(TABLE_COLUMNS)}"
            )
            raise InputError(msg)
    return dict(columns)


def find_sources(
    paths: Sequence[Path],
    *,
    format_name: str | None = None,
    importers: "Mapping[str, Importer] | None" = None,
) -> list[Source]:
    """Find the sources among files and directories, for reading without a history.

    Raises
    ------
    UnreadableSourceError
        A file that was asked for by name is not recognised.
    """
    sources, unrecognised = survey(paths, _importers(importers), format_name=format_name)
    for one in unrecognised:
        if one.named:
            raise UnreadableSourceError(one.reason)
    return sources


def read_records(
    paths: Sequence[Path],
    *,
    format_name: str | None = None,
    benchmark: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """Yield the records of files and directories, without a history."""
    for source in find_sources(paths, format_name=format_name):
        yield from source.importer.read(source.path, benchmark=benchmark, columns=columns or {})


def _importers(importers: "Mapping[str, Importer] | None") -> "Mapping[str, Importer]":
    if importers is not None:
        return importers
    from midband._manager import get_plugin_manager

    return get_plugin_manager().importers()


@dataclass
class _Run:
    """One import under way: what is read and not yet added, and what became of the rest."""

    history: "History"
    benchmark: str | None
    columns: Mapping[str, str]
    total: int
    progress: Progress | None
    reports: dict[Path, SourceReport] = field(default_factory=dict)
    digests: dict[Path, str] = field(default_factory=dict)
    pending: list[tuple[Source, list[Record]]] = field(default_factory=list)
    done: int = 0

    def not_known(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources whose very content was not imported before and can be opened."""
        settings = (self.benchmark or "", repr(sorted(self.columns.items())))
        for source in sources:
            try:
                digest = content_digest(source.path, source.importer.name, *settings)
            except OSError as error:
                name = path_text(source.path)
                reason = f"{name}: expected a file to read, got: {error.strerror or error}"
                self.settle(source, SourceReport(path=source.path, error=reason))
            else:
                self.digests[source.path] = digest
        known = self.history.known_sources(self.digests.values())
        fresh = []
        for source in sources:
            if self.digests.get(source.path) in known:
                self.settle(source, SourceReport(path=source.path, known=True))
            elif source.path in self.digests:
                fresh.append(source)
        return fresh

    def take(self, sources: Sequence[Source]) -> None:
        """Read and add sources of one format."""
        importer = sources[0].importer
        if importer.read_many is not None:
            of_path = {source.path: source for source in sources}
            for path, found in importer.read_many(list(of_path), benchmark=self.benchmark):
                if isinstance(found, UnreadableSourceError):
                    self.refuse(of_path[path], found)
                else:
                    self.hold(of_path[path], found)
            return
        for source in sources:
            try:
                self.take_one(source)
            except StoreError:
                raise
            except Exception as error:  # one broken file or importer must not stop the rest
                self.refuse(source, error)

    def take_one(self, source: Source) -> None:
        """Read and add one source."""
        importer, path = source.importer, source.path
        name, digest = str(path), self.digests[path]
        if importer.table is not None:
            table = importer.table(path, benchmark=self.benchmark, columns=self.columns)
            report = self.history.add_table(table, source=name, source_digest=digest)
            self.settle(source, _added(source, report))
            return
        rest = iter(importer.read(path, benchmark=self.benchmark, columns=self.columns))
        first = list(islice(rest, _BATCH_RECORDS))
        if len(first) < _BATCH_RECORDS:
            self.hold(source, first)
            return
        report = self.history.add(chain(first, rest), source=name, source_digest=digest)
        self.settle(source, _added(source, report))

    def hold(self, source: Source, records: list[Record]) -> None:
        """Keep the records of a small source until there are enough to add them together."""
        self.pending.append((source, records))
        held = sum(len(records) for _, records in self.pending)
        if len(self.pending) >= _BATCH_SOURCES or held >= _BATCH_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Add what is held, in one transaction."""
        pending, self.pending = self.pending, []
        reports = self.history.add_sources(
            [(str(source.path), self.digests[source.path], records) for source, records in pending]
        )
        for (source, _), report in zip(pending, reports, strict=True):
            self.settle(source, _added(source, report))

    def refuse(self, source: Source, error: Exception) -> None:
        """Note why a source cannot be read."""
        reason = " ".join(str(error).split())
        if not isinstance(error, (MidbandError, OSError)):
            reason = f"importer {source.importer.name} failed, {type(error).__name__}: {reason}"
        name = path_text(source.path)
        reason = reason.replace(str(source.path), name)
        if name not in reason:
            reason = f"{name}: {reason}"
        self.settle(source, SourceReport(path=source.path, error=reason))

    def settle(self, source: Source, report: SourceReport) -> None:
        """Note what became of a source."""
        self.reports[source.path] = replace(report, format=source.importer.name)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, source.path)


def _added(source: Source, report: AddReport) -> SourceReport:
    skipped = report.skipped
    if not report.added and not report.duplicates:
        skipped = (*skipped, EMPTY)
    return SourceReport(
        path=source.path, added=report.added, duplicates=report.duplicates, skipped=skipped
    )
