"""How records become columns: of the staging tables, or of a batch of the inbox."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from midband_history.connection import statement
from midband_history.metrics import Metric
from midband_history.names import clean_id
from midband_history.records import (
    OUTCOME_KINDS,
    Record,
    sane_amount,
    sane_date,
    settings_text,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CHUNK = 50_000
_KINDS = {kind: number for number, kind in enumerate(OUTCOME_KINDS)}
_AMOUNTS = ("cost_usd", "tokens", "duration_s")


def _known(name: str) -> str:
    return f"CASE WHEN NOT isnan({name}) THEN {name} END AS {name}"


_INSERT = (
    "INSERT INTO incoming BY NAME SELECT * REPLACE ("
    + ", ".join(_known(name) for name in ("score", *_AMOUNTS))
    + ", CASE passed WHEN 1 THEN true WHEN 0 THEN false END AS passed) FROM midband_chunk"
)
_INSERT_RUNS = (
    f"INSERT INTO incoming_runs BY NAME SELECT * REPLACE ({_known('run_cost_usd')})"
    " FROM midband_chunk"
)
_INSERT_TASKS = "INSERT INTO incoming_tasks BY NAME FROM midband_chunk"
# The columns of all three, as a batch of the inbox holds them.
_FLAT = (
    "SELECT * REPLACE ("
    + ", ".join(_known(name) for name in ("score", *_AMOUNTS, "run_cost_usd"))
    + ", CASE passed WHEN 1 THEN true WHEN 0 THEN false END AS passed),"
    " CAST(NULL AS UBIGINT) AS known_key FROM midband_chunk"
)
# What a row of each table of names says, after its number and its place.
_OF_RUNS = (
    *("source_id", "benchmark", "agent", "model", "scaffold", "agent_version", "settings"),
    *("run_id", "harness", "harness_version", "started", "run_cost_usd", "metric", "version"),
    "whole",
)
_OF_TASKS = ("source_id", "benchmark", "task_id", "task_digest", "part")


def stage_empty(connection: "DuckDBPyConnection") -> None:
    """Make the staging tables ``incoming`` and ``incoming_metrics``, without a row."""
    connection.execute(statement("stage"))


def stage_records(
    connection: "DuckDBPyConnection",
    records: Iterable[tuple[int, Record]],
    metrics: dict[Metric, int],
) -> None:
    """Fill the staging tables with records, each with the id of its source.

    A bounded number of them is in memory at a time. Metrics that are met get a number in `metrics`.
    """
    stage_empty(connection)
    rest = iter(records)
    counts = {"run": 0, "task": 0, "place": 0}
    while chunk := list(islice(rest, _CHUNK)):
        for insert, columns in _chunk_columns(chunk, metrics, counts):
            with _registered(connection, columns):
                connection.execute(insert)


def copy_flat(
    connection: "DuckDBPyConnection",
    records: Iterable[tuple[int, Record]],
    metrics: dict[Metric, int],
    copy: Callable[[str], str],
) -> bool:
    """Write records with their names, one row an attempt; return whether there were any.

    Few records go from arrays to the file at once, without a table between. Otherwise as
    `stage_records`.

    Parameters
    ----------
    copy : callable
        Makes the statement that writes the rows of a query, which is given.
    """
    rest = iter(records)
    counts = {"run": 0, "task": 0, "place": 0}
    chunk = list(islice(rest, _CHUNK))
    if not chunk:
        return False
    with _registered(connection, _flat_columns(chunk, metrics, counts)):
        following = list(islice(rest, _CHUNK))
        if not following:
            connection.execute(copy(_FLAT))
            return True
        connection.execute(f"CREATE OR REPLACE TEMP TABLE batch AS {_FLAT}")
    while following:
        with _registered(connection, _flat_columns(following, metrics, counts)):
            connection.execute(f"INSERT INTO batch BY NAME {_FLAT}")
        following = list(islice(rest, _CHUNK))
    connection.execute(copy("FROM batch"))
    connection.execute("DROP TABLE batch")
    return True


@contextmanager
def _registered(connection: "DuckDBPyConnection", columns: dict[str, np.ndarray]) -> Iterator[None]:
    """Let statements read arrays as the rows of ``midband_chunk``."""
    with _pandas_found_or_not():
        connection.register("midband_chunk", columns)
        try:
            yield
        finally:
            connection.unregister("midband_chunk")


@contextmanager
def _pandas_found_or_not() -> Iterator[None]:
    """Say once where there is no pandas: DuckDB 1.x looks for it again at each value of a text.

    50,000 records took 20 s in the searches alone.
    """
    if "pandas" in sys.modules or find_spec("pandas") is not None:
        yield
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # documented: an import then fails
    try:
        yield
    finally:
        sys.modules.pop("pandas", None)


def as_utc(moment: datetime | None) -> datetime | None:
    """Return a moment in UTC without its zone, as the store holds it; naive times are UTC."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


