"""What a run in rounds says while it goes on and when it ends."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from midband._harness import Round
    from midband.rounds._results import RoundEnd
    from midband_sampler import Decision


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands after a round.

    Parameters
    ----------
    decision : Decision
    rounds, tasks : int
        Run so far; tasks that the harness was given, or ran unasked.
    recorded_usd : float
        Cost that the harness recorded, US dollars.
    spent_usd : float
        The same with an expected cost for every attempt that recorded none; NaN if unknown.
    remaining_usd : float
        Expected cost of the planned tasks that have not been run, were all of them needed;
        NaN if unknown.
    without_result : tuple of str
        Tasks that were told as no information.
    """

    decision: "Decision"
    rounds: int
    tasks: int
    recorded_usd: float
    spent_usd: float
    remaining_usd: float
    without_result: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """How a run ended.

    Parameters
    ----------
    standing : Standing
    reason : str
        Why it ended, on one line.
    failed : bool
        Whether it ended for want of results.
    interrupted : bool
        Whether Ctrl-C ended it.
    last_lines : tuple of str
        How the harness's output ended, where it failed.
    """

    standing: Standing
    reason: str
    failed: bool = False
    interrupted: bool = False
    last_lines: tuple[str, ...] = ()


class Listener(Protocol):
    """Is told how a run goes on."""

    def round_started(self, batch: "Round", standing: Standing) -> None:
        """Hear that a round starts."""

    def round_ended(self, end: "RoundEnd", standing: Standing) -> None:
        """Hear what a round brought, once it is judged."""

    def note(self, line: str) -> None:
        """Hear what the user should know."""
