"""The table `cells`: the attempts of each run at each task, added up and kept right."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from midband_history.connection import fetch_value, run_all, statement
from midband_history.labels import AgentRow, Version

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

IntArray = NDArray[np.int64]


def refresh_cells(connection: "DuckDBPyConnection", runs: str) -> None:
    """Count the attempts of some runs anew, in the caller's transaction.

    Whatever writes or removes attempts calls it when it has done so.

    Parameters
    ----------
    runs : str
        A query of the ids of every run of which an attempt came, went or changed.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE touched_runs AS {runs}")
    if fetch_value(connection, "SELECT count(*) FROM touched_runs"):
        run_all(connection, "drop_cells")
        connection.execute(f"INSERT INTO cells {statement('counted_cells')}")
    connection.execute("DROP TABLE touched_runs")


def refresh_all_cells(connection: "DuckDBPyConnection") -> None:
    """Count every attempt anew, in the caller's transaction."""
    refresh_cells(connection, "SELECT run_id FROM outcomes UNION SELECT run_id FROM cells")


def count_wrong_cells(connection: "DuckDBPyConnection") -> int:
    """Return how many rows of the table are not what the attempts give."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE touched_runs AS SELECT DISTINCT run_id FROM outcomes"
    )
    counted = f"WITH counted AS ({statement('counted_cells')})"
    found = fetch_value(connection, f"{counted} {statement('wrong_cells')}")
    connection.execute("DROP TABLE touched_runs")
    return int(found)


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
