"""What midband registers with Inspect AI: tasks, a metric, and the demonstration provider."""

from typing import TYPE_CHECKING

from inspect_ai.model import modelapi

from midband.inspect.race_task import race
from midband.inspect.shown import mind_scoring, verdict_metric
from midband.inspect.task import adaptive

if TYPE_CHECKING:
    from inspect_ai.model import ModelAPI

__all__ = ["adaptive", "midband_demo", "race", "verdict_metric"]

mind_scoring()


@modelapi(name="midband_demo")
def midband_demo() -> "type[ModelAPI]":
    """Return the simulated model provider of ``midband demo``."""
    from midband.inspect.simulated import SimulatedModel

    return SimulatedModel
