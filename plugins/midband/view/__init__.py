"""The local page over history and runs, and the state files by which it knows of runs."""

from midband.view.keeper import Look, StateKeeper, look_at_decision, look_at_race
from midband.view.state import (
    CandidateState,
    Point,
    RunState,
    is_alive,
    read_states,
    runs_directory,
)

__all__ = [
    "CandidateState",
    "Look",
    "Point",
    "RunState",
    "StateKeeper",
    "is_alive",
    "look_at_decision",
    "look_at_race",
    "read_states",
    "runs_directory",
]
