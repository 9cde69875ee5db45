"""The example plugin that sends verdicts to a tracker, against a real server of this machine."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from midband import Decision, OutcomeMatrix, Plan, PluginManager, make_plan
from midband_sampler import Session

PATH = Path(__file__).parents[2] / "examples" / "midband-tracker" / "midband_tracker.py"


@pytest.fixture(scope="module")
def plugin() -> Iterator[ModuleType]:
    spec = spec_from_file_location("midband_tracker", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["midband_tracker"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["midband_tracker"]


@pytest.fixture(scope="module")
def finished() -> tuple[Plan, Decision]:
    scores = np.array([[1.0] * k + [0.0] * (12 - k) for k in (3, 6, 9)])
    plan = make_plan(OutcomeMatrix.from_scores(scores, benchmark="a <b> `c`"), strategy="random")
    session = Session(plan)
    for task in session.ask(12):
        session.tell(task, score=1.0)
    return plan, session.decision()


class Tracker:
    """Keeps what it is sent and answers as told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], Any]] = []
        self.status, self.location = 200, ""
        self.may_answer = Event()
        self.may_answer.set()
        tracker = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                tracker.got.append((dict(self.headers), json.loads(content)))
                tracker.may_answer.wait(30)
                self.send_response(tracker.status)
                if tracker.location:
                    self.send_header("Location", tracker.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/verdicts"


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracker]:
    made = Tracker()
    monkeypatch.setenv("MIDBAND_TRACKER_URL", made.url)
    yield made
    made.may_answer.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def finish(plugin: ModuleType, finished: tuple[Plan, Decision]) -> Callable[[], None]:
    manager = PluginManager(environment={"MIDBAND_DISABLE_PLUGINS": "all"})
    manager.register(plugin, name="tracker")
    plan, decision = finished
    return lambda: manager.hook.midband_run_finished(
        plan=plan, decision=decision, source=Path("/runs/june")
    )


def test_the_verdict_arrives_as_json(
    tracker: Tracker,
    finish: Callable[[], None],
    finished: tuple[Plan, Decision],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MIDBAND_TRACKER_TOKEN", "let-me-in")
    finish()
    ((headers, sent),) = tracker.got
    plan, decision = finished
    assert headers["Authorization"] == "Bearer let-me-in"
    assert headers["Content-Type"] == "application/json"
    assert (sent["benchmark"], sent["plan"], sent["run"]) == ("a <b> `c`", plan.digest, "june")
    assert sent["verdict"] == json.loads(json.dumps(decision.to_dict()))
    assert not [each for each in caplog.records if each.name == "midband_tracker"]


@pytest.mark.parametrize("fault", ["error", "redirect", "nobody", "scheme", "silent"])
def test_a_run_never_fails_for_want_of_its_tracker(
    tracker: Tracker,
    finish: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    monkeypatch.setenv("MIDBAND_TRACKER_TOKEN", "let-me-in")
    if fault == "error":
        tracker.status = 500
    elif fault == "redirect":
        tracker.status, tracker.location = 307, tracker.url
    elif fault == "nobody":
        tracker.server.server_close()
        monkeypatch.setenv("MIDBAND_TRACKER_URL", "http://127.0.0.1:1/")
    elif fault == "scheme":
        monkeypatch.setenv("MIDBAND_TRACKER_URL", "file:///etc/passwd")
    else:
        tracker.may_answer.clear()
        monkeypatch.setenv("MIDBAND_TRACKER_SECONDS", "0.05")
    with caplog.at_level(logging.WARNING):
        finish()
    (said,) = [each.getMessage() for each in caplog.records if each.name == "midband_tracker"]
    assert "the verdict was not sent" in said
    assert "\n" not in said
    assert "let-me-in" not in said
    assert len(tracker.got) <= 1  # a redirect is not followed


def test_without_an_address_nothing_is_sent(
    tracker: Tracker, finish: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIDBAND_TRACKER_URL")
    finish()
    assert not tracker.got


@pytest.mark.parametrize("text", ["", "soon", "-1", "0", "nan", "inf"])
def test_a_limit_that_is_none_is_the_default(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("MIDBAND_TRACKER_SECONDS", text)
    assert plugin.limit_s() == 5.0
