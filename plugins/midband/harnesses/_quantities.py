"""Costs, tokens, durations and dates of one source: what cannot be is unknown, and said once."""

from collections.abc import Iterator
from datetime import UTC, datetime

from midband.harnesses._files import moment, number, total
from midband_history import Note

# Far above what any attempt has cost or taken; such a number is a fault of whoever wrote it.
_MOST_USD = 1e6
_MOST_TOKENS = 1e12
_LAST_ATTEMPT = 1_000_000
_MOST_SECONDS = 10 * 366 * 86400.0
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class Quantities:
    """Reads the quantities of one source and counts those that cannot be."""

    def __init__(self) -> None:
        self._odd: dict[str, list[object]] = {}

    def cost(self, *values: object) -> float | None:
        """Return the sum of costs in US dollars, or None where it is unknown or cannot be."""
        return self._bounded("cost", total(*values), _MOST_USD)

    def tokens(self, *values: object) -> float | None:
        """Return the sum of tokens, or None where it is unknown or cannot be."""
        return self._bounded("tokens", total(*values), _MOST_TOKENS)

    def seconds(self, value: object) -> float | None:
        """Return a duration in seconds, or None where it is unknown or cannot be."""
        return self._bounded("duration", number(value), _MOST_SECONDS)

    def between(self, start: object, end: object) -> float | None:
        """Return how long something took in seconds, or None where an end is unknown."""
        first, last = self.date(start), self.date(end)
        if first is None or last is None:
            return None
        return self.seconds((last - first).total_seconds())

    def date(self, value: object) -> datetime | None:
        """Return a moment, or None where it is unknown or cannot be."""
        found = moment(value)
        if found is None or _EARLIEST <= found <= _LATEST:
            return found
        self._odd.setdefault("date", []).append(value)
        return None

    def notes(self) -> Iterator[Note]:
        """Yield a note for every kind of quantity of which a value cannot be."""
        for name, values in self._odd.items():
            text = (
                f"{len(values)} values of {name} are taken as unknown because they cannot be right,"
                f" such as {values[0]!r:.40}"
            )
            yield Note(code=f"implausible-{name}", text=text)

    def _bounded(self, name: str, value: float | None, most: float) -> float | None:
        if value is None or 0 <= value <= most:
            return value
        self._odd.setdefault(name, []).append(value)
        return None


def attempt_number(value: object) -> int | None:
    """Return the 0-based number of an attempt, 0 where none is given; None where it cannot be."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _LAST_ATTEMPT else None


def rounding(value: float) -> float:
    """Return the greatest difference that the written digits of a number explain.

    >>> rounding(0.2889)
    5.1e-05
    """
    _, _, decimals = f"{value!r}".partition(".")
    places = len(decimals) if decimals.isdigit() else 12
    return max(0.51 * 10.0 ** -min(places, 9), 1e-9)
