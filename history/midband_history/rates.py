"""Sums over a matrix that are worked out where the attempts lie."""

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from midband_history.connection import dicts_of, statement
from midband_history.labels import AgentRow, Version, choose_version, read_contents
from midband_history.metrics import Metric

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Cells that are added up at once: the sums of more of them leave the caches, and the memory.
_CELLS = 500_000


def add_up_cells(
    connection: "DuckDBPyConnection",
    what: str,
    *,
    benchmark: str,
    benchmark_id: int,
    agents: list[AgentRow],
    as_of: datetime | None,
    metric_id: int,
    unnamed_id: int | None,
    metric: Metric,
    version: str | None,
) -> tuple[Version, list[dict[str, Any]]]:
    """Summarise the matrix that `build_matrix` would return, without fetching an attempt.

    Parameters
    ----------
    what : {"rates_of_tasks", "means_of_agents"}
        The summary; the others as in `build_matrix`.

    Returns
    -------
    tuple of Version and list of dict
        The tasks to which `place` refers, and the rows, those of some agents after those of others;
        `line` is a place in `agents`.
    """
    chosen = choose_version(
        read_contents(connection, benchmark_id, as_of), version, benchmark=benchmark
    )
    worst, best = metric.low, metric.high
    if metric.lower_is_better:
        worst, best = best, worst
    tasks = list(chosen.column_of)
    rows: list[dict[str, Any]] = []
    step = max(1, _CELLS // max(1, len(tasks)))
    for first in range(0, len(agents), step):
        block = agents[first : first + step]
        lines = [(n, first + line) for line, agent in enumerate(block) for n in agent.agent_ids]
        numbers = [number for number, _ in lines]
        cursor = connection.execute(
            f"{statement('cells')} {statement(what)}",
            {
                "task_ids": tasks,
                "columns": list(chosen.column_of.values()),
                "by_label": [task in chosen.by_label for task in tasks],
                "agent_ids": numbers,
                "lines": [line for _, line in lines],
                "first_agent": min(numbers),
                "last_agent": max(numbers),
                "worst": float(worst),
                "best": float(best),
                "benchmark_id": benchmark_id,
                "metric_id": metric_id,
                "unnamed_id": unnamed_id,
                "as_of": as_of,
                "version": chosen.label,
            },
        )
        rows += dicts_of(cursor, cursor.fetchall())
    return chosen, rows


def rates_of_tasks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the sums over some agents of each task into means over all; see `add_up_cells`.

    Returns
    -------
    list of dict
        One a task that was tried, in order of `place`, with the fields of a `PassRate`.
    """
    by_place: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_place.setdefault(row["place"], []).append(row)
    found = []
    for place, parts in sorted(by_place.items()):
        total = {name: math.fsum(part[name] for part in parts) for name in parts[0]}
        found.append(
            {
                "place": place,
                **{name: int(total[name]) for name in ("agents", "attempts", "without_score")},
                "pass_rate": _ratio(total["scores"], total["agents"]),
                "cost_usd": _ratio(total["costs"], total["with_cost"]),
                "duration_s": _ratio(total["durations"], total["with_duration"]),
            }
        )
    return found


def _ratio(total: float, count: float) -> float:
    return total / count if count else math.nan
