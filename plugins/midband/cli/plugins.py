"""``midband plugins``: which plugins there are, what they do, and which failed."""

from pathlib import Path

import click

from midband.cli._options import history_option, json_option
from midband.cli._output import print_json, print_table, warn


@click.command(epilog="Example: midband plugins --all --json")
@click.option("--all", "show_all", is_flag=True, help="Also list those that come with midband.")
@history_option
@json_option
def plugins(show_all: bool, history_path: Path | None, as_json: bool) -> int:
    """Show the plugins, the hooks they implement, and those that failed to load.

    Those that come with midband are left out unless they failed. MIDBAND_DISABLE_PLUGINS
    switches plugins off by name (a,b; all: every one that does not come with midband),
    MIDBAND_LOAD_PLUGINS loads only those named. The exit code is 1 where a plugin failed, or two
    offer one name.
    """
    from midband._manager import get_plugin_manager

    manager = get_plugin_manager()
    conflicts = manager.conflicts()
    found = [
        status
        for status in manager.statuses
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
    for conflict in conflicts:
        warn(conflict)
    for name in manager.unknown_names:
        warn(f"MIDBAND_DISABLE_PLUGINS or MIDBAND_LOAD_PLUGINS names {name}, which is not there")
    return 1 if conflicts or any(item.status == "failed" for item in found) else 0
