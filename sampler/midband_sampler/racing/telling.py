"""A race's verdict, told from where it stands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from midband_history import FloatArray
from midband_sampler.racing.claims import Taken
from midband_sampler.racing.ledger import Ledger
from midband_sampler.racing.question import Answer, Standing, completed
from midband_sampler.racing.race_plan import RacePlan
from midband_sampler.racing.verdict import (
    APART,
    COMPLETE,
    DECIDED,
    LET_GO,
    NOT_JUDGED,
    NOT_OVER,
    RUNNING,
    SETTLED,
    UNKNOWN,
    RaceVerdict,
    Ranked,
    resolution_of,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Stand:
    """Where a race stands.

    Parameters
    ----------
    plan : RacePlan
    alive : tuple of int
        Candidates that are not set apart.
    standing : Standing
    answer : Answer
        Of these, by their places in `alive`.
    taken : Taken
    apart : mapping of int to str
        Candidates that are set apart, and why.
    running : tuple of str
    reason : str
        Why the race is over; empty while it is not.
    guarantee : str
        By what claims hold.
    begun : bool
        Whether everybody has run enough to be judged.
    ledger : Ledger
    """

    plan: RacePlan
    alive: tuple[int, ...]
    standing: Standing
    answer: Answer
    taken: Taken
    apart: Mapping[int, str]
    running: tuple[str, ...]
    reason: str
    guarantee: str
    begun: bool
    ledger: Ledger


def tell_verdict(race: Stand) -> RaceVerdict:
    """Say what is settled, tied and open, what was spent and what settling would cost."""
    plan, question = race.plan, race.plan.question
    candidates, size = plan.candidates, len(plan.tasks)
    alive, standing, answer = race.alive, race.standing, race.answer
    names = [candidates[row] for row in alive]
    claims = question.confidence is not None
    settled = claims and answer.settled and len(alive) > 1 and race.begun

    def named(places: Sequence[int]) -> tuple[str, ...]:
        return tuple(names[each] for each in places)

    inside, outside = (answer.inside, answer.outside) if claims else ((), ())
    usd, seconds, tokens = (race.ledger.spent(unit) for unit in ("usd", "seconds", "tokens"))
    whole = [(1, len(alive))] * len(alive)
    bounds = question.rank_bounds(answer, standing) if claims else whole
    bounds = _joined(bounds, standing)
    ranked = [
        _ranked(race, row, bounds[place], float(standing.scores[place]), float(usd[row]))
        for place, row in enumerate(alive)
    ]
    order = standing.ranking
    apart = [
        Ranked(
            candidate=candidates[row],
            rank_low=1,
            rank_high=len(candidates),
            score=math.nan,
            tasks=int(race.ledger.told[row].sum()),
            total=size,
            resolution="not ranked",
            errors=int(race.ledger.missing[row]),
            usd=float(usd[row]),
            state=APART,
            note=why,
        )
        for row, why in sorted(race.apart.items())
    ]
    said, best = "No candidate is left: all are set apart.", named(())
    if names and not settled and bool(np.isnan(standing.scores).all()):
        said = UNKNOWN
    elif names:
        said, best = question.said(answer, names, settled=settled), named(answer.best)
    if settled:
        for first in answer.inside:
            level = [each for each in answer.outside if standing.equal[first, each]]
            if level:
                said += f" {', '.join(named(level))} ended with the same full score as"
                said += f" {names[first]}."
                break
    calibration = plan.calibration
    chance = math.nan if calibration is None or claims else calibration.right
    regret = math.nan if calibration is None or claims else calibration.regret
    return RaceVerdict(
        question=question.text,
        benchmark=plan.benchmark,
        settled=settled,
        reason=race.reason or NOT_OVER,
        confidence=question.confidence,
        guarantee=race.guarantee if claims else "",
        answer=said,
        best=best,
        inside=named(inside),
        outside=named(outside),
        tied=tuple(named(group) for group in _tied(standing, question.within)) if claims else (),
        open_pairs=tuple((names[a], names[b]) for a, b in answer.pairs) if claims else (),
        ranked=(*(ranked[place] for place in order), *apart),
        results=race.ledger.results,
        full=plan.full,
        missing=int(race.ledger.missing.sum()),
        usd=_total(usd),
        seconds=_total(seconds),
        tokens=_total(tokens),
        to_settle=_to_settle(race, settled=settled),
        chance_right=chance,
        replays=0 if math.isnan(chance) or calibration is None else calibration.replays,
        regret=regret,
        not_worse=question.not_worse(answer) if settled else None,
        within=100.0 * question.within,
        warnings=(*plan.notes, *race.ledger.warnings()),
        plan_digest=plan.digest,
    )


def _joined(bounds: Sequence[tuple[int, int]], standing: Standing) -> list[tuple[int, int]]:
    """Give candidates with the very same full score the ranks of all of them together."""
    equal = standing.equal | np.eye(len(bounds), dtype=bool)
    low, high = np.array(bounds, dtype=np.int64).reshape(-1, 2).T
    return [(int(low[row].min()), int(high[row].max())) for row in equal]


def _total(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.sum()) if known.size else math.nan


def _ranked(race: Stand, row: int, ranks: tuple[int, int], score: float, usd: float) -> Ranked:
    taken, size = race.taken, len(race.plan.tasks)
    tasks, ran = taken.told.sum(axis=1), int(race.ledger.told[row].sum())
    name = race.plan.candidates[row]
    state = RUNNING if name in race.running else DECIDED if race.reason == SETTLED else LET_GO
    return Ranked(
        candidate=name,
        rank_low=ranks[0],
        rank_high=ranks[1],
        score=score,
        tasks=ran,
        total=size,
        resolution=NOT_JUDGED
        if ran and not tasks[row]
        else resolution_of(int(tasks[row]), int(tasks.max()), size),
        errors=int(race.ledger.missing[row]),
        usd=usd,
        state=COMPLETE if taken.told[row].all() else state,
    )


def _tied(standing: Standing, within: float) -> list[list[int]]:
    """Group candidates that follow each other by the estimates and are claimed to be tied.

    Two are tied where each is claimed to be less than the zone below the other, and without a zone
    where both have run everything with the same score.
    """
    above = completed(standing, within)
    tied = above & above.T if within else standing.equal
    groups: list[list[int]] = []
    for place in standing.ranking:
        if groups and tied[groups[-1][-1], place]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [group for group in groups if len(group) > 1]


def _to_settle(race: Stand, *, settled: bool) -> float:
    """Expect what is left of the replayed races' mean cost, or of the dearest tenth's least.

    NaN where nothing says, as once more was spent than nine of ten replays needed.
    """
    calibration = race.plan.calibration
    if settled or race.plan.question.confidence is None or calibration is None:
        return math.nan
    mean, high = calibration.costs[1], calibration.costs[2]
    spent = race.ledger.results / max(race.plan.full, 1)
    if math.isnan(mean) or spent >= high:
        return math.nan
    return mean - spent if spent < mean else high - spent
