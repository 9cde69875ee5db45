"""``midband study``: from a history to cells, a report and a verdict."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from midband_sampler import PlanSettings

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]


def test_a_history_becomes_cells_and_a_report(store: Path, tmp_path: Path, call: Call) -> None:
    output = tmp_path / "study"
    study = ("study", "--history", store, "--strategy", "band", "--strategy", "random")
    code, text, error = call(*study, "--stop", "rank:0.9:0.3", "--output", output, "--json")
    assert code == 0, error
    cells = json.loads(text)
    assert {cell["strategy"] for cell in cells} == {"band", "random"}
    for cell in cells:
        assert cell["protocol"] == "loao"
        assert cell["n_candidates"] == 12
        assert 0 < cell["fraction_run"] <= 1
        assert cell["coverage_low"] <= cell["coverage"] <= cell["coverage_high"]
    report = (output / "report.html").read_text(encoding="utf-8")
    assert "Study of toy" in report
    assert "midband study" not in error
    kept = json.loads((output / "study.json").read_text(encoding="utf-8"))
    assert kept["kind"] == "study"
    assert "Command" in kept["about"]


def test_a_study_of_nothing_in_particular_has_a_row_of_the_band_stopped_by_the_bootstrap(
    store: Path, call: Call
) -> None:
    code, text, error = call("study", "--history", store, "--stop", "rank:0.9:0.3", "--json")
    assert code == 0, error
    rows = [(cell["strategy"], cell["plan"]) for cell in json.loads(text)]
    assert rows == [("auto", None), ("band", "guarantee=bootstrap")]
    code, text, error = call(
        *("study", "--history", store, "--stop", "rank:0.9:0.3", "--json", "--strategy", "random")
    )
    assert [cell["strategy"] for cell in json.loads(text)] == ["random"]


def test_a_protocol_that_the_data_cannot_serve_names_what_is_missing(
    store: Path, call: Call, one_line: OneLine
) -> None:
    code, _, error = call("study", "--history", store, "--protocol", "self")
    assert code in {1, 2}
    one_line(error, "attempt")


def test_an_unknown_strategy_lists_the_known(store: Path, call: Call, one_line: OneLine) -> None:
    code, _, error = call("study", "--history", store, "--strategy", "best")
    assert code == 2
    one_line(error, "information-fixed", "random", "'best'")


def test_a_recommendation_says_how_much_it_rests_on(store: Path, call: Call) -> None:
    code, text, error = call("study", "--history", store, "--recommend", "toy")
    assert code == 0, error
    assert "toy" in text
    assert "replays" in text or "do not reduce" in text.lower()


@pytest.mark.parametrize("workers", ["0", "00", "many"])
def test_workers_that_cannot_be_are_refused(
    workers: str, store: Path, call: Call, one_line: OneLine
) -> None:
    code, _, error = call("study", "--history", store, "--workers", workers)
    assert code == 2
    one_line(error, "expected workers", repr(workers))


def test_a_file_without_the_benchmark_names_those_it_holds(
    tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    path = tmp_path / "results.csv"
    path.write_text("benchmark,task_id,agent,score\ngaia,t1,a,1\n")
    code, _, error = call("study", path, "--benchmark", "gaai")
    assert code == 1
    one_line(error, "'gaai'", str(path), "holds gaia")


def test_replays_without_a_plan_are_said(store: Path, call: Call) -> None:
    study = ("study", "--history", store, "--strategy", "random", "--stop")
    code, text, error = call(*study, "beats:a99", "--json")
    assert code == 0
    assert json.loads(text)[0]["n_refused"] == 12
    assert "12 of 12 replays had no plan: " in error
    assert "'a99'" in error
    assert "no plan" not in call(*study, "rank:0.9:0.2")[2]


def test_settings_of_plans_are_varied(store: Path, call: Call, one_line: OneLine) -> None:
    study = ("study", "--history", store, "--strategy", "band", "--stop", "none", "--json")
    code, text, error = call(*study, "--plan", "band=[0.3, 0.7]", "--plan", "band=[0.1, 0.9]")
    assert code == 0, error
    narrow, wide = json.loads(text)
    assert (narrow["plan"], wide["plan"]) == ("band=[0.3, 0.7]", "band=[0.1, 0.9]")
    assert narrow["tasks_planned"] < wide["tasks_planned"]
    for odd, named in (("band", "explore=0.1"), ("colour=red", "colour"), ("explore=x", "explore")):
        code, _, error = call(*study, "--plan", odd)
        assert code == 2
        one_line(error, named)


def test_help_names_every_setting_of_plans_that_a_study_varies(call: Call) -> None:
    _, out, _ = call("study", "--help")
    text = "".join(out.split())
    for each in PlanSettings.options():
        if each.varied:
            assert each.flag.removeprefix("--") in text


def test_a_study_reads_settings_of_plans_as_the_command_line_does(store: Path, call: Call) -> None:
    study = ("study", "--history", store, "--strategy", "band", "--stop", "tasks:5", "--json")
    code, text, error = call(*study, "--plan", "band=0.1:0.9", "--plan", "band=0.3 0.7")
    assert code == 0, error
    assert len(json.loads(text)) == 2


def test_a_guarantee_is_a_row_of_a_study(store: Path, call: Call) -> None:
    words = ("study", "--history", store, "--strategy", "band", "--stop", "rank:0.8:0.3", "--json")
    both = ("--guarantee", "bootstrap", "--guarantee", "always-valid")
    code, text, error = call(*words, *both)
    assert code == 0, error
    cells = {cell["plan"]: cell for cell in json.loads(text)}
    assert set(cells) == {"guarantee=bootstrap", "guarantee=always-valid"}
    bootstrap = cells["guarantee=bootstrap"]
    assert bootstrap["n_candidates"] == 12
    assert bootstrap["fraction_run"] < cells["guarantee=always-valid"]["fraction_run"]
    code, same, _ = call(*words, "--plan", "guarantee=bootstrap")
    assert code == 0
    again = {**json.loads(same)[0], "seconds": 0}
    assert again == {**bootstrap, "seconds": 0}


def test_races_are_studied_beside_baselines(store: Path, tmp_path: Path, call: Call) -> None:
    race = ("study", "--history", store, "--race", "--candidates", "5", "--draws", "3")
    output = tmp_path / "races"
    code, text, error = call(*race, "--budget", "40%", "--output", output, "--json")
    assert code == 0, error
    cells = json.loads(text)
    named = {cell["allocation"] for cell in cells}
    assert {"halving", "sysrs", "successive-halving", "ucb-e", "top-two-thompson"} <= named
    wanted = "benchmark allocation question budget n_candidates n_reference draws cost_share right"
    for cell in cells:
        assert {*wanted.split(), "regret", "false_claims", "conclusive"} <= set(cell)
        assert (cell["question"], cell["budget"], cell["draws"]) == ("top:1", "40%", 3)
    assert json.loads((output / "cells.json").read_text(encoding="utf-8")) == cells
    code, again, error = call(*race, "--budget", "40%", "--output", output, "--json")
    assert (code, json.loads(again)) == (0, cells), error


def test_races_with_a_confidence_print_one_line_a_cell(store: Path, call: Call) -> None:
    code, text, error = call(
        *("study", "--history", store, "--race", "--question", "top:2:0.9", "--no-history"),
        *("--candidates", "4", "--draws", "2", "--allocation", "racing", "--within", "1"),
    )
    assert code == 0, error
    head, row = text.splitlines()
    cell = dict(zip(head.split("\t"), row.split("\t"), strict=True))
    assert (cell["allocation"], cell["n_reference"], cell["within"]) == ("racing", "0", "1")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--race", "--protocol", "loao"), "--protocol"),
        (("--race", "--strategy", "random"), "--strategy"),
        (("--race", "--recommend", "toy"), "--recommend"),
        (("--question", "top:1:0.9"), "--race"),
        (("--no-history",), "--race"),
        (("--race", "--question", "best"), "'best'"),
        (("--race", "--allocation", "fastest"), "'fastest'"),
        (("--race", "--allocation", "sysrs"), "budget"),
        (("--race", "--candidates", "40"), "40"),
    ],
)
def test_options_that_mean_nothing_for_races_are_refused(
    options: tuple[str, ...], named: str, store: Path, call: Call, one_line: OneLine
) -> None:
    code, _, error = call("study", "--history", store, *options)
    assert code in {1, 2}
    one_line(error, named)


def test_a_person_sees_how_many_replays_are_done(store: Path, on_terminal: Call) -> None:
    words = ("study", "--history", store, "--strategy", "random", "--stop", "tasks:5")
    code, out, error = on_terminal(*words)
    assert code == 0, error
    assert re.search(r"\d+ of \d+ replays?", error)
    assert "\x1b" not in out
    assert out.startswith("benchmark")
    assert on_terminal(*words, "--quiet")[1:] == (out, "")
