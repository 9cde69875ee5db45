import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midband_history import InputError, OutcomeMatrix
from midband_sims import Study, StudyResult, StudySettings
from midband_sims.executors import ClusterError, run_units

SETTINGS = StudySettings(strategies=("random",), stops=("none",), seeds=40, draws=2)


def plain(result: StudyResult) -> str:
    """Everything but the seconds, as text: NaN equals NaN there."""
    return json.dumps([{**cell, "seconds": 0} for cell in result.cells])


def double(unit: tuple[str, int]) -> int:
    """Return twice the number; end the worker the first time it sees the marked one."""
    marker, number = unit
    if number == 5 and marker and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def always_dies(unit: int) -> int:
    """End the worker."""
    os.kill(os.getpid(), signal.SIGKILL)
    return unit


def fails(unit: int) -> int:
    """Raise what must reach the caller."""
    msg = f"unit {unit}"
    raise ValueError(msg)


def test_a_broken_pool_is_rebuilt_and_nothing_runs_twice(tmp_path: Path) -> None:
    units = [(str(tmp_path / "died"), number) for number in range(20)]
    results = list(run_units(double, units, workers="2"))
    assert sorted(results) == [(number, 2 * number) for number in range(20)]


def test_workers_that_always_die_are_given_up() -> None:
    with pytest.raises(ClusterError, match="memory"):
        list(run_units(always_dies, [1, 2], workers="2"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_errors_of_units_reach_the_caller(workers: str) -> None:
    with pytest.raises(ValueError, match="unit 7"):
        list(run_units(fails, [7], workers=workers))


@pytest.mark.parametrize("spec", ["dask:tcp://127.0.0.1:9", "ray:127.0.0.1:9"])
def test_an_unreachable_cluster_is_named(spec: str) -> None:
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:9"):
        list(run_units(fails, [1], workers=spec))


@pytest.mark.parametrize("spec", ["0", "many", "dask:", "dask:nowhere", "ray:host:port"])
def test_bad_specs_are_refused(spec: str) -> None:
    with pytest.raises(InputError, match="expected"):
        list(run_units(fails, [1], workers=spec))


class Cluster:
    """A Dask scheduler and two workers, each a process of its own, on loopback."""

    def __init__(self, directory: Path) -> None:
        pytest.importorskip("distributed")
        self._directory = directory
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.processes: list[subprocess.Popen[bytes]] = []
        address_file = directory / "scheduler.json"
        self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(address_file),
        )  # fmt: skip
        self._wait(address_file.exists)
        for place in range(2):
            self._start(
                "worker", "--scheduler-file", str(address_file), "--nthreads", "1", "--no-nanny",
                "--no-dashboard", "--name", f"w{place}", "--host", "127.0.0.1",
            )  # fmt: skip
        import distributed

        make: Any = distributed.Client
        self._client = make(scheduler_file=str(address_file), set_as_default=False)
        self._client.wait_for_workers(2, timeout=600)
        self.address: str = self._client.scheduler.address

    def _start(self, command: str, *options: str) -> None:
        log = (self._directory / f"{command}{len(self.processes)}.log").open("wb")
        arguments = [sys.executable, "-m", "distributed.cli.dask_" + command, *options]
        self.processes.append(
            subprocess.Popen(
                arguments, cwd=self._directory, env=self._environment, stdout=log, stderr=log
            )
        )
        log.close()

    @staticmethod
    def _wait(ready: object) -> None:
        end = time.monotonic() + 600
        while not ready():  # type: ignore[operator]
            if time.monotonic() > end:
                pytest.fail("the Dask scheduler did not start within 600 s")
            time.sleep(0.1)

    def close(self) -> None:
        self._client.close()
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # distributed warns of its own sockets and loops at exit
def test_a_study_survives_the_end_of_a_dask_worker(
    cluster: Cluster, matrix: OutcomeMatrix, tmp_path: Path
) -> None:
    ended: list[int] = []

    def progress(done: int, total: int) -> None:
        if done >= total // 4 and not ended:
            cluster.processes[1].kill()
            ended.append(done)

    study = Study([matrix], SETTINGS)
    result = study.run(
        workers=f"dask:{cluster.address}", output=tmp_path / "study", progress=progress
    )
    assert ended
    assert cluster.processes[1].wait(600) == -signal.SIGKILL
    assert plain(result) == plain(Study([matrix], SETTINGS).run())
