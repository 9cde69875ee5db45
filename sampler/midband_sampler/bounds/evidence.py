"""Evidence from paired results alone: e-process, bounds of the difference, bootstrap."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray

# Small stakes find small differences after many tasks, large ones large differences after few.
_STAKES = np.exp(np.linspace(np.log(0.02), np.log(0.9), 16))


@dataclass(frozen=True, eq=False)
class PairedEProcess:
    """An e-process: bets on the paired differences between the candidate and one agent.

    With d = the candidate's score minus the agent's on one task, in [-1, 1], a bettor who stakes
    a share s on "better" multiplies the capital by 1 + s d at every task. If neither is better,
    E[d | tasks before] = 0, this capital is a martingale, and so is the mean over a fixed grid of
    stakes: it ever reaches 1 / a with chance a at most (Ville 1939; testing by betting,
    Waudby-Smith and Ramdas 2024, with a mixture of fixed stakes in place of their predictable
    ones). "Worse" is the same bet on -d.

    Parameters
    ----------
    better, worse : ndarray of float64, shape (..., n_stakes)
        Log capital of each stake; the leading axes are those of the pairs, none in a session.
    """

    better: FloatArray
    worse: FloatArray

    @classmethod
    def nothing(cls, shape: tuple[int, ...] = ()) -> "PairedEProcess":
        """Begin with a capital of 1 on either side, for pairs of that shape."""
        return cls(np.zeros((*shape, _STAKES.size)), np.zeros((*shape, _STAKES.size)))

    def after(self, difference: FloatArray) -> "PairedEProcess":
        """Take in a task: a difference in [-1, 1] for each pair; NaN says nothing."""
        stake = np.where(np.isnan(difference), 0.0, difference)[..., None] * _STAKES
        return PairedEProcess(self.better + np.log1p(stake), self.worse + np.log1p(-stake))

    def after_each(self, differences: FloatArray) -> "PairedEProcess":
        """Take in tasks one after the other and keep every stage, on the first axis.

        Parameters
        ----------
        differences : ndarray of float64, shape (n_tasks,)
            NaN says nothing.
        """
        stake = np.where(np.isnan(differences), 0.0, differences)[:, None] * _STAKES
        return PairedEProcess(
            self.better + np.cumsum(np.log1p(stake), axis=0),
            self.worse + np.cumsum(np.log1p(-stake), axis=0),
        )

    def at(self, place: int) -> "PairedEProcess":
        """Return one entry of the first axis."""
        return PairedEProcess(self.better[place], self.worse[place])

    def at_best(self, left: IntArray) -> "PairedEProcess":
        """Take in more tasks, each decided for the side that it is counted on.

        Parameters
        ----------
        left : ndarray of int64
            Broadcast against the pairs with one more axis at the end: several futures a pair.
        """
        more = left[..., None] * np.log1p(_STAKES)
        better, worse = self.better[..., None, :] + more, self.worse[..., None, :] + more
        return PairedEProcess(better, worse)

    @property
    def log_better(self) -> FloatArray:
        """Natural logarithm of the e-value against "not better", one a pair."""
        return _log_mean(self.better)

    @property
    def log_worse(self) -> FloatArray:
        """Natural logarithm of the e-value against "not worse", one a pair."""
        return _log_mean(self.worse)


def weakest(readings: Sequence[Mapping[str, PairedEProcess]]) -> Mapping[str, PairedEProcess]:
    """Evidence for either side as it is in the reading that has least of it."""
    return {
        agent: PairedEProcess(
            min((each[agent] for each in readings), key=lambda one: float(one.log_better)).better,
            min((each[agent] for each in readings), key=lambda one: float(one.log_worse)).worse,
        )
        for agent in readings[0]
    }


def _log_mean(logarithms: FloatArray) -> FloatArray:
    largest = logarithms.max(axis=-1, keepdims=True)
    total = np.exp(logarithms - largest).sum(axis=-1)
    return np.asarray(largest[..., 0] + np.log(total / _STAKES.size))


@dataclass(frozen=True, eq=False)
class Difference:
    """Bounds of a mean paired difference: the candidate's score minus that of one agent.

    Parameters
    ----------
    estimate, low, high : ndarray of float64
        In [-1, 1], of the shape of a snapshot's arrays; NaN while nothing is known. Either bound
        alone holds with the confidence that was asked for.
    least_half_width : callable or None
        The least half width that so many more tasks can lead to; None where not known.
    """

    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    least_half_width: Callable[[IntArray], FloatArray] | None = None

    def stated(self) -> dict[str, float]:
        """Return one candidate's estimate and bounds by their names."""
        names = ("estimate", "low", "high")
        return {name: float(getattr(self, name)) for name in names}

    def at(self, place: int) -> "Difference":
        """Return one entry of the first axis."""
        least = self.least_half_width
        return Difference(
            self.estimate[place],
            self.low[place],
            self.high[place],
            None if least is None else lambda left: least(left)[place],
        )

    def at_best(self, left: IntArray) -> "Difference":
        """Return the highest lower and the lowest upper bound to which `left` tasks can lead.

        Either may come true, not both. The bounds get one more axis at the end.
        """
        least = self.least_half_width
        half = np.zeros(np.shape(self.low)) if least is None else least(left)
        low, high = np.asarray(self.high - half), np.asarray(self.low + half)
        return Difference(self.estimate[..., None], low[..., None], high[..., None])


