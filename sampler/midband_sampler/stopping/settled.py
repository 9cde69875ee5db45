"""Stop when enough is known about the rank, the score, or the comparison with one agent."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler.stopping.base import (
    MIN_TASKS,
    TIE,
    Claim,
    Rule,
    Snapshot,
    WrongFormError,
    check_confidence,
    check_min_tasks,
)


@dataclass(frozen=True)
class RankSettled(Rule):
    """Stop when the rank interval is narrow enough.

    Parameters
    ----------
    confidence : float
        Chance that the interval covers the candidate's rank on the target at the stop, however
        often the rule looks. In (0.5, 1).
    width : float
        Largest ``(high - low) / (n_reference + 1)`` that counts as settled. In [0, 1).
    min_tasks : int
        Smallest number of results at which the rule can stop, because a variance of fewer results
        is not reliable.
    """

    name = "rank"
    why = "rank settled"
    confidence: float = 0.95
    width: float = 0.2
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not 0.0 <= self.width < 1.0:
            msg = f"expected 0 <= width < 1 (a share of the ranks), got {self.width:g}: try 0.2"
            raise InputError(msg)

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the rank interval is narrow enough."""
        widest = self.width * (len(snapshot.reference_agents) + 1) + TIE
        return np.asarray(snapshot.rank_high - snapshot.rank_low <= widest)

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim the rank interval."""
        low, high = int(snapshot.rank_low), int(snapshot.rank_high)
        text = f"rank {low}" if low == high else f"rank {low} to {high}"
        return Claim(f"{text} of {len(snapshot.reference_agents) + 1}", self.confidence)


@dataclass(frozen=True)
class ScoreWithin(Rule):
    """Stop when the bounds of the score on the target are narrow enough.

    Parameters
    ----------
    points : float
        Largest half width at which the rule stops, in percentage points of the score. In (0, 50).
    confidence : float
        Chance that the score bounds cover at the stop, over all looks. In (0.5, 1).
    min_tasks : int
        Smallest number of results at which the rule can stop.
    """

    name = "score"
    why = "score settled"
    points: float
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not 0.0 < self.points < 50.0:
            msg = f"expected 0 < points < 50 (percentage points), got {self.points:g}: try 2"
            raise InputError(msg)

    @property
    def claims_score(self) -> bool:
        """True, because the claim consists of the score bounds."""
        return True

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the score bounds are narrow enough."""
        return np.asarray((snapshot.score_high - snapshot.score_low) * 50.0 <= self.points + TIE)

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim the score bounds."""
        low, high = 100 * float(snapshot.score_low), 100 * float(snapshot.score_high)
        return Claim(f"score {low:.1f} to {high:.1f} %", self.confidence)


@dataclass(frozen=True)
class TopK(Rule):
    """Stop when the rank interval shows that the candidate is in the top `k`, or that it is not.

    Parameters
    ----------
    k : int
        At least 1.
    confidence : float
        Chance that the rank interval covers at the stop, over all looks. In (0.5, 1).
    min_tasks : int
        Smallest number of results at which the rule can stop.
    """

    name = "top"
    k: int
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if self.k < 1:
            msg = f"expected a top of 1 or more, got {self.k}: try top:3"
            raise InputError(msg)

    def warnings(self, n_reference: int) -> Iterator[str]:
        """Warn if every agent is in the top `k`."""
        if self.k > n_reference:
            yield f"every agent is in the top {self.k} of {n_reference + 1}: nothing to decide"

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the whole rank interval lies on one side of `k`."""
        return np.asarray((snapshot.rank_high <= self.k) | (snapshot.rank_low > self.k))

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim that the candidate is in the top `k`, or that it is not."""
        side = "" if snapshot.rank_high <= self.k else "not "
        return Claim(f"{side}in the top {self.k}", self.confidence)


@dataclass(frozen=True)
class Beats(Rule):
    """Stop when the candidate is known to be better, or known to be worse, than one agent.

    If all tasks run in random order, the claim rests on a `PairedEProcess`. It treats the tasks as
    a sample, and so accounts for the noise in the agent's own recorded run. Its null hypothesis is
    that both agents have the same expected score on such tasks.

    Otherwise the claim follows from the score bounds and is about the target. In a calibrated plan
    this is the full score; for an agent that ran only some of the tasks, the bounds must also
    exceed the error of its own score. In a band, the target is the planned tasks. The agent's own
    results helped to choose that band, so that a bet against them would not be fair.

    Parameters
    ----------
    agent : str
        A reference agent of the plan.
    confidence : float
        Chance that no wrong claim is made, however often the rule looks. Each side has half of the
        chance of error. In (0.5, 1).
    min_tasks : int
        Smallest number of results at which the rule can stop.
    """

    name = "beats"
    agent: str
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not self.agent:
            msg = "expected the name of a reference agent to beat, got none: try beats:AGENT"
            raise InputError(msg)

    @classmethod
    def parse(cls, *texts: str) -> "Beats":
        """Read an agent, whose name may contain colons, and optionally a confidence."""
        if not texts:
            raise WrongFormError
        if len(texts) > 1 and _is_confidence(texts[-1]):
            return cls(":".join(texts[:-1]), float(texts[-1]))
        return cls(":".join(texts))

    @property
    def named_agents(self) -> tuple[str, ...]:
        """The agent that the candidate is compared with."""
        return (self.agent,)

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the candidate is known to be better or known to be worse."""
        better, worse = self._sides(snapshot)
        return np.asarray(better | worse)

    def _sides(self, snapshot: Snapshot) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        evidence = snapshot.evidence.get(self.agent)
        if evidence is not None:
            enough = np.log(2.0 / (1.0 - self.confidence))
            return np.asarray(evidence.log_better >= enough), np.asarray(
                evidence.log_worse >= enough
            )
        if self.agent not in snapshot.reference_agents:
            nobody = np.zeros(np.shape(snapshot.score_low), dtype=bool)
            return nobody, nobody
        place, margins = snapshot.reference_agents.index(self.agent), snapshot.reference_margins
        score = snapshot.reference_scores[place]
        margin = TIE if margins is None else margins[place] + TIE
        return (
            np.asarray(snapshot.score_low > score + margin),
            np.asarray(snapshot.score_high < score - margin),
        )

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim that the candidate is better, or that it is worse."""
        better, _ = self._sides(snapshot)
        return Claim(f"{'better' if better else 'worse'} than {self.agent}", self.confidence)


def _is_confidence(text: str) -> bool:
    try:
        return 0.0 < float(text) < 1.0
    except ValueError:
        return False
