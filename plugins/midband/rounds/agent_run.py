"""The run of one agent in one directory: its rounds, their results, and the journal of both."""

import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from midband.descriptors import Round
from midband.rounds.collect import collect
from midband.rounds.journal import FAILED, FINISHED, INTERRUPTED, AttemptResult, RoundEnd, by_task
from midband.rounds.process import OUTPUT, Interrupt, run_steps, wait_for_earlier
from midband.rounds.run_settings import RunSettings, named
from midband.text import arguments_without_credentials
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from midband.descriptors import Command, Harness, InProcessHarness, RoundRunner
    from midband.rounds.earlier import EarlierRun
    from midband.rounds.journal import RunJournal
    from midband.rounds.state import RunState
    from midband_sampler import Plan

PLAN = "plan.json"


class Owner(Protocol):
    """Whoever decides what runs next, and is told what became of it."""

    def begun(self, batch: Round) -> None:
        """Receive the start of a round."""

    def ended(self, end: RoundEnd) -> None:
        """Receive its end, once the state has taken it in."""

    def recorded(self, result: AttemptResult) -> None:
        """Receive a result that is written to the journal."""

    def note(self, line: str) -> None:
        """Receive a line for the user."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A round that can be run: its subset is written, its program was found.

    Parameters
    ----------
    batch : Round
    command : Command or None
        None where it runs in this process.
    """

    batch: Round
    command: "Command | None"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """The outcome of running a round, before its results are read.

    Parameters
    ----------
    status : str
        As in `RoundEnd`.
    codes : tuple of int
        Exit codes of the steps.
    results : Path
        What the harness reads its results from.
    """

    status: str
    codes: tuple[int, ...]
    results: Path


