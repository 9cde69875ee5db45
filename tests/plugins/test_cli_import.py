"""Importing from the command line: what comes in, what is refused, and what it says."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from midband_history import History

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
GOOD = "question,agent,score\n1,a,1\n2,a,0\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "good.csv").write_text(GOOD)
    return folder


def _import(results: Path, store: Path) -> tuple[str | Path, ...]:
    options = ("--map", "question=task_id", "--benchmark", "mine", "--history", store)
    return ("import", results, *options)


def test_a_second_import_adds_nothing_and_says_so(
    results: Path, tmp_path: Path, call: Call
) -> None:
    command = _import(results, tmp_path / "h.duckdb")
    code, out, error = call(*command)
    assert code == 0, error
    assert "added 2 attempts" in out
    code, out, _ = call(*command)
    assert code == 0
    assert "nothing new" in out
    assert "added 0 attempts" in out


def test_what_cannot_be_read_is_refused_by_name_and_the_rest_comes_in(
    results: Path, tmp_path: Path, call: Call
) -> None:
    (results / "cut.eval").write_bytes(b"PK\x03\x04 and then nothing")
    store = tmp_path / "h.duckdb"
    code, out, error = call(*_import(results, store))
    assert code == 1
    assert "imported 1 source" in out
    assert "refused 1" in out
    assert len(error.splitlines()) == 1
    assert "cut.eval" in error
    with History.open(store, read_only=True) as history:
        assert [summary.attempts for summary in history.benchmarks()] == [2]


def test_json_has_a_count_of_both(results: Path, tmp_path: Path, call: Call) -> None:
    (results / "cut.eval").write_bytes(b"nothing")
    code, out, _ = call(*_import(results, tmp_path / "h.duckdb"), "--json")
    report = json.loads(out)
    assert code == 1
    assert (report["imported"], report["refused"], report["added"]) == (1, 1, 2)
    assert len(report["sources"]) == 2


def test_an_empty_directory_holds_no_results(tmp_path: Path, call: Call) -> None:
    (tmp_path / "empty").mkdir()
    code, _, error = call("import", tmp_path / "empty", "--history", tmp_path / "h.duckdb")
    assert code == 1
    assert "found no results" in error
    assert "check the paths" in error


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--format", "xls"), ("xls", "tabular")),
        (("--map", "question"), ("THEIRS=OURS",)),
        (("--map", "question=nothing"), ("nothing", "task_id")),
    ],
)
def test_bad_settings_are_bad_usage(
    options: tuple[str, ...],
    parts: tuple[str, ...],
    results: Path,
    tmp_path: Path,
    call: Call,
    one_line: OneLine,
) -> None:
    code, _, error = call("import", results, *options, "--history", tmp_path / "h.duckdb")
    assert code == 2
    one_line(error, *parts)


def test_a_newer_history_is_refused_and_left_alone(
    store: Path, results: Path, call: Call, one_line: OneLine
) -> None:
    with duckdb.connect(str(store)) as connection:
        connection.execute("INSERT INTO midband_migrations VALUES (999, 'later', now()::TIMESTAMP)")
    for command in (("history", "--history", store), _import(results, store)):
        code, _, error = call(*command)
        assert code == 1
        one_line(error, "newer midband")


def test_a_read_only_directory_can_be_read_and_not_written(
    store: Path, results: Path, call: Call, one_line: OneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The superuser may write anywhere, so the answer of the system is made up here.
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    code, _, error = call(*_import(results, store))
    assert code == 1
    one_line(error, "read-only")
    assert call("rates", "toy", "--history", store)[0] == 0


def test_sources_without_results_are_one_note(tmp_path: Path, call: Call) -> None:
    for name in "abc":
        header = "benchmark,task_id,agent,score\n"
        (tmp_path / f"{name}.csv").write_text(header)
    (tmp_path / "d.csv").write_text(header + "toy,t,new,1\n")
    code, out, error = call("import", tmp_path, "--history", tmp_path / "h.duckdb")
    assert code == 0
    assert "imported 4 sources" in out
    (line,) = error.splitlines()
    assert "a.csv and 2 more: no results of its own" in line


def test_alike_notes_are_said_once_with_the_number_of_their_sources(
    call: Call, tmp_path: Path
) -> None:
    header = "task_id,agent,score,cost_usd\n"
    tables = tmp_path / "tables"
    tables.mkdir()
    for name in ("one", "two", "three"):
        (tables / f"{name}.csv").write_text(f"{header}t1,{name},1,-3\n")
    code, _, error = call("import", tables, "--benchmark", "b", "--history", tmp_path / "h.db")
    assert code == 0, error
    told = [line for line in error.splitlines() if "cost" in line]
    assert len(told) == 1, error
    assert "and 2 other sources: " in told[0]


def test_nothing_is_said_to_pass_on_an_unknown_scale(call: Call, tmp_path: Path) -> None:
    trial = {
        "id": "1",
        "task_name": "t1",
        "trial_name": "t1__1",
        "source": "b",
        "task_checksum": "c",
        "agent_info": {"name": "a", "version": "1"},
        "agent_result": {},
        "verifier_result": {"rewards": {"reward": 7}},
        "exception_info": None,
        "started_at": "2026-01-01T00:00:00Z",
    }
    place = tmp_path / "jobs" / "t1__1"
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps(trial))
    settings = ("import", tmp_path / "jobs", "--history")
    code, out, error = call(*settings, tmp_path / "h.db")
    assert code == 0, error
    header, row = (line.split("\t") for line in out.splitlines()[:2])
    found = dict(zip(header, row, strict=True))
    assert int(found["off_scale"]) > 0
    assert found["passed"] == ""
    assert "--scale LOW HIGH" in error
