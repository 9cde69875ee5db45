"""Time of one decision as a harness sees it, beside a plain bootstrap loop.

    python benchmarks/decision.py

A decision is `tell` and `decision()` after every single result: the posterior or the confidence
sequence, the rank interval, the stopping rule, and the resampling behind what a decision displays.
A stop check is
`tell` and `done`, which is all that a harness asks between two tasks: no decision is built for it.
Choosing the next task (`ask`) is timed apart. Every run goes through all tasks of the benchmark (at
most 1,000 of them where tasks are chosen live); the plain loop draws its 2,000 resamples of the
first half of the tasks once. Read ratios, not seconds. On a busy machine set
OPENBLAS_NUM_THREADS=1: the products are small.
"""

import time
from dataclasses import replace

import numpy as np

from midband_history import OutcomeMatrix
from midband_sampler import Never, Plan, Session, make_plan

RESAMPLES = 2000
LIVE_TASKS = 1000
SIZES = ((50, 500), (300, 5000), (1000, 500))
STRATEGIES = ("random", "information-fixed", "information")


def history(n_agents: int, n_tasks: int) -> OutcomeMatrix:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 1, (n_agents, 1)) - rng.normal(0, 1.3, n_tasks)
    scores = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float)
    return OutcomeMatrix.from_scores(scores)


def prepared(matrix: OutcomeMatrix, strategy: str) -> Plan:
    """Calibrate on short replays, which no decision's time depends on; then plan all tasks."""
    if strategy == "random":
        return make_plan(matrix, strategy=strategy, stop=Never(0.9))
    plan = make_plan(matrix, strategy="information", stop=Never(0.9), max_tasks=30)
    if strategy == "information-fixed":
        return replace(plan, max_tasks=None).fixed()
    return replace(plan, max_tasks=LIVE_TASKS)


def per_result(plan: Plan, *, shown: bool) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds of each decision (or stop check) and of each choice, over a whole run."""
    rng = np.random.default_rng(1)
    session = Session(plan, resamples=RESAMPLES)
    decisions, choices = [], []
    while True:
        began = time.perf_counter()
        tasks = session.ask(1)
        choices.append(time.perf_counter() - began)
        if not tasks:
            return np.array(decisions) * 1e6, np.array(choices[:-1]) * 1e6
        score = float(rng.random() < 0.5)
        began = time.perf_counter()
        session.tell(tasks[0], score=score)
        if shown:
            session.decision()
        else:
            session.done  # noqa: B018 - a property that steps
        decisions.append(time.perf_counter() - began)


def plain_loop(plan: Plan) -> float:
    """Microseconds of one decision that resamples half of the tasks in a Python loop."""
    rng = np.random.default_rng(2)
    half = len(plan.tasks) // 2
    reference = plan.reference_scores[:, :half]
    candidate = (rng.random(half) < 0.5).astype(float)
    timed = RESAMPLES // 10
    began = time.perf_counter()
    for _ in range(timed):
        drawn = rng.integers(half, size=half)
        np.sum(reference[:, drawn].mean(axis=1) > candidate[drawn].mean())
    return (time.perf_counter() - began) * RESAMPLES / timed * 1e6


def main() -> None:
    print("us per result: median (99th percentile); the plain loop is timed on 200 resamples, x 10")
    print(
        f"{'agents x tasks':>14} {'strategy':>12} {'results':>8} {'decision':>15}"
        f" {'stop check':>15} {'choice':>15}"
        f" {'plain loop':>11} {'ratio':>8}"
    )
    for n_agents, n_tasks in SIZES:
        matrix = history(n_agents, n_tasks)
        for strategy in STRATEGIES if n_agents < 1000 else STRATEGIES[:1]:
            plan = prepared(matrix, strategy)
            decisions, choices = per_result(plan, shown=True)
            checks, _ = per_result(plan, shown=False)
            plain = plain_loop(plan)
            shown = [
                f"{np.median(each):.0f} ({np.percentile(each, 99):.0f})"
                for each in (decisions, checks, choices)
            ]
            print(
                f"{f'{n_agents} x {n_tasks}':>14} {strategy:>12} {decisions.size:>8}"
                f" {shown[0]:>15} {shown[1]:>15} {shown[2]:>15} {plain:>11.0f}"
                f" {plain / np.median(decisions):>7.0f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
