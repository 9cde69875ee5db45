"""The record of one attempt that importers hand over, with clean names and sane amounts."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

from midband_history.errors import InputError
from midband_history.metrics import UNKNOWN_METRIC, Metric
from midband_history.names import clean_id

OutcomeKind = Literal["valid", "infra_error", "grader_error", "cancelled", "missing"]
OUTCOME_KINDS: tuple[OutcomeKind, ...] = (
    "valid",
    "infra_error",
    "grader_error",
    "cancelled",
    "missing",
)
# Beyond these limits a source's own number or date counts as unknown. A limit is far outside what
# evaluations cost, so that it catches other units and broken clocks (nanoseconds for seconds, dates
# of 1970), not expensive runs. Every importer and every table uses the same limits.
LIMITS: Mapping[str, float] = {
    "cost_usd": 1e6,
    "tokens": 1e12,
    "duration_s": 3.2e8,  # ten years
    "run_cost_usd": 1e8,
}
# A longer text among the settings, or one of such a name, may be a prompt.
_LONGEST_SETTING = 200
_PROMPT = re.compile("prompt|message|instruction|template", re.IGNORECASE)
FIRST_YEAR = 2000
LAST_YEAR = 2100


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One attempt of one agent at one task.

    Parameters
    ----------
    benchmark, task_id, agent : str
        Names as the source gives them; an integer task id is stored as its decimal text.
    score : float or None
        The value that `metric` gave, on the metric's own scale; None unless `kind` is
        ``"valid"``. Unknown is None, never 0.
    passed : bool or None
        Whether the harness counts the attempt as a success; by default the best score is one.
    kind : str
        ``valid``, ``infra_error``, ``grader_error``, ``cancelled`` or ``missing``; only ``valid``
        ever enters a pass rate.
    attempt : int
        0-based number of the attempt within (run, task).
    run_id : str
        Names one run of one agent within its harness; rows of one run are kept together.
    model, scaffold, agent_version : str
        Parts of the agent's identity; empty where unknown.
    settings : mapping
        What else distinguishes two agents of one name (temperature, tools); digested.
    started : datetime or None
        When the run began. Naive times are taken as UTC. None if unknown.
    cost_usd, tokens, duration_s : float or None
        Of this attempt; None where unknown.
    run_cost_usd : float or None
        Cost of the whole run, where only that is known.
    task_digest : str
        Digest of the task's content (input and target); empty where the source has none.
    source_key : str
        The harness's own unique id of this attempt (Inspect's sample uuid); empty if none. Two rows
        with one key are one attempt, in whatever file they stand.
    metric : Metric
        What `score` is a score of. Without a name, the score must be in [0, 1].
    part : str
        The part of the benchmark that the task belongs to, by the source's own word (a subject, a
        domain); task ids may restart in every part. Empty where the source knows no parts.
    benchmark_version : str
        The version of the benchmark, by the source's own word; empty where it says none.
    whole_benchmark : bool
        Whether the source says that its run covered every task of the benchmark.
    scored_at : datetime or None
        When the score was given, where the source says so. Of two results of one attempt the one
        that was scored later counts.
    errored : bool
        Whether the attempt ended in an error, whatever its kind is by the source's own policy.
        It only serves ``--errors`` and is not kept.
    """

    benchmark: str
    task_id: str
    agent: str
    score: float | None
    passed: bool | None = None
    kind: OutcomeKind = "valid"
    attempt: int = 0
    run_id: str = ""
    model: str = ""
    scaffold: str = ""
    agent_version: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    harness: str = ""
    harness_version: str = ""
    started: datetime | None = None
    cost_usd: float | None = None
    tokens: float | None = None
    duration_s: float | None = None
    run_cost_usd: float | None = None
    task_digest: str = ""
    source_key: str = ""
    metric: Metric = UNKNOWN_METRIC
    part: str = ""
    benchmark_version: str = ""
    whole_benchmark: bool = False
    scored_at: datetime | None = None
    errored: bool = False

    def __post_init__(self) -> None:
        for name in ("benchmark", "task_id", "agent"):
            if not clean_id(str(getattr(self, name))):
                msg = (
                    f"expected a non-empty {name}, got {getattr(self, name)!r}:"
                    " name it in the source or with an option"
                )
                raise InputError(msg)
        if self.kind not in OUTCOME_KINDS:
            msg = f"expected kind to be one of {', '.join(OUTCOME_KINDS)}, got {self.kind!r}"
            raise InputError(msg)
        if self.kind == "valid":
            self._check_score()
        elif self.score is not None:
            msg = f"expected no score for a {self.kind} outcome, got {self.score!r}: drop the score"
            raise InputError(msg)
        if self.attempt < 0:
            msg = f"expected attempt >= 0, got {self.attempt}: attempts count from 0"
            raise InputError(msg)

    @property
    def unit_score(self) -> float | None:
        """The score in [0, 1], 1 = best; None where there is no score.

        Raises
        ------
        InputError
            The score does not lie on the metric's scale.
        """
        return None if self.score is None else self.metric.unit(self.score)

    @property
    def counts_as_passed(self) -> bool | None:
        """Whether the attempt is a success; None where it has no score."""
        if self.score is None or self.passed is not None:
            return self.passed
        best = self.metric.low if self.metric.lower_is_better else self.metric.high
        return self.score <= best if self.metric.lower_is_better else self.score >= best

    def _check_score(self) -> None:
        metric, score = self.metric, self.score
        free = metric.known and not metric.declared  # the store judges such a metric as a whole
        if score is None or not math.isfinite(score) or not (free or metric.holds(score)):
            scale = "a number" if free else f"a score in [{metric.low:g}, {metric.high:g}]"
            msg = (
                f"expected {scale} for {self.benchmark}/{self.task_id}, got {score!r}:"
                " rescale it, state its scale, or record its kind as missing"
            )
            raise InputError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that a reader of the results must know about one source.

    Parameters
    ----------
    code : str
        The kind of note, in kebab case, for programs: ``errors-left-out``.
    text : str
        One plain sentence.
    """

    code: str
    text: str


@dataclass(kw_only=True)
class Incoming:
    """One source on its way into the store.

    Parameters
    ----------
    records : iterable of Record
        Read in chunks, so a generator of millions is fine.
    name : str
        Where they come from, for people.
    digest : str
        Names the source's content and how it is read; a source of known digest is not read again.
    content : str
        Digest of the content alone.
    reader, reader_version : str, int
        The importer that read it.
    options : str
        What the person said about it, as JSON.
    notes : list of Note
        Kept with the source; it may still grow while `records` are read.
    replaces : tuple of int
        Ids of sources whose attempts are removed first: earlier readings of the same content. If
        this source is refused, they stay. If an attempt of theirs is lost that another source may
        hold too, that source is no longer known, and importing it again adds the attempt.
    copies : tuple of int
        Ids of sources of the same content in other places. They are earlier readings too if they
        have results of an agent of this source. Else what stands beside them names another agent.
    """

    records: Iterable[Record] = ()
    name: str = ""
    digest: str = ""
    content: str = ""
    reader: str = ""
    reader_version: int = 0
    options: str = ""
    notes: list[Note] = field(default_factory=list)
    replaces: tuple[int, ...] = ()
    copies: tuple[int, ...] = ()


def sane_cost(value: object) -> float | None:
    """Return the cost of an attempt in US dollars, or None for unknown.

    Parameters
    ----------
    value : object
        What the source says. Unless it is a finite number from 0 to 1,000,000 it is unknown: a
        negative cost is no refund, and an infinite one is no bill.
    """
    return sane_amount(value, "cost_usd")


def sane_run_cost(value: object) -> float | None:
    """Return the cost of a whole run in US dollars, from 0 to 1e8, or None for unknown."""
    return sane_amount(value, "run_cost_usd")


def sane_tokens(value: object) -> float | None:
    """Return how many tokens an attempt used, from 0 to 1e12, or None for unknown."""
    return sane_amount(value, "tokens")


def sane_duration(value: object) -> float | None:
    """Return how many seconds an attempt took, from 0 to 3.2e8 (ten years), or None for unknown."""
    return sane_amount(value, "duration_s")


def sane_date(value: datetime | None) -> datetime | None:
    """Return a moment in UTC if its year is 2000 to 2099, or None for unknown.

    Parameters
    ----------
    value : datetime or None
        A naive moment is taken as UTC.
    """
    if value is None:
        return None
    try:
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:  # a zone that leads out of the calendar
        return None
    return moment if FIRST_YEAR <= moment.year < LAST_YEAR else None


def sane_amount(value: object, name: str) -> float | None:
    """Return an amount of one of the kinds in `LIMITS`, or None for unknown."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of 10^400
        return None
    return number if math.isfinite(number) and 0.0 <= number <= LIMITS[name] else None


def settings_text(settings: Mapping[str, object]) -> str:
    """Return the settings as canonical JSON; empty text for none.

    They tell agents apart, and the history keeps no prompts. So a digest stands for a text that is
    long or has several lines, or that its name says to be a prompt.
    """
    if not settings:
        return ""
    return json.dumps(_without_prompts(settings), sort_keys=True, default=str, ensure_ascii=False)


def _without_prompts(value: object, *, prompt: bool = False) -> object:
    if isinstance(value, Mapping):
        return {
            key: _without_prompts(each, prompt=prompt or bool(_PROMPT.search(str(key))))
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_prompts(each, prompt=prompt) for each in value]
    if not isinstance(value, str) or not value:
        return value
    if prompt or len(value) > _LONGEST_SETTING or "\n" in value:
        return f"sha256:{sha256(value.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return value
