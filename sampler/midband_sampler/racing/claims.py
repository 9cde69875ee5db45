"""The claims of a race: which candidate is above which, and how surely."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.paired import PairedBets
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.racing.question import Question, Standing

EXACT = (
    "exact bounds of paired differences on shared tasks in random order, valid at every look and"
    " over all pairs"
)
_LEAST_DEVIATION = 1e-12
_FEW = 3


class Taken:
    """The results that a race has taken in so far.

    Parameters
    ----------
    candidates, size : int
        Candidates and tasks.

    Attributes
    ----------
    scores : ndarray of float64, shape (candidates, size)
        By task; NaN without a result.
    told : ndarray of bool, shape (candidates, size)
        Whether the task is over, with or without a score.
    order : list of int
        The shared order of tasks, as far as it is known.
    depth : ndarray of int64, shape (candidates,)
        Length of the prefix of the order that each candidate has completed.
    """

    def __init__(self, candidates: int, size: int) -> None:
        self.scores: FloatArray = np.full((candidates, size), np.nan)
        self.told: NDArray[np.bool_] = np.zeros((candidates, size), dtype=bool)
        self.order: list[int] = []
        self.depth: IntArray = np.zeros(candidates, dtype=np.int64)

    @property
    def missing(self) -> IntArray:
        """Tasks of each candidate that ended without a score, shape (candidates,)."""
        return np.asarray((self.told & np.isnan(self.scores)).sum(axis=1))

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether each candidate has a score on every task, shape (candidates,)."""
        return np.asarray(~np.isnan(self.scores).any(axis=1))

    def have_begun(self, rows: Sequence[int]) -> bool:
        """Whether these have run a few tasks: nobody is judged by what others are like alone."""
        told = self.told[np.array(rows, dtype=np.int64)].sum(axis=1)
        return bool((told >= min(self.told.shape[1], _FEW)).all())

    def take(self, jobs: Sequence[tuple[int, int]], scores: FloatArray) -> None:
        """Take in the results of candidates at tasks."""
        for job in jobs:
            self.scores[job] = scores[job]
            self.told[job] = True

    def follow(self, told: NDArray[np.bool_]) -> tuple[list[tuple[int, int]], IntArray]:
        """Follow every candidate down the order as far as its tasks are over.

        Parameters
        ----------
        told : ndarray of bool, shape (candidates, size)

        Returns
        -------
        jobs : list of (int, int)
            Candidates and tasks that are new.
        depth : ndarray of int64, shape (candidates,)
        """
        depth, jobs = self.depth.copy(), []
        for row in range(len(depth)):
            for task in self.order[int(depth[row]) :]:
                if not told[row, task]:
                    break
                if not self.told[row, task]:
                    jobs.append((row, task))
                depth[row] += 1
        return jobs, depth

    def skip(self, given: NDArray[np.bool_]) -> None:
        """Begin each candidate behind what was known of it before the race."""
        self.depth = self.follow(given)[1]
        self.depth[given.all(axis=1)] = given.shape[1]


class Claims(ABC):
    """The claims that follow from the results so far."""

    guarantee: str

    @abstractmethod
    def observe(self, rows: IntArray, tasks: IntArray) -> None:
        """Take in results that `Taken` holds already, each of another task of its candidate."""

    @abstractmethod
    def scores(self) -> FloatArray:
        """Estimate the full scores, shape (candidates,); NaN where nothing is known."""

    @abstractmethod
    def sureness(self) -> FloatArray:
        """Return how surely the first of each pair is above the second, in standard deviations.

        By more than the question's threshold; shape (candidates, candidates).
        """

    @abstractmethod
    def above(self) -> NDArray[np.bool_]:
        """Return which of these claims are made, shape (candidates, candidates)."""

    def standing(self, taken: Taken) -> Standing:
        """Put estimates and claims together."""
        complete = taken.complete
        return Standing(self.scores(), self.above(), complete[:, None] & complete[None, :])