def outer_differences(readings: Sequence[Mapping[str, Difference]]) -> Mapping[str, Difference]:
    """Return the outer bounds of several readings of one candidate, about the first estimate."""
    return {
        agent: Difference(
            found.estimate,
            np.asarray(np.minimum.reduce([each[agent].low for each in readings])),
            np.asarray(np.maximum.reduce([each[agent].high for each in readings])),
            found.least_half_width,
        )
        for agent, found in readings[0].items()
    }


def score_difference(
    score: tuple[FloatArray, FloatArray, FloatArray],
    place: int,
    scores: FloatArray,
    margins: FloatArray | None,
) -> Difference:
    """Bound how far a candidate is above one reference, by the bounds of its own score.

    Parameters
    ----------
    score : tuple of three ndarray of float64
        The candidate's estimated score, and its bounds.
    place : int
        Of the reference.
    scores, margins
        `Bounds.reference_scores` and `Bounds.reference_margins`.
    """
    theirs, margin = scores[place], 0.0 if margins is None else margins[place]
    estimate, low, high = score
    return Difference(
        np.asarray(estimate - theirs),
        np.asarray(low - theirs - margin),
        np.asarray(high - theirs + margin),
    )


class NoPairs:
    """Bounds that compare with no agent task by task."""

    @property
    def differences(self) -> Mapping[str, Difference]:
        """Bounds of the paired difference to each agent that is compared task by task."""
        return MappingProxyType({})


SIGN_BLOCK = 64
_ROUND = 1e9
_TASKS_AT_ONCE = 16 * SIGN_BLOCK
_RESAMPLES_AT_ONCE = 256


