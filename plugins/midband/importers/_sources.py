"""How results reach the history: every source as a whole or refused by name, and the rest go on."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from midband._descriptors import ReadOptions
from midband.importers._discovery import (
    Source,
    content_digests,
    path_text,
    survey,
)
from midband.importers._reading import Reading, call_reader, checked, read_source
from midband_history import (
    TABLE_COLUMNS,
    AddReport,
    Counts,
    Incoming,
    InputError,
    MidbandError,
    Note,
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
NO_RESULTS = "no-results"


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """Result of importing one file or directory.

    Parameters
    ----------
    path : Path
    format : str
        Name of the importer; empty if none recognised it.
    added, duplicates : int
        Attempts that were new, and that the history held already.
    replaced : int
        Attempts that an earlier reading of this content had added and that were read anew.
    notes : tuple of Note
        What a reader of the results must know: what was left out, chosen or differs, and why.
    counts : tuple of Counts
        What the attempts are, for each benchmark, agent and metric.
    known : bool
        Whether this very content had been imported before, so that it was not read again.
    error : str
        Why it was refused, on one line; empty if it was imported.
    """

    path: Path
    format: str = ""
    added: int = 0
    duplicates: int = 0
    replaced: int = 0
    notes: tuple[Note, ...] = ()
    counts: tuple[Counts, ...] = ()
    known: bool = False
    error: str = ""

    @property
    def skipped(self) -> tuple[str, ...]:
        """The texts of the notes."""
        return tuple(note.text for note in self.notes)


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """Result of importing files and directories, in order of path.

    Parameters
    ----------
    sources : tuple of SourceReport
    notes : tuple of Note
        What was passed over in directories, and why: a hidden result, a broken link.
    """

    sources: tuple[SourceReport, ...]
    notes: tuple[Note, ...] = ()

    @property
    def imported(self) -> int:
        """Sources that were imported, now or before."""
        return sum(not source.error for source in self.sources)

    @property
    def unchanged(self) -> int:
        """Sources among the imported of which nothing was new."""
        return sum(
            not source.error and source.added == 0 and source.replaced == 0
            for source in self.sources
        )

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

    @property
    def replaced(self) -> int:
        """Attempts that were read anew."""
        return sum(source.replaced for source in self.sources)

    @property
    def counts(self) -> tuple[Counts, ...]:
        """What the attempts of all sources are, summed by benchmark, agent and metric."""
        sums: dict[tuple[str, str, str], Counts] = {}
        for one in (each for source in self.sources for each in source.counts):
            key = (one.benchmark, one.agent, one.metric)
            held = sums.get(key)
            sums[key] = one if held is None else _sum(held, one)
        return tuple(sums[key] for key in sorted(sums))


def _sum(one: Counts, two: Counts) -> Counts:
    numbers = ("valid", "passed", "errors", "unscored", "out_of_range")
    return replace(one, **{name: getattr(one, name) + getattr(two, name) for name in numbers})


def import_paths(
    history: "History",
    paths: Iterable[Path],
    importers: "Mapping[str, Importer] | None" = None,
    *,
    format: str | None = None,  # noqa: A002 - the name of the command's option
    options: ReadOptions | None = None,
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
    options : ReadOptions, optional
        What the person says about the sources.
    progress : callable, optional
        Called after each source with how many are done, how many there are, and its path.

    Raises
    ------
    InputError
        `format` or the columns of `options` name what there is not.
    StoreError
        The history cannot be written.
    """
    options = options or ReadOptions()
    check_columns(options.columns)
    sources, unrecognised = survey(list(paths), _importers(importers), format_name=format)
    run = _Run(history, options, len(sources), progress)
    for one in unrecognised:
        if not one.note:
            run.reports[one.path] = SourceReport(path=one.path, error=one.reason)
    fresh = run.not_known(sources)
    for _, group in groupby(fresh, key=lambda source: source.importer.name):
        run.take(list(group))
    run.flush()
    return ImportReport(
        sources=tuple(run.reports[path] for path in sorted(run.reports)),
        notes=tuple(Note(code="passed-over", text=one.reason) for one in unrecognised if one.note),
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
    options: ReadOptions | None = None,
    note: Callable[[Path, Note], None] | None = None,
) -> Iterator[Record]:
    """Yield the records of files and directories, without a history.

    Parameters
    ----------
    paths, format_name, options
        As for `import_paths`.
    note : callable, optional
        Called with the path and each note of a source.

    Raises
    ------
    UnreadableSourceError
        A source cannot be read, or its own aggregate cannot be reproduced.
    """
    for source in find_sources(paths, format_name=format_name):
        reading = Reading()
        yield from checked(
            source.path,
            read_source(source.importer, source.path, options or ReadOptions()),
            options or ReadOptions(),
            reading,
        )
        for each in reading.notes:
            if note is not None:
                note(source.path, each)


def _importers(importers: "Mapping[str, Importer] | None") -> "Mapping[str, Importer]":
    if importers is not None:
        return importers
    from midband._manager import get_plugin_manager

    return get_plugin_manager().importers()


