"""Races in the simulator: replays of races beside published baselines."""

from midband_sims.racing.baselines import Baseline, Spent, baselines
from midband_sims.racing.draws import Draw, Pool, draw_fields, pool_of
from midband_sims.racing.replays import RaceUnit, run_races
from midband_sims.racing.study import (
    RaceSettings,
    RaceStudy,
    RaceStudyResult,
    rows_of,
    summarise_races,
)

__all__ = [
    "Baseline",
    "Draw",
    "Pool",
    "RaceSettings",
    "RaceStudy",
    "RaceStudyResult",
    "RaceUnit",
    "Spent",
    "baselines",
    "draw_fields",
    "pool_of",
    "rows_of",
    "run_races",
    "summarise_races",
]
