"""Rules without evidence: stop when a budget is spent, or never."""

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
    """Stop when a budget is spent; this is no evidence, so that nothing is claimed.

    Exactly one of the four budgets must be given. The cost of the completed prefix of the order
    counts. Tasks that are still running at the stop cost extra.

    Parameters
    ----------
    tasks : int or None
        Completed tasks, with or without a result.
    usd, seconds, tokens : float or None
        US dollars, seconds and tokens. The rule does not stop if the amount spent is not known.
    confidence : float
        Confidence of the reported interval.
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
        """Return the settings, with ``tokens`` only if set: older plans lack that entry."""
        values = super().to_dict()
        return {name: each for name, each in values.items() if name != "tokens" or each is not None}

    @classmethod
    def forms(cls) -> tuple[str, ...]:
        """Return one form for each unit."""
        return ("tasks:N", "usd:X", "seconds:X", "tokens:N")

    @classmethod
    def readers(cls) -> Mapping[str, Callable[..., Rule]]:
        """Return one reader for each unit."""
        return {unit: partial(_read, unit) for unit in UNITS}

    @property
    def min_tasks(self) -> int:
        """0, because a budget needs no results."""
        return 0

    @property
    def can_claim(self) -> bool:
        """False, because spending is no evidence."""
        return False

    @property
    def task_limit(self) -> int | None:
        """The budget of tasks; None if the budget has another unit."""
        return self.tasks

    def counts(self, unit: str) -> bool:
        """Whether the budget is in that unit."""
        return getattr(self, unit) is not None

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the budget is spent."""
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
    """Run all planned tasks; the interval is reported, but does not stop the run."""

    name = "none"
    confidence: float = 0.95

    @property
    def min_tasks(self) -> int:
        """0, because the rule never stops a run."""
        return 0

    @property
    def can_claim(self) -> bool:
        """False, because the rule tests nothing."""
        return False

    @property
    def can_stop(self) -> bool:
        """False, because only the end of the plan ends the run."""
        return False

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Return False: the run continues."""
        return np.zeros(np.broadcast(snapshot.rank_low, snapshot.tasks).shape, dtype=bool)

    def claim(self, snapshot: Snapshot) -> None:
        """Claim nothing."""
        del snapshot
