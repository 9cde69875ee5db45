"""What sources say beside their results: whose they are, of which metric, amounts, aggregates."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from midband.adapters.files import foreign, number, total
from midband_history import (
    Note,
    StatedAggregate,
    UnreadableSourceError,
    sane_cost,
    sane_duration,
    sane_run_cost,
    sane_tokens,
)

if TYPE_CHECKING:
    from midband.descriptors import ReadOptions

MOST_ATTEMPTS = 1_000_000  # of a task; a greater number is no number of an attempt
_FULL_PRECISION = 6  # decimals; a number with fewer may have been rounded
_SHOWN = 12


class Quantities:
    """Reads the quantities of one source and counts those that cannot be."""

    def __init__(self) -> None:
        self._odd: dict[str, list[float]] = {}

    def cost(self, *values: object) -> float | None:
        """Return the sum of costs in US dollars, or None where it is unknown or cannot be."""
        return self._sane("cost", values, sane_cost)

    def run_cost(self, value: object) -> float | None:
        """Return the cost of a whole run in US dollars, or None as for `cost`."""
        return self._sane("cost", (value,), sane_run_cost)

    def tokens(self, *values: object) -> float | None:
        """Return the sum of tokens, or None where it is unknown or cannot be."""
        return self._sane("tokens", values, sane_tokens)

    def seconds(self, value: object) -> float | None:
        """Return a duration in seconds, or None where it is unknown or cannot be."""
        return self._sane("duration", (value,), sane_duration)

    def notes(self) -> Iterator[Note]:
        """Yield a note for every kind of quantity of which a value cannot be."""
        for name, values in self._odd.items():
            text = (
                f"{len(values)} values of {name} are taken as unknown because they cannot be right,"
                f" such as {values[0]:g}"
            )
            yield Note(code="absurd-amounts", text=text)

    def _sane(
        self, name: str, values: Sequence[object], judge: Callable[[object], float | None]
    ) -> float | None:
        summed = total(*values)
        found = judge(summed)
        # Infinity is no number that could be summed, but it was said.
        said = summed if summed is not None else next(filter(_is_infinite, values), None)
        if isinstance(said, (int, float)) and found is None:
            self._odd.setdefault(name, []).append(said if abs(said) < 1e300 else math.inf)
        return found


def _is_infinite(value: object) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return number(value) is None and (whole or (isinstance(value, float) and math.isinf(value)))


def attempt_number(value: object) -> int | None:
    """Return the 0-based number of an attempt, 0 where none is given; None where it cannot be."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MOST_ATTEMPTS else None


def rounding(value: float, count: int | None = None, *, digits: int = 1) -> float:
    """Return the greatest difference that the writing of a mean explains.

    Parameters
    ----------
    value : float
        The mean, as the source writes it.
    count : int or None
        How many values it is the mean of, where known. A short number that is a whole number of
        passes divided by `count` is taken to be exact.
    digits : int
        Digits after the point that the source is known to write at least: 1 for shares, 0 for
        percentages that may be whole ones.

    Examples
    --------
    >>> [round(rounding(each), 7) for each in (0.2889, 0.28888888)]
    [5e-05, 1e-06]
    """
    exact = 1e-6 * max(1.0, abs(value))
    text = repr(float(value))
    decimals = len(text.partition(".")[2].rstrip("0")) if "e" not in text else _FULL_PRECISION
    if decimals >= _FULL_PRECISION:
        return exact
    if count and abs(value * count - round(value * count)) < 1e-6:
        return exact
    return max(exact, 0.5001 * 10.0 ** -max(decimals, digits))


def pooled(parts: Iterable[tuple[float, int]]) -> float | None:
    """Return the mean over all values of groups, from the mean and the count of each."""
    known = [(mean, count) for mean, count in parts if count]
    counted = sum(count for _, count in known)
    return sum(mean * count for mean, count in known) / counted if counted else None


def fits(value: float, mean: float | None, tolerance: float) -> bool:
    """Whether a stated number is the mean of the values, rounding aside."""
    return mean is not None and abs(value - mean) <= tolerance


def checkable(stated: StatedAggregate, mean: float | None, reason: str) -> StatedAggregate:
    """Return the aggregate, marked as not checkable if it is not the mean and `reason` says why."""
    if not reason or fits(stated.value, mean, stated.tolerance):
        return stated
    return replace(stated, not_checkable=reason)


def counted(
    name: str, value: object, statistic: Literal["passed", "attempts", "tasks", "valid"]
) -> Iterator[StatedAggregate]:
    """Yield a count that a source states, if it is a number."""
    found = number(value)
    if found is not None:
        yield StatedAggregate(name=name, value=found, statistic=statistic)


def errors_counted(count: int, what: str, options: "ReadOptions") -> Iterator[Note]:
    """Yield the note that a source counts attempts that ended in errors, if it has any.

    Parameters
    ----------
    count : int
    what : str
        What follows the count: which attempts they are, and what the source takes them for.
    options : ReadOptions
        Where a person says what errors count as, there is nothing to be told.
    """
    if count and options.errors == "source":
        text = f"{count} {what}: --errors missing leaves them out"
        yield Note(code="errors-counted", text=text)


def choose_metric(path: Path, options: "ReadOptions", *names: str) -> str:
    """Return the metric to read: the one asked for, else the first.

    Raises
    ------
    UnreadableSourceError
        The source has no metric of the name that was asked for.
    """
    if options.metric and options.metric not in names:
        wanted = f"a metric of the source ({', '.join(names)})"
        raise foreign(path, wanted, f"--metric {options.metric}: choose one of them")
    return options.metric or names[0]


def wanted_metric(options: "ReadOptions") -> str:
    """Return the metric that a person asked for, by ``--metric`` or by ``--map NAME=score``."""
    mapped = (theirs for theirs, ours in options.columns.items() if ours == "score")
    return options.metric or next(mapped, "")


def no_such_metric(
    path: Path, what: str, wanted: str, labels: Iterable[str]
) -> UnreadableSourceError:
    """Return the refusal of a metric that the source does not hold."""
    return foreign(path, f"the metric {wanted!r} in {what}", f"{listed(labels)}: choose one")


def other_metrics(read: str, labels: Iterable[str]) -> Iterator[Note]:
    """Yield the note that names the metrics that were not read, if there are any."""
    others = [label for label in dict.fromkeys(labels) if label != read]
    if others:
        text = f"the metric read is {read}; --metric NAME chooses another: {listed(others)}"
        yield Note(code="other-metrics", text=text)


def listed(names: Iterable[str]) -> str:
    """Return names for one line; only the first of many."""
    found: Sequence[str] = list(dict.fromkeys(names))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (", ".join(found[:_SHOWN]) or "none") + more


def named_agent(path: Path, what: str, *candidates: str | None) -> str:
    """Return the first name that there is of who ran.

    Raises
    ------
    UnreadableSourceError
        There is none.
    """
    return _named(path, what, candidates, "agent")


def named_benchmark(path: Path, what: str, *candidates: str | None) -> str:
    """Return the first name that there is of what was run; raises as `named_agent`."""
    return _named(path, what, candidates, "benchmark")


def _named(path: Path, what: str, candidates: Iterable[str | None], kind: str) -> str:
    found = next(filter(None, candidates), None)
    if found is None:
        do = f"none: name it with --{kind} NAME"
        raise foreign(path, f"{what} that names its {kind}", do)
    return found
