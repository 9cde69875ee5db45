"""The decision: what a session can say, and on what it rests."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Verdict on the candidate after the completed tasks.

    Parameters
    ----------
    stop : bool
    reason : str
        ``"rank settled"``, ``"all planned tasks run"`` or ``"going on"``.
    rank, low, high : int
        Rank among the candidate and the reference agents, 1 = best: 1 + number strictly better.
    target : str
        What the rank is a rank on: ``"full benchmark"`` or ``"planned tasks"``. A rank
        inside the band is not a rank on the benchmark.
    confidence : float
        Chance that low..high covers the rank on `target`, over all looks.
    guarantee : str
        The rule by which `confidence` holds.
    naive_confidence : float
        The plain bootstrap's share of resamples inside low..high: a diagnostic only, it is
        far too sure when looked at repeatedly.
    score : float
        Mean score on the completed tasks; NaN before the first. Not a benchmark score
        unless `target` is the full benchmark.
    full_score, full_score_low, full_score_high : float
        Estimated mean score on all tasks of the benchmark, with the bounds that the rank
        interval follows from; NaN where `target` is not the full benchmark.
    tasks_run, tasks_planned, tasks_total : int
        Completed in order, planned, in the benchmark.
    tasks_without_result : int
        Completed without information (infrastructure errors and the like).
    n_reference : int
    cost_saved_usd : float
        Expected cost of the benchmark's tasks that were not run, from the history; NaN if
        the history has no costs.
    better_than : mapping of str to float
        For the reference agents nearest in score: bootstrap share of "candidate above".
    warnings : tuple of str
    plan_digest : str
    """

    stop: bool
    reason: str
    rank: int
    low: int
    high: int
    target: str
    confidence: float
    guarantee: str
    naive_confidence: float
    score: float
    full_score: float
    full_score_low: float
    full_score_high: float
    tasks_run: int
    tasks_planned: int
    tasks_total: int
    tasks_without_result: int
    n_reference: int
    cost_saved_usd: float
    better_than: Mapping[str, float]
    warnings: tuple[str, ...]
    plan_digest: str

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; NaN becomes None."""
        plain = asdict(self)
        plain["better_than"] = dict(self.better_than)
        plain["warnings"] = list(self.warnings)
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in plain.items()
        }

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"rank {self.rank} of {self.n_reference + 1} ({self.low} to {self.high} at"
            f" {self.confidence * 100:.0f} % on the {self.target}),"
            f" {self.tasks_run} of {self.tasks_total} tasks: {self.reason}"
        )
