"""Replays of races: one drawn race under one allocation, and whether its answer is right."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler import Budget, PlanError, racing
from midband_sims.racing.baselines import Baseline, Spent, baselines
from midband_sims.racing.draws import Draw
from midband_sims.units import Payload, as_of_day, unpack

FORMAT = 1
NO_CLAIM = "none: it names an answer and claims nothing"
_EPSILON = 1e-9


@dataclass(frozen=True, kw_only=True)
class RaceUnit:
    """Some drawn races of one benchmark under some allocations.

    Parameters
    ----------
    payload : Payload
        The benchmark, on the tasks that count.
    others : tuple of Payload
        Other benchmarks of the history, which a race draws on to calibrate.
    question : str
    within : float
        Indifference zone as a share of the score.
    allocations : tuple of str
        Of races, or names of baselines.
    budget : str
        A share of the full price like ``5%``, or results like ``tasks:300``; empty for none.
    replayed : bool
        Whether a race without a confidence says how often such guesses are right, which takes
        replays of its own.
    draws : tuple of Draw
    find : callable
        From a name to an allocation; a function of a module, for processes import it.
    """

    payload: Payload
    others: tuple[Payload, ...] = ()
    question: str
    within: float = 0.0
    allocations: tuple[str, ...]
    budget: str = ""
    replayed: bool = False
    draws: tuple[Draw, ...]
    find: Callable[[str], racing.Allocation] = racing.find_allocation

    @property
    def key(self) -> str:
        """Digest of all that determines the result."""
        content = [
            "race", FORMAT, self.payload.digest, [each.digest for each in self.others],
            self.question, self.within, self.allocations, self.budget, self.replayed,
            [asdict(each) for each in self.draws],
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def asked(text: str, within: float) -> racing.Question:
    """Read a question; `within`, where it is not 0, is its indifference zone."""
    question = racing.parse_question(text)
    if not within:
        return question
    if isinstance(question, racing.TopK | racing.Order):
        return replace(question, within=within)
    msg = f"expected --within for top or order questions, got {text!r}: it has a margin of its own"
    raise InputError(msg)


def run_races(unit: RaceUnit) -> dict[str, object]:
    """Replay the draws of a unit; the rows are plain values, NaN where unknown.

    What a race with a confidence learns from replays on its history is the same for all
    allocations, and is worked out once a draw.
    """
    matrix = unpack(unit.payload)
    known = baselines()
    rows: list[dict[str, object]] = []
    for draw in unit.draws:
        calibration: list[racing.RaceCalibration] = []
        for name in unit.allocations:
            started = time.perf_counter()
            try:
                row = (
                    _baseline(unit, draw, matrix, known[name])
                    if name in known
                    else _race(unit, draw, matrix, name, calibration)
                )
            except (InputError, PlanError) as error:
                row = {"refused": str(error)}
            head = {"draw": draw.index, "allocation": name, "n_reference": len(draw.references)}
            rows.append({**head, **row, "seconds": time.perf_counter() - started})
    return {"rows": rows}


def _race(
    unit: RaceUnit,
    draw: Draw,
    matrix: OutcomeMatrix,
    allocation: str,
    calibration: list[racing.RaceCalibration],
) -> dict[str, object]:
    question = asked(unit.question, unit.within)
    known = matrix.select(agents=list(draw.references)) if draw.references else None
    given = calibration[0] if calibration and question.confidence is not None else None
    if question.confidence is None and not unit.replayed:
        given = racing.RaceCalibration()
    plan = racing.make_race(
        known,
        [matrix.agents[row] for row in draw.candidates],
        question=question,
        allocation=unit.find(allocation),
        budget=unit.budget or None,
        others=tuple(as_of_day(each, draw.as_of) for each in unit.others) if known else (),
        tasks=matrix.tasks,
        benchmark=matrix.benchmark,
        metric=matrix.metric,
        seed=draw.seed,
        calibration=given,
    )
    if plan.calibration is not None and not calibration:
        calibration.append(plan.calibration)
    place = {name: row for row, name in enumerate(matrix.agents)}
    scores = matrix.scores[[place[name] for name in plan.candidates]]
    verdict = racing.replay_race(plan, scores).verdict()
    row = _judged(
        question,
        [plan.candidates.index(name) for name in verdict.best],
        scores.mean(axis=1),
        cost_share=verdict.cost_share,
    )
    early = verdict.settled and verdict.results < verdict.full
    return {
        **row,
        "settled": verdict.settled,
        "conclusive": early,
        "false_claim": _is_false(question, verdict, plan.candidates, scores.mean(axis=1)),
        "guarantee": verdict.guarantee or NO_CLAIM,
        "by_history": plan.claims_by_history,
        "chance_right": verdict.chance_right,
    }


def _baseline(
    unit: RaceUnit, draw: Draw, matrix: OutcomeMatrix, baseline: Baseline
) -> dict[str, object]:
    question = asked(unit.question, unit.within)
    place = {matrix.agents[row]: row for row in draw.candidates}
    scores = matrix.scores[[place[name] for name in question.check(tuple(place))]]
    spent = baseline.run(
        scores,
        budget=results_in(unit.budget, scores.size),
        keep=question.k if isinstance(question, racing.TopK) else 1,
        generator=np.random.default_rng(draw.seed),
    )
    row = _judged(
        question,
        named_by(question, spent),
        scores.mean(axis=1),
        cost_share=float(spent.tasks.sum() / scores.size),
    )
    return {
        **row,
        "settled": False,
        "conclusive": False,
        "false_claim": False,
        "guarantee": NO_CLAIM,
        "by_history": False,
        "chance_right": math.nan,
    }


def named_by(question: racing.Question, spent: Spent) -> list[int]:
    """Return what a baseline answers, by position of the candidates."""
    if isinstance(question, racing.NotWorse):
        held = spent.scores[0] - spent.scores[1] >= -question.margin - _EPSILON
        return [0] if held else []
    return list(spent.ranking[: question.k] if isinstance(question, racing.TopK) else spent.ranking)


def results_in(budget: str, full: int) -> int:
    """Return how many results a budget pays for, of `full` in all."""
    read = racing.parse_budget(budget)
    if isinstance(read, float):
        return int(read * full + _EPSILON)
    if isinstance(read, Budget) and read.tasks is not None:
        return min(read.tasks, full)
    msg = f"expected a budget in results for a replay, like 5% or tasks:300, got {budget!r}"
    raise InputError(msg)


def _judged(
    question: racing.Question, best: Sequence[int], truth: FloatArray, *, cost_share: float
) -> dict[str, object]:
    return {
        "right": question.right(best, truth),
        "regret": 100.0 * max(0.0, float(question.regret(best, truth))),
        "cost_share": cost_share,
    }


def _is_false(
    question: racing.Question, verdict: racing.RaceVerdict, names: Sequence[str], truth: FloatArray
) -> bool:
    """Whether anything that is claimed is false; ties, and the zone, are right either way.

    Of a top k: somebody inside who is below the k-th best, or outside and above the (k+1)-th, by
    more than the zone. Of an order: a pair that is not open and the wrong way round by more than
    the zone. Of not worse: the side.
    """
    score = dict(zip(names, truth.tolist(), strict=True))
    slack = question.within + _EPSILON
    if question.confidence is None:
        return False
    if isinstance(question, racing.TopK):
        ordered = np.sort(truth)[::-1]
        high, low = float(ordered[question.k - 1]), float(ordered[question.k])
        return any(score[each] < high - slack for each in verdict.inside) or any(
            score[each] > low + slack for each in verdict.outside
        )
    if isinstance(question, racing.NotWorse):
        side = [0] if verdict.not_worse else []
        return verdict.not_worse is not None and not question.right(side, truth)
    return any(
        score[first] < score[second] - slack
        for place, first in enumerate(verdict.best)
        for second in verdict.best[place + 1 :]
        if (first, second) not in verdict.open_pairs
    )
