"""The ask/tell session: the one object that live runs and simulations both drive."""

import math

import numpy as np

from midband_history import InputError, UnknownTaskError
from midband_sampler._confidence import PairedRanks, RankInterval
from midband_sampler._decision import Decision
from midband_sampler._plan import Plan

OUTCOMES = ("valid", "infra_error", "grader_error", "cancelled", "missing")
NEAREST = 5
ALWAYS_VALID = "confidence sequence over all looks, finite population, tasks in random order"


class Session:
    """Asks for tasks, is told results, decides.

    Plain synchronous Python without I/O, deterministic for a plan. It decides after each task of
    the completed *prefix* of the planned order: fast samples finish first, and judging by these
    alone would bias the verdict. A session is rebuilt by telling it the results again, in any
    order. Once it has decided to stop, the decision stands.

    Parameters
    ----------
    plan : Plan
    resamples : int
        Bootstrap resamples.
    """

    def __init__(self, plan: Plan, *, resamples: int = 2000) -> None:
        if resamples < 200:
            msg = f"expected resamples >= 200, got {resamples}: fewer cannot carry a 95 % bound"
            raise InputError(msg)
        self.plan = plan
        self._resamples = resamples
        self._place = {task: place for place, task in enumerate(plan.tasks)}
        column = {task: place for place, task in enumerate(plan.all_tasks)}
        self._columns = np.array([column[task] for task in plan.tasks], dtype=np.int64)
        self._reference = plan.reference_scores[:, self._columns]
        self._scores: dict[str, list[float]] = {}
        self._started: set[str] = set()
        self._next = 0
        self._digest = plan.digest
        self._reset()

    def _reset(self) -> None:
        self._ranks = PairedRanks(self._reference, resamples=self._resamples, seed=self.plan.seed)
        self._seen = 0
        self._used: list[float] = []
        self._interval: RankInterval | None = None
        self._stopped: Decision | None = None

    def ask(self, n: int = 1) -> list[str]:
        """Start up to `n` more tasks; an empty list once decided or out of tasks."""
        if n < 1:
            msg = f"expected n >= 1, got {n}"
            raise InputError(msg)
        if self.done:
            return []
        tasks: list[str] = []
        while self._next < len(self.plan.tasks) and len(tasks) < n:
            task = self.plan.tasks[self._next]
            self._next += 1
            if task not in self._started and task not in self._scores:
                self._started.add(task)
                tasks.append(task)
        return tasks

    def start(self, task: str) -> bool:
        """Note that a harness wants to start this task; False if it should be skipped."""
        if task not in self._place or self.done:
            return False
        self._started.add(task)
        return True

    def tell(self, task: str, *, score: float | None = None, outcome: str = "valid") -> None:
        """Take in one attempt's result.

        Parameters
        ----------
        task : str
            A planned task, asked for or not. Telling it again adds an attempt; attempts average.
        score : float or None
            In [0, 1]; None or NaN is no information, never 0.
        outcome : str
            Anything but ``valid`` is no information.
        """
        if task not in self._place:
            msg = (
                f"expected a task of plan {self.plan.digest}, got {task!r}: tell planned tasks only"
            )
            raise UnknownTaskError(msg)
        if outcome not in OUTCOMES:
            msg = f"expected an outcome among {', '.join(OUTCOMES)}, got {outcome!r}"
            raise InputError(msg)
        value = math.nan if score is None or outcome != "valid" else float(score)
        if not (math.isnan(value) or 0.0 <= value <= 1.0):
            msg = f"expected a score in [0, 1] for {task!r}, got {score!r}: rescale it"
            raise InputError(msg)
        self._started.add(task)
        attempts = self._scores.setdefault(task, [])
        if not math.isnan(value):
            attempts.append(value)
            if self._place[task] < self._seen and self._stopped is None:
                self._reset()

    def decision(self) -> Decision:
        """Return the verdict on the completed prefix; the first one to stop stands."""
        if self._stopped is None:
            self._advance()
        return self._stopped or self._decide("going on", stop=False)

    def _advance(self) -> None:
        """Look after each task of the prefix in turn, so that a rebuilt session looks alike."""
        n_reference = len(self.plan.reference_agents)
        while self._seen < len(self.plan.tasks):
            attempts = self._scores.get(self.plan.tasks[self._seen])
            if attempts is None:
                return
            score = math.fsum(sorted(attempts)) / len(attempts) if attempts else math.nan
            self._ranks.add(self._seen, score)
            self._used.append(score)
            self._seen += 1
            self._interval = self._ranks.interval(self.plan.stop.confidence)
            reason = self.plan.stop.reason_to_stop(self._interval, n_reference=n_reference)
            if reason is None and self._seen == len(self.plan.tasks):
                reason = "all planned tasks run"
            if reason is not None:
                self._stopped = self._decide(reason, stop=True)
                return

    def _decide(self, reason: str, *, stop: bool) -> Decision:
        plan = self.plan
        interval = self._interval or self._ranks.interval(plan.stop.confidence)
        valid = [score for score in self._used if not math.isnan(score)]
        target = "full benchmark" if plan.covers_benchmark else "planned tasks"
        run = [self._columns[self._place[task]] for task in self._scores]
        skipped = np.ones(len(plan.all_tasks), dtype=bool)
        skipped[run] = False
        return Decision(
            stop=stop,
            reason=reason,
            rank=interval.rank,
            low=interval.low,
            high=interval.high,
            target=target,
            confidence=interval.confidence,
            guarantee=ALWAYS_VALID,
            naive_confidence=interval.naive,
            score=math.fsum(valid) / len(valid) if valid else math.nan,
            tasks_run=self._seen,
            tasks_planned=len(plan.tasks),
            tasks_total=len(plan.all_tasks),
            tasks_without_result=len(self._used) - len(valid),
            n_reference=len(plan.reference_agents),
            cost_saved_usd=float(np.sum(plan.expected_cost_usd[skipped])),
            better_than=self._nearest(interval),
            warnings=plan.warnings,
            plan_digest=self._digest,
        )

    def _nearest(self, interval: RankInterval) -> dict[str, float]:
        """Agents whose comparison is least certain; ties by their order in the plan."""
        doubt = np.abs(interval.better - 0.5)
        order = np.argsort(doubt, kind="stable")[:NEAREST]
        return {
            self.plan.reference_agents[k]: round(float(interval.better[k]), 4)
            for k in order
            if not np.isnan(doubt[k])
        }

    @property
    def done(self) -> bool:
        """Whether the session has decided to stop, or run out of tasks."""
        if self._stopped is None:
            self._advance()
        return self._stopped is not None

    @property
    def tasks_run(self) -> int:
        """Number of tasks of the completed prefix that have been judged."""
        return self._seen

    @property
    def pending(self) -> tuple[str, ...]:
        """Tasks started and not yet told, in planned order."""
        waiting = self._started - self._scores.keys()
        return tuple(sorted(waiting, key=self._place.__getitem__))
