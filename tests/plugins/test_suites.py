"""Suites: planned with ``midband plan --all``, judged in one table, with an honest joint claim."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from midband import OutcomeMatrix, Plan, Session, make_plan
from midband.suite import FILE, NotPlanned, Planned, Suite, is_suite, joint_confidence
from midband.suite_verdict import SuiteRow, SuiteVerdict, suite_rows
from midband_history import InputError
from midband_sampler import PlanError, parse_stop

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
BENCHMARKS = ("alpha", "lab/beta")
TASKS = 40


def _write(path: Path, agents: dict[str, int], benchmarks: tuple[str, ...] = BENCHMARKS) -> None:
    """Write results of agents that solve every task below their number."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["benchmark", "task_id", "agent", "score", "cost_usd", "tokens"])
        for benchmark in benchmarks:
            for agent, solved in agents.items():
                for task in range(TASKS):
                    score = int((task * 7) % TASKS < solved)
                    writer.writerow([benchmark, f"t{task}", agent, score, 0.5, 100])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from midband.importers.sources import import_paths
    from midband_history import History

    folder = tmp_path_factory.mktemp("suites")
    _write(folder / "past.csv", {f"a{n}": 6 * n for n in range(1, 6)})
    with (folder / "past.csv").open("a") as file:
        file.write("empty | <b>,x,a1,,,\n")
    with History.open(folder / "h.duckdb") as history:
        import_paths(history, [folder / "past.csv"])
    return folder / "h.duckdb"


@pytest.fixture
def suite(store: Path, tmp_path: Path, call: Call) -> Path:
    words = ("--strategy", "random", "--stop", "rank:0.9:0.5", "--history", store)
    code, _, error = call("plan", "--all", "--output", tmp_path / "suite", *words)
    assert code == 0, error
    return tmp_path / "suite"


def test_each_benchmark_has_a_plan_or_a_reason(suite: Path) -> None:
    found = Suite.read(suite)
    assert [each.benchmark for each in found.planned] == list(BENCHMARKS)
    assert {name: plan.benchmark for name, plan in found.plans().items()} == {
        name: name for name in BENCHMARKS
    }
    assert all(plan.mean_tokens == 100.0 for plan in found.plans().values())
    (gone,) = found.not_planned
    assert gone.benchmark == "empty | <b>"
    assert "got 1 attempts without one" in gone.reason
    assert found.plan("inspect_evals/alpha") == found.plan("alpha")
    assert found.plan("beta").benchmark == "lab/beta"
    with pytest.raises(PlanError, match="could not be planned"):
        found.plan("empty | <b>")
    with pytest.raises(PlanError, match="it holds alpha, lab/beta"):
        found.plan("gamma")


def test_named_benchmarks_come_from_words_and_from_a_list(
    store: Path, tmp_path: Path, call: Call
) -> None:
    listed = tmp_path / "tasks.txt"
    listed.write_text("evals/alpha.py\nevals/all.py@nothing\n")
    words = ("--strategy", "random", "--history", store, "--json", "-o", tmp_path / "suite")
    code, out, error = call("plan", "lab/beta", "--all", "--list", listed, *words)
    assert code == 0
    rows = {row["benchmark"]: row for row in json.loads(out)["benchmarks"]}
    assert list(rows) == ["lab/beta", "alpha", "nothing"]
    assert rows["nothing"]["reason"].startswith("not planned: ")
    assert "nothing is not planned" in error
    code, _, _ = call("plan", "--all", "nothing", *words)
    assert code == 1


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("alpha", "lab/beta"), "expected one BENCHMARK, got alpha, lab/beta"),
        ((), "expected one BENCHMARK, got none"),
        (("alpha", "--list", "{here}/past.txt"), "expected --all beside --list"),
        (("--all", "--candidates", "{here}/past.txt"), "expected no --candidates beside --all"),
        (("--all", "--output", "{here}"), "expected an empty directory or an earlier suite"),
        (("alpha", "--output", "{here}"), "got the directory"),
    ],
)
def test_wrong_usage_is_one_line(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine, words: tuple[str, ...], part: str
) -> None:
    (tmp_path / "past.txt").write_text("alpha\n")
    given = [word.format(here=tmp_path) for word in words]
    code, _, error = call("plan", *given, "--history", store, "--strategy", "random")
    assert code == 2
    one_line(error, part)


def test_the_verdict_is_one_table_and_says_what_holds_together(
    suite: Path, tmp_path: Path, call: Call
) -> None:
    _write(tmp_path / "new.csv", {"me | <script>x</script> @team": 20})
    _write(tmp_path / "other.csv", {"me": 3}, ("elsewhere",))
    summary = tmp_path / "s.md"
    words = ("rank", suite, tmp_path / "new.csv", tmp_path / "other.csv")
    code, out, error = call(*words, "--summary", summary)
    assert code == 0, error
    lines = out.splitlines()
    assert [line.partition("\t")[0] for line in lines[:4]] == [
        *("benchmark", *BENCHMARKS, "empty | <b>")
    ]
    assert "The 2 intervals hold together with at least 80 % confidence" in out
    assert "Nothing is said of empty | <b>" in out
    assert "results of benchmarks that the suite does not hold: elsewhere" in error
    text = summary.read_text()
    assert "<script>" not in text
    assert "@team" not in text
    assert "$ midband" in text
    cells = [re.split(r"(?<!\\)\|", row) for row in text.splitlines() if row.startswith("| ")]
    assert {len(row) for row in cells} == {10}
    found = json.loads(call(*words, "--json")[1])
    assert found["joint_confidence"] == pytest.approx({"me | <script>x</script> @team": 0.8})
    for row in found["benchmarks"]:
        assert row["low"] <= row["rank"] <= row["high"] <= row["of"] == 6
    for name, row in zip(BENCHMARKS, found["benchmarks"], strict=True):
        plan = suite / f"{name.replace('/', '-')}.json"
        alone = json.loads(call("rank", plan, tmp_path / "new.csv", "--json")[1])[0]
        assert {key: row[key] for key in ("rank", "low", "high", "tasks_run")} == {
            key: alone[key] for key in ("rank", "low", "high", "tasks_run")
        }


