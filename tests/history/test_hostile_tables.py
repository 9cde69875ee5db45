"""Hostile tables: names that steer, values beyond measure, files without end."""

import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midband_history import (
    History,
    Table,
    UnreadableSourceError,
    list_benchmarks,
    read_matrix,
    sane_cost,
    sane_date,
    sane_duration,
    sane_tokens,
    table_format,
)

HEADER = "benchmark,task_id,agent,score"
ODD = [
    "agent=evil/benchmark=evil/r",
    "r*",
    "r?",
    "r[12]",
    "[r]{a,b}",
    'it\'s "r"',
    "~",
    "s3:/r",
    "100%",
    "héé",
    " r ",
    "r\\*",
    "r\nr",
]


def _write(path: Path, agent: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {"benchmark": "b", "task_id": "t", "agent": agent, "score": 1}
    if path.suffix == ".csv":
        path.write_text(f"{HEADER}\nb,t,{agent},1\n")
    elif path.suffix == ".json":
        path.write_text(json.dumps([row]))
    elif path.suffix == ".jsonl":
        path.write_text(json.dumps(row))
    else:
        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
            connection.execute(
                f"COPY (SELECT 'b' AS benchmark, 't' AS task_id, '{agent}' AS agent, 1 AS score)"
                f" TO '{folder}/plain.parquet'"
            )
            shutil.copyfile(f"{folder}/plain.parquet", path)
    return path


def _agents(path: Path, **options: object) -> tuple[str, ...]:
    kind = table_format(path)
    assert kind is not None
    with History.in_memory() as history:
        history.add_table(Table(path=path, format=kind, **options))  # type: ignore[arg-type]
        return history.outcomes("b").agents


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet"])
@pytest.mark.parametrize("name", ODD)
def test_a_name_is_a_name_and_nothing_else(tmp_path: Path, name: str, suffix: str) -> None:
    for neighbour in ("r1", "r2", "rx", "a"):
        _write(tmp_path / f"{neighbour}{suffix}", "other")
    path = _write(tmp_path / f"{name}{suffix}", "own")
    assert _agents(path) == ("own",)
    assert read_matrix(path, "b").agents == ("own",)
    assert list_benchmarks(path) == ["b"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_relative_paths_and_names_in_no_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (b"s3:/r.csv", b"~/r.csv", b"\xff\xfe.csv", b"agent=x/r.csv"):
        path = _write(Path(os.fsdecode(name)), "own")
        assert _agents(path) == ("own",)
    bad = Path(os.fsdecode(b"\xff.csv"))
    bad.write_text("a,b\n1,2\n")
    with pytest.raises(UnreadableSourceError) as caught:
        _agents(bad)
    str(caught.value).encode()


def test_nothing_is_left_where_the_user_happens_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _agents(_write(Path("r[1].csv"), "own"))
    assert [path.name for path in tmp_path.iterdir()] == ["r[1].csv"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty_id.csv", f"{HEADER}\nb,t,a,1\nb, ,a,1\n", "a task id in row 2"),
        ("empty_id.jsonl", '{"benchmark":"b","task_id":"","agent":"a","score":1}', "a task id"),
        ("nul.csv", f"{HEADER}\nb,t\0u,a,1\n", "NUL"),
        ("nul.jsonl", '{"benchmark":"b","task_id":"a\\u0000b","agent":"a","score":1}', "NUL"),
        ("nul_header.csv", "task_id,\0,agent,score\n1,2,3,4\n", "NUL"),
        ("same.csv", "task_id,agent,score,score\n1,a,1,0\n", "distinct"),
        ("same.jsonl", '{"benchmark":"b","task_id":"1","agent":"a","score":1,"score":0}', "score"),
        ("short.csv", f"{HEADER}\nb,t,a\n", "Number of Columns"),
        ("long.csv", f"{HEADER}\nb,t,a,1,2\n", "Number of Columns"),
        ("utf16.csv", f"{HEADER}\nb,t,a,1\n".encode("utf-16"), "UTF-8"),
        ("latin.csv", f"{HEADER}\nb,\xe9,a,1\n".encode("latin-1"), "UTF-8"),
        ("deep.jsonl", '{"task_id":' + "[" * 20_000 + "]" * 20_000 + "}", "depth"),
        ("deep.json", "[" * 20_000 + "]" * 20_000, "depth"),
        ("object.json", '{"task_id": 1}', "task_id"),
        ("wide_line.csv", f"{HEADER}\nb,{'x' * 3_000_000},a,1\n", "2 MB"),
        ("huge.csv", f"{HEADER}\nb,t,a,1e400\n", "score"),
        ("huge_attempt.csv", f"{HEADER},attempt\nb,t,a,1,{10**30}\n", "whole number"),
        ("american.csv", f"{HEADER},run_date\nb,t,a,1,03/02/2025\n", "ISO date"),
    ],
)
def test_a_hostile_table_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UnreadableSourceError) as caught:
        _agents(path)
    said = str(caught.value)
    assert words in said
    assert "\n" not in said
    assert len(said) < 600


