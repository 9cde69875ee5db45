"""A race's verdict, told from where it stands."""

import math
from typing import TYPE_CHECKING

import numpy as np

from midband_sampler.racing.questions import NotWorse, Order, TopK
from midband_sampler.racing.verdict import (
    APART,
    COMPLETE,
    LET_GO,
    NOT_OVER,
    RUNNING,
    RaceVerdict,
    Ranked,
    resolution_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midband_history import FloatArray
    from midband_sampler.racing.questions import Answer
    from midband_sampler.racing.race import Race


def tell_verdict(race: "Race") -> RaceVerdict:
    """Say what is settled, tied and open, what was spent and what settling would cost."""
    plan, question = race.plan, race.question
    alive, standing, answer = race.judge()
    names = [race.candidates[row] for row in alive]
    claims = question.confidence is not None
    settled = claims and answer.settled and len(alive) > 1

    def named(places: "Sequence[int]") -> tuple[str, ...]:
        return tuple(names[each] for each in places)

    inside, outside = (answer.inside, answer.outside) if claims else ((), ())
    usd, seconds, tokens = (race.spent(unit) for unit in ("usd", "seconds", "tokens"))
    ranked = [
        _ranked(race, row, place, answer, standing.scores, usd, claims=claims)
        for place, row in enumerate(alive)
    ]
    order = standing.ranking
    apart = [
        Ranked(
            candidate=race.candidates[row],
            rank_low=1,
            rank_high=len(race.candidates),
            score=math.nan,
            tasks=int(race.taken.told[row].sum()),
            total=len(race.tasks),
            resolution="not ranked",
            errors=int(race.taken.missing[row]),
            usd=float(usd[row]),
            state=APART,
            note=why,
        )
        for row, why in sorted(race.apart.items())
    ]
    calibration = plan.calibration
    chance = math.nan if calibration is None or claims else calibration.right
    regret = math.nan if calibration is None or claims else calibration.regret
    return RaceVerdict(
        question=question.text,
        benchmark=plan.benchmark,
        settled=settled,
        reason=race.reason or NOT_OVER,
        confidence=question.confidence,
        guarantee=race.claims.guarantee if claims else "",
        answer=_answer(race, answer, names, settled=settled),
        best=named(answer.best),
        inside=named(inside),
        outside=named(outside),
        tied=_tied(names, standing.scores, question.within, order),
        open_pairs=tuple((names[a], names[b]) for a, b in answer.pairs) if claims else (),
        ranked=(*(ranked[place] for place in order), *apart),
        results=race.results,
        full=plan.full,
        missing=int(race.taken.missing.sum()),
        usd=_total(usd),
        seconds=_total(seconds),
        tokens=_total(tokens),
        to_settle=_to_settle(race, settled=settled),
        chance_right=chance,
        regret=regret,
        not_worse=bool(answer.best) if isinstance(question, NotWorse) and settled else None,
        warnings=plan.notes,
        plan_digest=plan.digest,
    )


def _total(values: "FloatArray") -> float:
    known = values[~np.isnan(values)]
    return float(known.sum()) if known.size else math.nan


def _ranked(
    race: "Race",
    row: int,
    place: int,
    answer: "Answer",
    scores: "FloatArray",
    usd: "FloatArray",
    *,
    claims: bool,
) -> Ranked:
    taken = race.taken
    low, high = _rank_bounds(race, place, answer, len(scores)) if claims else (1, len(scores))
    tasks = int(taken.told[row].sum())
    name = race.candidates[row]
    state = RUNNING if name in race.running else LET_GO
    if taken.told[row].all():
        state = COMPLETE
    return Ranked(
        candidate=name,
        rank_low=low,
        rank_high=high,
        score=float(scores[place]),
        tasks=tasks,
        total=len(race.tasks),
        resolution=resolution_of(tasks, int(taken.told.sum(axis=1).max()), len(race.tasks)),
        errors=int(taken.missing[row]),
        usd=float(usd[row]),
        state=state,
    )


def _rank_bounds(race: "Race", place: int, answer: "Answer", n: int) -> tuple[int, int]:
    """Return the ranks that the claims leave open; pairs that are not claimed may be either way."""
    question = race.question
    if isinstance(question, TopK):
        if place in answer.inside:
            return 1, question.k
        if place in answer.outside:
            return question.k + 1, n
        return 1, n
    if isinstance(question, Order):
        _, standing, _ = race.judge()
        above = question.claimed(standing)
        return 1 + int(above[:, place].sum()), n - int(above[place].sum())
    return 1, n


def _tied(
    names: "Sequence[str]", scores: "FloatArray", within: float, order: "Sequence[int]"
) -> tuple[tuple[str, ...], ...]:
    """Group candidates whose estimates follow each other within the indifference zone."""
    groups: list[list[int]] = []
    for place in order:
        last = groups[-1][-1] if groups else None
        if last is not None and scores[last] - scores[place] <= within + 1e-9:
            groups[-1].append(place)
        else:
            groups.append([place])
    return tuple(tuple(names[each] for each in group) for group in groups if len(group) > 1)


def _answer(race: "Race", answer: "Answer", names: "Sequence[str]", *, settled: bool) -> str:
    question = race.question
    best = [names[each] for each in answer.best]
    if isinstance(question, NotWorse):
        margin = f"{100.0 * question.margin:g} points"
        told = f"worse than {question.baseline} by more than {margin}"
        if not settled:
            return f"Open: whether {question.candidate} is {told}."
        return f"{question.candidate} is {'not ' if best else ''}{told}."
    if len(names) < 2:
        return "There is no answer: fewer than two candidates are left."
    if isinstance(question, Order):
        listed = " > ".join(best)
        return f"The order is {listed}." if settled else f"The best guess of the order is {listed}."
    what = "The best is" if len(best) == 1 else f"The top {len(best)} are"
    if not settled:
        what = "The best guess is" if len(best) == 1 else f"The best guess of the top {len(best)} is"
    return f"{what} {', '.join(best)}."


def _to_settle(race: "Race", *, settled: bool) -> float:
    """Expect what is left of the replayed races' mean cost; NaN where nothing says."""
    calibration = race.plan.calibration
    if settled or race.question.confidence is None or calibration is None:
        return math.nan
    mean, high = calibration.costs[1], calibration.costs[2]
    spent = race.results / max(race.plan.full, 1)
    if math.isnan(mean):
        return math.nan
    return max(mean - spent, high - spent, 0.0) if spent < high else math.nan
