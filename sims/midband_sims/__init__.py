"""Simulation: what a policy would have saved on a history, and how often it was wrong."""

from midband_sims.cells import Placing, random_subsets
from midband_sims.charts import ChartError, Panel, race_panels, study_panels, write_charts
from midband_sims.drawing import Palette, policy_names
from midband_sims.measures import clopper_pearson, kendall, spearman
from midband_sims.protocols import LeaveOneAgentOut, draw_candidate, parse_protocol
from midband_sims.racing import (
    RaceSettings,
    RaceStudy,
    RaceStudyResult,
    baselines,
    summarise_races,
)
from midband_sims.recommend import Recommendation, recommend
from midband_sims.replaying import replay
from midband_sims.stored import StoredStudy, read_study
from midband_sims.study import Study, StudyResult, StudySettings
from midband_sims.synthetic import SyntheticSettings, synthetic_history, two_equal_agents
from midband_sims.units import BAND_BY_BOOTSTRAP, Names

__all__ = [
    "BAND_BY_BOOTSTRAP",
    "ChartError",
    "LeaveOneAgentOut",
    "Names",
    "Palette",
    "Panel",
    "Placing",
    "RaceSettings",
    "RaceStudy",
    "RaceStudyResult",
    "Recommendation",
    "StoredStudy",
    "Study",
    "StudyResult",
    "StudySettings",
    "SyntheticSettings",
    "baselines",
    "clopper_pearson",
    "draw_candidate",
    "kendall",
    "parse_protocol",
    "policy_names",
    "race_panels",
    "random_subsets",
    "read_study",
    "recommend",
    "replay",
    "spearman",
    "study_panels",
    "summarise_races",
    "synthetic_history",
    "two_equal_agents",
    "write_charts",
]
