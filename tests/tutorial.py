"""The tutorial, executed: its files are written, its commands are run, and its outputs are kept.

``python -m tests.tutorial`` writes the outputs of docs/tutorial.md anew, and the picture of its
report where a browser is installed.
"""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
WIDTH = 100
BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
PROGRAMS = {"midband": "midband", "inspect": "inspect_ai"}
_FILE = re.compile(r'^```python title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^```console\n\$ ([^\n]*)\n```\n(?:\n```text\n(.*?)^```$)?", re.M | re.S)


@dataclass(frozen=True)
class Step:
    """One command of the tutorial, what the page says that it prints, and what it printed."""

    command: str
    shown: str
    printed: str


def follow(directory: Path) -> list[Step]:
    """Do what the page says, in a directory that is empty."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in _FILE.findall(text):
        (directory / name).write_text(content, encoding="utf-8")
    variables = {**os.environ, "INSPECT_DISPLAY": "plain", "COLUMNS": str(WIDTH), "NO_COLOR": "1"}
    steps = []
    for command, shown in _STEP.findall(text):
        program, *words = shlex.split(command)
        if program == "export":
            name, _, value = words[0].partition("=")
            variables[name] = value
            continue
        typed = [sys.executable, "-m", PROGRAMS[program], *words]
        code, printed = _run(typed, directory, variables, screen="inspect" not in command)
        if code:
            msg = f"expected {command!r} to succeed, got exit code {code}: {printed}"
            raise RuntimeError(msg)
        steps.append(Step(command, shown, _told(command, printed)))
    return steps


def _run(
    typed: list[str], directory: Path, variables: dict[str, str], *, screen: bool
) -> tuple[int, str]:
    """Run a command, with a terminal as its standard output if `screen`; return what it printed."""
    with tempfile.TemporaryFile("w+") as errors:
        reader, writer = os.openpty() if screen else os.pipe()
        with subprocess.Popen(
            typed, cwd=directory, env=variables, stdout=writer, stderr=errors
        ) as process:
            os.close(writer)
            text = _read(reader)
        errors.seek(0)
        text = re.sub(r"\x1b\[[0-9;]*m", "", text.replace("\r\n", "\n")) + errors.read()
    return process.returncode, "".join(line.rstrip() + "\n" for line in text.splitlines())


def _read(reader: int) -> str:
    """Read until the other side is closed, which a terminal reports as an error."""
    with os.fdopen(reader, "rb") as stream:
        parts = []
        try:
            while part := stream.read1():
                parts.append(part)
        except OSError:
            pass
    return b"".join(parts).decode()


def _told(command: str, printed: str) -> str:
    """Return what the page shows: of an evaluation, the lines in which midband speaks."""
    if command.startswith("inspect"):
        return ""
    if command.startswith("midband inspect"):
        printed = printed[printed.index("\nmidband: ") + 1 :]
    lines = (
        textwrap.wrap(line, WIDTH) if len(line) > WIDTH else [line] for line in printed.split("\n")
    )
    return "\n".join(itertools.chain.from_iterable(lines)).rstrip() + "\n"


def _photograph(page: Path) -> None:
    """Keep the first chart of the report, for light and for dark pages of the tutorial."""
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print(
            "expected Chromium on the path, found none: the pictures of the report stay as they are"
        )
        return
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=BROWSER)
        for scheme in ("light", "dark"):
            opened = chromium.new_page(viewport={"width": 1000, "height": 900}, color_scheme=scheme)
            opened.goto(page.as_uri())
            opened.wait_for_selector("figure svg, svg.marks, canvas")
            chart = opened.locator("figure").first
            chart.screenshot(path=PAGE.parent / "images" / f"report-{scheme}.png")
        chromium.close()


def main() -> None:
    """Follow the page and write what its commands printed into it."""
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent) / "tutorial"
        directory.mkdir()
        steps = {step.command: step for step in follow(directory)}
        _photograph(directory / "report.html")

    def anew(found: re.Match[str]) -> str:
        command, shown = found.groups()
        if shown is None:
            return found[0]
        return f"```console\n$ {command}\n```\n\n```text\n{steps[command].printed}```"

    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_STEP.sub(anew, text), encoding="utf-8")


if __name__ == "__main__":
    main()
