"""One race over the evals that Inspect runs side by side: results in, each one's next task out."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio
import numpy as np

from midband.inspect.scores import SampleResult, task_id
from midband.inspect.shown import finite
from midband.text import one_line

if TYPE_CHECKING:
    from midband.inspect.metric import ScoreReader
    from midband_sampler.racing import Race, RacePlan, RaceVerdict

logger = logging.getLogger(__name__)

Cost = tuple[float | None, float | None]  # in dollars and in seconds
# How long an eval waits for the others to begin, and for one of them to get a result, in seconds.
FOR_A_START, FOR_A_RESULT = 60.0, 600.0
_APART_IN_TIME = (
    "not all models ran at the same time: one that came early may have run more than was needed"
)

# By Inspect's eval id; an eval that dies never says so and is forgotten with its context.
_ENTRANTS: "WeakValueDictionary[str, Entrant]" = WeakValueDictionary()
_RACES: "WeakValueDictionary[str, SharedRace]" = WeakValueDictionary()


def live_entrants() -> Mapping[str, "Entrant"]:
    """Return the evals of races that are running in this process, by Inspect's eval id."""
    return _ENTRANTS


def shared_race(race_id: str, plan: "RacePlan") -> "SharedRace":
    """Return the race of that id in this process; a new one where there is none."""
    found = _RACES.get(race_id)
    if found is None or found.plan.digest != plan.digest:
        found = _RACES[race_id] = SharedRace(plan, race_id=race_id)
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
    """

    results: Mapping[tuple[str, str], SampleResult] = field(default_factory=dict)
    order: Sequence[str] = ()


def merged(attempts: Sequence[SampleResult]) -> SampleResult:
    """Return the result of a task from its attempts: the mean of those with a score."""

    def total(values: Iterable[float | None]) -> float | None:
        known = [each for each in values if each is not None]
        return sum(known) if known else None

    scores = [each.score for each in attempts if each.score is not None and each.kind == "valid"]
    return SampleResult(
        score=sum(scores) / len(scores) if scores else None,
        kind="valid" if scores else attempts[0].kind,
        usd=total(each.usd for each in attempts),
        seconds=total(each.seconds for each in attempts),
    )


@dataclass(eq=False, repr=False)
class SharedRace:
    """What the evals of one race have in common; it never raises.

    Whatever goes wrong is kept, every eval that still runs then runs all its tasks, and nothing is
    claimed: a saving must never cost an evaluation.

    No eval runs far ahead of another whose comparison with it is open: a fast model would else have
    run the whole benchmark before a slow one has run a tenth. It waits until the other gets on, ends
    or dies, and for ten minutes at most if none of these happens.

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
    opened: bool = field(default=False, init=False)
    lock: anyio.Lock = field(default_factory=anyio.Lock, init=False)
    _order: Sequence[str] = field(default=(), init=False)
    _race: "Race | None" = field(default=None, init=False)
    _results: dict[tuple[str, str], SampleResult] = field(default_factory=dict, init=False)
    _running: dict[str, "Entrant"] = field(default_factory=dict, init=False)
    _begun: set[str] = field(default_factory=set, init=False)
    _done: Counter[str] = field(default_factory=Counter, init=False)
    _dead: dict[str, str] = field(default_factory=dict, init=False)
    _gone: "dict[str, Entrant]" = field(default_factory=dict, init=False)
    _stalled: set[str] = field(default_factory=set, init=False)
    _changed: anyio.Event | None = field(default=None, init=False)

    def open(self, earlier: Earlier) -> None:
        """Begin, with what earlier attempts left; where some wait for others, that is said."""
        self.opened = True
        self._order = list(earlier.order)
        self._results = dict(earlier.results)
        if self.starters < int(np.isnan(self.plan.known).any(axis=1).sum()):
            self.note(_APART_IN_TIME)
        self.guard(self._rebuild)

    def enter(self, entrant: "Entrant") -> None:
        """Let a candidate run; what it ran without a score may be tried again."""
        name = entrant.candidate
        self._running[name] = entrant
        self._begun.add(name)
        _ENTRANTS[entrant.eval_id] = entrant
        vain = [
            key for key, each in self._results.items() if key[0] == name and each.score is None
        ]
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
            candidate apart. Otherwise it does so once another eval goes on: they may all have been
            interrupted.
        """
        if self._running.get(entrant.candidate) is not entrant:
            return
        del self._running[entrant.candidate]
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

    def ask(self, candidate: str) -> str | None:
        """Return the next task of a candidate; None if it is let go or has to wait."""
        self.set_apart_gone()
        task: object = self.guard(lambda: self._race and self._race.ask_for(candidate))
        return task if isinstance(task, str) else None

    def tell(self, candidate: str, task: str, result: SampleResult) -> None:
        """Take in a result; the first one with a score stands."""
        known = self._results.get((candidate, task))
        if known is not None and (known.score is not None or result.score is None):
            return
        self._done[candidate] += known is None
        self._results[candidate, task] = result
        self._stalled.discard(candidate)
        self.guard(partial(self._tell, candidate, task, result))
        self._tell_others()

    def holds(self, candidate: str, started: int, width: int) -> bool:
        """Whether a candidate has run far ahead, or others are about to begin."""
        if self.error or not self.wanted(candidate):
            return False
        if len(self._begun) < self.starters:
            return True
        rivals = [each for each in self._at_work(candidate) if self.wanted(each.candidate)]
        if not rivals:
            return False
        slowest = min(self._done[each.candidate] for each in rivals)
        return started >= slowest + max(2 * width, slowest // 4)

    def waits(self, candidate: str) -> bool:
        """Whether a candidate with nothing at work may be given tasks later."""
        if self.error or not self.wanted(candidate):
            return False
        if len(self._begun) < self.starters:
            return True
        return bool(self._at_work(candidate))

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

    def wanted(self, candidate: str) -> bool:
        """Whether the race may still give tasks to a candidate."""
        return bool(self.guard(lambda: self._race and candidate in self._race.running))

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

    def lines(self) -> list[str]:
        """Say what is known so far in words."""
        verdict = self.verdict
        if verdict is None:
            return [f"race {self.plan.question.text}: no verdict, {self.error}"]
        return [*verdict.lines(), *(f"Warning: {each}." for each in self.warnings)]

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
            _tell(race, name, task, result)
        for name, why in self._dead.items():
            race.withdraw(name, why)
        self._race = race
        self._done = Counter(name for name, _ in self._results)

    def _tell(self, candidate: str, task: str, result: SampleResult) -> None:
        if self._race is not None:
            _tell(self._race, candidate, task, result)

    def _withdraw(self, candidate: str, why: str) -> None:
        if self._race is not None and not self._race.done:
            self._race.withdraw(candidate, why)

    def _at_work(self, candidate: str) -> "list[Entrant]":
        """Return the other evals that have samples at work and get on."""
        return [
            each
            for name, each in self._running.items()
            if name != candidate and name not in self._stalled and each.waiting
        ]

    def _tell_others(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()


def _tell(race: "Race", candidate: str, task: str, result: SampleResult) -> None:
    race.tell(
        candidate,
        task,
        score=result.score,
        outcome=result.kind,
        usd=result.usd,
        seconds=result.seconds,
    )


@dataclass(eq=False, repr=False, kw_only=True)
class Entrant:
    """One candidate's eval.

    Parameters
    ----------
    shared : SharedRace
    candidate, eval_id : str
    epochs : int
        Attempts a task; a task is told when all are in.
    reader : ScoreReader
    available : collection of str
        Tasks that can run; others are told to be missing.
    width : int
        Attempts at work at a time.
    limit : int, optional
        Start no more tasks than this.
    score_on_error : bool
        Whether Inspect counts the score of a sample that ended in an error.
    outside : str
        Why this eval takes no part: it then runs everything.
    """

    shared: SharedRace
    candidate: str
    eval_id: str
    epochs: int
    reader: "ScoreReader"
    available: Collection[str]
    width: int
    limit: int | None = None
    score_on_error: bool = False
    outside: str = ""
    ended: bool = field(default=False, init=False)
    last_error: str = field(default="", init=False)
    waiting: dict[str, None] = field(default_factory=dict, init=False)
    _started: dict[str, None] = field(default_factory=dict, init=False)
    _earlier: list[str] = field(default_factory=list, init=False)
    _attempts: dict[tuple[str, int], SampleResult] = field(default_factory=dict, init=False)
    _spent: dict[tuple[str, int], Cost] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._places = max(1, -(-self.width // self.epochs))
        if not self.outside:
            # What an earlier attempt finished comes first, so that Inspect uses it again.
            self._earlier = self.shared.finished(self.candidate)[::-1]
            self.shared.enter(self)

    def hand_out(self, *, idle: bool = False) -> list[str]:
        """Return the tasks to start now; none if every place is taken, or none is needed.

        Parameters
        ----------
        idle : bool
            Nothing is at work any more: what is still awaited will never come.
        """
        if idle:
            for task in list(self.waiting):
                self.lost(task)
        chosen: list[str] = []
        while len(self.waiting) < self._places and self._may_start:
            task = self._next()
            if task is None:
                break
            if task in self._started:  # at work while the race was begun anew
                continue
            if task not in self.available:
                self.shared.tell(self.candidate, task, SampleResult(score=None, kind="missing"))
                continue
            self._started[task] = None
            self.waiting[task] = None
            chosen.append(task)
        return chosen + self.rest() if self._in_full else chosen

    @property
    def waits(self) -> bool:
        """Whether there may be more to do once others get on."""
        return (
            self._may_start
            and not self._in_full
            and not self.waiting
            and self.shared.waits(self.candidate)
        )

    def rest(self) -> list[str]:
        """Return what has not been started: what runs where nothing can be judged."""
        rest = [task for task in self.shared.plan.tasks if task not in self._started]
        rest = [task for task in rest if task in self.available]
        if self.limit is not None:
            rest = rest[: max(0, self.limit - len(self._started))]
        self._started.update(dict.fromkeys(rest))
        return rest

    def spent(
        self, sample_id: object, epoch: int, usd: float | None, seconds: float | None
    ) -> None:
        """Take in what a sample cost, before its score or its error."""
        self._spent[task_id(sample_id), epoch] = (usd, seconds)

    def scored(self, sample_id: object, epoch: int, score: float | None) -> None:
        """Take in a completed sample; None is no information, never 0."""
        self._came(task_id(sample_id), epoch, score, "valid")

    def errored(self, sample_id: object, epoch: int, message: str) -> None:
        """Take in a sample that ended in an error: no information on the candidate."""
        cancelled = message.startswith(("CancelledError(", "Cancelled("))
        if not cancelled:
            self.last_error = message
        self._came(task_id(sample_id), epoch, None, "cancelled" if cancelled else "infra_error")

    def lost(self, task: str, epoch: int | None = None, kind: str = "missing") -> None:
        """Take in that an attempt never ran; all attempts at the task, if none is named."""
        for each in range(1, self.epochs + 1) if epoch is None else (epoch,):
            if (task, each) not in self._attempts:
                self._spent[task, each] = (0.0, 0.0)
                self._came(task, each, None, kind)

    def end(self, *, early: bool = False) -> None:
        """Take in that the eval is over; early: before the race let go of it."""
        if not self.ended:
            self.ended = True
            _ENTRANTS.pop(self.eval_id, None)
            if not self.outside:
                self.shared.leave(self, early=early)

    @property
    def _in_full(self) -> bool:
        return bool(self.outside or self.shared.error)

    @property
    def _may_start(self) -> bool:
        if self.ended:
            return False
        return self.limit is None or len(self._started) < self.limit

    def _next(self) -> str | None:
        if self._in_full:
            return None
        while self._earlier:
            task = self._earlier.pop()
            if task in self.available:
                return task
        if self.shared.holds(self.candidate, len(self._started), self.width):
            return None
        return self.shared.ask(self.candidate)

    def _came(self, task: str, epoch: int, score: float | None, kind: str) -> None:
        usd, seconds = self._spent.pop((task, epoch), (None, None))
        known = self._attempts.get((task, epoch))
        if known is not None and (known.score is not None or score is None):
            return
        self._attempts[task, epoch] = SampleResult(score=score, kind=kind, usd=usd, seconds=seconds)
        attempts = [self._attempts.get((task, each)) for each in range(1, self.epochs + 1)]
        if None in attempts:
            return
        self.waiting.pop(task, None)
        if not self.outside:
            known_attempts = [each for each in attempts if each is not None]
            self.shared.tell(self.candidate, task, merged(known_attempts))
