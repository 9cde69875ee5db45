"""What replayed races showed, as a plan keeps it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from midband_sampler import plan_text as read
from midband_sampler.racing.claims import EXACT


@dataclass(frozen=True, kw_only=True)
class RaceCalibration:
    """The result of replayed races.

    Parameters
    ----------
    width : float
        Standard deviations of a difference that a claim needs; infinite where replays cannot tell.
    replays : int
        Races that were replayed on this benchmark.
    separate : int
        How many of these can be of different candidates.
    candidates : int
        Candidates in each.
    benchmarks : int
        Other benchmarks whose races count too.
    right : float
        Share of races with a right answer at the stop, or at the end of the budget; NaN if unknown.
    regret : float
        Mean regret of the best guess at the end of the budget; NaN if unknown.
    costs : tuple of three float
        Share of the full price: the tenth part, the mean, the nine tenths; NaN if unknown.
    guarantee : str
    """

    width: float = math.inf
    replays: int = 0
    separate: int = 0
    candidates: int = 0
    benchmarks: int = 0
    right: float = math.nan
    regret: float = math.nan
    costs: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    guarantee: str = EXACT

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; None where unknown or infinite."""
        values = {**asdict(self), "costs": list(self.costs)}
        return {
            name: _plain(each) if name != "costs" else [_plain(one) for one in self.costs]
            for name, each in values.items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RaceCalibration":
        """Rebuild it."""

        def number(values: Mapping[str, Any], name: str, unknown: float) -> float:
            return unknown if values[name] is None else float(read.number(values, name))

        costs = data["costs"]
        if not isinstance(costs, list) or len(costs) != 3:
            msg = f"costs: expected three numbers, got {str(costs)[:60]!r}"
            raise ValueError(msg)
        low, mean, high = (number({"costs": each}, "costs", math.nan) for each in costs)
        return cls(
            width=number(data, "width", math.inf),
            right=number(data, "right", math.nan),
            regret=number(data, "regret", math.nan),
            costs=(low, mean, high),
            guarantee=read.text(data, "guarantee"),
            **{
                name: read.whole(data, name)
                for name in ("replays", "separate", "candidates", "benchmarks")
            },
        )


def _plain(value: object) -> object:
    return value if not isinstance(value, float) or math.isfinite(value) else None
