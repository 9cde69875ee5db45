"""Reproduces the study behind the 30-70 % band (arXiv:2603.23749) and its drift failure.

Reads the outcome matrices from ``../shared/data`` beside the repository, or from the directory
given as the first argument. The band is taken as published: every task whose pass rate over the
known agents (mean over agents of each agent's own mean) lies in 30-70 %, plain means, no widening,
no stopping rule. Random subsets are one order for all agents, 100 draws.
"""

import sys
from pathlib import Path

import numpy as np

from midband_history import OutcomeMatrix, read_matrix
from midband_sims import Placing, kendall, parse_protocol, random_subsets, spearman

PUBLISHED = {
    "gaia": (82, 0.956, 0.926, 0.974),
    "swebench_verified_mini": (20, 0.924, 0.896, 0.968),
    "usaco": (93, 0.940, None, 0.950),
    "taubench_airline": (28, 0.967, 0.956, 0.945),
    "corebench_hard": (15, 0.918, 0.912, 0.903),
    "online_mind2web": (95, 0.939, 0.909, 0.930),
    "scicode": (4, None, None, None),
}
TOLERANCE = 0.03
CUT = "2024-11-20"


def in_band(matrix: OutcomeMatrix) -> np.ndarray:
    rates = matrix.pass_rates()
    return (rates >= 0.3 - 1e-9) & (rates <= 0.7 + 1e-9)


def band_scores(matrix: OutcomeMatrix, protocol: str, cut: str = "") -> list[tuple[float, ...]]:
    """Spearman, tau and the random baseline: one tuple a ranking the protocol makes."""
    rule = parse_protocol(protocol, cut=cut)
    splits = rule.splits(matrix, seed=0)
    full = matrix.full_scores()
    out = []
    for group in [splits] if rule.pooled else [(split,) for split in splits]:
        estimates, truth, placings = [], [], []
        for split in group:
            band = in_band(matrix.select(agents=list(split.references)))
            for i in split.candidates:
                known = matrix.scores[i, band]
                known = known[~np.isnan(known)]
                if not known.size:
                    continue
                estimates.append(float(known.mean()))
                truth.append(float(full[i]))
                placings.append(
                    Placing(candidate=i, references=split.references, tasks=int(band.sum()))
                )
        chance = random_subsets(matrix, placings, seed=0)
        x, y = np.array(estimates), np.array(truth)
        known_draws = chance.spearman[~np.isnan(chance.spearman)]
        if not known_draws.size or np.isnan(spearman(x, y)):
            continue
        out.append(
            (
                len(x),
                spearman(x, y),
                kendall(x, y),
                known_draws.mean(),
                known_draws.min(),
                float(np.nanmean(chance.kendall)),
            )
        )
    return out


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared" / "data"
    if not (root / "hal_leaderboard.parquet").exists():
        print(f"no hal_leaderboard.parquet in {root}: give the directory that has it")
        return 1
    columns = (
        "band (study)",
        "LOAO (study)",
        "LOSO (study)",
        "Temp (study)",
        "random: mean, worst",
    )
    print(f"{'benchmark':24s} tasks  {'   '.join(columns)}")
    near = 0
    for name, (size, *figures) in PUBLISHED.items():
        matrix = read_matrix(root / "hal_leaderboard.parquet", name)
        ours = [band_scores(matrix, protocol) for protocol in ("loao", "loso", "temporal")]
        cells = []
        for rankings, figure in zip(ours, figures, strict=True):
            mean = np.mean([ranking[1] for ranking in rankings]) if rankings else np.nan
            cells.append(f"{mean:6.3f} ({'-' if figure is None else f'{figure:.3f}'})".ljust(15))
        loao = ours[0][0]
        if figures[0] is not None:
            near += abs(loao[1] - figures[0]) <= TOLERANCE
        print(
            f"{name:24s} {len(matrix.tasks):5d}  {int(in_band(matrix).sum()):4d} ({size:3d})"
            f"   {''.join(cells)}      {loao[3]:.3f}  {loao[4]:.3f}"
        )
    print(f"LOAO within {TOLERANCE} of the study: {near} of 6")
    matrix = read_matrix(root / "swebench_verified.parquet", "swebench-verified")
    count, rho, tau, _, _, random_tau = band_scores(matrix, "temporal", CUT)[0]
    print(
        f"\ndrift: SWE-bench Verified, history to {CUT}, ranking the later {count}:"
        f" fixed band rho {rho:.3f} tau {tau:.3f}, random of the same size tau {random_tau:.3f}"
    )
    return 0 if near >= 5 else 1


if __name__ == "__main__":
    sys.exit(main())
