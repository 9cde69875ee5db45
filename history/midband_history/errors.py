"""The errors of midband: one base, doubled with a builtin where one fits."""

from collections.abc import Sequence
from difflib import SequenceMatcher

_SHOWN = 8


class MidbandError(Exception):
    """Base of every error that midband raises on purpose.

    The message is one line: what was expected, what was found, what to do.
    """


class InputError(MidbandError, ValueError):
    """A value from outside is not what was expected."""


class UnknownTaskError(MidbandError, KeyError):
    """A task id that the plan or the history does not hold."""

    __str__ = Exception.__str__


class UnknownBenchmarkError(MidbandError, KeyError):
    """A benchmark that the history does not hold."""

    __str__ = Exception.__str__


class MissingPackageError(MidbandError, ImportError):
    """A package that midband does without is needed for what was asked."""


class StoreError(MidbandError, OSError):
    """The history file cannot be opened, read or written."""


class UnreadableSourceError(MidbandError, ValueError):
    """A result file is truncated, foreign or holds what cannot be read."""


class OutOfRangeError(UnreadableSourceError):
    """A score lies outside the scale of its metric.

    Parameters
    ----------
    message : str
    benchmarks : sequence of str
        Those of the source.
    low, high : float
        The least and the greatest score of the source.
    """

    def __init__(self, message: str, *, benchmarks: Sequence[str], low: float, high: float) -> None:
        super().__init__(message)
        self.benchmarks = tuple(benchmarks)
        self.low = low
        self.high = high


def nearest(wanted: str, names: Sequence[str]) -> str:
    """Return names for a message, up to eight: all of them, or those most like the wanted one."""
    if len(names) <= _SHOWN:
        return ", ".join(names)
    alike = sorted(names, key=lambda name: -SequenceMatcher(None, wanted, name).ratio())
    return ", ".join(alike[:_SHOWN]) + ", ..."
