"""The writer of a state file: what a run says of itself as it continues, at most twice a second.

Nothing here may break a run that somebody pays for. Whatever goes wrong is said once, and the run
continues without a state file.
"""

import math
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from midband.text import without_credentials
from midband.view.alive import this_process
from midband.view.looks import Look, is_known
from midband.view.state import (
    ENDED,
    LONGEST,
    MOST_LINES,
    MOST_NAMES,
    RUNNING,
    STATE_NAME,
    Point,
    RunState,
    read_state,
    runs_directory,
    state_id,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


# Between two looks at a run that continues. A look that takes long comes more rarely, so that all
# looks together take no more than this share of the time.
_PACE_S, _SHARE = 0.5, 0.05
_MOST_FILES = 200
_MOST_POINTS, _MOST_RANKS, _LEAST_POINTS = 240, 2400, 24
_RECENT, _MOST_NOTES = 12, 20
_OLD_S = 3600.0


class StateKeeper:
    """Keeps the state file of one run or race; no method raises.

    Parameters
    ----------
    kind : str
        ``run`` or ``race``.
    key : str
        What names the run on this machine: another call with the same key continues with its file.
    harness, benchmark, plan_digest, question : str
    agents : sequence of str
        The candidates of a race in the order of its plan, or the one agent that is run.
    directory : str or Path
        Where the full results are.
    note : callable
        Told once, in one line, why there is no state file.
    """

    def __init__(
        self,
        *,
        kind: str,
        key: str,
        harness: str,
        benchmark: str,
        agents: Sequence[str],
        plan_digest: str,
        directory: "str | Path",
        note: Callable[[str], None],
        question: str = "",
    ) -> None:
        self._note = note
        self._said = self._busy = False
        self._lock = threading.RLock()
        self._next = 0.0
        self._recent: list[tuple[str, str, float | None, str]] = []
        self._texts: dict[str, str] = {}
        self._place: Path | None = None
        self._state = RunState(id=state_id(f"{kind} {key}"), kind=kind, status=RUNNING)

        def begin() -> None:
            from midband import __version__

            folder = runs_directory()
            if folder is None:
                return
            folder.mkdir(parents=True, exist_ok=True, mode=stat.S_IRWXU)
            self._place = folder / f"{self._state.id}.json"
            _prune(folder)
            before = read_state(self._place) if self._place.exists() else None
            same = before is not None and before.text("plan_digest") == plan_digest
            self._texts = {
                "harness": harness,
                "benchmark": benchmark,
                "plan_digest": plan_digest,
                "question": question,
                "directory": str(directory),
                "midband": __version__,
            }
            self._state = replace(
                self._state,
                begun=before.begun if same and before else datetime.now(UTC),
                course=before.course if same and before else (),
                texts=_short(self._texts),
                lists=_cut({"agents": agents}),
                **this_process(),
            )

        self._guard(begin)

    def result(self, agent: str, task: str, score: float | None, kind: str) -> None:
        """Take in a result for the list of the latest; its content is never kept."""

        def take() -> None:
            known = None if score is None or not math.isfinite(score) else float(score)
            self._recent.insert(0, (agent[:LONGEST], task[:LONGEST], known, kind))
            del self._recent[_RECENT:]

        self._guard(take)

    def look(
        self, looks: Callable[[], Look], *, doing: str | None = None, now: bool = False
    ) -> float:
        """Write how things stand, unless that was done just now.

        Parameters
        ----------
        looks : callable
            Says how things stand; asked only if it is written.
        doing : str, optional
            What runs at the moment.
        now : bool
            Write in any case.

        Returns
        -------
        float
            Seconds until it can be written, where it was not; else 0.
        """
        wait = 0.0

        def write() -> None:
            nonlocal wait
            if self._place is None:
                return
            if doing is not None:
                self._texts["doing"] = doing
            began = time.monotonic()
            if not now and began < self._next:
                wait = self._next - began
                return
            self._write(looks(), status=RUNNING)
            took = time.monotonic() - began
            self._next = began + max(_PACE_S, took / _SHARE)

        self._guard(write)
        return wait

    def end(self, reason: str, *, looks: Callable[[], Look] | None, failed: bool = False) -> None:
        """Write how it ended.

        Parameters
        ----------
        reason : str
            Why it ended, on one line.
        looks : callable or None
            Says how things stand; None leaves the last look.
        failed : bool
        """
        self._texts |= {"doing": "", "reason": reason}
        known: list[Look] = []
        if looks is not None:
            self._guard(lambda: known.append(looks()))
        self._guard(lambda: self._write(known[0] if known else None, ENDED, failed=failed))

    @contextmanager
    def minding(self) -> Iterator[None]:
        """Keep how the block ends, where it ends with an error."""
        try:
            yield
        except BaseException as error:
            said = " ".join(str(error).split())
            why = "interrupted" if isinstance(error, KeyboardInterrupt) else said
            self.end(why or type(error).__name__, looks=None, failed=True)
            raise

    def say(self, line: str) -> None:
        """Keep a line that the user is told."""

        def take() -> None:
            notes = (*self._state.list("notes"), line)[-MOST_LINES // 3 :]
            self._state = replace(
                self._state, lists={**self._state.lists, **_cut({"notes": notes})}
            )

        self._guard(take)

    def _write(self, look: Look | None, status: str, *, failed: bool = False) -> None:
        if self._place is None:
            return
        state = self._state
        if look is not None:
            kept = {name: state.lists[name] for name in ("agents", "notes") if name in state.lists}
            state = replace(
                state,
                numbers={
                    name: value
                    for name, value in look.numbers.items()
                    if value is not None and is_known(value)
                },
                lists={**kept, **_cut(look.lists)},
                candidates=look.candidates[:MOST_NAMES],
                course=_longer(state.course, look.point),
            )
            # Why a run ended is known better by who drives it.
            said = {name: text for name, text in look.texts.items() if text or status == RUNNING}
            ended = status == ENDED and self._texts.get("reason")
            self._texts |= said | ({"reason": ended} if ended else {})
        self._state = replace(
            state,
            status=status,
            failed=failed,
            written=datetime.now(UTC),
            texts=_short(self._texts),
            recent=tuple(self._recent),
        )
        _replace_file(self._place, self._state.to_json())

    def _guard(self, step: Callable[[], object]) -> None:
        with self._lock:
            if self._busy:  # what a look does may be told to the run, which would look again
                return
            self._busy = True
            try:
                step()
            except Exception as error:
                self._say_once(error)
            finally:
                self._busy = False

    def _say_once(self, error: Exception) -> None:
        if self._said:
            return
        self._said = True
        why = f"{type(error).__name__}: {error}"
        with suppress(Exception):
            self._note(f"the run continues, but `midband view` may not show it: {why}")


def _longer(course: tuple[Point, ...], point: Point | None) -> tuple[Point, ...]:
    """Return the course with a point more, every second of the older ones gone if it is long."""
    if point is None:
        return course
    before = [each for each in course if each.at < point.at]
    most = max(_LEAST_POINTS, min(_MOST_POINTS, _MOST_RANKS // max(len(point.ranks), 1)))
    while len(before) >= most:
        before = before[::2]
    return (*before, point)


def _short(texts: "Mapping[str, str]") -> dict[str, str]:
    return {name: without_credentials(text)[:LONGEST] for name, text in texts.items() if text}


def _cut(lists: "Mapping[str, Sequence[str]]") -> dict[str, tuple[str, ...]]:
    found = {}
    for name, items in lists.items():
        most = MOST_LINES if name in ("lines", "warnings", "notes") else MOST_NAMES
        found[name] = tuple(without_credentials(each)[:LONGEST] for each in items[:most])
    return found


def _replace_file(path: Path, text: str) -> None:
    """Put a file in place as a whole, for nobody else to read."""
    number, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(name, path)  # noqa: PTH105 - the name is a text
    except BaseException:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


def _prune(folder: Path) -> None:
    """Remove the oldest state files where there are many, and what a kill left half written."""
    with suppress(OSError), os.scandir(folder) as entries:
        found = sorted((each.stat().st_mtime, each.name) for each in entries)
        old = time.time() - _OLD_S
        left = [name for written, name in found if name.endswith(".tmp") and written < old]
        states = [name for _, name in found if STATE_NAME.fullmatch(name)]
        for name in [*left, *states[: max(0, len(states) - _MOST_FILES)]]:
            with suppress(OSError):
                (folder / name).unlink()
