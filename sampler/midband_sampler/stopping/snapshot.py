"""The snapshot: what a stopping rule sees after a completed task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import cast

import numpy as np

from midband_history import FloatArray, IntArray
from midband_sampler.bounds.e_process import PairedEProcess

UNKNOWN = cast("FloatArray", np.float64(np.nan))
_NOTHING: Mapping[str, PairedEProcess] = MappingProxyType({})
_ARRAYS = (
    "rank_low", "rank_high", "score_low", "score_high", "tasks", "tasks_run", "tasks_left", "usd",
    "seconds", "tokens",
)  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshot:
    """What is known of one candidate, or of many in a replay, after a completed task.

    All arrays but `reference_scores` broadcast against each other. In a session they have shape (),
    in the replays that calibrate a plan shape (candidates, multipliers), and where an order is
    fixed their first axis is that of the completed tasks.

    Parameters
    ----------
    rank_low, rank_high : ndarray of int64
        Bounds of the candidate's rank on the target, 1 = best.
    score_low, score_high : ndarray of float64
        Bounds of its mean score on the target; NaN while nothing is known.
    tasks : ndarray of int64
        Completed tasks with a result.
    tasks_run : ndarray of int64
        Completed tasks, with or without a result.
    tasks_left : ndarray of int64
        Tasks that the plan still allows.
    usd, seconds, tokens : ndarray of float64
        Spent so far, US dollars, seconds and tokens; NaN where not known.
    reference_scores : ndarray of float64, shape (n_reference,) or (n_reference, ...)
        Mean score of each reference agent on the target; further axes are those of the others,
        where the target differs.
    reference_agents : tuple of str, length n_reference
    evidence : mapping of str to PairedEProcess
        E-process of each agent that the rule names, where the tasks run in random order. Empty
        where a claim follows from the score bounds instead.
    least_half_width : callable or None
        The least half width of the score bounds that so many more tasks can lead to. None where
        that is not known.
    readings : tuple of Snapshot
        The same with missing results left out, taken for 0 and taken for 1; the bounds of this
        snapshot are then the outer ones. Empty where no result is missing.
    """

    rank_low: IntArray
    rank_high: IntArray
    score_low: FloatArray
    score_high: FloatArray
    tasks: IntArray
    tasks_run: IntArray
    tasks_left: IntArray
    usd: FloatArray
    seconds: FloatArray
    reference_scores: FloatArray
    reference_agents: tuple[str, ...]
    evidence: Mapping[str, PairedEProcess] = field(default_factory=lambda: _NOTHING)
    least_half_width: Callable[[IntArray], FloatArray] | None = None
    readings: "tuple[Snapshot, ...]" = ()
    tokens: FloatArray = UNKNOWN

    def at(self, place: int) -> "Snapshot":
        """Return one entry of the first axis, of shape ()."""
        arrays = {name: value[place] for name in _ARRAYS if np.ndim(value := getattr(self, name))}
        least = self.least_half_width
        scores = self.reference_scores
        return replace(
            self,
            **arrays,
            reference_scores=scores if scores.ndim == 1 else scores[:, place],
            evidence={name: each.at(place) for name, each in self.evidence.items()},
            least_half_width=None if least is None else lambda left: least(left)[place],
        )
