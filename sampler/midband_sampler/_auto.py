"""The default: which calibrated strategy the history's own agents recommend."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler._attempts import Attempts
from midband_sampler._calibration import MULTIPLIERS, Calibration, calibrate, required_replays
from midband_sampler._replays import Fold, make_folds, replay_all
from midband_sampler._stopping import Never, RankSettled, StoppingRule
from midband_sampler._strategies import LIVE, PREDICTIVE, Chooser, InOrder

AUTO = ("design", "stratified", "random")
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

    def gain_over(self, other: "_Trial") -> FloatArray:
        """Return what each replay saved over the other: tasks, or error where all run alike."""
        if np.array_equal(self.run, other.run):
            return np.asarray(other.error**2 - self.error**2)
        return np.asarray(other.run - self.run)


def choose_calibrated(
    reference: OutcomeMatrix,
    name: str,
    *,
    rule: StoppingRule,
    build: Callable[[str], Chooser],
    max_tasks: int | None,
    seed: int,
    notes: list[str],
    warnings: list[str],
    attempts: Attempts | None = None,
) -> Choice:
    """Calibrate the strategy by replay on the references; for ``auto``, choose it so.

    ``auto`` takes the first of `AUTO` unless another gains more than two standard errors over it
    in the same replays: with tens of agents the best of several looks better than it is.

    `build` makes the chooser of a name, as a session of the plan will use it.
    """
    needed = required_replays(rule.confidence)
    if len(reference.agents) < needed:
        instead = "random" if name in PREDICTIVE or name == "auto" else name
        warnings.append(
            f"{len(reference.agents)} reference agents, {needed} are needed to calibrate"
            f" {rule.confidence:.0%} by replay (fewer for a lower confidence): the always-valid"
            f" bound with strategy {instead!r} instead"
        )
        return Choice(instead)
    # Without a rule or a limit everything is run and known: ask for the interval of a single rank.
    whole = max_tasks is None or max_tasks >= len(reference.tasks)
    judged = RankSettled(rule.confidence, 0.0) if isinstance(rule, Never) and whole else rule
    folds, held_out = make_folds(reference, attempts)

    def attempt(chooser: Chooser) -> _Trial:
        return _try(folds, chooser, held_out, rule=judged, max_tasks=max_tasks, seed=seed)

    best, *others = AUTO if name == "auto" else (name,)
    trial = attempt(build(best))
    first, most = trial, 0.0
    for each in others:
        other = attempt(build(each))
        gain = other.gain_over(first)
        if gain.mean() > max(most, _STANDARD_ERRORS * gain.std(ddof=1) / np.sqrt(gain.size)):
            best, trial, most = each, other, float(gain.mean())
    calibration = trial.calibration
    notes.append(
        f"strategy {best}: {calibration.replays} replays of earlier agents, each without its"
        f" {calibration.held_out}, ran {calibration.fraction_run:.0%} of the tasks;"
        f" {calibration.covered} of {calibration.replays} intervals held the true rank"
    )
    fallback = attempt(InOrder(trial.chooser)).calibration if best in LIVE else None
    return Choice(best, trial.chooser, calibration, fallback)


def _try(
    folds: list[Fold],
    chooser: Chooser,
    held_out: str,
    *,
    rule: StoppingRule,
    max_tasks: int | None,
    seed: int,
) -> _Trial:
    replays = replay_all(folds, chooser, MULTIPLIERS, rule=rule, max_tasks=max_tasks, seed=seed)
    calibration = calibrate(replays, confidence=rule.confidence, held_out=held_out)
    place = int(np.argmin(np.abs(MULTIPLIERS - calibration.multiplier)))
    return _Trial(
        chooser=chooser,
        calibration=calibration,
        run=replays.run[:, place],
        error=replays.error[:, place],
    )
