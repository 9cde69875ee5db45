"""What the demonstration registers with Inspect AI."""

from typing import TYPE_CHECKING

from inspect_ai.model import modelapi

if TYPE_CHECKING:
    from inspect_ai.model import ModelAPI


@modelapi(name="midband_demo")
def midband_demo() -> "type[ModelAPI]":
    """Return the simulated model provider of ``midband demo``."""
    from midband.demo._inspect import SimulatedModel

    return SimulatedModel
