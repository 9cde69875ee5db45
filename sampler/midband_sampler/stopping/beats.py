"""Stop when the candidate is known to be better, or worse, than one agent."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler.stopping.base import (
    MIN_TASKS,
    TIE,
    Claim,
    Rule,
    WrongFormError,
    check_confidence,
    check_min_tasks,
)
from midband_sampler.stopping.snapshot import Snapshot


@dataclass(frozen=True)
class Beats(Rule):
    """Stop when the candidate is known to be better, or known to be worse, than one agent.

    Where all tasks run in random order the claim rests on a `PairedEProcess`. It takes the tasks as
    a sample, so the luck of the agent's own recorded run is counted, and its null hypothesis is
    that both agents have the same expected score on such tasks. Elsewhere the claim follows from
    the score bounds and speaks of the target: of the full score in a calibrated plan, and of the
    planned tasks in a band, which was chosen by results that the agent's own are part of, so that
    a bet against them would not be fair.

    Parameters
    ----------
    agent : str
        A reference agent of the plan.
    confidence : float
        Chance that no wrong side is claimed, however often the rule looks; half of the rest goes
        to either side. In (0.5, 1).
    min_tasks : int
        The rule does not stop before so many results.
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
        """Read an agent, whose name may hold colons, and a confidence."""
        if not texts:
            raise WrongFormError
        if len(texts) > 1 and _is_confidence(texts[-1]):
            return cls(":".join(texts[:-1]), float(texts[-1]))
        return cls(":".join(texts))

    @property
    def named_agents(self) -> tuple[str, ...]:
        """The one agent."""
        return (self.agent,)

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Ask for either side."""
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
        score = snapshot.reference_scores[snapshot.reference_agents.index(self.agent)]
        return (
            np.asarray(snapshot.score_low > score + TIE),
            np.asarray(snapshot.score_high < score - TIE),
        )

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim the side."""
        better, _ = self._sides(snapshot)
        return Claim(f"{'better' if better else 'worse'} than {self.agent}", self.confidence)


def _is_confidence(text: str) -> bool:
    try:
        return 0.0 < float(text) < 1.0
    except ValueError:
        return False
