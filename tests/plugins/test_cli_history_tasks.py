"""``midband history tasks``: a table, JSON and CSV of the same findings."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from midband_history import History, Metric, Record

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
AGENTS, TASKS = 30, 20


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Return a history with a stale, a reversed, a flipping and an unsolved task."""

    def score(task: int, agent: int) -> float:
        if task == 0:
            return float(agent >= 10)
        if task == 1:
            return float(agent < 15)
        return 0.0 if task == 2 else float((task * 7 + agent) % 30 < agent)

    records = [
        Record(
            benchmark="toy",
            task_id=f"t{task:02d}",
            agent=f"a{agent:02d}",
            run_id=f"{agent}-{attempt}",
            attempt=attempt,
            score=1.0 - attempt if task == 3 else score(task, agent),
            started=None
            if agent == 0
            else datetime(2024 + agent // 20, 1 + agent % 12, 3, tzinfo=UTC),
        )
        for agent in range(AGENTS)
        for task in range(TASKS)
        for attempt in range(2)
    ]
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add(records, source="test")
    return path


def test_the_table_begins_with_what_needs_a_look(planted: Path, call: Call) -> None:
    code, out, said = call("history", "tasks", "toy", "--by", "year", "--history", planted)
    header, *lines = [line.split("\t") for line in out.splitlines()]
    rows = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    assert code == 0
    assert header[:4] == ["task_id", "rate 1", "rate 2", "rate 3"]
    assert len(rows) == TASKS
    assert lines[0][0] == "t01"
    assert rows["t01"]["broken"].startswith("probably: ")
    assert rows["t00"]["separation"] == "all pass"
    assert rows["t02"]["separation"] == "none pass"
    assert rows["t02"]["broken"] == "unknown: nobody passes, too hard or broken"
    assert rows["t03"]["flips"] == "30/30"
    assert rows["t04"]["flips"] == "0/30"
    assert "cohort 2 (2025): 10 agents" in said
    assert "cohort 3 (undated): 1 agent;" in said
    assert "20 tasks: 1 probably broken" in said


def test_json_and_csv_agree(planted: Path, call: Call) -> None:
    parsed = json.loads(call("history", "tasks", "toy", "--json", "--history", planted)[1])
    text = call("history", "tasks", "toy", "--csv", "--history", planted)[1]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["task_id"] for row in rows] == [f"t{task:02d}" for task in range(TASKS)]
    for row, task in zip(rows, parsed["tasks"], strict=True):
        assert row["separation"] == task["separation"]
        assert row["item_rest"] == ("" if task["item_rest"] is None else str(task["item_rest"]))
        for cohort in task["cohorts"]:
            assert row[f"agents {cohort['cohort']}"] == str(cohort["agents"])
    assert len(parsed["cohorts"]) == 4  # three, and the undated agent
    assert parsed["tasks"][2]["broken"] is None


def test_only_keeps_the_kinds_asked_for(planted: Path, call: Call) -> None:
    def names(*options: str) -> list[str]:
        out = call("history", "tasks", "toy", *options, "--json", "--history", planted)[1]
        return [task["task_id"] for task in json.loads(out)["tasks"]]

    assert names("--only", "broken") == ["t01"]
    assert names("--only", "flips") == ["t03"]
    assert names("--only", "broken", "--only", "flips") == ["t01", "t03"]
    assert {"t00", "t02"} <= set(names("--only", "stale", "--by", "year"))


def test_metric_version_and_date_choose_what_is_checked(planted: Path, call: Call) -> None:
    judge = Metric(name="judge", low=0.0, high=1.0)
    when = datetime(2025, 6, 1, tzinfo=UTC)
    with History.open(planted) as history:
        history.declare_metric("toy", "", name="exact")
        history.add(
            [
                Record(
                    benchmark="toy",
                    task_id="t00",
                    agent="judged",
                    score=0.3,
                    metric=judge,
                    started=when,
                )
            ]
        )

    def found(*options: str) -> tuple[int, list[int]]:
        base = ("history", "tasks", "toy", "--json", "--history", planted)
        code, out, _ = call(*base, *options)
        return code, [task["agents"] for task in json.loads(out)["tasks"]] if out else []

    assert found("--metric", "judge") == (0, [1])
    assert found("--metric", "exact") == (0, [AGENTS] * TASKS)
    dated = found("--metric", "exact", "--as-of", "2024-12-31")
    assert dated == (0, [19] * TASKS)  # neither the later ones nor the one without a date
    assert found("--metric", "exact", "--version", "none")[0] != 0


def test_bad_questions_are_one_line(planted: Path, call: Call, one_line: OneLine) -> None:
    base = ("history", "tasks", "toy", "--history", planted)
    for options in (("--json", "--csv"), ("--cohorts", "2", "--by", "year"), ("--cohorts", "0")):
        code, out, error = call(*base, *options)
        assert (code, out) == (2, "")
        one_line(error)
    code, _, error = call("history", "tasks", "nowhere", "--history", planted)
    assert code == 1
    one_line(error, "nowhere")
