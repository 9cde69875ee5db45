"""What a policy would have saved on a history, and how often it would have been wrong."""

from midband_sims._baselines import Agreement, Placing, noise_ceiling, random_subsets
from midband_sims._cells import summarise
from midband_sims._charts import ChartError, charts, write_charts
from midband_sims._executors import ClusterError, run_units
from midband_sims._measures import (
    Interval,
    clopper_pearson,
    kendall,
    pairwise_counts,
    spearman,
    tied_rank,
    top_k_agreement,
)
from midband_sims._names import Names
from midband_sims._protocols import (
    PROTOCOLS,
    IndependentAttempts,
    LeaveOneAgentOut,
    LeaveOneScaffoldOut,
    RandomFolds,
    Split,
    SplitProtocol,
    Temporal,
    parse_protocol,
)
from midband_sims._recommend import Recommendation, recommend
from midband_sims._replay import Candidate, Replay, draw_candidate, replay
from midband_sims._results import cells_json
from midband_sims._study import Study, StudyResult, StudySettings, budget_tasks
from midband_sims._synthetic import SyntheticHistory, SyntheticSettings, synthetic_history
from midband_sims._two_agents import TwoEqualAgents, two_equal_agents
from midband_sims._units import Policy, Setting, Unit, run_unit

__all__ = [
    "PROTOCOLS",
    "Agreement",
    "Candidate",
    "ChartError",
    "ClusterError",
    "IndependentAttempts",
    "Interval",
    "LeaveOneAgentOut",
    "LeaveOneScaffoldOut",
    "Names",
    "Placing",
    "Policy",
    "RandomFolds",
    "Recommendation",
    "Replay",
    "Setting",
    "Split",
    "SplitProtocol",
    "Study",
    "StudyResult",
    "StudySettings",
    "SyntheticHistory",
    "SyntheticSettings",
    "Temporal",
    "TwoEqualAgents",
    "Unit",
    "budget_tasks",
    "cells_json",
    "charts",
    "clopper_pearson",
    "draw_candidate",
    "kendall",
    "noise_ceiling",
    "pairwise_counts",
    "parse_protocol",
    "random_subsets",
    "recommend",
    "replay",
    "run_unit",
    "run_units",
    "spearman",
    "summarise",
    "synthetic_history",
    "tied_rank",
    "top_k_agreement",
    "two_equal_agents",
    "write_charts",
]
