"""Running a round's command: a process group of its own, ended by a timeout or a second Ctrl-C."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from midband.rounds._interrupt import Interrupt
from midband.rounds._results import FAILED, FINISHED, INTERRUPTED, TIMED_OUT
from midband_history import MidbandError

if os.name == "posix":
    import fcntl

OUTPUT = "output.log"
RUNNING = ".running"
GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class StepEnd:
    """How a step ended: its exit code, and a status as in `RoundEnd`."""

    code: int
    status: str


class Running:
    """Marks a round as at work for as long as one of its processes lives, ours or the harness's.

    The lock passes on to the harness's processes, so that it outlives a midband that was killed.

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
    ) -> StepEnd:
        """Run a step to its end; its output goes to ``output.log`` in the round's directory.

        Parameters
        ----------
        step : sequence of str
        environment : mapping of str to str
            Added to the process's own.
        timeout : float or None
            Seconds; then the group gets SIGTERM, and SIGKILL after `GRACE_SECONDS`.
        interrupt : Interrupt
            A second Ctrl-C ends the group in the same way.

        Raises
        ------
        MidbandError
            The program cannot be started.
        """
        with (self._path.parent / OUTPUT).open("ab") as log:
            try:
                process = subprocess.Popen(
                    list(step),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    start_new_session=True,
                    pass_fds=(self._file,),
                )
            except OSError as error:
                msg = f"expected to start {step[0]}, got: {error.strerror}: check the harness"
                raise MidbandError(msg) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{process.pid}\n".encode(), 0)
        ends = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                code = process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if interrupt.count > 1:
                    return StepEnd(code=_end(process), status=INTERRUPTED)
                if ends is not None and time.monotonic() >= ends:
                    return StepEnd(code=_end(process), status=TIMED_OUT)
            else:
                return StepEnd(code=code, status=FAILED if code else FINISHED)


def wait_for_earlier(directory: Path, *, timeout: float | None, interrupt: Interrupt) -> bool:
    """Wait for the processes of a round whose midband was killed.

    Parameters
    ----------
    directory : Path
        Of the round.
    timeout : float or None
        Seconds; then its process group is ended.
    interrupt : Interrupt
        The first Ctrl-C ends the waiting, not the processes.

    Returns
    -------
    bool
        Whether they are gone.
    """
    ends = None if timeout is None else time.monotonic() + timeout
    while is_at_work(directory):
        if interrupt.count:
            return False
        group = (directory / RUNNING).read_text().strip()
        if ends is not None and time.monotonic() >= ends and group:
            _end_group(int(group), lambda: _wait_a_while(directory))
            ends = None
        time.sleep(_POLL_SECONDS)
    return True


def _wait_a_while(directory: Path) -> None:
    ends = time.monotonic() + GRACE_SECONDS
    while is_at_work(directory) and time.monotonic() < ends:
        time.sleep(_POLL_SECONDS)


def is_at_work(directory: Path) -> bool:
    """Whether a process of the round in `directory` still runs."""
    try:
        file = os.open(directory / RUNNING, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def last_lines(directory: Path, count: int = 10) -> tuple[str, ...]:
    """Return how the output of a round's command ends."""
    try:
        with (directory / OUTPUT).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * count * 4))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-count:]


def _end(process: "subprocess.Popen[bytes]") -> int:
    """End a step and whatever it started; return its exit code."""

    def _wait() -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)

    _end_group(process.pid, _wait)
    return process.wait()


def _end_group(group: int, wait: Callable[[], None]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        wait()
        os.killpg(group, signal.SIGKILL)
