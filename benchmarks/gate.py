"""How often the gate is wrong, and how many tasks it needs beside a test of fixed size.

    python benchmarks/gate.py [--draws 2000] [--tasks 500] [--points 3] [--confidence 0.95]

A synthetic baseline passes 60 % of the tasks. A candidate differs from it on a share of them, and
its score on all tasks is worse by exactly the margin, by one task more, equal, or 5 points better.
The tasks are drawn in random order without replacement, `NotWorse` looks after every task from the
10th on, and ends at the latest when all have run and the difference is known. In half of the rows
the history holds the baseline alone, in the others eight agents as near to it as the candidate.

A wrong claim is "worse by more than the margin" at the margin, in equality and above, and "not
worse by more than the margin" below. The limit is the upper end of a one-sided 95 % Clopper-Pearson
interval.

The test of fixed size takes n tasks at random and holds if mean - z sd sqrt((1 - n / N) / n) is not
below the margin, with the standard deviation of the differences and the correction for the finite
population. Its n is the least that reaches the stated power in the same draws. The gate is capped
where it reaches the same power, and its mean number of tasks is divided by n. Without a cap it
always ends in a claim.
"""

import argparse
import time
from datetime import UTC, datetime

import numpy as np
from scipy.stats import beta, norm

from midband_sampler import NotWorse
from midband_sampler.bounds.paired_rank import PairedDifference

PASS_RATE = 0.6
DISAGREEING = (0.1, 0.2, 0.3)
POWERS = (0.8, 0.9, 0.95)
OTHERS = 8


def pair(
    tasks: int, difference: int, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a baseline, and of a candidate that passes `difference` tasks more."""
    baseline = np.zeros(tasks)
    baseline[rng.permutation(tasks)[: round(PASS_RATE * tasks)]] = 1.0
    changed = round(share * tasks)
    changed += (changed + difference) % 2
    up = (changed + difference) // 2
    candidate = baseline.copy()
    candidate[rng.permutation(np.flatnonzero(baseline == 0.0))[:up]] = 1.0
    candidate[rng.permutation(np.flatnonzero(baseline == 1.0))[: changed - up]] = 0.0
    return candidate, baseline


def measure(
    rule: NotWorse,
    tasks: int,
    difference: int,
    share: float,
    *,
    others: int,
    draws: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tasks at the claim, whether it held, and whether a fixed-size test holds after each task."""
    rng = np.random.default_rng([seed, difference + tasks, round(100 * share), others])
    ended, held = np.zeros(draws, dtype=np.int64), np.zeros(draws, dtype=bool)
    fixed = np.zeros(tasks)
    number = np.arange(1, tasks + 1)
    width = norm.ppf(rule.confidence) * np.sqrt((1.0 - number / tasks) / number)
    for draw in range(draws):
        candidate, baseline = pair(tasks, difference, share, rng)
        known = [
            np.where(rng.random(tasks) < share, 1.0 - baseline, baseline) for _ in range(others)
        ]
        order = rng.permutation(tasks)
        reference = np.vstack([baseline, *known])[:, order]
        bounds = PairedDifference(reference, 0, confidence=rule.confidence)
        bounds.observe(np.arange(tasks), candidate[order])
        found = bounds.bounds()
        holds, fails = rule.held(found.low), rule.failed(found.high)
        ends = (holds | fails) & (number >= rule.min_tasks)
        ended[draw] = int(ends.argmax()) + 1
        held[draw] = holds[ends.argmax()]
        paired = (candidate - baseline)[order]
        mean = np.cumsum(paired) / number
        spread = np.sqrt(np.maximum(np.cumsum(paired**2) / number - mean**2, 0.0))
        fixed += (mean - spread * width >= -rule.points / 100.0 - 1e-9) & (number >= rule.min_tasks)
    return ended, held, fixed / draws


def least(powers: np.ndarray, power: float) -> int:
    """Return the number of tasks from which on a power is reached."""
    short = np.flatnonzero(powers < power)
    return int(short[-1]) + 2 if short.size else 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--points", type=float, default=3.0)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rule = NotWorse("baseline", asked.points, asked.confidence)
    margin = round(asked.points * asked.tasks / 100.0)
    cases = {
        "one task beyond the margin": -margin - 1,
        "at the margin": -margin,
        "equal": 0,
        "5 points better": round(0.05 * asked.tasks),
    }
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, seed {asked.seed}, {asked.draws} draws,"
        f" {asked.tasks} tasks, margin {asked.points:g} points at {asked.confidence:g}"
    )
    head = ("true difference", "disagree", "history", "wrong (limit)", "mean tasks", "median")
    rows = [(*head, *(f"power {power:g}: gate / fixed" for power in POWERS))]
    began = time.perf_counter()
    for name, difference in cases.items():
        for share in DISAGREEING:
            for others in (0, OTHERS):
                ended, held, fixed = measure(
                    rule,
                    asked.tasks,
                    difference,
                    share,
                    others=others,
                    draws=asked.draws,
                    seed=asked.seed,
                )
                wrong = int((held if difference < -margin else ~held).sum())
                limit = beta.ppf(0.95, wrong + 1, asked.draws - wrong)
                cells = []
                for power in POWERS if difference > -margin else ():
                    powers = np.array(
                        [(held & (ended <= n)).mean() for n in range(1, asked.tasks + 1)]
                    )
                    cap, size = least(powers, power), least(fixed, power)
                    mean = np.minimum(ended, cap).mean()
                    cells.append(f"{mean:.0f} / {size} = {mean / size:.2f}")
                rows.append(
                    (
                        name,
                        f"{share:.0%}",
                        f"{others + 1} agents" if others else "baseline",
                        f"{wrong / asked.draws:.4f} ({limit:.4f})",
                        f"{ended.mean():.0f}",
                        f"{np.median(ended):.0f}",
                        *(cells or [""] * len(POWERS)),
                    )
                )
    for place, row in enumerate(rows):
        print(f"| {' | '.join(row)} |")
        if not place:
            print("|---" * len(row) + "|")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
