"""What `check` finds wrong in a history, and what a repair makes of it; no attempt is lost."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest

from midband_history import (
    History,
    Incoming,
    Metric,
    Record,
    StoreError,
    Table,
    repair_history,
    salvage_history,
)
from midband_history.soundness import find_faults, mend

DAY = datetime(2025, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of a sound history: two agents, three tasks, two sources, one metric."""
    path = tmp_path_factory.mktemp("sound") / "h.duckdb"
    with History.open(path) as history:
        for source, agent in (("one", "a"), ("two", "b")):
            history.add_sources(
                [
                    Incoming(
                        name=source, digest=f"d-{source}", content=f"c-{source}",
                        reader="toy", reader_version=1,
                        records=_records(agent),
                    )
                ]
            )  # fmt: skip
    return path.read_bytes()


def _records(agent: str) -> list[Record]:
    return [
        Record(
            benchmark="b", task_id=str(task), agent=agent, score=score, started=DAY, run_id="r",
            metric=Metric(name="m", low=0.0, high=2.0, declared="source"), cost_usd=1.0,
        )
        for task, score in enumerate((0.5, 1.0, 2.0))
    ]  # fmt: skip


def _spoilt(path: Path, sound: bytes, *statements: str) -> Path:
    path.write_bytes(sound)
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


@pytest.fixture(scope="module")
def want(tmp_path_factory: pytest.TempPathFactory, sound: bytes) -> list[Record]:
    """Return every record of the sound history."""
    path = _spoilt(tmp_path_factory.mktemp("want") / "h.duckdb", sound)
    with History.open(path, read_only=True) as history:
        return sorted(history.records(), key=repr)


# What is done to the file, what `check` says, what the repair says that it did.
MENDED = [
    (
        ["INSERT INTO agents SELECT * FROM agents WHERE name = 'a'"],
        "1 agents with the id of another",
        "removed 1 second copies of agents",
    ),
    (
        [
            "INSERT INTO agents SELECT 9, 'a#2', name, model, scaffold, version, settings"
            " FROM agents WHERE name = 'a'",
            "UPDATE runs SET agent_id = 9 WHERE agent_id = 1",
            "UPDATE outcomes SET agent_id = 9 WHERE agent_id = 1 AND task_id = 2",
            "INSERT INTO runs SELECT 8, benchmark_id, 1, name, harness, harness_version, started,"
            " cost_usd, version, whole FROM runs WHERE agent_id = 9",
            "UPDATE outcomes SET run_id = 8 WHERE agent_id = 1",
        ],
        "1 agents that are there under another id",
        "merged 1 agents that were there under another id",
    ),
    (
        [
            "INSERT INTO tasks SELECT 9, benchmark_id, name, digest, part FROM tasks"
            " WHERE name = '1'",
            "UPDATE outcomes SET task_id = 9 WHERE task_id = 2 AND agent_id = 2",
        ],
        "1 tasks that are there under another id",
        "merged 1 tasks that were there under another id",
    ),
    (
        [
            "INSERT INTO benchmarks VALUES (9, 'b')",
            "INSERT INTO tasks SELECT task_id + 10, 9, name, digest, part FROM tasks",
            "INSERT INTO metrics SELECT 9, 9, name, key, low, high, lower_is_better, declared,"
            " 0.5, 2.0 FROM metrics",
            "UPDATE runs SET benchmark_id = 9 WHERE agent_id = 2",
            "UPDATE outcomes SET task_id = task_id + 10, metric_id = 9 WHERE agent_id = 2",
        ],
        "1 benchmarks that are there under another id",
        "merged 3 tasks that were there under another id",
    ),
    (
        ["INSERT INTO outcomes SELECT * FROM outcomes WHERE task_id = 1"],
        "2 attempts held twice",
        "removed 2 second copies of attempts with the same result",
    ),
    (
        ["UPDATE metrics SET seen_low = 1.0, seen_high = NULL"],
        "1 metrics with scores outside the range in which they were seen",
        "widened the seen range of 1 metrics to their scores",
    ),
    (
        [
            "UPDATE outcomes SET tokens = -5 WHERE task_id = 1",
            "UPDATE outcomes SET duration_s = 'inf' WHERE task_id = 2",
        ],
        "4 attempts with a cost, tokens or a duration below 0 or infinite",
        "made unknown what 4 attempts cost below 0 or without end",
    ),
    (
        ["DELETE FROM sources WHERE name = 'one'"],
        "3 attempts from a source that is not there",
        "gave 3 attempts a source of unknown name: theirs was not there",
    ),
]


