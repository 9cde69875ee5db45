"""The recipes of CONTRIBUTING.md, followed as they are written, in a copy of the sources."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.environments import ROOT

from midband_history import History, Record

ROOTS = ("history", "sampler", "sims", "plugins")
SETTINGS = "sampler/midband_sampler/settings.py"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```py\n# (\S+\.py)\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the sources, add every file of the recipes and the field of the last one."""
    work = tmp_path_factory.mktemp("contributed")
    for root in ROOTS:
        shutil.copytree(ROOT / root, work / root, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        if (work / name).parent.is_dir():
            (work / name).write_text(text, encoding="utf-8")
    (field,) = re.findall(r"```py\n(    max_usd: .*?)```", TEXT, re.DOTALL)
    settings = (work / SETTINGS).read_text(encoding="utf-8")
    marker = "    fallback: bool = field("
    assert settings.count(marker) == 1
    (work / SETTINGS).write_text(settings.replace(marker, field + marker), encoding="utf-8")
    records = [
        Record(
            benchmark="toy",
            task_id=f"t{task:02d}",
            agent=f"a{agent:02d}",
            score=float((task * 7 + agent) % 40 < 3 * (agent + 1)),
        )
        for agent in range(12)
        for task in range(40)
    ]
    with History.open(work / "h.duckdb") as history:
        history.add(records, source="test")
    return work


def midband(copy: Path, *arguments: str) -> str:
    path = os.pathsep.join(str(copy / root) for root in ROOTS)
    done = subprocess.run(
        [sys.executable, "-m", "midband", *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path, "MIDBAND_HISTORY": "h.duckdb"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rule_a_strategy_and_an_option_work_once_they_are_written(copy: Path) -> None:
    told = midband(copy, "plan", "--help")
    for word in ("bottom-half:CONFIDENCE", "easiest-fixed", "--max-usd USD"):
        assert word.replace(" ", "") in "".join(told.split())
    options = ("--strategy", "easiest", "--stop", "bottom-half:0.8")
    midband(copy, "plan", "toy", *options, "--max-usd", "20")
    plan = json.loads((copy / "plan.json").read_text())
    assert plan["strategy"] == "easiest"
    assert plan["stop"] == {"rule": "bottom-half", "confidence": 0.8}
    study = ("study", "--json", "--strategy", "random", "--stop", "bottom-half:0.8")
    cells = json.loads(midband(copy, *study, "--plan", "max-usd=20", "--plan", "max-usd=30"))
    assert [cell["plan"] for cell in cells] == ["max_usd=20", "max_usd=30"]
    assert all(cell["fraction_run"] < 1 for cell in cells)


@pytest.mark.skipif(
    not (ROOT / "plugins/midband/adapters").is_dir(), reason="needs the folder of adapters"
)
def test_a_format_is_read_once_it_is_written(copy: Path) -> None:
    (copy / "mine.words").write_text("one 1\ntwo 0\n")
    told = json.loads(midband(copy, "import", "mine.words", "--json"))
    assert (told["imported"], told["added"]) == (1, 2)
