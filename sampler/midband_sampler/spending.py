"""What a run has spent: costs of its attempts, and attempts without a usable result."""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler.errors import PlanError

COST_UNITS = ("usd", "seconds")
_LEAST = 0.01


def expected_usd(matrix: OutcomeMatrix) -> FloatArray:
    """Mean recorded cost of a task; where only run costs are known, these spread evenly.

    Returns
    -------
    ndarray of float64, shape (n_tasks,)
        US dollars for one attempt; NaN if unknown.
    """
    each = _mean_over_agents(matrix.cost_usd)
    if not np.isnan(each).all() or np.isnan(matrix.run_cost_usd).all():
        return each
    tasks_run = np.maximum((matrix.attempts > 0).sum(axis=1), 1)
    spread = float(np.nanmean(matrix.run_cost_usd / tasks_run))
    return np.full(each.shape, round(spread, 9))


def expected_seconds(matrix: OutcomeMatrix) -> FloatArray:
    """Mean recorded duration of one attempt at a task, shape (n_tasks,); NaN if unknown."""
    return _mean_over_agents(matrix.duration_s)


def choice_costs(matrix: OutcomeMatrix, *, unit: str) -> FloatArray:
    """Costs to weigh information against: complete and positive.

    A task of unknown cost gets the median of the known ones, and none counts less than a hundredth
    of the median, so that a task recorded as free is cheap and not infinitely attractive.

    Parameters
    ----------
    matrix : OutcomeMatrix
    unit : str
        ``"usd"`` or ``"seconds"``.

    Raises
    ------
    PlanError
        The history holds no cost above 0 in that unit.
    """
    check_cost_unit(unit)
    costs = expected_usd(matrix) if unit == "usd" else expected_seconds(matrix)
    known = costs[costs > 0.0]
    if not known.size:
        other = {"usd": "--cost-unit seconds", "seconds": "--cost-unit usd"}[unit]
        msg = (
            f"expected costs of tasks in {unit} in the history of {matrix.benchmark!r}, got none:"
            f" use --strategy information, or {other}"
        )
        raise PlanError(msg)
    middle = float(np.median(known))
    return np.asarray(np.maximum(np.where(np.isnan(costs), middle, costs), _LEAST * middle))


def check_cost_unit(unit: str) -> None:
    """Raise an error that lists the units there are unless `unit` is one of them."""
    if unit not in COST_UNITS:
        msg = f"expected a cost unit among {', '.join(COST_UNITS)}, got {unit!r}"
        raise InputError(msg)


def _mean_over_agents(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    each = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return np.asarray(np.round(each, 9))


@dataclass(frozen=True)
class Cost:
    """Cost of one attempt; NaN where not known.

    Parameters
    ----------
    usd, seconds, tokens : float
        US dollars, seconds and tokens, at least 0.
    """

    usd: float = math.nan
    seconds: float = math.nan
    tokens: float = math.nan

    @classmethod
    def told(cls, usd: float | None, seconds: float | None, tokens: float | None = None) -> "Cost":
        """Check what a caller told; None is not known."""
        told = {"usd": usd, "seconds": seconds, "tokens": tokens}
        values = {name: float(each) for name, each in told.items() if each is not None}
        if not values:
            return _UNKNOWN
        for name, value in values.items():
            if value < 0.0 or math.isinf(value):
                msg = f"expected {name} >= 0, or None where it is not known, got {value:g}"
                raise InputError(msg)
        return cls(**values)


_UNKNOWN = Cost()


class Spending:
    """Sums the cost of the judged tasks; the history's mean stands in for what was not told.

    Parameters
    ----------
    mean_tokens : float
        Mean number of tokens of an attempt in the history; NaN where not known.
    """

    def __init__(self, mean_tokens: float = math.nan) -> None:
        self._mean_tokens = mean_tokens
        self.usd = self.seconds = self.tokens = 0.0
        self._guessed = {"usd": 0, "tokens": 0}
        self._missing = {"seconds": 0, "tokens": 0}

    def add(self, attempts: Sequence[Cost], *, expected_usd: float) -> None:
        """Take in the attempts at one task.

        Parameters
        ----------
        attempts : sequence of Cost
        expected_usd : float
            What one attempt cost in the history; NaN where not known.
        """
        self.usd += self._total("usd", [each.usd for each in attempts], expected_usd)
        self.tokens += self._total("tokens", [each.tokens for each in attempts], self._mean_tokens)
        for each in attempts:
            self._missing["seconds"] += math.isnan(each.seconds)
            self._missing["tokens"] += math.isnan(each.tokens)
        self.seconds += math.fsum(sorted(each.seconds for each in attempts))

    def _total(self, unit: str, amounts: Sequence[float], expected: float) -> float:
        """Sum the amounts; the expected one stands in for each that is not known."""
        told = [amount for amount in amounts if not math.isnan(amount)]
        guessed = len(amounts) - len(told)
        self._guessed[unit] += guessed
        return math.fsum(sorted(told)) + (guessed * expected if guessed else 0.0)

    def warnings(self, units: Collection[str]) -> tuple[str, ...]:
        """Say what a budget in these units rests on; nothing where every cost was told."""
        found = []
        if "usd" in units and math.isnan(self.usd):
            found.append(
                "the budget in dollars cannot be counted: neither the results nor the history say"
                " what some attempts cost; nothing stops on it"
            )
        elif "usd" in units and (guessed := self._guessed["usd"]):
            found.append(
                f"the cost of {guessed} attempts was not told: counted at their mean in"
                f" the history, {self.usd:.2f} USD in all"
            )
        if "tokens" in units and (guessed := self._guessed["tokens"]) and self.tokens >= 0.0:
            found.append(
                f"the number of tokens of {guessed} attempts was not told: counted at the mean of"
                f" the history, {self.tokens:,.0f} tokens in all"
            )
        for unit, what in (("seconds", "the duration"), ("tokens", "the number of tokens")):
            if unit in units and math.isnan(getattr(self, unit)):
                missing = self._missing[unit]
                found.append(
                    f"the budget in {unit} cannot be counted: {what} of {missing} attempts was not"
                    " told; nothing stops on it"
                )
        return tuple(found)


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

    def __str__(self) -> str:
        """Return the text that `parse_max_errors` reads as this."""
        return str(self.count) if self.share is None else str(float(self.share))

    def reason(self, *, results: int, judged: int) -> str:
        """Return why a session ends after so many judged attempts; empty where it continues.

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
    """Return why a session without a limit of its own ends; empty where it continues."""
    if results or judged < FIRST:
        return ""
    return (
        f"{TOO_MANY_ERRORS}: none of the first {judged} attempts has a usable result"
        " (--max-errors 100% never ends a run)"
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
