"""The sampler: which task runs next, and when the run stops."""

from midband_sampler.beginning import sequential_bounds, start_kernel
from midband_sampler.bounds.betting import Capital, FinitePopulation
from midband_sampler.bounds.evidence import PairedEProcess, bootstrap_ranks
from midband_sampler.bounds.sequential import ALWAYS_VALID, SequentialRankBounds
from midband_sampler.calibration import MIN_REPLAYS
from midband_sampler.decision import Decision
from midband_sampler.errors import DigestMismatchError, PlanError
from midband_sampler.kernel import ALL_RUN, Recorded, replay, replay_order
from midband_sampler.leaving_out import MIN_COVERAGE, can_be_replayed
from midband_sampler.model.dispersion import Dispersion
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.model.prediction import PredictionModel
from midband_sampler.model.response import fit_response_model
from midband_sampler.paired_sample import PairedSample, compare_results
from midband_sampler.plan import Plan
from midband_sampler.planning import MIN_REFERENCE, make_plan
from midband_sampler.rank_sets import rank_sets
from midband_sampler.session import Session
from midband_sampler.settings import Candidate, Option, PlanSettings
from midband_sampler.shrinkage import agents_needed
from midband_sampler.spending import MaxErrors, parse_max_errors
from midband_sampler.stopping.base import Claim, Rule, Snapshot
from midband_sampler.stopping.budget import Budget, Never
from midband_sampler.stopping.combine import AllOf, AnyOf, Futility
from midband_sampler.stopping.not_worse import NotWorse
from midband_sampler.stopping.parse import (
    parse_stop,
    renamed_rules,
    rule_forms,
    rule_names,
    stop_from_dict,
)
from midband_sampler.stopping.settled import Beats, RankSettled, ScoreWithin, TopK
from midband_sampler.strategies.base import (
    AUTO,
    Band,
    Choice,
    Selection,
    Strategy,
    check_strategy,
    find_strategy,
    old_strategy_names,
    strategies,
    strategy_names,
)
from midband_sampler.strategies.fixed_orders import BandStrategy, RandomStrategy, StratifiedStrategy
from midband_sampler.strategies.policy import Policy
from midband_sampler.task_checks import Cohort, TaskCheck, TaskInCohort, TaskReport, check_tasks

__all__ = [
    "ALL_RUN",
    "ALWAYS_VALID",
    "AUTO",
    "MIN_COVERAGE",
    "MIN_REFERENCE",
    "MIN_REPLAYS",
    "AllOf",
    "AnyOf",
    "Band",
    "BandStrategy",
    "Beats",
    "Budget",
    "Candidate",
    "Capital",
    "Choice",
    "Claim",
    "Cohort",
    "Decision",
    "DigestMismatchError",
    "Dispersion",
    "FinitePopulation",
    "FullScorePosterior",
    "Futility",
    "MaxErrors",
    "Never",
    "NotWorse",
    "Option",
    "PairedEProcess",
    "PairedSample",
    "Plan",
    "PlanError",
    "PlanSettings",
    "Policy",
    "PredictionModel",
    "RandomStrategy",
    "RankSettled",
    "Recorded",
    "Rule",
    "ScoreWithin",
    "Selection",
    "SequentialRankBounds",
    "Session",
    "Snapshot",
    "Strategy",
    "StratifiedStrategy",
    "TaskCheck",
    "TaskInCohort",
    "TaskReport",
    "TopK",
    "agents_needed",
    "bootstrap_ranks",
    "can_be_replayed",
    "check_strategy",
    "check_tasks",
    "compare_results",
    "find_strategy",
    "fit_response_model",
    "make_plan",
    "old_strategy_names",
    "parse_max_errors",
    "parse_stop",
    "rank_sets",
    "renamed_rules",
    "replay",
    "replay_order",
    "rule_forms",
    "rule_names",
    "sequential_bounds",
    "start_kernel",
    "stop_from_dict",
    "strategies",
    "strategy_names",
]
