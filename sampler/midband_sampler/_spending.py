"""What a run has cost so far, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from midband_history import InputError


@dataclass(frozen=True)
class Cost:
    """Cost of one attempt; NaN where not known.

    Parameters
    ----------
    usd, seconds : float
        US dollars and seconds, at least 0.
    """

    usd: float
    seconds: float

    @classmethod
    def told(cls, usd: float | None, seconds: float | None) -> "Cost":
        """Check what a caller told; None is not known."""
        values = [math.nan if each is None else float(each) for each in (usd, seconds)]
        for name, value in zip(("usd", "seconds"), values, strict=True):
            if value < 0.0 or math.isinf(value):
                msg = f"expected {name} >= 0, or None where it is not known, got {value:g}"
                raise InputError(msg)
        return cls(*values)


class Spending:
    """Sums the cost of the judged tasks; the history's mean stands in for what was not told."""

    def __init__(self) -> None:
        self.usd = 0.0
        self.seconds = 0.0
        self._usd_guessed = 0
        self._seconds_missing = 0

    def add(self, attempts: Sequence[Cost], *, expected_usd: float) -> None:
        """Take in the attempts at one task.

        Parameters
        ----------
        attempts : sequence of Cost
        expected_usd : float
            What one attempt cost in the history; NaN where not known.
        """
        told = [each.usd for each in attempts if not math.isnan(each.usd)]
        guessed = len(attempts) - len(told)
        self.usd += math.fsum(sorted(told)) + (guessed * expected_usd if guessed else 0.0)
        self._usd_guessed += guessed
        self._seconds_missing += sum(math.isnan(each.seconds) for each in attempts)
        self.seconds += math.fsum(sorted(each.seconds for each in attempts))

    def warnings(self, *, in_usd: bool, in_seconds: bool) -> tuple[str, ...]:
        """Say what a budget in these units rests on; nothing where every cost was told."""
        found = []
        if in_usd and math.isnan(self.usd):
            found.append(
                "the budget in dollars cannot be counted: neither the results nor the history say"
                " what some attempts cost; nothing stops on it"
            )
        elif in_usd and self._usd_guessed:
            found.append(
                f"the cost of {self._usd_guessed} attempts was not told: counted at their mean in"
                f" the history, {self.usd:.2f} USD in all"
            )
        if in_seconds and self._seconds_missing:
            found.append(
                f"the budget in seconds cannot be counted: the duration of {self._seconds_missing}"
                " attempts was not told; nothing stops on it"
            )
        return tuple(found)
