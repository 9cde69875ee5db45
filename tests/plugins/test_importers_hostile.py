"""Directories and documents that would stop an import: named, and the rest continues."""

import json
import os
import socket
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from midband.adapters import files as _files
from midband.cli.root import run
from midband.descriptors import Importer, ReadOptions
from midband.importers import discovery
from midband.importers.reports import ImportReport
from midband.importers.sources import import_paths
from midband.importers.tabular import open_table
from midband_history import History, Record, UnreadableSourceError

ROWS = "benchmark,task_id,agent,score\nb,t,a,1\n"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


def _import(path: Path, importers: Mapping[str, Importer] | None = None) -> ImportReport:
    with History.in_memory() as history:
        return import_paths(history, [path], importers)


@posix
def test_what_is_passed_over_in_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(ROWS)
    (tmp_path / ".hidden.csv").write_text(ROWS)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("")
    (tmp_path / ".runs").mkdir()
    (tmp_path / ".runs" / "r.jsonl").write_text("{}")
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "none.csv")
    (tmp_path / "around").symlink_to(tmp_path)
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "talk.json"))
        report = _import(tmp_path)
    assert (report.added, report.refused) == (1, ())
    said = {
        name: [note.text for note in report.notes if f"/{name}: " in note.text]
        for name in (".hidden.csv", ".runs", "dangling.csv", "around", "loop.csv", "pipe.jsonl",
                     "talk.json", ".git", "good.csv")
    }  # fmt: skip
    assert [len(said[name]) for name in said] == [1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert "leads nowhere" in said["dangling.csv"][0]
    assert "pipe" in said["pipe.jsonl"][0]


@posix
def test_a_pipe_that_is_named_is_refused_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (refused,) = _import(tmp_path / "pipe.csv").refused
    assert "copy what it gives" in refused.error
    assert _files.head(tmp_path / "pipe.csv") == b""
    with pytest.raises(UnreadableSourceError, match="no regular file"):
        _files.load_json(tmp_path / "pipe.csv", "results")


def test_a_directory_that_cannot_be_listed_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "good.csv").write_text(ROWS)
    listed = os.scandir

    def _scandir(path: object) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", _scandir)
    report = _import(tmp_path)
    assert report.added == 1
    (refused,) = report.refused
    assert refused.path == tmp_path / "closed"
    assert "Permission denied" in refused.error


@posix
def test_a_name_in_no_encoding_is_imported_like_any_other(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.csv")).write_text(ROWS)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfe.csv")).write_text("a,b\n1,2\n")
    report = _import(tmp_path)
    assert report.added == 1
    report.refused[0].error.encode()


@pytest.mark.parametrize("name", ["key=value", "r[1]", "a*", "b?"])
def test_names_of_directories_are_no_patterns(tmp_path: Path, name: str) -> None:
    (tmp_path / "agent=evil" / name).mkdir(parents=True)
    (tmp_path / "agent=evil" / name / "r.csv").write_text(ROWS)
    with History.in_memory() as history:
        assert import_paths(history, [tmp_path]).added == 1
        assert history.outcomes("b").agents == ("a",)


def _raise(error: BaseException) -> Callable[[Path], bool]:
    def _sniff(path: Path) -> bool:
        raise error

    return _sniff


def _read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterable[Record]:
    yield Record(benchmark="b", task_id="t", agent=path.stem, score=1.0)


@pytest.mark.parametrize(
    "error", [SystemExit(3), RecursionError("deep"), ValueError("odd"), GeneratorExit()]
)
def test_an_importer_that_fails_to_look_does_not_recognise(
    tmp_path: Path, error: BaseException
) -> None:
    (tmp_path / "x.toy").write_text("x")
    importers = {
        "broken": Importer(name="broken", sniff=_raise(error), read=_read, suffixes=(".toy",)),
        "toy": Importer(
            name="toy", sniff=lambda path: path.suffix == ".toy", read=_read, suffixes=(".toy",)
        ),
    }
    report = _import(tmp_path, importers)
    assert (report.added, report.refused) == (1, ())
    assert any("broken" in note.text and type(error).__name__ in note.text for note in report.notes)


def test_a_keyboard_interrupt_ends_the_import(tmp_path: Path) -> None:
    (tmp_path / "x.toy").write_text("x")
    broken = Importer(
        name="broken", sniff=_raise(KeyboardInterrupt()), read=_read, suffixes=(".toy",)
    )
    with pytest.raises(KeyboardInterrupt):
        discovery.survey([tmp_path], {"broken": broken})


def test_notes_of_a_directory_are_shown_and_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.csv").write_text(ROWS)
    (tmp_path / "in" / ".hidden.csv").write_text(ROWS)
    store = ["--history", str(tmp_path / "h.duckdb")]
    assert run(["import", str(tmp_path / "in"), *store]) == 0
    assert "hidden file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 20_000 + b"]" * 20_000,
        b'{"a": ' * 20_000 + b"1" + b"}" * 20_000,
        b'{"a": "\xff"}',
        b'{"a": ',
        b"",
        b'{"a": 1}\0\0',
    ],
)
def test_hostile_documents_are_refused_in_one_line(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(text)
    for load in (_files.load_json, lambda path, what: list(_files.load_lines(path, what))):
        if load is not _files.load_json and not text:
            continue
        with pytest.raises(UnreadableSourceError) as caught:
            load(path, "results")
        assert "r.json" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_documents_and_lines_without_end_are_never_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "JSON_BYTES", 1 << 20)
    monkeypatch.setattr(_files, "LINE_BYTES", 1 << 20)
    path = tmp_path / "r.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n{"a": "')
        file.truncate(2 << 30)  # a hole: no disk is used
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableSourceError, match="1 MB in line 2"):
            list(_files.load_lines(path, "results"))
        with pytest.raises(UnreadableSourceError, match="more than 1 MB"):
            _files.load_json(path, "results")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_marks_long_integers_and_nan_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    rows = [{"a": 10**30}, {"a": float("nan")}]
    path.write_bytes(
        b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, rows)).encode() + b'\n{"a": 1' + b"0" * 5000
        + b"}"
    )  # fmt: skip
    found = [row["a"] for row in _files.load_lines(path, "results")]
    assert found[0] == 10**30
    assert [_files.number(value) for value in found] == [1e30, None, None]


def test_absurd_dates_and_durations_are_unknown() -> None:
    for absurd in (0, -1, 1e30, "1969-12-31", "9999-01-01", "0001-01-01T00:00:00+14:00", "x", None):
        assert _files.moment(absurd) is None
    assert _files.seconds_between("2025-01-01", "2025-01-01T00:01:00") == 60.0
    assert _files.seconds_between("2001-01-01", "2025-01-01") is None


def test_a_table_takes_the_options_of_an_import(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("key,m1,m2\nt1,1,0\n")
    table = open_table(path, options=ReadOptions(benchmark="b", wide="tasks", scaffold="s"))
    with History.in_memory() as history:
        history.add_table(table)
        assert history.outcomes("b").agents == ("m1", "m2")
        assert history.outcomes("b").scaffolds == ("s", "s")


def test_an_array_of_rows_and_an_archive_are_found_in_a_directory(tmp_path: Path) -> None:
    row = {"benchmark": "b", "task_id": "t", "agent": "a", "score": 1}
    (tmp_path / "r.json").write_text(json.dumps([row], indent=2))
    (tmp_path / "other.json").write_text(json.dumps({"x": [row]}))
    report = _import(tmp_path)
    assert report.added == 1
    assert [each.path.name for each in report.refused] == ["other.json"]
