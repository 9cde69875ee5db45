"""The documents keep their word: their code runs, their commands exist, every hook is named."""

import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

from midband import hookspecs
from midband.cli._root import COMMANDS, cli
from midband.cli.inspect import inspect as inspect_command

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def _blocks(path: Path, language: str) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _commands(path: Path) -> list[list[str]]:
    lines = [line for block in _blocks(path, "console") for line in block.splitlines()]
    parsed = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words for words in parsed if words[:1] == ["midband"]]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_runs(path: Path) -> None:
    for block in _blocks(path, "python"):
        exec(compile(block, path.name, "exec"), {"__name__": path.stem})  # noqa: S102


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist_with_their_options(path: Path) -> None:
    for words in _commands(path):
        command = cli.get_command(click.Context(cli), words[1])
        assert command is not None, words
        if command is inspect_command:
            continue
        known = {option for parameter in command.params for option in parameter.opts}
        for word in itertools.takewhile(lambda word: word != "--", words[2:]):
            if word.startswith("-"):
                assert word in known, f"{path.name}: {' '.join(words)} has no {word}"


def test_the_readme_shows_the_way_from_logs_to_a_verdict() -> None:
    shown = {words[1] for words in _commands(ROOT / "README.md")}
    assert {"import", "rates", "plan", "inspect", "rank", "export", "study"} <= shown


def test_every_command_is_named_in_the_readme_or_changelog() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "CHANGELOG.md").read_text()
    for name in COMMANDS:
        assert f"midband {name}" in text


def test_every_hook_is_documented_with_its_arguments() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for name, function in vars(hookspecs).items():
        if name.startswith("midband_"):
            names = function.__code__.co_varnames[: function.__code__.co_argcount]
            assert f"`{name}({', '.join(names)})`" in text
