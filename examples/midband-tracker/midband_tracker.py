"""A plugin of midband that sends the verdict of each run to a tracker, as JSON over HTTP.

Set ``MIDBAND_TRACKER_URL`` to the address that takes the POST. Without it nothing is sent.
``MIDBAND_TRACKER_TOKEN`` is sent as a bearer token. ``MIDBAND_TRACKER_SECONDS`` limits how long a
run waits for the tracker (5 by default). Whatever goes wrong is one line in the log of the process:
a run never fails for want of its tracker.
"""

import json
import logging
import math
import os
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from midband import Decision, Plan, hookimpl

URL, TOKEN, SECONDS = "MIDBAND_TRACKER_URL", "MIDBAND_TRACKER_TOKEN", "MIDBAND_TRACKER_SECONDS"
_SECONDS = 5.0
logger = logging.getLogger(__name__)


@hookimpl
def midband_run_finished(plan: Plan, decision: Decision, source: Path | None) -> None:
    """Send the verdict; wait no longer than the limit says."""
    url = os.environ.get(URL, "")
    if not url:
        return
    problems: list[str] = []
    content = {
        "benchmark": plan.benchmark,
        "plan": plan.digest,
        "strategy": plan.strategy,
        "run": None if source is None else source.name,
        "verdict": decision.to_dict(),
    }
    # A thread, since a server that answers drop by drop never reaches the limit of a socket.
    sender = Thread(target=_send, args=(url, content, problems), daemon=True)
    sender.start()
    sender.join(limit_s())
    if sender.is_alive():
        problems.append(f"no answer within {limit_s():g} seconds")
    for problem in problems:
        logger.warning("midband-tracker: the verdict was not sent: %s", " ".join(problem.split()))


def limit_s() -> float:
    """Return the time limit in seconds; the default where the variable holds none."""
    try:
        seconds = float(os.environ.get(SECONDS, ""))
    except ValueError:
        return _SECONDS
    return seconds if 0.0 < seconds < math.inf else _SECONDS


class _NoRedirect(HTTPRedirectHandler):
    """Follows nothing: a token must not go where the address did not say."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Return no further request."""


def _send(url: str, content: dict[str, object], problems: list[str]) -> None:
    try:
        if urlsplit(url).scheme.lower() not in ("http", "https"):
            msg = f"expected an address with http or https in {URL}"
            raise ValueError(msg)
        request = Request(
            url,
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        if token := os.environ.get(TOKEN):
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        with build_opener(_NoRedirect).open(request, timeout=limit_s()):
            pass
    except Exception as error:  # a run never fails for want of its tracker
        problems.append(f"{type(error).__name__}: {error}")
