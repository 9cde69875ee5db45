"""Which task next, and when to stop."""

from midband_sampler._attempts import AttemptPrediction, Attempts
from midband_sampler._band import Band, find_band, in_band
from midband_sampler._bootstrap import bootstrap_ranks
from midband_sampler._calibration import (
    Calibration,
    calibrate,
    required_replays,
)
from midband_sampler._combined import AllOf, AnyOf, Hopeless
from midband_sampler._confidence import PairedRanks, PredictedRanks, RankInterval
from midband_sampler._costs import COST_UNITS, choice_costs
from midband_sampler._decision import Decision
from midband_sampler._errors import DigestMismatchError, PlanError
from midband_sampler._estimators import (
    Estimate,
    assisted_full_score,
    paired_difference,
    predicted_full_score,
    randomised_full_score,
)
from midband_sampler._evidence import Evidence
from midband_sampler._look import Look
from midband_sampler._making import MIN_COVERAGE, make_plan
from midband_sampler._max_errors import MaxErrors, parse_max_errors
from midband_sampler._model import PredictionModel
from midband_sampler._plan import Plan
from midband_sampler._prediction import FullScorePrediction, rank_bounds
from midband_sampler._rank_sets import rank_sets
from midband_sampler._replays import hold_out_folds
from midband_sampler._response import (
    ResponseModel,
    ability_grid,
    candidate_prior,
    fit_response_model,
    recent_ability,
)
from midband_sampler._rule_text import RULE_NAMES, parse_stop, stop_from_dict
from midband_sampler._session import Session
from midband_sampler._steering import Steering
from midband_sampler._stopping import (
    INCONCLUSIVE,
    Beats,
    Budget,
    Claim,
    Never,
    RankSettled,
    ScoreWithin,
    StoppingRule,
    TopK,
)
from midband_sampler._strategies import (
    CHOOSERS,
    STRATEGIES,
    STRATEGY_NAMES,
    BandStrategy,
    Chooser,
    FixedChooser,
    RandomStrategy,
    Selection,
    Strategy,
    StratifiedStrategy,
    check_strategy,
    find_strategy,
)

__all__ = [
    "CHOOSERS",
    "COST_UNITS",
    "INCONCLUSIVE",
    "MIN_COVERAGE",
    "RULE_NAMES",
    "STRATEGIES",
    "STRATEGY_NAMES",
    "AllOf",
    "AnyOf",
    "AttemptPrediction",
    "Attempts",
    "Band",
    "BandStrategy",
    "Beats",
    "Budget",
    "Calibration",
    "Chooser",
    "Claim",
    "Decision",
    "DigestMismatchError",
    "Estimate",
    "Evidence",
    "FixedChooser",
    "FullScorePrediction",
    "Hopeless",
    "Look",
    "MaxErrors",
    "Never",
    "PairedRanks",
    "Plan",
    "PlanError",
    "PredictedRanks",
    "PredictionModel",
    "RandomStrategy",
    "RankInterval",
    "RankSettled",
    "ResponseModel",
    "ScoreWithin",
    "Selection",
    "Session",
    "Steering",
    "StoppingRule",
    "Strategy",
    "StratifiedStrategy",
    "TopK",
    "ability_grid",
    "assisted_full_score",
    "bootstrap_ranks",
    "calibrate",
    "candidate_prior",
    "check_strategy",
    "choice_costs",
    "find_band",
    "find_strategy",
    "fit_response_model",
    "hold_out_folds",
    "in_band",
    "make_plan",
    "paired_difference",
    "parse_max_errors",
    "parse_stop",
    "predicted_full_score",
    "randomised_full_score",
    "rank_bounds",
    "rank_sets",
    "recent_ability",
    "required_replays",
    "stop_from_dict",
]
