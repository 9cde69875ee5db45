"""The bootstrap: how ranks would vary with other tasks of the same kind."""

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError, IntArray

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
