"""Rules about other rules: any of several, all of several, and futility."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray
from midband_sampler.stopping.base import Claim, Rule, Snapshot


@dataclass(frozen=True)
class Combined(Rule):
    """Several rules as one.

    Parameters
    ----------
    rules : tuple of Rule
        At least two.
    """

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        if len(self.rules) < 2:
            msg = f"expected two rules to combine, got {len(self.rules)}: use the rule itself"
            raise InputError(msg)

    @abstractmethod
    def _speaking(self, snapshot: Snapshot) -> tuple[Rule, ...]:
        """Return the rules that the stop rests on, for a snapshot of shape ()."""

    @property
    def confidence(self) -> float:
        """The highest confidence of the rules that make claims, so that one interval serves all."""
        able = [rule for rule in self.rules if rule.can_claim]
        return max(rule.confidence for rule in able or self.rules)

    @property
    def can_claim(self) -> bool:
        """Whether any of the rules can make a claim."""
        return any(rule.can_claim for rule in self.rules)

    @property
    def can_stop(self) -> bool:
        """Whether any of the rules can stop a run."""
        return any(rule.can_stop for rule in self.rules)

    @property
    def claims_score(self) -> bool:
        """Whether any of the rules makes a claim about the score bounds."""
        return any(rule.claims_score for rule in self.rules)

    @property
    def looks_ahead(self) -> bool:
        """Whether any of the rules uses `Snapshot.least_half_width`."""
        return any(rule.looks_ahead for rule in self.rules)

    @property
    def named_agents(self) -> tuple[str, ...]:
        """The agents that the rules name, each once."""
        names = (name for rule in self.rules for name in rule.named_agents)
        return tuple(dict.fromkeys(names))

    @property
    def needs_others(self) -> bool:
        """Whether any of the rules needs many reference agents."""
        return any(rule.needs_others for rule in self.rules)

    @property
    def paired_with(self) -> Mapping[str, float]:
        """The paired agents of all rules, each with its highest confidence, which serves all."""
        found: dict[str, float] = {}
        for rule in self.rules:
            for agent, confidence in rule.paired_with.items():
                found[agent] = max(confidence, found.get(agent, 0.0))
        return found

    def counts(self, unit: str) -> bool:
        """Tell whether any of the rules has a budget in that unit."""
        return any(rule.counts(unit) for rule in self.rules)

    def warnings(self, n_reference: int) -> Iterator[str]:
        """Yield the warnings of all rules."""
        for rule in self.rules:
            yield from rule.warnings(n_reference)

    def claim(self, snapshot: Snapshot) -> Claim | None:
        """Return the first of the claims."""
        return next(iter(self.claims(snapshot)), None)

    def claims(self, snapshot: Snapshot) -> tuple[Claim, ...]:
        """Join the claims of the rules that the stop rests on, each once."""
        speaking = self._speaking(snapshot)
        return tuple(dict.fromkeys(claim for rule in speaking for claim in rule.claims(snapshot)))

    def to_dict(self) -> dict[str, object]:
        """Return the settings of each rule."""
        return {"rule": self.name, "rules": [rule.to_dict() for rule in self.rules]}


@dataclass(frozen=True)
class AnyOf(Combined):
    """Stop when any of the rules stops.

    If several rules stop at one look, the reason is that of the first rule that makes a claim.

    Parameters
    ----------
    rules : tuple of Rule
        At least two.
    """

    name = "any"

    @property
    def min_tasks(self) -> int:
        """The smallest number that any of the rules needs."""
        return min(rule.min_tasks for rule in self.rules)

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Ask every rule."""
        return reduce(np.logical_or, [rule.stops(snapshot) for rule in self.rules])

    def _speaking(self, snapshot: Snapshot) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.stops(snapshot))

    def reason(self, snapshot: Snapshot) -> str:
        """Return the reason of the first stopping rule with a claim, else of the first at all."""
        speaking = self._speaking(snapshot)
        return min(speaking, key=lambda rule: not rule.claims(snapshot)).reason(snapshot)