def resampling_signs(pairs: int, *, block: int, seed: int) -> NDArray[np.float32]:
    """Random signs of the block's 64 tasks, shape (64, pairs), the same whenever they are asked.

    They depend on the seed and the task's position alone, so that resamples stay as they are while
    results come in. Each column is one resample, its negative another.
    """
    generator = np.random.Generator(np.random.SFC64((seed, block)))
    words = generator.integers(0, 256, size=-(-SIGN_BLOCK * pairs // 8), dtype=np.uint8)
    bits = np.unpackbits(words, count=SIGN_BLOCK * pairs).reshape(SIGN_BLOCK, pairs)
    signs = bits.astype(np.float32)
    signs *= 2.0
    signs -= 1.0
    return signs


def bootstrap_ranks(
    scores: FloatArray, *, resamples: int = 2000, seed: int = 0, n_tasks: int | None = None
) -> IntArray:
    """Rank of every agent in every resample of the tasks.

    The multiplier bootstrap (Chernozhukov, Chetverikov, Kato 2013): with random signs r_j, the
    same for every agent, an agent's mean m over its n tasks becomes ``m + sum r_j (x_j - m) / n``,
    which has the mean and variance of resampling with replacement, needs one product of signs and
    scores, and no resample of few tasks is empty. Resamples come in pairs of opposite signs
    (antithetic resampling, Hall 1989).

    Parameters
    ----------
    scores : ndarray of float64, shape (n_agents, n_run)
        In [0, 1]; NaN where not run: an agent's mean is over the tasks it ran, of which there must
        be at least one.
    resamples : int
        Even.
    seed : int
    n_tasks : int, optional
        Tasks of the target, if the tasks run are a random sample of these without replacement:
        deviations shrink by ``sqrt(1 - n / n_tasks)``. By default there are infinitely many.

    Returns
    -------
    ranks : ndarray of int64, shape (resamples, n_agents)
        1 + number strictly better; means within 1e-9 tie.
    """
    known = ~np.isnan(scores)
    counts = known.sum(axis=1)
    if resamples < 2 or resamples % 2:
        msg = f"expected an even number of resamples, at least 2, got {resamples}: 2000 is usual"
        raise InputError(msg)
    if not counts.all():
        msg = f"expected a score of every agent, got none in row {int(counts.argmin())}: drop it"
        raise InputError(msg)
    if n_tasks is not None and n_tasks < counts.max():
        msg = f"expected n_tasks of at least {int(counts.max())}, the tasks run, got {n_tasks}"
        raise InputError(msg)
    complete = bool(known.all())
    ran = known[:1].astype(np.float32) if complete else known.astype(np.float32)
    filled = scores.astype(np.float32)
    if not complete:
        filled[~known] = 0.0
    pairs = resamples // 2
    sums, signs = np.zeros((pairs, len(scores))), np.zeros((pairs, len(ran)))
    for start in range(0, scores.shape[1], _TASKS_AT_ONCE):
        stop = min(start + _TASKS_AT_ONCE, scores.shape[1])
        blocks = range(start // SIGN_BLOCK, -(-stop // SIGN_BLOCK))
        signed = np.concatenate([resampling_signs(pairs, block=b, seed=seed) for b in blocks])
        part = signed[: stop - start].T
        sums += part @ filled[:, start:stop].T
        signs += part @ ran[:, start:stop].T
    means = filled.sum(axis=1, dtype=np.float64) / counts
    factor = 1.0 / counts if n_tasks is None else np.sqrt(1.0 - counts / n_tasks) / counts
    deviation = (sums - means * signs) * factor
    ranks = np.empty((resamples, len(scores)), dtype=np.int64)
    for start in range(0, pairs, _RESAMPLES_AT_ONCE):
        part = deviation[start : start + _RESAMPLES_AT_ONCE]
        ranks[start : start + len(part)] = _ranks(means + part)
        ranks[pairs + start : pairs + start + len(part)] = _ranks(means - part)
    return ranks


def _ranks(means: FloatArray) -> IntArray:
    """Rank along each row; one sort of numbers that hold both the score and whose it is."""
    n_rows, n_agents = means.shape
    shift = (n_agents - 1).bit_length()
    keys = np.rint(means * -_ROUND).astype(np.int64) << shift
    keys |= np.arange(n_agents)
    keys.sort(axis=1)
    whose = keys & ((1 << shift) - 1)
    keys >>= shift
    place = np.broadcast_to(np.arange(1, n_agents + 1), keys.shape)
    tied = keys[:, 1:] == keys[:, :-1]
    if tied.any():
        place = place.copy()
        place[:, 1:][tied] = 0
        place = np.maximum.accumulate(place, axis=1)
    ranks = np.empty((n_rows, n_agents), dtype=np.int64)
    ranks[np.arange(n_rows)[:, None], whose] = place
    return ranks
