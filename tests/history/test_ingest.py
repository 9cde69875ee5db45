"""What the history holds after adding: everything once, as a whole, and kinds kept apart."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest

from midband_history import (
    History,
    Incoming,
    InputError,
    OutcomeMatrix,
    Record,
    Table,
    UnreadableSourceError,
)


def _record(task: str = "1", score: float | None = 1.0, **other: object) -> Record:
    fields: dict[str, object] = {"benchmark": "toy", "agent": "a", **other}
    return Record(task_id=task, score=score, **fields)  # type: ignore[arg-type]


@pytest.fixture
def history() -> Iterator[History]:
    with History.in_memory() as opened:
        yield opened


def _cell(matrix: OutcomeMatrix, agent: str, task: str) -> float:
    return float(matrix.scores[matrix.agents.index(agent), matrix.tasks.index(task)])


def test_adding_the_same_again_adds_nothing_and_says_so(history: History) -> None:
    records = [_record(str(i), i % 2) for i in range(10)]
    assert history.add(records).added == 10
    again = history.add(records)
    assert (again.added, again.duplicates, again.skipped) == (0, 10, ())
    assert history.benchmarks()[0].attempts == 10


def test_a_file_that_has_grown_adds_only_what_is_new(history: History) -> None:
    history.add([_record("1"), _record("2")])
    report = history.add([_record("1"), _record("2"), _record("3", 0.0)])
    assert (report.added, report.duplicates) == (1, 2)


def test_one_sample_in_two_logs_is_one_attempt(history: History) -> None:
    first = _record("1", source_key="uuid-1", run_id="log-1", attempt=0)
    second = _record("1", source_key="uuid-1", run_id="log-2", attempt=3)
    assert history.add([first], source="one.eval").added == 1
    report = history.add([second, _record("2", source_key="uuid-2", run_id="log-2")])
    assert (report.added, report.duplicates) == (1, 1)
    assert history.benchmarks()[0].attempts == 2


def test_another_result_for_a_known_attempt_is_reported_and_the_first_kept(
    history: History,
) -> None:
    history.add([_record("1", 1.0)])
    report = history.add([_record("1", 0.0)])
    assert report.added == 0
    assert "toy/1 by a, attempt 0" in report.skipped[0]
    assert "run_id" in report.skipped[0]
    assert history.pass_rates("toy")[0].pass_rate == 1.0


def test_an_infrastructure_error_is_missing_and_never_a_failure(history: History) -> None:
    history.add(
        [
            _record("1", 1.0),
            _record("1", None, kind="infra_error", attempt=1),
            _record("2", None, kind="infra_error"),
        ]
    )
    matrix = history.outcomes("toy")
    assert matrix.attempts.tolist() == [[1, 0]]
    assert _cell(matrix, "a", "1") == 1.0
    assert np.isnan(_cell(matrix, "a", "2"))
    assert np.isnan(history.pass_rates("toy")[1].pass_rate)
    assert history.benchmarks()[0].attempts == 3


def test_an_agent_without_a_valid_attempt_is_not_in_the_matrix(history: History) -> None:
    history.add([_record("1"), _record("1", None, kind="cancelled", agent="b")])
    assert history.outcomes("toy").agents == ("a",)


def test_two_agents_of_one_name_and_different_settings_are_two(history: History) -> None:
    history.add([_record("1", 1.0, settings={"temperature": 0})])
    history.add([_record("1", 0.0, settings={"temperature": 1})])
    matrix = history.outcomes("toy")
    assert matrix.agents == ("a [temperature=0]", "a [temperature=1]")
    assert matrix.scores.tolist() == [[1.0], [0.0]]


def test_settings_in_another_order_are_the_same_agent(history: History) -> None:
    history.add([_record("1", settings={"x": 1, "y": 2})])
    history.add([_record("2", settings={"y": 2, "x": 1})])
    assert history.outcomes("toy").agents == ("a",)


def test_a_name_that_looks_like_a_disambiguated_one_stays_distinct(history: History) -> None:
    history.add([_record("1"), _record("1", model="m")])
    taken = history.outcomes("toy").agents[1]
    with History.in_memory() as other:
        other.add([_record("1", agent=taken)])
        other.add([_record("1"), _record("1", model="m")])
        assert len(set(other.outcomes("toy").agents)) == 3


def test_an_integer_task_id_is_kept_as_text(history: History) -> None:
    history.add([_record(7)])  # type: ignore[arg-type]
    history.add([_record("007")])
    assert history.outcomes("toy").tasks == ("007", "7")


def test_task_ids_that_are_equal_numbers_are_two_texts(history: History) -> None:
    history.add([_record(1), _record(1.0), _record(True)])  # type: ignore[arg-type]
    assert history.outcomes("toy").tasks == ("1", "1.0", "True")


def test_the_key_of_an_attempt_never_changes(tmp_path: Path) -> None:
    """Stores that exist know their attempts by it."""
    path, table = tmp_path / "history.duckdb", tmp_path / "rows.csv"
    table.write_text(
        "benchmark,task_id,agent,score,attempt,run_id,run_date,model,source_key\n"
        "inspect_evals/toy,1,a,1,2,r,2026-01-01,m,\n"
        "toy,1,b,1,0,r,2026-01-01,m,own\n"
    )
    started = datetime(2026, 1, 1, tzinfo=UTC)
    micros = int(started.timestamp()) * 1_000_000
    place = ["place", "inspect_evals/toy", "1", "a", "m", "", "", "", "r", str(micros), "2"]
    expected = {
        int.from_bytes(hashlib.md5("\x1f".join(text).encode()).digest()[8:], "little")
        for text in (place, ["source", "toy", "own"])
    }
    with History.open(path) as history:
        assert history.add_table(Table(path=table, format="csv")).added == 2
        again = [
            _record(
                benchmark="inspect_evals/toy", attempt=2, run_id="r", started=started, model="m"
            ),
            _record(agent="b", run_id="r", started=started, model="m", source_key="own"),
        ]
        assert history.add(again).duplicates == 2
    with duckdb.connect(str(path), read_only=True) as store:
        assert {key for (key,) in store.execute("SELECT key FROM outcomes").fetchall()} == expected


def test_a_source_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    def _torn() -> Iterator[Record]:
        yield from (_record(str(i)) for i in range(60_000))
        msg = "expected a whole file, got half of one"
        raise UnreadableSourceError(msg)

    with History.open(tmp_path / "h.duckdb") as history:
        with pytest.raises(UnreadableSourceError, match="half of one"):
            history.add(_torn(), source_digest="d")
        assert history.benchmarks() == []
        assert history.known_sources(["d", ""]) == {}
        assert history.add([_record("1")], source_digest="d").added == 1
        assert set(history.known_sources(["e", "d", ""])) == {"d"}


def test_several_sources_at_once_have_a_report_each(history: History) -> None:
    reports = history.add_sources(
        [
            Incoming(name="one", digest="1", records=[_record("1"), _record("2")]),
            Incoming(name="copy", digest="2", records=[_record("2"), _record("3")]),
            Incoming(name="empty", digest="3"),
        ]
    )
    assert [(report.added, report.duplicates) for report in reports] == [(2, 0), (1, 1), (0, 0)]
    assert set(history.known_sources(["3"])) == {"3"}


def test_what_was_added_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.duckdb"
    started = datetime(2025, 3, 1, 12, tzinfo=UTC)
    with History.open(path) as history:
        history.add([_record("1", 0.5, started=started, cost_usd=2.0, task_digest="d1")])
    with History.open(path, read_only=True) as history:
        summary = history.benchmarks()[0]
        assert (summary.first, summary.cost_usd) == (started, 2.0)
        matrix = history.outcomes("toy")
        assert matrix.task_digests == ("d1",)
        assert matrix.dates[0] == np.datetime64("2025-03-01T12:00:00")
        assert matrix.cost_usd.tolist() == [[2.0]]
        assert np.isnan(matrix.duration_s).all()


@pytest.mark.parametrize("named_first", [True, False])
def test_a_task_that_is_called_by_its_content_is_the_task_of_that_content(
    history: History, named_first: bool
) -> None:
    contents = {"1": "d1", "2": "d2", "3": "d2"}
    named = [_record(task, task_digest=digest) for task, digest in contents.items()]
    other = [
        _record(digest, 0.0, task_digest=digest, agent="b", source_key=f"uuid {digest}")
        for digest in ("d1", "d2", "d9")
    ]
    for records in (named, other) if named_first else (other, named):
        history.add(records)
    matrix = history.outcomes("toy")
    # Two ids have the content d2, and none has d9: which task is meant is not known.
    assert sorted(matrix.tasks) == ["1", "2", "3", "d2", "d9"]
    assert (_cell(matrix, "a", "1"), _cell(matrix, "b", "1")) == (1.0, 0.0)
    assert history.add(other).added == 0
    assert sorted(history.outcomes("toy").tasks) == sorted(matrix.tasks)


def test_results_at_an_older_content_of_a_task_are_not_in_its_cell(history: History) -> None:
    new, old = datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    history.add([_record("1", 1.0, task_digest="new", started=new)])
    history.add([_record("1", 0.0, task_digest="old", started=old)])
    matrix = history.outcomes("toy")
    assert matrix.tasks == ("1",)
    assert matrix.task_digests == ("new",)
    assert matrix.attempt_scores.tolist() == [[[1.0]]]
    assert "1 results at other contents" in matrix.notes[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"score": float("nan")}, "score in"),
        ({"score": 1.5}, "score in"),
        ({"score": None}, "score in"),
        ({"score": 1.0, "kind": "infra_error"}, "no score"),
        ({"score": None, "kind": "crash"}, "kind"),
        ({"score": 1.0, "attempt": -1}, "attempt"),
        ({"score": 1.0, "agent": ""}, "agent"),
    ],
)
def test_a_record_that_cannot_be_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        _record("1", **fields)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
