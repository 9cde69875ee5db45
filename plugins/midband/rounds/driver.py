"""The loop of a run in rounds: ask, run the harness, read, decide, until there is a verdict."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from midband.choices import read_plan
from midband.rounds.agent_run import PLAN, AgentRun
from midband.rounds.collect import plan_to_read_by
from midband.rounds.earlier import earlier_run
from midband.rounds.journal import AttemptResult, RoundEnd, RunJournal
from midband.rounds.process import Interrupt, last_lines
from midband.rounds.run_settings import (
    Listener,
    RunReport,
    RunSettings,
    check_attempts,
    rounds_text,
)
from midband.rounds.state import MAX_BARREN, RoundPlanner, RunState
from midband.view import Look, StateKeeper, look_at_decision
from midband_history import InputError
from midband_sampler import Plan, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midband.descriptors import Harness, Round


@dataclass
class RoundDriver:
    """Runs a harness in rounds until the session has decided, a limit is reached, or Ctrl-C.

    Everything it knows is in the directory: a new driver on the same directory continues where the
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
        self.plan.check_single()
        check_kept_plan(self.plan, self.directory)
        with closing(RunJournal(self.directory)) as journal, self.interrupt.counting():
            self._keeper = self._new_keeper()
            live = self._chooses_live(journal)
            session = Session(self.plan, live=live, max_errors=self.settings.max_errors)
            self._session = session
            self._state = RunState(self, self.plan.all_tasks, live=live)
            self._planner = RoundPlanner(
                self.plan, self.harness, self.settings, self._state, session
            )
            read_by = plan_to_read_by(
                self.plan,
                self.harness,
                self.settings.reading,
                begun=journal.begun,
                note=self.note,
            )
            self._run = AgentRun(
                harness=self.harness,
                plan=self.plan,
                settings=self.settings,
                journal=journal,
                state=self._state,
                owner=self,
                interrupt=self.interrupt,
                digest=self.plan.digest,
                live=live,
                read_by=lambda results: read_by,
                metric=read_by.metric.label if self.plan.metric is None and read_by.metric else "",
            )
            with self._keeper.minding():
                self._run.restore()
                if self._state.rounds:
                    rounds = rounds_text(self._state.rounds)
                    self.note(f"continuing after {rounds} in {self.directory}")
                self._run.finish_earlier()
                self._bring()
                report = self._loop()
            self._keeper.end(report.reason, failed=report.failed, looks=self._look)
        if not (report.failed or report.interrupted):
            decision, source = report.standing.decision, self.directory
            self._tell_plugins("midband_run_finished", decision=decision, source=source)
        return report

    def _new_keeper(self) -> StateKeeper:
        return StateKeeper(
            kind="run",
            key=str(self.directory),
            harness=self.harness.name,
            benchmark=self.plan.benchmark,
            agents=(),
            plan_digest=self.plan.digest,
            directory=self.directory,
            note=self.listener.note,
        )

    def _look(self) -> Look:
        standing, agent = self._planner.standing(), self._state.earlier.agent
        return look_at_decision(standing.decision, agent=agent, spent_usd=standing.spent_usd)

    def _bring(self) -> None:
        """Take in what the run that this one continues has paid for."""
        continues = self.settings.continues
        if continues is None or self._run.journal.of("known"):
            return
        earlier = earlier_run(continues.absolute(), benchmark=self.plan.benchmark, note=self.note)
        self.note(f"{self._run.bring(earlier.ordered(self.plan))} tasks are known from {continues}")

    def _chooses_live(self, journal: RunJournal) -> bool:
        """Whether tasks are chosen live: calibrated for a choice after each result, not a batch."""
        if journal.begun:
            return bool(journal.begun["live"])
        live = self.plan.chooses_live and self.settings.round_size == 1
        if self.plan.chooses_live and not live:
            self.note(
                f"the strategy {self.plan.strategy} chooses after every result: rounds of several"
                " tasks follow the plan's fixed order (--round-size 1 chooses live)"
            )
        return live

    def _loop(self) -> RunReport:
        while True:
            decision = self._session.decision()
            if decision.stop:
                return self._report(decision.reason, failed=decision.too_many_errors)
            if self.interrupt.count:
                return self._report("interrupted", interrupted=True)
            if self._state.barren >= MAX_BARREN:
                self._run.journal.write("stopped", {"reason": "no results"})
                rounds = f"{MAX_BARREN} rounds in a row brought no score"
                return self._report(f"{rounds}: see {self._run.last_directory()}", failed=True)
            tasks, refusal = self._planner.next_tasks()
            if not tasks:
                return self._report(refusal or "no task left to run")
            self._run.run_round(tasks)

    def _report(self, reason: str, *, failed: bool = False, interrupted: bool = False) -> RunReport:
        return RunReport(
            standing=self._planner.standing(),
            reason=reason,
            failed=failed,
            interrupted=interrupted,
            last_lines=last_lines(self._run.last_directory()) if failed else (),
        )

    def next_task(self) -> str | None:
        """Ask the session."""
        return next(iter(self._session.ask(1)), None)

    def starts(self, task: str) -> None:
        """Tell the session that a task is run."""
        self._session.start(task)

    def told(self, task: str, results: "Sequence[AttemptResult]") -> None:
        """Tell the session every attempt."""
        for result in results:
            self._session.tell(
                task,
                score=result.score,
                outcome=result.kind,
                usd=result.cost_usd,
                seconds=result.seconds,
                tokens=result.tokens,
            )

    def begun(self, batch: "Round") -> None:
        """Keep the plan beside the journal, and say what runs."""
        if not (self.directory / PLAN).exists():
            self.plan.write(self.directory / PLAN)
        self.listener.round_started(batch, self._planner.standing())
        tasks = "1 task" if len(batch.tasks) == 1 else f"{len(batch.tasks)} tasks"
        self._keeper.look(self._look, doing=f"{batch.name} runs {tasks}", now=True)

    def ended(self, end: RoundEnd) -> None:
        """Say what a round brought."""
        self.listener.round_ended(end, self._planner.standing())
        self._keeper.look(self._look, doing="", now=True)

    def recorded(self, result: AttemptResult) -> None:
        """Tell the observers among the plugins."""
        self._keeper.result("", result.task, result.score, result.kind)
        self._tell_plugins("midband_result_recorded", task_id=result.task, score=result.score)

    def note(self, line: str) -> None:
        """Say a line."""
        self.listener.note(line)
        self._keeper.say(line)

    def _tell_plugins(self, hook: str, **arguments: object) -> None:
        """Tell observers; one that fails is named once and does not end the run."""
        from midband._manager import get_plugin_manager

        try:
            getattr(get_plugin_manager().hook, hook)(plan=self.plan, **arguments)
        except Exception as error:
            line = f"a plugin failed in {hook}: {type(error).__name__}: {error}"
            if line not in self._failures:
                self._failures.add(line)
                self.note(line)


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
