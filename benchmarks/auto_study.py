"""Every number that midband's statistics are judged by, beside its bar, in one table.

    python benchmarks/auto_study.py [DATA] [--workers 2] [--quick] [--rows NAME,NAME] [--json FILE]

Reads the outcome matrices from ``../shared/data`` beside the repository, or from DATA. Every plan
is made from the known agents of its split alone and replayed on agents that it has not seen. The
numbers do not depend on ``--workers``. docs/evidence/statistics.md says how each row is measured;
`auto_measures.py` holds the tests, `auto_jobs.py` the plans on drawn histories.
"""

import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from auto_jobs import (
    EqualJob,
    Job,
    PartialJob,
    available,
    load,
    run_all,
    run_equal,
    run_job,
    run_partial,
    stream,
)
from auto_measures import (
    Row,
    below_nominal,
    by,
    count_refused,
    count_text,
    coverage_cells,
    covered_of,
    is_early,
    losses,
    played,
    refused_text,
    replay_accuracy,
    share_run,
    unit_means,
)
from bar_table import Line, not_available, print_bars
from scipy import stats

from midband_history import InputError, list_benchmarks, read_matrix
from midband_sampler import PlanError
from midband_sims import Study, StudySettings, two_equal_agents

SEED = 0
RULE = "rank:0.9:0.2"
KEEP = "none:0.9"
CUT = "2024-11-20"
ALPHA = 0.05
HAL, SWE = "hal_leaderboard.parquet", "swebench_verified.parquet"
STATIC, MMLU_PRO = "static_leaderboards.parquet", "mmlu_pro.parquet"
TERMINAL = "terminal_bench_1.parquet"
NOT_FOR_ACCURACY = ("colbench_backend_programming", "scicode")
NOT_FOR_STOPS = ("colbench_backend_programming",)
SWE_NAME = "swebench-verified"
THINNED = (10, 14, 20, 25)
SHARES = (0.05, 0.10, 0.33)
PROTOCOLS = ("loao", "loso", "temporal")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is drawn; the defaults are those of the full table.

    Parameters
    ----------
    thinned : int
        Draws of each thinned history; in each, `turns` of its agents are the candidate in turn.
    turns : int or None
        None for all of them.
    stops : int
        Draws of each thinned history in which the stop is replayed.
    orders : int
        Random orders that each candidate is compared with.
    static : int
        Draws of 40 known agents of a static benchmark; `static_large` of one of over 5,000 tasks.
    static_tasks : int or None
        Draw so many tasks of a larger benchmark; None for all.
    candidates : int
        Candidates of a static draw.
    masked : int or None
        Candidates of each kind of missing third; None for all.
    halves : int
        Draws of the half of the agents that runs adaptively.
    folds : int
        Groups of scaffolds of SWE-bench Verified; 1000 for each scaffold on its own.
    pairs : int
        Synthetic histories, each with 40 pairs of equal agents.
    orders_simulated : int
        Orders of each simulated case of the always-valid bound.
    """

    thinned: int = 20
    turns: int | None = None
    stops: int = 10
    orders: int = 50
    static: int = 10
    static_large: int = 2
    static_tasks: int | None = None
    candidates: int = 28
    masked: int | None = None
    halves: int = 5
    folds: int = 1000
    pairs: int = 50
    orders_simulated: int = 2000


QUICK = Sizes(
    thinned=20,
    turns=2,
    stops=6,
    orders=20,
    static=3,
    static_large=2,
    static_tasks=500,
    masked=20,
    halves=1,
    pairs=8,
    orders_simulated=500,
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Where the data are, how much is drawn, and in how many processes."""

    data: Path
    workers: int
    sizes: Sizes
    quick: bool

    def study(self, name: str, **settings: Any) -> list[dict[str, Any]]:
        """Replay a grid on all benchmarks of a file, each once; refused replays say why."""
        return _study(self.data / name, self.workers, json.dumps(settings, sort_keys=True))

    def jobs(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> list[dict[str, Any]]:
        """Run independent jobs and put their rows together."""
        return [row for rows in run_all(function, jobs, self.workers) for row in rows]

    def drawn(self, draws: int, more: str = "") -> str:
        """Say by which draws a row was measured."""
        return f"seed {SEED}, {draws} draw{'s'[: draws != 1]}{more}"


@cache
def _study(path: Path, workers: int, text: str) -> list[dict[str, Any]]:
    settings = {"strategies": "auto", "seed": SEED, "draws": 1, "folds": 1000, **json.loads(text)}
    tasks = settings.pop("tasks", None)
    wanted = settings.pop("benchmarks", None)
    matrices = [
        read_matrix(path, name) for name in list_benchmarks(path) if name == (wanted or name)
    ]
    if tasks:
        matrices = [matrix.select(tasks=range(tasks)) for matrix in matrices]
    result = Study(matrices, StudySettings.from_mapping(settings)).run(workers=str(workers))
    return [dict(row) for row in result.replays]


def without(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    return [row for row in rows if row["benchmark"] not in names]


def stop_line(
    rows: Sequence[Row], *, where: str, bar: str, most: float, early: bool = False, drawn: str
) -> Line:
    """Judge a stop: no cell below .90, and no more tasks than `most`."""
    refused, rows = count_refused(rows), played(rows)
    counts, cells = coverage_cells(rows, "benchmark", "protocol", early=early)
    below = below_nominal(counts)
    stopped = [row for row in rows if is_early(row)]
    hits, n = covered_of(rows)
    early_hits, early_n = covered_of(stopped)
    share = share_run(rows)
    pooled = early_hits / early_n if early_n else math.nan
    inside = not early or 0.89 <= pooled <= 0.95
    return Line(
        where=f"{where} ({drawn})",
        bar=bar,
        measured=f"early stops {count_text(early_hits, early_n)}, all {count_text(hits, n)}; cells"
        f" below: {', '.join(below) or 'none'}; tasks {share:.3f}{refused_text(refused)}",
        met=inside and not below and share <= most,
        numbers={
            "early_covered": early_hits,
            "early": early_n,
            "covered": hits,
            "n": n,
            "tasks": share,
            "below": below,
            "refused": refused,
        },
        cells=cells,
    )


HAL_STOPS = {"protocols": list(PROTOCOLS), "cuts": "half", "stops": RULE}


def hal_stops(table: Table, **more: Any) -> list[Row]:
    return without(table.study(HAL, **HAL_STOPS, **more), NOT_FOR_STOPS)


def swe_stops(table: Table, **more: Any) -> list[Row]:
    found = table.study(SWE, protocols="loso", stops=RULE, folds=table.sizes.folds, **more)
    return [*found, *table.study(SWE, protocols="temporal", cuts=CUT, stops=RULE, **more)]


def row_stop_hal(table: Table) -> Iterator[Line]:
    yield stop_line(
        hal_stops(table),
        where=f"stop {RULE}, HAL x 7 x (loao, loso, temporal)",
        bar="early stops .89-.95, no cell below, tasks <= .36",
        most=0.36,
        early=True,
        drawn=f"seed {SEED}",
    )


def row_stop_swebench(table: Table) -> Iterator[Line]:
    for (protocol,), rows in by(swe_stops(table), "protocol").items():
        yield stop_line(
            rows,
            where=f"stop {RULE}, SWE-bench Verified, {protocol}",
            bar="not below .90, tasks <= .05",
            most=0.05,
            drawn=f"seed {SEED}, {table.sizes.folds} folds"
            if protocol == "loso"
            else f"seed {SEED}",
        )


def thinned_jobs(table: Table, plans: Callable[[int], Sequence[dict[str, Any]]], draws: int):
    """Lay out the thinned histories: each of n + 1 drawn agents in turn is the candidate."""
    path = str(table.data / SWE)
    n_agents = len(load(path, SWE_NAME).agents)
    n_tasks = len(load(path, SWE_NAME).tasks)
    for known in THINNED:
        for draw in range(draws):
            agents = stream("thinned", SEED, known, draw).permutation(n_agents)[: known + 1]
            for turn in agents[: table.sizes.turns]:
                yield Job(
                    path=path,
                    benchmark=SWE_NAME,
                    cell=f"{known} known",
                    draw=draw,
                    known=tuple(int(row) for row in np.sort(agents) if row != turn),
                    candidates=(int(turn),),
                    plans=tuple(plans(n_tasks)),
                    fixed=True,
                    orders=table.sizes.orders,
                    seed=SEED,
                )


def budget_plans(shares: Sequence[float]) -> Callable[[int], list[dict[str, Any]]]:
    return lambda n: [{"stop": KEEP, "max_tasks": max(1, round(share * n))} for share in shares]


def stop_plans(_: int) -> list[dict[str, Any]]:
    return [{"stop": RULE}]


def against_random(rows: Sequence[Row]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Compare live and fixed runs with random tasks, cell by cell."""
    gains: dict[str, dict[str, np.ndarray]] = {"accuracy": {}, "error": {}}
    cells = []
    refused = count_refused(rows)
    for (cell, budget), group in by(played(rows), "cell", "budget").items():
        modes = {mode: each for (mode,), each in by(group, "mode").items()}
        chance = {(row["draw"], row["candidate"]): row for row in modes.get("random", [])}
        for mode in ("live", "fixed"):
            both = [row for row in modes.get(mode, []) if (row["draw"], row["candidate"]) in chance]
            if not both:
                continue
            name = f"{cell}, {budget} tasks, {mode}"
            for what, sign in (("accuracy", 1.0), ("error", -1.0)):
                paired = [
                    {
                        **row,
                        "gain": sign * (row[what] - chance[row["draw"], row["candidate"]][what]),
                    }
                    for row in both
                ]
                gains[what][name] = unit_means(paired, "gain")
            matched = [chance[row["draw"], row["candidate"]] for row in both]
            cells.append(
                {
                    "cell": name,
                    "accuracy": mean_of(both, "accuracy"),
                    "random's": mean_of(matched, "accuracy"),
                    "score error": mean_of(both, "error"),
                    "random's error": mean_of(matched, "error"),
                    "candidates": len(both),
                    "units": int(gains["accuracy"][name].size),
                    "strategies": strategies_of(both),
                }
            )
    numbers = {
        "accuracy": float(np.mean([cell["accuracy"] for cell in cells])),
        "random": float(np.mean([cell["random's"] for cell in cells])),
        "accuracy_below": losses(gains["accuracy"]),
        "error_above": losses(gains["error"]),
        "accuracy_lower": sum(cell["accuracy"] < cell["random's"] for cell in cells),
        "error_higher": sum(cell["score error"] > cell["random's error"] for cell in cells),
        "cells": len(cells),
        "units": min(cell["units"] for cell in cells),
        "refused": refused,
    }
    return numbers, cells


def mean_of(rows: Sequence[Row], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def strategies_of(rows: Sequence[Row]) -> str:
    groups = by(rows, "strategy")
    order = sorted(groups, key=lambda name: (-len(groups[name]), name))
    return ", ".join(f"{name[0]} {len(groups[name])}" for name in order)


def random_text(numbers: Mapping[str, Any]) -> str:
    gain = numbers["accuracy"] - numbers["random"]
    text = (
        f"mean accuracy {numbers['accuracy']:.4f}, random {numbers['random']:.4f} ({gain:+.4f});"
        f" accuracy below: {', '.join(numbers['accuracy_below']) or 'none'}; score error above:"
        f" {', '.join(numbers['error_above']) or 'none'}; on the mean alone, accuracy lower in"
        f" {numbers['accuracy_lower']} and error higher in {numbers['error_higher']} of"
        f" {numbers['cells']} cells, each of {numbers['units']} units or more"
    )
    return text + refused_text(numbers["refused"])


def row_thinned(table: Table) -> Iterator[Line]:
    sizes = table.sizes
    jobs = list(thinned_jobs(table, budget_plans(SHARES), sizes.thinned))
    numbers, cells = against_random(table.jobs(run_job, jobs))
    gain = numbers["accuracy"] - numbers["random"]
    turns = "every agent in turn" if sizes.turns is None else f"{sizes.turns} agents in turn"
    yield Line(
        where=f"SWE-bench Verified thinned to {', '.join(map(str, THINNED))} known, budgets 5, 10,"
        f" 33 %, live and fixed ({table.drawn(sizes.thinned)}, {turns})",
        bar="mean accuracy >= random + .02, below random in none; score error above in none",
        measured=random_text(numbers),
        met=gain >= 0.02 and not numbers["accuracy_below"] and not numbers["error_above"],
        numbers=numbers,
        cells=cells,
    )


def static_jobs(table: Table, plans: Callable[[int], Sequence[dict[str, Any]]]) -> Iterator[Job]:
    """Lay out the static benchmarks: 40 drawn agents are known, others of the rest are new."""
    sizes = table.sizes
    names = [(STATIC, name) for name in list_benchmarks(table.data / STATIC)]
    names += [(MMLU_PRO, name) for name in list_benchmarks(table.data / MMLU_PRO)]
    for file, name in names:
        path = str(table.data / file)
        matrix = load(path, name)
        n_agents, n_tasks = matrix.scores.shape
        for draw in range(sizes.static if n_tasks <= 5000 else sizes.static_large):
            generator = stream("static", SEED, name, draw)
            agents = generator.permutation(n_agents)
            known = min(40, 2 * n_agents // 3) if n_agents < 44 else 40
            tasks = None
            if sizes.static_tasks is not None and n_tasks > sizes.static_tasks:
                picked = np.sort(generator.permutation(n_tasks)[: sizes.static_tasks])
                tasks = tuple(int(column) for column in picked)
            for plan in plans(n_tasks if tasks is None else len(tasks)):
                yield Job(
                    path=path,
                    benchmark=name,
                    cell=f"{name.removeprefix('static_')}, {known} known",
                    draw=draw,
                    known=tuple(int(row) for row in np.sort(agents[:known])),
                    candidates=tuple(int(row) for row in agents[known : known + sizes.candidates]),
                    plans=(plan,),
                    tasks=tasks,
                    fixed=True,
                    orders=sizes.orders,
                    others=40 if file == STATIC else None,
                    seed=SEED,
                )


def static_drawn(table: Table) -> str:
    sizes = table.sizes
    cut = "" if sizes.static_tasks is None else f", at most {sizes.static_tasks} tasks"
    return table.drawn(sizes.static, f" of small and {sizes.static_large} of large sets{cut}")


def row_static(table: Table) -> Iterator[Line]:
    jobs = list(static_jobs(table, budget_plans((0.05, 0.10))))
    numbers, cells = against_random(table.jobs(run_job, jobs))
    yield Line(
        where="seven static sets and mmlu_pro, 40 known (bbh 26), 5 and 10 %, live and fixed"
        f" ({static_drawn(table)})",
        bar="accuracy below random in none, score error above random's in none",
        measured=random_text(numbers),
        met=not numbers["accuracy_below"] and not numbers["error_above"],
        numbers=numbers,
        cells=cells,
    )


def covered_line(rows: Sequence[Row], *names: str, where: str, bar: str, pooled: bool) -> Line:
    """Judge coverage by cell; `pooled` wants all together at .90 as well."""
    refused, rows = count_refused(rows), played(rows)
    counts, cells = coverage_cells(rows, *names)
    below = below_nominal(counts)
    hits, n = covered_of(rows)
    early_hits, early_n = covered_of([row for row in rows if is_early(row)])
    smallest = min((each for _, each in counts.values()), default=0)
    return Line(
        where=where,
        bar=bar,
        measured=f"{count_text(hits, n)}, early stops {count_text(early_hits, early_n)}; cells"
        f" below: {', '.join(below) or 'none'} (the smallest has {smallest}); tasks"
        f" {share_run(rows):.3f}{refused_text(refused)}",
        met=not below and (not pooled or hits >= 0.9 * n),
        numbers={
            "covered": hits,
            "n": n,
            "early_covered": early_hits,
            "early": early_n,
            "below": below,
            "refused": refused,
        },
        cells=cells,
    )


def row_stop_sizes(table: Table) -> Iterator[Line]:
    jobs = [*thinned_jobs(table, stop_plans, table.sizes.stops), *static_jobs(table, stop_plans)]
    rows = table.jobs(run_job, [replace(job, orders=0) for job in jobs])
    drawn = table.drawn(table.sizes.stops, f" of thinned histories; {static_drawn(table)}")
    for (mode,), group in by(rows, "mode").items():
        yield covered_line(
            group,
            "cell",
            where=f"stop {RULE} in every size above, {mode} ({drawn})",
            bar="not below .90 in any, pooled >= .90",
            pooled=True,
        )


def row_missing(table: Table) -> Iterator[Line]:
    path = str(table.data / SWE)
    matrix = load(path, SWE_NAME)
    n_agents, n_tasks = matrix.scores.shape
    rates, third = matrix.pass_rates(), n_tasks // 3
    order = np.argsort(rates, kind="stable")
    jobs = []
    for kind in ("hardest", "easiest", "random"):
        generator = stream("missing", SEED, kind)
        masked = np.sort(generator.permutation(n_agents)[: n_agents // 3])
        whole = generator.permutation(np.setdiff1d(np.arange(n_agents), masked))
        columns = {
            "hardest": order[:third],
            "easiest": order[-third:],
            "random": generator.permutation(n_tasks)[:third],
        }[kind]
        jobs += [
            Job(
                path=path,
                benchmark=SWE_NAME,
                cell=f"{kind} third",
                draw=0,
                known=tuple(row for row in range(n_agents) if row != candidate),
                candidates=(int(candidate),),
                hidden=(tuple(map(int, masked)), tuple(map(int, columns))),
                plans=({"stop": RULE, "fallback": False},),
                seed=SEED,
            )
            for candidate in whole[: table.sizes.masked]
        ]
    yield covered_line(
        table.jobs(run_job, jobs),
        "cell",
        where="SWE-bench Verified, a third of the agents without the same third of the tasks"
        f" ({table.drawn(1)}, each agent with all results in turn)",
        bar="not below .90 each",
        pooled=False,
    )


def partial_jobs(table: Table) -> Iterator[PartialJob]:
    """Lay out halves of the agents; one agent at a time is new, in ten groups on SWE-bench."""
    names = [(HAL, name) for name in list_benchmarks(table.data / HAL)]
    for file, name in [*names, (SWE, SWE_NAME)]:
        if name in NOT_FOR_STOPS:
            continue
        path = str(table.data / file)
        n_agents = len(load(path, name).agents)
        for draw in range(table.sizes.halves):
            agents = stream("halves", SEED, name, draw).permutation(n_agents)
            full, adaptive = agents[: (n_agents + 1) // 2], np.sort(agents[(n_agents + 1) // 2 :])
            folds = min(10, full.size) if file == SWE else full.size
            for fold in range(folds):
                candidates = full[fold::folds]
                yield PartialJob(
                    path=path,
                    benchmark=name,
                    draw=draw,
                    full=tuple(int(row) for row in np.sort(np.setdiff1d(full, candidates))),
                    adaptive=tuple(map(int, adaptive)),
                    candidates=tuple(map(int, candidates)),
                    stop=RULE,
                    seed=SEED,
                )


def row_partial(table: Table) -> Iterator[Line]:
    rows = table.jobs(run_partial, list(partial_jobs(table)))
    modes = {mode: group for (mode,), group in by(rows, "mode").items()}
    counts, cells = coverage_cells(modes["with"], "cell")
    below = below_nominal(counts)
    plain = {(row["cell"], row["draw"], row["candidate"]): row for row in modes["without"]}
    savings = {}
    for cell, ((name,), group) in zip(cells, by(modes["with"], "cell").items(), strict=True):
        pairs = [(row, plain[row["cell"], row["draw"], row["candidate"]]) for row in group]
        saved = [
            {**row, "gain": (other["tasks_run"] - row["tasks_run"]) / row["tasks_total"]}
            for row, other in pairs
        ]
        savings[str(name)] = unit_means(saved, "gain")
        cell["tasks without"] = share_run([other for _, other in pairs])
        cell["adaptive agents ranked"] = mean_of(group, "adaptive agents ranked")
        cell["adaptive share run"] = mean_of(group, "adaptive share run")
    more = losses(savings)
    hits, n = covered_of(modes["with"])
    others = covered_of(modes["without"])
    early = covered_of([row for row in modes["with"] if is_early(row)])
    ranked = mean_of(modes["with"], "adaptive agents ranked")
    yield Line(
        where="HAL x 7 and SWE-bench Verified, half of the agents known only from their own"
        f" adaptive runs ({table.drawn(table.sizes.halves)})",
        bar="not below .90; tasks no more than without them",
        measured=f"{count_text(hits, n)}, early stops {count_text(*early)}, without them"
        f" {count_text(*others)}; cells below: {', '.join(below) or 'none'}; tasks"
        f" {share_run(modes['with']):.3f}, without them {share_run(modes['without']):.3f}; more"
        f" tasks in: {', '.join(more) or 'none'}; {ranked:.1f} adaptive agents ranked",
        met=not below and not more,
        numbers={"covered": hits, "n": n, "below": below, "more_tasks": more},
        cells=cells,
    )


def row_repeated(table: Table) -> Iterator[Line]:
    averaged = table.study(TERMINAL, protocols="loao", stops=RULE)
    graded = table.study(
        STATIC, protocols="loao", stops=RULE, benchmarks="static_natural_qa", tasks=300
    )
    for rows, where, most in (
        (averaged, "terminal_bench_1, five attempts averaged, loao", 0.24),
        (graded, "natural_qa graded, tasks 0-299, loao", 0.32),
    ):
        yield stop_line(
            rows,
            where=where,
            bar=f"not below .90, tasks <= {most:.2f}",
            most=most,
            drawn=f"seed {SEED}",
        )


def row_hal_accuracy(table: Table) -> Iterator[Line]:
    usual = {"strategies": ["band", "random"], "seeds": 10}
    for budget, protocol, bar in (
        ("10%", "temporal", 0.89),
        ("band", "loso", 0.94),
        ("band", "temporal", 0.94),
    ):
        settings = {"protocols": protocol, "cuts": "half", "stops": KEEP, "budgets": budget}
        rows = without(table.study(HAL, **settings), NOT_FOR_ACCURACY)
        means = accuracy_by_benchmark(rows)
        beside = without(table.study(HAL, **settings, **usual), NOT_FOR_ACCURACY)
        others = {
            name: float(np.mean(list(accuracy_by_benchmark(group).values())))
            for (name,), group in by(beside, "strategy").items()
        }
        mean = float(np.mean(list(means.values())))
        yield Line(
            where=f"HAL x {len(means)}, {protocol}, {budget} of tasks (seed {SEED})",
            bar=f"pairwise accuracy >= {bar}",
            measured=f"{mean:.4f} ("
            + ", ".join(f"{name} {value:.3f}" for name, value in others.items())
            + ")",
            met=mean >= bar,
            numbers={"accuracy": mean, **others},
            cells=[{"cell": name, "accuracy": value} for name, value in means.items()],
        )


def accuracy_by_benchmark(rows: Sequence[Row]) -> dict[str, float]:
    return {
        name: float(np.mean([replay_accuracy(row) for row in group]))
        for (name,), group in by(played(rows), "benchmark").items()
    }


def row_bootstrap(table: Table) -> Iterator[Line]:
    bar = "not below .90; tasks <= 1.15 times the posterior bound's"
    bootstrap = {"plan": {"guarantee": "bootstrap"}}
    calibrated = {"plan": {"guarantee": "calibrated"}}
    band = {"strategies": "band"}
    for where, rows_of, more, posterior in (
        ("HAL x 7 x (loao, loso, temporal)", hal_stops, {}, {}),
        ("SWE-bench Verified, loso and temporal", swe_stops, {}, {}),
        ("HAL x 7 x 3 in the band, on its own target", hal_stops, band, calibrated),
        ("SWE-bench Verified in the band, on its own target", swe_stops, band, calibrated),
    ):
        where = f"bootstrap rank confidence, stop {RULE}, {where} (seed {SEED})"
        if refused := available({"guarantee": "bootstrap", **_single(more)}):
            yield not_available(where, bar, refused)
            continue
        rows = rows_of(table, **bootstrap, **more)
        usual = rows_of(table, **posterior, **more)
        line = covered_line(rows, "benchmark", "protocol", where=where, bar=bar, pooled=False)
        pairs = matched(rows, usual)
        share, posterior_share = share_run([a for a, _ in pairs]), share_run([b for _, b in pairs])
        ratio = share / posterior_share
        hits, n = covered_of(played(usual))
        yield replace(
            line,
            measured=f"{line.measured}; of {len(pairs)} that neither refused {share:.3f},"
            f" {ratio:.3f} times the posterior's {posterior_share:.3f} (which covers"
            f" {count_text(hits, n)}{refused_text(count_refused(usual))})",
            met=bool(line.met) and ratio <= 1.15,
            numbers={**line.numbers, "ratio": ratio},
        )


def matched(rows: Sequence[Row], others: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Pair the replays of the same candidates that neither policy refused."""
    names = ("benchmark", "protocol", "split", "candidate", "seed_index")
    beside = {tuple(row[name] for name in names): row for row in played(others)}
    keys = [(row, tuple(row[name] for name in names)) for row in played(rows)]
    return [(row, beside[key]) for row, key in keys if key in beside]


def _single(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"strategy": settings["strategies"]} if "strategies" in settings else {}


def row_bootstrap_equal(table: Table) -> Iterator[Line]:
    draws = table.sizes.pairs
    where = (
        "bootstrap, two equal agents with a synthetic history of their kind (40 agents, 150"
        f" tasks), a look after each task ({table.drawn(draws)} of 40 pairs)"
    )
    bar = f"claims that the full runs contradict <= {ALPHA}"
    if refused := available({"guarantee": "bootstrap"}):
        yield not_available(where, bar, refused)
        return
    found = {}
    for guarantee in ("bootstrap", "calibrated"):
        jobs = [
            EqualJob(draw=draw, guarantee=guarantee, alpha=ALPHA, seed=SEED)
            for draw in range(draws)
        ]
        found[guarantee] = table.jobs(run_equal, jobs)
    naive = two_equal_agents(400 if table.quick else 2000, seed=SEED, alpha=ALPHA)
    each = np.array(
        [
            np.mean([row["wrong"] for row in rows])
            for rows in by(found["bootstrap"], "draw").values()
        ]
    )
    spread = np.ptp(each) > 0
    above = stats.ttest_1samp(each, ALPHA, alternative="greater").pvalue if spread else 1.0
    rate = float(each.mean())
    usual = found["calibrated"]
    yield Line(
        where=where,
        bar=bar,
        measured=f"wrong {rate:.4f} (above {ALPHA}: p {above:.3g}), a side claimed before the last"
        f" task {mean_of(found['bootstrap'], 'decided'):.4f}; posterior"
        f" {mean_of(usual, 'wrong'):.4f} and {mean_of(usual, 'decided'):.4f}; naive bootstrap of"
        f" the same pairs {mean_of(usual, 'naive wrong'):.4f} and"
        f" {mean_of(usual, 'naive decided'):.4f}, of pairs without a history any claim"
        f" {naive.naive_false_rate:.3f}",
        met=bool(rate <= ALPHA or above > ALPHA),
        numbers={
            "decided": mean_of(found["bootstrap"], "decided"),
            "wrong": rate,
            "naive": naive.naive_false_rate,
            "p": float(above),
        },
    )


def row_always_valid_simulated(table: Table) -> Iterator[Line]:
    orders = table.sizes.orders_simulated
    where = (
        "always-valid: worst simulated wrong share, rare passes, 12-1000 tasks (seed"
        f" {SEED}, {orders} orders a case)"
    )
    bar = "<= nominal at .10, .05, .01"
    try:
        simulated = importlib.import_module("always_valid")
        shares = simulated.worst_wrong_shares(orders=orders, seed=SEED)
    except (ImportError, AttributeError) as error:
        yield not_available(where, bar, str(error))
        return
    # An exact bound can be wrong as often as nominal: only a share surely above it is a miss.
    above = [
        nominal
        for nominal, share in shares.items()
        if stats.binomtest(round(share * orders), orders, nominal, alternative="greater").pvalue
        < 0.001
    ]
    yield Line(
        where=where,
        bar=bar,
        measured=", ".join(f"{share:.4f} at {nominal:g}" for nominal, share in shares.items())
        + f"; surely above (p < .001, for it is the worst of many cases): {len(above)} of"
        f" {len(shares)}",
        met=not above,
        numbers={f"{nominal:g}": share for nominal, share in shares.items()},
    )


def row_always_valid_tasks(table: Table) -> Iterator[Line]:
    settings = {"protocols": "loao", "stops": RULE, "strategies": "random"}
    rows = played(
        without(table.study(HAL, **settings, plan={"guarantee": "always-valid"}), NOT_FOR_STOPS)
    )
    counts, cells = coverage_cells(rows, "benchmark")
    below = below_nominal(counts)
    hits, n = covered_of(rows)
    share = share_run(rows)
    yield Line(
        where=f"always-valid, random, HAL x 7 loao, stop {RULE} (seed {SEED})",
        bar="tasks <= .85, exact",
        measured=f"tasks {share:.3f}; {count_text(hits, n)}; cells below:"
        f" {', '.join(below) or 'none'}",
        met=share <= 0.85 and not below,
        numbers={"tasks": share, "covered": hits, "n": n},
        cells=cells,
    )


def row_fit(table: Table) -> Iterator[Line]:
    bar = "no slower, no worse errors"
    where = f"2PL fit against mirt 1.2.0, one thread, no standard errors (seed {SEED})"
    try:
        importlib.import_module("mirt")
        model = importlib.import_module("response_model")
        theirs = model.mirts
    except (ImportError, AttributeError) as error:
        yield not_available(where, bar, str(error))
        return
    cells = []
    for n_agents, n_tasks, spread in model.SIZES[: 2 if table.quick else None]:
        scores, truth = model.simulate(n_agents, n_tasks, spread)
        seconds, fit = model.ours(scores)
        other, other_fit = theirs(scores)
        mine, others = model.errors(fit, truth), model.errors(other_fit, truth)
        names = ("ability", "intercept", "log slope")
        cells.append(
            {
                "cell": f"{n_agents} x {n_tasks}, spread {spread}",
                "seconds": seconds,
                "mirt's": other,
                "times": other / seconds,
                **dict(zip(names, _floats(mine), strict=True)),
                **{f"mirt's {n}": v for n, v in zip(names, _floats(others), strict=True)},
            }
        )
    slower = [cell["cell"] for cell in cells if cell["times"] < 1]
    worse = [
        f"{name} at {cell['cell']}"
        for cell in cells
        for name in ("ability", "intercept", "log slope")
        if cell[name] > cell[f"mirt's {name}"] + 5e-4
    ]
    yield Line(
        where=where,
        bar=bar,
        measured=f"{', '.join('{:.0f}x'.format(cell['times']) for cell in cells)}; slower:"
        f" {', '.join(slower) or 'none'}; errors worse: {', '.join(worse) or 'none'}",
        met=not slower and not worse,
        cells=cells,
    )


def _floats(found: Any) -> list[float]:
    return [float(each) for each in (found.split() if isinstance(found, str) else found)]


ROWS: dict[str, Callable[[Table], Iterator[Line]]] = {
    "stop-hal": row_stop_hal,
    "stop-swebench": row_stop_swebench,
    "thinned": row_thinned,
    "static": row_static,
    "stop-sizes": row_stop_sizes,
    "missing": row_missing,
    "partial": row_partial,
    "repeated": row_repeated,
    "hal-accuracy": row_hal_accuracy,
    "bootstrap": row_bootstrap,
    "bootstrap-equal": row_bootstrap_equal,
    "always-valid-simulated": row_always_valid_simulated,
    "always-valid-tasks": row_always_valid_tasks,
    "fit": row_fit,
}


def main() -> int:
    return print_bars(
        ROWS,
        lambda data, workers, quick: Table(
            data=data, workers=workers, sizes=QUICK if quick else Sizes(), quick=quick
        ),
        title=__doc__.splitlines()[0],
        needs=HAL,
        seed=SEED,
        errors=(InputError, PlanError),
    )


if __name__ == "__main__":
    sys.exit(main())
