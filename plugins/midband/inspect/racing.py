"""One race over the evals that Inspect runs side by side: results in, each one's next task out."""

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio
import numpy as np

from midband.inspect.kept import KeptRace
from midband.inspect.race_command import new_race_id
from midband.inspect.shown import finite, wrapped
from midband.text import UNFOLDED, one_line

if TYPE_CHECKING:
    from midband.inspect.entrant import Entrant
    from midband.inspect.scores import SampleResult
    from midband_sampler.racing import Race, RacePlan, RaceVerdict

logger = logging.getLogger(__name__)

# How long an eval waits for the others to begin, and for one of them to get a result, in seconds.
FOR_A_START, FOR_A_RESULT = 60.0, 1800.0
_APART_IN_TIME = (
    "not all models ran at the same time: one that came early may have run more than was needed"
)

# By Inspect's eval id; an eval that dies never says so and is forgotten with its context.
_ENTRANTS: "WeakValueDictionary[str, Entrant]" = WeakValueDictionary()
_RACES: "WeakValueDictionary[str, SharedRace]" = WeakValueDictionary()


def live_entrants() -> Mapping[str, "Entrant"]:
    """Return the evals of races that are running in this process, by Inspect's eval id."""
    return _ENTRANTS


def still_to_run(plan: "RacePlan") -> list[str]:
    """Return the candidates that the history does not know in full."""
    if not plan.tasks:
        return list(plan.candidates)
    rows = np.flatnonzero(np.isnan(plan.known).any(axis=1))
    return [plan.candidates[row] for row in rows]


