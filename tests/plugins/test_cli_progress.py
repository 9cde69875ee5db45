"""Progress and verdicts on terminals: what a person sees, and what a pipe gets."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

import pytest
from tests.plugins.rounds.conftest import (
    ADAPTER,
    Bench,
    MakeBench,
    environment,
    gate,
    make_bench,
    toy_history,
)
from tests.plugins.terminals import CONTROLS, HIDES, SHOWS, Terminal, drawn

from midband.cli import progress
from midband.cli.root import run
from midband.view import RunState, runs_directory
from midband.view.state import state_id
from midband_sampler import RankSettled

__all__ = ["gate", "make_bench", "toy_history"]

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench(n=12, stop=RankSettled(0.8, 0.0))


def test_a_person_sees_a_board_and_a_pipe_gets_lines(
    bench: Bench, on_terminal: Call, tmp_path: Path
) -> None:
    words = bench.words("--max-usd", 20, "--round-size", 4, arguments=("--cost", 0.5))
    code, out, error = on_terminal(*words)
    assert code == 0
    assert "\x1b" not in out
    assert out.startswith("rank ")
    assert HIDES in error
    assert error.rindex(SHOWS) > error.rindex(HIDES)  # the cursor is back
    lines = drawn(error)
    assert any("of 12 tasks" in line for line in lines)
    assert any(re.search(r"rank \d+ of 13 \(\d+ to \d+\); \$\d", line) for line in lines)
    assert any("of $20.00 spent" in line for line in lines)
    assert any("r001: running 4 tasks" in line for line in lines)

    plain_bench = Bench(bench.plan_path, tmp_path / "other", bench.ledger, bench.plugin, bench.call)
    words = plain_bench.words("--max-usd", 20, "--round-size", 4, arguments=("--cost", 0.5))
    code, plain_out, plain = bench.call(*words)
    assert code == 0
    assert plain_out.splitlines()[0] == out.splitlines()[0]
    assert not CONTROLS.search(plain)
    assert "\r" not in plain
    assert len(plain.splitlines()) <= 6  # two lines a round


def test_quiet_leaves_the_result_alone(bench: Bench, on_terminal: Call) -> None:
    code, out, error = on_terminal(*bench.words("--quiet", arguments=("--cost", 0.5)))
    assert (code, error) == (0, "")
    assert out.startswith("rank ")
    assert "keep the results" not in out
    code, _, error = on_terminal(*bench.words("--quiet", "--round-size", 3))
    assert code == 2
    assert error.startswith("midband: expected the same arguments")


@pytest.mark.parametrize(
    ("width", "encoding"), [(40, "utf-8"), (40, "ascii"), (60, "cp1252"), (20, "ascii")]
)
def test_a_board_fits_its_terminal(
    bench: Bench, on_terminal: Call, width: int, encoding: str
) -> None:
    words = bench.words("--max-usd", 20, arguments=("--cost", 0.5, "--error", "t05"))
    code, _, error = on_terminal(*words, width=width, encoding=encoding)
    assert code == 0
    assert "of 12 tasks" in error
    assert error.isascii() == (encoding != "utf-8")
    assert "\\u" not in error
    board = [line for line in drawn(error) if not line.startswith("r0")]
    assert max(map(len, board)) <= width


def test_a_dumb_terminal_gets_plain_lines(
    bench: Bench, on_terminal: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    code, _, error = on_terminal(*bench.words(arguments=("--cost", 0.5)))
    assert code == 0
    assert "\x1b" not in error
    assert "r000: running" in error


def test_no_color_means_no_color(
    bench: Bench, on_terminal: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    code, _, error = on_terminal(*bench.words(arguments=("--cost", 0.5)))
    assert code == 0
    assert "of 12 tasks" in error
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;)[0-9;]*m", error)


def test_a_harness_in_this_process_has_the_terminal_to_itself(
    bench: Bench, on_terminal: Call
) -> None:
    code, _, error = on_terminal(*bench.words("--in-process", arguments=("--cost", 0.5)))
    assert code == 0
    assert HIDES not in error
    assert "r000: running" in error


def test_a_display_that_fails_stops_no_run(
    bench: Bench, on_terminal: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        msg = "no display"
        raise RuntimeError(msg)

    monkeypatch.setattr(progress.Board, "_lines", fails)
    assert on_terminal(*bench.words(arguments=("--cost", 0.5)))[0] == 0
    monkeypatch.setattr("rich.live.Live.start", fails)
    code, _, error = on_terminal(*bench.words("--json", arguments=("--cost", 0.5)))
    assert code == 0
    assert "\x1b" not in error


def test_a_terminal_that_goes_away_stops_no_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    stream = TextIOWrapper(os.fdopen(slave, "wb", buffering=0), write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)
    begun = progress.Display.begins

    def hang_up(*given: object, **named: object) -> None:
        if not gone:
            os.close(master)
            gone.append(True)
        begun(*given, **named)  # type: ignore[arg-type]

    gone: list[bool] = []
    monkeypatch.setattr(progress.Display, "begins", hang_up)
    code = run(bench.words("--round-size", 4, arguments=("--cost", 0.5, "--error", "t05")))
    with suppress(OSError):
        stream.close()
    assert gone
    assert code == 0
    assert capsys.readouterr().out.startswith("rank ")


def test_an_import_shows_files_and_attempts(on_terminal: Call, tmp_path: Path) -> None:
    for number in range(3):
        rows = "".join(f"t{task},a{number},{task % 2}\n" for task in range(20))
        (tmp_path / f"r{number}.csv").write_text(f"task_id,agent,score\n{rows}")
    words = ("import", tmp_path, "--benchmark", "b", "--history", tmp_path / "h.duckdb")
    code, out, error = on_terminal(*words)
    assert code == 0, error
    assert "\x1b" not in out
    assert error.rindex(SHOWS) > error.rindex(HIDES)
    assert on_terminal(*words, "--quiet")[2] == ""


def test_ctrl_c_leaves_a_clean_terminal(
    on_terminal: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("midband.importers.sources.import_paths", pressed)
    code, out, error = on_terminal("import", tmp_path, "--history", tmp_path / "h.duckdb")
    assert (code, out) == (130, "")
    assert error.rindex(SHOWS) > error.rindex(HIDES)
    assert drawn(error)[-1] == "midband: interrupted"


@pytest.mark.slow
def test_one_ctrl_c_in_a_run_is_told_above_the_board(bench: Bench, gate: Path) -> None:
    terminal = Terminal()
    running = subprocess.Popen(
        [sys.executable, str(ADAPTER), *bench.words("--round-size", 4, arguments=("--gate", gate))],
        stdout=subprocess.PIPE,
        stderr=terminal.stream,
        text=True,
        process_group=0,
        env={**environment(), "TERM": "xterm"},
    )
    with gate.open("w"):
        os.killpg(running.pid, signal.SIGINT)
        assert terminal.waits_for(b"the round will be finished")
    out, _ = running.communicate(timeout=600)
    terminal.close()
    error = terminal.bytes.decode()
    assert running.returncode == 130, error
    assert "to continue: repeat the command" in out
    assert error.rindex(SHOWS) > error.rindex(HIDES)
    assert "Traceback" not in error


def test_long_work_tells_a_pipe_of_each_tenth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passed = [0.0]
    monkeypatch.setattr(progress, "now", lambda: passed[0])
    with progress.counted("replay") as advance:
        for done in range(401):
            advance(done, 400)
            passed[0] += 10.0
    error = capsys.readouterr().err
    assert 8 <= len(error.splitlines()) <= 10
    assert error.splitlines()[0] == "40 of 400 replays after 6:40, about 1:00:00 left"
    with progress.counted("replay") as advance:
        for done in range(401):
            advance(done, 400)
    assert capsys.readouterr().err == ""


def test_a_run_that_tells_by_a_state_file_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDBAND_STATE", str(tmp_path / "state"))
    folder = runs_directory()
    assert folder is not None
    folder.mkdir(parents=True)
    numbers = {"tasks_run": 40.0, "tasks_planned": 200.0, "rank": 10.0, "low": 7.0, "high": 12.0}
    for place, ran in (("logs", 40.0), ("others", 3.0)):
        state = RunState(
            id=state_id(place),
            kind="run",
            status="running",
            numbers={**numbers, "of": 25.0, "spent_usd": 1.5, "tasks_run": ran},
            texts={"directory": str(tmp_path / place / "a.eval")},
        )
        (folder / f"{state.id}.json").write_text(state.to_json())
    (folder / f"{state_id('half')}.json").write_text('{"format": "midband')
    board = progress.Board("task")
    progress.watched(tmp_path / "logs", 20.0)(board)
    assert (board.done, board.total) == (40, 200)
    assert board.facts == ("rank 10 of 25 (7 to 12); $1.50 of $20.00 spent",)
    nobody = progress.Board("task")
    progress.watched(tmp_path / "empty", None)(nobody)
    assert (nobody.done, nobody.total, nobody.facts) == (0, None, ())
