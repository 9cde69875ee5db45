"""The state file: whole at every moment, small, private, and readable whatever it holds."""

import json
import math
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plugins.view.conftest import DEAD, ELSEWHERE, OTHER_BOOT, Change, Write, look

from midband.view import Look, StateReader, runs_directory
from midband.view.state import read_state


def only(runs: Path) -> Any:
    (found,) = StateReader(runs).read()
    return found


def test_a_run_is_seen_from_its_first_look_to_its_end(start: Write, runs: Path) -> None:
    keeper = start()
    keeper.look(lambda: look(0, low=1, high=12, rank=None), doing="r000 runs 4 tasks", now=True)
    state = only(runs)
    assert state.shown_status == "running"
    assert (state.text("benchmark"), state.list("agents")) == ("toy", ("agent-new",))
    assert state.text("doing") == "r000 runs 4 tasks"
    keeper.result("agent-new", "task-1", 1.0, "valid")
    keeper.look(lambda: look(4, low=3, high=9, rank=5), now=True)
    keeper.end("rank settled", looks=lambda: look(8, low=4, high=6, rank=5))
    state = only(runs)
    assert (state.shown_status, state.text("reason")) == ("ended", "rank settled")
    assert [(point.at, point.ranks[0]) for point in state.course] == [
        (0, (1, 12, None)),
        (4, (3, 9, 5)),
        (8, (4, 6, 5)),
    ]
    assert state.recent == (("agent-new", "task-1", 1.0, "valid"),)
    assert state.text("doing") == ""


def test_a_burst_of_results_is_not_a_burst_of_writes(start: Write, runs: Path) -> None:
    keeper = start()
    looks = 0

    def looked() -> Look:
        nonlocal looks
        looks += 1
        return look(looks, low=1, high=12, rank=3)

    waits = [keeper.look(looked) for _ in range(200)]
    assert looks < 20  # at twice a second that would take ten seconds
    assert waits[0] == 0
    assert any(wait > 0 for wait in waits)
    keeper.end("ended", looks=looked)
    assert only(runs).whole("tasks_run") == looks


def test_only_the_user_can_read_it(start: Write, runs: Path) -> None:
    start().look(lambda: look(1, low=1, high=12, rank=3), now=True)
    (path,) = runs.iterdir()  # and nothing half written is left beside it
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(runs.stat().st_mode) == 0o700


def test_a_reader_never_sees_half_a_file(start: Write, runs: Path) -> None:
    keeper = start()
    keeper.look(lambda: look(0, low=1, high=12, rank=None), now=True)
    over = threading.Event()
    problems: list[str] = []

    def read() -> None:
        while not over.is_set():
            problems.extend(each.problem for each in StateReader(runs).read() if each.problem)

    reader = threading.Thread(target=read)
    reader.start()
    for tasks in range(1, 40):
        keeper.look(lambda tasks=tasks: look(tasks, low=1, high=12, rank=3), now=True)  # type: ignore[misc]
    over.set()
    reader.join()
    assert not problems


def test_a_long_run_stays_small_and_keeps_its_beginning(start: Write, runs: Path) -> None:
    keeper = start()
    for tasks in range(300):
        keeper.look(lambda tasks=tasks: look(tasks, low=1, high=12, rank=3), now=True)  # type: ignore[misc]
        if tasks == 100:
            keeper.end("paused", looks=None)
    (path,) = runs.iterdir()
    assert path.stat().st_size < 100_000
    places = [point.at for point in only(runs).course]
    assert places[0] == 0
    assert places[-1] == 299
    assert len(places) <= 240


def test_a_run_that_is_gone_on_with_keeps_its_course(start: Write, runs: Path) -> None:
    first = start()
    first.look(lambda: look(4, low=2, high=10, rank=5), now=True)
    first.end("interrupted", looks=None)
    begun = only(runs).begun
    start().look(lambda: look(8, low=4, high=8, rank=5), now=True)
    state = only(runs)
    assert state.begun == begun
    assert [point.at for point in state.course] == [4, 8]
    start(plan_digest="another").look(lambda: look(2, low=1, high=12, rank=None), now=True)
    assert [point.at for point in only(runs).course] == [2]


@pytest.mark.parametrize("why", ["no room", "an error of ours"])
def test_an_error_is_said_once_and_goes_no_further(
    start: Write, runs: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    keeper = start(note=said.append)

    def looked() -> Look:
        if why != "no room":
            raise RuntimeError(why)
        return look(1, low=1, high=12, rank=3)

    if why == "no room":
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, why)))
    for _ in range(3):
        keeper.look(looked, now=True)
    keeper.end("rank settled", looks=looked)
    assert len(said) == 1
    assert why in said[0]
    if why == "no room":
        assert not list(runs.iterdir())
    else:  # what is known without a look is written all the same
        assert only(runs).shown_status == "ended"


