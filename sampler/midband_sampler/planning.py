"""Planning: which tasks a new agent runs, in what order, and when its run stops."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler.bounds.calibrated import (
    BOOTSTRAP,
    PAIRED_BOOTSTRAP,
    POSTERIOR,
    CalibratedBound,
)
from midband_sampler.choosing import INSTEAD, Calibrating, Chosen
from midband_sampler.errors import PlanError
from midband_sampler.estimators import ESTIMATORS
from midband_sampler.leaving_out import can_be_replayed
from midband_sampler.model.prediction import Attempts, PredictionModel
from midband_sampler.plan import Plan
from midband_sampler.settings import PlanSettings
from midband_sampler.shrinkage import OtherBenchmarks
from midband_sampler.spending import choice_costs, expected_seconds, expected_usd
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.budget import Never
from midband_sampler.strategies.base import Strategy, find_strategy, strategies
from midband_sampler.strategies.policy import Exploration, Policy

MIN_REFERENCE = 5
_MIN_SAMPLE = 2
_TOLD = 0.5


def make_plan(
    history: OutcomeMatrix,
    settings: PlanSettings | None = None,
    *,
    others: Sequence[OutcomeMatrix] = (),
    versions: Mapping[str, str] | None = None,
    **given: Any,
) -> Plan:
    """Choose tasks for a new agent from the results of earlier agents.

    Parameters
    ----------
    history : OutcomeMatrix
        Results on one benchmark. In a calibrated plan with a model, an agent that ran only some of
        the tasks is a reference agent if its results determine its predicted score well enough.
        Without a model, an agent that ran fewer than half of the tasks is not a reference agent,
        and counts only in the pass rates. A warning says how many agents are not ranked against.
    settings : PlanSettings, optional
        Settings of the plan.
    others : sequence of OutcomeMatrix
        The history's other benchmarks. Their replays help to determine how wide intervals must be;
        see `shrinkage.narrowest`.
    versions : mapping, optional
        Versions of the plugins that took part.
    **given
        Single settings by name. They override those of `settings`.

    Raises
    ------
    PlanError
        No plan with a sound claim is possible: there are no results, too few mid-difficulty tasks,
        or no costs.
    """
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
    if chosen.metric and chosen.metric != history.metric.label:
        msg = (
            f"expected results of {history.benchmark!r} by the metric {chosen.metric!r}, got"
            f" {history.metric.label or 'an unknown metric'}: read the history with that metric"
        )
        raise PlanError(msg)
    return _Planner(history, chosen, dict(versions or {}), others).plan()


class _Planner:
    """Makes one plan, and collects its notes and warnings."""

    def __init__(
        self,
        history: OutcomeMatrix,
        settings: PlanSettings,
        versions: dict[str, str],
        others: Sequence[OutcomeMatrix],
    ) -> None:
        self.others = others
        self.history = history
        self.settings = settings
        self.versions = versions
        self.notes: list[str] = [*history.notes]
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
        enough = can_be_replayed(self.history)
        by_model = predictive and self._bound(chosen).predicts
        reference = self._references(enough, predictive=by_model)
        known = int(enough.sum())
        attempts = self._attempts(reference, chosen)
        if known < MIN_REFERENCE and rule.paired_with and not rule.needs_others:
            chosen, predictive = find_strategy(INSTEAD), False
            self.notes.append(
                f"a random order: {known} agent{'s'[: known != 1]} cannot calibrate another, and"
                " paired bounds need the baseline alone"
            )
        elif known < MIN_REFERENCE:
            self.warnings.append(
                f"only {known} agent{'s'[: known != 1]} to rank against, {MIN_REFERENCE} are"
                " needed: a random order without early stopping instead of a promise that cannot"
                " be kept"
            )
            chosen, rule = find_strategy(INSTEAD), Never(rule.confidence)
        self.warnings += rule.warnings(known)
        if chosen is not None:
            chosen = chosen.configured(band=settings.band, costs=costs).seeded(settings.seed)
        if predictive:
            calibrating = Calibrating(
                settings,
                self.notes,
                self.warnings,
                reference,
                rule,
                exploration,
                attempts,
                costs,
                OtherBenchmarks.of(self.others),
                self._bound(chosen),
            )
            found = calibrating.choose(chosen)
        else:
            found = Chosen(chosen or find_strategy(INSTEAD))
        predicted = found.calibration is not None and found.predicts
        if not predicted:
            reference = self.history.select(agents=enough)
        self._note_coverage(reference, predicted=predicted)
        return self._laid_out(found, rule, reference, exploration, attempts, costs)

    def _laid_out(
        self,
        found: Chosen,
        rule: Rule,
        reference: OutcomeMatrix,
        exploration: Exploration,
        attempts: Attempts | None,
        costs: FloatArray | None,
    ) -> Plan:
        """Let the chosen strategy order the tasks."""
        settings, history = self.settings, self.history
        strategy = found.strategy
        calibrated = found.calibration is not None and found.predicts
        model = PredictionModel.fit(reference) if calibrated else None
        if exploration.explore and not calibrated:
            self.warnings.append("explore is not used: the order is random, which is as fair")
            exploration = replace(exploration, explore=0.0)
        laid_out = strategy if found.in_order is None else found.in_order
        arranged, selection = Policy(laid_out, exploration).order(
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
        estimator = self._estimator(calibrated=calibrated, drawn=exploration.explore > 0.0)
        if settings.agent in reference.agents:
            self.notes.append(
                f"{settings.agent} is ranked against its own earlier results too: leave it out of"
                " the reference agents (--exclude-agent) where these are to be others"
            )
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
            in_order=_named_order(found),
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
            candidate=settings.candidate,
            estimator=estimator,
        )

    def _is_predictive(self, chosen: Strategy | None) -> bool:
        """Tell whether the plan is calibrated; raise if strategy and guarantee do not fit."""
        bootstrap = self.settings.guarantee == "bootstrap"
        guarantee, name = self.settings.guarantee, self.settings.name
        predictive = self.settings.predictive
        if guarantee == "always-valid" and predictive:
            able = (each.name for each in strategies().values() if each.random_order)
            msg = (
                f"expected a strategy that can be {guarantee}, got {name!r}:"
                f" use strategy {', '.join(able)} for always-valid, or --guarantee auto"
            )
            raise InputError(msg)
        if self.settings.explore and not predictive:
            what = "the bootstrap of paired means" if bootstrap else "an always-valid bound"
            msg = (
                f"expected a calibrated plan for explore={self.settings.explore:g}, got strategy"
                f" {name!r} with {what}, which needs its own random order: use"
                " --guarantee calibrated"
            )
            raise InputError(msg)
        return predictive or bootstrap

    def _bound(self, chosen: Strategy | None) -> CalibratedBound:
        """Return the kind of bounds that the replays calibrate."""
        if self.settings.guarantee != "bootstrap":
            return POSTERIOR
        paired = chosen is not None and chosen.random_order
        return PAIRED_BOOTSTRAP if paired else BOOTSTRAP

    def _references(self, enough: NDArray[np.bool_], *, predictive: bool) -> OutcomeMatrix:
        """Keep the agents that ran enough of the benchmark to be ranked against.

        Without a model, these are the agents that ran at least half of the tasks. With a model, an
        agent is kept as well if its results explain at least half of the variance of its full
        score. That is, the variance of its predicted score is at most half of the variance that the
        model expects for an agent without results.
        """
        history = self.history
        if not predictive or enough.sum() < 2 or enough.all():
            return history.select(agents=enough)
        some = history.select(agents=np.flatnonzero((history.attempts > 0).any(axis=1)))
        model = PredictionModel.fit(some)
        told = model.complete(history.scores).deviations
        untold = float(model.complete(np.full((1, len(history.tasks)), np.nan)).deviations[0])
        return history.select(agents=enough | (told**2 <= _TOLD * untold**2))

    def _note_coverage(self, reference: OutcomeMatrix, *, predicted: bool) -> None:
        """Note how many of the tasks the agents ran, and how many agents are left out."""
        history = self.history
        n_agents, n_tasks = history.scores.shape
        shares = np.mean(history.attempts > 0, axis=1)
        ran_all = int(np.sum(shares == 1.0))
        if ran_all == n_agents:
            return
        lacking, place = n_agents - len(reference.agents), len(history.notes)
        if lacking:
            why = (
                "too few tasks for a prediction of their score"
                if predicted
                else "fewer than half of the tasks"
            )
            self.warnings.append(
                f"{lacking} of {n_agents} agents ran {why} and are not ranked against"
            )
        head = f"{ran_all} of {n_agents} agents ran all {n_tasks} tasks"
        part = np.mean(reference.attempts > 0, axis=1) if predicted else shares
        part = part[part < 1.0]
        if not part.size:
            return
        least, most = f"{part.min():.0%}", f"{part.max():.0%}"
        span = f"{least} of them" if least == most else f"{least} to {most} of them"
        tail = (
            f"{part.size} {'was' if part.size == 1 else 'were'} predicted from {span}:"
            f" {'its' if part.size == 1 else 'their'} uncertainty is in the intervals"
            if predicted
            else f"the others {span}"
        )
        self.notes.insert(place, f"{head}, {tail}")

    def _exploration(self) -> Exploration:
        """Find the guard tasks, each once, in the given order."""
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
        """Return the costs for a strategy that weighs them, and note where they come from."""
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
        """Learn how informative further attempts are, if the plan may choose them."""
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

    def _estimator(self, *, calibrated: bool, drawn: bool) -> str:
        """Return the requested estimator if the plan meets its needs, else ``auto``."""
        name = self.settings.estimator
        wanted = ESTIMATORS.get(name)
        if wanted is None:
            return name
        lacking = "explore" if wanted.needs_draws and not drawn else ""
        if wanted.needs_model and not calibrated:
            lacking = "a calibrated plan"
        if lacking:
            self.warnings.append(f"estimator {name} is not used: it needs {lacking}")
            return "auto"
        return name

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


def _named_order(found: Chosen) -> str:
    """Return the name of the ordering strategy; empty if it is the strategy's fixed form."""
    if found.in_order is None or found.in_order.name == found.strategy.fixed().name:
        return ""
    return found.in_order.name
