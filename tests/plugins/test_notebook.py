"""What notebooks show: a sentence and a table for each result, everything escaped."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband.cli.summary import decision_markdown
from midband.inspect.shown import decision_tag
from midband_history import Bar, History, OutcomeMatrix, Record, notebook_html
from midband_sampler import Session, make_plan, parse_stop
from midband_sampler.racing import Race, make_race
from midband_sims import Study, StudySettings

EVIL = "<script>alert(1)</script>&\"'"
VOID = {"circle", "line", "br"}


class Fragment(HTMLParser):
    """Reads a fragment; keeps its texts and tags, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def check(shown: Any) -> Fragment:
    """Return what is shown, after a check that it is self-contained and harmless."""
    found = Fragment(shown._repr_html_())
    assert not {"script", "style", "link", "img", "iframe"} & set(found.tags)
    names = {name for name, _ in found.attributes}
    assert not any(name.startswith("on") for name in names)
    assert not {"href", "src", "class", "id"} & names
    assert len(repr(shown)) < 400
    return found


@pytest.fixture(scope="module")
def matrix() -> OutcomeMatrix:
    rng = np.random.default_rng(3)
    scores = (rng.random((12, 40)) < np.linspace(0.2, 0.9, 12)[:, None]).astype(float)
    agents = [f"agent-{place}" for place in range(11)]
    return OutcomeMatrix.from_scores(
        scores,
        benchmark=f"toy {EVIL}",
        agents=[*agents, EVIL],
        tasks=[f"{EVIL} {place}" for place in range(40)],
        cost_usd=np.full(scores.shape, 0.5),
    )


def test_a_plan_and_a_decision(matrix: OutcomeMatrix) -> None:
    stop = parse_stop("rank:0.9:0.5 or usd:30 and tasks:20")
    plan = make_plan(matrix, strategy="random", stop=stop, seed=1)
    found = check(plan)
    for part in ("at most 40 of 40 tasks", "12 reference agents", "random", plan.digest):
        assert part in found.text
    assert "rank (confidence 0.9, width 0.5) or budget (usd 30) and budget (tasks 20)" in found.text
    assert EVIL in found.text
    session = Session(plan)
    empty = check(session.decision())
    assert "Rank unknown of 13" in empty.text
    assert "unknown" in empty.text
    for place, task in enumerate(session.ask(40)):
        session.tell(task, score=float(place % 2))
    decision = replace(session.decision(), warnings=(EVIL,))
    found = check(decision)
    assert f"Rank {decision.rank} of 13" in found.text
    assert f"{decision.tasks_run} of 40" in found.text
    assert f"Warning: {EVIL}" in found.text
    assert "svg" in found.tags
    said = dict(found.attributes)["aria-label"]
    assert said == f"{decision.rank}, between {decision.low} to {decision.high}"
    assert f"rank {decision.rank} of 13" in repr(decision)
    unclaimed = replace(decision, guarantee="calibrated", claims=(), stop=False)
    shown = check(unclaimed)
    assert "no confidence claimed" in shown.text
    assert " at 90 %" not in shown.text
    assert "<svg" not in unclaimed._repr_html_()
    assert "no confidence claimed" in repr(unclaimed)
    # What is not claimed has no confidence in a summary or in the title of Inspect's viewer either.
    summary = decision_markdown(unclaimed, agent="new", benchmark="toy")
    assert "with no confidence claimed" in summary
    assert " 90 %" not in summary + decision_tag(unclaimed)
    assert " 90 %" in decision_markdown(decision, agent="new", benchmark="toy")
    assert " 90 %" in decision_tag(decision)


def test_a_race(matrix: OutcomeMatrix) -> None:
    plan = make_race(None, [EVIL, "b", "c"], question="top:1:0.9")
    assert "those of the harness" in check(plan).text
    race = Race(plan.with_tasks([f"t{place}" for place in range(30)]))
    check(race.plan)
    assert "Nothing is known yet" in check(race.verdict()).text
    while jobs := race.ask(4):
        for candidate, task in jobs:
            race.tell(candidate, task, score=float(candidate == EVIL), usd=0.25)
    verdict = race.verdict()
    found = check(verdict)
    assert found.text.startswith(f"The best is {EVIL}.")
    for row in verdict.ranked:
        assert row.candidate in found.texts
        assert f"{row.tasks} of {row.total}" in found.texts
    assert "The best is" in repr(verdict)


def test_a_history_open_and_closed() -> None:
    with History.in_memory() as history:
        assert "0 benchmarks" in check(history).text
        records = [
            Record(
                benchmark=f"bench-{place:02}{'<b>' if place == 3 else ''}",
                task_id="t",
                agent="a",
                score=1.0,
                started=datetime(2026, 3, 1, tzinfo=UTC),
            )
            for place in range(25)
        ]
        history.add(records, source="by hand")
        found = check(history)
        assert "25 benchmarks, 25 attempts" in found.text
        assert "bench-03<b>" in found.texts
        assert "2026-03-01" in found.texts
        assert "The first 20 of 25 rows are shown." in found.texts
        assert found.tags.count("tr") == 21
    assert "cannot be read" in check(history).text


def test_a_study(matrix: OutcomeMatrix) -> None:
    result = Study([matrix], StudySettings(strategies=("random",), resamples=50, draws=5)).run()
    found = check(result)
    assert "Study of 1 cell " in found.text
    assert matrix.benchmark in found.texts
    assert "coverage on the planned tasks" in found.texts
    assert f"{len(result.replays)} replays" in found.text


def test_an_outcome_matrix_is_one_line(matrix: OutcomeMatrix) -> None:
    assert "12 agents x 40 tasks, 480 attempts" in repr(matrix)


CELLS = st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans())


@settings(max_examples=25, deadline=None)
@given(
    caption=st.text(),
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=4),
    notes=st.lists(st.text(), max_size=2),
    bar=st.builds(Bar, low=st.floats(), high=st.floats(), first=st.floats(), last=st.floats()),
    columns=st.booleans(),
)
def test_whatever_is_shown_is_escaped(
    caption: str, rows: Any, notes: list[str], bar: Bar, columns: bool
) -> None:
    heads = (caption, "b") if columns else ()
    html = notebook_html(caption, columns=heads, rows=rows, notes=notes, bar=bar)
    found = Fragment(html)
    allowed = {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(found.tags) <= allowed | {"svg", "title", "line", "circle", "g", "text"}
    for text in (caption, *notes):
        short = " ".join(text.split())
        if short and len(short) <= 300:
            assert short in found.texts


def test_the_bar_is_drawn_to_scale_and_left_out_where_nothing_is_known() -> None:
    bar = Bar(low=3, high=5, estimate=4, first=1, last=9)
    html = bar.html()
    assert 'cx="122.5"' in html
    assert 'x1="84.0"' in html
    assert 'x2="161.0"' in html
    assert Bar(low=math.nan, high=1, first=0, last=1).html() == ""
    assert Bar(low=0, high=1, first=1, last=1).html() == ""
    assert "circle" not in Bar(low=0, high=1, first=0, last=2).html()
