"""The journal of a run: every start and every result is kept, so that a kill loses nothing."""

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from midband_history import OUTCOME_KINDS, InputError, OutcomeKind, StoreError

if os.name == "posix":
    import fcntl

FILE = "rounds.jsonl"
FINISHED, FAILED, TIMED_OUT, INTERRUPTED = "finished", "failed", "timed out", "interrupted"
_NOT_RUN = ("cancelled", "missing")
# What no attempt costs or lasts: a value above is a mistake of the harness, and so unknown.
_MOST = {"cost": 1e6, "duration": 1e8, "number of tokens": 1e12}


@dataclass(frozen=True, kw_only=True)
class AttemptResult:
    """Result of one attempt, as in `Record`.

    Parameters
    ----------
    task : str
    attempt : int
    score : float or None
        In [0, 1]; None unless `kind` is ``valid``.
    kind : str
    cost_usd : float or None
        US dollars; None if unknown.
    seconds : float or None
        How long it took; None if unknown.
    tokens : float or None
        How many it used; None if unknown.
    key : str
        Its source key.
    """

    task: str
    attempt: int
    score: float | None
    kind: OutcomeKind
    cost_usd: float | None = None
    seconds: float | None = None
    tokens: float | None = None
    key: str = ""

    def spent(self, unit: str) -> float | None:
        """Return what it cost in ``usd``, ``seconds`` or ``tokens``; None if unknown."""
        return {"usd": self.cost_usd, "seconds": self.seconds, "tokens": self.tokens}[unit]


@dataclass(kw_only=True)
class EarlierResults:
    """Results of earlier rounds, with which those of a new round are compared.

    Parameters
    ----------
    keys : set of str
        Source keys of all results.
    attempts : set of (str, int)
        Task and number of the attempts that were told.
    agent : str
        Who ran; empty if unknown.
    """

    keys: set[str] = field(default_factory=set)
    attempts: set[tuple[str, int]] = field(default_factory=set)
    agent: str = ""


@dataclass(frozen=True, kw_only=True)
class RoundEnd:
    """Result of one round.

    Parameters
    ----------
    name : str
    tasks : tuple of str
        What was asked for.
    status : str
        ``finished``, ``failed`` (an exit code other than 0), ``timed out`` or ``interrupted``.
    codes : tuple of int
        Exit codes of the steps.
    results : tuple of AttemptResult
        On the tasks asked for; each attempt only in the first round that holds it.
    extra : tuple of str
        Tasks with results that were not asked for, sorted.
    extra_usd, extra_seconds, extra_tokens : float
        Their known cost in US dollars, seconds and tokens.
    unreadable : tuple of str
        Why files could not be read.
    duplicates : int
        Results that an earlier round holds, or that stand twice in this one.
    agent : str
        Who ran; empty without results.
    notes : tuple of str
        What the results state and cannot be, and was taken as unknown.
    """

    name: str
    tasks: tuple[str, ...]
    status: str
    codes: tuple[int, ...] = ()
    results: tuple[AttemptResult, ...] = ()
    extra: tuple[str, ...] = ()
    extra_usd: float = 0.0
    extra_seconds: float = 0.0
    extra_tokens: float = 0.0
    unreadable: tuple[str, ...] = ()
    duplicates: int = 0
    agent: str = ""
    notes: tuple[str, ...] = ()

    @property
    def scored(self) -> frozenset[str]:
        """Tasks of which an attempt has a score."""
        return frozenset(result.task for result in self.results if result.kind == "valid")

    @property
    def dropped(self) -> tuple[str, ...]:
        """Tasks that were asked for and have no result, in the order asked."""
        found = {result.task for result in self.results}
        return tuple(task for task in self.tasks if task not in found)

    def open_tasks(self) -> frozenset[str]:
        """Tasks that may not have been run to their end, so that another try makes sense.

        All of them if not one has a score; where the round was cut short or left a broken file,
        those without a result.
        """
        if not self.scored:
            return frozenset(self.tasks)
        if self.status == FINISHED and not self.unreadable:
            return frozenset()
        run = {result.task for result in self.results if result.kind not in _NOT_RUN}
        return frozenset(self.tasks) - run

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RoundEnd":
        """Rebuild the end of a round from its fields.

        Costs and durations that cannot be are unknown, with a note.

        Raises
        ------
        ValueError
            It is something else.
        """
        odd: Counter[str] = Counter()
        fields = {"notes": (), **data}
        _check(fields, _ROUND)
        end = cls(
            name=fields["name"],
            tasks=tuple(fields["tasks"]),
            status=fields["status"],
            codes=tuple(fields["codes"]),
            results=tuple(_result(each, fields["tasks"], odd) for each in fields["results"]),
            extra=tuple(fields["extra"]),
            extra_usd=amount(data.get("extra_usd"), "cost", odd) or 0.0,
            extra_seconds=amount(data.get("extra_seconds"), "duration", odd) or 0.0,
            extra_tokens=amount(data.get("extra_tokens"), "number of tokens", odd) or 0.0,
            unreadable=tuple(fields["unreadable"]),
            duplicates=fields["duplicates"],
            agent=fields["agent"],
        )
        return replace(end, notes=(*fields["notes"], *odd_notes(odd)))


