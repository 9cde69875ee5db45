"""The page kit: what a page holds, and how it behaves in a browser."""

import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.browsing import Chromium

from midband import InputError
from midband.report import TERMS, Cell, Chart, Page, Section, Table, render

if TYPE_CHECKING:
    from playwright.sync_api import Page as Tab

HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=alert(1)>"


def chart(values: list[dict[str, Any]], **options: Any) -> Chart:
    spec = {
        "data": {"values": values},
        "mark": {"type": "point", "color": "$accent"},
        "encoding": {
            "x": {"field": "score", "type": "quantitative"},
            "y": {"field": "agent", "type": "nominal"},
            "tooltip": [{"field": "agent"}, {"field": "score"}],
        },
    }
    return Chart(title="Scores", spec=spec, reading="Each point is an agent.", **options)


def whole_page(rows: int = 60) -> Page:
    table = Table(
        title="Tasks",
        columns=("Task", "Place", "Cost"),
        rows=tuple(
            (f"task-{n}", n, Cell(f"${n / 10:.2f}", n / 10) if n % 7 else None) for n in range(rows)
        ),
        highlight=(2,),
    )
    hostile = Table(title=HOSTILE, columns=(HOSTILE,), rows=((HOSTILE,),), note=HOSTILE)
    values = [{"agent": HOSTILE, "score": 0.5}, {"agent": "b", "score": float("nan")}]
    return Page(
        title=HOSTILE,
        verdict=("Rank 3 of 9 with 95 % confidence.", f"The candidate is {HOSTILE}.", "It rests."),
        facts=(("Command", HOSTILE), (HOSTILE, "x" * 300)),
        warnings=(HOSTILE, "A warning on the candidate."),
        missing=(HOSTILE,),
        sections=(
            Section(title=HOSTILE, text=(HOSTILE,), parts=(chart(values), hostile)),
            Section(title="Tasks", parts=(table, chart(values, wide=False))),
        ),
    )


