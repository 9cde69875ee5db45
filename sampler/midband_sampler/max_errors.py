"""How many attempts without a usable result end a session."""

import math
import re
from dataclasses import dataclass

from midband_history import InputError

FIRST = 10
UNUSUAL = 0.05
TOO_MANY_ERRORS = "too many errors"
_COUNT = re.compile(r"[0-9]{1,9}")
_FORMS = "a number such as 5, or a share such as 20% or 0.2"


@dataclass(frozen=True, kw_only=True)
class MaxErrors:
    """Most attempts that may end without a usable result, however many of them pass or fail.

    A score of 0 is a result. Exactly one of the two is given.

    Parameters
    ----------
    count : int or None
        A session ends with one more than so many.
    share : float or None
        Of the attempts judged, in [0, 1], once ten were judged: a session ends above it. With 1
        no session ends.
    """

    count: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if (self.count is None) == (self.share is None):
            msg = f"expected a count or a share of errors, got {self.count} and {self.share}"
            raise InputError(msg)
        if self.count is not None and self.count < 0:
            msg = f"expected a count of errors of at least 0, got {self.count}: name {_FORMS}"
            raise InputError(msg)
        if self.share is not None and not 0.0 <= self.share <= 1.0:
            msg = f"expected a share of errors in [0, 1], got {self.share:g}: name {_FORMS}"
            raise InputError(msg)

    def reason(self, *, results: int, judged: int) -> str:
        """Return why a session ends after so many judged attempts; empty where it goes on.

        Parameters
        ----------
        results : int
            Attempts with a usable result among them.
        judged : int
        """
        without = judged - results
        if self.count is not None and without > self.count:
            return (
                f"{TOO_MANY_ERRORS}: {without} attempts without a usable result, where at most"
                f" {self.count} may be"
            )
        if self.share is not None and judged >= FIRST and without > self.share * judged + 1e-9:
            return (
                f"{TOO_MANY_ERRORS}: {without} of {judged} attempts without a usable result, where"
                f" at most {self.share:.4g} of them may be"
            )
        return ""


def parse_max_errors(text: str) -> MaxErrors:
    """Read ``5`` as a count, ``20%`` and ``0.2`` as a share.

    Raises
    ------
    InputError
        The text is neither.
    """
    word = text.strip()
    if _COUNT.fullmatch(word):
        return MaxErrors(count=int(word))
    try:
        share = float(word[:-1]) / 100.0 if word.endswith("%") else float(word)
    except ValueError:
        share = math.nan
    if not 0.0 <= share <= 1.0:
        msg = f"expected the most errors of a run, {_FORMS}, got {text!r}"
        raise InputError(msg)
    return MaxErrors(share=share)


def none_usable(*, results: int, judged: int) -> str:
    """Return why a session without a limit of its own ends; empty where it goes on."""
    if results or judged < FIRST:
        return ""
    return (
        f"{TOO_MANY_ERRORS}: none of the first {judged} attempts has a usable result"
        " (--max-errors 100% goes on)"
    )


def missing_warnings(*, results: int, judged: int) -> tuple[str, ...]:
    """Warn where more than 5 % of the judged attempts have no usable result."""
    without = judged - results
    if without <= UNUSUAL * judged:
        return ()
    return (
        f"{without} of {judged} attempts ({without / judged:.0%}) have no usable result: the bounds"
        " hold whether all of these would have failed or passed",
    )
