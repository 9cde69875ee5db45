"""Workers that outlive their harness: the round is not over before the last of them has ended."""

import json
import os
import signal
import subprocess
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.rounds.conftest import line_with

from midband.rounds.process import ProcessGroup, is_at_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.rounds.conftest import Bench

STILL = "is still at work"


@pytest.fixture
def start(bench: "Bench", gate: Path) -> "Callable[..., subprocess.Popen[str]]":
    """Run a harness that ends at once, and leaves its tasks to a worker at the gate."""
    arguments = ("--worker", "--gate", gate, "--cost", 0.5)
    return lambda *options: bench.spawn("--round-size", 6, *options, arguments=arguments)


def check_paid_once(bench: "Bench", out: str) -> None:
    found = json.loads(out)
    assert Counter(bench.ledger.started) == Counter(bench.plan.tasks)
    assert found["tasks_run"] == 12
    assert found["recorded_usd"] == found["spent_usd"] == pytest.approx(6.0)
    assert found["without_result"] == []


@pytest.mark.slow
@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_round_lasts_as_long_as_its_workers(bench: "Bench", gate: Path, exit_code: int) -> None:
    arguments = ("--worker", "--gate", gate, "--cost", 0.5, "--exit", exit_code)
    running = bench.spawn("--round-size", 6, "--json", arguments=arguments)
    assert line_with(running.stderr, STILL).startswith("r000 ")
    assert len(bench.ledger.rounds) == 1
    assert bench.events("ended") == []
    gate.write_text("go on")
    out, error = running.communicate()
    assert running.returncode == 0, error
    check_paid_once(bench, out)


@pytest.mark.slow
def test_workers_of_a_killed_run_are_waited_for(
    bench: "Bench", gate: Path, start: "Callable[..., subprocess.Popen[str]]"
) -> None:
    killed = start()
    line_with(killed.stderr, STILL)
    killed.kill()
    killed.communicate()
    assert is_at_work(bench.directory / "r000")
    again = start("--json")
    assert line_with(again.stderr, STILL).startswith("r000 ")
    assert len(bench.ledger.rounds) == 1
    gate.write_text("go on")
    out, error = again.communicate()
    assert again.returncode == 0, error
    check_paid_once(bench, out)


@pytest.mark.slow
def test_workers_are_ended_by_the_second_ctrl_c(
    bench: "Bench", start: "Callable[..., subprocess.Popen[str]]"
) -> None:
    running = start()
    line_with(running.stderr, STILL)
    os.killpg(running.pid, signal.SIGINT)
    line_with(running.stderr, "the round will be finished")
    os.killpg(running.pid, signal.SIGINT)
    running.communicate()
    assert running.returncode == 130
    assert not is_at_work(bench.directory / "r000")
    assert bench.ledger.started == []
    assert bench.events("ended") == []


@pytest.mark.slow
def test_workers_are_ended_by_the_timeout(
    bench: "Bench", start: "Callable[..., subprocess.Popen[str]]"
) -> None:
    running = start("--timeout", 0.1)
    # Whether the tries after the first end in time is up to the machine.
    line_with(running.stderr, "r000: timed out")
    assert not is_at_work(bench.directory / "r000")
    os.killpg(running.pid, signal.SIGINT)
    running.communicate()


def test_another_group_that_got_the_number_is_not_waited_for(tmp_path: Path) -> None:
    kept = tmp_path / ".running"
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, start_new_session=True, env={"MIDBAND_ROUND": "mark"}
    ) as process:
        group = ProcessGroup.of(process.pid, "mark")
        kept.write_text(json.dumps(asdict(group)))
        assert is_at_work(tmp_path)
        for other in (replace(group, started="1"), replace(group, boot="another")):
            kept.write_text(json.dumps(asdict(other)))
            assert not is_at_work(tmp_path)
        for damaged in (str(group.number), '{"number": true}', "[" * 99_999, "\0", ""):
            kept.write_text(damaged)
            assert not is_at_work(tmp_path)
        kept.write_text(json.dumps(asdict(group)))
    assert not is_at_work(tmp_path)
