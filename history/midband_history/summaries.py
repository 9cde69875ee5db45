"""The named records with which the history answers questions about itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from midband_history.records import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of the attempts of one agent on one benchmark in one source.

    Parameters
    ----------
    benchmark, agent : str
    metric : str
        ``NAME`` or ``NAME.KEY`` of the metric that was read; empty where it is unknown.
    valid, passed : int
        Attempts with a score, and those of them that count as a success.
    errors, unscored : int
        Attempts without a score: after an error, or for another reason.
    out_of_range : int
        Attempts among the valid whose score lies outside the assumed scale 0 to 1. The metric
        cannot be used until its scale is stated.
    """

    benchmark: str
    agent: str
    metric: str
    valid: int
    passed: int
    errors: int
    unscored: int
    out_of_range: int


@dataclass(frozen=True, slots=True)
class AddReport:
    """Result of adding one source.

    Parameters
    ----------
    added : int
        Attempts that were new.
    duplicates : int
        Attempts that the history held already.
    skipped : tuple of str
        What was left out or kept outside every rate, and why: one sentence each.
    replaced : int
        Attempts that an earlier reading of the same source had added and that were read anew.
    counts : tuple of Counts
        What the attempts of the source are, new or not.
    refused : str
        Why nothing of the source was added; empty if it was.
    """

    added: int
    duplicates: int
    skipped: tuple[str, ...] = ()
    replaced: int = 0
    counts: tuple[Counts, ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSummary:
    """One version of a benchmark: a set of tasks, each with its content.

    Parameters
    ----------
    label : str
        As sources call it; empty where none does.
    tasks : int
    agents : int
        Agents with a result on at least one of these tasks.
    last : datetime or None
        Start of the latest run that says it ran this version, UTC.
    """

    label: str
    tasks: int
    agents: int
    last: datetime | None


@dataclass(frozen=True, slots=True)
class BenchmarkSummary:
    """Summary of one benchmark.

    Parameters
    ----------
    first, last : datetime or None
        Start of the earliest and the latest run, UTC; None where no run has a date.
    cost_usd : float
        Sum of the known costs; NaN where none is known.
    without_score : int
        Attempts without a score: infrastructure errors, cancelled and unscored ones.
    metrics : tuple of str
        ``NAME`` or ``NAME.KEY`` of every metric; empty text for an unknown one.
    """

    name: str
    tasks: int
    agents: int
    attempts: int
    first: datetime | None
    last: datetime | None
    cost_usd: float
    without_score: int = 0
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """Summary of one agent on one benchmark.

    Parameters
    ----------
    tasks : int
        Tasks with at least one valid attempt.
    mean : float
        Mean over those tasks of the mean score, in [0, 1]; NaN if there are none.
    without_score : int
        Attempts without a score: infrastructure errors, cancelled and unscored ones.
    """

    name: str
    model: str
    scaffold: str
    first: datetime | None
    tasks: int
    mean: float
    without_score: int = 0


@dataclass(frozen=True, slots=True)
class PassRate:
    """How often one task is solved.

    Parameters
    ----------
    pass_rate : float
        Mean over agents of each agent's own mean score; NaN if no agent has validly run it.
    agents : int
        Agents with at least one valid attempt.
    attempts : int
        Valid attempts of all agents.
    cost_usd, duration_s : float
        Mean of one attempt, over agents; NaN where unknown.
    task_digest : str
        Digest of the task's content; empty where unknown.
    without_score : int
        Attempts of all agents without a score.
    """

    task_id: str
    pass_rate: float
    agents: int
    attempts: int
    cost_usd: float
    duration_s: float
    task_digest: str
    without_score: int = 0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Runs that a date leaves out of the history.

    Parameters
    ----------
    later : int
        Runs that started after the date.
    undated : int
        Runs of unknown date: left out, because they may have started after it.
    kept : int
        Runs that started by the date.
    """

    later: int
    undated: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One attempt and where it comes from.

    Parameters
    ----------
    agent, task_id, task_digest, part : str
    metric : str
        ``NAME`` or ``NAME.KEY``; empty where it is unknown.
    kind : str
    score : float or None
        On the metric's own scale.
    attempt : int
    run_id, harness, harness_version, benchmark_version : str
    started, scored_at : datetime or None
    source : str
        The file or directory.
    imported_at : datetime or None
    reader : str
        The importer and its version; ``midband 0.1`` for what that has read.
    options : mapping
        What the person said about the source.
    notes : tuple of Note
        What was noted of the source.
    """

    agent: str
    task_id: str
    task_digest: str
    part: str
    metric: str
    kind: str
    score: float | None
    attempt: int
    run_id: str
    harness: str
    harness_version: str
    benchmark_version: str
    started: datetime | None
    scored_at: datetime | None
    source: str
    imported_at: datetime | None
    reader: str
    options: Mapping[str, object]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The attempts removed of one agent on one benchmark.

    Parameters
    ----------
    benchmark, agent, source : str
    attempts : int
    """

    benchmark: str
    agent: str
    source: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSummary:
    """Summary of one source on one benchmark.

    Parameters
    ----------
    source : str
        The file or directory.
    reader : str
        The importer that read it; empty where midband 0.1 did.
    attempts, agents : int
        Attempts and agents that the benchmark has from it; an attempt with several metrics counts
        once for each.
    added : datetime
        When it was imported last, UTC.
    """

    source: str
    reader: str
    attempts: int
    agents: int
    added: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFault:
    """A source whose results should not be relied on as they are.

    Parameters
    ----------
    source : str
    attempts : int
    fault : str
        What is wrong, and what to do.
    """

    source: str
    attempts: int
    fault: str
