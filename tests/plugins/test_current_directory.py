"""Files that lie beside results are data: midband never executes one as a module."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midband_history import process_pool

NAMES = (
    *("json", "numpy", "click", "typing", "socket", "signal", "pickle", "random", "duckdb"),
    *("rich", "pluggy", "scipy", "subprocess", "tempfile", "inspect_ai", "midband_history"),
)


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Path]:
    """Return a directory with results, and with modules that leave a trace when executed."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    trace = tmp_path / "trace.txt"
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write({name + ' '!r})\n")
    rows = [f"t{task},a{agent},{(task * agent) % 2}" for task in range(8) for agent in range(8)]
    (folder / "results.csv").write_text("\n".join(["task_id,agent,score", *rows, ""]))
    yield folder
    assert not trace.exists(), trace.read_text()


@pytest.fixture
def front(tmp_path: Path) -> Path:
    """Return a script that starts midband as the one that pip installs does."""
    script = tmp_path / "bin" / "midband"
    script.parent.mkdir()
    script.write_text(
        "import sys\nfrom midband.cli import main\nif __name__ == '__main__':\n    main()\n"
    )
    return script


@pytest.fixture
def midband(trap: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    paths = os.pathsep.join(path for path in sys.path if path)

    def _call(*words: object) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, *map(str, words), "--history", str(trap.parent / "h.duckdb")],
            cwd=trap,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return _call


@pytest.mark.slow
def test_commands_and_their_workers(
    midband: Callable[..., subprocess.CompletedProcess[str]], front: Path
) -> None:
    assert "64" in midband(front, "import", ".", "--benchmark", "b").stdout
    midband("-m", "midband", "import", ".", "--benchmark", "other")
    options = ("--strategy", "random", "--stop", "none", "--seeds", "1", "--workers", "2")
    midband(front, "study", "--benchmark", "b", *options)


def test_workers_do_not_look_in_the_current_directory(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trap)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    with process_pool(1) as pool:
        assert pool.submit(os.getcwd).result() == str(trap)
    assert "PYTHONSAFEPATH" not in os.environ
