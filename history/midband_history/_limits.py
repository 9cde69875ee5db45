"""Sane amounts and dates: beyond these limits a source's own number counts as unknown.

A limit is far outside what evaluations cost, so that it catches other units and broken clocks
(nanoseconds for seconds, dates of 1970), not expensive runs. Every importer and every table uses
the same limits.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

LIMITS: Mapping[str, float] = {
    "cost_usd": 1e6,
    "tokens": 1e12,
    "duration_s": 3.2e8,  # ten years
    "run_cost_usd": 1e8,
}
FIRST_YEAR = 2000
LAST_YEAR = 2100


def sane_cost(value: object) -> float | None:
    """Return the cost of an attempt in US dollars, or None for unknown.

    Parameters
    ----------
    value : object
        What the source says. Unless it is a finite number from 0 to 1,000,000 it is unknown: a
        negative cost is no refund, and an infinite one is no bill.
    """
    return _sane(value, "cost_usd")


def sane_run_cost(value: object) -> float | None:
    """Return the cost of a whole run in US dollars, from 0 to 1e8, or None for unknown."""
    return _sane(value, "run_cost_usd")


def sane_tokens(value: object) -> float | None:
    """Return how many tokens an attempt used, from 0 to 1e12, or None for unknown."""
    return _sane(value, "tokens")


def sane_duration(value: object) -> float | None:
    """Return how many seconds an attempt took, from 0 to 3.2e8 (ten years), or None for unknown."""
    return _sane(value, "duration_s")


def sane_date(value: datetime | None) -> datetime | None:
    """Return a moment in UTC if its year is 2000 to 2099, or None for unknown.

    Parameters
    ----------
    value : datetime or None
        A naive moment is taken as UTC.
    """
    if value is None:
        return None
    try:
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:  # a zone that leads out of the calendar
        return None
    return moment if FIRST_YEAR <= moment.year < LAST_YEAR else None


def _sane(value: object, name: str) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of 10^400
        return None
    return number if math.isfinite(number) and 0.0 <= number <= LIMITS[name] else None
