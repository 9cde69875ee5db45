"""One round's work: the subset written, the harness run, in its own processes or in this one."""

import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from midband.rounds._interrupt import Interrupt
from midband.rounds._process import OUTPUT, Running
from midband.rounds._results import FAILED, FINISHED, INTERRUPTED
from midband.rounds._settings import RunSettings
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from midband._harness import Command, Harness, InProcessHarness, Round, RoundRunner


@dataclass(frozen=True, kw_only=True)
class Executed:
    """How a round ran; `results` is what the harness's reader is given."""

    status: str
    codes: tuple[int, ...]
    results: Path


class Execution:
    """Runs the rounds of one harness.

    Parameters
    ----------
    harness : Harness
    settings : RunSettings
    interrupt : Interrupt
    note : callable
        Told what the user should know.
    """

    def __init__(
        self,
        harness: "Harness",
        settings: RunSettings,
        interrupt: Interrupt,
        note: Callable[[str], None],
    ) -> None:
        self._note = note
        self._harness = harness
        self._settings = settings
        self._interrupt = interrupt
        self._runner: RoundRunner | None = None
        self._probed = False

    def make_ready(self) -> None:
        """Look for the harness, or load it into this process, before the first round.

        Raises
        ------
        MidbandError
            It is not there.
        """
        if self._settings.in_process:
            if self._runner is None:
                with redirect_stdout(sys.stderr):
                    harness = cast("InProcessHarness", self._harness)
                    self._runner = harness.start(self._settings.arguments)
        elif not self._probed:
            problem = self._harness.probe().problem
            if problem:
                raise MidbandError(problem)
            self._probed = True

    def prepare(self, batch: "Round") -> "Command | None":
        """Write the subset and return the command, None in this process.

        Raises
        ------
        MidbandError
            The round is refused, or its program is not there; nothing is left of it then.
        """
        batch.directory.mkdir()
        try:
            self._harness.write_subset(batch.plan, batch.directory, tasks=batch.tasks)
            return None if self._settings.in_process else self._command(batch)
        except BaseException:
            shutil.rmtree(batch.directory)
            raise

    def _command(self, batch: "Round") -> "Command":
        command = self._harness.build_command(batch)
        for step in command.steps:
            if shutil.which(step[0], path=command.environment.get("PATH")) is None:
                msg = f"expected the program {step[0]}, found none: install {self._harness.name}"
                raise MidbandError(msg)
        return command

    def run(
        self, batch: "Round", command: "Command | None", *, starts: Callable[[int], None]
    ) -> Executed:
        """Run a prepared round; `starts` is called with the number of each step."""
        if command is None:
            return self._call(batch)
        status, codes = self._steps(batch.directory, command, first=0, starts=starts)
        return Executed(status=status, codes=codes, results=command.results)

    def run_rest(
        self, batch: "Round", *, first: int, starts: Callable[[int], None]
    ) -> tuple[int, ...]:
        """Run the steps from `first` on of a round that was left open; return exit codes."""
        if self._settings.in_process:
            return ()
        return self._steps(batch.directory, self._command(batch), first=first, starts=starts)[1]

    def _steps(
        self, directory: Path, command: "Command", *, first: int, starts: Callable[[int], None]
    ) -> tuple[str, tuple[int, ...]]:
        """Run steps, each also after one that failed: it may score what that one left."""
        status, codes = FINISHED, []
        with Running(directory) as running:
            for number, step in enumerate(command.steps[first:], start=first):
                starts(number)
                end = running.run(
                    step,
                    environment=command.environment,
                    timeout=self._settings.timeout,
                    interrupt=self._interrupt,
                    note=lambda line: self._note(f"{directory.name} {line}"),
                )
                codes.append(end.code)
                if end.status == INTERRUPTED:
                    return INTERRUPTED, tuple(codes)
                if status in (FINISHED, FAILED) and end.status != FINISHED:
                    status = end.status
        return status, tuple(codes)

    def _call(self, batch: "Round") -> Executed:
        runner = cast("RoundRunner", self._runner)
        self._interrupt.raises = True
        try:
            with redirect_stdout(sys.stderr):
                return Executed(status=FINISHED, codes=(), results=runner(batch))
        except KeyboardInterrupt:
            return Executed(status=INTERRUPTED, codes=(), results=batch.directory)
        except InputError:
            raise
        except Exception as error:  # what a harness raises must not lose the rounds before
            line = f"{type(error).__name__}: {error}\n"
            (batch.directory / OUTPUT).write_text(line, encoding="utf-8")
            return Executed(status=FAILED, codes=(), results=batch.directory)
        finally:
            self._interrupt.raises = False
