"""Metrics: what a score is a score of, which one is read, and how a person states what it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from midband_history.cells import refresh_cells
from midband_history.connection import fetch_dicts, fetch_value, run_all
from midband_history.errors import InputError
from midband_history.names import clean_id

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Declared = Literal["", "source", "user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """The quantity that a score measures, with its scale and direction.

    Parameters
    ----------
    name : str
        The scorer, reward or column, as the source calls it; empty where it is unknown.
    key : str
        The entry of a score that is a mapping, or the filter before the metric; mostly empty.
    low, high : float
        The scale: the least and the greatest value that the metric can give.
    lower_is_better : bool
        Whether `low` is the best value.
    declared : {"", "source", "user"}
        Who stated the scale. If nobody did, the scale is taken to be 0 to 1 until a value
        contradicts it.

    Examples
    --------
    >>> judge = Metric(name="judge", low=1, high=10, declared="user")
    >>> [judge.unit(value) for value in (1, 5.5, 10)]
    [0.0, 0.5, 1.0]
    >>> Metric(name="score", key="correct").label
    'score.correct'
    """

    name: str = ""
    key: str = ""
    low: float = 0.0
    high: float = 1.0
    lower_is_better: bool = False
    declared: Declared = ""

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not finite or self.low >= self.high:
            msg = (
                f"expected a scale LOW < HIGH of two numbers, got {self.low:g} {self.high:g}:"
                " give the least and the greatest value of the metric"
            )
            raise InputError(msg)
        for part in ("name", "key"):
            object.__setattr__(self, part, clean_id(getattr(self, part)))

    @property
    def label(self) -> str:
        """The name by which ``--metric`` chooses it: ``NAME`` or ``NAME.KEY``."""
        return f"{self.name}.{self.key}" if self.key else self.name

    @property
    def known(self) -> bool:
        """Whether a source or a person has named it."""
        return bool(self.name)

    def holds(self, value: float) -> bool:
        """Whether a value lies on the scale, a rounding error aside."""
        slack = 1e-9 * (self.high - self.low)
        return self.low - slack <= value <= self.high + slack

    def unit(self, value: float) -> float:
        """Return a value as a score in [0, 1], 1 = best.

        Raises
        ------
        InputError
            The value does not lie on the scale.
        """
        if not self.holds(value):
            msg = (
                f"expected values of {self.label or 'the metric'} from {self.low:g} to"
                f" {self.high:g}, got {value:g}: state its scale with --scale LOW HIGH"
            )
            raise InputError(msg)
        return float(np.clip(self.units(np.asarray(value, dtype=float)), 0.0, 1.0))

    def units(self, values: np.ndarray) -> np.ndarray:
        """Return values as scores, 1 = best, without a check; NaN stays NaN."""
        if self.low == 0.0 and self.high == 1.0:
            scaled = values
        else:
            scaled = (values - self.low) / (self.high - self.low)
        return 1.0 - scaled if self.lower_is_better else scaled

    def same_as(self, other: "Metric") -> bool:
        """Whether both have the same name and key."""
        return (self.name, self.key) == (other.name, other.key)

    def scale_text(self) -> str:
        """Say the scale and the direction in words."""
        way = ", lower is better" if self.lower_is_better else ""
        assumed = "" if self.declared else " (assumed)"
        return f"{self.low:g} to {self.high:g}{assumed}{way}"


UNKNOWN_METRIC: Metric = Metric()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """Summary of the results by one metric of a benchmark.

    Parameters
    ----------
    metric : Metric
    agents, attempts : int
        Agents with a score by it, and their scores.
    seen_low, seen_high : float
        The least and the greatest value seen; NaN before the first.
    """

    metric: Metric
    agents: int
    attempts: int
    seen_low: float
    seen_high: float

    @property
    def settled(self) -> bool:
        """Whether every value seen lies on the metric's scale."""
        values = (self.seen_low, self.seen_high)
        return all(math.isnan(value) or self.metric.holds(value) for value in values)


def read_metrics(
    connection: "DuckDBPyConnection", benchmark_id: int
) -> list[tuple[int, int, MetricSummary]]:
    """Return the id, the number of attempts and the summary of every metric of a benchmark."""
    told = ("agents", "attempts", "seen_low", "seen_high")
    return [
        (
            row["metric_id"],
            row["held"],
            MetricSummary(metric=as_metric(row), **{name: row[name] for name in told}),
        )
        for row in fetch_dicts(connection, "metrics", benchmark_id=benchmark_id)
    ]


def as_metric(row: Mapping[str, Any]) -> Metric:
    """Return the metric that a row of the store describes."""
    return Metric(**{name: row[name] for name in Metric.__slots__})


