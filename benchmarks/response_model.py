"""The response model's fit beside mirt's marginal maximum likelihood (`fit_mirt`, model 2PL).

    pip install mirt==1.2.0
    OPENBLAS_NUM_THREADS=1 RAYON_NUM_THREADS=1 python benchmarks/response_model.py

Data are drawn from the two-parameter model itself: abilities N(0, 1), intercepts N(0, 1.3), log
discriminations N(0, spread). Errors are root mean squares after the abilities of either fit were
brought to the mean and standard deviation of the true ones, the tasks with them; mirt's abilities
are its EAP scores, which are not timed. Both run on one thread, mirt without standard errors.
Without mirt only our own times are shown. Read ratios, not seconds; they are of processor time.
"""

import time
import warnings

import numpy as np

from midband_history import OutcomeMatrix
from midband_sampler import fit_response_model

SIZES = ((134, 500, 0.3), (500, 1000, 0.15), (500, 1000, 0.5), (500, 5000, 0.3))
SMALL = ((10, 50), (25, 165), (40, 100), (130, 500))
Fit = tuple[np.ndarray, np.ndarray, np.ndarray]


def simulate(n_agents: int, n_tasks: int, spread: float) -> tuple[np.ndarray, Fit]:
    rng = np.random.default_rng(0)
    ability, intercept = rng.normal(0, 1, n_agents), rng.normal(0, 1.3, n_tasks)
    slope = np.exp(rng.normal(0, spread, n_tasks))
    chance = 1 / (1 + np.exp(-(intercept + slope * ability[:, None])))
    return (rng.random(chance.shape) < chance).astype(float), (ability, intercept, slope)


def errors(fit: Fit, truth: Fit) -> str:
    ability, intercept, slope = fit
    scale = truth[0].std() / ability.std()
    shift = truth[0].mean() - scale * ability.mean()
    aligned = scale * ability + shift, intercept - slope * shift / scale, slope / scale
    off = [aligned[0] - truth[0], aligned[1] - truth[1], np.log(aligned[2] / truth[2])]
    return " ".join(f"{np.sqrt(np.mean(each**2)):>9.3f}" for each in off)


def ours(scores: np.ndarray, times: int = 5) -> tuple[float, Fit]:
    matrix = OutcomeMatrix.from_scores(scores)
    taken = []
    for _ in range(times):
        began = time.process_time()
        model = fit_response_model(matrix)
        taken.append(time.process_time() - began)
    return float(np.median(taken)), (model.abilities, model.intercepts, model.discriminations)


def mirts(scores: np.ndarray) -> tuple[float, Fit]:
    from mirt import fit_mirt, fscores

    data = scores.astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.process_time()
        found = fit_mirt(data, model="2PL", compute_standard_errors=False)
        taken = time.process_time() - began
        ability = np.ravel(fscores(found, data).theta)
    slope, difficulty = (
        np.ravel(found.model.parameters[name]) for name in ("discrimination", "difficulty")
    )
    return taken, (ability, -slope * difficulty, slope)


def main() -> None:
    try:
        import mirt  # noqa: F401

        there = True
    except ImportError:
        there = False
        print("mirt is not installed: no comparison")
    print("root mean square errors of abilities, intercepts, log discriminations")
    print(
        f"{'agents x tasks':>14} spread {'':>6} {'seconds':>9} {'ability':>9} {'intercept':>9}"
        f" {'log a':>9}"
    )
    for n_agents, n_tasks, spread in SIZES:
        scores, truth = simulate(n_agents, n_tasks, spread)
        taken, fit = ours(scores)
        size = f"{n_agents} x {n_tasks}"
        print(f"{size:>14} {spread:>6} {'ours':>6} {taken:>9.3f} {errors(fit, truth)}", flush=True)
        if there:
            theirs, fit = mirts(scores)
            print(
                f"{'':>14} {'':>6} {'mirt':>6} {theirs:>9.3f} {errors(fit, truth)}"
                f"  {theirs / taken:.0f}x",
                flush=True,
            )
    for n_agents, n_tasks in SMALL:
        scores, _ = simulate(n_agents, n_tasks, 0.3)
        size = f"{n_agents} x {n_tasks}"
        print(f"{size:>14} {0.3:>6} {'ours':>6} {ours(scores, 21)[0] * 1e3:>6.1f} ms")


if __name__ == "__main__":
    main()
