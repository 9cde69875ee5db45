"""Files of rows read straight into a matrix, and real ones where they are beside the checkout."""

import os
from pathlib import Path

import numpy as np
import pytest

from midband_history import (
    History,
    InputError,
    Table,
    UnknownBenchmarkError,
    list_benchmarks,
    read_matrix,
    read_table,
)

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="module")
def shared() -> Path:
    if not (SHARED / "data").is_dir():
        if os.environ.get("CI"):
            pytest.fail("expected real results in ../shared under CI, found none")
        pytest.skip("no ../shared beside this checkout: real results are not part of the project")
    return SHARED


def test_a_matrix_straight_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("benchmark,task_id,agent,score\nx,1,a,1\nx,2,a,0.5\ny,1,a,0\n")
    assert list_benchmarks(path) == ["x", "y"]
    assert read_matrix(path, "x").scores.tolist() == [[1.0, 0.5]]
    with pytest.raises(UnknownBenchmarkError, match="got 'z'"):
        read_matrix(path, "z")
    with pytest.raises(InputError, match="ends in"):
        read_matrix(tmp_path / "results.xlsx", "x")


def test_rows_as_records_say_what_the_table_says(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(
        '{"benchmark": "x", "task_id": 3, "agent": "a", "passed": true, "cost_usd": 0.5}\n'
    )
    (record,) = read_table(Table(path=path, format="jsonl"))
    assert (record.task_id, record.score, record.passed, record.cost_usd) == ("3", 1.0, True, 0.5)
    with History.in_memory() as history:
        history.add_table(Table(path=path, format="jsonl"))
        assert history.add([record]).duplicates == 1


@pytest.mark.parametrize(
    ("benchmark", "agents", "tasks", "in_band"),
    [
        ("gaia", 32, 165, 82),
        ("online_mind2web", 22, 300, 95),
        ("usaco", 13, 307, 93),
        ("swebench_verified_mini", 28, 50, 20),
        ("taubench_airline", 26, 50, 28),
        ("corebench_hard", 38, 45, 15),
        ("scicode", 24, 65, 4),
    ],
)
def test_real_leaderboard_has_the_published_bands(
    shared: Path, benchmark: str, agents: int, tasks: int, in_band: int
) -> None:
    matrix = read_matrix(shared / "data" / "hal_leaderboard.parquet", benchmark)
    assert matrix.scores.shape == (agents, tasks)
    rates = matrix.pass_rates()
    assert int(np.sum((rates >= 0.3) & (rates <= 0.7))) == in_band


def test_real_attempts_are_kept_apart(shared: Path) -> None:
    path = shared / "data" / "terminal_bench_1.parquet"
    matrix = read_matrix(path, list_benchmarks(path)[0])
    assert matrix.attempt_scores.shape == (26, 80, 5)
    assert (matrix.attempts == 5).all()
    means = np.nanmean(matrix.attempt_scores, axis=2)
    assert np.allclose(matrix.scores, means)


def test_real_half_a_million_rows_import_and_repeat_without_change(
    shared: Path, tmp_path: Path
) -> None:
    table = Table(path=shared / "data" / "mmlu_pro.parquet", format="parquet")
    with History.open(tmp_path / "h.duckdb") as history:
        assert history.add_table(table).added == 564_350
        report = history.add_table(table)
        assert (report.added, report.duplicates, report.skipped) == (0, 564_350, ())
        matrix = history.outcomes("mmlu-pro")
        assert matrix.scores.shape == (48, 12_257)
        assert np.isnan(matrix.scores).sum() == 48 * 12_257 - 564_350
