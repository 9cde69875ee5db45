"""Paired bounds: how far a candidate is above or below one agent, for tasks in random order."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.base import whole
from midband_sampler.bounds.evidence import Difference
from midband_sampler.bounds.sequential import SequentialRankBounds

_NEAREST = 3  # the nearest third of the other agents, and at least so many
# Of scores about the baseline's where no other agents tell. Chosen on simulated pairs that differ
# on 10 to 30 % of the tasks; validity does not depend on it.
_SPREAD = 0.3


def predicted_scores(reference: FloatArray, row: int) -> tuple[FloatArray, float]:
    """Predict the scores of a candidate that is like one of the references.

    The prediction of a task is m + w (y - m): y is that agent's score, m the mean of all
    references, and w, in [0, 1], is what fits those other references best whose scores are nearest
    to y (a third of them), each predicted from all but its own. Agents that fail and pass by chance
    alone give a small w, versions of one agent a large one.

    Parameters
    ----------
    reference : ndarray of float64, shape (n_reference, n_tasks)
        In [0, 1]; NaN where not run.
    row : int
        The agent that the candidate is compared with. It has a score on every task.

    Returns
    -------
    expected : ndarray of float64, shape (n_tasks,)
        In [0, 1].
    spread : float
        Standard deviation of the scores of the nearest agents about their predictions.
    """
    known = ~np.isnan(reference)
    scores = np.where(known, reference, 0.0)
    total, count = scores.sum(axis=0), known.sum(axis=0)
    baseline = reference[row]
    mean = total / np.maximum(count, 1)
    ran = known.sum(axis=1)
    others = np.flatnonzero((np.arange(len(reference)) != row) & (ran > 0))
    if not others.size or not baseline.size:
        return np.asarray(mean), _SPREAD
    away = np.where(known[others], (scores[others] - baseline) ** 2, 0.0).sum(axis=1) / ran[others]
    most = max(_NEAREST, -(-others.size // _NEAREST))
    nearest = others[np.argsort(away, kind="stable")[:most]]
    # The baseline ran every task, so that somebody is left wherever one of these ran.
    without = (total - scores[nearest]) / np.maximum(count - known[nearest], 1)
    excess = np.where(known[nearest], scores[nearest] - without, 0.0)
    own = np.where(known[nearest], baseline - without, 0.0)
    power = float((own**2).sum())
    weight = min(max(float((own * excess).sum()) / power, 0.0), 1.0) if power > 0.0 else 0.0
    left = excess - weight * own
    spread = math.sqrt(float((left**2).sum()) / max(int(known[nearest].sum()), 1))
    return np.asarray(mean + weight * (baseline - mean)), spread


class PairedDifference:
    """Mean of the candidate's score minus one agent's recorded score, over the planned tasks.

    The agent's scores y_j are known, so only the candidate's total is open. It is bounded by
    betting, as its rank is (see `SequentialRankBounds`), but on x_j - e_j, with a prediction e_j
    that holds y_j (`predicted_scores`), which makes the bounds as narrow as pairing can. They are
    exact at every number of results and at all looks at once, in whatever way e was chosen from
    the records. Either side has all of the chance of error, since a claim that the difference is
    above a margin and one that it is below cannot both be wrong.

    Planned tasks that the agent never ran are not part of the comparison.

    Parameters
    ----------
    reference : ndarray of float64, shape (n_reference, n_planned)
        Reference scores on the planned tasks in their order, NaN where not run.
    row : int
        The agent compared with.
    confidence : float
        Chance that the lower bound holds after every result at once, and that the upper one does.
    guards : int
        The first so many planned tasks run whatever happens.
    """

    def __init__(
        self, reference: FloatArray, row: int, *, confidence: float, guards: int = 0
    ) -> None:
        ran = ~np.isnan(reference[row])
        self._ran = ran
        self._before = np.concatenate([[0], np.cumsum(ran)])  # of so many planned tasks
        expected, spread = predicted_scores(reference[:, ran], row)
        self._bounds = SequentialRankBounds(
            reference[row][None, ran],
            confidence=2.0 * confidence - 1.0,
            guards=int(self._before[guards]),
            expected=expected,
            spread=spread,
            resamples=2,
        )
        self._run: Any = 0

    def restarted(self) -> "PairedDifference":
        """Forget all results."""
        self._bounds.restarted()
        self._run = 0
        return self

    def observe(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in results by their place in the plan; see `SequentialRankBounds.observe`."""
        if tasks.ndim:
            self._run = np.arange(1, scores.size + 1)
            kept = self._ran[: scores.size]
            if kept.any():
                self._bounds.observe(np.arange(int(kept.sum())), scores[kept])
            return
        self._run += 1
        place = tasks.item()
        if self._ran[place]:
            self._bounds.observe(whole(int(self._before[place])), scores)

    def bounds(self) -> Difference:
        """Bound the difference after the results so far, or after each of an order."""
        known = self._before[self._run]
        if not np.any(known):
            nothing = np.full(np.shape(self._run), np.nan)
            return Difference(nothing, nothing, nothing)
        found = self._bounds.interval()
        theirs = self._bounds.reference_scores[0]
        each = [value - theirs for value in (found.score, found.score_low, found.score_high)]
        if np.ndim(self._run):
            place = np.maximum(known - 1, 0)
            each = [np.where(known > 0, value[place], np.nan) for value in each]
        estimate, low, high = map(np.asarray, each)
        return Difference(estimate, low, high, self._least)

    def _least(self, left: IntArray) -> FloatArray:
        run, left = np.broadcast_arrays(self._run, left)
        now = self._before[run]
        more = self._before[np.minimum(run + left, self._ran.size)] - now
        if not np.ndim(self._run):
            return self._bounds.least_half_width(now, more)
        # The inner bounds have an entry for each result that counts, these one for each task.
        inner = np.maximum(now - 1, 0)
        ahead = np.zeros(int(now[-1]), dtype=np.int64)
        ahead[inner] = more
        return np.asarray(self._bounds.least_half_width(np.arange(1, ahead.size + 1), ahead)[inner])


class PairedRankBounds(SequentialRankBounds):
    """`SequentialRankBounds` that also bound the difference to some of the references.

    Parameters
    ----------
    reference, confidence, guards, **settings
        As for `SequentialRankBounds`.
    paired : mapping of str to tuple of int and float
        Row and confidence of each reference that is compared task by task.
    """

    def __init__(
        self,
        reference: FloatArray,
        *,
        paired: Mapping[str, tuple[int, float]],
        confidence: float,
        guards: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(reference, confidence=confidence, guards=guards, **settings)
        self._paired = {
            agent: PairedDifference(reference, row, confidence=chance, guards=guards)
            for agent, (row, chance) in paired.items()
        }

    def restarted(self) -> "PairedRankBounds":
        """Forget all results."""
        super().restarted()
        for each in self._paired.values():
            each.restarted()
        return self

    def observe(self, tasks: IntArray, scores: FloatArray) -> None:
        """Take in results by their place in the plan."""
        super().observe(tasks, scores)
        for each in self._paired.values():
            each.observe(tasks, scores)

    @property
    def differences(self) -> Mapping[str, Difference]:
        """Bounds of the paired difference to each agent that is compared task by task."""
        return {agent: each.bounds() for agent, each in self._paired.items()}
