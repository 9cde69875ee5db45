"""Real results, where the checkout has them beside it: counts and orders that must come out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from midband_history import History, OutcomeMatrix
from midband_sampler import Band
from midband_sampler.strategies.base import in_band

SHARED = Path(__file__).parents[3] / "shared"
BAND_SIZES = {
    "gaia": 82,
    "online_mind2web": 95,
    "usaco": 93,
    "taubench_airline": 28,
    "corebench_hard": 15,
    "scicode": 4,
}


@pytest.fixture(scope="module")
def shared() -> Path:
    if not (SHARED / "data").is_dir():
        if os.environ.get("CI"):
            pytest.fail("expected real results in ../shared under CI, found none")
        pytest.skip("no ../shared beside this checkout: real results are not part of the project")
    return SHARED


def _midband(*arguments: str | Path, expected: tuple[int, ...] = (0,)) -> str:
    command = [sys.executable, "-m", "midband", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in expected, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def history(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / "h.duckdb"
    _midband("import", shared / "data" / "hal_leaderboard.parquet", "--history", path)
    return path


def _matrix(history: Path, benchmark: str) -> OutcomeMatrix:
    with History.open(history, read_only=True) as store:
        return store.outcomes(benchmark)


@pytest.mark.parametrize(("benchmark", "size"), BAND_SIZES.items())
def test_the_band_holds_as_many_tasks_as_published(
    history: Path, benchmark: str, size: int
) -> None:
    assert in_band(_matrix(history, benchmark), Band(0.3, 0.7)).size == size


@pytest.mark.parametrize(("benchmark", "least"), [("gaia", 0.93), ("taubench_airline", 0.94)])
def test_the_band_of_the_others_ranks_like_the_full_run(
    history: Path, benchmark: str, least: float
) -> None:
    matrix = _matrix(history, benchmark)
    n_agents = len(matrix.agents)
    inside = np.full(n_agents, np.nan)
    for agent in range(n_agents):
        others = matrix.select(agents=np.delete(np.arange(n_agents), agent))
        scores = matrix.scores[agent, in_band(others, Band(0.3, 0.7))]
        inside[agent] = np.nanmean(scores)
    assert spearmanr(inside, matrix.full_scores()).statistic >= least


def test_a_band_of_four_tasks_is_refused(history: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    command = ("plan", "scicode", "--strategy", "band", "--output", plan)
    _midband(*command, "--history", history, expected=(1,))
    assert not plan.exists()


def test_a_second_import_adds_nothing(history: Path, shared: Path) -> None:
    path = shared / "data" / "hal_leaderboard.parquet"
    with History.open(history, read_only=True) as store:
        before = [summary.attempts for summary in store.benchmarks()]
    _midband("import", path, "--history", history)
    with History.open(history, read_only=True) as store:
        assert [summary.attempts for summary in store.benchmarks()] == before


@pytest.mark.parametrize("folder", ["hal", "inspect"])
def test_original_files_come_in(shared: Path, folder: str, tmp_path: Path) -> None:
    """Some of the originals hold no usable result: these are refused by name, the rest come in."""
    path = tmp_path / "h.duckdb"
    printed = _midband(
        "import",
        shared / "raw_samples" / folder,
        "--history",
        path,
        "--json",
        expected=(0, 1),
    )
    assert json.loads(printed)
    with History.open(path, read_only=True) as store:
        assert sum(summary.attempts for summary in store.benchmarks()) > 0
