"""What importers of reports share: which metric is read, how it is rounded, and whose it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midband.harnesses._files import number
from midband_history import Note, UnreadableSourceError

if TYPE_CHECKING:
    from midband.descriptors import ReadOptions

_MOST_USD, _MOST_TOKENS, _MOST_SECONDS = 1e6, 1e12, 3.2e8


@dataclass
class Amounts:
    """Reads the costs, tokens and durations of one source; absurd ones are unknown.

    Parameters
    ----------
    absurd : int
        How many were negative, infinite or beyond reason.
    """

    absurd: int = 0

    def cost(self, value: object) -> float | None:
        """Return US dollars, or None for unknown."""
        return self._sane(value, _MOST_USD)

    def tokens(self, value: object) -> float | None:
        """Return a number of tokens, or None for unknown."""
        return self._sane(value, _MOST_TOKENS)

    def seconds(self, value: object) -> float | None:
        """Return a duration, or None for unknown."""
        return self._sane(value, _MOST_SECONDS)

    def notes(self) -> Iterator[Note]:
        """Yield the note that says how many were absurd, if any were."""
        if self.absurd:
            text = f"{self.absurd} costs, tokens or durations are absurd and count as unknown"
            yield Note(code="absurd-amounts", text=text)

    def _sane(self, value: object, most: float) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        found = number(value)
        if found is None or not 0 <= found <= most:
            self.absurd += 1
            return None
        return found


def choose_metric(
    options: "ReadOptions", names: Sequence[str], path: Path, *, default: str = ""
) -> str:
    """Return the metric to read: the one asked for, else `default`, else the first.

    Raises
    ------
    UnreadableSourceError
        The source has no metric of the name that was asked for.
    """
    if not options.metric:
        return default or names[0]
    if options.metric not in names:
        msg = (
            f"{path}: expected a metric of the source ({', '.join(names)}), got"
            f" {options.metric!r}: choose one of them with --metric"
        )
        raise UnreadableSourceError(msg)
    return options.metric


def other_metrics(chosen: str, names: Sequence[str]) -> Note | None:
    """Return the note that names the metrics that were not read; None where there are none."""
    others = [name for name in names if name != chosen]
    if not others:
        return None
    text = f"the metric {chosen} was read; --metric chooses another: {', '.join(others)}"
    return Note(code="other-metrics", text=text)


def unnamed_agent(path: Path, what: str) -> UnreadableSourceError:
    """Return the refusal of a file that does not say who ran."""
    return UnreadableSourceError(
        f"{path}: expected {what} that names its agent, got none: name it with --agent NAME"
    )


def unnamed_benchmark(path: Path, what: str) -> UnreadableSourceError:
    """Return the refusal of a file that does not say what was run."""
    return UnreadableSourceError(
        f"{path}: expected {what} that names its benchmark, got none: name it with --benchmark NAME"
    )


def rounding(value: float, *, digits: int = 0) -> float:
    """Return the greatest error of a number that was rounded where its digits end.

    Parameters
    ----------
    value : float
        As the source writes it.
    digits : int
        Digits after the point that the source is known to write at least.

    Examples
    --------
    >>> rounding(74.25), rounding(50.0, digits=1)
    (0.005, 0.05)
    """
    text = f"{value:.12f}".rstrip("0")
    seen = len(text.partition(".")[2])
    return float(f"5e-{max(seen, digits) + 1}")
