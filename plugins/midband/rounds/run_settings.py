"""The settings of a run in rounds, and its report."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from midband.descriptors import Command, Harness, ReadOptions, Round
from midband_history import InputError
from midband_sampler import MaxErrors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midband._ranking import LiveOrder
    from midband.rounds.journal import RoundEnd
    from midband_sampler import Decision, Plan


UNITS = ("usd", "seconds", "tokens")


def amount_text(unit: str, amount: float, *, bare: bool = False) -> str:
    """Return an amount in words, such as ``$1.50`` or ``1,200 tokens``; bare without its noun."""
    if unit == "usd":
        return f"${amount:.2f}"
    number = f"{amount:,.0f}"
    return number if bare else f"{number} {unit}"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of one run; all but the limits stay the same when it is resumed.

    Parameters
    ----------
    arguments : tuple of str
        For the harness, unchanged.
    round_size : int or None
        Tasks a round; a tenth of the planned tasks if None, and no fewer in the first round than
        the stopping rule needs.
    attempts : int
        How often each task is run.
    max_usd, max_seconds, max_tokens : float or None
        No round is started that is expected to take the cost of all attempts above this, in US
        dollars, in seconds of work and in tokens.
    max_tasks : int or None
        No more different tasks are run than this.
    timeout : float or None
        Seconds after which a step of a round is ended.
    benchmark : str or None
        What the harness calls the benchmark, where the plan calls it otherwise.
    in_process : bool
        Run within midband's own process, see `InProcessHarness`.
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.
    max_errors : MaxErrors or None
        So many attempts may end without a usable result; by default the run ends where none of
        the first ten has one.
    reading : ReadOptions
        What the user says about the results: `metric`, `scale`, `lower_is_better` and `errors`.
    continues : Path or None
        The directory of an earlier run or race, whose results count and are not paid for again.
    """

    arguments: tuple[str, ...] = ()
    round_size: int | None = None
    attempts: int = 1
    max_usd: float | None = None
    max_seconds: float | None = None
    max_tokens: float | None = None
    max_tasks: int | None = None
    timeout: float | None = None
    benchmark: str | None = None
    in_process: bool = False
    allow_changed: bool = False
    max_errors: MaxErrors | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    continues: Path | None = None

    def __post_init__(self) -> None:
        amounts = (*(f"max_{unit}" for unit in UNITS), "timeout")
        for name in ("round_size", "attempts", "max_tasks", *amounts):
            value = getattr(self, name)
            amount = name in amounts
            if value is not None and not (0 < value < math.inf if amount else value >= 1):
                msg = f"expected {name} {'> 0' if amount else '>= 1'}, got {value}"
                raise InputError(msg)
        if self.in_process and self.timeout is not None:
            msg = "expected a timeout or in_process, got both: only a process can be ended"
            raise InputError(msg)

    @property
    def limits(self) -> dict[str, float]:
        """The limits to the cost that are set, by unit."""
        found = {unit: getattr(self, f"max_{unit}") for unit in UNITS}
        return {unit: most for unit, most in found.items() if most is not None}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """State of a run after a round.

    Parameters
    ----------
    decision : Decision
    rounds, tasks : int
        Run so far; tasks that the harness was given, or ran unasked.
    recorded_usd : float
        Cost that the harness recorded, US dollars.
    spent_usd : float
        The same with an expected cost for every attempt that recorded none; NaN if unknown.
    spent_seconds, spent_tokens : float
        Seconds of work and tokens of all attempts, expected ones where none are recorded; NaN if
        unknown.
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
    spent_seconds: float = math.nan
    spent_tokens: float = math.nan


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Result of a run.

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


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """Settings of a run whose harness asks for each next task.

    Parameters
    ----------
    plan : Path
        The file of the plan.
    logs : Path
        Where the harness writes its results.
    order : Path
        File that the run writes its choices to, so that a kill does not lose them.
    max_tasks : int or None
        Start no more tasks than this.
    max_errors : MaxErrors or None
        As for `Session`.
    metric : str or None
        The metric of the run, where the plan does not know it.
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.
    limits : mapping of str to float
        Hard limits to what all attempts may cost, by unit.
    """

    plan: Path
    logs: Path
    order: Path
    max_tasks: int | None = None
    max_errors: MaxErrors | None = None
    metric: str | None = None
    allow_changed: bool = False
    limits: "Mapping[str, float]" = field(default_factory=dict)


@runtime_checkable
class LiveHarness(Harness, Protocol):
    """A harness that asks for each next task while it runs: `Capabilities.live`."""

    def live_status(self, logs: Path) -> str:
        """Return ``finished`` or how the latest run ended; empty where there is none.

        Raises
        ------
        UnreadableSourceError
            What the run left cannot be read.
        """

    def build_live_command(self, batch: Round, settings: LiveSettings) -> Command:
        """Return what runs the plan, or continues with the unfinished run in ``settings.logs``.

        Raises
        ------
        InputError
            The arguments contradict the plan or the directory.
        """

    def live_orders(self, plan: "Plan", logs: Path) -> "Mapping[str, LiveOrder]":
        """Return the orders that runs chose, by run id, where they state them."""

    def read_live_order(self, path: Path, plan: "Plan") -> tuple[str, ...]:
        """Return the choices that a run wrote to ``LiveSettings.order``; empty without any."""


class Listener(Protocol):
    """Receives the progress of a run."""

    def round_started(self, batch: "Round", standing: Standing) -> None:
        """Receive the start of a round."""

    def round_ended(self, end: "RoundEnd", standing: Standing) -> None:
        """Receive the result of a round, once it is judged."""

    def note(self, line: str) -> None:
        """Receive a line for the user."""


def rounds_text(rounds: int) -> str:
    """Return a number of rounds in words."""
    return f"{rounds} round{'' if rounds == 1 else 's'}"


def fixed_order(plan: "Plan") -> tuple[str, ...]:
    """Return the tasks that a run without midband goes through, in the plan's order."""
    return plan.fixed().tasks[: plan.max_tasks]


def named(plan: "Plan", benchmark: str | None) -> "Plan":
    """Return the plan with the name that the harness gives the benchmark."""
    return plan if benchmark is None else replace(plan, benchmark=benchmark)


def check_attempts(harness: "Harness", attempts: int) -> None:
    """Refuse more than one attempt of a harness that runs a task once.

    Raises
    ------
    InputError
        It cannot repeat tasks.
    """
    if attempts > 1 and not harness.capabilities.attempts:
        msg = f"expected --attempts 1 with {harness.name}, got {attempts}: it runs a task once"
        raise InputError(msg)
