"""What an allocation is: it says how far down the shared order each candidate runs next."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray
from midband_sampler.registry import kinds_in


@dataclass(frozen=True, eq=False, kw_only=True)
class Field:
    """The state of a race that an allocation sees.

    Parameters
    ----------
    depth : ndarray of int64, shape (candidates,)
        Tasks of the shared order that each candidate has completed.
    size : int
        Tasks of the benchmark.
    running : ndarray of bool, shape (candidates,)
        Candidates that may still run something.
    known : ndarray of bool, shape (candidates,)
        Candidates all of whose results were known before the race.
    ranking : tuple of int
        Candidates that are not set apart, from the best estimate to the worst.
    pairs : tuple of tuple of int
        Pairs that the answer waits for, the better by the estimates first.
    sureness : ndarray of float64, shape (candidates, candidates)
        How surely the first is above the second, in standard deviations.
    keep : int
        Candidates that the question asks for: k of a top k, else 1.
    jobs : int or None
        Results that the whole race may pay for; None without such a budget.
    predicted : bool
        Whether a model of a history chooses the tasks.
    """

    depth: IntArray
    size: int
    running: NDArray[np.bool_]
    known: NDArray[np.bool_]
    ranking: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    sureness: FloatArray
    keep: int
    jobs: int | None
    predicted: bool

    @property
    def first_depth(self) -> int:
        """Tasks that everybody runs before anybody is preferred."""
        return min(self.size, 4 if self.predicted else 8)

    def begin(self) -> IntArray | None:
        """Return how far everybody has to run at first; None once they have."""
        goal = np.where(self.running, np.maximum(self.depth, self.first_depth), self.depth)
        return goal if (goal > self.depth).any() else None

    def further(self, rows: list[int]) -> IntArray:
        """Return the depths where these candidates run a step further.

        A step is one task with a model, whose choice gains from each result, and otherwise 5 % of
        what was run.
        """
        goal = self.depth.copy()
        for row in rows:
            if self.running[row]:
                step = 1 if self.predicted else max(1, int(self.depth[row]) // 20)
                goal[row] = min(self.size, goal[row] + step)
        return goal


class Allocation(ABC):
    """The rule that decides which candidates run next.

    Stateless: what comes next follows from what has been run. All candidates run down one shared
    order of tasks, so that comparisons are paired and what one has run is part of what another has.

    Attributes
    ----------
    name : str
        What ``--allocation`` takes.
    needs_budget : bool
        Whether it plans a number of results.
    parallel : bool
        Whether it suits candidates that run at the same time; `racing` stands in where it does not.
    """

    name: ClassVar[str] = ""
    needs_budget: ClassVar[bool] = False
    parallel: ClassVar[bool] = True

    @abstractmethod
    def next(self, field: Field) -> IntArray:
        """Return how far each candidate is to run, shape (candidates,).

        Candidates that are not `Field.running` are left where they are by the race. Where nobody
        is to run further, the race is over.
        """


@cache
def all_allocations() -> Mapping[str, Allocation]:
    """Return midband's own allocations by name."""
    package = __name__.rpartition(".")[0]
    found = kinds_in(package, Allocation)  # type: ignore[type-abstract]
    return {kind.name: kind() for kind in found}


def find_allocation(name: str, added: Mapping[str, Allocation] | None = None) -> Allocation:
    """Return the allocation of that name; the error lists the names there are."""
    known = {**all_allocations(), **(added or {})}
    if name not in known:
        msg = f"expected an allocation among {', '.join(known)}, got {name!r}"
        raise InputError(msg)
    return known[name]
