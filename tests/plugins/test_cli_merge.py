"""``midband history export`` and ``merge`` as a team uses them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from midband_history import History, Metric, Record

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.duckdb"
    with History.open(path) as history:
        history.add([Record(benchmark="toy", task_id="t01", agent="me", score=1.0)])
    return path


def test_a_file_and_a_history_are_merged_and_twice_is_harmless(
    store: Path, mine: Path, tmp_path: Path, call: Call
) -> None:
    file = tmp_path / "all.parquet"
    code, out, err = call("history", "export", file, "--history", store)
    assert (code, out, err) == (0, f"wrote 480 attempts to {file}\n", "")
    code, out, _ = call("history", "merge", file, "--history", mine)
    assert (code, out) == (0, f"{file}: 480 attempts added\n")
    code, out, _ = call("history", "merge", store, file, "--history", mine, "--json")
    reports = [each["report"] for each in json.loads(out)]
    assert [(each["added"], each["duplicates"]) for each in reports] == [(0, 480), (0, 480)]
    assert len(call("rates", "toy", "--history", mine)[1].splitlines()) == 41


def test_an_anonymous_export_has_no_name_in_what_is_merged(
    store: Path, mine: Path, tmp_path: Path, call: Call
) -> None:
    file = tmp_path / "some.parquet"
    code, _, _ = call(
        *("history", "export", file, "--anonymise", "--salt", "s", "--private"),
        *("--benchmark", "toy", "--history", store),
    )
    assert code == 0
    call("history", "merge", file, "--history", mine)
    agents = json.loads(call("history", "toy", "--json", "--history", mine)[1])
    assert len(agents) == 13
    assert sum(each["name"].startswith("agent-") for each in agents) == 12


def test_a_source_that_contradicts_the_history_is_named(
    store: Path, mine: Path, call: Call
) -> None:
    for path, high in ((store, 5), (mine, 10)):
        with History.open(path) as history:
            metric = Metric(name="judge", low=0, high=high, declared="source")
            history.add(
                [Record(benchmark="b", task_id="1", agent="a", score=3.0, metric=metric)],
                source=f"{high}.json",
            )
    code, out, err = call("history", "merge", store, "--history", mine)
    assert (code, out) == (1, f"{store}: 480 attempts added\n")
    assert "not added: 5.json: expected judge of b on its stated scale 0 to 10" in err


def test_what_cannot_be_merged_or_exported_is_one_line(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no history")
    for arguments, code, parts in (
        (("merge", text), 1, ("file of another kind", "notes.txt")),
        (("merge", store), 2, ("another history", "itself")),
        (("merge", tmp_path / "gone.duckdb"), 2, ("does not exist",)),
        (("export", tmp_path / "x.parquet", "--salt", "s"), 2, ("salt",)),
        (("export", tmp_path / "x.parquet", "--benchmark", "tyo"), 1, ("toy",)),
        (("export", tmp_path / "no" / "x.parquet"), 1, ("expected to write",)),
    ):
        found = call("history", *arguments, "--history", store)
        assert found[0] == code, (arguments, found)
        one_line(found[2], *parts)
