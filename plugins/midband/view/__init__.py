"""The local page over history and runs, and the state files by which it knows of runs."""

from midband.view.keeper import StateKeeper
from midband.view.looks import Look, look_at_decision, look_at_race
from midband.view.state import (
    CandidateState,
    Point,
    RunState,
    StateReader,
    runs_directory,
)

__all__ = [
    "CandidateState",
    "Look",
    "Point",
    "RunState",
    "StateKeeper",
    "StateReader",
    "look_at_decision",
    "look_at_race",
    "runs_directory",
]
