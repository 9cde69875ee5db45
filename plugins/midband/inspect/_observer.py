"""The observer: what Inspect says of a running eval beyond what its callbacks tell midband.

An early-stopping manager hears only of scored samples, and not what they cost. A sample that
errors would leave a gap in the completed prefix for ever, and the run could never stop early again.
A sample source is not told which eval it serves. The observer is imported with the first adaptive
task, not at Inspect's start, whose screen counts the hooks of every package.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspect_ai.hooks import Hooks, SampleEnd, TaskStart, hooks

from midband.inspect._live import live_runs
from midband.inspect._samples import attempt_cost

if TYPE_CHECKING:
    from inspect_ai.log import EvalSpec

    from midband.inspect._live import LiveRun


@dataclass(eq=False)
class RunningEval:
    """One attempt at one task on one model; `run` is its state, once it has begun.

    Parameters
    ----------
    spec : EvalSpec or None
        None where Inspect did not announce the eval.
    max_connections : int or None
        Calls to the model at a time, where the user set them.
    """

    spec: "EvalSpec | None"
    max_connections: int | None = None
    run: "LiveRun | None" = None


# Each eval runs in a context of its own, in which the contexts of its samples begin.
running_eval: ContextVar[RunningEval | None] = ContextVar("midband_eval", default=None)


@hooks(name="errors", description="Tells midband of evals that start and of samples that end.")
class Observer(Hooks):
    """Takes note; the early stopping and the sample source look up what they need."""

    async def on_task_start(self, data: TaskStart) -> None:
        """Note which eval begins in this context; each attempt begins anew."""
        plan = getattr(data, "plan", None)  # newer versions of Inspect have it
        config = data.spec.model_generate_config if plan is None else plan.config
        running_eval.set(RunningEval(data.spec, max_connections=config.max_connections))

    async def on_sample_end(self, data: SampleEnd) -> None:
        """Pass on what a sample cost, and its error if it ended in one."""
        run = live_runs().get(data.eval_id)
        if run is None:
            return
        sample = data.sample
        run.spent(sample.id, sample.epoch, *attempt_cost(sample))
        if sample.error is not None and not (run.score_on_error and sample.scores):
            run.errored(sample.id, sample.epoch, str(sample.error.message))
