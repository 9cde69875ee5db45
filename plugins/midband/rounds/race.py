"""A race in rounds: several candidates of one harness, until the question is settled."""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from midband.race_file import arguments_of
from midband.rounds.agent_run import AgentRun, Prepared, Ran, arguments_digest, others_message
from midband.rounds.collect import metric_found, plan_to_read_by
from midband.rounds.costs import Costs
from midband.rounds.earlier import EarlierRace, earlier_race
from midband.rounds.journal import RunJournal
from midband.rounds.process import Interrupt, last_lines
from midband.rounds.race_state import (
    RACE,
    RACE_JOURNAL,
    Lane,
    RaceListener,
    RaceRounds,
    RaceStanding,
    check_kept_race,
    folders,
    harness_plan,
    race_keeper,
)
from midband.rounds.run_settings import UNITS, RunSettings, check_attempts, rounds_text
from midband.rounds.state import MAX_BARREN
from midband_history import InputError, Metric, MidbandError
from midband_sampler import Plan

if TYPE_CHECKING:
    from midband.descriptors import Harness
    from midband_sampler.racing import RacePlan

# Rounds that the tasks of a candidate make as far as replays tell, unless the user says how many
# tasks a round has; where nothing tells, a round has this share of all tasks.
_ROUNDS = 10
_ROUND_SHARE = 0.02


@dataclass(frozen=True, kw_only=True)
class RaceSettings(RunSettings):
    """Settings of a race in rounds; all but the limits stay the same when it is resumed.

    `round_size` is the least number of tasks that a candidate runs in a round; `max_tasks` counts
    the tasks of all candidates, and `max_errors` sets a candidate apart.

    Parameters
    ----------
    parallel : int
        How many candidates run their rounds at the same time.
    """

    parallel: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parallel < 1:
            msg = f"expected parallel >= 1, got {self.parallel}"
            raise InputError(msg)
        if self.in_process:
            msg = "expected the harness's own command in a race, got in_process: leave it out"
            raise InputError(msg)


@dataclass(frozen=True, kw_only=True)
class RaceReport:
    """Result of a race.

    Parameters
    ----------
    standing : RaceStanding
    reason : str
        Why it ended, on one line.
    failed : bool
        Whether it ended for want of results.
    interrupted : bool
        Whether Ctrl-C ended it.
    last_lines : tuple of str
        How the output of a harness ended, where it failed.
    """

    standing: RaceStanding
    reason: str
    failed: bool = False
    interrupted: bool = False
    last_lines: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """130 interrupted, 1 failed, otherwise as the verdict says."""
        if self.interrupted:
            return 130
        return 1 if self.failed else self.standing.verdict.exit_code


