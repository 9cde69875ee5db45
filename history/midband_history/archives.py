"""What DuckDB is given to read: an ordinary path to plain content, whatever the file is called.

DuckDB takes ``* ? [`` in a name for a pattern, ``s3://`` for an address and ``~`` for a home, and
cannot be given a name that is not UTF-8. Such files are read through a link. Compressed files are
expanded to disk first, up to a bound.
"""

import gzip
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from midband_history.errors import UnreadableSourceError

TableFormat = Literal["csv", "jsonl", "json", "parquet", "zip"]
FORMATS: dict[str, TableFormat] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".zip": "zip",
}
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
# A table of results shrinks to a tenth or a fiftieth; a bomb to a thousandth.
_MOST_RATIO = 400
_FREE = 64 << 20
_MOST_BYTES = 8 << 30
_MOST_MEMBERS = 10_000
_BLOCK = 1 << 20
_PLAIN = re.compile(
    r"[A-Za-z]:[\w./\\ +@%,-]*" if sys.platform == "win32" else r"[\w./ +@%,-]*", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One table to read: a plain file, or one of those in an archive.

    Parameters
    ----------
    path : Path
        Where DuckDB finds its content.
    name : str
        What errors call it: the file, and its member in an archive.
    stem : str
        Its name without folder and endings.
    format : {"csv", "jsonl", "json", "parquet"}
    """

    path: Path
    name: str
    stem: str
    format: TableFormat


def format_of(name: str) -> TableFormat | None:
    """Return the format of a file of rows by its name, ``.gz`` aside; None if it has none."""
    lowered = name.lower().removesuffix(".gz")
    found = FORMATS.get(os.path.splitext(lowered)[1])  # noqa: PTH122 - a name, not a path
    return None if found == "zip" and name.lower().endswith(".gz") else found


def stem_of(name: str) -> str:
    """Return a file's name without folder and without the endings of its format."""
    base = name.replace("\\", "/").rpartition("/")[2]
    if base.lower().endswith(".gz"):
        base = base[:-3]
    return os.path.splitext(base)[0] if format_of(base) else base  # noqa: PTH122


def members_of(path: Path) -> list[str]:
    """Return the names of the tables in a zip file, sorted; none if it cannot be opened."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(name for name in archive.namelist() if _is_table(name))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []


@contextmanager
def opened(path: Path, table_format: TableFormat) -> Iterator[tuple[list[Member], tuple[str, ...]]]:
    """Give the tables in a file under paths that DuckDB reads literally, and notes on the rest.

    Raises
    ------
    UnreadableSourceError
        The file cannot be opened, is a broken archive, or expands beyond all measure.
    """
    with tempfile.TemporaryDirectory(prefix="midband-", ignore_cleanup_errors=True) as folder:
        here = Path(folder)
        try:
            if table_format == "zip":
                found, notes = _unzipped(path, here)
            else:
                place, notes = _plain(path, table_format, here), ()
                stem = stem_of(shown(Path(path.name)))
                found = [Member(path=place, name=shown(path), stem=stem, format=table_format)]
        except OSError as error:
            msg = f"{shown(path)}: expected a file to read, got: {error.strerror or error}"
            raise UnreadableSourceError(msg) from error
        yield found, notes


def shown(path: Path) -> str:
    """Return a path as text that every terminal and file can hold."""
    return os.fsencode(path).decode("utf-8", "replace")


def extract_zip(path: Path, folder: Path) -> None:
    """Unpack a zip file into a folder of its own, up to a bound; archives in it are left out.

    Raises
    ------
    UnreadableSourceError
        It is broken, encrypted, beyond all measure, or holds a link or a path that leads out of it.
    """
    try:
        with _open_zip(path) as archive:
            infos = archive.infolist()
            check_members(path, infos)
            files = [each for each in infos if _is_wanted(each)]
            if len(files) > _MOST_MEMBERS:
                msg = (
                    f"{shown(path)}: expected at most {_MOST_MEMBERS:,} files in the archive, got"
                    f" {len(files):,}: unpack it and import what is in it"
                )
                raise UnreadableSourceError(msg)
            left = _bound(path.stat().st_size)
            for info in files:
                target = folder / info.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source:
                    left -= _copy(source, target, left, f"{shown(path)}/{info.filename}")
    except OSError as error:
        msg = f"{shown(path)}: expected files that can be unpacked, got: {error.strerror or error}"
        raise UnreadableSourceError(msg) from error


@contextmanager
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file; whatever is wrong with it is one error."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except UnreadableSourceError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        msg = f"{shown(path)}: expected a whole zip file without a password, got: {error}"
        raise UnreadableSourceError(" ".join(msg.split())) from error


def _is_wanted(info: zipfile.ZipInfo) -> bool:
    """Whether a member is a file that is no archive, nor one that macOS adds beside each real one.

    An archive within an archive is never opened.
    """
    name = info.filename
    return not (info.is_dir() or name.lower().endswith(".zip") or name.startswith("__MACOSX/"))


def check_members(path: Path, infos: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an archive with a link, a path that leads out of it, or a password.

    Raises
    ------
    UnreadableSourceError
        It has one, which is named.
    """
    for info in infos:
        parts = info.filename.replace("\\", "/").split("/")
        got = ""
        if parts[0] == "" or ".." in parts or re.match(r"[A-Za-z]:", parts[0]):
            got = "a path that leads out of it"
        elif stat.S_ISLNK(info.external_attr >> 16):
            got = "a link"
        elif info.flag_bits & 1:
            got = "a file with a password"
        if got:
            msg = (
                f"{shown(path)}: expected plain files below the archive, got {got},"
                f" {info.filename!r:.80}: unpack it yourself if you trust it"
            )
            raise UnreadableSourceError(msg)


def extract_gzip(path: Path, target: Path, *, most: int | None = None) -> None:
    """Write what a gzip file holds to a new file, up to a bound; or its first lines.

    Parameters
    ----------
    most : int, optional
        Whole lines of so many bytes are enough.

    Raises
    ------
    UnreadableSourceError
        It is broken, or expands beyond all measure.
    """
    try:
        with gzip.open(path) as source:
            if most is not None:
                start = source.read(most)
                end = start.rfind(b"\n") + 1 if len(start) == most else len(start)
                target.write_bytes(start[:end])
                return
            _copy(source, target, _bound(path.stat().st_size), shown(path))
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, UnreadableSourceError):
            raise
        msg = f"{shown(path)}: expected a whole gzip file, got: {error}: copy or export it again"
        raise UnreadableSourceError(msg) from error


