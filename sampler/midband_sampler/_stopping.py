"""Stopping rules: when the rank counts as settled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler._look import Look

_TIE = 1e-9


class StoppingRule(Protocol):
    """Decides after each completed task; sees nothing but its arguments.

    One method serves sessions and the replays that calibrate them, so that both stop alike.
    """

    @property
    def confidence(self) -> float:
        """Chance that the rank interval at the stop covers, over all looks."""

    @property
    def min_tasks(self) -> int:
        """Fewest results with which the rule can stop; before that it is not asked."""

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Whether to stop, of the shape that the look's arrays broadcast to."""

    def reason(self, look: Look) -> str:
        """Say why; asked once, of a look of shape () at which `stops` is true."""

    def to_dict(self) -> dict[str, object]:
        """Return the settings and, under ``rule``, the name that `stop_from_dict` knows."""


@dataclass(frozen=True)
class RankSettled:
    """Stop when the rank interval is narrow enough.

    Parameters
    ----------
    confidence : float
        Chance that the interval covers the candidate's rank on the planned tasks at every look at
        once, so that it holds however often the rule looks. In (0.5, 1).
    width : float
        Largest ``(high - low) / (n_reference + 1)`` that counts as settled. In [0, 1).
    min_tasks : int
        No stop before so many completed tasks: variances of fewer are not to be trusted.
    """

    confidence: float = 0.95
    width: float = 0.2
    min_tasks: int = 10

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1.0:
            msg = f"expected 0.5 < confidence < 1, got {self.confidence:g}: 0.95 is usual"
            raise InputError(msg)
        if not 0.0 <= self.width < 1.0:
            msg = f"expected 0 <= width < 1 (a share of the ranks), got {self.width:g}: try 0.2"
            raise InputError(msg)
        if self.min_tasks < 2:
            msg = f"expected min_tasks >= 2, got {self.min_tasks}: a variance needs two tasks"
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

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {
            "rule": "rank",
            "confidence": self.confidence,
            "width": self.width,
            "min_tasks": self.min_tasks,
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

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {"rule": "none", "confidence": self.confidence}


def parse_stop(text: str) -> StoppingRule:
    """Read ``rank``, ``rank:CONFIDENCE``, ``rank:CONFIDENCE:WIDTH`` or ``none``."""
    name, *numbers = text.split(":")
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = [float("nan")] * 9
    if name == "none" and not values:
        return Never()
    if name == "rank" and len(values) <= 2:
        default = RankSettled()
        confidence, width = (*values, *(default.confidence, default.width)[len(values) :])
        return RankSettled(confidence, width)
    msg = f"expected a stopping rule like rank:0.95:0.2 or none, got {text!r}"
    raise InputError(msg)


def stop_from_dict(settings: Mapping[str, object]) -> StoppingRule:
    """Rebuild a rule from `StoppingRule.to_dict`."""
    kinds: dict[str, type[RankSettled | Never]] = {"rank": RankSettled, "none": Never}
    values = dict(settings)
    kind = kinds.get(str(values.pop("rule", None)))
    if kind is None:
        found = settings.get("rule")
        msg = f"expected a stopping rule among rank, none, got {found!r}: update midband"
        raise InputError(msg)
    try:
        return kind(**values)  # type: ignore[arg-type]
    except TypeError as error:
        msg = f"expected the settings of {kind.__name__}, got {values}: {error}"
        raise InputError(msg) from error
