"""What one attempt at one task is: the row that every importer yields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from midband_history._errors import InputError

OutcomeKind = Literal["valid", "infra_error", "grader_error", "cancelled", "missing"]
OUTCOME_KINDS: tuple[OutcomeKind, ...] = (
    "valid",
    "infra_error",
    "grader_error",
    "cancelled",
    "missing",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One attempt of one agent at one task.

    Parameters
    ----------
    benchmark, task_id, agent : str
        Names as the source gives them; an integer task id is stored as its decimal text.
    score : float or None
        In [0, 1]; None unless `kind` is ``"valid"``. Unknown is None, never 0.
    passed : bool or None
        Whether the harness counts the attempt as a success; None derives it as ``score >= 1``.
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

    def __post_init__(self) -> None:
        for name in ("benchmark", "task_id", "agent"):
            if not getattr(self, name):
                msg = (
                    f"expected a non-empty {name}, got {getattr(self, name)!r}:"
                    " name it in the source or with an option"
                )
                raise InputError(msg)
        if self.kind not in OUTCOME_KINDS:
            msg = f"expected kind to be one of {', '.join(OUTCOME_KINDS)}, got {self.kind!r}"
            raise InputError(msg)
        if self.kind == "valid":
            if self.score is None or not 0.0 <= self.score <= 1.0:
                msg = (
                    f"expected a score in [0, 1] for {self.benchmark}/{self.task_id}, got"
                    f" {self.score!r}: rescale it, or record its kind as missing"
                )
                raise InputError(msg)
        elif self.score is not None:
            msg = f"expected no score for a {self.kind} outcome, got {self.score!r}: drop the score"
            raise InputError(msg)
        if self.attempt < 0:
            msg = f"expected attempt >= 0, got {self.attempt}: attempts count from 0"
            raise InputError(msg)
