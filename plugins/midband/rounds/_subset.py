"""What a harness is given of a plan: which tasks, under which name of the benchmark."""

from dataclasses import replace
from typing import TYPE_CHECKING

from midband_history import InputError

if TYPE_CHECKING:
    from midband._harness import Harness
    from midband_sampler import Plan


def fixed_order(plan: "Plan") -> tuple[str, ...]:
    """Return the tasks that a run without midband goes through, in the plan's order."""
    return plan.fixed().tasks[: plan.max_tasks]


def named(plan: "Plan", benchmark: str | None) -> "Plan":
    """Return the plan with the name that the harness gives the benchmark."""
    return plan if benchmark is None else replace(plan, benchmark=benchmark)


def check_attempts(harness: "Harness", attempts: int) -> None:
    """Refuse more than one attempt of a harness that runs a task once.

    Raises
    ------
    InputError
        It cannot repeat tasks.
    """
    if attempts > 1 and not harness.capabilities.attempts:
        msg = f"expected --attempts 1 with {harness.name}, got {attempts}: it runs a task once"
        raise InputError(msg)
