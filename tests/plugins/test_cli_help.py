"""The help pages: they fit a terminal, explain every option, and speak plainly."""

import re
from collections.abc import Iterator

import click
import pytest

from midband.cli.root import COMMANDS, cli

WIDTH = 80
# Words of the house that a newcomer cannot know, or phrases that leave out what is meant.
RIDDLES = (
    "going on", "goes on", "own size", "tells most", "it denies", "descends from", "is new;",
    "one of several", "as of then",
)  # fmt: skip


def _commands(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _commands(found, (*words, name))


ALL = list(_commands(cli))


def _page(words: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(("midband", *words)), terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    return command.get_help(context)


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_a_page_of_help_is_plain_and_fits(words: tuple[str, ...], command: click.Command) -> None:
    page = _page(words, command)
    assert max(map(len, page.splitlines())) <= WIDTH
    told = " ".join(page.split())
    assert not [riddle for riddle in RIDDLES if riddle in told]
    assert re.search(r"Examples?: midband", told)
    text = " ".join((command.help or "").split())
    assert text.endswith((".", "`")), text
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        record = option.get_help_record(click.Context(command))
        assert record is not None
        said = re.sub(r"\s*\[(default|required|[0-9<=]*x)[^\]]*\]", "", record[1]).strip()
        assert said.endswith((".", ")")), (option.name, said)
        assert len(said.split()) >= 4, (option.name, said)
        assert "INTEGER RANGE" not in record[0], option.name
        assert "FLOAT RANGE" not in record[0], option.name


def test_the_first_page_groups_the_commands() -> None:
    page = _page((), cli)
    places = [
        page.index(f"\n{each}:\n") for each in dict.fromkeys(c.purpose for c in COMMANDS.values())
    ]
    assert places == sorted(places)
    for name, each in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(each.summary)}$", page, re.MULTILINE), name


def test_a_misspelt_command_names_the_nearest_one() -> None:
    from click.testing import CliRunner

    from midband.cli.root import cli

    assert "Did you mean 'import'?" in CliRunner().invoke(cli, ["imprt"]).output
    assert "Did you mean" not in CliRunner().invoke(cli, ["zzzz"]).output
