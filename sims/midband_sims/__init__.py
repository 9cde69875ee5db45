"""What a policy would have saved on a history, and how often it would have been wrong."""

from midband_sims.candidates import Candidate, draw_candidate
from midband_sims.cells import Agreement, Placing, noise_ceiling, random_subsets, summarise
from midband_sims.charts import ChartError, charts, write_charts
from midband_sims.executors import ClusterError, run_units
from midband_sims.measures import (
    Interval,
    clopper_pearson,
    kendall,
    pairwise_counts,
    spearman,
    tied_rank,
    top_k_agreement,
)
from midband_sims.protocols import (
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
from midband_sims.recommend import Recommendation, recommend
from midband_sims.replaying import Replay, replay
from midband_sims.storage import cells_json
from midband_sims.study import Study, StudyResult, StudySettings, budget_tasks
from midband_sims.synthetic import (
    SyntheticHistory,
    SyntheticSettings,
    TwoEqualAgents,
    synthetic_history,
    two_equal_agents,
)
from midband_sims.units import Names, Policy, Setting, Unit, run_unit

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
