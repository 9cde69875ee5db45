"""Choosing a calibrated strategy: what the history's own agents recommend."""

from dataclasses import dataclass, replace

import numpy as np

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler.calibration import (
    LARGEST,
    UNCHECKED,
    Calibration,
    Fold,
    calibrate,
    can_be_replayed,
    interval_multipliers,
    make_folds,
    replay_all,
    required_replays,
)
from midband_sampler.drift import surprise_limit
from midband_sampler.model.prediction import Attempts
from midband_sampler.settings import PlanSettings
from midband_sampler.spending import expected_usd
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.combine import AnyOf
from midband_sampler.stopping.settled import RankSettled
from midband_sampler.strategies.base import Strategy, find_strategy
from midband_sampler.strategies.policy import Exploration, Policy

CANDIDATES = ("information", "difficulty-matched", "information-fixed")
INSTEAD = "random"
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Chosen:
    """A strategy with what its confidence rests on.

    Parameters
    ----------
    strategy : Strategy
    calibration : Calibration or None
        None where the always-valid bound is used.
    fallback : Calibration or None
        Of the fixed form, where the strategy chooses live.
    """

    strategy: Strategy
    calibration: Calibration | None = None
    fallback: Calibration | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class _Trial:
    """One strategy replayed: its calibration, and how each replay went at that width."""

    strategy: Strategy
    calibration: Calibration
    run: FloatArray
    error: FloatArray
    spent: FloatArray


