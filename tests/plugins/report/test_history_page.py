"""The page of a history says what the history supports, and what it lacks."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.browsing import Chromium

from midband.report import Chart, Page, Table, render
from midband.report.history import history_page, page_of
from midband.report.history_charts import MOST_COLUMNS, MOST_ROWS
from midband.report.history_facts import HistoryFacts, gather_history
from midband_history import (
    BenchmarkSummary,
    History,
    Inbox,
    OutcomeMatrix,
    Record,
    SourceSummary,
    UnknownBenchmarkError,
)
from midband_sampler import check_tasks


def record(agent: int, task: int, score: float | None, **given: object) -> Record:
    return Record(
        benchmark="toy",
        task_id=f"t{task:03d}",
        agent=f"a{agent:03d}",
        model=f"model-{agent}",
        score=score,
        **given,  # type: ignore[arg-type]
    )


def page_with(records: list[Record], **given: object) -> Page:
    with History.in_memory() as history:
        history.add(records, source="somewhere.jsonl")
        return page_of(gather_history(history, "toy"), **given)  # type: ignore[arg-type]


def graded(agents: int, tasks: int, **given: object) -> list[Record]:
    """Return results of agents of which each is better than the one before."""
    return [
        record(a, t, float((7 * t) % tasks < (a + 1) * tasks // (agents + 1)), **given)
        for a in range(agents)
        for t in range(tasks)
    ]


def parts(page: Page) -> dict[str, Chart | Table]:
    return {part.title: part for section in page.sections for part in section.parts}


def table(page: Page, title: str) -> Table:
    part = parts(page)[title]
    assert isinstance(part, Table)
    return part


def values(page: Page, title: str) -> list[dict[str, object]]:
    part = parts(page)[title]
    assert isinstance(part, Chart)
    found: list[dict[str, object]] = part.spec["data"]["values"]
    return found


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        (4, "too small for a plan that stops early"),
        (9, "cannot calibrate a plan yet"),
        (10, "at 90 % confidence but not at 95 %"),
        (18, "at 90 % confidence but not at 95 %"),
        (19, "big enough for every guarantee"),
    ],
)
def test_the_opening_says_what_the_number_of_agents_supports(agents: int, said: str) -> None:
    page = page_with(graded(agents, 20), command="midband report history toy")
    assert said in page.verdict[1]
    assert page.verdict[0] == (
        f"This history holds the results of {agents} agents on 20 tasks of toy."
    )
    assert dict(page.facts)["Command"] == "midband report history toy"
    assert dict(page.facts)["Agents"] == str(agents)


def test_other_benchmarks_count_as_they_do_for_a_plan() -> None:
    others = [
        Record(benchmark="other", task_id=each.task_id, agent=each.agent, score=each.score)
        for each in graded(12, 20)
    ]
    page = page_with([*graded(6, 20), *others])
    assert "every guarantee" in page.verdict[1]
    assert "with the help of the other benchmarks" in page.verdict[1]


def test_an_agent_that_ran_a_part_supports_nothing_and_is_named_among_the_gaps() -> None:
    records = [each for each in graded(10, 20) if each.agent != "a003" or each.task_id < "t005"]
    page = page_with(records)
    assert "cannot calibrate a plan yet" in page.verdict[1]
    assert "1 agent ran fewer than half" in page.verdict[2]
    assert table(page, "Agents with missing tasks").rows[0][:3] == ("a003", 5, 15)


def test_what_is_unknown_is_said_and_never_zero() -> None:
    page = page_with(graded(6, 10))
    assert dict(page.facts)["Known costs"] == "unknown"
    assert dict(page.facts)["Runs"] == "unknown"
    assert any("No result has a cost" in line for line in page.missing)
    assert any("What the scores measure is unknown" in line for line in page.missing)
    assert any("date of 6 of 6 agents is unknown" in line for line in page.missing)
    assert "Agents over time" not in parts(page)
    assert not {"First run", "Cost"} & set(table(page, "Agents").columns)


def test_tasks_that_no_longer_separate_are_named_with_the_reason() -> None:
    records = [each for each in graded(19, 20) if each.task_id not in ("t000", "t001", "t002")]
    records += [record(a, 0, 1.0) for a in range(19)]
    records += [record(a, 1, 0.0) for a in range(19)]
    records += [record(a, 2, float(a < 9)) for a in range(19)]  # the weaker half alone passes
    page = page_with(records)
    why = {row[0]: str(row[1]) for row in table(page, "Tasks to look at").rows}
    assert why["t000"] == "all of the newest agents pass"
    assert why["t001"] == "none of the newest passes"
    assert why["t002"].startswith("probably broken")
    assert any("probably broken" in line for line in page.warnings)
    text = " ".join(next(s for s in page.sections if "separate" in s.title).text)
    assert "pass 1 task" in text
    assert "negative discrimination" in text


def test_a_small_map_shows_every_result_and_a_large_one_is_binned_and_says_so() -> None:
    small = page_with(
        [each for each in graded(6, 10) if (each.agent, each.task_id) != ("a000", "t000")]
    )
    assert len(values(small, "Scores of agents on tasks")) == 59
    assert not next(s for s in small.sections if s.title == "Agents and tasks").text
    large = page_with(graded(3, MOST_COLUMNS + 1))
    assert "binned" in next(s for s in large.sections if s.title == "Agents and tasks").text[0]


def large_page(agents: int, tasks: int) -> Page:
    """Return the page of a history that is too large to show each of its results."""
    rng = np.random.default_rng(5)
    scores = (rng.random((agents, tasks)) < rng.random(tasks)).astype(float)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    dates = np.datetime64("2024-01-01", "s") + rng.integers(0, 5 * 10**7, agents)
    matrix = OutcomeMatrix.from_scores(
        scores,
        benchmark="large",
        agents=[f"laboratory/agent-with-a-long-name-{n}" for n in range(agents)],
        tasks=[f"repository__project-{n}" for n in range(tasks)],
        dates=dates,
    )
    summary = BenchmarkSummary("large", tasks, agents, scores.size, None, None, float("nan"))
    unscored = dict.fromkeys(matrix.agents, 3)
    sources = [
        SourceSummary(
            source=f"/logs/run-{n}.eval",
            reader="inspect",
            attempts=tasks,
            agents=1,
            added=datetime(2025, 1, 1, tzinfo=UTC),
        )
        for n in range(agents)
    ]
    checks = check_tasks(matrix)
    return page_of(
        HistoryFacts(
            matrix=matrix, summary=summary, tasks=checks, unscored=unscored, sources=sources
        )
    )


def test_a_large_history_makes_a_small_page_that_says_what_it_binned(
    tmp_path: Path, chromium: Chromium
) -> None:
    page = large_page(2000, 500)
    marks = 0
    for part in parts(page).values():
        if isinstance(part, Table):
            assert len(part.rows) <= 100
        elif "layer" in part.spec:
            marks += sum(len(layer["data"]["values"]) for layer in part.spec["layer"])
        else:
            marks += len(part.spec["data"]["values"])
    assert MOST_ROWS * MOST_COLUMNS / 2 < marks < MOST_ROWS * MOST_COLUMNS + 1500
    assert "The table shows the best 100 of 2,000 agents" in table(page, "Agents").note
    assert any("20 agents by 4 tasks" in line for each in page.sections for line in each.text)
    path = tmp_path / "history.html"
    path.write_text(render(page), encoding="utf-8")
    assert path.stat().st_size < 5_000_000
    chromium.check(path, widths=(390,))
    nodes = chromium.see(path, lambda tab: tab.evaluate("document.querySelectorAll('*').length"))
    assert nodes < 8000


def test_the_best_so_far_never_falls() -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    records = [
        record(a, t, float(t < (a * 5) % 11), started=start + timedelta(days=a))
        for a in range(9)
        for t in range(10)
    ]
    chart = parts(page_with(records))["Agents over time"]
    assert isinstance(chart, Chart)
    best = [row["best"] for row in chart.spec["layer"][1]["data"]["values"]]
    assert best == sorted(best)
    assert best[-1] == 1.0
    assert json.dumps(chart.spec)


def test_batches_of_the_inbox_and_sources_are_said(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add(graded(5, 10), source="first.jsonl")
    with Inbox(path) as inbox:
        inbox.write([record(9, t, 1.0) for t in range(10)], source="later.jsonl")
    page = history_page("toy", history_path=path)
    sources = next(section for section in page.sections if section.title == "Sources")
    assert any("1 batch lies in the inbox" in line for line in sources.text)
    assert {row[0] for row in table(page, "Sources").rows} == {"first.jsonl", "later.jsonl"}
    assert dict(page.facts)["Agents"] == "6"


def test_a_benchmark_where_everything_failed_says_so(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add([record(0, t, None, kind="infra_error") for t in range(3)], source="broken")
    page = history_page("toy", history_path=path)
    assert "No agent has a score" in page.verdict[0]
    assert "3 attempts" in page.verdict[1]
    with pytest.raises(UnknownBenchmarkError, match="toy"):
        history_page("tox", history_path=path)
