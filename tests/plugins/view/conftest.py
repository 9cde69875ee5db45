"""What the tests of the local page share: states as runs would write them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midband.view import Look, Point, StateKeeper

Write = Callable[..., StateKeeper]
Change = Callable[..., Path]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of state files, for this test alone."""
    monkeypatch.setenv("MIDBAND_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "runs"


def look(tasks: int, *, low: int, high: int, rank: int | None, **numbers: Any) -> Look:
    """Return how a run of 40 tasks among 12 agents stands."""
    found: dict[str, float | None] = {
        "tasks_run": tasks,
        "tasks_planned": 40,
        "tasks_total": 40,
        "results": tasks,
        "low": low,
        "high": high,
        "rank": rank,
        "of": 12,
        "confidence": 0.95,
        "errors": 0,
        "score": 0.5,
        "score_low": 0.3,
        "score_high": 0.7,
        "spent_usd": tasks * 0.5,
    }
    point = Point(at=tasks, ranks=((low, high, rank),), score=(0.3, 0.7, 0.5))
    return Look(numbers=found | numbers, texts={"target": "full benchmark"}, point=point)


@pytest.fixture
def start(runs: Path) -> Write:
    """Begin a run in this process, which has written nothing yet."""
    del runs

    def _start(key: str = "one", **options: Any) -> StateKeeper:
        said: dict[str, Any] = {
            "kind": "run",
            "harness": "stand-in",
            "benchmark": "toy",
            "plan_digest": "d1",
            "agents": ("agent-new",),
            "directory": "/results/one",
            "note": pytest.fail,
        }
        return StateKeeper(key=key, **(said | options))

    return _start


@pytest.fixture
def change(runs: Path) -> Change:
    """Write a state file with some values changed, as somebody else might have left it."""

    def _change(name: str = "0" * 16, **values: Any) -> Path:
        (path,) = [each for each in runs.glob("*.json") if each.stem != name][:1]
        data = json.loads(path.read_text())
        target = runs / f"{name}.json"
        target.write_text(json.dumps({**data, **values}))
        return target

    return _change


DEAD = {"pid": 2**22 + 5, "pid_started": "1"}
ELSEWHERE = {"host": "gpu-7.example"}
OTHER_BOOT = {"machine": f"{os.urandom(4).hex()} pid:[1]"}
