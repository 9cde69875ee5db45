"""The state of a run: its results, costs and tries so far, and the choice of the next tasks."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from midband.rounds.costs import Costs, Paid, limit_reached, refuse_unknown_costs
from midband.rounds.journal import (
    INTERRUPTED,
    AttemptResult,
    EarlierResults,
    RoundEnd,
    by_task,
    known_results,
)
from midband.rounds.run_settings import UNITS, RunSettings, Standing
from midband_history import InputError

if TYPE_CHECKING:
    from midband.descriptors import Harness
    from midband_sampler import Plan, Session

# So often a task is tried before it counts as one without a result; the last time alone, since
# one that hangs or crashes the harness takes others with it.
MAX_TRIES = 3
# So many rounds without a score end the run: something is wrong with its surroundings.
MAX_BARREN = 2
# Rounds that the planned tasks make, unless the user says how many tasks one has.
_ROUNDS = 10
# Until this run's own costs are known, a round may be expected to take this share of what is left.
_FIRST_SHARE = 0.25


class Chooser(Protocol):
    """Whoever names the tasks of a run, and is told their results."""

    def next_task(self) -> str | None:
        """Return the next new task; None once decided or out of tasks."""

    def starts(self, task: str) -> None:
        """Note that the harness is given this task."""

    def told(self, task: str, results: "Sequence[AttemptResult]") -> None:
        """Take in the results of a task's attempts, one at least."""