def choose_metric(
    connection: "DuckDBPyConnection", benchmark: str, benchmark_id: int, wanted: str | None
) -> tuple[int, int | None, Metric]:
    """Return the id of the metric to read, that of the unnamed one, and the metric.

    Parameters
    ----------
    wanted : str or None
        ``NAME`` or ``NAME.KEY``. Where the history holds nothing but a metric without a name, the
        person's word names it.

    Raises
    ------
    InputError
        The benchmark has no such metric, or several and none is wanted, or values of the metric
        contradict the scale that was assumed for it.
    """
    found = read_metrics(connection, benchmark_id)
    unnamed = next((number for number, _, one in found if not one.metric.known), None)
    held = [(number, one) for number, attempts, one in found if attempts]
    if not held:
        msg = f"expected results of {benchmark}, got none: import some"
        raise InputError(msg)
    scored = [each for each in held if each[1].attempts] or held[:1]
    chosen = scored if wanted is None else [each for each in held if each[1].metric.label == wanted]
    if wanted and not chosen and [one.metric.known for _, one in scored] == [False]:
        number, one = scored[0]
        chosen = [(number, replace(one, metric=replace(one.metric, name=wanted)))]
    names = ", ".join(
        f"{one.metric.label or 'an unnamed one'} ({one.agents} agents)" for _, one in scored
    )
    if not chosen:
        msg = f"expected a metric of {benchmark}, got {wanted!r}: it holds {names}"
        raise InputError(msg)
    if len(chosen) > 1:
        msg = f"expected one metric of {benchmark}, got {names}: choose with --metric NAME"
        if not all(one.metric.known for _, one in chosen):
            msg += (
                f", or name the unnamed one with `midband history metric {benchmark} --name NAME`"
            )
        raise InputError(msg)
    number, one = chosen[0]
    if not one.settled:
        label = f" {one.metric.label}" if one.metric.known else ""
        msg = (
            f"expected values of metric{label} of {benchmark} from {one.metric.low:g} to"
            f" {one.metric.high:g}, got {one.seen_low:g} to {one.seen_high:g}: state its scale"
            f" with `midband history metric {benchmark}{label} --scale LOW HIGH`, and"
            " --lower-is-better if it is"
        )
        raise InputError(msg)
    return number, None if unnamed == number else unnamed, one.metric


def declare_metric(
    connection: "DuckDBPyConnection",
    benchmark: str,
    benchmark_id: int,
    metric: str,
    *,
    name: str | None,
    scale: tuple[float, float] | None,
    lower_is_better: bool | None,
) -> Metric:
    """State what a metric is, within the caller's transaction; see `History.declare_metric`."""
    found = read_metrics(connection, benchmark_id)
    chosen = [(number, one) for number, _, one in found if one.metric.label == metric]
    if not chosen and len(found) == 1 and not metric:
        chosen = [(found[0][0], found[0][2])]
    if not chosen:
        held = ", ".join(one.metric.label or "an unnamed one" for _, _, one in found)
        msg = f"expected a metric of {benchmark}, got {metric!r}: it holds {held}"
        raise InputError(msg)
    number, one = chosen[0]
    if name is not None and one.metric.known:
        msg = (
            f"expected an unnamed metric of {benchmark} to name, got {one.metric.label}: sources"
            " give it this name"
        )
        raise InputError(msg)
    low, high = scale or (one.metric.low, one.metric.high)
    lower = one.metric.lower_is_better if lower_is_better is None else lower_is_better
    declared = one.metric.declared if scale is None else "user"
    stated = replace(one.metric, low=low, high=high, lower_is_better=lower, declared=declared)
    one = replace(one, metric=stated)
    if scale is not None and not one.settled:
        one = _see_held(connection, number, one)
    if scale is not None and not one.settled:
        msg = (
            f"expected a scale that holds every value of {metric or 'the metric'} of"
            f" {benchmark}, got {low:g} to {high:g} and values from {one.seen_low:g} to"
            f" {one.seen_high:g}: state a wider one"
        )
        raise InputError(msg)
    connection.execute(
        "UPDATE metrics SET low = ?, high = ?, lower_is_better = ?, declared = ?"
        " WHERE metric_id = ?",
        [low, high, lower, declared, number],
    )
    if name is None:
        return stated
    _name(connection, benchmark_id, number, name)
    return replace(stated, name=name)


def _see_held(connection: "DuckDBPyConnection", number: int, one: MetricSummary) -> MetricSummary:
    """Let go of the values of refused sources: the person's word stands against them."""
    low, high = connection.execute(
        "SELECT min(score), max(score) FROM outcomes WHERE metric_id = ?", [number]
    ).fetchall()[0]
    connection.execute(
        "UPDATE metrics SET seen_low = ?, seen_high = ? WHERE metric_id = ?", [low, high, number]
    )
    known = [math.nan if value is None else value for value in (low, high)]
    return replace(one, seen_low=known[0], seen_high=known[1])


def _name(connection: "DuckDBPyConnection", benchmark_id: int, number: int, label: str) -> None:
    """Name the unnamed metric; where another has the name, its results join that one's."""
    held = fetch_value(
        connection,
        "SELECT metric_id FROM metrics WHERE benchmark_id = ? AND metric_id <> ?"
        " AND CASE WHEN key = '' THEN name ELSE name || '.' || key END = ?",
        benchmark_id,
        number,
        label,
    )
    if held is None:
        connection.execute("UPDATE metrics SET name = ? WHERE metric_id = ?", [label, number])
        return
    both = {one: each.metric for one, _, each in read_metrics(connection, benchmark_id)}
    mine, theirs = both[number], both[held]
    if not joinable(mine, theirs):
        msg = (
            f"expected the unnamed metric to be {label}, got {mine.scale_text()} and"
            f" {theirs.scale_text()}: give both one scale and direction first"
        )
        raise InputError(msg)
    run_all(connection, "join_metrics", bound={"old": number, "new": held})
    refresh_cells(
        connection,
        f"SELECT run_id FROM outcomes WHERE metric_id = {int(held)}"
        f" UNION SELECT run_id FROM cells WHERE metric_id = {number}",
    )


def joinable(one: Metric, two: Metric) -> bool:
    """Whether results by both can be results by one: nothing that is stated contradicts."""
    if one.lower_is_better != two.lower_is_better:
        return False
    return not (one.declared and two.declared) or (one.low, one.high) == (two.low, two.high)
