"""``--record``: what a run has paid for goes into the history while it still runs."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midband.cli.output import count, open_history
from midband.cli.progress import Display
from midband.text import one_line

if TYPE_CHECKING:
    from midband.descriptors import ReadOptions

# A run that is paid for does not wait long for others that write to the history.
_PATIENCE_S = 30.0

record_option = click.option(
    "--record",
    is_flag=True,
    help="Import the results into the history after every round. By default nothing is imported.",
)


class Recorder:
    """Imports what is in the directory of a run; a failure is a note, and never ends the run.

    Parameters
    ----------
    directory : Path
        Of the run.
    benchmark : str
        What the plan calls the benchmark.
    history_path : Path or None
    shown : Display
        Told one line for the user.
    """

    def __init__(
        self,
        directory: Path,
        *,
        benchmark: str,
        history_path: Path | None,
        shown: Display,
    ) -> None:
        self._directory, self._benchmark = directory, benchmark
        self._history_path, self._shown = history_path, shown
        self.recorded = 0

    @property
    def command(self) -> str:
        """The command that does the same by hand."""
        return shlex.join(
            ["midband", "import", str(self._directory), "--benchmark", self._benchmark]
        )

    def record(self) -> None:
        """Import everything that is new since the last time."""
        from midband.descriptors import ReadOptions

        self.recorded += record_results(
            [self._directory],
            options=ReadOptions(benchmark=self._benchmark),
            history_path=self._history_path,
            again=self.command,
            say=self._shown.say,
            note=self._shown.note,
        )


def record_results(
    paths: Sequence[Path],
    *,
    options: "ReadOptions",
    history_path: Path | None,
    again: str,
    say: Callable[[str], None],
    note: Callable[[str], None],
) -> int:
    """Import results that were paid for; return how many attempts are new. It never raises.

    Parameters
    ----------
    paths : sequence of Path
    options : ReadOptions
    history_path : Path or None
    again : str
        The command that does the same by hand.
    say, note : callable
        Told one line for the user: what went wrong, and what was recorded.
    """
    from midband.importers.sources import import_paths

    try:
        with open_history(history_path, read_only=False, patience_s=_PATIENCE_S) as store:
            report = import_paths(store, paths, options=options)
    except Exception as error:  # the run has been paid for, and its results stay where they are
        say(f"not recorded: {one_line(str(error))}: {again}")
        return 0
    for source in report.refused:
        say(f"not recorded: {one_line(source.error)}")
    if report.added:
        note(f"recorded {count(report.added, 'attempt')} in the history")
    return report.added
