"""The race: which of several candidates is best, asked task by task and told result by result."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray
from midband_sampler.racing.allocations.base import Field
from midband_sampler.racing.allocations.racing import Racing
from midband_sampler.racing.claims import Claims, PairedClaims, PosteriorClaims, Taken
from midband_sampler.racing.ledger import Ledger
from midband_sampler.racing.question import Answer, Question, Standing
from midband_sampler.racing.race_plan import RacePlan
from midband_sampler.racing.telling import Stand, tell_verdict
from midband_sampler.racing.verdict import ALL_RUN, NOBODY, SETTLED, SPENT, RaceVerdict

_HOPELESS = 10
_STREAM = 0x72616365  # apart from every other use of a seed


class Race:
    """Asks for tasks of several candidates, is told results, says which is best.

    Plain synchronous Python without I/O, deterministic for a seed. All candidates run down one
    shared order of tasks, each as far as its place is open and matters, so that comparisons are
    paired and the tasks of one candidate are a prefix of those of another.

    Without a history the order is random, and what is claimed is exact at every look
    (`PairedBets`). With one, the next shared task is the most informative for the full scores of
    those who run it, and what is claimed is as sure as replayed races of the history's own agents
    were (`midband_sampler.racing.calibrating`). Where the history holds too few agents for that
    confidence, the race is run as though without one, and says so.

    Together, which is the default, a race goes in rounds of a few tasks for some candidates. What
    comes next depends on the results of complete rounds alone: the race is the same whatever the
    number of workers, and is rebuilt by telling it the results again in any order. Otherwise, for
    harnesses that run the candidates at the same time, each candidate runs down the order at its
    own pace (`ask_for`), and what is complete counts at once; all whose place is open run then.

    A result without a score counts against its candidate where a claim is for it, and for it where
    a claim is against it. A candidate none of whose first ten results has a score is set apart, and
    what it would have run is left to the others.

    Parameters
    ----------
    plan : RacePlan
    together : bool
    order : sequence of str
        Shared order of an earlier race that this one continues.
    step : int
        Tasks that a candidate runs in a round at least.
    """

    def __init__(
        self, plan: RacePlan, *, together: bool = True, order: Sequence[str] = (), step: int = 1
    ) -> None:
        if not plan.tasks:
            msg = "expected a race with tasks, got none: see RacePlan.with_tasks"
            raise InputError(msg)
        if step < 1:
            msg = f"expected step >= 1, got {step}"
            raise InputError(msg)
        self.plan = plan
        self.question: Question = plan.question
        self.candidates = plan.candidates
        self.tasks = plan.tasks
        self._together, self._step = together, step
        alone = not together and not plan.allocation.parallel
        self._allocation = Racing() if alone else plan.allocation
        self._ledger = Ledger(plan)
        self._apart: dict[int, str] = {}
        self._begun_order = self._ledger.places(order)
        self._begin()
        self._advance()

    def _begin(self) -> None:
        """Begin anew with what is told so far."""
        taken = self._taken = Taken(*self._ledger.scores.shape)
        taken.order = list(self._begun_order)
        if self.plan.model is None:
            rng = np.random.default_rng([self.plan.seed, _STREAM])
            drawn = rng.permutation(len(self.tasks)).tolist()
            if taken.order and taken.order != drawn[: len(taken.order)]:
                msg = (
                    "expected the shared order that the seed draws, got another: continue a race"
                    " with its own plan"
                )
                raise InputError(msg)
            taken.order = drawn
        self._claims = self._begin_claims()
        self._reason = ""
        self._goal: IntArray = taken.depth.copy()
        self._jobs: list[tuple[int, int]] = []
        given = self._ledger.given
        taken.scores[given] = self._ledger.scores[given]
        taken.told[given] = True
        taken.skip(given)
        self._claims.observe(*np.nonzero(given))
        self._plan_next()

    def _begin_claims(self) -> Claims:
        plan = self.plan
        if plan.model is None:
            return PairedClaims(self._taken, self.question, self.candidates)
        calibration = plan.calibration
        return PosteriorClaims(
            self._taken,
            self.question,
            self.candidates,
            posterior=plan.model.predict(candidates=len(self.candidates)),
            width=math.inf if calibration is None else calibration.width,
            guarantee="" if calibration is None else calibration.guarantee,
        )

    @property
    def done(self) -> bool:
        """Whether the race is over."""
        return bool(self._reason)

    @property
    def order(self) -> tuple[str, ...]:
        """The shared order of tasks, as far as somebody has begun them."""
        taken = self._taken
        known = (self._ledger.out | self._ledger.told)[:, taken.order]
        depth = int(np.flatnonzero(known.any(axis=0)).max(initial=-1)) + 1
        return tuple(self.tasks[place] for place in taken.order[:depth])

    @property
    def running(self) -> tuple[str, ...]:
        """Candidates that may still be given tasks."""
        if self.done:
            return ()
        able = self._able()
        if not self._together:
            depth, goal = self._taken.depth, self._goal
            further = goal > depth
            if self._allocation.needs_budget:  # a phase that others have not ended yet
                further |= depth >= goal.max()
            able &= further
        return tuple(self.candidates[row] for row in np.flatnonzero(able))

    def ask(self, n: int = 1) -> list[tuple[str, str]]:
        """Start up to `n` more jobs of this round, each a candidate and a task.

        Nothing while the results of a round are out, and once the race is over.
        """
        if n < 1:
            msg = f"expected n >= 1, got {n}"
            raise InputError(msg)
        begun = self._ledger.out | self._ledger.told
        begun[list(self._apart)] = True
        waiting = [job for job in self._jobs if not begun[job]][:n]
        for job in waiting:
            self._ledger.out[job] = True
        return [(self.candidates[row], self.tasks[task]) for row, task in waiting]

    def ask_for(self, candidate: str) -> str | None:
        """Start the next shared task of one candidate; None once it is let go or has run all.

        For a race that does not run together.
        """
        row = self._ledger.candidate(candidate)
        if self.done or row in self._apart or self._goal[row] <= self._taken.depth[row]:
            return None
        if self._left() <= self._ledger.promised(self.alive(), row):
            return None
        order = self._taken.order
        begun = self._ledger.out[row] | self._ledger.told[row]
        free = np.flatnonzero(~begun[order]) if order else np.zeros(0, dtype=np.int64)
        if not free.size:
            if len(order) >= len(self.tasks):
                return None
            self._extend(np.array([row]), len(order) + 1)
            free = np.flatnonzero(~begun[order])
        if self._allocation.needs_budget and free[0] >= self._goal[row]:
            return None
        task = order[int(free[0])]
        self._ledger.out[row, task] = True
        return self.tasks[task]

    def tell(
        self,
        candidate: str,
        task: str,
        *,
        score: float | None = None,
        outcome: str = "valid",
        usd: float | None = None,
        seconds: float | None = None,
        tokens: float | None = None,
    ) -> None:
        """Take in one result; asked for or not, in any order.

        Parameters
        ----------
        candidate, task : str
        score : float or None
            In [0, 1]; None or NaN is no result, never 0.
        outcome : str
            Anything but ``valid`` is no result.
        usd, seconds, tokens : float or None
            What it cost, for budgets; None where not known.
        """
        costs = (usd, seconds, tokens)
        job = self._ledger.tell(candidate, task, score=score, outcome=outcome, costs=costs)
        if self._taken.told[job]:  # a result that came after it was given up
            self._begun_order = self._begun_order if self._together else self._taken.order
            self._begin()
        self._advance()

    def tell_all(self, rows: IntArray, tasks: IntArray, scores: FloatArray) -> None:
        """Take in results by position, as a replay does; NaN is no result."""
        self._ledger.told[rows, tasks] = True
        self._ledger.scores[rows, tasks] = scores
        self._advance()

    @property
    def jobs(self) -> tuple[IntArray, IntArray]:
        """Candidates and tasks of the present round by position, each of shape (n_jobs,)."""
        pairs = np.array(self._jobs, dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def withdraw(self, candidate: str, reason: str) -> None:
        """Set a candidate apart that cannot go on; what it would have run is left to the others."""
        row = self._ledger.candidate(candidate)
        if row not in self._apart:
            self._apart[row] = reason
            if len(self.alive()) < 2:
                self._jobs, self._reason = [], self._reason or NOBODY
            self._advance(again=True)

    def _advance(self, *, again: bool = False) -> None:
        """Take in what is complete, and plan on."""
        taken, ledger = self._taken, self._ledger
        while not self._reason:
            if self._together:
                if not all(ledger.told[job] for job in self._jobs if job[0] not in self._apart):
                    return
                depth = self._goal.copy()
                depth[list(self._apart)] = taken.depth[list(self._apart)]
                new = [job for job in self._jobs if ledger.told[job]]
            else:
                new, depth = taken.follow(ledger.told)
            if not again and not (depth > taken.depth).any():
                return
            again = False
            taken.take(new, ledger.scores)
            taken.depth[:] = depth
            self._observe(new)
            self._set_apart()
            self._plan_next()

    def _observe(self, jobs: Sequence[tuple[int, int]]) -> None:
        pairs = np.array(jobs, dtype=np.int64).reshape(-1, 2)
        self._claims.observe(pairs[:, 0], pairs[:, 1])

    def _set_apart(self) -> None:
        """Set candidates apart none of whose results has a score."""
        told = (self._taken.told & ~self._ledger.given).sum(axis=1)
        usable = (~np.isnan(self._taken.scores)).sum(axis=1)
        least = min(_HOPELESS, len(self.tasks))
        for row in np.flatnonzero((told >= least) & (usable == 0)):
            self._apart.setdefault(int(row), f"none of its {told[row]} results has a score")

    def _able(self) -> NDArray[np.bool_]:
        able: NDArray[np.bool_] = np.asarray(~self._taken.told.all(axis=1))
        able[list(self._apart)] = False
        return able

    def alive(self) -> list[int]:
        """Candidates that are not set apart, by position."""
        return [row for row in range(len(self.candidates)) if row not in self._apart]

    def judge(self) -> tuple[list[int], Standing, Answer]:
        """Ask the question of those who are not set apart; positions are among these."""
        alive, standing = self.waits()[:2]
        return alive, standing, self.question.answer(standing)

    def waits(self) -> tuple[list[int], Standing, tuple[tuple[int, int], ...]]:
        """Return who is not set apart, where they stand, and the pairs that the answer waits for.

        Pairs are positions among those who are not set apart.
        """
        alive = self.alive()
        standing = self._claims.standing(self._taken)
        if len(alive) < len(self.candidates):
            standing = standing.select(alive)
        return alive, standing, self.question.waits_for(standing)

    @property
    def claims(self) -> Claims:
        """What follows from the results so far."""
        return self._claims

    @property
    def taken(self) -> Taken:
        """The results that were taken in."""
        return self._taken

    @property
    def apart(self) -> dict[str, str]:
        """Candidates that are set apart, and why."""
        return {self.candidates[row]: why for row, why in self._apart.items()}

    @property
    def reason(self) -> str:
        """Why the race is over; empty while it is not."""
        return self._reason

    @property
    def results(self) -> int:
        """Results that were paid for."""
        return self._ledger.results

    def _plan_next(self) -> None:
        """Decide whether the race continues, and who runs what next."""
        self._jobs = []
        taken = self._taken
        self._goal = taken.depth.copy()
        if len(self.alive()) < 2:
            self._reason = NOBODY
            return
        alive, standing, pairs = self.waits()
        claims = self.question.confidence is not None
        if (claims and not pairs and taken.have_begun(alive)) or taken.told[alive].all():
            self._reason = SETTLED if claims and not pairs else ALL_RUN
            return
        goal = self._next_depths(alive, standing.ranking, pairs)
        if (goal <= taken.depth).all():
            self._reason = SPENT if self.plan.jobs is not None else ALL_RUN
            return
        if not self._together:
            self._goal = goal
            self._reason = SPENT if self._left() <= 0 else ""
            return
        self._extend(np.flatnonzero(goal > len(taken.order)), int(goal.max()))
        depth = taken.depth
        places = [
            (place, row)
            for row in np.flatnonzero(goal > depth).tolist()
            for place in range(int(depth[row]), int(goal[row]))
        ]
        goal, jobs = self._affordable(sorted(places))
        if (goal <= depth).all() or self._left() <= 0:
            self._reason = SPENT
            return
        self._goal, self._jobs = goal, jobs  # no jobs where all of it was known before

    def _affordable(
        self, places: Sequence[tuple[int, int]]
    ) -> tuple[IntArray, list[tuple[int, int]]]:
        """Return how far everybody runs, and the jobs of that, cut to what the budget leaves.

        Parameters
        ----------
        places : sequence of (int, int)
            Places of the shared order with the candidates that are to run there, sorted.
        """
        taken, left = self._taken, self._left()
        goal, jobs = taken.depth.copy(), list[tuple[int, int]]()
        for place, row in places:
            job = (row, taken.order[place])
            if not taken.told[job]:
                if len(jobs) >= left:
                    break
                jobs.append(job)
            goal[row] = place + 1
        return goal, jobs

    def _next_depths(
        self, alive: list[int], ranking: list[int], pairs: tuple[tuple[int, int], ...]
    ) -> IntArray:
        """Ask the allocation; with a model the shared order grows by one step at most."""
        taken, plan = self._taken, self.plan
        size = len(self.tasks)
        running = self._able()
        field = Field(
            depth=taken.depth.copy(),
            size=size,
            running=running,
            known=np.asarray(self._ledger.given.all(axis=1)),
            ranking=tuple(alive[each] for each in ranking),
            pairs=tuple((alive[a], alive[b]) for a, b in pairs),
            sureness=self._claims.sureness(),
            keep=self.question.keep,
            jobs=plan.jobs,
            predicted=plan.model is not None,
        )
        goal = np.where(running, self._allocation.next(field), taken.depth)
        if not self._together and field.begin() is not None:  # nobody waits for a slow one
            goal = np.where(running, np.maximum(goal, taken.depth + 1), goal)
        moving = goal > taken.depth
        if self._step > 1:
            goal = np.where(moving, np.maximum(goal, taken.depth + self._step), goal)
        if plan.model is not None:
            goal = np.minimum(
                goal, max(len(taken.order), int(taken.depth[moving].min(initial=0))) + self._step
            )
        return np.asarray(np.maximum(np.minimum(goal, size), taken.depth))

    def _extend(self, rows: IntArray, length: int) -> None:
        """Bring the shared order to that length by what is most informative of these candidates.

        The sum over them of the expected reduction of the variance of the full score; ties go to
        the task that comes first.
        """
        order = self._taken.order
        claims = self._claims
        if not isinstance(claims, PosteriorClaims) or len(order) >= length:
            return
        worth = claims.posterior.variance_reduction(rows)
        total = np.where(np.isfinite(worth), worth, 0.0).sum(axis=0, dtype=np.float64)
        total = total.astype(np.float32)
        total[order] = -np.inf
        best = np.argsort(-total, kind="stable")[: length - len(order)]
        order.extend(int(each) for each in best)

    def _left(self) -> float:
        """Return how many more results the budget pays for.

        A race that runs together counts complete rounds: one that is rebuilt is told the results
        of later rounds before it plans these. What candidates that are set apart cost counts at
        once.
        """
        counted = self._ledger.told.copy()
        rows = self.alive() if self._together else []
        counted[rows] = self._taken.told[rows]
        return self._ledger.left(counted)

    def verdict(self) -> RaceVerdict:
        """Say what is settled, tied and open, and what settling it would cost."""
        alive, standing, answer = self.judge()
        return tell_verdict(
            Stand(
                plan=self.plan,
                alive=tuple(alive),
                standing=standing,
                answer=answer,
                taken=self._taken,
                apart=self._apart,
                running=self.running,
                reason=self._reason,
                guarantee=self._claims.guarantee,
                begun=self._taken.have_begun(alive),
                ledger=self._ledger,
            )
        )
