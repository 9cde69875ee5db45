"""The state of one running adaptive eval: results in, verdict out, errors kept."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

from midband._text import one_line
from midband.inspect._samples import task_id
from midband.inspect._terminal import caption_of, counter_text, say_at_exit, wrapped

if TYPE_CHECKING:
    from midband.inspect._metric import ScoreReader
    from midband_sampler import Decision, MaxErrors, Plan, Session

logger = logging.getLogger(__name__)

_SAID_WIDTH = 100 - len("midband: ")
_REST = "run the tasks that are left, without --limit and --sample-id, and rank all logs together"

# By Inspect's eval id. One process may run several evals at once, and one that dies never says so:
# its run is forgotten with the context that held it.
_LIVE: "WeakValueDictionary[str, LiveRun]" = WeakValueDictionary()


def live_runs() -> Mapping[str, "LiveRun"]:
    """Return the adaptive evals that are running in this process, by Inspect's eval id."""
    return _LIVE


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is known of one attempt: its score and cost, None where not known, and its kind."""

    score: float | None
    kind: str = "valid"
    usd: float | None = None
    seconds: float | None = None

    def tell(self, session: "Session", task: str) -> None:
        """Tell a session."""
        session.tell(task, score=self.score, outcome=self.kind, usd=self.usd, seconds=self.seconds)


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
    show : callable
        Shows a caption and a value on Inspect's screen.
    max_errors : MaxErrors, optional
        Ends the run early; see `Session`.
    score_on_error : bool
        Whether Inspect counts the score of a sample that ended in an error.
    """

    live: ClassVar[bool] = False

    def __init__(
        self,
        plan: "Plan",
        *,
        eval_id: str,
        model: str,
        epochs: int,
        reader: "ScoreReader",
        show: Callable[[str, str], None],
        max_errors: "MaxErrors | None" = None,
        score_on_error: bool = False,
    ) -> None:
        self.plan = plan
        self.eval_id = eval_id
        self.model = model
        self.epochs = epochs
        self.reader = reader
        self.score_on_error = score_on_error
        self.error = ""
        self._max_errors = max_errors
        self._caption = ""
        self._ended_early = ""
        self.warnings: list[str] = []
        self._show = show
        self._results: dict[tuple[str, int], Result] = {}
        self._spent: dict[tuple[str, int], tuple[float | None, float | None]] = {}
        self._digest = ""
        self._skipped = 0
        self._session: Session | None = None
        self._decision: Decision | None = None

    def open(self) -> None:
        """Start the session and make the run known to the observer."""
        others = {run._caption for run in _LIVE.values()}
        self._caption = caption_of(self.model, others)
        _LIVE[self.eval_id] = self
        self._guard(self._open)

    def close(self) -> dict[str, object]:
        """Return what the log keeps at the end, after a last look at all results."""
        _LIVE.pop(self.eval_id, None)
        self._guard(self._settle)
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
        if self._decision is not None and not self.error:
            warnings = [*warnings, *self._decision.warnings]
            report.update(self._decision.to_dict())
            # The decision's figure is for one attempt a task; a task left out saves every epoch's.
            report.pop("cost_saved_usd", None)
            report["estimated_cost_saved_usd"] = self._decision.cost_saved_usd * self.epochs
        report["plan_digest"] = self._digest
        report["warnings"] = list(dict.fromkeys(warnings))
        report["error"] = self.error or None
        report["failed_open"] = bool(self.error)
        plain: dict[str, object] = json.loads(json.dumps(_finite(report), default=str))
        return plain

    def reason_to_skip(self) -> str | None:
        """Return why the next sample need not run, or None to run it; never waits."""
        decision = self._decision
        if self.error or decision is None or not decision.stop:
            return None
        if decision.tasks_run >= decision.tasks_planned:
            return None
        self._skipped += 1
        return decision.reason

    def spent(
        self, sample_id: object, epoch: int, usd: float | None, seconds: float | None
    ) -> None:
        """Take in what a sample cost, before its score or its error."""
        self._spent[task_id(sample_id), epoch] = (usd, seconds)

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
        self._decision = self._session.decision()
        self._display()

    def _came(self, task: str, epoch: int, score: float | None, kind: str) -> None:
        usd, seconds = self._spent.pop((task, epoch), (None, None))
        result = Result(score=score, kind=kind, usd=usd, seconds=seconds)
        self._guard(partial(self._take, task, epoch, result))

    def _take(self, task: str, epoch: int, result: Result) -> None:
        if (task, epoch) in self._results or self._session is None:
            return
        self._results[task, epoch] = result
        result.tell(self._session, task)
        self._decision = self._session.decision()
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

        return Session(self.plan, live=self.live, max_errors=self._max_errors)

    def _replay(self, session: "Session") -> None:
        """Tell a new session all results."""
        for task, epoch in sorted(self._results):
            self._results[task, epoch].tell(session, task)

    def _verdict(self, *, resume: str = "", width: int = 100) -> str:
        """Return what is said of the run once it is over."""
        if self.error or self._decision is None:
            return f"{self.model}: no verdict, {self.error}"
        lines = self._decision.lines(
            prefix=f"{self.model}: ", ended=True, resume=resume, width=width
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
        """The verdict so far; None without one."""
        return None if self.error else self._decision

    def _say(self, resume: str = "inspect eval-retry LOG") -> None:
        how = "chosen live" if self.live else "in a fixed order"
        said = self._verdict(resume=resume, width=_SAID_WIDTH)
        # One plan runs once with a model: what a later attempt says stands.
        say_at_exit(f"{self._digest} {self.model}", f"{said}\n  (tasks {how})")

    def _display(self) -> None:
        decision = self._decision
        if decision is None:
            return
        self._say()
        try:
            self._show(self._caption, counter_text(decision, alone=len(live_runs()) <= 1))
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


def _finite(value: object) -> object:
    """Replace what JSON cannot hold: NaN and infinity become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
