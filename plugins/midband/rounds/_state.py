"""Where a run stands: the session, what it was told, what is to be tried again, what it cost."""

from collections import Counter
from typing import TYPE_CHECKING

from midband.rounds._results import INTERRUPTED, Known, Result, RoundEnd
from midband_sampler import Session

if TYPE_CHECKING:
    from midband_sampler import MaxErrors, Plan

# So often a task is tried before it counts as one without a result; the last time alone, since
# one that hangs or crashes the harness takes others with it.
MAX_TRIES = 3
# So many rounds without a score end the run: something is wrong with its surroundings.
MAX_BARREN = 2


class RunState:
    """Takes in rounds, one after the other; the same rounds give the same state.

    Parameters
    ----------
    plan : Plan
    live : bool
        Whether the strategy chooses each task from the results so far.
    max_errors : MaxErrors, optional
        As for `Session`.

    Attributes
    ----------
    waiting : list of str
        Tasks that the session asked for and that are to be run in the next round.
    costs : list of float
        Known costs of attempts, US dollars.
    extra_usd : float
        Known costs of what was not asked for, US dollars.
    uncosted : Counter of str
        Number of attempts by task that were started and whose cost is unknown.
    barren : int
        Rounds without a score since the last one with any.
    """

    def __init__(self, plan: "Plan", *, live: bool, max_errors: "MaxErrors | None" = None) -> None:
        self.session = Session(plan, live=live, max_errors=max_errors)
        self._live = live
        self.rounds = 0
        self.waiting: list[str] = []
        self.costs: list[float] = []
        self.extra_usd = 0.0
        self.uncosted: Counter[str] = Counter()
        self.barren = 0
        self.without_result: dict[str, None] = {}
        self._agent = ""
        self._scores = 0
        self._given: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._extra: set[str] = set()
        self._keys: set[str] = set()
        self._attempts: set[tuple[str, int]] = set()

    @property
    def known(self) -> Known:
        """What a new round's results are compared with."""
        return Known(keys=self._keys, attempts=self._attempts, agent=self._agent)

    @property
    def tasks(self) -> int:
        """Number of different tasks that were given to the harness, or that it ran unasked."""
        return len(self._given | self._extra)

    @property
    def has_scores(self) -> bool:
        """Whether any attempt has a score."""
        return self._scores > 0

    def was_tried(self, task: str) -> bool:
        """Whether the harness was given the task before."""
        return task in self._given

    def alone(self) -> str | None:
        """Return a task whose last try is due, which it has by itself; None if there is none."""
        due = (task for task in self.waiting if self._tries[task] == MAX_TRIES - 1)
        return next(due, None)

    def ask(self) -> str | None:
        """Return the next new task; None once decided or out of tasks."""
        return next(iter(self.session.ask(1)), None)

    def begin(self, tasks: tuple[str, ...]) -> None:
        """Note that a round of these tasks starts."""
        for task in tasks:
            self.session.start(task)
        self.waiting = [task for task in self.waiting if task not in tasks]

    def replay(self, tasks: tuple[str, ...]) -> None:
        """Note a round that an earlier process started, with the choices that led to it."""
        for task in tasks:
            if self._live and not self.was_tried(task):
                asked = self.ask()
                if asked not in (task, None):  # another version of midband chose otherwise
                    self.waiting.append(asked)
        self.begin(tasks)

    def take(self, end: RoundEnd, *, attempts: int) -> list[Result]:
        """Take in the end of a round and return what the session was told.

        Tasks whose result is open are tried again; after `MAX_TRIES` they are told as they are,
        without a result as ``missing``.
        """
        self.rounds += 1
        self._count_costs(end, attempts)
        self._agent = end.agent or self._agent
        if end.scores:
            self.barren = 0
        elif not self.has_scores or any(not self.was_tried(task) for task in end.tasks):
            self.barren += 1
        self._scores += end.scores
        open_tasks = end.open_tasks()
        told: list[Result] = []
        for task in end.tasks:
            self._given.add(task)
            # A kill of midband says nothing of the task.
            self._tries[task] += end.status != INTERRUPTED
            last = self._tries[task] >= MAX_TRIES and self.barren < MAX_BARREN
            if task in open_tasks and not last:
                self.waiting.append(task)
                continue
            told.extend(self._tell(task, [each for each in end.results if each.task == task]))
        return told

    def forgive(self) -> None:
        """Start anew after a run that was ended for want of results: its tries do not count."""
        self.barren = 0
        self._tries.clear()

    def _tell(self, task: str, results: list[Result]) -> list[Result]:
        if not any(result.kind == "valid" for result in results):
            self.without_result[task] = None
        told = results or [Result(task=task, attempt=0, score=None, kind="missing")]
        for result in told:
            self.session.tell(
                task,
                score=result.score,
                outcome=result.kind,
                usd=result.cost_usd,
                seconds=result.seconds,
            )
        self._attempts.update((task, result.attempt) for result in results)
        return told

    def _count_costs(self, end: RoundEnd, attempts: int) -> None:
        self._keys.update(result.key for result in end.results if result.key)
        self._extra.update(end.extra)
        self.extra_usd += end.extra_usd
        costed: Counter[str] = Counter()
        for result in end.results:
            if result.cost_usd is not None:
                self.costs.append(result.cost_usd)
                costed[result.task] += 1
        for task in end.tasks:
            self.uncosted[task] += max(attempts - costed[task], 0)
