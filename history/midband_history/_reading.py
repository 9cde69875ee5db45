"""How attempts become the matrix: agents x tasks, each cell the mean of the valid attempts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midband_history._labels import read_aliases, read_labels
from midband_history._matrix import FloatArray, IntArray, OutcomeMatrix
from midband_history._metric import Metric
from midband_history._sql import statement
from midband_history._versions import Content, Version, choose_version

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, kw_only=True)
class AgentRow:
    """One agent as the store knows it on one benchmark: a row of the matrix.

    Parameters
    ----------
    agent_ids : tuple of int
        In the store: several where an alias makes them one.
    label : str
        Unique within the benchmark.
    former : tuple of str
        What it was called before, or is called elsewhere: its plain name, its label in histories
        of midband 0.1, and its aliases.
    """

    agent_ids: tuple[int, ...]
    label: str
    former: tuple[str, ...]
    model: str
    scaffold: str
    first: datetime | None
    run_cost_usd: float


def read_agents(
    connection: "DuckDBPyConnection", benchmark: str, benchmark_id: int, as_of: datetime | None
) -> list[AgentRow]:
    """Return the agents that ran a benchmark by a date (UTC, naive), in order of their labels."""
    labels = read_labels(connection, [benchmark])
    aliases = read_aliases(connection, "agent")
    groups: dict[str, list[tuple[Any, ...]]] = {}
    for row in connection.execute(
        statement("agents"), {"benchmark_id": benchmark_id, "as_of": as_of}
    ).fetchall():
        groups.setdefault(labels[benchmark, row[0]], []).append(row)
    return [
        AgentRow(
            agent_ids=tuple(row[0] for row in rows),
            label=label,
            former=tuple(
                dict.fromkeys(
                    [
                        *(name for row in rows for name in (row[1], row[2])),
                        *(alias for alias, name in aliases.items() if name == label),
                    ]
                )
            ),
            model=_only(row[3] for row in rows),
            scaffold=_only(row[4] for row in rows),
            first=min((row[5] for row in rows if row[5] is not None), default=None),
            run_cost_usd=_mean([row[6] for row in rows]),
        )
        for label, rows in sorted(groups.items())
    ]


def _only(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def read_contents(
    connection: "DuckDBPyConnection", benchmark_id: int, as_of: datetime | None
) -> list[Content]:
    """Return every content of every task of a benchmark, once for each version it was run under."""
    bound = {"benchmark_id": benchmark_id, "as_of": as_of}
    return [
        Content(
            task_id=row[0],
            name=row[1],
            digest=row[2],
            version=row[3],
            whole=bool(row[4]),
            last=row[5],
            order=row[6],
        )
        for row in connection.execute(statement("tasks"), bound).fetchall()
    ]


def build_matrix(
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
) -> OutcomeMatrix:
    """Read the attempts of these agents by a date into a matrix.

    Agents without a valid attempt are left out; a task that was only tried in vain stays, as NaN.
    Rows are in order of labels, columns in order of task ids, whatever the order of import.
    """
    chosen = choose_version(
        read_contents(connection, benchmark_id, as_of), version, benchmark=benchmark
    )
    found = connection.execute(
        statement("attempts"),
        {
            "benchmark_id": benchmark_id,
            "as_of": as_of,
            "metric_id": metric_id,
            "unnamed_id": unnamed_id,
            "version": chosen.label,
            "agent_ids": [number for agent in agents for number in agent.agent_ids],
        },
    ).fetchnumpy()
    task_ids = np.asarray(found["task_id"])
    counted, notes = _of_version(chosen, task_ids, np.asarray(found["same_version"]) == 1)
    valid = counted & (np.asarray(found["valid"]) == 1)
    ran = set(np.unique(np.asarray(found["agent_id"])[valid]).tolist())
    agents = [agent for agent in agents if ran.intersection(agent.agent_ids)]
    used = sorted({chosen.column_of[task] for task in np.unique(task_ids[counted]).tolist()})
    column = {place: new for new, place in enumerate(used)}
    column_of = {task: column.get(place, 0) for task, place in chosen.column_of.items()}
    row_of = {number: row for row, agent in enumerate(agents) for number in agent.agent_ids}
    shape = (len(agents), len(used))

    def cells_of(mask: NDArray[np.bool_]) -> IntArray:
        rows = _renumber(np.asarray(found["agent_id"])[mask], row_of)
        return rows * len(used) + _renumber(task_ids[mask], column_of)

    cells = cells_of(valid)
    scores = np.clip(metric.units(np.asarray(found["score"])[valid]), 0.0, 1.0)
    each = _attempt_scores(cells, scores, shape)
    size = shape[0] * shape[1]
    attempts = np.bincount(cells, minlength=size).reshape(shape).astype(np.int64)
    in_row = np.isin(np.asarray(found["agent_id"]), list(row_of))
    missing = np.bincount(cells_of(counted & ~valid & in_row), minlength=size)
    return OutcomeMatrix(
        benchmark=benchmark,
        agents=tuple(agent.label for agent in agents),
        tasks=tuple(chosen.names[place] for place in used),
        scores=_mean_of_attempts(each, attempts),
        attempts=attempts,
        models=tuple(agent.model for agent in agents),
        scaffolds=tuple(agent.scaffold for agent in agents),
        dates=np.array(
            [np.datetime64("NaT", "s") if a.first is None else a.first for a in agents],
            dtype="datetime64[s]",
        ),
        cost_usd=_cell_means(cells, np.asarray(found["cost_usd"])[valid], shape),
        duration_s=_cell_means(cells, np.asarray(found["duration_s"])[valid], shape),
        run_cost_usd=np.array([agent.run_cost_usd for agent in agents], dtype=float),
        task_digests=tuple(chosen.digests[place] for place in used),
        attempt_scores=each,
        metric=metric,
        version=chosen.label,
        without_score=missing.reshape(shape).astype(np.int64),
        notes=notes,
    )


def _of_version(
    chosen: Version, task_ids: IntArray, same_version: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Tell which attempts are at tasks of the version, and what was left out."""
    there = np.isin(task_ids, list(chosen.column_of))
    unsure = np.isin(task_ids, list(chosen.by_label)) & ~same_version
    notes = []
    if gone := int(np.sum(~there)):
        notes.append(
            f"{gone:,} results at other contents of the tasks, or at other tasks, left out"
        )
    if unsure.any():
        notes.append(
            f"{int(unsure.sum()):,} results without a content digest left out, since several"
            " contents of their tasks are known: import them with --benchmark-version LABEL"
        )
    return there & ~unsure, tuple(notes)


