"""Independent pieces of `auto_study.py`: plans on drawn histories, replayed in any process."""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from auto_measures import FloatArray, pair_accuracy, replay_accuracy

from midband_history import InputError, OutcomeMatrix, list_benchmarks, read_matrix
from midband_sampler import Plan, PlanError, PlanSettings, Session, make_plan
from midband_sims import (
    SyntheticSettings,
    draw_candidate,
    replay,
    synthetic_history,
)

Rows = list[dict[str, Any]]
MOST_OTHER_TASKS = 600


@lru_cache(maxsize=16)
def load(path: str, benchmark: str) -> OutcomeMatrix:
    """Read one benchmark of a file, once in each process."""
    return read_matrix(Path(path), benchmark)


def stream(*parts: object) -> np.random.Generator:
    """Return the random stream of one draw; the same parts give the same stream everywhere."""
    return np.random.default_rng([zlib.crc32(str(part).encode()) for part in parts])


@dataclass(frozen=True, kw_only=True)
class Job:
    """One drawn history, and the agents that are new to it.

    Parameters
    ----------
    path, benchmark : str
    cell : str
        What the numbers are reported under.
    draw : int
    known, candidates : tuple of int
        Rows of the matrix.
    tasks : tuple of int or None
        Columns of the benchmark; None for all.
    hidden : tuple of (tuple of int, tuple of int)
        Rows and columns whose results the plan must not see.
    plans : tuple of dict
        Settings of the plans to try, as `PlanSettings.from_mapping` takes them.
    fixed : bool
        Replay the order before the run as well.
    orders : int
        Random orders of as many tasks, read by plain means.
    others : int or None
        Give the plan so many agents of each other benchmark of the file.
    seed : int
    """

    path: str
    benchmark: str
    cell: str
    draw: int
    known: tuple[int, ...]
    candidates: tuple[int, ...]
    plans: tuple[dict[str, Any], ...]
    tasks: tuple[int, ...] | None = None
    hidden: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    fixed: bool = False
    orders: int = 0
    others: int | None = None
    seed: int = 0


def run_all(function: Callable[[Any], Rows], jobs: Sequence[Any], workers: int) -> Iterator[Rows]:
    """Run independent jobs and yield their rows in the order of the jobs."""
    if workers == 1:
        yield from map(function, jobs)
        return
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    os.environ.update(dict.fromkeys(names, "1"))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, jobs)


def without_cells(matrix: OutcomeMatrix, gone: np.ndarray) -> OutcomeMatrix:
    """Return a matrix in which some cells were never run."""
    return replace(
        matrix,
        scores=np.where(gone, np.nan, matrix.scores),
        attempts=np.where(gone, 0, matrix.attempts),
        cost_usd=np.where(gone, np.nan, matrix.cost_usd),
        duration_s=np.where(gone, np.nan, matrix.duration_s),
        attempt_scores=np.where(gone[:, :, None], np.nan, matrix.attempt_scores),
    )


def run_job(job: Job) -> Rows:
    """Make each plan and replay each candidate; one row a candidate, plan and reading."""
    matrix = load(job.path, job.benchmark)
    if job.tasks is not None:
        matrix = matrix.select(tasks=list(job.tasks))
    seen = matrix
    if job.hidden[0]:
        gone = np.zeros(matrix.scores.shape, dtype=bool)
        gone[np.ix_(*job.hidden)] = True
        seen = without_cells(matrix, gone)
    known = seen.select(agents=list(job.known))
    truth = dict(zip(matrix.agents, matrix.full_scores().tolist(), strict=True))
    others = _others(job)
    rows: Rows = []
    for number, given in enumerate(job.plans):
        settings = _settings(given, matrix, job)
        head = {"cell": job.cell, "draw": job.draw, "plan": number, **_texts(given)}
        try:
            plan = make_plan(known, settings, others=others)
        except PlanError as error:
            rows.extend(
                {**head, "candidate": matrix.agents[i], "mode": "live", "refused": str(error)}
                for i in job.candidates
            )
            continue
        modes = {"live": plan}
        if job.fixed:
            try:
                modes["fixed"] = plan.fixed()
            except PlanError as error:
                rows.extend(
                    {**head, "candidate": matrix.agents[i], "mode": "fixed", "refused": str(error)}
                    for i in job.candidates
                )
        for agent in job.candidates:
            name = {**head, "candidate": matrix.agents[agent]}
            for mode, each in modes.items():
                rows.append({**name, "mode": mode, **_replayed(each, matrix, agent, truth)})
            if job.orders and settings.max_tasks is not None:
                size = settings.max_tasks
                rows.append({**name, "mode": "random", **_random(job, matrix, known, agent, size)})
    return rows


