"""Live choice in Inspect's terms: a source that names the next sample after every result."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inspect_ai import SampleSource
from inspect_ai.util import display_counter

from midband.inspect._bridge import MAX_SAMPLES
from midband.inspect._choosing import RECORD, ChoosingRun
from midband.inspect._metric import ScoreReader, metric_of
from midband.inspect._observer import RunningEval, running_eval
from midband.inspect._samples import attempt_cost, task_id

if TYPE_CHECKING:
    from inspect_ai.dataset import Sample
    from inspect_ai.log import EvalSample

    from midband_sampler import Plan

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
    """

    def __init__(self, plan: "Plan", samples: "Mapping[str, Sample]") -> None:
        self.plan = plan
        self._samples = samples

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
        if current is None or current.run is None:
            return None
        run = current.run
        try:
            run.spent(sample.id, sample.epoch, *attempt_cost(sample))
            if sample.error is not None:
                run.errored(sample.id, sample.epoch, str(sample.error.message))
            else:
                run.scored(sample.id, sample.epoch, run.reader.read(sample.scores))
        except Exception as error:  # a score of an unknown shape must not end the eval
            run.fail(error)
        return self._go_on(current)

    async def sample_abandoned(self, sample: "Sample", epoch: int) -> "list[Sample] | None":
        """Take in a sample that was cancelled before it began; return what follows it."""
        current = running_eval.get()
        if current is None or current.run is None:
            return None
        current.run.lost(task_id(sample.id), epoch, "cancelled")
        return self._go_on(current)

    def _go_on(self, current: RunningEval, *, idle: bool = False) -> "list[Sample] | None":
        run = current.run
        if run is None:
            run = current.run = self._begin(current)
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
        limit = None
        if config is not None and config.sample_id is None and isinstance(config.limit, int):
            limit = config.limit
        run = ChoosingRun(
            self.plan,
            eval_id="" if spec is None else spec.eval_id,
            model="" if spec is None else spec.model,
            epochs=(config.epochs if config is not None else None) or 1,
            reader=ScoreReader(metric_of(self.plan), spec=spec),
            show=display_counter,
            available=self._samples.keys(),
            width=_width(current),
            limit=limit,
            earlier=_earlier(current, self.plan),
        )
        if spec is None:
            run.fail(RuntimeError("Inspect did not announce the eval"))
        else:
            run.open()
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
    except Exception as error:  # what cannot be noted must not end the eval
        run.fail(error)
