"""Races in the simulator: replays of races beside published baselines."""

from midband_sims.racing.baselines import Baseline, Spent, baselines

__all__ = ["Baseline", "Spent", "baselines"]
