"""The next tasks go to the two candidates whose order is least certain."""

import numpy as np

from midband_history import IntArray
from midband_sampler.racing.allocations.base import Allocation, Field


class Contested(Allocation):
    """Run the least certain pair that the answer still needs.

    That is LUCB (Kalyanakrishnan, Tewari, Auer, Stone 2012) on paired differences: of those inside
    the answer the one least surely above somebody outside, and that one. Where one of the two has
    run less than the other it catches up first, since differences need results of both.
    """

    name = "contested"
    parallel = False

    def next(self, field: Field) -> IntArray:
        """Run the least sure of the open pairs of which somebody can still run."""
        goal = field.begin()
        if goal is not None:
            return goal
        running = field.running.tolist()
        able = [pair for pair in field.pairs if running[pair[0]] or running[pair[1]]]
        if not able:
            return field.depth
        sure = field.sureness[tuple(np.array(able).T)]
        first, second = able[int(sure.argmin())]
        both = [row for row in (first, second) if field.running[row]]
        least = min(int(field.depth[row]) for row in both)
        behind = [row for row in both if field.depth[row] == least]
        return field.further(behind)
