"""Known files in ``.gz`` and ``.zip``: read as if they stood there, and refused where hostile."""

import gzip
import json
import stat
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from midband.importers.reading import read_records
from midband.importers.sources import import_paths
from midband_history import History, UnreadableSourceError

Call = Callable[..., tuple[int, str, str]]
IDS = [f"o__p-{number}" for number in range(6)]
REPORT = json.dumps(
    {
        "total_instances": 6,
        "resolved_instances": 2,
        "resolved_ids": IDS[:2],
        "unresolved_ids": IDS[2:],
        "completed_ids": IDS,
    }
)
ARENA = "".join(
    json.dumps({"benchmark_id": "b", "model": "m", "example_id": name, "pass1": 1.0}) + "\n"
    for name in IDS
)
TABLE = "benchmark,task_id,agent,score\nb,1,x,1\nb,2,x,0\n"


def _zipped(path: Path, files: dict[str, str]) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def _gz(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_a_compressed_report_is_read_as_the_report_is(tmp_path: Path) -> None:
    plain = tmp_path / "plain" / "m.run.json"
    plain.parent.mkdir()
    plain.write_text(REPORT)
    packed = tmp_path / "packed"
    packed.mkdir()
    path = _gz(packed / "m.run.json.gz", REPORT)
    with History.in_memory() as history:
        report = import_paths(history, [packed])
        (source,) = report.sources
        assert (source.path, source.format) == (path, "swebench")
        assert (source.added, source.error) == (6, "")
        (agent,) = history.agents(history.benchmarks()[0].name)
        assert agent.name == "m"
        origins = history.why(history.benchmarks()[0].name, IDS[0])
        assert {origin.source for origin in origins} == {str(path)}
        again = import_paths(history, [packed, plain.parent])
        assert (again.added, again.imported) == (0, 2)
        assert [each.known for each in again.sources if each.path == path] == [True]


@pytest.mark.parametrize("rows", [1, 2_000])
def test_compressed_lines_of_a_known_format_are_read_whole(tmp_path: Path, rows: int) -> None:
    wide = "".join(
        json.dumps({"benchmark_id": "b", "model": "m", "example_id": f"{n}", "pass1": 1.0})[:-1]
        + f', "note": "{"x" * 1000}"}}\n'
        for n in range(rows)
    )
    path = _gz(tmp_path / "rows.jsonl.gz", wide)
    with History.in_memory() as history:
        (source,) = import_paths(history, [path]).sources
        assert (source.format, source.added) == ("eval-arena", rows)
    assert len(list(read_records([path]))) == rows


def test_a_zip_of_a_run_directory_is_read_by_its_inner_paths(tmp_path: Path) -> None:
    files = {"run/m.first.json": REPORT, "run/deep/rows.jsonl": ARENA, "run/notes.txt": "hello"}
    path = _zipped(tmp_path / "results.zip", files)
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert report.refused == ()
        found = {str(each.path): (each.format, each.added) for each in report.sources}
        assert found == {
            f"{path}/run/m.first.json": ("swebench", 6),
            f"{path}/run/deep/rows.jsonl": ("eval-arena", 6),
        }
        assert import_paths(history, [path]).added == 0
        unpacked = tmp_path / "unpacked"
        with ZipFile(path) as archive:
            archive.extractall(unpacked)
        again = import_paths(history, [unpacked])  # in another place, so it is read and compared
        assert (again.added, again.duplicates) == (0, 12)


def test_what_is_broken_in_an_archive_is_named_by_its_inner_path(tmp_path: Path) -> None:
    torn = ARENA + '{"benchmark_id": "b", "mod'
    files = {"good.first.json": REPORT, "rows.jsonl": torn}
    path = _zipped(tmp_path / "results.zip", files)
    with History.in_memory() as history:
        report = import_paths(history, [path])
        assert (report.imported, report.added) == (1, 6)
        (refused,) = report.refused
        assert refused.path == path / "rows.jsonl"
        assert refused.error.startswith(f"{path}/rows.jsonl")
        assert "midband-" not in refused.error
    with pytest.raises(UnreadableSourceError, match=r"results\.zip/rows\.jsonl") as refusal:
        list(read_records([path]))
    assert "midband-" not in str(refusal.value)


def test_an_archive_of_tables_is_one_source_as_before(tmp_path: Path) -> None:
    rows = '{"benchmark": "b", "task_id": "3", "agent": "x", "score": 1}\n'
    path = _zipped(tmp_path / "tables.zip", {"a.csv": TABLE, "b.jsonl": rows, "inner.zip": "x"})
    packed = _gz(tmp_path / "one.csv.gz", TABLE.replace(",x,", ",y,"))
    lines = _gz(tmp_path / "two.jsonl.gz", rows.replace('"x"', '"z"'))
    with History.in_memory() as history:
        for each, added in ((path, 3), (packed, 2), (lines, 1)):
            report = import_paths(history, [each])
            (source,) = report.sources
            assert (source.path, source.format, source.added) == (each, "tabular", added)


def _hostile(path: Path, kind: str) -> Path:
    if kind == "bomb":
        return _zipped(path, {"m.first.json": REPORT, "big.json": " " * (128 << 20)})
    if kind == "nested":
        return _zipped(path, {"m.first.json": REPORT, "inner.zip": "PK"})
    if kind == "only nested":
        return _zipped(path, {"inner.zip": "PK"})
    if kind == "encrypted":
        _zipped(path, {"m.first.json": REPORT})
        content = bytearray(path.read_bytes())
        content[6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(bytes(content))
        return path
    names = {"absolute": "/m.first.json", "above": "run/../../m.first.json", "link": "m.first.json"}
    info = ZipInfo(names[kind])
    if kind == "link":
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc/passwd" if kind == "link" else REPORT)
    return path


@pytest.mark.parametrize(
    "kind", ["bomb", "nested", "only nested", "encrypted", "absolute", "above", "link"]
)
def test_a_hostile_archive_is_refused_in_one_line_and_the_rest_goes_on(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    path = _hostile(folder / "bad.zip", kind)
    (folder / "rows.jsonl").write_text(ARENA)
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (report.imported, report.added) == (1, 6)
        (refused,) = report.refused
        assert refused.path == path
        assert refused.error.startswith(f"{path}")
        assert "\n" not in refused.error
        assert "midband-" not in refused.error
    assert sorted(each.name for each in tmp_path.rglob("*.json")) == []


def test_a_torn_archive_is_refused_by_name(tmp_path: Path) -> None:
    whole = _zipped(tmp_path / "m.zip", {"m.first.json": REPORT})
    whole.write_bytes(whole.read_bytes()[:-30])
    packed = _gz(tmp_path / "m.first.json.gz", REPORT)
    packed.write_bytes(packed.read_bytes()[:-30])
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert report.added == 0
        assert {each.path for each in report.refused} == {whole, packed}


def test_the_command_names_sources_of_an_archive(tmp_path: Path, call: Call) -> None:
    path = _zipped(tmp_path / "results.zip", {"m.first.json": REPORT})
    code, out, error = call("import", path, "--history", tmp_path / "h.duckdb", "--json")
    assert code == 0, error
    (source,) = json.loads(out)["sources"]
    assert source["path"] == f"{path}/m.first.json"
    assert source["added"] == 6
