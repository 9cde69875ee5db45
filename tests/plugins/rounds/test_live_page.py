"""The local page in a real browser, while a real run continues in another process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.browsing import Chromium
from tests.plugins.rounds.conftest import Bench, MakeBench, environment, line_with

from midband.view import Look, StateKeeper

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("starlette", reason="needs midband[view]")

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
SMALL = 390


@pytest.fixture
def address(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run `midband view` as a user does, and end it as a user does."""
    monkeypatch.setenv("MIDBAND_STATE", str(tmp_path / "state"))
    words = ("view", "--port", "0", "--history", str(store))
    with subprocess.Popen(
        [sys.executable, "-m", "midband", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield line_with(process.stdout, "midband view: ").split()[2]
        finally:
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")


def overflow(page: "Page") -> int:
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(page.evaluate(width))


def test_the_open_page_follows_a_run_to_its_end(
    chromium: Chromium, address: str, make_bench: MakeBench, gate: Path
) -> None:
    bench: Bench = make_bench(n=40)
    held = bench.plan.tasks[10]  # the run waits in its third round
    with bench.spawn(
        "--round-size", 5, arguments=("--cost", 0.5, "--gate", gate, "--gate-at", held)
    ) as process:

        def follow(page: "Page") -> str:
            card = page.locator(".card")
            card.get_by_text("10 of 40 planned tasks").wait_for()
            assert "So far: rank" in card.inner_text()
            card.get_by_role("link").click()
            page.get_by_text("r002 runs 5 tasks").wait_for()
            page.evaluate("window.opened = 1")
            page.keyboard.press("Tab")
            page.locator("#numbers-rank summary").click()
            page.evaluate("window.scrollTo({top: 300, behavior: 'instant'})")
            place = page.locator("#numbers-rank summary").bounding_box()
            band = page.locator(".plot path.band").first.get_attribute("d")
            gate.write_text("go on")
            page.get_by_text("40 of 40 planned tasks").wait_for()
            page.get_by_text("It ended:").wait_for()
            # The same page, at the same place, with the same part unfolded and in focus.
            assert page.evaluate("window.opened") == 1
            assert page.evaluate("window.scrollY") > 0
            after = page.locator("#numbers-rank summary").bounding_box()
            assert place is not None
            assert after is not None
            assert abs(after["y"] - place["y"]) < 2
            assert page.evaluate("document.activeElement.parentElement.id") == "numbers-rank"
            assert page.locator("#numbers-rank").get_attribute("open") is not None
            assert page.locator(".plot path.band").first.get_attribute("d") != band
            assert page.locator("#numbers-rank tbody tr").count() == 9
            assert overflow(page) <= 0
            return page.url

        shown = chromium.see(address, follow, width=SMALL)
        assert process.wait() == 0
    chromium.check(shown, widths=(1024, 1600))


def test_a_hostile_state_is_text_and_its_table_sorts_by_keyboard(
    chromium: Chromium, address: str, tmp_path: Path
) -> None:
    def begin(key: str, agent: str, usd: float) -> StateKeeper:
        found = StateKeeper(
            kind="run", key=key, harness="x", benchmark=agent, agents=(agent,), plan_digest="d",
            directory=agent, note=pytest.fail,
        )  # fmt: skip
        found.result(agent, agent, None, "infra_error")
        found.look(lambda: Look(numbers={"tasks_run": 1, "spent_usd": usd}), doing=agent, now=True)
        return found

    keepers = [begin("1", HOSTILE, 2.0), begin("2", "b" * 300, 10.0), begin("3", "c", 9.0)]

    def hostile(page: "Page") -> None:
        page.locator(".card").nth(2).wait_for()
        page.evaluate("window.opened = 1")
        for keeper in keepers:
            keeper.end(HOSTILE, looks=None)
        page.get_by_text("Nothing is running").wait_for()
        assert page.evaluate("[window.opened, window.hacked]") == [1, None]
        assert overflow(page) <= 0
        spent = page.locator("#runs-table th button", has_text="Spent")
        spent.focus()
        page.keyboard.press("Enter")
        shown = page.locator("#runs-table td[data-label=Spent]").all_inner_texts()
        assert shown == ["$2.00", "$9.00", "$10.00"]
        keepers[2].end("again", looks=lambda: Look(numbers={"tasks_run": 1, "spent_usd": 1.0}))
        page.locator("#runs-table td[data-label=Spent]", has_text="$1.00").wait_for()
        # Fresh rows stand in the order that the reader chose, and the focus stays.
        shown = page.locator("#runs-table td[data-label=Spent]").all_inner_texts()
        assert shown == ["$1.00", "$2.00", "$10.00"]
        assert page.evaluate("document.activeElement.id") == spent.get_attribute("id")

    chromium.see(address, hostile)
    chromium.check(address)
