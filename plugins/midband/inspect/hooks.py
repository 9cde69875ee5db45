"""How Inspect asks and tells midband while an eval runs: early stopping, live choice, observer.

An early-stopping manager hears only of scored samples, and not what they cost. A sample that
errors would leave a gap in the completed prefix for ever, and the run could never stop early again.
A sample source is not told which eval it serves. The observer tells of both. This module is
imported with the first adaptive task, not at Inspect's start, whose screen counts the hooks of
every package.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import inspect_ai
from inspect_ai.hooks import Hooks, RunEnd, RunStart, SampleEnd, TaskEnd, TaskStart, hooks
from inspect_ai.util import EarlyStop, display_counter, display_type

from midband.inspect.choosing_run import ChoosingRun
from midband.inspect.command import LOGS, MAX_SAMPLES
from midband.inspect.limits import Share, shared_limits
from midband.inspect.live import LiveRun, forget_run, live_runs
from midband.inspect.log_file import RECORD
from midband.inspect.metric import UNKNOWN_METRIC, ScoreReader, metric_of
from midband.inspect.racing import live_entrants
from midband.inspect.scores import attempt_cost, attempt_tokens, task_id
from midband.inspect.shown import (
    RunningEval,
    begin_run,
    current_run,
    mind_scoring,
    running_eval,
    say_in_header,
    say_now,
)
from midband.inspect.whole_run import keep_order, kept_order

if TYPE_CHECKING:
    from inspect_ai import SampleSource
    from inspect_ai.dataset import Sample
    from inspect_ai.hooks import EvalSetEnd, RunEnd
    from inspect_ai.log import EvalSample, EvalSpec
    from inspect_ai.scorer import SampleScore
    from pydantic import JsonValue

    from midband.inspect.entrant import Entrant
    from midband_history import Metric
    from midband_sampler import Decision, MaxErrors, Plan
else:  # versions before 0.3.250 have none, and are never given one
    SampleSource = getattr(inspect_ai, "SampleSource", object)

logger = logging.getLogger(__name__)

_EVALS: dict[str, int] = {}

mind_scoring()  # older versions of Inspect do not load what packages register before they score


@dataclass(eq=False, repr=False)
class _ByPlan:
    """What judges the evals of one task by a plan.

    Parameters
    ----------
    plan : Plan
    metric : Metric, optional
        The metric of the run; the plan's by default.
    max_errors : MaxErrors, optional
        Ends a run early; see `Session`.
    limits : mapping of str to float, optional
        Hard limits to what all samples of the command may cost, by unit; see `TotalLimits`.

    Attributes
    ----------
    verdicts : dict of str to Decision or None
        What the evals that have ended came to, by model; None where midband could not judge.
    """

    plan: "Plan"
    _: KW_ONLY
    metric: "Metric | None" = None
    max_errors: "MaxErrors | None" = None
    limits: "Mapping[str, float] | None" = None
    verdicts: "dict[str, Decision | None]" = field(default_factory=dict, init=False)

    def settings(self, spec: "EvalSpec | None", *, eval_id: str, epochs: int) -> dict[str, Any]:
        """Return what a run is begun with, beside the plan."""
        metric = metric_of(self.plan) if self.metric is None else self.metric
        return {
            "eval_id": eval_id,
            "model": "" if spec is None else spec.model,
            "epochs": epochs,
            "reader": ScoreReader(metric, spec=spec),
            "show": None if display_type() == "plain" else display_counter,
            "max_errors": self.max_errors,
            "share": Share(shared_limits(self.limits, spec), self.plan, eval_id)
            if self.limits
            else Share(),
            "score_on_error": bool(spec and getattr(spec.config, "score_on_error", None)),
        }


@dataclass(eq=False, repr=False)
class AdaptiveSource(_ByPlan, SampleSource):
    """Hands out as many samples as may be at work, then one for each that comes back.

    One instance may serve several models at once, and several attempts in an eval set: the state
    belongs to the eval that Inspect announces. It never raises and never waits; after an error of
    midband's own, the rest of the plan runs in its order.

    The log keeps a sample's place in the order, and the rank when it was chosen, under ``midband``
    in its metadata; the order and the verdict under ``midband_run`` in the header's.

    Parameters
    ----------
    plan : Plan
        One that chooses live.
    samples : mapping of str to Sample
        The dataset, by task id.
    metric : Metric, optional
        The metric of the run; the plan's by default.
    max_errors : MaxErrors, optional
        Ends a run early; see `Session`.
    """

    samples: "Mapping[str, Sample]"

    async def next_samples(self) -> "list[Sample] | None":
        """Return the first samples, or None at the end; called when nothing is at work."""
        current = running_eval.get()
        if current is None:
            current = RunningEval(None)
            running_eval.set(current)  # the feeder calls in one context
        return self._go_on(current, idle=True)

    async def sample_complete(self, sample: "EvalSample") -> "list[Sample] | None":
        """Take in a sample that ran, or that a retry uses again; return what follows it."""
        current = running_eval.get()
        run = _run_of(current)
        if current is None or run is None:
            return None
        try:
            if not note_sample(run, sample):
                run.scored(sample.id, sample.epoch, run.reader.read(sample.scores))
        except Exception as error:  # a score of an unknown shape must not end the eval
            run.fail(error)
        return self._go_on(current)

    async def sample_abandoned(self, sample: "Sample", epoch: int) -> "list[Sample] | None":
        """Take in a sample that was cancelled before it began; return what follows it."""
        current = running_eval.get()
        run = _run_of(current)
        if current is None or run is None:
            return None
        run.lost(task_id(sample.id), epoch, "cancelled")
        return self._go_on(current)

    def _go_on(self, current: RunningEval, *, idle: bool = False) -> "list[Sample] | None":
        run = _run_of(current) or self._begin(current)
        try:
            tasks = run.hand_out(idle=idle)
        except Exception as error:
            run.fail(error)
            tasks = run.rest()
        try:
            keep_order(self.plan, tasks)
        except OSError as error:  # a kill would then lose the order, and nothing else
            run.note(f"the order of the choices cannot be kept: {error}")
        samples = self._named(run, tasks)
        over = not samples and (idle or not run.waiting)
        _record(current, run, over=over)
        if over:
            self.verdicts[run.model] = run.decision
        return samples or None

    def _begin(self, current: RunningEval) -> ChoosingRun:
        spec = current.spec
        config = None if spec is None else spec.config
        available = wanted_samples(self.samples, config)
        limit = None
        if config is not None and config.sample_id is None and isinstance(config.limit, int):
            limit = config.limit
        settings = self.settings(
            spec,
            eval_id="" if spec is None else spec.eval_id,
            epochs=(config.epochs if config is not None else None) or 1,
        )
        run = ChoosingRun(
            self.plan,
            available=available,
            width=width_of(current),
            limit=limit,
            earlier=_earlier(current, self.plan),
            **settings,
        )
        begin_run(run, spec)
        if spec is None:
            run.fail(RuntimeError("Inspect did not announce the eval"))
        else:
            run.open()
        if not run.reader.metric.known:
            run.note(UNKNOWN_METRIC)
        can_run = len(available) if limit is None else min(limit, len(available))
        if can_run < len(self.plan.tasks):
            why = (
                "--sample-id or --limit"
                if config is not None and (limit is not None or config.sample_id is not None)
                else "the dataset"
            )
            run.note(
                f"only {can_run} of {len(self.plan.tasks)} planned tasks can run: {why} keeps the"
                " others out"
            )
        return run

    def _named(self, run: ChoosingRun, tasks: Sequence[str]) -> "list[Sample]":
        """Return the samples of tasks, each with a note of when it was chosen."""
        samples = []
        for task in tasks:
            sample = self.samples[task]
            try:
                note = {**(sample.metadata or {}), "midband": run.about(task)}
                sample = sample.model_copy(update={"metadata": note})
            except Exception as error:
                run.fail(error)
            samples.append(sample)
        return samples


def _run_of(current: RunningEval | None) -> ChoosingRun | None:
    run = None if current is None else current.run
    return run if isinstance(run, ChoosingRun) else None


def wanted_samples(samples: "Mapping[str, Sample]", config: Any) -> dict[str, None]:
    """Return the tasks that ``--sample-id`` lets run, by Inspect's own reading of it."""
    if config is None or config.sample_id is None:
        return dict.fromkeys(samples)
    try:
        from inspect_ai._eval.task.util import sample_id_filter

        matches = sample_id_filter(config.sample_id).matches
    except (ImportError, AttributeError):  # a version that keeps it elsewhere
        return dict.fromkeys(samples)
    return {task: None for task, sample in samples.items() if matches(sample.id)}


