"""Speed of studies: replays with a decision after every task, against the plain loop.

The plain loop does what a careful script would: after each task it draws 2,000 resamples of the
tasks run so far, the same for every agent, and recomputes all means and the candidate's rank in
each. It is timed on a few replays; read ratios, not seconds. Data as in `mid_difficulty_study`.
"""

import cProfile
import io
import pstats
import resource
import sys
import time
from pathlib import Path

import numpy as np

from midband_history import OutcomeMatrix, list_benchmarks, read_matrix
from midband_sampler import Plan, make_plan, parse_stop
from midband_sims import LeaveOneAgentOut, Study, StudySettings, draw_candidate, replay

RESAMPLES = 2000
BAND = ("band",)


def plain_loop(plan: Plan, scores: np.ndarray, columns: np.ndarray) -> tuple[int, int]:
    """Bootstrap the rank anew after every task of the plan."""
    rng = np.random.default_rng(plan.seed)
    reference = plan.reference_scores[:, columns]
    low = high = 0
    for n in range(2, len(columns) + 1):
        picks = rng.integers(n, size=(RESAMPLES, n))
        own = scores[columns[:n]][picks].mean(axis=1)
        others = reference[:, :n][:, picks].mean(axis=2)
        ranks = 1 + np.sum(others > own, axis=0)
        low, high = np.quantile(ranks, [0.025, 0.975]).astype(int)
    return low, high


def against_plain_loop(matrix: OutcomeMatrix, replays: int) -> str:
    fast = plain = 0.0
    looks = 0
    for split in LeaveOneAgentOut().splits(matrix)[:replays]:
        known = matrix.select(agents=list(split.references))
        plan = make_plan(known, strategy="band", stop=parse_stop("none"))
        candidate = draw_candidate(matrix, split.candidates[0], np.random.default_rng(0))
        column = {task: place for place, task in enumerate(plan.all_tasks)}
        columns = np.array([column[task] for task in plan.tasks])
        begun = time.perf_counter()
        replay(plan, candidate)
        fast += time.perf_counter() - begun
        begun = time.perf_counter()
        plain_loop(plan, candidate.scores, columns)
        plain += time.perf_counter() - begun
        looks += len(plan.tasks)
    return (
        f"{matrix.benchmark}: {looks} looks, plain loop {1e3 * plain / looks:.2f} ms a look,"
        f" replay {1e6 * fast / looks:.1f} us a look: {plain / fast:.0f}x"
    )


def study(matrices: list[OutcomeMatrix], settings: StudySettings, name: str) -> str:
    begun = time.perf_counter()
    grid = Study(matrices, settings)
    result = grid.run(workers="2")
    seconds = time.perf_counter() - begun
    return f"{name}: {grid.replays} replays, {len(result.cells)} cells, {seconds:.1f} s"


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared" / "data"
    hal, verified = root / "hal_leaderboard.parquet", root / "swebench_verified.parquet"
    if not hal.exists():
        print(f"no hal_leaderboard.parquet in {root}: give the directory that has it")
        return 1
    swebench = read_matrix(verified, "swebench-verified")
    boards = [read_matrix(hal, name) for name in list_benchmarks(hal)]
    gaia = next(matrix for matrix in boards if matrix.benchmark == "gaia")
    print(against_plain_loop(gaia, 8))
    print(against_plain_loop(swebench, 2))
    print(study(boards, StudySettings(strategies=BAND, seeds=20), "HAL x 8, loao, 20 seeds, band"))
    later = StudySettings(protocols=("temporal",), cuts=("2024-11-20",), strategies=BAND, seeds=10)
    print(study([swebench], later, "SWE-bench Verified, temporal, 10 seeds, band"))
    large = read_matrix(root / "mmlu_pro.parquet", "mmlu-pro")
    begun = time.perf_counter()
    Study([large], StudySettings(strategies=BAND, draws=20)).run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"MMLU-Pro, loao: {time.perf_counter() - begun:.1f} s, peak memory {peak:.0f} MB")
    profile = cProfile.Profile()
    profile.runcall(Study([gaia], StudySettings(strategies=BAND, seeds=5)).run)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(8)
    print("profile of gaia, loao, 5 seeds:", *text.getvalue().splitlines()[4:17], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
