"""Many processes, one history: nothing lost, nothing twice, nobody locked out."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from midband_history import History, Inbox, Record, StoreError

# The whole number of kills is run by MIDBAND_KILLS=200.
KILLS = int(os.environ.get("MIDBAND_KILLS", "6"))


def _records(agent: str, tasks: int = 20, *, score: float = 1.0) -> list[Record]:
    return [Record(benchmark="toy", task_id=str(i), agent=agent, score=score) for i in range(tasks)]


def _counts(path: Path) -> dict[str, int]:
    with History.open(path, read_only=True) as history:
        assert history.check({}) == ([], [])
        found: dict[str, int] = {}
        for record in history.records():
            found[record.agent] = found.get(record.agent, 0) + 1
        return found


def _start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


ADD = """
import sys
from midband_history import History, Record
for i in range(int(sys.argv[3])):
    with History.open(sys.argv[1]) as history:
        history.add(
            [Record(benchmark="toy", task_id=str(j), agent=f"{sys.argv[2]}-{i}", score=1.0)
             for j in range(20)])
    print(f"{sys.argv[2]}-{i}", flush=True)
"""
WRITE = """
import itertools, sys
from midband_history import Inbox, Record
with Inbox(sys.argv[1]) as inbox:
    for i in range(int(sys.argv[3])):
        inbox.write(
            [Record(benchmark="toy", task_id=str(j), agent=f"{sys.argv[2]}-{i}", score=1.0)
             for j in range(20)])
        print(f"{sys.argv[2]}-{i}", flush=True)
"""
COMPACT = """
import sys
from midband_history import History
for _ in range(int(sys.argv[2])):
    with History.open(sys.argv[1]) as history:
        history.compact()
    print("compacted", flush=True)
