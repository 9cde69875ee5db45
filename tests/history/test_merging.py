"""Merging histories, and exports: nothing is lost, nothing is twice, and no name leaks."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.history.test_properties import records

from midband_history import (
    History,
    Incoming,
    InputError,
    Metric,
    Note,
    Record,
    StoreError,
    UnreadableSourceError,
)

JUDGE = Metric(name="judge", low=1, high=10, declared="source")


def _all_of(history: History) -> list[str]:
    """Everything that the history says of every attempt and of what it is made of."""
    found = [repr(record) for record in history.records()]
    for summary in history.benchmarks():
        found += [repr(summary), *map(repr, history.metrics(summary.name))]
        for task in history.task_ids(summary.name)[:2]:
            found += map(repr, history.why(summary.name, task))
    return sorted([*found, repr(history.aliases("agent")), repr(history.aliases("benchmark"))])


def _attempts(history: History) -> list[str]:
    return sorted(repr(record) for record in history.records())


def _fill(history: History, sources: Sequence[list[Record]]) -> None:
    history.add_sources(
        [
            Incoming(
                records=batch,
                name=f"logs/{i}.json",
                digest=f"d{i}",
                content=f"c{i}",
                reader="inspect",
                reader_version=3,
                options='{"metric": "judge"}',
                notes=[Note(code="code", text=f"a note, of {i}")],
            )
            for i, batch in enumerate(sources)
        ]
    )


def _judged(agent: str, score: float, metric: Metric = JUDGE, task: str = "1") -> Record:
    return Record(benchmark="toy", task_id=task, agent=agent, score=score, metric=metric)


@settings(deadline=None, max_examples=3)
@given(st.lists(st.lists(records(), max_size=6), max_size=3), st.booleans())
def test_an_export_brings_back_all_that_was_there(
    tmp_path_factory: pytest.TempPathFactory, sources: list[list[Record]], named: bool
) -> None:
    file = tmp_path_factory.mktemp("export") / "it's all.parquet"
    with History.in_memory() as history, History.in_memory() as other:
        _fill(history, sources)
        history.add([_judged("j", 7.5), _judged("j", 2.0, task="2")])
        if named:
            history.alias("agent", "j", "k")
            history.alias("benchmark", "other", "third")
        attempts = history.export(file)
        report = other.merge(file)
        assert attempts == report.added
        assert (report.duplicates, report.skipped, report.refused) == (0, (), ())
        assert _all_of(other) == _all_of(history)
        digests = [f"d{i}" for i in range(len(sources))]
        assert other.known_sources(digests) == history.known_sources(digests)
        assert other.check({"inspect": 3}) == history.check({"inspect": 3})
        for batch in sources:  # the attempts are known by the keys that they had
            assert other.add(batch).added == 0


@settings(deadline=None, max_examples=3)
@given(st.lists(records(), max_size=10), st.lists(records(), max_size=10), st.integers(0, 5))
def test_merging_is_as_good_as_importing_and_harmless_twice(
    mine: list[Record], theirs: list[Record], shared: int
) -> None:
    theirs = theirs + mine[:shared]
    with History.in_memory() as one, History.in_memory() as two, History.in_memory() as both:
        one.add(mine)
        two.add(theirs)
        both.add(mine)
        added = both.add(theirs)
        report = one.merge(two)
        assert report.added == added.added
        assert _attempts(one) == _attempts(both)
        before = _all_of(one)
        assert one.merge(two).added == 0
        assert _all_of(one) == before
        assert one.check({})[1] == []


def test_a_history_file_is_merged_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with History.open(path) as other:
        other.add([_judged("a", 5.0)], source="logs/a.json", source_digest="d")
    before = path.read_bytes()
    with History.open(tmp_path / "mine.duckdb") as history:
        history.add([_judged("b", 4.0)])
        assert history.merge(path).added == 1
        assert [each.source for each in history.why("toy", "1", "a")] == ["logs/a.json"]
        assert set(history.known_sources(["d"])) == {"d"}
        with pytest.raises(InputError, match="this one itself"):
            history.merge(tmp_path / "mine.duckdb")
        with pytest.raises(InputError, match="this one itself"):
            history.merge(history)
        with pytest.raises(StoreError, match="found no file"):
            history.merge(tmp_path / "none.duckdb")
    assert path.read_bytes() == before


def test_keys_stay_though_an_alias_has_moved_the_benchmark() -> None:
    record = Record(benchmark="old", task_id="1", agent="a", score=1.0)
    with History.in_memory() as history, History.in_memory() as other:
        other.add([record])
        other.alias("benchmark", "old", "new")
        history.merge(other)
        assert [each.name for each in history.benchmarks()] == ["new"]
        assert history.add([record]).added == 0


def test_results_of_a_benchmark_with_an_alias_here_join_its_name() -> None:
    with History.in_memory() as history, History.in_memory() as other:
        history.alias("benchmark", "old", "new")
        other.add([Record(benchmark="old", task_id="1", agent="a", score=1.0)])
        assert history.merge(other).added == 1
        assert [each.name for each in history.benchmarks()] == ["new"]


def test_an_alias_that_contradicts_ours_is_named_and_left() -> None:
    with History.in_memory() as history, History.in_memory() as other:
        history.alias("agent", "a", "b")
        other.alias("agent", "a", "c")
        other.alias("agent", "e", "f")
        report = history.merge(other)
        assert report.skipped == ("agent a stands for c there and for b here: kept",)
        assert history.aliases("agent") == {"a": "b", "e": "f"}


def test_aliases_that_only_turn_a_name_around_join_the_same_agents() -> None:
    with History.in_memory() as history, History.in_memory() as other:
        history.alias("agent", "a", "b")
        other.alias("agent", "b", "a")
        assert history.merge(other).skipped == ()
        assert history.aliases("agent") == {"a": "b"}


def test_what_persons_state_differently_of_a_metric_is_refused_as_a_whole() -> None:
    with History.in_memory() as history, History.in_memory() as other:
        for one, scale in ((history, (0.0, 10.0)), (other, (1.0, 10.0))):
            one.add([_judged("a", 5.0)])
            one.declare_metric("toy", "judge", scale=scale)
        other.add([Record(benchmark="more", task_id="1", agent="a", score=1.0)])
        with pytest.raises(InputError, match=r"metric judge of toy from 0 to 10.* 1 to 10"):
            history.merge(other)
        assert [each.name for each in history.benchmarks()] == ["toy"]


def test_a_persons_word_here_stands_against_a_source_there() -> None:
    with History.in_memory() as history, History.in_memory() as other:
        history.add([_judged("a", 5.0)])
        history.declare_metric("toy", "judge", scale=(0, 20))
        other.add([_judged("b", 7.0)])
        report = history.merge(other)
        assert (report.added, report.refused) == (1, ())
        assert history.metrics("toy")[0].metric.high == 20


def test_a_source_that_contradicts_the_history_is_refused_alone() -> None:
    narrow = Metric(name="judge", low=0, high=5, declared="source")
    with History.in_memory() as history, History.in_memory() as other:
        history.add([_judged("a", 5.0)])
        other.add([_judged("b", 4.0, narrow)], source="narrow.json")
        other.add([Record(benchmark="more", task_id="1", agent="a", score=1.0)], source="fine.json")
        report = history.merge(other)
        assert report.added == 1
        assert len(report.refused) == 1
        assert report.refused[0].startswith("narrow.json: expected judge of toy")


def test_what_was_seen_of_a_refused_source_counts_after_a_merge_too() -> None:
    with History.in_memory() as history, History.in_memory() as other:
        other.add([Record(benchmark="toy", task_id="1", agent="a", score=1.0)])
        other.add([_judged("a", 55.0, Metric(name="free"))])
        history.merge(other)
        with pytest.raises(InputError, match="state its scale"):
            history.outcomes("toy", metric="free")


def test_a_later_scoring_takes_the_place_of_an_earlier_one() -> None:
    def scored(score: float, day: int) -> Record:
        when = datetime(2025, 1, day, tzinfo=UTC)
        return Record(
            benchmark="toy", task_id="1", agent="a", score=score, source_key="k", scored_at=when
        )

    with History.in_memory() as early, History.in_memory() as late:
        early.add([scored(0.0, 1)])
        late.add([scored(1.0, 2)])
        early.merge(late)
        late.merge(early)
        for history in (early, late):
            assert [record.score for record in history.records()] == [1.0]


def _secret_history() -> History:
    history = History.in_memory()
    told = {"model": "SECRETmodel", "scaffold": "SECRETscaffold", "agent_version": "SECRETv"}
    for name, run in (("SECRETone", "SECRETrun"), ("SECRETtwo", "")):
        history.add_sources(
            [
                Incoming(
                    records=[
                        Record(
                            benchmark="toy",
                            task_id=str(task),
                            agent=name,
                            score=float(task % 2),
                            run_id=run,
                            settings={"SECRETsetting": "SECRETvalue"},
                            model=told["model"],
                            scaffold=told["scaffold"],
                            agent_version=told["agent_version"],
                        )
                        for task in range(4)
                    ],
                    name=f"/home/SECRET/{name}.json",
                    digest="SECRETdigest",
                    content="SECRETcontent",
                    options='{"agent": "SECRETagent"}',
                    notes=[Note(code="x", text="SECRETnote")],
                )
            ]
        )
    history.add([], source="/home/SECRET/empty.json", source_digest="SECRETempty")
    history.alias("agent", "SECRETone", "SECRETalias")
    return history


def _texts(file: Path) -> str:
    """All that a Parquet file says, uncompressed."""
    with duckdb.connect() as connection:
        path = {"path": str(file)}
        rows = connection.execute("FROM read_parquet($path)", path).fetchall()
        facts = connection.execute("FROM parquet_kv_metadata($path)", path).fetchall()
        ends = connection.execute("FROM parquet_metadata($path)", path).fetchall()
    return repr((rows, facts, [[one for one in row if one != str(file)] for row in ends]))


def test_an_anonymous_export_names_nobody(tmp_path: Path) -> None:
    with _secret_history() as history:
        history.export(tmp_path / "open.parquet")
        history.export(tmp_path / "shut.parquet", anonymise=True)
    assert "SECRET" in _texts(tmp_path / "open.parquet")
    assert "SECRET" not in _texts(tmp_path / "shut.parquet")
    with History.in_memory() as other:
        assert other.merge(tmp_path / "shut.parquet").added == 8
        assert other.outcomes("toy").full_scores().tolist() == [0.5, 0.5]


def test_a_salt_gives_an_agent_the_same_name_again(tmp_path: Path) -> None:
    file = tmp_path / "file.parquet"
    history = _secret_history()

    def names(salt: str | None) -> set[str]:
        history.export(file, anonymise=True, salt=salt)
        with duckdb.connect() as connection:
            found = connection.execute("SELECT agent FROM read_parquet(?)", [str(file)])
            return {str(row[0]) for row in found.fetchall()}

    assert names("one") == names("one")
    assert len(names("one") | names("two") | names(None) | names(None)) == 8
    with history, pytest.raises(InputError, match="anonymous export only"):
        history.export(tmp_path / "file.parquet", salt="one")


def test_keys_of_an_anonymous_export_cannot_be_recomputed(tmp_path: Path) -> None:
    with _secret_history() as history, History.in_memory() as other:
        history.export(tmp_path / "shut.parquet", anonymise=True)
        other.merge(tmp_path / "shut.parquet")
        assert other.merge(history).added == 8


def test_agents_that_an_alias_makes_one_get_one_name(tmp_path: Path) -> None:
    with _secret_history() as history, History.in_memory() as other:
        history.alias("agent", "SECRETtwo", "SECRETalias")
        history.export(tmp_path / "shut.parquet", anonymise=True)
        other.merge(tmp_path / "shut.parquet")
        assert len(other.agents("toy")) == len(history.agents("toy")) == 1


@pytest.mark.skipif(os.name != "posix", reason="there are no modes elsewhere")
def test_who_may_read_the_file_is_for_the_umask_or_private_to_say(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with _secret_history() as history:
            history.export(tmp_path / "team.parquet")
            history.export(tmp_path / "mine.parquet", private=True)
    finally:
        os.umask(before)
    modes = [(tmp_path / f"{name}.parquet").stat().st_mode & 0o777 for name in ("team", "mine")]
    assert modes == [0o664, 0o600]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.parquet", "team.parquet"]


def test_only_one_benchmark_is_exported(tmp_path: Path) -> None:
    file = tmp_path / "toy.parquet"
    with _secret_history() as history, History.in_memory() as other:
        history.add([Record(benchmark="more", task_id="1", agent="a", score=1.0)])
        assert history.export(file, benchmark="toy") == 8
        other.merge(file)
        assert [each.name for each in other.benchmarks()] == ["toy"]


def test_a_flipped_byte_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    file, broken = tmp_path / "all.parquet", tmp_path / "broken.parquet"
    with _secret_history() as history:
        history.add([_judged("a", 2 + i / 7, task=str(i)) for i in range(50)])
        history.export(file)
        whole = file.read_bytes()
        for start in range(4, len(whole), len(whole) // 12):
            data = bytearray(whole)
            data[start] ^= 1 << start % 8
            broken.write_bytes(bytes(data))
            with History.in_memory() as other:
                try:
                    other.merge(broken)
                except UnreadableSourceError:
                    continue
                else:
                    assert _all_of(other) == _all_of(history)


def test_a_damaged_or_foreign_file_is_refused_in_one_line(tmp_path: Path) -> None:
    file, broken = tmp_path / "all.parquet", tmp_path / "broken.parquet"
    with _secret_history() as history:
        history.export(file)
        whole = file.read_bytes()
        with pytest.raises(StoreError, match="expected to write"):
            history.export(tmp_path / "no" / "such" / "place.parquet")
    foreign = tmp_path / "foreign.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 1 AS task_id) TO '{foreign}' (FORMAT parquet)")
        rows = f"SELECT * REPLACE (2 AS score) FROM read_parquet('{file}') LIMIT 3"
        found = connection.execute("SELECT value FROM parquet_kv_metadata(?)", [str(file)])
        facts = b"".join(bytes(row[0]) for row in found.fetchall()).decode().replace("'", "''")
        made = f"(FORMAT parquet, KV_METADATA {{midband: '{facts}'}})"
        connection.execute(f"COPY ({rows}) TO '{tmp_path}/short.parquet' {made}")
    broken.write_bytes(whole[: len(whole) // 2])
    with History.in_memory() as other:
        for name in ("broken", "foreign", "short"):
            with pytest.raises(UnreadableSourceError) as caught:
                other.merge(tmp_path / f"{name}.parquet")
            assert "\n" not in str(caught.value)
            assert f"{name}.parquet" in str(caught.value)
        assert other.benchmarks() == []
