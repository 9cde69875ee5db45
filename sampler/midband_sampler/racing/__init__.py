"""Races: which of several candidates is best."""

from midband_sampler.racing.allocations.base import (
    Allocation,
    Field,
    all_allocations,
    find_allocation,
)
from midband_sampler.racing.calibrating import calibrate, complete_agents, draw_races
from midband_sampler.racing.calibration import RaceCalibration
from midband_sampler.racing.claims import EXACT
from midband_sampler.racing.planning import make_race
from midband_sampler.racing.question import Question
from midband_sampler.racing.questions import NotWorse, Order, TopK, parse_question
from midband_sampler.racing.race import Race
from midband_sampler.racing.race_plan import RacePlan, budget_text, parse_budget
from midband_sampler.racing.replay import replay_race
from midband_sampler.racing.verdict import APART, RaceVerdict, Ranked

__all__ = [
    "APART",
    "EXACT",
    "Allocation",
    "Field",
    "NotWorse",
    "Order",
    "Question",
    "Race",
    "RaceCalibration",
    "RacePlan",
    "RaceVerdict",
    "Ranked",
    "TopK",
    "all_allocations",
    "budget_text",
    "calibrate",
    "complete_agents",
    "draw_races",
    "find_allocation",
    "make_race",
    "parse_budget",
    "parse_question",
    "replay_race",
]
