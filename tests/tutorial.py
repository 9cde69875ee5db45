"""The tutorial, executed: its files are written, its commands are run, and its outputs are kept.

``python -m tests.tutorial`` writes the outputs of docs/tutorial.md anew.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
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
    variables = {**os.environ, "INSPECT_DISPLAY": "plain", "COLUMNS": "100", "NO_COLOR": "1"}
    steps = []
    for command, shown in _STEP.findall(text):
        program, *words = shlex.split(command)
        if program == "export":
            name, _, value = words[0].partition("=")
            variables[name] = value
            continue
        done = subprocess.run(
            [sys.executable, "-m", PROGRAMS[program], *words],
            cwd=directory,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            msg = f"expected {command!r} to succeed, got exit code {done.returncode}: {done.stdout}"
            raise RuntimeError(msg)
        steps.append(Step(command, shown, _told(command, done.stdout)))
    return steps


def _told(command: str, printed: str) -> str:
    """Return what the page shows: of an evaluation, the lines in which midband speaks."""
    if command.startswith("inspect"):
        return ""
    if command.startswith("midband inspect"):
        printed = printed[printed.index("\nmidband: ") + 1 :]
    return printed.rstrip() + "\n"


def main() -> None:
    """Follow the page and write what its commands printed into it."""
    with tempfile.TemporaryDirectory() as directory:
        steps = {step.command: step for step in follow(Path(directory))}

    def anew(found: re.Match[str]) -> str:
        command, shown = found.groups()
        if shown is None:
            return found[0]
        return f"```console\n$ {command}\n```\n\n```text\n{steps[command].printed}```"

    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_STEP.sub(anew, text), encoding="utf-8")


if __name__ == "__main__":
    main()
