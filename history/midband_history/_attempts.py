"""How attempts leave the store as the records they came in as, a few runs at a time."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from midband_history._metric import Metric
from midband_history._records import OUTCOME_KINDS, Record
from midband_history._sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH = 50_000
_CHUNK = 5_000
_COUNTS = (
    "SELECT run_id, count(*) FROM outcomes JOIN runs USING (run_id)"
    " WHERE CAST($benchmark_id AS INTEGER) IS NULL OR benchmark_id = $benchmark_id"
    " GROUP BY run_id ORDER BY run_id"
)


def read_records(
    connection: "DuckDBPyConnection", benchmark_id: int | None, *, batch: int = _BATCH
) -> Iterator[Record]:
    """Yield the attempts of one benchmark, or of all, those of a run together.

    Parameters
    ----------
    batch : int
        Attempts sorted at once; a longer run is sorted on its own.
    """
    cursor = connection.cursor()
    metrics = {
        row[0]: Metric(
            name=row[1],
            key=row[2],
            low=row[3],
            high=row[4],
            lower_is_better=row[5],
            declared=row[6],
        )
        for row in cursor.execute(
            "SELECT metric_id, name, key, low, high, lower_is_better, declared FROM metrics"
        ).fetchall()
    }
    try:
        for first, last in _batches(cursor, benchmark_id, batch):
            cursor.execute(
                statement("records"),
                {"first": first, "last": last, "benchmark_id": benchmark_id},
            )
            names = [column[0] for column in cursor.description or ()]
            while rows := cursor.fetchmany(_CHUNK):
                for row in rows:
                    yield _record(dict(zip(names, row, strict=True)), metrics)
    finally:
        cursor.close()


def _batches(
    cursor: "DuckDBPyConnection", benchmark_id: int | None, batch: int
) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    held = batch
    for run_id, attempts in cursor.execute(_COUNTS, {"benchmark_id": benchmark_id}).fetchall():
        if held + attempts > batch:
            spans.append((run_id, run_id))
            held = attempts
        else:
            spans[-1] = (spans[-1][0], run_id)
            held += attempts
    return spans


def _record(row: dict[str, Any], metrics: dict[int, Metric]) -> Record:
    for name in ("started", "scored_at"):
        row[name] = None if row[name] is None else row[name].replace(tzinfo=UTC)
    settings = row.pop("settings")
    metric = metrics[row.pop("metric_id")]
    if row["score"] is not None and not metric.known and not metric.holds(row["score"]):
        metric = replace(metric, name="unnamed")  # its scale has yet to be stated
    return Record(
        **{**row, "kind": OUTCOME_KINDS[row["kind"]]},
        metric=metric,
        settings=json.loads(settings) if settings else {},
    )
