"""The state file of a run or race: where it lies, what it holds, and how it is read again."""

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from midband.view.alive import is_alive

FORMAT, VERSION = "midband run state", 1
RUN, RACE = "run", "race"
RUNNING, ENDED, DIED, UNHEARD, UNREADABLE = "running", "ended", "died", "unheard", "unreadable"
OFF = "off"
# The most that is kept of each, so that a state file stays small however long a run is.
MOST_NAMES, MOST_LINES, LONGEST = 200, 60, 600
NUMBERS = (
    *("tasks_run", "tasks_planned", "tasks_total", "results", "errors", "unscored"),
    *("rank", "low", "high", "of", "confidence", "score", "score_low", "score_high"),
    *("spent_usd", "spent_tokens", "spent_seconds", "saved_usd", "full", "open_pairs"),
)
TEXTS = (
    *("harness", "benchmark", "plan_digest", "question", "directory", "reason", "doing"),
    *("target", "guarantee", "midband", "answer"),
)
LISTS = ("agents", "claims", "tied", "lines", "warnings", "notes")
STATE_NAME = re.compile(r"[0-9a-f]{16}\.json")
_NOT_OURS = "is not a state file of midband"
_MOST_NUMBER = 1e15
_MOST_BYTES = 4 * 1024 * 1024


