"""The loop of a run in rounds: ask, run the harness, read, decide, until there is a verdict."""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from midband.choices import read_plan
from midband.descriptors import Round
from midband.rounds.collect import collect, plan_to_read_by
from midband.rounds.journal import FAILED, FINISHED, INTERRUPTED, RoundEnd, RunJournal
from midband.rounds.process import OUTPUT, Interrupt, last_lines, run_steps, wait_for_earlier
from midband.rounds.run_settings import Listener, RunReport, RunSettings, check_attempts, named
from midband.rounds.state import MAX_BARREN, RoundPlanner, RunState
from midband.text import arguments_without_credentials
from midband_history import InputError, MidbandError
from midband_sampler import Plan

if TYPE_CHECKING:
    from midband.descriptors import Command, Harness, InProcessHarness, RoundRunner

PLAN = "plan.json"


@dataclass
class RoundDriver:
    """Runs a harness in rounds until the session has decided, a limit is reached, or Ctrl-C.

    Everything it knows is in the directory: a new driver on the same directory goes on where the
    last one was, however that ended.

    Parameters
    ----------
    harness : Harness
    plan : Plan
    directory : Path
        Of this run alone.
    settings : RunSettings
    listener : Listener
    interrupt : Interrupt
    """

    harness: "Harness"
    plan: Plan
    directory: Path
    settings: RunSettings
    listener: Listener
    interrupt: Interrupt = field(default_factory=Interrupt)

    def __post_init__(self) -> None:
        check_attempts(self.harness, self.settings.attempts)
        if self.settings.in_process and not self.harness.capabilities.in_process:
            name = self.harness.name
            msg = f"expected a harness that runs in process, got {name}: leave out --in-process"
            raise InputError(msg)
        self.directory = self.directory.absolute()
        self._runner: RoundRunner | None = None
        self._ready = False
        self._failures: set[str] = set()

    def run(self) -> RunReport:
        """Run until the end and say why it ended.

        Raises
        ------
        InputError
            The directory belongs to another plan or other arguments, the harness refuses the
            arguments, a limit cannot be kept, or results are by another metric than the plan's.
        MidbandError
            The harness is not there, or results are of other tasks or agents than planned.
        """
        self._check_plan()
        with closing(RunJournal(self.directory)) as journal, self.interrupt.counting():
            self._journal = journal
            self._live = self._chooses_live()
            self._read_by = plan_to_read_by(
                self.plan,
                self.harness,
                self.settings.reading,
                begun=journal.begun,
                note=self.listener.note,
            )
            self._state = RunState(self.plan, live=self._live, max_errors=self.settings.max_errors)
            self._planner = RoundPlanner(self.plan, self.harness, self.settings, self._state)
            self._restore()
            report = self._loop()
        if not (report.failed or report.interrupted):
            decision, source = report.standing.decision, self.directory
            self._tell_plugins("midband_run_finished", decision=decision, source=source)
        return report

    def _check_plan(self) -> None:
        self.plan.check_single()
        check_kept_plan(self.plan, self.directory)

    def _chooses_live(self) -> bool:
        """Whether tasks are chosen live: calibrated for a choice after each result, not a batch."""
        if self._journal.begun:
            return bool(self._journal.begun["live"])
        live = self.plan.chooses_live and self.settings.round_size == 1
        if self.plan.chooses_live and not live:
            self.listener.note(
                f"the strategy {self.plan.strategy} chooses after every result: rounds of several"
                " tasks follow the plan's fixed order (--round-size 1 chooses live)"
            )
        return live

    def _restore(self) -> None:
        """Take in the rounds of the journal; one that did not end is read, and ended."""
        state = self._state
        for number, event in enumerate(self._journal.events, start=1):
            try:
                state.restore(event, self.listener.note)
            except (MidbandError, ValueError) as error:
                found = f"what does not fit ({' '.join(str(error).split())})"
                raise self._journal.damaged(number, found) from error
        if state.has_scores or state.open_round is not None:
            self._check_same()
        if state.rounds:
            self.listener.note(f"going on after {state.rounds} rounds in {self.directory}")
        if state.open_round is not None:
            self._finish_earlier(state.open_round, state.next_step)

    def _check_same(self) -> None:
        for name, value in self._header().items():
            # midband 0.1 kept the digest of all arguments, credentials among them.
            old = _digest(self.settings.arguments) if name == "arguments" else value
            if self._journal.begun[name] not in (value, old):
                raise InputError(others_message(name, value, self.directory))

    def _header(self) -> dict[str, object]:
        """Return what must not change during a run.

        Of the arguments only a digest is kept. Credentials are not part of it: a key may be
        replaced while a run goes on.
        """
        return {
            "harness": self.harness.name,
            "plan": self.plan.digest,
            "arguments": arguments_digest(self.settings.arguments),
            "attempts": self.settings.attempts,
            "benchmark": self.settings.benchmark or self.plan.benchmark,
        }

    def _loop(self) -> RunReport:
        while True:
            decision = self._state.session.decision()
            if decision.stop:
                return self._report(decision.reason, failed=decision.too_many_errors)
            if self.interrupt.count:
                return self._report("interrupted", interrupted=True)
            if self._state.barren >= MAX_BARREN:
                self._journal.write("stopped", {"reason": "no results"})
                rounds = f"{MAX_BARREN} rounds in a row brought no score"
                return self._report(f"{rounds}: see {self._last_directory()}", failed=True)
            tasks, refusal = self._planner.next_tasks()
            if not tasks:
                return self._report(refusal or "no task left to run")
            self._run_round(tasks)

    def _report(self, reason: str, *, failed: bool = False, interrupted: bool = False) -> RunReport:
        return RunReport(
            standing=self._planner.standing(),
            reason=reason,
            failed=failed,
            interrupted=interrupted,
            last_lines=last_lines(self._last_directory()) if failed else (),
        )

    def _run_round(self, tasks: tuple[str, ...]) -> None:
        if not self._ready:
            self._make_ready()
        batch = self._batch(tasks, self._free_name())
        command = self._prepare(batch)
        self._begin_journal()
        results = (batch.directory if command is None else command.results).absolute()
        if results.is_relative_to(self.directory):  # it moves with the directory
            results = results.relative_to(self.directory)
        start = {"name": batch.name, "tasks": tasks, "results": str(results)}
        self._journal.write("round", start)
        self._state.begin(tasks)
        self.listener.round_started(batch, self._planner.standing())
        codes: tuple[int, ...] = ()
        try:
            if command is None:
                status, found = self._call(batch)
            else:
                status, codes = self._steps(batch, command)
                found = command.results
        except MidbandError:
            if self._journal.events[-1].get("step", 0) == 0:  # refused before anything was run
                self._journal.write("withdrawn", {})
            raise
        self._end(RoundEnd(name=batch.name, tasks=tasks, status=status, codes=codes), found)

    def _make_ready(self) -> None:
        """Look for the harness, or load it into this process, before the first round."""
        if self.settings.in_process:
            with redirect_stdout(sys.stderr):
                harness = cast("InProcessHarness", self.harness)
                self._runner = harness.start(self.settings.arguments)
        else:
            problem = self.harness.probe().problem
            if problem:
                raise MidbandError(problem)
        self._ready = True

    def _prepare(self, batch: Round) -> "Command | None":
        """Write the subset and return the command, None in this process.

        Nothing is left of a round that is refused or whose program is not there.
        """
        batch.directory.mkdir()
        try:
            self.harness.write_subset(batch.plan, batch.directory, tasks=batch.tasks)
            return None if self.settings.in_process else self._command(batch)
        except BaseException:
            shutil.rmtree(batch.directory)
            raise

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
            starts=lambda number: self._journal.write("step", {"step": number}),
            note=lambda line: self.listener.note(f"{batch.name} {line}"),
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
        number = len(self._journal.of("round"))
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

    def _begin_journal(self) -> None:
        header = {**self._header(), "live": self._live}
        if self.plan.metric is None and self._read_by.metric is not None:
            header["metric"] = self._read_by.metric.label
        begun = self._journal.begun
        if not begun:
            self.plan.write(self.directory / PLAN)
        if header.items() - begun.items():
            self._journal.write("run", header)

    def _finish_earlier(self, begun: dict[str, Any], step: int) -> None:
        """End a round that was left open: wait for its processes, run its later steps, read it."""
        batch = self._batch(tuple(begun["tasks"]), begun["name"])
        if not wait_for_earlier(
            batch.directory,
            timeout=self.settings.timeout,
            interrupt=self.interrupt,
            note=lambda line: self.listener.note(f"{batch.name} {line}"),
        ):
            return
        codes: tuple[int, ...] = ()
        if not self.settings.in_process:
            _, codes = self._steps(batch, self._command(batch), first=step)
        end = RoundEnd(name=batch.name, tasks=batch.tasks, status=INTERRUPTED, codes=codes)
        self.listener.note(f"{batch.name} was left open: reading what it brought")
        self._end(end, self.directory / begun["results"])

    def _end(self, end: RoundEnd, results: Path) -> None:
        """Read a round and take it in.

        One that a second Ctrl-C ended stays open in the journal: the next call reads what is
        there and runs the rest.
        """
        attempts, reading = self.settings.attempts, self.settings.reading
        found = collect(
            self.harness,
            results,
            end,
            plan=self._read_by,
            earlier=self._state.earlier,
            reading=reading,
            named=self.plan.metric is None or bool(reading.metric),
            allow_changed=self.settings.allow_changed,
        )
        stays_open = end.status == INTERRUPTED and self.interrupt.count > 1
        if not stays_open:
            self._journal.write("ended", {"round": asdict(found), "attempts": attempts})
        for result in self._state.take(found, attempts=attempts):
            if not stays_open:
                task, score = result.task, result.score
                self._tell_plugins("midband_result_recorded", task_id=task, score=score)
        self.listener.round_ended(found, self._planner.standing())

    def _last_directory(self) -> Path:
        return self.directory / str(self._journal.of("round")[-1]["name"])

    def _tell_plugins(self, hook: str, **arguments: object) -> None:
        """Tell observers; one that fails is named once and does not end the run."""
        from midband._manager import get_plugin_manager

        try:
            getattr(get_plugin_manager().hook, hook)(plan=self.plan, **arguments)
        except Exception as error:
            line = f"a plugin failed in {hook}: {type(error).__name__}: {error}"
            if line not in self._failures:
                self._failures.add(line)
                self.listener.note(line)


def _digest(arguments: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(arguments)).encode()).hexdigest()[:16]


def arguments_digest(arguments: Sequence[str]) -> str:
    """Return the digest of a harness's arguments without credentials."""
    return _digest(arguments_without_credentials(arguments))


def check_kept_plan(plan: Plan, directory: Path) -> None:
    """Refuse another plan than the one with which the run in `directory` was begun.

    Raises
    ------
    InputError
        It is another one.
    """
    kept = directory / PLAN
    begun = read_plan(kept).digest if kept.exists() else plan.digest
    if begun != plan.digest:
        msg = (
            f"expected plan {begun}, with which {directory.absolute()} was begun, got"
            f" {plan.digest}: use that plan or another directory"
        )
        raise InputError(msg)


def others_message(name: str, value: object, directory: Path) -> str:
    """Return why a run does not go on with other settings than it was begun with."""
    return (
        f"expected the same {name} with which {directory} was begun, got"
        f" {'others' if name == 'arguments' else repr(value)}: repeat the same command,"
        " or use another directory"
    )
