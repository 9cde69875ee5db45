"""The ask/tell session, which both live runs and simulations drive."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from midband_history import FloatArray, InputError, UnknownTaskError
from midband_sampler.beginning import start_kernel, watch
from midband_sampler.bounds.base import nearest, real, tied, unknown, whole
from midband_sampler.decision import GOING_ON, Decision, scale_of
from midband_sampler.estimators import ChoiceLog, Estimate, Results, mean_known, mean_of_tasks
from midband_sampler.kernel import ALL_RUN
from midband_sampler.plan import Plan
from midband_sampler.spending import Cost, MaxErrors, Spending, missing_warnings, none_usable
from midband_sampler.stopping.base import Claim, check_named
from midband_sampler.strategies.base import Choice

OUTCOMES = ("valid", "infra_error", "grader_error", "cancelled", "missing")


class Session:
    """Ask/tell session: hands out tasks, takes in results, and decides when to stop.

    A session is plain synchronous Python without I/O, and deterministic for a plan. It decides
    after each task of the completed *prefix* of the planned order, because fast samples finish
    first and a verdict on these alone would be biased. To rebuild a session, tell it the results
    again, in any order. Once it has decided to stop, the decision stands.

    Attempts without a usable result leave the estimate, but they widen the bounds. The bounds are
    the outer bounds of three readings: these attempts are left out, all told as 0, or all told as
    1. A rule is met only if it is met in each reading. The next task does not depend on these.

    Parameters
    ----------
    plan : Plan
    resamples : int
        Number of bootstrap resamples.
    versus : sequence of str
        Reference agents whose comparison the decision always shows.
    live : bool
        False if the harness takes the tasks in the plan's order; see `Plan.fixed`.
    max_errors : MaxErrors, optional
        The session ends without a claim once more attempts than this have no usable result. By
        default it ends if none of the first ten attempts has one.
    never_run : bool
        True if a missing result means that a recorded agent never ran the task, as in a replay. The
        task then leaves the benchmark, does not widen the bounds, and cannot end the session.
    absent : collection of str
        Tasks that such an agent is known never to have run. A rank on the full benchmark is then a
        rank on all other tasks from the start, and a plan that chooses live does not ask for them.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        resamples: int = 2000,
        versus: Sequence[str] = (),
        live: bool = True,
        max_errors: MaxErrors | None = None,
        never_run: bool = False,
        absent: Collection[str] = (),
    ) -> None:
        if resamples < 200:
            msg = f"expected resamples >= 200, got {resamples}: fewer cannot carry a 95 % bound"
            raise InputError(msg)
        self._digest = plan.digest  # of the plan as it was written
        plan = plan if live else plan.fixed()
        check_named(versus, plan.reference_agents)
        self.plan = plan
        self._shown = tuple(dict.fromkeys((*plan.stop.named_agents, *versus)))
        self._units = [unit for unit in ("usd", "seconds", "tokens") if plan.stop.counts(unit)]
        self._place = {task: place for place, task in enumerate(plan.tasks)}
        self._columns = plan.columns
        self._column: list[int] = self._columns.tolist()
        self._expected_usd: list[float] = plan.expected_cost_usd.tolist()
        self._max_errors = max_errors
        self._never_run = never_run
        self._begun = partial(
            start_kernel, plan, resamples=resamples, never_run=never_run, absent=absent
        )
        self._scores: dict[str, list[float]] = {}  # of each attempt; NaN without a usable result
        self._kinds: dict[str, list[str]] = {}
        self._costs: dict[str, list[Cost]] = {}
        self._started: dict[str, Choice | None] = {}  # None where nobody asked for the task
        self._in_order: list[str] = []  # a task again for each further attempt
        self._unasked: list[str] = []
        self._unstarted = np.ones((1, len(plan.all_tasks)), dtype=bool)
        self._untold = self._unstarted[0].copy()
        self._next = 0
        self._most = 0 if plan.attempts is None else plan.attempts.most
        self._policy = plan.policy()
        self._exploration = plan.exploration
        self._left_out: set[str] = set()
        self._reset()
        self._limit = self._kernel.limit

    def _reset(self) -> None:
        self._kernel = self._begun()
        self._posterior = self._kernel.bounds.posterior
        self._spending = Spending(self.plan.mean_tokens)
        self._drift = watch(self.plan, self._posterior)
        self._judged: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._judged_attempts = 0
        self._choices = ChoiceLog(len(self.plan.all_tasks))
        self._used: list[float] = []
        self._valid: list[float] = []
        self._end: tuple[str, tuple[Claim, ...], float] | None = None
        self._stopped: Decision | None = None

    def ask(self, n: int = 1) -> list[str]:
        """Start up to `n` more tasks; return an empty list once decided or out of tasks.

        If the plan allows several attempts, a task can come again after its last result was told.
        """
        if n < 1:
            msg = f"expected n >= 1, got {n}"
            raise InputError(msg)
        if self.done:
            return []
        tasks: list[str] = []
        while len(tasks) < n and len(self._in_order) < self._limit:
            chosen = self._choose()
            if chosen is None:
                break
            task, choice = chosen
            self._begin(task, choice)
            tasks.append(task)
        return tasks

    def _choose(self) -> tuple[str, Choice | None] | None:
        """Return the next task to start: the policy's live choice, or the next of the plan."""
        if self._policy is not None and self._posterior is not None:
            available = self._posterior.available & self._unstarted
            if not available.any():
                return None
            choice = self._policy.choose(
                self._posterior, available, len(self._in_order), self._columns
            )
            return self.plan.all_tasks[int(choice.tasks[0])], choice
        while self._next < len(self.plan.tasks):
            task = self.plan.tasks[self._next]
            self._next += 1
            if task not in self._started and task not in self._left_out:
                return task, None
        return None

    def _begin(self, task: str, choice: Choice | None = None) -> None:
        if self._most or task not in self._started:
            self._started.setdefault(task, choice)
            self._in_order.append(task)
            self._unstarted[0, self._column[self._place[task]]] = False

    def leave_out(self, tasks: Iterable[str]) -> None:
        """Note tasks that will never run here; they are not asked for, and still count as planned.

        If a result of such a task is told after all, it counts like any other.
        """
        for task in tasks:
            if task in self._place:
                self._left_out.add(task)
                self._unstarted[0, self._column[self._place[task]]] = False

    def start(self, task: str) -> bool:
        """Note that a harness wants to start this task; return False if it should be skipped."""
        if task not in self._place or self.done:
            return False
        if task not in self._started and len(self._started) >= self._limit:
            return False
        drawn = None
        if self._policy is not None and task not in self._started:
            drawn = self._exploration.drawn(self._unstarted, len(self._in_order))
        right = drawn is not None and int(drawn.tasks[0]) == self._column[self._place[task]]
        self._begin(task, drawn if right else None)
        return True

    def tell(
        self,
        task: str,
        *,
        score: float | None = None,
        outcome: str = "valid",
        usd: float | None = None,
        seconds: float | None = None,
        tokens: float | None = None,
    ) -> None:
        """Take in one attempt's result.

        Parameters
        ----------
        task : str
            A planned task, asked for or not. Telling it again adds an attempt; the score of the
            task is the mean of its attempts.
        score : float or None
            In [0, 1]; None or NaN means that there is no usable result, and never counts as 0.
        outcome : str
            One of `OUTCOMES`. Any value but ``valid`` means that there is no usable result.
        usd, seconds, tokens : float or None
            Cost of this attempt, for budgets; None if not known. See `Budget`.
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
        cost = Cost.told(usd, seconds, tokens)
        if self._policy is None:
            self._begin(task)
        elif self._most:
            self._expect_attempt(task)
        elif task not in self._started and task not in self._scores:
            self._unasked.append(task)
        self._untold[self._column[self._place[task]]] = False
        self._costs.setdefault(task, []).append(cost)
        self._scores.setdefault(task, []).append(value)
        usable = outcome if outcome != "valid" or not math.isnan(value) else "missing"
        self._kinds.setdefault(task, []).append(usable)
        if not self._most and task in self._judged and self._end is None:
            self._reset()

    def _expect_attempt(self, task: str) -> None:
        told = len(self._scores.get(task, ()))
        if told == self._most:
            msg = (
                f"expected at most {self._most} attempts at {task!r}, as planned, got another:"
                " tell each attempt once"
            )
            raise InputError(msg)
        if told == self._in_order.count(task) + self._unasked.count(task):
            self._unasked.append(task)

    def decision(self) -> Decision:
        """Return the verdict on the completed prefix; the first verdict that stops is final."""
        if not self.done:
            return self._decide()
        self._stopped = self._stopped or self._decide()
        return self._stopped

    def _advance(self) -> None:
        """Step through the prefix task by task, so that a rebuilt session repeats the steps."""
        kernel, rule = self._kernel, self.plan.stop
        for task in self._prefix():
            place = self._place[task]
            score, missing_as = self._take(task)
            step = kernel.step(
                whole(place if self._posterior is None else self._column[place]),
                real(score),
                usd=real(self._spending.usd),
                seconds=real(self._spending.seconds),
                tokens=real(self._spending.tokens),
                missing_as=missing_as,
            )
            self._judged[task] += 1
            if reason := self._too_many_errors():
                self._finish(reason)
                return
            if step.settled and step.snapshot is not None:
                self._finish(rule.reason(step.snapshot), rule.claims(step.snapshot))
                return
            if step.ends:
                self._finish(ALL_RUN)
                return

    def _finish(self, reason: str, claims: tuple[Claim, ...] = ()) -> None:
        """Keep the parts of the decision that depend on this moment; compute the rest when read."""
        self._end = reason, claims, self._saved()

    def _saved(self) -> float:
        return float(np.sum(self.plan.expected_cost_usd[self._untold]))

    def _too_many_errors(self) -> str:
        """Return why attempts without a usable result end the session; empty if they do not."""
        if self._never_run:
            return ""
        limit = none_usable if self._max_errors is None else self._max_errors.reason
        return limit(results=self._outcomes["valid"], judged=self._judged_attempts)

    def _take(self, task: str) -> tuple[float, tuple[FloatArray, FloatArray] | None]:
        """Take in the next result at a task.

        Returns
        -------
        score : float
            Score of the result; NaN if it is missing.
        missing_as : tuple of two ndarray of float64, or None
            The score with missing results told as 0 and as 1; None if no result is missing.
        """
        place = self._place[task]
        column = self._column[place]
        scores, costs, kinds = self._scores[task], self._costs[task], self._kinds[task]
        if self._most:
            attempt = slice(self._judged[task], self._judged[task] + 1)
            scores, costs, kinds = scores[attempt], costs[attempt], kinds[attempt]
            self._unstarted[0, column] = task not in self._left_out
        self._note_choice(task)
        self._judged_attempts += len(kinds)
        for kind in kinds:
            self._outcomes[kind] += 1
        score, missing_as = mean_known(scores), None
        if any(map(math.isnan, scores)):
            told = (
                [value if math.isnan(each) else each for each in scores] for value in (0.0, 1.0)
            )
            failed, passed = (real(mean_known(each)) for each in told)
            missing_as = (failed, passed)
        self._used.append(score)
        if not math.isnan(score):
            self._valid.append(score)
        self._spending.add(costs, expected_usd=self._expected_usd[column])
        if self._posterior is not None:
            if not self._judged[task]:  # further attempts at a task are like its first
                self._drift.add(column, score)
        elif task not in self.plan.always:
            self._drift.add(0, score)
        return score, missing_as

    def _note_choice(self, task: str) -> None:
        """Record how the task was chosen and, if it was drawn, the prediction before its result."""
        place, choice = self._place[task], self._started.get(task)
        if self._policy is None and self.plan.explore:
            choice = self._exploration.planned(place, len(self.plan.all_tasks))
        drawn = choice is not None and choice.drawn and self._posterior is not None
        self._choices.tasks.append(self._column[place])
        self._choices.probabilities.append(choice.probability if drawn and choice else 1.0)
        expected = self._posterior.predicted()[0] if drawn and self._posterior else None
        self._choices.expected.append(expected)

    def randomised_score(self) -> Estimate:
        """Estimate the full score from the random choices of `Plan.explore`.

        The estimate does not rely on the model; see `randomised_full_score`. It is NaN without
        random choices, and in a live session that did not learn the order by `ask` or `start`.
        """
        self.decision()
        return self._choices.estimate(self._used)

    def _prefix(self) -> Iterator[str]:
        """Yield the completed tasks to judge next, up to the first that is still running.

        They come in planned order or, if tasks are chosen live, in the order of their start.
        Results that were not asked for (a rebuilt session) come first, in planned order.
        """
        if self._policy is None:
            order: Sequence[str] = self.plan.tasks
        else:
            for task in sorted(self._unasked, key=self._place.__getitem__):
                self._begin(task)
            self._unasked.clear()
            order = self._in_order
        for place in range(self._kernel.run, len(order)):
            task = order[place]
            scores = self._scores.get(task)
            if scores is None or (self._most and len(scores) <= self._judged[task]):
                return
            yield task

    def _decide(self) -> Decision:
        plan = self.plan
        stop = self._end is not None
        reason, claims, saved = self._end or (GOING_ON, (), self._saved())
        interval, diagnosed = self._kernel.interval(), self._kernel.diagnose()
        if not self._valid:
            interval, diagnosed = unknown(len(plan.reference_agents))
        calibration, target = plan.calibration, plan.target
        seen = Results(
            scores=np.array(self._used),
            reference=plan.reference_scores,
            target=self._columns if target == "planned tasks" else np.arange(len(plan.all_tasks)),
            choices=self._choices,
            posterior=self._posterior,
        )
        estimated = seen.estimate(plan.estimator, interval)
        on_all = target == "full benchmark"
        results, without = self._outcomes["valid"], self._outcomes["missing"]
        chance = self._choices.estimate(self._used) if plan.explore else Estimate()
        return Decision(
            stop=stop,
            reason=reason,
            claims=claims,
            rank=None if math.isnan(interval.score) else int(interval.rank),
            low=int(interval.low),
            high=int(interval.high),
            target=target,
            confidence=plan.stop.confidence if calibration is None else calibration.confidence,
            guarantee=plan.guarantee,
            naive_confidence=diagnosed.naive,
            score=mean_of_tasks(self._choices.tasks, self._used),
            target_score=estimated,
            target_score_low=float(interval.score_low),
            target_score_high=float(interval.score_high),
            full_score=estimated if on_all else math.nan,
            full_score_low=float(interval.score_low) if on_all else math.nan,
            full_score_high=float(interval.score_high) if on_all else math.nan,
            randomised_score=chance.value,
            randomised_error=chance.standard_error,
            tasks_run=self._kernel.run,
            tasks_planned=self._limit,
            tasks_total=len(plan.all_tasks),
            tasks_without_result=len(self._used) - len(self._valid),
            results=results,
            errors=self._judged_attempts - results - without,
            unscored=without,
            n_reference=len(plan.reference_agents),
            tie_group=tied(self._kernel.bounds, interval, plan.reference_agents),
            spent_usd=self._spending.usd,
            spent_seconds=self._spending.seconds,
            spent_tokens=self._spending.tokens,
            cost_saved_usd=saved,
            better_than=nearest(diagnosed.better, plan.reference_agents, self._shown),
            warnings=(
                *plan.warnings,
                *self._spending.warnings(self._units),
                *self._drift.warnings(final=stop),
                *missing_warnings(results=results, judged=self._judged_attempts),
            ),
            plan_digest=self._digest,
            scale=scale_of(plan.metric),
            differences=self._kernel.stated_differences(),
        )

    @property
    def done(self) -> bool:
        """Whether the session has decided to stop, or has no tasks left."""
        if self._end is None:
            self._advance()
        return self._end is not None

    @property
    def tasks_run(self) -> int:
        """Number of tasks of the completed prefix that have been judged."""
        return self._kernel.run

    @property
    def pending(self) -> tuple[str, ...]:
        """Tasks that were started and have no result yet, in planned order."""
        starts = Counter(self._in_order)
        waiting = (task for task in starts if starts[task] > len(self._scores.get(task, ())))
        return tuple(sorted(waiting, key=self._place.__getitem__))
