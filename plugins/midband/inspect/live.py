"""The state of one running adaptive eval: results in, choice and verdict out, errors kept."""

import json
import logging
from collections.abc import Callable, Mapping
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
