"""The prediction: full score of a candidate from the tasks it has run so far."""

import math

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray
from midband_sampler.model.dispersion import Dispersion

_NEGLIGIBLE = 1e-12
_TIE = 1e-9
_GREEDY_PLACES = 400


class FullScorePosterior:
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
        Whether every score is 0 or 1: full scores then lie on a lattice. Until another one is seen.
    dispersion : Dispersion, optional
        Of averaged or graded scores. A candidate's results count as single passes and fails until
        its own scores show that they are means or graded.
    """

    def __init__(
        self,
        profiles: FloatArray,
        log_prior: FloatArray,
        *,
        candidates: int = 1,
        binary: bool,
        dispersion: Dispersion | None = None,
    ) -> None:
        self._profiles = np.clip(profiles, 1e-6, 1.0 - 1e-6)
        # One row a node: a posterior's few nodes are then contiguous rows.
        self._rates = np.ascontiguousarray(self._profiles.T)
        self._rate_squares = self._rates**2
        self._log_pass = np.log(self._profiles)
        self._log_fail = np.log1p(-self._profiles)
        self._binary = binary
        n_tasks, _ = profiles.shape
        self._log_posterior = np.tile(log_prior, (candidates, 1))
        self._unseen_mean = np.tile(self._profiles.sum(axis=0), (candidates, 1))
        self._unseen_variance = np.tile(
            (self._profiles - self._profiles**2).sum(axis=0), (candidates, 1)
        )
        self.unseen = np.ones((candidates, n_tasks), dtype=bool)
        self._total = np.full(candidates, float(n_tasks))
        self._sum = np.zeros(candidates)
        self._left = np.full(candidates, float(n_tasks))
        self._dispersion = dispersion
        self._phi: FloatArray | None = None
        if dispersion is not None:
            self._log_prior = log_prior
            self._levels = dispersion.levels()
            self._level = np.zeros(candidates, dtype=np.int64)
            self._phi = self._levels[self._level]
            self._scores = np.full((candidates, n_tasks), np.nan)
        self._weights: FloatArray | None = None
        self._moments: tuple[FloatArray, FloatArray] | None = None

    def keep(self, target: NDArray[np.bool_]) -> None:
        """Take the tasks that a candidate will never run out of its target, before any result.

        Parameters
        ----------
        target : ndarray of bool, shape (candidates, n_tasks)
        """
        self._weights = self._moments = None
        self.unseen = target.copy()
        kept = target.astype(float)
        self._unseen_mean = kept @ self._profiles
        self._unseen_variance = kept @ (self._profiles - self._profiles**2)
        self._total = kept.sum(axis=1)
        self._left = self._total.copy()

    def observe(self, rows: IntArray, tasks: IntArray, scores: FloatArray) -> None:
        """Take in one score for each named candidate; NaN takes the task out of the target.

        Parameters
        ----------
        rows, tasks : ndarray of int64, shape (n,)
            Candidate and task of each score; a candidate stands in `rows` at most once.
        scores : ndarray of float64, shape (n,)
        """
        if rows.size == 1:
            self.observe_one(int(rows[0]), int(tasks[0]), float(scores[0]))
            return
        self._weights = self._moments = None
        if self._dispersion is not None:
            for row, task, score in zip(rows, tasks, scores, strict=True):
                self._note(int(row), int(task), float(score))
        phi = np.ones((rows.size, 1)) if self._phi is None else self._phi[rows, tasks, None]
        profile = self._profiles[tasks]
        self._unseen_mean[rows] -= profile
        self._unseen_variance[rows] -= phi * (profile - profile**2)
        self.unseen[rows, tasks] = False
        self._left[rows] -= 1.0
        known = ~np.isnan(scores)
        self._total[rows[~known]] -= 1.0
        rows, tasks, scores, phi = rows[known], tasks[known], scores[known], phi[known]
        self._sum[rows] += scores
        self._binary &= bool(np.all((scores == 0.0) | (scores == 1.0)))
        self._log_posterior[rows] += (
            scores[:, None] * self._log_pass[tasks]
            + (1.0 - scores[:, None]) * self._log_fail[tasks]
        ) / phi

    def observe_one(self, row: int, task: int, score: float) -> None:
        """Take in one score of one candidate; NaN takes the task out of the target."""
        self._weights = self._moments = None
        self._note(row, task, score)
        phi = 1.0 if self._phi is None else float(self._phi[row, task])
        profile = self._profiles[task]
        self._unseen_mean[row] -= profile
        self._unseen_variance[row] -= phi * (profile - profile**2)
        self.unseen[row, task] = False
        self._left[row] -= 1.0
        if score != score:
            self._total[row] -= 1.0
            return
        self._sum[row] += score
        self._binary &= score in (0.0, 1.0)
        if score > 0.0:
            self._log_posterior[row] += score / phi * self._log_pass[task]
        if score < 1.0:
            self._log_posterior[row] += (1.0 - score) / phi * self._log_fail[task]

    def _note(self, row: int, task: int, score: float) -> None:
        """Keep a score; judge all results of its candidate anew if it shows what they are.

        They are taken to be single passes and fails, then means of as few attempts as can have
        given them all.
        """
        if self._dispersion is None or self._phi is None or score != score:
            return
        scores = self._scores[row]
        scores[task] = score
        level = before = int(self._level[row])
        if not self._dispersion.fits(level, scores[task]):
            known = scores[~np.isnan(scores)]
            while not self._dispersion.fits(level, known):
                level += 1
        if level == before:
            return
        self._level[row] = level
        self._phi[row] = self._levels[level]
        told = ~self.unseen[row] & ~np.isnan(scores)
        passed, phi = scores[told], self._phi[row]
        self._log_posterior[row] = (
            self._log_prior
            + (passed / phi[told]) @ self._log_pass[told]
            + ((1.0 - passed) / phi[told]) @ self._log_fail[told]
        )
        left = self._profiles[self.unseen[row]]
        self._unseen_variance[row] = phi[self.unseen[row]] @ (left - left**2)

    def _posterior(self) -> FloatArray:
        if self._weights is None:
            weights = np.exp(self._log_posterior - self._log_posterior.max(axis=1)[:, None])
            weights /= weights.sum(axis=1)[:, None]
            self._weights = weights
        return self._weights

    def _support(self, rows: IntArray | None = None) -> tuple[slice, FloatArray]:
        """Nodes that suffice for means over every candidate's posterior, and their weights.

        Those between the outermost of weight above 1e-12. Where the outermost of the grid weigh
        nothing, every k-th of these will do: sums over nodes of spacing h converge geometrically
        (Trefethen and Weideman 2014), for a normal density of standard deviation s with an error
        near exp(-2 pi^2 (s / h)^2); h <= s / 1.5 leaves room for others.
        """
        weights = self._posterior() if rows is None else self._posterior()[rows]
        heavy = np.flatnonzero((weights > _NEGLIGIBLE).any(axis=0))
        first, last = int(heavy[0]), int(heavy[-1])
        step = 1
        if first > 0 and last < weights.shape[1] - 1:
            node = np.arange(weights.shape[1])
            mean = weights @ node
            step = max(1, int(np.sqrt((weights @ node**2 - mean**2).min()) / 1.5))
        nodes = slice(first, last + 1, step)
        thinned = weights[:, nodes]
        return nodes, thinned if step == 1 else thinned / thinned.sum(axis=1, keepdims=True)

    @property
    def available(self) -> NDArray[np.bool_]:
        """Tasks that may run next, shape (candidates, n_tasks)."""
        return self.unseen

    def attempt_numbers(self, rows: IntArray, tasks: IntArray) -> IntArray:
        """Count the attempts that each named candidate has made at its task."""
        return np.asarray(~self.unseen[rows, tasks], dtype=np.int64)

    @property
    def profiles(self) -> FloatArray:
        """Pass rate of every task at every node of the ability, shape (n_tasks, n_nodes)."""
        return self._profiles

    @property
    def binary(self) -> bool:
        """Whether every score is 0 or 1."""
        return self._binary

    @property
    def least_dispersion(self) -> FloatArray:
        """Variance of the most alike results that may come, over a pass's, shape (n_tasks,)."""
        if self._dispersion is None:
            return np.ones(len(self._profiles))
        return np.asarray(self._levels.min(axis=0))

    @property
    def tasks_in_target(self) -> FloatArray:
        """Number of tasks of which each candidate's full score is the mean, shape (candidates,)."""
        return np.asarray(np.maximum(self._total, 1.0))

    def total(self, row: int) -> float:
        """Count the tasks in a candidate's target; 0 where none of them had a result."""
        return float(self._total[row])

    @property
    def log_ability(self) -> FloatArray:
        """Log posterior of each ability up to a constant, shape (candidates, n_nodes)."""
        return self._log_posterior

    @property
    def levels(self) -> IntArray:
        """What each candidate's results are read as, shape (candidates,); see `Dispersion`.

        Where that changes, its results so far are read anew.
        """
        if self._dispersion is None:
            return np.zeros(len(self._total), dtype=np.int64)
        return self._level

    def told(self, row: int) -> tuple[IntArray, FloatArray]:
        """Tasks with a result, where there is a dispersion, and the log likelihood of each.

        Returns
        -------
        tasks : ndarray of int64, shape (n,)
        log_likelihood : ndarray of float64, shape (n, n_nodes)
        """
        scores = self._scores[row]
        tasks = np.flatnonzero(~self.unseen[row] & ~np.isnan(scores))
        passed, phi = scores[tasks, None], self._levels[self._level[row]][tasks, None]
        told = passed * self._log_pass[tasks] + (1.0 - passed) * self._log_fail[tasks]
        return tasks, told / phi

    def ahead(self) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the sum of results to come at each ability.

        Each of shape (candidates, n_nodes).
        """
        return self._unseen_mean, self._unseen_variance

    def known(self) -> tuple[FloatArray, FloatArray]:
        """Sum of the results so far, and the most that those to come can add, (candidates,)."""
        return self._sum, self._left

    @property
    def totals(self) -> FloatArray:
        """Tasks in each candidate's target, shape (candidates,); 0 where none had a result."""
        return self._total

    def ability(self) -> FloatArray:
        """Posterior weights of each candidate's ability, shape (candidates, n_nodes)."""
        return self._posterior()

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the full score, each of shape (candidates,)."""
        if self._moments is None:
            weights = self._posterior()
            mean = np.einsum("cq,cq->c", weights, self._unseen_mean)
            about = self._unseen_mean - mean[:, None]
            about *= about
            about += self._unseen_variance
            variance = np.einsum("cq,cq->c", weights, about)
            total = np.maximum(self._total, 1.0)
            deviation = np.sqrt(np.maximum(variance, 0.0))
            self._moments = (self._sum + mean) / total, deviation / total
        return self._moments

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

    def bounds_one(self, row: int, multiplier: float) -> tuple[float, float]:
        """Return `bounds_each` of one candidate and one multiplier, without arrays."""
        mean, deviation = (float(part[row]) for part in self.moments())
        seen, left = float(self._sum[row]), float(self._left[row])
        total = max(float(self._total[row]), 1.0)
        low = max(mean - multiplier * deviation, seen / total)
        high = min(mean + multiplier * deviation, (seen + left) / total)
        if self._binary:
            inner_low = (seen + math.ceil(low * total - seen - 1e-6)) / total
            inner_high = (seen + math.floor(high * total - seen + 1e-6)) / total
            if inner_low > inner_high:
                nearest = (seen + round(mean * total - seen)) / total
                return nearest, nearest
            return inner_low, inner_high
        return low, high

    def predicted(self) -> FloatArray:
        """Predicted pass rate of each candidate on each task, shape (candidates, n_tasks)."""
        nodes, weights = self._support()
        return np.asarray(weights @ self._rates[nodes])

    def variance_reduction(self, rows: IntArray | None = None) -> FloatArray:
        """How much one more result is expected to reduce the variance of the full score's sum.

        Shape (candidates, n_tasks), in single precision; -inf for tasks already seen. For a binary
        result x of task j the expected posterior variance of the sum S is
        Var(S) - Cov(S, x)^2 / Var(x), exactly; Cov(S, x) = Cov(unseen mean, p_j) + E[p_j (1 - p_j)]
        over the ability's posterior. Averaged and graded results have phi_j E[p_j (1 - p_j)]
        in its place, in Var(x) too; it is then what the best linear prediction leaves.

        Parameters
        ----------
        rows : ndarray of int64, optional
            Of these candidates only, in that order.
        """
        nodes, weights = self._support(rows)
        which = slice(None) if rows is None else rows
        rates, ahead = self._rates[nodes], self._unseen_mean[which, nodes]
        about = ahead - (weights * ahead).sum(axis=1, keepdims=True)
        rate = weights @ rates
        if self._phi is None or not self._level.any():
            covariance = (weights * (about + 1.0)) @ rates
            covariance -= weights @ self._rate_squares[nodes]
            variance = rate * (1.0 - rate)
        else:
            square = weights @ self._rate_squares[nodes]
            own = self._phi[which] * (rate - square)
            covariance = (weights * about) @ rates + own
            variance = square - rate**2 + own
        gain = covariance**2 / np.maximum(variance, 1e-9)
        # In single precision tasks that are alike tie, whatever the order of a sum's terms.
        return np.where(self.unseen[which], gain.astype(np.float32), -np.inf)

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
        noise = rate - self._profiles**2 @ weights
        if self._dispersion is not None:
            noise *= self._dispersion.per_task
        # Covariance = features within features' + diag(noise); a choice changes `within` by a rank.
        weight, direction = np.linalg.eigh(centred.T @ centred)
        features = centred @ direction[:, weight > weight[-1] * _NEGLIGIBLE]
        within = np.eye(features.shape[1])
        variance = (features**2).sum(axis=1) + noise
        with_sum = features @ features.sum(axis=0) + noise
        n_tasks = rate.size
        order = np.empty(n_tasks, dtype=np.int64)
        open_tasks = np.ones(n_tasks, dtype=bool)
        for place in range(n_tasks):
            gain = with_sum**2 / np.maximum(variance, _NEGLIGIBLE)
            gain = (gain if costs is None else gain / costs).astype(np.float32)
            gain[~open_tasks] = -np.inf
            if place > _GREEDY_PLACES:
                order[place:] = np.argsort(-gain, kind="stable")[: n_tasks - place]
                break
            chosen = int(gain.argmax())
            scale = 1.0 / np.sqrt(max(variance[chosen], _NEGLIGIBLE))
            step = within @ features[chosen] * scale
            unit = np.where(open_tasks, features @ step, 0.0)
            unit[chosen] += noise[chosen] * scale
            order[place] = chosen
            open_tasks[chosen] = False
            within -= np.outer(step, step)
            with_sum -= unit * unit.sum()
            variance -= unit**2
        return order


def rank_bounds(
    low: FloatArray, high: FloatArray, reference_full_scores: FloatArray
) -> tuple[IntArray, IntArray]:
    """Ranks that scores between `low` and `high` can take: 1 + number strictly better."""
    ordered = np.sort(reference_full_scores)
    best = 1 + ordered.size - np.searchsorted(ordered, high + _TIE, side="right")
    worst = 1 + ordered.size - np.searchsorted(ordered, low + _TIE, side="right")
    return best.astype(np.int64), worst.astype(np.int64)
