"""One candidate of a race as its eval runs: what is at work, what is in, what starts next."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midband.inspect.limits import Amounts, TotalLimits
from midband.inspect.scores import SampleResult, task_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midband.inspect.metric import ScoreReader
    from midband.inspect.racing import SharedRace


def merged(attempts: Sequence[SampleResult]) -> SampleResult:
    """Return the result of a task from its attempts: the mean of those with a score."""

    def total(values: "Iterable[float | None]") -> float | None:
        known = [each for each in values if each is not None]
        return sum(known) if known else None

    scores = [each.score for each in attempts if each.score is not None and each.kind == "valid"]
    return SampleResult(
        score=sum(scores) / len(scores) if scores else None,
        kind="valid" if scores else attempts[0].kind,
        usd=total(each.usd for each in attempts),
        seconds=total(each.seconds for each in attempts),
        tokens=total(each.tokens for each in attempts),
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
    fails_on_error : bool
        Whether an error of a sample can end the eval.
    outside : str
        Why this eval takes no part: it then runs everything.
    """

    shared: "SharedRace"
    candidate: str
    eval_id: str
    epochs: int
    reader: "ScoreReader"
    available: Collection[str]
    width: int
    limit: int | None = None
    score_on_error: bool = False
    fails_on_error: bool = True
    outside: str = ""
    limits: "TotalLimits | None" = None
    ended: bool = field(default=False, init=False)
    last_error: str = field(default="", init=False)
    looked_at: int = field(default=-1, init=False)
    waiting: dict[str, None] = field(default_factory=dict, init=False)
    _started: dict[str, None] = field(default_factory=dict, init=False)
    _earlier: list[str] = field(default_factory=list, init=False)
    _attempts: dict[tuple[str, int], SampleResult] = field(default_factory=dict, init=False)
    _spent: dict[tuple[str, int], Amounts] = field(default_factory=dict, init=False)

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
            for gone in list(self.waiting):
                self.lost(gone)
        chosen: list[str] = []
        while len(self.waiting) < self._places and self._may_start:
            task = self._next()
            if not task:
                break
            if task in self._started:  # at work while the race was begun anew
                continue
            if task not in self.available:
                self.shared.tell(
                    self.candidate,
                    task,
                    SampleResult(score=None, kind="missing", usd=0.0, seconds=0.0, tokens=0.0),
                )
                continue
            self._started[task] = None
            if self.limits is not None:
                self.limits.start((self.eval_id, task), {}, times=self.epochs)
            self.waiting[task] = None
            chosen.append(task)
        self.looked_at = self.shared.version
        return chosen + self.rest() if self._in_full else chosen

    @property
    def started(self) -> int:
        """Tasks that this eval has begun."""
        return len(self._started)

    def has(self, task: str) -> bool:
        """Whether this eval has begun a task."""
        return task in self._started

    @property
    def waits(self) -> bool:
        """Whether there may be more to do once others get on."""
        return (
            self._may_start and not self._in_full and not self.waiting and self.shared.waits(self)
        )

    def rest(self) -> list[str]:
        """Return what has not been started: what runs where nothing can be judged."""
        rest = [task for task in self.shared.plan.tasks if task not in self._started]
        rest = [task for task in rest if task in self.available]
        if self.limit is not None:
            rest = rest[: max(0, self.limit - len(self._started))]
        self._started.update(dict.fromkeys(rest))
        return rest

    def spent(self, sample_id: object, epoch: int, cost: Amounts, uuid: str | None = None) -> None:
        """Take in what a sample cost, before its score or its error."""
        task = task_id(sample_id)
        self._spent[task, epoch] = cost
        if self.limits is not None:
            self.limits.came(uuid or f"{self.eval_id} {task} {epoch}", cost)

    def scored(self, sample_id: object, epoch: int, score: float | None) -> None:
        """Take in a completed sample; None is no information, never 0."""
        self._came(task_id(sample_id), epoch, score, "valid")

    def errored(self, sample_id: object, epoch: int, message: str) -> None:
        """Take in a sample that ended in an error: no information on the candidate."""
        cancelled = message.startswith(("CancelledError(", "Cancelled("))
        if not cancelled and self.fails_on_error:
            self.last_error = message
        self._came(task_id(sample_id), epoch, None, "cancelled" if cancelled else "infra_error")

    def lost(self, task: str, epoch: int | None = None, kind: str = "missing") -> None:
        """Take in that an attempt never ran; all attempts at the task, if none is named."""
        for each in range(1, self.epochs + 1) if epoch is None else (epoch,):
            if (task, each) not in self._attempts:
                self._spent[task, each] = (0.0, 0.0, 0.0)
                self._came(task, each, None, kind)

    def end(self, *, early: bool = False) -> None:
        """Take in that the eval is over; early: before the race let go of it."""
        if not self.ended:
            self.ended = True
            if not self.outside:
                self.shared.leave(self, early=early)

    @property
    def _in_full(self) -> bool:
        return bool(self.outside or self.shared.error)

    def _is_limited(self) -> bool:
        """Whether a hard limit of the command keeps another task from starting."""
        if self.limits is None or self.outside:
            return False
        reason = self.limits.refusal({}, times=self.epochs)
        if reason and not self.waiting:
            self.shared.note(reason)
        return bool(reason)

    @property
    def _may_start(self) -> bool:
        if self.ended or self._is_limited():
            return False
        return self.limit is None or len(self._started) < self.limit

    def _next(self) -> str | None:
        if self._in_full:
            return None
        while self._earlier:
            task = self._earlier.pop()
            if task in self.available:
                return task
        return None if self.shared.holds(self) else self.shared.ask(self)

    def _came(self, task: str, epoch: int, score: float | None, kind: str) -> None:
        if self.limits is not None:
            self.limits.end((self.eval_id, task))
        usd, seconds, tokens = self._spent.pop((task, epoch), (None, None, None))
        known = self._attempts.get((task, epoch))
        if known is not None and (known.score is not None or score is None):
            return
        self._attempts[task, epoch] = SampleResult(
            score=score, kind=kind, usd=usd, seconds=seconds, tokens=tokens
        )
        attempts = [self._attempts.get((task, each)) for each in range(1, self.epochs + 1)]
        if None in attempts:
            return
        self.waiting.pop(task, None)
        if not self.outside:
            known_attempts = [each for each in attempts if each is not None]
            self.shared.tell(self.candidate, task, merged(known_attempts))