def _result(data: Mapping[str, Any], tasks: Collection[str], odd: "Counter[str]") -> AttemptResult:
    _check(data, _RESULT)
    task, kind, score = data["task"], data["kind"], data.get("score")
    if task not in tasks or kind not in OUTCOME_KINDS:
        msg = f"expected a result of a task of the round, got {task!r:.40}, {kind!r:.20}"
        raise ValueError(msg)
    known = _is_within(score, 1.0)
    if known != (kind == "valid") or not (known or score is None):
        msg = f"expected a score in [0, 1] for a valid result alone, got {score!r:.40}, {kind}"
        raise ValueError(msg)
    return AttemptResult(
        task=task,
        attempt=data["attempt"],
        score=None if score is None else float(score),
        kind=kind,
        cost_usd=amount(data.get("cost_usd"), "cost", odd),
        seconds=amount(data.get("seconds"), "duration", odd),
        tokens=amount(data.get("tokens"), "number of tokens", odd),
        key=data["key"],
    )


def by_task(results: Iterable[AttemptResult]) -> dict[str, list[AttemptResult]]:
    """Return the results of each task, in the order of their first."""
    found: dict[str, list[AttemptResult]] = {}
    for each in results:
        found.setdefault(each.task, []).append(each)
    return found


def known_results(event: Mapping[str, Any], tasks: Collection[str]) -> list[AttemptResult]:
    """Return the results of earlier directories that an event brings.

    Raises
    ------
    ValueError
        It holds something else.
    """
    return [_result(each, tasks, Counter()) for each in event["results"]]


def amount(value: object, what: str, odd: "Counter[str]", *, attempts: int = 1) -> float | None:
    """Return an amount that `attempts` took; None, and counted as odd, where it cannot be one."""
    if value is None or _is_within(value, _MOST[what] * attempts):
        return None if value is None else float(value)
    odd[what] += 1
    return None


def _is_within(value: object, most: float) -> TypeGuard[float]:
    """Whether a value is a number from 0 to `most`."""
    return isinstance(value, (int, float)) and type(value) is not bool and 0 <= value <= most


def odd_notes(odd: "Counter[str]") -> tuple[str, ...]:
    """Return a line for each kind of amount that was taken as unknown."""
    return tuple(
        f"took {count} {what}{'' if count == 1 else 's'} as unknown:"
        " negative, not a finite number, or too large"
        for what, count in sorted(odd.items())
    )


class RunJournal:
    """Events of one run, a line of JSON each, in its directory; one process at a time.

    Parameters
    ----------
    directory : Path
        Made if it is not there.
    name : str
        Of the file.

    Raises
    ------
    InputError
        Another process has it open, or the system has no file locks.
    StoreError
        It cannot be written, or is damaged elsewhere than at its end.
    """

    def __init__(self, directory: Path, name: str = FILE) -> None:
        if os.name != "posix":
            msg = "expected Linux, macOS or another POSIX system, got none: use midband export"
            raise InputError(msg)
        self.path = directory / name
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            msg = f"expected a writable directory, got {directory}: {error.strerror}"
            raise StoreError(msg) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.events = self._read()
        except BaseException as error:
            self.close()
            if not isinstance(error, BlockingIOError):
                raise
            msg = (
                f"expected {directory} for this run alone, another midband run is at work in it:"
                " wait for its end, or use another directory"
            )
            raise InputError(msg) from error

    def _read(self) -> list[dict[str, Any]]:
        """Return the events; a last line that a kill cut off is removed."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            msg = f"expected a journal that can be read, got {self.path}: {error.strerror}"
            raise StoreError(msg) from error
        events, whole = parse_events(content, self.path)
        if whole < len(content):
            os.ftruncate(self._file, whole)
        os.lseek(self._file, 0, os.SEEK_END)
        return events

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind, in their order."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def begun(self) -> dict[str, Any]:
        """Return the event with which the run was begun or last went on; empty for a new run."""
        return next(iter(self.of("run")[::-1]), {})

    def damaged(self, number: int, found: str) -> StoreError:
        """Return the error of a line, counted from 1, that midband did not write like this."""
        return _damaged(self.path, number, found)

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

    def close(self) -> None:
        """Close the file and release its lock."""
        os.close(self._file)


def parse_events(content: bytes, path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the events of a journal, and the length of the lines that are whole.

    The last line may be cut off: by a kill, or because it is being written.

    Parameters
    ----------
    content : bytes
    path : Path
        What an error calls it.

    Raises
    ------
    StoreError
        It is damaged elsewhere than at its end.
    """
    whole = content[: content.rfind(b"\n") + 1]
    events: list[dict[str, Any]] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            events.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise _damaged(path, number, "something else than JSON") from error
        problem = event_problem(events[-1], first=number == 1)
        if problem:
            raise _damaged(path, number, problem)
    return events, len(whole)


