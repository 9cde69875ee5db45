"""The candidates of a race in rounds: their results so far, and what each of them runs next."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from midband.race_file import read_race
from midband.rounds.costs import Costs, limit_reached, mean, refuse_unknown_costs
from midband.rounds.journal import AttemptResult, RoundEnd
from midband.rounds.state import MAX_BARREN, RunState
from midband.view import Look, StateKeeper, look_at_race
from midband_history import InputError
from midband_sampler import Never, Plan

if TYPE_CHECKING:
    from midband.descriptors import Harness, Round
    from midband.rounds.agent_run import AgentRun
    from midband.rounds.run_settings import RunSettings
    from midband_sampler.racing import Race, RacePlan, RaceVerdict

RACE, RACE_JOURNAL = "race.json", "race.jsonl"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 60
# Until the race's own costs are known, its next rounds may be expected to take this share of what
# is left.
_FIRST_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class RaceStanding:
    """State of a race after some of its rounds.

    Parameters
    ----------
    verdict : RaceVerdict
    running : tuple of str
        Candidates that may still be given tasks.
    rounds : int
        Of all candidates.
    recorded_usd : float
        Cost that the harness recorded, US dollars.
    spent_usd : float
        The same with an expected cost for every attempt that recorded none; NaN if unknown.
    spent_seconds, spent_tokens : float
        Seconds of work and tokens, in the same way.
    """

    verdict: "RaceVerdict"
    running: tuple[str, ...]
    rounds: int
    recorded_usd: float
    spent_usd: float
    spent_seconds: float = math.nan
    spent_tokens: float = math.nan


class RaceListener(Protocol):
    """Receives the progress of a race."""

    def round_started(self, candidate: str, batch: "Round") -> None:
        """Receive the start of a candidate's round."""

    def round_ended(self, candidate: str, end: RoundEnd) -> None:
        """Receive what it brought."""

    def stands(self, standing: RaceStanding) -> None:
        """Receive where the race stands, once the rounds of all candidates have ended."""

    def note(self, line: str) -> None:
        """Receive a line for the user."""


class Lane:
    """One candidate: what is told to the race of it, and the run of its rounds.

    Parameters
    ----------
    name : str
    race : Race
    listener : RaceListener

    Attributes
    ----------
    state : RunState
    run : AgentRun
    costs : dict of str to Costs
        By unit.
    keeper : StateKeeper
    judged, usable : int
        Attempts that were told, and those among them that have a score.
    """

    run: "AgentRun"
    costs: dict[str, Costs]
    keeper: StateKeeper

    def __init__(self, name: str, race: "Race", listener: RaceListener) -> None:
        self.name = name
        self._race = race
        self._listener = listener
        self.state = RunState(self, race.tasks)
        self.judged = self.usable = 0
        self._told: set[str] = set()
        self._told_usd = 0.0

    @property
    def apart(self) -> str | None:
        """Why it was set apart; None while it was not."""
        return self._race.apart.get(self.name)

    @property
    def is_barren(self) -> bool:
        """Whether its last rounds brought nothing, so that another would not either."""
        return self.state.barren >= MAX_BARREN

    def next_task(self) -> str | None:
        """Name none: the race hands out its jobs to all candidates at once."""
        return None

    def starts(self, task: str) -> None:
        """Note nothing: the race knows."""

    def told(self, task: str, results: Sequence[AttemptResult]) -> None:
        """Tell the race one result of the task: the mean of its attempts, and what all cost."""
        scores = [each.score for each in results if each.score is not None]
        self.judged += len(results)
        self.usable += len(scores)
        usd = _total([each.cost_usd for each in results])
        if task not in self.state.known:
            self._told.add(task)
            self._told_usd += usd or 0.0
        self._race.tell(
            self.name,
            task,
            score=mean(scores) if scores else None,
            outcome="valid" if scores else results[0].kind,
            usd=usd,
            seconds=_total([each.seconds for each in results]),
            tokens=_total([each.tokens for each in results]),
        )

    def untold(self) -> tuple[int, float]:
        """Return the tasks that were run and not told, and what more was paid, US dollars.

        NaN where no cost beyond that of the told results is recorded.
        """
        more = self.costs["usd"].recorded - self._told_usd
        return len(self.state.given - self._told), more if more > 1e-9 else math.nan

    def begun(self, batch: "Round") -> None:
        """Say what runs."""
        self._listener.round_started(self.name, batch)

    def ended(self, end: RoundEnd) -> None:
        """Say what it brought."""
        self._listener.round_ended(self.name, end)

    def recorded(self, result: AttemptResult) -> None:
        """Keep it for the local page; observers among the plugins know of no candidates."""
        self.keeper.result(self.name, result.task, result.score, result.kind)

    def note(self, line: str) -> None:
        """Say a line."""
        self._listener.note(f"{self.name}: {line}")


