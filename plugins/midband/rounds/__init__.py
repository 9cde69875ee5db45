"""Rounds: a harness run batch by batch, until the session has decided."""

from midband.rounds._driver import RoundDriver
from midband.rounds._interrupt import Interrupt
from midband.rounds._journal import results_of
from midband.rounds._report import Listener, RunReport, Standing
from midband.rounds._results import RoundEnd
from midband.rounds._settings import RunSettings
from midband.rounds._subset import check_attempts, fixed_order, named

__all__ = [
    "Interrupt",
    "Listener",
    "RoundDriver",
    "RoundEnd",
    "RunReport",
    "RunSettings",
    "Standing",
    "check_attempts",
    "fixed_order",
    "named",
    "results_of",
]
