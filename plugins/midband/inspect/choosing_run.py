"""The state of one running eval whose next task midband chooses after each result."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from midband.inspect.live import LiveRun
from midband.inspect.scores import SampleResult

if TYPE_CHECKING:
    from midband_sampler import Session

logger = logging.getLogger(__name__)


@dataclass(eq=False, repr=False, kw_only=True)
class ChoosingRun(LiveRun):
    """One task on one model, whose samples are chosen while it runs.

    A task's attempts are told together once the last is in, so that the session looks at whole
    tasks. Whatever goes wrong, the rest of the plan is handed out in its order.

    Parameters
    ----------
    plan : Plan
        One that chooses live.
    eval_id, model, epochs, reader, show, max_errors, score_on_error
        As in `LiveRun`.
    available : collection of str
        Tasks that can run; no other is chosen.
    width : int
        Attempts at work at a time.
    limit : int, optional
        Start no more tasks than this.
    earlier : sequence of str
        Tasks that an interrupted attempt at this run started: they come first and in its order,
        so that what it finished is used again.
    """

    live: ClassVar[bool] = True

    available: Collection[str]
    width: int
    limit: int | None = None
    earlier: Sequence[str] = ()
    _order: dict[str, int] = field(default_factory=dict, init=False)
    _waiting: dict[str, None] = field(default_factory=dict, init=False)
    _told: set[str] = field(default_factory=set, init=False)
    _lost: set[tuple[str, int]] = field(default_factory=set, init=False)
    _closed_with: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        planned = min(len(self.plan.tasks), self.plan.max_tasks or len(self.plan.tasks))
        self._places = max(1, -(-self.width // self.epochs))
        self._limit = planned if self.limit is None else min(self.limit, planned)
        self._earlier = list(reversed(self.earlier))

    @property
    def order(self) -> list[str]:
        """Tasks that were started, in order."""
        return list(self._order)

    @property
    def waiting(self) -> bool:
        """Whether a task that was started has not come back."""
        return bool(self._waiting)

    def hand_out(self, *, idle: bool = False) -> list[str]:
        """Return the tasks to start now; none if the run is over or every place is taken.

        Parameters
        ----------
        idle : bool
            Nothing is at work any more: what is still awaited will never come.
        """
        if idle:
            for task in list(self._waiting):
                self.lost(task)
        chosen: list[str] = []
        if not self.error:
            self._guard(partial(self._choose, chosen))
        return chosen + self.rest() if self.error else chosen

    def rest(self) -> list[str]:
        """Return what has not been started, in the plan's order: what runs after an error."""
        left = (task for task in self.plan.tasks if task not in self._order)
        rest = [task for task in left if task in self.available]
        rest = rest[: max(0, self._limit - len(self._order))]
        for task in rest:
            self._order[task] = len(self._order) + 1
        return rest

    def lost(self, task: str, epoch: int | None = None, kind: str = "missing") -> None:
        """Take in that an attempt never ran; all attempts at the task, if none is named."""
        for each in range(1, self.epochs + 1) if epoch is None else (epoch,):
            if (task, each) not in self._results:
                self._lost.add((task, each))
                result = SampleResult(score=None, kind=kind, usd=0.0, seconds=0.0, tokens=0.0)
                self._guard(partial(self._take, task, each, result))

    def about(self, task: str) -> dict[str, object]:
        """Return the place of a task in the order, and what was known when it was chosen."""
        note: dict[str, object] = {"chosen": self._order[task]}
        if (decision := self.decision) is not None:
            note["tasks_judged"] = decision.tasks_run
            note |= {"rank": decision.rank, "low": decision.low, "high": decision.high}
        return note

    def close(self) -> dict[str, object]:
        """Return what the log keeps at the end; told the same again, it says the same."""
        if self._closed_with == len(self._results):
            return self._last_report()
        self._closed_with = len(self._results)
        self._skipped = self.epochs * (len(self.plan.tasks) - len(self._order))
        return super().close()

    def report(self) -> dict[str, object]:
        """Return the verdict so far, with the order that `midband rank` needs to find it again."""
        lost = {task for task, _ in self._lost}
        if lost:
            lost -= {key[0] for key in self._results if key not in self._lost}
        unlogged = [task for task in self._order if task in lost]
        return super().report() | {"order": self.order, "unlogged": unlogged}

    def _choose(self, chosen: list[str]) -> None:
        """Fill the free places, with the tasks of an interrupted attempt first."""
        session = self._session
        if session is None:
            return
        while len(self._waiting) < self._places and len(self._order) < self._limit:
            if self._earlier:
                task = self._earlier.pop()
                if task not in self.available or not session.start(task):
                    continue
            elif self.share.holds(bool(self._waiting), times=self.epochs, note=self.note):
                return
            else:
                asked = session.ask(1)
                if not asked:
                    return
                task = asked[0]
            self.share.start(task, times=self.epochs)
            self._order[task] = len(self._order) + 1
            self._waiting[task] = None
            chosen.append(task)

    def _take(self, task: str, epoch: int, result: SampleResult) -> None:
        key = (task, epoch)
        known = self._results.get(key)
        # An operator may have an errored sample run again: its score then replaces the error.
        again = known is not None and (known.score is not None or result.score is None)
        if self._session is None or again:
            return
        self._results[key] = result
        if known is not None:
            self._lost.discard(key)
        if all((task, each) in self._results for each in range(1, self.epochs + 1)):
            self.share.end(task)
            if task in self._told:  # what was told cannot be taken back
                self._session = self._new_session()
                self._tell(self._session, self._told)
            else:
                self._told.add(task)
                self._tell(self._session, [task])
            self._waiting.pop(task, None)
            self._decision = None
            self._display()
        self._tell_plugins("midband_result_recorded", task_id=task, score=result.score)

    def _new_session(self) -> "Session":
        session = super()._new_session()
        session.leave_out(task for task in self.plan.tasks if task not in self.available)
        return session

    def _replay(self, session: "Session") -> None:
        self._tell(session, {task for task, _ in self._results})

    def _tell(self, session: "Session", tasks: Collection[str]) -> None:
        """Tell the attempts that ran; of a task that never ran one, without a result.

        The log holds no attempt that never ran, and `midband rank` judges by the log.
        """
        for task in self._order:
            session.start(task)
        for task in sorted(tasks):
            keys = [(task, epoch) for epoch in range(1, self.epochs + 1)]
            known = [key for key in keys if key in self._results]
            ran = [key for key in known if key not in self._lost]
            for key in ran or known[:1]:
                self._results[key].tell(session, task)
