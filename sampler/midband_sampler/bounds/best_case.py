"""The best case: how narrow a predicted score can still become with the tasks that are left."""

import numpy as np

from midband_history import FloatArray, IntArray
from midband_sampler.model.posterior import FullScorePosterior

_PLAUSIBLE = 1e-6


class BestCaseWidth:
    """Least half width of predicted score bounds after more tasks, under the model.

    Whatever the results will be, those of the tasks that never run stay open. At an ability t
    they add up to the mean sum p_j(t) with variance sum p_j(t) (1 - p_j(t)); the bounds lie
    multiplier standard deviations to either side, but not beyond no pass and all passed. The
    half width is the least of these over the abilities that are now plausible (posterior weight
    above 1e-6); what will not be known of the ability itself is left out.

    Parameters
    ----------
    prediction : FullScorePosterior
        Of the candidates, who may have run some tasks already.
    order : ndarray of int64 or None
        Tasks in the order in which they run; None where they are chosen live, in which case the
        tasks that never run are taken to be the surest.
    """

    def __init__(self, prediction: FullScorePosterior, order: IntArray | None) -> None:
        self._prediction = prediction
        rate = prediction.profiles
        variance = rate * (1.0 - rate)
        if order is None:
            self._least_passes = _sums_from_end(-np.sort(-rate, axis=0))
            self._least_fails = _sums_from_end(-np.sort(rate - 1.0, axis=0))
            self._variance = _sums_from_end(-np.sort(-variance, axis=0))
        else:
            rest = np.setdiff1d(np.arange(rate.shape[0]), order)
            last = np.concatenate([order, rest])
            self._least_passes = _sums_from_end(rate[last])
            self._least_fails = _sums_from_end(1.0 - rate[last])
            self._variance = _sums_from_end(variance[last])

    def half_width(self, run: IntArray, multipliers: FloatArray) -> FloatArray:
        """Least half width once so many tasks have run.

        Parameters
        ----------
        run : ndarray of int64, shape (candidates,)
        multipliers : ndarray of float64, shape (n,)

        Returns
        -------
        half_width : ndarray of float64, shape (candidates, n)
        """
        reach = multipliers[:, None] * np.sqrt(self._variance[run])[:, None, :]
        below = np.minimum(reach, self._least_passes[run][:, None, :])
        above = np.minimum(reach, self._least_fails[run][:, None, :])
        plausible = self._prediction.ability()[:, None, :] >= _PLAUSIBLE
        half = np.where(plausible, (below + above) / 2.0, np.inf).min(axis=2)
        if self._prediction.binary:
            half = np.maximum(half - 1.0, 0.0)  # the bounds move inwards to what can be reached
        return np.asarray(half / self._prediction.tasks_in_target[:, None])


def _sums_from_end(values: FloatArray) -> FloatArray:
    """Sum over the tasks from each place on, shape (n_tasks + 1, n_nodes); the last is 0."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1]))
    sums[:-1] = np.cumsum(values[::-1], axis=0)[::-1]
    return sums
