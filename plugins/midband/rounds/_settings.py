"""How a run in rounds is to go."""

import math
from dataclasses import dataclass, field

from midband._descriptors import ReadOptions
from midband_history import InputError
from midband_sampler import MaxErrors


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What the user chose for one run; all but the limits stay the same when it is resumed.

    Parameters
    ----------
    arguments : tuple of str
        For the harness, unchanged.
    round_size : int or None
        Tasks a round; a tenth of the planned tasks if None, and no fewer in the first round than
        the stopping rule needs.
    attempts : int
        How often each task is run.
    max_usd : float or None
        No round is started that is expected to take the cost above this, US dollars.
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
    """

    arguments: tuple[str, ...] = ()
    round_size: int | None = None
    attempts: int = 1
    max_usd: float | None = None
    max_tasks: int | None = None
    timeout: float | None = None
    benchmark: str | None = None
    in_process: bool = False
    allow_changed: bool = False
    max_errors: MaxErrors | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)

    def __post_init__(self) -> None:
        for name in ("round_size", "attempts", "max_tasks"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"expected {name} >= 1, got {value}"
                raise InputError(msg)
        for name in ("max_usd", "timeout"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                msg = f"expected {name} > 0, got {value}"
                raise InputError(msg)
        if self.in_process and self.timeout is not None:
            msg = "expected a timeout or in_process, got both: only a process can be ended"
            raise InputError(msg)
