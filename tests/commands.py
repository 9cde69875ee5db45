"""What options a command of midband has, for tests of the documents that show it."""

from collections.abc import Sequence

import click


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
