"""All candidates run the same tasks until the race is over."""

from midband_history import IntArray
from midband_sampler.racing.allocations.base import Allocation, Field


class Uniform(Allocation):
    """Run everybody: what an evaluation without a race does, stopped when the answer is settled."""

    name = "uniform"

    def next(self, field: Field) -> IntArray:
        """Run all."""
        return field.further(list(field.ranking))
