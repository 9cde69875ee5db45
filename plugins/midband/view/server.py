"""The local server: shows state files and the history to a browser on this machine."""

import hashlib
import json
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from midband.view.histories import HistoryReader
from midband.view.pages import (
    LivePage,
    benchmark_page,
    document,
    front_page,
    problem_page,
)
from midband.view.run_pages import is_here, run_page
from midband.view.state import RunState, StateReader, runs_directory
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from midband.report import Page

ADDRESS = "127.0.0.1"
PORT = 7557
# From the usual port on, so many are tried if the user names none.
_TRIES = 20
# Names of this machine alone: a page elsewhere whose name is made to lead here has another.
_HOSTS = ("127.0.0.1", "localhost")
_CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE = f"{_CLOSED}; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
# A report brings its own policy, which names each of its scripts; it can reach nobody.
_REPORT = f"{_CLOSED}; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
Build = Callable[["Request"], LivePage | None]


class Guard:
    """Lets in nothing but GET requests to this machine by its own name.

    Parameters
    ----------
    app : ASGI application
    """

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        answer: ASGIApp = self._app
        if len(hosts) != 1 or _host(hosts[0].decode("latin-1")) not in _HOSTS:
            said = f"expected a request to {' or '.join(_HOSTS)}, got another host"
            answer = PlainTextResponse(f"{said}: use the printed address", status_code=421)
        elif scope["method"] != "GET":
            answer = PlainTextResponse(
                "expected GET: this page changes nothing", status_code=405, headers={"allow": "GET"}
            )

        async def sent(message: "Message") -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                more = {"content-security-policy": _CLOSED, **_HEADERS}
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in more.items() if n.encode() not in known),
                ]
            await send(message)

        await answer(scope, receive, sent)