def _settings(given: dict[str, Any], matrix: OutcomeMatrix, job: Job) -> PlanSettings:
    """Say who the candidate is where there is one, which a person knows before the run."""
    scaffolds = {matrix.scaffolds[row] for row in job.candidates}
    who = {"scaffold": scaffolds.pop()} if len(scaffolds) == 1 else {}
    return PlanSettings.from_mapping({"seed": job.seed, **who, **given})


def _texts(given: dict[str, Any]) -> dict[str, Any]:
    return {"budget": given.get("max_tasks"), "stop": given.get("stop")}


def _others(job: Job) -> list[OutcomeMatrix]:
    """Draw a history of the same number of agents from each other benchmark of the file."""
    if job.others is None:
        return []
    found = []
    for name in list_benchmarks(Path(job.path)):
        if name == job.benchmark:
            continue
        matrix = load(job.path, name)
        generator = stream("others", job.seed, name, job.draw)
        rows = generator.permutation(len(matrix.agents))[: job.others]
        columns = generator.permutation(len(matrix.tasks))[:MOST_OTHER_TASKS]
        found.append(matrix.select(agents=np.sort(rows), tasks=np.sort(columns)))
    return found


def _replayed(
    plan: Plan, matrix: OutcomeMatrix, agent: int, truth: dict[str, float]
) -> dict[str, Any]:
    candidate = draw_candidate(matrix, agent, stream("attempts", matrix.agents[agent]))
    found = vars(replay(plan, candidate, reference_truth=truth))
    estimate = found["score"] if np.isnan(found["full_score"]) else found["full_score"]
    return {
        **found,
        "widths": (),
        "accuracy": replay_accuracy(found),
        "error": abs(estimate - candidate.truth),
        "strategy": plan.strategy,
        "calibrated": plan.calibration is not None and plan.calibration.replays > 0,
    }


def _random(
    job: Job, matrix: OutcomeMatrix, known: OutcomeMatrix, agent: int, size: int
) -> dict[str, Any]:
    """Read random tasks by plain means, paired with the known agents' on the same tasks."""
    generator = stream("orders", job.seed, job.benchmark, job.cell, job.draw, matrix.agents[agent])
    scores = matrix.scores[agent]
    there = np.flatnonzero(~np.isnan(scores))
    truth = float(scores[there].mean())
    own, references = [], []
    for _ in range(job.orders):
        picked = generator.permutation(there)[:size]
        difference = known.scores[:, picked] - scores[picked]
        count = np.sum(~np.isnan(difference), axis=1)
        total = np.nansum(difference, axis=1)
        mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        own.append(float(scores[picked].mean()))
        references.append(own[-1] + mean)
    estimates = np.array(own)
    full = dict(zip(matrix.agents, matrix.full_scores().tolist(), strict=True))
    right = pair_accuracy(
        estimates, np.array(references), truth, np.array([full[name] for name in known.agents])
    )
    return {"accuracy": float(right.mean()), "error": float(np.abs(estimates - truth).mean())}


@dataclass(frozen=True, kw_only=True)
class PartialJob:
    """Half of the agents with all results, and half known only from their own adaptive runs.

    Parameters
    ----------
    path, benchmark : str
    draw : int
    full, adaptive : tuple of int
        Rows of the matrix. `full` does not hold the candidates.
    candidates : tuple of int
    stop : str
    seed : int
    """

    path: str
    benchmark: str
    draw: int
    full: tuple[int, ...]
    adaptive: tuple[int, ...]
    candidates: tuple[int, ...]
    stop: str
    seed: int = 0


def run_partial(job: PartialJob) -> Rows:
    """Let one half run adaptively against the other, then plan with and without that half.

    The plan that the adaptive runs follow is the one without them, so that it has not seen the
    candidates either.
    """
    matrix = load(job.path, job.benchmark)
    truth = dict(zip(matrix.agents, matrix.full_scores().tolist(), strict=True))
    head = {"cell": job.benchmark, "draw": job.draw}
    rows: Rows = []

    def planned(known: OutcomeMatrix, scaffold: str) -> Plan:
        settings = PlanSettings.from_mapping(
            {"stop": job.stop, "seed": job.seed, "fallback": False, "scaffold": scaffold}
        )
        return make_plan(known, settings)

    first = planned(matrix.select(agents=list(job.full)), "")
    gone = np.zeros(matrix.scores.shape, dtype=bool)
    for agent in job.adaptive:
        gone[agent] = True
        gone[agent, adaptive_tasks(first, matrix.scores[agent])] = False
    both = without_cells(matrix, gone).select(agents=[*job.full, *job.adaptive])
    kept = float(np.mean(~gone[list(job.adaptive)]))
    # One plan for each scaffold among the candidates: a person knows it before the run.
    for scaffold in sorted({matrix.scaffolds[row] for row in job.candidates}):
        members = [row for row in job.candidates if matrix.scaffolds[row] == scaffold]
        for mode, known in (("with", both), ("without", matrix.select(agents=list(job.full)))):
            plan = planned(known, scaffold)
            ranked = len(set(plan.reference_agents) & {matrix.agents[i] for i in job.adaptive})
            for agent in members:
                found = _replayed(plan, matrix, agent, truth)
                more = {"adaptive agents ranked": ranked, "adaptive share run": kept}
                rows.append(
                    {**head, "candidate": matrix.agents[agent], "mode": mode, **found, **more}
                )
    return rows