class PairedClaims(Claims):
    """Exact claims from paired differences on shared tasks in a random order: `PairedBets`.

    Parameters
    ----------
    taken : Taken
        Its order is complete and drawn at random.
    question : Question
    names : sequence of str
        The candidates that the error is shared among.
    """

    guarantee = EXACT

    def __init__(self, taken: Taken, question: Question, names: tuple[str, ...]) -> None:
        count, size = taken.scores.shape
        self._taken = taken
        self._order: IntArray = np.array(taken.order, dtype=np.int64)
        self._thresholds = question.thresholds(names)
        self._bets = PairedBets(
            count, size, thresholds=self._thresholds, error=question.error(count)
        )
        self._claims = question.confidence is not None
        self._low: FloatArray = np.full((count, size), np.nan)
        self._high: FloatArray = np.full((count, size), np.nan)
        self._off_diagonal = ~np.eye(count, dtype=bool)

    def observe(self, rows: IntArray, tasks: IntArray) -> None:
        """Bet on every pair's next shared tasks."""
        taken, bets = self._taken, self._bets
        scores = taken.scores[rows, tasks]
        self._low[rows, tasks] = np.where(np.isnan(scores), 0.0, scores)
        self._high[rows, tasks] = np.where(np.isnan(scores), 1.0, scores)
        shared = np.minimum(taken.depth[:, None], taken.depth[None, :])
        while True:
            first, second = np.nonzero((bets.common < shared) & self._off_diagonal)
            if not first.size:
                return
            task = self._order[bets.common[first, second]]
            bets.observe(first, second, self._low[first, task] - self._high[second, task])

    def scores(self) -> FloatArray:
        """Estimate by paired differences from those that have run furthest.

        With r_j the mean of the candidates of the greatest depth D on task j, a candidate of depth
        d is estimated by the mean of x_j - r_j over its d tasks plus the mean of r_j over D tasks:
        two candidates are compared by their differences on tasks that both have run. Tasks without
        a score are left out.
        """
        taken = self._taken
        deepest = int(taken.depth.max())
        if not deepest:
            return np.full(len(taken.depth), np.nan)
        order = self._order[:deepest]
        scores = taken.scores[:, order]
        leaders = scores[taken.depth == deepest]
        known = ~np.isnan(leaders)
        count = known.sum(axis=0)
        level = np.where(known, leaders, 0.0).sum(axis=0) / np.maximum(count, 1)
        level = np.where(count > 0, level, np.nan)
        difference = scores - level
        ran = ~np.isnan(difference) & (np.arange(deepest) < taken.depth[:, None])
        own = np.where(ran, difference, 0.0).sum(axis=1) / np.maximum(ran.sum(axis=1), 1)
        mean = np.nanmean(level) if count.any() else np.nan
        found = np.where(ran.any(axis=1), own + mean, np.nan)
        whole = taken.complete
        found[whole] = taken.scores[whole].mean(axis=1)
        return np.clip(found, 0.0, 1.0)

    def sureness(self) -> FloatArray:
        """Mean difference less the threshold over its standard deviation; guides the choice."""
        means = np.nan_to_num(self._bets.means())
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((means - self._thresholds) / self._bets.deviations())

    def above(self) -> NDArray[np.bool_]:
        """Return which pairs were claimed at some look; a claim stays.

        None for a question without a confidence.
        """
        claimed = self._bets.above()
        return claimed if self._claims else np.zeros_like(claimed)


class PosteriorClaims(Claims):
    """Claims from predicted full scores: the difference in units of its standard deviation.

    The difference of two candidates' full scores has mean and variance of their posteriors, taken
    to be independent given the model. The first is claimed to be above the second where the mean
    difference less the threshold reaches `width` standard deviations; what that is worth, replayed
    races say.

    Parameters
    ----------
    taken : Taken
    question : Question
    names : sequence of str
    posterior : FullScorePosterior
        Of which nothing was observed.
    width : float
    guarantee : str
    """

    def __init__(
        self,
        taken: Taken,
        question: Question,
        names: tuple[str, ...],
        *,
        posterior: FullScorePosterior,
        width: float,
        guarantee: str,
    ) -> None:
        self.guarantee = guarantee
        self.posterior = posterior
        self._taken = taken
        self._thresholds = question.thresholds(names)
        self._width = width
        self._missing: FloatArray = np.zeros(len(names))
        self._of: FloatArray = np.full(len(names), float(taken.scores.shape[1]))

    def observe(self, rows: IntArray, tasks: IntArray) -> None:
        """Update the posteriors, one result of each candidate at a time."""
        scores = self._taken.scores[rows, tasks]
        np.add.at(self._missing, rows, np.isnan(scores))
        while rows.size:
            _, first = np.unique(rows, return_index=True)
            self.posterior.observe(rows[first], tasks[first], scores[first])
            rest = np.ones(rows.size, dtype=bool)
            rest[first] = False
            rows, tasks, scores = rows[rest], tasks[rest], scores[rest]

    def scores(self) -> FloatArray:
        """Posterior means; exact for a candidate that has run everything."""
        return self.posterior.moments()[0]

    def deviations(self) -> FloatArray:
        """Posterior standard deviations of the full scores, shape (candidates,)."""
        return self.posterior.moments()[1]

    def sureness(self) -> FloatArray:
        """Difference less the threshold in standard deviations, missing results at their worst.

        A missing result counts as 0 for the first of a pair and as 1 for the second.
        """
        mean, deviation = self.posterior.moments()
        low, high = mean, mean
        if self._missing.any():
            share = self._missing / self._of
            low = mean * (1.0 - share)
            high = low + share
        difference = low[:, None] - high[None, :] - self._thresholds
        spread = np.sqrt(deviation[:, None] ** 2 + deviation[None, :] ** 2)
        return np.asarray(difference / np.maximum(spread, _LEAST_DEVIATION))

    def above(self) -> NDArray[np.bool_]:
        """Return which pairs are claimed now."""
        claimed = self.sureness() >= self._width
        np.fill_diagonal(claimed, val=False)
        return np.asarray(claimed)
