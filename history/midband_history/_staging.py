"""How records reach DuckDB in bulk: chunks of numpy columns into one staging table."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from midband_history._limits import (
    sane_cost,
    sane_date,
    sane_duration,
    sane_run_cost,
    sane_tokens,
)
from midband_history._metric import Metric
from midband_history._names import clean_id
from midband_history._records import OUTCOME_KINDS, Record
from midband_history._sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CHUNK = 50_000
_TEXTS = (
    "benchmark",
    "task_id",
    "agent",
    "model",
    "scaffold",
    "agent_version",
    "run_id",
    "harness",
    "harness_version",
    "task_digest",
    "source_key",
    "part",
    "benchmark_version",
)
_KINDS = {kind: number for number, kind in enumerate(OUTCOME_KINDS)}
_NUMBERS = ("score", "cost_usd", "tokens", "duration_s", "run_cost_usd")
_SANE = {
    "cost_usd": sane_cost,
    "tokens": sane_tokens,
    "duration_s": sane_duration,
    "run_cost_usd": sane_run_cost,
}
_INSERT = (
    "INSERT INTO incoming BY NAME SELECT * EXCLUDE (passed, benchmark_version),"
    " benchmark_version AS version, CASE passed WHEN 1 THEN true WHEN 0 THEN false END AS passed"
    " FROM (SELECT * REPLACE ("
    + ", ".join(f"CASE WHEN NOT isnan({name}) THEN {name} END AS {name}" for name in _NUMBERS)
    + ") FROM midband_chunk)"
)


def stage_records(
    connection: "DuckDBPyConnection",
    records: Iterable[tuple[int, Record]],
    metrics: dict[Metric, int],
) -> None:
    """Fill the staging table ``incoming`` with records, each with the id of its source.

    A bounded number of them is in memory at a time. Metrics that are met get a number in `metrics`.
    """
    connection.execute(statement("stage"))
    rest = iter(records)
    while chunk := list(islice(rest, _CHUNK)):
        connection.register("midband_chunk", _columns(chunk, metrics))
        try:
            connection.execute(_INSERT)
        finally:
            connection.unregister("midband_chunk")


def stage_metrics(connection: "DuckDBPyConnection", metrics: Mapping[Metric, int]) -> None:
    """Say in ``incoming_metrics`` what the numbers of the staged rows mean."""
    for metric, number in metrics.items():
        connection.execute(
            "INSERT INTO incoming_metrics VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                number,
                metric.name,
                metric.key,
                metric.low,
                metric.high,
                metric.lower_is_better,
                metric.declared,
            ],
        )


def as_utc(moment: datetime | None) -> datetime | None:
    """Return a moment in UTC without its zone, as the store holds it; naive times are UTC."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


def settings_text(settings: Mapping[str, object]) -> str:
    """Return the settings as canonical JSON; empty text for none."""
    if not settings:
        return ""
    return json.dumps(settings, sort_keys=True, default=str, ensure_ascii=False)


def _columns(
    numbered: Sequence[tuple[int, Record]], metrics: dict[Metric, int]
) -> dict[str, np.ndarray]:
    chunk = [record for _, record in numbered]
    columns: dict[str, np.ndarray] = {
        "source_id": np.array([source_id for source_id, _ in numbered], dtype=np.int32)
    }
    columns |= {
        name: _texts([clean_id(str(getattr(record, name))) for record in chunk]) for name in _TEXTS
    }
    for name in _NUMBERS:
        sane = _SANE.get(name, float)
        values = [getattr(record, name) for record in chunk]
        known = [None if value is None else sane(value) for value in values]
        columns[name] = np.array([np.nan if v is None else v for v in known], dtype=float)
    columns["settings"] = _texts([clean_id(settings_text(record.settings)) for record in chunk])
    for name, moments in (
        ("started", [sane_date(record.started) for record in chunk]),
        ("scored", [record.scored_at for record in chunk]),
    ):
        columns[name] = np.array(
            [np.datetime64("NaT", "us") if each is None else as_utc(each) for each in moments],
            dtype="datetime64[us]",
        )
    columns["kind"] = np.array([_KINDS[record.kind] for record in chunk], dtype=np.int8)
    columns["metric"] = np.array(
        [metrics.setdefault(record.metric, len(metrics)) for record in chunk], dtype=np.int32
    )
    columns["whole"] = np.array([record.whole_benchmark for record in chunk], dtype=bool)
    columns["attempt"] = np.array([record.attempt for record in chunk], dtype=np.int32)
    columns["passed"] = np.array([_passed(record) for record in chunk], dtype=np.int8)
    return columns


def _texts(values: Sequence[str]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _passed(record: Record) -> int:
    """Return 1, 0, or -1 for unknown."""
    passed = record.counts_as_passed
    return -1 if passed is None else int(passed)
