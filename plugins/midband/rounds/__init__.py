"""Rounds: a harness run batch by batch, until the session has decided."""

from midband.rounds.driver import RoundDriver
from midband.rounds.journal import RoundEnd, results_of
from midband.rounds.live import LOGS, LiveDriver
from midband.rounds.process import Interrupt
from midband.rounds.race import RaceDriver, RaceReport, RaceSettings
from midband.rounds.race_state import RaceListener, RaceStanding
from midband.rounds.run_settings import (
    Listener,
    LiveHarness,
    LiveSettings,
    RunReport,
    RunSettings,
    Standing,
    check_attempts,
    fixed_order,
    named,
)

__all__ = [
    "LOGS",
    "Interrupt",
    "Listener",
    "LiveDriver",
    "LiveHarness",
    "LiveSettings",
    "RaceDriver",
    "RaceListener",
    "RaceReport",
    "RaceSettings",
    "RaceStanding",
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