def _renumber(ids: IntArray, place_of: dict[int, int]) -> IntArray:
    """Replace store ids by positions in the matrix."""
    table = np.zeros(max(place_of, default=0) + 1, dtype=np.int64)
    for identifier, place in place_of.items():
        table[identifier] = place
    return table[ids.astype(np.int64)]


def _attempt_scores(cells: IntArray, scores: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Lay each cell's attempts side by side in the order given, NaN-padded on the right."""
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if ordered.size else order
    sizes = np.diff(np.r_[starts, ordered.size])
    nth = np.arange(ordered.size) - np.repeat(starts, sizes)
    width = int(sizes.max()) if sizes.size else 0
    out = np.full((shape[0] * shape[1], width), np.nan)
    out[ordered, nth] = scores[order]
    return out.reshape(*shape, width)


def _mean_of_attempts(each: FloatArray, attempts: IntArray) -> FloatArray:
    total = np.nansum(each, axis=2) if each.size else np.zeros(attempts.shape)
    return np.asarray(
        np.divide(total, attempts, out=np.full(attempts.shape, np.nan), where=attempts > 0)
    )


def _cell_means(cells: IntArray, values: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Mean of the known values of each cell; NaN where none is known."""
    known = ~np.isnan(values)
    size = shape[0] * shape[1]
    total = np.bincount(cells[known], weights=values[known], minlength=size)
    count = np.bincount(cells[known], minlength=size)
    means = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    return np.asarray(means.reshape(shape))
