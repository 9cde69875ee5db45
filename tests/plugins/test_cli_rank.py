"""``midband rank``: claims, named agents, budgets, and the ranks of everyone at once."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
N_TASKS = 40
N_AGENTS = 12


def planned(store: Path, tmp_path: Path, call: Call, stop: str) -> Path:
    path = tmp_path / "plan.json"
    settings = ("--strategy", "random", "--stop", stop, "--history", store)
    code, _, error = call("plan", "toy", "--output", path, *settings)
    assert code == 0, error
    return path


def results(path: Path, *, agent: str = "new", tasks: int = N_TASKS) -> Path:
    rows = [
        {
            "benchmark": "toy",
            "task_id": f"t{task:02d}",
            "agent": agent,
            "score": 1.0,
            "cost_usd": 0.25,
            "task_digest": f"digest-{task}",
        }
        for task in range(tasks)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_verdict_says_what_it_claims(store: Path, tmp_path: Path, call: Call) -> None:
    plan = planned(store, tmp_path, call, "beats:a00:0.9 and tasks:12")
    logs = results(tmp_path / "new.jsonl")
    code, out, error = call("rank", plan, logs, "--versus", "a01", "--json")
    assert code == 0, error
    (verdict,) = json.loads(out)
    assert verdict["claims"] == [{"text": "better than a00", "confidence": 0.9}]
    assert verdict["reason"] == "better than a00"
    assert {"a00", "a01"} <= set(verdict["better_than"])
    out = call("rank", plan, logs)[1]
    assert "claims: better than a00 (90%)" in out
    assert "tie_group: a" in out


def test_a_budget_counts_the_costs_in_the_logs(store: Path, tmp_path: Path, call: Call) -> None:
    plan = planned(store, tmp_path, call, "rank:0.99:0.0 or usd:2")
    (verdict,) = json.loads(call("rank", plan, results(tmp_path / "new.jsonl"), "--json")[1])
    assert (verdict["reason"], verdict["tasks_run"]) == ("budget spent", 8)
    assert (verdict["spent_usd"], verdict["claims"], verdict["warnings"]) == (2.0, [], [])


def test_an_unknown_rival_is_refused(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    code, _, error = call("plan", "toy", "-o", "-", "--stop", "beats:a99", "--history", store)
    assert code == 1
    one_line(error, "'a99'", "'a")
    plan = planned(store, tmp_path, call, "rank")
    code, _, error = call("rank", plan, results(tmp_path / "new.jsonl"), "--versus", "nobody")
    assert code == 1
    one_line(error, "'nobody'")


def test_everyone_is_ranked_at_once(store: Path, tmp_path: Path, call: Call) -> None:
    plan = planned(store, tmp_path, call, "rank:0.9:0.2")
    code, out, error = call("rank", plan, "--all", "--json")
    assert code == 0, error
    alone = json.loads(out)
    assert alone["confidence"] == 0.9
    assert alone["agents"][0]["agent"] == "a11"
    logs = results(tmp_path / "new.jsonl")
    found = json.loads(call("rank", plan, logs, "--all", "--json")[1])["agents"]
    assert len(found) == N_AGENTS + 1
    assert found[0] == {"agent": "new", "low": 1, "high": found[0]["high"], "score": 1.0}
    assert all(1 <= each["low"] <= each["high"] <= N_AGENTS + 1 for each in found)
    assert found[-1]["low"] > 3
    assert "new\t1\t" in call("rank", plan, logs, "--all")[1]


def test_who_ran_a_part_is_left_out_of_it(store: Path, tmp_path: Path, call: Call) -> None:
    plan = planned(store, tmp_path, call, "rank:0.9:0.2")
    logs = results(tmp_path / "new.jsonl", tasks=N_TASKS - 1)
    code, out, error = call("rank", plan, logs, "--all", "--json")
    assert code == 0
    assert json.loads(out)["left_out"] == ["new"]
    assert "left out" in error


def test_logs_are_needed_otherwise(store: Path, tmp_path: Path, call: Call) -> None:
    plan = planned(store, tmp_path, call, "rank")
    code, _, error = call("rank", plan)
    assert code == 2
    assert "expected LOGS to rank" in error


@pytest.mark.parametrize("stop", ["beats", "rank and", "beats:a00 or hopeless or patience:3"])
def test_a_rule_that_cannot_be_read_lists_the_forms(
    stop: str, store: Path, call: Call, one_line: OneLine
) -> None:
    code, _, error = call("plan", "toy", "-o", "-", "--stop", stop, "--history", store)
    assert code == 2
    one_line(error, "expected a stopping rule", "beats:AGENT")


def test_results_with_columns_of_their_own_are_mapped(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    plan = planned(store, tmp_path, call, "rank:0.9:0.2")
    expected = call("rank", plan, results(tmp_path / "new.jsonl"), "--json")[1]
    theirs = tmp_path / "theirs.jsonl"
    theirs.write_text((tmp_path / "new.jsonl").read_text().replace('"task_id"', '"question"'))
    assert call("rank", plan, theirs, "--map", "question=task_id", "--json")[1] == expected
    code, _, error = call("rank", plan, theirs, "--map", "question=tsak")
    assert code == 2
    one_line(error, "question=tsak", "task_id")


def test_results_that_cannot_be_judged_are_said(store: Path, tmp_path: Path, call: Call) -> None:
    path = planned(store, tmp_path, call, "rank:0.9:0.2")
    logs = results(tmp_path / "new.jsonl")
    first = json.loads(path.read_text())["tasks"][0]
    rows = logs.read_text().splitlines(keepends=True)
    logs.write_text("".join(row for row in rows if f'"{first}"' not in row))
    code, out, error = call("rank", path, logs, "--json")
    assert code == 0
    assert json.loads(out)[0]["results_not_judged"] == N_TASKS - 1
    assert f"results on {N_TASKS - 1} tasks are not judged" in error
    assert repr(first) in error
    logs.write_text("".join(rows))
    assert "not judged" not in call("rank", path, logs)[2]
    logs.write_text("".join(rows).replace('"task_id": "t', '"task_id": "x'))
    error = call("rank", path, logs)[2]
    assert "expected results on planned tasks" in error
    assert repr(first) in error


def test_an_agent_of_the_plan_is_named_as_such(store: Path, tmp_path: Path, call: Call) -> None:
    plan = planned(store, tmp_path, call, "rank:0.9:0.2")
    assert "own agents" in call("rank", plan, results(tmp_path / "a.jsonl", agent="a03"))[2]
    assert "own agents" not in call("rank", plan, results(tmp_path / "new.jsonl"))[2]


def test_a_live_plan_ranks_without_inspect(
    store: Path,
    tmp_path: Path,
    call: Call,
    one_line: OneLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    plan = tmp_path / "plan.json"
    settings = ("--strategy", "information", "--stop", "rank:0.9:0.2", "--history", store)
    assert call("plan", "toy", "--output", plan, *settings)[0] == 0
    assert '"fallback": {' in plan.read_text()
    code, out, error = call("rank", plan, results(tmp_path / "new.jsonl"))
    assert code == 0, error
    assert out.startswith("new: rank ")
    log = tmp_path / "log.eval"
    with ZipFile(log, "w") as archive:
        archive.writestr("header.json", "{}")
    code, _, error = call("rank", plan, log)
    assert code == 1
    one_line(error, "log.eval", "pip install")


def test_an_error_that_was_made_good_counts_as_the_later_attempt(
    store: Path, tmp_path: Path, call: Call
) -> None:
    plan = planned(store, tmp_path, call, "none:0.9")
    logs = results(tmp_path / "new.jsonl")
    rows = [
        json.loads(line) | {"run_id": "r1", "attempt": 0} for line in logs.read_text().splitlines()
    ]
    failed = [{**rows[0], "score": None, "kind": "infra_error", "source_key": "first-try"}]

    def verdict(*found: dict[str, object]) -> dict[str, object]:
        logs.write_text("".join(json.dumps(row) + "\n" for row in found))
        code, out, error = call("rank", plan, logs, "--json")
        assert code == 0, error
        (said,) = json.loads(out)
        return dict(said)

    plain = verdict(*rows)
    assert verdict(*failed, *rows) == verdict(*rows, *failed) == plain
    lost = verdict(*failed, *rows[1:])
    assert (lost["errors"], plain["errors"]) == (1, 0)


def test_a_limit_of_errors_ends_a_verdict(store: Path, tmp_path: Path, call: Call) -> None:
    plan = planned(store, tmp_path, call, "tasks:30")
    path = tmp_path / "new.jsonl"
    rows = [
        {"benchmark": "toy", "task_id": f"t{task:02d}", "agent": "new", "kind": "infra_error"}
        if task % 2
        else {"benchmark": "toy", "task_id": f"t{task:02d}", "agent": "new", "score": 1.0}
        for task in range(N_TASKS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (free,) = json.loads(call("rank", plan, path, "--json")[1])
    (bound,) = json.loads(call("rank", plan, path, "--max-errors", "3", "--json")[1])
    assert free["reason"] == "budget spent"
    assert bound["reason"].startswith("too many errors: 4 attempts")
