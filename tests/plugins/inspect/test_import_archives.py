"""Inspect logs in archives: a log is a zip file itself, and stays one source."""

import gzip
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from inspect_ai import eval as inspect_eval

from midband.importers._sources import import_paths, read_records
from midband_history import History

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, toy: Any) -> Path:
    del toy
    folder = tmp_path_factory.mktemp("logs")
    inspect_eval(
        TOY, model="toy/60", task_args={"n": 4}, display="none", log_dir=str(folder), epochs=1
    )
    (path,) = folder.glob("*.eval")
    return path


@pytest.mark.parametrize("ending", ["zip", "gz"])
def test_a_packed_log_is_the_log(log: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"{log.name}.{ending}"
    if ending == "gz":
        path.write_bytes(gzip.compress(log.read_bytes()))
    else:
        with ZipFile(path, "w") as archive:
            archive.write(log, log.name)
    with History.in_memory() as history:
        (source,) = import_paths(history, [tmp_path]).sources
        assert (source.format, source.added, source.error) == ("inspect", 4, "")
        assert str(source.path).startswith(str(path))
        (again,) = import_paths(history, [log]).sources
        assert (again.added, again.duplicates) == (0, 4)
        assert import_paths(history, [path]).added == 0
    assert len(list(read_records([path]))) == 4


def test_a_log_is_not_unpacked_itself(log: Path) -> None:
    with History.in_memory() as history:
        (source,) = import_paths(history, [log]).sources
        assert (source.path, source.format, source.added) == (log, "inspect", 4)
