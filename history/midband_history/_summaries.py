"""The named records with which the history answers questions about itself."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AddReport:
    """What adding one source did.

    Parameters
    ----------
    added : int
        Attempts that were new.
    duplicates : int
        Attempts that the history held already.
    skipped : tuple of str
        What was left out or kept outside every rate, and why: one sentence each.
    """

    added: int
    duplicates: int
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BenchmarkSummary:
    """What the history holds of one benchmark.

    Parameters
    ----------
    first, last : datetime or None
        Start of the earliest and the latest run, UTC; None where no run has a date.
    cost_usd : float
        Sum of the known costs; NaN where none is known.
    """

    name: str
    tasks: int
    agents: int
    attempts: int
    first: datetime | None
    last: datetime | None
    cost_usd: float


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """What the history holds of one agent on one benchmark.

    Parameters
    ----------
    tasks : int
        Tasks with at least one valid attempt.
    mean : float
        Mean over those tasks of the mean score; NaN if there are none.
    """

    name: str
    model: str
    scaffold: str
    first: datetime | None
    tasks: int
    mean: float


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
    """

    task_id: str
    pass_rate: float
    agents: int
    attempts: int
    cost_usd: float
    duration_s: float
    task_digest: str


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