def _is_table(name: str) -> bool:
    base = name.rpartition("/")[2]
    found = format_of(name)
    return bool(base) and found not in (None, "zip") and not base.startswith((".", "__"))


def _plain(path: Path, table_format: TableFormat, here: Path) -> Path:
    """Return where the content stands under an ordinary name."""
    with path.open("rb") as file:
        start = file.read(4)
        target = here / f"table.{table_format}"
        if start.startswith(_GZIP):
            bound = _bound(path.stat().st_size)
            try:
                with gzip.open(path) as source:
                    _copy(source, target, bound, shown(path))
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                msg = (
                    f"{shown(path)}: expected a whole gzip file, got: {error}:"
                    " copy or export it again"
                )
                raise UnreadableSourceError(msg) from error
            return target
        if start.startswith(_BOM) and table_format in ("json", "jsonl"):
            file.seek(len(_BOM))
            with target.open("wb") as out:
                shutil.copyfileobj(file, out, _BLOCK)
            return target
    whole = path.absolute()
    if _PLAIN.fullmatch(os.fsencode(whole).decode("utf-8", "replace")):
        return whole
    try:
        target.symlink_to(whole)
    except (OSError, NotImplementedError):
        if sys.platform != "win32":
            raise
        shutil.copyfile(whole, target)  # Windows lets few users make links
    return target


def _unzipped(path: Path, here: Path) -> tuple[list[Member], tuple[str, ...]]:
    with _open_zip(path) as archive:
        infos = sorted(archive.infolist(), key=lambda info: info.filename)
        tables = [info for info in infos if _is_table(info.filename)]
        others = [info.filename for info in infos if not info.is_dir() and info not in tables]
        if not tables or len(tables) > _MOST_MEMBERS:
            msg = (
                f"{shown(path)}: expected 1 to {_MOST_MEMBERS:,} files of rows in the archive,"
                f" got {len(tables):,}: unpack it and import what is in it"
            )
            raise UnreadableSourceError(msg)
        left = _bound(path.stat().st_size)
        found = []
        for number, info in enumerate(tables):
            table_format = format_of(info.filename)
            if table_format is None:
                continue
            name = f"{shown(path)}/{info.filename}"
            target = here / f"{number}.{table_format}"
            with archive.open(info) as source:
                left -= _copy(source, target, left, name)
            inner = here / f"plain-{number}"
            inner.mkdir()
            found.append(
                Member(
                    path=_plain(target, table_format, inner),
                    name=name,
                    stem=stem_of(info.filename),
                    format=table_format,
                )
            )
    if not others:
        return found, ()
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return found, (f"left out what is no table in the archive: {others[0]}{more}",)


def _bound(compressed: int) -> int:
    return min(_MOST_BYTES, _FREE + _MOST_RATIO * compressed)


def _copy(source: IO[bytes] | gzip.GzipFile, target: Path, bound: int, name: str) -> int:
    """Copy up to a bound, and return how much it was."""
    done = 0
    with target.open("wb") as out:
        while block := source.read(_BLOCK):
            done += len(block)
            if done > bound:
                msg = (
                    f"{name}: expected at most {bound >> 20:,} MB once expanded, got more:"
                    " if it is no bomb, unpack it yourself"
                )
                raise UnreadableSourceError(msg)
            out.write(block)
    return done
