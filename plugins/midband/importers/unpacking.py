"""Files at hand: archives unpacked and named as if they stood there, many files read at once."""

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from midband.importers.discovery import Source, Unrecognised, path_text, survey
from midband_history import (
    UnreadableSourceError,
    check_members,
    extract_gzip,
    extract_zip,
    process_pool,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from midband.descriptors import Importer

# Only tables end like this, and they are read from within their archive.
_TABLES = (".csv", ".tsv", ".ndjson", ".parquet")
_LINES = ".jsonl"
_SAMPLE = 1 << 20
# Importers read names from the folders around a file, so that many are kept.
_FOLDERS = 4
_MOST_BESIDE = 1_000


@dataclass(kw_only=True)
class Found:
    """The sources among files and directories, some of them from archives.

    Parameters
    ----------
    sources : list of Source
    unrecognised : list of Unrecognised
    places : dict of str to str
        Where something was unpacked to, and what people call that place.
    """

    sources: list[Source] = field(default_factory=list)
    unrecognised: list[Unrecognised] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)

    def shown(self, text: str) -> str:
        """Return a text with every place named as people call it: ``archive.zip/inner/path``."""
        for place in sorted(self.places, key=len, reverse=True):
            text = text.replace(place, self.places[place])
        return text

    def pass_over(self, path: Path, reason: str) -> None:
        """Tell of a source that is left out and is no failure."""
        left = Unrecognised(path=path, reason=self.shown(reason), named=False, note=True)
        self.unrecognised.append(left)

    def rename(self, places: Mapping[str, str]) -> None:
        """Let downloaded files be called by their addresses, and what was unpacked of them too."""
        self.places = {**{k: places.get(v, v) for k, v in self.places.items()}, **places}

    def path(self, path: Path) -> Path:
        """Return what people call a path."""
        return Path(self.shown(str(path))) if self.places else path

    def name(self, path: Path) -> str:
        """Return what people call a path, as text."""
        return self.shown(path_text(path))


@contextmanager
def opened_sources(
    paths: Sequence[Path], importers: "Mapping[str, Importer]", *, format_name: str | None = None
) -> Iterator[Found]:
    """Give the sources among files and directories, those in ``.zip`` and ``.gz`` files included.

    An archive of nothing but tables is one source, since its tables are read within it. The
    temporary files are gone afterwards.

    Raises
    ------
    InputError
        `format_name` names no importer.
    """
    sources, unrecognised = survey(paths, importers, format_name=format_name)
    with TemporaryDirectory(prefix="midband-", ignore_cleanup_errors=True) as folder:
        work = _Unpacking(folder=Path(folder), importers=importers, format_name=format_name)
        for source in sources:
            if not work.replaces(source.path, source.importer):
                work.found.sources.append(source)
        for one in unrecognised:
            if one.note or not work.replaces(one.path, None, named=one.named):
                work.found.unrecognised.append(one)
        yield work.found


@dataclass(kw_only=True)
class _Unpacking:
    """Archives on their way into a temporary folder."""

    folder: Path
    importers: "Mapping[str, Importer]"
    format_name: str | None
    found: Found = field(default_factory=Found)
    beside: dict[Path, Path] = field(default_factory=dict)
    count: int = 0

    def replaces(self, path: Path, importer: "Importer | None", *, named: bool = True) -> bool:
        """Whether what is in an archive, or why it is refused, stands for the archive."""
        ending = path.suffix.lower()
        if ending not in (".zip", ".gz") or not path.is_file():
            return False
        if importer is not None and importer.table is None and self._takes(importer, path):
            return False
        try:
            place = self._unzipped(path) if ending == ".zip" else self._expanded(path)
            if place is not None:
                sources, others = survey([place], self.importers, format_name=self.format_name)
                if all(source.importer.table is not None for source in sources):
                    shutil.rmtree(place) if place.is_dir() else place.unlink()
                    place = None
            if ending == ".zip" and (place is not None or importer is None):
                _refuse_nested(path)
        except UnreadableSourceError as error:
            if importer is not None and ending == ".gz":
                return False  # a torn table says so when it is read
            reason = " ".join(str(error).split())
            refused = Unrecognised(path=path, reason=reason, named=named)
            self.found.unrecognised.append(refused)
            return True
        if place is None:
            return False
        self.found.places[str(place)] = str(path)
        self.found.sources.extend(sources)
        self.found.unrecognised.extend(
            Unrecognised(
                path=each.path, reason=self.found.shown(each.reason), named=False, note=each.note
            )
            for each in others
        )
        return True

    def _takes(self, importer: "Importer", path: Path) -> bool:
        try:
            return bool(importer.sniff(path))
        except Exception:
            return False

    def _unzipped(self, path: Path) -> Path | None:
        """Return the folder with what is in a zip file; None where it holds tables at most."""
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
            return None
        check_members(path, infos)
        names = [info.filename for info in infos if not info.is_dir()]
        if not any(self._may_be_known(name) for name in names):
            return None
        target = self._folder_like(path.absolute().parent) / path.stem
        target.mkdir()
        extract_zip(path, target)
        return target

    def _expanded(self, path: Path) -> Path | None:
        """Return what a gzip file holds, as a file; None where it is a table at most."""
        if not self._may_be_known(path.stem):
            return None
        here = path.absolute().parent
        if here not in self.beside:
            self.beside[here] = self._folder_like(here)
            _link_beside(here, self.beside[here])
        target = self.beside[here] / path.stem
        if target.is_symlink():
            return None  # the same file stands beside it
        if path.stem.lower().endswith(_LINES):
            extract_gzip(path, target, most=_SAMPLE)
            sources, _ = survey([target], self.importers, format_name=self.format_name)
            if all(source.importer.table is not None for source in sources):
                target.unlink()
                return None
        extract_gzip(path, target)
        return target

    def _may_be_known(self, name: str) -> bool:
        """Whether a file's name is that of a format, other than of a table."""
        lowered = name.lower()
        if lowered.endswith(_TABLES) or lowered.removesuffix(".gz").endswith(_TABLES):
            return False
        endings = tuple(each for one in self.importers.values() for each in one.suffixes)
        return lowered.endswith(endings) and not lowered.endswith((".zip", ".zip.gz"))

    def _folder_like(self, original: Path) -> Path:
        """Return a new folder in folders of the same names."""
        self.count += 1
        found = self.folder.joinpath(str(self.count), *original.parts[1:][-_FOLDERS:])
        found.mkdir(parents=True)
        return found


