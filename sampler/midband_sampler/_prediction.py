"""The prediction: full score of a candidate from the tasks it has run so far."""

import numpy as np

from midband_history import FloatArray, IntArray


class FullScorePrediction:
    """Posterior predictive full scores of candidates, updated a task at a time.

    A candidate is a point on the ability grid; the profile of a node is the pass rate of every
    task there. The full score is the sum over seen tasks plus the predicted sum over unseen ones,
    so it is exact once everything was run. Several candidates are carried along at once: one in a
    live session, many in a replay.

    Parameters
    ----------
    profiles : ndarray of float64, shape (n_tasks, n_nodes)
        Predicted pass rates in (0, 1).
    log_prior : ndarray of float64, shape (n_nodes,)
    candidates : int
    binary : bool
        Whether every score is 0 or 1: full scores then lie on a lattice.
    """

    def __init__(
        self, profiles: FloatArray, log_prior: FloatArray, *, candidates: int = 1, binary: bool
    ) -> None:
        self._profiles = np.clip(profiles, 1e-6, 1.0 - 1e-6)
        self._squares = self._profiles**2
        self._log_pass = np.log(self._profiles)
        self._log_fail = np.log1p(-self._profiles)
        self._binary = binary
        n_tasks, _ = profiles.shape
        self._log_posterior = np.tile(log_prior, (candidates, 1))
        self._unseen_mean = np.tile(self._profiles.sum(axis=0), (candidates, 1))
        self._unseen_variance = np.tile(
            (self._profiles - self._squares).sum(axis=0), (candidates, 1)
        )
        self.unseen = np.ones((candidates, n_tasks), dtype=bool)
        self._total = np.full(candidates, float(n_tasks))
        self._sum = np.zeros(candidates)
        self._left = np.full(candidates, float(n_tasks))

    def observe(self, rows: IntArray, tasks: IntArray, scores: FloatArray) -> None:
        """Take in one score for each named candidate; NaN takes the task out of the target.

        Parameters
        ----------
        rows, tasks : ndarray of int64, shape (n,)
            Candidate and task of each score; a candidate stands in `rows` at most once.
        scores : ndarray of float64, shape (n,)
        """
        profile = self._profiles[tasks]
        self._unseen_mean[rows] -= profile
        self._unseen_variance[rows] -= profile - self._squares[tasks]
        self.unseen[rows, tasks] = False
        self._left[rows] -= 1.0
        known = ~np.isnan(scores)
        self._total[rows[~known]] -= 1.0
        rows, tasks, scores = rows[known], tasks[known], scores[known]
        self._sum[rows] += scores
        self._log_posterior[rows] += (
            scores[:, None] * self._log_pass[tasks]
            + (1.0 - scores[:, None]) * self._log_fail[tasks]
        )

    def _posterior(self) -> FloatArray:
        weights = np.exp(self._log_posterior - self._log_posterior.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    @property
    def profiles(self) -> FloatArray:
        """Pass rate of every task at every node of the ability, shape (n_tasks, n_nodes)."""
        return self._profiles

    @property
    def binary(self) -> bool:
        """Whether every score is 0 or 1."""
        return self._binary

    @property
    def tasks_in_target(self) -> FloatArray:
        """Number of tasks of which each candidate's full score is the mean, shape (candidates,)."""
        return np.asarray(np.maximum(self._total, 1.0))

    def ability(self) -> FloatArray:
        """Posterior weights of each candidate's ability, shape (candidates, n_nodes)."""
        return self._posterior()

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the full score, each of shape (candidates,)."""
        weights = self._posterior()
        mean = (weights * self._unseen_mean).sum(axis=1)
        second = (weights * (self._unseen_variance + self._unseen_mean**2)).sum(axis=1)
        total = np.maximum(self._total, 1.0)
        deviation = np.sqrt(np.maximum(second - mean**2, 0.0))
        return (self._sum + mean) / total, deviation / total

    def bounds_each(self, multipliers: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean -+ multiplier standard deviations, kept to what can still be reached.

        Where scores are 0 or 1 the bounds move inwards to the nearest reachable scores.

        Parameters
        ----------
        multipliers : ndarray of float64, shape (n,)

        Returns
        -------
        low, high : ndarray of float64, shape (candidates, n)
        """
        mean, deviation = (part[:, None] for part in self.moments())
        seen = self._sum[:, None]
        total = np.maximum(self._total, 1.0)[:, None]
        low = np.maximum(mean - multipliers * deviation, seen / total)
        high = np.minimum(mean + multipliers * deviation, (seen + self._left[:, None]) / total)
        if self._binary:
            inner_low = (seen + np.ceil(low * total - seen - 1e-6)) / total
            inner_high = (seen + np.floor(high * total - seen + 1e-6)) / total
            nearest = (seen + np.round(mean * total - seen)) / total
            empty = inner_low > inner_high
            low = np.where(empty, nearest, inner_low)
            high = np.where(empty, nearest, inner_high)
        return low, high

    def predicted(self) -> FloatArray:
        """Predicted pass rate of each candidate on each task, shape (candidates, n_tasks)."""
        return np.asarray(self._posterior() @ self._profiles.T)

    def variance_reduction(self) -> FloatArray:
        """How much one more result is expected to reduce the variance of the full score's sum.

        Shape (candidates, n_tasks); -inf for tasks already seen. For a binary result x of task j
        the expected posterior variance of the sum S is Var(S) - Cov(S, x)^2 / Var(x), exactly;
        Cov(S, x) = Cov(unseen mean, p_j) + E[p_j (1 - p_j)] over the ability's posterior.
        """
        weights = self._posterior()
        rate = weights @ self._profiles.T
        square = weights @ self._squares.T
        mean = (weights * self._unseen_mean).sum(axis=1, keepdims=True)
        cross = (weights * self._unseen_mean) @ self._profiles.T
        covariance = cross - mean * rate + rate - square
        gain = covariance**2 / np.maximum(rate * (1.0 - rate), 1e-9)
        return np.where(self.unseen, gain, -np.inf)

    def design(self, costs: FloatArray | None = None) -> IntArray:
        """Order all tasks by variance reduction under the first candidate's present posterior.

        Greedy, with the covariance of the results brought down by one rank a task; ties go to the
        lowest position.

        Parameters
        ----------
        costs : ndarray of float64, shape (n_tasks,), optional
            Positive expected cost of each task, to order by the reduction per cost.
        """
        weights = self._posterior()[0]
        rate = self._profiles @ weights
        centred = (self._profiles - rate[:, None]) * np.sqrt(weights)
        noise = (self._profiles - self._squares) @ weights
        # Covariance = centred centred' + diag(noise), minus one outer product a chosen task.
        variance = (centred**2).sum(axis=1) + noise
        with_sum = centred @ centred.sum(axis=0) + noise
        n_tasks = rate.size
        taken: list[FloatArray] = []
        order = np.empty(n_tasks, dtype=np.int64)
        gain = with_sum**2 / np.maximum(variance, 1e-12)
        gain = gain if costs is None else gain / costs
        open_tasks = np.ones(n_tasks, dtype=bool)
        for place in range(n_tasks):
            chosen = int(np.where(open_tasks, gain, -np.inf).argmax())
            order[place] = chosen
            open_tasks[chosen] = False
            if place >= 400:
                rest = np.argsort(np.where(open_tasks, -gain, np.inf), kind="stable")
                order[place + 1 :] = rest[: n_tasks - place - 1]
                break
            column = centred @ centred[chosen]
            column[chosen] += noise[chosen]
            for each in taken:
                column = column - each * each[chosen]
            unit = column / np.sqrt(max(variance[chosen], 1e-12))
            taken.append(unit)
            with_sum = with_sum - unit * unit.sum()
            variance = np.maximum(variance - unit**2, 1e-12)
            gain = with_sum**2 / variance
            gain = gain if costs is None else gain / costs
        return order


def rank_bounds(
    low: FloatArray, high: FloatArray, reference_full_scores: FloatArray
) -> tuple[IntArray, IntArray]:
    """Ranks that scores between `low` and `high` can take: 1 + number strictly better."""
    ordered = np.sort(reference_full_scores)
    best = 1 + ordered.size - np.searchsorted(ordered, high + 1e-9, side="right")
    worst = 1 + ordered.size - np.searchsorted(ordered, low + 1e-9, side="right")
    return best.astype(np.int64), worst.astype(np.int64)
