"""What one attempt at one task is: the row that every importer yields."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from midband_history._errors import InputError
from midband_history._metric import Metric
from midband_history._names import clean_id

OutcomeKind = Literal["valid", "infra_error", "grader_error", "cancelled", "missing"]
OUTCOME_KINDS: tuple[OutcomeKind, ...] = (
    "valid",
    "infra_error",
    "grader_error",
    "cancelled",
    "missing",
)
UNKNOWN_METRIC = Metric()


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
