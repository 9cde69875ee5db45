import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from midband_history import InputError, OutcomeMatrix, StoreError, read_matrix
from midband_sampler import PlanSettings, Session, make_plan, parse_stop
from midband_sims import (
    Study,
    StudyResult,
    StudySettings,
    SyntheticSettings,
    read_study,
    recommend,
    synthetic_history,
    write_charts,
)
from midband_sims.units import budget_tasks, plan_seed

KEYS = [
    "benchmark",
    "protocol",
    "split",
    "strategy",
    "stop",
    "budget",
    "n_reference",
    "n_candidates",
    "n_tasks",
    "fraction_run",
    "spearman",
    "kendall",
    "pairwise_accuracy",
    "rank_error",
    "coverage",
    "coverage_low",
    "coverage_high",
    "conclusive",
    "cost_saved_usd",
    "random_spearman_mean",
    "random_spearman_worst",
    "ceiling_spearman",
    "seconds",
]
SETTINGS = StudySettings(
    protocols=("loao", "loso"), strategies=("band", "random"), budgets=("0.5",), seeds=2, draws=5
)
KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from midband_sims import Study, StudySettings, SyntheticSettings, synthetic_history

def main():
    matrix = synthetic_history(
        SyntheticSettings(agents=14, tasks=60, scaffolds=4, infra_error_rate=0.02),
        np.random.default_rng(7),
    ).matrix
    settings = StudySettings(
        protocols=("loao", "loso"), strategies=("band", "random"), budgets=("0.5",), seeds=2,
        draws=5,
    )
    def progress(done, total):
        if done == 5:
            with open(Path(sys.argv[1]) / "units.jsonl", "a") as file:
                file.write('{"unit": "torn')
                file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    Study([matrix], settings).run(output=Path(sys.argv[1]), progress=progress)

if __name__ == "__main__":
    main()