def adaptive_tasks(plan: Plan, scores: FloatArray) -> np.ndarray:
    """Return the columns that a live session runs to its stop."""
    session = Session(plan, resamples=200, never_run=True)
    column = {task: place for place, task in enumerate(plan.all_tasks)}
    ran = []
    while asked := session.ask(1):
        place = column[asked[0]]
        score = float(scores[place])
        unknown = np.isnan(score)
        session.tell(asked[0], score=score, outcome="missing" if unknown else "valid")
        ran.append(place)
        if session.done:
            break
    return np.array(ran, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class EqualJob:
    """Pairs of agents with equal chances on every task; one of each pair is in the history."""

    draw: int
    guarantee: str
    pairs: int = 40
    agents: int = 40
    tasks: int = 150
    alpha: float = 0.05
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)


def run_equal(job: EqualJob) -> Rows:
    """Ask each candidate whether it beats the known agent that is exactly as good.

    *decided*: the rule claimed a side before the last task. *wrong*: the claim contradicts the
    order of the two full runs, which the noise of single attempts sets apart.
    """
    generator = stream("equal", job.seed, job.draw)
    made = synthetic_history(SyntheticSettings(agents=job.agents, tasks=job.tasks), generator)
    rival = int(generator.integers(job.agents))
    chance = made.chance[rival]
    drawn = (generator.random((job.pairs, job.tasks)) < chance).astype(float)
    name = made.matrix.agents[rival]
    plan = make_plan(
        made.matrix,
        PlanSettings.from_mapping(
            {
                "guarantee": job.guarantee,
                "stop": f"beats:{name}:{1 - job.alpha:g}",
                "seed": job.seed,
                "fallback": False,
                **job.settings,
            }
        ),
    )
    pool = OutcomeMatrix.from_scores(drawn, tasks=made.matrix.tasks)
    naive = _naive(drawn - made.matrix.scores[rival], job.alpha, generator)
    rows: Rows = []
    for row in range(job.pairs):
        candidate = draw_candidate(pool, row, stream("attempts", job.seed, job.draw, row))
        found = replay(plan, candidate)
        lead = candidate.truth - float(made.matrix.scores[rival].mean())
        decided = found.conclusive and found.tasks_run < found.tasks_total
        side = 1.0 if found.reason.startswith("better") else -1.0
        rows.append(
            {
                "draw": job.draw,
                "candidate": str(row),
                "decided": float(decided),
                "wrong": float(decided and side * lead < -1e-9),
                "naive decided": float(naive[row] != 0),
                "naive wrong": float(naive[row] * lead < -1e-9),
                "tasks_run": found.tasks_run,
                "tasks_total": found.tasks_total,
                "reason": found.reason,
                "strategy": plan.strategy,
                "calibrated": plan.calibration is not None,
            }
        )
    return rows


def _naive(difference: FloatArray, alpha: float, generator: np.random.Generator) -> FloatArray:
    """Return the side that an uncorrected bootstrap claims first, 0 where it claims none.

    It looks after each task from the tenth to the last but one, in random order, and claims a side
    on which at least ``1 - alpha / 2`` of 200 resamples of the tasks run so far lie.

    Parameters
    ----------
    difference : ndarray of float, shape (pairs, n_tasks)
    """
    side = np.zeros(len(difference))
    weighted = np.zeros((len(difference), 200))
    for run, task in enumerate(generator.permutation(difference.shape[1])[:-1], 1):
        weighted += generator.standard_exponential(weighted.shape) * difference[:, task, None]
        if run >= 10:
            better = (weighted > 0).mean(axis=1) >= 1 - alpha / 2
            worse = (weighted < 0).mean(axis=1) >= 1 - alpha / 2
            side = np.where(side == 0, better.astype(float) - worse, side)
    return side


def available(settings: dict[str, Any]) -> str:
    """Return why settings of a plan are refused; empty where they are not."""
    try:
        PlanSettings.from_mapping(settings)
    except InputError as error:
        return str(error)
    return ""
