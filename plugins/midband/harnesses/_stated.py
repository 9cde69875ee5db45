"""Aggregates beside the results: how exactly they are written, and which can be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from midband.descriptors import ReadOptions
from midband.harnesses._files import foreign
from midband_history import Note, StatedAggregate, UnreadableSourceError

_FULL_PRECISION = 6  # decimals; a number with fewer may have been rounded
_SHOWN = 12


def rounding(value: float, count: int | None = None) -> float:
    """Return the greatest difference that the writing of a mean explains.

    Parameters
    ----------
    value : float
        The mean, as the source writes it.
    count : int or None
        How many values it is the mean of, where known. A short number that is a whole number of
        passes divided by `count` is taken to be exact.
    """
    exact = 1e-6 * max(1.0, abs(value))
    text = repr(value)
    decimals = len(text.partition(".")[2]) if "e" not in text else _FULL_PRECISION
    if decimals >= _FULL_PRECISION:
        return exact
    if count and abs(value * count - round(value * count)) < 1e-6:
        return exact
    return max(exact, 0.5001 * 10.0**-decimals)


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


def wanted_metric(options: ReadOptions) -> str:
    """Return the metric that a person asked for, by ``--metric`` or by ``--map NAME=score``."""
    mapped = (theirs for theirs, ours in options.columns.items() if ours == "score")
    return options.metric or next(mapped, "")


def no_such_metric(
    path: Path, what: str, wanted: str, labels: Iterable[str]
) -> UnreadableSourceError:
    """Return the refusal of a metric that the source does not hold."""
    return foreign(path, f"the metric {wanted!r} in {what}", f"{listed(labels)}: choose one")


def other_metrics(read: str, labels: Iterable[str]) -> Note | None:
    """Return the note that names the metrics that were not read, if there are any."""
    others = [label for label in dict.fromkeys(labels) if label != read]
    if not others:
        return None
    text = f"the metric read is {read}; --metric NAME chooses another: {listed(others)}"
    return Note(code="other-metrics", text=text)


def listed(names: Iterable[str]) -> str:
    """Return names for one line; only the first of many."""
    found: Sequence[str] = list(dict.fromkeys(names))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (", ".join(found[:_SHOWN]) or "none") + more