@dataclass
class RaceDriver:
    """Runs the candidates of a race in rounds until it is over, a limit is reached, or Ctrl-C.

    Each candidate has a directory of its own with a journal, as a run of a single agent has. A new
    driver on the same directory tells the race what is there and continues. A candidate without
    results is set apart, and the others go on.

    Parameters
    ----------
    harness : Harness
    plan : RacePlan
        With tasks.
    directory : Path
        Of this race alone.
    settings : RaceSettings
    listener : RaceListener
    interrupt : Interrupt
    """

    harness: "Harness"
    plan: "RacePlan"
    directory: Path
    settings: RaceSettings
    listener: RaceListener
    interrupt: Interrupt = field(default_factory=Interrupt)

    def __post_init__(self) -> None:
        check_attempts(self.harness, self.settings.attempts)
        self._arguments = arguments_of(self.plan, self.settings.arguments)
        self.directory = self.directory.absolute()
        self._said: set[str] = set()

    def run(self) -> RaceReport:
        """Run until the end and say why it ended.

        Raises
        ------
        InputError
            The directory belongs to another race or other arguments, the harness refuses the
            arguments, a limit cannot be kept, or results are by another metric than the race's.
        MidbandError
            The harness is not there, or results are of other tasks or agents than planned.
        """
        check_kept_race(self.plan, self.directory)
        with self._opened(), self._keeper.minding():
            self._restore()
            if self._before is not None:
                self._bring(self._before)
            report = self._loop()
            self._keeper.end(report.reason, failed=report.failed, looks=self._rounds.look)
            return report

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Hold the journals of the race and of every candidate."""
        from midband_sampler.racing import Race

        with ExitStack() as stack:
            self._journal = stack.enter_context(closing(RunJournal(self.directory, RACE_JOURNAL)))
            stack.enter_context(self.interrupt.counting())
            self._plan = harness_plan(self.plan)
            self._before = self._earlier()
            self._read_by = self._metric_said()
            self._race = Race(self.plan, step=self._round_size(), order=self._order())
            self._lanes = [Lane(name, self._race, self.listener) for name in self.plan.candidates]
            self._rounds = RaceRounds(self._race, self._lanes, self.harness, self.settings)
            self._keeper = race_keeper(
                self.plan, self.harness, self.directory, note=self.listener.note
            )
            for lane, folder in zip(self._lanes, folders(self.plan.candidates), strict=True):
                journal = RunJournal(self.directory / folder)
                self._connect(lane, stack.enter_context(closing(journal)))
            yield

    def _connect(self, lane: Lane, journal: RunJournal) -> None:
        lane.keeper = self._keeper
        settings = replace(self.settings, arguments=self._arguments[lane.name])
        lane.costs = {
            unit: Costs(
                self._plan,
                lane.state,
                attempts=settings.attempts,
                elsewhere=partial(self._rounds.typical, unit),
                unit=unit,
            )
            for unit in UNITS
        }
        lane.run = AgentRun(
            harness=self.harness,
            plan=self._plan,
            settings=settings,
            journal=journal,
            state=lane.state,
            owner=lane,
            interrupt=self.interrupt,
            digest=self.plan.digest,
            read_by=self._by_metric,
        )

    def _earlier(self) -> EarlierRace | None:
        """Read the race that this one continues, at its first call."""
        begun, continues = self._journal.begun, self.settings.continues
        if continues is None or begun.get("continues"):
            return None
        return earlier_race(continues.absolute(), self.plan, note=self.listener.note)

    def _order(self) -> tuple[str, ...]:
        """Return the shared order that a race by a model continues with; else the seed draws it."""
        if self.plan.model is None:
            return ()
        order = self._journal.begun.get("order", ()) if self._before is None else self._before.order
        return tuple(task for task in order if task in self.plan.tasks)

    def _round_size(self) -> int:
        """Return the least number of tasks of a round: what the race was begun with, if it was."""
        begun, size = self._journal.begun.get("round_size"), self.settings.round_size
        if begun is not None and size not in (None, begun):
            raise InputError(others_message("round_size", size, self.directory))
        share = _ROUND_SHARE if math.isnan(self.plan.cost) else self.plan.cost / _ROUNDS
        return int(begun or size or math.ceil(share * len(self.plan.tasks)))

    def _metric_said(self) -> Plan:
        """Return the plan with the metric by which results are read, as far as it is known.

        Where no result of the history takes part, nobody needs to name the metric: all candidates
        are read by the one that the first results name.
        """
        begun, reading = self._journal.begun, self.settings.reading
        if self._plan.metric is None and not (reading.metric or begun.get("metric")):
            measured = begun.get("measured") or (self._before and self._before.measured)
            if measured:
                return replace(self._plan, metric=Metric(**measured))
            if self.plan.model is None and bool(np.isnan(self.plan.known).all()):
                return self._plan
        return plan_to_read_by(
            self._plan, self.harness, reading, begun=begun, note=self.listener.note
        )

    def _by_metric(self, results: Path) -> Plan:
        """Return the plan to read results by; the first to name a metric settle it for all."""
        if self._read_by.metric is None and self.plan.model is None:
            found = metric_found(
                self.harness, results, plan=self._read_by, reading=self.settings.reading
            )
            if found is not None:
                self._read_by = replace(self._read_by, metric=found)
                self._journal.write("run", {**self._header(), "measured": asdict(found)})
                self.listener.note(
                    f"the results are read by {found.label}, which the first of them name"
                )
        return self._read_by

    def _header(self) -> dict[str, object]:
        """Return what must not change during a race."""
        header: dict[str, object] = {
            "harness": self.harness.name,
            "plan": self.plan.digest,
            "arguments": arguments_digest(self.settings.arguments),
            "attempts": self.settings.attempts,
            "benchmark": self.settings.benchmark or self.plan.benchmark,
            "round_size": self._round_size(),
            "live": False,
        }
        if self._plan.metric is None and self.settings.reading.metric:
            header["metric"] = self.settings.reading.metric
        if self._before is not None:
            header |= {"continues": str(self.settings.continues), "order": [*self._order()]}
            header |= {"measured": self._before.measured} if self._before.measured else {}
        return header

    def _restore(self) -> None:
        """Tell the race what earlier calls have found; rounds that did not end are read."""
        for lane in self._lanes:
            lane.run.restore()
        if self._rounds.rounds:
            done = rounds_text(self._rounds.rounds)
            self.listener.note(f"continuing after {done} in {self.directory}")
        for lane in self._lanes:
            lane.run.finish_earlier()

    def _bring(self, before: EarlierRace) -> None:
        """Take in what the race before has paid for."""
        for lane in self._lanes:
            if lane.name in before.runs:
                tasks = lane.run.bring(before.runs[lane.name])
                self.listener.note(
                    f"{lane.name}: {tasks} tasks are known from {self.settings.continues}"
                )
        self._keep()

    def _loop(self) -> RaceReport:
        while True:
            self._set_apart()
            if self._race.done or self._left() < 2:
                return self._over()
            if self.interrupt.count:
                return self._report("interrupted", interrupted=True)
            batches, refusal = self._rounds.next_tasks()
            if not batches and any(lane.is_barren for lane in self._lanes if lane.apart is None):
                return self._give_up()
            if not batches:
                return self._report(refusal or "no task left to run")
            self._run_rounds(batches)
            self._compare_agents()
            self.listener.stands(self._rounds.standing())

    def _left(self) -> int:
        return sum(lane.apart is None for lane in self._lanes)

    def _set_apart(self) -> None:
        """Set candidates apart that go wrong, and leave nothing of them in the queue."""
        limit = self.settings.max_errors
        scored = any(lane.state.has_scores for lane in self._lanes)
        for lane in self._lanes:
            if lane.apart is None and limit is not None:
                why = limit.reason(results=lane.usable, judged=lane.judged)
                if why:
                    self._race.withdraw(lane.name, why)
            # Where nobody has a score the fault lies with what surrounds them all.
            if lane.apart is None and lane.is_barren and scored:
                why = f"{MAX_BARREN} rounds in a row brought no score"
                self._race.withdraw(lane.name, f"{why}, see {lane.run.last_directory()}")
        for lane in self._lanes:
            if lane.apart is not None:
                lane.state.waiting.clear()
                self._keep_apart(lane.name, lane.apart)
                self._say_once(f"{lane.name} is set apart: {lane.apart}")

    def _keep_apart(self, candidate: str, why: str) -> None:
        """Keep for reports who was set apart, which follows from limits that no journal has."""
        event = {"event": "apart", "candidate": candidate, "reason": why}
        if self._journal.begun and event not in self._journal.events:
            self._journal.write("apart", {"candidate": candidate, "reason": why})

    def _over(self) -> RaceReport:
        standing = self._rounds.standing()
        failed = self._left() < 2 and not standing.verdict.settled
        reason = "fewer than two candidates are left" if failed else standing.verdict.reason
        return self._report(reason, failed=failed)

    def _give_up(self) -> RaceReport:
        """End a race that brings nothing; another call tries again."""
        for lane in self._lanes:
            if lane.is_barren:
                lane.run.journal.write("stopped", {"reason": "no results"})
        names = ", ".join(lane.name for lane in self._lanes if lane.is_barren)
        why = f"{MAX_BARREN} rounds in a row of {names} brought no score"
        return self._report(f"{why}: see {self.directory}", failed=True)

    def _report(
        self, reason: str, *, failed: bool = False, interrupted: bool = False
    ) -> RaceReport:
        if self._journal.begun:
            end = {"reason": reason, "failed": failed, "interrupted": interrupted}
            self._journal.write("over", end)
        wrong = [lane for lane in self._lanes if lane.apart is not None or lane.is_barren]
        shown = [lane.run.last_directory() for lane in wrong if lane.run.journal.of("round")]
        return RaceReport(
            standing=self._rounds.standing(),
            reason=reason,
            failed=failed,
            interrupted=interrupted,
            last_lines=last_lines(shown[0]) if failed and shown else (),
        )

    def _run_rounds(self, batches: Mapping[str, tuple[str, ...]]) -> None:
        """Run a round of each of these candidates, and take in all that they bring.

        What goes wrong with one is raised once the others that run have ended.
        """
        lanes = [lane for lane in self._lanes if lane.name in batches]
        ready: list[tuple[Lane, Prepared]] = []
        try:
            for lane in lanes:
                ready.append((lane, lane.run.prepare(batches[lane.name])))
        except BaseException:
            for lane, prepared in ready:
                lane.run.discard(prepared)
            raise
        self._keep()
        doing = f"a round of {', '.join(lane.name for lane in lanes)}"
        self._keeper.look(self._rounds.look, doing=doing, now=True)
        problems: list[MidbandError] = []

        def carry_out(lane: Lane, prepared: Prepared) -> Ran | None:
            if problems or self.interrupt.count:
                lane.run.discard(prepared)
                return None
            lane.run.begin(prepared)
            return lane.run.carry_out(prepared)

        def take_in(each: tuple[Lane, Prepared], result: Callable[[], Ran | None]) -> None:
            try:
                ran = result()
                if ran is not None:
                    each[0].run.end(each[1], ran)
                    self._keeper.look(self._rounds.look)
            except MidbandError as problem:
                problems.append(problem)

        if self.settings.parallel == 1:
            for each in ready:
                take_in(each, partial(carry_out, *each))
        else:
            with ThreadPoolExecutor(max_workers=self.settings.parallel) as pool:
                running = {pool.submit(carry_out, *each): each for each in ready}
                for ended in as_completed(running):
                    take_in(running[ended], ended.result)
        if problems:
            raise problems[0]

    def _keep(self) -> None:
        """Keep the race beside its journal."""
        if not (self.directory / RACE).exists():
            self.plan.write(self.directory / RACE)
        header = self._header()
        if {**self._journal.begun, **header} != self._journal.begun:
            self._journal.write("run", {**self._journal.begun, **header})

    def _compare_agents(self) -> None:
        """Say where the results of two candidates name the same agent: a sign of a mistake."""
        seen: dict[str, str] = {}
        for lane in self._lanes:
            agent = lane.state.earlier.agent
            other = seen.setdefault(agent, lane.name)
            if agent and other != lane.name:
                self._say_once(
                    f"the results of {other} and {lane.name} name the same agent {agent}: check"
                    " that their arguments make them differ"
                )

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.listener.note(line)