Ranks = tuple[int | None, int | None, int | None]
Bounds = tuple[float | None, float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class CandidateState:
    """One candidate of a race.

    Parameters
    ----------
    name : str
    rank_low, rank_high : int or None
        Ranks that the claims leave open, 1 being the best; None where it was set apart.
    score : float or None
        Estimated full score in [0, 1].
    tasks, total, errors : int or None
    usd : float or None
        What the race paid for it.
    state, note : str
        As in `midband_sampler.racing.Ranked`.
    """

    name: str
    rank_low: int | None = None
    rank_high: int | None = None
    score: float | None = None
    tasks: int | None = None
    total: int | None = None
    errors: int | None = None
    usd: float | None = None
    state: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What was known after so many results.

    Parameters
    ----------
    at : int
        Tasks that were judged, or the results of all candidates in a race.
    ranks : tuple of (int or None, int or None, int or None)
        Low, high and estimated rank of each agent, in the order of `RunState.agents`.
    score : tuple of (float or None, float or None, float or None)
        Low, high and estimated score of the agent of a run, in [0, 1].
    """

    at: int
    ranks: tuple[Ranks, ...]
    score: Bounds = (None, None, None)

    def rank_of(self, place: int) -> Ranks:
        """Return low, high and estimated rank of the agent at a place."""
        return self.ranks[place] if place < len(self.ranks) else (None, None, None)


@dataclass(frozen=True, kw_only=True)
class RunState:
    """What the state file of a run or race says; what it does not say is empty or missing.

    Parameters
    ----------
    id : str
        The name of the file without its ending.
    kind : str
        ``run`` or ``race``; empty where that cannot be read.
    status : str
        ``running`` or ``ended`` as the file says; see `RunState.shown_status`.
    failed : bool
        Whether it ended for want of results.
    begun, written : datetime or None
        UTC.
    pid, pid_started, host, machine : int or None, str, str, str
        The process that writes the file, when it began in the system's own words, and where.
    numbers : mapping of str to float
        Those of `NUMBERS` that are known; a share is in [0, 1].
    texts : mapping of str to str
        Those of `TEXTS`; `directory` is where the full results are.
    lists : mapping of str to tuple of str
        Those of `LISTS`; `lines` is the verdict in words.
    candidates : tuple of CandidateState
        Of a race.
    course : tuple of Point
        In order of `Point.at`; thinned out evenly once it is long.
    recent : tuple of (str, str, float or None, str)
        Agent, task id, score in [0, 1] and kind of the latest results, the newest first.
    problem : str
        Why some or all of it could not be read; empty if all could.
    """

    id: str
    kind: str = ""
    status: str = UNREADABLE
    failed: bool = False
    begun: datetime | None = None
    written: datetime | None = None
    pid: int | None = None
    pid_started: str = ""
    host: str = ""
    machine: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    candidates: tuple[CandidateState, ...] = ()
    course: tuple[Point, ...] = ()
    recent: tuple[tuple[str, str, float | None, str], ...] = ()
    problem: str = ""

    def number(self, name: str) -> float | None:
        """Return one of `NUMBERS`; None where it is unknown."""
        return self.numbers.get(name)

    def whole(self, name: str) -> int | None:
        """Return one of `NUMBERS` that counts something; None where it is unknown."""
        value = self.numbers.get(name)
        return None if value is None else int(value)

    def text(self, name: str) -> str:
        """Return one of `TEXTS`."""
        return self.texts.get(name, "")

    def list(self, name: str) -> tuple[str, ...]:
        """Return one of `LISTS`."""
        return self.lists.get(name, ())

    @property
    def shown_status(self) -> str:
        """How it stands: a run that says it continues may have died, or be on another machine."""
        if self.status != RUNNING:
            return self.status
        alive = is_alive(self.pid, self.pid_started, host=self.host, machine=self.machine)
        if alive is None:
            return UNHEARD
        return RUNNING if alive else DIED

    def to_json(self) -> str:
        """Return the text of the file."""
        plain: dict[str, object] = {"format": FORMAT, "version": VERSION, **asdict(self)}
        del plain["problem"]
        for name in ("begun", "written"):
            moment = getattr(self, name)
            plain[name] = None if moment is None else moment.isoformat(timespec="milliseconds")
        return json.dumps(plain, allow_nan=False, separators=(",", ":"))


def runs_directory() -> Path | None:
    """Return where the state files lie: below MIDBAND_STATE, else the user's state directory.

    None where ``MIDBAND_STATE=off`` says that there are to be none.
    """
    named = os.environ.get("MIDBAND_STATE", "")
    if named.strip().lower() == OFF:
        return None
    if named:
        return Path(named).expanduser() / "runs"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "midband" / "runs"


def state_id(key: str) -> str:
    """Return the id of a run from what names it on this machine, such as its directory."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class StateReader:
    """Reads state files, and those that have not changed only once.

    Parameters
    ----------
    directory : Path or None
        Where they lie; None where there are to be none.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._known: dict[str, tuple[tuple[int, ...], RunState]] = {}

    def read(self) -> list[RunState]:
        """Return every state: what still runs first, then the latest first.

        What is no state file is named with the reason. Hidden files, such as one that is just being
        written, are left out.
        """
        folder = self.directory
        try:
            names = [] if folder is None else sorted(os.listdir(folder))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            names = []
        known = {}
        for name in names:
            if name.startswith(".") or folder is None:
                continue
            path = folder / name
            try:
                about = path.lstat()
            except OSError:  # it has gone since
                continue
            identity = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_mode)
            before = self._known.get(name)
            same = before is not None and before[0] == identity
            known[name] = before if before and same else (identity, read_state(path))
        self._known = known
        found = [state for _, state in known.values()]
        oldest = datetime.min.replace(tzinfo=UTC)
        found.sort(key=lambda state: state.written or oldest, reverse=True)
        order = {RUNNING: 0, UNHEARD: 1, UNREADABLE: 3}
        return sorted(found, key=lambda state: order.get(state.shown_status, 2))


def read_state(path: Path) -> RunState:
    """Read a state file; never raises, what cannot be read is named in `RunState.problem`."""
    if not STATE_NAME.fullmatch(path.name):
        return RunState(id=state_id(path.name), problem=f"{path.name} {_NOT_OURS}.")
    known = path.stem
    try:
        data = _loaded(path)
    except (OSError, ValueError, RecursionError) as error:
        return RunState(id=known, problem=_why(path, error))
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        return RunState(id=known, problem=f"{path.name} {_NOT_OURS}.")
    try:
        return _state(known, data)
    except Exception as error:  # a foreign file may hold anything; the page must go on
        return RunState(id=known, problem=_why(path, error))


def _loaded(path: Path) -> object:
    """Return what a file holds; a pipe or a device that lies there is not opened."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            msg = "it is no regular file"
            raise ValueError(msg)
        if about.st_size > _MOST_BYTES:
            msg = f"it has {about.st_size:,} bytes, more than any state file"
            raise ValueError(msg)
        return json.loads(file.read(_MOST_BYTES + 1))


def _why(path: Path, error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{path.name} {_NOT_OURS}, or was written only in part."
    if isinstance(error, OSError):
        return f"{path.name} cannot be read: {error.strerror}."
    return f"{path.name} cannot be read: {' '.join(str(error).split())[:200]}."


def _state(name: str, data: Mapping[str, Any]) -> RunState:
    version = _whole(data.get("version"))
    problem = ""
    if version is None or version > VERSION:
        said = "unknown" if version is None else version
        problem = (
            f"This state file has format {said}, and this midband reads format {VERSION}. Some of"
            " it may be missing here. Upgrade with `pip install -U midband`."
        )
    status, kind = data.get("status"), data.get("kind")
    numbers, texts, lists = (_mapping(data.get(each)) for each in ("numbers", "texts", "lists"))
    if status not in (RUNNING, ENDED) or kind not in (RUN, RACE):
        problem = (
            problem
            or "This state file does not say whether it is about a run or a race, or how it stands."
        )
    return RunState(
        id=name,
        kind=kind if kind in (RUN, RACE) else "",
        status=status if status in (RUNNING, ENDED) else UNREADABLE,
        failed=data.get("failed") is True,
        begun=_moment(data.get("begun")),
        written=_moment(data.get("written")),
        pid=_whole(data.get("pid")),
        pid_started=_text(data.get("pid_started")),
        host=_text(data.get("host")),
        machine=_text(data.get("machine")),
        numbers={key: value for key in NUMBERS if (value := _number(numbers.get(key))) is not None},
        texts={key: text for key in TEXTS if (text := _text(texts.get(key)))},
        lists={key: items for key in LISTS if (items := _texts(lists.get(key)))},
        candidates=tuple(
            _candidate(each) for each in _items(data.get("candidates")) if isinstance(each, Mapping)
        ),
        course=tuple(
            sorted(
                (point for each in _items(data.get("course")) if (point := _point(each))),
                key=lambda point: point.at,
            )
        ),
        recent=tuple(found for each in _items(data.get("recent")) if (found := _recent(each))),
        problem=problem,
    )


def _candidate(data: Mapping[str, Any]) -> CandidateState:
    whole = {name: _whole(data.get(name)) for name in ("rank_low", "rank_high", "tasks", "total")}
    return CandidateState(
        name=_text(data.get("name")),
        errors=_whole(data.get("errors")),
        score=_number(data.get("score")),
        usd=_number(data.get("usd")),
        state=_text(data.get("state")),
        note=_text(data.get("note")),
        **whole,
    )


def _point(data: object) -> Point | None:
    if not isinstance(data, Mapping) or (at := _whole(data.get("at"))) is None:
        return None
    ranks: list[Ranks] = []
    for each in _items(data.get("ranks")):
        low, high, middle = map(_whole, [*_items(each), None, None, None][:3])
        ranks.append((low, high, middle))
    first, last, score = map(_number, [*_items(data.get("score")), None, None, None][:3])
    return Point(at=at, ranks=tuple(ranks), score=(first, last, score))


def _recent(data: object) -> tuple[str, str, float | None, str] | None:
    items = _items(data)
    if len(items) < 4:
        return None
    return _text(items[0]), _text(items[1]), _number(items[2]), _text(items[3])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> Sequence[Any]:
    return value[:2000] if isinstance(value, list) else []


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _MOST_NUMBER else None  # NaN is not below either


def _whole(value: object) -> int | None:
    found = _number(value)
    return int(found) if found is not None and found == int(found) else None


def _text(value: object) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(each) for each in _items(value)[:MOST_NAMES] if isinstance(each, str))


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    with suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return None