def width_of(current: RunningEval) -> int:
    """Return how many samples run at a time: the user's number, or few, so that a stop saves."""
    chosen = None if current.spec is None else current.spec.config.max_samples
    return chosen or min(MAX_SAMPLES, current.max_connections or MAX_SAMPLES)


def _earlier(current: RunningEval, plan: "Plan") -> list[str]:
    """Return the order of the attempt that this one repeats, if Inspect passed it on.

    The log of one that was killed does not hold it, but `midband run` has it kept elsewhere.
    """
    metadata = None if current.spec is None else current.spec.metadata
    record = (metadata or {}).get(RECORD)
    if not isinstance(record, Mapping) or record.get("plan_digest") != plan.digest:
        return list(kept_order(plan))
    return [str(task) for task in record.get("order", ())]


def _record(current: RunningEval, run: ChoosingRun, *, over: bool) -> None:
    """Put the verdict so far where the log's header is written from.

    Inspect keeps no summary of a source. The header is written from this object when the eval
    ends; a key of our own is added, nothing that is there is touched.
    """
    try:
        report = run.close() if over else run.report()
        if current.spec is not None:
            current.spec.metadata = {**(current.spec.metadata or {}), RECORD: report}
        if over:
            say_in_header(run)
    except Exception as error:  # what cannot be noted must not end the eval
        run.fail(error)


