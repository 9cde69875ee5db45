"""Costs, tokens, durations and dates of one source: what cannot be is unknown, and said once."""

from collections.abc import Callable, Iterator
from datetime import datetime

from midband.harnesses._files import moment, number, seconds_between, total
from midband_history import Note, sane_cost, sane_duration, sane_run_cost, sane_tokens

_LAST_ATTEMPT = 1_000_000


class Quantities:
    """Reads the quantities of one source and counts those that cannot be."""

    def __init__(self) -> None:
        self._odd: dict[str, list[float]] = {}

    def cost(self, *values: object) -> float | None:
        """Return the sum of costs in US dollars, or None where it is unknown or cannot be."""
        return self._sane("cost", total(*values), sane_cost)

    def run_cost(self, value: object) -> float | None:
        """Return the cost of a whole run in US dollars, or None as for `cost`."""
        return self._sane("cost", number(value), sane_run_cost)

    def tokens(self, *values: object) -> float | None:
        """Return the sum of tokens, or None where it is unknown or cannot be."""
        return self._sane("tokens", total(*values), sane_tokens)

    def seconds(self, value: object) -> float | None:
        """Return a duration in seconds, or None where it is unknown or cannot be."""
        return self._sane("duration", number(value), sane_duration)

    def between(self, start: object, end: object) -> float | None:
        """Return how long something took in seconds, or None where an end is unknown."""
        return seconds_between(start, end)

    def date(self, value: object) -> datetime | None:
        """Return a moment, or None where it is unknown or cannot be."""
        return moment(value)

    def notes(self) -> Iterator[Note]:
        """Yield a note for every kind of quantity of which a value cannot be."""
        for name, values in self._odd.items():
            text = (
                f"{len(values)} values of {name} are taken as unknown because they cannot be right,"
                f" such as {values[0]:g}"
            )
            yield Note(code="absurd-amounts", text=text)

    def _sane(
        self, name: str, value: float | None, judge: Callable[[object], float | None]
    ) -> float | None:
        found = judge(value)
        if value is not None and found is None:
            self._odd.setdefault(name, []).append(value)
        return found


def attempt_number(value: object) -> int | None:
    """Return the 0-based number of an attempt, 0 where none is given; None where it cannot be."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _LAST_ATTEMPT else None


def rounding(value: float) -> float:
    """Return the greatest difference that the written digits of a number explain.

    >>> round(rounding(0.2889), 6)
    5.1e-05
    """
    _, _, decimals = f"{value!r}".partition(".")
    places = len(decimals) if decimals.isdigit() else 12
    return max(0.51 * 10.0 ** -min(places, 9), 1e-9)
