"""The commands that read the history: what they print, and one clear line for each bad input."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from midband.cli.output import print_table
from midband.cli.root import COMMANDS
from midband_history import History, Record

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
N_TASKS = 40
N_AGENTS = 12


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name: str, call: Call) -> None:
    code, out, _ = call(name, "--help")
    assert code == 0
    assert re.search(rf"Examples?: midband {name}\b", " ".join(out.split()))


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"race", "report"}))  # of one plan, of many
def test_every_command_takes_a_history(name: str, call: Call) -> None:
    assert "--history FILE" in call(name, "--help")[1]


def test_history_lists_benchmarks_and_agents(store: Path, call: Call) -> None:
    code, out, _ = call("history", "--history", store)
    header, row = out.splitlines()
    found = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert code == 0
    assert (found["name"], found["tasks"], found["agents"]) == ("toy", "40", "12")
    code, out, _ = call("history", "toy", "--json", "--history", store)
    assert [agent["name"] for agent in json.loads(out)] == [f"a{i:02d}" for i in range(N_AGENTS)]


def test_a_mean_over_a_part_of_the_benchmark_is_said_to_be_one(store: Path, call: Call) -> None:
    assert "over fewer" not in call("history", "toy", "--history", store)[2]
    with History.open(store) as history:
        history.add(
            [Record(benchmark="toy", task_id="t01", agent="partly", score=1.0, harness="inspect")]
        )
    _, _, said = call("history", "toy", "--history", store)
    assert "the mean of 1 agent is over fewer than the 40 tasks" in said


def test_results_at_another_content_are_said_to_be_left_out(store: Path, call: Call) -> None:
    with History.open(store) as history:
        history.add(
            [
                Record(
                    benchmark="toy",
                    task_id="t01",
                    agent="a00",
                    score=1.0,
                    run_id="old",
                    started=datetime(2024, 1, 1, tzinfo=UTC),
                    task_digest="reworded since",
                )
            ]
        )
    for command in ("history", "rates"):
        said = call(command, "toy", "--history", store)[2]
        assert "1 results at other contents of the tasks" in said
        assert "`midband history why toy TASK`" in said


def test_rates_as_table_csv_and_json_agree(store: Path, call: Call) -> None:
    rows = list(
        csv.DictReader(io.StringIO(call("rates", "toy", "--format", "csv", "--history", store)[1]))
    )
    parsed = json.loads(call("rates", "toy", "--format", "json", "--history", store)[1])
    table = call("rates", "toy", "--history", store)[1].splitlines()
    assert [row["task_id"] for row in rows] == [f"t{i:02d}" for i in range(N_TASKS)]
    assert [float(row["pass_rate"]) for row in rows] == [row["pass_rate"] for row in parsed]
    assert table[0].split("\t")[:4] == ["task_id", "pass_rate", "agents", "attempts"]
    assert parsed[0]["agents"] == N_AGENTS
    assert parsed[0]["duration_s"] is None


def test_rates_as_of_a_date_see_that_day_and_nothing_later(store: Path, call: Call) -> None:
    code, out, _ = call(
        "rates", "toy", "--as-of", "2025-01-03", "--format", "json", "--history", store
    )
    assert code == 0
    assert {rate["agents"] for rate in json.loads(out)} == {3}


@pytest.mark.parametrize("text", ["yesterday", "2025-13-01", ""])
def test_a_bad_date_is_refused(text: str, store: Path, call: Call, one_line: OneLine) -> None:
    code, _, error = call("rates", "toy", "--as-of", text, "--history", store)
    assert code == 2
    one_line(error, "ISO date")


def test_no_history_says_what_to_do(tmp_path: Path, call: Call, one_line: OneLine) -> None:
    for arguments in (["history"], ["rates", "toy"], ["plan", "toy"]):
        code, _, error = call(*arguments, "--history", tmp_path / "none.duckdb")
        assert code == 1
        one_line(error, "none.duckdb", "midband import")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_history_is_said_to_be_empty(
    tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    path = tmp_path / "h.duckdb"
    History.open(path).close()
    assert call("history", "--history", path)[0] == 1
    code, _, error = call("plan", "toy", "--history", path, "-o", tmp_path / "plan.json")
    assert code == 1
    one_line(error, "toy")
    assert not (tmp_path / "plan.json").exists()


def test_an_unknown_benchmark_is_named_with_those_there_are(
    store: Path, call: Call, one_line: OneLine
) -> None:
    for command in ("rates", "plan"):
        code, _, error = call(command, "gaia", "--history", store)
        assert code == 1
        one_line(error, "'gaia'", "toy")


def test_a_foreign_file_is_not_a_history(tmp_path: Path, call: Call, one_line: OneLine) -> None:
    path = tmp_path / "h.duckdb"
    path.write_text("not a database")
    code, _, error = call("history", "--history", path)
    assert code == 1
    one_line(error, "h.duckdb")
    assert path.read_text() == "not a database"


def test_unknown_commands_and_options_are_bad_usage(call: Call, one_line: OneLine) -> None:
    for arguments in (
        ["improt"],
        ["rates"],
        ["history", "--hsitory", "x"],
        ["rates", "x", "--format", "y"],
    ):
        code, _, error = call(*arguments)
        assert code == 2
        one_line(error, "--help")


def test_plugins_lists_ours_on_request(call: Call) -> None:
    code, out, _ = call("plugins", "--all", "--json")
    found = {plugin["name"]: plugin for plugin in json.loads(out)}
    assert code == 0
    assert {"tabular", "hal", "inspect-logs", "inspect"} <= set(found)
    assert found["inspect"]["hooks"] == ["midband_register_harnesses"]
    assert json.loads(call("plugins", "--json")[1]) == []


def test_a_narrow_terminal_shows_whole_names_and_no_empty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_table(
        ("name", "tasks", "cost_usd"),
        [("swebench-verified", 500, None), ("swebench-verified-bash-only-of-2025", 500, None)],
    )
    out = capsys.readouterr().out
    cells = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    assert "".join(cells) == "swebench-verifiedswebench-verified-bash-only-of-2025"
    assert "tasks" in out
    assert "cost_usd" not in out


def test_an_unknown_name_shows_those_like_it_first(
    tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    path = tmp_path / "h.duckdb"
    with History.open(path) as history:
        history.add(
            Record(benchmark=f"{name}", task_id="t", agent="a", score=1.0)
            for name in (*"abcdefghij", "terminal-bench-core")
        )
    code, _, error = call("rates", "terminal-bench", "--history", path)
    assert code == 1
    one_line(error, "it holds terminal-bench-core, ")


def test_what_the_system_refuses_is_one_line(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    (tmp_path / "file").write_text("")
    export = ("history", "toy", "--export", "every-eval-ever", "--history", store)
    code, _, error = call(*export, "-o", tmp_path / "file" / "below", "--organization", "us")
    assert code == 1
    one_line(error, "expected to", str(tmp_path / "file"), "ot a directory")
    assert "Errno" not in error


def test_a_table_too_wide_for_the_terminal_becomes_lists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    columns = ("strategy", *(f"a_measure_{number}" for number in range(6)))
    print_table(columns, [("band", *[0.5] * 6), ("random", *[0.25] * 6)])
    blocks = capsys.readouterr().out.split("\n\n")
    assert [block.split()[:2] for block in blocks] == [["strategy", "band"], ["strategy", "random"]]
    assert ["a", "measure", "5", "0.25"] in [line.split() for line in blocks[1].splitlines()]
    print_table(columns[:3], [("band", 0.5, 0.5)])
    assert "│ band" in capsys.readouterr().out
