"""The loop of a run in rounds: ask, run the harness, read, decide, until there is a verdict."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._credentials import arguments_without_credentials
from midband._harness import Round
from midband.choices import read_plan
from midband.rounds._budget import Budget
from midband.rounds._execution import Execution
from midband.rounds._interrupt import Interrupt
from midband.rounds._journal import Journal
from midband.rounds._metrics import plan_to_read_by, reading_by
from midband.rounds._process import last_lines, wait_for_earlier
from midband.rounds._report import Listener, RunReport, Standing
from midband.rounds._results import INTERRUPTED, RoundEnd, collect
from midband.rounds._settings import RunSettings
from midband.rounds._state import MAX_BARREN, RunState
from midband.rounds._subset import check_attempts, named
from midband_history import InputError, MidbandError
from midband_sampler import Plan

if TYPE_CHECKING:
    from midband._harness import Harness

PLAN = "plan.json"
_SHARE = 10


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
        self._budget = Budget(self.plan, self.settings)
        self._execution = Execution(self.harness, self.settings, self.interrupt, self.listener.note)
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
        with Journal(self.directory) as journal, self.interrupt:
            live = self._live(journal.events)
            begun = [event for event in journal.events if event["event"] == "run"]
            self._read_by = plan_to_read_by(
                self.plan,
                self.harness,
                self.settings.reading,
                begun=begun[-1] if begun else {},
                note=self.listener.note,
            )
            self._state = RunState(self.plan, live=live, max_errors=self.settings.max_errors)
            self._journal = journal
            self._restore()
            report = self._loop(live)
        if not (report.failed or report.interrupted):
            decision, source = report.standing.decision, self.directory
            self._tell_plugins("midband_run_finished", decision=decision, source=source)
        return report

    def standing(self) -> Standing:
        """Return where the run stands."""
        state = self._state
        decision = state.session.decision()
        planned = self.plan.tasks[: decision.tasks_planned]
        ahead = [task for task in planned if not state.was_tried(task)]
        return Standing(
            decision=decision,
            rounds=state.rounds,
            tasks=state.tasks,
            recorded_usd=self._budget.recorded_usd(state),
            spent_usd=self._budget.spent_usd(state),
            remaining_usd=0.0 if decision.stop else self._budget.expected_usd(ahead, state),
            without_result=tuple(state.without_result),
        )

    def _check_plan(self) -> None:
        self.plan.check_single()
        kept = self.directory / PLAN
        if kept.exists() and read_plan(kept).digest != self.plan.digest:
            msg = (
                f"expected plan {read_plan(kept).digest}, with which {self.directory} was begun,"
                f" got {self.plan.digest}: use that plan or another directory"
            )
            raise InputError(msg)

    def _live(self, events: list[dict[str, Any]]) -> bool:
        """Whether tasks are chosen live: calibrated for a choice after each result, not a batch."""
        begun = [event["live"] for event in events if event["event"] == "run"]
        if begun:
            return bool(begun[0])
        live = self.plan.chooses_live and self.settings.round_size == 1
        if self.plan.chooses_live and not live:
            self.listener.note(
                f"the strategy {self.plan.strategy} chooses after every result: rounds of several"
                " tasks follow the plan's fixed order (--round-size 1 chooses live)"
            )
        return live

    def _restore(self) -> None:
        """Take in the rounds of the journal; one that did not end is read, and ended."""
        unfinished: dict[str, Any] | None = None
        steps = 0
        for number, event in enumerate(self._journal.events, start=1):
            try:
                unfinished, steps = self._take(event, unfinished, steps)
            except (MidbandError, ValueError) as error:
                found = f"what does not fit ({' '.join(str(error).split())})"
                raise self._journal.damaged(number, found) from error
        if self._state.has_scores or unfinished is not None:
            self._check_same()
        if self._state.rounds:
            self.listener.note(f"going on after {self._state.rounds} rounds in {self.directory}")
        if unfinished is not None:
            self._finish_earlier(unfinished, steps)

    def _take(
        self, event: dict[str, Any], unfinished: dict[str, Any] | None, steps: int
    ) -> tuple[dict[str, Any] | None, int]:
        """Take in an event; return the round that is open after it, and its next step."""
        kind = event["event"]
        if kind == "round":
            strange = sorted(set(event["tasks"]) - set(self.plan.all_tasks))
            if strange:
                msg = f"a round with {strange[0]!r:.40}, which is no task of the plan"
                raise InputError(msg)
            self._state.replay(tuple(event["tasks"]))
            return event, 0
        if kind == "stopped":
            self._state.forgive()
        if kind not in ("step", "ended", "withdrawn"):
            return unfinished, steps
        if unfinished is None:
            msg = f"the event {kind!r} without a round that is open"
            raise InputError(msg)
        if kind == "step":
            return unfinished, event["step"] + 1
        if kind == "withdrawn":
            self._state.waiting.extend(unfinished["tasks"])
            return None, steps
        end = RoundEnd.from_dict(event["round"])
        if (end.name, list(end.tasks)) != (unfinished["name"], unfinished["tasks"]):
            msg = f"the end of another round than {unfinished['name']}"
            raise InputError(msg)
        for note in end.notes:
            self.listener.note(f"{end.name}: {note}")
        self._state.take(end, attempts=event["attempts"])
        return None, steps

    def _check_same(self) -> None:
        begun = [event for event in self._journal.events if event["event"] == "run"][-1]
        for name, value in self._header().items():
            # midband 0.1 kept the digest of all arguments, credentials among them.
            old = _digest(self.settings.arguments) if name == "arguments" else value
            if begun[name] not in (value, old):
                msg = (
                    f"expected the same {name} with which {self.directory} was begun, got"
                    f" {'others' if name == 'arguments' else repr(value)}: repeat the same command,"
                    " or use another directory"
                )
                raise InputError(msg)

    def _header(self) -> dict[str, object]:
        """Return what must not change during a run.

        Of the arguments only a digest is kept. Credentials are not part of it: a key may be
        replaced while a run goes on.
        """
        return {
            "harness": self.harness.name,
            "plan": self.plan.digest,
            "arguments": _digest(arguments_without_credentials(self.settings.arguments)),
            "attempts": self.settings.attempts,
            "benchmark": self.settings.benchmark or self.plan.benchmark,
        }

    def _loop(self, live: bool) -> RunReport:
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
            tasks, refusal = self._next_tasks()
            if not tasks:
                return self._report(refusal or "no task left to run")
            self._run_round(tasks, live)

    def _report(self, reason: str, *, failed: bool = False, interrupted: bool = False) -> RunReport:
        return RunReport(
            standing=self.standing(),
            reason=reason,
            failed=failed,
            interrupted=interrupted,
            last_lines=last_lines(self._last_directory()) if failed else (),
        )

    def _next_tasks(self) -> tuple[tuple[str, ...], str]:
        """Return the tasks of the next round, and why there are not more of them."""
        state, budget = self._state, self._budget
        if budget.is_unknown(state):
            self._refuse_unknown_costs()
        size = self._round_size()
        alone = state.alone()
        if alone is not None:
            refusal = budget.refusal([], alone, state)
            return (() if refusal else (alone,)), refusal
        again = [task for task in state.waiting if state.was_tried(task)][:size]
        left = [task for task in state.waiting if task not in again]
        chosen: list[str] = []
        # At least one new task beside those tried before: one that never ends must not stand
        # in the way of the rest.
        while len(chosen) < max(size, len(again) + 1):
            task = again[len(chosen)] if len(chosen) < len(again) else None
            if task is None:
                task = left.pop(0) if left else state.ask()
            if task is None:
                return tuple(chosen), ""
            refusal = budget.refusal(chosen, task, state)
            if refusal:
                if task not in state.waiting:
                    state.waiting.append(task)
                return tuple(chosen), refusal
            chosen.append(task)
        return tuple(chosen), ""

    def _round_size(self) -> int:
        if self.settings.round_size is not None:
            return self.settings.round_size
        planned = self._state.session.decision().tasks_planned
        size = -(-planned // _SHARE)
        return size if self._state.has_scores else max(size, self.plan.stop.min_tasks)

    def _refuse_unknown_costs(self) -> None:
        hint = "leave out --max-usd and use --max-tasks"
        if not self.harness.capabilities.costs:
            got = f"a history without costs and {self.harness.name}, which records none"
        elif self._state.rounds:
            got = f"none in the results of {self._state.rounds} rounds"
        else:
            return
        msg = f"expected costs to keep --max-usd by, got {got}: {hint}"
        raise InputError(msg)

    def _run_round(self, tasks: tuple[str, ...], live: bool) -> None:
        self._execution.make_ready()
        batch = self._batch(tasks, self._free_name())
        command = self._execution.prepare(batch)
        self._begin_journal(live)
        results = batch.directory if command is None else command.results
        start = {"name": batch.name, "tasks": tasks, "results": self._stored(results)}
        self._journal.write("round", start)
        self._state.begin(tasks)
        self.listener.round_started(batch, self.standing())
        try:
            done = self._execution.run(batch, command, starts=self._step_starts)
        except MidbandError:
            if self._journal.events[-1].get("step", 0) == 0:  # refused before anything was run
                self._journal.write("withdrawn", {})
            raise
        end = RoundEnd(name=batch.name, tasks=tasks, status=done.status, codes=done.codes)
        self._end(end, done.results)

    def _step_starts(self, number: int) -> None:
        self._journal.write("step", {"step": number})

    def _free_name(self) -> str:
        number = sum(event["event"] == "round" for event in self._journal.events)
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

    def _begin_journal(self, live: bool) -> None:
        header = {**self._header(), "live": live}
        if self.plan.metric is None and self._read_by.metric is not None:
            header["metric"] = self._read_by.metric.label
        begun = [event for event in self._journal.events if event["event"] == "run"]
        if not begun:
            self.plan.write(self.directory / PLAN)
        if not begun or header.items() - begun[-1].items():
            self._journal.write("run", header)

    def _finish_earlier(self, start: Mapping[str, Any], steps: int) -> None:
        """End a round that was left open: wait for its processes, run its later steps, read it."""
        batch = self._batch(tuple(start["tasks"]), start["name"])
        if not wait_for_earlier(
            batch.directory,
            timeout=self.settings.timeout,
            interrupt=self.interrupt,
            note=lambda line: self.listener.note(f"{batch.name} {line}"),
        ):
            return
        codes = self._execution.run_rest(batch, first=steps, starts=self._step_starts)
        end = RoundEnd(name=batch.name, tasks=batch.tasks, status=INTERRUPTED, codes=codes)
        self.listener.note(f"{batch.name} was left open: reading what it brought")
        self._end(end, self.directory / start["results"])

    def _end(self, end: RoundEnd, results: Path) -> None:
        """Read a round and take it in.

        One that a second Ctrl-C ended stays open in the journal: the next call reads what is
        there and runs the rest.
        """
        found = collect(
            self.harness,
            results,
            end,
            plan=self._read_by,
            known=self._state.known,
            options=reading_by(self._read_by, self.settings.reading),
            named=self.plan.metric is None or bool(self.settings.reading.metric),
            allow_changed=self.settings.allow_changed,
        )
        attempts = self.settings.attempts
        stays_open = end.status == INTERRUPTED and self.interrupt.count > 1
        if not stays_open:
            self._journal.write("ended", {"round": found.to_dict(), "attempts": attempts})
        told = self._state.take(found, attempts=attempts)
        if not stays_open:
            for result in told:
                task, score = result.task, result.score
                self._tell_plugins("midband_result_recorded", task_id=task, score=score)
        self.listener.round_ended(found, self.standing())

    def _stored(self, results: Path) -> str:
        """Return a path as the journal keeps it: one in the directory moves with it."""
        inside = results.absolute()
        if inside.is_relative_to(self.directory):
            return str(inside.relative_to(self.directory))
        return str(inside)

    def _last_directory(self) -> Path:
        names = [event["name"] for event in self._journal.events if event["event"] == "round"]
        return self.directory / str(names[-1])

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
