"""``midband history compact``: what the inbox holds, into the history's file."""

from pathlib import Path

import click

from midband.cli.options import examples, history_option, json_option
from midband.cli.output import count, echo, open_history, print_json


@click.command(epilog=examples("midband history compact"))
@history_option
@json_option
def compact(history_path: Path | None, as_json: bool) -> int:
    """Take the batches that wait in the inbox into the history's file.

    Results that are imported while somebody else writes to the history wait in its inbox. Readers
    count them already, and the next import takes them in. Use this command to make reading quicker
    if many batches wait.

    A batch that is damaged, or that contradicts the history, is set aside and named. The exit code
    is 1 if there is such a batch, now or from before.
    """
    with open_history(history_path, read_only=False, warned=False) as store:
        found = store.compact()
        aside = store.set_aside()
        where = store.name
    if as_json:
        print_json({"history": where, "batches": found, "set_aside": aside})
        return 1 if aside else 0
    refused = [each for each in found if each.refused]
    for each in refused:
        echo(f"midband: set aside {each.name}: {each.refused}", err=True)
    taken = len(found) - len(refused)
    attempts = sum(each.attempts for each in found)
    echo(
        f"took in {taken:,} {'batch' if taken == 1 else 'batches'} with"
        f" {count(attempts, 'new attempt')} to {where}"
    )
    for path in aside:
        echo(f"midband: set aside: {path}", err=True)
    return 1 if aside else 0
