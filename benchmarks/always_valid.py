"""How often the always-valid bounds are ever wrong, and how many tasks they need.

    python benchmarks/always_valid.py [--orders 2000] [--tasks 12 30] [--history FILE.parquet]

Simulated worst cases: a few passes among 12 to 1000 tasks, in random order, with a look after every
task. In half of the cases nothing is known beforehand: the known agents fail everything. In the
others eight known agents pass a few tasks of their own. A bound is wrong if it ever excludes the
true mean, from the 10th task on, or from the first. The table shows the worst case of each size. p
is the chance of so many wrong orders, or more, if the nominal one were true, and the limit is the
upper end of a one-sided 95 % Clopper-Pearson interval.

With `--history`, every agent of every benchmark in the file is replayed by `random` against the
others with the stop ``rank:0.9:0.2``.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy.stats import beta, binom

from midband_history import list_benchmarks, read_matrix
from midband_sampler import SequentialRankBounds, make_plan, parse_stop
from midband_sims import draw_candidate, replay

SIZES = (12, 30, 100, 300, 1000)
PASSES = (1, 3, 10)
ERRORS = (0.10, 0.05, 0.01)
FIRST = 10
KNOWN = 8


def expected(tasks: int, passes: int, *, informed: bool, rng: np.random.Generator) -> np.ndarray:
    """Scores of known agents: none, or a few passes each."""
    known = np.zeros((KNOWN, tasks))
    for row in known if informed else ():
        row[rng.permutation(tasks)[:passes]] = 1.0
    return known


def ever_wrong(
    tasks: int, passes: int, error: float, *, informed: bool, orders: int, seed: int
) -> tuple[int, int]:
    """Orders in which a bound is wrong from the 10th task on, and from the first."""
    rng = np.random.default_rng([seed, tasks, passes, int(informed)])
    known = expected(tasks, passes, informed=informed, rng=rng)
    scores = np.zeros(tasks)
    scores[rng.permutation(tasks)[:passes]] = 1.0
    truth, late, early = passes / tasks, 0, 0
    for _ in range(orders):
        order = rng.permutation(tasks)
        bounds = SequentialRankBounds(known[:, order], confidence=1.0 - error)
        bounds.observe(np.arange(tasks), scores[order])
        found = bounds.interval()
        wrong = (found.score_low > truth + 1e-9) | (found.score_high < truth - 1e-9)
        early += bool(wrong.any())
        late += bool(wrong[FIRST - 1 :].any())
    return late, early


def upper_limit(wrong: int, orders: int) -> float:
    """Upper end of the one-sided 95 % Clopper-Pearson interval."""
    return 1.0 if wrong == orders else float(beta.ppf(0.95, wrong + 1, orders - wrong))


def cases_of(tasks: int, error: float, *, orders: int, seed: int) -> list[tuple[int, int, str]]:
    """Wrong orders from the 10th task on and from the first, and what they are of."""
    return [
        (
            *ever_wrong(tasks, passes, error, informed=informed, orders=orders, seed=seed),
            f"{passes} passes, {'some' if informed else 'nothing'} known",
        )
        for passes in PASSES
        if passes < tasks
        for informed in (False, True)
    ]


def worst_wrong_shares(
    *, orders: int, seed: int, sizes: Sequence[int] = SIZES
) -> dict[float, float]:
    """Return the largest share of orders that are ever wrong, from the first task on, by error."""
    return {
        error: max(
            early / orders
            for tasks in sizes
            for _, early, _ in cases_of(tasks, error, orders=orders, seed=seed)
        )
        for error in ERRORS
    }


def simulated(sizes: Sequence[int], orders: int, seed: int) -> None:
    print("| tasks | nominal | worst case | wrong from the 10th | wrong from the 1st | limit | p |")
    print("|---|---|---|---|---|---|---|")
    for error in ERRORS:
        for tasks in sizes:
            cases = cases_of(tasks, error, orders=orders, seed=seed)
            late = max(case[0] for case in cases)
            _, early, name = max(cases, key=lambda case: case[1])
            chance = float(binom.sf(early - 1, orders, error))
            print(
                f"| {tasks} | {error:.2f} | {name} | {late / orders:.4f} | {early / orders:.4f} |"
                f" {upper_limit(early, orders):.4f} | {chance:.2g} |",
                flush=True,
            )


def recorded(path: Path, seed: int) -> None:
    print("\n| benchmark | agents | tasks run | covered |\n|---|---|---|---|")
    for benchmark in list_benchmarks(path):
        matrix = read_matrix(path, benchmark)
        shares, covered = [], 0
        for row in range(len(matrix.agents)):
            known = matrix.select(agents=np.delete(np.arange(len(matrix.agents)), row))
            stop = parse_stop("rank:0.9:0.2")
            plan = make_plan(known, strategy="random", stop=stop, seed=seed + row)
            rng = np.random.default_rng([seed, row])
            done = replay(plan, draw_candidate(matrix, row, rng))
            shares.append(done.tasks_run / len(matrix.tasks))
            covered += done.low <= done.planned_high and done.high >= done.planned_low
        print(
            f"| {benchmark} | {len(matrix.agents)} | {np.mean(shares):.3f} |"
            f" {covered / len(matrix.agents):.3f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", type=int, nargs="*", default=SIZES)
    parser.add_argument("--history", type=Path, default=None)
    given = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, seed {given.seed}, {given.orders} orders a case\n")
    began = time.perf_counter()
    simulated(given.tasks, given.orders, given.seed)
    if given.history is not None:
        recorded(given.history, given.seed)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
