"""The decision: what a session can say, and on what it rests."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from midband_sampler._max_errors import TOO_MANY_ERRORS
from midband_sampler._stopping import Claim
from midband_sampler._verdict_text import WIDTH, short_verdict, verdict_lines


@dataclass(frozen=True, eq=False, kw_only=True)
class Decision:
    """Verdict on the candidate after the completed tasks; what is unknown in both is equal.

    Parameters
    ----------
    stop : bool
    reason : str
        ``"going on"``, ``"all planned tasks run"``, or what the stopping rule says: ``"rank
        settled"``, ``"better than agent-x"``, ``"budget spent"`` and the like; ``"too many errors:
        ..."`` where attempts without a usable result ended the run.
    claims : tuple of Claim
        What the rule claims at its stop, each with its confidence; empty while going on, and
        where the run ended without the rule's being content.
    rank : int or None
        Among the candidate and the reference agents, 1 = best: 1 + number strictly better. None
        while too little is known to estimate a score.
    low, high : int
        Bounds of the rank. With missing results the outer ones of three readings: without them,
        all of them told as 0, all of them told as 1.
    target : str
        What the rank is a rank on: ``"full benchmark"`` or ``"planned tasks"``. A rank
        inside the band is not a rank on the benchmark.
    confidence : float
        Chance that low..high covers the rank on `target`: at every look at once for an always-valid
        plan, at the stop for a calibrated one, where it was checked.
    guarantee : str
        The rule by which `confidence` holds.
    naive_confidence : float
        The plain bootstrap's share of resamples inside low..high: a diagnostic only, it is
        far too sure when looked at repeatedly.
    score : float
        Mean score on the completed tasks; NaN before the first. Not a benchmark score
        unless `target` is the full benchmark.
    target_score, target_score_low, target_score_high : float
        Estimated mean score on `target`, with the bounds that the rank interval follows from; NaN
        while too little is known.
    full_score, full_score_low, full_score_high : float
        The same where `target` is the full benchmark, else NaN.
    randomised_score, randomised_error : float
        Estimate of the mean score on all tasks from the choices left to chance alone, with its
        standard error: it needs no model. NaN without such choices.
    tasks_run, tasks_planned, tasks_total : int
        Completed in order, planned, in the benchmark; the first two count attempts where the plan
        asks for several.
    tasks_without_result : int
        Completed without information (infrastructure errors and the like).
    results, errors, unscored : int
        Attempts at the completed tasks that have a usable result; that ended in an error of the
        infrastructure or the grader, or were cancelled; that ended without a score.
    n_reference : int
    tie_group : tuple of str
        Reference agents whose score lies within the bounds of the candidate's: they cannot be told
        from it at this confidence.
    spent_usd, spent_seconds : float
        Cost of the judged tasks, the history's mean standing in for dollars that were not told;
        NaN where not known.
    cost_saved_usd : float
        Expected cost of the benchmark's tasks that were not run, from the history; NaN if
        the history has no costs.
    better_than : mapping of str to float
        For the reference agents nearest in score, and for those that were asked for: the chance
        that the candidate is above, by the bootstrap or the prediction. An estimate, not a claim.
    warnings : tuple of str
        The plan's, what a budget had to guess, that results are missing, and the drift alarm:
        results that are improbable for an agent like those of the history, over all looks (false
        for 5 % of such agents at most, as far as the history can tell; see `docs/guarantees.md`).
    plan_digest : str
    """

    stop: bool
    reason: str
    claims: tuple[Claim, ...]
    rank: int | None
    low: int
    high: int
    target: str
    confidence: float
    guarantee: str
    naive_confidence: float
    score: float
    target_score: float
    target_score_low: float
    target_score_high: float
    full_score: float
    full_score_low: float
    full_score_high: float
    randomised_score: float
    randomised_error: float
    tasks_run: int
    tasks_planned: int
    tasks_total: int
    tasks_without_result: int
    results: int
    errors: int
    unscored: int
    n_reference: int
    tie_group: tuple[str, ...]
    spent_usd: float
    spent_seconds: float
    cost_saved_usd: float
    better_than: Mapping[str, float]
    warnings: tuple[str, ...]
    plan_digest: str

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; NaN becomes None."""
        plain = asdict(self)
        plain["better_than"] = dict(self.better_than)
        for name in ("claims", "tie_group", "warnings"):
            plain[name] = list(plain[name])
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in plain.items()
        }

    def __eq__(self, other: object) -> bool:
        """Compare all that is said."""
        return isinstance(other, Decision) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        """Hash of the plan and the verdict."""
        return hash((self.plan_digest, self.reason, self.tasks_run, self.rank, self.low, self.high))

    @property
    def too_many_errors(self) -> bool:
        """Whether attempts without a usable result ended the run."""
        return self.reason.startswith(TOO_MANY_ERRORS)

    @property
    def short(self) -> str:
        """A counter of about 20 characters; see `short_verdict`."""
        return short_verdict(self)

    def lines(
        self,
        *,
        prefix: str = "",
        ended: bool = False,
        resume: str = "",
        width: int = WIDTH,
    ) -> tuple[str, ...]:
        """Return the verdict in words, a line each; see `verdict_lines`."""
        return verdict_lines(self, prefix=prefix, ended=ended, resume=resume, width=width)

    def __str__(self) -> str:
        """Return the verdict in words, with every warning."""
        return "\n".join(self.lines())