class RunState:
    """State of a run, built from its rounds in order; the same rounds give the same state.

    Parameters
    ----------
    chooser : Chooser
        Told every result.
    tasks : sequence of str
        Those that a round may hold.
    live : bool
        Whether each task is chosen from the results so far.

    Attributes
    ----------
    rounds : int
        Rounds that have ended.
    given : set of str
        Tasks that the harness was given and that came back, with or without a result.
    known : set of str
        Tasks whose results an earlier directory brought.
    waiting : list of str
        Tasks that the chooser asked for and that are to be run in the next round.
    paid : dict of str to Paid
        What was paid, by unit: ``usd``, ``seconds`` and ``tokens``.
    barren : int
        Rounds without a score since the last one with any.
    has_scores : bool
        Whether any attempt has a score.
    without_result : dict of str to None
        Tasks that were told as no information, in their order.
    earlier : EarlierResults
        What a new round's results are compared with.
    open_round : dict or None
        The event of a round that was begun and has not ended.
    next_step : int
        The first step of it that was not started.
    """

    def __init__(self, chooser: Chooser, tasks: Sequence[str], *, live: bool = False) -> None:
        self._chooser = chooser
        self._live = live
        self._planned = frozenset(tasks)
        self.rounds = 0
        self.given: set[str] = set()
        self.known: set[str] = set()
        self.waiting: list[str] = []
        self.paid = {unit: Paid() for unit in UNITS}
        self.barren = 0
        self.has_scores = False
        self.without_result: dict[str, None] = {}
        self.earlier = EarlierResults()
        self.open_round: dict[str, Any] | None = None
        self.next_step = 0
        self._tries: Counter[str] = Counter()
        self._extra: set[str] = set()

    @property
    def tasks(self) -> int:
        """Number of different tasks that were given to the harness, or that it ran unasked."""
        return len(self.given | self._extra)

    def alone(self) -> str | None:
        """Return a task whose last try is due, which it has by itself; None if there is none."""
        due = (task for task in self.waiting if self._tries[task] == MAX_TRIES - 1)
        return next(due, None)

    def ask(self) -> str | None:
        """Return the next new task; None once decided or out of tasks."""
        return self._chooser.next_task()

    def begin(self, tasks: tuple[str, ...]) -> None:
        """Note that a round of these tasks starts."""
        for task in tasks:
            self._chooser.starts(task)
        self.waiting = [task for task in self.waiting if task not in tasks]

    def restore(self, event: dict[str, Any], note: Callable[[str], None]) -> None:
        """Take in an event that an earlier process wrote into the journal.

        Raises
        ------
        InputError
            It does not follow from the events before.
        ValueError
            It ends a round with something else than results.
        """
        kind = event["event"]
        if kind == "stopped":  # what ended for want of results starts anew
            self.barren = 0
            self._tries.clear()
        elif kind == "known":
            self.bring(known_results(event, self._planned))
        elif kind == "round":
            strange = sorted(set(event["tasks"]) - self._planned)
            if strange:
                msg = f"a round with {strange[0]!r:.40}, which is no task of the plan"
                raise InputError(msg)
            self._repeat(tuple(event["tasks"]))
            self.open_round, self.next_step = event, 0
        elif kind in ("step", "ended", "withdrawn"):
            begun = self.open_round
            if begun is None:
                msg = f"the event {kind!r} without a round that is open"
                raise InputError(msg)
            if kind == "step":
                self.next_step = event["step"] + 1
                return
            self.open_round = None
            if kind == "withdrawn":
                self.waiting.extend(begun["tasks"])
                return
            end = RoundEnd.from_dict(event["round"])
            if (end.name, list(end.tasks)) != (begun["name"], begun["tasks"]):
                msg = f"the end of another round than {begun['name']}"
                raise InputError(msg)
            for line in end.notes:
                note(f"{end.name}: {line}")
            self.take(end, attempts=event["attempts"])

    def bring(self, results: Iterable[AttemptResult]) -> None:
        """Take in results of earlier directories, which cost this run nothing."""
        for task, found in by_task(results).items():
            self.known.add(task)
            self._chooser.told(task, found)

    def _repeat(self, tasks: tuple[str, ...]) -> None:
        """Begin a round that an earlier process began, with the choices that led to it."""
        for task in tasks:
            if self._live and task not in self.given:
                asked = self.ask()
                if asked not in (task, None):  # another version of midband chose otherwise
                    self.waiting.append(asked)
        self.begin(tasks)

    def take(self, end: RoundEnd, *, attempts: int) -> list[AttemptResult]:
        """Take in the end of a round and return what the chooser was told.

        Tasks whose result is open are tried again; after `MAX_TRIES` they are told as they are,
        without a result as ``missing``.
        """
        self.rounds += 1
        self._count_costs(end, attempts)
        self.earlier.keys.update(result.key for result in end.results if result.key)
        self.earlier.agent = end.agent or self.earlier.agent
        self._extra.update(end.extra)
        if end.scored:
            self.barren = 0
        elif not (self.has_scores and self.given.issuperset(end.tasks)):
            self.barren += 1
        self.has_scores |= bool(end.scored)
        open_tasks = end.open_tasks()
        told: list[AttemptResult] = []
        for task in end.tasks:
            self.given.add(task)
            # A kill of midband says nothing of the task.
            self._tries[task] += end.status != INTERRUPTED
            last = self._tries[task] >= MAX_TRIES and self.barren < MAX_BARREN
            if task in open_tasks and not last:
                self.waiting.append(task)
            else:
                told += self._tell(task, [each for each in end.results if each.task == task])
        return told

    def _tell(self, task: str, results: list[AttemptResult]) -> list[AttemptResult]:
        if not any(result.kind == "valid" for result in results):
            self.without_result[task] = None
        told = results or [AttemptResult(task=task, attempt=0, score=None, kind="missing")]
        self._chooser.told(task, told)
        self.earlier.attempts.update((task, result.attempt) for result in results)
        return told

    def _count_costs(self, end: RoundEnd, attempts: int) -> None:
        for unit, paid in self.paid.items():
            paid.extra += getattr(end, f"extra_{unit}")
            told = [(each.task, each.spent(unit)) for each in end.results]
            known = [(task, amount) for task, amount in told if amount is not None]
            paid.known += [amount for _, amount in known]
            number = Counter(task for task, _ in known)
            for task in end.tasks:
                paid.unknown[task] += max(attempts - number[task], 0)


