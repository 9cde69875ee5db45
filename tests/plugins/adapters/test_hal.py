"""HAL leaderboard databases: runs with lists of tasks solved and failed."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from midband.importers.sources import import_paths
from midband_history import History

SHARED = Path(__file__).parents[4] / "shared"


@pytest.fixture(scope="module")
def real() -> Path:
    path = SHARED / "raw_samples" / "hal" / "corebench_hard.db"
    if not path.is_file():
        if os.environ.get("CI"):
            pytest.fail("expected real results in ../shared under CI, found none")
        pytest.skip("no ../shared beside this checkout: real results are not part of the project")
    return path


def _database(path: Path, rows: list[tuple[object, ...]]) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE parsed_results (benchmark_name TEXT, agent_name TEXT, date TEXT,"
            " run_id TEXT, successful_tasks TEXT, failed_tasks TEXT, total_cost REAL)"
        )
        database.execute("CREATE TABLE token_usage (agent_name TEXT, run_id TEXT, model_name TEXT)")
        database.execute("INSERT INTO token_usage VALUES ('Agent', 'r2', 'm-2')")
        database.executemany("INSERT INTO parsed_results VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    return path


def test_runs_become_attempts_with_their_dates_and_costs(tmp_path: Path) -> None:
    path = _database(
        tmp_path / "h.db",
        [
            ("toy", "Agent (m (May))", "2025-05-01", "r1", "['1', '2']", "['3']", 4.0),
            ("toy", "Agent", "2025-06-01", "r2", "[1]", "[2, 3]", None),
        ],
    )
    with History.in_memory() as history:
        report = import_paths(history, [path])
        assert (report.added, report.sources[0].format) == (6, "hal")
        matrix = history.outcomes("toy")
        assert matrix.agents == ("Agent (m (May))", "Agent (m-2)")
        assert matrix.models == ("m (May)", "m-2")
        assert matrix.scaffolds == ("Agent", "Agent")
        assert matrix.scores.tolist() == [[1, 1, 0], [1, 0, 0]]
        assert matrix.run_cost_usd[0] == 4.0
        assert history.agents("toy")[0].first == datetime(2025, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("solved", "failed", "words"),
    [("['1']", "['1', '2']", "both"), ("['1'", "[]", "list of tasks"), ("{}", "[]", "list of")],
)
def test_lists_that_contradict_or_break_off_are_refused(
    tmp_path: Path, solved: str, failed: str, words: str
) -> None:
    path = _database(tmp_path / "h.db", [("toy", "a", "2025-05-01", "r1", solved, failed, 1.0)])
    with History.in_memory() as history:
        report = import_paths(history, [path])
        assert words in report.refused[0].error
        assert "r1" in report.refused[0].error
        assert history.benchmarks() == []


def test_another_or_a_torn_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("CREATE TABLE sales (price REAL)")
    whole = _database(
        tmp_path / "whole.db",
        [("toy", "a", "2025-05-01", f"r{i}", f"{list(range(500))}", "[]", 1.0) for i in range(9)],
    )
    (tmp_path / "torn.db").write_bytes(whole.read_bytes()[:9000])
    (tmp_path / "text.db").write_text("not a database")
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert [each.path.name for each in report.refused] == ["other.db", "text.db", "torn.db"]
        assert (report.imported, report.added) == (1, 4500)


def test_real_database_matches_the_accuracy_that_it_states(real: Path) -> None:
    with History.in_memory() as history:
        report = import_paths(history, [real])
        assert (report.added, report.refused) == (1800, ())
        matrix = history.outcomes("corebench_hard")
        assert len(matrix.tasks) == 45
        agent = matrix.agents.index("CORE-Agent (claude-3-5-sonnet-20241022)")
        with closing(sqlite3.connect(f"{real.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            (stated,) = database.execute(
                "SELECT accuracy FROM parsed_results WHERE agent_name = ?", [matrix.agents[agent]]
            ).fetchone()
        assert matrix.full_scores()[agent] == pytest.approx(stated, abs=1e-4)
        again = import_paths(history, [real])
        assert (again.added, again.unchanged, again.sources[0].known) == (0, 1, True)
