"""Executors: where the units of a study run, from one machine to a cluster by its address."""

import contextlib
import math
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from typing import Any, Protocol, TypeVar

from midband_history import InputError, MidbandError, process_pool

CONNECT_SECONDS = 5.0
WINDOW_PER_WORKER = 4
FRUITLESS_REBUILDS = 3
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

UnitType = TypeVar("UnitType")
ResultType = TypeVar("ResultType")


class ClusterError(MidbandError, ConnectionError):
    """A cluster named by `--workers` cannot be used."""


class Backend(Protocol):
    """A place that can give an executor, and another one when that broke."""

    window: int

    def executor(self) -> Executor | None:
        """Return a fresh executor; None to run in this process."""
        ...

    def close(self) -> None:
        """Let go of what the backend holds."""
        ...


class LocalProcesses:
    """Processes on this machine, started afresh (spawn), one thread each."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self.window = WINDOW_PER_WORKER * workers

    def executor(self) -> Executor | None:
        """Return a pool; one worker is this process itself."""
        if self._workers == 1:
            return None
        with _single_threaded():
            pool = process_pool(self._workers)
            # Processes start on the first submit: have them all start under these settings.
            for future in [pool.submit(os.getpid) for _ in range(self._workers)]:
                future.result()
            return pool

    def close(self) -> None:
        """Nothing is held between executors."""


class DaskCluster:
    """An existing Dask cluster, ``dask:tcp://host:port``."""

    def __init__(self, address: str) -> None:
        host, port = _host_port(address, "dask:tcp://host:port")
        _reach(host, port, f"dask:{address}")
        try:
            from distributed import Client
        except ImportError:
            msg = "expected the dask extra for --workers, got none: pip install 'midband[dask]'"
            raise ClusterError(msg) from None
        try:
            make: Any = Client
            self._client: Any = make(address, timeout=CONNECT_SECONDS, set_as_default=False)
            workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, TimeoutError, TypeError) as error:
            msg = f"expected a Dask scheduler at {address}, got {type(error).__name__}: {error}"
            raise ClusterError(msg) from None
        if not workers:
            self._client.close()
            msg = f"expected workers at {address}, got a scheduler without any: start dask worker"
            raise ClusterError(msg)
        self.window = WINDOW_PER_WORKER * max(1, sum(self._client.nthreads().values()))

    def executor(self) -> Executor | None:
        """Return an executor of the client."""
        executor: Executor = self._client.get_executor(pure=False, retries=3)
        return executor

    def close(self) -> None:
        """Leave the cluster as it was."""
        self._client.close()