@dataclass
class _Run:
    """One import under way: what is read and not yet added, and what became of the rest."""

    history: "History"
    options: ReadOptions
    total: int
    progress: Progress | None
    reports: dict[Path, SourceReport] = field(default_factory=dict)
    incoming: dict[Path, Incoming] = field(default_factory=dict)
    pending: list[tuple[Source, Incoming]] = field(default_factory=list)
    held: int = 0
    done: int = 0

    def not_known(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources whose content this version has not read before and that open."""
        for source in sources:
            try:
                self.incoming[source.path] = self._describe(source)
            except OSError as error:
                name = path_text(source.path)
                reason = f"{name}: expected a file to read, got: {error.strerror or error}"
                self.settle(source, SourceReport(path=source.path, error=reason))
        known = self.history.known_sources(one.digest for one in self.incoming.values())
        fresh = []
        for source in sources:
            described = self.incoming.get(source.path)
            if described is None:
                continue
            number, version = known.get(described.digest, (0, 0))
            if number and version >= source.importer.version:
                self.settle(source, SourceReport(path=source.path, known=True))
                continue
            others = self.history.readings_of(
                described.content,
                benchmark=self.options.benchmark or "",
                metric=self.options.metric,
            )
            described.replaces = tuple({*others, *([number] if number else [])})
            fresh.append(source)
        return fresh

    def _describe(self, source: Source) -> Incoming:
        named = (source.importer.name, *source.importer.former_names)
        content, digests = content_digests(
            source.path, [_salt(name, self.options) for name in named]
        )
        known = self.history.known_sources(digests)
        digest = next((each for each in digests if each in known), digests[0])
        return Incoming(
            name=path_text(source.path),
            digest=digest,
            content=content,
            reader=source.importer.name,
            reader_version=source.importer.version,
            options=_said(self.options),
        )

    def take(self, sources: Sequence[Source]) -> None:
        """Read and add sources of one format."""
        importer = sources[0].importer
        if importer.read_many is not None:
            of_path = {source.path: source for source in sources}
            readings = call_reader(importer.read_many, list(of_path), self.options)
            for path, found in readings:
                if isinstance(found, UnreadableSourceError):
                    self.refuse(of_path[path], found)
                else:
                    self.guard(of_path[path], partial(self.hold, of_path[path], found))
            return
        for source in sources:
            self.guard(source, partial(self.take_one, source))

    def guard(self, source: Source, step: Callable[[], None]) -> None:
        """Carry out one step; a broken file or importer must not stop the rest."""
        try:
            step()
        except StoreError:
            raise
        except (Exception, SystemExit) as error:
            self.refuse(source, error)

    def take_one(self, source: Source) -> None:
        """Read and add one source."""
        importer, path = source.importer, source.path
        described = self.incoming[path]
        if importer.table is not None:
            table = call_reader(importer.table, path, self.options)
            report = self.history.add_table(table, described)
            self.settle(source, _added(source, report, ()))
            return
        reading = Reading()
        rest = checked(path, read_source(importer, path, self.options), self.options, reading)
        first = list(islice(rest, _BATCH_RECORDS))
        if len(first) < _BATCH_RECORDS:
            self.hold_records(source, first, reading)
            return
        described.records, described.notes = chain(first, rest), reading.notes
        (report,) = self.history.add_sources([described])
        self.settle(source, _added(source, report, reading.notes))

    def hold(self, source: Source, items: Iterable[object]) -> None:
        """Check what was read of a small source, and keep it."""
        reading = Reading()
        self.hold_records(source, list(checked(source.path, items, self.options, reading)), reading)

    def hold_records(self, source: Source, records: list[Record], reading: Reading) -> None:
        """Keep the records of a small source until there are enough to add them together."""
        described = self.incoming[source.path]
        described.records, described.notes = records, reading.notes
        self.pending.append((source, described))
        self.held += len(records)
        if len(self.pending) >= _BATCH_SOURCES or self.held >= _BATCH_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Add what is held, in one transaction."""
        pending, self.pending, self.held = self.pending, [], 0
        reports = self.history.add_sources([described for _, described in pending])
        for (source, described), report in zip(pending, reports, strict=True):
            described.records = ()
            self.settle(source, _added(source, report, described.notes))

    def refuse(self, source: Source, error: BaseException) -> None:
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


def _salt(name: str, options: ReadOptions) -> tuple[str, ...]:
    """Return what else than its content decides how a source is read.

    The first three parts are what midband 0.1 used, so that its sources are known again.
    """
    salt = (name, options.benchmark or "", repr(sorted(options.columns.items())))
    said = {
        key: value
        for key, value in _choices(options).items()
        if key not in ("benchmark", "columns", "accept_difference")
    }
    return (*salt, json.dumps(said, sort_keys=True)) if said else salt


def _choices(options: ReadOptions) -> dict[str, object]:
    """Return the options that were given."""
    default = asdict(ReadOptions())
    return {key: value for key, value in asdict(options).items() if value != default[key]}


def _said(options: ReadOptions) -> str:
    said = _choices(options)
    return json.dumps(said, sort_keys=True) if said else ""


def _added(source: Source, report: AddReport, notes: Iterable[Note]) -> SourceReport:
    if report.refused:
        return SourceReport(path=source.path, error=f"{source.path}: {report.refused}")
    found = [*notes, *(Note(code="kept-outside", text=text) for text in report.skipped)]
    if not (report.added or report.duplicates or report.replaced or found):
        found.append(Note(code=NO_RESULTS, text=EMPTY))
    return SourceReport(
        path=source.path,
        added=report.added,
        duplicates=report.duplicates,
        replaced=report.replaced,
        notes=tuple(found),
        counts=report.counts,
    )