@pytest.mark.parametrize(("statements", "fault", "done"), MENDED)
def test_what_can_be_put_right_is_put_right(
    tmp_path: Path,
    sound: bytes,
    want: list[Record],
    statements: list[str],
    fault: str,
    done: str,
) -> None:
    path = _spoilt(tmp_path / "h.duckdb", sound, *statements)
    before = path.read_bytes()
    with History.open(path, read_only=True) as history:
        assert fault in history.check({"toy": 1})[1]
    report = repair_history(path)
    assert done in report.done
    assert report.left == ()
    assert report.copy is not None
    assert report.copy.read_bytes() == before
    with History.open(path, read_only=True) as history:
        assert history.check({"toy": 1})[1] == []
        assert history.agents("b")[0].mean == pytest.approx(7 / 12)
        assert sorted(history.records(), key=repr) == want


def test_a_sound_history_is_left_alone(tmp_path: Path, sound: bytes) -> None:
    path = _spoilt(tmp_path / "h.duckdb", sound)
    before = path.read_bytes()
    report = repair_history(path)
    assert (report.done, report.left, report.copy) == ((), (), None)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.glob("*.*")] == ["h.duckdb"]


# What a repair must leave: nothing says which of two is right, or the rest is gone.
LEFT = [
    (["DELETE FROM runs WHERE agent_id = 1"], "3 attempts of a run that is not there"),
    (["DELETE FROM tasks WHERE name = '1'"], "2 attempts at a task that is not there"),
    (["DELETE FROM metrics"], "6 attempts by a metric that is not there"),
    (["DELETE FROM benchmarks"], "2 runs of a benchmark that is not there"),
    (["UPDATE agents SET agent_id = 7 WHERE name = 'b'"], "1 runs by an agent that is not there"),
    (["UPDATE outcomes SET agent_id = 2 WHERE task_id = 1"], "1 attempts by another agent"),
    (["UPDATE outcomes SET score = NULL WHERE task_id = 1"], "2 valid attempts without a score"),
    (["UPDATE outcomes SET score = 'nan' WHERE task_id = 1"], "2 valid attempts without a score"),
    (["UPDATE outcomes SET kind = 1 WHERE task_id = 1"], "2 attempts with a score though"),
    (["UPDATE outcomes SET kind = 7, score = NULL"], "6 attempts of an unknown kind"),
    (["UPDATE outcomes SET attempt = -1"], "6 attempts with a number below 0"),
    (["UPDATE metrics SET high = low"], "1 metrics whose scale is empty"),
    (
        ["INSERT INTO outcomes SELECT * REPLACE (0.75 AS score) FROM outcomes WHERE task_id = 1"],
        "2 attempts held twice",
    ),
    (["UPDATE agents SET agent_id = 1"], "1 agents with the id of another"),
    (
        ["INSERT INTO aliases VALUES ('agent', 'x', 'a'), ('agent', 'x', 'b')"],
        "1 names that are an alias of two",
    ),
]


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory, sound: bytes
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Return a connection to a copy of the sound history, of which every change is taken back."""
    path = tmp_path_factory.mktemp("opened") / "h.duckdb"
    path.write_bytes(sound)
    with duckdb.connect(str(path)) as connection:
        yield connection


@pytest.mark.parametrize(("statements", "fault"), LEFT)
def test_what_cannot_be_put_right_is_named_and_no_attempt_is_lost(
    opened: duckdb.DuckDBPyConnection, statements: list[str], fault: str
) -> None:
    opened.begin()
    try:
        for each in statements:
            opened.execute(each)
        assert any(line.startswith(fault) for line in find_faults(opened))
        before = opened.execute("SELECT * FROM outcomes ORDER BY ALL").fetchall()
        _, left = mend(opened)
        assert any(line.startswith(fault) for line in left), left
        after = opened.execute("SELECT * FROM outcomes ORDER BY ALL").fetchall()
        assert repr(after) == repr(before)
    finally:
        opened.rollback()


def test_attempts_that_lack_a_part_are_replaced_by_importing_their_source_again(
    tmp_path: Path, sound: bytes, want: list[Record]
) -> None:
    path = _spoilt(tmp_path / "h.duckdb", sound, "DELETE FROM runs WHERE agent_id = 1")
    report = repair_history(path)
    assert report.left[-1] == "import again, to replace attempts that lack a part: one"
    with History.open(path) as history:
        assert set(history.known_sources(["d-one", "d-two"])) == {"d-two"}
        held = history.readings_of(["c-one"], benchmark="", metric="")["c-one"]
        history.add_sources(
            [
                Incoming(
                    name="one", digest="d-one", content="c-one", reader="toy", reader_version=1,
                    records=_records("a"), replaces=tuple(held),
                )
            ]
        )  # fmt: skip
        assert history.check({"toy": 1}) == ([], [])
        assert sorted(history.records(), key=repr) == want


def test_a_metric_of_two_scales_is_not_merged(tmp_path: Path, sound: bytes) -> None:
    path = _spoilt(
        tmp_path / "h.duckdb",
        sound,
        "INSERT INTO metrics SELECT 9, benchmark_id, name, key, low, 10, lower_is_better,"
        " declared, seen_low, seen_high FROM metrics",
        "UPDATE outcomes SET metric_id = 9 WHERE agent_id = 2",
    )
    report = repair_history(path)
    assert [line.split()[:3] for line in report.done] == [["added", "up", "anew"]]
    assert report.left == ("1 metrics that are there under another id",)


def test_rows_that_nothing_refers_to_go(tmp_path: Path, sound: bytes) -> None:
    path = _spoilt(
        tmp_path / "h.duckdb", sound, "INSERT INTO tasks VALUES (9, 1, 'never run', '', '')"
    )
    assert repair_history(path).done == ("removed what no attempt refers to: 1 tasks",)
    with History.open(path) as history:
        assert history.benchmarks()[0].tasks == 3


def test_a_damaged_file_is_not_repaired(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "h.duckdb"
    # Cut where the header says that blocks follow.
    path.write_bytes(sound[: len(sound) // 2])
    with pytest.raises(StoreError, match="damaged"):
        repair_history(path)
    assert [each.name for each in tmp_path.glob("*.*")] == ["h.duckdb"]


def test_salvage_reads_around_a_damaged_part_and_names_its_sources(tmp_path: Path) -> None:
    """Of 40,000 attempts a flipped byte takes some; importing their sources again restores all."""
    path, new = tmp_path / "h.duckdb", tmp_path / "new.duckdb"

    def add(history: History, number: int) -> None:
        table = Table(path=tmp_path / f"s{number}.parquet", format="parquet")
        name = f"s{number}"
        history.add_table(table, Incoming(name=name, digest=f"d{number}"))

    with History.open(path) as history:
        for number in range(2):
            duckdb.sql(
                f"COPY (SELECT 'b' AS benchmark, 't' || i % 1000 AS task_id, 'a{number}' AS agent,"
                f" 'r' || i // 1000 AS run_id, 1.0 AS score FROM range(20000) AS _(i))"
                f" TO '{tmp_path}/s{number}.parquet'"
            )
            add(history, number)
        want = [each.attempts for each in history.benchmarks()]
    _damage(path, "key", "UBIGINT")
    report = salvage_history(path, new)
    lost = sum(each.attempts for each in report.lost)
    assert report.kept + lost == 40_000
    assert 0 < lost < 40_000
    assert {each.source for each in report.lost} <= {"s0", "s1"}
    assert "of the table outcomes cannot be read" in report.notes[0]
    with History.open(new) as history:
        assert history.check({})[1] == []
        known = history.known_sources(["d0", "d1"])
        assert len(known) == 2 - len(report.lost)
        for number in range(2):
            if f"d{number}" not in known:
                add(history, number)
        assert [each.attempts for each in history.benchmarks()] == want


def test_salvage_keeps_attempts_whose_cost_is_damaged_without_it(tmp_path: Path) -> None:
    path, new = tmp_path / "h.duckdb", tmp_path / "new.duckdb"
    table = tmp_path / "s.parquet"
    duckdb.sql(
        "COPY (SELECT 'b' AS benchmark, 't' || i AS task_id, 'a' AS agent, 0.5 AS score,"
        f" hash(i) / 1e19 AS cost_usd FROM range(40000) AS _(i)) TO '{table}'"
    )
    source = Incoming(name="s", digest="d", content="c", reader="toy", reader_version=1)
    with History.open(path) as history:
        history.add_table(Table(path=table, format="parquet"), source)
        want = history.outcomes("b")
    _damage(path, "cost_usd", "DOUBLE")
    report = salvage_history(path, new)
    assert (report.kept, report.lost) == (40_000, ())
    ((name, reduced),) = [(each.source, each.attempts) for each in report.reduced]
    assert (name, reduced > 0) == ("s", True)
    assert "kept without cost_usd, which cannot be read" in report.notes[0]
    with History.open(new) as history:
        kept = history.outcomes("b")
        assert np.array_equal(kept.scores, want.scores)
        unknown = np.isnan(kept.cost_usd)
        assert unknown.sum() == reduced
        assert np.array_equal(kept.cost_usd[~unknown], want.cost_usd[~unknown])
        assert history.known_sources(["d"]) == {}
        source.replaces = tuple(history.readings_of(["c"], benchmark="", metric="")["c"])
        history.add_table(Table(path=table, format="parquet"), source)
        assert np.array_equal(history.outcomes("b").cost_usd, want.cost_usd)


def _damage(path: Path, column: str, kind: str) -> None:
    """Flip a byte in a block of the attempts that only one column uses."""
    with duckdb.connect(str(path), read_only=True) as connection:
        ((block,),) = connection.execute(
            "SELECT min(block_id) FROM pragma_storage_info('outcomes')"
            f" WHERE column_name = '{column}' AND segment_type = '{kind}' AND block_id NOT IN ("
            "SELECT block_id FROM pragma_storage_info('outcomes')"
            f" WHERE column_name <> '{column}' AND block_id IS NOT NULL)"
        ).fetchall()
    content = bytearray(path.read_bytes())
    content[3 * 4096 + block * 262_144 + 1_000] ^= 1
    path.write_bytes(content)
