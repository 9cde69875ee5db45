"""What a run may cost: every round is cut so that it is not expected to pass the limits."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from midband.rounds._settings import RunSettings
from midband.rounds._state import RunState

if TYPE_CHECKING:
    from midband_sampler import Plan

# Until this run's own costs are known, a round may be expected to take this share of what is left.
_FIRST_SHARE = 0.25


class Budget:
    """Expected and spent money of a run; unknown is NaN.

    An attempt is expected to cost what the history says of its task, or what an attempt of this
    run has cost on average, whichever is more.

    Parameters
    ----------
    plan : Plan
    settings : RunSettings
    """

    def __init__(self, plan: "Plan", settings: RunSettings) -> None:
        self._costs = dict(zip(plan.all_tasks, plan.expected_cost_usd.tolist(), strict=True))
        known = [cost for cost in self._costs.values() if not math.isnan(cost)]
        self._typical = math.fsum(known) / len(known) if known else math.nan
        self._attempts = settings.attempts
        self._max_usd = math.inf if settings.max_usd is None else settings.max_usd
        self._max_tasks = settings.max_tasks

    def attempt_usd(self, task: str, state: RunState) -> float:
        """Return the expected cost of one attempt, US dollars."""
        expected = self._costs.get(task, math.nan)
        if math.isnan(expected):
            expected = self._typical
        own = math.fsum(state.costs) / len(state.costs) if state.costs else math.nan
        return max((cost for cost in (expected, own) if not math.isnan(cost)), default=math.nan)

    def expected_usd(self, tasks: Iterable[str], state: RunState) -> float:
        """Return the expected cost of these tasks, each with all its attempts, US dollars."""
        return math.fsum(self.attempt_usd(task, state) * self._attempts for task in tasks)

    def recorded_usd(self, state: RunState) -> float:
        """Return what the harness has recorded as spent, US dollars."""
        return math.fsum(state.costs) + state.extra_usd

    def spent_usd(self, state: RunState) -> float:
        """Return recorded costs and, where an attempt has none, expected ones; US dollars."""
        unknown = math.fsum(
            self.attempt_usd(task, state) * count for task, count in state.uncosted.items() if count
        )
        return self.recorded_usd(state) + unknown

    def is_unknown(self, state: RunState) -> bool:
        """Whether there is a limit to the cost, and no cost to judge it by."""
        return math.isfinite(self._max_usd) and math.isnan(self.attempt_usd("", state))

    def refusal(self, chosen: list[str], task: str, state: RunState) -> str:
        """Return why a task cannot join those chosen for a round; empty if it can."""
        tasks = state.tasks + sum(not state.was_tried(each) for each in chosen)
        if self._max_tasks is not None and tasks >= self._max_tasks and not state.was_tried(task):
            return f"task limit reached: {tasks} of {self._max_tasks} tasks run"
        if math.isinf(self._max_usd):
            return ""
        if self.is_unknown(state):
            return "one task to learn what it costs" if chosen else ""
        spent = self.spent_usd(state)
        room = self._max_usd - spent
        cost = self.expected_usd([*chosen, task], state)
        if cost > room + 1e-9:
            return (
                f"money limit reached: ${spent:.2f} of ${self._max_usd:.2f} spent, and"
                f" {_next(len(chosen) + 1)} expected to cost ${cost:.2f}"
            )
        if chosen and not state.costs and cost > room * _FIRST_SHARE:
            return "few tasks to learn what they cost"
        return ""


def _next(tasks: int) -> str:
    return "the next task is" if tasks == 1 else f"the next {tasks} tasks are"
