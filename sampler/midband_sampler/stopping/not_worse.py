"""The gate: stop when it is known whether a candidate is worse than an agent by a margin."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError
from midband_sampler.bounds.evidence import score_difference
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

_LEAST_POINTS = 0.1
_MARGIN = "expected a margin in percentage points, 0 or from 0.1 to 100"


@dataclass(frozen=True)
class NotWorse(Rule):
    """Stop when it is known whether the candidate is worse than an agent by more than a margin.

    The difference is the candidate's score minus the agent's. The candidate passes as soon as the
    lower bound of the difference is at least minus the margin, and fails as soon as the upper bound
    is below that. A candidate that is worse by exactly the margin therefore passes.

    If all tasks run in random order, the bounds are those of the paired difference on the planned
    tasks, which are exact at all looks (`PairedDifference`). Otherwise the claim follows from the
    score bounds, as for `Beats`, and is about the target. In a calibrated plan, the replays then
    had to cover the score as well as the rank.

    Parameters
    ----------
    agent : str
        The baseline, a reference agent of the plan.
    points : float
        The margin in percentage points of the score: 0, or from 0.1 to below 100.
    confidence : float
        Chance that no wrong claim is made, however often the rule looks. Only one of the two claims
        can be wrong for a candidate, so that each bound has the whole chance of error. In (0.5, 1).
    min_tasks : int
        Smallest number of results at which the rule can stop.
    """

    name = "not-worse"
    agent: str
    points: float
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not self.agent:
            msg = "expected the name of a baseline, got none: try not-worse:AGENT:2"
            raise InputError(msg)
        if self.points != 0.0 and not _LEAST_POINTS <= self.points < 100.0:
            msg = f"{_MARGIN}, got {self.points:g}: write 2 for two points"
            raise InputError(msg)

    @classmethod
    def parse(cls, *texts: str) -> "NotWorse":
        """Read an agent, a margin, and optionally a confidence.

        A name may contain colons. A name that ends in a colon and a number must be quoted, because
        the number would otherwise be read as the margin.
        """
        if len(texts) > 2 and _is_number(texts[-2]) and _is_number(texts[-1]):
            *parts, points, last = texts
            if not 0.0 < float(last) < 1.0:
                agent = ":".join((*parts, points))
                msg = (
                    f"expected a confidence such as 0.95 after the margin {points}, got {last!r}:"
                    f" if the agent is called {agent}, write not-worse:'{agent}':{last}"
                )
                raise InputError(msg)
            confidence = float(last)
        elif len(texts) > 1:
            *parts, points = texts
            confidence = cls.confidence
        else:
            raise WrongFormError
        if not _is_number(points):
            msg = f"{_MARGIN}, got {points!r}: write not-worse:AGENT:2 for two points"
            raise InputError(msg)
        return cls(":".join(parts), float(points), confidence)

    @property
    def named_agents(self) -> tuple[str, ...]:
        """The name of the baseline."""
        return (self.agent,)

    @property
    def paired_with(self) -> Mapping[str, float]:
        """The baseline, with the confidence of each bound."""
        return {self.agent: self.confidence}

    @property
    def needs_others(self) -> bool:
        """False, because one baseline is enough."""
        return False

    @property
    def claims_score(self) -> bool:
        """True, because the claim follows from the score bounds if there are no paired bounds."""
        return True

    @property
    def held_text(self) -> str:
        """The claim if the candidate passes."""
        return f"not worse than {self.agent} by more than {self._margin}"

    @property
    def failed_text(self) -> str:
        """The claim if the candidate fails."""
        return f"worse than {self.agent} by more than {self._margin}"

    @property
    def _margin(self) -> str:
        return f"{self.points:g} point{'' if self.points == 1.0 else 's'}"

    def held(self, low: FloatArray | float) -> NDArray[np.bool_]:
        """Tell whether the candidate passes by a lower bound of candidate minus baseline."""
        return np.asarray(low >= self._edge)

    def failed(self, high: FloatArray | float) -> NDArray[np.bool_]:
        """Tell whether the candidate fails by an upper bound of candidate minus baseline."""
        return np.asarray(high < self._edge)

    @property
    def _edge(self) -> float:
        """Minus the margin, with a tolerance: bounds of a known difference are rounded outwards."""
        return -self.points / 100.0 - 2.0 * TIE

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the candidate is known to pass or known to fail."""
        held, failed = self._sides(snapshot)
        return np.asarray(held | failed)

    def _sides(self, snapshot: Snapshot) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        found = snapshot.differences.get(self.agent)
        if found is None:
            if self.agent not in snapshot.reference_agents:
                nobody = np.zeros(np.shape(snapshot.score_low), dtype=bool)
                return nobody, nobody
            found = score_difference(
                (snapshot.score_low, snapshot.score_low, snapshot.score_high),
                snapshot.reference_agents.index(self.agent),
                snapshot.reference_scores,
                snapshot.reference_margins,
            )
        return self.held(found.low), self.failed(found.high)

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim that the candidate passes, or that it fails."""
        held, _ = self._sides(snapshot)
        return Claim(self.held_text if held else self.failed_text, self.confidence)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
