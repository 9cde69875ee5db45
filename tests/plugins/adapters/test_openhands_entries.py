"""Entries of the OpenHands index: where their files lie, and what their scores divide by."""

from pathlib import Path
from typing import Any

import pytest
from tests.plugins.adapters.reading import read, write

from midband_history import UnreadableSourceError

NAME = "openhands-index"


def _entry(
    folder: Path, score: Any = 50.0, *, inside: str = "instance_results", **more: Any
) -> Path:
    about = {"agent_name": "OpenHands", "model": "M", "agent_version": "v1"}
    stated = {
        "benchmark": "gaia",
        "score": score,
        "metric": "accuracy",
        "full_archive": "https://x/gaia.tar.gz",
        "submission_time": "2026-04-28T08:45:59+00:00",
    } | more
    write(folder / "metadata.json", about)
    write(folder / "scores.json", [{"benchmark": "other", "score": 1.0}, stated])
    results = {
        "g0": {"cost": 0.5, "resolved": True},
        "g1": {"cost": None, "resolved": True},
        "g2": {"cost": 0.1, "resolved": False},
    }
    return write(folder / inside / "gaia.json", results)


@pytest.mark.parametrize("inside", ["instance_results", "."])
def test_the_metadata_lies_beside_the_instances_or_above(tmp_path: Path, inside: str) -> None:
    found = read(_entry(tmp_path / "M", 66.7, inside=inside), NAME)
    assert found.kinds == {"g0": ("valid", 1.0), "g1": ("valid", 1.0), "g2": ("valid", 0.0)}
    assert (found.all("agent"), found.all("benchmark")) == ({"OpenHands (M)"}, {"gaia"})
    assert [each.cost_usd for each in found.records] == [0.5, None, 0.1]
    assert found.records[0].started is not None
    assert found.records[0].started.year == 2026
    assert (found.notes, found.explained, found.unexplained) == ({}, [], [])


def test_absent_instances_are_said_to_count_as_failed(tmp_path: Path) -> None:
    path = _entry(tmp_path / "M", 50.0)
    found = read(path, NAME)
    assert (found.explained, found.unexplained) == ([], [])
    assert "about 4 instances and the file lists 3" in found.notes["absent-tasks"]
    told = read(path, NAME, tasks=("g0", "g1", "g2", "g3"))
    assert told.kinds["g3"] == ("valid", 0.0)
    assert told.notes == {}
    # The tasks of another benchmark are not taken for this one's.
    assert len(read(path, NAME, tasks=("a", "b", "c", "d")).records) == 3


@pytest.mark.parametrize("score", [70.0, 90.0])
def test_a_score_that_no_count_of_instances_gives_is_unexplained(
    tmp_path: Path, score: float
) -> None:
    found = read(_entry(tmp_path / "M", score), NAME)
    assert len(found.unexplained) == 1
    assert "accuracy" in found.unexplained[0]


def test_a_score_over_a_part_is_named_and_the_combined_one_checked(tmp_path: Path) -> None:
    parts = {"solveable_accuracy": 100.0, "combined_accuracy": 66.7}
    path = _entry(tmp_path / "M", 100.0, metric="solveable_accuracy", component_scores=parts)
    found = read(path, NAME)
    assert found.unexplained == []
    assert "a part of the instances" in found.explained[0]


def test_an_empty_file_has_no_results_and_the_last_score_of_two_counts(tmp_path: Path) -> None:
    path = _entry(tmp_path / "M", 66.7)
    scores = [{"benchmark": "gaia", "score": score} for score in (10.0, 66.7)]
    write(tmp_path / "M" / "scores.json", scores)
    assert read(path, NAME).unexplained == []
    assert read(write(path, {}), NAME).records == []


def test_instances_without_metadata_are_refused_by_name(tmp_path: Path) -> None:
    path = _entry(tmp_path / "M", 66.7)
    (tmp_path / "M" / "metadata.json").unlink()
    with pytest.raises(UnreadableSourceError, match=r"metadata\.json") as refusal:
        read(path, NAME)
    assert str(path) in str(refusal.value)
    assert read(path, NAME, agent="me").all("agent") == {"me"}


def test_an_unknown_outcome_is_missing(tmp_path: Path) -> None:
    path = _entry(tmp_path / "M", None)
    write(path, {"a": {"cost": 1.0, "resolved": None}, "b": {"cost": None, "resolved": False}})
    assert read(path, NAME).kinds == {"a": ("missing", None), "b": ("valid", 0.0)}
