"""Every number that midband's races are judged by, beside its bar, in one table.

    python benchmarks/race_table.py [DATA] [--workers 2] [--quick] [--rows NAME,NAME] [--json FILE]

Reads the outcome matrices of DATA. Candidates are drawn from recorded agents; a race with a history
sees the other agents' results alone. Allocations are compared on the same draws. The numbers do
not depend on ``--workers``, but for the times of the last row. docs/studies.md defines them.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from auto_measures import below_nominal, by, count_text, losses, played
from bar_table import Line, print_bars
from scipy import stats

from midband_history import InputError, OutcomeMatrix, list_benchmarks, read_matrix
from midband_sampler import PlanError, PredictionModel, racing, strategies
from midband_sims import (
    RaceSettings,
    RaceStudy,
    SyntheticSettings,
    synthetic_history,
)

SEED = 0
HAL, SWE = "hal_leaderboard.parquet", "swebench_verified.parquet"
BASH, STATIC = "swebench_bash_only.parquet", "static_leaderboards.parquet"
MMLU_PRO = "mmlu_pro.parquet"
HAL_FIVE = (
    "gaia", "corebench_hard", "taubench_airline", "swebench_verified_mini", "online_mind2web",
)  # fmt: skip
# Candidates, least share of right answers at 10 %.
FIXED_HAL = {"gaia": (16, 0.80), "corebench_hard": (19, 0.65), "online_mind2web": (11, 0.40)}
OTHER_BASELINES = ("successive-halving", "ucb-e", "top-two-thompson")
MOST_FOR_ALL = 100_000
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is drawn.

    Parameters
    ----------
    draws : int
        Races of a cell.
    halves : int
        Draws of 67 of SWE-bench Verified, and races of the later 67.
    pairs : int
        Synthetic pairs of each case of not worse.
    models : int or None
        Candidates of MMLU-Pro; None for all.
    timed : int
        Repetitions of each timing.
    """

    draws: int = 100
    halves: int = 50
    pairs: int = 1000
    models: int | None = None
    timed: int = 30


