"""Baselines: published ways to spend a fixed number of results on several candidates.

All of them draw tasks without replacement from one random order that the candidates share. The n-th
result of every candidate is that of the same task, so that comparisons are paired. A candidate that
has run every task has its exact full score and cannot be run further; what is then spare goes to
the others. Ties are broken at random, by one number drawn for each candidate.

None of them claims anything: each names an answer, without saying how surely.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from midband_history import FloatArray, InputError, IntArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Spent:
    """Result of a baseline.

    Parameters
    ----------
    ranking : tuple of int
        Candidates from the best to the worst.
    scores : ndarray of float64, shape (candidates,)
        Mean score over the tasks that each has run.
    tasks : ndarray of int64, shape (candidates,)
        Tasks that each has run; their sum is at most the budget.
    """

    ranking: tuple[int, ...]
    scores: FloatArray
    tasks: IntArray


class Baseline(ABC):
    """A way to spend a fixed number of results.

    Attributes
    ----------
    name : str
        What ``--allocation`` takes.
    source : str
        Where it was published.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    def run(
        self, scores: FloatArray, *, budget: int, keep: int = 1, generator: np.random.Generator
    ) -> Spent:
        """Spend the budget.

        Parameters
        ----------
        scores : ndarray of float64, shape (candidates, tasks)
            Results in [0, 1], none of them NaN.
        budget : int
            Results to pay for; at least one for each candidate.
        keep : int
            Candidates that are asked for: k of a top k, else 1.
        generator : numpy.random.Generator
            Draws the shared order of tasks first, then the tie-breaks, then what else is random.

        Raises
        ------
        InputError
            A result is missing, or the budget does not give every candidate a task.
        """
        count, size = scores.shape
        if np.isnan(scores).any():
            msg = f"expected a result of every candidate on every task, got NaN for {self.name}"
            raise InputError(msg)
        if not 1 <= keep <= count:
            msg = f"expected to keep 1 to {count} candidates, got {keep}"
            raise InputError(msg)
        if budget < count:
            msg = (
                f"expected a budget of at least {count} results for {self.name}, one for each"
                f" candidate, got {budget}: that is {count / scores.size:.2%} of the full price"
            )
            raise InputError(msg)
        order = generator.permutation(size)
        ties: FloatArray = np.asarray(generator.random(count))
        table = _Table(scores[:, order], ties)
        self._spend(table, min(budget, scores.size), keep, generator)
        return Spent(ranking=table.ranking(), scores=table.means(), tasks=table.depth.copy())

    @abstractmethod
    def _spend(
        self, table: "_Table", budget: int, keep: int, generator: np.random.Generator
    ) -> None:
        """Run candidates until the budget is spent."""


