"""What the tests of the command line share: a small history, and a way to call."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.browsing import Chromium, chromium_running
from tests.plugins.terminals import on_terminal

from midband.cli.root import run
from midband_history import History, Record

__all__ = ["on_terminal"]

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
N_TASKS = 40
N_AGENTS = 12


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Return the one browser of all tests; skip those that need it where there is none."""
    with chromium_running() as browser:
        yield browser


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process; return exit code, standard output and error."""

    def _call(*arguments: str | Path) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return _call


@pytest.fixture
def one_line() -> OneLine:
    """Check that an error is one line that names all the parts."""

    def _check(error: str, *parts: str) -> None:
        assert error.startswith("midband: ")
        assert len(error.splitlines()) == 1, error
        for part in parts:
            assert part in error

    return _check


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a history of 12 agents on the benchmark ``toy`` of 40 tasks, one a day."""
    records = [
        Record(
            benchmark="toy",
            task_id=f"t{task:02d}",
            agent=f"a{agent:02d}",
            score=float((task * 7 + agent) % N_TASKS < 3 * (agent + 1)),
            started=datetime(2025, 1, 1 + agent, tzinfo=UTC),
            cost_usd=0.5,
            task_digest=f"digest-{task}",
        )
        for agent in range(N_AGENTS)
        for task in range(N_TASKS)
    ]
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add(records, source="test")
    return path
