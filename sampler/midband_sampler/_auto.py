"""The default: which calibrated strategy the history's own agents recommend."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler._attempts import Attempts
from midband_sampler._calibration import (
    LARGEST,
    UNCHECKED,
    Calibration,
    calibrate,
    interval_multipliers,
    required_replays,
)
from midband_sampler._costs import expected_usd
from midband_sampler._drift import surprise_limit
from midband_sampler._replays import Fold, make_folds, replay_all
from midband_sampler._strategies import LIVE, PREDICTIVE, WITHOUT_COSTS, Chooser, InOrder
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.combine import AnyOf
from midband_sampler.stopping.rank import RankSettled

AUTO = ("information", "matched", "design")
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Choice:
    """A strategy with what its confidence rests on.

    Parameters
    ----------
    name : str
    chooser : Chooser or None
    calibration : Calibration or None
        None where the history has too few agents to calibrate on.
    fallback : Calibration or None
        Of the fixed order, where the strategy chooses live.
    """

    name: str
    chooser: Chooser | None = None
    calibration: Calibration | None = None
    fallback: Calibration | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class _Trial:
    """One strategy replayed: its calibration, and how each replay went at that width."""

    chooser: Chooser
    calibration: Calibration
    run: FloatArray
    error: FloatArray
    spent: FloatArray


def choose_calibrated(
    reference: OutcomeMatrix,
    name: str,
    *,
    rule: Rule,
    build: Callable[[str], Chooser],
    max_tasks: int | None,
    seed: int,
    in_order_too: bool,
    notes: list[str],
    warnings: list[str],
    attempts: Attempts | None = None,
    costs: FloatArray | None = None,
) -> Choice:
    """Calibrate the strategy by replay on the references; for ``auto``, choose it so.

    ``auto`` goes down `AUTO` and leaves a strategy only for one that gains more than two standard
    errors over it in the same replays: with tens of agents the best of several looks better than
    it is.

    `build` makes the chooser of a name, as a session of the plan will use it. A strategy that
    weighs `costs` is compared with the same one without them: where results on cheap tasks say less
    of the others than the model expects, it may need so many more that it costs more.
    """
    needed = required_replays(rule.confidence) + len(rule.named_agents)  # these are not replayed
    instead = "random" if name in PREDICTIVE or name == "auto" else name
    whole = max_tasks is None or max_tasks >= len(reference.tasks)
    if len(reference.agents) < needed:
        few = (
            f"{len(reference.agents)} reference agents, {needed} are needed to calibrate"
            f" {rule.confidence:.0%} by replay (fewer for a lower confidence)"
        )
        if not whole and instead != name:
            return _unchecked(AUTO[0] if name == "auto" else name, build, rule, few, warnings)
        warnings.append(f"{few}: the always-valid bound with strategy {instead!r} instead")
        return Choice(instead)
    # Without a rule or a limit everything is run and known: ask for the interval of a single rank.
    judged = RankSettled(rule.confidence, 0.0) if not rule.can_stop and whole else rule
    for unit in _uncounted(reference, rule):
        warnings.append(
            f"the history does not say what every task took in {unit}: not all replays could stop"
            " on that budget, and an interval at such a stop is not checked by them"
        )
        if not rule.can_claim:
            judged = AnyOf((rule, RankSettled(rule.confidence, 0.0)))
    folds, held_out = make_folds(reference, attempts, costs)

    def attempt(chooser: Chooser) -> _Trial | None:
        return _try(folds, chooser, held_out, rule=judged, max_tasks=max_tasks, seed=seed)

    best, trial = "", None
    tried: dict[str, _Trial | None] = {}
    for each in AUTO if name == "auto" else (name,):
        other = tried[each] = attempt(build(each))
        if other is not None and (trial is None or _gains(other, trial)):
            best, trial = each, other
    if trial is None:
        warnings.append(
            f"no width up to {LARGEST:g} standard deviations covered in enough of"
            f" {len(reference.agents)} replays: the always-valid bound with strategy {instead!r}"
            " instead"
        )
        return Choice(instead)
    surprise = surprise_limit(folds, trial.chooser, seed=seed)
    calibration = replace(trial.calibration, surprise=surprise)
    notes.append(
        f"strategy {best}: {calibration.replays} replays of earlier agents, each without its"
        f" {calibration.held_out}, ran {calibration.fraction_run:.0%} of the tasks;"
        f" {calibration.covered} of {calibration.replays} intervals held the true rank where the"
        " run ended"
    )
    in_order = None
    if best in LIVE and in_order_too:
        again = best == "information" and "design" in tried
        in_order = tried["design"] if again else attempt(InOrder(trial.chooser))
    if best in WITHOUT_COSTS:
        plain = WITHOUT_COSTS[best]
        _compare_costs(best, trial, plain, attempt(build(plain)), notes, warnings)
    fallback = None if in_order is None else replace(in_order.calibration, surprise=surprise)
    return Choice(best, trial.chooser, calibration, fallback)


def _uncounted(reference: OutcomeMatrix, rule: Rule) -> tuple[str, ...]:
    """Units of the rule's budgets that replays of this history cannot count to the end."""
    known = {"usd": expected_usd(reference), "seconds": reference.duration_s}
    return tuple(
        unit for unit, each in known.items() if rule.counts(unit) and bool(np.isnan(each).any())
    )