"""


def test_processes_that_add_at_once_all_add_while_another_reads(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    History.open(path).close()
    writers = [_start(ADD, path, f"agent{i}", 3) for i in range(6)]
    writers += [_start(WRITE, path, f"batch{i}", 3) for i in range(2)]
    seen = [_counts(path)]
    try:
        while any(each.poll() is None for each in writers):
            seen.append(_counts(path))
    finally:
        for each in writers:
            each.communicate()
    assert [each.returncode for each in writers] == [0] * 8
    for before, after in itertools.pairwise(seen):
        assert set(after.values()) <= {20}  # of every agent all attempts or none
        assert set(before) <= set(after)
    agents = [*(f"agent{i}" for i in range(6)), *(f"batch{i}" for i in range(2))]
    assert _counts(path) == {f"{agent}-{j}": 20 for agent in agents for j in range(3)}


def test_readers_count_the_inbox_and_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with Inbox(path) as inbox:
        assert inbox.write([]) is None
        first = inbox.write(_records("a"))
    assert first is not None
    assert _counts(path) == {"a": 20}
    assert not path.exists()
    with History.open(path) as history:
        history.add(_records("b"))
    assert not first.exists()
    with Inbox(path) as inbox:
        second = inbox.write(_records("c"))
    before = path.read_bytes()
    assert _counts(path) == {"a": 20, "b": 20, "c": 20}
    assert path.read_bytes() == before
    assert second is not None
    assert second.exists()


def test_the_inbox_gives_what_adding_gives(tmp_path: Path) -> None:
    records = [*_records("a", 5), *_records("a", 5, score=0.0), *_records("b", 3)]
    with History.open(tmp_path / "direct.duckdb") as direct:
        direct.add(records, source="one", source_digest="d")
        wanted = [(list(direct.records()), direct.why("toy", "1"))]
    with Inbox(tmp_path / "h.duckdb") as inbox:
        inbox.write(records, source="one", source_digest="d")
        inbox.write(records, source="one", source_digest="d")
    with History.open(tmp_path / "h.duckdb") as history:
        assert list(history.records()) == wanted[0][0]
        assert [(each.source, each.agent, each.score) for each in history.why("toy", "1")] == [
            (each.source, each.agent, each.score) for each in wanted[0][1]
        ]
        assert history.known_sources(["d"])


def test_a_reader_keeps_what_it_opened_through_a_fold(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with Inbox(path) as inbox, History.open(path) as writer:
        writer.add(_records("a"))
        with History.open(path, read_only=True) as reader:
            inbox.write(_records("b"))
            rows = reader.records()
            next(rows)
            writer.compact()
            assert reader.outcomes("toy").agents == ("a",)
            assert sum(1 for _ in rows) == 19
        assert writer.outcomes("toy").agents == ("a", "b")
    assert inbox.names() == []


def test_a_batch_is_taken_in_once_though_its_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with Inbox(path) as inbox:
        batch = inbox.write(_records("a"))
        assert batch is not None
        content = batch.read_bytes()
        with History.open(path) as history:
            assert [each.attempts for each in history.compact()] == [20]
        batch.write_bytes(content)  # as if a kill had come before it was removed
        with History.open(path) as history:
            history.forget(benchmark="toy")
        assert _counts(path) == {}
        assert not batch.exists()


def test_a_clock_that_goes_backwards_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "h.duckdb"
    moments = iter([5 * 10**18, 10**18, 10**18])
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    with Inbox(path) as inbox:
        for agent in "abc":
            inbox.write(_records(agent))
            History.open(path).close()
    assert _counts(path) == {"a": 20, "b": 20, "c": 20}


def test_a_batch_that_contradicts_the_history_is_kept_aside(tmp_path: Path) -> None:
    from midband_history import Metric

    path = tmp_path / "h.duckdb"
    judge = Metric(name="judge", low=0, high=10, declared="source")
    other = Metric(name="judge", low=0, high=5, declared="source")
    with History.open(path) as history:
        history.add([Record(benchmark="toy", task_id="1", agent="a", score=7.0, metric=judge)])
    with Inbox(path) as inbox:
        inbox.write([Record(benchmark="toy", task_id="1", agent="b", score=2.0, metric=other)])
        inbox.write([Record(benchmark="toy", task_id="1", agent="c", score=2.0, metric=judge)])
        with pytest.warns(UserWarning, match="left out the batch .* stated scale"):
            reader = History.open(path, read_only=True)
        with reader:
            assert reader.outcomes("toy").agents == ("a", "c")
        with pytest.warns(UserWarning, match="set aside the batch"):
            history = History.open(path)
        with history:
            (refused,) = [each for each in history.compact() if each.refused]
            assert "stated scale 0 to 10" in refused.refused
            assert history.outcomes("toy").agents == ("a", "c")
            assert [each.name for each in history.set_aside()] == [refused.name]


@pytest.mark.parametrize("fault", ["flip", "cut", "empty"])
def test_a_damaged_batch_is_an_error_until_it_is_set_aside(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "h.duckdb"
    chance = random.Random(fault)
    with Inbox(path) as inbox:
        for round_ in range(10):
            inbox.write(_records(f"good{round_}"))
            batch = inbox.write(_records("bad"))
            assert batch is not None
            content = bytearray(batch.read_bytes())
            place = chance.randrange(len(content))
            content[place] ^= 1 << chance.randrange(8)
            if fault == "cut":
                del content[place:]
            batch.write_bytes(b"" if fault == "empty" else content)
            with pytest.raises(StoreError) as caught:
                History.open(path, read_only=True)
            assert str(batch) in str(caught.value)
            assert "midband history compact" in str(caught.value)
            with pytest.warns(UserWarning, match="damaged file"):
                History.open(path).close()
            assert batch.name in {each.name for each in inbox.set_aside()}
        assert _counts(path) == {f"good{i}": 20 for i in range(10)}


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
@pytest.mark.parametrize("code", [ADD, WRITE, COMPACT], ids=["add", "write", "compact"])
def test_kills_lose_nothing_acknowledged(tmp_path: Path, code: str) -> None:
    path = tmp_path / "h.duckdb"
    History.open(path).close()
    chance = random.Random(7)
    promised: set[str] = set()
    for number in range(max(1, KILLS // 3)):
        if code == COMPACT:
            with Inbox(path) as inbox:
                for i in range(5):
                    inbox.write(_records(f"{number}-{i}"))
                    promised.add(f"{number}-{i}")
        arguments = [path, 100] if code == COMPACT else [path, f"k{number}", 1000]
        worker = _start(code, *arguments)
        assert worker.stdout is not None
        said = []
        for _ in range(chance.randrange(1, 5)):  # how far it came, not how long it took
            said.append(worker.stdout.readline().strip())
        time.sleep(chance.random() * 0.05)
        with suppress(ProcessLookupError):
            worker.send_signal(signal.SIGKILL)
        rest, _ = worker.communicate()
        if code != COMPACT:
            promised.update(filter(None, (*said, *rest.split("\n")[:-1])))
        counts = _counts(path)
        assert set(counts.values()) == {20}
        assert promised <= set(counts)
    with History.open(path) as history:
        history.compact()
    assert promised <= set(_counts(path))
    assert [each.name for each in tmp_path.iterdir() if "writing" in each.name] == []


HOLD = """
import sys
from midband_history import History
with History.open(sys.argv[1]) as history:
    with history._writing():
        print("held", flush=True)
        sys.stdin.readline()
"""


def test_a_writer_waits_for_another_and_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with _start(HOLD, path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with History.open(path, patience_s=0) as history, pytest.raises(StoreError) as caught:
            history.add(_records("a"))
        assert "found another process writing" in str(caught.value)
        assert _counts(path) == {}  # readers wait for nobody
        with Inbox(path) as inbox:
            inbox.write(_records("b"))
        assert _counts(path) == {"b": 20}
        other.communicate("\n")
    assert _counts(path) == {"b": 20}


@pytest.mark.skipif(os.name != "posix", reason="a file in use cannot be replaced elsewhere")
def test_files_follow_the_umask_and_keep_their_mode(tmp_path: Path) -> None:
    before = os.umask(0o007)
    try:
        path = tmp_path / "h.duckdb"
        with Inbox(path) as inbox:
            batch = inbox.write(_records("a"))
            assert batch is not None
            assert batch.stat().st_mode & 0o777 == 0o660
        History.open(path).close()
        assert path.stat().st_mode & 0o777 == 0o660
        path.chmod(0o600)
        with History.open(path) as history:
            history.add(_records("b"))
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
