"""A replay of a fixed order, all looks at once: the same verdicts as a `Session`, sooner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_sampler import Never, Plan, RankSettled

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_TIE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a replay ended with; the fields of `Decision` that studies need.

    Parameters
    ----------
    tasks_run : int
    reason : str
    rank, low, high : int
    full_score : tuple of float, length 3
        Estimate of the full score and its bounds; NaN where the decision is not about it.
    widths : tuple of (float, float)
        Share of all tasks run, and interval width as a share of the ranks.
    """

    tasks_run: int
    reason: str
    rank: int
    low: int
    high: int
    full_score: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    widths: tuple[tuple[float, float], ...] = ()


class FixedOrder:
    """One plan, prepared to be replayed by many candidates with one task in flight.

    A session's interval after n tasks depends on running sums alone, so the intervals of all looks
    are a handful of array operations, and the first that lets the rule stop is the stop. The
    bootstrap, which a session reports beside it as a diagnostic, decides nothing and is left out.
    `tests/sims/test_replay.py` holds the two to each other.

    Parameters
    ----------
    plan : Plan
        With `RankSettled` or `Never` as its rule.
    """

    def __init__(self, plan: Plan) -> None:
        if not isinstance(plan.stop, RankSettled | Never):
            msg = f"expected a rank or none rule for a fixed order, got {type(plan.stop).__name__}"
            raise TypeError(msg)
        column = {task: place for place, task in enumerate(plan.all_tasks)}
        self.plan = plan
        self.columns = np.array([column[task] for task in plan.tasks], dtype=np.int64)
        reference = plan.reference_scores[:, self.columns]
        known = ~np.isnan(reference)
        by_task = known.sum(axis=0)
        scores = np.where(known, reference, 0.0)
        overall = scores.sum() / max(int(known.sum()), 1)
        self._known = known
        self._expected = np.where(by_task > 0, scores.sum(axis=0) / np.maximum(by_task, 1), overall)
        self._excess = np.where(known, reference - self._expected, 0.0)

    def replay(self, scores: FloatArray, *, checkpoints: Sequence[int] = ()) -> Verdict:
        """Replay one candidate.

        Parameters
        ----------
        scores : ndarray of float, shape (n_planned,)
            Its result on each planned task in order; NaN is no information.
        checkpoints : sequence of int
            Looks (numbers of completed tasks) at which the width is recorded besides.
        """
        plan, rule = self.plan, self.plan.stop
        n_reference = len(plan.reference_agents)
        rank, low, high, n, mean, half = self._looks(scores, rule.confidence)
        stop, settled = len(scores), False
        if isinstance(rule, RankSettled):
            widest = rule.width * (n_reference + 1) + _TIE
            narrow = (high - low <= widest) & (n >= rule.min_tasks)
            if narrow.any():
                stop, settled = int(np.argmax(narrow)) + 1, True
        last = stop - 1
        full = (math.nan, math.nan, math.nan)
        if plan.target == "full benchmark" and n[last] >= 2:
            target = ~np.isnan(scores) | (np.arange(len(scores)) > last)
            centre = float(self._expected[target].mean()) + float(mean[last])
            spread = float(half[last])
            full_low = min(max(centre - spread, 0.0), 1.0)
            full_high = min(max(centre + spread, 0.0), 1.0)
            full = (min(max(centre, full_low), full_high), full_low, full_high)
        return Verdict(
            tasks_run=stop,
            reason="rank settled" if settled else "all planned tasks run",
            rank=int(rank[last]),
            low=int(low[last]),
            high=int(high[last]),
            full_score=full,
            widths=tuple(
                (
                    look / len(plan.all_tasks),
                    float(high[look - 1] - low[look - 1]) / (n_reference + 1),
                )
                for look in checkpoints
                if look <= stop
            ),
        )

    def _looks(
        self, scores: FloatArray, confidence: float
    ) -> tuple[IntArray, IntArray, IntArray, IntArray, FloatArray, FloatArray]:
        """Rank, its bounds, results so far, mean excess and half width, all (n_planned,)."""
        told = ~np.isnan(scores)
        excess = np.where(told, scores - self._expected, 0.0)
        n = np.cumsum(told)
        planned = len(scores) - np.cumsum(~told)
        safe = np.maximum(n, 1)
        mean = np.cumsum(excess) / safe
        squares = np.cumsum(excess**2)
        unseen = -math.log(1.0 - confidence)
        sd = np.sqrt((np.maximum(squares - n * mean**2, 0.0) + unseen) / safe)
        bound = math.sqrt(math.log(2.0 / (1.0 - confidence)) / 2.0)
        half = np.where(n >= planned, _TIE, sd * np.sqrt(planned) / safe * bound)
        below = np.where(n >= planned, 0.0, half)
        edges = np.stack([mean + _TIE, mean + half, mean + _TIE - below])
        above = self._above(edges, told)
        early = n < 2
        n_reference = len(self._known)
        rank, low = (np.where(early, 1, 1 + above[k]) for k in (0, 1))
        return rank, low, np.where(early, n_reference + 1, 1 + above[2]), n, mean, half

    def _above(self, edges: FloatArray, told: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many references' target means exceed each edge, shape (3, n_planned)."""
        total, count = self._excess.sum(axis=1), self._known.sum(axis=1)
        if told.all():
            means = np.sort(total / np.maximum(count, 1))
            return np.asarray(len(means) - np.searchsorted(means, edges, side="right"))
        lost_total = np.cumsum(np.where(told, 0.0, self._excess), axis=1)
        lost_count = np.cumsum(np.where(told, False, self._known), axis=1)
        means_at = (total[:, None] - lost_total) / np.maximum(count[:, None] - lost_count, 1)
        return np.stack([np.sum(means_at > edge, axis=0) for edge in edges])
