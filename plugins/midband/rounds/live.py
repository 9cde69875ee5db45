"""A run that is one round: the harness asks for each next task while it runs."""

import math
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._ranking import LiveOrder, rank_records
from midband.descriptors import Round
from midband.rounds.agent_run import PLAN, arguments_digest, others_message, shown_arguments
from midband.rounds.collect import plan_to_read_by, reading_by
from midband.rounds.driver import check_kept_plan
from midband.rounds.journal import FINISHED, INTERRUPTED, TIMED_OUT, RunJournal
from midband.rounds.process import Interrupt, last_lines, run_steps, wait_for_earlier
from midband.rounds.run_settings import (
    UNITS,
    LiveSettings,
    RunReport,
    RunSettings,
    Standing,
    amount_text,
)
from midband_history import InputError, MidbandError
from midband_sampler import Plan, Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midband.descriptors import Command
    from midband.rounds.run_settings import Listener, LiveHarness
    from midband_history import Record
    from midband_sampler import Decision

ORDER = "order.jsonl"
LOGS = "logs"


@dataclass
class LiveDriver:
    """Runs a harness that stops by itself, once, and reads its verdict from what it logged.

    Everything it knows is in the directory. A run that ended before its time is gone on with by
    the harness's own means, so that nothing that has a result is run again.

    Parameters
    ----------
    harness : LiveHarness
    plan : Plan
    directory : Path
        Of this run alone.
    settings : RunSettings
    listener : Listener
    interrupt : Interrupt
    """

    harness: "LiveHarness"
    plan: Plan
    directory: Path
    settings: RunSettings
    listener: "Listener"
    interrupt: Interrupt = field(default_factory=Interrupt)

    def __post_init__(self) -> None:
        self._refuse_what_cannot_be_kept()
        self.directory = self.directory.absolute()

    def run(self) -> RunReport:
        """Run until the harness ends and say why it ended.

        Raises
        ------
        InputError
            The directory belongs to another plan or other arguments, or the harness refuses the
            arguments.
        MidbandError
            The harness is not there, or results are of other tasks or agents than planned.
        """
        self.plan.check_single()
        check_kept_plan(self.plan, self.directory)
        with closing(RunJournal(self.directory)) as journal, self.interrupt.counting():
            self._journal = journal
            self._read_by = plan_to_read_by(
                self.plan,
                self.harness,
                self.settings.reading,
                begun=journal.begun,
                note=self.listener.note,
            )
            return self._run()

    def _refuse_what_cannot_be_kept(self) -> None:
        settings, name = self.settings, self.harness.name
        reading = settings.reading
        refused = {
            "--round-size": (settings.round_size is not None, "leave it out"),
            "--in-process": (settings.in_process, "leave it out"),
            "--from": (settings.continues is not None, "import its logs into the history"),
            "--benchmark": (settings.benchmark is not None, "leave it out"),
            "--scale": (reading.scale is not None, "state it with midband history metric"),
            "--lower-is-better": (
                bool(reading.lower_is_better),
                "state it with midband history metric",
            ),
            "--errors": (reading.errors != type(reading)().errors, "leave it out"),
        }
        for option, (given, hint) in refused.items():
            if given:
                msg = (
                    f"expected no {option} with {name}, got it: a run that asks for each task"
                    f" cannot keep it, {hint}"
                )
                raise InputError(msg)

    def _run(self) -> RunReport:
        earlier = self._journal.of("round")
        if earlier and not wait_for_earlier(
            self.directory / str(earlier[-1]["name"]),
            timeout=self.settings.timeout,
            interrupt=self.interrupt,
            note=lambda line: self.listener.note(f"{earlier[-1]['name']} {line}"),
        ):
            return self._report("interrupted", interrupted=True)
        status = self.harness.live_status(self.directory / LOGS)
        if status:
            self._check_same()
        if status == FINISHED:
            return self._ended()
        problem = self.harness.probe().problem
        if problem:
            raise MidbandError(problem)
        batch = self._batch()
        command = self._command(batch)
        batch.directory.mkdir()
        if status:
            self.listener.note(
                f"continuing in {self.directory}, whose log is unfinished ({status})"
            )
        self._begin(batch)
        self.listener.round_started(batch, self._standing())
        end, _ = run_steps(
            batch.directory,
            command.steps,
            environment=command.environment,
            timeout=self.settings.timeout,
            interrupt=self.interrupt,
            starts=lambda number: self._journal.write("step", {"step": number}),
            note=lambda line: self.listener.note(f"{batch.name} {line}"),
        )
        return self._ended(end, batch)

    def _batch(self) -> Round:
        number = len(self._journal.of("round"))
        while (self.directory / f"r{number:03d}").exists():
            number += 1
        name = f"r{number:03d}"
        return Round(
            plan=self.plan,
            tasks=self.plan.tasks,
            directory=self.directory / name,
            name=name,
            attempts=self.settings.attempts,
            arguments=self.settings.arguments,
        )

    def _command(self, batch: Round) -> "Command":
        metric = self._read_by.metric if self.plan.metric is None else None
        live = LiveSettings(
            plan=self.directory / PLAN,
            logs=self.directory / LOGS,
            order=self.directory / ORDER,
            max_tasks=self.settings.max_tasks,
            max_errors=self.settings.max_errors,
            metric=None if metric is None else metric.label,
            allow_changed=self.settings.allow_changed,
            limits=self.settings.limits,
        )
        return self.harness.build_live_command(batch, live)

    def _header(self) -> dict[str, object]:
        """Return what must not change during a run; the limits are kept in the harness's log."""
        most = self.settings.max_errors
        return {
            "harness": self.harness.name,
            "plan": self.plan.digest,
            "arguments": arguments_digest(self.settings.arguments),
            "attempts": self.settings.attempts,
            "max_tasks": self.settings.max_tasks,
            **{f"max_{unit}": self.settings.limits.get(unit) for unit in UNITS},
            "max_errors": None if most is None else str(most),
        }

    def _check_same(self) -> None:
        for name, value in self._header().items():
            if self._journal.begun.get(name) != value:
                raise InputError(others_message(name, value, self.directory))

    def _begin(self, batch: Round) -> None:
        words = shown_arguments(self.settings.arguments)
        header = {**self._header(), "benchmark": self.plan.benchmark, "live": True, "words": words}
        if self.plan.metric is None and self._read_by.metric is not None:
            header["metric"] = self._read_by.metric.label
        begun = self._journal.begun
        if not begun:
            self.plan.write(self.directory / PLAN)
        if any(name not in begun or begun[name] != value for name, value in header.items()):
            self._journal.write("run", header)
        tasks = list(batch.tasks)
        self._journal.write("round", {"name": batch.name, "tasks": tasks, "results": LOGS})

    def _ended(self, end: str = FINISHED, batch: Round | None = None) -> RunReport:
        """Return the report on what is logged, after a run or instead of one."""
        status = self.harness.live_status(self.directory / LOGS)
        if status == FINISHED:
            standing = self._standing()
            decision = standing.decision
            reason = decision.reason
            most = self.settings.max_tasks
            if not decision.stop:
                reason = "no task left to run"
                if most is not None and standing.tasks >= most:
                    reason = f"task limit reached: {standing.tasks} of {most} tasks run"
                elif self.settings.limits and decision.tasks_run < decision.tasks_planned:
                    limits = self.settings.limits.items()
                    texts = [amount_text(unit, each) for unit, each in limits]
                    reason = f"the next task was expected to pass the limit of {' or '.join(texts)}"
            return self._report(reason, failed=decision.too_many_errors, standing=standing)
        if end == INTERRUPTED:
            return self._report("interrupted", interrupted=True)
        place = f"see {batch.directory}" if batch is not None else f"see {self.directory}"
        if end == TIMED_OUT:
            return self._report(
                f"ended by --timeout: repeat the command to continue, {place}", True
            )
        log = f"its log says {status}" if status else "it left no log"
        return self._report(f"{self.harness.name} did not finish, {log}: {place}", True)

    def _report(
        self,
        reason: str,
        failed: bool = False,
        *,
        interrupted: bool = False,
        standing: Standing | None = None,
    ) -> RunReport:
        rounds = self._journal.of("round")
        last = self.directory / str(rounds[-1]["name"]) if rounds else self.directory
        return RunReport(
            standing=standing or self._standing(),
            reason=reason,
            failed=failed,
            interrupted=interrupted,
            last_lines=last_lines(last) if failed else (),
        )

    def _standing(self) -> Standing:
        """Return the verdict on all that is logged, as `midband rank` gives it, and its cost."""
        plan = self._read_by
        records = list(self._records(plan))
        decision = self._decision(plan, records)
        expected = dict(zip(plan.all_tasks, plan.expected_cost_usd.tolist(), strict=True))
        costs = [record.cost_usd for record in records if record.cost_usd is not None]
        uncosted = [
            expected.get(record.task_id, math.nan) for record in records if record.cost_usd is None
        ]
        run = dict.fromkeys(record.task_id for record in records)
        scored = {record.task_id for record in records if record.kind == "valid"}
        ahead = [task for task in plan.tasks[: decision.tasks_planned] if task not in run]
        return Standing(
            decision=decision,
            rounds=len(self._journal.of("round")),
            tasks=len(run),
            recorded_usd=math.fsum(costs),
            spent_usd=math.fsum([*costs, *uncosted]),
            spent_seconds=_total([record.duration_s for record in records], math.nan),
            spent_tokens=_total([record.tokens for record in records], plan.mean_tokens),
            remaining_usd=0.0
            if decision.stop
            else math.fsum(expected[task] for task in ahead) * self.settings.attempts,
            without_result=tuple(task for task in run if task not in scored),
        )

    def _records(self, plan: Plan) -> "Iterator[Record]":
        """Yield each logged attempt once: a run that continues copies the attempts before it."""
        logs = self.directory / LOGS
        if not self.harness.live_status(logs):
            return
        options = reading_by(plan, self.settings.reading)
        read: Any = self.harness.read_results
        seen: set[str] = set()
        for record in read(logs, benchmark=plan.benchmark, options=options):
            if record.source_key in seen:
                continue
            seen.add(record.source_key)
            yield record

    def _decision(self, plan: Plan, records: "Sequence[Record]") -> "Decision":
        orders = dict(self.harness.live_orders(self.plan, self.directory / LOGS))
        kept = self.harness.read_live_order(self.directory / ORDER, self.plan)
        if kept:  # a log that a kill left unfinished does not hold the order
            orders = {record.run_id: LiveOrder(tasks=kept) for record in records} | orders
        verdicts = rank_records(
            plan,
            records,
            allow_changed=self.settings.allow_changed,
            orders=orders,
            max_errors=self.settings.max_errors,
        )
        if len(verdicts) > 1:
            agents = ", ".join(verdict.agent for verdict in verdicts)
            msg = f"expected results of one agent in {self.directory}, got {agents}: run one each"
            raise InputError(msg)
        if verdicts:
            return verdicts[0].decision
        return Session(plan, max_errors=self.settings.max_errors).decision()


def _total(amounts: "Sequence[float | None]", expected: float) -> float:
    """Sum amounts; the expected one stands in for each that is not known."""
    return math.fsum(expected if amount is None else amount for amount in amounts)
