"""Combined rules: any of several, all of several, and what can no longer be settled."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler._errors import PlanError
from midband_sampler._look import Look
from midband_sampler._stopping import (
    HOPELESS,
    Beats,
    Budget,
    Claim,
    Never,
    ScoreWithin,
    StoppingRule,
)

_EDGE = 1e-7


@dataclass(frozen=True)
class AnyOf:
    """Stop when one of the rules does.

    Where two or more stop at one look, the reason is that of the first which claims something.

    Parameters
    ----------
    rules : tuple of StoppingRule
        At least two.
    """

    rules: tuple[StoppingRule, ...]

    def __post_init__(self) -> None:
        check_several(self.rules)

    @property
    def confidence(self) -> float:
        """The highest of those that claim something: one interval then serves all."""
        return highest(self.rules)

    @property
    def min_tasks(self) -> int:
        """The fewest that one of them needs."""
        return min(rule.min_tasks for rule in self.rules)

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Ask every rule."""
        return reduce(np.logical_or, [asked(rule, look) for rule in self.rules])

    def reason(self, look: Look) -> str:
        """Return the reason of the first rule that stops and claims, else of the first."""
        stopping = [rule for rule in self.rules if asked(rule, look)]
        return min(stopping, key=lambda rule: not rule.claims(look)).reason(look)

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim what the rules that stop do."""
        return together(tuple(rule for rule in self.rules if asked(rule, look)), look)

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {"rule": "any", "rules": [rule.to_dict() for rule in self.rules]}


@dataclass(frozen=True)
class AllOf:
    """Stop when all of the rules do, at one look.

    Parameters
    ----------
    rules : tuple of StoppingRule
        At least two.
    """

    rules: tuple[StoppingRule, ...]

    def __post_init__(self) -> None:
        check_several(self.rules)

    @property
    def confidence(self) -> float:
        """The highest of those that claim something: one interval then serves all."""
        return highest(self.rules)

    @property
    def min_tasks(self) -> int:
        """The most that one of them needs."""
        return max(rule.min_tasks for rule in self.rules)

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Ask every rule."""
        return reduce(np.logical_and, [asked(rule, look) for rule in self.rules])

    def reason(self, look: Look) -> str:
        """Join the reasons of the rules that claim something, or of all where none does."""
        claiming = [rule for rule in self.rules if rule.claims(look)] or list(self.rules)
        return " and ".join(dict.fromkeys(rule.reason(look) for rule in claiming))

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim what each does."""
        return together(self.rules, look)

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {"rule": "all", "rules": [rule.to_dict() for rule in self.rules]}


@dataclass(frozen=True)
class Hopeless:
    """Stop when going on can no longer let another rule stop.

    The other rule is asked about the best that can still come: the narrowest score bounds to which
    the tasks that are left can lead, wherever within the present bounds they may end up, and
    for `Beats` every task that is left decided for one side. If it would stop at none of these,
    it would not stop at the end either, but for the chance that the present bounds do not hold.
    The narrowest bounds are a calculation in a random order; in a calibrated plan they are what
    the model leaves open about the tasks that will never run.

    Parameters
    ----------
    rule : StoppingRule
        One that claims something.
    tasks : int or None
        A budget of completed tasks that ends the run sooner than the plan does.
    """

    rule: StoppingRule
    tasks: int | None = None

    def __post_init__(self) -> None:
        if not claiming(self.rule):
            msg = "expected hopeless beside a rule that can be settled: try rank:0.95 or hopeless"
            raise InputError(msg)

    @property
    def confidence(self) -> float:
        """As the other rule."""
        return self.rule.confidence

    @property
    def min_tasks(self) -> int:
        """Two results, the fewest with which there are bounds."""
        return 2

    def stops(self, look: Look) -> NDArray[np.bool_]:
        """Look at the best that can still come."""
        if look.least_half_width is None:
            return np.zeros(np.shape(look.score_low), dtype=bool)
        left = look.tasks_left
        if self.tasks is not None:
            left = np.minimum(left, np.maximum(self.tasks - look.tasks_run, 0))
        least = look.least_half_width(left)
        low, high, least = np.broadcast_arrays(look.score_low, look.score_high, least)
        # The rank bounds change where an edge passes a reference: these centres see every case.
        ordered = np.sort(look.reference_scores)
        half = least[..., None]
        centres = np.concatenate(
            [low[..., None], high[..., None], ordered + half + _EDGE, ordered - half - _EDGE],
            axis=-1,
        )
        centres = np.clip(centres, low[..., None], high[..., None])
        n_reference = ordered.size
        lowest, highest = np.maximum(centres - half, 0.0), np.minimum(centres + half, 1.0)
        final = Look(
            rank_low=1 + n_reference - np.searchsorted(ordered, highest, side="right"),
            rank_high=1 + n_reference - np.searchsorted(ordered, lowest, side="right"),
            score_low=lowest,
            score_high=highest,
            tasks=np.asarray(look.tasks + left)[..., None],
            tasks_run=np.asarray(look.tasks_run + left)[..., None],
            tasks_left=np.asarray(look.tasks_left - left)[..., None],
            usd=np.array(np.inf),
            seconds=np.array(np.inf),
            reference_scores=look.reference_scores,
            reference_agents=look.reference_agents,
            evidence={
                name: each.at_best(np.asarray(left)[..., None])
                for name, each in look.evidence.items()
            },
        )
        possible = asked(self.rule, final).any(axis=-1)
        return np.asarray(~possible & ~np.isnan(low) & ~asked(self.rule, look))

    def reason(self, look: Look) -> str:
        """Return ``cannot be settled with what is left``."""
        del look
        return HOPELESS

    def claims(self, look: Look) -> tuple[Claim, ...]:
        """Claim nothing."""
        del look
        return ()

    def to_dict(self) -> dict[str, object]:
        """Return the settings."""
        return {"rule": "hopeless", "of": self.rule.to_dict(), "tasks": self.tasks}


def single_rules(rule: StoppingRule) -> Iterator[StoppingRule]:
    """Yield the rules that a combination is made of, itself if it is none."""
    if isinstance(rule, AnyOf | AllOf):
        for each in rule.rules:
            yield from single_rules(each)
    else:
        yield rule


def claiming(rule: StoppingRule) -> bool:
    """Whether the rule can claim anything."""
    return any(not isinstance(each, Budget | Never | Hopeless) for each in single_rules(rule))


def named_agents(rule: StoppingRule) -> tuple[str, ...]:
    """Agents that the rule compares the candidate with, in order."""
    names = (each.agent for each in single_rules(rule) if isinstance(each, Beats))
    return tuple(dict.fromkeys(names))


def claims_score(rule: StoppingRule) -> bool:
    """Whether the rule claims score bounds, so that they must cover besides the rank."""
    return any(isinstance(each, ScoreWithin) for each in single_rules(rule))


def gives_up(rule: StoppingRule) -> bool:
    """Whether the rule asks what can still come."""
    return any(isinstance(each, Hopeless) for each in single_rules(rule))


def counts(rule: StoppingRule, unit: str) -> bool:
    """Whether the rule holds a budget in that unit: tasks, usd or seconds."""
    return any(
        isinstance(each, Budget) and getattr(each, unit) is not None for each in single_rules(rule)
    )


def check_named(names: Iterable[str], agents: Sequence[str]) -> None:
    """Raise unless every name is among the agents; the message offers the nearest."""
    for name in names:
        if name not in agents:
            near = get_close_matches(name, agents, 3, 0.3) or list(agents[:3])
            msg = (
                f"expected a reference agent to compare with, got {name!r}: the plan's agents"
                f" include {', '.join(repr(each) for each in near)}"
            )
            raise PlanError(msg)


def highest(rules: tuple[StoppingRule, ...]) -> float:
    """Return the highest confidence of the rules that claim something, else of all."""
    return max(rule.confidence for rule in [each for each in rules if claiming(each)] or rules)


def together(rules: tuple[StoppingRule, ...], look: Look) -> tuple[Claim, ...]:
    """Join the claims of several rules, each once."""
    return tuple(dict.fromkeys(claim for rule in rules for claim in rule.claims(look)))


def asked(rule: StoppingRule, look: Look) -> NDArray[np.bool_]:
    """Ask a rule that may not be asked of every look.

    What it claims must hold in each reading of the missing results as well.
    """
    stops = np.asarray(rule.stops(look) & (look.tasks >= rule.min_tasks))
    if look.readings and stops.any() and rule.claims(look):
        for reading in look.readings:
            stops = np.asarray(stops & rule.stops(reading))
    return stops


def check_several(rules: tuple[StoppingRule, ...]) -> None:
    """Raise unless there is something to combine."""
    if len(rules) < 2:
        msg = f"expected at least two rules to combine, got {len(rules)}: use the rule itself"
        raise InputError(msg)
