"""The contract of a harness: what midband asks of it to hand it tasks and to drive its rounds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from midband_history import InputError, UnknownTaskError

if TYPE_CHECKING:
    from midband_history import Record
    from midband_sampler import Plan


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a harness can do; what it cannot is refused with a line that says so.

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
    """How to run a round.

    Parameters
    ----------
    steps : tuple of tuple of str
        Argument lists, run one after the other, without a shell; each also where the one before
        failed, since it may score what that one left. The same batch must give the same steps: a
        round that was cut off goes on with the step after.
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
        """What ``midband export --for`` and ``midband run`` call it."""

    @property
    def summary(self) -> str:
        """One line for ``midband plugins``."""

    @property
    def tested_versions(self) -> tuple[str, ...]:
        """Versions of the harness that this adapter was tried with; empty for mere files."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

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
