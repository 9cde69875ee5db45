"""Plan, rank, export: the way from a history to a verdict, and what is refused on it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from midband_history import History, Record
from midband_sampler import Plan, PlanError, PlanSettings

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
N_TASKS = 40
N_AGENTS = 12


@pytest.fixture
def plan(store: Path, tmp_path: Path, call: Call) -> Path:
    path = tmp_path / "plan.json"
    code, _, error = call("plan", "toy", "--output", path, "--history", store)
    assert code == 0, error
    return path


def write_results(path: Path, *, benchmark: str = "toy", digest: str = "") -> Path:
    rows = [
        {
            "benchmark": benchmark,
            "task_id": f"t{task:02d}",
            "agent": "new",
            "score": float(task % 2),
            "task_digest": digest or f"digest-{task}",
        }
        for task in range(N_TASKS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_plan_says_what_it_holds(store: Path, tmp_path: Path, call: Call) -> None:
    path = tmp_path / "plan.json"
    code, out, _ = call("plan", "toy", "-o", path, "--json", "--history", store)
    made = Plan.read(path)
    assert code == 0
    assert json.loads(out)["tasks"] == len(made.tasks)
    assert json.loads(out)["digest"] == made.digest
    assert len(made.reference_agents) == N_AGENTS
    assert made.versions["midband"]


def test_the_same_seed_gives_the_same_plan(store: Path, call: Call) -> None:
    texts = [
        call("plan", "toy", "-o", "-", "--seed", seed, "--history", store)[1]
        for seed in ("3", "3", "4")
    ]
    assert texts[0] == texts[1] != texts[2]


def test_agents_dates_and_tasks_can_be_limited(store: Path, tmp_path: Path, call: Call) -> None:
    path = tmp_path / "plan.json"
    limits = ("--exclude-agent", "a0[0-2]", "--as-of", "2025-01-10", "--max-tasks", "9")
    code, _, error = call("plan", "toy", "-o", path, *limits, "--history", store)
    assert code == 0, error
    made = Plan.read(path)
    assert made.reference_agents == tuple(f"a{agent:02d}" for agent in range(3, 10))
    assert made.max_tasks == 9
    assert made.as_of.startswith("2025-01-10")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--band", "0.7", "0.3"), ("low=0.7", "high=0.3")),
        (("--band", "0.3", "1.7"), ("high=1.7",)),
        (("--stop", "rank:2"), ("confidence",)),
        (("--stop", "rank:0.95:x"), ("x",)),
        (("--stop", "whenever"), ("whenever",)),
        (("--strategy", "best"), ("band", "best")),
        (("--max-tasks", "0"), ("0",)),
        (("--seed", "-1"), ("-1",)),
        (("--exclude-agent", "*"), ("toy",)),
        (("--explore", "1"), ("1",)),
        (("--explore", "0.2", "--strategy", "band"), ("--guarantee calibrated",)),
        (("--cost-unit", "euros"), ("euros", "seconds")),
        (("--attempts", "0"), ("0",)),
        (("--attempts", "2", "--strategy", "band"), ("cost or information", "'band'")),
        (("--cost-unit", "seconds", "--strategy", "band"), ("cost-fixed", "'band'")),
    ],
)
def test_bad_settings_are_bad_usage(
    arguments: tuple[str, ...],
    parts: tuple[str, ...],
    store: Path,
    tmp_path: Path,
    call: Call,
    one_line: OneLine,
) -> None:
    path = tmp_path / "plan.json"
    code, _, error = call("plan", "toy", "-o", path, *arguments, "--history", store)
    assert code == 2
    one_line(error, *parts)
    assert not path.exists()


def test_guard_tasks_come_from_a_file(store: Path, tmp_path: Path, call: Call) -> None:
    path, guards = tmp_path / "plan.json", tmp_path / "guards.txt"
    guards.write_text("t07\n\n  t39 \r\n")
    code, out, error = call(
        "plan", "toy", "-o", path, "--always", guards, "--stop", "rank:0.9:0.2", "--history", store
    )
    assert code == 0, error
    assert Plan.read(path).tasks[:2] == ("t07", "t39")
    assert "guard_tasks: 2" in out
    assert "2 guard tasks run first" in out


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"t07\nt40\nother", ("'t40', 'other'", "midband rates")),
        (b"\n \n", ("guards.txt", "got none")),
        (b"\xff\xfe\x00", ("guards.txt", "cannot read")),
    ],
)
def test_a_file_without_guard_tasks_is_refused(
    content: bytes,
    parts: tuple[str, ...],
    store: Path,
    tmp_path: Path,
    call: Call,
    one_line: OneLine,
) -> None:
    path, guards = tmp_path / "plan.json", tmp_path / "guards.txt"
    guards.write_bytes(content)
    code, _, error = call("plan", "toy", "-o", path, "--always", guards, "--history", store)
    assert code == 2
    one_line(error, *parts)
    assert not path.exists()


def test_a_plan_by_cost_says_what_costs_it_weighs(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    path = tmp_path / "plan.json"
    by_cost = ("plan", "toy", "-o", path, "--strategy", "cost", "--stop", "rank:0.9:0.2")
    code, out, error = call(*by_cost, "--explore", "0.1", "--history", store)
    assert code == 0, error
    assert "costs: expected usd of an attempt, 0.5 to 0.5 a task" in out
    assert "explore: 0.1" in out
    assert "10% of the choices are drawn by chance" in out
    path.unlink()
    code, _, error = call(*by_cost, "--cost-unit", "seconds", "--history", store)
    assert code == 1
    one_line(error, "seconds", "--strategy information")
    assert not path.exists()


def test_several_attempts_need_a_history_of_several(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    path = tmp_path / "plan.json"
    settings = ("--strategy", "information", "--stop", "rank:0.9:0.2", "--attempts", "2")
    code, _, error = call("plan", "toy", "-o", path, *settings, "--history", store)
    assert code == 1
    one_line(error, "several attempts", "at 0%", "leave --attempts out")
    with History.open(store) as history:
        for attempt in (1, 2):
            records = [
                Record(
                    benchmark="again",
                    task_id=f"t{task:02d}",
                    agent=f"a{agent:02d}",
                    score=float((task * 7 + agent * attempt) % N_TASKS < 3 * (agent + 1)),
                    attempt=attempt,
                )
                for agent in range(N_AGENTS)
                for task in range(N_TASKS)
            ]
            history.add(records, source=f"attempt {attempt}")
    code, out, error = call("plan", "again", "-o", path, *settings, "--history", store)
    assert code == 0, error
    assert "attempts: 2" in out
    assert "up to 2 attempts a task" in out
    made = Plan.read(path)
    assert made.attempts is not None
    with pytest.raises(PlanError, match="one attempt a task"):
        made.check_single()


def test_a_plan_is_not_written_where_it_cannot_be(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    target = tmp_path / "no" / "such" / "plan.json"
    code, _, error = call("plan", "toy", "-o", target, "--history", store)
    assert code == 1
    one_line(error, "plan.json")
    (tmp_path / "plan.json").mkdir()
    code, _, error = call("plan", "toy", "-o", tmp_path / "plan.json", "--history", store)
    assert code == 2
    one_line(error, "plan.json")


def test_few_agents_get_a_warning_and_no_promise(store: Path, tmp_path: Path, call: Call) -> None:
    path = tmp_path / "plan.json"
    code, _, error = call("plan", "toy", "-o", path, "--as-of", "2025-01-03", "--history", store)
    assert code == 0
    assert "midband: warning: only 3 agents" in error


def test_settings_that_change_nothing_are_warned_of(
    store: Path, tmp_path: Path, call: Call
) -> None:
    settings = ("plan", "toy", "-o", tmp_path / "plan.json", "--history", store)
    code, _, error = call(*settings, "--exclude-agent", "a1*", "--exclude-agent", "b*")
    assert code == 0
    assert "--exclude-agent b* leaves out nobody" in error
    assert "a1*" not in error
    random = (*settings, "--strategy", "random", "--stop")
    assert "top 13 of 13" in call(*random, f"top:{N_AGENTS + 1}")[2]
    assert call(*random, f"top:{N_AGENTS}")[2] == ""


def test_finished_results_are_ranked(plan: Path, tmp_path: Path, call: Call) -> None:
    results = write_results(tmp_path / "new.jsonl")
    code, out, error = call("rank", plan, results, "--json")
    assert code == 0, error
    (verdict,) = json.loads(out)
    assert verdict["agent"] == "new"
    assert 1 <= verdict["low"] <= verdict["rank"] <= verdict["high"] <= N_AGENTS + 1
    assert "rank: " in call("rank", plan, results)[1]


def test_results_of_another_benchmark_are_refused(
    plan: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    results = write_results(tmp_path / "new.jsonl", benchmark="gaia")
    code, out, error = call("rank", plan, results)
    assert (code, out) == (2, "")
    one_line(error, "'toy'", "'gaia'")


def test_changed_tasks_are_refused_unless_allowed(
    plan: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    results = write_results(tmp_path / "new.jsonl", digest="another")
    code, _, error = call("rank", plan, results)
    assert code != 0
    one_line(error, "--allow-changed")
    assert call("rank", plan, results, "--allow-changed")[0] == 0


def test_what_is_no_plan_is_refused(
    plan: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    results = write_results(tmp_path / "new.jsonl")
    cut = tmp_path / "cut.json"
    cut.write_text(plan.read_text()[:500])
    changed = tmp_path / "changed.json"
    changed.write_text(plan.read_text().replace('"seed": 0', '"seed": 1'))
    table = tmp_path / "list.json"
    table.write_text("[1, 2]")
    for path in (cut, changed, results, table):
        code, _, error = call("rank", path, results)
        assert code == 1
        one_line(error, path.name)


def test_a_plan_is_exported_for_inspect(plan: Path, tmp_path: Path, call: Call) -> None:
    target = tmp_path / "subset.yaml"
    code, printed, _ = call("export", plan, "--for", "inspect")
    assert code == 0
    assert call("export", plan, "--for", "inspect", "--output", target)[0] == 0
    assert target.read_text() == printed
    for task in Plan.read(plan).tasks:
        assert task in printed


def test_an_unknown_harness_is_named_with_those_there_are(
    plan: Path, call: Call, one_line: OneLine
) -> None:
    code, _, error = call("export", plan, "--for", "inspcet")
    assert code == 2
    one_line(error, "inspcet", "inspect")


def test_inspect_needs_a_command(call: Call, one_line: OneLine) -> None:
    code, _, error = call("inspect")
    assert code == 2
    one_line(error, "eval")


def test_every_setting_of_a_plan_is_an_option(call: Call) -> None:
    _, out, _ = call("plan", "--help")
    for each in PlanSettings.options():
        if each.name != "fallback":  # follows from what the plan is for
            assert each.flag in out
    assert "[default: 0.3 0.7]" in " ".join(out.split())


def test_the_plan_says_for_whom_it_was_made(call: Call, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    options = ("--agent", "mine", "--model", "m-1", "--history", store, "-o", path)
    assert call("plan", "toy", *options)[0] == 0
    candidate = Plan.read(path).candidate
    assert candidate is not None
    assert (candidate.agent, candidate.model, candidate.scaffold) == ("mine", "m-1", "")


def test_a_band_stops_by_its_bootstrap_rank_confidence(
    store: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    path = tmp_path / "plan.json"
    words = ("plan", "toy", "--strategy", "band", "--guarantee", "bootstrap", "--history", store)
    code, out, error = call(*words, "--stop", "rank:0.8:0.3", "-o", path)
    assert code == 0, error
    said = " ".join((out + error).split())
    assert "bootstrap rank confidence: stops at ." in said
    assert "where .80 is asked (calibrated on 12 replays" in said
    assert Plan.read(path).target == "planned tasks"
    code, out, _ = call("rank", path, write_results(tmp_path / "new.jsonl"), "--history", store)
    assert code == 0
    assert "; bootstrap rank confidence " in " ".join(out.split())
    code, _, error = call(*words, "-o", tmp_path / "other.json")  # at 95 %
    assert code == 1
    one_line(error, "at least 19 reference agents", "got 12", "--guarantee always-valid")
