"""The default: which calibrated strategy the history's own agents recommend."""

from dataclasses import dataclass

from midband_history import OutcomeMatrix
from midband_sampler._band import Band
from midband_sampler._calibration import Calibration, calibrate, required_replays
from midband_sampler._stopping import Never, RankSettled, StoppingRule
from midband_sampler._strategies import CHOOSERS, LIVE, Chooser, DesignChooser, find_chooser

AUTO = ("design", "stratified", "random")


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


def choose_calibrated(
    reference: OutcomeMatrix,
    name: str,
    *,
    rule: StoppingRule,
    band: Band,
    max_tasks: int | None,
    seed: int,
    notes: list[str],
    warnings: list[str],
) -> Choice:
    """Calibrate the strategy, or the cheapest of the fixed ones, by replay on the references."""
    needed = required_replays(rule.confidence)
    if len(reference.agents) < needed:
        fallback = "random" if name in CHOOSERS or name == "auto" else name
        warnings.append(
            f"{len(reference.agents)} reference agents, {needed} are needed to calibrate"
            f" {rule.confidence:.0%} by replay (fewer for a lower confidence): the always-valid"
            f" bound with strategy {fallback!r} instead"
        )
        return Choice(fallback)
    tried: list[tuple[float, int, str, Chooser, Calibration]] = []
    # A rule that never stops has no stop to calibrate at: take that of a single rank.
    judged = RankSettled(rule.confidence, 0.0) if isinstance(rule, Never) else rule
    for place, each in enumerate(AUTO if name == "auto" else (name,)):
        chooser = find_chooser(each, band=band)
        result = calibrate(
            reference,
            chooser,
            rule=judged,
            max_tasks=max_tasks,
            seed=seed,
        )
        tried.append((result.fraction_run, place, each, chooser, result))
    _, _, best, chooser, calibration = min(tried, key=lambda each: each[:2])
    notes.append(
        f"strategy {best}: {calibration.replays} replays of earlier agents, each without its"
        f" {calibration.held_out}, ran {calibration.fraction_run:.0%} of the tasks;"
        f" {calibration.covered} of {calibration.replays} intervals held the true rank"
    )
    fallback: Calibration | None = None
    if best in LIVE:
        fallback = calibrate(
            reference, DesignChooser(), rule=judged, max_tasks=max_tasks, seed=seed
        )
    return Choice(best, chooser, calibration, fallback)
