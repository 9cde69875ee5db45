"""Names that agents had before, and what a plan says of results that it does not use."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from midband_history import History, InputError, Metric, Record

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
HOT, COLD = "gpt-5 [temperature=1]", "gpt-5 [temperature=0]"
TASKS = tuple(f"t{number:02d}" for number in range(24))


def _records(agent: str, rate: int, **more: object) -> list[Record]:
    return [
        Record(
            benchmark="toy",
            task_id=task,
            agent=agent,
            score=float((number * 7 + rate) % 12 < rate),
            **more,  # type: ignore[arg-type]
        )
        for number, task in enumerate(TASKS)
    ]


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """Return a history with two agents called gpt-5, one called o3, and ten more."""
    path = tmp_path / "names.duckdb"
    with History.open(path) as history:
        records = [record for rate in range(1, 11) for record in _records(f"a{rate}", rate)]
        records += _records("gpt-5", 5, settings={"temperature": 1})
        records += _records("gpt-5", 8, settings={"temperature": 0})
        records += _records("o3", 6)
        history.add(records)
    return path


def _old_label(path: Path, label: str) -> str:
    """Let the history be one of midband 0.1, which told later namesakes apart by a digest."""
    from midband_history.labels import read_agents

    with History.open(path) as history:
        rows = read_agents(history._connection, "toy", history._id("toy"), None)
        (row,) = [row for row in rows if row.label == label]
        with history._writing() as connection:
            connection.execute(
                "UPDATE agents SET label = 'gpt-5#1a2b' WHERE agent_id = ?", [row.agent_ids[0]]
            )
    return "gpt-5#1a2b"


def _plan(call: Call, names: Path, *options: str) -> tuple[int, str, str]:
    path = names.with_name("plan.json")
    return call("plan", "toy", "-o", path, "--strategy", "random", "--history", names, *options)


def test_a_name_that_means_one_agent_is_found(names: Path) -> None:
    with History.open(names) as history:
        history.alias("agent", "openai/o3", "o3")
        assert history.resolve_agent("toy", "o3") == "o3"
        assert history.resolve_agent("toy", "openai/o3") == "o3"
        assert history.resolve_agent("toy", HOT) == HOT
        with pytest.raises(InputError, match=r"gpt-5.*temperature=0.*temperature=1"):
            history.resolve_agent("toy", "gpt-5")
        with pytest.raises(InputError, match="expected agents of toy such as"):
            history.resolve_agent("toy", "nobody")
        assert not history.has_agent("toy", "nobody")


def test_a_plan_beats_an_agent_by_its_label_of_midband_0_1(names: Path, call: Call) -> None:
    old = _old_label(names, COLD)
    assert old not in (HOT, COLD)
    code, _, error = _plan(call, names, "--stop", f"hopeless or beats:{old}")
    assert code == 0, error
    plan = json.loads(names.with_name("plan.json").read_text())
    assert COLD in json.dumps(plan["stop"])


def test_a_name_that_means_several_is_refused_with_the_candidates(
    names: Path, call: Call, one_line: OneLine
) -> None:
    for options in (("--stop", "beats:gpt-5"), ("--exclude-agent", "gpt-5")):
        code, _, error = _plan(call, names, *options)
        assert code == 2
        one_line(error, "'gpt-5'", HOT, COLD)


def test_an_agent_is_left_out_by_a_former_name(names: Path, call: Call) -> None:
    code, out, error = _plan(call, names, "--exclude-agent", _old_label(names, HOT), "--json")
    assert (code, error) == (0, "")
    assert json.loads(out)["reference_agents"] == 12
    plan = json.loads(names.with_name("plan.json").read_text())
    assert COLD in plan["reference_agents"]
    assert HOT not in plan["reference_agents"]


def test_rank_compares_with_an_agent_by_a_former_name(
    names: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    with History.open(names) as history:
        history.alias("agent", "openai/o3", "o3")
    assert _plan(call, names)[0] == 0
    logs = tmp_path / "new.csv"
    rows = "".join(f"toy,{task},new,1\n" for task in TASKS)
    logs.write_text(f"benchmark,task_id,agent,score\n{rows}")

    def rank(name: str) -> tuple[int, str, str]:
        plan = names.with_name("plan.json")
        return call("rank", plan, logs, "--versus", name, "--history", names, "--json")

    for name, label in (("openai/o3", "o3"), (_old_label(names, COLD), COLD), (HOT, HOT)):
        code, out, error = rank(name)
        assert code == 0, error
        assert label in json.loads(out)[0]["better_than"]
    code, _, error = rank("gpt-5")
    assert code == 2
    one_line(error, "'gpt-5'", HOT, COLD)


def test_a_plan_says_what_of_the_benchmark_it_does_not_use(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "two.duckdb"
    with History.open(path) as history:
        for rate in range(1, 11):
            name = f"a{rate}"
            history.add(_records(name, rate, metric=Metric(name="f1"), benchmark_version="1"))
        history.add(_records("a1", 2, metric=Metric(name="exact"), benchmark_version="1"))
        others = [
            Record(
                benchmark="toy",
                task_id=f"other-{number}",
                agent="a2",
                run_id="old",
                score=1.0,
                metric=Metric(name="f1"),
                benchmark_version="0",
            )
            for number in range(3)
        ]
        history.add(others)
    options = ("--metric", "f1", "--version", "1")
    code, out, error = _plan(call, path, *options)
    assert code == 0, error
    assert "metric: f1" in out
    (line,) = [line for line in out.splitlines() if "not used of toy" in line]
    assert "metric exact (1 agents)" in line
    assert "version 0" in line
    code, out, _ = _plan(call, path, *options, "--json")
    assert any("not used of toy" in note for note in json.loads(out)["notes"])


def test_a_plan_that_uses_everything_says_nothing_of_it(names: Path, call: Call) -> None:
    assert "not used" not in _plan(call, names)[1]
