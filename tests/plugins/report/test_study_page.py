"""The page of a study judges what is claimed, and says what was skipped and what is missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browsing import Chromium
from tests.plugins.conftest import Call

from midband import InputError
from midband.report import Chart, Page, Table, render
from midband.report.study import study_page
from midband_sims import (
    RaceSettings,
    RaceStudy,
    Study,
    StudySettings,
    SyntheticSettings,
    synthetic_history,
)

pytest.importorskip("altair")


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete study of a band beside random tasks, under two protocols."""
    shape = SyntheticSettings(agents=12, tasks=40, scaffolds=3)
    matrix = synthetic_history(shape, np.random.default_rng(4)).matrix
    settings = StudySettings(
        protocols=("loao", "loso", "self"),
        strategies=("band", "random"),
        stops=("rank:0.8:0.3",),
        draws=3,
    )
    directory = tmp_path_factory.mktemp("study")
    about = {"about": {"Command": "midband study toy"}}
    Study([matrix], settings).run(output=directory, about=about)
    return directory


def copied(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in source.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


def parts(page: Page) -> dict[str, list[Chart | Table]]:
    return {section.title: [*section.parts] for section in page.sections}


def test_it_opens_with_what_the_policy_saved_and_how_often_it_held(studied: Path) -> None:
    page = study_page(studied, command="midband report study here")
    cells = [c for c in json.loads((studied / "cells.json").read_text()) if c["strategy"] == "band"]
    least = min(cell["fraction_run"] for cell in cells)
    assert page.verdict[0].startswith("Strategy band ran ")
    assert f"{100 * least:.0f} " in page.verdict[0]
    replays = sum(cell["n_replays"] for cell in cells)
    held = sum(cell["coverage_planned"] * cell["n_replays"] for cell in cells) / replays
    said = f"held the rank on the planned tasks in {100 * held:.1f} % of {replays} replays"
    assert said in page.verdict[1]
    assert "where 80 % was stated" in page.verdict[1]
    facts = dict(page.facts)
    assert facts["Command"] == "midband study toy"
    assert facts["Command of this report"] == "midband report study here"
    assert facts["Units finished"].split(" of ")[0] == facts["Units finished"].split(" of ")[1]


def test_a_band_is_judged_by_its_planned_tasks_and_labelled_so(studied: Path) -> None:
    (chart,) = parts(study_page(studied))["Coverage of the target that is claimed"]
    assert isinstance(chart, Chart)
    rows: list[dict[str, Any]] = chart.spec["data"]["values"]
    stored = json.loads((studied / "cells.json").read_text())
    assert len(rows) == len(stored)
    for row, cell in zip(rows, stored, strict=True):
        band = cell["strategy"] == "band"
        assert row["target"] == ("planned tasks" if band else "full benchmark")
        assert row["coverage"] == cell["coverage_planned" if band else "coverage"]


def test_what_was_skipped_is_said_with_the_reason(studied: Path) -> None:
    page = study_page(studied)
    skipped = next(each for each in page.sections if each.title.startswith("What was skipped"))
    assert any("attempt" in line for line in skipped.text)


def test_a_study_stopped_half_way_shows_what_is_finished(studied: Path, tmp_path: Path) -> None:
    half = copied(studied, tmp_path / "half")
    lines = (half / "units.jsonl").read_bytes().splitlines(keepends=True)
    (half / "units.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:50])
    (half / "cells.json").unlink()
    page = study_page(half)
    assert page.verdict[0].startswith("Strategy ")
    assert f"2 of {len(lines)} units of replays are finished" in page.missing[0]
    (half / "units.jsonl").write_bytes(b"")
    page = study_page(half)
    assert "nothing can be said" in page.verdict[0]
    assert render(page)


def test_files_of_an_older_midband_or_half_written_ones_are_said(
    studied: Path, tmp_path: Path
) -> None:
    old = copied(studied, tmp_path / "old")
    (old / "study.json").unlink()
    page = study_page(old)
    assert page.verdict[0].startswith("Strategy ")
    assert any("an older midband wrote" in line for line in page.missing)
    torn = copied(studied, tmp_path / "torn")
    (torn / "cells.json").write_bytes((torn / "cells.json").read_bytes()[:200])
    page = study_page(torn)
    assert any("cells.json cannot be read" in line for line in page.missing)
    assert page.verdict[0].startswith("Strategy ")
    with pytest.raises(InputError, match=r"units\.jsonl"):
        study_page(tmp_path)


def test_without_costs_and_repeats_the_table_has_no_such_columns(tmp_path: Path) -> None:
    from midband_history import OutcomeMatrix

    rng = np.random.default_rng(8)
    scores = (rng.random((9, 30)) < np.linspace(0.1, 0.9, 9)[:, None]).astype(float)
    matrix = OutcomeMatrix.from_scores(scores, benchmark="bare")
    settings = StudySettings(strategies=("random",), stops=("rank:0.8:0.3",), draws=2)
    Study([matrix], settings).run(output=tmp_path)
    page = study_page(tmp_path)
    assert any("the history has no costs" in line for line in page.missing)
    assert any("The ceiling is unknown" in line for line in page.missing)
    assert any("fewer than 10 agents" in line for line in page.warnings)
    (table,) = parts(page)["All policies"]
    assert isinstance(table, Table)
    assert not {"Saved", "Ceiling", "Benchmark"} & set(table.columns)


def test_a_study_of_races_has_a_page_of_its_own(tmp_path: Path) -> None:
    shape = SyntheticSettings(agents=8, tasks=30)
    matrix = synthetic_history(shape, np.random.default_rng(1)).matrix
    settings = RaceSettings(
        questions=("top:1:0.8",), allocations=("uniform",), candidates=3, draws=3, history=False
    )
    RaceStudy([matrix], settings).run(output=tmp_path)
    page = study_page(tmp_path)
    (cell,) = json.loads((tmp_path / "cells.json").read_text())
    assert page.verdict[0].startswith("Allocation uniform answered top:1:0.8 right in")
    assert f"{100 * cell['right']:.0f} %" in page.verdict[0]
    assert "20 % is allowed" in page.verdict[1]
    assert {"Right answers against their price", "False claims", "All allocations"} <= {
        each.title for each in page.sections
    }
    (tmp_path / "cells.json").unlink()
    assert study_page(tmp_path).verdict[0].startswith("Allocation uniform")


def test_the_page_fits_narrow_and_wide_windows(
    studied: Path, tmp_path: Path, chromium: Chromium
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(study_page(studied)), encoding="utf-8")
    chromium.check(path, widths=(390, 1600))


def test_the_commands_write_the_pages(
    store: Path, studied: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, error = call("report", "history", "toy", "--history", store)
    assert (code, out) == (0, "toy-history-report.html\n"), error
    assert "History of toy" in Path("toy-history-report.html").read_text()
    code, _, error = call("report", "study", studied, "--output", "study.html")
    assert code == 0, error
    assert "Strategy" in Path("study.html").read_text()
    for words in (("history", "tox", "--history", store), ("study", tmp_path), ("race", tmp_path)):
        code, _, error = call("report", *words)
        assert code in (1, 2)
        assert error.startswith("midband: expected")
        assert len(error.splitlines()) == 1
