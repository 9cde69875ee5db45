"""The local server: whom it answers, what it shows of what it finds, and that it never fails."""

import asyncio
import json
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.conftest import Call, OneLine
from tests.plugins.view.conftest import DEAD, ELSEWHERE, Change, Write, look

from midband.view import CandidateState, Look, Point
from midband_history import History, Record
from midband_sampler import Never, make_plan

pytest.importorskip("starlette", reason="needs midband[view]")
pytest.importorskip("httpx", reason="needs httpx")

import httpx

from midband.view.server import PORT, listening, make_app

BASE = "http://127.0.0.1:7557"
HOSTILE = '<script>alert("1")</script>'


class Asker:
    """Asks the application as a browser on this machine would, without a port."""

    def __init__(self, history: Path, runs: Path) -> None:
        self._app = make_app(history=history, runs=runs)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())


Client = Callable[..., Asker]


@pytest.fixture
def client(runs: Path, tmp_path: Path) -> Client:
    """Return what asks a server of these runs and of a history, which is not there by default."""
    return lambda history=None: Asker(history or tmp_path / "none.duckdb", runs)


@pytest.fixture
def toy_run(tmp_path: Path, store: Path) -> Path:
    """The directory of a run that has only been planned."""
    with History.open(store, read_only=True) as history:
        plan = make_plan(history.outcomes("toy"), strategy="random", stop=Never())
    (tmp_path / "run").mkdir()
    plan.write(tmp_path / "run" / "plan.json")
    return tmp_path / "run"


