"""The built wheel, in a clean environment without extras, makes a plan and ranks by it."""

import csv
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
N_TASKS = 60
N_AGENTS = 12

pytestmark = [pytest.mark.wheel, pytest.mark.slow]


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "MIDBAND"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    _run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        target,
        ROOT,
        cwd=ROOT,
    )
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin directory of an environment that holds the wheel and nothing else."""
    where = tmp_path_factory.mktemp("clean") / "venv"
    constraints = ROOT / "constraints.txt"
    if uv := shutil.which("uv"):
        _run(uv, "venv", "--quiet", "--python", sys.executable, where, cwd=where.parent)
        python = where / "bin" / "python"
        _run(
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "-c",
            constraints,
            wheel,
            cwd=where.parent,
        )
    else:
        venv.create(where, with_pip=True)
        python = where / "bin" / "python"
        _run(python, "-m", "pip", "install", "--quiet", "-c", constraints, wheel, cwd=where.parent)
    return where / "bin"


def _results(path: Path, *, new_agent: bool) -> None:
    names = ["new"] if new_agent else [f"agent-{place}" for place in range(N_AGENTS)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["benchmark", "task_id", "agent", "score"])
        for place, name in enumerate(names):
            for task in range(N_TASKS):
                score = int((task * 7 + 3) % N_TASKS < 5 * (place + 1))
                writer.writerow(["toy", f"task-{task}", name, score])


def test_the_wheel_holds_the_four_rooms_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    rooms = {"midband", "midband_history", "midband_sampler", "midband_sims"}
    assert {top for top in tops if not top.endswith(".dist-info")} == rooms
    assert any(name.endswith(".sql") for name in names)
    for room in rooms:
        assert f"{room}/py.typed" in names


def test_the_wheel_imports_without_extras(clean: Path, tmp_path: Path) -> None:
    code = (
        "import sys, midband, midband_sampler, midband_sims;"
        "from midband import make_plan, hookimpl;"
        "print(sorted({'inspect_ai', 'pyarrow', 'altair'} & set(sys.modules)))"
    )
    assert _run(clean / "python", "-c", code, cwd=tmp_path).strip() == "[]"


def test_the_wheel_imports_plans_and_ranks(clean: Path, tmp_path: Path) -> None:
    midband = clean / "midband"
    history = ("--history", tmp_path / "h.duckdb")
    _results(tmp_path / "past.csv", new_agent=False)
    _results(tmp_path / "new.csv", new_agent=True)
    _run(midband, "import", "past.csv", *history, cwd=tmp_path)
    rates = _run(midband, "rates", "toy", "--format", "csv", *history, cwd=tmp_path)
    assert len(rates.splitlines()) == N_TASKS + 1
    _run(midband, "plan", "toy", "--output", "plan.json", *history, cwd=tmp_path)
    (verdict,) = json.loads(_run(midband, "rank", "plan.json", "new.csv", "--json", cwd=tmp_path))
    assert verdict["agent"] == "new"
    assert 1 <= verdict["low"] <= verdict["rank"] <= verdict["high"] <= N_AGENTS + 1
    plugins = json.loads(_run(midband, "plugins", "--all", "--json", cwd=tmp_path))
    assert {plugin["status"] for plugin in plugins} == {"loaded"}