@dataclass
class AgentRun:
    """Runs rounds of one agent and keeps everything in its directory.

    The rounds themselves are chosen by the owner.

    Parameters
    ----------
    harness : Harness
    plan : Plan
        As the harness is handed it.
    settings : RunSettings
    journal : RunJournal
        Of the directory in which the rounds run.
    state : RunState
    owner : Owner
    interrupt : Interrupt
    digest : str
        Of the plan by which the rounds are chosen.
    read_by : callable
        Returns the plan with the metric by which the results at a path are read.
    metric : str
        The metric that a person has named, to be kept; empty where the plan knows it.
    live : bool
        Whether tasks are chosen live.
    """

    harness: "Harness"
    plan: "Plan"
    settings: RunSettings
    journal: "RunJournal"
    state: "RunState"
    owner: Owner
    interrupt: Interrupt
    digest: str
    read_by: "Callable[[Path], Plan]"
    metric: str = ""
    live: bool = False

    def __post_init__(self) -> None:
        self.directory = self.journal.path.parent
        self._runner: RoundRunner | None = None
        self._ready = False

    def restore(self) -> None:
        """Take in the rounds of the journal.

        Raises
        ------
        InputError
            The run was begun with other settings.
        StoreError
            The journal does not fit.
        """
        state = self.state
        for number, event in enumerate(self.journal.events, start=1):
            try:
                state.restore(event, self.owner.note)
            except (MidbandError, ValueError) as error:
                found = f"what does not fit ({' '.join(str(error).split())})"
                raise self.journal.damaged(number, found) from error
        if state.has_scores or state.open_round is not None or self.journal.of("known"):
            self._check_same()

    def _check_same(self) -> None:
        for name, value in self.header().items():
            # midband 0.1 kept the digest of all arguments, credentials among them.
            old = _digest(self.settings.arguments) if name == "arguments" else value
            if self.journal.begun[name] not in (value, old):
                raise InputError(others_message(name, value, self.directory))

    def header(self) -> dict[str, object]:
        """Return what must not change during a run.

        Arguments are compared by their digest. Credentials are not part of it: a key may be
        replaced while a run continues.
        """
        return {
            "harness": self.harness.name,
            "plan": self.digest,
            "arguments": arguments_digest(self.settings.arguments),
            "attempts": self.settings.attempts,
            "benchmark": self.settings.benchmark or self.plan.benchmark,
        }

    def bring(self, earlier: "EarlierRun") -> int:
        """Take in what an earlier directory holds, once; return the number of tasks.

        Raises
        ------
        InputError
            It was run otherwise, or this run has results of its own already.
        """
        if self.journal.of("known"):
            return 0
        earlier.check(self.header())
        results = [each for each in earlier.results if each.task in self.plan.all_tasks]
        if not results:
            return 0
        if self.journal.of("round"):
            msg = (
                f"expected --from with the first call, got it for {self.directory}, which has"
                " results: leave it out, or use another directory"
            )
            raise InputError(msg)
        self._begin_journal()
        known = {"source": str(earlier.directory), "results": [asdict(each) for each in results]}
        self.journal.write("known", known)
        self.state.bring(results)
        return len(by_task(results))

    def run_round(self, tasks: tuple[str, ...]) -> None:
        """Run a round and take in what it brought."""
        prepared = self.prepare(tasks)
        self.begin(prepared)
        self.end(prepared, self.carry_out(prepared))

    def prepare(self, tasks: tuple[str, ...]) -> Prepared:
        """Write the subset of a round and find its program.

        Nothing is left of a round that is refused or whose program is not there.

        Raises
        ------
        InputError
            The harness refuses the tasks or the arguments.
        MidbandError
            The harness is not there.
        """
        self._make_ready()
        batch = self._batch(tasks, self._free_name())
        batch.directory.mkdir()
        try:
            self.harness.write_subset(batch.plan, batch.directory, tasks=batch.tasks)
            command = None if self.settings.in_process else self._command(batch)
        except BaseException:
            shutil.rmtree(batch.directory)
            raise
        return Prepared(batch=batch, command=command)

    def _make_ready(self) -> None:
        """Look for the harness, or load it into this process, before the first round."""
        if self._ready:
            return
        if self.settings.in_process:
            with redirect_stdout(sys.stderr):
                harness = cast("InProcessHarness", self.harness)
                self._runner = harness.start(self.settings.arguments)
        else:
            problem = self.harness.probe().problem
            if problem:
                raise MidbandError(problem)
        self._ready = True

    def begin(self, prepared: Prepared) -> None:
        """Write into the journal that a round starts."""
        batch, command = prepared.batch, prepared.command
        self._begin_journal()
        results = (batch.directory if command is None else command.results).absolute()
        if results.is_relative_to(self.directory):  # it moves with the directory
            results = results.relative_to(self.directory)
        start = {"name": batch.name, "tasks": batch.tasks, "results": str(results)}
        self.journal.write("round", start)
        self.state.begin(batch.tasks)
        self.owner.begun(batch)

    def _begin_journal(self) -> None:
        words = shown_arguments(self.settings.arguments)
        header = {**self.header(), "live": self.live, "words": words}
        if self.metric:
            header["metric"] = self.metric
        if header.items() - self.journal.begun.items():
            self.journal.write("run", header)

    def carry_out(self, prepared: Prepared) -> Ran:
        """Run a round that has begun.

        Raises
        ------
        MidbandError
            It was refused before anything was run.
        """
        batch, command = prepared.batch, prepared.command
        try:
            if command is None:
                status, found = self._call(batch)
                return Ran(status=status, codes=(), results=found)
            status, codes = self._steps(batch, command)
        except MidbandError:
            if self.journal.events[-1].get("step", 0) == 0:  # refused before anything was run
                self.journal.write("withdrawn", {})
            raise
        return Ran(status=status, codes=codes, results=command.results)

    def _command(self, batch: Round) -> "Command":
        command = self.harness.build_command(batch)
        for step in command.steps:
            if shutil.which(step[0], path=command.environment.get("PATH")) is None:
                msg = f"expected the program {step[0]}, found none: install {self.harness.name}"
                raise MidbandError(msg)
        return command

    def _steps(
        self, batch: Round, command: "Command", *, first: int = 0
    ) -> tuple[str, tuple[int, ...]]:
        """Run the steps of a round from `first` on; return its status and their exit codes."""
        return run_steps(
            batch.directory,
            command.steps,
            first=first,
            environment=command.environment,
            timeout=self.settings.timeout,
            interrupt=self.interrupt,
            starts=lambda number: self.journal.write("step", {"step": number}),
            note=lambda line: self.owner.note(f"{batch.name} {line}"),
        )

    def _call(self, batch: Round) -> tuple[str, Path]:
        """Run a round in this process; return its status and its results."""
        runner = cast("RoundRunner", self._runner)
        self.interrupt.raises = True
        try:
            with redirect_stdout(sys.stderr):
                return FINISHED, runner(batch)
        except KeyboardInterrupt:
            return INTERRUPTED, batch.directory
        except InputError:
            raise
        except Exception as error:  # what a harness raises must not lose the rounds before
            line = f"{type(error).__name__}: {error}\n"
            (batch.directory / OUTPUT).write_text(line, encoding="utf-8")
            return FAILED, batch.directory
        finally:
            self.interrupt.raises = False

    def _free_name(self) -> str:
        number = len(self.journal.of("round"))
        while (self.directory / f"r{number:03d}").exists():
            number += 1
        return f"r{number:03d}"

    def _batch(self, tasks: tuple[str, ...], name: str) -> Round:
        return Round(
            plan=named(self.plan, self.settings.benchmark),
            tasks=tasks,
            directory=self.directory / name,
            name=name,
            attempts=self.settings.attempts,
            arguments=self.settings.arguments,
        )

    def finish_earlier(self) -> None:
        """End a round that was left open: wait for its processes, run its later steps, read it."""
        if self.state.open_round is None:
            return
        begun: dict[str, Any] = self.state.open_round
        batch = self._batch(tuple(begun["tasks"]), begun["name"])
        if not wait_for_earlier(
            batch.directory,
            timeout=self.settings.timeout,
            interrupt=self.interrupt,
            note=lambda line: self.owner.note(f"{batch.name} {line}"),
        ):
            return
        codes: tuple[int, ...] = ()
        if not self.settings.in_process:
            _, codes = self._steps(batch, self._command(batch), first=self.state.next_step)
        self.owner.note(f"{batch.name} was not finished: reading its results")
        found = self.directory / begun["results"]
        prepared = Prepared(batch=batch, command=None)
        self.end(prepared, Ran(status=INTERRUPTED, codes=codes, results=found))

    def end(self, prepared: Prepared, ran: Ran) -> None:
        """Read a round and take it in.

        One that a second Ctrl-C ended stays open in the journal: the next call reads what is
        there and runs the rest.

        Raises
        ------
        MidbandError
            The results are of other tasks, agents or by another metric than planned.
        """
        attempts, reading = self.settings.attempts, self.settings.reading
        batch = prepared.batch
        end = RoundEnd(name=batch.name, tasks=batch.tasks, status=ran.status, codes=ran.codes)
        found = collect(
            self.harness,
            ran.results,
            end,
            plan=self.read_by(ran.results),
            earlier=self.state.earlier,
            reading=reading,
            named=self.plan.metric is None or bool(reading.metric),
            allow_changed=self.settings.allow_changed,
        )
        stays_open = end.status == INTERRUPTED and self.interrupt.count > 1
        if not stays_open:
            self.journal.write("ended", {"round": asdict(found), "attempts": attempts})
        for result in self.state.take(found, attempts=attempts):
            if not stays_open:
                self.owner.recorded(result)
        self.owner.ended(found)

    def discard(self, prepared: Prepared) -> None:
        """Leave nothing of a round that was prepared and is not run."""
        shutil.rmtree(prepared.batch.directory)

    def last_directory(self) -> Path:
        """Return where the latest round ran."""
        return self.directory / str(self.journal.of("round")[-1]["name"])


def _digest(arguments: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(arguments)).encode()).hexdigest()[:16]


def arguments_digest(arguments: Sequence[str]) -> str:
    """Return the digest of a harness's arguments without credentials."""
    return _digest(arguments_without_credentials(arguments))


def shown_arguments(arguments: Sequence[str]) -> str:
    """Return a harness's arguments for a person to read, without credentials."""
    return shlex.join(arguments_without_credentials(arguments))


def others_message(name: str, value: object, directory: Path) -> str:
    """Return why a run does not go on with other settings than it was begun with."""
    return (
        f"expected the same {name} with which {directory} was begun, got"
        f" {'others' if name == 'arguments' else repr(value)}: repeat the same command,"
        " or use another directory"
    )
