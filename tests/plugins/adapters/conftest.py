"""What the tests of adapters share: plans, rounds, and environments in which harnesses run."""

import fcntl
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.environments import VERSION, make_environment, newest_python, run

from midband import OutcomeMatrix, Plan, make_plan
from midband.descriptors import Round

# Harbor imports it, in an environment of its own.
collect_ignore = ["harbor_environment.py"]

MakePlan = Callable[[str, Sequence[str]], Plan]
MakeRound = Callable[..., Round]
# Gives the folder of the programs of an environment that has the packages.
Environment = Callable[..., Path]


@pytest.fixture(scope="session")
def make_a_plan() -> MakePlan:
    """Return a plan of all these tasks, in a random order."""

    def _make(benchmark: str, tasks: Sequence[str]) -> Plan:
        rng = np.random.default_rng(7)
        chance = rng.random((1, len(tasks)))
        scores = (rng.random((6, len(tasks))) < chance).astype(float)
        matrix = OutcomeMatrix.from_scores(scores, benchmark=benchmark, tasks=tasks)
        return make_plan(matrix, strategy="random", seed=3)

    return _make


@pytest.fixture
def make_a_round(make_a_plan: MakePlan, tmp_path: Path) -> MakeRound:
    """Return a round of some tasks of a plan."""

    def _make(
        benchmark: str,
        tasks: Sequence[str],
        *arguments: str,
        attempts: int = 1,
        among: Sequence[str] = (),
    ) -> Round:
        return Round(
            plan=make_a_plan(benchmark, [*tasks, *among]),
            tasks=tuple(tasks),
            directory=tmp_path / "r000",
            name="r000",
            attempts=attempts,
            arguments=arguments,
        )

    return _make


@pytest.fixture(scope="session")
def environment() -> Environment:
    """Make environments in the user's cache, kept between runs; skip where one cannot be made."""

    def _make(*packages: str, minimum: tuple[int, int] = (3, 11)) -> Path:
        python = newest_python(minimum)
        said = run(python, "-c", VERSION, cwd=Path.cwd()).stdout.split()
        name = "-".join(["".join(filter(str.isalnum, word)) for word in packages] + said)
        folder = _cache() / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        done = folder / ".complete"
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests may be making it
            if done.exists():
                return Path(done.read_text())
            shutil.rmtree(folder, ignore_errors=True)
            programs = make_environment(folder, packages, python=python, constrained=False)
            done.write_text(str(programs))
            return programs

    return _make


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "midband-tests"