def _total(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return math.fsum(known) if known else None


class RaceRounds:
    """Chooses what the candidates run next, cut so that it is not expected to pass the limits.

    The choice depends on the state between two sets of rounds alone, and so not on how many of
    them run at the same time.

    Parameters
    ----------
    race : Race
    lanes : sequence of Lane
        In the order of the race's candidates.
    harness : Harness
    settings : RunSettings
    """

    def __init__(
        self, race: "Race", lanes: Sequence[Lane], harness: "Harness", settings: "RunSettings"
    ) -> None:
        self._race = race
        self._lanes = lanes
        self._harness = harness
        self._settings = settings

    @property
    def rounds(self) -> int:
        """Rounds that have ended, of all candidates."""
        return sum(lane.state.rounds for lane in self._lanes)

    def standing(self) -> RaceStanding:
        """Return the state for a report."""
        apart = {lane.name for lane in self._lanes if lane.apart is not None}
        return RaceStanding(
            verdict=with_untold(self._race.verdict(), self._lanes),
            running=tuple(name for name in self._race.running if name not in apart),
            rounds=self.rounds,
            recorded_usd=math.fsum(lane.costs["usd"].recorded for lane in self._lanes),
            spent_usd=self._spent("usd"),
            spent_seconds=self._spent("seconds"),
            spent_tokens=self._spent("tokens"),
        )

    def look(self) -> Look:
        """Return the state for the local page."""
        standing = self.standing()
        names = [lane.name for lane in self._lanes]
        return look_at_race(standing.verdict, names, spent_usd=standing.spent_usd or None)

    def typical(self, unit: str) -> float:
        """Return what an attempt of any candidate has cost on average; NaN if unknown."""
        return mean([cost for lane in self._lanes for cost in lane.state.paid[unit].known])

    def next_tasks(self) -> tuple[Mapping[str, tuple[str, ...]], str]:
        """Return the tasks of each candidate's next round, and why there are not more of them.

        Raises
        ------
        InputError
            The cost is limited and cannot be known.
        """
        self._take_jobs()
        for unit in self._unknown():
            refuse_unknown_costs(self._harness, self.rounds, unit)
        queues = {
            lane: [alone] if (alone := lane.state.alone()) else list(lane.state.waiting)
            for lane in self._lanes
            if not (lane.apart is not None or lane.is_barren)
        }
        chosen: dict[Lane, list[str]] = {lane: [] for lane in queues}
        refusal = ""
        for tasks in zip_longest(*queues.values()):
            for lane, task in zip(queues, tasks, strict=True):
                if task is None or (chosen[lane] and self._learns(lane)):
                    continue
                refusal = refusal or self._refusal(chosen, lane, task)
                if not refusal:
                    chosen[lane].append(task)
        return {lane.name: tuple(tasks) for lane, tasks in chosen.items() if tasks}, refusal

    def _take_jobs(self) -> None:
        """Queue the jobs of the race's present round that are not queued yet."""
        lanes = {lane.name: lane for lane in self._lanes}
        size = len(self._race.tasks) * len(lanes)
        for name, task in self._race.ask(size):
            state = lanes[name].state
            if task not in state.waiting:
                state.waiting.append(task)

    def _refusal(self, chosen: Mapping[Lane, Sequence[str]], lane: Lane, task: str) -> str:
        """Return why a task cannot join those chosen; empty if it can."""
        max_tasks = self._settings.max_tasks
        count = sum(map(len, chosen.values()))
        new = sum(each not in of.state.given for of, tasks in chosen.items() for each in tasks)
        run = sum(each.state.tasks for each in self._lanes) + new
        if max_tasks is not None and run >= max_tasks and task not in lane.state.given:
            return f"task limit reached: {run} of {max_tasks} results run"
        ahead = f"the next {count + 1} results are" if count else "the next result is"
        unknown, few = self._unknown(), ""
        for unit, most in self._settings.limits.items():
            if unit in unknown:
                continue
            spent, cost = self._spent(unit), lane.costs[unit].expected([task])
            cost += math.fsum(each.costs[unit].expected(tasks) for each, tasks in chosen.items())
            if cost > most - spent + 1e-9:
                return limit_reached(unit, spent, most, f"{ahead} expected to", cost)
            first = math.isnan(self.typical(unit))
            if count and first and cost > (most - spent) * _FIRST_SHARE:
                few = "few tasks to learn what they cost"
        return few

    def _learns(self, lane: Lane) -> bool:
        """Whether a candidate runs one task to learn what it costs: others may cost far less."""
        limits = self._settings.limits
        known = all(lane.costs[unit].is_known for unit in limits)
        return bool(limits) and not (known or lane.state.rounds)

    def _unknown(self) -> list[str]:
        """Return the units that are limited, and in which nothing says what an attempt costs."""
        return [
            unit
            for unit in self._settings.limits
            if any(math.isnan(lane.costs[unit].attempt()) for lane in self._lanes)
        ]

    def _spent(self, unit: str) -> float:
        return math.fsum(lane.costs[unit].spent for lane in self._lanes)


def with_untold(verdict: "RaceVerdict", of: Sequence[Lane]) -> "RaceVerdict":
    """Count what was run without a result and is to be tried again: it was paid for as well."""
    lanes = {lane.name: lane for lane in of}
    ranked = []
    for each in verdict.ranked:
        tasks, usd = lanes[each.candidate].untold()
        paid = [cost for cost in (each.usd, usd) if not math.isnan(cost)]
        ranked.append(
            replace(
                each,
                tasks=each.tasks + tasks,
                errors=each.errors + tasks,
                usd=math.fsum(paid) if paid else math.nan,
            )
        )
    costs = [each.usd for each in ranked if not math.isnan(each.usd)]
    number = sum(lane.untold()[0] for lane in of)
    return replace(
        verdict,
        ranked=tuple(ranked),
        results=verdict.results + number,
        missing=verdict.missing + number,
        usd=math.fsum(costs) if costs else math.nan,
    )


def race_keeper(
    plan: "RacePlan", harness: "Harness", directory: Path, *, note: Callable[[str], None]
) -> StateKeeper:
    """Return what keeps the state file of a race in a directory."""
    return StateKeeper(
        kind="race",
        key=str(directory),
        harness=harness.name,
        benchmark=plan.benchmark,
        agents=plan.candidates,
        plan_digest=plan.digest,
        question=plan.question.text,
        directory=directory,
        note=note,
    )


def harness_plan(plan: "RacePlan") -> Plan:
    """Return the tasks of a race as a plan, as harnesses are handed them.

    It has no reference agents and nothing that stops it: the race decides.
    """
    return Plan(
        benchmark=plan.benchmark,
        tasks=plan.tasks,
        all_tasks=plan.tasks,
        task_digests=plan.task_digests,
        reference_agents=(),
        reference_scores=np.zeros((0, len(plan.tasks))),
        expected_cost_usd=plan.expected_cost_usd,
        strategy="random",
        stop=Never(),
        seed=plan.seed,
        versions=plan.versions,
        metric=plan.metric if plan.metric is not None and plan.metric.known else None,
        version=plan.version,
    )


def folders(candidates: tuple[str, ...]) -> tuple[str, ...]:
    """Return a name of a folder for each candidate, like its own and no other's."""
    found: list[str] = []
    for name in candidates:
        safe = _UNSAFE.sub("-", name).strip(".-")[:_LONGEST] or "candidate"
        free, number = safe, 1
        while free.lower() in (each.lower() for each in found):
            number += 1
            free = f"{safe}-{number}"
        found.append(free)
    return tuple(found)


def check_kept_race(plan: "RacePlan", directory: Path) -> None:
    """Refuse another race than the one that was begun in `directory`.

    Raises
    ------
    InputError
        It is another one.
    """
    kept = directory / RACE
    begun = read_race(kept).digest if kept.exists() else plan.digest
    if begun != plan.digest:
        msg = (
            f"expected race {begun}, which was begun in {directory.absolute()}, got {plan.digest}:"
            " use that race or another directory"
        )
        raise InputError(msg)
