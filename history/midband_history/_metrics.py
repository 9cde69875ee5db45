"""Which metric of a benchmark is read, and how a person states what a metric is."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from midband_history._errors import InputError
from midband_history._metric import Metric
from midband_history._sql import run_all, statement
from midband_history._summaries import MetricSummary

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def read_metrics(
    connection: "DuckDBPyConnection", benchmark_id: int
) -> list[tuple[int, int, MetricSummary]]:
    """Return the id, the number of attempts and the summary of every metric of a benchmark."""
    rows = connection.execute(statement("metrics"), {"benchmark_id": benchmark_id}).fetchall()
    return [
        (
            row[0],
            row[9],
            MetricSummary(
                metric=Metric(
                    name=row[1],
                    key=row[2],
                    low=row[3],
                    high=row[4],
                    lower_is_better=row[5],
                    declared=row[6],
                ),
                agents=row[7],
                attempts=row[8],
                seen_low=row[10],
                seen_high=row[11],
            ),
        )
        for row in rows
    ]


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
    if not chosen and not scored:
        msg = f"expected results of {benchmark}, got none: import some first"
        raise InputError(msg)
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
        "UPDATE metrics SET seen_low = found.low, seen_high = found.high FROM ("
        "SELECT min(score) AS low, max(score) AS high FROM outcomes WHERE metric_id = $number"
        ") AS found WHERE metric_id = $number RETURNING seen_low, seen_high",
        {"number": number},
    ).fetchall()[0]
    known = [math.nan if value is None else value for value in (low, high)]
    return replace(one, seen_low=known[0], seen_high=known[1])


def _name(connection: "DuckDBPyConnection", benchmark_id: int, number: int, label: str) -> None:
    """Name the unnamed metric; where another has the name, its results join that one's."""
    held = connection.execute(
        "SELECT metric_id FROM metrics WHERE benchmark_id = ? AND metric_id <> ?"
        " AND CASE WHEN key = '' THEN name ELSE name || '.' || key END = ?",
        [benchmark_id, number, label],
    ).fetchone()
    if held is None:
        connection.execute("UPDATE metrics SET name = ? WHERE metric_id = ?", [label, number])
        return
    both = {one: each.metric for one, _, each in read_metrics(connection, benchmark_id)}
    mine, theirs = both[number], both[held[0]]
    if not joinable(mine, theirs):
        msg = (
            f"expected the unnamed metric to be {label}, got {mine.scale_text()} and"
            f" {theirs.scale_text()}: give both one scale and direction first"
        )
        raise InputError(msg)
    for step in ("join_metrics_drop", "join_metrics_see", "join_metrics_move"):
        run_all(connection, step, {"old": number, "new": held[0]})
    connection.execute("DELETE FROM metrics WHERE metric_id = ?", [number])


def joinable(one: Metric, two: Metric) -> bool:
    """Whether results by both can be results by one: nothing that is stated contradicts."""
    if one.lower_is_better != two.lower_is_better:
        return False
    return not (one.declared and two.declared) or (one.low, one.high) == (two.low, two.high)
