"""Damaged files and full disks: a clear error or exactly the right values, never wrong numbers."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.history.damage_cases import READS, SOURCES, fill, records

from midband_history import History, InputError, StoreError, salvage_history

ROOT = Path(__file__).parents[2]
# Places to damage; `MIDBAND_FAULTS=2000 pytest tests/history/test_damage.py` is the full run.
FAULTS = int(os.environ.get("MIDBAND_FAULTS", "5"))


def _run(*arguments: str | Path) -> str:
    """Run the cases in a process of their own; a crash of it fails the test."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.history.damage_cases", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stdout[-300:], done.stderr[-2000:])
    return done.stdout


def _outcomes(printed: str) -> Counter[str]:
    lines = [json.loads(line) for line in printed.splitlines()]
    assert len(lines) == FAULTS
    for line in lines:
        seed = line.pop("seed")
        assert set(line.values()) <= {"right", "refused"}, (seed, line)
        if "refused" in (line[name] for name in READS if name != "check"):
            assert line["check"] == "refused", (seed, line)
    return Counter(value for line in lines for value in line.values())


def test_a_flipped_byte_or_a_cut_file_is_refused_or_read_right(tmp_path: Path) -> None:
    fill(tmp_path / "h.duckdb", kill=False)
    found = _outcomes(_run("file", tmp_path / "h.duckdb", "0", str(FAULTS)))
    assert found["refused"] > 0
    assert found["right"] > 0


def test_a_damaged_log_is_refused_or_gives_what_an_earlier_import_left(tmp_path: Path) -> None:
    _run("fill", tmp_path / "h.duckdb")
    assert (tmp_path / "h.duckdb.wal").stat().st_size > 0
    found = _outcomes(_run("log", tmp_path / "h.duckdb", "0", str(FAULTS)))
    assert found["refused"] > 0
    assert found["right"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are of POSIX")
def test_a_full_disk_leaves_the_history_as_it_was_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    fill(path, kill=False)
    size = path.stat().st_size
    limits = [1_000, 200_000, 1_000_000, size, size + 300_000]
    lines = [json.loads(line) for line in _run("full", path, *map(str, limits)).splitlines()]
    assert [line["limit"] for line in lines] == limits
    for line in lines:
        assert line["broken"] == []
        if line["said"]:
            assert line["said"].startswith("expected to ")
            assert "\n" not in line["said"]
            assert line["as before"]
        else:
            assert line["added"] == 18_000, line
    assert "nothing was added" in lines[1]["said"]


def test_salvage_refuses_what_it_cannot_read_or_would_overwrite(tmp_path: Path) -> None:
    good, new = tmp_path / "h.duckdb", tmp_path / "new.duckdb"
    fill(good, kill=False)
    before = good.read_bytes()
    with pytest.raises(InputError, match="which exists: name another"):
        salvage_history(good, good)
    with pytest.raises(StoreError, match="found no file"):
        salvage_history(tmp_path / "none.duckdb", new)
    (tmp_path / "text.duckdb").write_text("not a database " * 2_000)
    with pytest.raises(StoreError, match="restore a copy, or import its sources again"):
        salvage_history(tmp_path / "text.duckdb", new)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["h.duckdb", "text.duckdb"]
    report = salvage_history(good, new)
    assert (report.kept, report.lost, report.notes) == (200 * SOURCES, (), ())
    assert good.read_bytes() == before
    with History.open(good) as one, History.open(new) as two:
        assert list(one.records()) == list(two.records())
        assert one.known_sources(["d1"]) == two.known_sources(["d1"])


def test_salvage_of_a_damaged_log_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    _run("fill", path)
    log = tmp_path / "h.duckdb.wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    with pytest.raises(StoreError, match=r"found its file damaged.*midband history salvage"):
        History.open(path)
    report = salvage_history(path, tmp_path / "new.duckdb")
    assert report.kept == 200
    assert "import the newest sources again" in report.notes[0]
    assert log.read_bytes() == content
    with History.open(tmp_path / "new.duckdb") as history:
        assert next(history.records()).agent == records(0)[0].agent