@dataclass(frozen=True)
class AllOf(Combined):
    """Stop when all of the rules stop at one look.

    Parameters
    ----------
    rules : tuple of Rule
        At least two.
    """

    name = "all"

    @property
    def min_tasks(self) -> int:
        """The largest number that any of the rules needs."""
        return max(rule.min_tasks for rule in self.rules)

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Ask every rule."""
        return reduce(np.logical_and, [rule.stops(snapshot) for rule in self.rules])

    def _speaking(self, snapshot: Snapshot) -> tuple[Rule, ...]:
        return self.rules

    def reason(self, snapshot: Snapshot) -> str:
        """Join the reasons of the rules that make claims, or of all rules if none does."""
        claiming = [rule for rule in self.rules if rule.claims(snapshot)] or list(self.rules)
        return " and ".join(dict.fromkeys(rule.reason(snapshot) for rule in claiming))


FUTILE = "cannot be settled with what is left"
_EDGE = 1e-7


@dataclass(frozen=True)
class Futility(Rule):
    """Stop when the remaining tasks can no longer let another rule stop.

    The other rule is asked about the most favourable outcomes of the remaining tasks. These are the
    narrowest score bounds that they can lead to, at every place within the present bounds. For
    `Beats`, all remaining tasks are decided for one side. For `NotWorse`, each bound moves as far
    as it can. If the other rule stops at none of these outcomes, it cannot stop later either,
    unless the present bounds do not hold.

    In a random order, the narrowest bounds are calculated. In a calibrated plan, they are the
    uncertainty that the model leaves about the tasks that will never run.

    Parameters
    ----------
    rule : Rule
        A rule that can make a claim.
    tasks : int or None
        Budget of completed tasks that ends the run sooner than the plan does.
    """

    name = "futility"
    why = FUTILE
    old_names = ("hopeless",)
    about_others = True
    rule: Rule
    tasks: int | None = None

    def __post_init__(self) -> None:
        if not self.rule.can_claim:
            msg = "expected futility beside a rule that can be settled: try rank:0.95 or futility"
            raise InputError(msg)

    @classmethod
    def about(cls, others: tuple[Rule, ...]) -> "Futility | None":
        """Build the rule about those of the other rules that can make a claim."""
        able = tuple(rule for rule in others if rule.can_claim)
        if not able:
            return None
        limits = [rule.task_limit for rule in others if rule.task_limit is not None]
        return cls(able[0] if len(able) == 1 else AnyOf(able), min(limits, default=None))

    @classmethod
    def forms(cls) -> tuple[str, ...]:
        """Return the name alone."""
        return (cls.name,)

    @property
    def confidence(self) -> float:
        """The confidence of the other rule."""
        return self.rule.confidence

    @property
    def min_tasks(self) -> int:
        """2, the smallest number of results that gives bounds."""
        return 2

    @property
    def can_claim(self) -> bool:
        """False, because futility claims nothing."""
        return False

    @property
    def looks_ahead(self) -> bool:
        """True, because the rule uses `Snapshot.least_half_width`."""
        return True

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the other rule can no longer stop."""
        if snapshot.least_half_width is None:
            return np.zeros(np.shape(snapshot.score_low), dtype=bool)
        left = snapshot.tasks_left
        if self.tasks is not None:
            left = np.minimum(left, np.maximum(self.tasks - snapshot.tasks_run, 0))
        least = snapshot.least_half_width(left)
        low, high, least = np.broadcast_arrays(snapshot.score_low, snapshot.score_high, least)
        # The rank bounds change where an edge passes a reference, so these centres cover all cases.
        references = np.asarray(snapshot.reference_scores)
        ordered = np.sort(np.moveaxis(references, 0, -1), axis=-1)
        half = least[..., None]
        centres = np.concatenate(
            [low[..., None], high[..., None], ordered + half + _EDGE, ordered - half - _EDGE],
            axis=-1,
        )
        centres = np.clip(centres, low[..., None], high[..., None])
        lowest, highest = np.maximum(centres - half, 0.0), np.minimum(centres + half, 1.0)
        final = Snapshot(
            rank_low=1 + _above(ordered, highest),
            rank_high=1 + _above(ordered, lowest),
            score_low=lowest,
            score_high=highest,
            tasks=np.asarray(snapshot.tasks + left)[..., None],
            tasks_run=np.asarray(snapshot.tasks_run + left)[..., None],
            tasks_left=np.asarray(snapshot.tasks_left - left)[..., None],
            usd=np.array(np.inf),
            seconds=np.array(np.inf),
            tokens=np.array(np.inf),
            reference_scores=references if references.ndim == 1 else references[..., None],
            reference_agents=snapshot.reference_agents,
            evidence={
                name: each.at_best(np.asarray(left)[..., None])
                for name, each in snapshot.evidence.items()
            },
            differences={
                name: each.at_best(np.asarray(left)) for name, each in snapshot.differences.items()
            },
        )
        possible = self.rule.stops(final).any(axis=-1)
        return np.asarray(~possible & ~np.isnan(low) & ~self.rule.stops(snapshot))

    def claim(self, snapshot: Snapshot) -> None:
        """Claim nothing."""
        del snapshot

    def to_dict(self) -> dict[str, object]:
        """Return the settings, with those of the other rule under ``of``."""
        return {"rule": self.name, "of": self.rule.to_dict(), "tasks": self.tasks}


def _above(ordered: FloatArray, scores: FloatArray) -> IntArray:
    """Count the references above each score; `ordered` may have the axes of `scores` as well."""
    if ordered.ndim == 1:
        return np.asarray(ordered.size - np.searchsorted(ordered, scores, side="right"))
    return np.asarray((ordered[..., None, :] > scores[..., None]).sum(axis=-1))
