"""The state of one running adaptive eval: results in, choice and verdict out, errors kept."""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

from midband.inspect.kept import KeptRun
from midband.inspect.limits import Amounts, Share
from midband.inspect.scores import SampleResult, task_id
from midband.inspect.shown import (
    PREFIX,
    caption_of,
    counter_text,
    finite,
    plans_said,
    say_at_end,
    wrapped,
)
from midband.text import BLOCK_WIDTH, one_line

if TYPE_CHECKING:
    from midband.inspect.metric import ScoreReader
    from midband_sampler import Decision, MaxErrors, Plan, Session

logger = logging.getLogger(__name__)

_REST = "run the tasks that are left, without --limit and --sample-id, and rank all logs together"

# By Inspect's eval id. One process may run several evals at once, and one that dies never says so:
# its run is forgotten with the context that held it.
_LIVE: "WeakValueDictionary[str, LiveRun]" = WeakValueDictionary()


def live_runs() -> Mapping[str, "LiveRun"]:
    """Return the adaptive evals that are running in this process, by Inspect's eval id."""
    return _LIVE


def forget_run(eval_id: str) -> None:
    """Take an eval off those that are running, also one that died without an end."""
    _LIVE.pop(eval_id, None)


@dataclass(eq=False, repr=False)
class LiveRun:
    """One task on one model, from its start to its end.

    It never raises: whatever goes wrong is kept and from then on nothing is skipped, since a
    saving must never cost an evaluation. Inspect runs the tasks in the plan's fixed order here;
    where it lets midband choose, see `ChoosingRun`.

    Parameters
    ----------
    plan : Plan
    eval_id, model : str
        As Inspect names them.
    epochs : int
        Attempts a task. Inspect runs all tasks of the first epoch before the second, so early
        stopping decides in the first; a run that is undecided after it runs to its end.
    reader : ScoreReader
        Reads the scores of samples as the plan counts them.
    show : callable or None
        Shows a caption and a value on Inspect's screen; None where nobody looks.
    max_errors : MaxErrors, optional
        Ends the run early; see `Session`.
    score_on_error : bool
        Whether Inspect counts the score of a sample that ended in an error.
    share : Share, optional
        The run's part in the hard limits of its command.
    """

    live: ClassVar[bool] = False

    plan: "Plan"
    _: KW_ONLY
    eval_id: str
    model: str
    epochs: int
    reader: "ScoreReader"
    show: Callable[[str, str], None] | None
    max_errors: "MaxErrors | None" = None
    score_on_error: bool = False
    share: Share = field(default_factory=Share)
    error: str = field(default="", init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    kept: KeptRun = field(default_factory=KeptRun, init=False)
    _caption: str = field(default="", init=False)
    _ended_early: str = field(default="", init=False)
    _results: dict[tuple[str, int], SampleResult] = field(default_factory=dict, init=False)
    _spent: dict[tuple[str, int], Amounts] = field(default_factory=dict, init=False)
    _digest: str = field(default="", init=False)
    _skipped: int = field(default=0, init=False)
    _session: "Session | None" = field(default=None, init=False)
    _decision: "Decision | None" = field(default=None, init=False)

    def open(self) -> None:
        """Start the session and make the run known to the observer."""
        others = {run._caption for run in _LIVE.values()}
        self._caption = caption_of(self.model, others)
        _LIVE[self.eval_id] = self
        self._guard(self._open)

    def close(self) -> dict[str, object]:
        """Return what the log keeps at the end, after a last look at all results."""
        forget_run(self.eval_id)
        self._guard(self._settle)
        self.kept.end(self, self._decision)
        self._say(resume=_REST)
        return self._last_report()

    def _last_report(self) -> dict[str, object]:
        return {"verdict": self.verdict, **self.report()}

    def report(self) -> dict[str, object]:
        """Return the verdict so far, what it rests on, and what went wrong."""
        scored = sum(result.score is not None for result in self._results.values())
        report: dict[str, object] = {
            "benchmark": self.plan.benchmark,
            "tasks_chosen": "live" if self.live else "in a fixed order",
            "epochs": self.epochs,
            "samples_scored": scored,
            "samples_without_score": len(self._results) - scored,
            "samples_skipped": self._skipped,
        }
        warnings = self.warnings
        if (decision := self.decision) is not None:
            warnings = [*warnings, *decision.warnings]
            report.update(decision.to_dict())
            # The decision's figure is for one attempt a task; a task left out saves every epoch's.
            report.pop("cost_saved_usd", None)
            report["estimated_cost_saved_usd"] = decision.cost_saved_usd * self.epochs
        report["plan_digest"] = self._digest
        report["warnings"] = list(dict.fromkeys(warnings))
        report["error"] = self.error or None
        report["failed_open"] = bool(self.error)
        plain: dict[str, object] = json.loads(json.dumps(finite(report), default=str))
        return plain

    def reason_to_skip(self, sample_id: object) -> str | None:
        """Return why the next sample need not run, or None to run it; never waits."""
        if not self._guard(self._is_done):
            beyond = self._guard(partial(self.share.skip, task_id(sample_id), note=self.note))
            self._skipped += bool(beyond)
            return str(beyond) if beyond else None
        decision = self.decision
        if decision is None or decision.tasks_run >= decision.tasks_planned:
            return None
        self._skipped += 1
        return decision.reason

    def spent(self, sample_id: object, epoch: int, cost: Amounts, uuid: str | None = None) -> None:
        """Take in what a sample cost, before its score or its error."""
        task = task_id(sample_id)
        self._spent[task, epoch] = cost
        self._guard(partial(self.share.came, task, epoch, uuid, cost))

    def scored(self, sample_id: object, epoch: int, score: float | None) -> None:
        """Take in a completed sample; None is no information, never 0."""
        self._came(task_id(sample_id), epoch, score, "valid")

    def errored(self, sample_id: object, epoch: int, message: str) -> None:
        """Take in a sample that ended in an error: no information on the agent."""
        cancelled = message.startswith(("CancelledError(", "Cancelled("))
        self._came(task_id(sample_id), epoch, None, "cancelled" if cancelled else "infra_error")

    def note(self, warning: str) -> None:
        """Keep a warning for the log, and say it now."""
        self.warnings.append(warning)
        logger.warning("midband: %s", one_line(warning))

    def fail(self, error: BaseException) -> None:
        """Keep an error; from now on every sample runs."""
        if not self.error:
            self.error = f"{type(error).__name__}: {error}"
            logger.warning(
                "midband cannot judge this run, every sample runs: %s", one_line(self.error)
            )

    def _open(self) -> None:
        self._digest = self.plan.digest
        self._session = self._new_session()
        self._display()

    def _is_done(self) -> bool:
        return not self.error and self._session is not None and self._session.done

    def _came(self, task: str, epoch: int, score: float | None, kind: str) -> None:
        usd, seconds, tokens = self._spent.pop((task, epoch), (None, None, None))
        result = SampleResult(score=score, kind=kind, usd=usd, seconds=seconds, tokens=tokens)
        self.kept.result(self.model, task, result)
        self._guard(partial(self._take, task, epoch, result))

    def _take(self, task: str, epoch: int, result: SampleResult) -> None:
        self.share.end(task)
        if (task, epoch) in self._results or self._session is None:
            return
        self._results[task, epoch] = result
        result.tell(self._session, task)
        self._decision = None
        self._display()
        self._tell_plugins("midband_result_recorded", task_id=task, score=result.score)

    def _settle(self) -> None:
        """Judge anew from all results, as `midband rank` does from the finished log."""
        if self.error or self._session is None:
            return
        session = self._new_session()
        self._replay(session)
        self._decision = session.decision()
        if not self._decision.stop:
            self._ended_early = (
                f"the run ended after {self._decision.tasks_run} of {self._decision.tasks_planned}"
                " planned tasks, before the rank was settled"
            )
            self.note(self._ended_early)
        self._display()
        self._tell_plugins("midband_run_finished", decision=self._decision, source=None)

    def _new_session(self) -> "Session":
        from midband_sampler import Session

        return Session(self.plan, live=self.live, max_errors=self.max_errors)

    def _replay(self, session: "Session") -> None:
        """Tell a new session all results."""
        for task, epoch in sorted(self._results):
            self._results[task, epoch].tell(session, task)

    def _verdict(
        self, *, resume: str = "", width: int = BLOCK_WIDTH, encoding: str = "ascii"
    ) -> str:
        """Return what is said of the run once it is over."""
        if (decision := self.decision) is None:
            return f"{self.model}: no verdict, {self.error}"
        where = f" on {self.plan.benchmark}" if plans_said() > 1 else ""
        prefix = f"{self.model}{where}: "
        lines = decision.lines(
            prefix=prefix, ended=True, resume=resume, width=width, encoding=encoding
        )
        said = [text for text in self.warnings if text != self._ended_early]
        more = [line for text in said for line in wrapped(f"warning: {text}", width)]
        return "\n".join([*lines, *more])

    @property
    def verdict(self) -> str:
        """What is known so far, in words."""
        return self._verdict(resume=_REST)

    @property
    def decision(self) -> "Decision | None":
        """The verdict so far, worked out when it is read; None without one."""
        if self._decision is None:
            self._guard(self._decide)
        return None if self.error else self._decision

    def _decide(self) -> None:
        if self._session is not None and not self.error:
            self._decision = self._session.decision()

    def _say(self, resume: str = "inspect eval-retry LOG") -> None:
        how = "chosen live" if self.live else "in a fixed order"
        # One plan runs once with a model: what a later attempt says stands.
        say_at_end(
            f"{self._digest} {self.model}",
            lambda width, encoding: "\n".join(
                (
                    self._verdict(resume=resume, width=width - len(PREFIX), encoding=encoding),
                    f"  (tasks {how})",
                )
            ),
        )

    def _display(self) -> None:
        if self._session is None:
            return
        self._say()
        self.kept.changed(self, self._session)
        decision = None if self.show is None else self.decision
        if self.show is None or decision is None:
            return
        try:
            self.show(self._caption, counter_text(decision, alone=len(live_runs()) <= 1))
        except Exception as error:  # a screen that cannot show a counter is no reason to stop
            logger.debug("cannot show the counter: %s", error)

    def _tell_plugins(self, hook: str, **arguments: object) -> None:
        """Tell observers; one that fails is named and does not keep the run from stopping."""
        from midband._manager import get_plugin_manager

        try:
            getattr(get_plugin_manager().hook, hook)(plan=self.plan, **arguments)
        except Exception as error:
            warning = f"a plugin failed in {hook}: {type(error).__name__}: {error}"
            if warning not in self.warnings:
                self.note(warning)

    def _guard(self, step: Callable[[], object]) -> object:
        try:
            return step()
        except Exception as error:  # fail open: see the class
            self.fail(error)
            return None


@dataclass(eq=False, repr=False, kw_only=True)
class ChoosingRun(LiveRun):
    """One task on one model, whose samples are chosen while it runs.

    A task's attempts are told together once the last is in, so that the session looks at whole
    tasks. Whatever goes wrong, the rest of the plan is handed out in its order.

    Parameters
    ----------
    plan : Plan
        One that chooses live.
    eval_id, model, epochs, reader, show, max_errors, score_on_error
        As in `LiveRun`.
    available : collection of str
        Tasks that can run; no other is chosen.
    width : int
        Attempts at work at a time.
    limit : int, optional
        Start no more tasks than this.
    earlier : sequence of str
        Tasks that an interrupted attempt at this run started: they come first and in its order,
        so that what it finished is used again.
    """

    live: ClassVar[bool] = True

    available: Collection[str]
    width: int
    limit: int | None = None
    earlier: Sequence[str] = ()
    _order: dict[str, int] = field(default_factory=dict, init=False)
    _waiting: dict[str, None] = field(default_factory=dict, init=False)
    _told: set[str] = field(default_factory=set, init=False)
    _lost: set[tuple[str, int]] = field(default_factory=set, init=False)
    _closed_with: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        planned = min(len(self.plan.tasks), self.plan.max_tasks or len(self.plan.tasks))
        self._places = max(1, -(-self.width // self.epochs))
        self._limit = planned if self.limit is None else min(self.limit, planned)
        self._earlier = list(reversed(self.earlier))

    @property
    def order(self) -> list[str]:
        """Tasks that were started, in order."""
        return list(self._order)

    @property
    def waiting(self) -> bool:
        """Whether a task that was started has not come back."""
        return bool(self._waiting)

    def hand_out(self, *, idle: bool = False) -> list[str]:
        """Return the tasks to start now; none if the run is over or every place is taken.

        Parameters
        ----------
        idle : bool
            Nothing is at work any more: what is still awaited will never come.
        """
        if idle:
            for task in list(self._waiting):
                self.lost(task)
        chosen: list[str] = []
        if not self.error:
            self._guard(partial(self._choose, chosen))
        return chosen + self.rest() if self.error else chosen

    def rest(self) -> list[str]:
        """Return what has not been started, in the plan's order: what runs after an error."""
        left = (task for task in self.plan.tasks if task not in self._order)
        rest = [task for task in left if task in self.available]
        rest = rest[: max(0, self._limit - len(self._order))]
        for task in rest:
            self._order[task] = len(self._order) + 1
        return rest

    def lost(self, task: str, epoch: int | None = None, kind: str = "missing") -> None:
        """Take in that an attempt never ran; all attempts at the task, if none is named."""
        for each in range(1, self.epochs + 1) if epoch is None else (epoch,):
            if (task, each) not in self._results:
                self._lost.add((task, each))
                result = SampleResult(score=None, kind=kind, usd=0.0, seconds=0.0, tokens=0.0)
                self._guard(partial(self._take, task, each, result))

    def about(self, task: str) -> dict[str, object]:
        """Return the place of a task in the order, and what was known when it was chosen."""
        note: dict[str, object] = {"chosen": self._order[task]}
        if (decision := self.decision) is not None:
            note["tasks_judged"] = decision.tasks_run
            note |= {"rank": decision.rank, "low": decision.low, "high": decision.high}
        return note

    def close(self) -> dict[str, object]:
        """Return what the log keeps at the end; told the same again, it says the same."""
        if self._closed_with == len(self._results):
            return self._last_report()
        self._closed_with = len(self._results)
        self._skipped = self.epochs * (len(self.plan.tasks) - len(self._order))
        return super().close()

    def report(self) -> dict[str, object]:
        """Return the verdict so far, with the order that `midband rank` needs to find it again."""
        lost = {task for task, _ in self._lost}
        if lost:
            lost -= {key[0] for key in self._results if key not in self._lost}
        unlogged = [task for task in self._order if task in lost]
        return super().report() | {"order": self.order, "unlogged": unlogged}

    def _choose(self, chosen: list[str]) -> None:
        """Fill the free places, with the tasks of an interrupted attempt first."""
        session = self._session
        if session is None:
            return
        while len(self._waiting) < self._places and len(self._order) < self._limit:
            if self._earlier:
                task = self._earlier.pop()
                if task not in self.available or not session.start(task):
                    continue
            elif self.share.holds(bool(self._waiting), times=self.epochs, note=self.note):
                return
            else:
                asked = session.ask(1)
                if not asked:
                    return
                task = asked[0]
            self.share.start(task, times=self.epochs)
            self._order[task] = len(self._order) + 1
            self._waiting[task] = None
            chosen.append(task)

    def _take(self, task: str, epoch: int, result: SampleResult) -> None:
        key = (task, epoch)
        known = self._results.get(key)
        # An operator may have an errored sample run again: its score then replaces the error.
        again = known is not None and (known.score is not None or result.score is None)
        if self._session is None or again:
            return
        self._results[key] = result
        if known is not None:
            self._lost.discard(key)
        if all((task, each) in self._results for each in range(1, self.epochs + 1)):
            self.share.end(task)
            if task in self._told:  # what was told cannot be taken back
                self._session = self._new_session()
                self._tell(self._session, self._told)
            else:
                self._told.add(task)
                self._tell(self._session, [task])
            self._waiting.pop(task, None)
            self._decision = None
            self._display()
        self._tell_plugins("midband_result_recorded", task_id=task, score=result.score)

    def _new_session(self) -> "Session":
        session = super()._new_session()
        session.leave_out(task for task in self.plan.tasks if task not in self.available)
        return session

    def _replay(self, session: "Session") -> None:
        self._tell(session, {task for task, _ in self._results})

    def _tell(self, session: "Session", tasks: Collection[str]) -> None:
        """Tell the attempts that ran; of a task that never ran one, without a result.

        The log holds no attempt that never ran, and `midband rank` judges by the log.
        """
        for task in self._order:
            session.start(task)
        for task in sorted(tasks):
            keys = [(task, epoch) for epoch in range(1, self.epochs + 1)]
            known = [key for key in keys if key in self._results]
            ran = [key for key in known if key not in self._lost]
            for key in ran or known[:1]:
                self._results[key].tell(session, task)
