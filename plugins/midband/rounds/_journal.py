"""The journal of a run: what was started and what it brought, kept so that a kill loses nothing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from midband_history import InputError, StoreError

if os.name == "posix":
    import fcntl

FILE = "rounds.jsonl"


class Journal:
    """Events of one run, a line of JSON each, in its directory; one process at a time.

    Parameters
    ----------
    directory : Path
        Made if it is not there.

    Raises
    ------
    InputError
        Another process has it open, or the system has no file locks.
    StoreError
        It cannot be written, or is damaged elsewhere than at its end.
    """

    def __init__(self, directory: Path) -> None:
        if os.name != "posix":
            msg = "expected Linux, macOS or another POSIX system, got none: use midband export"
            raise InputError(msg)
        self.path = directory / FILE
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            msg = f"expected a writable directory, got {directory}: {error.strerror}"
            raise StoreError(msg) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.events = self._read()
        except BlockingIOError as error:
            os.close(self._file)
            msg = (
                f"expected {directory} for this run alone, another midband run is at work in it:"
                " wait for its end, or use another directory"
            )
            raise InputError(msg) from error
        except BaseException:
            os.close(self._file)
            raise

    def _read(self) -> list[dict[str, Any]]:
        """Return the events; a last line that a kill cut off is removed."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            msg = f"expected a journal that can be read, got {self.path}: {error.strerror}"
            raise StoreError(msg) from error
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(self._file, len(whole))
        os.lseek(self._file, 0, os.SEEK_END)
        events: list[dict[str, Any]] = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self.damaged(number, "something else than JSON") from error
            problem = _problem(event, begun=bool(events))
            if problem:
                raise self.damaged(number, problem)
            events.append(event)
        return events

    def damaged(self, number: int, found: str) -> StoreError:
        """Return the error of a line, counted from 1, that midband did not write like this."""
        return StoreError(
            f"{self.path}: expected what midband wrote in line {number}, got {found}:"
            " put back the file as it was, or start anew in another directory"
        )

    def write(self, event: str, content: Mapping[str, object]) -> None:
        """Append an event; it is on the disk when this returns."""
        entry = {"event": event, **content}
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            msg = f"expected a writable journal, got {self.path}: {error.strerror}"
            raise StoreError(msg) from error
        self.events.append(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)


_TEXT, _WHOLE, _TRUTH, _TEXTS, _FIELDS = "a text", "a number", "true or false", "texts", "fields"
# What an event must hold; it may hold more.
_EVENTS = {
    "run": {
        **dict.fromkeys(("harness", "plan", "arguments", "benchmark"), _TEXT),
        "attempts": _WHOLE,
        "live": _TRUTH,
    },
    "round": {"name": _TEXT, "tasks": _TEXTS, "results": _TEXT},
    "step": {"step": _WHOLE},
    "ended": {"round": _FIELDS, "attempts": _WHOLE},
}


def _problem(event: object, *, begun: bool) -> str:
    """Return what is wrong with the form of an event; empty if nothing is."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return "no event"
    kind = event["event"]
    if not begun and kind != "run":
        return f"{kind!r:.20} before the run was begun"
    for name, form in _EVENTS.get(kind, {}).items():
        if not _has_form(event.get(name), form):
            return f"no {name} ({form}) in the event {kind!r}"
    if kind == "round" and Path(event["name"]).name != event["name"]:
        return f"a round called {event['name']!r:.40}"
    return ""


def _has_form(value: object, form: str) -> bool:
    if form == _TEXT:
        return isinstance(value, str) and value != ""
    if form == _TRUTH:
        return isinstance(value, bool)
    if form == _WHOLE:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if form == _FIELDS:
        return isinstance(value, dict)
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def results_of(directory: Path) -> list[Path]:
    """Return where the rounds of a run have their results, each once; absent ones left out."""
    found: dict[Path, None] = {}
    for line in (directory / FILE).read_bytes().splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # cut off by a kill
            continue
        if isinstance(event, dict) and event.get("event") == "round":
            found[directory / str(event.get("results"))] = None
    return [path for path in found if path.exists()]
