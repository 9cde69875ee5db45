"""Combined rules: any of several, and all of several."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError
from midband_sampler.stopping.base import Claim, Rule
from midband_sampler.stopping.snapshot import Snapshot


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
        """Rules that the stop rests on, of a snapshot of shape ()."""

    @property
    def confidence(self) -> float:
        """The highest of those that claim something: one interval then serves all."""
        able = [rule for rule in self.rules if rule.can_claim]
        return max(rule.confidence for rule in able or self.rules)

    @property
    def can_claim(self) -> bool:
        """Whether one of them can."""
        return any(rule.can_claim for rule in self.rules)

    @property
    def can_stop(self) -> bool:
        """Whether one of them can."""
        return any(rule.can_stop for rule in self.rules)

    @property
    def claims_score(self) -> bool:
        """Whether one of them does."""
        return any(rule.claims_score for rule in self.rules)

    @property
    def looks_ahead(self) -> bool:
        """Whether one of them does."""
        return any(rule.looks_ahead for rule in self.rules)

    @property
    def named_agents(self) -> tuple[str, ...]:
        """Those of all, each once."""
        names = (name for rule in self.rules for name in rule.named_agents)
        return tuple(dict.fromkeys(names))

    def counts(self, unit: str) -> bool:
        """Whether one of them does."""
        return any(rule.counts(unit) for rule in self.rules)

    def warnings(self, n_reference: int) -> Iterator[str]:
        """Yield those of all."""
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
        """Return the settings of each."""
        return {"rule": self.name, "rules": [rule.to_dict() for rule in self.rules]}


@dataclass(frozen=True)
class AnyOf(Combined):
    """Stop when one of the rules does.

    Where two or more stop at one look, the reason is that of the first which claims something.

    Parameters
    ----------
    rules : tuple of Rule
        At least two.
    """

    name = "any"

    @property
    def min_tasks(self) -> int:
        """The fewest that one of them needs."""
        return min(rule.min_tasks for rule in self.rules)

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Ask every rule."""
        return reduce(np.logical_or, [rule.stops(snapshot) for rule in self.rules])

    def _speaking(self, snapshot: Snapshot) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.stops(snapshot))

    def reason(self, snapshot: Snapshot) -> str:
        """Return the reason of the first rule that stops and claims, else of the first."""
        speaking = self._speaking(snapshot)
        return min(speaking, key=lambda rule: not rule.claims(snapshot)).reason(snapshot)


@dataclass(frozen=True)
class AllOf(Combined):
    """Stop when all of the rules do, at one look.

    Parameters
    ----------
    rules : tuple of Rule
        At least two.
    """

    name = "all"

    @property
    def min_tasks(self) -> int:
        """The most that one of them needs."""
        return max(rule.min_tasks for rule in self.rules)

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Ask every rule."""
        return reduce(np.logical_and, [rule.stops(snapshot) for rule in self.rules])

    def _speaking(self, snapshot: Snapshot) -> tuple[Rule, ...]:
        return self.rules

    def reason(self, snapshot: Snapshot) -> str:
        """Join the reasons of the rules that claim something, or of all where none does."""
        claiming = [rule for rule in self.rules if rule.claims(snapshot)] or list(self.rules)
        return " and ".join(dict.fromkeys(rule.reason(snapshot) for rule in claiming))
