"""What an adaptive eval and a race tell the local page of themselves while they run."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from midband.inspect.shown import running_eval
from midband.text import one_line
from midband.view import Look, StateKeeper, look_at_decision, look_at_race

if TYPE_CHECKING:
    from inspect_ai.log import EvalSpec

    from midband.inspect.live import LiveRun
    from midband.inspect.racing import SharedRace
    from midband.inspect.scores import SampleResult
    from midband_sampler import Decision, Session
    from midband_sampler.racing import Race

logger = logging.getLogger(__name__)

HARNESS = "inspect"


class _Kept:
    """Writes the state as results come in, and what came last in a burst a little later."""

    def __init__(self) -> None:
        self._keeper: StateKeeper | None = None
        self._over = False
        self._later: asyncio.TimerHandle | None = None
        self._said = False

    def _safely(self, step: Callable[[], object]) -> None:
        """Do what must not break an evaluation; the first error is said."""
        try:
            step()
        except Exception as error:
            if not self._said:
                self._said = True
                why = f"{type(error).__name__}: {error}"
                _note(f"the run continues, but `midband view` may not show it: {why}")

    def result(self, agent: str, task: str, result: "SampleResult") -> None:
        """Take in a result for the list of the latest."""
        if self._keeper is not None:
            self._keeper.result(agent, task, result.score, result.kind)

    def _write(self, looks: Callable[[], Look], *, now: bool = False) -> None:
        if self._keeper is None or self._later is not None:
            return
        wait = self._keeper.look(looks, now=now)
        if not wait:
            return

        def write() -> None:
            self._later = None
            if not self._over:
                self._write(looks, now=True)

        with suppress(RuntimeError):  # Inspect runs on another event loop
            self._later = asyncio.get_running_loop().call_later(wait, write)

    def _end(self, reason: str, looks: Callable[[], Look] | None, *, failed: bool) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._over = True
        if self._keeper is not None:
            self._keeper.end(reason, looks=looks, failed=failed)


class KeptRun(_Kept):
    """The state file of one eval; never raises, and never works out what the run does not need."""

    def changed(self, run: "LiveRun", session: "Session | None") -> None:
        """Write how the run stands, and who it is the first time."""
        self._safely(partial(self._changed, run, session))

    def _changed(self, run: "LiveRun", session: "Session | None") -> None:
        if self._keeper is None:
            self._keeper = StateKeeper(
                kind="run",
                key=f"{_attempted(run.eval_id)} {run.model}",
                harness=HARNESS,
                benchmark=run.plan.benchmark,
                agents=(run.model,),
                plan_digest=run.plan.digest,
                directory=_log_of(run.eval_id),
                note=_note,
            )
        self._write(partial(self._look, run, session))

    def end(self, run: "LiveRun", decision: "Decision | None", *, status: str = "") -> None:
        """Write how the run ended.

        Parameters
        ----------
        run : LiveRun
        decision : Decision or None
            The last one; None where there is none.
        status : str
            How Inspect says that the eval ended, where it did not end by itself.
        """
        self._safely(partial(self._ended, run, decision, status))

    def _ended(self, run: "LiveRun", decision: "Decision | None", status: str) -> None:
        if decision is not None:
            reason = decision.reason if decision.stop else "ended before the stopping rule was met"
        else:
            reason = f"no verdict: {one_line(run.error)}" if run.error else f"ended: {status}"
        failed = bool(run.error) or status == "error" or bool(decision and decision.too_many_errors)
        looks = None if decision is None else partial(look_at_decision, decision)
        self._end(reason, looks, failed=failed)

    @staticmethod
    def _look(run: "LiveRun", session: "Session | None") -> Look:
        # Not `LiveRun.decision`: an error here is none of the run's.
        if session is None or run.error:
            reason = f"no verdict: {one_line(run.error)}" if run.error else ""
            return Look(numbers={}, texts={"reason": reason})
        return look_at_decision(session.decision(), warnings=run.warnings)


class KeptRace(_Kept):
    """The state file of the race that the evals of one command share; never raises."""

    def changed(self, shared: "SharedRace", race: "Race | None", *, over: bool) -> None:
        """Write how the race stands; one that was over may be gone on with."""
        self._safely(partial(self._changed, shared, race, over=over))

    def _changed(self, shared: "SharedRace", race: "Race | None", *, over: bool) -> None:
        if self._keeper is None:
            spec = _spec()
            log = _log_of("" if spec is None else spec.eval_id)
            self._keeper = StateKeeper(
                kind="race",
                key=f"{shared.race_id} {shared.plan.digest}",
                harness=HARNESS,
                benchmark=shared.plan.benchmark,
                agents=shared.plan.candidates,
                plan_digest=shared.plan.digest,
                question=shared.plan.question.text,
                directory=log,  # any log of a race leads to the others
                note=_note,
            )
        looks = partial(self._look, shared, race)
        if not over:
            self._over = False
            self._write(looks)
        elif not self._over:
            done = race is not None and race.done
            why = "" if done else "ended before the question was settled"
            self._end(shared.error or why, looks, failed=bool(shared.error))

    @staticmethod
    def _look(shared: "SharedRace", race: "Race | None") -> Look:
        # Not `SharedRace.verdict`: an error here is none of the race's.
        if race is None or shared.error:
            reason = f"no verdict: {one_line(shared.error)}" if shared.error else ""
            return Look(numbers={}, texts={"reason": reason})
        return look_at_race(race.verdict(), shared.plan.candidates, warnings=shared.warnings)


def _note(line: str) -> None:
    logger.warning("midband: %s", one_line(line))


def _attempted(eval_id: str) -> str:
    """Return what an eval and the attempts to go on with it have in common."""
    spec = _spec()
    return eval_id if spec is None else str(getattr(spec, "task_id", "") or eval_id)


def _spec() -> "EvalSpec | None":
    current = running_eval.get()
    return None if current is None else current.spec


def _log_of(eval_id: str) -> str:
    """Return where the log of an eval is written; empty where that cannot be told."""
    with suppress(Exception):
        from inspect_ai._control.eval_state import get_eval_state

        state = get_eval_state(eval_id)
        if state is not None:
            return str(state.log_location or "").removeprefix("file://")
    return ""