def _refuse_nested(path: Path) -> None:
    """Refuse an archive with another in it, which may hold results that would be left out."""
    inner: list[str] = []
    with (
        suppress(OSError, ValueError, zipfile.BadZipFile, NotImplementedError),
        zipfile.ZipFile(path) as archive,
    ):
        inner = [name for name in archive.namelist() if name.lower().endswith(".zip")]
    if inner:
        msg = (
            f"{path_text(path)}: expected plain files in the archive, got the archive"
            f" {inner[0]!r:.80} in it: unpack it and import what is in it"
        )
        raise UnreadableSourceError(msg)


def _link_beside(original: Path, folder: Path) -> None:
    """Let importers find what stands beside a file: a run's settings, its totals."""
    with suppress(OSError), os.scandir(original) as entries:
        for number, entry in enumerate(entries):
            if number >= _MOST_BESIDE:
                return
            if not entry.name.endswith((".gz", ".zip")):
                (folder / entry.name).symlink_to(original / entry.name)


Result = TypeVar("Result")


IN_FLIGHT = 64


def in_workers(
    job: Callable[[str], Result],
    paths: Sequence[Path],
    *,
    workers: int | None,
    died: Callable[[Path, str], Result],
) -> Iterator[tuple[Path, Result]]:
    """Yield the result of a job for every path, in order, with a bounded number in memory.

    A worker that dies takes every job of its pool with it. The jobs are then done one at a time,
    each in a pool of its own, so that the file that kills its worker is known. Where no worker can
    be started at all, this process does the rest.

    Parameters
    ----------
    job : callable
        Called with a path as text, in another process; it must not raise.
    paths : sequence of Path
    workers : int or None
        Number of processes; the number of cores by default.
    died : callable
        What stands for the result of a path whose worker died, called with the path and what
        happened.
    """
    done = 0
    try:
        for path, result in _pooled(job, paths, workers):
            yield path, result
            done += 1
        return
    except BrokenProcessPool:
        pass
    for path in paths[done:]:
        try:
            ((_, result),) = _pooled(job, [path], 1)
        except BrokenProcessPool as error:
            result = died(path, str(error)) if _can_start() else job(str(path))
        yield path, result


def _pooled(
    job: Callable[[str], Result], paths: Sequence[Path], workers: int | None
) -> Iterator[tuple[Path, Result]]:
    with process_pool(workers) as pool:
        remaining = iter(paths)
        waiting: list[tuple[Path, Future[Result]]] = []
        while True:
            waiting.extend(
                (path, pool.submit(job, str(path)))
                for path in islice(remaining, IN_FLIGHT - len(waiting))
            )
            if not waiting:
                return
            path, future = waiting.pop(0)
            yield path, future.result()


def _can_start() -> bool:
    """Whether a worker that is given next to nothing to do lives."""
    try:
        ((_, pid),) = _pooled(_nothing, [Path()], 1)
    except BrokenProcessPool:
        return False
    return pid != os.getpid()


def _nothing(_: str) -> int:
    return os.getpid()
