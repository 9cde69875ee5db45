"""Sequential rank bounds: valid after every result at once, for tasks in random order."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import TIE, Diagnostics, Interval, resampled_ranks, unknown, whole
from midband_sampler.bounds.betting import Capital, FinitePopulation
from midband_sampler.bounds.evidence import SIGN_BLOCK, NoPairs, PairedEProcess, resampling_signs

# What a plan promises, by its order.
ALWAYS_VALID = "betting confidence sequence, exact at every look, tasks in random order"
NOT_RANDOM = "betting confidence sequence for a random order, which this order only resembles"
_SPREAD = 0.4  # of the excess, where no reference agents tell
_AT_ONCE = 64  # results whose bets fit into a processor's cache


@dataclass(eq=False)
class _Sums:
    """Running sums over the results; numbers, or arrays with one entry a result.

    Parameters
    ----------
    tasks, certain, planned : int or ndarray of int64
        Results of the sample, results of guard tasks, and tasks of the target.
    total, certain_total : float or ndarray of float64
        Sums of the excess of the sample, and on guard tasks.
    run, lost : float or ndarray of float64
        Sums of the expected scores of the sample's tasks that have run, and of those among them
        that left the target.
    references : ndarray of float64, shape (n_reference,) or (n_reference, n_results)
        Mean excess of each reference on the target.
    base : float or ndarray of float64
        Mean expected score on the target.
    """

    tasks: Any
    certain: Any
    planned: Any
    total: Any
    certain_total: Any
    run: Any
    lost: Any
    references: FloatArray
    base: Any

    @property
    def size(self) -> Any:
        """Tasks of the target that are drawn by chance: all but the guard tasks."""
        return self.planned - self.certain

    def on_target(self, total: Any) -> Any:
        """Return the mean excess on the target, by its total over the tasks drawn by chance."""
        return (total + self.certain_total) / np.maximum(self.planned, 1)

    @property
    def estimate(self) -> Any:
        """Estimated mean excess on the target."""
        return self.on_target(self.size * self.total / np.maximum(self.tasks, 1))


class SequentialRankBounds(NoPairs):
    """Rank on the planned tasks: a confidence sequence, with the paired bootstrap beside it.

    The reference agents' means over the planned tasks are known, so the candidate's rank is a
    function of one unknown number: its own mean over them. With m_j the references' mean on task j
    and e_j = x_j - m_j, that is mean(m) over all planned tasks, which is known, plus mean(e), which
    is estimated by the mean over the completed tasks (the difference estimator). Tasks run in
    random order, so the completed ones are draws without replacement from the finite population
    of the e_j, and its total is bounded by betting (`FinitePopulation`): for every number of
    results, every score in [0, 1] and all looks at once, without approximation. The tasks
    still to come can change the total by their scores at most, and when all have run it is known.
    A reference that missed planned tasks enters with the difference estimator over those it ran,
    and counts as known.

    The bootstrap resamples the excesses e by random signs (`resampling_signs`) with the
    finite-population factor sqrt(1 - n / N). As the references' means are known, a resample's rank
    follows from where its estimate falls among them. It is a diagnostic, so it is brought up to
    date only when `diagnose` is asked.

    Guard tasks are a stratum of their own: run whatever happens, they are no sample of the others,
    but once run they are known. With G of N planned tasks certain, the bets are on the total of the
    other N - G, and the mean over all N follows.

    A task without a result leaves the target, and the bets are settled anew as though it had never
    been planned. If it depends on the task alone whether there is a result, the tasks that have
    one are drawn in random order too. The bounds then hold at all looks after the last task that
    leaves; a look before that counts such tasks as though they would have had results. Readings of
    missing results as 0 or as 1 have no such gap: nothing leaves the target there.

    Results come one at a time, or all results of an order at once; the bounds then have one entry
    a result, the same as one at a time would have given.

    Parameters
    ----------
    reference : ndarray of float64, shape (n_reference, n_planned)
        Reference scores on the planned tasks in their order, NaN where not run.
    confidence : float
        Chance that the bounds cover after every result at once.
    guards : int
        The first so many planned tasks are guard tasks.
    rivals : mapping of str to int
        Row of each reference agent that is bet on; see `PairedEProcess`.
    expected : ndarray of float64, shape (n_planned,), optional
        Predicted score on each planned task, in [0, 1]; the references' mean by default.
    spread : float, optional
        Expected standard deviation about it; that of the references by default.
    resamples : int
        Number of bootstrap resamples.
    seed : int
    """

    posterior = None

    def __init__(
        self,
        reference: FloatArray,
        *,
        confidence: float,
        guards: int = 0,
        rivals: Mapping[str, int] = MappingProxyType({}),
        expected: FloatArray | None = None,
        spread: float | None = None,
        resamples: int = 2000,
        seed: int = 0,
    ) -> None:
        known = ~np.isnan(reference)
        by_task = known.sum(axis=0)
        scores = np.where(known, reference, 0.0)
        overall = scores.sum() / max(int(known.sum()), 1)
        mean = np.where(by_task > 0, scores.sum(axis=0) / np.maximum(by_task, 1), overall)
        self._expected = mean if expected is None else expected
        self._expected_list: list[float] = self._expected.tolist()
        self._known = known
        self._excess = np.where(known, reference - self._expected, 0.0)
        self._rival_scores = {name: reference[row] for name, row in rivals.items()}
        self._confidence = confidence
        self._guards = guards
        self._pairs = resamples // 2
        self._seed = seed
        drawn = slice(guards, None)
        sample = self._expected[drawn]
        others = int(known[:, drawn].sum() - (by_task[drawn] > 0).sum())
        if spread is None:
            spread = math.sqrt((self._excess[:, drawn] ** 2).sum() / others) if others else _SPREAD
        self._spread = spread
        self._range = (
            (-float(sample.max()), 1.0 - float(sample.min())) if sample.size else (0.0, 1.0)
        )
        guarded = np.where(np.arange(self._expected.size) < guards, 0.0, self._expected)
        self._to_come = np.concatenate([np.cumsum(guarded[::-1])[::-1], [0.0]])
        self._game: FinitePopulation | None = None
        self._fresh()

    def _fresh(self) -> None:
        self._observed = self._many = False
        self._values: list[float] = []  # of the sample, one at a time
        self._sampled = np.zeros(0)  # and all at once
        self._played = 0
        self._capital: Capital | None = None
        self._played_in: FinitePopulation | None = None
        self._found: Interval | None = None
        self._reference_sums = self._excess.sum(axis=1)
        self._reference_counts = self._known.sum(axis=1)
        self._in_target = np.ones(self._expected.size, dtype=bool)
        self._sums = _Sums(
            tasks=0,
            certain=0,
            planned=0,
            total=0.0,
            certain_total=0.0,
            run=0.0,
            lost=0.0,
            references=np.zeros(0),
            base=0.0,
        )
        self._set_target()
        self._evidence = {name: PairedEProcess.nothing() for name in self._rival_scores}
        self._signed = np.zeros(self._pairs)
        self._sign_sums = np.zeros(self._pairs)
        self._block = -1
        self._signs = np.zeros((0, self._pairs), np.float32)
        self._unsigned: list[tuple[int, float]] = []  # results that the bootstrap has not taken in

    def restarted(self) -> "SequentialRankBounds":
        """Forget all results."""
        if self._observed:
            self._fresh()
        return self

    def _set_target(self) -> None:
        """Work out the references' means on the tasks of the target."""
        references = self._reference_sums / np.maximum(self._reference_counts, 1)
        target = self._expected[self._in_target]
        self._sums.references = references
        self._sums.base = float(target.mean()) if target.size else math.nan
        self._sums.planned = target.size
        self._order = np.argsort(references, kind="stable")
        self._ascending = references[self._order]
        self._ordered: list[float] = self._ascending.tolist()
        self._reference_scores = np.asarray(references + self._sums.base)

    @property
    def tasks(self) -> IntArray:
        """Results of the sample so far."""
        tasks: IntArray = self._sums.tasks
        return tasks if self._many else whole(self._sums.tasks)

    @property
    def reference_scores(self) -> FloatArray:
        """Estimated mean score of each reference on the target."""
        return self._reference_scores

    @property
    def reference_margins(self) -> FloatArray | None:
        """None: a rank on the planned tasks is one among the recorded results alone."""
        return None

    @property
    def evidence(self) -> Mapping[str, PairedEProcess]:
        """E-process against each agent that is bet on."""
        return self._evidence

    def observe(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in results by their place in the plan.

        Parameters
        ----------
        tasks : ndarray of int64, shape () or (n_results,)
            Several only where nothing was taken in before; they are then the first of the plan.
        scores : ndarray of float64
            NaN takes the task out of the target.
        """
        self._observed = True
        self._found = None
        if tasks.ndim:
            self._observe_order(scores)
        else:
            self._observe_one(tasks.item(), scores.item())

    def _observe_one(self, place: int, score: float) -> None:
        guard, sums = place < self._guards, self._sums
        expected = self._expected_list[place]
        if not guard:
            sums.run += expected
        if score != score:
            if not guard:
                sums.lost += expected
            self._in_target[place] = False
            self._reference_sums = self._reference_sums - self._excess[:, place]
            self._reference_counts = self._reference_counts - self._known[:, place]
            self._set_target()
        elif guard:
            sums.certain += 1
            sums.certain_total += score - expected
        else:
            excess = score - expected
            sums.total += excess
            sums.tasks += 1
            self._values.append(excess)
            self._unsigned.append((place, excess))
        if not guard:
            for name, theirs in self._rival_scores.items():
                self._evidence[name] = self._evidence[name].after(np.asarray(score - theirs[place]))

    def _observe_order(self, scores: FloatArray) -> None:
        self._many = True
        told, expected = ~np.isnan(scores), self._expected[: scores.size]
        excess = np.where(told, scores - expected, 0.0)
        guard = np.arange(scores.size) < self._guards
        lost = np.cumsum(~told)
        sums = self._sums
        sums.tasks = np.cumsum(told & ~guard)
        sums.certain = np.cumsum(told & guard)
        sums.planned = np.asarray(sums.planned - lost)
        sums.total = np.cumsum(np.where(guard, 0.0, excess))
        sums.certain_total = np.cumsum(np.where(guard, excess, 0.0))
        sums.run = np.cumsum(np.where(guard, 0.0, expected))
        sums.lost = np.cumsum(np.where(guard | told, 0.0, expected))
        self._sampled = excess[told & ~guard]
        if lost.any():
            self._lose(told, lost)
        for name, theirs in self._rival_scores.items():
            difference = np.where(guard, np.nan, scores - theirs[: scores.size])
            self._evidence[name] = PairedEProcess.nothing().after_each(difference)

    def _lose(self, told: np.ndarray, lost: IntArray) -> None:
        """Take the tasks without a result out of the target, one after the other."""
        totals, counts = [self._reference_sums], [self._reference_counts]
        bases = [self._sums.base]
        for place in np.flatnonzero(~told):
            self._in_target[place] = False
            totals.append(totals[-1] - self._excess[:, place])
            counts.append(counts[-1] - self._known[:, place])
            target = self._expected[self._in_target]
            bases.append(float(target.mean()) if target.size else math.nan)
        means = np.stack(totals, axis=1) / np.maximum(np.stack(counts, axis=1), 1)
        self._sums.references = means[:, lost]
        self._sums.base = np.array(bases)[lost]
        self._reference_scores = np.asarray(self._sums.references + self._sums.base)

    def interval(self) -> Interval:
        """Bound the rank over all looks; the widest bounds before the second result."""
        if self._found is None:
            self._found = self._interval()
        return self._found

    def _interval(self) -> Interval:
        """Bound the rank after the results so far, or after each result of an order."""
        sums = self._sums
        if not self._many and sums.tasks < 2:
            return unknown(len(self._ordered))[0]
        all_run, early = sums.tasks >= sums.size, sums.tasks < 2
        lower, upper = self._totals()
        low = sums.on_target(np.where(all_run, sums.total, lower))
        high = sums.on_target(np.where(all_run, sums.total, upper))
        estimate = np.clip(sums.estimate, low, high)
        least, most = (1 + self._above(each + TIE) for each in (high, low))
        slack = np.where(all_run, TIE, 0.0)
        scores = (sums.base + each for each in (estimate, low - slack, high + slack))
        score, score_low, score_high = (np.where(early, np.nan, each)[()] for each in scores)
        return Interval(
            rank=np.where(early, 1, 1 + self._above(estimate + TIE))[()],
            low=np.where(early, 1, least)[()],
            high=np.where(early, len(self._ordered) + 1, most)[()],
            score=np.clip(score, 0.0, 1.0),
            score_low=np.clip(score_low, 0.0, 1.0),
            score_high=np.clip(score_high, 0.0, 1.0),
        )

    def _population(self, size: int, lost: float) -> FinitePopulation:
        """Return the population of the excesses, without the tasks that left the target."""
        expected = float(self._to_come[0]) - lost
        reach = (-expected, size - expected)
        if self._game is None or (self._game.size, self._game.reach) != (size, reach):
            low, high = self._range
            self._game = FinitePopulation(
                size=size,
                low=low,
                high=high,
                error=1.0 - self._confidence,
                spread=self._spread,
                reach=reach,
            )
        return self._game

    def _bet(self) -> Iterator[tuple[FinitePopulation, Capital, Any]]:
        """Yield populations, the capital after results, and which results it is after."""
        sums = self._sums
        if self._many:
            yield from self._bet_order()
            return
        if sums.tasks < 1:
            return
        game = self._population(int(sums.size), float(sums.lost))
        if self._capital is None or game is not self._played_in:
            self._capital, self._played, self._played_in = game.start(), 0, game
        if self._played < len(self._values):
            values = np.array(self._values[self._played :])
            self._capital = game.after(self._capital, values).at(-1)
            self._played = len(self._values)
        yield game, self._capital, ()

    def _bet_order(self) -> Iterator[tuple[FinitePopulation, Capital, IntArray]]:
        """Bet on a whole order, a few results at a time; anew after each lost task."""
        sums, values = self._sums, self._sampled
        begun = (sums.tasks > 0) & (sums.size > 0)
        for size in np.unique(sums.size[begun])[::-1]:
            looks = np.flatnonzero(begun & (sums.size == size))
            stages = sums.tasks[looks] - 1
            game = self._population(int(size), float(sums.lost[looks[0]]))
            capital = game.start()
            for first in range(0, int(stages[-1]) + 1, _AT_ONCE):
                played = game.after(capital, values[first : first + _AT_ONCE])
                capital = played.at(-1)
                here = (stages >= first) & (stages < first + _AT_ONCE)
                if here.any():
                    yield game, played.at(stages[here] - first), looks[here]

    def _totals(self) -> tuple[FloatArray, FloatArray]:
        """Bound the total excess over the tasks of the target that are drawn by chance."""
        sums = self._sums
        shape = np.shape(sums.tasks)
        lower, upper = np.full(shape, -np.inf), np.full(shape, np.inf)
        left = np.asarray(sums.size - sums.tasks)
        expected = np.asarray(self._to_come[0] - sums.run)
        for game, capital, rows in self._bet():
            rest = (-expected[rows], left[rows] - expected[rows])
            lower[rows], upper[rows] = game.bounds(capital, rest=rest)
        return lower, upper

    def _above(self, edges: FloatArray) -> IntArray:
        """Count the references with a mean excess above each edge."""
        references = self._sums.references
        if references.ndim > 1:
            return np.asarray(np.sum(references > edges, axis=0))
        return np.asarray(len(self._ordered) - self._ascending.searchsorted(edges, side="right"))

    def least_half_width(self, run: IntArray, left: IntArray) -> FloatArray:
        """Return the least half width of the score bounds after `left` more results.

        Certain, whatever these results are, if each of the next tasks of the plan has one.
        """
        sums = self._sums
        run, left = np.broadcast_arrays(run, left)
        more = np.minimum(left, sums.size - sums.tasks)
        last = self._expected.size
        expected = self._to_come[np.minimum(run + left, last)]
        beyond = np.asarray(sums.size - sums.tasks - more)
        width = np.where(sums.tasks + left < 1, np.inf, np.zeros(np.shape(more)))
        for game, capital, rows in self._bet():
            rest = (-expected[rows], beyond[rows] - expected[rows])
            width[rows] = game.least_width(capital, more[rows], rest=rest)
        return np.asarray(np.where(beyond > 0, width / np.maximum(sums.planned, 1) / 2.0, 0.0))

    def diagnose(self) -> Diagnostics:
        """Resample the results so far, of one candidate."""
        n, n_reference = int(self._sums.tasks), len(self._ordered)
        if n < 2:
            return unknown(n_reference)[1]
        self._resample()
        planned = int(self._sums.planned)
        sampled = planned - int(self._sums.certain)
        mean = float(self._sums.total) / n
        factor = sampled / planned / n * math.sqrt(max(1.0 - n / sampled, 0.0))
        interval = self.interval()
        estimate = float(self._sums.estimate)
        deviation = (factor * (self._signed - mean * self._sign_sums)).astype(np.float32)
        deviation.sort()
        low, high = int(interval.low), int(interval.high)
        return resampled_ranks(deviation, estimate, (low, high), self._order, self._ordered)

    def _resample(self) -> None:
        """Take the results since the last time into the bootstrap."""
        for place, excess in self._unsigned:
            block, row = divmod(place, SIGN_BLOCK)
            if block != self._block:
                self._signs = resampling_signs(self._pairs, block=block, seed=self._seed)
                self._block = block
            self._signed += excess * self._signs[row]
            self._sign_sums += self._signs[row]
        self._unsigned.clear()