class _Elements(HTMLParser):
    """Counts what a document holds, as HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Elements()
    parser.feed(text)
    return parser.tags


def test_foreign_text_is_never_read_as_html() -> None:
    tags = elements(render(whole_page()))
    kinds = [attributes.get("type") for tag, attributes in tags if tag == "script"]
    assert kinds.count(None) == 1, "one script of ours, and no other"
    assert set(kinds) <= {None, "text/plain", "application/json"}
    assert not [tag for tag, _ in tags if tag in ("img", "iframe", "object", "embed")]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_any_text_keeps_the_document_whole(text: str) -> None:
    def made(text: str) -> list[str]:
        table = Table(title=text, columns=(text,), rows=((text,), (text,)), note=text)
        page = Page(
            title=text,
            verdict=(text, text),
            facts=((text, text),),
            warnings=(text,),
            sections=(Section(title=text, text=(text,), parts=(table,)),),
        )
        rendered = render(page)
        rendered.encode()
        return [tag for tag, _ in elements(rendered) if tag != "span"]

    plain = [tag for tag in made("x") if tag not in ("section", "h2", "dl", "dt", "dd", "code")]
    found = [tag for tag in made(text) if tag not in ("section", "h2", "dl", "dt", "dd", "code")]
    assert found == plain


def test_the_document_names_no_other_place() -> None:
    tags = elements(render(whole_page()))
    for _, attributes in tags:
        for name in ("src", "href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    policy = next(a["content"] for t, a in tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    scripts = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in scripts


def test_unknown_cells_are_dashes_and_numbers_are_readable() -> None:
    table = Table(
        title="t",
        columns=("a", "b", "c"),
        rows=((None, float("nan"), 1234567), (Cell("$1.00", 1.0), 0.123456, 5)),
    )
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", render(page_of(table)))
    assert cells == ["–", "–", "1,234,567", "$1.00", "0.1235", "5"]  # noqa: RUF001


def page_of(*parts: Chart | Table) -> Page:
    return Page(title="t", verdict=("One.", "Two."), sections=(Section(title="s", parts=parts),))


def test_each_term_is_explained_where_it_is_first_used_and_at_the_end() -> None:
    page = Page(title="t", verdict=("The candidate and the candidates.", "The band."))
    text = render(page)
    assert text.count('class="term"') == 2
    assert text.count(TERMS["candidate"]) == text.count(TERMS["band"]) == 2
    assert TERMS["futility"] not in text


def test_without_the_charts_package_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midband.report.page._library", lambda: "")
    text = render(whole_page())
    assert "midband[report]" in text
    assert "<figure" in text
    assert 'id="vega"' not in text


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match="expected rows of 2 cells"):
        Table(title="t", columns=("a", "b"), rows=((1,),))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(render(whole_page()), encoding="utf-8")
    return path


def test_in_a_browser_it_fits_and_draws_and_asks_for_nothing(
    chromium: Chromium, written: Path
) -> None:
    chromium.check(written)


def test_foreign_text_is_text_in_the_browser_too(chromium: Chromium, written: Path) -> None:
    def then(tab: "Tab") -> tuple[str, str, int]:
        label = tab.locator("figure svg text", has_text="</script>").first.text_content()
        return tab.title(), label or "", tab.locator("img").count()

    title, label, images = chromium.see(written, then)
    assert title == HOSTILE
    assert label.startswith("</script><script>")
    assert images == 0


def test_tables_sort_by_mouse_and_keyboard_filter_and_turn_pages(
    chromium: Chromium, written: Path
) -> None:
    def then(tab: "Tab") -> dict[str, Any]:
        box = tab.locator(".tablebox", has=tab.locator("h3", has_text="Tasks"))
        heads, first = box.locator("th"), box.locator("tbody tr").first
        seen: dict[str, Any] = {"marked": box.locator("tr.marked").inner_text()}
        heads.nth(1).locator("button").click()
        heads.nth(1).locator("button").click()
        seen["falling"] = (first.inner_text(), heads.nth(1).get_attribute("aria-sort"))
        heads.nth(2).locator("button").focus()
        tab.keyboard.press("Enter")
        seen["rising"] = (first.inner_text(), heads.nth(2).get_attribute("aria-sort"))
        seen["other"] = heads.nth(1).get_attribute("aria-sort")
        box.get_by_role("button", name="Next").click()
        box.get_by_role("button", name="Next").click()
        seen["last"] = box.locator("tbody tr").last.inner_text()
        seen["count"] = box.locator(".count").inner_text()
        box.locator("input").fill("task-59")
        seen["filtered"] = box.locator("tbody tr").all_inner_texts()
        return seen

    seen = chromium.see(written, then)
    assert seen["marked"].split("\t")[0] == "task-2"
    assert seen["falling"] == ("task-59\t59\t$5.90", "descending")
    assert seen["rising"] == ("task-1\t1\t$0.10", "ascending")
    assert seen["other"] == "none"
    assert seen["last"].split("\t")[2] == "–", "unknown values come last"  # noqa: RUF001
    assert seen["count"] == "Rows 51–60 of 60"  # noqa: RUF001
    assert [row.split("\t")[0] for row in seen["filtered"]] == ["task-59"]


def test_a_term_shows_its_explanation_on_focus(chromium: Chromium, written: Path) -> None:
    def then(tab: "Tab") -> list[bool]:
        term = tab.locator(".term", has_text="candidate").first
        tip = term.locator(".tip")
        shown = [tip.is_visible()]
        term.focus()
        shown.append(tip.is_visible())
        tab.keyboard.press("Escape")
        shown.append(tip.is_visible())
        term.hover()
        return [*shown, tip.is_visible()]

    assert chromium.see(written, then, width=390) == [False, True, False, True]


def test_charts_follow_the_theme_and_show_their_numbers(chromium: Chromium, written: Path) -> None:
    def then(tab: "Tab") -> tuple[str, list[str]]:
        figure = tab.locator("figure").first
        colour = figure.locator("svg .mark-symbol path").first.get_attribute("stroke") or ""
        figure.locator("summary").click()
        figure.locator("details td").first.wait_for()
        return colour, figure.locator("details td").all_inner_texts()

    light, numbers = chromium.see(written, then)
    dark, _ = chromium.see(written, then, dark=True)
    assert light != dark
    assert numbers == [HOSTILE, "0.5", "b", "–"]  # noqa: RUF001


def test_a_large_page_paints_soon_and_stays_small(chromium: Chromium, tmp_path: Path) -> None:
    agents = Table(
        title="Agents",
        columns=("Agent", "Score", "Runs"),
        rows=tuple((f"organisation/agent-{n:04d}", n / 2000, 500) for n in range(2000)),
    )
    tasks = Table(
        title="Tasks",
        columns=("Task", "Outcome", "Rate"),
        rows=tuple((f"repository__project-{n:05d}", "passed", n / 500) for n in range(500)),
    )
    values = [{"agent": str(n), "score": n / 2000} for n in range(2000)]
    text = render(page_of(chart(values), agents, tasks))
    assert len(text.encode()) < 5_000_000
    path = tmp_path / "large.html"
    path.write_text(text, encoding="utf-8")
    rows = chromium.see(path, lambda tab: tab.locator("tbody tr").count())
    assert rows == 50, "rows are built when they are asked for"
    # The paint waits for what stands before the charts alone: it is in the document, not in them.
    first = re.search(r"<tbody>", text)
    library = text.index('id="vega"')
    assert first is not None
    assert first.start() < library


def test_the_browser_leaves_event_loops_alone(chromium: Chromium) -> None:
    async def nothing() -> int:
        return 1

    assert chromium.program
    assert asyncio.run(nothing()) == 1


def test_numbers_that_are_no_numbers_never_reach_the_script() -> None:
    values = [{"agent": "a", "score": float("inf")}, {"agent": "b", "score": float("nan")}]
    text = render(page_of(chart(values)))
    held = re.findall(r'<script type="application/json">(.*?)</script>', text)
    assert json.loads(held[0])["data"]["values"][0]["score"] is None
