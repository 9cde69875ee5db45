"""What is known of a race: all that its page is made of, whoever ran it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midband_sampler import racing

if TYPE_CHECKING:
    from midband_sampler.racing import Race, RacePlan, RaceVerdict

# Looks at a race that a page shows; of a longer one they are spread evenly.
MOST_LOOKS = 120


@dataclass(frozen=True, kw_only=True)
class RaceResult:
    """One result of a race.

    Parameters
    ----------
    candidate, task : str
    score : float or None
        In [0, 1]; None is no result.
    kind : str
        ``valid``, or why there is no score.
    usd, seconds, tokens : float or None
        None where unknown.
    """

    candidate: str
    task: str
    score: float | None
    kind: str = "valid"
    usd: float | None = None
    seconds: float | None = None
    tokens: float | None = None


@dataclass(frozen=True, kw_only=True)
class Look:
    """Where a race stood after some of its results.

    Parameters
    ----------
    results : int
        Results that were paid for.
    ranks : mapping of str to (int, int)
        Ranks that the claims left open, by candidate; those set apart are left out.
    scores : mapping of str to float
        Estimated full scores; NaN where unknown.
    """

    results: int
    ranks: Mapping[str, tuple[int, int]]
    scores: Mapping[str, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class RaceFacts:
    """What is known of one race.

    Parameters
    ----------
    title : str
        The question and the benchmark.
    candidates : tuple of str
    verdict : RaceVerdict or None
        None where nothing says what the race has come to.
    results : sequence of RaceResult
        In the order in which they came, as far as that is known.
    course : sequence of Look
        Empty where it cannot be rebuilt.
    state : str
        ``over``, ``going on``, ``stopped``, or empty where unknown.
    ended : str
        Why the race ended, or that it did not.
    facts : sequence of (str, str)
        Command, versions and the like.
    warnings, missing : sequence of str
    references : int
        Agents of the history that the claims rest on.
    allocation, budget : str
    """

    title: str
    candidates: tuple[str, ...]
    verdict: "RaceVerdict | None"
    results: Sequence[RaceResult] = ()
    course: Sequence[Look] = ()
    state: str = ""
    ended: str = ""
    facts: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    missing: Sequence[str] = field(default=())
    references: int = 0
    allocation: str = ""
    budget: str = ""


def look_at(race: "Race") -> Look:
    """Return where a race stands now."""
    verdict = race.verdict()
    alive = [each for each in verdict.ranked if each.state != racing.APART]
    return Look(
        results=verdict.results,
        ranks={each.candidate: (each.rank_low, each.rank_high) for each in alive},
        scores={each.candidate: each.score for each in alive},
    )


def course_in_rounds(
    plan: "RacePlan",
    results: Sequence[RaceResult],
    *,
    step: int,
    order: Sequence[str] = (),
    apart: Mapping[str, str] | None = None,
) -> list[Look]:
    """Replay a race that went in rounds: ask the kernel for its jobs, and answer from the results.

    Parameters
    ----------
    plan : RacePlan
    results : sequence of RaceResult
        In any order.
    step : int
        Least number of tasks of a round.
    order : sequence of str
        Shared order of the race that this one continued.
    apart : mapping of str to str
        Candidates that were set apart, and why.
    """
    race = racing.Race(plan, step=step, order=order)
    known = {(each.candidate, each.task): each for each in results}
    gone = dict(apart or {})
    looks = [look_at(race)]
    while not race.done:
        rows, tasks = race.jobs
        jobs = [(plan.candidates[r], plan.tasks[t]) for r, t in zip(rows, tasks, strict=True)]
        lost = {name for name, task in jobs if (name, task) not in known}
        for job in jobs:
            if job in known:
                tell_result(race, known.pop(job))
        leaving = [name for name in lost if name in gone]
        for name in leaving:
            race.withdraw(name, gone.pop(name))
        looks.append(look_at(race))
        if not jobs or (lost and not leaving):
            break
    return thinned(looks)


def course_side_by_side(
    plan: "RacePlan", results: Sequence[RaceResult], *, order: Sequence[str] = ()
) -> list[Look]:
    """Replay a race whose candidates ran at the same time, in the order of its results."""
    begun = order if plan.model is not None else ()
    race = racing.Race(plan, together=False, order=begun)
    looks, gap = [look_at(race)], max(1, math.ceil(len(results) / MOST_LOOKS))
    for number, result in enumerate(results, 1):
        tell_result(race, result)
        if number % gap == 0 or number == len(results):
            looks.append(look_at(race))
    return looks


def tell_result(race: "Race", result: RaceResult) -> None:
    """Tell a race what is known of one result."""
    race.tell(
        result.candidate,
        result.task,
        score=result.score,
        outcome="valid" if result.score is not None else "missing",
        usd=result.usd,
        seconds=result.seconds,
        tokens=result.tokens,
    )


def thinned(looks: Sequence[Look]) -> list[Look]:
    """Keep looks that are spread evenly, the first and the last among them."""
    if len(looks) <= MOST_LOOKS:
        return list(looks)
    step = (len(looks) - 1) / (MOST_LOOKS - 1)
    return [looks[round(place * step)] for place in range(MOST_LOOKS)]