@dataclass(eq=False, repr=False)
class AdaptiveStopping(_ByPlan):
    """Skips the samples that the verdict no longer needs.

    Decides on the completed prefix of the plan's order, never raises and never waits. An error of
    midband's own is recorded in the log and the evaluation runs to its end.

    Parameters
    ----------
    plan : Plan
        Its tasks are the dataset's samples, in the plan's order.
    metric : Metric, optional
        The metric of the run; the plan's by default.
    max_errors : MaxErrors, optional
        Ends a run early; see `Session`.
    note : str
        What is to be said of every run, such as why a live plan runs in its fixed order.
    """

    note: str = field(default="", kw_only=True)

    async def start_task(self, task: "EvalSpec", samples: "list[Sample]", epochs: int) -> str:
        """Begin one task on one model; every call is a fresh start."""
        settings = self.settings(task, eval_id=task.eval_id or task.run_id, epochs=epochs)
        run = LiveRun(self.plan, **settings)
        begin_run(run, task)
        run.open()
        if self.note:
            run.note(self.note)
        if not task.config.max_samples:  # the command line always sets it
            logger.warning(
                "midband: Inspect may start all samples before the first has ended, and a stop"
                " saves only samples that have not started; pass max_samples=%s",
                MAX_SAMPLES,
            )
        if not run.reader.metric.known:
            run.note(UNKNOWN_METRIC)
        if task.config.log_samples is False:
            run.note(
                "expected sample logs, got --no-log-samples: Inspect then never asks whether to"
                " skip a sample, so nothing is stopped early; leave the option out"
            )
        if len(samples) < len(self.plan.tasks):
            run.note(
                f"only {len(samples)} of {len(self.plan.tasks)} planned tasks are run (a limit or"
                " --sample-id): the verdict is on those that come first in the plan"
            )
        return "midband"

    async def schedule_sample(
        self,
        id: str | int,  # noqa: A002 (the names are Inspect's)
        epoch: int,
    ) -> EarlyStop | None:
        """Say whether a sample that is about to start can be skipped."""
        current = current_run()
        reason = None if current is None else current.reason_to_skip(id)
        return None if reason is None else EarlyStop(id=id, epoch=epoch, reason=reason)

    async def complete_sample(
        self,
        id: str | int,  # noqa: A002
        epoch: int,
        scores: "dict[str, SampleScore]",
    ) -> None:
        """Take in a sample's scores, of a sample that ran or of one reused by a retry."""
        run = current_run()
        if run is None:
            return
        try:
            score = run.reader.read({name: each.score for name, each in scores.items()})
        except Exception as error:  # a score of an unknown shape must not end the eval
            run.fail(error)
            return
        run.scored(id, epoch, score)

    async def complete_task(self) -> "dict[str, JsonValue]":
        """Return the verdict for the log."""
        current = current_run()
        if current is None:
            return {"error": "midband was not told of the task's start", "failed_open": True}
        report = current.close()
        say_in_header(current)
        self.verdicts[current.model] = current.decision
        return cast("dict[str, Any]", report)


