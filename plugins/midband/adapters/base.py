"""What an adapter is: formats declared once, and a harness that midband runs by its command."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from midband.adapters.files import foreign
from midband.descriptors import (
    Capabilities,
    Command,
    Harness,
    Importer,
    Probe,
    ReadOptions,
    Round,
    subset_of,
)
from midband.hookspecs import hookimpl
from midband.importers.reading import apply_options, call_reader
from midband_history import InputError, Record, UnreadableSourceError

if TYPE_CHECKING:
    from midband.descriptors import ReadItem
    from midband_sampler import Plan


class Adapter:
    """One integration as a plugin: what it reads, and what it runs.

    Parameters
    ----------
    *importers : Importer
        The formats of its results.
    harnesses : sequence of Harness
        Those that ``midband export`` and ``midband run`` may name.
    """

    def __init__(self, *importers: Importer, harnesses: Sequence[Harness] = ()) -> None:
        # Only hooks of which there is something to say are implemented, as `midband plugins` lists.
        if importers:
            self.midband_register_importers = hookimpl(lambda: list(importers))
        if harnesses:
            self.midband_register_harnesses = hookimpl(lambda: list(harnesses))


class _Reads:
    """Reads the results of a harness as its importer does."""

    importer: Importer
    results: str

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: ReadOptions | None = None
    ) -> Iterator[Record]:
        """Yield the attempts below `path`."""
        return read_below(
            path,
            self.importer.sniff,
            self.importer.read,
            benchmark=benchmark,
            what=self.results,
            options=options,
        )


class CommandHarness(_Reads, ABC):
    """A harness that a command line runs on the tasks that midband names.

    A subclass says in attributes what the harness is and what it refuses, and writes `command`.

    Attributes
    ----------
    name, summary, tested_versions, capabilities
        As in `Harness`.
    importer : Importer
        Reads its results.
    results : str
        What these are, for errors.
    program, package, hint : str
        What is looked for on the path, the distribution that tells its version, and what to do
        where there is none.
    refused : mapping of str to str
        Flags that midband sets itself or that would make a round other than it seems, and why.
    abbreviated : bool
        Whether the harness accepts the beginning of a long flag for it, as argparse does.
    ids : str
        Which ids of tasks the harness can be given; those that `fits` does.
    once : str
        Why a round has one attempt a task; empty where it may have several.
    """

    name: str
    summary: str
    program: str
    package: str
    hint: str
    ids: str
    tested_versions: tuple[str, ...] = ()
    capabilities = Capabilities(subset=True, rounds=True)
    refused: Mapping[str, str] = {}
    abbreviated = True
    once = ""

    def probe(self) -> Probe:
        """Look for the program, and for its version where it shares this environment."""
        if which(self.program) is None:
            return Probe(problem=f"expected {self.program} on the path, found none: {self.hint}")
        try:
            return Probe(version=version(self.package))
        except PackageNotFoundError:
            return Probe()

    def fits(self, task: str) -> bool:
        """Whether the harness can be given a printable id of a task."""
        return bool(task)

    def files(self, plan: "Plan", tasks: Sequence[str]) -> Mapping[str, str]:
        """Return the names and texts of the files that name the tasks; none by default.

        Parameters
        ----------
        plan : Plan
        tasks : sequence of str
            Sorted.
        """
        return {}

    @abstractmethod
    def command(self, batch: Round, tasks: tuple[str, ...]) -> Command:
        """Return what runs a round; without arguments, capitals stand for what is missing.

        Parameters
        ----------
        batch : Round
            Whose arguments hold no flag that is refused.
        tasks : tuple of str
            Its tasks, sorted, each once.
        """

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write `files`; raises as `Harness.write_subset`."""
        texts = self.files(plan, self.fitting(sorted(subset_of(plan, tasks))))
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
        return tuple(directory / name for name in texts)

    def build_command(self, batch: Round) -> Command:
        """Return `command`, once nothing contradicts what midband sets."""
        return self.command(batch, self.check(batch))

    def check(self, batch: Round) -> tuple[str, ...]:
        """Return the tasks of a round, sorted, or refuse it.

        Raises
        ------
        InputError
            The harness would run it otherwise than planned.
        """
        tasks = self.fitting(sorted(subset_of(batch.plan, batch.tasks)))
        refuse(batch.arguments, self.refused, abbreviated=self.abbreviated)
        if self.once and batch.attempts != 1:
            msg = f"expected one attempt a round, got {batch.attempts}: {self.once}"
            raise InputError(msg)
        return tasks

    def fitting(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """Return the tasks, or refuse an id that the harness would take for something else.

        Raises
        ------
        InputError
            There is such an id.
        """
        for task in tasks:
            if not task.isprintable() or not self.fits(task):
                msg = f"expected task ids {self.ids}, got {task!r}: run this task by hand"
                raise InputError(msg)
        return tuple(tasks)


@dataclass(frozen=True, kw_only=True)
class ImportOnly(_Reads):
    """A harness whose results are read, and that midband cannot hand a subset.

    Parameters
    ----------
    importer : Importer
        Its name is the harness's too.
    results : str
        One line for ``midband plugins``, and what its results are.
    why : str
        Why it takes no subset and what to do, for the error.
    """

    importer: Importer
    results: str
    why: str
    tested_versions: tuple[str, ...] = ()
    capabilities: Capabilities = Capabilities()  # noqa: RUF009 - frozen

    @property
    def name(self) -> str:
        """What ``midband export --for`` calls it."""
        return self.importer.name

    @property
    def summary(self) -> str:
        """One line for ``midband plugins``."""
        return self.results

    def probe(self) -> Probe:
        """Say that there is nothing to run."""
        return Probe(problem=f"expected a harness that midband can run, got {self.why}")

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Refuse: the harness takes none."""
        raise self._refusal()

    def build_command(self, batch: Round) -> Command:
        """Refuse: the harness runs no subset."""
        raise self._refusal()

    def _refusal(self) -> InputError:
        return InputError(f"expected a harness that takes a subset, got {self.name}: {self.why}")


def refuse(arguments: Sequence[str], flags: Mapping[str, str], *, abbreviated: bool = True) -> None:
    """Refuse arguments that contradict what midband sets.

    Parameters
    ----------
    arguments : sequence of str
        What the user gave.
    flags : mapping of str to str
        Each flag and why it is refused; one of a single letter also with its value attached.
    abbreviated : bool
        Whether the harness accepts the beginning of a long flag for it, as argparse does.

    Raises
    ------
    InputError
        One of the flags is there.
    """
    for word in arguments:
        name = word.partition("=")[0]
        for flag, why in flags.items():
            short = len(flag) == 2 and word.startswith(flag)
            begun = abbreviated and len(name) > 3 and name.startswith("--")
            if name == flag or short or (begun and flag.startswith(name)):
                msg = f"expected no {flag} among the arguments of the harness, got {word!r}: {why}"
                raise InputError(msg)


def option(arguments: Sequence[str], *names: str) -> str | None:
    """Return the value of an option as ``--name value`` or ``--name=value``, the last given."""
    found = None
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in names:
            following = arguments[place + 1] if place + 1 < len(arguments) else None
            found = value if equals else following
    return found


def run_name(batch: Round) -> str:
    """Return a name for the harness's own run, no other where the round has its own directory.

    Harnesses that know a run by its name alone take one of an earlier midband run for theirs.
    """
    if batch.directory.name != batch.name:
        return batch.name
    place = hashlib.sha256(str(batch.directory.resolve()).encode()).hexdigest()[:8]
    return f"{batch.name}-{place}"


def read_below(
    path: Path,
    sniff: Callable[[Path], bool],
    read: "Callable[..., Iterable[ReadItem]]",
    *,
    benchmark: str | None,
    what: str,
    options: ReadOptions | None = None,
    order: "Callable[[Path], tuple[int, Path]] | None" = None,
) -> "Iterator[Record]":
    """Yield the records of a file, or of those in a directory that are the harness's own.

    Numbers that the files state of themselves are not compared: a round may still be under way.
    The files of a directory are read by `order`, or else by their paths.

    Raises
    ------
    UnreadableSourceError
        The path is absent or a foreign file; or files of the directory are truncated, which is
        said after the others have been read.
    """
    given = options or ReadOptions()
    # A paid run is not to end because a sum in one of its files is another.
    chosen = replace(given, benchmark=benchmark or given.benchmark, accept_difference=True)
    if not path.is_dir():
        if not sniff(path):
            raise foreign(path, what, "none" if not path.exists() else "another kind of file")
        yield from _records(path, read, chosen)
        return
    torn: list[str] = []
    for file in sorted(path.rglob("*"), key=order):
        if not sniff(file):
            continue
        try:
            yield from _records(file, read, chosen)
        except UnreadableSourceError as error:
            torn.append(str(error))
    if torn:
        raise UnreadableSourceError("; ".join(torn))


def _records(
    path: Path, read: "Callable[..., Iterable[ReadItem]]", options: ReadOptions
) -> "Iterator[Record]":
    for item in call_reader(read, path, options):
        if isinstance(item, Record):
            yield apply_options(item, options)
