"""Sequential rank bounds: valid after every result at once, for tasks in random order."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import TIE, Diagnostics, Interval, real, unknown, whole
from midband_sampler.bounds.evidence import SIGN_BLOCK, PairedEProcess, resampling_signs


@dataclass(eq=False)
class _Sums:
    """Running sums over the results; numbers, or arrays with one entry a result.

    Parameters
    ----------
    tasks, certain, planned : int or ndarray of int64
        Results of the sample, results of guard tasks, and tasks of the target.
    total, squares, certain_total : float or ndarray of float64
        Sums of the excess and its square, and of the excess on guard tasks.
    references : ndarray of float64, shape (n_reference,) or (n_reference, n_results)
        Mean excess of each reference on the target.
    base : float or ndarray of float64
        Mean expected score on the target.
    """

    tasks: Any
    certain: Any
    planned: Any
    total: Any
    squares: Any
    certain_total: Any
    references: FloatArray
    base: Any

    def estimate(
        self,
        *,
        unseen: float,
        bound: float,
        sqrt: Callable[[Any], Any],
        largest: Callable[[Any, Any], Any],
    ) -> tuple[Any, Any, Any]:
        """Mean excess on the target, its half width, and whether every result is known.

        Parameters
        ----------
        unseen : float
            What is added to the sum of squares.
        bound : float
            Factor of the half width that the confidence sets.
        sqrt, largest : callable
            The square root and the larger of two, of numbers or of arrays.
        """
        n, planned = largest(self.tasks, 1), largest(self.planned, 1)
        sampled = self.planned - self.certain
        share = sampled / planned
        mean = self.total / n
        sd = sqrt((largest(self.squares - n * mean**2, 0.0) + unseen) / n)
        half = share * sd * sqrt(largest(sampled, 0)) / n * bound
        return share * mean + self.certain_total / planned, half, self.tasks >= sampled


class SequentialRankBounds:
    """Rank on the planned tasks: a confidence sequence, with the paired bootstrap beside it.

    The reference agents' means over the planned tasks are known, so the candidate's rank is a
    function of one unknown number: its own mean over them. That is estimated by the difference
    estimator: with m_j the references' mean on task j and e_j = x_j - m_j, it is mean(m) over all
    planned tasks plus mean(e) over the completed ones. Tasks run in random order, so the centred
    sum of e is a tied-down random walk; scaled by sd(e) sqrt(N) it tends to a Brownian
    bridge, whose maximum over all looks exceeds c with probability below 2 exp(-2 c^2)
    (Kolmogorov). Hence, for every n of N at once,

        |estimate - truth| <= sd(e) sqrt(N) / n * sqrt(ln(2 / alpha) / 2),

    and at n = N the mean is known. That limit is far off where few results differ from the others,
    such as rare passes, and none was seen yet. So the squared sum carries an extra ln(1 / alpha):
    as many rare results as stay unseen with chance alpha (Poisson). A reference that missed
    planned tasks enters with the same estimator over those it ran.

    The bootstrap resamples the excesses e by random signs (`resampling_signs`) with the
    finite-population factor sqrt(1 - n / N). As the references' means are known, a resample's rank
    follows from where its estimate falls among them. It is a diagnostic, so it is brought up to
    date only when `diagnose` is asked.

    Guard tasks are a stratum of their own: run whatever happens, they are no sample of the others,
    but once run they are known. With G of N planned tasks certain, the bound above holds for the
    mean over the other N - G, and the mean over all N follows.

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
        resamples: int = 2000,
        seed: int = 0,
    ) -> None:
        known = ~np.isnan(reference)
        by_task = known.sum(axis=0)
        scores = np.where(known, reference, 0.0)
        overall = scores.sum() / max(int(known.sum()), 1)
        self._expected = np.where(by_task > 0, scores.sum(axis=0) / np.maximum(by_task, 1), overall)
        self._expected_list: list[float] = self._expected.tolist()
        self._known = known
        self._excess = np.where(known, reference - self._expected, 0.0)
        self._rival_scores = {name: reference[row] for name, row in rivals.items()}
        self._confidence = confidence
        self._unseen = -math.log(1.0 - confidence)
        self._bound = math.sqrt(math.log(2.0 / (1.0 - confidence)) / 2.0)
        self._guards = guards
        self._pairs = resamples // 2
        self._seed = seed
        self._fresh()

    def _fresh(self) -> None:
        self._observed = self._many = False
        self._found: Interval | None = None
        self._reference_sums = self._excess.sum(axis=1)
        self._reference_counts = self._known.sum(axis=1)
        self._in_target = np.ones(self._expected.size, dtype=bool)
        self._sums = _Sums(
            tasks=0,
            certain=0,
            planned=0,
            total=0.0,
            squares=0.0,
            certain_total=0.0,
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
        self._ordered: list[float] = references[self._order].tolist()
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
        guard = place < self._guards
        if score != score:
            self._in_target[place] = False
            self._reference_sums = self._reference_sums - self._excess[:, place]
            self._reference_counts = self._reference_counts - self._known[:, place]
            self._set_target()
        else:
            sums, excess = self._sums, score - self._expected_list[place]
            if guard:
                sums.certain += 1
                sums.certain_total += excess
            else:
                sums.total += excess
                sums.squares += excess**2
                sums.tasks += 1
                self._unsigned.append((place, excess))
        if not guard:
            for name, theirs in self._rival_scores.items():
                self._evidence[name] = self._evidence[name].after(np.asarray(score - theirs[place]))

    def _observe_order(self, scores: FloatArray) -> None:
        self._many = True
        told = ~np.isnan(scores)
        excess = np.where(told, scores - self._expected[: scores.size], 0.0)
        guard = np.arange(scores.size) < self._guards
        sampled = np.where(guard, 0.0, excess)
        lost = np.cumsum(~told)
        sums = self._sums
        sums.tasks = np.cumsum(told & ~guard)
        sums.certain = np.cumsum(told & guard)
        sums.planned = np.asarray(sums.planned - lost)
        sums.total = np.cumsum(sampled)
        sums.squares = np.cumsum(sampled**2)
        sums.certain_total = np.cumsum(np.where(guard, excess, 0.0))
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
            self._found = self._intervals() if self._many else self._interval()
        return self._found

    def _interval(self) -> Interval:
        """Bound the rank after the results so far."""
        sums, above = self._sums, self._above
        if sums.tasks < 2:
            return unknown(len(self._ordered))[0]
        estimate, half, all_run = self._estimate(math.sqrt, max)
        half = TIE if all_run else half
        score = sums.base + estimate
        score_low, score_high = min(max(score - half, 0.0), 1.0), min(max(score + half, 0.0), 1.0)
        return Interval(
            rank=whole(1 + above(estimate + TIE)),
            low=whole(1 + above(estimate + half)),
            high=whole(1 + above(estimate + TIE - (0.0 if all_run else half))),
            score=real(min(max(score, score_low), score_high)),
            score_low=real(score_low),
            score_high=real(score_high),
        )

    def _intervals(self) -> Interval:
        """Bound the rank after each result of an order."""
        sums, early = self._sums, self._sums.tasks < 2
        estimate, half, all_run = self._estimate(np.sqrt, np.maximum)
        half = np.where(all_run, TIE, half)
        edges = (estimate + TIE, estimate + half, estimate + TIE - np.where(all_run, 0.0, half))
        above = [self._above_each(edge) for edge in edges]
        rank, low = (np.where(early, 1, 1 + each) for each in above[:2])
        score = sums.base + estimate
        score_low, score_high = np.clip(score - half, 0.0, 1.0), np.clip(score + half, 0.0, 1.0)
        score = np.minimum(np.maximum(score, score_low), score_high)
        score, score_low, score_high = (
            np.where(early, np.nan, each) for each in (score, score_low, score_high)
        )
        high = np.where(early, len(self._ordered) + 1, 1 + above[2])
        return Interval(rank, low, high, score, score_low, score_high)

    def _estimate(
        self, sqrt: Callable[[Any], Any], largest: Callable[[Any, Any], Any]
    ) -> tuple[Any, Any, Any]:
        return self._sums.estimate(
            unseen=self._unseen, bound=self._bound, sqrt=sqrt, largest=largest
        )

    def _above(self, edge: float) -> int:
        """Count the references with a mean excess above an edge."""
        return len(self._ordered) - bisect_right(self._ordered, edge)

    def _above_each(self, edges: FloatArray) -> IntArray:
        references = self._sums.references
        if references.ndim > 1:
            return np.asarray(np.sum(references > edges, axis=0))
        return np.asarray(len(self._ordered) - np.searchsorted(self._ordered, edges, side="right"))

    def least_half_width(self, run: IntArray, left: IntArray) -> FloatArray:
        """Return the least half width of the score bounds after `left` more results.

        Certain: the sum of squares about the mean can only grow, and n is known.
        """
        del run
        sums = self._sums
        n = sums.tasks + left
        sampled = sums.planned - sums.certain
        about = sums.squares - sums.total**2 / np.maximum(sums.tasks, 1)
        safe = np.maximum(n, 1)
        sd = np.sqrt((np.maximum(about, 0.0) + self._unseen) / safe)
        share = sampled / np.maximum(sums.planned, 1)
        half = share * sd * np.sqrt(np.maximum(sampled, 0)) / safe * self._bound
        return np.asarray(np.where(n >= sampled, 0.0, np.where(n < 1, np.inf, half)))

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
        estimate = self._estimate(math.sqrt, max)[0]
        deviation = (factor * (self._signed - mean * self._sign_sums)).astype(np.float32)
        deviation.sort()
        low, high = int(interval.low), int(interval.high)
        return _diagnosed(deviation, estimate, (low, high), self._order, self._ordered)

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


def _diagnosed(
    deviation: NDArray[np.float32],
    estimate: float,
    bounds: tuple[int, int],
    order: IntArray,
    ordered: Sequence[float],
) -> Diagnostics:
    """Count resamples; `deviation` holds one of each pair about the estimate, ascending."""
    resamples, n_reference = 2 * deviation.size, len(ordered)

    def below(scores: FloatArray) -> IntArray:
        """Count the resamples below each score; they lie in pairs about the estimate."""
        away = scores - estimate
        under = deviation.searchsorted(away)
        return np.asarray(under + deviation.size - deviation.searchsorted(-away, side="right"))

    # At most `high` from the first reference's mean on, at least `low` below the second's.
    low, high = bounds
    edges = (
        ordered[n_reference - high] if high <= n_reference else -math.inf,
        ordered[n_reference + 1 - low] if low >= 2 else math.inf,
    )
    worst, best = below(np.array(edges) - TIE).tolist()
    reach = float(max(deviation[-1], -deviation[0])) + 2.0 * TIE
    first = bisect_left(ordered, estimate - reach)
    last = bisect_right(ordered, estimate + reach)
    above = np.zeros(n_reference)
    above[:first] = 1.0
    above[first:last] = 1.0 - below(np.array(ordered[first:last]) + TIE) / resamples
    better = np.empty(n_reference)
    better[order] = above
    return Diagnostics(naive=(best - worst) / resamples, better=better)