@hooks(name="errors", description="Tells midband of evals that start and of samples that end.")
class Observer(Hooks):
    """Takes note; the early stopping and the sample source look up what they need."""

    async def on_run_start(self, data: RunStart) -> None:
        """Note how many evals one command has."""
        _EVALS.clear()
        _EVALS[data.run_id] = len(data.task_names)

    async def on_run_end(self, data: "RunEnd") -> None:
        """Hear of evals that died or were cancelled, whose end nobody else tells of; say verdicts.

        An eval set has several runs, and its verdicts are printed when it ends.
        """
        status = {log.eval.eval_id: log.status for log in data.logs}
        for eval_id, run in list(live_runs().items()):
            if eval_id in status or not status:
                run.kept.end(run, run.decision, status=status.get(eval_id, "cancelled"))
                forget_run(eval_id)
        of_a_set = getattr(data, "eval_set_id", None) and hasattr(Hooks, "on_eval_set_end")
        if not of_a_set:
            say_now()

    async def on_eval_set_end(self, data: "EvalSetEnd") -> None:
        """Print the verdicts of an eval set."""
        say_now()

    async def on_task_start(self, data: TaskStart) -> None:
        """Note which eval begins in this context; each attempt begins anew."""
        plan = getattr(data, "plan", None)  # newer versions of Inspect have it
        config = data.spec.model_generate_config if plan is None else plan.config
        running_eval.set(RunningEval(data.spec, max_connections=config.max_connections))

    async def on_sample_end(self, data: SampleEnd) -> None:
        """Pass on what a sample cost, and its error if it ended in one."""
        run = live_runs().get(data.eval_id) or live_entrants().get(data.eval_id)
        if run is not None:
            note_sample(run, data.sample)

    async def on_task_end(self, data: TaskEnd) -> None:
        """Write where the log is to the file that `LOGS` names, if it names one."""
        place = os.environ.get(LOGS)
        if place and data.log.location:
            with suppress(OSError), Path(place).open("a", encoding="utf-8") as file:
                file.write(f"{data.log.location}\n")


def evals_in_run(run_id: str) -> int:
    """Return how many evals a command has: one for each model of each task."""
    return _EVALS.get(run_id, 1)


def note_sample(run: "LiveRun | Entrant", sample: "EvalSample") -> bool:
    """Tell what a sample cost, and its error where that counts; return whether it counts."""
    run.spent(sample.id, sample.epoch, (*attempt_cost(sample), attempt_tokens(sample)), sample.uuid)
    if sample.error is None or (run.score_on_error and sample.scores):
        return False
    run.errored(sample.id, sample.epoch, str(sample.error.message))
    return True
