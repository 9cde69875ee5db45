"""Where numbers come from, what is wrong with them, and how they are taken away and moved."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from midband_history import (
    History,
    Incoming,
    InputError,
    Metric,
    Note,
    Record,
    UnknownBenchmarkError,
    UnknownTaskError,
)

DAY = datetime(2025, 5, 1, tzinfo=UTC)


def _records(agent: str, tasks: str = "12", benchmark: str = "b", **more: object) -> list[Record]:
    return [
        Record(benchmark=benchmark, task_id=task, agent=agent, score=1.0, **more)  # type: ignore[arg-type]
        for task in tasks
    ]


def _source(name: str, records: list[Record], **more: object) -> Incoming:
    return Incoming(
        name=name, digest=f"d-{name}", content=f"c-{name}", reader="toy", reader_version=2,
        records=records, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _attempts(history: History) -> dict[str, int]:
    return {each.name: each.attempts for each in history.benchmarks()}


def test_why_shows_each_attempt_with_its_source_and_notes() -> None:
    with History.in_memory() as history:
        history.add_sources(
            [
                _source(
                    "one.json",
                    _records("a", run_id="r1", started=DAY, metric=Metric(name="m", key="k")),
                    options='{"benchmark": "b"}',
                    notes=[Note(code="left-out", text="3 errors left out")],
                ),
                _source("two.json", _records("b", "1", metric=Metric(name="m", key="k"))),
            ]
        )
        first, second = history.why("b", "1")
        assert (first.agent, first.source, first.reader) == ("a", "one.json", "toy 2")
        assert (first.run_id, first.started, first.metric) == ("r1", DAY, "m.k")
        assert first.notes == (Note(code="left-out", text="3 errors left out"),)
        assert first.options == {"benchmark": "b"}
        assert (second.agent, second.notes, second.options) == ("b", (), {})
        assert [each.agent for each in history.why("b", "1", "b*")] == ["b"]
        with pytest.raises(UnknownTaskError, match="got '3': it holds"):
            history.why("b", "3")
        with pytest.raises(InputError, match="got 'c': these did: a, b"):
            history.why("b", "1", "c")


def test_check_names_stale_sources_and_nothing_else() -> None:
    with History.in_memory() as history:
        history.add_sources([_source("new", _records("a")), _source("old", _records("b"))])
        history.add(_records("c"))
        assert history.check({"toy": 2}) == ([], [])
        stale, broken = history.check({"toy": 3})
        assert [(each.source, each.attempts) for each in stale] == [("new", 2), ("old", 2)]
        assert "version 2 of the importer toy, now at 3" in stale[0].fault
        assert broken == []


def test_forget_removes_exactly_what_is_named_and_tells_it() -> None:
    with History.in_memory() as history:
        history.add_sources(
            [
                _source("logs/a.json", [*_records("a"), *_records("b")]),
                _source("logs/b.json", _records("c", run_id="r9")),
                _source("x/c.json", _records("a", benchmark="other")),
            ]
        )
        with pytest.raises(InputError, match="name one"):
            history.forget()
        (removed,) = history.forget(source="logs/*", agent="a")
        assert (removed.benchmark, removed.agent, removed.source, removed.attempts) == (
            "b", "a", "logs/a.json", 2,
        )  # fmt: skip
        assert history.outcomes("b").agents == ("b", "c")
        assert _attempts(history) == {"b": 4, "other": 2}
        assert [each.agent for each in history.forget(run="r9")] == ["c"]
        assert history.forget(source="nowhere") == []
        history.forget(benchmark="other")
        assert _attempts(history) == {"b": 2}
        with pytest.raises(UnknownBenchmarkError):
            history.why("other", "1")
        assert history.check({})[1] == []


def test_what_was_forgotten_can_be_imported_again() -> None:
    source = _source("a.json", [*_records("a"), *_records("b")])
    with History.in_memory() as history:
        history.add_sources([source])
        history.forget(agent="a")
        assert history.known_sources([source.digest]) == {}
        held = history.readings_of([source.content], benchmark="", metric="")[source.content]
        source.replaces = tuple(held)
        (report,) = history.add_sources([source])
        assert (report.added, report.replaced, report.duplicates) == (2, 2, 0)
        assert _attempts(history) == {"b": 4}


def test_forgetting_makes_known_again_what_was_passed_over_for_it() -> None:
    """A grown copy of a log held two attempts of the first; they are only in the copy now."""
    first, grown = _source("a", _records("a", "12")), _source("b", _records("a", "123"))
    with History.in_memory() as history:
        history.add_sources([first])
        history.add_sources([grown])
        history.forget(source="a")
        assert _attempts(history) == {"b": 1}
        assert history.known_sources([grown.digest]) == {}
        grown.replaces = tuple(history.readings_of(["c-b"], benchmark="", metric="")["c-b"])
        (report,) = history.add_sources([grown])
        assert (report.added, report.replaced) == (2, 1)
        assert _attempts(history) == {"b": 3}


def test_replacing_a_source_makes_known_again_what_was_passed_over_for_it() -> None:
    first, copy = _source("a", _records("a")), _source("b", _records("a", "123"))
    with History.in_memory() as history:
        history.add_sources([first])
        history.add_sources([copy])
        (old,) = history.known_sources([first.digest])[first.digest][0]
        again = _source("a", _records("renamed"), replaces=(old,))
        again.digest = "d-again"
        history.add_sources([again])
        assert history.known_sources([copy.digest]) == {}
        assert set(history.known_sources([again.digest])) == {"d-again"}
        copy.replaces = tuple(history.readings_of(["c-b"], benchmark="", metric="")["c-b"])
        history.add_sources([copy])
        assert {(each.name, each.tasks) for each in history.agents("b")} == {
            ("a", 3),
            ("renamed", 2),
        }


def test_replacing_with_the_same_attempts_leaves_other_sources_known() -> None:
    first, copy = _source("a", _records("a")), _source("b", _records("a", "123"))
    with History.in_memory() as history:
        history.add_sources([first, copy])
        (old,) = history.known_sources([first.digest])[first.digest][0]
        first.replaces = (old,)
        (report,) = history.add_sources([first])
        assert (report.added, report.replaced) == (0, 2)
        assert set(history.known_sources([copy.digest])) == {copy.digest}
        assert _attempts(history) == {"b": 3}


def test_a_refused_new_reading_leaves_the_old_rows_and_the_source() -> None:
    stated = Metric(name="judge", low=0, high=1, declared="source")
    wider = Metric(name="judge", low=0, high=5, declared="source")
    with History.in_memory() as history:
        history.add_sources(
            [_source("a", _records("a", metric=stated)), _source("b", _records("b", metric=stated))]
        )
        (old,) = history.known_sources(["d-a"])["d-a"][0]
        again = _source("a", _records("a", "1", metric=wider), replaces=(old,))
        (report,) = history.add_sources([again])
        assert "0 to 1, got one of 0 to 5" in report.refused
        assert history.outcomes("b").attempts.tolist() == [[1, 1], [1, 1]]
        assert set(history.known_sources(["d-a", "d-b"])) == {"d-a", "d-b"}


def test_an_alias_moves_a_benchmark_and_later_imports_join_it() -> None:
    with History.in_memory() as history:
        history.add(_records("a", benchmark="gaia"))
        history.add(_records("b", benchmark="gaia_v1"))
        history.add(_records("a", "23", benchmark="gaia_v1"))
        assert history.alias("benchmark", "gaia_v1", "gaia") == 4
        assert _attempts(history) == {"gaia": 6}
        assert history.outcomes("gaia_v1").attempts.tolist() == [[1, 2, 1], [1, 1, 0]]
        assert history.add(_records("a", "23", benchmark="gaia_v1")).added == 0
        assert history.add(_records("a", benchmark="gaia")).added == 0
        assert history.add(_records("c", "14", benchmark="gaia_v1")).added == 2
        assert history.outcomes("gaia").tasks == ("1", "2", "3", "4")
        assert [each.source for each in history.why("gaia_v1", "4")] == [""]
        assert history.check({})[1] == []


def test_an_alias_of_what_is_not_held_yet_and_chains() -> None:
    with History.in_memory() as history:
        assert history.alias("benchmark", "one", "two") == 0
        history.add(_records("a", benchmark="one"))
        assert history.alias("benchmark", "two", "three") == 2
        history.add(_records("b", benchmark="one"))
        assert _attempts(history) == {"three": 4}
        with pytest.raises(InputError, match="twice"):
            history.alias("benchmark", "three", "one")
        assert history.benchmark_name("one") == "three"


def test_benchmarks_that_differ_in_scale_are_not_joined() -> None:
    ours = Metric(name="m", low=0, high=10, declared="source")
    theirs = Metric(name="m", low=1, high=5, declared="source")
    with History.in_memory() as history:
        history.add(_records("a", benchmark="x", metric=ours))
        history.add(_records("a", benchmark="y", metric=theirs))
        with pytest.raises(InputError, match=r"1 to 5 and 0 to 10.*history metric y m --scale"):
            history.alias("benchmark", "y", "x")
        assert _attempts(history) == {"x": 2, "y": 2}
        assert history.aliases("benchmark") == {}
        history.declare_metric("y", "m", scale=(0, 10))
        assert history.alias("benchmark", "y", "x") == 2


def test_a_benchmark_of_a_package_of_evaluations_is_itself_from_every_source() -> None:
    with History.in_memory() as history:
        history.add(_records("a", benchmark="inspect_evals/gsm8k"))
        history.add(_records("b", benchmark="gsm8k"))
        assert _attempts(history) == {"gsm8k": 4}
        assert history.outcomes("inspect_evals/gsm8k").agents == ("a", "b")
        assert history.why("inspect_evals/gsm8k", "1", "a")
        assert history.add(_records("a", benchmark="inspect_evals/gsm8k")).added == 0


def test_removals_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add(_records("a"), source="s")
        history.forget(source="s")
    with History.open(path, read_only=True) as history:
        assert history.benchmarks() == []
