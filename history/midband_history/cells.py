"""The table `cells`: the attempts of each run at each task, added up and kept right."""

from typing import TYPE_CHECKING

from midband_history.connection import fetch_value, run_all, statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


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