def paths(found: Asker) -> list[str]:
    """Return what the front page leads to."""
    links = re.findall(r'href="(/[^"#]*)"', found.get("/").text)
    return [link for link in dict.fromkeys(links) if link != "/"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1:7557"])
def test_another_name_of_this_machine_is_refused(client: Client, host: str) -> None:
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "history" not in answer.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7557", "localhost:7557", "LOCALHOST:9000", "localhost"]
)
def test_this_machine_by_its_own_name_is_answered(client: Client, host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_nothing_but_get_is_answered(client: Client, method: str) -> None:
    for path in ("/", "/parts", "/runs/0"):
        answer = client().request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET"


def test_every_answer_forbids_what_a_page_elsewhere_could_do_with_it(
    client: Client, start: Write
) -> None:
    start().look(lambda: look(1, low=1, high=12, rank=3), now=True)
    found = client()
    for path in ("/", "/parts", "/view.js", "/page.css", "/nothing", *paths(found)):
        answer = found.get(path, headers={"origin": "https://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/runs/..%2f..%2fetc%2fpasswd",
        "/runs/../../../etc/passwd",
        "/runs/%2e%2e/parts",
        "/benchmarks/..%2fhistory/report",
        "/runs/0/report",
        "/view.py",
        "/../server.py",
        "/runs/%00",
        "/static/x",
    ],
)
def test_no_path_of_a_request_is_a_path_of_the_disk(client: Client, path: str) -> None:
    answer = client().get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "There is nothing here" in answer.text or "gone" in answer.text


def test_what_comes_from_files_is_text(
    client: Client, start: Write, change: Change, tmp_path: Path
) -> None:
    keeper = start(agents=(HOSTILE,), benchmark=HOSTILE, directory=HOSTILE, harness=HOSTILE)
    keeper.result(HOSTILE, HOSTILE, None, HOSTILE)
    keeper.say(HOSTILE)
    keeper.look(lambda: look(1, low=1, high=12, rank=3), doing=HOSTILE, now=True)
    lists = {name: [HOSTILE] for name in ("agents", "claims", "tied", "lines", "warnings", "notes")}
    candidate = {"name": HOSTILE, "state": HOSTILE, "note": HOSTILE, "rank_low": 1, "rank_high": 1}
    change("1" * 16, kind="race", lists=lists, candidates=[candidate], host=HOSTILE)
    change(HOSTILE.replace("/", "_"))
    with History.open(tmp_path / "h.duckdb") as history:
        record = Record(benchmark=HOSTILE, task_id=HOSTILE, agent=HOSTILE, score=1.0)
        history.add([record], source="test")
    found = client(tmp_path / "h.duckdb")
    links = paths(found)
    assert len([each for each in links if each.startswith(("/runs/", "/benchmarks/"))]) == 3
    for path in ("/", *links):
        assert "<script>" not in found.get(path).text
    for path in ("/parts", *(f"{each}/parts" for each in links if not each.endswith("s"))):
        answer = found.get(path)
        if answer.status_code == 200:
            assert "<script>" not in "".join(answer.json()["parts"].values())
    assert "&lt;script&gt;" in found.get(links[-1]).text


def test_a_page_is_complete_without_its_script_and_its_parts_are_the_same(
    client: Client, start: Write
) -> None:
    start().look(lambda: look(12, low=3, high=7, rank=5), now=True)
    found = client()
    (run,) = [each for each in paths(found) if each.startswith("/runs/")]
    shown = found.get(run).text
    assert "So far: rank 5 of 12, between 3 and 7 with 95\u00a0% confidence." in shown
    assert "12 of 40 tasks ran, 0 without a result; about $6.00 spent." in shown
    parts = found.get(f"{run}/parts").json()
    assert parts["live"] is True
    for each in parts["parts"].values():
        assert each in shown


def test_what_has_not_changed_is_not_sent_again(client: Client, start: Write) -> None:
    keeper = start()
    keeper.look(lambda: look(12, low=3, high=7, rank=5), now=True)
    found = client()
    mark = found.get("/parts").json()["mark"]
    assert found.get(f"/parts?have={mark}").status_code == 204
    keeper.end("rank settled", looks=lambda: look(14, low=4, high=6, rank=5))
    later = found.get(f"/parts?have={mark}").json()
    assert later["live"] is False
    assert "Rank 5 of 12, between 4 and 6" in "".join(later["parts"].values())


def test_a_race_shows_every_candidate(client: Client, start: Write) -> None:
    def stands() -> Look:
        ranked = (
            CandidateState(name="b", rank_low=1, rank_high=1, score=0.8, tasks=9, total=40),
            CandidateState(name="a", rank_low=2, rank_high=3, score=0.6, tasks=9, total=40),
            CandidateState(name="c", state="set apart", note="it crashed"),
        )
        point = Point(at=18, ranks=((2, 3, None), (1, 1, None), (None, None, None)))
        numbers = {"tasks_run": 18, "full": 120, "errors": 2}
        texts = {"answer": "The best is b.", "reason": "the question is settled"}
        return Look(numbers=numbers, texts=texts, candidates=ranked, point=point)

    start(kind="race", agents=("a", "b", "c"), question="top:1:0.9").end("", looks=stands)
    found = client()
    (race,) = [each for each in paths(found) if each.startswith("/runs/")]
    shown = found.get(race).text
    for said in (
        "The best is b.",
        "18 of 120 results were paid for",
        "it crashed",
        "2-3",
        "80.0\u00a0%",
    ):
        assert said in shown


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (DEAD, "Its process has ended without saying so."),
        (ELSEWHERE, "It runs on gpu-7.example."),
        ({"version": 9}, "This state file has format 9"),
        ({"numbers": {}, "course": []}, "Nothing is known yet."),
        ({"status": "ended", "numbers": {}, "failed": True}, "Ended without a verdict."),
        (
            {"status": "ended", "numbers": {"tasks_run": 10, "of": 12, "low": 1, "high": 12,
                                            "results": 0, "errors": 10}},
            "The rank is unknown: no result is usable.",
        ),
        ({"status": "ended", "texts": {"reason": "too many errors"}}, "It ended: too many errors."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_run_is_said(
    client: Client, start: Write, change: Change, values: dict[str, Any], said: str
) -> None:
    start().look(lambda: look(1, low=1, high=12, rank=3), now=True)
    path = change("7" * 16, **values)
    answer = client().get(f"/runs/{path.stem}")
    assert answer.status_code == 200
    assert said in answer.text


def test_files_that_are_no_states_are_named(client: Client, runs: Path) -> None:
    runs.mkdir(parents=True)
    (runs / "notes.txt").write_text("mine")
    (runs / ("2" * 16 + ".json")).write_text('{"format": "midband run st')
    (runs / ("3" * 16 + ".json")).write_text("[" * 100_000)
    shown = client().get("/").text
    assert "notes.txt is not a state file of midband." in shown
    assert f"{'2' * 16}.json is not a state file of midband, or was written only in part." in shown
    assert f"{'3' * 16}.json cannot be read" in shown
    assert client().get(f"/runs/{'2' * 16}").status_code == 404


def test_nothing_yet_says_how_to_begin(client: Client) -> None:
    shown = client().get("/").text
    assert "No run has been seen on this machine yet" in shown
    assert "midband import PATH" in shown


def test_the_history_is_shown_and_read_again_when_it_has_changed(
    client: Client, tmp_path: Path, store: Path
) -> None:
    found = client(store)
    (benchmark,) = [each for each in paths(found) if each.startswith("/benchmarks/")]
    shown = found.get(benchmark).text
    assert "12 agents on 40 tasks, 480 attempts" in shown
    assert ">a11<" in shown
    with History.open(store) as history:  # somebody else writes while the page is open
        record = Record(
            benchmark="other", task_id="1", agent="b", score=1.0, started=datetime.now(UTC)
        )
        history.add([record], source="test")
        other = [each for each in paths(client(store)) if each.startswith("/benchmarks/")]
    assert len(other) == 2


def test_the_last_import_of_each_benchmark_is_known(store: Path) -> None:
    before = datetime.now(UTC)
    with History.open(store) as history:
        record = Record(benchmark="other", task_id="1", agent="b", score=1.0)
        history.add([record], source="test")
        found = history.last_imports()
    assert list(found) == ["other", "toy"]
    assert found["toy"] is not None
    assert found["other"] is not None
    assert found["toy"] <= before <= found["other"]


@pytest.mark.parametrize("state", ["none", "empty", "newer", "foreign", "damaged"])
def test_a_history_that_cannot_be_shown_is_said(client: Client, tmp_path: Path, state: str) -> None:
    import duckdb

    path = tmp_path / "h.duckdb"
    if state in ("empty", "newer"):
        with History.open(path):
            pass
    if state == "newer":
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                "INSERT INTO midband_migrations VALUES (99, '0099_future', now()::TIMESTAMP)"
            )
    if state == "foreign":
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE mine (x INTEGER)")
    if state == "damaged":
        path.write_bytes(b"no database" * 5000)
    answer = client(path).get("/")
    assert answer.status_code == 200
    assert "Traceback" not in answer.text
    said = {
        "none": "There is no history at",
        "empty": "The history is empty.",
        "newer": "schema 99",
        "foreign": "other tables",
        "damaged": "The history cannot be shown",
    }
    assert said[state] in answer.text


def test_an_error_of_ours_is_a_sentence(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midband.view.server.front_page", lambda *_, **__: 1 // 0)
    answer = client().get("/")
    assert answer.status_code == 500
    assert "This page could not be made" in answer.text
    assert "Traceback" not in answer.text


def test_a_port_that_is_taken_is_said_or_passed_over(call: Call, one_line: OneLine) -> None:
    with listening(0) as opened:
        taken = opened.getsockname()[1]
        assert opened.getsockname()[0] == "127.0.0.1"
        code, _, error = call("view", "--port", taken)
        assert code == 2
        one_line(error, "free port", str(taken), "--port 0")
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            busy.bind(("127.0.0.1", PORT))
            busy.listen()
        except OSError:  # something else has it already
            pass
        with listening(None) as opened:
            assert PORT < opened.getsockname()[1] < PORT + 20


def test_a_missing_package_names_the_command(
    call: Call, one_line: OneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str, package: str | None = None) -> Any:
        return None if name == "starlette" else find_spec(name, package)

    monkeypatch.setattr("importlib.util.find_spec", found)
    code, _, error = call("view")
    assert code == 1
    one_line(error, "expected starlette", "pip install 'midband[view]'")


def test_the_state_of_another_place_can_be_shown(start: Write, runs: Path, tmp_path: Path) -> None:
    start().look(lambda: look(1, low=1, high=12, rank=3), now=True)
    found = json.loads(next(runs.iterdir()).read_text())
    assert found["version"] == 1
    elsewhere = tmp_path / "elsewhere" / "runs"
    elsewhere.mkdir(parents=True)
    (elsewhere / f"{found['id']}.json").write_text(json.dumps(found))
    shown = Asker(tmp_path / "none.duckdb", elsewhere).get("/").text
    assert f"/runs/{found['id']}" in shown


def test_the_full_report_is_made_when_it_is_asked_for(
    client: Client, start: Write, change: Change, tmp_path: Path, toy_run: Path
) -> None:
    start(directory=toy_run).look(lambda: look(1, low=1, high=12, rank=3), now=True)
    (tmp_path / "other").mkdir()
    empty = change("5" * 16, texts={"directory": str(tmp_path / "other")})
    gone = change("6" * 16, texts={"directory": "/results/gone"})
    away = change("7" * 16, texts={"directory": "s3://bucket/logs"})
    found = client()
    changed = {f"/runs/{each.stem}" for each in (empty, gone, away)}
    (run,) = {each for each in paths(found) if each.startswith("/runs/")} - changed
    assert f'href="{run}/report"' in found.get(run).text
    answer = found.get(f"{run}/report")
    assert answer.status_code == 200
    assert "No run was begun" in answer.text
    assert "connect-src" not in answer.headers["content-security-policy"]
    broken = found.get(f"/runs/{empty.stem}/report")
    assert broken.status_code == 500
    assert "The report could not be made" in broken.text
    assert "Traceback" not in broken.text
    for path in (gone, away):
        shown = found.get(f"/runs/{path.stem}").text
        assert "There is no full report" in shown
        assert found.get(f"/runs/{path.stem}/report").status_code == 404
