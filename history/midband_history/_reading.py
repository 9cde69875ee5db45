"""How attempts become the matrix: agents x tasks, each cell the mean of the valid attempts."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from midband_history._matrix import FloatArray, IntArray, OutcomeMatrix
from midband_history._sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, kw_only=True)
class AgentRow:
    """One agent as the store knows it on one benchmark."""

    agent_id: int
    label: str
    name: str
    model: str
    scaffold: str
    first: datetime | None
    run_cost_usd: float


def read_agents(
    connection: "DuckDBPyConnection", benchmark_id: int, as_of: datetime | None
) -> list[AgentRow]:
    """Return the agents that ran a benchmark by a date (UTC, naive), in order of their labels."""
    rows = connection.execute(
        statement("agents"), {"benchmark_id": benchmark_id, "as_of": as_of}
    ).fetchall()
    return [
        AgentRow(
            agent_id=row[0],
            label=row[1],
            name=row[2],
            model=row[3],
            scaffold=row[4],
            first=row[5],
            run_cost_usd=row[6],
        )
        for row in rows
    ]


def build_matrix(
    connection: "DuckDBPyConnection",
    *,
    benchmark: str,
    benchmark_id: int,
    agents: list[AgentRow],
    as_of: datetime | None,
) -> OutcomeMatrix:
    """Read the attempts of these agents by a date into a matrix.

    Agents without a valid attempt are left out; a task that was only tried in vain stays, as NaN.
    Rows are in order of labels, columns in order of task ids, whatever the order of import.
    """
    bound = {"benchmark_id": benchmark_id, "as_of": as_of}
    found = connection.execute(
        statement("attempts"), {**bound, "agent_ids": [agent.agent_id for agent in agents]}
    ).fetchnumpy()
    valid = np.asarray(found["valid"]) == 1
    counted = set(np.unique(np.asarray(found["agent_id"])[valid]).tolist())
    agents = [agent for agent in agents if agent.agent_id in counted]
    tasks, digests, column_of = _task_columns(
        connection.execute(statement("tasks"), bound).fetchall(),
        set(np.unique(np.asarray(found["task_id"])).tolist()),
    )
    row_of = {agent.agent_id: row for row, agent in enumerate(agents)}
    shape = (len(agents), len(tasks))
    cells = (
        _renumber(np.asarray(found["agent_id"])[valid], row_of) * len(tasks)
        + _renumber(np.asarray(found["task_id"])[valid], column_of)
    )  # fmt: skip
    each = _attempt_scores(cells, np.asarray(found["score"])[valid], shape)
    attempts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int64)
    return OutcomeMatrix(
        benchmark=benchmark,
        agents=tuple(agent.label for agent in agents),
        tasks=tuple(tasks),
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
        task_digests=tuple(digests),
        attempt_scores=each,
    )


def _task_columns(
    rows: list[tuple[int, str, str]], used: set[int]
) -> tuple[list[str], list[str], dict[int, int]]:
    """Give every task name one column and its newest known digest."""
    names: dict[str, int] = {}
    digests: list[str] = []
    column_of = {}
    for task_id, name, digest in rows:
        if task_id not in used:
            continue
        column = names.setdefault(name, len(names))
        if column == len(digests):
            digests.append(digest)
        elif digest:
            digests[column] = digest
        column_of[task_id] = column
    return list(names), digests, column_of


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
