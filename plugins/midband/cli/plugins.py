"""``midband plugins``: which plugins there are, what they do, and which failed."""

from pathlib import Path

import click

from midband.cli._options import history_option, json_option
from midband.cli._output import print_json, print_table


@click.command(epilog="Example: midband plugins --all --json")
@click.option("--all", "show_all", is_flag=True, help="Also list those that come with midband.")
@history_option
@json_option
def plugins(show_all: bool, history_path: Path | None, as_json: bool) -> int:
    """Show the plugins, the hooks they implement, and those that failed to load.

    Those that come with midband are left out unless they failed. MIDBAND_DISABLE_PLUGINS
    switches plugins off by name, MIDBAND_LOAD_PLUGINS loads only those named.
    """
    from midband._manager import get_plugin_manager

    found = [
        status
        for status in get_plugin_manager().statuses
        if show_all or not status.built_in or status.status == "failed"
    ]
    if as_json:
        print_json(found)
    else:
        print_table(
            ("name", "version", "status", "hooks", "error"),
            [
                (item.name, item.version, item.status, ", ".join(item.hooks), item.error)
                for item in found
            ],
        )
    return 1 if any(item.status == "failed" for item in found) else 0