"""


def numbers(result: StudyResult) -> str:
    """Everything but the seconds."""
    return json.dumps([{**cell, "seconds": 0} for cell in result.cells])


def test_cells_have_the_agreed_names(matrix: OutcomeMatrix) -> None:
    result = Study([matrix], SETTINGS).run()
    for cell in result.cells:
        assert set(KEYS) <= set(cell)
    assert [cell["split"] for cell in result.cells].count("all") == 2  # one a strategy for loao
    assert all(cell["n_tasks"] == 60 for cell in result.cells)
    assert all(float(str(cell["fraction_run"])) <= 0.5 for cell in result.cells)


def test_numbers_do_not_depend_on_the_workers(matrix: OutcomeMatrix) -> None:
    alone = Study([matrix], SETTINGS).run()
    assert numbers(Study([matrix], SETTINGS).run(workers="2")) == numbers(alone)


def test_a_killed_study_goes_on_where_it_was(matrix: OutcomeMatrix, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    output = tmp_path / "study"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(script), str(output)], env=paths, check=False)
    assert done.returncode == -signal.SIGKILL
    study = Study([matrix], SETTINGS)
    resumed = study.run(output=output)
    assert resumed.units_found == 5
    assert numbers(resumed) == numbers(Study([matrix], SETTINGS).run())
    assert study.run(output=output).units_run == 0
    lines = (output / "units.jsonl").read_text().splitlines()
    assert len({json.loads(line)["unit"] for line in lines}) == len(lines)
    cells = json.loads((output / "cells.json").read_text())
    assert len(cells) == len(resumed.cells)
    assert (output / "replays.parquet").stat().st_size > 0


def test_a_second_study_in_one_directory_is_refused(matrix: OutcomeMatrix, tmp_path: Path) -> None:
    refusals = []

    def begin_another(done: int, total: int) -> None:
        if done == 2:
            with pytest.raises(InputError) as caught:
                Study([matrix], SETTINGS).run(output=tmp_path)
            refusals.append(str(caught.value))

    first = Study([matrix], SETTINGS).run(output=tmp_path, progress=begin_another)
    (refusal,) = refusals
    assert "another midband study" in refusal
    assert "\n" not in refusal
    assert str(tmp_path) in refusal
    lines = (tmp_path / "units.jsonl").read_text().splitlines()
    assert len(lines) == first.units_run
    assert Study([matrix], SETTINGS).run(output=tmp_path).units_run == 0


def test_a_foreign_journal_is_not_overwritten(matrix: OutcomeMatrix, tmp_path: Path) -> None:
    (tmp_path / "units.jsonl").write_text("hello\nworld\n")
    with pytest.raises(StoreError, match="line 1"):
        Study([matrix], SETTINGS).run(output=tmp_path)
    assert (tmp_path / "units.jsonl").read_text() == "hello\nworld\n"


def test_another_seed_gives_other_numbers(matrix: OutcomeMatrix) -> None:
    settings = StudySettings(strategies=("random",), draws=2)
    other = StudySettings(strategies=("random",), draws=2, seed=1)
    assert numbers(Study([matrix], settings).run()) != numbers(Study([matrix], other).run())


def test_what_cannot_be_served_is_said_and_the_rest_runs() -> None:
    bare = OutcomeMatrix.from_scores(np.random.default_rng(0).random((8, 30)).round())
    study = Study([bare], StudySettings(protocols=("temporal", "loao"), draws=2))
    assert "date" in study.skipped[0]
    assert len(study.run().cells) == 1
    with pytest.raises(InputError, match="date"):
        Study([bare], StudySettings(protocols=("temporal",)))


def test_a_refused_band_is_counted_and_never_zero() -> None:
    hard = SyntheticSettings(agents=12, tasks=60, difficulty_mean=8.0, difficulty_sd=0.5)
    matrix = synthetic_history(hard, np.random.default_rng(1)).matrix
    (cell,) = Study([matrix], StudySettings(strategies=("band",), draws=2)).run().cells
    assert cell["n_refused"] == 12
    assert "do not reduce" in str(cell["refused_because"])
    assert math.isnan(float(str(cell["coverage"])))
    verdict = recommend(matrix, seeds=1)
    assert not verdict.reduce
    assert "Do not reduce" in verdict.text


@pytest.mark.parametrize(("text", "tasks"), [("40", 40), ("0.25", 50), ("25%", 50), ("900", 200)])
def test_budgets_are_tasks_or_shares(text: str, tasks: int) -> None:
    assert budget_tasks(text, 200) == tasks


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "half", "nan", "120%"])
def test_bad_budgets_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a budget"):
        budget_tasks(text, 200)


def test_settings_come_from_plain_values() -> None:
    plain = {"protocols": ["loao", "random"], "stops": "none", "seeds": 3}
    assert StudySettings.from_mapping(plain) == StudySettings(
        protocols=("loao", "random"), stops=("none",), seeds=3
    )
    with pytest.raises(InputError, match="sedes"):
        StudySettings.from_mapping({"sedes": 3})


def test_every_setting_of_a_plan_can_be_varied(matrix: OutcomeMatrix) -> None:
    values = {
        "guarantee": ["calibrated"],
        "explore": [0.0, 0.3],
        "always": [[], [matrix.tasks[3]]],
        "band": [[0.3, 0.7], [0.2, 0.8]],
        "cost_unit": "usd",
        "estimator": "paired",
        "attempts": 1,
    }
    assert set(values) == {each.name for each in PlanSettings.options() if each.varied}
    settings = StudySettings.from_mapping(
        {"strategies": "band", "stops": "rank:0.8:0.3", "draws": 2, "plan": values}
    )
    result = Study([matrix], settings).run()
    assert len(result.cells) == 8
    assert len({cell["plan"] for cell in result.cells}) == 8
    assert {row["plan"] for row in result.replays} == {cell["plan"] for cell in result.cells}
    planned = {str(cell["plan"]): float(str(cell["tasks_planned"])) for cell in result.cells}
    for plan, size in planned.items():
        assert size <= planned[plan.replace("band=[0.3, 0.7]", "band=[0.2, 0.8]")]
    with pytest.raises(InputError, match="seed"):
        StudySettings.from_mapping({"plan": {"seed": [1, 2]}})
    with pytest.raises(InputError, match="colour"):
        StudySettings.from_mapping({"plan": {"colour": "red"}})


def test_a_study_replays_attempts_one_by_one() -> None:
    rng = np.random.default_rng(5)
    chance = 1 / (1 + np.exp(-np.linspace(-1.5, 1.5, 14)[:, None] - rng.normal(0, 1, 25)))
    each = (rng.random((14, 25, 2)) < chance[..., None]).astype(float)
    matrix = OutcomeMatrix.from_scores(each.mean(axis=2), attempt_scores=each)
    settings = StudySettings(
        strategies=("information",), stops=("rank:0.8:0.2",), draws=2, plan={"attempts": (1, 2)}
    )
    once, twice = Study([matrix], settings).run().cells
    assert once["plan"] == "attempts=1"
    assert float(str(twice["tasks_run"])) > float(str(once["tasks_run"]))


def test_a_verdict_rests_on_counted_replays() -> None:
    settings = SyntheticSettings(agents=20, tasks=60, ability_sd=1.5)
    matrix = synthetic_history(settings, np.random.default_rng(4)).matrix
    verdict = recommend(matrix, seeds=1)
    assert "replays of 20 agents" in verdict.text
    assert verdict.reduce == bool(verdict.strategy)


@pytest.mark.slow
def test_charts_are_pictures_with_a_panel_a_benchmark(
    matrix: OutcomeMatrix, tmp_path: Path
) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    result = Study([matrix], SETTINGS).run()
    paths = write_charts(result, [matrix], tmp_path)
    assert {path.suffix for path in paths} == {".png", ".svg"}
    assert {path.stem for path in paths} == {"fidelity", "width", "calibration", "pass_rates"}
    for path in paths:
        if path.suffix == ".svg":
            assert matrix.benchmark in path.read_text()


def test_an_interval_is_judged_by_the_target_that_it_claims(matrix: OutcomeMatrix) -> None:
    settings = StudySettings(strategies=("band", "random"), stops=("rank:0.8:0.3",), draws=2)
    for cell in Study([matrix], settings).run().cells:
        if cell["strategy"] == "band":
            assert cell["target"] == "planned tasks"
            assert cell["coverage_claimed"] == cell["coverage_planned"]
        else:
            assert cell["target"] == "full benchmark"
            assert cell["coverage_claimed"] == cell["coverage"]


def test_a_study_that_was_stopped_can_be_read_as_far_as_it_got(
    matrix: OutcomeMatrix, tmp_path: Path
) -> None:
    settings = StudySettings(strategies=("random", "band"), stops=("rank:0.8:0.3",), draws=2)
    whole = Study([matrix], settings).run(output=tmp_path)
    complete = read_study(tmp_path)
    assert complete.complete
    assert complete.done == complete.planned == whole.units_run
    assert [dict(cell) for cell in complete.cells] == json.loads(
        (tmp_path / "cells.json").read_text()
    )
    assert complete.replays
    journal = tmp_path / "units.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1][:20])
    half = read_study(tmp_path)
    assert not half.complete
    assert (half.done, half.planned) == (1, len(lines))
    (found,) = (cell for cell in half.cells if cell["n_replays"])
    (stored,) = (
        cell
        for cell in complete.cells
        if cell["strategy"] == found["strategy"] and cell["n_replays"] == found["n_replays"]
    )
    assert found == {name: value for name, value in stored.items() if name in found}
    assert "random_spearman_mean" not in found
    journal.write_bytes(lines[0] + b"{}\n")
    assert "1 lines" in read_study(tmp_path).problems[0]
    with pytest.raises(InputError, match="study"):
        read_study(tmp_path / "none")


def test_the_band_goes_stale_as_published(shared_data: Path) -> None:
    matrix = read_matrix(shared_data / "swebench_verified.parquet", "swebench-verified")
    settings = StudySettings(
        protocols=("temporal",),
        cuts=("2024-11-20",),
        strategies=("band",),
        stops=("none",),
        draws=100,
    )
    (cell,) = Study([matrix], settings).run().cells
    assert cell["n_reference"] == 44
    assert cell["n_candidates"] == 90
    assert float(str(cell["kendall"])) == pytest.approx(0.657, abs=0.005)
    assert float(str(cell["random_kendall_mean"])) == pytest.approx(0.908, abs=0.01)


@pytest.mark.slow
def test_the_leaderboard_study_is_fast(shared_data: Path) -> None:
    source = shared_data / "hal_leaderboard.parquet"
    matrices = [read_matrix(source, name) for name in ("gaia", "usaco", "corebench_hard")]
    begun = time.process_time()
    Study(matrices, StudySettings(strategies=("band",), seeds=5, draws=20)).run()
    assert time.process_time() - begun < 30


def test_a_budget_of_the_band_is_as_many_tasks_as_lie_in_it(matrix: OutcomeMatrix) -> None:
    settings = StudySettings(strategies=("random",), stops=("none",), budgets=("band",), draws=2)
    result = Study([matrix], settings).run()
    for row in result.replays:
        agent = matrix.agents.index(str(row["candidate"]))
        known = matrix.select(agents=[i for i in range(len(matrix.agents)) if i != agent])
        rates = known.pass_rates()
        inside = np.sum((rates >= 0.3 - 1e-9) & (rates <= 0.7 + 1e-9))
        assert row["tasks_run"] == max(1, inside)
    assert len({row["tasks_run"] for row in result.replays}) > 1


def test_auto_is_chosen_and_calibrated_within_each_split() -> None:
    shape = SyntheticSettings(agents=14, tasks=40, scaffolds=4)
    matrix = synthetic_history(shape, np.random.default_rng(3)).matrix
    settings = StudySettings(strategies=("auto",), stops=("rank:0.9:0.3",), draws=2)
    result = Study([matrix], settings).run(workers="2")
    assert len(result.replays) == 14
    for row in result.replays[::4]:  # a plan with `auto` takes seconds
        agent = matrix.agents.index(str(row["candidate"]))
        known = matrix.select(agents=[i for i in range(14) if i != agent])
        plan = make_plan(
            known,
            strategy="auto",
            stop=parse_stop("rank:0.9:0.3"),
            seed=plan_seed(0, 0, matrix.benchmark),
            fallback=False,
            scaffold=matrix.scaffolds[agent],
        )
        session = Session(plan)
        while tasks := session.ask():
            task = matrix.tasks.index(tasks[0])
            session.tell(tasks[0], score=float(matrix.scores[agent, task]))
        decision = session.decision()
        assert (row["low"], row["high"]) == (decision.low, decision.high)
        assert row["full_score"] == decision.full_score


@pytest.mark.parametrize(
    ("stop", "nominal"),
    [
        ("top:3:0.9", 0.9),
        ("rank:0.9 or hopeless", 0.9),
        ("beats:'agent-1':0.8 or score:5:0.85", 0.85),
        ("none:0.7", 0.7),
        ("rank", 0.95),
        ("tasks:20", 0.95),
    ],
)
def test_a_study_reports_the_confidence_that_the_rule_states(stop: str, nominal: float) -> None:
    shape = SyntheticSettings(agents=6, tasks=24, scaffolds=2)
    matrix = synthetic_history(shape, np.random.default_rng(5)).matrix
    rival = matrix.agents[0]
    settings = StudySettings(
        strategies=("random",), stops=(stop.replace("agent-1", rival),), draws=2
    )
    (cell,) = Study([matrix], settings).run().cells
    assert cell["nominal"] == nominal
    assert cell["n_replays"] or cell["refused_because"]


def test_a_recommendation_names_what_a_plan_would_run_and_claims_no_unknown_saving() -> None:
    # Of fewer than nineteen agents none can calibrate 95 %, so that auto runs as random.
    shape = SyntheticSettings(agents=14, tasks=400, scaffolds=1, ability_sd=2.5)
    made = synthetic_history(shape, np.random.default_rng(2)).matrix
    unknown = np.full(made.scores.shape, np.nan)
    matrix = replace(made, cost_usd=unknown, run_cost_usd=np.full(len(made.agents), np.nan))
    verdict = recommend(matrix, seeds=1)
    assert {c["strategy_ran"] for c in verdict.cells if c["strategy"] == "auto"} == {"random"}
    assert verdict.reduce
    assert "money is unknown" in verdict.text
    assert verdict.strategy == make_plan(matrix, stop=parse_stop(verdict.stop)).strategy == "random"
