"""Reading many files in worker processes, whatever becomes of a worker."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from midband_history import process_pool

if TYPE_CHECKING:
    from concurrent.futures import Future

Result = TypeVar("Result")

IN_FLIGHT = 64


def in_workers(
    job: Callable[[str], Result],
    paths: Sequence[Path],
    *,
    workers: int | None,
    died: Callable[[Path, str], Result],
) -> Iterator[tuple[Path, Result]]:
    """Yield the result of a job for every path, in order, with a bounded number in memory.

    A worker that dies takes every job of its pool with it. The jobs are then done one at a time,
    each in a pool of its own, so that the file that kills its worker is known. Where no worker can
    be started at all, this process does the rest.

    Parameters
    ----------
    job : callable
        Called with a path as text, in another process; it must not raise.
    paths : sequence of Path
    workers : int or None
        Number of processes; the number of cores by default.
    died : callable
        What stands for the result of a path whose worker died, called with the path and what
        happened.
    """
    done = 0
    try:
        for path, result in _pooled(job, paths, workers):
            yield path, result
            done += 1
        return
    except BrokenProcessPool:
        pass
    for path in paths[done:]:
        try:
            ((_, result),) = _pooled(job, [path], 1)
        except BrokenProcessPool as error:
            result = died(path, str(error)) if _can_start() else job(str(path))
        yield path, result


def _pooled(
    job: Callable[[str], Result], paths: Sequence[Path], workers: int | None
) -> Iterator[tuple[Path, Result]]:
    with process_pool(workers) as pool:
        remaining = iter(paths)
        waiting: list[tuple[Path, Future[Result]]] = []
        while True:
            waiting.extend(
                (path, pool.submit(job, str(path)))
                for path in islice(remaining, IN_FLIGHT - len(waiting))
            )
            if not waiting:
                return
            path, future = waiting.pop(0)
            yield path, future.result()


def _can_start() -> bool:
    """Whether a worker that is given next to nothing to do lives."""
    try:
        ((_, pid),) = _pooled(_nothing, [Path()], 1)
    except BrokenProcessPool:
        return False
    return pid != os.getpid()


def _nothing(_: str) -> int:
    return os.getpid()
