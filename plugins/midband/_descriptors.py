"""What a plugin hands over: frozen descriptors, each known by its name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from midband_history import InputError

if TYPE_CHECKING:
    from midband_history import Note, Record, StatedAggregate, Table, UnreadableSourceError

    ReadItem = Record | Note | StatedAggregate
    ReadMany = Callable[..., Iterator[tuple[Path, Sequence[ReadItem] | UnreadableSourceError]]]

ErrorPolicy = Literal["source", "missing", "failed"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a person says about the sources of one import, beyond what these say themselves.

    The importer uses `benchmark`, `metric`, `agent`, `model`, `scaffold`, `columns`, `wide` and
    `tasks` where its source is silent or offers a choice. What holds for every format (`scale`,
    `lower_is_better`, `errors`, `parts`, and the overriding of agents) is applied to the records
    afterwards, so an importer need not do it.

    Parameters
    ----------
    benchmark : str or None
        Overrides the benchmark that a source names.
    metric : str
        ``NAME`` or ``NAME.KEY`` of the metric to read; empty for the source's own main metric.
    prefer_metric : str
        The metric to read where nobody named one and the source has it: a plan's.
    scale : tuple of float or None
        The least and the greatest value of the metric.
    lower_is_better : bool or None
        None takes the source's word.
    agent, model, scaffold : str
        Override who ran; empty takes the source's word.
    errors : {"source", "missing", "failed"}
        What an attempt that ended in an error counts as; by default as the source counts it.
    parts : bool
        Whether task ids carry the part that they belong to: ``PART/ID``.
    tasks : tuple of str
        Every task of the benchmark, for sources that list only the tasks that were solved.
    benchmark_version : str
        The version that was run, where a source does not say it.
    columns : mapping of str to str
        The source's own column names to midband's.
    wide : {"", "tasks", "agents"}
        Whether a table has one row a task or one row an agent, and what its columns are else.
    accept_difference : bool
        Whether a source is read although its own aggregate cannot be reproduced.
    known_tasks : callable, optional
        Returns the tasks that are known of a benchmark, none if it is unknown: where `tasks` is
        empty, for sources that list only the solved ones. No part of what the person said.
    """

    benchmark: str | None = None
    metric: str = ""
    prefer_metric: str = ""
    scale: tuple[float, float] | None = None
    lower_is_better: bool | None = None
    agent: str = ""
    model: str = ""
    scaffold: str = ""
    errors: ErrorPolicy = "source"
    parts: bool = False
    tasks: tuple[str, ...] = ()
    benchmark_version: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    wide: Literal["", "tasks", "agents"] = ""
    accept_difference: bool = False
    known_tasks: Callable[[str], tuple[str, ...]] | None = field(
        default=None, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            low, high = self.scale
            msg = f"expected --scale LOW HIGH with LOW < HIGH, got {low:g} {high:g}"
            raise InputError(msg)


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
        ``read(path, *, options)`` yields the records of a file or directory, with notes and stated
        aggregates among them, and raises `UnreadableSourceError` where it cannot. It is called
        with those of `options`, `benchmark` and `columns` that its signature names.
    suffixes : tuple of str
        File endings searched for within a directory, with the dot.
    summary : str
        One line for ``midband plugins``.
    read_many : callable, optional
        ``read_many(paths, *, options)`` reads many files quicker than one by one, with bounded
        memory: it yields every path in order, with what `read` would yield or the
        `UnreadableSourceError`.
    table : callable, optional
        ``table(path, *, options)`` describes a file of rows as a `Table`, so that it goes into the
        history without an object a row.
    version : int
        Raised whenever the importer reads the same file differently: sources that an older
        version has read are then read anew when they are imported again.
    former_names : tuple of str
        What it was called when it added sources to older histories.
    """

    name: str
    sniff: Callable[[Path], bool]
    read: Callable[..., "Iterable[ReadItem]"]
    suffixes: tuple[str, ...] = ()
    summary: str = ""
    read_many: "ReadMany | None" = None
    table: "Callable[..., Table] | None" = None
    version: int = 1
    former_names: tuple[str, ...] = ()


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

    @classmethod
    def of(cls, kind: type[Any]) -> "NamedFactory":
        """Describe a class of strategies or rules by what it says of itself."""
        return cls(
            name=kind.name,
            build=getattr(kind, "parse", kind),
            summary=(kind.__doc__ or "").partition("\n")[0],
            restore=kind,
        )


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
