"""Pools of processes that do not take modules from the directory that the user happens to be in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

_SAFE_PATH = "PYTHONSAFEPATH"


class _Process(SpawnProcess):
    """A process whose interpreter starts without the current directory on its path."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> object:  # type: ignore[override] # noqa: N802
        with _safe_path():
            return SpawnProcess._Popen(process_obj)


class _Context(SpawnContext):
    Process = _Process


def process_pool(workers: int | None = None) -> "ProcessPoolExecutor":
    """Return a pool of fresh processes.

    An interpreter that is started for a worker looks for modules in the current directory first,
    before it knows the path of this process. A ``json.py`` that lies beside downloaded results
    would be executed there.

    Parameters
    ----------
    workers : int, optional
        Processes; the number of cores by default.
    """
    from concurrent.futures import ProcessPoolExecutor

    with _safe_path():  # the process that tracks the pool's locks starts here
        return ProcessPoolExecutor(workers, mp_context=_Context())


@contextmanager
def _safe_path() -> Iterator[None]:
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_SAFE_PATH, None)
        else:
            os.environ[_SAFE_PATH] = before
