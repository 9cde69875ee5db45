"""Running a round's commands: each in a process group of its own that can outlive midband."""

import json
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Self
from uuid import uuid4

from midband.rounds.journal import FAILED, FINISHED, INTERRUPTED, TIMED_OUT
from midband_history import MidbandError

if os.name == "posix":
    import fcntl

OUTPUT = "output.log"
RUNNING = ".running"
# Each process of a round's command inherits this variable; its value differs from step to step.
MARK = "MIDBAND_ROUND"
GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.2
# Looks at a group whose command has ended before the user is told: most workers end with it.
_PATIENCE = 5
_SHOWN = 3
_PROC = Path("/proc")
_DEAD = ("Z", "X", "x")


class Interrupt:
    """Counts Ctrl-C: the first lets a round finish, the second ends it.

    Parameters
    ----------
    told : callable, optional
        Called with the count at each.

    Attributes
    ----------
    count : int
        How often it was pressed.
    raises : bool
        Whether the second raises `KeyboardInterrupt`.
    """

    def __init__(self, told: Callable[[int], None] | None = None) -> None:
        self.count = 0
        self.raises = False
        self._told = told

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count Ctrl-C instead of raising; threads other than the main one never hear it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.count += 1
        if self._told is not None:
            self._told(self.count)
        if self.raises and self.count > 1:
            raise KeyboardInterrupt


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """A process group as it is kept on the disk.

    Parameters
    ----------
    number : int
        Its id, which is that of the process that leads it; below 2 where it is not known. Groups
        0 and 1 are our own and that of the system: they are never waited for or ended.
    started : str
        When that process began, as the system says; empty if it had ended before that was read.
    boot : str
        Which start of the machine this was; empty where the system does not say.
    mark : str
        What its processes carry in `MARK`.
    """

    number: int
    started: str = ""
    boot: str = ""
    mark: str = ""

    @classmethod
    def of(cls, leader: int, mark: str) -> Self:
        """Describe the group that a process leads."""
        started = _members(leader).get(leader, "")
        return cls(number=leader, started=started, boot=_boot(), mark=mark)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the group that a file names, one that is not known where it names none.

        midband 0.1 kept its number only, and a number alone may be that of another group by now.
        """
        try:
            data = json.loads(path.read_bytes())
            number = data["number"]
            texts = {name: data[name] for name in ("started", "boot", "mark")}
        except (OSError, ValueError, RecursionError, TypeError, KeyError):
            return cls(number=0)
        whole = type(number) is int and all(isinstance(text, str) for text in texts.values())
        return cls(number=number, **texts) if whole else cls(number=0)

    def members(self, *, sure: bool = False) -> tuple[int, ...]:
        """Return the ids of its living processes; none if another group has its number by now.

        `sure` says that none can have: by who began it, and has looked at it ever since.
        """
        if self.number < 2 or not (sure or self.boot == _boot()):
            return ()
        found = _members(self.number)
        if sure:
            return tuple(found)
        if self.number in found:
            return tuple(found) if found[self.number] == self.started else ()
        # The number of a process is not given away while it names a group, but it may have been
        # since that group ended: what is left must carry our mark, where the system shows it.
        marks = [mark for mark in map(_mark, found) if mark is not None]
        return tuple(found) if self.mark in marks or not marks else ()

    def end(self, *, sure: bool = False) -> None:
        """End all its processes: asked first, killed after `GRACE_SECONDS`."""
        if not self.members(sure=sure):
            return
        self._signal(signal.SIGTERM)
        ends = time.monotonic() + GRACE_SECONDS
        while self.members(sure=sure) and time.monotonic() < ends:
            time.sleep(_POLL_SECONDS)
        if sure or self.members():
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # macOS refuses to signal a group of which only ended processes are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.number, number)


def _members(group: int) -> dict[int, str]:
    """Return the living processes of a group, and when each began in the system's own words."""
    if not (_PROC / "self" / "stat").exists():
        return _members_of_ps(group)
    found = {}
    for entry in os.listdir(_PROC):  # noqa: PTH208 - much faster, and asked for often
        fields = _fields(entry) if entry.isdigit() else []
        if fields and int(fields[2]) == group and fields[0] not in _DEAD:
            found[int(entry)] = fields[19]
    return found


def _fields(entry: str) -> list[str]:
    """Return what the system says of a process, from its state on; empty once it is gone."""
    try:
        line = (_PROC / entry / "stat").read_bytes()
    except OSError:
        return []
    # The name stands in brackets before and may hold anything, brackets included.
    return line[line.rfind(b")") + 1 :].decode().split()


def _members_of_ps(group: int) -> dict[int, str]:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return {}
    except PermissionError:
        pass
    asked = ("ps", "-A", "-o", "pid=,pgid=,stat=,lstart=")
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    lines = [line.split(None, 3) for line in done.stdout.splitlines()]
    return {
        int(pid): started.strip()
        for pid, number, state, started in lines
        if int(number) == group and state[0] not in _DEAD
    }


