"""What adapters share: what may not be given, and reading the files of a directory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from midband.descriptors import Capabilities, Command, Probe, ReadOptions, Round, subset_of
from midband.harnesses._files import foreign
from midband.importers.reading import apply_options, call_reader
from midband_history import InputError, Record, UnreadableSourceError

if TYPE_CHECKING:
    from midband.descriptors import ReadItem
    from midband_sampler import Plan


def tasks_of(batch: Round) -> tuple[str, ...]:
    """Return the tasks of a round sorted, each once; raises as `subset_of`."""
    return tuple(sorted(subset_of(batch.plan, batch.tasks)))


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


def refuse_ids(tasks: Sequence[str], unfit: Callable[[str], bool], *, why: str) -> None:
    """Refuse ids that a harness would take for something else.

    Raises
    ------
    InputError
        There is such an id.
    """
    for task in tasks:
        if not task.isprintable() or unfit(task):
            msg = f"expected task ids {why}, got {task!r}: run this task by hand"
            raise InputError(msg)


def run_name(batch: Round) -> str:
    """Return a name for the harness's own run, no other where the round has its own directory.

    Harnesses that know a run by its name alone take one of an earlier midband run for theirs.
    """
    if batch.directory.name != batch.name:
        return batch.name
    place = hashlib.sha256(str(batch.directory.resolve()).encode()).hexdigest()[:8]
    return f"{batch.name}-{place}"


def check_metric(path: Path, options: ReadOptions, *names: str) -> str:
    """Return the metric that the options choose of those that a source has, or its first.

    Raises
    ------
    UnreadableSourceError
        The options name another.
    """
    if options.metric and options.metric not in names:
        raise foreign(path, f"a metric of {', '.join(names)}", f"--metric {options.metric}")
    return options.metric or names[0]


def look_for(program: str, *, package: str, hint: str) -> Probe:
    """Look for a program on the path, and for its version where it shares this environment."""
    if which(program) is None:
        return Probe(problem=f"expected {program} on the path, found none: {hint}")
    try:
        return Probe(version=version(package))
    except PackageNotFoundError:
        return Probe()


def read_below(
    path: Path,
    sniff: Callable[[Path], bool],
    read: "Callable[..., Iterable[ReadItem]]",
    *,
    benchmark: str | None,
    what: str,
    options: ReadOptions | None = None,
) -> "Iterator[Record]":
    """Yield the records of a file, or of those in a directory that are the harness's own.

    Numbers that the files state of themselves are not compared: a round may still be under way.

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
    for file in sorted(path.rglob("*")):
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


@dataclass(frozen=True, kw_only=True)
class ImportOnly:
    """A harness whose results are read, and that midband cannot hand a subset.

    Parameters
    ----------
    name, summary : str
    sniff, read : callable
        Of its importer.
    why : str
        Why it takes no subset and what to do, for the error.
    """

    name: str
    summary: str
    sniff: Callable[[Path], bool]
    read: "Callable[..., Iterable[ReadItem]]"
    why: str
    tested_versions: tuple[str, ...] = ()
    capabilities: Capabilities = Capabilities()  # noqa: RUF009 - frozen

    def probe(self) -> Probe:
        """Say that there is nothing to run."""
        return Probe(problem=f"expected a harness that midband can run, got {self.why}")

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: ReadOptions | None = None
    ) -> "Iterator[Record]":
        """Yield the attempts below `path`."""
        return read_below(
            path, self.sniff, self.read, benchmark=benchmark, what=self.summary, options=options
        )

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
