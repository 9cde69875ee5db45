"""How results reach the history: every source as a whole or refused by name, and the rest go on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from midband.adapters.files import AggregateOnlyError
from midband.descriptors import ReadOptions
from midband.importers.discovery import Source, content_digests, one_place
from midband.importers.fetching import downloaded
from midband.importers.reading import (
    Reading,
    ReadingFailedError,
    all_importers,
    asked,
    check_columns,
    checked,
    described_table,
    options_text,
    read_source,
    reading_salt,
    why_refused,
)
from midband.importers.reports import ImportEndedError, ImportReport, SourceReport, added
from midband.importers.unpacking import Found, opened_sources
from midband_history import (
    Incoming,
    Note,
    Record,
    StoreError,
    UnknownBenchmarkError,
    UnreadableSourceError,
)

if TYPE_CHECKING:
    from midband.descriptors import Importer
    from midband_history import History

Progress = Callable[[int, int, Path], None]
# Small sources share a transaction up to so many records or sources; a larger one has its own.
_BATCH_RECORDS = 20_000
_BATCH_SOURCES = 256


def import_paths(
    history: "History",
    paths: Iterable[Path | str],
    importers: "Mapping[str, Importer] | None" = None,
    *,
    format: str | None = None,  # noqa: A002 - the name of the command's option
    options: ReadOptions | None = None,
    progress: Progress | None = None,
    reading: Callable[[int, int, int], None] | None = None,
) -> ImportReport:
    """Add the results in files and directories to a history.

    A source is added as a whole or not at all; one that cannot be read is refused by name and the
    rest is imported. Importing the same again adds nothing.

    Parameters
    ----------
    history : History
        Open for writing.
    paths : iterable of Path or str
        Files and directories, or as text the ``https://`` or ``hf://`` address of a file.
    importers : mapping of str to Importer, optional
        Those of all plugins by default.
    format : str, optional
        The importer to use, instead of the one that recognises a file.
    options : ReadOptions, optional
        What the person says about the sources.
    progress : callable, optional
        Called after each source with how many are done, how many there are, and its path.
    reading : callable, optional
        Called while sources are read with how many were, of how many, and with how many attempts.

    Raises
    ------
    InputError
        `format` or the columns of `options` name what there is not.
    ImportEndedError
        The history cannot be written; its report says what was added before.
    """
    options = options or ReadOptions()
    check_columns(options.columns)
    with (
        downloaded(list(paths)) as local,
        opened_sources(local.paths, all_importers(importers), format_name=format) as found,
    ):
        found.rename(local.places)
        run = _Run(history, options, found, progress, reading)
        for path, reason in ((Path(url), why) for url, why in local.refused.items()):
            run.reports[path] = SourceReport(path=path, error=reason)
        for one in found.unrecognised:
            if not one.note:
                error = found.shown(one.reason)
                run.reports[one.path] = SourceReport(path=found.path(one.path), error=error)
        try:
            fresh = run.not_known(found.sources)
            for _, group in groupby(fresh, key=lambda source: source.importer.name):
                run.take(list(group))
            run.flush()
        except StoreError as error:
            report = run.report()
            raise ImportEndedError(_ending(error, report), report) from error
        return run.report()


def _ending(error: StoreError, report: ImportReport) -> str:
    """Return why an import ended, and what the history holds of it."""
    reason = " ".join(str(error).split()).removesuffix("; nothing was added")
    left = report.total - len(report.sources)
    if not report.added and not report.replaced:
        return f"{reason}; nothing was added"
    return (
        f"{reason}; {report.added + report.replaced:,} attempts were added before that,"
        f" {left:,} of {report.total:,} sources were not: import the same again, which adds"
        " nothing twice"
    )


@dataclass
class _Run:
    """One import under way: what is read and not yet added, and what became of the rest."""

    history: "History"
    options: ReadOptions
    found: Found
    progress: Progress | None
    reading: Callable[[int, int, int], None] | None = None
    reports: dict[Path, SourceReport] = field(default_factory=dict)
    incoming: dict[Path, Incoming] = field(default_factory=dict)
    pending: list[tuple[Source, Incoming]] = field(default_factory=list)
    salts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    held: int = 0
    done: int = 0
    attempts: int = 0
    read: dict[Path, int] = field(default_factory=dict)

    def report(self) -> ImportReport:
        """Return what became of the sources so far."""
        others = self.found.unrecognised
        return ImportReport(
            sources=tuple(sorted(self.reports.values(), key=lambda each: each.path)),
            notes=tuple(Note(code="passed-over", text=one.reason) for one in others if one.note),
            total=len(self.found.sources) + sum(not one.note for one in others),
        )

    def not_known(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources whose content this version has not read before and that open."""
        digests: dict[Path, tuple[str, list[str]]] = {}
        for source in sources:
            named = (source.importer.name, *source.importer.former_names)
            try:
                digests[source.path] = content_digests(
                    source.path, [self._salt(name) for name in named]
                )
            except OSError as error:
                name = self.found.name(source.path)
                reason = f"{name}: expected a file to read, got: {error.strerror or error}"
                self.settle(source, SourceReport(path=source.path, error=reason))
        known = self.history.known_sources(
            digest for _, salted in digests.values() for digest in salted
        )
        readings = self.history.readings_of(
            (content for content, _ in digests.values()),
            benchmark=self.options.benchmark or "",
            metric=self.options.metric,
        )
        names = self.history.source_names(
            {number for ids, _ in known.values() for number in ids}.union(*readings.values())
        )
        said = options_text(self.options)
        fresh = []
        for source in sources:
            if source.path not in digests:
                continue
            content, salted = digests[source.path]
            digest = next((each for each in salted if each in known), salted[0])
            numbers, version = known.get(digest, ((), 0))
            place = self.found.name(source.path)
            current = version >= source.importer.version
            if current and any(one_place(names[number], place) for number in numbers):
                self.settle(source, SourceReport(path=source.path, known=True))
                continue
            earlier = {*readings.get(content, ()), *numbers}.difference(numbers if current else ())
            here = {number for number in earlier if one_place(names[number], place)}
            self.incoming[source.path] = Incoming(
                name=place,
                digest=digest,
                content=content,
                reader=source.importer.name,
                reader_version=source.importer.version,
                options=said,
                replaces=tuple(sorted(here)),
                copies=tuple(sorted(earlier - here)),
            )
            fresh.append(source)
        return fresh

    def _salt(self, name: str) -> tuple[str, ...]:
        if name not in self.salts:
            self.salts[name] = reading_salt(name, self.options)
        return self.salts[name]

    def take(self, sources: Sequence[Source]) -> None:
        """Read and add sources of one format; what a quick reader fails on is read one by one."""
        left = {source.path: source for source in sources}
        reader = sources[0].importer.read_many
        if reader is not None:
            with suppress(ReadingFailedError):
                for path, found in asked(reader, list(left), self.options):
                    source = left.pop(path, None)
                    if source is None:
                        continue
                    if isinstance(found, UnreadableSourceError):
                        self.refuse(source, found)
                    else:
                        self.guard(source, partial(self.hold, source, found))
        for source in left.values():
            self.guard(source, partial(self.take_one, source))

    def guard(self, source: Source, step: Callable[[], None]) -> None:
        """Carry out one step; a broken file or importer must not stop the rest."""
        try:
            step()
        except (StoreError, KeyboardInterrupt):
            raise
        except ReadingFailedError as failed:
            self.refuse(source, failed.error)
        except BaseException as error:
            self.refuse(source, error)

    def take_one(self, source: Source) -> None:
        """Read and add one source."""
        importer, path = source.importer, source.path
        described = self.incoming[path]
        if importer.table is not None:
            table = described_table(importer, path, self.options)
            report = self.history.add_table(table, described)
            self.settle(source, added(source, report, ()))
            return
        reading = Reading()
        options = replace(self.options, known_tasks=self.known_tasks)
        rest = checked(path, read_source(importer, path, options), options, reading)
        first = list(islice(rest, _BATCH_RECORDS))
        if len(first) < _BATCH_RECORDS:
            self.hold_records(source, first, reading)
            return
        described.records, described.notes = chain(first, rest), reading.notes
        self.add_one(source, described)

    def known_tasks(self, benchmark: str) -> tuple[str, ...]:
        """Return the tasks that the history holds of a benchmark; none if it has none."""
        try:
            return self.history.task_ids(benchmark)
        except UnknownBenchmarkError:
            return ()

    def hold(self, source: Source, items: Iterable[object]) -> None:
        """Check what was read of a small source, and keep it."""
        reading = Reading()
        self.hold_records(source, list(checked(source.path, items, self.options, reading)), reading)

    def hold_records(self, source: Source, records: list[Record], reading: Reading) -> None:
        """Keep the records of a small source until there are enough to add them together."""
        described = self.incoming[source.path]
        notes = [replace(note, text=self.found.shown(note.text)) for note in reading.notes]
        described.records, described.notes = records, notes
        self.pending.append((source, described))
        self.held += len(records)
        self.tell(source, len(records))
        if len(self.pending) >= _BATCH_SOURCES or self.held >= _BATCH_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Add what is held, in one transaction; one by one where that fails for one of them."""
        pending, self.pending, self.held = self.pending, [], 0
        try:
            reports = self.history.add_sources([described for _, described in pending])
        except StoreError:
            raise
        except Exception:
            for source, described in pending:
                self.guard(source, partial(self.add_one, source, described))
            return
        for (source, described), report in zip(pending, reports, strict=True):
            described.records = ()
            self.settle(source, added(source, report, described.notes))

    def add_one(self, source: Source, described: Incoming) -> None:
        """Add one source in a transaction of its own."""
        (report,) = self.history.add_sources([described])
        self.settle(source, added(source, report, described.notes))

    def refuse(self, source: Source, error: BaseException) -> None:
        """Note why a source cannot be read."""
        reason = why_refused(source, error)
        # A repository holds tables of other things too, and results that are no single ones.
        foreign = source.importer.table is not None and not self.options.columns
        if source.in_clone and (foreign or isinstance(error, AggregateOnlyError)):
            self.found.pass_over(source.path, reason)
            self.done += 1
            return
        self.settle(source, SourceReport(path=source.path, error=reason))

    def tell(self, source: Source, attempts: int) -> None:
        """Tell whoever watches that a source was read."""
        self.attempts += attempts - self.read.get(source.path, 0)
        self.read[source.path] = attempts
        if self.reading is not None:
            self.reading(len(self.read), len(self.found.sources), self.attempts)

    def settle(self, source: Source, report: SourceReport) -> None:
        """Note what became of a source."""
        path = self.found.path(source.path)
        self.reports[source.path] = replace(
            report,
            path=path,
            format=source.importer.name,
            error=self.found.shown(report.error),
            notes=tuple(replace(note, text=self.found.shown(note.text)) for note in report.notes),
        )
        self.done += 1
        self.tell(source, self.read.get(source.path, report.added))
        if self.progress is not None:
            self.progress(self.done, len(self.found.sources), path)