def _mark(process: int) -> str | None:
    """Return the mark that a process carries; None where its variables cannot be seen."""
    try:
        variables = (_PROC / str(process) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    known = dict(each.split(b"=", 1) for each in variables if b"=" in each)
    if not known:  # a program may write its title there
        return None
    return known.get(MARK.encode(), b"").decode(errors="replace")


def _boot() -> str:
    with suppress(OSError):
        return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    return ""


def run_steps(
    directory: Path,
    steps: Sequence[Sequence[str]],
    *,
    first: int = 0,
    environment: Mapping[str, str],
    timeout: float | None,
    interrupt: Interrupt,
    starts: Callable[[int], None],
    note: Callable[[str], None],
) -> tuple[str, tuple[int, ...]]:
    """Run the steps of a round, each also after one that failed: it may score what that one left.

    The round counts as at work for as long as one of its processes lives, ours or the harness's:
    a file in its directory names the process group of the command, and its lock passes on to the
    harness, so that both outlive a midband that was killed.

    Parameters
    ----------
    directory : Path
        Of the round; the output goes to ``output.log`` in it.
    steps : sequence of sequence of str
    first : int
        The number of the first step to run.
    environment : mapping of str to str
        Added to the process's own.
    timeout : float or None
        Seconds a step; then its group gets SIGTERM, and SIGKILL after `GRACE_SECONDS`.
    interrupt : Interrupt
        A second Ctrl-C ends the group in the same way, and the round.
    starts : callable
        Called with the number of each step before it is run.
    note : callable
        Told once if processes outlive the command.

    Returns
    -------
    str
        A status as in `RoundEnd`.
    tuple of int
        The exit codes.

    Raises
    ------
    MidbandError
        A program cannot be started.
    """
    status, codes = FINISHED, []
    lock = os.open(directory / RUNNING, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number, step in enumerate(steps[first:], start=first):
            starts(number)
            process, group = _start(step, directory / OUTPUT, lock, environment)
            end = _wait(process, group, timeout=timeout, interrupt=interrupt, note=note)
            codes.append(process.returncode)
            if status in (FINISHED, FAILED) and end != FINISHED:
                status = end
            if end == INTERRUPTED:
                return INTERRUPTED, tuple(codes)
    finally:
        os.close(lock)
    return status, tuple(codes)


def _start(
    step: Sequence[str], output: Path, lock: int, environment: Mapping[str, str]
) -> "tuple[subprocess.Popen[bytes], ProcessGroup]":
    """Start a step; the file that `lock` is open on names its process group from then on."""
    mark = uuid4().hex
    os.ftruncate(lock, 0)
    with output.open("ab") as log:
        try:
            process = subprocess.Popen(
                list(step),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, MARK: mark},
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            msg = f"expected to start {step[0]}, got: {error.strerror}: check the harness"
            raise MidbandError(msg) from error
    group = ProcessGroup.of(process.pid, mark)
    os.pwrite(lock, json.dumps(asdict(group)).encode() + b"\n", 0)
    return process, group


def _wait(
    process: "subprocess.Popen[bytes]",
    group: ProcessGroup,
    *,
    timeout: float | None,
    interrupt: Interrupt,
    note: Callable[[str], None],
) -> str:
    """Wait for the end of a step and return its status.

    The end of a step is that of its whole process group: a worker that outlives the command still
    spends money and still writes results.
    """
    ends = _deadline(timeout)
    status, waited = "", 0
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
        if process.poll() is not None:
            left = group.members(sure=True)
            if not left:
                return status or (FAILED if process.returncode else FINISHED)
            waited += 1
            if waited == _PATIENCE:
                note(
                    f"is still at work after the end of its command{_named(left)}:"
                    " waiting for its end; a second Ctrl-C ends it"
                )
            time.sleep(_POLL_SECONDS)
        second = interrupt.count > 1
        if not status and (second or time.monotonic() >= ends):
            status = INTERRUPTED if second else TIMED_OUT
            group.end(sure=True)


def _deadline(timeout: float | None) -> float:
    return math.inf if timeout is None else time.monotonic() + timeout


def wait_for_earlier(
    directory: Path,
    *,
    timeout: float | None,
    interrupt: Interrupt,
    note: Callable[[str], None],
) -> bool:
    """Wait for the processes of a round whose midband was killed.

    Parameters
    ----------
    directory : Path
        Of the round.
    timeout : float or None
        Seconds; then its process group is ended.
    interrupt : Interrupt
        The first Ctrl-C ends the waiting, not the processes.
    note : callable
        Told first if there is something to wait for.

    Returns
    -------
    bool
        Whether they are gone.
    """
    ends = _deadline(timeout)
    group = ProcessGroup.read(directory / RUNNING)
    if is_at_work(directory):
        note(f"is still at work{_named(group.members())}: waiting for its end")
    while is_at_work(directory):
        if interrupt.count:
            return False
        if time.monotonic() >= ends:
            group.end()
            ends = math.inf
        time.sleep(_POLL_SECONDS)
    return True


def is_at_work(directory: Path) -> bool:
    """Whether a process of the round in `directory` still runs."""
    try:
        file = os.open(directory / RUNNING, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    # Most harnesses close what they inherit before they start a worker, and the lock with it.
    return bool(ProcessGroup.read(directory / RUNNING).members())


def _named(members: Sequence[int]) -> str:
    """Return the numbers of processes for a line, in brackets; empty without any."""
    if not members:
        return ""
    numbers = ", ".join(map(str, members[:_SHOWN]))
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    return f" (process {numbers}{more})"


def last_lines(directory: Path, count: int = 10) -> tuple[str, ...]:
    """Return how the output of a round's command ends."""
    try:
        with (directory / OUTPUT).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * count * 4))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-count:]
