"""Opening a history: where it is, and one clear line when it cannot be opened."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from midband_history import History, Record, StoreError, default_path

RECORD = Record(benchmark="toy", task_id="1", agent="a", score=1.0)


def _one_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("expected")
    return text


def test_the_default_is_the_environment_then_the_users_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIDBAND_HISTORY", str(tmp_path / "mine.duckdb"))
    assert default_path() == tmp_path / "mine.duckdb"
    with History.open() as history:
        assert history.path == tmp_path / "mine.duckdb"
    monkeypatch.delenv("MIDBAND_HISTORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path().name == "history.duckdb"


def test_a_history_from_a_newer_midband_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add([RECORD])
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO midband_migrations VALUES (999, 'later', now()::TIMESTAMP)")
    for read_only in (True, False):
        with pytest.raises(StoreError) as caught:
            History.open(path, read_only=read_only)
        assert "999" in _one_line(caught)
        assert "newer midband" in str(caught.value)


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE sales (price INTEGER)")
    with pytest.raises(StoreError, match="other tables") as caught:
        History.open(path)
    _one_line(caught)
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == [("sales",)]


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but some notes\n" * 500)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        History.open(path)
    assert "another kind" in _one_line(caught)
    assert path.read_bytes() == before


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="directory") as caught:
        History.open(tmp_path)
    _one_line(caught)
    with pytest.raises(StoreError, match="found no file: import results first"):
        History.open(tmp_path / "none.duckdb", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="elsewhere") as caught:
        History.open(tmp_path / "file" / "sub" / "h.duckdb")
    _one_line(caught)


def test_a_read_only_directory_can_be_read_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add([RECORD])
    # The superuser may write anywhere, so the answer of the system is made up here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match="read-only file or directory") as caught:
        History.open(path)
    _one_line(caught)
    with History.open(path, read_only=True) as history:
        assert history.outcomes("toy").agents == ("a",)


def test_a_history_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    hold = (
        "import duckdb, sys\n"
        "connection = duckdb.connect(sys.argv[1])\n"
        "connection.execute('CREATE TABLE IF NOT EXISTS midband_migrations (number INTEGER)')\n"
        "print('held', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for read_only in (False, True):
            with pytest.raises(StoreError) as caught:
                History.open(path, read_only=read_only)
            assert "in use by another process" in _one_line(caught)
        other.communicate("\n")


@pytest.mark.parametrize("size", [0, 100, 4096, 8192])
@pytest.mark.parametrize("zeros", [True, False])
def test_what_a_kill_left_empty_is_created_anew(tmp_path: Path, size: int, zeros: bool) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add([RECORD])
    path.write_bytes(b"\0" * size if zeros else path.read_bytes()[:size])
    with pytest.raises(StoreError, match="import results first") as caught:
        History.open(path, read_only=True)
    _one_line(caught)
    with pytest.warns(UserWarning, match="created the history .* anew") as noted:
        history = History.open(path)
    assert str(path) in str(noted[0].message)
    with history:
        history.add([RECORD])
    with History.open(path, read_only=True) as history:
        assert history.outcomes("toy").agents == ("a",)


def test_the_log_of_an_empty_history_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    path.touch()
    (tmp_path / "h.duckdb.wal").write_bytes(b"what was not yet written")
    with pytest.warns(UserWarning, match="kept as"):
        History.open(path).close()
    assert (tmp_path / "h.duckdb.broken.wal").read_bytes() == b"what was not yet written"


def test_a_short_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("short")
    with pytest.raises(StoreError) as caught:
        History.open(path)
    _one_line(caught)
    assert path.read_text() == "short"


@pytest.mark.parametrize("name", ["locked-block", "lock", "used by another process"])
def test_an_error_is_not_taken_for_another_process_by_the_files_name(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name / "h.duckdb"
    History.open(path).close()
    path.write_bytes(path.read_bytes()[:12_288] + b"x")
    with pytest.raises(StoreError) as caught:
        History.open(path)
    assert "in use" not in _one_line(caught)


@pytest.mark.parametrize("name", [":memory:", ":memory:mine"])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_history_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read_only: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="not kept") as caught:
        History.open(name, read_only=read_only)
    _one_line(caught)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_in_the_same_process_sees_what_was_written_before_it_opened(
    tmp_path: Path,
) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as writer, History.open(path, read_only=True) as early:
        writer.add([RECORD])
        with History.open(path, read_only=True) as late:
            assert [one.name for one in late.benchmarks()] == ["toy"]
        assert early.benchmarks() == []


def test_a_history_that_is_open_to_read_only_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    History.open(path).close()
    with History.open(path, read_only=True) as history, pytest.raises(StoreError) as caught:
        history.add([RECORD])
    assert "to read only" in _one_line(caught)


def test_two_readers_share_a_history(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add([RECORD])
    with History.open(path, read_only=True) as one, History.open(path, read_only=True) as two:
        assert one.outcomes("toy").agents == two.outcomes("toy").agents


def test_a_closed_history_says_so(tmp_path: Path) -> None:
    history = History.open(tmp_path / "h.duckdb")
    history.close()
    history.close()
    with pytest.raises(StoreError, match="closed") as caught:
        history.benchmarks()
    _one_line(caught)


def test_the_file_can_be_read_by_the_oldest_supported_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    History.open(path).close()
    # The storage version stands after the checksum and the magic bytes; 67 is that of 1.4.
    assert int.from_bytes(path.read_bytes()[12:20], "little") <= 67
