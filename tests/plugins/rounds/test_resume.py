"""Runs that are killed, interrupted or begun twice: nothing with a result is paid for again."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.plugins.rounds.conftest import line_with
from tests.plugins.rounds.stand_in import score

from midband_sampler import RankSettled

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.rounds.conftest import Bench, MakeBench

    from midband_history import Record

    OneLine = Callable[..., None]


def wait_until(true: Callable[[], bool], seconds: float = 600.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.02)


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def group_of(bench: "Bench", name: str) -> int:
    return int(json.loads((bench.directory / name / ".running").read_text())["number"])


@pytest.mark.slow
def test_killed_in_the_middle_of_a_round_it_goes_on_without_paying_twice(
    bench: "Bench", gate: "Path"
) -> None:
    at = sorted(bench.plan.tasks[4:8])[1]
    arguments = ("--cost", 0.5, "--gate", gate, "--gate-at", at)
    running = bench.spawn("--round-size", 4, arguments=arguments)
    with gate.open("w"):
        running.kill()
        running.communicate()
        # Its harness lives on, and is waited for.
        again = bench.spawn("--round-size", 4, "--json", arguments=arguments)
        assert line_with(again.stderr, "is still at work").startswith("r001 ")
    out, error = again.communicate(timeout=600)
    found = json.loads(out)
    assert again.returncode == 0, error
    assert Counter(bench.ledger.started) == Counter(bench.plan.tasks)
    assert found["tasks_run"] == 12
    assert found["recorded_usd"] == found["spent_usd"] == pytest.approx(6.0)
    assert found["score"] == pytest.approx(sum(map(score, bench.plan.tasks)) / 12)


@pytest.mark.slow
def test_killed_with_its_harness_it_runs_only_what_is_missing(bench: "Bench", gate: "Path") -> None:
    at = sorted(bench.plan.tasks[4:8])[1]
    arguments = ("--gate", gate, "--gate-at", at)
    running = bench.spawn("--round-size", 4, arguments=arguments)
    with gate.open("w"):
        running.kill()
        os.killpg(group_of(bench, "r001"), signal.SIGKILL)
        running.communicate()
    assert len(bench.ledger.results) == 5
    code, out, _ = bench.run("--round-size", 4, "--json", arguments=arguments)
    assert code == 0
    assert json.loads(out)["tasks_run"] == 12
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)


@pytest.mark.slow
def test_what_a_killed_run_left_hanging_is_ended_by_the_timeout(
    bench: "Bench", gate: "Path"
) -> None:
    hung = sorted(bench.plan.tasks[:4])[2]
    arguments = ("--gate", gate, "--gate-at", hung)
    running = bench.spawn("--round-size", 4, arguments=arguments)
    with gate.open("w"):
        running.kill()
        running.communicate()
        group = group_of(bench, "r000")
        assert not group_is_gone(group)
        code, out, _ = bench.run("--round-size", 4, "--timeout", 4, "--json", arguments=arguments)
        assert code == 0
        wait_until(lambda: group_is_gone(group))
    assert json.loads(out)["without_result"] == []
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)


@pytest.mark.slow
def test_a_kill_between_two_steps_runs_the_second_only(bench: "Bench", gate: "Path") -> None:
    arguments = ("--gate", gate, "--gate-at", sorted(bench.plan.tasks)[2], "--score")
    running = bench.spawn("--round-size", 12, arguments=arguments)
    with gate.open("w"):
        running.kill()
        running.communicate()
    code, _, _ = bench.run("--round-size", 12, arguments=arguments)
    assert code == 0
    assert Counter(bench.ledger.started) == Counter(bench.plan.tasks)
    assert (bench.directory / "r000" / "jobs" / "scored").read_text() == "x"


def test_a_cut_off_journal_line_is_forgotten(bench: "Bench") -> None:
    bench.run("--round-size", 4, "--max-tasks", 8)
    journal = bench.directory / "rounds.jsonl"
    whole = journal.read_text()
    last = whole.splitlines()[-1]
    journal.write_text(whole[: -len(last) // 2])
    code, out, _ = bench.run("--round-size", 4, "--json")
    assert code == 0
    assert json.loads(out)["tasks_run"] == 12
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)
    assert bench.run("--round-size", 4, "--json")[:2] == (code, out)


@pytest.mark.slow
def test_one_ctrl_c_lets_the_round_finish(bench: "Bench", gate: "Path") -> None:
    arguments = ("--gate", gate, "--gate-at", sorted(bench.plan.tasks[:4])[1])
    running = bench.spawn("--round-size", 4, arguments=arguments)
    with gate.open("w"):
        os.killpg(running.pid, signal.SIGINT)
        line_with(running.stderr, "the round will be finished")
    out, error = running.communicate(timeout=600)
    assert running.returncode == 130, error
    assert sorted(bench.ledger.results) == sorted(bench.plan.tasks[:4])
    assert "planned tasks ran (of 40 in the benchmark); ended before the stopping rule was met" in (
        " ".join(out.split())
    )
    assert "to continue: repeat the command" in out
    assert "ended: interrupted" in out
    assert bench.run("--round-size", 4, arguments=arguments)[0] == 0
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_the_round_and_keeps_what_it_had(bench: "Bench") -> None:
    hung = sorted(bench.plan.tasks[:4])[2]
    arguments = ("--hang", hung, "--child")
    running = bench.spawn("--round-size", 4, "--json", arguments=arguments)
    wait_until(lambda: len(bench.ledger.started) == 3)
    group = group_of(bench, "r000")
    os.killpg(running.pid, signal.SIGINT)
    line_with(running.stderr, "the round will be finished")
    assert running.poll() is None
    assert not group_is_gone(group)
    os.killpg(running.pid, signal.SIGINT)
    out, error = running.communicate(timeout=600)
    found = json.loads(out)
    assert running.returncode == 130, error
    assert found["interrupted"]
    assert found["ended"] == "interrupted"
    (unfinished,) = (line for line in error.splitlines() if "not finished" in line)
    assert hung in unfinished
    wait_until(lambda: group_is_gone(group))
    assert len(bench.ledger.results) == 2
    limits = ("--max-tasks", 4, "--timeout", 3)
    bench.run("--round-size", 4, *limits, arguments=arguments)
    others = set(bench.plan.tasks[:4]) - {hung}
    assert Counter(bench.ledger.results) == Counter(others)


@pytest.mark.slow
def test_in_process_the_second_ctrl_c_ends_the_round(bench: "Bench", gate: "Path") -> None:
    hung = sorted(bench.plan.tasks[:4])[2]
    options = ("--in-process", "--round-size", 4, "--json")
    arguments = ("--gate", gate, "--gate-at", hung)
    running = bench.spawn(*options, arguments=arguments)
    with gate.open("w"):
        os.killpg(running.pid, signal.SIGINT)
        line_with(running.stderr, "the round will be finished")
        assert running.poll() is None
        os.killpg(running.pid, signal.SIGINT)
        out, error = running.communicate(timeout=600)
    assert running.returncode == 130, error
    assert json.loads(out)["interrupted"]
    assert bench.run(*options, arguments=("--agent", "other"))[0] == 2
    code, out, _ = bench.run(*options, arguments=arguments)
    assert code == 0
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)


@pytest.mark.slow
def test_two_runs_in_one_directory_are_refused(
    bench: "Bench", gate: "Path", one_line: "OneLine"
) -> None:
    arguments = ("--gate", gate)
    running = bench.spawn("--round-size", 12, arguments=arguments)
    with gate.open("w"):
        code, _, error = bench.run("--round-size", 12, arguments=arguments)
    running.communicate(timeout=600)
    assert code == 2
    one_line(error, "another midband run")
    assert running.returncode == 0


def test_another_plan_or_other_arguments_are_refused(
    make_bench: "MakeBench", one_line: "OneLine"
) -> None:
    bench = make_bench()
    assert bench.run("--max-tasks", 3)[0] == 0
    code, _, error = bench.run(arguments=("--agent", "other"))
    assert code == 2
    one_line(error, "same arguments")
    assert "--agent" not in (bench.directory / "rounds.jsonl").read_text()
    code, _, error = bench.run("--attempts", 2)
    assert code == 2
    one_line(error, "same attempts")
    other = make_bench(n=11)
    code, _, error = other.run()
    assert code == 2
    one_line(error, other.plan.digest)


def test_max_tasks_is_hard_and_can_be_raised(bench: "Bench") -> None:
    code, out, _ = bench.run("--round-size", 3, "--max-tasks", 7)
    assert code == 0
    assert "task limit reached: 7 of 7 tasks run" in out
    assert len(bench.ledger.started) == 7
    assert bench.run("--round-size", 3, "--max-tasks", 7)[0] == 0
    assert len(bench.ledger.started) == 7
    bench.run("--round-size", 3, "--max-tasks", 9)
    assert len(bench.ledger.started) == 9


@pytest.mark.parametrize(
    ("cost", "limit", "most"),
    [(None, 3.0, 6), (0.5, 3.0, 6), (0.1, 1.0, 6), (1.0, 5.0, 5), (0.5, 0.4, 0)],
)
def test_max_usd_is_hard(bench: "Bench", cost: float | None, limit: float, most: int) -> None:
    arguments = () if cost is None else ("--cost", cost)
    code, out, _ = bench.run("--round-size", 4, "--max-usd", limit, arguments=arguments)
    assert code == 0
    assert len(bench.ledger.started) == most
    assert "money limit reached" in out
    code, out, _ = bench.run("--round-size", 4, "--max-usd", limit, "--json", arguments=arguments)
    assert len(bench.ledger.started) == most
    assert json.loads(out)["spent_usd"] <= limit + 1e-9


def test_costs_far_above_the_history_are_learned_from_a_small_round(bench: "Bench") -> None:
    bench.run("--round-size", 12, "--max-usd", 8, arguments=("--cost", 2))
    assert [len(tasks) for tasks in bench.ledger.rounds] == [4]


def test_tries_of_unknown_cost_are_counted_as_expected(bench: "Bench") -> None:
    broken = sorted(bench.plan.tasks[:4])[0]
    _, out, _ = bench.run(
        *("--round-size", 4, "--max-usd", 4, "--json"),
        arguments=("--once", broken, "--cost", 0.5),
    )
    found = json.loads(out)
    assert found["spent_usd"] > found["recorded_usd"]
    assert found["spent_usd"] <= 4.0


def test_unknown_costs_and_a_limit_are_refused_before_the_first_round(
    make_bench: "MakeBench", one_line: "OneLine", monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    bench = make_bench(costs=False)
    harness = bench.plugin.harness
    monkeypatch.setattr(harness, "capabilities", replace(harness.capabilities, costs=False))
    code, _, error = bench.run("--max-usd", 3)
    assert code == 2
    one_line(error, "--max-usd", "--max-tasks")
    assert bench.ledger.rounds == []


def test_costs_that_only_the_harness_knows_are_learned_from_one_task(
    make_bench: "MakeBench", one_line: "OneLine"
) -> None:
    bench = make_bench(costs=False)
    code, _, _ = bench.run("--round-size", 4, "--max-usd", 3, arguments=("--cost", 0.5))
    assert code == 0
    assert [len(tasks) for tasks in bench.ledger.rounds] == [1, 4, 1]
    silent = make_bench(costs=False)
    silent.directory = bench.directory.with_name("silent")
    code, _, error = silent.run("--max-usd", 3)
    assert code == 2
    one_line(error.splitlines()[-1], "none in the results of 1 rounds")


def test_results_met_again_are_not_counted_twice(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = type(bench.plugin.harness).read_results

    def all_rounds(self: object, path: "Path", *, benchmark: str | None = None) -> "list[Record]":
        folders = sorted(path.parent.parent.glob("r*/jobs"))
        return [
            record
            for folder in folders
            for record in whole(bench.plugin.harness, folder, benchmark=benchmark)
        ]

    monkeypatch.setattr(type(bench.plugin.harness), "read_results", all_rounds)
    code, out, error = bench.run("--round-size", 6, "--json", arguments=("--cost", 0.5))
    assert code == 0
    assert json.loads(out)["recorded_usd"] == pytest.approx(6.0)
    assert "r001: 6 results known already" in error
    assert Counter(task for task, _ in bench.plugin.recorded) == Counter(bench.plan.tasks)


@pytest.mark.slow
def test_progress_goes_to_standard_error_and_json_alone_to_standard_output(
    bench: "Bench",
) -> None:
    running = bench.spawn("--json")
    out, error = running.communicate(timeout=600)
    assert running.returncode == 0
    assert json.loads(out)["tasks_run"] == 12
    assert error.startswith("r000: running 2 tasks")


@pytest.mark.parametrize("cost", ["-0.5", "nan", "inf", "-inf", "1e300"])
def test_a_cost_that_cannot_be_is_unknown_and_locks_nothing(bench: "Bench", cost: str) -> None:
    limits = ("--round-size", 4, "--max-usd", 100, "--json")
    # One word: argparse takes -0.5 and -inf for options.
    code, out, error = bench.run(*limits, "--max-tasks", 8, arguments=(f"--cost={cost}",))
    assert code == 0, error
    if cost in ("-0.5", "1e300"):  # the stand-in's reader knows the others as unknown itself
        assert "r000: took 4 costs as unknown" in error
    assert json.loads(out)["recorded_usd"] == 0.0
    assert json.loads(out)["spent_usd"] == pytest.approx(4.0)  # the plan expects $0.50 each
    code, out, error = bench.run(*limits, arguments=(f"--cost={cost}",))
    assert code == 0, error
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)
    assert json.loads(out)["spent_usd"] == pytest.approx(6.0)


def test_a_journal_with_a_cost_that_cannot_be_goes_on(bench: "Bench") -> None:
    arguments = ("--cost", 0.5)
    bench.run("--round-size", 4, "--max-tasks", 4, arguments=arguments)
    journal = bench.directory / "rounds.jsonl"
    journal.write_text(journal.read_text().replace('"cost_usd": 0.5', '"cost_usd": -3.0', 1))
    code, out, error = bench.run("--round-size", 4, "--json", arguments=arguments)
    assert code == 0, error
    assert "r000: took 1 cost as unknown" in error
    assert json.loads(out)["recorded_usd"] == pytest.approx(5.5)
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)


def damages(lines: list[str]) -> dict[str, list[str]]:
    """Return journals that midband would not have written, by what was done to them."""
    ended = next(number for number, line in enumerate(lines) if '"event": "ended"' in line)

    def put(number: int, old: str, new: str) -> list[str]:
        assert old in lines[number]
        return [*lines[:number], lines[number].replace(old, new), *lines[number + 1 :]]

    return {
        "no JSON": [lines[0], "{", *lines[1:]],
        "a number": [lines[0], "3", *lines[1:]],
        "no event": [lines[0], "{}", *lines[1:]],
        "deep": [lines[0], "[" * 99_999, *lines[1:]],
        "an empty line": [lines[0], "", *lines[1:]],
        "no beginning": lines[1:],
        "no round": [*lines[:1], *lines[2:]],
        "half": [*lines[:ended], lines[ended][:40], *lines[ended + 1 :]],
        "no tasks": put(1, '"tasks"', '"task"'),
        "strange tasks": put(1, '["t', '["u'),
        "tasks as a text": put(1, '"tasks": [', '"tasks": "t01", "old": ['),
        "a name with a path": put(1, '"name": "r000"', '"name": "../r000"'),
        "a score above 1": put(ended, '"score": ', '"score": 7'),
        "a score as a text": put(ended, '"score": ', '"score": "x", "was": '),
        "another kind": put(ended, '"kind": "valid"', '"kind": "odd"'),
        "a result of another task": put(ended, '"task": "t', '"task": "u'),
        "no results": put(ended, '"results": [', '"results": null, "was": ['),
        "results of nothing": put(ended, '"results": [', '"results": [1, '),
        "attempts as a text": put(ended, '"attempts": 1', '"attempts": "1"'),
        "no live": put(0, '"live": ', '"dead": '),
        "an end twice": [*lines[: ended + 1], *lines[ended:]],
    }


def test_a_damaged_journal_is_one_line_and_nothing_is_run(
    bench: "Bench", one_line: "OneLine"
) -> None:
    bench.run("--round-size", 4, "--max-tasks", 4)
    journal = bench.directory / "rounds.jsonl"
    whole = journal.read_text()
    started = len(bench.ledger.started)
    for what, lines in damages(whole.splitlines()).items():
        journal.write_text("".join(f"{line}\n" for line in lines))
        code, _, error = bench.run("--round-size", 4)
        assert code == 1, (what, error)
        one_line(error.splitlines()[-1], str(journal), "line", "another directory")
        assert len(error) < 2_000, what
        assert len(bench.ledger.started) == started, what
    journal.write_bytes(whole.encode() + b"\0" * 300)  # as after a power failure
    assert bench.run("--round-size", 4)[0] == 0
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("--api-key", "QX1old"), ("--api-key", "QX22")),
        (("--api-key=QX1old",), ("--api-key=QX4",)),
        (("--set", "model=m,api_key=QX1old"), ("--set", "model=m,api_key=QX3")),
        (("--set", "token=QX1old"), ("--set", "token=QX3")),
        (("--set", "sk-QX1old-1"), ("--set", "sk-QX3-22")),
        (("--set", "MY_API_KEY=QX1old"), ("--set", "MY_API_KEY=QX3")),
    ],
)
def test_another_key_is_the_same_run_and_is_not_kept(
    bench: "Bench", one_line: "OneLine", first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    assert bench.run("--max-tasks", 3, arguments=first)[0] == 0
    code, _, error = bench.run("--max-tasks", 4, arguments=second)
    assert code == 0, error
    kept = [file.read_text() for file in bench.directory.iterdir() if file.is_file()]
    assert not any("QX" in text for text in kept)
    code, _, error = bench.run(arguments=(*second, "--set", "max_tokens=5"))
    assert code == 2
    one_line(error, "same arguments")


def test_a_run_directory_of_0_1_goes_on(bench: "Bench") -> None:
    """Its digest is that of all arguments, a key among them."""
    import hashlib

    arguments = ("--api-key", "old")
    words = json.dumps(["--ledger", str(bench.ledger.path), *arguments])
    bench.run("--max-tasks", 3, arguments=arguments)
    journal = bench.directory / "rounds.jsonl"
    (run,) = bench.events("run")
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    assert run["arguments"] != digest
    journal.write_text(journal.read_text().replace(str(run["arguments"]), digest))
    code, _, error = bench.run(arguments=arguments)
    assert code == 0, error
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)


def test_a_run_continues_with_a_sharper_plan_and_pays_for_nothing_twice(
    make_bench: "MakeBench", one_line: "OneLine"
) -> None:
    bench = make_bench(n=6)
    assert bench.run("--round-size", 3, arguments=("--cost", 0.5))[0] == 0
    first = bench.directory
    bench = make_bench(n=12)
    bench.directory = first.with_name("sharper")
    code, out, error = bench.run("--from", first, "--json", arguments=("--cost", 0.5))
    assert code == 0, error
    assert "6 tasks are known from" in error
    found = json.loads(out)
    assert found["tasks_run"] == 12
    assert found["score"] == pytest.approx(sum(map(score, bench.plan.tasks)) / 12)
    assert found["recorded_usd"] == 3.0
    assert Counter(bench.ledger.results) == Counter(bench.plan.tasks)
    # What it continues is in its journal, and is not asked for again.
    code, again, _ = bench.run("--json", arguments=("--cost", 0.5))
    assert (code, json.loads(again)) == (0, found)
    bench.directory = first.with_name("other")
    code, _, error = bench.run("--from", first)
    assert code == 2
    one_line(error.splitlines()[-1], "expected the same arguments as in", "--from")


def test_a_run_does_not_continue_what_another_plan_chose(
    make_bench: "MakeBench", one_line: "OneLine"
) -> None:
    bench = make_bench(n=6)
    bench.run()
    first = bench.directory
    bench = make_bench(n=12, strategy="cost-fixed", stop=RankSettled(0.6, 0.0))
    bench.directory = first.with_name("other")
    code, _, error = bench.run("--from", first)
    assert code == 2
    one_line(error.splitlines()[-1], "expected a plan that runs the 6 tasks of")
    assert len(bench.ledger.results) == 6
