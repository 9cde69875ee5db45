"""Live choice in Inspect's terms: a source that names the next sample after every result."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inspect_ai import SampleSource
from inspect_ai.util import display_counter

from midband.inspect._bridge import MAX_SAMPLES
from midband.inspect._choosing import RECORD, ChoosingRun
from midband.inspect._metric import UNKNOWN_METRIC, ScoreReader, metric_of
from midband.inspect._observer import RunningEval, running_eval
from midband.inspect._samples import attempt_cost, task_id
from midband.inspect._shown import begin_run, say_in_header

if TYPE_CHECKING:
    from inspect_ai.dataset import Sample
    from inspect_ai.log import EvalSample

    from midband_history import Metric
    from midband_sampler import MaxErrors, Plan

logger = logging.getLogger(__name__)


class AdaptiveSource(SampleSource):
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

    def __init__(
        self,
        plan: "Plan",
        samples: "Mapping[str, Sample]",
        *,
        metric: "Metric | None" = None,
        max_errors: "MaxErrors | None" = None,
    ) -> None:
        self.plan = plan
        self._samples = samples
        self._metric = metric_of(plan) if metric is None else metric
        self._max_errors = max_errors

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
            run.spent(sample.id, sample.epoch, *attempt_cost(sample))
            if sample.error is not None and not (run.score_on_error and sample.scores):
                run.errored(sample.id, sample.epoch, str(sample.error.message))
            else:
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
        samples = self._named(run, tasks)
        _record(current, run, over=not samples and (idle or not run.waiting))
        return samples or None

    def _begin(self, current: RunningEval) -> ChoosingRun:
        spec = current.spec
        config = None if spec is None else spec.config
        available = _wanted(self._samples, config)
        limit = None
        if config is not None and config.sample_id is None and isinstance(config.limit, int):
            limit = config.limit
        run = ChoosingRun(
            self.plan,
            eval_id="" if spec is None else spec.eval_id,
            model="" if spec is None else spec.model,
            epochs=(config.epochs if config is not None else None) or 1,
            reader=ScoreReader(self._metric, spec=spec),
            show=display_counter,
            available=available,
            width=_width(current),
            limit=limit,
            earlier=_earlier(current, self.plan),
            max_errors=self._max_errors,
            score_on_error=bool(getattr(config, "score_on_error", None)),
        )
        current.run = run
        begin_run(run, spec)
        if spec is None:
            run.fail(RuntimeError("Inspect did not announce the eval"))
        else:
            run.open()
        if not self._metric.known:
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
            sample = self._samples[task]
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


def _wanted(samples: "Mapping[str, Sample]", config: Any) -> dict[str, None]:
    """Return the tasks that ``--sample-id`` lets run, by Inspect's own reading of it."""
    if config is None or config.sample_id is None:
        return dict.fromkeys(samples)
    try:
        from inspect_ai._eval.task.util import sample_id_filter

        matches = sample_id_filter(config.sample_id).matches
    except (ImportError, AttributeError):  # a version that keeps it elsewhere
        return dict.fromkeys(samples)
    return {task: None for task, sample in samples.items() if matches(sample.id)}


def _width(current: RunningEval) -> int:
    """Return how many samples run at a time: the user's number, or few, so that a stop saves."""
    chosen = None if current.spec is None else current.spec.config.max_samples
    return chosen or min(MAX_SAMPLES, current.max_connections or MAX_SAMPLES)


def _earlier(current: RunningEval, plan: "Plan") -> list[str]:
    """Return the order of the attempt that this one repeats, if Inspect passed it on."""
    metadata = None if current.spec is None else current.spec.metadata
    record = (metadata or {}).get(RECORD)
    if not isinstance(record, Mapping) or record.get("plan_digest") != plan.digest:
        return []
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
