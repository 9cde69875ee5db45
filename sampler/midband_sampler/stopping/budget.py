"""Stop when so much was spent, or never."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler.stopping.base import Rule, Snapshot, WrongFormError, check_confidence

BUDGET_SPENT = "budget spent"
UNITS = ("tasks", "usd", "seconds", "tokens")


@dataclass(frozen=True, kw_only=True)
class Budget(Rule):
    """Stop when so much was spent: no evidence, so nothing is claimed.

    Exactly one of the four is given. Spent is what the completed prefix of the order cost; tasks
    that are running at the stop come on top.

    Parameters
    ----------
    tasks : int or None
        Completed tasks, with or without a result.
    usd, seconds, tokens : float or None
        US dollars, seconds and tokens; where they are not known the rule does not stop.
    confidence : float
        Of the interval that is reported.
    """

    name = "budget"
    why = BUDGET_SPENT
    tasks: int | None = None
    usd: float | None = None
    seconds: float | None = None
    tokens: float | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        given = [each for unit in UNITS if (each := getattr(self, unit)) is not None]
        if len(given) != 1 or not given[0] > 0:
            msg = (
                f"expected one budget above 0 of {', '.join(UNITS[:-1])} or {UNITS[-1]}, got"
                f" {given}: try tasks:30"
            )
            raise InputError(msg)

    def to_dict(self) -> dict[str, object]:
        """Return the settings; tokens only where they are the budget, as older plans have them."""
        values = super().to_dict()
        return {name: each for name, each in values.items() if name != "tokens" or each is not None}

    @classmethod
    def forms(cls) -> tuple[str, ...]:
        """One form a unit."""
        return ("tasks:N", "usd:X", "seconds:X", "tokens:N")

    @classmethod
    def readers(cls) -> Mapping[str, Callable[..., Rule]]:
        """One name a unit."""
        return {unit: partial(_read, unit) for unit in UNITS}

    @property
    def min_tasks(self) -> int:
        """Nothing needs to be known."""
        return 0

    @property
    def can_claim(self) -> bool:
        """Money spent is no evidence."""
        return False

    @property
    def task_limit(self) -> int | None:
        """The budget of tasks, if it is one."""
        return self.tasks

    def counts(self, unit: str) -> bool:
        """Whether the budget is in that unit."""
        return getattr(self, unit) is not None

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Ask whether it is spent."""
        (unit,) = (unit for unit in UNITS if self.counts(unit))
        spent = snapshot.tasks_run if unit == "tasks" else getattr(snapshot, unit)
        return np.asarray(spent >= getattr(self, unit))

    def claim(self, snapshot: Snapshot) -> None:
        """Claim nothing."""
        del snapshot


def _read(unit: str, *texts: str) -> Budget:
    try:
        (amount,) = (float(text) for text in texts)
    except ValueError as error:
        raise WrongFormError(":".join(texts)) from error
    if unit not in ("tasks", "tokens"):
        return Budget(**{unit: amount})  # type: ignore[arg-type]
    if not amount.is_integer():
        raise WrongFormError(texts[0])
    return Budget(**{unit: int(amount)})


@dataclass(frozen=True)
class Never(Rule):
    """Run everything in the plan; the interval is reported and nothing stops on it."""

    name = "none"
    confidence: float = 0.95

    @property
    def min_tasks(self) -> int:
        """No look matters."""
        return 0

    @property
    def can_claim(self) -> bool:
        """Nothing is asked, so nothing is claimed."""
        return False

    @property
    def can_stop(self) -> bool:
        """Only the end of the plan ends the run."""
        return False

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Go on."""
        return np.zeros(np.broadcast(snapshot.rank_low, snapshot.tasks).shape, dtype=bool)

    def claim(self, snapshot: Snapshot) -> None:
        """Claim nothing."""
        del snapshot
