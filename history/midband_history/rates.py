"""Sums over a matrix that are worked out where its cells lie."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midband_history.connection import dicts_of, fetch, fetch_value, statement
from midband_history.labels import AgentRow, Version, read_version
from midband_history.metrics import Metric

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Cells of several runs that are joined at once: more of them leave the caches, and the memory.
_CELLS = 500_000
# What the whole numbers count in which sums are given.
_SCORE, _AMOUNT = 2**100, 2**70
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Runs:
    """The runs whose cells make up a matrix, in order of their ids.

    Parameters
    ----------
    ids : ndarray of int64, shape (n_runs,)
    lines : ndarray of int64, shape (n_runs,)
        Place of the agent of each run among the chosen agents.
    same_version : ndarray of bool, shape (n_runs,)
        Whether the run says that it ran the chosen version.
    nth : ndarray of int64, shape (n_runs,)
        Place of the run among those of its agent, in the order in which attempts count.
    alike : ndarray of bool, shape (n_runs,)
        Whether another run of its agent has the same name and date.
    """

    ids: IntArray
    lines: IntArray
    same_version: NDArray[np.bool_]
    nth: IntArray
    alike: NDArray[np.bool_]

    def of(self, lines: range) -> "Runs":
        """Return the runs of some agents."""
        kept = (self.lines >= lines.start) & (self.lines < lines.stop)
        names = ("ids", "lines", "same_version", "nth", "alike")
        return Runs(**{name: getattr(self, name)[kept] for name in names})

    def single(self, chosen: Version) -> bool:
        """Whether every cell of the matrix is that of one run at one content of a task."""
        columns = chosen.column_of
        return not np.any(self.nth > 0) and len(columns) == len(set(columns.values()))


def read_runs(
    connection: "DuckDBPyConnection",
    *,
    benchmark_id: int,
    agents: list[AgentRow],
    as_of: datetime | None,
    version: str,
) -> Runs:
    """Read the runs of agents on a benchmark by a date (UTC, naive)."""
    pairs = [(n, line) for line, agent in enumerate(agents) for n in agent.agent_ids]
    found = connection.execute(
        statement("runs_of_lines"),
        {
            "agent_ids": [number for number, _ in pairs],
            "lines": [line for _, line in pairs],
            "benchmark_id": benchmark_id,
            "as_of": as_of,
            "version": version,
        },
    ).fetchnumpy()
    numbers = {name: np.asarray(each, dtype=np.int64) for name, each in found.items()}
    return Runs(
        ids=numbers["run_id"],
        lines=numbers["line"],
        same_version=numbers["same_version"] == 1,
        nth=numbers["nth"],
        alike=numbers["alike"] > 1,
    )


def notes_of(gone: int, unsure: int) -> tuple[str, ...]:
    """Say how many results a matrix leaves out, and why.

    Parameters
    ----------
    gone, unsure : int
        Results at other contents of the tasks, and at contents that are not known.
    """
    notes = []
    if gone:
        notes.append(
            f"{gone:,} results at other contents of the tasks, or at other tasks, left out"
        )
    if unsure:
        notes.append(
            f"{unsure:,} results without a content digest left out, since several"
            " contents of their tasks are known: import them with --benchmark-version LABEL"
        )
    return tuple(notes)


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
    """Summarise the matrix that `build_matrix` would return, without fetching a cell.

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
    chosen = read_version(connection, benchmark_id, as_of, version, benchmark=benchmark)
    worst, best = metric.low, metric.high
    if metric.lower_is_better:
        worst, best = best, worst
    runs = read_runs(
        connection, benchmark_id=benchmark_id, agents=agents, as_of=as_of, version=chosen.label
    )
    single = unnamed_id is None and runs.single(chosen)
    steps = ("chosen_cells", "single_cells" if single else "joined_cells", "scored_cells", what)
    query = " ".join(statement(name) for name in steps)
    step = len(agents) if single else max(1, _CELLS // max(1, len(chosen.column_of)))
    rows: list[dict[str, Any]] = []
    for first in range(0, len(agents), step):
        block = runs.of(range(first, first + step))
        if not block.ids.size:
            continue
        cursor = connection.execute(
            query,
            {
                "task_ids": list(chosen.column_of),
                "columns": list(chosen.column_of.values()),
                "by_label": [task in chosen.by_label for task in chosen.column_of],
                "run_ids": block.ids.tolist(),
                "lines": block.lines.tolist(),
                "same_version": block.same_version.tolist(),
                "first": int(block.ids.min()),
                "last": int(block.ids.max()),
                "worst": float(worst),
                "best": float(best),
                "metric_id": metric_id,
                "unnamed_id": unnamed_id,
            },
        )
        rows += dicts_of(cursor, cursor.fetchall())
    return chosen, rows


def left_out_results(
    connection: "DuckDBPyConnection",
    *,
    benchmark: str,
    benchmark_id: int,
    agents: list[AgentRow],
    as_of: datetime | None,
    metric_id: int,
    unnamed_id: int | None,
    metric: Metric,
    version: str | None,
) -> tuple[str, ...]:
    """Return the notes of the matrix that `build_matrix` would return, without building it."""
    chosen = read_version(connection, benchmark_id, as_of, version, benchmark=benchmark)
    tasks = fetch_value(
        connection, "SELECT count(*) FROM tasks WHERE benchmark_id = ?", benchmark_id
    )
    if len(chosen.column_of) == tasks and not chosen.by_label:
        return ()
    runs = read_runs(
        connection, benchmark_id=benchmark_id, agents=agents, as_of=as_of, version=chosen.label
    )
    (found,) = fetch(
        connection,
        "left_out_cells",
        task_ids=list(chosen.column_of),
        by_label=[task in chosen.by_label for task in chosen.column_of],
        run_ids=runs.ids.tolist(),
        same_version=runs.same_version.tolist(),
        metric_id=metric_id,
        unnamed_id=unnamed_id,
    )
    return notes_of(*found)


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
        total = {name: sum(part[name] for part in parts) for name in parts[0]}
        found.append(
            {
                "place": place,
                **{name: total[name] for name in ("agents", "attempts", "without_score")},
                "pass_rate": _ratio(total["scores"], total["agents"] * _SCORE),
                "cost_usd": _ratio(total["costs"], total["with_cost"] * _AMOUNT),
                "duration_s": _ratio(total["durations"], total["with_duration"] * _AMOUNT),
            }
        )
    return found


def means_of_agents(rows: list[dict[str, Any]]) -> dict[int, tuple[int, float]]:
    """Return the number of tasks with a score, and their mean, by the line of each agent."""
    return {
        row["line"]: (row["tasks"], _ratio(row["scores"], row["tasks"] * _SCORE)) for row in rows
    }


def _ratio(total: int, count: int) -> float:
    return total / count if count else math.nan
