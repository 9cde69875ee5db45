"""Stopping rules: what has to be known before a run may stop."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler._look import Look

BUDGET_SPENT = "budget spent"
ALL_RUN = "all planned tasks run"
HOPELESS = "cannot be settled with what is left"
INCONCLUSIVE = frozenset({ALL_RUN, BUDGET_SPENT, HOPELESS, "going on"})
MIN_TASKS = 10
_TIE = 1e-9


@dataclass(frozen=True)
class Claim:
    """What a decision claims.

    Parameters
    ----------
    text : str
        For instance ``better than agent-x``.
    confidence : float
        Chance that it is right, over all looks; ties count as right.
    """

    text: str
    confidence: float


class StoppingRule(Protocol):
    """Decides after each completed task; sees nothing but its arguments.

    One method serves sessions and the replays that calibrate them, so that both stop alike.
    """

    @property
    def confidence(self) -> float:
        """Chance that the intervals which the rule looks at cover, over all looks."""

    @property
    def min_tasks(self) -> int:
        """Fewest results with which the rule can stop; before that it is not asked."""

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Whether to stop, of the shape that the look's arrays broadcast to."""

    def reason(self, look: Look) -> str:
        """Say why; asked once, of a look of shape () at which `stops` is true."""

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Say what is known then; asked as `reason` is. Empty if the rule is no evidence."""

    def to_dict(self) -> dict[str, object]:
        """Return the settings and, under ``rule``, the name that `stop_from_dict` knows."""


@dataclass(frozen=True)
class RankSettled:
    """Stop when the rank interval is narrow enough.

    Parameters
    ----------
    confidence : float
        Chance that the interval covers the candidate's rank on the target at the stop, however
        often the rule looks. In (0.5, 1).
    width : float
        Largest ``(high - low) / (n_reference + 1)`` that counts as settled. In [0, 1).
    min_tasks : int
        No stop before so many results: variances of fewer are not to be trusted.
    """

    confidence: float = 0.95
    width: float = 0.2
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not 0.0 <= self.width < 1.0:
            msg = f"expected 0 <= width < 1 (a share of the ranks), got {self.width:g}: try 0.2"
            raise InputError(msg)

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Stop on a narrow interval after `min_tasks`."""
        widest = self.width * (len(look.reference_agents) + 1) + _TIE
        narrow = look.rank_high - look.rank_low <= widest
        return np.asarray(narrow & (look.tasks >= self.min_tasks))

    def reason(self, look: Look) -> str:
        """Return ``rank settled``."""
        del look
        return "rank settled"

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim the interval."""
        low, high = int(look.rank_low), int(look.rank_high)
        text = f"rank {low}" if low == high else f"rank {low} to {high}"
        return (Claim(f"{text} of {len(look.reference_agents) + 1}", self.confidence),)

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {
            "rule": "rank",
            "confidence": self.confidence,
            "width": self.width,
            "min_tasks": self.min_tasks,
        }


@dataclass(frozen=True)
class Beats:
    """Stop when the candidate is known to be better, or known to be worse, than one agent.

    Where all tasks run in random order this rests on `Evidence`: it takes the tasks as a sample, so
    the luck of the agent's own recorded run is counted, and what it denies is "on tasks like these,
    neither is better". Elsewhere it follows from the score bounds and speaks of the target: of the
    full score in a calibrated plan, of the planned tasks in a band, which was chosen by results
    that the agent's own are part of, so that a bet against them would not be fair.

    Parameters
    ----------
    agent : str
        A reference agent of the plan.
    confidence : float
        Chance that no wrong side is claimed, however often the rule looks; half of the rest goes
        to either side. In (0.5, 1).
    min_tasks : int
        No stop before so many results.
    """

    agent: str
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not self.agent:
            msg = "expected the name of a reference agent to beat, got none: try beats:AGENT"
            raise InputError(msg)

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Stop on evidence for either side."""
        better, worse = self._sides(look)
        return np.asarray((better | worse) & (look.tasks >= self.min_tasks))

    def _sides(self, look: Look) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        evidence = look.evidence.get(self.agent)
        if evidence is not None:
            enough = np.log(2.0 / (1.0 - self.confidence))
            return np.asarray(evidence.log_better >= enough), np.asarray(
                evidence.log_worse >= enough
            )
        if self.agent not in look.reference_agents:
            nobody = np.zeros(np.shape(look.score_low), dtype=bool)
            return nobody, nobody
        score = look.reference_scores[look.reference_agents.index(self.agent)]
        return np.asarray(look.score_low > score + _TIE), np.asarray(look.score_high < score - _TIE)

    def reason(self, look: Look) -> str:
        """Return ``better than`` or ``worse than`` the agent."""
        better, _ = self._sides(look)
        return f"{'better' if better else 'worse'} than {self.agent}"

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim the side."""
        return (Claim(self.reason(look), self.confidence),)

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {
            "rule": "beats",
            "agent": self.agent,
            "confidence": self.confidence,
            "min_tasks": self.min_tasks,
        }


@dataclass(frozen=True)
class TopK:
    """Stop when the candidate is certainly among the best `k`, or certainly not.

    Parameters
    ----------
    k : int
        At least 1.
    confidence : float
        Chance that the rank interval covers at the stop, over all looks. In (0.5, 1).
    min_tasks : int
        No stop before so many results.
    """

    k: int
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if self.k < 1:
            msg = f"expected a top of 1 or more, got {self.k}: try top:3"
            raise InputError(msg)

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Stop when the whole interval lies on one side of `k`."""
        decided = (look.rank_high <= self.k) | (look.rank_low > self.k)
        return np.asarray(decided & (look.tasks >= self.min_tasks))

    def reason(self, look: Look) -> str:
        """Return ``in the top k`` or ``not in the top k``."""
        return f"{'' if look.rank_high <= self.k else 'not '}in the top {self.k}"

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim the side."""
        return (Claim(self.reason(look), self.confidence),)

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {
            "rule": "top",
            "k": self.k,
            "confidence": self.confidence,
            "min_tasks": self.min_tasks,
        }


@dataclass(frozen=True)
class ScoreWithin:
    """Stop when the bounds of the score on the target are narrow enough.

    Parameters
    ----------
    points : float
        Largest half width that counts, in percentage points of the score. Above 0.
    confidence : float
        Chance that the score bounds cover at the stop, over all looks. In (0.5, 1).
    min_tasks : int
        No stop before so many results.
    """

    points: float
    confidence: float = 0.95
    min_tasks: int = MIN_TASKS

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_min_tasks(self.min_tasks)
        if not 0.0 < self.points < 50.0:
            msg = f"expected 0 < points < 50 (percentage points), got {self.points:g}: try 2"
            raise InputError(msg)

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Stop on narrow score bounds."""
        narrow = (look.score_high - look.score_low) * 50.0 <= self.points + _TIE
        return np.asarray(narrow & (look.tasks >= self.min_tasks))

    def reason(self, look: Look) -> str:
        """Return ``score settled``."""
        del look
        return "score settled"

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim the bounds."""
        low, high = 100 * float(look.score_low), 100 * float(look.score_high)
        return (Claim(f"score {low:.1f} to {high:.1f} %", self.confidence),)

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {
            "rule": "score",
            "points": self.points,
            "confidence": self.confidence,
            "min_tasks": self.min_tasks,
        }


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Stop when so much was spent: no evidence, so nothing is claimed.

    Exactly one of the three is given. Spent is what the completed prefix of the order cost; tasks
    that are running at the stop come on top.

    Parameters
    ----------
    tasks : int or None
        Completed tasks, with or without a result.
    usd, seconds : float or None
        US dollars and seconds; where they are not known the rule does not stop.
    confidence : float
        Of the interval that is reported.
    """

    tasks: int | None = None
    usd: float | None = None
    seconds: float | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        given = [each for each in (self.tasks, self.usd, self.seconds) if each is not None]
        if len(given) != 1 or not given[0] > 0:
            msg = f"expected one budget above 0 of tasks, usd or seconds, got {given}: try tasks:30"
            raise InputError(msg)

    @property
    def min_tasks(self) -> int:
        """Nothing needs to be known."""
        return 0

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Stop when it is spent."""
        if self.tasks is not None:
            return np.asarray(look.tasks_run >= self.tasks)
        if self.usd is not None:
            return np.asarray(look.usd >= self.usd)
        return np.asarray(look.seconds >= (self.seconds or 0.0))

    def reason(self, look: Look) -> str:
        """Return ``budget spent``."""
        del look
        return BUDGET_SPENT

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim nothing."""
        del look
        return ()

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {
            "rule": "budget",
            "tasks": self.tasks,
            "usd": self.usd,
            "seconds": self.seconds,
            "confidence": self.confidence,
        }


@dataclass(frozen=True)
class Never:
    """Run everything in the plan; the interval is reported, nothing stops on it."""

    confidence: float = 0.95

    @property
    def min_tasks(self) -> int:
        """No look matters."""
        return 0

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Go on."""
        return np.zeros(np.broadcast(look.rank_low, look.tasks).shape, dtype=bool)

    def reason(self, look: Look) -> str:
        """Never asked; an empty text."""
        del look
        return ""

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim nothing."""
        del look
        return ()

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {"rule": "none", "confidence": self.confidence}


def check_confidence(confidence: float) -> None:
    """Raise unless in (0.5, 1)."""
    if not 0.5 < confidence < 1.0:
        msg = f"expected 0.5 < confidence < 1, got {confidence:g}: 0.95 is usual"
        raise InputError(msg)


def check_min_tasks(min_tasks: int) -> None:
    """Raise unless a variance can be taken."""
    if min_tasks < 2:
        msg = f"expected min_tasks >= 2, got {min_tasks}: a variance needs two tasks"
        raise InputError(msg)
