"""The directory of a race in rounds, read for a report: also of one that is still running."""

import json
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.race_file import read_race
from midband.report.race_facts import Look, RaceFacts, RaceResult, course_in_rounds, look_at
from midband.rounds.costs import Costs
from midband.rounds.journal import FILE, AttemptResult, RoundEnd, event_problem
from midband.rounds.race_state import RACE, RACE_JOURNAL, Lane, folders, harness_plan, with_untold
from midband.rounds.run_settings import UNITS
from midband.text import one_line
from midband_history import InputError, MidbandError
from midband_sampler.racing import Race, RacePlan, budget_text

if TYPE_CHECKING:
    from midband.descriptors import Round
    from midband_sampler.racing import RaceVerdict

_NOT_SAID = "the journal does not say why the race ended: it was killed, or is still running"


def peek(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the events of a journal that another process may be writing, and what is wrong.

    Nothing is locked or changed. A last line that is not complete is left out without a word;
    events from the first damaged line on are left out, and the text says so.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], f"{path} cannot be read: {error.strerror}"
    events: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            problem = event_problem(event, first=number == 1)
        except (ValueError, RecursionError):
            problem = "something else than JSON"
        if problem:
            return events, f"{path} is damaged from line {number} on: {problem}"
        events.append(event)
    return events, ""


def is_at_work(path: Path) -> bool | None:
    """Whether a process has the journal open for a run; None where the system does not say.

    Nothing is locked for it: a run that begins at this moment must not find its journal taken.
    """
    try:
        locks = Path("/proc/locks").read_text(encoding="ascii")
        place = path.stat()
    except (OSError, ValueError):
        return None
    device = f"{os.major(place.st_dev):02x}:{os.minor(place.st_dev):02x}:{place.st_ino}"
    return any(device in line.split() for line in locks.splitlines())