class RayCluster:
    """An existing Ray cluster, ``ray:host:port`` (or ``ray:auto``)."""

    def __init__(self, address: str) -> None:
        if address != "auto":
            host, port = _host_port(address, "ray:host:port")
            _reach(host, port, f"ray:{address}")
        try:
            import ray
        except ImportError:
            msg = (
                "expected the ray extra for --workers ray:..., got none: pip install 'midband[ray]'"
            )
            raise ClusterError(msg) from None
        try:
            ray.init(address=address, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            msg = f"expected a Ray cluster at {address}, got {type(error).__name__}: {error}"
            raise ClusterError(msg) from None
        self._ray: Any = ray
        self.window = WINDOW_PER_WORKER * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def executor(self) -> Executor | None:
        """Return an executor that turns each call into a Ray task."""
        return _RayExecutor(self._ray)

    def close(self) -> None:
        """Disconnect."""
        self._ray.shutdown()


class _RayExecutor(Executor):
    def __init__(self, ray: Any) -> None:
        self._call = ray.remote(max_retries=3)(_call)

    def submit(
        self, fn: Callable[..., ResultType], /, *args: object, **kwargs: object
    ) -> "Future[ResultType]":
        future: Future[ResultType] = self._call.remote(fn, args, kwargs).future()
        return future


def _call(
    function: Callable[..., ResultType], args: Sequence[object], kwargs: Mapping[str, object]
) -> ResultType:
    return function(*args, **kwargs)


_PROCESSES = re.compile(r"[1-9]\d{0,3}")


def open_backend(spec: str) -> Backend:
    """Read a `--workers` value: a number, ``dask:tcp://host:port`` or ``ray:host:port``."""
    if _PROCESSES.fullmatch(spec):
        return LocalProcesses(int(spec))
    kind, _, address = spec.partition(":")
    if kind == "dask" and address:
        return DaskCluster(address)
    if kind == "ray" and address:
        return RayCluster(address)
    msg = f"expected workers like 4, dask:tcp://host:port or ray:host:port, got {spec!r}"
    raise InputError(msg)


def run_units(
    function: Callable[[UnitType], ResultType],
    units: Sequence[UnitType],
    *,
    workers: str = "1",
) -> Iterator[tuple[int, ResultType]]:
    """Run pure units and yield (position, result) as they finish, in any order.

    At most four units a worker are under way. When the executor breaks (a worker was killed), a new
    one is made and only what has not come back is run again; after three breaks in a row without a
    single result, the study gives up.

    Parameters
    ----------
    function : callable
        Importable by workers; the same unit must give the same result anywhere.
    units : sequence
    workers : str
        See `open_backend`.
    """
    if not units:
        return
    backend = open_backend(workers)
    try:
        executor = backend.executor()
        if executor is None:
            for position, unit in enumerate(units):
                yield position, function(unit)
            return
        waiting = list(range(len(units)))[::-1]
        running: dict[Future[ResultType], int] = {}
        fruitless = 0
        try:
            while waiting or running:
                lost: list[int] = []
                try:
                    while waiting and len(running) < backend.window:
                        future = executor.submit(function, units[waiting[-1]])
                        running[future] = waiting.pop()
                except BrokenExecutor:
                    lost.append(-1)
                finished = wait(running, return_when=FIRST_COMPLETED).done if running else set()
                for future in finished:
                    position = running.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenExecutor):
                        lost.append(position)
                    elif error is not None:
                        raise error
                    else:
                        fruitless = 0
                        yield position, future.result()
                if lost:
                    fruitless += 1
                    if fruitless > FRUITLESS_REBUILDS:
                        msg = (
                            "expected workers that survive, but each of"
                            f" {FRUITLESS_REBUILDS} new pools died before its first result: give"
                            " them more memory, or fewer workers"
                        )
                        raise ClusterError(msg)
                    again = {position for position in lost if position >= 0} | set(running.values())
                    waiting.extend(sorted(again, reverse=True))
                    running.clear()
                    _drop(executor)
                    executor = backend.executor()
                    if executor is None:  # pragma: no cover
                        return
        finally:
            for future in running:
                future.cancel()
            if executor is not None:
                _drop(executor)
    finally:
        backend.close()


def workers_of(spec: str) -> int:
    """Parallel workers to reckon with before a cluster is asked: the number, or 1."""
    return int(spec) if _PROCESSES.fullmatch(spec) else 1


def _drop(executor: Executor) -> None:
    """Let go of an executor without waiting; what was queued is cancelled where it can be."""
    if isinstance(executor, ProcessPoolExecutor):
        executor.shutdown(wait=False, cancel_futures=True)
    else:
        executor.shutdown(wait=False)


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """Children inherit one thread each: more would fight over the cores."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _host_port(address: str, expected: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\w+://)?\[?([^\]/]+?)\]?:(\d{1,5})/?", address)
    if not found or not math.isfinite(int(found[2])) or int(found[2]) > 65_535:
        msg = f"expected an address like {expected}, got {address!r}"
        raise InputError(msg)
    return found[1], int(found[2])


def _reach(host: str, port: int, spec: str) -> None:
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        msg = (
            f"expected a cluster that answers at {spec}, got {error.strerror or error}: check that"
            " it runs and that this machine reaches it"
        )
        raise ClusterError(msg) from None