def test_a_place_that_cannot_be_written_does_not_stop_a_run(
    start: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIDBAND_STATE", str(tmp_path / "file"))
    said: list[str] = []
    keeper = start(note=said.append)
    keeper.look(lambda: look(1, low=1, high=12, rank=3), now=True)
    keeper.result("a", "t", 1.0, "valid")
    keeper.end("rank settled", looks=None)
    assert len(said) == 1
    monkeypatch.setenv("MIDBAND_STATE", "off")
    assert runs_directory() is None
    start().look(lambda: pytest.fail("nobody reads it"), now=True)


def test_an_error_that_ends_a_run_is_its_end(start: Write, runs: Path) -> None:
    with pytest.raises(ValueError, match="no program"), start().minding():
        raise ValueError("no program\nof this name")
    state = only(runs)
    assert (state.shown_status, state.failed) == ("ended", True)
    assert state.text("reason") == "no program of this name"


def test_credentials_are_not_kept(start: Write, runs: Path) -> None:
    keeper = start()
    keeper.say("the harness said api_key=sk-abcdefgh12345")
    keeper.end("failed with token=ghp_0123456789abcdef", looks=None)
    (path,) = runs.iterdir()
    assert "abcdefgh12345" not in path.read_text()
    assert "0123456789abcdef" not in path.read_text().replace(path.stem, "")


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, "running"),
        (DEAD, "died"),
        ({"pid_started": "1"}, "died"),  # the number is that of another process by now
        (OTHER_BOOT, "died"),
        (ELSEWHERE, "unheard"),
        ({"pid": None}, "unheard"),
        ({"pid": 0}, "unheard"),
        ({"status": "ended", **DEAD}, "ended"),
    ],
)
def test_a_run_that_cannot_be_alive_is_not_shown_as_running(
    start: Write, change: Change, values: dict[str, Any], status: str
) -> None:
    start().look(lambda: look(1, low=1, high=12, rank=3), now=True)
    path = change(**values)
    assert read_state(path).shown_status == status


def test_what_still_runs_comes_first_and_unreadable_files_last(
    start: Write, change: Change, runs: Path
) -> None:
    start().look(lambda: look(1, low=1, high=12, rank=3), now=True)
    change("1" * 16, status="ended", written="2031-01-01T00:00:00+00:00")
    (runs / ("2" * 16 + ".json")).write_text('{"format": "midband run st')
    (runs / "notes.txt").write_text("mine")
    (runs / ".hidden.tmp").write_text("half")
    os.mkfifo(runs / ("3" * 16 + ".json"))
    (runs / ("4" * 16 + ".json")).symlink_to("/etc/passwd")
    statuses = [each.shown_status for each in StateReader(runs).read()]
    assert statuses == ["running", "ended"] + ["unreadable"] * 4


def test_a_newer_format_shows_what_is_known(start: Write, change: Change) -> None:
    start().look(lambda: look(1, low=1, high=12, rank=3), now=True)
    state = read_state(change(version=2, future={"a": 1}))
    assert state.text("benchmark") == "toy"
    assert "format 2" in state.problem
    assert "pip install -U midband" in state.problem


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["version", "kind", "status", "begun", "written", "pid", "host", "numbers", "texts", "lists",
     "candidates", "course", "recent"]
)  # fmt: skip


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(values=st.dictionaries(FIELDS, JSON | st.sampled_from(["run", "race", "running"])))
def test_a_foreign_file_is_read_or_named_and_can_be_shown(
    values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from midband.view.histories import HistoryView
    from midband.view.pages import document, front_page
    from midband.view.run_pages import run_page

    path = tmp_path_factory.mktemp("foreign") / ("0" * 16 + ".json")
    path.write_text(json.dumps({"format": "midband run state", "version": 1, **values}))
    state = read_state(path)
    assert all(math.isfinite(value) for value in state.numbers.values())
    for page in (front_page([state], HistoryView(name="h")), run_page(state)):
        assert "</html>" in document(page)


def test_the_newest_states_are_kept(start: Write, runs: Path) -> None:
    runs.mkdir(parents=True)
    for number in range(230):
        path = runs / f"{number:016x}.json"
        path.write_text("{}")
        os.utime(path, (number, number))
    start().look(lambda: look(1, low=1, high=12, rank=3), now=True)
    left = sorted(path.name for path in runs.iterdir())
    assert len(left) == 201
    assert f"{229:016x}.json" in left
    assert f"{0:016x}.json" not in left