class _Quiet:
    """Keeps what would be said of a race that is read again."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def round_started(self, candidate: str, batch: "Round") -> None:
        """Keep nothing."""

    def round_ended(self, candidate: str, end: RoundEnd) -> None:
        """Keep nothing."""

    def stands(self, standing: object) -> None:
        """Keep nothing."""

    def note(self, line: str) -> None:
        """Keep a line."""
        if line not in self.lines:
            self.lines.append(line)


class _ReadLane(Lane):
    """A candidate whose results are kept as well as told."""

    results: list[RaceResult]

    def told(self, task: str, results: Sequence[AttemptResult]) -> None:
        """Tell and keep one result of the task."""
        super().told(task, results)
        scores = [each.score for each in results if each.score is not None]
        self.results.append(
            RaceResult(
                candidate=self.name,
                task=task,
                score=math.fsum(scores) / len(scores) if scores else None,
                kind="valid" if scores else results[0].kind,
                usd=_total([each.cost_usd for each in results]),
                seconds=_total([each.seconds for each in results]),
                tokens=_total([each.tokens for each in results]),
            )
        )


def _total(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return math.fsum(known) if known else None


def is_race_directory(place: Path) -> bool:
    """Whether a place is the directory of a race in rounds."""
    return (place / RACE).is_file() or (place / RACE_JOURNAL).is_file()


def read_race_directory(directory: Path) -> RaceFacts:
    """Return what is known of the race of a directory; nothing of it is changed or locked.

    Raises
    ------
    InputError
        The directory is not one of a race.
    PlanError
        Its race cannot be read.
    """
    if not (directory / RACE).is_file():
        msg = (
            f"expected the directory of a race, got {directory}, which has no {RACE}: the race had"
            " not begun, or name another directory"
        )
        raise InputError(msg)
    plan = read_race(directory / RACE)
    events, damage = peek(directory / RACE_JOURNAL)
    begun: dict[str, Any] = next((each for each in events[::-1] if each["event"] == "run"), {})
    missing = [damage] if damage else []
    if not begun and not damage:
        missing.append(f"Nothing has run yet: {directory / RACE_JOURNAL} is empty.")
    told = _Told(plan, directory, begun, events)
    missing += told.missing
    at_work = is_at_work(directory / RACE_JOURNAL)
    last = [each for each in events if each["event"] in ("over", "run")]
    over = last[-1] if last else {}
    ended = one_line(str(over.get("reason", ""))) if over.get("event") == "over" else ""
    if at_work:
        state, ended = "going on", "the race is still running"
    elif told.race.done or ended:
        state = "over" if told.race.done else "stopped"
        ended = ended or told.race.reason
    else:
        state = "stopped" if at_work is False else ""
        missing.append(f"Why the race ended is unknown: {_NOT_SAID}.")
    course, gap = told.course(begun, told.apart)
    missing += gap
    return RaceFacts(
        title=f"Race {plan.question.text} on {plan.benchmark}",
        candidates=plan.candidates,
        verdict=told.verdict,
        results=told.results,
        course=course,
        state=state,
        ended=ended,
        facts=_facts(plan, directory, begun, told),
        warnings=told.warnings,
        missing=missing,
        references=len(plan.reference_agents),
        allocation=plan.allocation.name,
        budget=budget_text(plan.budget) if plan.budget is not None else "",
    )


class _Told:
    """A race that was told again all that the journals hold.

    Parameters
    ----------
    plan : RacePlan
    directory : Path
    begun : dict
        The event with which the race was begun or last went on.
    events : sequence of dict
        Of the race's own journal.
    """

    def __init__(
        self,
        plan: RacePlan,
        directory: Path,
        begun: dict[str, Any],
        events: Sequence[dict[str, Any]],
    ) -> None:
        self._plan = plan
        self._step = int(begun.get("round_size") or 1)
        self._order = tuple(each for each in begun.get("order", ()) if each in plan.tasks)
        self.missing: list[str] = []
        self.lanes: list[_ReadLane] = []
        self.race = Race(plan, step=self._step, order=self._order)
        self._quiet = _Quiet()
        for name, folder in zip(plan.candidates, folders(plan.candidates), strict=True):
            self.lanes.append(self._lane(name, directory / folder, begun))
        self.apart = {
            str(each["candidate"]): one_line(str(each.get("reason", "")))
            for each in events
            if each["event"] == "apart" and each.get("candidate") in plan.candidates
        }
        scored = any(lane.state.has_scores for lane in self.lanes)
        for lane in self.lanes:
            if lane.is_barren and scored:
                self.apart.setdefault(lane.name, "its last rounds brought no score")
        for name, why in self.apart.items():
            self.race.withdraw(name, why)

    def _lane(self, name: str, directory: Path, begun: dict[str, Any]) -> _ReadLane:
        lane = _ReadLane(name, self.race, self._quiet)
        lane.results = []
        attempts = int(begun.get("attempts") or 1)
        lane.costs = {
            unit: Costs(harness_plan(self._plan), lane.state, attempts=attempts, unit=unit)
            for unit in UNITS
        }
        events, damage = peek(directory / FILE)
        if damage:
            self.missing.append(f"What {name} ran after that is left out: {damage}.")
        for number, event in enumerate(events, 1):
            try:
                lane.state.restore(event, self._quiet.note)
            except (MidbandError, ValueError) as problem:
                why = " ".join(str(problem).split())
                self.missing.append(
                    f"What {name} ran from event {number} of {directory / FILE} on is left out:"
                    f" {one_line(why)}."
                )
                break
        if lane.state.open_round is not None:
            tasks = len(lane.state.open_round["tasks"])
            self.missing.append(f"A round of {name} with {tasks} tasks has not ended yet.")
        return lane

    @property
    def results(self) -> list[RaceResult]:
        """All results, those of one candidate after those of another."""
        return [result for lane in self.lanes for result in lane.results]

    @property
    def verdict(self) -> "RaceVerdict":
        """What is settled, tied and open, with what was run and is to be tried again."""
        return with_untold(self.race.verdict(), self.lanes)

    @property
    def warnings(self) -> list[str]:
        """What was odd about the results, and whom they name twice."""
        seen: dict[str, str] = {}
        found = []
        for lane in self.lanes:
            agent = lane.state.earlier.agent
            other = seen.setdefault(agent, lane.name)
            if agent and other != lane.name:
                found.append(f"the results of {other} and {lane.name} name the same agent {agent}")
        return [*found, *(one_line(line) for line in self._quiet.lines)]

    @property
    def spent(self) -> float:
        """Recorded costs, with an expected one for every attempt without; NaN if unknown."""
        return math.fsum(lane.costs["usd"].spent for lane in self.lanes)

    def course(self, begun: dict[str, Any], apart: dict[str, str]) -> tuple[list[Look], list[str]]:
        """Return the looks of the race, and what is missing where they do not lead to its end."""
        if not begun or not self.results:
            return [], []
        try:
            looks = course_in_rounds(
                self._plan, self.results, step=self._step, order=self._order, apart=apart
            )
        except MidbandError as problem:
            return [], [f"The course of the race cannot be rebuilt: {one_line(str(problem))}."]
        if looks[-1].ranks != look_at(self.race).ranks:
            return [], [
                "The course of the race is left out: the results do not follow from the choices"
                " that this version of midband makes."
            ]
        return looks, []


def _facts(
    plan: RacePlan, directory: Path, begun: dict[str, Any], told: _Told
) -> list[tuple[str, str]]:
    harness = str(begun.get("harness") or "HARNESS")
    attempts = int(begun.get("attempts") or 1)
    spent = told.spent
    facts = [
        ("Command", f"midband race {harness} {RACE} --output {directory} -- ARGUMENTS"),
        ("Harness", harness if begun else "unknown"),
        ("Rounds", f"{sum(lane.state.rounds for lane in told.lanes):,}"),
        ("Attempts a task", f"{attempts}"),
    ]
    if not math.isnan(spent) and spent:
        facts.append(("Spent, with expected costs where none is recorded", f"${spent:,.2f}"))
    facts.append(("Race plan", plan.digest))
    facts += [(f"Planned with {name}", version) for name, version in plan.versions.items()]
    written = directory / RACE_JOURNAL
    if written.is_file():
        moment = datetime.fromtimestamp(written.stat().st_mtime, UTC)
        facts.append(("Last written", moment.strftime("%Y-%m-%d %H:%M UTC")))
    return facts