def _chunk_columns(
    numbered: Sequence[tuple[int, Record]], metrics: dict[Metric, int], counts: dict[str, int]
) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Return the columns of each staging table, with the statement that takes them in.

    Parameters
    ----------
    counts : dict of str to int
        How many runs, tasks and places are taken; brought up to date.
    """
    first = counts["place"]
    runs: dict[tuple[object, ...], int] = {}
    tasks: dict[tuple[object, ...], int] = {}
    run_of, task_of = [], []
    for source_id, record in numbered:
        metric = metrics.setdefault(record.metric, len(metrics))
        run = (
            *(source_id, record.benchmark, record.agent, record.model, record.scaffold),
            *(record.agent_version, settings_text(record.settings), record.run_id),
            *(record.harness, record.harness_version, record.started, record.run_cost_usd),
            *(metric, record.benchmark_version, record.whole_benchmark),
        )
        # As text: 1 and 1.0 are one key of a dict, and two tasks.
        task = (
            *(source_id, record.benchmark, str(record.task_id), record.task_digest, record.part),
        )
        run_of.append(counts["run"] + runs.setdefault(run, len(runs)))
        task_of.append(counts["task"] + tasks.setdefault(task, len(tasks)))
    chunk = [record for _, record in numbered]
    passed = [record.counts_as_passed for record in chunk]
    columns: dict[str, np.ndarray] = {
        "source_id": np.array([source_id for source_id, _ in numbered], dtype=np.int32),
        "run": np.array(run_of, dtype=np.int32),
        "task": np.array(task_of, dtype=np.int32),
        "place": np.arange(first, first + len(chunk), dtype=np.int64),
        "attempt": np.array([record.attempt for record in chunk], dtype=np.int32),
        "kind": np.array([_KINDS[record.kind] for record in chunk], dtype=np.int8),
        "score": _floats([record.score for record in chunk]),
        "passed": np.array([-1 if each is None else each for each in passed], dtype=np.int8),
        "source_key": _texts([record.source_key for record in chunk]),
        "scored": _moments([record.scored_at for record in chunk]),
    }
    for name in _AMOUNTS:
        columns[name] = _floats([sane_amount(getattr(each, name), name) for each in chunk])
    found = [
        (_INSERT_RUNS, _name_columns(runs, _OF_RUNS, "run", counts)),
        (_INSERT_TASKS, _name_columns(tasks, _OF_TASKS, "task", counts)),
        (_INSERT, columns),
    ]
    counts["place"] += len(chunk)
    return found


def _flat_columns(
    numbered: Sequence[tuple[int, Record]], metrics: dict[Metric, int], counts: dict[str, int]
) -> dict[str, np.ndarray]:
    """Return the columns of all staging tables, joined."""
    begun = dict(counts)
    (_, runs), (_, tasks), (_, columns) = _chunk_columns(numbered, metrics, counts)
    for number, names in (("run", runs), ("task", tasks)):
        rows = columns[number] - begun[number]
        columns |= {name: values[rows] for name, values in names.items() if name not in columns}
    del columns["place"]
    return columns


def _name_columns(
    rows: dict[tuple[object, ...], int], names: tuple[str, ...], number: str, counts: dict[str, int]
) -> dict[str, np.ndarray]:
    """Return the columns of a table of names, whose rows are in order of their first use."""
    columns: dict[str, np.ndarray] = {
        number: np.arange(counts[number], counts[number] + len(rows), dtype=np.int32),
        "place": np.arange(counts["place"], counts["place"] + len(rows), dtype=np.int64),
    }
    counts[number] += len(rows)
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        given: Sequence[Any] = values
        if name == "started":
            columns[name] = _moments([sane_date(each) for each in given])
        elif name == "run_cost_usd":
            columns[name] = _floats([sane_amount(each, name) for each in given])
        elif name in ("source_id", "metric"):
            columns[name] = np.array(given, dtype=np.int32)
        elif name == "whole":
            columns[name] = np.array(given, dtype=bool)
        else:
            columns[name] = _texts(given)
    return columns


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if each is None else each for each in values], dtype=float)


def _moments(values: Sequence[datetime | None]) -> np.ndarray:
    return np.array(
        [np.datetime64("NaT", "us") if each is None else as_utc(each) for each in values],
        dtype="datetime64[us]",
    )


def _texts(values: Sequence[object]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = [clean_id(str(each)) for each in values]
    return out
