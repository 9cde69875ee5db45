"""Bootstrap of all ranks, beside the plain numpy loop and `scipy.stats.bootstrap`.

    python benchmarks/bootstrap.py

All three give the rank of every agent in 2,000 resamples of the tasks, the same tasks for every
agent. The loop draws task indices for one resample, averages, counts who is better; scipy does the
same in batches, as `paired` samples on one axis. Both are timed on fewer resamples at the larger
sizes and scaled up; ours never is. Ours draws signs instead of indices, in pairs of opposite sign:
1,000 products stand for 2,000 resamples. Read ratios, not seconds.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import stats

from midband_sampler import bootstrap_ranks

RESAMPLES = 2000
SIZES = ((50, 500, 2000), (300, 5000, 100), (2000, 10000, 4))


def scores_of(n_agents: int, n_tasks: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    rate = rng.uniform(0.1, 0.9, (n_agents, 1)) + rng.uniform(-0.1, 0.1, n_tasks)
    return (rng.random(rate.shape) < rate).astype(float)


def ranks_of(means: np.ndarray) -> np.ndarray:
    return 1 + np.sum(means > means[:, None], axis=1)


def plain_loop(scores: np.ndarray, resamples: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    n_tasks = scores.shape[1]
    ranks = np.empty((resamples, len(scores)), dtype=np.int64)
    for row in range(resamples):
        ranks[row] = ranks_of(scores[:, rng.integers(n_tasks, size=n_tasks)].mean(axis=1))
    return ranks


def by_scipy(scores: np.ndarray, resamples: int) -> np.ndarray:
    result = stats.bootstrap(
        (scores,),
        np.mean,
        axis=1,
        n_resamples=resamples,
        batch=max(1, int(2e7 // scores.size)),
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return np.array([ranks_of(means) for means in result.bootstrap_distribution.T])


def milliseconds(run: Callable[[], object], times: int) -> np.ndarray:
    """Median of several runs: by the clock, and of the processor."""
    taken = []
    for _ in range(times):
        began = time.perf_counter(), time.process_time()
        run()
        taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return np.asarray(np.median(taken, axis=0) * 1e3)


def main() -> None:
    print(f"ms for the ranks of all agents in {RESAMPLES} resamples; loop and scipy are scaled up")
    print(
        "ratios: by the clock / in processor time, which waiting for a busy machine is not part of"
    )
    print(
        f"{'agents x tasks':>14} {'scaled from':>11} {'loop':>9} {'scipy':>9} {'ours':>7}"
        f" {'loop/ours':>11} {'scipy/ours':>11}  mean ranks apart"
    )
    for n_agents, n_tasks, timed in SIZES:
        scores = scores_of(n_agents, n_tasks)
        scale = RESAMPLES / timed
        loop = milliseconds(partial(plain_loop, scores, timed), 3) * scale
        scipy = milliseconds(partial(by_scipy, scores, timed), 3) * scale
        ours = milliseconds(partial(bootstrap_ranks, scores, resamples=RESAMPLES), 9)
        apart = bootstrap_ranks(scores).mean(axis=0) - plain_loop(scores, timed).mean(axis=0)
        ratios = [" / ".join(f"{each:.0f}" for each in other / ours) for other in (loop, scipy)]
        print(
            f"{f'{n_agents} x {n_tasks}':>14} {timed:>11} {loop[0]:>9.0f} {scipy[0]:>9.0f}"
            f" {ours[0]:>7.1f} {ratios[0]:>11} {ratios[1]:>11}  {np.abs(apart).mean():.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
