"""``midband report run`` on plans with results: what it claims, shows, and says is missing."""

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.browsing import Chromium
from tests.plugins.report.reading import read_page

from midband import Metric, OutcomeMatrix, Plan, Session, make_plan
from midband.report import render
from midband.report.course import follow
from midband.report.run import run_page
from midband.report.sources import RunResults
from midband.report.words import headline, rule_text
from midband.rounds.journal import AttemptResult
from midband_sampler import parse_stop

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
N_TASKS = 60


def matrix(agents: int = 12, *, costs: bool = True) -> OutcomeMatrix:
    rng = np.random.default_rng(5)
    ability = np.linspace(-1.5, 1.5, agents)[:, None]
    difficulty = rng.normal(0.0, 1.0, (1, N_TASKS))
    chance = 1 / (1 + np.exp(difficulty - ability))
    return OutcomeMatrix.from_scores(
        (rng.random((agents, N_TASKS)) < chance).astype(float),
        benchmark="toy",
        cost_usd=np.full((agents, N_TASKS), 0.5 if costs else np.nan),
        metric=Metric(name="accuracy"),
    )


@pytest.fixture(scope="module")
def always_valid() -> Plan:
    return make_plan(matrix(), strategy="random", guarantee="always-valid")


@pytest.fixture(scope="module")
def calibrated() -> Plan:
    return make_plan(matrix(20), strategy="information")


@pytest.fixture(scope="module")
def plans(always_valid: Plan, calibrated: Plan) -> Mapping[str, Plan]:
    return {"always-valid": always_valid, "calibrated": calibrated}


def result(task: str, score: float | None = 1.0, kind: str = "valid") -> AttemptResult:
    return AttemptResult(task=task, attempt=0, score=score, kind=kind)  # type: ignore[arg-type]


def write_results(path: Path, scores: Mapping[str, float], *, agent: str = "new") -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["task_id", "agent", "score"])
        table.writerows((task, agent, score) for task, score in scores.items())
    return path


READ = ("--benchmark", "toy", "--metric", "accuracy")


def test_a_plan_with_results_gives_the_verdict_of_rank(
    always_valid: Plan, tmp_path: Path, call: Call, chromium: Chromium
) -> None:
    plan = tmp_path / "plan.json"
    always_valid.write(plan)
    scores = {task: float(place % 3 > 0) for place, task in enumerate(always_valid.tasks)}
    table = write_results(tmp_path / "new.csv", scores)
    code, out, err = call("report", "run", plan, table, *READ)
    assert (code, Path(out.strip())) == (0, tmp_path / "new-report.html"), err
    page = read_page(Path(out.strip()))
    _, said, _ = call("rank", plan, table, *READ)
    assert said.startswith(f"new: {page.verdict[0][:12].lower()}")
    assert page.facts["Candidate"] == "new"
    assert "reference agents" in page.facts["Agents"]
    assert page.facts["Plan"].startswith(always_valid.digest)
    rates = [row[4] for row in page.tables["Tasks that ran"]]
    assert all(each.endswith("%") for each in rates)
    chromium.check(page.path)


@settings(max_examples=30, deadline=None)
@given(
    told=st.lists(
        st.tuples(
            st.integers(0, N_TASKS - 1),
            st.sampled_from([0.0, 1.0, None]),
            st.sampled_from(["infra_error", "cancelled", "missing"]),
        ),
        max_size=40,
        unique_by=lambda each: each[0],
    ),
    kind=st.sampled_from(["always-valid", "calibrated"]),
)
def test_the_course_ends_with_the_verdict_of_a_session_that_is_told_everything(
    plans: Mapping[str, Plan], told: list[tuple[int, float | None, str]], kind: str
) -> None:
    plan = plans[kind]
    results = [
        result(plan.all_tasks[place], score, "valid" if score is not None else why)
        for place, score, why in told
    ]
    session = Session(plan, live=False)
    for each in results:
        session.tell(each.task, score=each.score, outcome=each.kind)
    expected = session.decision()
    course = follow(RunResults(plan=plan, results=tuple(results)))
    found = course.decision
    assert (found.stop, found.reason, found.rank, found.low, found.high, found.tasks_run) == (
        expected.stop,
        expected.reason,
        expected.rank,
        expected.low,
        expected.high,
        expected.tasks_run,
    )
    judged = [each.tasks for each in course.looks]
    assert judged == sorted(set(judged))
    assert len(course.runs) == len(results)
    if course.looks and expected.tasks_run:
        last = course.looks[-1]
        assert (last.tasks, last.low, last.high) == (found.tasks_run, found.low, found.high)
    assert render(run_page(RunResults(plan=plan, results=tuple(results))))


def test_a_calibrated_interval_is_stated_with_confidence_only_at_its_stop(
    calibrated: Plan, always_valid: Plan
) -> None:
    for plan, before in ((calibrated, False), (always_valid, True)):
        session = Session(plan, live=False)
        fixed = session.plan
        course = follow(
            RunResults(plan=plan, results=tuple(result(task) for task in fixed.tasks[:12:2]))
        )
        assert not course.decision.stop
        few = follow(RunResults(plan=plan, results=tuple(map(result, fixed.tasks[:3]))))
        assert not few.decision.stop
        assert ("% confidence" in headline(few.decision)) is before
        every = tuple(result(task, float(place % 2)) for place, task in enumerate(fixed.tasks))
        ended = follow(RunResults(plan=plan, results=every))
        assert ("with 95 % confidence" in headline(ended.decision)) is ended.decision.holds


