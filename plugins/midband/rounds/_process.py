"""Running a round's command: a process group of its own, ended by a timeout or a second Ctrl-C."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from midband.rounds._group import MARK, Group, Member
from midband.rounds._interrupt import Interrupt
from midband.rounds._results import FAILED, FINISHED, INTERRUPTED, TIMED_OUT
from midband_history import MidbandError

if os.name == "posix":
    import fcntl

OUTPUT = "output.log"
RUNNING = ".running"
GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.2
# Looks at a group whose command has ended before the user is told: most workers end with it.
_PATIENCE = 5
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class StepEnd:
    """How a step ended: its exit code, and a status as in `RoundEnd`."""

    code: int
    status: str


class Running:
    """Marks a round as at work for as long as one of its processes lives, ours or the harness's.

    The file in the round's directory names the process group of the command, and its lock passes
    on to the harness, so that both outlive a midband that was killed.

    Parameters
    ----------
    directory : Path
        Of the round.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / RUNNING
        self._file = -1

    def __enter__(self) -> Self:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def run(
        self,
        step: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout: float | None,
        interrupt: Interrupt,
        note: Callable[[str], None],
    ) -> StepEnd:
        """Run a step to its end; its output goes to ``output.log`` in the round's directory.

        The end of a step is that of its whole process group: a worker that outlives the command
        still spends money and still writes results.

        Parameters
        ----------
        step : sequence of str
        environment : mapping of str to str
            Added to the process's own.
        timeout : float or None
            Seconds; then the group gets SIGTERM, and SIGKILL after `GRACE_SECONDS`.
        interrupt : Interrupt
            A second Ctrl-C ends the group in the same way.
        note : callable
            Told once if processes outlive the command.

        Raises
        ------
        MidbandError
            The program cannot be started.
        """
        mark = uuid4().hex
        os.ftruncate(self._file, 0)
        with (self._path.parent / OUTPUT).open("ab") as log:
            try:
                process = subprocess.Popen(
                    list(step),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment, MARK: mark},
                    start_new_session=True,
                    pass_fds=(self._file,),
                )
            except OSError as error:
                msg = f"expected to start {step[0]}, got: {error.strerror}: check the harness"
                raise MidbandError(msg) from error
        group = Group.of(process.pid, mark)
        os.pwrite(self._file, json.dumps(asdict(group)).encode() + b"\n", 0)
        ends = None if timeout is None else time.monotonic() + timeout
        status = ""
        waited = 0
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
            code = process.poll()
            left = group.members(sure=True) if code is not None else ()
            if code is not None and not left:
                return StepEnd(code=code, status=status or (FAILED if code else FINISHED))
            if code is not None:
                waited += 1
                if waited == _PATIENCE:
                    note(
                        f"is still at work after the end of its command{_named(left)}:"
                        " waiting for its end; a second Ctrl-C ends it"
                    )
                time.sleep(_POLL_SECONDS)
            if not status and interrupt.count > 1:
                status = INTERRUPTED
            elif not status and ends is not None and time.monotonic() >= ends:
                status = TIMED_OUT
            else:
                continue
            _end(process, group)


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
    ends = None if timeout is None else time.monotonic() + timeout
    if is_at_work(directory):
        group = _group(directory)
        members = () if group is None else group.members()
        note(f"is still at work{_named(members)}: waiting for its end")
    while is_at_work(directory):
        if interrupt.count:
            return False
        if ends is not None and time.monotonic() >= ends:
            group = _group(directory)
            if group is not None:
                group.end(grace=GRACE_SECONDS, poll=_POLL_SECONDS)
            ends = None
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
    group = _group(directory)
    return group is not None and bool(group.members())


def _group(directory: Path) -> Group | None:
    """Return the process group that a round's last step had; None where it is not known.

    midband 0.1 kept its number only, and a number alone may be that of another group by now.
    """
    try:
        return Group.from_dict(json.loads((directory / RUNNING).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None


def _named(members: Sequence[Member]) -> str:
    """Return the numbers of processes for a line, in brackets; empty without any."""
    if not members:
        return ""
    numbers = ", ".join(str(each.pid) for each in members[:_SHOWN])
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


def _end(process: "subprocess.Popen[bytes]", group: Group) -> None:
    """End a step and whatever it started."""
    group.signal(signal.SIGTERM)
    ends = time.monotonic() + GRACE_SECONDS
    while (process.poll() is None or group.members(sure=True)) and time.monotonic() < ends:
        time.sleep(_POLL_SECONDS)
    group.signal(signal.SIGKILL)
    process.wait()
