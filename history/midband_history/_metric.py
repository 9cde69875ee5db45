"""The metric: which of a source's numbers was read, on which scale, and which way is better."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from midband_history._errors import InputError

Declared = Literal["", "source", "user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a score is a score of.

    Parameters
    ----------
    name : str
        The scorer, reward or column, as the source calls it; empty where it is unknown.
    key : str
        The entry of a score that is a mapping, or the filter before the metric; mostly empty.
    low, high : float
        The scale: the least and the greatest value that the metric can give.
    lower_is_better : bool
        Whether `low` is the best value.
    declared : {"", "source", "user"}
        Who stated the scale. If nobody did, the scale is taken to be 0 to 1 until a value
        contradicts it.

    Examples
    --------
    >>> judge = Metric(name="judge", low=1, high=10, declared="user")
    >>> [judge.unit(value) for value in (1, 5.5, 10)]
    [0.0, 0.5, 1.0]
    >>> Metric(name="score", key="correct").label
    'score.correct'
    """

    name: str = ""
    key: str = ""
    low: float = 0.0
    high: float = 1.0
    lower_is_better: bool = False
    declared: Declared = ""

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not finite or self.low >= self.high:
            msg = (
                f"expected a scale LOW < HIGH of two numbers, got {self.low:g} {self.high:g}:"
                " give the least and the greatest value of the metric"
            )
            raise InputError(msg)

    @property
    def label(self) -> str:
        """The name by which ``--metric`` chooses it: ``NAME`` or ``NAME.KEY``."""
        return f"{self.name}.{self.key}" if self.key else self.name

    @property
    def known(self) -> bool:
        """Whether a source or a person has named it."""
        return bool(self.name)

    def holds(self, value: float) -> bool:
        """Whether a value lies on the scale, a rounding error aside."""
        slack = 1e-9 * (self.high - self.low)
        return self.low - slack <= value <= self.high + slack

    def unit(self, value: float) -> float:
        """Return a value as a score in [0, 1], 1 = best.

        Raises
        ------
        InputError
            The value does not lie on the scale.
        """
        if not self.holds(value):
            msg = (
                f"expected values of {self.label or 'the metric'} from {self.low:g} to"
                f" {self.high:g}, got {value:g}: state its scale with --scale LOW HIGH"
            )
            raise InputError(msg)
        return float(np.clip(self.units(np.asarray(value, dtype=float)), 0.0, 1.0))

    def units(self, values: np.ndarray) -> np.ndarray:
        """Return values as scores, 1 = best, without a check; NaN stays NaN."""
        if self.low == 0.0 and self.high == 1.0:
            scaled = values
        else:
            scaled = (values - self.low) / (self.high - self.low)
        return 1.0 - scaled if self.lower_is_better else scaled

    def same_as(self, other: "Metric") -> bool:
        """Whether both have the same name and key."""
        return (self.name, self.key) == (other.name, other.key)

    def scale_text(self) -> str:
        """Say the scale and the direction in words."""
        way = ", lower is better" if self.lower_is_better else ""
        assumed = "" if self.declared else " (assumed)"
        return f"{self.low:g} to {self.high:g}{assumed}{way}"
