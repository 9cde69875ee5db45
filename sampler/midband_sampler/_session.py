"""The ask/tell session: the one object that live runs and simulations both drive."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from midband_history import FloatArray, InputError, UnknownTaskError
from midband_sampler._attempts import AttemptPrediction
from midband_sampler._combined import asked, check_named, counts, gives_up, named_agents
from midband_sampler._confidence import RankInterval
from midband_sampler._decision import Decision
from midband_sampler._estimators import Estimate, randomised_full_score
from midband_sampler._max_errors import MaxErrors, missing_warnings, none_usable
from midband_sampler._plan import Plan
from midband_sampler._reading import Reading, Readings
from midband_sampler._spending import Cost, Spending
from midband_sampler._stopping import ALL_RUN, Claim

OUTCOMES = ("valid", "infra_error", "grader_error", "cancelled", "missing")
NEAREST = 5
CHOSEN_BLINDLY = ("random", "stratified")


class Session:
    """Asks for tasks, is told results, decides.

    Plain synchronous Python without I/O, deterministic for a plan. It decides after each task of
    the completed *prefix* of the planned order: fast samples finish first, and judging by these
    alone would bias the verdict. A session is rebuilt by telling it the results again, in any
    order. Once it has decided to stop, the decision stands.

    An attempt without a usable result is not free: its task leaves the estimate, but the bounds
    are the outer ones of three readings, without these attempts, with all of them told as 0 and
    with all of them told as 1, and a rule is met only if it is met in each. The choice of the next
    task does not depend on this.

    Parameters
    ----------
    plan : Plan
    resamples : int
        Bootstrap resamples.
    versus : sequence of str
        Reference agents whose comparison the decision always shows.
    live : bool
        False where the harness takes the tasks in the plan's order: `Plan.fixed`.
    max_errors : MaxErrors, optional
        Ends the session, without a claim, once more attempts than this have no usable result. By
        default it ends when none of the first ten has one.
    never_run : bool
        True where a missing result says that a recorded agent never ran the task, as in a replay of
        a history: it then leaves the benchmark, widens nothing, and ends nothing.
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
    ) -> None:
        if resamples < 200:
            msg = f"expected resamples >= 200, got {resamples}: fewer cannot carry a 95 % bound"
            raise InputError(msg)
        self._digest = plan.digest  # of the plan as it was written
        plan = plan if live else plan.fixed()
        check_named(versus, plan.reference_agents)
        self.plan = plan
        self._rivals = named_agents(plan.stop)
        self._row = {agent: row for row, agent in enumerate(plan.reference_agents)}
        self._shown = tuple(dict.fromkeys((*self._rivals, *versus)))
        self._in_usd, self._in_seconds = (counts(plan.stop, unit) for unit in ("usd", "seconds"))
        self._place = {task: place for place, task in enumerate(plan.tasks)}
        column = {task: place for place, task in enumerate(plan.all_tasks)}
        self._columns = np.array([column[task] for task in plan.tasks], dtype=np.int64)
        # A bet needs tasks that were not chosen by the rival's results; else the bounds decide.
        predicted = plan.model is not None and plan.calibration is not None
        fair = not predicted and plan.strategy in CHOSEN_BLINDLY
        self._read = partial(
            Reading,
            plan,
            self._columns,
            resamples=resamples,
            rivals=self._rivals if fair else (),
            gives_up=gives_up(plan.stop),
        )
        self._max_errors = max_errors
        self._never_run = never_run
        self._scores: dict[str, list[float]] = {}  # of each attempt; NaN without a usable result
        self._kinds: dict[str, list[str]] = {}
        self._costs: dict[str, list[Cost]] = {}
        self._started: dict[str, int] = {}
        self._in_order: list[str] = []  # a task again for each further attempt
        self._unasked: list[str] = []
        self._unstarted = np.ones(len(plan.all_tasks), dtype=bool)
        self._untold = self._unstarted.copy()
        self._next = 0
        self._most = 0 if plan.attempts is None else plan.attempts.most
        planned = len(plan.tasks) * max(self._most, 1)
        self._limit = min(planned, plan.max_tasks or planned)
        self._chooser = plan.chooser() if plan.chooses_live else None
        self._steering = plan.steering
        self._drawn: set[str] = set()
        self._left_out: set[str] = set()
        self._reset()

    def _reset(self) -> None:
        self._readings = Readings(self._read, bounded=not self._never_run)
        self._predicted = self._readings.plain.predicted
        self._spending = Spending()
        self._drift = self._readings.plain.watch()
        self._judged: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._looks = 0
        self._choices: list[tuple[int, float, FloatArray | None]] = []
        self._used: list[float] = []
        self._valid: list[float] = []
        self._stopped: Decision | None = None

    def ask(self, n: int = 1) -> list[str]:
        """Start up to `n` more tasks; an empty list once decided or out of tasks.

        Where the plan allows several attempts a task may come again, once its last one was told.
        """
        if n < 1:
            msg = f"expected n >= 1, got {n}"
            raise InputError(msg)
        if self.done:
            return []
        tasks: list[str] = []
        while len(tasks) < n and len(self._in_order) < self._limit:
            task = self._choose()
            if task is None:
                break
            self._begin(task)
            tasks.append(task)
        return tasks

    def _choose(self) -> str | None:
        """Next task that has not been started: the strategy's live choice, or down the plan."""
        if self._predicted is not None and self._chooser is not None:
            prediction = self._predicted.prediction
            masks = [prediction.unseen]
            if isinstance(prediction, AttemptPrediction):
                masks.append(prediction.may_run)
            kept = [mask.copy() for mask in masks]
            for mask in masks:
                mask[0] &= self._unstarted
            try:
                if not masks[-1].any():
                    return None
                step = len(self._in_order)
                choice = self._chooser.choose(prediction, self._columns, step)
                return self.plan.all_tasks[int(choice[0])]
            finally:
                for mask, before in zip(masks, kept, strict=True):
                    mask[:] = before
        while self._next < len(self.plan.tasks):
            task = self.plan.tasks[self._next]
            self._next += 1
            if task not in self._started and task not in self._left_out:
                return task
        return None

    def _begin(self, task: str, *, asked: bool = True) -> None:
        if self._most or task not in self._started:
            if asked and self._is_draw(task):
                self._drawn.add(task)
            self._started.setdefault(task, len(self._started))
            self._in_order.append(task)
            self._unstarted[self._columns[self._place[task]]] = False

    def _is_draw(self, task: str) -> bool:
        """Whether the next choice is chance's, and this is the task that it falls on."""
        step = len(self._in_order)
        if self._chooser is None or not self._steering.draws(step, self._unstarted.size):
            return False
        drawn = int(self._steering.draw(self._unstarted[None], step)[0])
        return self.plan.all_tasks[drawn] == task

    def leave_out(self, tasks: Iterable[str]) -> None:
        """Note tasks that will never run here; they are not asked for, and count as planned.

        A task that is told all the same counts as any other.
        """
        for task in tasks:
            if task in self._place:
                self._left_out.add(task)
                self._unstarted[self._columns[self._place[task]]] = False

    def start(self, task: str) -> bool:
        """Note that a harness wants to start this task; False if it should be skipped."""
        if task not in self._place or self.done:
            return False
        if task not in self._started and len(self._started) >= self._limit:
            return False
        self._begin(task)
        return True

    def tell(
        self,
        task: str,
        *,
        score: float | None = None,
        outcome: str = "valid",
        usd: float | None = None,
        seconds: float | None = None,
    ) -> None:
        """Take in one attempt's result.

        Parameters
        ----------
        task : str
            A planned task, asked for or not. Telling it again adds an attempt; attempts average.
        score : float or None
            In [0, 1]; None or NaN is no information, never 0.
        outcome : str
            Anything but ``valid`` is no information.
        usd, seconds : float or None
            What this attempt cost, for budgets; None where not known. See `Budget`.
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
        cost = Cost.told(usd, seconds)
        if not self.plan.chooses_live:
            self._begin(task)
        elif self._most:
            self._expect_attempt(task)
        elif task not in self._started and task not in self._scores:
            self._unasked.append(task)
        self._untold[self._columns[self._place[task]]] = False
        self._costs.setdefault(task, []).append(cost)
        self._scores.setdefault(task, []).append(value)
        usable = outcome if outcome != "valid" or not math.isnan(value) else "missing"
        self._kinds.setdefault(task, []).append(usable)
        if not self._most and task in self._judged and self._stopped is None:
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
        """Return the verdict on the completed prefix; the first one to stop stands."""
        if self._stopped is None:
            self._advance()
        return self._stopped or self._decide("going on", stop=False)

    def _advance(self) -> None:
        """Look after each task of the prefix in turn, so that a rebuilt session looks alike."""
        rule = self.plan.stop
        for task in self._prefix():
            self._take(task)
            self._judged[task] += 1
            self._looks += 1
            if reason := self._too_many_errors():
                self._stopped = self._decide(reason, stop=True)
                return
            look = self._readings.look(
                tasks_run=self._looks, tasks_left=self._limit - self._looks, spending=self._spending
            )
            if asked(rule, look):
                self._stopped = self._decide(rule.reason(look), stop=True, claims=rule.claims(look))
                return
            if self._looks == self._limit:
                self._stopped = self._decide(ALL_RUN, stop=True)
                return

    def _take(self, task: str) -> None:
        place = self._place[task]
        scores, costs, kinds = self._scores[task], self._costs[task], self._kinds[task]
        if self._most:
            attempt = slice(self._judged[task], self._judged[task] + 1)
            scores, costs, kinds = scores[attempt], costs[attempt], kinds[attempt]
            self._unstarted[self._columns[place]] = task not in self._left_out
        self._note_choice(task)
        self._outcomes.update(kinds)
        score = self._readings.take(place, scores)
        self._used.append(score)
        if not math.isnan(score):
            self._valid.append(score)
        expected = float(self.plan.expected_cost_usd[self._columns[place]])
        self._spending.add(costs, expected_usd=expected)
        if self._predicted is not None:
            if not self._judged[task]:  # further attempts at a task are like its first
                self._drift.add(int(self._columns[place]), score)
        elif task not in self.plan.always:
            self._drift.add(0, score)

    def _note_choice(self, task: str) -> None:
        """Keep the chance of a choice and, if it was drawn, what was predicted before it."""
        place, n_tasks = self._place[task], len(self.plan.all_tasks)
        drawn = task in self._drawn
        if self._chooser is None:
            drawn = self._steering.draws(place, n_tasks)
        if drawn and self._predicted is not None:
            left = n_tasks - len(self._choices)
            expected = self._predicted.prediction.predicted()[0]
            self._choices.append((int(self._columns[place]), 1.0 / left, expected))
        else:
            self._choices.append((int(self._columns[place]), 1.0, None))

    def randomised_score(self) -> Estimate:
        """Estimate the full score from the choices left to chance: `Plan.explore`.

        Honest whatever the model is worth; see `randomised_full_score`. NaN where nothing was
        drawn: without a randomised share, and in a session that was told results whose order
        was chosen live without hearing of that order by `ask` or `start`.
        """
        self.decision()
        return self._randomised()

    def _randomised(self) -> Estimate:
        nothing = np.zeros(len(self.plan.all_tasks))
        expected = [nothing if each is None else each for _, _, each in self._choices]
        return randomised_full_score(
            np.array(self._used),
            np.array([task for task, _, _ in self._choices], dtype=np.int64),
            np.array([chance for _, chance, _ in self._choices]),
            np.array(expected).reshape(-1, nothing.size),
        )

    def _too_many_errors(self) -> str:
        """Why so many attempts without a usable result end the session; empty where not."""
        if self._never_run:
            return ""
        limit = none_usable if self._max_errors is None else self._max_errors.reason
        return limit(results=self._outcomes["valid"], judged=self._outcomes.total())

    def _prefix(self) -> Iterator[str]:
        """Completed tasks that are to be judged next, up to the first that is still running.

        In planned order; where tasks are chosen live, in the order of their start. Results told
        without having been asked for (a rebuilt session) come first, in planned order.
        """
        if not self.plan.chooses_live:
            order: Sequence[str] = self.plan.tasks
        else:
            for task in sorted(self._unasked, key=self._place.__getitem__):
                self._begin(task, asked=False)
            self._unasked.clear()
            order = self._in_order
        for place in range(self._looks, len(order)):
            task = order[place]
            scores = self._scores.get(task)
            if scores is None or (self._most and len(scores) <= self._judged[task]):
                return
            yield task

    def _decide(self, reason: str, *, stop: bool, claims: tuple[Claim, ...] = ()) -> Decision:
        plan = self.plan
        interval = self._readings.interval()
        if not self._valid:
            interval = interval.unknown(n_reference=len(plan.reference_agents))
        target = plan.target
        whole = target == "full benchmark"
        results, without = self._outcomes["valid"], self._outcomes["missing"]
        chance = self._randomised() if plan.explore else None
        return Decision(
            stop=stop,
            reason=reason,
            claims=claims,
            rank=None if math.isnan(interval.score) else interval.rank,
            low=interval.low,
            high=interval.high,
            target=target,
            confidence=interval.confidence,
            guarantee=plan.guarantee,
            naive_confidence=interval.naive,
            score=self._mean_score(),
            target_score=interval.score,
            target_score_low=interval.score_low,
            target_score_high=interval.score_high,
            full_score=interval.score if whole else math.nan,
            full_score_low=interval.score_low if whole else math.nan,
            full_score_high=interval.score_high if whole else math.nan,
            randomised_score=math.nan if chance is None else chance.value,
            randomised_error=math.nan if chance is None else chance.standard_error,
            tasks_run=self._looks,
            tasks_planned=self._limit,
            tasks_total=len(plan.all_tasks),
            tasks_without_result=len(self._used) - len(self._valid),
            results=results,
            errors=self._outcomes.total() - results - without,
            unscored=without,
            n_reference=len(plan.reference_agents),
            tie_group=self._readings.tied(interval),
            spent_usd=self._spending.usd,
            spent_seconds=self._spending.seconds,
            cost_saved_usd=float(np.sum(plan.expected_cost_usd[self._untold])),
            better_than=self._nearest(interval),
            warnings=(
                *plan.warnings,
                *self._spending.warnings(in_usd=self._in_usd, in_seconds=self._in_seconds),
                *self._drift.warnings(final=stop),
                *missing_warnings(results=results, judged=self._outcomes.total()),
            ),
            plan_digest=self._digest,
        )

    def _mean_score(self) -> float:
        """Mean over the completed tasks; NaN before the first."""
        means = self._valid
        if self._most:
            scores: dict[str, list[float]] = {}
            for task, score in zip(self._in_order, self._used, strict=False):
                if not math.isnan(score):
                    scores.setdefault(task, []).append(score)
            means = [math.fsum(each) / len(each) for each in scores.values()]
        return math.fsum(means) / len(means) if means else math.nan

    def _nearest(self, interval: RankInterval) -> dict[str, float]:
        """Agents whose comparison is least certain, then those asked for; ties by the plan."""
        better = interval.better
        nearest = np.abs(better - 0.5).argsort(kind="stable")[:NEAREST].tolist()
        shown = dict.fromkeys([*nearest, *(self._row[agent] for agent in self._shown)])
        chances = {self.plan.reference_agents[k]: float(better[k]) for k in shown}
        return {name: round(each, 4) for name, each in chances.items() if not math.isnan(each)}

    @property
    def done(self) -> bool:
        """Whether the session has decided to stop, or run out of tasks."""
        if self._stopped is None:
            self._advance()
        return self._stopped is not None

    @property
    def tasks_run(self) -> int:
        """Number of tasks of the completed prefix that have been judged."""
        return self._looks

    @property
    def pending(self) -> tuple[str, ...]:
        """Tasks started and not yet told, in planned order."""
        waiting = self._started.keys() - self._scores.keys()
        if self._most:
            starts = Counter(self._in_order)
            waiting = {task for task in starts if starts[task] > len(self._scores.get(task, ()))}
        return tuple(sorted(waiting, key=self._place.__getitem__))
