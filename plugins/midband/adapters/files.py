"""Files of harnesses: JSON whole or piece by piece, or a refusal by name; numbers and dates."""

import codecs
import hashlib
import json
import math
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from midband_history import UnreadableSourceError, sane_date, sane_duration

HEAD_BYTES = 4096


class AggregateOnlyError(UnreadableSourceError):
    """A file that holds no result of a single task, and is whole nevertheless."""


# Python objects take some ten times the bytes of their JSON.
LINE_BYTES = 64 << 20
JSON_BYTES = 256 << 20
_CHUNK = 1 << 20
_OF_NUMBERS = "0123456789+-.eE"  # and the empty text: the end of what is held
_BLANK = " \t\n\r\ufeff"


def head(path: Path) -> bytes:
    """Return how a file begins, without white space; nothing if it cannot be read."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would never end
            return b""
        return _head(path, about.st_mtime_ns, about.st_size)
    except OSError:
        return b""


def start_of(path: Path, *endings: str) -> bytes:
    """Return how a file begins whose name has one of these endings; nothing of any other."""
    return head(path) if path.name.endswith(endings) and path.is_file() else b""


@lru_cache(maxsize=2)
def _head(path: Path, changed: int, size: int) -> bytes:
    """Read it once for all importers; `changed` and `size` only tell when to look again."""
    del changed, size
    with path.open("rb") as file:
        return b"".join(file.read(HEAD_BYTES).split())


def load_json(path: Path, what: str) -> Any:
    """Read a whole JSON file.

    Raises
    ------
    UnreadableSourceError
        It is absent, truncated, foreign, no regular file, nested without end, or larger than
        `JSON_BYTES`.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise foreign(path, what, "what is no regular file")
        with path.open("rb") as file:
            text = file.read(JSON_BYTES + 1)
        if len(text) > JSON_BYTES:
            raise foreign(path, what, f"a document of more than {JSON_BYTES >> 20} MB")
        return _parsed(text.removeprefix(codecs.BOM_UTF8))
    except UnreadableSourceError:
        raise
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise refused(path, what, error) from error


def load_object(path: Path, what: str) -> dict[str, Any]:
    """Read a whole JSON file that holds an object; raises as `load_json`."""
    found = load_json(path, what)
    if not isinstance(found, dict):
        raise foreign(path, what, f"a {type(found).__name__}")
    return found


