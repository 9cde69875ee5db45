"""The gate: is a new agent worse than a baseline by more than a margin, as an exit code."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
HELD, ERROR, USAGE, UNDECIDED, FAILED = 0, 1, 2, 3, 4
TASKS = 200


def table(
    path: Path,
    agent: str,
    score: Callable[[int], object],
    *,
    tasks: Iterable[int] = range(TASKS),
    benchmark: str = "toy",
) -> Path:
    """Write one agent's results; a score of None is an attempt without a usable result."""
    rows = [
        {"benchmark": benchmark, "task_id": f"t{task:03d}", "agent": agent, "score": score(task)}
        | {"repo": f"repo-{task % 20}"}
        | ({"outcome": "infra_error"} if score(task) is None else {})
        for task in tasks
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def base(task: int) -> int:
    return int(task % 7 < 4)


def better(task: int) -> int:
    return int(base(task) or task % 5 == 0)


def worse(task: int) -> int:
    return int(base(task) and task % 3 != 0)


def near(task: int) -> int:
    return 1 - base(task) if task % 10 == 0 else base(task)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Results of the baseline."""
    return table(tmp_path / "old.jsonl", "old", base)


@pytest.mark.parametrize(
    ("score", "code", "said"),
    [
        (better, HELD, "gate held: new is not worse than old by more than 5 points"),
        (worse, FAILED, "gate did not hold: new is worse than old by more than 5 points"),
        (near, UNDECIDED, "gate undecided: whether new is worse than old by more than 5 points"),
    ],
)
def test_two_sets_of_results_end_in_one_line_and_a_code(
    old: Path, tmp_path: Path, call: Call, score: Callable[[int], int], code: int, said: str
) -> None:
    new = table(tmp_path / "new.jsonl", "new", score)
    got, out, error = call("rank", "--gate", "not-worse:old:5", new, "--baseline", old)
    assert (got, error) == (code, "")
    assert out.startswith(said)
    assert len(out.splitlines()) == 1


@pytest.mark.parametrize(("score", "code"), [(better, HELD), (worse, FAILED)])
def test_a_plan_judges_the_gate_and_stops_early(
    tmp_path: Path, call: Call, store: Path, score: Callable[[int], int], code: int
) -> None:
    others = [
        table(tmp_path / f"x{i}.jsonl", f"x{i}", lambda t, i=i: int(t % (i + 2) == 0))
        for i in range(5)
    ]
    old = table(tmp_path / "old.jsonl", "old", base)
    history = ("--history", tmp_path / "own.duckdb")
    assert call("import", old, *others, "--metric", "score", *history)[0] == 0
    plan = tmp_path / "plan.json"
    made = call(
        "plan", "toy", "-o", plan, "--strategy", "random", "--stop", "not-worse:old:5", *history
    )
    assert made[0] == 0, made[2]
    new = table(tmp_path / "new.jsonl", "new", score)
    got, out, error = call(
        "rank", plan, new, "--gate", "not-worse:old:5", "--metric", "score", *history
    )
    assert got == code, error
    assert len(out.splitlines()) == 1
    got, out, _ = call(
        "rank", plan, new, "--gate", "not-worse:old:5", "--json", "--metric", "score", *history
    )
    said = json.loads(out)["gate"]
    assert (got, said["exit_code"]) == (code, code)
    assert said["tasks"] < said["tasks_in_target"] == TASKS
