"""Reading in worker processes: what becomes of a worker is no traceback."""

import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from midband.importers import unpacking
from midband.importers.unpacking import in_workers


def name_of(path: str) -> str:
    if "killer" in path:
        os._exit(3)
    return Path(path).name


def died(path: Path, reason: str) -> str:
    return f"{path.name} died: {reason}"


def test_a_file_that_kills_its_worker_is_named_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pickle", "selectors", "tempfile"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    path = list(sys.path)
    found = list(in_workers(name_of, [Path("a"), Path("killer"), Path("b")], workers=1, died=died))
    assert [result for _, result in found[::2]] == ["a", "b"]
    assert found[1][1].startswith("killer died: ")
    assert not (tmp_path / "ran").exists()  # no worker imports from the current directory
    assert sys.path == path
    assert "PYTHONSAFEPATH" not in os.environ


def test_where_no_worker_can_be_started_this_process_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        msg = "a process in the process pool was terminated abruptly"
        raise BrokenProcessPool(msg)

    monkeypatch.setattr(unpacking, "_pooled", broken)
    paths = [Path("a"), Path("b")]
    assert list(in_workers(name_of, paths, workers=2, died=died)) == [
        (Path("a"), "a"),
        (Path("b"), "b"),
    ]
