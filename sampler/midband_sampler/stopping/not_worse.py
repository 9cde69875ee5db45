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

    It holds as soon as the lower bound of candidate minus agent is not below the margin, and does
    not hold as soon as the upper bound is below it: a candidate that is worse by exactly the margin
    is let through.

    Where all tasks run in random order, the bounds are those of the paired difference on the
    planned tasks, exact at all looks (`PairedDifference`). Elsewhere the claim follows from the
    score bounds, as for `Beats`, and speaks of the target. The replays of a calibrated plan then
    had to hold the score bounds besides the rank.

    Parameters
    ----------
    agent : str
        A reference agent of the plan, the baseline.
    points : float
        The margin in percentage points of the score: 0, or from 0.1 to below 100.
    confidence : float
        Chance that no wrong side is claimed, however often the rule looks. Only one side can be
        wrong of one candidate, so either bound has the whole chance of error. In (0.5, 1).
    min_tasks : int
        The rule does not stop before so many results.
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
        """Read an agent, a margin, and perhaps a confidence.

        A name may hold colons. One that ends in a colon and a number must be quoted, since the
        number would else be the margin.
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
        """The baseline."""
        return (self.agent,)

    @property
    def paired_with(self) -> Mapping[str, float]:
        """The baseline."""
        return {self.agent: self.confidence}

    @property
    def needs_others(self) -> bool:
        """One baseline is enough."""
        return False

    @property
    def claims_score(self) -> bool:
        """Without paired bounds the claim follows from those of the score."""
        return True

    @property
    def held_text(self) -> str:
        """What is claimed where the candidate is let through."""
        return f"not worse than {self.agent} by more than {self._margin}"

    @property
    def failed_text(self) -> str:
        """What is claimed where it is not."""
        return f"worse than {self.agent} by more than {self._margin}"

    @property
    def _margin(self) -> str:
        return f"{self.points:g} point{'' if self.points == 1.0 else 's'}"

    def held(self, low: FloatArray | float) -> NDArray[np.bool_]:
        """Whether a lower bound of candidate minus baseline lets the candidate through."""
        return np.asarray(low >= self._edge)

    def failed(self, high: FloatArray | float) -> NDArray[np.bool_]:
        """Whether an upper bound says that it is worse by more than the margin."""
        return np.asarray(high < self._edge)

    @property
    def _edge(self) -> float:
        """The margin as a difference; bounds of a known difference are rounded outwards once."""
        return -self.points / 100.0 - 2.0 * TIE

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Ask for either side."""
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
        """Claim the side."""
        held, _ = self._sides(snapshot)
        return Claim(self.held_text if held else self.failed_text, self.confidence)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
