"""An attempt that was scored again: the later scoring counts, whatever the order of import."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import History, Incoming, Metric, Record

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)


def _scoring(
    uuid: str, hour: int | None, score: float | None, metric: str = "m", run: str = "r"
) -> Record:
    return Record(
        benchmark="b",
        task_id=uuid,
        agent="a",
        score=score,
        kind="valid" if score is not None else "grader_error",
        run_id=run,
        source_key=uuid,
        metric=Metric(name=metric),
        scored_at=None if hour is None else BEGIN + timedelta(hours=hour),
    )


def _held(history: History) -> list[tuple[object, ...]]:
    return sorted(
        (
            r.task_id,
            r.metric.label,
            r.scored_at or BEGIN,
            r.kind,
            -1 if r.score is None else r.score,
        )
        for r in history.records()
    )


SCORINGS = st.lists(
    st.builds(
        lambda uuid, hour, metric: _scoring(uuid, hour, hour / 8, metric, run=f"run {hour}"),
        st.sampled_from("12"),
        st.integers(1, 4),
        st.sampled_from("mn"),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None)
@given(SCORINGS, st.data())
def test_the_order_of_import_does_not_matter(batch: list[Record], data: st.DataObject) -> None:
    newest = {uuid: max(r.scored_at for r in batch if r.task_id == uuid and r.scored_at)
              for uuid in {r.task_id for r in batch}}  # fmt: skip
    expected = {
        (r.task_id, r.metric.label, r.score) for r in batch if r.scored_at == newest[r.task_id]
    }
    order = data.draw(st.permutations(batch))
    cut = data.draw(st.integers(0, len(order)))
    with History.in_memory() as history:
        history.add_sources([Incoming(records=[each]) for each in order[:cut]])
        for each in order[cut:]:
            history.add([each])
        held = {(r.task_id, r.metric.label, r.score) for r in history.records()}
        assert held == expected
        assert history.check({})[1] == []
        # nothing is left of a run whose every scoring was superseded
        runs = {r.run_id for r in history.records()}
        assert history._connection.execute("SELECT count(*) FROM runs").fetchall() == [(len(runs),)]


def test_a_scoring_without_a_time_yields_to_one_with_a_time_in_either_order() -> None:
    undated, dated = _scoring("1", None, 0.25), _scoring("1", 3, 0.75)
    for batch in ([undated, dated], [dated, undated]):
        with History.in_memory() as history:
            reports = [history.add([each]) for each in batch]
            assert [r[-1] for r in _held(history)] == [0.75]
            assert all(not report.skipped for report in reports)


def test_a_later_failure_of_the_grader_supersedes_a_score() -> None:
    for batch in ([2, 1], [1, 2]):
        with History.in_memory() as history:
            for hour in batch:
                history.add([_scoring("1", hour, None if hour == 2 else 1.0)])
            assert [r[3] for r in _held(history)] == ["grader_error"]


def test_two_metrics_of_one_scoring_are_both_held() -> None:
    with History.in_memory() as history:
        history.add([_scoring("1", 1, 0.5, "m")])
        history.add([_scoring("1", 1, 1.0, "n")])
        assert [row[1] for row in _held(history)] == ["m", "n"]
        assert history.benchmarks()[0].attempts == 1


def test_another_result_at_the_same_time_is_reported_and_the_first_kept() -> None:
    with History.in_memory() as history:
        history.add([_scoring("1", 1, 0.5)])
        report = history.add([_scoring("1", 1, 1.0)])
        assert "another result, which was kept" in report.skipped[0]
        assert [row[-1] for row in _held(history)] == [0.5]