def shared_race(race_id: str, run_id: str, plan: "RacePlan") -> "SharedRace":
    """Return the race that the evals of one command share; a new one for the first of them.

    A later attempt at the same race begins anew, from the logs.
    """
    key = f"{race_id} {run_id} {plan.digest}"
    found = _RACES.get(key)
    if found is None:
        found = _RACES[key] = SharedRace(plan, race_id=race_id or new_race_id())
    return found


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What the logs of earlier attempts hold of a race.

    Parameters
    ----------
    results : mapping of (str, str) to SampleResult
        By candidate and task.
    order : sequence of str
        The shared order, as far as it is known.
    ended : frozenset of str
        Candidates whose last eval came to its end, so that no retry is to be expected.
    """

    results: Mapping[tuple[str, str], "SampleResult"] = field(default_factory=dict)
    order: Sequence[str] = ()
    ended: frozenset[str] = frozenset()


@dataclass(eq=False, repr=False)
class SharedRace:
    """What the evals of one race have in common; it never raises.

    Whatever goes wrong is kept, every eval that still runs then runs all its tasks, and nothing is
    claimed: a saving must never cost an evaluation.

    No eval runs far ahead of another whose comparison with it is open: a fast model would else
    have run the whole benchmark before a slow one has run a tenth. It waits until the other gets
    on, ends or dies, and for half an hour at most if none of these happens.

    An eval that the race has let go of starts nothing more. It stays open until the race is over,
    since the results of others may bring it back, unless models that have not begun need its place.

    Parameters
    ----------
    plan : RacePlan
    race_id : str
        Names the race over all attempts at it.
    starters : int
        Evals that begin at the same time; the first waits a little for the others.
    """

    plan: "RacePlan"
    _: KW_ONLY
    race_id: str
    starters: int = 0
    error: str = field(default="", init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    kept: KeptRace = field(default_factory=KeptRace, init=False)
    opened: bool = field(default=False, init=False)
    lock: anyio.Lock = field(default_factory=anyio.Lock, init=False)
    _order: Sequence[str] = field(default=(), init=False)
    _race: "Race | None" = field(default=None, init=False)
    _results: dict[tuple[str, str], "SampleResult"] = field(default_factory=dict, init=False)
    _running: dict[str, "Entrant"] = field(default_factory=dict, init=False)
    _begun: set[str] = field(default_factory=set, init=False)
    _done: Counter[str] = field(default_factory=Counter, init=False)
    _dead: dict[str, str] = field(default_factory=dict, init=False)
    _gone: "dict[str, Entrant]" = field(default_factory=dict, init=False)
    _stalled: set[str] = field(default_factory=set, init=False)
    _version: int = field(default=0, init=False)
    _changed: anyio.Event | None = field(default=None, init=False)

    def open(self, earlier: Earlier) -> None:
        """Begin, with what earlier attempts left; where some wait for others, that is said."""
        self.opened = True
        self._order = list(earlier.order)
        self._results = dict(earlier.results)
        self._begun.update(earlier.ended)
        self.starters = min(self.starters + len(earlier.ended), len(still_to_run(self.plan)))
        if self.starters < len(still_to_run(self.plan)):
            self.note(_APART_IN_TIME)
        self.guard(self._rebuild)

    def enter(self, entrant: "Entrant") -> None:
        """Let a candidate run; what it ran without a score may be tried again."""
        name = entrant.candidate
        self._running[name] = entrant
        self._begun.add(name)
        _ENTRANTS[entrant.eval_id] = entrant
        vain = [key for key, each in self._results.items() if key[0] == name and each.score is None]
        if vain or name in self._dead:
            self._dead.pop(name, None)
            self._gone.pop(name, None)
            for key in vain:
                del self._results[key]
            self.guard(self._rebuild)
        self._tell_others()

    def has(self, candidate: str) -> bool:
        """Whether an eval of the candidate is running."""
        return candidate in self._running

    def leave(self, entrant: "Entrant", *, early: bool) -> None:
        """Take in that an eval is over.

        Parameters
        ----------
        entrant : Entrant
        early : bool
            Whether it ended before the race let go of it. By an error of its own that sets the
            candidate apart. Otherwise it does so once another eval continues: all of them may have
            been interrupted.
        """
        if self._running.get(entrant.candidate) is not entrant:
            return
        del self._running[entrant.candidate]
        _ENTRANTS.pop(entrant.eval_id, None)
        if early:
            self._gone[entrant.candidate] = entrant
            if entrant.last_error:
                self.set_apart_gone()
        self._tell_others()

    def set_apart_gone(self) -> None:
        """Set those apart whose eval ended early."""
        for name, entrant in list(self._gone.items()):
            del self._gone[name]
            for task in list(entrant.waiting):
                entrant.lost(task)
            because = f" with an error: {entrant.last_error}" if entrant.last_error else " early"
            self._dead[name] = one_line(f"its eval ended{because}")
            self.guard(partial(self._withdraw, name, self._dead[name]))

    def finished(self, candidate: str) -> list[str]:
        """Return the tasks of which a candidate has a score, in the shared order."""
        known = {
            task
            for (name, task), each in self._results.items()
            if name == candidate and each.score is not None
        }
        order = [] if self._race is None else self._race.order
        found = [task for task in order if task in known]
        return found + sorted(known.difference(found))

    def ask(self, entrant: "Entrant") -> str | None:
        """Return the next task of a candidate; None if it is let go or has to wait."""
        self.set_apart_gone()
        task: object = self.guard(lambda: self._race and self._race.ask_for(entrant.candidate))
        if task is None and self._runs_on(entrant.candidate):
            task = self.guard(partial(self._further, entrant))
        return task if isinstance(task, str) else None

    def tell(self, candidate: str, task: str, result: "SampleResult") -> None:
        """Take in a result; the first one with a score stands."""
        known = self._results.get((candidate, task))
        if known is not None and (known.score is not None or result.score is None):
            return
        self._done[candidate] += known is None
        self._results[candidate, task] = result
        self._stalled.discard(candidate)
        self.kept.result(candidate, task, result)
        self.guard(partial(self._tell, candidate, task, result))
        self._tell_others()

    def holds(self, entrant: "Entrant") -> bool:
        """Whether a candidate has run far ahead, or others are about to begin."""
        name, started, width = entrant.candidate, entrant.started, entrant.width
        if self.error or not self._useful(name):
            return False
        if len(self._begun) < self.starters:
            return True
        rivals = self._running.keys() - {name} - self._stalled
        counts = [self._done[each] for each in rivals if self._useful(each)]
        if counts:
            slowest = min(counts)
            return started >= slowest + max(2 * width, slowest // 4)
        return started >= self._alone_at_most(name)

    def _alone_at_most(self, candidate: str) -> float:
        """Return how far a candidate runs while no other does.

        Without a history it is compared on shared tasks, so that what nobody else will run tells
        nothing. Where others have not begun it runs ahead of them.
        """
        rivals = self._open_rivals(candidate)
        if self.plan.model is not None or not self._all_begun or self._stalled:
            return math.inf
        return max((self._done[name] for name in rivals), default=0)

    def waits(self, entrant: "Entrant") -> bool:
        """Whether an eval with nothing at work may be given tasks later.

        Once the race is over it waits for what is still at work, so that all logs say the same.
        """
        if self.error:
            return False
        moving = self._running.keys() - {entrant.candidate} - self._stalled
        others = [self._running[name] for name in sorted(moving)]
        if self._over:
            return any(each.waiting for each in others)
        if len(self._begun) < self.starters:
            return True
        if not self._all_begun and not self._useful(entrant.candidate):
            return False
        return any(each.waiting or each.looked_at != self._version for each in others)

    async def change(self, candidate: str) -> None:
        """Wait until something happened; not for ever."""
        if self._changed is None:
            self._changed = anyio.Event()
        beginning = len(self._begun) < self.starters
        with anyio.move_on_after(FOR_A_START if beginning else FOR_A_RESULT) as scope:
            await self._changed.wait()
        if scope.cancelled_caught:
            self.starters = 0
            self._stalled.update(each.candidate for each in self._at_work(candidate))
            self._tell_others()

    def place(self, task: str) -> int:
        """Return the place of a task in the shared order, counted from 1."""
        order = () if self._race is None else self._race.order
        return order.index(task) + 1 if task in order else len(order) + 1

    def note(self, warning: str) -> None:
        """Keep a warning for the log, and say it now."""
        if warning not in self.warnings:
            self.warnings.append(warning)
            logger.warning("midband: %s", one_line(warning))

    def fail(self, error: BaseException) -> None:
        """Keep an error; from now on every sample runs."""
        if not self.error:
            self.error = f"{type(error).__name__}: {error}"
            logger.warning(
                "midband cannot judge this race, every sample runs: %s", one_line(self.error)
            )
            self._tell_others()

    def guard(self, step: Callable[[], object]) -> object:
        """Do something; None, and the error is kept, where it fails."""
        if self.error:
            return None
        try:
            return step()
        except Exception as error:  # fail open: see the class
            self.fail(error)
            return None

    @property
    def verdict(self) -> "RaceVerdict | None":
        """What is known so far; None after an error."""
        found = self.guard(lambda: self._race and self._race.verdict())
        return found or None  # type: ignore[return-value]

    def lines(self, *, width: int = UNFOLDED, encoding: str = "ascii") -> list[str]:
        """Say what is known so far in words."""
        verdict = self.verdict
        if verdict is None:
            return [f"race {self.plan.question.text}: no verdict, {self.error}"]
        said = verdict.lines(width=width, encoding=encoding)
        more = (line for each in self.warnings for line in wrapped(f"Warning: {each}.", width, ""))
        return [*said, *more]

    def report(self, *, judged: bool) -> dict[str, object]:
        """Return what the log keeps.

        Parameters
        ----------
        judged : bool
            With the verdict, which takes longer.
        """
        plan = self.plan
        verdict = self.verdict if judged else None
        report: dict[str, object] = {
            "race": self.race_id,
            "plan_digest": plan.digest,
            "benchmark": plan.benchmark,
            "question": plan.question.text,
            "allocation": plan.allocation.name,
            "candidates": list(plan.candidates),
            "order": [] if self._race is None else list(self._race.order),
            "tasks_total": len(plan.tasks),
            "over": self._race is not None and self._race.done,
            "verdict": None if verdict is None else verdict.to_dict(),
            "warnings": list(self.warnings),
            "error": self.error or None,
            "failed_open": bool(self.error),
        }
        if verdict is not None:
            report["exit_code"] = verdict.exit_code
            report["text"] = "\n".join(self.lines())
        plain: dict[str, object] = json.loads(json.dumps(finite(report), default=str))
        return plain

    def _rebuild(self) -> None:
        from midband_sampler.racing import Race

        order = self._race.order if self._race is not None else self._order
        race = Race(self.plan, together=False, order=order if self.plan.model is not None else ())
        for (name, task), result in self._results.items():
            result.tell_race(race, name, task)
        for name, why in self._dead.items():
            race.withdraw(name, why)
        self._race = race
        self._done = Counter(name for name, _ in self._results)

    def _tell(self, candidate: str, task: str, result: "SampleResult") -> None:
        if self._race is not None:
            result.tell_race(self._race, candidate, task)

    def _withdraw(self, candidate: str, why: str) -> None:
        if self._race is not None and not self._race.done:
            self._race.withdraw(candidate, why)

    @property
    def version(self) -> int:
        """How often something happened."""
        return self._version

    @property
    def _all_begun(self) -> bool:
        return self._begun.issuperset(still_to_run(self.plan))

    def _useful(self, candidate: str) -> bool:
        """Whether the race may still give tasks to a candidate."""
        wanted = self.guard(lambda: self._race and candidate in self._race.running)
        return bool(wanted) or self._runs_on(candidate)

    def _runs_on(self, candidate: str) -> bool:
        """Whether a candidate continues down the shared order, though the race waits for others.

        Where some models have not begun, because Inspect runs one after the other, or one hangs,
        nobody else would come: what is open about those that run is then settled from their side.
        With a budget they leave the others their share.
        """
        if (
            (self._all_begun and not self._stalled)
            or self.plan.budget is not None
            or candidate in self._dead
        ):
            return False
        return not self._over and bool(self._open_rivals(candidate))

    @property
    def _over(self) -> bool:
        return self._race is None or self._race.done

    def _open_rivals(self, candidate: str) -> list[str]:
        """Return the candidates whose comparison with this one the answer waits for."""

        def find() -> list[str]:
            if self._race is None:
                return []
            alive, _, pairs = self._race.waits()
            names = [self._race.candidates[row] for row in alive]
            named = [(names[first], names[second]) for first, second in pairs]
            return [a if b == candidate else b for a, b in named if candidate in (a, b)]

        found = self.guard(find)
        return found if isinstance(found, list) else []

    def _further(self, entrant: "Entrant") -> str | None:
        """Return the next task of the shared order that a candidate has not begun."""
        if self._race is None:
            return None
        known = [self._race.tasks[place] for place in self._race.taken.order]
        for task in dict.fromkeys([*known, *self._race.tasks]):
            if not entrant.has(task) and (entrant.candidate, task) not in self._results:
                return task
        return None

    def _at_work(self, candidate: str) -> "list[Entrant]":
        """Return the other evals that have samples at work and get on."""
        return [
            each
            for name, each in self._running.items()
            if name != candidate and name not in self._stalled and each.waiting
        ]

    def _tell_others(self) -> None:
        self._version += 1
        over = not self._running and (self._over or self._all_begun)
        self.kept.changed(self, self._race, over=over)
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
