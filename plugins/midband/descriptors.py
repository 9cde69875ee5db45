"""The descriptors that a plugin hands over, and the contract of a harness."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from midband_history import InputError, UnknownTaskError

if TYPE_CHECKING:
    from midband_history import Note, Record, StatedAggregate, Table, UnreadableSourceError
    from midband_sampler import Plan

    ReadItem = Record | Note | StatedAggregate
    ReadMany = Callable[..., Iterator[tuple[Path, Sequence[ReadItem] | UnreadableSourceError]]]

ErrorPolicy = Literal["source", "missing", "failed"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Statements of a person about the sources of one import, beyond those of the sources.

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
        text, of which each line is a paragraph.
    summary : str
        One line for ``midband plugins``.
    """

    name: str
    render: Callable[[Sequence[Mapping[str, object]]], str]
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """Abilities of a harness; a request beyond them is refused with a line that says so.

    Parameters
    ----------
    subset : bool
        Runs only the tasks of a file or of a command line: ``midband export --for``.
    rounds : bool
        Can be run round by round: ``midband run``.
    live : bool
        Asks which task comes next while it runs.
    attempts : bool
        Repeats tasks within one round.
    in_process : bool
        Also runs within midband's own process, see `InProcessHarness`.
    costs : bool
        Its results say what an attempt cost: needed for ``--max-usd`` where the history does not.
    """

    subset: bool = False
    rounds: bool = False
    live: bool = False
    attempts: bool = False
    in_process: bool = False
    costs: bool = False


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Whether a harness can run here.

    Parameters
    ----------
    version : str
        The version found; empty where none is.
    problem : str
        What is missing and what to do, on one line; empty if it can run.
    """

    version: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One batch of tasks to run.

    Parameters
    ----------
    plan : Plan
    tasks : tuple of str
        Distinct ids of planned tasks; never empty.
    directory : Path
        Where the round's files go; of this round alone.
    name : str
        Such as ``r000``: what the harness may call the run.
    attempts : int
        How often each task is run.
    arguments : tuple of str
        What the user gave for the harness, unchanged.
    """

    plan: "Plan"
    tasks: tuple[str, ...]
    directory: Path
    name: str
    attempts: int = 1
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Command:
    """Command that runs a round.

    Parameters
    ----------
    steps : tuple of tuple of str
        Argument lists, run one after the other, without a shell; each also where the one before
        failed, since it may score what that one left. The same batch must give the same steps: a
        round that was cut off continues with the step after.
    results : Path
        What `Harness.read_results` is given afterwards.
    environment : mapping of str to str
        Variables added to the process's own.
    """

    steps: tuple[tuple[str, ...], ...]
    results: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Harness(Protocol):
    """One evaluation harness, known by its name.

    ``midband.testing.HarnessContract`` checks an implementation.
    """

    @property
    def name(self) -> str:
        """Name in ``midband export --for`` and ``midband run``."""

    @property
    def summary(self) -> str:
        """One line for ``midband plugins``."""

    @property
    def tested_versions(self) -> tuple[str, ...]:
        """Versions of the harness that this adapter was tried with; empty for mere files."""

    @property
    def capabilities(self) -> Capabilities:
        """Abilities of the harness."""

    def probe(self) -> Probe:
        """Look for the harness; quick, never raises."""

    def read_results(self, path: Path, *, benchmark: str | None = None) -> "Iterable[Record]":
        """Yield the attempts below `path`, files that are not the harness's own left out.

        Parameters
        ----------
        path : Path
            A file, or a directory with results at any depth.
        benchmark : str, optional
            Overrides the name that the results give the benchmark.

        Raises
        ------
        UnreadableSourceError
            A file is truncated or foreign; of a directory, raised after all that is whole was
            yielded, since midband keeps what came before.
        """

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write the files with which the harness runs only these tasks; none if it needs none.

        Parameters
        ----------
        plan : Plan
        directory : Path
            Made if it is not there.
        tasks : sequence of str, optional
            Some of the planned tasks; all of them by default.

        Raises
        ------
        InputError
            The harness cannot name these tasks, or there are none: several harnesses take an
            empty list for all of them.
        """

    def build_command(self, batch: Round) -> Command:
        """Return what runs a batch whose subset `write_subset` wrote to ``batch.directory``.

        Raises
        ------
        InputError
            The user's arguments contradict what midband must set.
        """


class RoundRunner(Protocol):
    """Runs rounds in midband's own process, what was loaded kept between them."""

    def __call__(self, batch: Round) -> Path:
        """Run a batch and return what `Harness.read_results` is given.

        Results stand below ``batch.directory``, where they are found again if the process dies.

        Raises
        ------
        InputError
            The batch is refused before anything was run.
        """


@runtime_checkable
class InProcessHarness(Harness, Protocol):
    """A harness that can also be called as a library, so that a local model stays loaded."""

    def start(self, arguments: Sequence[str]) -> RoundRunner:
        """Load what the user's arguments ask for."""


def subset_of(plan: "Plan", tasks: Sequence[str] | None) -> tuple[str, ...]:
    """Return the tasks that `Harness.write_subset` is to write: planned, distinct, not none.

    Parameters
    ----------
    plan : Plan
    tasks : sequence of str or None
        All planned tasks if None.

    Returns
    -------
    tuple of str
        In the order given; of the plan by default.

    Raises
    ------
    InputError
        There are none: several harnesses take an empty list for all tasks.
    UnknownTaskError
        A task is not planned.
    """
    chosen = tuple(dict.fromkeys(plan.tasks if tasks is None else tasks))
    if not chosen:
        msg = "expected at least one task to run, got none: many harnesses would run all of them"
        raise InputError(msg)
    strange = sorted(set(chosen) - set(plan.tasks))
    if strange:
        msg = f"expected tasks of plan {plan.digest}, got {strange[0]!r}: name planned tasks only"
        raise UnknownTaskError(msg)
    return chosen