def _damaged(path: Path, number: int, found: str) -> StoreError:
    return StoreError(
        f"{path}: expected what midband wrote in line {number}, got {found}:"
        " put back the file as it was, or start anew in another directory"
    )


_TEXT, _ANY_TEXT, _TEXTS, _ANY_TEXTS = "a text", "a text or none", "texts", "texts or none"
_COUNT, _TRUTH, _FIELDS, _LIST, _CODES = "a number", "true or false", "fields", "a list", "numbers"
_FORMS: dict[str, Callable[[Any], bool]] = {
    _TEXT: lambda value: isinstance(value, str) and value != "",
    _ANY_TEXT: lambda value: isinstance(value, str),
    _TEXTS: lambda value: _is_list(value, str) and len(value) > 0,
    _ANY_TEXTS: lambda value: _is_list(value, str),
    _COUNT: lambda value: type(value) is int and value >= 0,
    _TRUTH: lambda value: isinstance(value, bool),
    _FIELDS: lambda value: isinstance(value, Mapping),
    _LIST: lambda value: _is_list(value, object),
    _CODES: lambda value: _is_list(value, int),
}
# What an event, a round and a result must hold; they may hold more.
_EVENTS = {
    "run": {
        **dict.fromkeys(("harness", "plan", "arguments", "benchmark"), _TEXT),
        "attempts": _COUNT,
        "live": _TRUTH,
    },
    "round": {"name": _TEXT, "tasks": _TEXTS, "results": _TEXT},
    "known": {"results": _LIST, "source": _TEXT},
    "step": {"step": _COUNT},
    "ended": {"round": _FIELDS, "attempts": _COUNT},
}
_ROUND = {
    **dict.fromkeys(("name", "status", "agent"), _ANY_TEXT),
    **dict.fromkeys(("tasks", "extra", "unreadable", "notes"), _ANY_TEXTS),
    "codes": _CODES,
    "results": _LIST,
    "duplicates": _COUNT,
}
_RESULT = {"task": _ANY_TEXT, "kind": _ANY_TEXT, "attempt": _COUNT, "key": _ANY_TEXT}


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, kind) for each in value)


def _misfits(data: Mapping[str, Any], forms: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the fields that lack their form, each with that form."""
    return [(name, form) for name, form in forms.items() if not _FORMS[form](data.get(name))]


def _check(data: object, forms: Mapping[str, str]) -> None:
    """Raise ValueError unless all fields have these forms."""
    if not isinstance(data, Mapping):
        msg = f"expected a result, got {data!r:.40}"
        raise ValueError(msg)
    for name, form in _misfits(data, forms):
        msg = f"expected {form} as {name}, got {data.get(name)!r:.40}"
        raise ValueError(msg)


def event_problem(event: object, *, first: bool) -> str:
    """Return what is wrong with the form of an event; empty if nothing is."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return "no event"
    kind = event["event"]
    if first and kind != "run":
        return f"{kind!r:.20} before the run was begun"
    for name, form in _misfits(event, _EVENTS.get(kind, {})):
        return f"no {name} ({form}) in the event {kind!r}"
    if kind == "round" and Path(event["name"]).name != event["name"]:
        return f"a round called {event['name']!r:.40}"
    return ""


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
