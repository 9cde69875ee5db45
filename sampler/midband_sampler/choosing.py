"""Choosing a calibrated strategy: what the history's own agents recommend."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler.bounds.bootstrap import nominal_level
from midband_sampler.bounds.calibrated import POSTERIOR, CalibratedBound
from midband_sampler.calibration import (
    UNCHECKED,
    Calibration,
    Replays,
    replay_all,
)
from midband_sampler.drift import surprise_limit
from midband_sampler.errors import PlanError
from midband_sampler.leaving_out import (
    AGENT,
    SCAFFOLD,
    Fold,
    can_be_replayed,
    can_hold_out_scaffolds,
    make_folds,
    situation,
)
from midband_sampler.model.prediction import Attempts
from midband_sampler.settings import PlanSettings
from midband_sampler.shrinkage import (
    LARGEST,
    OTHERS_WEIGHT,
    OtherBenchmarks,
    agents_needed,
    interval_multipliers,
    narrowest,
)
from midband_sampler.spending import expected_usd
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.combine import AnyOf
from midband_sampler.stopping.settled import RankSettled
from midband_sampler.strategies.base import Strategy, find_strategy
from midband_sampler.strategies.policy import Exploration, Policy

# The first of each is the safe one: near a random sample, and read by the model.
CANDIDATES = ("sampled-information", "information", "stratified")
IN_ORDER = ("stratified", "information-fixed")
INSTEAD = "random"
MIN_SAVING = 0.1
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Chosen:
    """A strategy with what its confidence rests on.

    Parameters
    ----------
    strategy : Strategy
    calibration : Calibration or None
        None where the always-valid bound is used.
    in_order : Strategy or None
        What runs where a harness cannot choose live, if the strategy does.
    fallback : Calibration or None
        Of `in_order`.
    predicts : bool
        Whether what was calibrated is read by a model.
    """

    strategy: Strategy
    calibration: Calibration | None = None
    in_order: Strategy | None = None
    fallback: Calibration | None = None
    predicts: bool = True


@dataclass(frozen=True, eq=False, kw_only=True)
class _Trial:
    """One strategy replayed at every width, and what other benchmarks say of the widths."""

    strategy: Strategy
    replays: Replays
    others: Sequence[FloatArray]
    confidence: float
    spread: float

    def place(self, rows: NDArray[np.bool_] | slice = slice(None)) -> int | None:
        """Return the position of the width that these replays ask for."""
        return narrowest(
            self.replays.covered[rows],
            self.others,
            confidence=self.confidence,
            spread=self.spread,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pick:
    """The trial that was taken, at which of the widths."""

    trial: _Trial
    place: int
    multiplier: float

    @cached_property
    def spent(self) -> float:
        """Mean share of the expected cost of all tasks that the replays spent."""
        return float(self.trial.replays.spent[:, self.place].mean())


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
        others: OtherBenchmarks,
        bound: CalibratedBound = POSTERIOR,
    ) -> None:
        self.settings = settings
        self.bound = bound
        self.notes, self.warnings = notes, warnings
        self.reference = reference
        self.rule = rule
        self.exploration = exploration
        self.attempts = attempts
        self.costs = costs
        self.others = others
        self.folds: dict[str, list[Fold]] = {}
        self.judged = rule
        self.mode, self.blind = situation(reference.scaffolds, settings.scaffold)

    def choose(self, wanted: Strategy | None) -> Chosen:
        """Calibrate the strategy by replay; for None, which is ``auto``, choose one so.

        ``auto`` goes down `CANDIDATES` and leaves a strategy only for one that gains more than two
        standard errors over it in the same replays: with tens of agents the best of several looks
        better than it is. The interval is made as wide as it has to be where each replay's strategy
        and width are chosen from the other replays alone.

        A strategy that weighs costs is compared with the same one without them: where results on
        cheap tasks say less of the others than the model expects, it may need so many more that it
        costs more.

        Raises
        ------
        PlanError
            Bounds by the bootstrap are asked for, and there are too few agents to calibrate them,
            or no level of it covers in enough replays.
        """
        rule, reference = self.rule, self.reference
        needed = agents_needed(
            rule.confidence, others=bool(self.others.matrices), named=len(rule.named_agents)
        )
        instead = find_strategy(INSTEAD) if wanted is None or not wanted.random_order else wanted
        limit = self.settings.max_tasks
        everything = limit is None or limit >= len(reference.tasks)
        tried = self._named(CANDIDATES) if wanted is None else [wanted]
        enough = int(can_be_replayed(reference).sum())
        if enough < needed:
            few = (
                f"{enough} reference agents, {needed} are needed to calibrate"
                f" {rule.confidence:.0%} by replay (fewer for a lower confidence)"
            )
            if self.bound.name:
                msg = (
                    f"expected at least {needed} reference agents, to calibrate the bootstrap rank"
                    f" confidence for {rule.confidence:.0%} by replay, got"
                    f" {len(reference.agents)}: import more, ask for a lower confidence, or use"
                    " --guarantee always-valid"
                )
                raise PlanError(msg)
            if not everything and instead is not wanted:
                return self._unchecked(tried[0], few)
            self.warnings.append(
                f"{few}: the always-valid bound with strategy {instead.name!r} instead"
            )
            return Chosen(instead)
        self._prepare(everything=everything)
        best = self._pick(tried)
        if best is None and self.bound.name:
            msg = (
                "expected a level at which the bootstrap rank confidence covers in enough of"
                f" {len(reference.agents)} replays, got none up to"
                f" {nominal_level(LARGEST):.9f}: use --guarantee calibrated or always-valid"
            )
            raise PlanError(msg)
        if best is None:
            self.warnings.append(
                f"no width up to {LARGEST:g} standard deviations covered in enough of"
                f" {enough} replays: the always-valid bound with strategy"
                f" {instead.name!r} instead"
            )
            return Chosen(instead)
        return self._settled(best, automatic=wanted is None)

    def _named(self, names: Sequence[str]) -> list[Strategy]:
        return [find_strategy(name).seeded(self.settings.seed) for name in names]

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

    def _held_out(self, mode: str) -> list[Fold]:
        if mode not in self.folds:
            self.folds[mode] = make_folds(self.reference, mode, self.attempts, self.costs)
        return self.folds[mode]

    def _replayed(self, strategy: Strategy, multipliers: FloatArray, mode: str) -> Replays:
        return replay_all(
            self._held_out(mode),
            Policy(strategy, self.exploration),
            multipliers,
            rule=self.judged,
            max_tasks=self.settings.max_tasks,
            seed=self.settings.seed,
            bound=self.bound,
        )

    def _pick(self, tried: Sequence[Strategy]) -> _Pick | None:
        """Replay strategies and take one, at the narrowest width that holds."""
        for multipliers in interval_multipliers():
            trials = [self._try(each, multipliers) for each in tried]
            found = _best(trials)
            if found is None:
                continue
            trial, place = found
            honest = narrowest(
                _by_the_others(trials),
                trial.others,
                confidence=trial.confidence,
                spread=trial.spread,
            )
            if honest is not None:
                place = max(place, honest)
                return _Pick(trial=trial, place=place, multiplier=float(multipliers[place]))
        return None

    def _try(self, strategy: Strategy, multipliers: FloatArray) -> _Trial:
        rule, limit, n_tasks = self.judged, self.settings.max_tasks, len(self.reference.tasks)
        share = 1.0 if limit is None else min(limit / n_tasks, 1.0)
        others = self.others.shares(
            strategy,
            mode=self.mode,
            rule=rule,
            share=share,
            multipliers=multipliers,
            bound=self.bound,
        )
        spread = 0.0
        if self.blind:
            spread = self.others.spread(
                strategy,
                mode=self.mode,
                rule=rule,
                share=share,
                multipliers=multipliers,
                bound=self.bound,
            )
        return _Trial(
            strategy=strategy,
            replays=self._replayed(strategy, multipliers, self.mode),
            others=others,
            confidence=rule.confidence,
            spread=spread,
        )

    def _settled(self, best: _Pick, *, automatic: bool) -> Chosen:
        """Say what the replays showed, and calibrate what runs in a fixed order as well."""
        strategy = best.trial.strategy
        surprise = 0.0
        if self.bound.predicts:
            surprise = surprise_limit(
                self._held_out(self.mode),
                Policy(strategy, self.exploration),
                seed=self.settings.seed,
            )
        calibration = replace(self._calibration(best), surprise=surprise)
        self.notes.append(
            f"strategy {strategy.name}: {calibration.replays} replays of earlier agents, each"
            f" without its {calibration.held_out}, ran {calibration.fraction_run:.0%} of the tasks;"
            f" {calibration.covered} of {calibration.replays} intervals held the true rank where"
            f" the run ended{self._other_mode(best)}"
        )
        self._note_width(calibration)
        if calibration.fraction_run > 1.0 - MIN_SAVING:
            self.warnings.append(
                f"little is saved: the replays ran {calibration.fraction_run:.0%} of the tasks"
            )
        in_order, fallback = None, None
        if strategy.live and self.settings.fallback:
            forms = self._named(IN_ORDER) if automatic else [strategy.fixed()]
            found = self._pick(forms)
            in_order = forms[0] if found is None else found.trial.strategy
            if found is not None:
                fallback = replace(self._calibration(found), surprise=surprise)
        plain = strategy.without_costs()
        if plain is not None:
            self._compare_costs(best, plain, self._pick([plain]))
        return Chosen(strategy, calibration, in_order, fallback, self.bound.predicts)

    def _calibration(self, pick: _Pick) -> Calibration:
        replays, place = pick.trial.replays, pick.place
        return Calibration(
            multiplier=pick.multiplier,
            confidence=pick.trial.confidence,
            replays=len(replays.covered),
            covered=int(replays.covered[:, place].sum()),
            fraction_run=round(float(replays.run[:, place].mean()), 6),
            held_out=self.mode,
            benchmarks=len(pick.trial.others),
            spread=round(pick.trial.spread, 6),
            bound=self.bound.name,
        )

    def _other_mode(self, best: _Pick) -> str:
        """Say what the same width covers in the other way of leaving agents out."""
        if not can_hold_out_scaffolds(self.reference.scaffolds):
            return ""
        other = AGENT if self.mode == SCAFFOLD else SCAFFOLD
        covered = self._replayed(best.trial.strategy, np.array([best.multiplier]), other).covered[
            :, 0
        ]
        return f" (without its {other}: {covered.sum()} of {covered.size})"

    def _note_width(self, calibration: Calibration) -> None:
        """Say what the width of the intervals rests on."""
        if calibration.bound:
            self.notes.append(calibration.guarantee)
        if calibration.benchmarks:
            self.notes.append(
                f"width {calibration.multiplier:.2f} standard deviations: the replays here count"
                f" {calibration.replays}, those of {calibration.benchmarks} other benchmarks of the"
                f" history {OTHERS_WEIGHT:.0f}"
            )
        if calibration.spread:
            self.notes.append(
                f"the scaffold {self.settings.scaffold} is new and the history of this benchmark"
                " knows a single one: the interval is widened by what benchmarks differ in"
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
        if not strategy.live:
            return Chosen(strategy, calibration)
        return Chosen(strategy, calibration, strategy.fixed(), calibration)

    def _compare_costs(self, pick: _Pick, plain: Strategy, without: _Pick | None) -> None:
        """Say what weighing costs saved in the replays, or that it saved nothing."""
        if without is None or pick.spent < without.spent:
            other = "" if without is None else f", {plain.name} {without.spent:.0%}"
            self.notes.append(
                f"the replays spent {pick.spent:.0%} of the expected cost of all tasks{other}"
            )
        else:
            self.warnings.append(
                f"weighing costs saved nothing: the replays spent {pick.spent:.0%} of the expected"
                f" cost of all tasks, with strategy {plain.name!r} {without.spent:.0%}; use that"
                f" instead of {pick.trial.strategy.name!r}"
            )


def _best(
    trials: Sequence[_Trial], rows: NDArray[np.bool_] | slice = slice(None)
) -> tuple[_Trial, int] | None:
    """Go down the trials, and leave one only for another that gains over it."""
    best: tuple[_Trial, int] | None = None
    for trial in trials:
        place = trial.place(rows)
        if place is not None and (best is None or _gains((trial, place), best, rows)):
            best = trial, place
    return best


def _by_the_others(trials: Sequence[_Trial]) -> NDArray[np.bool_]:
    """Coverage where the strategy of each replay is chosen from those of the other folds."""
    fold = trials[0].replays.fold
    covered = trials[0].replays.covered.copy()
    if len(trials) == 1:
        return covered
    for each in np.unique(fold):
        found = _best(trials, fold != each)
        if found is not None:
            covered[fold == each] = found[0].replays.covered[fold == each]
    return covered


def _gains(
    one: tuple[_Trial, int], over: tuple[_Trial, int], rows: NDArray[np.bool_] | slice
) -> bool:
    """Whether a trial saves tasks without a larger error, or error where all run alike.

    By two standard errors.
    """
    run, run_over = (trial.replays.run[rows, place] for trial, place in (one, over))
    error, error_over = (trial.replays.error[rows, place] ** 2 for trial, place in (one, over))
    if np.array_equal(run, run_over):
        return _above(error_over - error)
    return _above(run_over - run) and not _above(error - error_over)


def _above(values: FloatArray) -> bool:
    """Whether the mean is above 0 by two standard errors."""
    return bool(values.mean() > _STANDARD_ERRORS * values.std(ddof=1) / np.sqrt(values.size))
