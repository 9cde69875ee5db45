"""The settings of a plan: one record of all that a person can choose."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from midband_history import InputError
from midband_sampler.band import Band
from midband_sampler.costs import check_cost_unit
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.parse import parse_stop
from midband_sampler.stopping.rank import RankSettled
from midband_sampler.strategies.base import Strategy
from midband_sampler.strategies.exploration import Exploration
from midband_sampler.strategies.find import AUTO, find_strategy, renamed_strategy

GUARANTEES = ("auto", "always-valid", "calibrated")


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """All that a person can choose for a plan; the same names stand on the command line.

    Parameters
    ----------
    strategy : str or Strategy
        By name, or an object of your own. ``band``, ``random`` and ``stratified`` choose by pass
        rate alone. ``information`` chooses live what leaves the least variance in the predicted
        full score, ``cost`` the same per expected cost, and ``difficulty-matched`` what is
        predicted nearest to one half; each of these with ``-fixed`` behind its name is the order
        before the run. ``auto`` is ``information``, or what replays recommend instead.
    guarantee : str
        ``always-valid``: a bound over all looks at the rank on the planned tasks; needs a random
        order. ``calibrated``: the rank on the full benchmark, predicted, with an interval as wide
        as replays on the history's own agents require. ``auto``: calibrated where the strategy
        needs it.
    band : Band
        Pass rates that count as mid-difficulty.
    stop : Rule
        When a run may stop.
    max_tasks : int or None
        Keep only so many tasks; a larger plan with the same seed contains the smaller one.
    always : tuple of str
        Guard tasks: they run first, whatever the strategy. Being no random sample they are known
        results, and no evidence, on the others: under ``always-valid`` the bound is that for the
        other tasks.
    explore : float
        In [0, 1): chance that a choice is drawn uniformly from all tasks left, so that
        `Session.randomised_score` needs no model. For calibrated plans.
    attempts : int
        Up to so many attempts at a task, one more being asked for where it tells more than another
        task. The full score is then that of so many attempts at every task, and `max_tasks` counts
        attempts.
    cost_unit : str
        ``usd`` or ``seconds``, for strategies that weigh costs.
    seed : int
        Same history, settings and seed give the same plan.
    as_of : str
        Noted in the plan; the history must have been read as of it.
    fallback : bool
        Whether a plan that chooses live is also calibrated for its tasks in their order:
        `Plan.fixed`.
    """

    strategy: str | Strategy = AUTO
    guarantee: str = "auto"
    band: Band = field(default_factory=Band)
    stop: Rule = field(default_factory=RankSettled)
    max_tasks: int | None = None
    always: tuple[str, ...] = ()
    explore: float = 0.0
    attempts: int = 1
    cost_unit: str = "usd"
    seed: int = 0
    as_of: str = ""
    fallback: bool = True

    def __post_init__(self) -> None:
        if self.guarantee not in GUARANTEES:
            msg = f"expected a guarantee among {', '.join(GUARANTEES)}, got {self.guarantee!r}"
            raise InputError(msg)
        for name in ("max_tasks", "attempts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"expected {name} >= 1, got {value}"
                raise InputError(msg)
        Exploration(explore=self.explore)
        check_cost_unit(self.cost_unit)
        if self.chosen is None:
            return
        if self.cost_unit != "usd" and not self.chosen.needs_costs:
            msg = (
                f"expected strategy cost or cost-fixed for cost unit {self.cost_unit!r}, got"
                f" {self.name!r}"
            )
            raise InputError(msg)

    @property
    def chosen(self) -> Strategy | None:
        """The strategy; None for ``auto``."""
        if not isinstance(self.strategy, str):
            return self.strategy
        return None if self.strategy == AUTO else find_strategy(self.strategy)

    @property
    def name(self) -> str:
        """Present name of the strategy."""
        return AUTO if self.chosen is None else self.chosen.name

    @property
    def renamed(self) -> str:
        """What the strategy is called now, in a sentence; empty where it goes by that name."""
        return renamed_strategy(self.strategy) if isinstance(self.strategy, str) else ""

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> "PlanSettings":
        """Build settings from plain values: a rule as its text, a band as two numbers.

        Raises
        ------
        InputError
            A name or a value is unknown.
        """
        known = {each.name for each in fields(cls)}
        strange = sorted(set(data) - known)
        if strange:
            msg = f"expected settings of {', '.join(sorted(known))}, got {', '.join(strange)}"
            raise InputError(msg)
        values = dict(data)
        if isinstance(values.get("stop"), str):
            values["stop"] = parse_stop(values["stop"])
        if isinstance(values.get("band"), list | tuple):
            limits = values["band"]
            if len(limits) != 2:
                msg = f"expected a band of two pass rates, got {limits}"
                raise InputError(msg)
            values["band"] = Band(*limits)
        if isinstance(values.get("always"), list):
            values["always"] = tuple(values["always"])
        try:
            return cls(**values)
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            msg = f"expected settings of a plan, got {data}: {error}"
            raise InputError(msg) from error
