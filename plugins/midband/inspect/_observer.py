"""The observer: tells a running adaptive eval of samples that ended in an error.

An early-stopping manager hears only of scored samples. A sample that errors would leave a gap in
the completed prefix for ever, and the run could never stop early again. It is imported with the
first adaptive task, not at Inspect's start, whose screen counts the hooks of every package.
"""

from inspect_ai.hooks import Hooks, SampleEnd, hooks

from midband.inspect._live import live_runs


@hooks(name="errors", description="Tells midband of samples that ended in an error.")
class Observer(Hooks):
    """Listens only while an adaptive eval is running."""

    def enabled(self) -> bool:
        """Whether an adaptive eval is running."""
        return bool(live_runs())

    async def on_sample_end(self, data: SampleEnd) -> None:
        """Pass a final error on."""
        run = live_runs().get(data.eval_id)
        if run is not None and data.sample.error is not None:
            run.errored(data.sample.id, data.sample.epoch, str(data.sample.error.message))
