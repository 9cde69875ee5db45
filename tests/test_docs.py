"""The documents keep their word: their code runs, their commands exist, every hook is named."""

import itertools
import re
from pathlib import Path

import click
import pytest
from tests.commands import DOCUMENTS, blocks, documented_commands, options_of
from tests.environments import ROOT

from midband import PluginManager, hookspecs
from midband.cli.history import history
from midband.cli.import_ import import_
from midband.cli.root import COMMANDS, cli
from midband.cli.run import inspect as inspect_command


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_runs(path: Path) -> None:
    for block in blocks(path, "python"):
        exec(compile(block, path.name, "exec"), {"__name__": path.stem})  # noqa: S102


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist_with_their_options(path: Path) -> None:
    for words in documented_commands(path):
        command = cli.get_command(click.Context(cli), words[1])
        assert command is not None, words
        if command is inspect_command:
            continue
        known = options_of(command, words[2:])
        for word in itertools.takewhile(lambda word: word != "--", words[2:]):
            if word.startswith("-"):
                assert word in known, f"{path.name}: {' '.join(words)} has no {word}"


def test_the_readme_shows_the_way_from_logs_to_a_verdict() -> None:
    shown = {words[1] for words in documented_commands(ROOT / "README.md")}
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


IMPORTING = ROOT / "docs" / "importing.md"
HISTORY = ROOT / "docs" / "history.md"


def _rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading of docs/importing.md, but for its head."""
    section = IMPORTING.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    section = section.split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines]
    return [[cell.strip() for cell in row] for row in cells[2:]]


def test_the_table_of_formats_names_every_importer_and_leaves_no_cell_empty() -> None:
    rows = _rows("What identifies what, format by format")
    named = [re.match(r"`([^`]+)`", row[0]) for row in rows]
    assert all(named)
    registered = PluginManager(environment={"MIDBAND_DISABLE_PLUGINS": "all"}).importers()
    assert sorted(found[1] for found in named if found) == sorted(registered)
    for row in rows:
        assert len(row) == 7, row
        assert all(row), row


def test_every_option_of_import_and_every_command_of_history_is_documented() -> None:
    text = IMPORTING.read_text(encoding="utf-8")
    listed = " ".join(row[0] for row in _rows("Every option of `midband import`"))
    for option in options_of(import_):
        assert option in re.findall(r"--[a-z-]+", listed), option
        assert text.count(option) > 1, f"{option} has no example"
    text += HISTORY.read_text(encoding="utf-8")
    for name in history.commands:
        assert name == "show" or f"midband history {name}" in text, name


def test_importing_is_reachable_from_the_readme_and_the_pages_of_harnesses() -> None:
    pages = (ROOT / "docs" / "harnesses").glob("*.md")
    assert "docs/importing.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    for page in pages:
        assert "(../importing.md" in page.read_text(encoding="utf-8"), page.name
