"""A real browser for tests: one headless Chromium, and what is checked of every page of ours."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

Found = TypeVar("Found")
WIDTHS = (390, 1024, 1600)
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_WAIT_MS = 60_000  # no machine is that slow; a page that never gets ready fails the test
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Marks of each chart: paths and texts of the drawing but for axes and legends, or painted pixels.
_MARKS = """figures => figures.map(figure => {
  const title = figure.querySelector("h3").textContent, state = figure.dataset.state;
  const canvas = figure.querySelector("canvas");
  if (canvas) {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return [title, state, data.some((each) => each) ? 1 : 0];
  }
  const kinds = ["path", "line", "text", "g > path"].map((kind) => `svg .role-mark > ${kind}`);
  const marks = figure.querySelectorAll(kinds.join());
  return [title, state, marks.length];
})"""


class Chromium:
    """A headless Chromium that lives in a thread of its own.

    Playwright keeps an event loop running where it is used, and tests that start one of their own
    would fail beside it.
    """

    def __init__(self, program: str, thread: ThreadPoolExecutor, browser: "Browser") -> None:
        self.program = program
        self._thread = thread
        self._browser = browser

    def see(
        self,
        address: str | Path,
        then: "Callable[[Page], Found]",
        *,
        width: int = 1024,
        dark: bool = False,
        ready: str = "html[data-charts=drawn]",
    ) -> Found:
        """Open a page, wait until it is ready, and return what `then` finds in it.

        Fails if the page says something is wrong with it, or asks for anything from elsewhere.

        Parameters
        ----------
        address : str or Path
            A file, or an address on this machine.
        then : callable
            Called with Playwright's page, in the browser's thread.
        width : int
            Of the window, in pixels.
        dark : bool
            Whether the user prefers dark pages.
        ready : str
            What the page holds once it is ready.
        """
        return self._thread.submit(self._see, str(address), then, width, dark, ready).result()

    def _see(
        self, address: str, then: "Callable[[Page], Found]", width: int, dark: bool, ready: str
    ) -> Found:
        address = address if "://" in address else Path(address).absolute().as_uri()
        problems: list[str] = []
        note = problems.append

        def heard(said: "ConsoleMessage") -> None:
            if said.type in ("error", "warning"):
                note(said.text)

        def asked(request: "Request") -> None:
            if not _is_allowed(request.url, address):
                note(f"request: {request.url}")

        with self._page(width, dark) as page:
            page.on("pageerror", lambda error: note(f"error: {error}"))
            page.on("console", heard)
            page.on("request", asked)
            page.goto(address)
            page.wait_for_selector(ready, state="attached")
            problems += page.locator("figure[data-state=failed] .canvas").all_inner_texts()
            assert not problems, problems
            found = then(page)
        assert not problems, problems
        return found

    @contextmanager
    def _page(self, width: int, dark: bool) -> "Iterator[Page]":
        context = self._browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(_WAIT_MS)
        try:
            yield context.new_page()
        finally:
            context.close()

    def check(self, address: str | Path, *, widths: Sequence[int] = WIDTHS) -> None:
        """Check that a page fits into narrow and wide windows, and that its charts are drawn."""
        for place, width in enumerate(widths):
            overflow, charts = self.see(
                address,
                lambda page: (
                    page.evaluate(_OVERFLOW),
                    page.eval_on_selector_all("figure", _MARKS),
                ),
                width=width,
                dark=bool(place % 2),
            )
            assert overflow <= 0, f"{overflow} pixels too wide at {width}"
            for title, state, marks in charts:
                assert (state, marks > 0) == ("drawn", True), f"{title}: {state}, {marks} marks"


def _is_allowed(asked: str, address: str) -> bool:
    """Whether a request stays on this machine: files, data, and the server of the page itself."""
    if asked.startswith(("data:", "blob:")):
        return True
    if address.startswith("file:"):
        return asked.startswith("file:")
    host = "/".join(address.split("/")[:3])
    return asked == host or asked.startswith(f"{host}/")


@contextmanager
def chromium_running() -> Iterator[Chromium]:
    """Start the distribution's Chromium; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("needs Chromium, and there is none on this machine: .ci/browser installs it")
    playwright = pytest.importorskip("playwright.sync_api")
    with ThreadPoolExecutor(1, thread_name_prefix="chromium") as thread:
        engine: Any = thread.submit(playwright.sync_playwright().start).result()
        try:
            browser = thread.submit(
                lambda: engine.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
            ).result()
            try:
                yield Chromium(program, thread, browser)
            finally:
                thread.submit(browser.close).result()
        finally:
            thread.submit(engine.stop).result()
