"""The record of a race: its results, the tasks that are still out, and what was spent."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray, UnknownTaskError
from midband_sampler.racing.race_plan import RacePlan
from midband_sampler.session import OUTCOMES
from midband_sampler.spending import Cost
from midband_sampler.stopping.budget import UNITS, Budget

_COSTS = UNITS[1:]
_WORDS = {"usd": "dollars", "seconds": "seconds", "tokens": "tokens"}


class Ledger:
    """The results that a race was told, whether it has taken them in or not.

    Parameters
    ----------
    plan : RacePlan
        Whose known results are told from the beginning.

    Attributes
    ----------
    scores : ndarray of float64, shape (candidates, n_tasks)
        NaN without a result.
    told, out, given : ndarray of bool, shape (candidates, n_tasks)
        Whether a result was told, was asked for, was known before the race.
    """

    def __init__(self, plan: RacePlan) -> None:
        self._plan = plan
        self._row = {name: row for row, name in enumerate(plan.candidates)}
        self._column = {task: column for column, task in enumerate(plan.tasks)}
        shape = plan.known.shape
        self.given: NDArray[np.bool_] = np.asarray(~np.isnan(plan.known))
        self.scores: FloatArray = plan.known.copy()
        self.told: NDArray[np.bool_] = self.given.copy()
        self.out: NDArray[np.bool_] = np.zeros(shape, dtype=bool)
        self._costs: FloatArray = np.full((len(_COSTS), *shape), np.nan)

    def task(self, name: str) -> int:
        """Return the position of a task."""
        place = self._column.get(name)
        if place is None:
            msg = f"expected a task of the race, got {name!r}: tell its own tasks only"
            raise UnknownTaskError(msg)
        return place

    def places(self, names: Sequence[str]) -> list[int]:
        """Return the positions of the tasks of a shared order."""
        if len(set(names)) < len(names):
            msg = "expected every task of the shared order once, got one twice: record it anew"
            raise InputError(msg)
        return [self.task(name) for name in names]

    def candidate(self, name: str) -> int:
        """Return the position of a candidate."""
        row = self._row.get(name)
        if row is None:
            msg = f"expected a candidate among {', '.join(self._row)}, got {name!r}"
            raise InputError(msg)
        return row

    def tell(
        self,
        candidate: str,
        task: str,
        *,
        score: float | None,
        outcome: str,
        costs: tuple[float | None, float | None, float | None],
    ) -> tuple[int, int]:
        """Note one result, and return its candidate and task by position.

        Parameters
        ----------
        candidate, task : str
        score : float or None
            In [0, 1]; None or NaN is no result, never 0.
        outcome : str
            Anything but ``valid`` is no result.
        costs : tuple of float or None
            US dollars, seconds and tokens.

        Raises
        ------
        InputError
            The result is none that a race can have, or one with a score was told before.
        """
        row, column = self.candidate(candidate), self.task(task)
        if outcome not in OUTCOMES:
            msg = f"expected an outcome among {', '.join(OUTCOMES)}, got {outcome!r}"
            raise InputError(msg)
        value = math.nan if score is None or outcome != "valid" else float(score)
        if not (math.isnan(value) or 0.0 <= value <= 1.0):
            msg = f"expected a score in [0, 1] for {task!r}, got {score!r}: rescale it"
            raise InputError(msg)
        if self.told[row, column] and not math.isnan(self.scores[row, column]):
            msg = (
                f"expected one result of {candidate!r} for {task!r}, got another: tell each once"
                " (results of the history count already)"
            )
            raise InputError(msg)
        cost = Cost.told(*costs)
        self.told[row, column] = True
        self.scores[row, column] = value
        for unit, name in enumerate(_COSTS):
            if not math.isnan(spent := getattr(cost, name)):
                self._costs[unit, row, column] = spent
        return row, column

    @property
    def missing(self) -> IntArray:
        """Tasks of each candidate that ended without a score, shape (candidates,)."""
        return np.asarray((self.told & np.isnan(self.scores)).sum(axis=1))

    @property
    def results(self) -> int:
        """Results that were paid for."""
        return int((self.told & ~self.given).sum())

    def promised(self, alive: Sequence[int], row: int) -> int:
        """Count the results that a budget has to pay for before one more of a candidate.

        Those that are out, and one for each other candidate that has not begun.

        Parameters
        ----------
        alive : sequence of int
            Candidates that are not set apart.
        row : int
        """
        begun: NDArray[np.bool_] = np.asarray((self.out | self.told).any(axis=1))
        waiting = sum(not begun[each] for each in alive if each != row)
        return int((self.out & ~self.told).sum()) + waiting

    def spent(self, unit: str) -> FloatArray:
        """Return what each candidate's results cost, shape (candidates,); NaN where none says.

        Parameters
        ----------
        unit : str
            ``usd``, ``seconds`` or ``tokens``.
        """
        costs = np.where(self.given, np.nan, self._costs[_COSTS.index(unit)])
        known = ~np.isnan(costs)
        return np.where(known.any(axis=1), np.where(known, costs, 0.0).sum(axis=1), np.nan)

    def left(self, counted: NDArray[np.bool_]) -> float:
        """Return how many more results the budget pays for; infinite where it does not count them.

        Parameters
        ----------
        counted : ndarray of bool, shape (candidates, n_tasks)
            The results that count.
        """
        counted = counted & ~self.given
        if self._plan.jobs is not None:
            return float(self._plan.jobs - int(counted.sum()))
        budget = self._plan.budget
        if not isinstance(budget, Budget) or budget.counts("tasks"):
            return math.inf
        (unit,) = (each for each in _COSTS if budget.counts(each))
        spent = float(self._stated(unit)[counted].sum())
        return 0.0 if spent >= float(getattr(budget, unit)) else math.inf

    def _stated(self, unit: str) -> FloatArray:
        """Return what each result cost, shape (candidates, n_tasks), with a stand-in if untold.

        A result whose cost was not told counts as its task's mean in the history, else as the mean
        of the candidate's own results, else as that of all results. NaN where none is known.
        """
        told: FloatArray = np.where(self.given, np.nan, self._costs[_COSTS.index(unit)])
        known = ~np.isnan(told)
        if not (self.told & ~self.given & ~known).any():
            return told
        sums, counts = np.where(known, told, 0.0).sum(axis=1), known.sum(axis=1)
        overall = sums.sum() / counts.sum() if counts.any() else math.nan
        own = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
        expected = np.broadcast_to(own[:, None], told.shape)
        if unit == "usd":
            history = self._plan.expected_cost_usd
            expected = np.where(np.isnan(history), expected, history)
        return np.where(known, told, expected)

    def warnings(self) -> tuple[str, ...]:
        """Say what a budget in dollars, seconds or tokens rests on; nothing if all was told."""
        budget = self._plan.budget
        units = [each for each in _COSTS if isinstance(budget, Budget) and budget.counts(each)]
        found = []
        for unit in units:
            paid = self.told & ~self.given
            untold = int((paid & np.isnan(self._costs[_COSTS.index(unit)])).sum())
            if untold and bool(np.isnan(self._stated(unit)[paid]).any()):
                found.append(
                    f"the budget in {_WORDS[unit]} cannot be held: nothing says what {untold}"
                    " results took; nothing stops on it"
                )
            elif untold:
                found.append(
                    f"the {_WORDS[unit]} of {untold} results were not told: each counts as the"
                    " mean of those known"
                )
        return tuple(found)
