"""Which task next, and when to stop."""

from midband_sampler._band import Band, find_band, in_band
from midband_sampler._confidence import PairedRanks, RankInterval
from midband_sampler._decision import Decision
from midband_sampler._errors import DigestMismatchError, PlanError
from midband_sampler._plan import Plan, make_plan
from midband_sampler._session import Session
from midband_sampler._stopping import Never, RankSettled, StoppingRule, parse_stop, stop_from_dict
from midband_sampler._strategies import (
    STRATEGIES,
    BandStrategy,
    RandomStrategy,
    Selection,
    Strategy,
    StratifiedStrategy,
    find_strategy,
)

__all__ = [
    "STRATEGIES",
    "Band",
    "BandStrategy",
    "Decision",
    "DigestMismatchError",
    "Never",
    "PairedRanks",
    "Plan",
    "PlanError",
    "RandomStrategy",
    "RankInterval",
    "RankSettled",
    "Selection",
    "Session",
    "StoppingRule",
    "Strategy",
    "StratifiedStrategy",
    "find_band",
    "find_strategy",
    "in_band",
    "make_plan",
    "parse_stop",
    "stop_from_dict",
]