def test_a_suite_that_was_changed_is_refused(suite: Path) -> None:
    text = (suite / FILE).read_text()
    (suite / FILE).write_text(text.replace("alpha", "omega"))
    with pytest.raises(PlanError, match="changed by hand"):
        Suite.read(suite)
    (suite / FILE).write_text(text)
    plan = Plan.read(suite / "alpha.json")
    plan.fixed()
    other = make_plan(
        OutcomeMatrix.from_scores(np.eye(3), benchmark="alpha"), strategy="random", seed=9
    )
    other.write(suite / "alpha.json")
    with pytest.raises(PlanError, match="which the suite names"):
        Suite.read(suite).plan("alpha")
    (suite / FILE).write_text(text.replace('"alpha.json"', '"../alpha.json"'))
    with pytest.raises(PlanError, match="outside the suite"):
        Suite.read(suite)


@given(
    content=st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda each: st.lists(each) | st.dictionaries(st.text(max_size=5), each),
            max_leaves=5,
        ).map(lambda value: json.dumps({"midband_suite": 1, "plans": value}).encode()),
    )
)
def test_any_other_file_is_refused_in_one_line(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.getbasetemp() / FILE
    place.write_bytes(content)
    assert is_suite(place.parent)
    with pytest.raises(PlanError) as caught:
        Suite.read(place)
    assert "\n" not in str(caught.value)


def test_a_benchmark_stands_in_a_suite_once(tmp_path: Path) -> None:
    one = Planned(benchmark="a", file="a.json", digest="d")
    gone = NotPlanned(benchmark="a", reason="no")
    with pytest.raises(InputError, match="once"):
        Suite(directory=tmp_path, planned=(one,), not_planned=(gone,))


@given(st.lists(st.floats(0.5, 0.999), min_size=1, max_size=30))
def test_a_joint_confidence_is_never_above_that_of_any_row(confidences: list[float]) -> None:
    joint = joint_confidence(confidences)
    assert 0.0 <= joint <= min(confidences) + 1e-12
    assert joint_confidence([*confidences, 0.9]) <= joint


def test_rows_whose_confidence_does_not_hold_are_left_out_of_the_joint_one() -> None:
    known = {"agent": "a", "rank": 1, "low": 1, "high": 2, "of": 3, "confidence": 0.95}
    rows = [SuiteRow(benchmark=name, holds=name != "c", **known) for name in "abc"]  # type: ignore[arg-type]
    verdict = SuiteVerdict(rows=(*rows, SuiteRow(benchmark="d")))
    assert verdict.joint("a") == pytest.approx(0.9)
    said = " ".join(verdict.statements())
    assert "That leaves out c" in said
    assert "Nothing was run of d" in said
    many = SuiteVerdict(
        rows=tuple(SuiteRow(benchmark=f"b{n}", holds=True, **known) for n in range(20))  # type: ignore[arg-type]
    )
    assert many.joint("a") == 0.0
    assert "No joint confidence is claimed" in " ".join(many.statements())
    assert SuiteVerdict(rows=tuple(rows[:1])).joint("a") != SuiteVerdict(rows=()).joint("a")


def test_the_joint_confidence_covers() -> None:
    """Always-valid rows of three benchmarks; a right test fails with a chance of 1e-4."""
    rng = np.random.default_rng(7)
    stop = parse_stop("rank:0.8:0.4")
    reference = (rng.random((6, 30)) < np.linspace(0.2, 0.8, 6)[:, None]).astype(float)
    full = reference.mean(axis=1)
    missed = 0
    n = 60
    for seed in range(n):
        decisions, right = {}, True
        for name in "abc":
            matrix = OutcomeMatrix.from_scores(reference, benchmark=name)
            plan = make_plan(matrix, strategy="random", stop=stop, seed=seed * 3 + ord(name))
            scores = (rng.random(30) < 0.5).astype(float)
            session = Session(plan)
            while tasks := session.ask(1):
                session.tell(tasks[0], score=scores[int(tasks[0].partition("-")[2])])
            decision = session.decision()
            decisions[name] = [("me", decision)]
            true = 1 + int((full > scores.mean() + 1e-9).sum())
            right &= decision.low <= true <= decision.high
        verdict = SuiteVerdict(rows=suite_rows(decisions))
        assert verdict.joint("me") == pytest.approx(0.4)
        missed += not right
    assert binomtest(missed, n, 0.6, alternative="greater").pvalue > 1e-4
