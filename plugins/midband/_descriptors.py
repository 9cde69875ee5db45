"""What a plugin hands over: frozen descriptors, each known by its name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from midband_history import Record, Table, UnreadableSourceError


class ReadSource(Protocol):
    """Reads one result file or directory into records."""

    def __call__(
        self, path: Path, *, benchmark: str | None, columns: Mapping[str, str]
    ) -> "Iterable[Record]":
        """Yield the records of `path`.

        Parameters
        ----------
        path : Path
        benchmark : str or None
            Overrides the benchmark that the source names; needed where it names none.
        columns : mapping of str to str
            The source's own column names to midband's, where they differ.

        Raises
        ------
        UnreadableSourceError
            The source is truncated, foreign, or holds what cannot be read.
        """


class ReadManySources(Protocol):
    """Reads many result files of one format quicker than one by one, with bounded memory."""

    def __call__(
        self, paths: Sequence[Path], *, benchmark: str | None = None, workers: int | None = None
    ) -> "Iterator[tuple[Path, list[Record] | UnreadableSourceError]]":
        """Yield every path in order, with its records or the reason why it cannot be read."""


class OpenTable(Protocol):
    """Describes a file of rows, so that it goes into the history without an object a row."""

    def __call__(self, path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> "Table":
        """Return the description; parameters as in `ReadSource`."""


@dataclass(frozen=True, kw_only=True)
class Importer:
    """Reads the result files of one format.

    Parameters
    ----------
    name : str
        What ``midband import --format`` calls it.
    sniff : callable
        Whether a path looks like this format; cheap, never raises, directories allowed.
    read : callable
        See `ReadSource`.
    suffixes : tuple of str
        File endings searched for within a directory, with the dot.
    summary : str
        One line for ``midband plugins``.
    read_many : callable, optional
        See `ReadManySources`.
    table : callable, optional
        See `OpenTable`.
    """

    name: str
    sniff: Callable[[Path], bool]
    read: ReadSource
    suffixes: tuple[str, ...] = ()
    summary: str = ""
    read_many: ReadManySources | None = None
    table: OpenTable | None = None


@dataclass(frozen=True, kw_only=True)
class NamedFactory:
    """A strategy or stopping rule known by name.

    Parameters
    ----------
    name : str
        What ``--strategy`` or ``--stop`` calls it.
    build : callable
        Builds the strategy or rule; called with no argument for a strategy, and with the texts
        after the colons of ``--stop name:a:b`` for a rule.
    summary : str
        One line for ``midband plugins``.
    restore : callable, optional
        Rebuilds a rule that a plan names: called with the settings of its ``to_dict``, but for
        ``rule``, as keyword arguments. `build` by default.
    """

    name: str
    build: Callable[..., object]
    summary: str = ""
    restore: Callable[..., object] | None = None


@dataclass(frozen=True, kw_only=True)
class ReportSection:
    """One section of the page that ``midband study --output`` writes.

    Parameters
    ----------
    name : str
        Its title.
    render : callable
        Turns the cells of the study, as ``midband study --json`` prints them, into the section's
        text, which the page shows as it stands.
    summary : str
        One line for ``midband plugins``.
    """

    name: str
    render: Callable[[Sequence[Mapping[str, object]]], str]
    summary: str = ""
