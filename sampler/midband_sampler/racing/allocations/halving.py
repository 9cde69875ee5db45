"""A fixed budget is spent in phases, each on fewer candidates."""

import math

import numpy as np

from midband_history import FloatArray, IntArray
from midband_sampler.racing.allocations.base import Allocation, Field

_KEPT = 2 / 3  # of the candidates, after each phase with a model


class Halving(Allocation):
    """Spend a fixed number of results on ever fewer candidates, on shared tasks.

    Without a model: successive rejects (Audibert, Bubeck, Munos 2010) on shared tasks, which are
    the synchronised successive rejects of Lyu et al. (arXiv:2606.07726): the candidate that ranks
    last is let go after each phase, and with K candidates the k-th phase ends at a depth
    proportional to 1 / (K + 1 - k). With a model, whose choice of tasks makes short phases tell
    more: sequential halving (Karnin, Koren, Somekh 2013), each of whose phases costs the same. It
    keeps two thirds after each phase rather than half. On SWE-bench Verified that finds the best of
    67 more often for 2 % and 5 % of the full price.

    Depths are as large as the budget allows and end at the benchmark's size, so that what an early
    end saves goes into the other phases.
    """

    name = "halving"
    needs_budget = True

    def next(self, field: Field) -> IntArray:
        """Bring the survivors of the present phase to its depth."""
        racers = [row for row in field.ranking if not field.known[row]]
        if not racers:
            return field.depth
        counts, weights = _phases(len(racers), field.keep, halve=field.predicted)
        depths = _depths(counts, weights, jobs=field.jobs or 0, size=field.size)
        before = 0
        for count, depth in zip(counts, depths, strict=True):
            if depth <= before:
                continue
            begun = [row for row in racers if field.depth[row] > before]
            able = [row for row in racers if field.depth[row] >= before and row not in begun]
            goal = field.depth.copy()
            for row in begun + able[: max(count - len(begun), 0)]:
                if field.running[row]:
                    goal[row] = max(goal[row], depth)
            if (goal > field.depth).any():
                return goal
            before = depth
        return field.depth


def _phases(candidates: int, keep: int, *, halve: bool) -> tuple[list[int], FloatArray]:
    """Return how many candidates run in each phase, and the relative depth at its end."""
    keep = min(keep, max(candidates - 1, 1))
    if not halve:
        counts = list(range(candidates, keep, -1)) or [candidates]
        return counts, np.array([1.0 / count for count in counts])
    counts = [candidates]
    while counts[-1] > keep + 1:
        counts.append(max(math.ceil(_KEPT * counts[-1]), keep + 1))
    return counts, np.cumsum([1.0 / count for count in counts])


def _depths(counts: list[int], weights: FloatArray, *, jobs: int, size: int) -> list[int]:
    """Return the depth at the end of each phase, so large that `jobs` results pay for all."""

    def at(scale: float) -> IntArray:
        return np.minimum(np.floor(scale * weights), size).astype(np.int64)

    def cost(depths: IntArray) -> int:
        return int((np.diff(depths, prepend=0) * np.array(counts)).sum())

    low, high = 0.0, size / float(weights.min()) + 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cost(at(middle)) <= jobs else (low, middle)
    depths = at(low)
    left = jobs - cost(depths)
    more = min(left // counts[-1], size - int(depths[-1]))
    depths[-1] += max(more, 0)
    if depths[0] == 0 and jobs >= counts[0]:
        depths = np.maximum(depths, 1)
        while cost(depths) > jobs:
            depths[depths == depths.max()] -= 1
    return [int(each) for each in depths]
