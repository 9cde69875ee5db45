"""A history of midband 0.1: opened, it holds the same; read anew, it is put right."""

import hashlib
import os
import random
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest

from midband_history import History, Incoming, InputError, Metric, Record, StoreError
from midband_history import connection as connecting
from midband_history.connection import statement

# The whole number of kills is run by MIDBAND_KILLS=200.
KILLS = int(os.environ.get("MIDBAND_KILLS", "6")) // 3

# benchmark, task, digest, agent, kind, score
ROWS = [
    ("b", "1", "x", "a", "valid", 1.0),
    ("b", "2", "x", "a", "valid", 0.25),
    ("b", "1", "x", "c", "infra_error", None),
    ("b", "2", "y", "c", "valid", 0.5),
    ("inspect_evals/gsm8k", "1", "", "a", "valid", 1.0),
]


def _write_old(path: Path, rows: list[tuple[str, str, str, str, str, float | None]]) -> None:
    """Write what midband 0.1 wrote: its schema, its rows and its keys."""
    with duckdb.connect(str(path)) as old:
        old.execute(
            "CREATE TABLE midband_migrations"
            " (number INTEGER NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
        )
        old.execute(statement("0001_initial"))
        old.execute("INSERT INTO midband_migrations VALUES (1, '0001_initial', '2025-06-01')")
        old.execute("INSERT INTO sources VALUES (1, 'old.csv', 'digest', '2025-06-01')")
        benchmarks = sorted({row[0] for row in rows})
        tasks = sorted({row[:3] for row in rows})
        agents = sorted({row[3] for row in rows})
        runs = sorted({(row[0], row[3]) for row in rows})
        for i, name in enumerate(benchmarks):
            old.execute("INSERT INTO benchmarks VALUES (?, ?)", [i, name])
        for i, (benchmark, name, digest) in enumerate(tasks):
            old.execute(
                "INSERT INTO tasks VALUES (?, ?, ?, ?)",
                [i, benchmarks.index(benchmark), name, digest],
            )
        for i, name in enumerate(agents):
            old.execute("INSERT INTO agents VALUES (?, ?, ?, '', '', '', '')", [i, name, name])
        for i, (benchmark, agent) in enumerate(runs):
            old.execute(
                "INSERT INTO runs VALUES (?, ?, ?, '', '', '', NULL, NULL)",
                [i, benchmarks.index(benchmark), agents.index(agent)],
            )
        for benchmark, task, digest, agent, kind, score in rows:
            old.execute(
                "INSERT INTO outcomes SELECT $agent_id, $task_id, $run_id, 0, $kind, $score,"
                " $score = 1, NULL, NULL, NULL, 1, md5_number_lower(concat_ws(chr(31), 'place',"
                " $benchmark, $task, $agent, '', '', '', '', '', '-', '0'))",
                {
                    "agent_id": agents.index(agent),
                    "task_id": tasks.index((benchmark, task, digest)),
                    "run_id": runs.index((benchmark, agent)),
                    "kind": kind,
                    "score": score,
                    "benchmark": benchmark,
                    "task": task,
                    "agent": agent,
                },
            )


def _as_records() -> list[Record]:
    return [
        Record(
            benchmark=benchmark,
            task_id=task,
            task_digest=digest,
            agent=agent,
            kind=kind,  # type: ignore[arg-type]
            score=score,
        )
        for benchmark, task, digest, agent, kind, score in ROWS
    ]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "h.duckdb"
    _write_old(path, ROWS)
    return path


@pytest.mark.parametrize("read_only", [True, False])
def test_an_old_history_holds_the_same_after_the_upgrade(old: Path, read_only: bool) -> None:
    with History.open(old, read_only=read_only) as history:
        found = history.outcomes("b")
        assert (found.agents, found.tasks) == (("a", "c"), ("1", "2"))
        assert found.task_digests == ("x", "y")
        assert np.isnan(found.scores[1, 0])
        assert found.scores[0, 0] == 1.0
        assert found.scores[1, 1] == 0.5
        assert found.without_score.tolist() == [[0, 0], [1, 0]]
        assert found.metric.known is False
        assert history.outcomes("gsm8k").agents == ("a",)
        assert history.outcomes("inspect_evals/gsm8k").scores.tolist() == [[1.0]]
        assert history.check({})[1] == []
        (stale,) = history.check({})[0]
        assert (stale.source, stale.attempts) == ("old.csv", len(ROWS))
        assert "midband 0.1" in stale.fault
        assert history.why("b", "1", "a")[0].reader == "midband 0.1"
    with History.open(old, read_only=True) as history:
        assert sum(each.attempts for each in history.benchmarks()) == len(ROWS)


