"""The page of a race says who is best, what is open, what was paid, and what is not known."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browsing import Chromium
from tests.sampler.racing.fields import history_of, names_of, plan_of, tasks_of

from midband import InputError
from midband.report import Chart, Page, Table, render
from midband.report.race import page_of, race_page
from midband.report.race_charts import short_names
from midband.report.race_facts import (
    MOST_LOOKS,
    RaceFacts,
    RaceResult,
    course_in_rounds,
    course_side_by_side,
    look_at,
)
from midband_sampler import racing

FloatArray = np.ndarray


def results_of(plan: racing.RacePlan, scores: FloatArray, **given: Any) -> list[RaceResult]:
    """Return what a race asks for, answered from recorded scores."""
    race, found = racing.Race(plan), []
    while not race.done:
        rows, tasks = race.jobs
        race.tell_all(rows, tasks, scores[rows, tasks])
        for row, task in zip(rows, tasks, strict=True):
            score = float(scores[row, task])
            result = RaceResult(
                candidate=plan.candidates[row],
                task=plan.tasks[task],
                score=None if math.isnan(score) else score,
                kind="infra_error" if math.isnan(score) else "valid",
                **given,
            )
            found.append(result)
    return found


def facts_of(
    plan: racing.RacePlan, results: Sequence[RaceResult], *, step: int = 1, **given: Any
) -> RaceFacts:
    race = racing.Race(plan, step=step)
    for each in results:
        race.tell(
            each.candidate,
            each.task,
            score=each.score,
            outcome="valid" if each.score is not None else "missing",
            usd=each.usd,
        )
    return RaceFacts(
        **{
            "title": "Race",
            "candidates": plan.candidates,
            "verdict": race.verdict(),
            "results": results,
            "course": course_in_rounds(plan, results, step=step),
            "state": "over",
            **given,
        }
    )


def scores_at(rates: Sequence[float], size: int, seed: int = 3) -> FloatArray:
    rng = np.random.default_rng(seed)
    return (rng.random((len(rates), size)) < np.array(rates)[:, None]).astype(float)


def parts(page: Page) -> dict[str, Chart | Table]:
    return {part.title: part for section in page.sections for part in section.parts}


def text_of(page: Page) -> str:
    return " ".join(line for section in page.sections for line in section.text)


def rows_of(page: Page, title: str) -> tuple[tuple[Any, ...], ...]:
    part = parts(page)[title]
    assert isinstance(part, Table)
    return part.rows


def test_a_settled_race_opens_with_its_answer_and_what_that_rests_on() -> None:
    plan = plan_of(3, 80)
    results = results_of(plan, scores_at((0.1, 0.5, 0.95), 80), usd=0.5)
    page = page_of(facts_of(plan, results), command="midband report race here")
    n, share = len(results), 100 * len(results) / 240
    assert page.verdict[0] == "The best is c."
    assert "90% confidence" in page.verdict[1]
    assert f"{n} of 240 results were paid for, {share:.1f} % of the full price" in page.verdict[2]
    assert f"${n / 2:,.2f}" in page.verdict[2]
    facts = dict(page.facts)
    assert facts["Command of this report"] == "midband report race here"
    assert facts["Question"] == "top:1:0.9"
    assert facts["History"] == "not used"
    assert not page.missing
    assert page.refresh_s == 0
    table = parts(page)["Candidates"]
    assert isinstance(table, Table)
    assert [row[1] for row in table.rows] == ["c", "b", "a"]
    assert table.highlight == (0,)
    assert {
        "Ranks of the candidates",
        "Cost against accuracy",
        "Tasks that each candidate ran",
    } <= {*parts(page)}


def test_an_open_race_says_which_pairs_could_not_be_separated_and_by_how_much_they_differ() -> None:
    plan = plan_of(3, 60, budget="tasks:45")
    results = results_of(plan, scores_at((0.5, 0.55, 0.5), 60))
    facts = facts_of(plan, results)
    page = page_of(facts)
    assert facts.verdict is not None
    assert facts.verdict.open_pairs
    assert "not settled" in page.verdict[1]
    assert "could not be separated" in text_of(page)
    by_name = {
        name: {
            each.task: each.score
            for each in results
            if each.candidate == name and each.score is not None
        }
        for name in plan.candidates
    }
    for first, second, shared, better, worse, gap in rows_of(
        page, "Pairs that could not be separated"
    ):
        both = by_name[first].keys() & by_name[second].keys()
        gaps = [by_name[first][task] - by_name[second][task] for task in both]
        assert shared == len(both)
        assert (better, worse) == (sum(g > 0 for g in gaps), sum(g < 0 for g in gaps))
        assert gap.value == pytest.approx(100 * sum(gaps) / len(gaps))
    assert "what they cost is unknown" in page.verdict[2]
    assert any("cost is unknown" in line for line in page.missing)


def test_results_without_a_score_are_counted_by_kind_and_are_no_failures() -> None:
    plan = plan_of(3, 80)
    scores = scores_at((0.1, 0.5, 0.95), 80)
    scores[1, ::5] = np.nan
    page = page_of(facts_of(plan, results_of(plan, scores)))
    (row,) = rows_of(page, "Results without a score")
    assert row[0] == "b"
    assert row[3] == f"infra_error: {row[1]}"
    assert any("have no score" in line for line in page.missing)


def test_the_course_leads_to_the_verdict_and_claims_nothing_at_the_start() -> None:
    plan = plan_of(4, 90)
    results = results_of(plan, scores_at((0.1, 0.2, 0.3, 0.95), 90))
    course = course_in_rounds(plan, results, step=1)
    assert len(course) <= MOST_LOOKS
    assert course[0].results == 0
    assert set(course[0].ranks.values()) == {(1, 4)}
    facts = facts_of(plan, results)
    assert facts.verdict is not None
    assert course[-1].ranks == {
        each.candidate: (each.rank_low, each.rank_high) for each in facts.verdict.ranked
    }
    assert [look.results for look in course] == sorted(look.results for look in course)
    shown = parts(page_of(facts))["Ranks still open as results came in"]
    assert isinstance(shown, Chart)
    assert shown.spec["data"]["values"]


def test_a_race_side_by_side_is_replayed_in_the_order_of_its_results() -> None:
    plan = plan_of(3, 60)
    race = racing.Race(plan, together=False)
    scores, results = scores_at((0.1, 0.4, 0.95), 60), []
    while running := race.running:
        for name in running:
            task = race.ask_for(name)
            if task is not None:
                value = float(scores[plan.candidates.index(name), plan.tasks.index(task)])
                race.tell(name, task, score=value)
                results.append(RaceResult(candidate=name, task=task, score=value))
    course = course_side_by_side(plan, results, order=race.order)
    assert course[-1] == look_at(race)
    assert len(course) <= MOST_LOOKS + 2


def test_a_race_by_the_history_names_how_many_agents_its_claims_rest_on() -> None:
    history = history_of(24, 40)
    plan = racing.make_race(history, names_of(3), question="top:1:0.9", tasks=tasks_of(40))
    results = results_of(plan, scores_at((0.1, 0.5, 0.95), 40))
    page = page_of(facts_of(plan, results, references=len(plan.reference_agents)))
    assert dict(page.facts)["History"] == "24 known agents"
    assert "calibrated" in page.verdict[1]


@pytest.mark.parametrize("state", ["going on", "stopped", ""])
def test_a_race_without_results_shows_what_is_known(state: str) -> None:
    plan = plan_of(3, 60)
    page = page_of(facts_of(plan, [], state=state))
    assert page.verdict[0].startswith("Nothing is known")
    assert page.refresh_s == (10 if state == "going on" else 0)
    assert any("no task has run" in line for line in page.missing)
    assert "Ranks of the candidates" not in parts(page)
    assert render(page)


def test_a_race_where_everything_failed_claims_nothing() -> None:
    plan = plan_of(3, 60)
    page = page_of(facts_of(plan, results_of(plan, np.full((3, 60), np.nan))))
    assert page.verdict[0].startswith("Nothing is known: ")
    assert "fewer than two candidates are left" in page.verdict[2].lower()
    assert len(rows_of(page, "Results without a score")) == 3
    assert "set apart" in text_of(page)


def test_a_race_without_a_verdict_says_how_many_results_there_are() -> None:
    facts = facts_of(plan_of(3, 60), [])
    page = page_of(replace(facts, verdict=None, ended="midband could not judge it"))
    assert page.verdict[0] == "This race has no verdict: midband could not judge it."
    assert not page.sections


def test_a_question_about_a_margin_draws_no_ranks() -> None:
    plan = plan_of(2, 100, question="not-worse:b:a:5:0.9")
    page = page_of(facts_of(plan, results_of(plan, scores_at((0.2, 0.95), 100))))
    assert page.verdict[0].startswith("b is worse than a")
    assert "Ranks of the candidates" not in parts(page)
    assert "Estimated scores as results came in" in parts(page)
    assert "overlap" not in text_of(page)


def test_many_candidates_with_foreign_names_fit_a_page_in_a_browser(
    tmp_path: Path, chromium: Chromium
) -> None:
    names = [f"lab/<script>alert({n})</script> agent with a long name {n}" for n in range(14)]
    plan = racing.make_race(
        None, names, question="top:3:0.9", tasks=tasks_of(50), budget="tasks:500"
    )
    rates = np.linspace(0.1, 0.95, 14).tolist()
    results = results_of(plan, scores_at(rates, 50), usd=0.04)
    path = tmp_path / "race.html"
    path.write_text(render(page_of(facts_of(plan, results))), encoding="utf-8")
    chromium.check(path, widths=(390, 1600))
    shown = chromium.see(path, lambda page: page.inner_text("main"))
    assert names[3] in shown


def test_names_lose_only_what_all_share() -> None:
    assert short_names(["x/a", "x/b"]) == {"x/a": "a", "x/b": "b"}
    assert short_names(["x/a", "y/a"]) == {"x/a": "x/a", "y/a": "y/a"}
    assert short_names(["x/a"]) == {"x/a": "x/a"}


def test_a_place_without_a_race_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="with none"):
        race_page(tmp_path)
    with pytest.raises(InputError, match="nothing at"):
        race_page(tmp_path / "none")
