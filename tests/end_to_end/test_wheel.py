"""The built wheel, in a clean environment without extras, makes a plan and ranks by it."""

import csv
import json
import zipfile
from pathlib import Path

import pytest
from tests.environments import ROOT, build_wheel, make_environment, run

N_TASKS = 60
N_AGENTS = 12

pytestmark = [pytest.mark.wheel, pytest.mark.slow]


def _run(*command: str | Path, cwd: Path) -> str:
    return run(*command, cwd=cwd).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("built") / "dist")


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment that holds the wheel and nothing else."""
    return make_environment(tmp_path_factory.mktemp("clean") / "venv", [wheel])


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
    assert {"midband/report/page.css", "midband/report/page.js"} <= set(names)
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
