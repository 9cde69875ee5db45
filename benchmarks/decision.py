"""Time of one decision (a result told, the interval, the stop, the next task) beside a plain loop.

Run: python benchmarks/decision.py
"""

import time

import numpy as np

from midband_history import OutcomeMatrix
from midband_sampler import Never, Plan, Session, make_plan

RESAMPLES = 2000


def history(n_agents: int, n_tasks: int) -> OutcomeMatrix:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 1, (n_agents, 1)) - rng.normal(0, 1.3, n_tasks)
    scores = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float)
    return OutcomeMatrix.from_scores(scores)


def per_result(plan: Plan) -> float:
    """Median seconds from one result to the next task, over a whole run."""
    rng = np.random.default_rng(1)
    session = Session(plan, resamples=RESAMPLES)
    times = []
    began = time.perf_counter()
    while tasks := session.ask(1):
        session.tell(tasks[0], score=float(rng.random() < 0.5))
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
    return float(np.median(times))


def plain_loop(plan: Plan) -> float:
    """Seconds of one decision that resamples the completed half of the tasks in a Python loop."""
    rng = np.random.default_rng(2)
    half = len(plan.tasks) // 2
    reference = plan.reference_scores[:, :half]
    candidate = (rng.random(half) < 0.5).astype(float)
    began = time.perf_counter()
    for _ in range(RESAMPLES):
        drawn = rng.integers(half, size=half)
        np.sum(reference[:, drawn].mean(axis=1) > candidate[drawn].mean())
    return time.perf_counter() - began


def main() -> None:
    print(f"{'agents x tasks':>15} {'strategy':>12} {'per result':>12} {'plain loop':>12} ratio")
    for n_agents, n_tasks in ((50, 500), (300, 1000)):
        matrix = history(n_agents, n_tasks)
        for strategy in ("random", "design", "information"):
            plan = make_plan(matrix, strategy=strategy, stop=Never(0.9), max_tasks=200)
            ours, plain = per_result(plan), plain_loop(plan)
            size = f"{n_agents} x {n_tasks}"
            row = f"{size:>15} {strategy:>12} {ours * 1e6:>9.0f} us {plain * 1e3:>9.1f} ms"
            print(f"{row} {plain / ours:.0f}x")


if __name__ == "__main__":
    main()
