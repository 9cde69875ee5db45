"""The band: which pass rates count as mid-difficulty, and when too few tasks do."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix
from midband_sampler.errors import PlanError

MIN_SHARE = 0.10
MIN_TASKS = 8
SPARSE_AGENTS = 5
_WIDENINGS = (0.0, 0.05, 0.15)
_EDGE = 1e-9  # a rate of 3/10 is inside 0.3, whatever the last bit of the division says


@dataclass(frozen=True)
class Band:
    """A closed range of pass rates.

    Parameters
    ----------
    low, high : float
        ``0 <= low < high <= 1``. The default 0.3 to 0.7 is that of arXiv:2603.23749.
    """

    low: float = 0.3
    high: float = 0.7

    def __post_init__(self) -> None:
        if not 0.0 <= self.low < self.high <= 1.0:
            msg = (
                "expected 0 <= low < high <= 1,"
                f" got low={self.low:g}, high={self.high:g}: give the lower bound first"
            )
            raise InputError(msg)

    def __str__(self) -> str:
        return f"{self.low * 100:.0f}-{self.high * 100:.0f} %"

    def contains(self, rates: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether each rate lies inside, bounds included; False for NaN."""
        return np.asarray((rates >= self.low - _EDGE) & (rates <= self.high + _EDGE))

    def widened(self, by: float) -> "Band":
        """Move both bounds outwards by `by`, within [0, 1]."""
        return Band(round(max(0.0, self.low - by), 10), round(min(1.0, self.high + by), 10))


def in_band(matrix: OutcomeMatrix, band: Band) -> IntArray:
    """Positions of the tasks that count as mid-difficulty, ascending.

    A task run by at least 5 agents is judged by its pass rate. A task run by fewer is judged by a
    Beta-binomial posterior, so that one pass of two agents is not taken for a rate of 50 %: its
    posterior mean must lie in the band and the band must hold at least half of the posterior. The
    prior is fitted by moments to the well-known tasks (Beta(1, 1) when fewer than 10 of those).
    """
    rates = matrix.pass_rates()
    agents = np.sum(matrix.attempts > 0, axis=0)
    known_well = agents >= SPARSE_AGENTS
    inside = band.contains(rates) & known_well
    sparse = np.flatnonzero((agents > 0) & ~known_well)
    if sparse.size:
        prior_pass, prior_fail = _beta_prior(rates[known_well])
        passes = prior_pass + rates[sparse] * agents[sparse]
        fails = prior_fail + (1.0 - rates[sparse]) * agents[sparse]
        mass = betainc(passes, fails, band.high) - betainc(passes, fails, band.low)
        inside[sparse] = band.contains(passes / (passes + fails)) & (mass >= 0.5)
    return np.flatnonzero(inside).astype(np.int64)


def _beta_prior(rates: FloatArray) -> tuple[float, float]:
    """Method-of-moments Beta parameters; their sum is kept within [1, 20]."""
    if rates.size < 10:
        return 1.0, 1.0
    mean = float(np.clip(rates.mean(), 0.02, 0.98))
    variance = float(max(rates.var(), 1e-6))
    strength = float(np.clip(mean * (1 - mean) / variance - 1.0, 1.0, 20.0))
    return mean * strength, (1 - mean) * strength


def find_band(matrix: OutcomeMatrix, band: Band) -> tuple[IntArray, Band, tuple[str, ...]]:
    """Tasks in the band, widened step by step when it holds too few to rank agents.

    Too few is fewer than 10 % of the tasks or fewer than 8. The steps of the default band are
    25-75 % and 15-85 %.

    Returns
    -------
    tasks : ndarray of int64
        Positions of the chosen tasks, ascending.
    used : Band
        The band that was used in the end.
    warnings : tuple of str

    Raises
    ------
    PlanError
        When even the widest band holds too few tasks.
    """
    n_tasks = len(matrix.tasks)
    needed = max(MIN_TASKS, int(np.ceil(MIN_SHARE * n_tasks)))
    counts: list[str] = []
    for by in _WIDENINGS:
        wider = band.widened(by)
        tasks = in_band(matrix, wider)
        if tasks.size >= needed:
            if not by:
                return tasks, wider, ()
            warning = (
                f"only {counts[0]}: the band was widened to {wider}"
                f" ({tasks.size} of {n_tasks} tasks)"
            )
            return tasks, wider, (warning,)
        counts.append(f"{tasks.size} of {n_tasks} tasks lie in the {wider} band")
    msg = (
        f"expected at least {needed} mid-difficulty tasks in {matrix.benchmark!r}, but only"
        f" {counts[-1]}: do not reduce this benchmark by a band; run it in full, or use"
        " --strategy random"
    )
    raise PlanError(msg)
