"""What `midband study --strategy auto` finds on every benchmark at hand, beside the aims.

Reads the outcome matrices from ``../shared/data`` beside the repository, or from the directory
given as the first argument; ``--workers N`` spreads the replays. Every split chooses its strategy
and calibrates its intervals from the reference agents alone. Pairwise accuracy counts a pair whose
full scores tie as right and a tie of the estimates as half, as the aims do.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from midband_history import OutcomeMatrix, list_benchmarks, read_matrix
from midband_sims import (
    Study,
    StudyResult,
    StudySettings,
    clopper_pearson,
    kendall,
    two_equal_agents,
)

NOT_FOR_ACCURACY = ("colbench_backend_programming", "scicode")
NOT_FOR_STOPS = ("colbench_backend_programming",)
RULE = "rank:0.9:0.2"
KEEP = "none:0.9"
USUAL = {"strategies": ["band", "random"], "seeds": 10}
CUT = "2024-11-20"
SEED = 0
Row = Mapping[str, Any]


def study(matrices: Sequence[OutcomeMatrix], workers: str, **settings: object) -> StudyResult:
    plain = {"strategies": "auto", "seed": SEED, "folds": 1000, "draws": 1, **settings}
    return Study(matrices, StudySettings.from_mapping(plain)).run(workers=workers)


def run(
    matrices: Sequence[OutcomeMatrix], workers: str, **settings: object
) -> list[dict[str, object]]:
    begun = time.perf_counter()
    result = study(matrices, workers, **settings)
    for line in result.skipped:
        print(f"left out: {line}")
    print(f"# {settings}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return [row for row in result.replays if not row.get("refused")]


def by(rows: Iterable[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[name]) for name in names), []).append(row)
    return groups


def accuracy(rows: Sequence[Row]) -> float:
    each = []
    for row in rows:
        tied = int(row["n_reference"]) - sum(row["pairs_total"])
        each.append((sum(row["pairs_right"]) + tied) / int(row["n_reference"]))
    return float(np.mean(each))


def tau(rows: Sequence[Row]) -> float:
    def scores(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    estimate = scores("full_score")
    plain = scores("score")
    return kendall(np.where(np.isnan(estimate), plain, estimate), scores("true_score"))


def covered(row: Row) -> bool:
    return bool(row["low"] <= row["true_high"] and row["high"] >= row["true_low"])


def settled(row: Row) -> bool:
    narrow = int(row["high"]) - int(row["low"]) <= 0.2 * (int(row["n_reference"]) + 1) + 1e-9
    return bool(row["conclusive"]) or narrow


def line(where: str, aim: str, measured: str) -> None:
    print(f"| {where} | {aim} | {measured} |", flush=True)


def stops(rows: Sequence[Row], *, where: str, aim: str) -> None:
    share = np.mean([row["tasks_run"] / row["tasks_total"] for row in rows])
    below = []
    for names, cell in by(rows, "benchmark", "protocol").items():
        hits = sum(covered(row) for row in cell)
        high = clopper_pearson(hits / len(cell), len(cell)).high
        if high < 0.9:
            below.append(f"{'/'.join(names)} {hits} of {len(cell)}")
        print(
            f"#   {'/'.join(names)}: covered {hits} of {len(cell)}, ran"
            f" {np.mean([row['tasks_run'] / row['tasks_total'] for row in cell]):.3f}",
            file=sys.stderr,
        )
    hits = sum(covered(row) for row in rows)
    done = np.mean([settled(row) for row in rows])
    line(
        where,
        aim,
        f"coverage {hits / len(rows):.3f} ({hits} of {len(rows)}), cells below:"
        f" {', '.join(below) or 'none'}; conclusive {done:.1%}; tasks run {share:.3f}",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[2] / "shared" / "data"
    parser.add_argument("data", nargs="?", type=Path, default=default)
    parser.add_argument("--workers", default="1")
    options = parser.parse_args()
    root, workers = options.data, options.workers
    hal_file = root / "hal_leaderboard.parquet"
    if not hal_file.exists():
        print(f"no hal_leaderboard.parquet in {root}: give the directory that has it")
        return 1
    hal = [read_matrix(hal_file, name) for name in list_benchmarks(hal_file)]
    swe = [read_matrix(root / "swebench_verified.parquet", "swebench-verified")]
    print(f"{datetime.now(UTC):%Y-%m-%d}, seed {SEED}, rule {RULE}\n")
    print("| where | aim | measured |\n|---|---|---|")

    late = {"protocols": "temporal", "cuts": CUT, "stops": KEEP, "budgets": ["153", "50"]}
    rows, usual = run(swe, workers, **late), by(run(swe, workers, **late, **USUAL), "budget")
    for (budget,), group in sorted(by(rows, "budget").items()):
        aim = "tau >= .935" if budget == "153" else "pairwise >= .98"
        parts = [
            f"{name} {np.mean([tau(each) for each in by(cell, 'seed_index').values()]):.3f},"
            f" {accuracy(cell):.3f}"
            for (name,), cell in by(usual[budget,], "strategy").items()
        ]
        found = f"tau {tau(group):.4f}, pairwise {accuracy(group):.4f} ({'; '.join(parts)})"
        line(f"SWE-bench Verified, temporal {CUT}, {budget} tasks", aim, found)

    six = [matrix for matrix in hal if matrix.benchmark not in NOT_FOR_ACCURACY]
    for budget, aim in (("band", ".955"), ("10%", ".905")):
        settings = {"cuts": "half", "stops": KEEP, "budgets": budget}
        for protocol in ("loso", "temporal"):
            cells = by(run(six, workers, protocols=protocol, **settings), "benchmark")
            each = {name: accuracy(cell) for (name,), cell in cells.items()}
            parts = ", ".join(f"{name} {value:.3f}" for name, value in each.items())
            others = []
            usual = by(run(six, workers, protocols=protocol, **settings, **USUAL), "strategy")
            for (name,), group in usual.items():
                means = [accuracy(cell) for cell in by(group, "benchmark").values()]
                others.append(f"{name} {np.mean(means):.3f}")
            line(
                f"HAL x {len(each)}, {protocol}, {budget} of tasks",
                f"pairwise >= {aim}",
                f"{np.mean(list(each.values())):.4f} ({parts}; {', '.join(others)})",
            )

    ours = by(run(hal, workers, protocols="loao", stops=KEEP, budgets="band"), "benchmark")
    band = by(
        run(hal, workers, protocols="loao", stops=KEEP, budgets="band", strategies="band"),
        "benchmark",
    )
    for names, cell in ours.items():
        if names not in band:
            continue  # too few agents for a band
        found = f"{tau(cell):.3f} against {tau(band[names]):.3f}"
        line(f"{names[0]}, loao, band's size", "tau >= band's - .01", found)

    seven = [matrix for matrix in hal if matrix.benchmark not in NOT_FOR_STOPS]
    rows = run(seven, workers, protocols=["loao", "loso", "temporal"], cuts="half", stops=RULE)
    stops(
        rows,
        where=f"stop, HAL x {len(seven)} x (loao, loso, temporal)",
        aim="coverage >= .90, no cell below, conclusive 100 %, tasks <= .42",
    )
    aim = "coverage >= .90, tasks <= .07"
    for protocol, extra in (("loso", {}), ("temporal", {"cuts": CUT})):
        rows = run(swe, workers, protocols=protocol, stops=RULE, **extra)
        stops(rows, where=f"stop, SWE-bench Verified, {protocol}", aim=aim)

    equal = two_equal_agents(seed=SEED)
    line(
        f"two equal agents, {equal.tasks} tasks, a look after each, Beats, {equal.repeats} pairs",
        f"false decisions <= {equal.alpha:g}",
        f"{equal.false_rate:.4f} (binomial p {equal.p_value:.3g});"
        f" naive bootstrap {equal.naive_false_rate:.3f}",
    )

    terminal = root / "terminal_bench_1.parquet"
    repeated = [read_matrix(terminal, name) for name in list_benchmarks(terminal)]
    shares = ["10%", "20%", "30%", "40%", "50%"]
    settings = {"protocols": "self", "stops": KEEP, "budgets": shares, "seeds": 5}
    for cell in study(repeated, workers, draws=100, **settings).cells:
        line(
            f"{cell['benchmark']}, self, {cell['budget']} of tasks",
            "reported",
            f"tau {cell['kendall']:.3f}, pairwise {cell['pairwise_accuracy']:.3f}; one full run"
            f" {cell['ceiling_kendall']:.3f}, {cell['ceiling_pairwise_accuracy']:.3f};"
            f" random tasks {cell['random_kendall_mean']:.3f},"
            f" {cell['random_pairwise_accuracy_mean']:.3f}",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
