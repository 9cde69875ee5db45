"""The next tasks go to all candidates whose place is still open."""

from midband_history import IntArray
from midband_sampler.racing.allocations.base import Allocation, Field


class Racing(Allocation):
    """Run every candidate of a pair that the answer still needs.

    A race in the sense of Maron and Moore (1994): candidates are let go one by one. It suits
    harnesses that run the candidates at the same time.
    """

    name = "racing"

    def next(self, field: Field) -> IntArray:
        """Run all that are part of an open pair."""
        goal = field.begin()
        if goal is not None:
            return goal
        return field.further(sorted({row for pair in field.pairs for row in pair}))
