"""The base of every stopping rule, and the snapshot that a rule sees after a completed task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray, MidbandError
from midband_sampler.bounds.evidence import Difference, PairedEProcess
from midband_sampler.errors import PlanError

UNKNOWN = cast("FloatArray", np.float64(np.nan))
_NOTHING: Mapping[str, PairedEProcess] = MappingProxyType({})
_NO_PAIRS: Mapping[str, Difference] = MappingProxyType({})
_ARRAYS = (
    "rank_low", "rank_high", "score_low", "score_high", "tasks", "tasks_run", "tasks_left", "usd",
    "seconds", "tokens",
)  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshot:
    """State of one candidate, or of many in a replay, after a completed task.

    All arrays but `reference_scores` broadcast against each other. Their shape is () in a session,
    and (candidates, multipliers) in the replays that calibrate a plan. If a whole fixed order is
    taken in at once, their first axis runs over its completed tasks.

    Parameters
    ----------
    rank_low, rank_high : ndarray of int64
        Bounds of the candidate's rank on the target, 1 = best.
    score_low, score_high : ndarray of float64
        Bounds of the candidate's mean score on the target; NaN while nothing is known.
    tasks : ndarray of int64
        Completed tasks with a result.
    tasks_run : ndarray of int64
        Completed tasks, with or without a result.
    tasks_left : ndarray of int64
        Tasks that the plan still allows.
    usd, seconds, tokens : ndarray of float64
        Spent so far, in US dollars, seconds and tokens; NaN where not known.
    reference_scores : ndarray of float64, shape (n_reference,) or (n_reference, ...)
        Mean score of each reference agent on the target. It has the axes of the other arrays as
        further axes if the target differs along them.
    reference_agents : tuple of str, length n_reference
    evidence : mapping of str to PairedEProcess
        E-process of each agent that the rule names, if the tasks run in random order. Empty if a
        claim follows from the score bounds instead.
    differences : mapping of str to Difference
        Bounds of the mean paired difference to each agent that the rule compares with task by task,
        if the tasks run in random order. Empty if a claim follows from the score bounds instead.
    reference_margins : ndarray of float64, of the shape of `reference_scores`, or None
        Margin of error of each reference score, at the confidence of the bounds; 0 for an agent
        that ran every task. None if all agents did. The last axis may be that of the multipliers.
    least_half_width : callable or None
        Returns the smallest half width of the score bounds that a given number of further tasks
        can lead to. None if it is not known.
    readings : tuple of Snapshot
        Three snapshots in which missing results are left out, read as 0 and read as 1. The bounds
        of this snapshot are then the outer bounds. Empty if no result is missing.
    """

    rank_low: IntArray
    rank_high: IntArray
    score_low: FloatArray
    score_high: FloatArray
    tasks: IntArray
    tasks_run: IntArray
    tasks_left: IntArray
    usd: FloatArray
    seconds: FloatArray
    reference_scores: FloatArray
    reference_agents: tuple[str, ...]
    evidence: Mapping[str, PairedEProcess] = field(default_factory=lambda: _NOTHING)
    differences: Mapping[str, Difference] = field(default_factory=lambda: _NO_PAIRS)
    reference_margins: FloatArray | None = None
    least_half_width: Callable[[IntArray], FloatArray] | None = None
    readings: "tuple[Snapshot, ...]" = ()
    tokens: FloatArray = UNKNOWN

    def at(self, place: int) -> "Snapshot":
        """Return one entry of the first axis, of shape ()."""
        arrays = {name: value[place] for name in _ARRAYS if np.ndim(value := getattr(self, name))}
        least = self.least_half_width
        scores = self.reference_scores
        return replace(
            self,
            **arrays,
            reference_scores=scores if scores.ndim == 1 else scores[:, place],
            evidence={name: each.at(place) for name, each in self.evidence.items()},
            differences={name: each.at(place) for name, each in self.differences.items()},
            least_half_width=None if least is None else lambda left: least(left)[place],
        )


MIN_TASKS = 10
TIE = 1e-9


@dataclass(frozen=True)
class Claim:
    """One claim of a decision.

    Parameters
    ----------
    text : str
        For instance ``better than agent-x``.
    confidence : float
        Chance that the claim is right, over all looks; ties count as right.
    """

    text: str
    confidence: float


class WrongFormError(MidbandError, ValueError):
    """The texts after the name of a rule do not fit its form."""


class Rule(ABC):
    """A rule that decides, from its arguments alone, after each task whether a run may stop.

    A rule of your own is a frozen dataclass with a `name`, its settings as fields, and the methods
    `met` and `claim`. Its text form (``name:SETTING:SETTING``, fields in their order), its form in
    a plan and its line in the help follow from these. Sessions and the replays that calibrate them
    call the same `met`, so that both stop by the same rule.

    Attributes
    ----------
    name : str
        Name of the rule in texts and plans.
    old_names : tuple of str
        Earlier names, which are still read.
    why : str
        Reason why a run stops; if empty, the reason is the claim.
    can_claim, can_stop : bool
        Whether the rule can ever make a claim, and ever stop a run.
    claims_score : bool
        Whether a claim is about the score bounds, so that these must cover as well as the rank.
    looks_ahead : bool
        Whether the rule uses `Snapshot.least_half_width`.
    about_others : bool
        Whether the rule is about the rules that it is joined to by ``or``; see `about`.
    """

    name: ClassVar[str] = ""
    old_names: ClassVar[tuple[str, ...]] = ()
    why: ClassVar[str] = ""
    about_others: ClassVar[bool] = False

    @abstractmethod
    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the rule is met, in the shape that the snapshot's arrays broadcast to."""

    @abstractmethod
    def claim(self, snapshot: Snapshot) -> Claim | None:
        """Return the claim of a snapshot of shape (); None if the rule makes no claim."""

    def reason(self, snapshot: Snapshot) -> str:
        """Return why the run stops, for a snapshot of shape (): `why`, or else the claim."""
        claim = self.claim(snapshot)
        return self.why or (self.name if claim is None else claim.text)

    @property
    def confidence(self) -> float:
        """Chance that the intervals that the rule uses cover, over all looks."""
        return 0.95

    @property
    def min_tasks(self) -> int:
        """Fewest results with which the rule can stop."""
        return MIN_TASKS

    @property
    def can_claim(self) -> bool:
        """Whether the rule can claim anything."""
        return True

    @property
    def can_stop(self) -> bool:
        """Whether the rule can stop a run."""
        return True

    @property
    def claims_score(self) -> bool:
        """Whether a claim is about the score bounds."""
        return False

    @property
    def looks_ahead(self) -> bool:
        """Whether the rule uses `Snapshot.least_half_width`."""
        return False

    @property
    def named_agents(self) -> tuple[str, ...]:
        """Reference agents that the rule compares the candidate with, in order."""
        return ()

    @property
    def needs_others(self) -> bool:
        """Whether a claim is about the rank among many agents, and so needs enough of them."""
        return self.can_claim

    @property
    def paired_with(self) -> Mapping[str, float]:
        """Agents that the rule compares with task by task, and the confidence of each bound."""
        return {}

    @property
    def task_limit(self) -> int | None:
        """Number of completed tasks at which the rule always stops; None if there is none."""
        return None

    def counts(self, unit: str) -> bool:
        """Whether the rule has a budget in that unit: tasks, usd, seconds or tokens."""
        del unit
        return False

    def warnings(self, n_reference: int) -> Iterator[str]:
        """Yield warnings for a person who plans with so many reference agents."""
        del n_reference
        yield from ()

    def stops(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Tell whether the run may stop: the rule is `met`, with at least `min_tasks` results.

        A rule that makes a claim must also be met in each reading of the missing results.
        """
        stops = self.met(snapshot) & (snapshot.tasks >= self.min_tasks)
        if snapshot.readings and stops.any() and self.claims(snapshot):
            for reading in snapshot.readings:
                stops = np.asarray(stops & self.met(reading))
        return stops

    def claims(self, snapshot: Snapshot) -> tuple[Claim, ...]:
        """Return all claims at a stop, for a snapshot of shape ()."""
        claim = self.claim(snapshot)
        return () if claim is None else (claim,)

    @classmethod
    def about(cls, others: "tuple[Rule, ...]") -> "Rule | None":
        """Build the rule from the rules it is joined to; None if it cannot be about any of them."""
        del others
        return None

    @classmethod
    def forms(cls) -> tuple[str, ...]:
        """Return how a person writes the rule, with settings in capitals."""
        return (":".join([cls.name, *(each.name.upper() for each in _settings(cls))]),)

    @classmethod
    def readers(cls) -> "Mapping[str, Callable[..., Rule]]":
        """Return, by each name of the rule in a text, a reader of the texts after that name."""
        return {cls.name: cls.parse}

    @classmethod
    def parse(cls, *texts: str) -> Self:
        """Build the rule from the texts after its name.

        Raises
        ------
        WrongFormError
            The texts do not fit the form.
        InputError
            A setting is out of range.
        """
        known, kinds = _settings(cls), _hints(cls)
        if len(texts) > len(known):
            raise WrongFormError(":".join(texts))
        values = {
            each.name: _value(text, kinds[each.name])
            for each, text in zip(known, texts, strict=False)
        }
        return cls.from_settings(**values)

    @classmethod
    def from_settings(cls, **settings: Any) -> Self:
        """Build the rule from its settings by name, as `to_dict` gives them without ``rule``."""
        try:
            return cls(**settings)
        except TypeError as error:
            raise WrongFormError(str(error)) from error

    def to_dict(self) -> dict[str, object]:
        """Return the settings as plain values and, under ``rule``, the name."""
        values = {each.name: getattr(self, each.name) for each in _fields(type(self))}
        return {"rule": self.name, **values}


@cache
def _hints(kind: type[Rule]) -> Mapping[str, object]:
    return get_type_hints(kind)


def _fields(kind: type[Rule]) -> tuple[Field[Any], ...]:
    return tuple(each for each in fields(kind) if each.init)  # type: ignore[arg-type]


def _settings(kind: type[Rule]) -> tuple[Field[Any], ...]:
    """Return the settings that a text can state: all but `min_tasks`."""
    return tuple(each for each in _fields(kind) if each.name != "min_tasks")


def _value(text: str, kind: object) -> object:
    """Read a setting as the type of its field."""
    if kind is str:
        return text
    try:
        number = float(text)
    except ValueError as error:
        raise WrongFormError(text) from error
    if kind is not int:
        return number
    if not number.is_integer():
        raise WrongFormError(text)
    return int(number)


def check_confidence(confidence: float) -> None:
    """Raise an error unless the confidence is in (0.5, 1)."""
    if not 0.5 < confidence < 1.0:
        msg = f"expected 0.5 < confidence < 1, got {confidence:g}: 0.95 is usual"
        raise InputError(msg)


def check_min_tasks(min_tasks: int) -> None:
    """Raise an error unless there are enough tasks for a variance."""
    if min_tasks < 2:
        msg = f"expected min_tasks >= 2, got {min_tasks}: a variance needs two tasks"
        raise InputError(msg)


def check_named(names: Iterable[str], agents: Sequence[str]) -> None:
    """Raise an error unless every name is among the agents; the message suggests similar names."""
    for name in names:
        if name not in agents:
            near = get_close_matches(name, agents, 3, 0.3) or list(agents[:3])
            msg = (
                f"expected a reference agent to compare with, got {name!r}: the plan's agents"
                f" include {', '.join(repr(each) for each in near)}"
            )
            raise PlanError(msg)
