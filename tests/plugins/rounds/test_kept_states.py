"""What runs and races in rounds say of themselves for the local page."""

import json
import os
from pathlib import Path

import pytest
from tests.plugins.rounds.conftest import Bench, MakeBench
from tests.plugins.rounds.test_race import SKILLS, Track, track

from midband.view import RunState, StateReader
from midband_sampler import RankSettled

__all__ = ["track"]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIDBAND_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "runs"


def only(runs: Path) -> RunState:
    (found,) = StateReader(runs).read()
    return found


def test_a_run_says_its_verdict_and_every_round_on_the_way(
    make_bench: MakeBench, runs: Path
) -> None:
    bench = make_bench(n=40, stop=RankSettled(0.8, 0.4))
    _, out, _ = bench.run("--round-size", 5, "--json", arguments=("--cost", 0.25))
    said, state = json.loads(out), only(runs)
    assert (state.kind, state.shown_status, state.failed) == ("run", "ended", False)
    assert state.text("reason") == said["ended"]
    assert state.text("directory") == str(bench.directory)
    assert state.text("harness") == "stand-in"
    assert state.list("agents")[0].startswith("new")
    for name in ("rank", "low", "high", "tasks_run", "results", "errors", "spent_usd"):
        assert state.number(name) == said[name], name
    assert [point.at for point in state.course] == [*range(0, said["tasks_run"] + 1, 5)]
    assert len(state.recent) == 12


def test_a_run_that_is_called_again_stays_one_run(bench: Bench, runs: Path) -> None:
    bench.run("--round-size", 4, "--max-tasks", 4)
    first = only(runs)
    assert "task limit reached" in first.text("reason")
    bench.run("--round-size", 4)
    again = only(runs)
    assert (again.id, again.begun) == (first.id, first.begun)
    assert again.whole("tasks_run") == 12


def test_an_error_before_the_first_round_is_the_end_of_the_run(bench: Bench, runs: Path) -> None:
    bench.plugin.harness.problem = "expected stand-in, found none: install it"
    code, _, _ = bench.run()
    assert code == 1
    state = only(runs)
    assert (state.shown_status, state.failed) == ("ended", True)
    assert state.text("reason") == "expected stand-in, found none: install it"


def test_a_run_without_a_place_for_its_state_says_so_once_and_is_the_same(
    make_bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIDBAND_STATE", str(tmp_path / "file"))
    code, out, error = make_bench().run("--round-size", 4, "--json")
    assert code == 0
    assert json.loads(out)["tasks_run"] == 12
    assert len([line for line in error.splitlines() if "midband view" in line]) == 1


def test_a_race_says_every_candidate_and_its_end(
    track: Track,
    runs: Path,
) -> None:
    said = track.found(arguments=("--cost", 0.5))
    state = only(runs)
    assert (state.kind, state.shown_status) == ("race", "ended")
    assert state.text("answer") == said["answer"]
    assert state.text("reason") == said["ended"]
    assert state.list("agents") == tuple(SKILLS)
    assert state.number("spent_usd") == said["spent_usd"]
    ranked = said["ranked"]
    assert isinstance(ranked, list)
    assert [(each.name, each.tasks, each.usd) for each in state.candidates] == [
        (each["candidate"], each["tasks"], each["usd"]) for each in ranked
    ]
    assert state.course[0].at == 0
    assert state.course[-1].at == said["results"]
    assert {agent for agent, *_ in state.recent} <= set(SKILLS)
    assert os.listdir(runs) == [f"{state.id}.json"]  # noqa: PTH208
