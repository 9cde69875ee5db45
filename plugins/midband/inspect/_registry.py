"""What midband registers with Inspect AI: tasks, a metric, and the demonstration provider."""

import json
import os
from typing import TYPE_CHECKING, Any

from inspect_ai import Task
from inspect_ai._util.registry import RegistryInfo, registry_add, registry_info, set_registry_info
from inspect_ai.model import modelapi

from midband.inspect.command import SUITE_TASK, SUITE_TASKS
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


def _register_suite() -> None:
    """Offer each task of a suite under a name of its own, since one command runs them all.

    Inspect hands all tasks of a command the same arguments. A task that is made in this way is an
    adaptive one with its own arguments, so that its log can be retried like any other.
    """
    for place, spec in enumerate(json.loads(os.environ.get(SUITE_TASKS, "[]")), start=1):

        def of_suite(spec: str = spec, **arguments: Any) -> Task:
            return adaptive(task=spec, **arguments)

        info = registry_info(adaptive)
        name = f"{SUITE_TASK}{place}"
        registry_add(of_suite, RegistryInfo(type="task", name=name, metadata=info.metadata))
        set_registry_info(of_suite, info)


_register_suite()
