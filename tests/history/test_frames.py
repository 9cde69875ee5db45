"""What is returned is a table of pyarrow, pandas or polars too, where that is installed."""

import importlib
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from midband_history import Frames, History, Metric, OutcomeMatrix, PassRate, Record, Rows
from midband_history.errors import MissingPackageError
from midband_sampler import Never, Session, make_plan
from midband_sims import StudyResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WHEN = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
JUDGE = Metric(name="judge", low=1, high=10, declared="source")
LIBRARIES = {"pyarrow": "to_arrow", "pandas": "to_pandas", "polars": "to_polars"}


def _records(frames: Frames, library: str) -> list[dict[str, Any]]:
    """The rows of a table; unknown is None, whatever the library has for it."""
    pytest.importorskip(library)
    table: Any = getattr(frames, LIBRARIES[library])()
    if library == "pyarrow":
        rows = table.to_pylist()
    elif library == "polars":
        rows = table.to_dicts()
    else:
        rows = table.to_dict("records")
        missing = importlib.import_module("pandas").isna
        rows = [{k: None if missing(v) else v for k, v in row.items()} for row in rows]
    return [dict(row) for row in rows]


@pytest.fixture
def history() -> History:
    held = History.in_memory()
    held.add(
        [
            Record(
                benchmark="toy",
                task_id=task,
                agent=agent,
                score=score,
                kind="valid" if score is not None else "infra_error",
                started=WHEN if agent == "a" else None,
                metric=JUDGE,
                cost_usd=0.5 if task == "1" else None,
            )
            for agent, task, score in (("a", "1", 10.0), ("a", "2", 1.0), ("b", "1", 5.5),
                                       ("b", "3", None))
        ]
    )  # fmt: skip
    return held


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_matrix_is_a_row_a_tried_cell(history: History, library: str) -> None:
    rows = _records(history.outcomes("toy"), library)
    assert [(row["agent"], row["task_id"], row["score"]) for row in rows] == [
        ("a", "1", 1.0),
        ("a", "2", 0.0),
        ("b", "1", 0.5),
        ("b", "3", None),
    ]
    assert [row["attempts"] for row in rows] == [1, 1, 1, 0]
    assert [row["without_score"] for row in rows] == [0, 0, 0, 1]
    assert [row["cost_usd"] for row in rows] == [0.5, None, 0.5, None]
    assert [row["first_run"] for row in rows] == [WHEN, WHEN, None, None]


def test_what_a_history_returns_is_a_table(history: History, library: str) -> None:
    rates = history.pass_rates("toy")
    assert [one["pass_rate"] for one in _records(rates, library)] == [0.75, 0.0, None]
    assert rates == [*rates]
    (summary,) = _records(history.benchmarks(), library)
    assert (summary["metrics"], summary["last"]) == ('["judge"]', WHEN)
    (metric,) = _records(history.metrics("toy"), library)
    assert (metric["metric_name"], metric["metric_high"], metric["seen_low"]) == ("judge", 10, 1)
    (origin,) = _records(history.why("toy", "3"), library)
    assert (origin["score"], origin["options"], origin["scored_at"]) == (None, "{}", None)
    assert [each["name"] for each in _records(history.agents("toy"), library)] == ["a", "b"]
    assert _records(history.versions("toy"), library)[0]["tasks"] == 3
    assert _records(history.forget(agent="b"), library)[0]["attempts"] == 2


def test_a_table_without_rows_has_its_columns_with_their_types() -> None:
    pytest.importorskip("pyarrow")
    empty: Rows[PassRate] = Rows(of=PassRate)
    full = Rows([PassRate("t", math.nan, 0, 0, math.nan, math.nan, "")])
    assert empty.to_arrow().schema == full.to_arrow().schema
    assert empty.to_arrow().num_rows == 0


def _matrix() -> OutcomeMatrix:
    scores = np.array([[float((i * 3 + j) % 4 < 2) for j in range(12)] for i in range(9)])
    scores[:, 11] = np.nan
    scores[0, 11] = 1.0
    return OutcomeMatrix.from_scores(scores)


def test_a_plan_is_a_row_a_task_and_a_decision_is_one_row(library: str) -> None:
    plan = make_plan(_matrix(), strategy="random", stop=Never(0.9))
    rows = _records(plan, library)
    assert [row["task_id"] for row in rows] == list(plan.all_tasks)
    placed = sorted((row["place"], row["task_id"]) for row in rows if row["place"] is not None)
    assert tuple(task for _, task in placed) == plan.tasks
    decision = Session(plan).decision()
    (row,) = _records(decision, library)
    assert (row["stop"], row["rank"], row["tasks_run"]) == (False, None, 0)
    assert (row["score"], row["reason"]) == (None, "going on")


def test_the_result_of_a_study_is_a_row_a_cell(library: str) -> None:
    cells: tuple[dict[str, object], ...] = (
        {"strategy": "random", "share": 0.5, "n": 3, "order": [1, 2]},
        {"strategy": "band", "share": math.nan, "n": None, "new": True},
    )
    result = StudyResult(
        cells=cells, replays=(), skipped=(), units_run=1, units_found=0, seconds=1.0
    )
    assert _records(result, library) == [
        {"strategy": "random", "share": 0.5, "n": 3, "order": "[1, 2]", "new": None},
        {"strategy": "band", "share": None, "n": None, "order": None, "new": True},
    ]


@pytest.mark.parametrize("method", sorted(LIBRARIES.values()))
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    real: Callable[..., Any] = importlib.import_module

    def gone(name: str, *rest: Any) -> Any:
        if name in LIBRARIES:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr("midband_history.frames.import_module", gone)
    with pytest.raises(MissingPackageError, match=r"expected \w+ for .*pip install \w+`$"):
        getattr(Rows([{"a": 1}]), method)()


def test_mappings_of_any_kind_are_rows() -> None:
    pytest.importorskip("pyarrow")
    rows: list[Mapping[str, object]] = [{"a": 1, "b": np.float64(2)}, {"a": "x"}]
    table = Rows(rows).to_arrow()
    assert table.to_pylist() == [{"a": "1", "b": 2.0}, {"a": "x", "b": None}]
