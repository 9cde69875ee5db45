"""The reports of an import: for each source, and for all of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from midband.importers.discovery import Source
from midband_history import AddReport, Counts, Note, StoreError

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
    total : int
        Sources that were found, of which an import that ends half-way reports fewer.
    """

    sources: tuple[SourceReport, ...]
    notes: tuple[Note, ...] = ()
    total: int = 0

    @property
    def imported(self) -> int:
        """Sources that were imported, now or before."""
        return sum(not source.error for source in self.sources)

    @property
    def unchanged(self) -> int:
        """Sources among the imported of which nothing was new."""
        return sum(not (one.error or one.added or one.replaced) for one in self.sources)

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


class ImportEndedError(StoreError):
    """The history could not be written, half-way through an import.

    Parameters
    ----------
    message : str
    report : ImportReport
        What was added and refused before that.
    """

    def __init__(self, message: str, report: ImportReport) -> None:
        super().__init__(message)
        self.report = report


def added(source: Source, report: AddReport, notes: Iterable[Note]) -> SourceReport:
    """Return what became of a source that was added, or that the history refused."""
    if report.refused:
        return SourceReport(path=source.path, error=f"{source.path}: {report.refused}")
    found = [*notes, *(Note(code="kept-outside", text=text) for text in report.skipped)]
    if not (report.added or report.duplicates or report.replaced or found):
        found.append(Note(code=NO_RESULTS, text="no results of its own"))
    return SourceReport(
        path=source.path,
        added=report.added,
        duplicates=report.duplicates,
        replaced=report.replaced,
        notes=tuple(found),
        counts=report.counts,
    )
