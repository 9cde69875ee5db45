"""What a run has paid and what its tasks are expected to cost: dollars, seconds and tokens."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midband.rounds.run_settings import amount_text
from midband_history import InputError

if TYPE_CHECKING:
    from midband.descriptors import Harness
    from midband.rounds.state import RunState
    from midband_sampler import Plan


@dataclass
class Paid:
    """What a run has paid in one unit.

    Parameters
    ----------
    known : list of float
        Known amounts of attempts.
    extra : float
        Known amounts of what was not asked for.
    unknown : Counter of str
        Number of attempts by task that were started and whose amount is unknown.
    """

    known: list[float] = field(default_factory=list)
    extra: float = 0.0
    unknown: Counter[str] = field(default_factory=Counter)


class Costs:
    """What a run has cost and what its tasks are expected to cost, in one unit; NaN if unknown.

    An attempt is expected to cost what the history says of its task, or what an attempt of this
    run has cost on average, whichever is more.

    Parameters
    ----------
    plan : Plan
        With what the history says.
    state : RunState
        As it stands at each call.
    attempts : int
        How often a task is run.
    elsewhere : callable, optional
        Returns what an attempt costs where neither says.
    unit : str
        ``usd``, ``seconds`` or ``tokens``. Of seconds the history says nothing.
    """

    def __init__(
        self,
        plan: "Plan",
        state: "RunState",
        *,
        attempts: int,
        elsewhere: Callable[[], float] = lambda: math.nan,
        unit: str = "usd",
    ) -> None:
        self._paid = state.paid[unit]
        self._attempts = attempts
        self._elsewhere = elsewhere
        expected = plan.expected_cost_usd.tolist() if unit == "usd" else []
        self._costs = dict(zip(plan.all_tasks, expected, strict=False))
        self._typical = mean([cost for cost in self._costs.values() if not math.isnan(cost)])
        if unit == "tokens":
            self._typical = plan.mean_tokens

    @property
    def is_known(self) -> bool:
        """Whether the history or this run says what its attempts cost."""
        return bool(self._paid.known) or not math.isnan(self._typical)

    def attempt(self, task: str = "") -> float:
        """Return the expected cost of one attempt; of a typical task by default."""
        expected = self._costs.get(task, math.nan)
        known = (self._typical if math.isnan(expected) else expected, mean(self._paid.known))
        found = max((cost for cost in known if not math.isnan(cost)), default=math.nan)
        return self._elsewhere() if math.isnan(found) else found

    def expected(self, tasks: Iterable[str]) -> float:
        """Return the expected cost of these tasks, each with all its attempts."""
        return math.fsum(self.attempt(task) * self._attempts for task in tasks)

    @property
    def recorded(self) -> float:
        """What the harness recorded."""
        return math.fsum(self._paid.known) + self._paid.extra

    @property
    def spent(self) -> float:
        """Recorded costs and, where an attempt has none, expected ones."""
        uncosted = self._paid.unknown.items()
        expected = [self.attempt(task) * count for task, count in uncosted if count]
        return self.recorded + math.fsum(expected)


def refuse_unknown_costs(harness: "Harness", rounds: int, unit: str = "usd") -> None:
    """Refuse a limit where nothing says what an attempt costs in its unit, nor will.

    Raises
    ------
    InputError
        The harness records no costs, or the results of earlier rounds hold none.
    """
    if unit == "usd" and not harness.capabilities.costs:
        got = f"a history without costs and {harness.name}, which records none"
    elif rounds:
        got = f"none in the results of {rounds} rounds"
    else:
        return
    what = {"usd": "costs", "seconds": "durations", "tokens": "numbers of tokens"}[unit]
    hint = f"leave out --max-{unit} and use --max-tasks"
    msg = f"expected {what} to keep --max-{unit} by, got {got}: {hint}"
    raise InputError(msg)


def limit_reached(unit: str, spent: float, most: float, ahead: str, cost: float) -> str:
    """Return why a limit lets nothing more run; `ahead` says what would, up to the verb."""
    name, verb = {
        "usd": ("money", "cost"),
        "seconds": ("time", "take"),
        "tokens": ("token", "use"),
    }[unit]
    of = f"{amount_text(unit, spent, bare=True)} of {amount_text(unit, most)}"
    return f"{name} limit reached: {of} spent, and {ahead} {verb} {amount_text(unit, cost)}"


def mean(values: list[float]) -> float:
    """Return the mean of known values; NaN where there is none."""
    return math.fsum(values) / len(values) if values else math.nan
