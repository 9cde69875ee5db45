"""What the state of a run or race says of a decision or a verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midband.text import without_credentials
from midband.view.state import LONGEST, CandidateState, Point, Ranks

if TYPE_CHECKING:
    from midband_sampler import Decision
    from midband_sampler.racing import RaceVerdict


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is known of a run or race at one moment; fields as in `RunState`.

    Parameters
    ----------
    numbers, texts, lists
    candidates : tuple of CandidateState
    point : Point or None
        None where nothing is known yet.
    """

    numbers: Mapping[str, float | None]
    texts: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    candidates: tuple[CandidateState, ...] = ()
    point: Point | None = None


def look_at_decision(
    decision: "Decision",
    *,
    agent: str = "",
    spent_usd: float | None = None,
    warnings: Sequence[str] = (),
) -> Look:
    """Return what the state of a run says of a decision.

    Parameters
    ----------
    decision : Decision
    agent : str
        Whom it is about, where that is known.
    spent_usd : float, optional
        Where more is known than the decision says.
    warnings : sequence of str
        Beside those of the decision.
    """
    numbers: dict[str, float | None] = {
        "tasks_run": decision.tasks_run,
        "tasks_planned": decision.tasks_planned,
        "tasks_total": decision.tasks_total,
        "results": decision.results,
        "errors": decision.errors,
        "unscored": decision.unscored,
        "rank": decision.rank,
        "low": decision.low,
        "high": decision.high,
        "of": decision.n_reference + 1,
        "confidence": decision.held_confidence,
        "score": decision.target_score,
        "score_low": decision.target_score_low,
        "score_high": decision.target_score_high,
        "spent_usd": decision.spent_usd if spent_usd is None else spent_usd,
        "spent_tokens": decision.spent_tokens,
        "spent_seconds": decision.spent_seconds,
        "saved_usd": decision.cost_saved_usd,
    }
    low, high, middle = (
        each if is_known(each) else None
        for each in (
            decision.target_score_low,
            decision.target_score_high,
            decision.target_score,
        )
    )
    return Look(
        numbers=numbers,
        texts={
            "reason": decision.reason if decision.stop else "",
            "target": decision.target,
            "guarantee": decision.guarantee,
        },
        lists={
            **({"agents": (agent,)} if agent else {}),
            "claims": [f"{each.text} ({each.confidence:.0%})" for each in decision.claims],
            "tied": decision.tie_group,
            "lines": decision.lines(ended=decision.stop),
            "warnings": [*warnings, *decision.warnings],
        },
        point=Point(
            at=decision.tasks_run,
            ranks=((decision.low, decision.high, decision.rank),),
            score=(low, high, middle),
        ),
    )


def look_at_race(
    verdict: "RaceVerdict",
    agents: Sequence[str],
    *,
    spent_usd: float | None = None,
    warnings: Sequence[str] = (),
) -> Look:
    """Return what the state of a race says of its verdict.

    Parameters
    ----------
    verdict : RaceVerdict
    agents : sequence of str
        The candidates, in the order of the plan.
    spent_usd : float, optional
        Where more is known than the verdict says.
    warnings : sequence of str
        Beside those of the verdict.
    """
    usd = verdict.usd if spent_usd is None else spent_usd
    numbers: dict[str, float | None] = {
        "results": verdict.results - verdict.missing,
        "tasks_run": verdict.results,
        "full": verdict.full,
        "errors": verdict.missing,
        "open_pairs": len(verdict.open_pairs),
        "confidence": verdict.confidence,
        "spent_usd": usd,
        "spent_tokens": verdict.tokens,
        "spent_seconds": verdict.seconds,
    }
    apart = {each.candidate for each in verdict.ranked if each.rank_text == "-"}
    candidates = tuple(
        CandidateState(
            name=each.candidate[:LONGEST],
            rank_low=None if each.candidate in apart else each.rank_low,
            rank_high=None if each.candidate in apart else each.rank_high,
            score=each.score if is_known(each.score) else None,
            tasks=each.tasks,
            total=each.total,
            errors=each.errors,
            usd=each.usd if is_known(each.usd) else None,
            state=each.state,
            note=without_credentials(each.note)[:LONGEST],
        )
        for each in verdict.ranked
    )
    nowhere: Ranks = (None, None, None)
    place = {each.name: (each.rank_low, each.rank_high, None) for each in candidates}
    return Look(
        numbers=numbers,
        texts={
            "reason": verdict.reason,
            "answer": verdict.answer,
            "guarantee": verdict.guarantee,
        },
        lists={
            "claims": verdict.inside if verdict.confidence is not None else (),
            "tied": [", ".join(group) for group in verdict.tied],
            "lines": verdict.lines(),
            "warnings": [*warnings, *verdict.warnings],
        },
        candidates=candidates,
        point=Point(
            at=verdict.results,
            ranks=tuple(place.get(name[:LONGEST], nowhere) for name in agents),
        ),
    )


def is_known(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)