def test_what_the_run_stated_is_compared_with_what_is_found(always_valid: Plan) -> None:
    results = tuple(map(result, always_valid.tasks[:15]))
    right = follow(RunResults(plan=always_valid, results=results)).decision.to_dict()
    same = run_page(RunResults(plan=always_valid, results=results, recorded=right))
    assert not any("do not lead" in each for each in same.warnings)
    other = run_page(RunResults(plan=always_valid, results=results, recorded={**right, "rank": 11}))
    assert any("rank: 11 stated" in each for each in other.warnings)


def test_unknown_costs_are_said_and_never_nothing() -> None:
    plan = make_plan(matrix(costs=False), strategy="random", guarantee="always-valid")
    results = tuple(map(result, plan.tasks[:12]))
    page = run_page(RunResults(plan=plan, results=results))
    assert "what it cost is not known" in page.verdict[1]
    assert any("cost" in each for each in page.missing)
    assert "Cost" not in {each.title for each in page.sections}
    assert math.isnan(follow(RunResults(plan=plan, results=results)).money.spent)


def test_costs_that_were_not_recorded_are_expected_ones(always_valid: Plan) -> None:
    results = tuple(map(result, always_valid.tasks[:12]))
    found = RunResults(plan=always_valid, results=results)
    money = follow(found).money
    assert (money.spent, money.left) == (6.0, 24.0)
    assert any("was not recorded" in each for each in run_page(found).missing)


def test_a_budget_of_tokens_is_kept_in_the_replay() -> None:
    plan = make_plan(matrix(), strategy="random", stop=parse_stop("tokens:1000"))
    results = tuple(replace(result(task), tokens=100.0) for task in plan.tasks[:15])
    course = follow(RunResults(plan=plan, results=results))
    assert (course.decision.reason, course.decision.tasks_run) == ("budget spent", 10)
    assert [each.judged for each in course.runs] == [True] * 10 + [False] * 5


def test_one_reference_agent_is_enough_for_a_page_and_warned_of() -> None:
    one = matrix(2).select(agents=[1])
    plan = make_plan(one, strategy="random", guarantee="always-valid")
    found = RunResults(plan=plan, results=tuple(map(result, plan.tasks[:20])), agent="new")
    page = run_page(found)
    assert "of 2" in page.verdict[0]
    assert any("1 reference agent only" in each for each in page.warnings)


def test_two_agents_a_missing_plan_and_foreign_files_are_one_line(
    always_valid: Plan, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    plan = tmp_path / "plan.json"
    always_valid.write(plan)
    table = write_results(tmp_path / "a.csv", dict.fromkeys(always_valid.tasks, 1.0))
    other = write_results(tmp_path / "b.csv", dict.fromkeys(always_valid.tasks, 0.0), agent="b")
    code, _, err = call("report", "run", plan, table, other, *READ)
    assert code == 2
    one_line(err, "expected results of one agent", "--agent")
    code, out, _ = call("report", "run", plan, table, other, *READ, "--agent", "b")
    assert code == 0
    assert read_page(Path(out.strip())).facts["Candidate"] == "b"
    code, _, err = call("report", "run", plan)
    assert code == 2
    one_line(err, "expected results beside the plan")
    code, _, err = call("report", "run", table)
    assert code == 2
    one_line(err, "expected a directory of `midband run`")
    code, _, err = call("report", "run", plan, table, *READ, "--output", tmp_path / "x.duckdb")
    assert code == 2
    one_line(err, "ends in .html")
    assert not (tmp_path / "x.duckdb").exists()


def test_open_shows_the_page_in_the_browser_of_the_user(
    always_valid: Plan, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    plan = tmp_path / "plan.json"
    always_valid.write(plan)
    table = write_results(tmp_path / "new.csv", {always_valid.tasks[0]: 1.0})
    target = tmp_path / "a page.html"
    code, out, _ = call("report", "run", plan, table, *READ, "--output", target, "--open")
    assert (code, out.strip(), opened) == (0, str(target), [target.as_uri()])


def test_rules_are_said_in_words() -> None:
    assert rule_text(parse_stop("rank:0.9:0.1")) == (
        "the rank interval spans at most 10 % of the ranks with 90 % confidence"
    )
    text = rule_text(parse_stop("beats:'a' or usd:20 or futility"))
    assert text.count(", or ") == 2
    assert "$20" in text


def test_two_thousand_agents_make_a_page_of_less_than_five_megabytes(
    tmp_path: Path, chromium: Chromium
) -> None:
    rng = np.random.default_rng(0)
    scores = (rng.random((2000, 500)) < np.linspace(0.1, 0.9, 2000)[:, None]).astype(float)
    agents = [f"organisation-{place % 50}/agent-{place:04d}" for place in range(2000)]
    large = OutcomeMatrix.from_scores(scores, benchmark="large", agents=agents)
    plan = make_plan(large, strategy="random", guarantee="always-valid")
    results = tuple(result(task, float(place % 2)) for place, task in enumerate(plan.tasks[:60]))
    text = render(run_page(RunResults(plan=plan, results=results, agent="new")))
    assert len(text.encode()) < 5_000_000
    path = tmp_path / "large.html"
    path.write_text(text, encoding="utf-8")
    chromium.check(path, widths=(1024,))
