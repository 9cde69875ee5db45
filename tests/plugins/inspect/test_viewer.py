"""Inspect's own viewer in a real browser: the verdict is there without unfolding anything."""

import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inspect_ai import eval as inspect_eval
from tests.plugins.inspect.conftest import MakePlan

from midband.inspect import adaptive, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 60_000  # no machine is that slow


@contextmanager
def viewer(logs: Path) -> "Iterator[str]":
    """Serve the logs by `inspect view` on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "inspect_ai", "view", "--log-dir", str(logs)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "Running on" in line or f":{port}" in line:
                    break
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


def title_of(program: str, address: str) -> tuple[str, list[str]]:
    """Return the text that stands above the samples of a log, and what the page asked for."""
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_text("STDERR").first.wait_for()
        text = page.locator("body").inner_text()
        browser.close()
    return text.split("SAMPLES")[0], asked


@pytest.mark.slow
def test_the_viewer_shows_the_verdict_without_unfolding(
    make: MakePlan, toy: Any, tmp_path: Path
) -> None:
    pytest.importorskip("playwright", reason="needs Playwright")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("needs Chromium of the distribution: .ci/browser installs it")
    logs = tmp_path / "logs"
    settings: dict[str, Any] = {"display": "none", "log_level": "critical", "max_samples": 4}
    task = adaptive(toy.toy(), make())
    (log,) = inspect_eval(task, model="toy/97", log_dir=str(logs), **settings)
    decision = verdict(log)
    name = Path(log.location).name
    with viewer(logs) as address, ThreadPoolExecutor(1) as thread:
        text, asked = thread.submit(title_of, program, f"{address}#/logs/{name}").result()
    rank = getattr(decision, "rank", None)
    assert f"midband: rank {rank} of 20 (" in text
    shown = " ".join(text.split())
    assert f"MIDBAND_RANK {rank}.0" in shown
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)