class _Table:
    """Results in the shared order, and how far each candidate has run.

    Parameters
    ----------
    scores : ndarray of float64, shape (candidates, tasks)
    ties : ndarray of float64, shape (candidates,)
        Breaks ties: the greater is the better.
    """

    def __init__(self, scores: FloatArray, ties: FloatArray) -> None:
        self.scores = scores
        self.ties = ties
        self.depth: IntArray = np.zeros(len(scores), dtype=np.int64)
        self.sums: FloatArray = np.zeros(len(scores))
        # The phase in which a candidate was let go; those that were never let go come first.
        self.phase: FloatArray = np.full(len(scores), np.inf)

    @property
    def size(self) -> int:
        return int(self.scores.shape[1])

    def run_to(self, rows: IntArray, depth: int) -> None:
        """Bring candidates of one depth to another, at most to the last task."""
        depth = min(depth, self.size)
        begin = int(self.depth[rows[0]])
        self.sums[rows] += self.scores[rows, begin:depth].sum(axis=1)
        self.depth[rows] = np.maximum(self.depth[rows], depth)

    def pull(self, row: int) -> None:
        """Run the next task of one candidate."""
        self.sums[row] += self.scores[row, self.depth[row]]
        self.depth[row] += 1

    def means(self) -> FloatArray:
        """Return the mean of each; sums taken in another order differ in the last bits."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.round(self.sums / self.depth, 12))

    def sorted(self, rows: IntArray) -> IntArray:
        """Return candidates from the best mean to the worst."""
        return np.asarray(rows[np.lexsort((-self.ties[rows], -self.means()[rows]))])

    def ranking(self) -> tuple[int, ...]:
        """Return all, those that were let go last before the others, then by their means."""
        found = np.lexsort((-self.ties, -self.means(), -self.phase))
        return tuple(int(each) for each in found)


class RandomTasks(Baseline):
    """All candidates run the same random tasks, as many as the budget pays for all.

    What is left over would pay for a further task of some of them only, and is not spent.
    """

    name = "random"
    source = "what an evaluation of all candidates on a random subset does"

    def _spend(self, table: _Table, budget: int, keep: int, generator: np.random.Generator) -> None:
        del keep, generator
        rows = np.arange(len(table.depth))
        table.run_to(rows, budget // len(rows))


class SynchronizedSuccessiveRejects(Baseline):
    """SySRs: successive rejects in which all that survive see the same tasks.

    With K candidates and a budget of n results, phase k = 1 ... K - 1 brings the survivors to
    ceil((n - K) / (L (K + 1 - k))) tasks, L = 1/2 + sum of 1/i for i = 2 ... K, and lets go of the
    one with the lowest mean. Where that is more than there are tasks, depths end there, and all of
    them are raised by one factor, the greatest that the budget pays for. There is no parameter.

    A top k is the last k of the order in which candidates were let go, as in the paper's own
    experiments: the rejects go on until one is left.
    """

    name = "sysrs"
    source = (
        "Lyu, Nejma, Wegel, Yang, Dorner, ICML 2026 (arXiv:2606.07726), on the successive rejects"
        " of Audibert, Bubeck and Munos, COLT 2010"
    )

    def _spend(self, table: _Table, budget: int, keep: int, generator: np.random.Generator) -> None:
        del keep, generator
        count = len(table.depth)
        if count == 1:
            table.run_to(np.arange(1), budget)
            return
        counts = np.arange(count, 1, -1)
        level = 0.5 + float((1.0 / np.arange(2, count + 1)).sum())
        depths = np.ceil((budget - count) / level / counts).astype(np.int64)
        depths = np.maximum(depths, 1)
        if depths[-1] > table.size:
            depths = _longest(1.0 / counts, counts, budget=budget, size=table.size)
        rows = np.arange(count)
        for phase, depth in enumerate(depths):
            table.run_to(rows, int(depth))
            rows = table.sorted(rows)
            table.phase[rows[-1]] = phase
            rows = rows[:-1]


class SuccessiveHalving(Baseline):
    """Sequential halving: rounds that cost the same, each on the better half of the last.

    Departures from the paper: means are over all results of a candidate, not over the last round's
    alone, since tasks are shared and drawn without replacement; and a round is at least one task,
    for which the paper's bound needs a larger budget. A round never keeps fewer than the k of a top
    k, and the last ends with those k.
    """

    name = "successive-halving"
    source = "Karnin, Koren, Somekh, ICML 2013"

    def _spend(self, table: _Table, budget: int, keep: int, generator: np.random.Generator) -> None:
        del generator
        counts = [len(table.depth)]
        while counts[-1] > max(keep, 1):
            counts.append(max(keep, (counts[-1] + 1) // 2))
        sizes = np.array(counts[:-1] or counts)
        depths = _longest(np.cumsum(1.0 / sizes), sizes, budget=budget, size=table.size)
        rows = np.arange(len(table.depth))
        for phase, depth in enumerate(depths):
            table.run_to(rows, int(depth))
            rows = table.sorted(rows)
            left = counts[phase + 1] if phase + 1 < len(counts) else len(rows)
            table.phase[rows[left:]] = phase
            rows = rows[:left]


def _longest(weights: FloatArray, counts: IntArray, *, budget: int, size: int) -> IntArray:
    """Return depths in proportion to weights, as large as the budget pays for.

    Parameters
    ----------
    weights : ndarray of float64, shape (phases,)
        Relative depth at the end of each phase, in ascending order.
    counts : ndarray of int64, shape (phases,)
        Candidates that run in each phase, in descending order.
    budget : int
        At least the first of `counts`.
    size : int
        Tasks: no depth is greater. None is smaller than 1.
    """

    def at(scale: float) -> IntArray:
        return np.clip(np.floor(scale * weights), 1, size).astype(np.int64)

    def cost(depths: IntArray) -> int:
        return int((np.diff(depths, prepend=0) * counts).sum())

    low, high = 0.0, (size + 1.0) / float(weights[0])
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cost(at(middle)) <= budget else (low, middle)
    return at(low)


class UcbE(Baseline):
    """UCB-E: run the candidate with the greatest mean + sqrt(a / tasks).

    The parameter a is fixed at 1, which is the scale of the scores' range: the value that the
    theory asks for depends on the unknown gaps. Everybody runs one task first.

    For a top k the mean is replaced by less the distance to the boundary, as in GapE (Gabillon,
    Ghavamzadeh, Lazaric, Bubeck, NeurIPS 2011) with the gaps of Bubeck, Wang and Viswanathan (ICML
    2013): from the (k+1)-th mean for the k best, from the k-th for the others. The answer is the k
    greatest means.
    """

    name = "ucb-e"
    source = "Audibert, Bubeck, Munos, COLT 2010"
    exploration: ClassVar[float] = 1.0

    def _spend(self, table: _Table, budget: int, keep: int, generator: np.random.Generator) -> None:
        del generator
        count = len(table.depth)
        table.run_to(np.arange(count), 1)
        for _ in range(budget - count):
            means = table.sums / table.depth
            value = means
            if 1 < keep < count:
                ordered = np.sort(means)[::-1]
                high, low = ordered[keep - 1], ordered[keep]
                value = -np.where(means >= high, means - low, high - means)
            index = value + np.sqrt(self.exploration / table.depth)
            index[table.depth >= table.size] = -np.inf
            best = np.flatnonzero(index >= index.max())
            table.pull(int(best[np.argmax(table.ties[best])]))


class TopTwoThompson(Baseline):
    """Top-two Thompson sampling, with the probability 1/2 for the leader.

    Full scores are drawn from the posterior until a second draw has another best candidate than
    the first one; a fair coin says which of the two runs. Scores are taken as those of Beta(1, 1)
    candidates, a graded score as that share of a success. Departures from the paper: what is drawn
    is the full score of the finite set of tasks, the results so far and the rate for the others, so
    that a candidate that has run everything is known exactly; and after 100 draws that agree the
    runner-up of the last one is taken.

    For a top k a second draw has to have another set of k; the two candidates are one that is in
    the first set only and one that is in the second only, the best of each by its draw. The answer
    is the k greatest posterior means.
    """

    name = "top-two-thompson"
    source = "Russo, COLT 2016"
    most_draws: ClassVar[int] = 100

    def _spend(self, table: _Table, budget: int, keep: int, generator: np.random.Generator) -> None:
        count = len(table.depth)
        if keep >= count:
            table.run_to(np.arange(count), budget // count)
            return
        table.run_to(np.arange(count), 1)
        for _ in range(budget - count):
            leader, rival = self._pair(table, keep, generator)
            first, second = (leader, rival) if generator.random() < 0.5 else (rival, leader)
            able = [row for row in (first, second) if table.depth[row] < table.size]
            if not able:
                left = np.flatnonzero(table.depth < table.size)
                able = [int(left[np.argmin(table.depth[left])])]
            table.pull(able[0])

    def _pair(self, table: _Table, keep: int, generator: np.random.Generator) -> tuple[int, int]:
        first = _top(_drawn(table, 1, generator), keep)[0]
        left, batch = self.most_draws, 4
        while left > 0:
            values = _drawn(table, min(batch, left), generator)
            tops = _top(values, keep)
            other = np.flatnonzero(~np.isin(tops, first).all(axis=1))
            if other.size:
                draw = other[0]
                second = tops[draw]
                return (
                    int(first[~np.isin(first, second)][0]),
                    int(second[~np.isin(second, first)][0]),
                )
            left, batch = left - batch, batch * 4
        ordered = np.argsort(-values[-1], kind="stable")
        return int(ordered[keep - 1]), int(ordered[keep])


def _drawn(table: _Table, draws: int, generator: np.random.Generator) -> FloatArray:
    """Draw full scores from the posterior, shape (draws, candidates)."""
    passed, ran = table.sums, table.depth
    rates = generator.beta(1.0 + passed, 1.0 + np.maximum(ran - passed, 0.0), (draws, len(ran)))
    return np.asarray((passed + (table.size - ran) * rates) / table.size)


def _top(values: FloatArray, keep: int) -> IntArray:
    """Return the best of each draw, from the best down, shape (draws, keep)."""
    return np.asarray(np.argsort(-values, axis=1, kind="stable")[:, :keep])


def baselines() -> Mapping[str, Baseline]:
    """Return the baselines by name."""
    kinds: tuple[type[Baseline], ...] = (
        RandomTasks,
        SynchronizedSuccessiveRejects,
        SuccessiveHalving,
        UcbE,
        TopTwoThompson,
    )
    return {kind.name: kind() for kind in kinds}
