"""Planning: tasks, order and stop for a new agent from the results of earlier ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler.calibration import (
    LARGEST,
    UNCHECKED,
    Calibration,
    Fold,
    calibrate,
    interval_multipliers,
    make_folds,
    replay_all,
    required_replays,
)
from midband_sampler.costs import choice_costs, expected_seconds, expected_usd
from midband_sampler.drift import surprise_limit
from midband_sampler.errors import PlanError
from midband_sampler.model.attempts import Attempts
from midband_sampler.model.fitted import PredictionModel
from midband_sampler.plan import Plan
from midband_sampler.settings import PlanSettings
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.combine import AnyOf
from midband_sampler.stopping.never import Never
from midband_sampler.stopping.rank import RankSettled
from midband_sampler.strategies.base import Strategy
from midband_sampler.strategies.exploration import Exploration
from midband_sampler.strategies.find import find_strategy, strategies
from midband_sampler.strategies.policy import Policy

MIN_REFERENCE = 5
MIN_COVERAGE = 0.5
CANDIDATES = ("information", "difficulty-matched", "information-fixed")
INSTEAD = "random"
_MIN_SAMPLE = 2
_STANDARD_ERRORS = 2.0


def make_plan(
    history: OutcomeMatrix,
    settings: PlanSettings | None = None,
    *,
    others: Sequence[OutcomeMatrix] = (),
    versions: Mapping[str, str] | None = None,
    **given: Any,
) -> Plan:
    """Choose tasks for a new agent from the results of earlier ones.

    Parameters
    ----------
    history : OutcomeMatrix
        Results on one benchmark. Agents that ran fewer than half of the tasks count in
        the band's pass rates but are no references to rank against; a warning says how many.
    settings : PlanSettings, optional
        What a person chose.
    others : sequence of OutcomeMatrix
        The history's other benchmarks; not used yet.
    versions : mapping, optional
        Versions of the plugins that took part.
    **given
        Settings by name, in place of `settings` or to change some of them.

    Raises
    ------
    PlanError
        When no honest plan can be made: no results, too few mid-difficulty tasks, or no costs.
    """
    del others
    if not history.agents or not history.tasks:
        msg = (
            f"expected results of {history.benchmark!r} in the history, got none: import some first"
        )
        raise PlanError(msg)
    chosen = settings or PlanSettings()
    if given:
        given = {name: value for name, value in given.items() if value is not None}
        always = tuple(given.get("always", chosen.always))
        chosen = replace(chosen, **{**given, "always": always})
    return _Planner(history, chosen, dict(versions or {})).plan()


@dataclass(frozen=True)
class _Chosen:
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


class _Planner:
    """Makes one plan, and gathers notes and warnings on the way."""

    def __init__(
        self, history: OutcomeMatrix, settings: PlanSettings, versions: dict[str, str]
    ) -> None:
        self.history = history
        self.settings = settings
        self.versions = versions
        self.notes: list[str] = [*history.notes, *_coverage_notes(history)]
        self.warnings: list[str] = []

    def plan(self) -> Plan:
        """Choose the strategy, calibrate it, and let it order the tasks."""
        settings = self.settings
        rule, chosen = settings.stop, settings.chosen
        exploration = self._exploration()
        predictive = self._is_predictive(chosen)
        if settings.renamed:
            self.notes.append(settings.renamed)
        costs = self._costs(chosen)
        reference = self._references()
        known = len(reference.agents)
        attempts = self._attempts(reference, chosen)
        if known < MIN_REFERENCE:
            self.warnings.append(
                f"only {known} agent{'s'[: known != 1]} to rank against, {MIN_REFERENCE} are"
                " needed: a random order without early stopping instead of a promise that cannot"
                " be kept"
            )
            chosen, rule = find_strategy(INSTEAD), Never(rule.confidence)
        self.warnings += rule.warnings(known)
        if chosen is not None:
            chosen = chosen.configured(band=settings.band, costs=costs)
        if predictive:
            found = _Calibrating(self, reference, rule, exploration, attempts, costs).choose(chosen)
        else:
            found = _Chosen(chosen or find_strategy(INSTEAD))
        return self._laid_out(found, rule, reference, exploration, attempts, costs)

    def _laid_out(
        self,
        found: _Chosen,
        rule: Rule,
        reference: OutcomeMatrix,
        exploration: Exploration,
        attempts: Attempts | None,
        costs: FloatArray | None,
    ) -> Plan:
        """Let the chosen strategy order the tasks."""
        settings, history = self.settings, self.history
        strategy, calibrated = found.strategy, found.calibration is not None
        model = PredictionModel.fit(reference) if calibrated else None
        if exploration.explore and not calibrated:
            self.warnings.append("explore is not used: the order is random, which is as fair")
            exploration = replace(exploration, explore=0.0)
        arranged, selection = Policy(strategy, exploration).order(
            reference if calibrated else history,
            None if model is None else model.predict(),
            np.random.default_rng(settings.seed),
        )
        self.warnings.extend(selection.warnings)
        order = arranged if calibrated and strategy.live else arranged[: settings.max_tasks]
        guards = len(exploration.always)
        if not calibrated and guards and len(order) < guards + _MIN_SAMPLE:
            msg = (
                f"expected at least {_MIN_SAMPLE} planned tasks besides the {guards}"
                f" guard tasks, got {len(order) - guards}: they alone rank nobody"
            )
            raise PlanError(msg)
        if settings.attempts > 1 and not calibrated:
            self.warnings.append(
                f"attempts={settings.attempts} is not used: without a model no attempt is chosen"
            )
        elif attempts is not None:
            self.notes.append(
                f"up to {settings.attempts} attempts a task: given the agent's ability, two"
                f" attempts at a task correlate by {attempts.correlation:.2f} in this history"
            )
        self._note_exploration(exploration)
        own = strategy.name in strategies()
        return Plan(
            benchmark=history.benchmark,
            tasks=tuple(history.tasks[j] for j in order),
            all_tasks=history.tasks,
            task_digests=MappingProxyType(
                dict(zip(history.tasks, history.task_digests, strict=True))
            ),
            reference_agents=reference.agents,
            reference_scores=np.round(reference.scores, 9),
            expected_cost_usd=expected_usd(history),
            strategy=strategy.name,
            added_strategy=None if own else strategy,
            stop=rule,
            model=model,
            calibration=found.calibration,
            fallback=found.fallback,
            max_tasks=settings.max_tasks,
            notes=tuple(self.notes),
            band=selection.band,
            always=tuple(history.tasks[j] for j in exploration.always),
            explore=exploration.explore,
            attempts=attempts if calibrated else None,
            cost_unit=settings.cost_unit,
            task_costs=costs if calibrated else None,
            seed=settings.seed,
            as_of=settings.as_of,
            warnings=tuple(self.warnings),
            versions=MappingProxyType(self.versions),
            metric=history.metric if history.metric.known else None,
            version=history.version,
        )

    def _is_predictive(self, chosen: Strategy | None) -> bool:
        """Whether the plan is calibrated; raise unless the strategy can be what is asked of it."""
        guarantee, name = self.settings.guarantee, self.settings.name
        needs = chosen is None or chosen.needs_model or chosen.live
        predictive = needs or guarantee == "calibrated"
        if guarantee == "always-valid" and needs:
            able = (each.name for each in strategies().values() if each.random_order)
            msg = (
                f"expected a strategy that can be {guarantee}, got {name!r}:"
                f" use strategy {', '.join(able)} for always-valid, or --guarantee auto"
            )
            raise InputError(msg)
        if self.settings.explore and not predictive:
            msg = (
                f"expected a calibrated plan for explore={self.settings.explore:g}, got strategy"
                f" {name!r} with an always-valid bound, which needs its own random order: use"
                " --guarantee calibrated"
            )
            raise InputError(msg)
        return predictive

    def _references(self) -> OutcomeMatrix:
        """Keep the agents that ran enough of the benchmark to be ranked against."""
        history = self.history
        enough = np.mean(history.attempts > 0, axis=1) >= MIN_COVERAGE
        if not enough.all():
            self.warnings.append(
                f"{int(np.sum(~enough))} of {len(history.agents)} agents ran fewer than half of the"
                " tasks and are not ranked against"
            )
        return history.select(agents=np.flatnonzero(enough))

    def _exploration(self) -> Exploration:
        """Find the guard tasks, each once, in the order given."""
        settings, history = self.settings, self.history
        column = {task: place for place, task in enumerate(history.tasks)}
        unknown = [task for task in settings.always if task not in column]
        if unknown:
            msg = (
                f"expected guard tasks of {history.benchmark!r}, got"
                f" {', '.join(map(repr, unknown))}: `midband rates` lists its tasks"
            )
            raise InputError(msg)
        guards = tuple(dict.fromkeys(column[task] for task in settings.always))
        limit = settings.max_tasks
        if limit is not None and guards and limit <= len(guards):
            msg = (
                f"expected max_tasks above the {len(guards)} guard tasks, got {limit}:"
                " guard tasks alone rank nobody"
            )
            raise InputError(msg)
        return Exploration(always=guards, explore=settings.explore, seed=settings.seed)

    def _costs(self, chosen: Strategy | None) -> FloatArray | None:
        """Costs for a strategy that weighs them, with a note on what they rest on."""
        unit = self.settings.cost_unit
        if chosen is None or not chosen.needs_costs:
            if unit != "usd":
                msg = (
                    f"expected strategy cost or cost-fixed for cost unit {unit!r}, got"
                    f" {self.settings.name!r}"
                )
                raise InputError(msg)
            return None
        costs = choice_costs(self.history, unit=unit)
        known = expected_usd(self.history) if unit == "usd" else expected_seconds(self.history)
        note = (
            f"costs: expected {unit} of an attempt, {costs.min():.3g} to {costs.max():.3g} a task"
        )
        unknown = np.isnan(known)
        if unknown.any():
            middle = float(costs[unknown][0])
            note += f"; {unknown.sum()} of {known.size} tasks without one count as {middle:.3g}"
        elif np.ptp(costs) == 0.0:
            note += ": all alike, so that this is the same as without costs"
        self.notes.append(note)
        return costs

    def _attempts(self, reference: OutcomeMatrix, chosen: Strategy | None) -> Attempts | None:
        """Learn what several attempts tell, where a plan is to choose among them."""
        settings = self.settings
        if settings.attempts == 1:
            return None
        if chosen is None or not chosen.repeats:
            able = (each.name for each in strategies().values() if each.repeats)
            msg = (
                f"expected strategy {' or '.join(able)} for attempts={settings.attempts}, got"
                f" {settings.name!r}: only these weigh another attempt against another task"
            )
            raise InputError(msg)
        if settings.explore or settings.stop.looks_ahead:
            what = f"explore={settings.explore:g}" if settings.explore else "futility"
            msg = (
                f"expected attempts=1 with {what}, got {settings.attempts}: use the one or the"
                " other"
            )
            raise InputError(msg)
        if len(reference.agents) < MIN_REFERENCE:
            return None
        return Attempts.learn(reference, settings.attempts)

    def _note_exploration(self, exploration: Exploration) -> None:
        if exploration.always:
            self.notes.append(
                f"{len(exploration.always)} guard tasks run first; they are no random sample and"
                " count as known results, not as evidence on the other tasks"
            )
        if exploration.explore:
            self.notes.append(
                f"{exploration.explore:.0%} of the choices are drawn by chance from all tasks left:"
                " an estimate of the full score by these alone is honest even if the model is wrong"
            )


class _Calibrating:
    """Replays strategies on the references and chooses one."""

    def __init__(
        self,
        planner: _Planner,
        reference: OutcomeMatrix,
        rule: Rule,
        exploration: Exploration,
        attempts: Attempts | None,
        costs: FloatArray | None,
    ) -> None:
        self.settings = planner.settings
        self.notes, self.warnings = planner.notes, planner.warnings
        self.reference = reference
        self.rule = rule
        self.exploration = exploration
        self.attempts = attempts
        self.costs = costs
        self.folds: list[Fold] = []
        self.held_out = ""
        self.judged = rule

    def choose(self, wanted: Strategy | None) -> _Chosen:
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
        if len(reference.agents) < needed:
            few = (
                f"{len(reference.agents)} reference agents, {needed} are needed to calibrate"
                f" {rule.confidence:.0%} by replay (fewer for a lower confidence)"
            )
            if not everything and instead is not wanted:
                return self._unchecked(tried[0], few)
            self.warnings.append(
                f"{few}: the always-valid bound with strategy {instead.name!r} instead"
            )
            return _Chosen(instead)
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
                f" {len(reference.agents)} replays: the always-valid bound with strategy"
                f" {instead.name!r} instead"
            )
            return _Chosen(instead)
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
        known = {"usd": expected_usd(self.reference), "seconds": self.reference.duration_s}
        return tuple(
            unit
            for unit, each in known.items()
            if self.rule.counts(unit) and bool(np.isnan(each).any())
        )

    def _settled(self, best: _Trial, trials: dict[str, _Trial | None]) -> _Chosen:
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
        return _Chosen(
            strategy,
            replace(calibration, surprise=surprise),
            None if in_order is None else replace(in_order.calibration, surprise=surprise),
        )

    def _unchecked(self, strategy: Strategy, few: str) -> _Chosen:
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
        return _Chosen(strategy, calibration, calibration if strategy.live else None)

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


def _coverage_notes(history: OutcomeMatrix) -> list[str]:
    """Say how many of the tasks the agents ran, where some did not run all."""
    shares = np.mean(history.attempts > 0, axis=1)
    part = shares < 1.0
    if not part.any():
        return []
    return [
        f"{int(np.sum(~part))} of {len(history.agents)} agents ran all {len(history.tasks)} tasks,"
        f" the others {shares[part].min():.0%} to {shares[part].max():.0%} of them"
    ]


def _gains(trial: _Trial, over: _Trial) -> bool:
    """Whether a trial saves tasks, or error where all run alike, by two standard errors."""
    if np.array_equal(trial.run, over.run):
        gain = over.error**2 - trial.error**2
    else:
        gain = over.run - trial.run
    return bool(gain.mean() > _STANDARD_ERRORS * gain.std(ddof=1) / np.sqrt(gain.size))