QUICK = Sizes(draws=20, halves=10, pairs=100, timed=10)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Where the data are, how much is drawn, and in how many processes."""

    data: Path
    workers: int
    sizes: Sizes
    quick: bool

    def races(
        self, name: str, benchmark: str, *, draws: int | None = None, **settings: Any
    ) -> list[Row]:
        """Replay races of one benchmark; the others of the file are other benchmarks."""
        matrices = _read(self.data / name)
        rest = [each for each in matrices if each.benchmark != benchmark]
        (own,) = (each for each in matrices if each.benchmark == benchmark)
        asked = RaceSettings(draws=draws or self.sizes.draws, seed=SEED, **settings)
        found = RaceStudy([own], asked, others=rest).run(workers=str(self.workers)).replays
        refused = [row for row in found if row.get("refused")]
        for row in refused[:1]:
            print(f"# {benchmark}: {len(refused)} refused: {row['refused']}", file=sys.stderr)
        return played(found)

    def drawn(self, draws: int) -> str:
        """Say by which draws a row was measured."""
        return f"seed {SEED}, {draws} draws"


@cache
def _read(path: Path) -> tuple[OutcomeMatrix, ...]:
    return tuple(read_matrix(path, name) for name in list_benchmarks(path))


def mean(rows: Sequence[Row], name: str) -> float:
    return float(np.mean([float(row[name]) for row in rows])) if rows else float("nan")


def cell_of(rows: Sequence[Row], cell: str) -> dict[str, Any]:
    """Sum up the races of one cell for the tables below."""
    right = sum(bool(row["right"]) for row in rows)
    return {
        "cell": cell,
        "right": count_text(right, len(rows)),
        "regret": mean(rows, "regret"),
        "cost": mean(rows, "cost_share"),
        "false claims": count_text(sum(bool(row["false_claim"]) for row in rows), len(rows)),
        "early": mean(rows, "conclusive"),
        "by the history": mean(rows, "by_history"),
    }


def cells_of(rows: Sequence[Row], *names: str) -> list[dict[str, Any]]:
    return [cell_of(each, ", ".join(map(str, key))) for key, each in by(rows, *names).items()]


def row_fixed_swebench(table: Table) -> Iterator[Line]:
    """Best of 67 for 5 % and 2 %."""
    draws = table.sizes.halves
    for split, named in (("random", "random 67"), ("temporal", "the later 67 by date")):
        rows = table.races(
            SWE,
            "swebench-verified",
            draws=draws,
            questions=("top:1",),
            candidates=67,
            split=split,
            budgets=("1%", "2%", "5%", "10%"),
            allocations=("halving", "contested", "sysrs", *OTHER_BASELINES, "random"),
        )
        groups = by(rows, "budget", "allocation")
        for budget, least in (("5%", 0.97), ("2%", 0.65)):
            share, theirs = (mean(groups[budget, name], "right") for name in ("halving", "sysrs"))
            reported = split == "temporal" and budget == "2%"
            yield Line(
                where=f"fixed budget {budget}, {named} of SWE-bench Verified, the rest as history,"
                f" halving ({table.drawn(draws)})",
                bar="reported" if reported else f"right >= {least}",
                measured=f"right {share:.2f}, regret"
                f" {mean(groups[budget, 'halving'], 'regret'):.2f}; SySRs {theirs:.2f},"
                f" {mean(groups[budget, 'sysrs'], 'regret'):.2f}",
                met=None if reported else share >= least - 1e-9,
                numbers={"right": share, "sysrs": theirs},
                cells=cells_of(rows, "split", "budget", "allocation") if budget == "5%" else (),
            )


def row_fixed_hal(table: Table) -> Iterator[Line]:
    """Best of the competing half for 10 %."""
    for name, (count, least) in FIXED_HAL.items():
        rows = table.races(
            HAL,
            name,
            questions=("top:1",),
            candidates=count,
            budgets=("5%", "10%", "20%"),
            allocations=("halving", "contested", "sysrs", *OTHER_BASELINES, "random"),
        )
        groups = by(rows, "budget", "allocation")
        ours, theirs = groups["10%", "halving"], groups["10%", "sysrs"]
        share, regret = mean(ours, "right"), mean(ours, "regret")
        ratio = regret / max(mean(theirs, "regret"), 1e-9)
        yield Line(
            where=f"fixed budget 10 %, {name}, {count} compete, the rest as history, halving"
            f" ({table.drawn(table.sizes.draws)})",
            bar=f"right >= {least}, mean regret <= .6 of SySRs'",
            measured=f"right {share:.2f} (SySRs {mean(theirs, 'right'):.2f}), regret {regret:.2f}"
            f" points, {ratio:.2f} of SySRs'",
            met=share >= least - 1e-9 and ratio <= 0.6,
            numbers={"right": share, "regret": regret, "ratio": ratio},
            cells=cells_of(rows, "benchmark", "budget", "allocation"),
        )


def row_no_history(table: Table) -> Iterator[Line]:
    """All agents compete and nothing is known."""
    fields = [(SWE, "swebench-verified"), (BASH, _read(table.data / BASH)[0].benchmark)]
    fields += [(HAL, name) for name in FIXED_HAL]
    fields += [(STATIC, each.benchmark) for each in _read(table.data / STATIC)]
    ours = ("halving", "contested")
    rows: list[Row] = []
    for file, name in fields:
        (matrix,) = (each for each in _read(table.data / file) if each.benchmark == name)
        small = matrix.scores.size <= MOST_FOR_ALL
        rows += table.races(
            file,
            name,
            questions=("top:1",),
            history=False,
            budgets=("5%", "10%", "20%", "40%"),
            allocations=("halving", "sysrs", "random", *(("contested",) if small else ())),
        )
    pairs: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    groups = by(rows, "benchmark", "budget", "allocation")
    for (name, budget, allocation), each in groups.items():
        for other in ("sysrs", "random"):
            rival = {row["draw"]: row for row in groups[name, budget, other]}
            if allocation in ours:
                gains = [
                    float(row["right"]) - float(rival[row["draw"]]["right"])
                    for row in each
                    if row["draw"] in rival
                ]
                pairs.setdefault((allocation, other), {})[f"{name} {budget}"] = np.array(gains)
    for allocation in ours:
        below = losses(pairs[allocation, "sysrs"])
        lower = losses(pairs[allocation, "random"])
        gain = np.concatenate(list(pairs[allocation, "random"].values()))
        above = stats.ttest_1samp(gain, 0.0, alternative="greater").pvalue < 0.05
        against = np.concatenate(list(pairs[allocation, "sysrs"].values()))
        yield Line(
            where=f"no history, all agents compete, 12 benchmarks, 5-40 %, {allocation}"
            f" ({table.drawn(table.sizes.draws)})",
            bar="not below SySRs in any, above uniform",
            measured=f"right {against.mean():+.3f} to SySRs, {gain.mean():+.3f} to random tasks;"
            f" below SySRs: {', '.join(below) or 'none'}; below random tasks:"
            f" {', '.join(lower) or 'none'}; cells {len(pairs[allocation, 'sysrs'])}",
            met=not below and not lower and bool(above) if allocation == "halving" else None,
            numbers={"sysrs": float(against.mean()), "random": float(gain.mean())},
            cells=cells_of(rows, "benchmark", "budget", "allocation")
            if allocation == "halving"
            else (),
        )


def claim_line(
    rows: Sequence[Row], *, where: str, bar: str, most: float | None, allocation: str
) -> Line:
    """Judge races with a confidence of .9: neither wrong answers nor false claims above .10."""
    chosen = [row for row in rows if row["allocation"] == allocation]
    groups = by(chosen, "benchmark", "question")
    counts, claims = {}, {}
    for key, each in groups.items():
        name = ", ".join(map(str, key))
        counts[name] = (sum(bool(row["right"]) for row in each), len(each))
        claims[name] = (sum(not row["false_claim"] for row in each), len(each))
    wrong, false = below_nominal(counts), below_nominal(claims)
    cost = float(np.mean([mean(each, "cost_share") for each in groups.values()]))
    right, total = (sum(each) for each in zip(*counts.values(), strict=True))
    return Line(
        where=where,
        bar=bar,
        measured=f"cost {cost:.1%}; right {count_text(right, total)}; wrong above .10:"
        f" {', '.join(wrong) or 'none'}; false claims above .10: {', '.join(false) or 'none'}",
        met=None if most is None else not wrong and not false and cost <= most,
        numbers={"cost": cost, "right": right, "races": total},
        cells=cells_of(chosen, "benchmark", "question", "allocation"),
    )


def hal_claims(table: Table, **settings: Any) -> list[Row]:
    return [
        row
        for name in HAL_FIVE
        for row in table.races(HAL, name, questions=("top:3:0.9",), candidates=8, **settings)
    ]


def row_claims_hal(table: Table) -> Iterator[Line]:
    """Top 3 of 8 at .9, the rest as history."""
    allocations = {"contested": 0.36, "racing": 0.48, "uniform": None}
    rows = hal_claims(table, allocations=tuple(allocations))
    for name, most in allocations.items():
        yield claim_line(
            rows,
            where=f"top:3:0.9 of 8, HAL x 5, history = rest, {name}"
            f" ({table.drawn(table.sizes.draws)})",
            bar="reported" if most is None else f"wrong not above .10, cost <= {most:.0%}",
            most=most,
            allocation=name,
        )


def row_claims_swebench(table: Table) -> Iterator[Line]:
    """Top 3 and best of 20 at .9, the rest as history."""
    for question, most in (("top:3:0.9", 0.09), ("top:1:0.9", 0.08)):
        rows = table.races(
            SWE,
            "swebench-verified",
            questions=(question,),
            candidates=20,
            allocations=("contested", "racing"),
        )
        for name in ("contested", "racing"):
            bar = f"wrong not above .10, cost <= {most:.0%}"
            yield claim_line(
                rows,
                where=f"{question} of 20, SWE-bench Verified, history = rest, {name}"
                f" ({table.drawn(table.sizes.draws)})",
                bar=bar if name == "contested" else "reported",
                most=most if name == "contested" else None,
                allocation=name,
            )


def row_claims_no_history(table: Table) -> Iterator[Line]:
    """Judge bounds that are valid over looks and pairs."""
    drawn = table.drawn(table.sizes.draws)
    for within in (0.0, 1.0):
        plain = not within
        zone = "" if plain else ", within 1 point"
        settings = {"history": False, "within": within, "allocations": ("contested",)}
        yield claim_line(
            hal_claims(table, **settings),
            where=f"top:3:0.9 of 8, HAL x 5, no history{zone}, contested ({drawn})",
            bar="wrong not above .10, cost <= 80%" if plain else "reported",
            most=0.80 if plain else None,
            allocation="contested",
        )
        rows = table.races(
            SWE, "swebench-verified", questions=("top:3:0.9",), candidates=20, **settings
        )
        yield claim_line(
            rows,
            where=f"top:3:0.9 of 20, SWE-bench Verified, no history{zone}, contested ({drawn})",
            bar="wrong not above .10, cost <= 38%" if plain else "reported",
            most=0.38 if plain else None,
            allocation="contested",
        )


MARGIN, PAIR_TASKS, DISAGREE = 0.03, 500, 100
# By how many of the 500 tasks the candidate is above the baseline; -16 is just beyond the margin.
PAIRS = {"just beyond the margin": -16, "equal": 0, "5 points better": 25}


def pair_of(ahead: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the results of a candidate and a baseline that differ on 100 tasks or one more."""
    only = (DISAGREE + ahead + 1) // 2
    kinds = [(1.0, 0.0)] * only + [(0.0, 1.0)] * (only - ahead)
    both = PAIR_TASKS - len(kinds)
    kinds += [(1.0, 1.0)] * (both // 2) + [(0.0, 0.0)] * (both - both // 2)
    return np.array(kinds)[rng.permutation(PAIR_TASKS)].T


def fixed_size(ahead: int, *, power: float) -> float:
    """Tasks of a one-sided z test at .05 of the paired difference, without replacement.

    Cochran, Sampling Techniques, 3rd ed. 1977, eq. 4.2 with the finite population correction.
    """
    difference = ahead / PAIR_TASKS
    variance = DISAGREE / PAIR_TASKS - difference**2
    z = stats.norm.ppf(0.95) + stats.norm.ppf(power)
    first = variance * (z / (difference + MARGIN)) ** 2
    return float(first / (1.0 + first / PAIR_TASKS))


def row_not_worse(table: Table) -> Iterator[Line]:
    """Not worse by more than 3 points, on synthetic pairs of 500 tasks."""
    question = f"not-worse:new:old:{100 * MARGIN:g}:0.95"
    tasks = tuple(f"t{place}" for place in range(PAIR_TASKS))
    for name, ahead in PAIRS.items():
        truth = ahead / PAIR_TASKS >= -MARGIN - 1e-9
        false, ran = 0, []
        for place in range(table.sizes.pairs):
            rng = np.random.default_rng([SEED, place, ahead + PAIR_TASKS])
            plan = racing.make_race(
                None, ["new", "old"], question=question, tasks=tasks, benchmark="pairs", seed=place
            )
            race = racing.replay_race(plan, pair_of(ahead, rng))
            verdict = race.verdict()
            false += verdict.not_worse is not None and verdict.not_worse is not truth
            ran.append(verdict.results / 2)
        where = (
            f"not worse by 3 points at .95, 500 tasks of which 100 differ, no history, {name}"
            f" (seed {SEED}, {table.sizes.pairs} pairs)"
        )
        surely = stats.binomtest(false, table.sizes.pairs, 0.05, alternative="greater").pvalue
        error = f"error over all looks {count_text(false, table.sizes.pairs)}"
        numbers = {"false": false, "tasks": float(np.mean(ran))}
        if ahead < 0:
            yield Line(
                where=where,
                bar="error not above .05",
                measured=f"{error}; tasks {np.mean(ran):.0f}",
                met=surely > 0.05,
                numbers=numbers,
            )
            continue
        most = float(np.quantile(ran, 0.9))
        spent, fixed = float(np.mean(np.minimum(ran, most))), fixed_size(ahead, power=0.9)
        yield Line(
            where=where,
            bar="error not above .05, tasks <= 1.5 of a fixed-size test of the same power",
            measured=f"{error}; tasks {spent:.0f} on average, {most:.0f} at most, power .9;"
            f" fixed-size test of power .9: {fixed:.0f}; ratio {spent / fixed:.2f}; without a limit"
            f" {np.mean(ran):.0f}",
            met=surely > 0.05 and spent <= 1.5 * fixed,
            numbers={**numbers, "at_most": most, "mean": spent, "fixed": fixed},
        )


def row_quarters(table: Table) -> Iterator[Line]:
    """In which quarter of the other models is a model, on MMLU-Pro."""
    (matrix,) = _read(table.data / MMLU_PRO)
    truth = matrix.full_scores()
    chosen = range(len(matrix.agents))[: table.sizes.models]

    def quarter(score: float, others: np.ndarray) -> int:
        return int(4 * np.sum(others > score + 1e-9) // (len(others) + 1))

    ours, chance = [], []
    for agent in chosen:
        others = np.delete(truth, agent)
        right = quarter(truth[agent], others)
        history = matrix.select(agents=np.delete(np.arange(len(truth)), agent))
        model = PredictionModel.fit(history)
        posterior = model.predict()
        rng = np.random.default_rng(SEED)
        order = strategies()["stratified"].order(history, posterior, rng).tasks
        for task in order[: len(matrix.tasks) // 50].tolist():
            posterior.observe_one(0, task, float(matrix.scores[agent, task]))
        score = float(posterior.moments()[0][0])
        ours.append(quarter(score, model.reference_full_scores) == right)
        rng = np.random.default_rng([SEED, agent])
        there = np.flatnonzero(~np.isnan(matrix.scores[agent]))
        hits = []
        for _ in range(200):
            picked = rng.permutation(there)[: len(matrix.tasks) // 25]
            known = np.nanmean(np.delete(matrix.scores[:, picked], agent, axis=0), axis=1)
            hits.append(quarter(float(matrix.scores[agent, picked].mean()), known) == right)
        chance.append(float(np.mean(hits)))
    gains = {"MMLU-Pro": np.array(ours, dtype=float) - np.array(chance)}
    below = losses(gains)
    yield Line(
        where=f"MMLU-Pro, each of {len(chosen)} models with the others as history: its quarter,"
        f" stratified tasks read by the model (seed {SEED})",
        bar="agreement at 1/50 not below random tasks with 1/25",
        measured=f"{np.mean(ours):.3f} at 1/50, random tasks {np.mean(chance):.3f} at 1/25",
        met=not below,
        numbers={"ours": float(np.mean(ours)), "random": float(np.mean(chance))},
    )


def row_ask(table: Table) -> Iterator[Line]:
    """Time of one step of a race, beside one choice of the most informative task."""
    for candidates, tasks in ((20, 500), (200, 5000)):
        settings = SyntheticSettings(agents=candidates + 60, tasks=tasks, scaffolds=4)
        matrix = synthetic_history(settings, np.random.default_rng(SEED)).matrix
        rows = np.arange(candidates)
        known = matrix.select(agents=np.arange(candidates, candidates + 60))
        plan = racing.make_race(
            known,
            [matrix.agents[row] for row in rows],
            question="top:3",
            allocation="contested",
            budget=0.5,
            calibration=racing.RaceCalibration(),
            seed=SEED,
        )
        posterior = PredictionModel.fit(known).predict(candidates=candidates)
        race = racing.Race(plan)
        scores = np.nan_to_num(matrix.scores[rows])
        steps, single = [], []
        asked = race.ask(candidates)
        for _ in range(table.sizes.timed):
            for place, (name, task) in enumerate(asked):
                score = scores[plan.candidates.index(name), plan.tasks.index(task)]
                if place == len(asked) - 1:  # the last result of a round plans the next one
                    begun = time.perf_counter()
                race.tell(name, task, score=float(score))
            asked = race.ask(candidates)
            steps.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            posterior.variance_reduction()
            single.append(time.perf_counter() - begun)
        ratio = float(np.median(steps) / np.median(single))
        yield Line(
            where=f"one step of a race of {candidates} x {tasks}, contested, with a history of 60"
            f" ({table.sizes.timed} steps)",
            bar="<= 3 times one variance_reduction of the same size",
            measured=f"{1e3 * np.median(steps):.2f} ms, {1e3 * np.median(single):.2f} ms, ratio"
            f" {ratio:.2f}",
            met=ratio <= 3.0,
            numbers={"ratio": ratio},
        )


ROWS = {
    "fixed-swebench": row_fixed_swebench,
    "fixed-hal": row_fixed_hal,
    "no-history": row_no_history,
    "claims-hal": row_claims_hal,
    "claims-swebench": row_claims_swebench,
    "claims-no-history": row_claims_no_history,
    "not-worse": row_not_worse,
    "quarters": row_quarters,
    "ask": row_ask,
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
