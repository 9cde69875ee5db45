"""Reading many files in worker processes, whatever becomes of a worker."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

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
    with _safe_path():  # its resource tracker starts now, a worker with each of the first jobs
        # A fresh interpreter a worker: forking a process that holds a database open is unsafe.
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    with pool:
        remaining = iter(paths)
        waiting: list[tuple[Path, Future[Result]]] = []
        while True:
            with _safe_path():
                for path in islice(remaining, IN_FLIGHT - len(waiting)):
                    waiting.append((path, pool.submit(job, str(path))))
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


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the current directory off the path of the processes that start meanwhile.

    A file there that is called like a module would be executed by every worker.
    """
    name = "PYTHONSAFEPATH"
    before, path = os.environ.get(name), sys.path
    os.environ[name] = "1"
    sys.path = [each for each in path if each and not _is_here(each)]
    try:
        yield
    finally:
        sys.path = path
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _is_here(place: str) -> bool:
    try:
        return os.path.samefile(place, os.curdir)  # noqa: PTH121 - of a directory that may be gone
    except OSError:
        return False
