"""The commands that the documents show, and the options that a command has."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from tests.environments import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(path: Path, language: str) -> list[str]:
    """Return the blocks of a document in one language."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def documented_commands(path: Path) -> list[list[str]]:
    """Return the words of every midband command that a document shows."""
    lines = [line for block in blocks(path, "console") for line in block.splitlines()]
    return [
        shlex.split(line.removeprefix("$ "), comments=True)
        for line in lines
        if line.startswith("$ midband ")
    ]


def options_of(command: click.Command, words: Sequence[str] = ()) -> set[str]:
    """Return the options of a command, or of the subcommand that the words after it choose."""
    if isinstance(command, click.Group):
        _, chosen, _ = command.resolve_command(click.Context(command), list(words or ["show"]))
        if chosen is None:
            msg = f"expected a subcommand of {command.name}, got {words!r}"
            raise ValueError(msg)
        command = chosen
    return {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
