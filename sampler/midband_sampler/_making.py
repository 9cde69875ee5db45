"""Making a plan: tasks, order and stop for a new agent from the results of earlier ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler._attempts import Attempts
from midband_sampler._auto import choose_calibrated
from midband_sampler._band import Band
from midband_sampler._combined import gives_up, single_rules
from midband_sampler._costs import (
    check_cost_unit,
    choice_costs,
    expected_seconds,
    expected_usd,
)
from midband_sampler._errors import PlanError
from midband_sampler._model import PredictionModel
from midband_sampler._plan import Plan
from midband_sampler._steering import SteeredChooser, Steering
from midband_sampler._stopping import Never, RankSettled, StoppingRule, TopK
from midband_sampler._strategies import (
    LIVE,
    PER_COST,
    PREDICTIVE,
    STRATEGIES,
    Chooser,
    FixedChooser,
    RandomStrategy,
    Selection,
    Strategy,
    find_chooser,
    find_strategy,
)

if TYPE_CHECKING:
    from midband_sampler._calibration import Calibration

MIN_REFERENCE = 5
MIN_COVERAGE = 0.5
_MIN_SAMPLE = 2
_REPEATING = ("cost", "information")
GUARANTEES = ("auto", "always-valid", "calibrated")


def make_plan(
    matrix: OutcomeMatrix,
    *,
    strategy: str | Strategy = "band",
    band: Band | None = None,
    stop: StoppingRule | None = None,
    max_tasks: int | None = None,
    seed: int = 0,
    as_of: str = "",
    versions: Mapping[str, str] | None = None,
    guarantee: str = "auto",
    always: Sequence[str] = (),
    explore: float = 0.0,
    attempts: int = 1,
    cost_unit: str = "usd",
    fallback: bool = True,
) -> Plan:
    """Choose tasks for a new agent from the results of earlier ones.

    Parameters
    ----------
    matrix : OutcomeMatrix
        History of one benchmark. Agents that ran fewer than half of the tasks count in
        the band's pass rates but are no references to rank against; a warning says how many.
    strategy : str or Strategy
        ``band``, ``random``, ``stratified``: chosen by pass rate alone. ``design``: the order
        that leaves the least variance in the predicted full score, fixed before the run;
        ``information`` and ``matched`` choose live. ``cost`` and ``cost-design``: the same two by
        the reduction per expected cost. ``auto``: ``information``, or what replays recommend
        instead. Or an object of your own.
    band : Band, optional
        Default 30-70 %.
    stop : StoppingRule, optional
        Default ``RankSettled()``.
    max_tasks : int, optional
        Keep only so many tasks; a larger plan with the same seed contains the smaller one.
    seed : int
        Same history, settings and seed give the same plan.
    as_of : str
        Noted in the plan; the matrix must have been read as of it.
    versions : mapping, optional
        Versions of the plugins that took part.
    guarantee : str
        ``always-valid``: a bound over all looks at the rank on the planned tasks; needs a random
        order. ``calibrated``: the rank on the full benchmark, predicted, with an interval as wide
        as replays on the history's own agents require. ``auto``: calibrated where the strategy
        needs it.
    always : sequence of str
        Guard tasks: they run first, whatever the strategy. Being no random sample they are known
        results, and no evidence, on the others: under ``always-valid`` the bound is that for the
        other tasks.
    explore : float
        In [0, 1): chance that a choice is drawn uniformly from all tasks left, so that
        `Session.randomised_score` needs no model. For calibrated plans.
    attempts : int
        Up to so many attempts at a task, one more being asked for where it tells more than another
        task; for ``information`` and ``cost``. The full score is then that of so many attempts at
        every task, and `max_tasks` counts attempts.
    cost_unit : str
        ``usd`` or ``seconds``, for ``cost`` and ``cost-design``.
    fallback : bool
        Whether a plan that chooses live is also calibrated for its tasks in their order:
        `Plan.fixed`.

    Raises
    ------
    PlanError
        When no honest plan can be made: no results, too few mid-difficulty tasks, or no costs.
    """
    _check(matrix, guarantee, max_tasks)
    rule = stop if stop is not None else RankSettled()
    rng = np.random.default_rng(seed)
    notes: list[str] = [*matrix.notes, *_coverage_notes(matrix)]
    warnings: list[str] = []
    name = strategy if isinstance(strategy, str) else strategy.name
    predictive = isinstance(strategy, str) and (
        guarantee == "calibrated" or name == "auto" or name in PREDICTIVE
    )
    steering = Steering(always=_guards(matrix, always, max_tasks), explore=explore, seed=seed)
    if guarantee != "auto" and predictive != (guarantee == "calibrated"):
        msg = (
            f"expected a strategy that can be {guarantee}, got {name!r}:"
            f" use strategy {', '.join(sorted(STRATEGIES))} for always-valid, one of midband's own"
            " for calibrated, or --guarantee auto"
        )
        raise InputError(msg)
    if explore and not predictive:
        msg = (
            f"expected a calibrated plan for explore={explore:g}, got strategy {name!r} with an"
            " always-valid bound, which needs its own random order: use --guarantee calibrated"
        )
        raise InputError(msg)
    costs = _costs_for(matrix, name, cost_unit, notes)
    reference = _reference_agents(matrix, warnings)
    tries = _attempts_for(reference, name, attempts, rule, explore=explore)
    known = len(reference.agents)
    if known < MIN_REFERENCE:
        warnings.append(
            f"only {known} agent{'s'[: known != 1]} to rank against, {MIN_REFERENCE} are needed:"
            " a random order without early stopping instead of a promise that cannot be kept"
        )
        name, strategy, rule = "random", RandomStrategy(), Never(rule.confidence)
    warnings += [
        f"every agent is in the top {each.k} of {known + 1}: nothing to decide"
        for each in single_rules(rule)
        if isinstance(each, TopK) and each.k > known
    ]
    chooser: Chooser | None = None
    calibration: Calibration | None = None
    in_order: Calibration | None = None
    if predictive and isinstance(strategy, str):
        choice = choose_calibrated(
            reference,
            name,
            rule=rule,
            build=lambda each: steering.apply(find_chooser(each, band=band or Band(), costs=costs)),
            max_tasks=max_tasks,
            seed=seed,
            in_order_too=fallback,
            notes=notes,
            warnings=warnings,
            attempts=tries,
            costs=costs,
        )
        name, chooser, calibration = choice.name, choice.chooser, choice.calibration
        in_order = choice.fallback
    model: PredictionModel | None = None
    if calibration is not None and chooser is not None:
        model = PredictionModel.fit(reference)
        selection = Selection(chooser.order(reference, model.predict(), rng=rng))
        inner = chooser.chooser if isinstance(chooser, SteeredChooser) else chooser
        if isinstance(inner, FixedChooser):  # in the order that was replayed, and with its band
            again = np.random.default_rng(seed)
            selection = inner.strategy.select(reference, band=inner.band, rng=again)
    else:
        chosen = find_strategy(name) if isinstance(strategy, str) else strategy
        selection = chosen.select(matrix, band=band or Band(), rng=rng)
        if explore:
            warnings.append("explore is not used: the order is random, which is as fair")
            steering = replace(steering, explore=0.0)
    warnings.extend(selection.warnings)
    live = calibration is not None and name in LIVE
    arranged = steering.arrange(selection.tasks, len(matrix.tasks))
    order = arranged if live else arranged[:max_tasks]
    if calibration is None and always and len(order) < len(steering.always) + _MIN_SAMPLE:
        msg = (
            f"expected at least {_MIN_SAMPLE} planned tasks besides the {len(steering.always)}"
            f" guard tasks, got {len(order) - len(steering.always)}: they alone rank nobody"
        )
        raise PlanError(msg)
    if attempts > 1 and calibration is None:
        warnings.append(f"attempts={attempts} is not used: without a model no attempt is chosen")
    elif tries is not None:
        notes.append(
            f"up to {attempts} attempts a task: given the agent's ability, two attempts at a task"
            f" correlate by {tries.correlation:.2f} in this history"
        )
    notes.extend(_steering_notes(steering))
    return Plan(
        benchmark=matrix.benchmark,
        tasks=tuple(matrix.tasks[j] for j in order),
        all_tasks=matrix.tasks,
        task_digests=MappingProxyType(dict(zip(matrix.tasks, matrix.task_digests, strict=True))),
        reference_agents=reference.agents,
        reference_scores=np.round(reference.scores, 9),
        expected_cost_usd=expected_usd(matrix),
        strategy=name,
        stop=rule,
        model=model,
        calibration=calibration,
        fallback=in_order,
        max_tasks=max_tasks,
        notes=tuple(notes),
        band=selection.band,
        always=tuple(matrix.tasks[j] for j in steering.always),
        explore=steering.explore,
        attempts=tries if calibration is not None else None,
        cost_unit=cost_unit,
        task_costs=costs if calibration is not None else None,
        seed=seed,
        as_of=as_of,
        warnings=tuple(warnings),
        versions=MappingProxyType(dict(versions or {})),
        metric=matrix.metric if matrix.metric.known else None,
        version=matrix.version,
    )


def _check(matrix: OutcomeMatrix, guarantee: str, max_tasks: int | None) -> None:
    """Raise unless there are results to plan from and the settings are known."""
    if not matrix.agents or not matrix.tasks:
        msg = (
            f"expected results of {matrix.benchmark!r} in the history, got none: import some first"
        )
        raise PlanError(msg)
    if guarantee not in GUARANTEES:
        msg = f"expected a guarantee among {', '.join(GUARANTEES)}, got {guarantee!r}"
        raise InputError(msg)
    if max_tasks is not None and max_tasks < 1:
        msg = f"expected max_tasks >= 1, got {max_tasks}"
        raise InputError(msg)


def _reference_agents(matrix: OutcomeMatrix, warnings: list[str]) -> OutcomeMatrix:
    """Keep the agents that ran enough of the benchmark to be ranked against."""
    reference = np.mean(matrix.attempts > 0, axis=1) >= MIN_COVERAGE
    if not reference.all():
        warnings.append(
            f"{int(np.sum(~reference))} of {len(matrix.agents)} agents ran fewer than half of the"
            " tasks and are not ranked against"
        )
    return matrix.select(agents=np.flatnonzero(reference))


def _coverage_notes(matrix: OutcomeMatrix) -> list[str]:
    """Say how many of the tasks the agents ran, where some did not run all."""
    shares = np.mean(matrix.attempts > 0, axis=1)
    part = shares < 1.0
    if not part.any():
        return []
    return [
        f"{int(np.sum(~part))} of {len(matrix.agents)} agents ran all {len(matrix.tasks)} tasks,"
        f" the others {shares[part].min():.0%} to {shares[part].max():.0%} of them"
    ]


def _guards(matrix: OutcomeMatrix, always: Sequence[str], max_tasks: int | None) -> tuple[int, ...]:
    """Positions of the guard tasks, each once, in the order given."""
    column = {task: place for place, task in enumerate(matrix.tasks)}
    unknown = [task for task in always if task not in column]
    if unknown:
        msg = (
            f"expected guard tasks of {matrix.benchmark!r}, got {', '.join(map(repr, unknown))}:"
            " `midband rates` lists its tasks"
        )
        raise InputError(msg)
    guards = tuple(dict.fromkeys(column[task] for task in always))
    if max_tasks is not None and guards and max_tasks <= len(guards):
        msg = (
            f"expected max_tasks above the {len(guards)} guard tasks, got {max_tasks}:"
            " guard tasks alone rank nobody"
        )
        raise InputError(msg)
    return guards


def _costs_for(matrix: OutcomeMatrix, name: str, unit: str, notes: list[str]) -> FloatArray | None:
    """Costs for a strategy that weighs them, with a note on what they rest on."""
    check_cost_unit(unit)
    if name not in PER_COST:
        if unit != "usd":
            msg = f"expected strategy cost or cost-design for cost unit {unit!r}, got {name!r}"
            raise InputError(msg)
        return None
    costs = choice_costs(matrix, unit=unit)
    known = expected_usd(matrix) if unit == "usd" else expected_seconds(matrix)
    note = f"costs: expected {unit} of an attempt, {costs.min():.3g} to {costs.max():.3g} a task"
    unknown = np.isnan(known)
    if unknown.any():
        middle = float(costs[unknown][0])
        note += f"; {unknown.sum()} of {known.size} tasks without one count as {middle:.3g}"
    elif np.ptp(costs) == 0.0:
        note += ": all alike, so that this is the same as without costs"
    notes.append(note)
    return costs


def _attempts_for(
    reference: OutcomeMatrix, name: str, attempts: int, rule: StoppingRule, *, explore: float
) -> Attempts | None:
    """Learn what several attempts tell, where a plan is to choose among them."""
    if attempts < 1:
        msg = f"expected attempts >= 1, got {attempts}"
        raise InputError(msg)
    if attempts == 1:
        return None
    if name not in _REPEATING:
        msg = (
            f"expected strategy {' or '.join(_REPEATING)} for attempts={attempts}, got {name!r}:"
            " only these weigh another attempt against another task"
        )
        raise InputError(msg)
    if explore or gives_up(rule):
        found = f"explore={explore:g}" if explore else "hopeless"
        msg = f"expected attempts=1 with {found}, got {attempts}: use the one or the other"
        raise InputError(msg)
    return Attempts.learn(reference, attempts) if len(reference.agents) >= MIN_REFERENCE else None


def _steering_notes(steering: Steering) -> list[str]:
    notes = []
    if steering.always:
        notes.append(
            f"{len(steering.always)} guard tasks run first; they are no random sample and count as"
            " known results, not as evidence on the other tasks"
        )
    if steering.explore:
        notes.append(
            f"{steering.explore:.0%} of the choices are drawn by chance from all tasks left: an"
            " estimate of the full score by these alone is honest even if the model is wrong"
        )
    return notes
