"""Whether the process of a run is still there: its number alone may be another's by now."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_DEAD = ("Z", "X", "x")


def this_process() -> dict[str, Any]:
    """Return what `is_alive` needs to find this process again."""
    pid = os.getpid()
    return {
        "pid": pid,
        "pid_started": _started(pid) or "",
        "host": socket.gethostname(),
        "machine": _machine(),
    }


def is_alive(pid: int | None, started: str, *, host: str, machine: str) -> bool | None:
    """Whether a process is at work; None where that cannot be seen.

    Parameters
    ----------
    pid : int or None
    started : str
        When it began, as `this_process` says; empty where the system does not.
    host, machine : str
        Where it runs, as `this_process` says.
    """
    if pid is None or pid < 2 or host != socket.gethostname():
        return None
    if machine.partition(" ")[0] != _machine().partition(" ")[0]:
        return False  # the machine has been started anew since
    if machine != _machine() or os.name != "posix":
        return None  # in another container
    if (_PROC / "self" / "stat").exists():
        began = _started(pid)
        return began is not None and began == (started or began)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _started(pid: int) -> str | None:
    """Return when a process began, in the system's own words; None where there is none."""
    try:
        line = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name stands in brackets before and may hold anything, brackets included.
    fields = line[line.rfind(b")") + 1 :].decode().split()
    return None if fields[0] in _DEAD else fields[19]


def _machine() -> str:
    """Return which start of the machine this is, and which container, as far as the system says."""
    boot = space = ""
    with suppress(OSError):
        boot = (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    with suppress(OSError):
        space = os.readlink(_PROC / "self" / "ns" / "pid")  # noqa: PTH115 - no path
    return f"{boot} {space}".strip()
