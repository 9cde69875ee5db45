"""Foreign names on standard output: they steer no terminal, forge no line and hold no formula."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from midband.text import one_line
from midband_history import History, Record

Call = Callable[..., tuple[int, str, str]]
EVIL = "a\x1b]0;t\x07\x1b[31m\u202eb\tc\nmidband: rank 1\rd\x9b2J\u2028e"
STEERING = ("\x1b", "\x07", "\u202e", "\r", "\x9b", "\u2028")
FORMULAS = ("=1+1", "+cmd", "-x", "@sum", "\t=1")


@pytest.fixture
def evil_store(tmp_path: Path) -> Path:
    """Return a history whose agents, tasks and benchmark have names that do harm."""
    path = tmp_path / "evil.duckdb"
    agents = [EVIL, *(f"a{number}" for number in range(9))]
    tasks = [EVIL, *FORMULAS, "-3", "7", "caf\u00e9 \u4e2d"]
    records = [
        Record(benchmark=f"b{EVIL}", task_id=task, agent=agent, score=float((row + column) % 3 > 0))
        for row, agent in enumerate(agents)
        for column, task in enumerate(tasks)
    ]
    with History.open(path) as history:
        history.add(records, source=EVIL)
    return path


def check(text: str) -> None:
    assert not [character for character in STEERING if character in text], repr(text)
    assert not [line for line in text.splitlines() if line.startswith("midband: rank 1")]


@pytest.mark.parametrize("terminal", [False, True])
def test_names_are_shown_and_do_nothing(
    call: Call, evil_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    if terminal:
        monkeypatch.setattr("midband.cli.output.on_terminal", lambda: True)
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setenv("COLUMNS", "200")
    store = ("--history", evil_store)
    benchmark, plan = f"b{EVIL}", tmp_path / "plan.json"
    results = tmp_path / "new.jsonl"
    rows = [{"task_id": EVIL, "agent": f"new{EVIL}", "score": 1}]
    results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for words in (
        ("history", *store),
        ("history", benchmark, *store),
        ("rates", benchmark, *store),
        ("rates", benchmark, "--format", "csv", *store),
        ("rates", f"no{EVIL}", *store),
        ("plan", benchmark, "--output", plan, *store, "--exclude-agent", f"no{EVIL}"),
        ("rank", plan, results, "--benchmark", benchmark),
        ("import", tmp_path / f"no{EVIL}", *store),
        ("plan", benchmark, "--stop", EVIL, "--output", plan, *store),
    ):
        _, out, error = call(*words)
        check(out)
        check(error)
        assert "\\x1b" in out + error, words
        assert "\t" not in error


def test_json_keeps_names_as_they_are(call: Call, evil_store: Path) -> None:
    _, out, _ = call("rates", f"b{EVIL}", "--json", "--history", evil_store)
    assert out.isascii()
    assert EVIL in [row["task_id"] for row in json.loads(out)]


def test_no_text_in_csv_begins_a_formula(call: Call, evil_store: Path) -> None:
    _, out, _ = call("rates", f"b{EVIL}", "--format", "csv", "--history", evil_store)
    rows = list(csv.DictReader(StringIO(out)))
    ids = {row["task_id"] for row in rows}
    assert {"'=1+1", "'+cmd", "'-x", "'@sum", "-3", "7", "caf\u00e9 \u4e2d"} <= ids
    assert all(float(row["pass_rate"]) >= 0 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C"}],
)
def test_output_outlives_the_encoding_of_the_terminal(
    evil_store: Path, variables: dict[str, str]
) -> None:
    benchmark = f"b{EVIL}"
    lines = [
        ["rates", benchmark, "--history", str(evil_store)],
        ["rates", benchmark, "--history", str(evil_store), "--format", "csv"],
        ["plan", benchmark, "--history", str(evil_store), "--output", "-"],
        ["rates", "\u4e2d", "--history", str(evil_store)],
    ]
    script = (
        "import json, sys\n"
        "from midband.cli.root import run\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    run(line)\n"
        "    print('---', flush=True)\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(lines)],
        env={**os.environ, "PYTHONPATH": paths, **variables},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    table, comma, plan, unknown, _ = done.stdout.split(b"---\n")
    assert b"caf" in table
    assert b"caf" in comma
    assert "caf\u00e9 \u4e2d" in json.loads(plan.decode())["all_tasks"]
    assert unknown == b""
    assert b"Traceback" not in done.stderr


def test_a_history_made_anew_is_noted(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    path.touch()
    results = tmp_path / "r.csv"
    results.write_text("task_id,agent,score\nt,a,1\n")
    code, _, error = call("import", results, "--benchmark", "b", "--history", path)
    assert code == 0
    assert error.startswith(f"midband: warning: created the history {path} anew")
    code, _, error = call("history", "--history", ":memory:")
    assert code == 1
    assert "expected a history file, got :memory:" in error


def test_one_line() -> None:
    assert one_line("caf\u00e9 \U0001f600\u200d") == "caf\u00e9 \U0001f600\u200d"
    assert one_line("\x1b\t\n\r\u202e\x9b\udc80") == "\\x1b\\t\\n\\r\\u202e\\x9b\\udc80"
