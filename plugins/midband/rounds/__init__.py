"""Rounds: a harness run batch by batch, until the session has decided."""

from midband.rounds.driver import RoundDriver
from midband.rounds.journal import RoundEnd, results_of
from midband.rounds.process import Interrupt
from midband.rounds.run_settings import (
    Listener,
    RunReport,
    RunSettings,
    Standing,
    check_attempts,
    fixed_order,
    named,
)

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