def _unchecked(
    name: str,
    build: Callable[[str], Chooser],
    rule: Rule,
    few: str,
    warnings: list[str],
) -> Choice:
    """Predict with the model, and claim only what is certain: the run has a limit of its own."""
    warnings.append(f"{few}: the score is predicted, and the interval holds whatever is possible")
    calibration = Calibration(
        multiplier=UNCHECKED,
        confidence=rule.confidence,
        replays=0,
        covered=0,
        fraction_run=1.0,
        held_out="agent",
    )
    return Choice(name, build(name), calibration, calibration if name in LIVE else None)


def _compare_costs(
    name: str,
    trial: _Trial,
    plain: str,
    without: _Trial | None,
    notes: list[str],
    warnings: list[str],
) -> None:
    """Say what weighing costs saved in the replays, or that it saved nothing."""
    spent = float(trial.spent.mean())
    if without is None or spent < float(without.spent.mean()):
        other = "" if without is None else f", {plain} {without.spent.mean():.0%}"
        notes.append(f"the replays spent {spent:.0%} of the expected cost of all tasks{other}")
    else:
        warnings.append(
            f"weighing costs saved nothing: the replays spent {spent:.0%} of the expected cost of"
            f" all tasks, with strategy {plain!r} {without.spent.mean():.0%}; use that instead of"
            f" {name!r}"
        )


def _gains(trial: _Trial, over: _Trial) -> bool:
    """Whether a trial saves tasks, or error where all run alike, by two standard errors."""
    if np.array_equal(trial.run, over.run):
        gain = over.error**2 - trial.error**2
    else:
        gain = over.run - trial.run
    return bool(gain.mean() > _STANDARD_ERRORS * gain.std(ddof=1) / np.sqrt(gain.size))


def _try(
    folds: list[Fold],
    chooser: Chooser,
    held_out: str,
    *,
    rule: Rule,
    max_tasks: int | None,
    seed: int,
) -> _Trial | None:
    for multipliers in interval_multipliers(rule.confidence, held_out):
        replays = replay_all(folds, chooser, multipliers, rule=rule, max_tasks=max_tasks, seed=seed)
        calibration = calibrate(replays, multipliers, confidence=rule.confidence, held_out=held_out)
        if calibration is not None:
            place = int(np.searchsorted(multipliers, calibration.multiplier))
            return _Trial(
                chooser=chooser,
                calibration=calibration,
                run=replays.run[:, place],
                error=replays.error[:, place],
                spent=replays.spent[:, place],
            )
    return None