def test_a_line_without_end_is_refused_and_not_held(tmp_path: Path) -> None:
    for name, start in (("x.csv", f"{HEADER}\nb,".encode()), ("x.jsonl", b'{"task_id": "')):
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(start)
            file.truncate(2 << 30)  # a hole: two gigabytes of NUL on no disk
        with pytest.raises(UnreadableSourceError):
            _agents(path)
    header = tmp_path / "header.csv"
    with header.open("wb") as file:
        file.write(b"x" * (17 << 20))
    with pytest.raises(UnreadableSourceError, match="header line"):
        _agents(header)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_marks_make_no_difference(tmp_path: Path, ending: str, mark: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes((mark + ending.join([HEADER, "b,t,a,1", 'b,u,a,"0"', ""])).encode())
    assert read_matrix(path, "b").scores.tolist() == [[1.0, 0.0]]


def test_columns_that_differ_by_case_alone_are_two(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("benchmark,Score,task_id,agent,score\nb,0.5,t,a,1\n")
    assert read_matrix(path, "b").scores.tolist() == [[1.0]]


def test_absurd_amounts_and_dates_are_unknown_and_said(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    head = f"{HEADER},cost_usd,tokens,duration_s,run_date"
    rows = [
        "b,t1,a,1,-1,inf,1e12,0001-01-01",
        "b,t2,a,1,inf,-5,-0.5,9999-12-31",
        "b,t3,a,1,0.5,7,3,2025-03-01",
        "b,t4,a,1,nan,N/A,,",
    ]
    path.write_text("\n".join([head, *rows, ""]))
    with History.in_memory() as history:
        report = history.add_table(Table(path=path, format="csv"))
        said = " ".join(report.skipped)
        for name in ("cost_usd", "tokens", "duration_s", "run_date"):
            assert f"2 rows have a {name}" in said
        held = {record.task_id: record for record in history.records("b")}
    assert [held[f"t{i}"].cost_usd for i in range(1, 5)] == [None, None, 0.5, None]
    assert [held[f"t{i}"].tokens for i in range(1, 5)] == [None, None, 7.0, None]
    assert [held[f"t{i}"].duration_s for i in range(1, 5)] == [None, None, 3.0, None]
    assert [held[f"t{i}"].started is None for i in range(1, 5)] == [True, True, False, True]


def test_sane_amounts_are_shared() -> None:
    for sane in (sane_cost, sane_tokens, sane_duration):
        absurd = (-1, float("inf"), float("nan"), 10**400, 1e15, True, "1", None)
        assert [sane(value) for value in absurd] == [None] * len(absurd)
        assert sane(0) == 0.0
        assert sane(12.5) == 12.5
    assert sane_date(datetime(1970, 1, 1)) is None
    assert sane_date(datetime(2100, 1, 1, tzinfo=UTC)) is None
    assert sane_date(datetime(2025, 1, 1)) == datetime(2025, 1, 1, tzinfo=UTC)
    assert sane_date(None) is None


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(task=st.text(max_size=12), score=st.text(max_size=6), date=st.text(max_size=12))
def test_any_text_in_a_cell_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, task: str, score: str, date: str
) -> None:
    path = tmp_path_factory.mktemp("cells") / "r.jsonl"
    row = {"benchmark": "b", "task_id": task, "agent": "a", "score": score, "run_date": date}
    path.write_text(json.dumps(row))
    with History.in_memory() as history:
        try:
            added = history.add_table(Table(path=path, format="jsonl")).added
        except UnreadableSourceError as error:
            said = str(error)
            added = 0
        else:
            said = "r.jsonl"
    assert "r.jsonl" in said
    assert said.splitlines() == [said]
    assert added == (1 if said == "r.jsonl" else 0)
