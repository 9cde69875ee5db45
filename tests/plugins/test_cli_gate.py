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


def every(step: int) -> Callable[[int], int]:
    return lambda task: int(task % step == 0)


@pytest.fixture
def history(tmp_path: Path, old: Path, call: Call) -> Path:
    """A history of the baseline and five others."""
    path = tmp_path / "own.duckdb"
    others = [table(tmp_path / f"x{i}.jsonl", f"x{i}", every(i)) for i in range(2, 7)]
    code, _, error = call("import", old, *others, "--metric", "score", "--history", path)
    assert code == 0, error
    return path


@pytest.fixture
def planned(tmp_path: Path, history: Path, call: Call) -> Callable[..., Path]:
    """Make a plan that stops by a rule."""

    def _make(stop: str, *, strategy: str = "random") -> Path:
        plan = tmp_path / "plan.json"
        words = ("--strategy", strategy, "--stop", stop, "--history", history)
        code, _, error = call("plan", "toy", "-o", plan, *words)
        assert code == 0, error
        return plan

    return _make


@pytest.mark.parametrize(("score", "code"), [(better, HELD), (worse, FAILED)])
@pytest.mark.parametrize("stop", ["not-worse:old:5", "rank:0.99:0.0"])
def test_a_plan_judges_the_gate_and_stops_early(
    planned: Callable[..., Path],
    tmp_path: Path,
    call: Call,
    score: Callable[[int], int],
    code: int,
    stop: str,
) -> None:
    new = table(tmp_path / "new.jsonl", "new", score)
    words = ("rank", planned(stop), new, "--gate", "not-worse:old:5", "--metric", "score")
    got, out, error = call(*words)
    assert got == code, error
    assert len(out.splitlines()) == 1
    got, out, _ = call(*words, "--json")
    said = json.loads(out)["gate"]
    assert (got, said["exit_code"]) == (code, code)
    assert said["tasks"] < said["tasks_in_target"] == TASKS


