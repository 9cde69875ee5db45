"""Early stopping in Inspect's terms: which samples of a running eval need not run."""

from typing import TYPE_CHECKING, Any, cast

from inspect_ai.util import EarlyStop, display_counter

from midband.inspect._live import LiveRun
from midband.inspect._metric import UNKNOWN_METRIC, ScoreReader, metric_of
from midband.inspect._shown import begin_run, current_run, say_in_header

if TYPE_CHECKING:
    from inspect_ai.dataset import Sample
    from inspect_ai.log import EvalSpec
    from inspect_ai.scorer import SampleScore
    from pydantic import JsonValue

    from midband_history import Metric
    from midband_sampler import MaxErrors, Plan


class AdaptiveStopping:
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

    def __init__(
        self,
        plan: "Plan",
        *,
        metric: "Metric | None" = None,
        max_errors: "MaxErrors | None" = None,
        note: str = "",
    ) -> None:
        from midband.inspect import _observer

        del _observer  # imported so that Inspect knows it
        self.plan = plan
        self._metric = metric_of(plan) if metric is None else metric
        self._max_errors = max_errors
        self._note = note

    async def start_task(self, task: "EvalSpec", samples: "list[Sample]", epochs: int) -> str:
        """Begin one task on one model; every call is a fresh start."""
        run = LiveRun(
            self.plan,
            eval_id=task.eval_id or task.run_id,
            model=task.model,
            epochs=epochs,
            reader=ScoreReader(self._metric, spec=task),
            show=display_counter,
            max_errors=self._max_errors,
            score_on_error=bool(getattr(task.config, "score_on_error", None)),
        )
        begin_run(run, task)
        run.open()
        if self._note:
            run.note(self._note)
        if not self._metric.known:
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
        reason = None if current is None else current.reason_to_skip()
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
        return cast("dict[str, Any]", report)
