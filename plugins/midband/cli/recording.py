"""``--record``: what a run has paid for goes into the history while it still runs."""

import shlex
from pathlib import Path

import click

from midband.cli.output import count, open_history
from midband.cli.progress import Display
from midband.text import one_line

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
        from midband.importers.sources import import_paths

        options = ReadOptions(benchmark=self._benchmark)
        try:
            with open_history(self._history_path, read_only=False, patience_s=_PATIENCE_S) as store:
                report = import_paths(store, [self._directory], options=options)
        except Exception as error:
            self._shown.say(f"not recorded: {one_line(str(error))}: {self.command}")
            return
        self.recorded += report.added
        for source in report.refused:
            self._shown.say(f"not recorded: {one_line(source.error)}")
        if report.added:
            self._shown.note(f"recorded {count(report.added, 'attempt')} in the history")
