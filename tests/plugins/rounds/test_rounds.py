"""Rounds that go as they should, and those that do not: what is kept, reported and told."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.rounds.stand_in import score

from midband_history import History, InputError
from midband_sampler import Budget, NotWorse, RankSettled, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.rounds.conftest import Bench, Call, MakeBench

    OneLine = Callable[..., None]


def test_a_run_stops_where_the_session_stops(make_bench: "MakeBench") -> None:
    bench = make_bench(n=None, stop=RankSettled(0.8, 0.6))
    code, out, error = bench.run("--round-size", 3, "--json")
    found = json.loads(out)
    session = Session(bench.plan)
    while tasks := session.ask(1):
        session.tell(tasks[0], score=score(tasks[0]))
    assert code == 0, error
    for name, value in session.decision().to_dict().items():
        if name not in ("cost_saved_usd", "spent_usd"):
            assert found[name] == value
    assert found["spent_usd"] == 0.5 * found["tasks_started"]  # the last round has run as a whole
    assert found["reason"] == "rank settled"
    assert found["tasks_run"] <= found["tasks_started"] < found["tasks_run"] + 3
    assert len(bench.ledger.results) == found["tasks_started"] < 40


@pytest.mark.parametrize(
    ("place", "code", "said"), [(0, 0, "gate held"), (-1, 4, "gate did not hold")]
)
def test_a_run_ends_with_the_code_of_its_gate(
    make_bench: "MakeBench", tmp_path: Path, place: int, code: int, said: str
) -> None:
    baseline = make_bench(n=None).plan.reference_agents[place]
    bench = make_bench(n=None, stop=NotWorse(baseline, 5.0))
    gate = ("--gate", f"not-worse:{baseline}:5", "--summary", tmp_path / "gate.md")
    got, out, error = bench.run(*gate)
    assert got == code, error
    assert out.splitlines()[-1].startswith(f"{said}: the new agent is")
    assert len(bench.ledger.results) < 40
    assert (tmp_path / "gate.md").read_text().startswith(f"### {said.capitalize()}")
    got, out, _ = bench.run(*gate, "--json")
    assert (got, json.loads(out)["gate"]["exit_code"]) == (code, code)


def test_a_run_by_a_plan_with_another_end_is_refused_before_it_begins(
    make_bench: "MakeBench", one_line: "OneLine"
) -> None:
    bench = make_bench(n=None, stop=RankSettled(0.8, 0.6))
    baseline = bench.plan.reference_agents[0]
    code, _, error = bench.run("--gate", f"not-worse:{baseline}:5")
    assert code == 2
    one_line(error, "--stop")
    assert not bench.directory.exists()


def test_a_run_is_recorded_as_it_goes(bench: "Bench", tmp_path: Path) -> None:
    path = tmp_path / "team" / "h.duckdb"
    code, out, error = bench.run("--round-size", 5, "--record", "--history", path)
    assert code == 0, error
    assert [line for line in error.splitlines() if line.startswith("recorded")] == [
        "recorded 5 attempts in the history",
        "recorded 5 attempts in the history",
        "recorded 2 attempts in the history",
    ]
    assert "keep the results" not in out
    with History.open(path, read_only=True) as history:
        kept = {(each.task_id, each.score) for each in history.records()}
    assert kept == {(task, score(task)) for task in bench.plan.tasks}
    code, out, error = bench.call("import", str(bench.directory), "--history", str(path), "--json")
    assert (code, json.loads(out)["added"]) == (0, 0), error


def test_a_history_that_cannot_be_written_does_not_end_a_run(
    bench: "Bench", tmp_path: Path
) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database, but some notes\n" * 500)
    code, out, error = bench.run("--round-size", 6, "--record", "--history", other)
    assert code == 0
    assert "all planned tasks run" in out
    assert error.count("not recorded: expected a midband history") == 2
    assert f"midband import {bench.directory} --benchmark" in error


def test_all_planned_tasks_are_run_once_in_the_order_of_the_plan(bench: "Bench") -> None:
    code, out, error = bench.run("--round-size", 5)
    assert code == 0
    assert [sorted(tasks) for tasks in bench.ledger.rounds] == [
        sorted(bench.plan.tasks[start : start + 5]) for start in (0, 5, 10)
    ]
    assert "all planned tasks run" in out
    assert "r002: 2 of 2 tasks scored; rank" in error
    assert "$6.00 spent" in error
    assert "$0.00 to go" in error


def test_the_first_round_is_as_large_as_the_rule_needs(make_bench: "MakeBench") -> None:
    bench = make_bench(n=None, stop=RankSettled(0.95, 0.0, 7))
    bench.run("--max-tasks", 16)
    assert [len(tasks) for tasks in bench.ledger.rounds] == [7, 4, 4, 1]


def test_the_same_plan_gives_the_same_rounds(make_bench: "MakeBench", tmp_path: Path) -> None:
    bench = make_bench(n=None, stop=RankSettled(0.8, 0.6))
    seen = []
    for name in ("a", "b"):
        bench.directory = tmp_path / name
        before = len(bench.ledger.rounds)
        bench.run()
        seen.append(bench.ledger.rounds[before:])
    assert seen[0] == seen[1] != []


def test_what_a_finished_run_cost_is_not_paid_again(bench: "Bench") -> None:
    first = bench.run("--json")
    started = len(bench.ledger.started)
    again = bench.run("--json")
    assert again[:2] == first[:2]
    assert len(bench.ledger.started) == started == 12
    assert len(bench.plugin.recorded) == 12
    assert len(bench.plugin.finished) == 2


def test_results_can_be_imported_as_the_last_line_says(bench: "Bench", tmp_path: Path) -> None:
    _, out, _ = bench.run()
    hint = out.splitlines()[-1].partition(": midband ")[2].split()
    code, out, error = bench.call(*hint, "--history", tmp_path / "new.duckdb")
    assert code == 0, error
    with History.open(tmp_path / "new.duckdb", read_only=True) as history:
        assert set(history.outcomes("toy").tasks) == set(bench.plan.tasks)
    verdict = json.loads(bench.call("rank", bench.plan_path, bench.directory, "--json")[1])
    run = json.loads(bench.run("--json")[1])
    assert [verdict[0][name] for name in ("rank", "low", "high", "tasks_run")] == [
        run[name] for name in ("rank", "low", "high", "tasks_run")
    ]


def test_attempts_are_averaged_and_each_counts(bench: "Bench") -> None:
    code, out, error = bench.run("--attempts", 3, "--json", arguments=("--cost", 0.25))
    found = json.loads(out)
    assert "r000: 2 of 2 tasks scored" in error
    assert code == 0
    assert len(bench.ledger.results) == 36
    assert found["recorded_usd"] == pytest.approx(9.0)
    assert found["tasks_run"] == 12
    assert found["score"] == pytest.approx(sum(map(score, bench.plan.tasks)) / 12)


def test_observers_hear_of_every_result_once(bench: "Bench") -> None:
    bench.run(arguments=("--error", bench.plan.tasks[1]))
    heard = dict(bench.plugin.recorded)
    assert len(bench.plugin.recorded) == 12
    assert heard[bench.plan.tasks[1]] is None
    assert heard[bench.plan.tasks[0]] == score(bench.plan.tasks[0])


def test_an_infrastructure_error_is_no_failure(bench: "Bench") -> None:
    broken = bench.plan.tasks[2]
    _, out, error = bench.run("--json", arguments=("--error", broken))
    found = json.loads(out)
    assert f"infra error in {broken}" in error
    assert found["without_result"] == [broken]
    assert found["tasks_without_result"] == 1
    assert found["score"] == pytest.approx(
        sum(score(task) for task in bench.plan.tasks if task != broken) / 11
    )


def test_a_task_that_the_harness_drops_is_reported_and_told_as_missing(bench: "Bench") -> None:
    lost = bench.plan.tasks[3]
    code, out, error = bench.run("--round-size", 6, "--json", arguments=("--drop", lost))
    found = json.loads(out)
    assert code == 0
    assert f"r000: no result for {lost}" in error
    assert found["without_result"] == [lost]
    assert (found["tasks_run"], found["tasks_without_result"]) == (12, 1)
    assert bench.ledger.started.count(lost) == 1


def test_a_task_that_was_not_asked_for_is_reported_and_not_told(bench: "Bench") -> None:
    strange = sorted(set(bench.plan.all_tasks) - set(bench.plan.tasks))[0]
    code, out, error = bench.run(
        "--round-size", 12, "--json", arguments=("--extra", strange, "--cost", 1)
    )
    found = json.loads(out)
    assert code == 0
    assert f"not asked for, and left out: {strange}" in error
    assert strange not in dict(bench.plugin.recorded)
    assert found["tasks_run"] == 12
    assert found["recorded_usd"] == pytest.approx(13.0)


def test_a_failed_round_keeps_its_results_and_tries_the_rest_again(bench: "Bench") -> None:
    broken = sorted(bench.plan.tasks[:6])[3]
    code, out, error = bench.run("--round-size", 6, "--json", arguments=("--once", broken))
    assert code == 0
    assert "failed, exit 3" in error
    assert sorted(bench.ledger.results) == sorted(bench.plan.tasks)
    assert json.loads(out)["without_result"] == []


def test_a_task_that_never_ends_well_is_given_up(bench: "Bench") -> None:
    broken = sorted(bench.plan.tasks[:6])[5]
    code, out, _ = bench.run("--round-size", 6, "--json", arguments=("--abort", broken))
    found = json.loads(out)
    assert code == 0
    assert found["without_result"] == [broken]
    assert found["tasks_run"] == 12
    assert bench.ledger.started.count(broken) == 3
    assert [broken] in bench.ledger.rounds


def test_an_exit_code_alone_loses_nothing(bench: "Bench") -> None:
    code, _, error = bench.run("--round-size", 6, arguments=("--exit", 2))
    assert code == 0
    assert "failed, exit 2" in error
    assert sorted(bench.ledger.started) == sorted(bench.plan.tasks)


def test_half_a_file_is_reported_and_its_task_run_again(bench: "Bench") -> None:
    torn = bench.plan.tasks[1]
    code, out, error = bench.run("--round-size", 6, "--json", arguments=("--half", torn))
    assert code == 0
    assert "unreadable" in error
    assert f"not finished: {torn}" in error
    assert sorted(bench.ledger.results) == sorted(bench.plan.tasks)
    assert json.loads(out)["without_result"] == []


def test_a_hang_is_ended_and_what_finished_is_kept(bench: "Bench") -> None:
    stuck = sorted(bench.plan.tasks[:4])[2]
    code, out, error = bench.run(
        *("--round-size", 4, "--timeout", 3, "--json"), arguments=("--hang", stuck)
    )
    found = json.loads(out)
    assert code == 0
    assert error.count("timed out") == 3
    assert found["without_result"] == [stuck]
    assert sorted(bench.ledger.results) == sorted(set(bench.plan.tasks) - {stuck})


def test_two_rounds_without_a_score_end_the_run(bench: "Bench") -> None:
    first = sorted(bench.plan.tasks)
    errors = [word for task in first for word in ("--abort", task)]
    code, out, error = bench.run("--round-size", 4, arguments=tuple(errors))
    assert code == 1
    assert "2 rounds in a row brought no score" in error
    assert "stand-in: cannot run" in error
    assert len(bench.ledger.rounds) == 2
    assert bench.plugin.recorded == []
    code, out, _ = bench.run("--round-size", 4, "--json")
    assert code == 0
    assert json.loads(out)["without_result"] == []
    assert sorted(bench.ledger.results) == first


def test_surroundings_that_break_half_way_do_not_use_up_the_tasks(bench: "Bench") -> None:
    later = [word for task in bench.plan.tasks[4:] for word in ("--error", task)]
    code, _, _ = bench.run("--round-size", 4, "--json", arguments=tuple(later))
    assert code == 1
    told = {task for task, _ in bench.plugin.recorded}
    assert told == set(bench.plan.tasks[:4])


def test_steps_run_one_after_the_other_also_after_a_failed_one(bench: "Bench") -> None:
    bench.run("--round-size", 12, arguments=("--score", "--exit", 3))
    assert (bench.directory / "r000" / "jobs" / "scored").read_text() == "x"


def test_a_changed_task_is_refused_and_can_be_allowed(bench: "Bench", one_line: "OneLine") -> None:
    changed = bench.plan.tasks[0]
    arguments = ("--changed", changed)
    code, _, error = bench.run(arguments=arguments)
    assert code == 1
    one_line(error.splitlines()[-1], changed, "--allow-changed")
    started = len(bench.ledger.started)
    code, out, _ = bench.run("--allow-changed", "--json", arguments=arguments)
    assert code == 0
    assert json.loads(out)["tasks_run"] == 12
    assert len(set(bench.ledger.started)) == len(bench.ledger.started) > started


def test_results_of_two_agents_are_refused(bench: "Bench", one_line: "OneLine") -> None:
    bench.run("--round-size", 4, "--max-tasks", 4)
    journal = bench.directory / "rounds.jsonl"
    journal.write_text(journal.read_text().replace('"agent": "new"', '"agent": "old"'))
    code, _, error = bench.run("--round-size", 4)
    assert code == 2
    one_line(error.splitlines()[-1], "new and old")


def test_in_process_the_harness_is_loaded_once(bench: "Bench") -> None:
    from tests.plugins.rounds.adapter import Loaded

    before = Loaded.loads
    code, out, _ = bench.run("--in-process", "--round-size", 4, "--json")
    assert code == 0
    assert json.loads(out)["tasks_run"] == 12
    assert Loaded.loads == before + 1
    assert len(bench.ledger.rounds) == 3


def test_in_process_a_harness_that_raises_keeps_the_rest(bench: "Bench") -> None:
    broken = sorted(bench.plan.tasks[:6])[3]
    code, out, _ = bench.run(
        *("--in-process", "--round-size", 6, "--json"), arguments=("--once", broken)
    )
    assert code == 0
    assert json.loads(out)["without_result"] == []
    assert "RuntimeError: exit 3" in (bench.directory / "r000" / "output.log").read_text()
    assert sorted(set(bench.ledger.results)) == sorted(bench.plan.tasks)


def test_what_a_harness_may_keep_apart_is_not_mixed_with_the_result(bench: "Bench") -> None:
    _, out, _ = bench.run("--in-process", "--json")
    json.loads(out)


@pytest.mark.parametrize(
    ("harness", "part"),
    [("openhands-index", "expected a harness that midband runs"), ("nope", "nope")],
)
def test_a_harness_that_is_not_driven_says_what_to_do(
    bench: "Bench", call: "Call", one_line: "OneLine", harness: str, part: str
) -> None:
    code, _, error = call("run", harness, bench.plan_path, "--output", bench.directory)
    assert code == 2
    one_line(error, "stand-in", part)
    assert not bench.directory.exists()


def test_a_harness_that_is_not_there_is_named_before_anything_is_run(
    bench: "Bench", one_line: "OneLine"
) -> None:
    bench.plugin.harness.problem = "expected stand-in, found none: install it"
    code, _, error = bench.run()
    assert code == 1
    one_line(error, "install it")
    assert bench.ledger.rounds == []


def test_refused_arguments_leave_the_directory_free_for_others(
    bench: "Bench", one_line: "OneLine"
) -> None:
    code, _, error = bench.run(arguments=("--ids", "x"))
    assert code == 2
    one_line(error, "--ids")
    assert bench.run()[0] == 0


def test_a_live_strategy_chooses_after_every_result_and_again_after_a_stop(
    make_live: "MakeBench", tmp_path: Path
) -> None:
    bench = make_live(n=6)
    assert bench.plan.chooses_live
    whole = bench.run("--round-size", 1, "--json")
    orders = [[task for (task,) in bench.ledger.rounds]]
    bench.directory = tmp_path / "again"
    bench.run("--round-size", 1, "--max-tasks", 3)
    again = bench.run("--round-size", 1, "--json")
    orders.append([task for (task,) in bench.ledger.rounds[6:]])
    assert whole[0] == again[0] == 0
    session = Session(bench.plan)
    expected = []
    while tasks := session.ask(1):
        expected += tasks
        session.tell(tasks[0], score=score(tasks[0]))
    assert orders == [expected, expected]
    assert expected != list(bench.plan.tasks[:6])
    found = [json.loads(each[1]) for each in (whole, again)]
    assert found[0].pop("directory") != found[1].pop("directory")
    assert found[0] == found[1]


def test_a_live_strategy_keeps_its_fixed_order_in_larger_rounds(make_live: "MakeBench") -> None:
    bench = make_live(n=6)
    code, out, error = bench.run("--round-size", 3, "--json")
    assert code == 0
    assert "--round-size 1 chooses live" in error
    assert [sorted(tasks) for tasks in bench.ledger.rounds] == [
        sorted(bench.plan.fixed().tasks[start : start + 3]) for start in (0, 3)
    ]
    session = Session(bench.plan, live=False)
    for task in bench.plan.tasks[:6]:
        session.tell(task, score=score(task))
    assert json.loads(out)["rank"] == session.decision().rank


def test_the_session_is_told_what_an_attempt_cost(make_bench: "MakeBench") -> None:
    bench = make_bench(stop=Budget(usd=3.0))
    code, out, _ = bench.run("--round-size", 2, "--json", arguments=("--cost", 1.5))
    assert code == 0
    assert json.loads(out)["reason"] == "budget spent"
    assert len(bench.ledger.started) == 2


def test_a_round_that_is_refused_at_its_start_is_forgotten(
    bench: "Bench", one_line: "OneLine", monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.plugins.rounds.adapter import Loaded

    def refuse(self: Loaded, batch: object) -> Path:
        msg = "expected another model, got this one"
        raise InputError(msg)

    options = ("--in-process", "--round-size", 4)
    with monkeypatch.context() as patch:
        patch.setattr(Loaded, "__call__", refuse)
        for _ in range(3):
            code, _, error = bench.run(*options, arguments=("--agent", "wrong"))
            assert code == 2
            one_line(error.splitlines()[-1], "another model")
    code, out, _ = bench.run(*options, "--json")
    assert code == 0
    assert json.loads(out)["without_result"] == []
    assert sorted(bench.ledger.results) == sorted(bench.plan.tasks)


def test_a_terminal_shows_the_same_lines(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, plain = bench.run("--round-size", 6)
    bench.directory = bench.directory.with_name("other")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    _, _, shown = bench.run("--round-size", 6)
    lines = [line for line in plain.splitlines() if "scored" in line]
    assert len(lines) == 2
    for line in lines:
        assert line in shown
