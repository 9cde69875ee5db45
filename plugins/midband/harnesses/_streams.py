"""JSON read piece by piece, so that a file of any size takes the memory of its largest entry."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from midband.harnesses._files import foreign, refused
from midband_history import UnreadableSourceError

_CHUNK = 1 << 20
_OF_NUMBERS = "0123456789+-.eE"  # and the empty text: the end of what is held
_BLANK = " \t\n\r\ufeff"


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