def test_a_calibrated_plan_has_to_stop_by_the_gate(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    plan = tmp_path / "plan.json"
    words = ("--strategy", "information", "--stop", "rank:0.8:0.5", "--history", store)
    assert call("plan", "toy", "-o", plan, *words)[0] == 0
    assert json.loads(plan.read_text())["calibration"] is not None
    new = table(tmp_path / "new.jsonl", "new", better)
    code, _, error = call("rank", plan, new, "--gate", "not-worse:a05:5", "--history", store)
    assert code == USAGE
    one_line(error, '--stop "not-worse:a05:5:0.95"')


def test_the_summary_is_markdown_and_a_step_of_ci_is_added_to(
    old: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = table(tmp_path / "new.jsonl", "ne|w", better)
    step, own = tmp_path / "step.md", tmp_path / "own.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    for place in (step, own):
        place.write_text("before\n")
        words = ("--baseline", old, "--gate", "not-worse:old:5", "--summary", place)
        assert call("rank", new, *words)[0] == HELD
    assert step.read_text().startswith("before\n### Gate held\n")
    assert own.read_text() == step.read_text().removeprefix("before\n")
    assert r"| candidate | ne\|w |" in own.read_text()


def test_a_summary_that_cannot_be_written_does_not_change_the_verdict(
    old: Path, tmp_path: Path, call: Call
) -> None:
    new = table(tmp_path / "new.jsonl", "new", worse)
    words = ("--baseline", old, "--gate", "not-worse:old:5")
    code, out, error = call("rank", new, *words, "--summary", tmp_path / "none" / "s.md")
    assert code == FAILED
    assert out.startswith("gate did not hold")
    assert "cannot be written" in error


def test_missing_results_count_against_either_claim(old: Path, tmp_path: Path, call: Call) -> None:
    """Equal agents with a tenth of the attempts lost: neither claim follows from these tasks."""
    new = table(tmp_path / "new.jsonl", "new", lambda t: None if t % 10 == 3 else base(t))
    words = ("--baseline", old, "--gate", "not-worse:old:2", "--target", "tasks", "--json")
    code, out, _ = call("rank", new, *words)
    said = json.loads(out)["gate"]
    lost = [t for t in range(TASKS) if t % 10 == 3]
    assert code == UNDECIDED
    assert said["low"] == pytest.approx(-100 * sum(map(base, lost)) / TASKS)
    assert said["high"] == pytest.approx(100 * sum(1 - base(t) for t in lost) / TASKS)
    assert "20 of 200 attempts of new have no usable result" in said["warnings"][0]


def test_clusters_widen_the_bounds_and_come_from_a_column_or_a_table(
    tmp_path: Path, call: Call
) -> None:
    """Differences that are alike within a repository tell less than as many tasks seem to."""
    old = table(tmp_path / "old.jsonl", "old", lambda t: int(t % 20 < 10))
    new = table(tmp_path / "new.jsonl", "new", lambda t: int(t % 20 < 10 and t % 20 != 3))
    tasks = tmp_path / "tasks.csv"
    tasks.write_text("task_id,repo\n" + "".join(f"t{t:03d},r{t % 20}\n" for t in range(TASKS)))
    words = ("rank", new, "--baseline", old, "--gate", "not-worse:old:1", "--json")
    alone = json.loads(call(*words)[1])["gate"]
    found = [
        json.loads(call(*words, "--cluster", column)[1])["gate"]
        for column in ("repo", f"{tasks}:repo")
    ]
    assert found[0] == found[1]
    assert found[0]["clusters"] == 20
    assert found[0]["low"] < alone["low"] < alone["high"] < found[0]["high"]
    assert (alone["result"], found[0]["result"]) == ("failed", "undecided")


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("--gate", "not-worse:old"), USAGE, "not-worse:BASELINE:POINTS"),
        (("--gate", "better:old:2"), USAGE, "not-worse:BASELINE:POINTS"),
        (("--gate", "not-worse:old:-2"), USAGE, "margin"),
        (("--gate", "not-worse:old:2:1.5"), USAGE, "'old:2'"),
        (("--gate", "not-worse:olf:2"), USAGE, "'old'"),
        (("--gate", "not-worse:old:2", "--cluster", "nothing"), USAGE, "'nothing'"),
        (("--gate", "not-worse:old:2", "--cluster", "repo", "--target", "tasks"), USAGE, "sample"),
        (("--gate", "not-worse:old:2", "--all"), USAGE, "--all"),
        ((), USAGE, "--gate beside --baseline"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(
    old: Path,
    tmp_path: Path,
    call: Call,
    one_line: OneLine,
    words: tuple[str, ...],
    code: int,
    part: str,
) -> None:
    new = table(tmp_path / "new.jsonl", "new", better)
    got, out, error = call("rank", new, "--baseline", old, *words)
    assert (got, out) == (code, "")
    one_line(error, part)


def test_results_that_share_no_task_or_benchmark_are_refused(
    old: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    words = ("--baseline", old, "--gate", "not-worse:old:2")
    apart = table(tmp_path / "apart.jsonl", "new", better, tasks=range(TASKS, 2 * TASKS))
    other = table(tmp_path / "other.jsonl", "new", better, benchmark="another")
    for path, part in ((apart, "check the task ids"), (other, "one benchmark")):
        code, _, error = call("rank", path, *words)
        assert code == USAGE
        one_line(error, part)
    code, _, error = call("rank", old, *words)
    assert code == USAGE
    one_line(error, "both sides")


def test_results_of_an_adaptive_run_are_judged_through_its_plan_alone(
    planned: Callable[..., Path], old: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    plan = planned("not-worse:old:5")
    (directory / "plan.json").write_bytes(plan.read_bytes())
    (directory / "rounds.jsonl").write_text("")
    table(directory / "results.jsonl", "new", better, tasks=range(50))
    words = ("--baseline", old, "--gate", "not-worse:old:2")
    code, _, error = call("rank", directory / "results.jsonl", *words)
    assert code == USAGE
    one_line(error, "through the plan")
    code, _, error = call("rank", plan, old, *words)
    assert code == USAGE
    one_line(error, "--baseline beside a plan")