def _host(header: str) -> str:
    """Return the name in a Host header without the port, which a tunnel may change."""
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdigit() else header).lower()


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the page looks.

    Parameters
    ----------
    runs : StateReader
    history : HistoryReader
    """

    runs: StateReader
    history: HistoryReader


def make_app(*, history: Path | None = None, runs: Path | None = None) -> Starlette:
    """Return the application.

    Parameters
    ----------
    history : Path, optional
        The user's by default.
    runs : Path, optional
        Directory of state files; the user's by default.
    """
    reader = StateReader(runs_directory() if runs is None else runs)
    places = Places(runs=reader, history=HistoryReader(history))

    def front(request: "Request") -> LivePage:
        del request
        place = str(reader.directory or "")
        return front_page(reader.read(), places.history.view(), place=place)

    def run(request: "Request") -> LivePage | None:
        state = _state_of(request, places)
        if state is None or not state.kind:
            return None
        known = places.history.view().benchmarks
        key = next((b.key for b in known if b.summary.name == state.text("benchmark")), "")
        report = f"/runs/{state.id}/report" if _report_of(state) else ""
        return run_page(state, report=report, benchmark=f"/benchmarks/{key}" if key else "")

    def benchmark(request: "Request") -> LivePage | None:
        view = places.history.benchmark(request.path_params["key"])
        if view is None:
            return None
        has = _found("history", "history_page") is not None
        return benchmark_page(view, report=f"/benchmarks/{view.key}/report" if has else "")

    building = threading.Lock()  # one after the other: each needs a core and much memory

    def run_report(request: "Request") -> str | None:
        state = _state_of(request, places)
        build = None if state is None else _report_of(state)
        with building:
            return None if build is None else build()

    def history_report(request: "Request") -> str | None:
        view = places.history.benchmark(request.path_params["key"])
        page = _found("history", "history_page")
        if view is None or page is None:
            return None
        with building:
            return _rendered(page, view.summary.name, history_path=places.history.path)

    routes = [Route("/page.css", partial(_asset, "midband.report", "page.css", "text/css"))]
    for name, kind in (("view.css", "text/css"), ("view.js", "text/javascript")):
        routes.append(Route(f"/{name}", partial(_asset, "midband.view", name, kind)))
    for path, build in (("/", front), ("/runs/{id}", run), ("/benchmarks/{key}", benchmark)):
        routes.append(Route(path, partial(_page, build)))
        routes.append(Route(f"{path.rstrip('/')}/parts", partial(_parts, build)))
    for path, write in (
        ("/runs/{id}/report", run_report),
        ("/benchmarks/{key}/report", history_report),
    ):
        routes.append(Route(path, partial(_report, write)))
    app = Starlette(routes=routes, exception_handlers={404: _missing, Exception: _broken})
    app.add_middleware(Guard)
    return app


def _state_of(request: "Request", places: Places) -> RunState | None:
    """Return the state of the id in the address; an id is looked up and never is a path."""
    wanted = request.path_params["id"]
    return next((each for each in places.runs.read() if each.id == wanted), None)


def _report_of(state: RunState) -> Callable[[], str] | None:
    """Return what builds the full report of a run; None where its results are not here."""
    place = state.text("directory")
    if not is_here(place):
        return None
    if state.kind == "race":
        race_page = _found("race", "race_page")
        return None if race_page is None else partial(_rendered, race_page, Path(place))
    return partial(_run_report, Path(place))


def _run_report(place: Path) -> str:
    from midband.descriptors import ReadOptions
    from midband.report import render
    from midband.report.run import run_page
    from midband.report.sources import Asked, read_run

    command = shlex.join(["midband", "report", "run", str(place)])
    return render(run_page(read_run(place, (), Asked(options=ReadOptions())), command=command))


def _rendered(page: Callable[..., "Page"], *arguments: object, **options: object) -> str:
    from midband.report import render

    return render(page(*arguments, **options))


def _found(module: str, name: str) -> "Callable[..., Page] | None":
    """Return what makes the page of a report; None where this midband has none of its kind."""
    try:
        found: Callable[..., Page] = getattr(import_module(f"midband.report.{module}"), name)
    except (ImportError, AttributeError):
        return None
    return found


async def _page(build: Build, request: "Request") -> Response:
    page = await run_in_threadpool(build, request)
    if page is None:
        return _missing(request, None)
    return HTMLResponse(document(page), headers={"content-security-policy": _PAGE})


async def _parts(build: Build, request: "Request") -> Response:
    """Answer with the parts of a page; with nothing if they are those that the reader has."""
    page = await run_in_threadpool(build, request)
    if page is None:
        return JSONResponse({"gone": True}, status_code=404)
    said = json.dumps([page.parts, page.live, page.title], sort_keys=True)
    mark = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if request.query_params.get("have") == mark:
        return Response(status_code=204)
    return JSONResponse(
        {"mark": mark, "title": page.title, "live": page.live, "parts": dict(page.parts)}
    )


async def _report(write: Callable[["Request"], str | None], request: "Request") -> Response:
    try:
        found = await run_in_threadpool(write, request)
    except Exception as error:
        known = isinstance(error, MidbandError | OSError)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        page = problem_page("The report could not be made", [" ".join(why.split())])
        return HTMLResponse(document(page), 500, headers={"content-security-policy": _PAGE})
    if found is None:
        return _missing(request, None)
    return HTMLResponse(found, headers={"content-security-policy": _REPORT})


async def _asset(package: str, name: str, kind: str, request: "Request") -> Response:
    del request
    return Response(files(package).joinpath(name).read_bytes(), media_type=kind)


def _missing(request: "Request", error: Exception | None) -> Response:
    del request, error
    page = problem_page(
        "There is nothing here",
        ["The run or benchmark may have been removed. The first page lists what is there."],
    )
    return HTMLResponse(document(page), 404, headers={"content-security-policy": _PAGE})


def _broken(request: "Request", error: Exception) -> Response:
    del request
    why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    page = problem_page("This page could not be made", [why])
    return HTMLResponse(document(page), 500, headers={"content-security-policy": _PAGE})


@contextmanager
def listening(port: int | None) -> Iterator[socket.socket]:
    """Hold a port of this machine that is open to this machine alone.

    Parameters
    ----------
    port : int or None
        0 for any that is free; by default the usual one, or the next that is free.

    Raises
    ------
    InputError
        The port is taken.
    """
    wanted = range(PORT, PORT + _TRIES) if port is None else (port,)
    for each in wanted:
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((ADDRESS, each))
            opened.listen(128)
        except OSError as error:
            opened.close()
            if each != wanted[-1]:
                continue
            which = f"ports {PORT} to {wanted[-1]}" if port is None else f"port {port}"
            msg = (
                f"expected a free port on {ADDRESS}, got {which}: {error.strerror}; name another"
                " with --port, or --port 0 for any that is free"
            )
            raise InputError(msg) from error
        with opened:
            yield opened
        return


def serve(app: "ASGIApp", opened: socket.socket) -> None:
    """Answer requests on a port until Ctrl-C."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    try:
        uvicorn.Server(config).run(sockets=[opened])
    except KeyboardInterrupt:
        return