UPGRADE = """
import sys
from midband_history import History
print("begun", flush=True)
History.open(sys.argv[1]).close()
"""


@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_process_that_is_killed_while_it_upgrades_harms_nothing(old: Path) -> None:
    content = old.read_bytes()
    chance = random.Random(5)
    for _ in range(KILLS):
        old.write_bytes(content)
        with subprocess.Popen(
            [sys.executable, "-c", UPGRADE, str(old)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"begun\n"
            time.sleep(chance.random() * 0.25)  # wherever it is then, the file is whole
            worker.kill()
        for read_only in (True, False):
            with History.open(old, read_only=read_only) as history:
                assert sum(each.attempts for each in history.benchmarks()) == len(ROWS)
                assert history.outcomes("b").scores[1, 1] == 0.5
                assert history.check({})[1] == []
    assert [each.name for each in old.parent.iterdir() if "writing" in each.name] == []


def test_the_same_results_add_nothing_to_an_upgraded_history(old: Path) -> None:
    with History.open(old) as history:
        report = history.add(_as_records())
        assert (report.added, report.duplicates) == (0, len(ROWS))
        assert report.skipped == ()


def test_what_was_misread_is_put_right_by_reading_the_source_again(old: Path) -> None:
    right = [
        Record(benchmark="b", task_id=task, task_digest="x", agent="a", score=score,
               metric=Metric(name="exact"))
        for task, score in (("1", 0.0), ("2", 1.0), ("3", 1.0))
    ]  # fmt: skip
    with History.open(old) as history:
        ids, version = history.known_sources(["digest"])["digest"]
        assert version == 0
        (report,) = history.add_sources(
            [
                Incoming(
                    name="old.csv",
                    digest="digest",
                    content="c",
                    reader="csv",
                    reader_version=2,
                    replaces=ids,
                    records=right,
                )
            ]
        )
        assert (report.added, report.replaced, report.duplicates) == (1, 2, 0)
        assert history.outcomes("b").scores.tolist() == [[0.0, 1.0, 1.0]]
        assert [each.name for each in history.benchmarks()] == ["b"]
        assert history.check({"csv": 2}) == ([], [])


def test_an_unnamed_metric_of_an_old_history_is_asked_for_beside_a_named_one(old: Path) -> None:
    with History.open(old) as history:
        history.add(
            [Record(benchmark="b", task_id="1", agent="n", score=1.0, metric=Metric(name="exact"))]
        )
        with pytest.raises(InputError, match="an unnamed one"):
            history.outcomes("b")
        history.declare_metric("b", name="exact")
        assert history.outcomes("b").agents == ("a", "c", "n")


def test_an_old_history_that_cannot_be_written_says_what_to_do(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    before = hashlib.sha256(old.read_bytes()).digest()
    with pytest.raises(StoreError, match="open it once for writing") as caught:
        History.open(old, read_only=True)
    assert len(str(caught.value).splitlines()) == 1
    assert hashlib.sha256(old.read_bytes()).digest() == before


@pytest.mark.parametrize("place", [1, 5, 12, None])
def test_an_upgrade_that_breaks_off_leaves_the_old_history(
    old: Path, monkeypatch: pytest.MonkeyPatch, place: int | None
) -> None:
    def broken(name: str) -> str:
        text = statement(name)
        parts = text.split(";\n")
        where = len(parts) if place is None else place
        return ";\n".join([*parts[:where], "SELECT error('the disk is full')", *parts[where:]])

    with monkeypatch.context() as patch:
        patch.setattr(connecting, "statement", broken)
        with pytest.raises(StoreError, match="the disk is full"):
            History.open(old)
    with duckdb.connect(str(old), read_only=True) as raw:
        assert raw.execute("SELECT max(number) FROM midband_migrations").fetchall() == [(1,)]
        assert raw.execute("SELECT count(*), min(kind::VARCHAR) FROM outcomes").fetchall() == [
            (len(ROWS), "infra_error")
        ]
    with History.open(old) as history:
        assert history.outcomes("b").scores[0, 0] == 1.0


def test_an_empty_old_history_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "empty.duckdb"
    with duckdb.connect(str(path)) as raw:
        raw.execute(
            "CREATE TABLE midband_migrations"
            " (number INTEGER NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
        )
        raw.execute(statement("0001_initial"))
        raw.execute(
            "INSERT INTO midband_migrations VALUES (1, '0001_initial', ?)", [datetime(2025, 1, 1)]
        )
    with History.open(path) as history:
        assert history.benchmarks() == []
        assert history.add(_as_records()).added == len(ROWS)
