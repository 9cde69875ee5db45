"""The calibration: how wide intervals must be to cover on the history's own agents."""

from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtri

from midband_history import FloatArray
from midband_sampler._replays import Replays

MIN_REPLAYS = 10
_STEP = 1.05
LARGEST = 6.0
UNCHECKED = 1e9
_NARROW = 10
_BLIND_FACTOR = 1.2


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What replaying a policy on the history's own agents showed.

    Parameters
    ----------
    multiplier : float
        Standard deviations on either side of the predicted full score; `UNCHECKED` where there
        were too few agents to replay, which leaves only the bounds that no result can pass.
    confidence : float
        Share of new agents whose rank interval at the stop is to cover.
    replays : int
        Agents of the history that were replayed, each against a model that had not seen it.
    covered : int
        Replays whose interval at the stop covered the true rank.
    fraction_run : float
        Mean share of the benchmark's tasks that the replays ran; 1 without replays.
    held_out : str
        ``"scaffold"`` or ``"agent"``: what each replay left out. Leaving out agents alone cannot
        see a change of scaffold; the interval is widened by a fifth then.
    surprise : float
        Log odds against the model that at most 5 % of the replays exceeded; 0 if not measured. See
        `Decision.warnings`.
    """

    multiplier: float
    confidence: float
    replays: int
    covered: int
    fraction_run: float
    held_out: str
    surprise: float = 0.0

    @property
    def guarantee(self) -> str:
        """By what the confidence holds, for people."""
        if not self.replays:
            return "certain: what no result of the tasks that were not run could change"
        return (
            f"calibrated on {self.replays} replays of earlier agents, each without its"
            f" {self.held_out}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        plain = asdict(self)
        if not self.surprise:  # plans from before it was measured keep their digests
            del plain["surprise"]
        return plain


def required_replays(confidence: float) -> int:
    """Fewest replays from which a conformal bound at this confidence exists, at least 10."""
    return max(MIN_REPLAYS, int(np.ceil(confidence / (1.0 - confidence) - 1e-9)))


def interval_multipliers(confidence: float, held_out: str) -> tuple[FloatArray, FloatArray]:
    """Return the widths to try, in standard deviations: first the narrow ones, then all.

    From the normal quantile (a fifth above it where only agents were held out) in steps of 5 % to
    6. Wide intervals keep a replay going over most tasks, so they are tried only when needed.
    """
    floor = float(ndtri(0.5 + confidence / 2)) * (1.0 if held_out == "scaffold" else _BLIND_FACTOR)
    steps = int(np.ceil(np.log(LARGEST / floor) / np.log(_STEP)))
    grid = np.round(floor * _STEP ** np.arange(steps + 1), 6)
    return grid[:_NARROW], grid


def calibrate(
    replays: Replays, multipliers: FloatArray, *, confidence: float, held_out: str
) -> Calibration | None:
    """Find the narrowest interval that covers in enough replays at the rule's own stop.

    The multiplier is the smallest of those tried from which on at least ``ceil((n + 1)
    confidence)`` of n intervals cover at the stop that this multiplier leads to (split-conformal
    count; Vovk, Gammerman, Shafer 2005). None where not even the largest does.

    Parameters
    ----------
    replays : Replays
        At each of `multipliers`.
    multipliers : ndarray of float64
        Ascending; see `interval_multipliers`.
    confidence : float
    held_out : str
        ``"scaffold"`` or ``"agent"``.
    """
    covered, run = replays.covered, replays.run
    n = covered.shape[0]
    fails = np.flatnonzero(covered.sum(axis=0) < np.ceil((n + 1) * confidence - 1e-9))
    chosen = int(fails.max()) + 1 if fails.size else 0
    if chosen == multipliers.size:
        return None
    return Calibration(
        multiplier=float(multipliers[chosen]),
        confidence=confidence,
        replays=n,
        covered=int(covered[:, chosen].sum()),
        fraction_run=round(float(run[:, chosen].mean()), 6),
        held_out=held_out,
    )