class RoundPlanner:
    """Chooses the tasks of each round, cut so that it is not expected to pass the limits.

    Parameters
    ----------
    plan : Plan
    harness : Harness
    settings : RunSettings
    state : RunState
        As it stands at each call.
    session : Session
        Which the state tells.
    """

    def __init__(
        self,
        plan: "Plan",
        harness: "Harness",
        settings: RunSettings,
        state: RunState,
        session: "Session",
    ) -> None:
        self._plan = plan
        self._harness = harness
        self._settings = settings
        self._state = state
        self._session = session
        self._costs = {
            unit: Costs(plan, state, attempts=settings.attempts, unit=unit) for unit in UNITS
        }

    def standing(self) -> Standing:
        """Return the state for a report."""
        state = self._state
        decision = self._session.decision()
        planned = self._plan.tasks[: decision.tasks_planned]
        ahead = [task for task in planned if task not in state.given | state.known]
        usd = self._costs["usd"]
        return Standing(
            decision=decision,
            rounds=state.rounds,
            tasks=state.tasks,
            recorded_usd=usd.recorded,
            spent_usd=usd.spent,
            spent_seconds=self._costs["seconds"].spent,
            spent_tokens=self._costs["tokens"].spent,
            remaining_usd=0.0 if decision.stop else usd.expected(ahead),
            without_result=tuple(state.without_result),
        )

    def next_tasks(self) -> tuple[tuple[str, ...], str]:
        """Return the tasks of the next round, and why there are not more of them.

        Raises
        ------
        InputError
            The cost is limited and cannot be known.
        """
        state = self._state
        for unit in self._unknown():
            refuse_unknown_costs(self._harness, state.rounds, unit)
        alone = state.alone()
        if alone is not None:
            refusal = self._refusal([], alone)
            return (() if refusal else (alone,)), refusal
        size = self._round_size()
        again = [task for task in state.waiting if task in state.given][:size]
        queue = [*again, *(task for task in state.waiting if task not in again)]
        chosen: list[str] = []
        # At least one new task beside those tried before: one that never ends must not stand
        # in the way of the rest.
        while len(chosen) < max(size, len(again) + 1):
            task = queue.pop(0) if queue else state.ask()
            if task is None:
                break
            refusal = self._refusal(chosen, task)
            if refusal:
                if task not in state.waiting:
                    state.waiting.append(task)
                return tuple(chosen), refusal
            chosen.append(task)
        return tuple(chosen), ""

    def _round_size(self) -> int:
        if self._settings.round_size is not None:
            return self._settings.round_size
        size = -(-self._session.decision().tasks_planned // _ROUNDS)
        return size if self._state.has_scores else max(size, self._plan.stop.min_tasks)

    def _refusal(self, chosen: list[str], task: str) -> str:
        """Return why a task cannot join those chosen for a round; empty if it can."""
        state, max_tasks = self._state, self._settings.max_tasks
        tasks = state.tasks + len(set(chosen) - state.given)
        if max_tasks is not None and tasks >= max_tasks and task not in state.given:
            return f"task limit reached: {tasks} of {max_tasks} tasks run"
        if self._unknown():
            return "one task to learn what it costs" if chosen else ""
        ahead = f"the next {len(chosen) + 1} tasks are" if chosen else "the next task is"
        few = ""
        for unit, most in self._settings.limits.items():
            costs = self._costs[unit]
            spent, cost = costs.spent, costs.expected([*chosen, task])
            if cost > most - spent + 1e-9:
                return limit_reached(unit, spent, most, f"{ahead} expected to", cost)
            if chosen and not state.paid[unit].known and cost > (most - spent) * _FIRST_SHARE:
                few = "few tasks to learn what they cost"
        return few

    def _unknown(self) -> list[str]:
        """Return the units that are limited, and in which nothing says what an attempt costs."""
        return [unit for unit in self._settings.limits if math.isnan(self._costs[unit].attempt())]