def load_optional(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object that may be absent, empty then; one that is torn is refused."""
    return load_object(path, what) if path.is_file() else {}


def load_lines(path: Path, what: str) -> Iterator[dict[str, Any]]:
    """Yield the object of every line; raises as `load_json`, and names the line.

    A line of more than `LINE_BYTES` is refused before it is read whole.
    """
    number = 0
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise foreign(path, what, "what is no regular file")
        with path.open("rb") as file:
            if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                file.seek(0)
            while line := file.readline(LINE_BYTES + 1):
                number += 1
                if len(line) > LINE_BYTES:
                    size = f"more than {LINE_BYTES >> 20} MB in line {number}"
                    raise foreign(path, what, size)
                if not line.strip():
                    continue
                row = _parsed(line)
                if not isinstance(row, dict):
                    raise foreign(path, what, f"no object in line {number}")
                yield row
    except UnreadableSourceError:
        raise
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        got = (
            f"a truncated or unreadable line {number} ({_words(error)}): import it again when whole"
        )
        raise foreign(path, what, got) from error


def refused(path: Path, what: str, error: Exception) -> UnreadableSourceError:
    """Return the refusal of a file that cannot be read to its end."""
    got = f"a truncated or unreadable file ({_words(error)}): import it again when whole"
    return foreign(path, what, got)


def foreign(path: Path, what: str, got: str) -> UnreadableSourceError:
    """Return the refusal of a file that is another than it looks."""
    return UnreadableSourceError(f"{path}: expected {what}, got {got}")


def list_of_objects(value: object, path: Path, what: str) -> list[dict[str, Any]]:
    """Return a list whose every entry is an object, or refuse the file."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise foreign(path, what, "something else than a list of objects")
    return value


def mapping(value: object) -> dict[str, Any]:
    """Return an object, or an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def number(value: object) -> float | None:
    """Return a finite number, or None: unknown."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:  # an integer of 10^400
        return None
    return found if math.isfinite(found) else None


def truth_or_number(value: object) -> float | None:
    """Return a finite number, of a truth value too, or None: unknown."""
    return float(value) if isinstance(value, bool) else number(value)


def written_number(value: object) -> float | None:
    """Return a finite number, of a text that is one too, or None: unknown."""
    try:
        return number(float(value) if isinstance(value, str) else value)
    except ValueError:
        return None


def total(*values: object) -> float | None:
    """Return the sum of what is known, or None where nothing is."""
    known = [found for value in values if (found := number(value)) is not None]
    return sum(known) if known else None


def moment(value: object) -> datetime | None:
    """Read an ISO date or seconds since 1970; None where there is neither, or an absurd one.

    Years before 2000 and after 2099 are those of broken clocks and other units.
    """
    text = str(value)
    with suppress(ValueError, OverflowError, OSError):
        return sane_date(datetime.fromtimestamp(float(text), UTC))
    with suppress(ValueError):
        return sane_date(datetime.fromisoformat(text))
    return None


def seconds_between(start: object, end: object) -> float | None:
    """Return how long something took, or None where an end is unknown."""
    first, last = moment(start), moment(end)
    if first is None or last is None or last < first:
        return None
    return sane_duration((last - first).total_seconds())


def content_hash(value: object) -> str:
    """Return a digest of a task's content, the same whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _parsed(text: bytes) -> Any:
    """Parse JSON in UTF-8; an integer of any length stays one."""
    return json.loads(text.decode("utf-8"), parse_int=_integer)


def _integer(digits: str) -> int | float:
    """Return an integer, or infinity for one of more digits than Python reads."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def entries(path: Path, what: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of an array that is the whole file; raises as `members`."""
    for _, value in _whole(path, what, stream=""):
        if not isinstance(value, dict):
            raise foreign(path, what, "something else than a list of objects")
        yield value


def members(path: Path, what: str, *, stream: str) -> Iterator[tuple[str, Any]]:
    """Yield the members of an object that is the whole file, in its order.

    Parameters
    ----------
    path : Path
    what : str
        What it should be, for the error.
    stream : str
        The member whose array is yielded entry by entry, each under that name.

    Raises
    ------
    UnreadableSourceError
        It is absent, truncated or foreign; possibly after some members.
    """
    yield from _whole(path, what, stream=stream)


def _whole(path: Path, what: str, *, stream: str) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            text = _Text(file)
            if stream:
                yield from _members(text, stream)
            else:
                yield from (("", value) for value in _array(text))
            text.end()
    except UnreadableSourceError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise refused(path, what, error) from error


class _Text:
    """A file of which only what is being read is held."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._held = ""
        self._place = 0
        self._decode = json.JSONDecoder().raw_decode

    def next(self) -> str:
        """Return the next character that is not blank, and stay before it."""
        while True:
            while self._place < len(self._held):
                found = self._held[self._place]
                if found not in _BLANK:
                    return found
                self._place += 1
            if not self._more():
                return ""

    def skip(self, *expected: str) -> str:
        """Return the next character and go past it; it must be one of those."""
        found = self.next()
        if found not in expected:
            msg = f"expected {' or '.join(expected)}, got {found or 'the end'}"
            raise ValueError(msg)
        self._place += 1
        return found

    def value(self) -> Any:
        """Return the next value and go past it."""
        self.next()
        while True:
            try:
                found, end = self._decode(self._held, self._place)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            # What is held may end within a number.
            if self._held[end : end + 1] not in _OF_NUMBERS or not self._more():
                self._place = end
                return found

    def end(self) -> None:
        """Check that nothing follows."""
        if self.next():
            msg = f"expected the end, got {self.next()}"
            raise ValueError(msg)

    def _more(self) -> bool:
        # What is held doubles, so that a long value is not tried again for every chunk.
        chunk = self._file.read(max(_CHUNK, len(self._held) - self._place))
        self._held = self._held[self._place :] + chunk
        self._place = 0
        return bool(chunk)


def _members(text: _Text, stream: str) -> Iterator[tuple[str, Any]]:
    text.skip("{")
    if text.next() == "}":
        text.skip("}")
        return
    while True:
        if text.next() != '"':
            text.skip('"')
        name = text.value()
        text.skip(":")
        if name == stream and text.next() == "[":
            yield from ((name, value) for value in _array(text))
        else:
            yield name, text.value()
        if text.skip(",", "}") == "}":
            return


def _array(text: _Text) -> Iterator[Any]:
    text.skip("[")
    if text.next() == "]":
        text.skip("]")
        return
    while True:
        yield text.value()
        if text.skip(",", "]") == "]":
            return
