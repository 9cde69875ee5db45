"""The look: what a stopping rule sees after a completed task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from midband_history import FloatArray, IntArray
from midband_sampler._evidence import Evidence

_NOTHING: Mapping[str, Evidence] = MappingProxyType({})


@dataclass(frozen=True, eq=False, kw_only=True)
class Look:
    """What is known of one candidate, or of many in a replay, after a completed task.

    All arrays but `reference_scores` broadcast against each other: of shape () in a session, of
    shape (candidates, multipliers) in the replays that calibrate a plan.

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
    usd, seconds : ndarray of float64
        Spent so far, US dollars and seconds; NaN where not known.
    reference_scores : ndarray of float64, shape (n_reference,)
        Mean score of each reference agent on the target.
    reference_agents : tuple of str, length n_reference
    evidence : mapping of str to Evidence
        Of the agents that the rule names, where the tasks run in random order; empty where a
        claim follows from the score bounds instead.
    least_half_width : callable or None
        The least half width of the score bounds that so many more tasks can lead to; None where
        that is not known.
    readings : tuple of Look
        The same with missing results left out, taken for 0 and taken for 1; the bounds of this look
        are then the outer ones. Empty where no result is missing.
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
    evidence: Mapping[str, Evidence] = field(default_factory=lambda: _NOTHING)
    least_half_width: Callable[[IntArray], FloatArray] | None = None
    readings: "tuple[Look, ...]" = ()
