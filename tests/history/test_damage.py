"""Damaged files and full disks: a clear error or exactly the right values, never wrong numbers."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.history.damage_cases import READS, fill

ROOT = Path(__file__).parents[2]
# Places to damage; `MIDBAND_FAULTS=2000 pytest tests/history/test_damage.py` is the full run.
FAULTS = int(os.environ.get("MIDBAND_FAULTS", "6"))


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