class Calibrating:
    """Replays strategies on the references and chooses one; notes and warnings gather in lists."""

    def __init__(
        self,
        settings: PlanSettings,
        notes: list[str],
        warnings: list[str],
        reference: OutcomeMatrix,
        rule: Rule,
        exploration: Exploration,
        attempts: Attempts | None,
        costs: FloatArray | None,
    ) -> None:
        self.settings = settings
        self.notes, self.warnings = notes, warnings
        self.reference = reference
        self.rule = rule
        self.exploration = exploration
        self.attempts = attempts
        self.costs = costs
        self.folds: list[Fold] = []
        self.held_out = ""
        self.judged = rule

    def choose(self, wanted: Strategy | None) -> Chosen:
        """Calibrate the strategy by replay; for None, which is ``auto``, choose one so.

        ``auto`` goes down `CANDIDATES` and leaves a strategy only for one that gains more than two
        standard errors over it in the same replays: with tens of agents the best of several looks
        better than it is.

        A strategy that weighs costs is compared with the same one without them: where results on
        cheap tasks say less of the others than the model expects, it may need so many more that it
        costs more.
        """
        rule, reference = self.rule, self.reference
        named = len(rule.named_agents)  # these are not replayed
        needed = required_replays(rule.confidence) + named
        instead = find_strategy(INSTEAD) if wanted is None or wanted.needs_model else wanted
        limit = self.settings.max_tasks
        everything = limit is None or limit >= len(reference.tasks)
        tried = [find_strategy(name) for name in CANDIDATES] if wanted is None else [wanted]
        enough = int(can_be_replayed(reference).sum())
        if enough < needed:
            few = (
                f"{enough} reference agents, {needed} are needed to calibrate"
                f" {rule.confidence:.0%} by replay (fewer for a lower confidence)"
            )
            if not everything and instead is not wanted:
                return self._unchecked(tried[0], few)
            self.warnings.append(
                f"{few}: the always-valid bound with strategy {instead.name!r} instead"
            )
            return Chosen(instead)
        self._prepare(everything=everything)
        trials: dict[str, _Trial | None] = {}
        best: _Trial | None = None
        for each in tried:
            trial = trials[each.name] = self._try(each)
            if trial is not None and (best is None or _gains(trial, best)):
                best = trial
        if best is None:
            self.warnings.append(
                f"no width up to {LARGEST:g} standard deviations covered in enough of"
                f" {enough} replays: the always-valid bound with strategy"
                f" {instead.name!r} instead"
            )
            return Chosen(instead)
        return self._settled(best, trials)

    def _prepare(self, *, everything: bool) -> None:
        """Fit the folds, and settle which rule the replays stop by."""
        rule, confidence = self.rule, self.rule.confidence
        # Without a rule or a limit all is run and known: ask for the interval of a single rank.
        single = RankSettled(confidence, 0.0)
        self.judged = single if not rule.can_stop and everything else rule
        for unit in self._uncounted():
            self.warnings.append(
                f"the history does not say what every task took in {unit}: not all replays could"
                " stop on that budget, and an interval at such a stop is not checked by them"
            )
            if not rule.can_claim:
                self.judged = AnyOf((rule, single))
        self.folds, self.held_out = make_folds(self.reference, self.attempts, self.costs)

    def _uncounted(self) -> tuple[str, ...]:
        """Units of the rule's budgets that replays of this history cannot count to the end."""
        known = {
            "usd": expected_usd(self.reference),
            "seconds": self.reference.duration_s,
            "tokens": np.array([np.nan]),  # a matrix does not hold them
        }
        return tuple(
            unit
            for unit, each in known.items()
            if self.rule.counts(unit) and bool(np.isnan(each).any())
        )

    def _settled(self, best: _Trial, trials: dict[str, _Trial | None]) -> Chosen:
        """Say what the replays showed, and calibrate the fixed form as well."""
        strategy, calibration = best.strategy, best.calibration
        surprise = surprise_limit(
            self.folds, Policy(strategy, self.exploration), seed=self.settings.seed
        )
        self.notes.append(
            f"strategy {strategy.name}: {calibration.replays} replays of earlier agents, each"
            f" without its {calibration.held_out}, ran {calibration.fraction_run:.0%} of the tasks;"
            f" {calibration.covered} of {calibration.replays} intervals held the true rank where"
            " the run ended"
        )
        in_order = None
        if strategy.live and self.settings.fallback:
            form = strategy.fixed()
            in_order = trials[form.name] if form.name in trials else self._try(form)
        plain = strategy.without_costs()
        if plain is not None:
            self._compare_costs(best, plain, self._try(plain))
        return Chosen(
            strategy,
            replace(calibration, surprise=surprise),
            None if in_order is None else replace(in_order.calibration, surprise=surprise),
        )

    def _unchecked(self, strategy: Strategy, few: str) -> Chosen:
        """Predict with the model and claim only what is certain, for a run with a limit."""
        self.warnings.append(
            f"{few}: the score is predicted, and the interval holds whatever is possible"
        )
        calibration = Calibration(
            multiplier=UNCHECKED,
            confidence=self.rule.confidence,
            replays=0,
            covered=0,
            fraction_run=1.0,
            held_out="agent",
        )
        return Chosen(strategy, calibration, calibration if strategy.live else None)

    def _compare_costs(self, trial: _Trial, plain: Strategy, without: _Trial | None) -> None:
        """Say what weighing costs saved in the replays, or that it saved nothing."""
        spent = float(trial.spent.mean())
        if without is None or spent < float(without.spent.mean()):
            other = "" if without is None else f", {plain.name} {without.spent.mean():.0%}"
            self.notes.append(
                f"the replays spent {spent:.0%} of the expected cost of all tasks{other}"
            )
        else:
            self.warnings.append(
                f"weighing costs saved nothing: the replays spent {spent:.0%} of the expected cost"
                f" of all tasks, with strategy {plain.name!r} {without.spent.mean():.0%}; use that"
                f" instead of {trial.strategy.name!r}"
            )

    def _try(self, strategy: Strategy) -> _Trial | None:
        confidence = self.judged.confidence
        for multipliers in interval_multipliers(confidence, self.held_out):
            replays = replay_all(
                self.folds,
                Policy(strategy, self.exploration),
                multipliers,
                rule=self.judged,
                max_tasks=self.settings.max_tasks,
                seed=self.settings.seed,
            )
            calibration = calibrate(
                replays, multipliers, confidence=confidence, held_out=self.held_out
            )
            if calibration is not None:
                place = int(np.searchsorted(multipliers, calibration.multiplier))
                return _Trial(
                    strategy=strategy,
                    calibration=calibration,
                    run=replays.run[:, place],
                    error=replays.error[:, place],
                    spent=replays.spent[:, place],
                )
        return None


def _gains(trial: _Trial, over: _Trial) -> bool:
    """Whether a trial saves tasks, or error where all run alike, by two standard errors."""
    if np.array_equal(trial.run, over.run):
        gain = over.error**2 - trial.error**2
    else:
        gain = over.run - trial.run
    return bool(gain.mean() > _STANDARD_ERRORS * gain.std(ddof=1) / np.sqrt(gain.size))
