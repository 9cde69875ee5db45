"""The process group of a round's command: who is in it, and whether it is the one that we began."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# Each process of a round's command inherits this variable; its value differs from step to step.
MARK = "MIDBAND_ROUND"
_PROC = Path("/proc")
_DEAD = ("Z", "X", "x")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A living process of a group; `started` is the system's own word for when it began."""

    pid: int
    started: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """A process group as it is kept on the disk.

    Parameters
    ----------
    number : int
        Its id, which is that of the process that leads it.
    started : str
        When that process began, as the system says; empty if it had ended before that was read.
    boot : str
        Which start of the machine this was; empty where the system does not say.
    mark : str
        What its processes carry in `MARK`.
    """

    number: int
    started: str
    boot: str
    mark: str

    @classmethod
    def of(cls, leader: int, mark: str) -> Self:
        """Describe the group that a process leads."""
        return cls(number=leader, started=_started(leader), boot=_boot(), mark=mark)

    @classmethod
    def from_dict(cls, data: object) -> Self | None:
        """Rebuild what was kept; None if it is something else."""
        if not isinstance(data, Mapping):
            return None
        number = data.get("number")
        texts = {name: data.get(name) for name in ("started", "boot", "mark")}
        # Groups 0 and 1 are our own and that of the system: never to be waited for or ended.
        if not isinstance(number, int) or isinstance(number, bool) or number < 2:
            return None
        if not all(isinstance(text, str) for text in texts.values()):
            return None
        return cls(number=number, **{name: str(text) for name, text in texts.items()})

    def members(self, *, sure: bool = False) -> tuple[Member, ...]:
        """Return its living processes; none if another group has its number by now.

        `sure` says that none can have: by who began it, and has looked at it ever since.
        """
        if sure:
            return tuple(_members(self.number))
        if self.boot != _boot():
            return ()
        found = tuple(_members(self.number))
        leader = next((each for each in found if each.pid == self.number), None)
        if leader is not None:
            return found if leader.started == self.started else ()
        # The number of a process is not given away while it names a group, but it may have been
        # since that group ended: what is left must carry our mark, where the system shows it.
        marks = [mark for mark in map(_mark, found) if mark is not None]
        return found if self.mark in marks or not marks else ()

    def signal(self, number: int) -> None:
        """Send a signal to its processes, if there are any."""
        # macOS refuses to signal a group of which only ended processes are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.number, number)

    def end(self, *, grace: float, poll: float) -> None:
        """End all its processes: asked first, killed after `grace` seconds."""
        if not self.members():
            return
        self.signal(signal.SIGTERM)
        ends = time.monotonic() + grace
        while self.members() and time.monotonic() < ends:
            time.sleep(poll)
        if self.members():
            self.signal(signal.SIGKILL)


def _members(group: int) -> Iterator[Member]:
    if (_PROC / "self" / "stat").exists():
        yield from _members_of_proc(group)
    else:
        yield from _members_of_ps(group)


def _members_of_proc(group: int) -> Iterator[Member]:
    for entry in os.listdir(_PROC):  # noqa: PTH208 - much faster, and asked for often
        fields = _fields(entry) if entry.isdigit() else []
        if fields and int(fields[2]) == group and fields[0] not in _DEAD:
            yield Member(pid=int(entry), started=fields[19])


def _fields(entry: str) -> list[str]:
    """Return what the system says of a process, from its state on; empty once it is gone."""
    try:
        line = (_PROC / entry / "stat").read_bytes()
    except OSError:
        return []
    # The name stands in brackets before and may hold anything, brackets included.
    return line[line.rfind(b")") + 1 :].decode().split()


def _started(process: int) -> str:
    """Return when a process began that may have ended, and was not waited for."""
    if (_PROC / "self" / "stat").exists():
        return next(iter(_fields(str(process))[19:20]), "")
    return next((each.started for each in _members_of_ps(process) if each.pid == process), "")


def _members_of_ps(group: int) -> Iterator[Member]:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return
    except PermissionError:
        pass
    asked = ("ps", "-A", "-o", "pid=,pgid=,stat=,lstart=")
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        pid, number, state, started = line.split(None, 3)
        if int(number) == group and state[0] not in _DEAD:
            yield Member(pid=int(pid), started=started.strip())


def _mark(member: Member) -> str | None:
    """Return the mark that a process carries; None where its variables cannot be seen."""
    try:
        variables = (_PROC / str(member.pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    begin = f"{MARK}=".encode()
    known = [each for each in variables if b"=" in each]  # a program may write its title there
    if not known:
        return None
    found = (each[len(begin) :] for each in known if each.startswith(begin))
    return next(found, b"").decode(errors="replace")


def _boot() -> str:
    with suppress(OSError):
        return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    return ""
