"""Cells: the replays of one benchmark, protocol and policy, beside what chance would give."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midband_history import OutcomeMatrix
from midband_sims.measures import (
    GAP_BUCKETS,
    clopper_pearson,
    kendall,
    mean_known,
    quartiles,
    spearman,
    top_k_agreement,
)
from midband_sims.protocols import Split, draw_candidate, has_repeats, too_few_tasks
from midband_sims.units import Policy

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
    """Agreement with the truth in each of several draws, all of shape (draws,); NaN if undefined.

    Parameters
    ----------
    spearman, kendall : ndarray of float
        Of the candidates' scores; see `spearman` and `kendall` of the measures.
    pairwise_accuracy : ndarray of float
        Share of (candidate, reference) pairs on the right side; ties of the estimate count half,
        true ties not at all.
    rank_error : ndarray of float
        Mean distance of the candidate's rank among its references from its true rank.
    """

    spearman: FloatArray
    kendall: FloatArray
    pairwise_accuracy: FloatArray
    rank_error: FloatArray


@dataclass(frozen=True, kw_only=True)
class Placing:
    """One candidate, whom it is ranked against, and how many tasks it may run."""

    candidate: int
    references: tuple[int, ...]
    tasks: int


def random_subsets(
    matrix: OutcomeMatrix,
    placings: Sequence[Placing],
    *,
    seed: int,
    draws: int = 100,
    fresh_truth: bool = False,
) -> Agreement:
    """Rank candidates on tasks picked by chance, as many for each as its policy ran.

    In one draw all candidates run the tasks in one random order, each up to its own number among
    those it has results for; references are averaged over the same stretch of the order. One
    order for all is how a fixed random subset is used; a subset of its own for each
    candidate ranks worse (the study's random column does that).

    Parameters
    ----------
    fresh_truth : bool
        Hand out one random attempt a task and judge by the others, as protocol self does.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, 4]))
    rows = np.array([placing.candidate for placing in placings])
    sizes = np.array([max(placing.tasks, 1) for placing in placings])
    against = np.zeros((len(matrix.agents), len(placings)), dtype=bool)
    for place, placing in enumerate(placings):
        against[list(placing.references), place] = True
    against &= ~too_few_tasks(matrix)[:, None]  # means over other tasks rank nobody
    full = matrix.full_scores()
    results = np.full((4, draws), np.nan)
    for draw in range(draws):
        scores, truth = matrix.scores, full[rows]
        if fresh_truth:
            drawn = [draw_candidate(matrix, int(i), generator, fresh_truth=True) for i in rows]
            truth = np.array([each.truth for each in drawn])
            own_scores = np.array([each.scores for each in drawn])
        else:
            own_scores = scores[rows]
        order = generator.permutation(scores.shape[1])
        own = _prefix_means(own_scores[:, order])
        reach = np.array(
            [
                np.searchsorted(count, min(size, count[-1]))
                for count, size in zip(own[1], sizes, strict=True)
            ]
        )
        estimate = own[0][np.arange(len(rows)), reach]
        others = _prefix_means(scores[:, order])[0][:, reach]
        results[:, draw] = _agreement(estimate, others, truth, full, against)
    return Agreement(
        spearman=results[0],
        kendall=results[1],
        pairwise_accuracy=results[2],
        rank_error=results[3],
    )


def noise_ceiling(
    matrix: OutcomeMatrix, agents: Sequence[int], *, seed: int, draws: int = 100
) -> Agreement:
    """Rank agents by one full run each against the truth of their other attempts.

    One attempt is drawn for every (agent, task); the mean of it over all tasks is ranked against
    the mean of the attempts not drawn. No policy that sees one attempt a task can be expected to
    rank better than this. All NaN unless at least three of the agents tried most tasks twice.
    """
    rows = [i for i in agents if has_repeats(matrix, i)]
    if len(rows) < 3:
        nothing = np.full(1, np.nan)
        return Agreement(
            spearman=nothing, kendall=nothing, pairwise_accuracy=nothing, rank_error=nothing
        )
    generator = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    against = ~np.eye(len(rows), dtype=bool)
    full = matrix.full_scores()[rows]
    results = np.full((4, draws), np.nan)
    for draw in range(draws):
        drawn = [draw_candidate(matrix, i, generator, fresh_truth=True) for i in rows]
        single = np.array([float(np.nanmean(each.scores)) for each in drawn])
        rest = np.array([each.truth for each in drawn])
        others = np.repeat(full[:, None], len(rows), axis=1)
        results[:, draw] = _agreement(single, others, rest, full, against)
    return Agreement(
        spearman=results[0],
        kendall=results[1],
        pairwise_accuracy=results[2],
        rank_error=results[3],
    )


def _prefix_means(scores: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """Mean of the known values of each prefix (NaN before the first), and their number."""
    known = ~np.isnan(scores)
    count = np.cumsum(known, axis=1)
    total = np.cumsum(np.where(known, scores, 0.0), axis=1)
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return means, count


def _agreement(
    estimate: FloatArray,
    others: FloatArray,
    truth: FloatArray,
    full: FloatArray,
    against: NDArray[np.bool_],
) -> tuple[float, float, float, float]:
    """Agreement of one draw; `others` and `against` have shape (agents, candidates)."""
    gap = truth[None, :] - full[:, None]
    usable = against & ~np.isnan(gap) & ~np.isnan(others) & ~np.isnan(estimate)[None, :]
    gap = np.where(np.abs(gap) <= 1e-9, 0.0, gap)
    lead = np.sign(np.round(estimate[None, :] - others, 9))
    right = np.where(lead == 0, 0.5, lead == np.sign(gap))
    sided = usable & (gap != 0)
    pairwise = float(right[sided].mean()) if sided.any() else float("nan")
    rank = 1 + np.sum(usable & (lead < 0), axis=0)
    best = 1 + np.sum(usable & (gap < 0), axis=0)
    worst = best + np.sum(usable & (gap == 0), axis=0)
    error = np.maximum(0, np.maximum(best - rank, rank - worst)).astype(float)
    return spearman(estimate, truth), kendall(estimate, truth), pairwise, mean_known(error)


Row = Mapping[str, Any]
PLANNED = "planned tasks"
RATE_BINS = 20
BUCKET_NAMES = ("0_2", "2_5", "5_10", "over_10")


def summarise(
    matrix: OutcomeMatrix,
    *,
    protocol: str,
    split: str,
    splits: Sequence[Split],
    policy: Policy,
    nominal: float,
    rows: Sequence[Row],
    seed: int,
    draws: int = 100,
    seconds: float = math.nan,
) -> dict[str, object]:
    """Sum up the replays of one cell; every number's definition is in docs/studies.md.

    Candidates weigh alike, whatever the number of seeds: a measure of single replays is
    averaged over all of them, a measure of a ranking over the rankings of each seed. `nominal` is
    the confidence that the policy's rule states.
    """
    head = head_of(matrix, protocol=protocol, split=split, policy=policy, nominal=nominal)
    played = [row for row in rows if not row.get("refused")]
    baseline = _baseline(matrix, splits, played, seed=seed, draws=draws)
    ceiling = noise_ceiling(
        matrix, sorted({i for each in splits for i in each.candidates}), seed=seed, draws=draws
    )
    return {
        **summarise_rows(head, rows),
        **_named("random", baseline),
        **_named("ceiling", ceiling),
        "seconds": seconds,
    }


def head_of(
    matrix: OutcomeMatrix, *, protocol: str, split: str, policy: Policy, nominal: float
) -> dict[str, object]:
    """Return what names a cell, and what is known of it before a replay."""
    return {
        "benchmark": matrix.benchmark,
        "protocol": protocol,
        "split": split,
        "strategy": policy.strategy,
        "stop": policy.stop,
        "budget": policy.budget or None,
        "plan": policy.variant or None,
        "nominal": nominal,
        "n_tasks": len(matrix.tasks),
    }


def described(matrix: OutcomeMatrix) -> dict[str, object]:
    """Return what a report says of a benchmark, with its tasks counted by pass rate in 20 steps."""
    rates = matrix.pass_rates()
    counts, _ = np.histogram(rates[~np.isnan(rates)], bins=RATE_BINS, range=(0, 1))
    return {
        "benchmark": matrix.benchmark,
        "agents": len(matrix.agents),
        "tasks": len(matrix.tasks),
        "pass_rates": counts.tolist(),
    }


def summarise_rows(head: Mapping[str, object], rows: Sequence[Row]) -> dict[str, object]:
    """Sum up replays without their outcomes: all of a cell but its baselines.

    Parameters
    ----------
    head : mapping
        See `head_of`.
    rows : sequence of mapping
        All replays of the cell, or those that are finished.
    """
    played = [row for row in rows if not row.get("refused")]
    refused = [str(row["refused"]) for row in rows if row.get("refused")]
    candidates = sorted({str(row["candidate"]) for row in played})
    tasks_total = float(str(head["n_tasks"]))
    share = _values(played, "tasks_run") / tasks_total
    low, middle, high = quartiles(share)
    covered = _covers(played, "true")
    planned = _covers(played, "planned")
    targets = [str(row.get("target", "")) for row in played]
    claimed = np.where([each == PLANNED for each in targets], planned, covered)
    claimed = np.where([not each for each in targets], math.nan, claimed)
    conclusive = np.array([bool(row["conclusive"]) for row in played], dtype=bool)
    interval = clopper_pearson(mean_known(covered), len(candidates))
    of_target = clopper_pearson(mean_known(claimed), len(candidates))
    right, pairs = _pairs(played)
    saved = _values(played, "cost_full_usd") - _values(played, "cost_usd")
    saved_low, saved_middle, saved_high = quartiles(saved)
    error = np.abs(_values(played, "full_score") - _values(played, "true_score"))
    whole = _values(played, "cost_full_usd")
    orders = _orders(played)
    top = max(1, min(5, len(candidates) // 3))
    accuracy: dict[str, object] = {
        f"pairwise_accuracy_{name}": _ratio(right[place], pairs[place])
        for place, name in enumerate(BUCKET_NAMES)
    }
    return {
        **{name: head[name] for name in ("benchmark", "protocol", "split", "strategy")},
        "strategy_ran": _most(str(row.get("strategy_ran") or "") for row in played) or None,
        **{name: head[name] for name in ("stop", "budget", "plan")},
        "target": _most(targets) or None,
        "n_reference": _mean(played, "n_reference"),
        "n_candidates": len({str(row["candidate"]) for row in rows}),
        "n_tasks": head["n_tasks"],
        "n_replays": len(played),
        "n_refused": len(refused),
        "refused_because": refused[0] if refused else None,
        "tasks_planned": _mean(played, "tasks_planned"),
        "tasks_run": _mean(played, "tasks_run"),
        "fraction_run": mean_known(share),
        "fraction_run_q25": low,
        "fraction_run_median": middle,
        "fraction_run_q75": high,
        "spearman": mean_known(np.array([spearman(x, y) for x, y in orders])),
        "kendall": mean_known(np.array([kendall(x, y) for x, y in orders])),
        "top_k": top,
        "top_k_agreement": mean_known(np.array([top_k_agreement(x, y, top) for x, y in orders])),
        "pairwise_accuracy": _ratio(right.sum(), pairs.sum()),
        **accuracy,
        "rank_error": mean_known(_rank_errors(played)),
        "coverage": interval.estimate,
        "coverage_low": interval.low,
        "coverage_high": interval.high,
        "coverage_planned": mean_known(planned),
        "coverage_claimed": of_target.estimate,
        "coverage_claimed_low": of_target.low,
        "coverage_claimed_high": of_target.high,
        "nominal": head["nominal"],
        "width": mean_known(
            (_values(played, "high") - _values(played, "low"))
            / (_values(played, "n_reference") + 1)
        ),
        "conclusive": mean_known(conclusive.astype(float)),
        "false_stop_rate": mean_known((conclusive & (covered == 0)).astype(float)),
        "full_score_error": mean_known(error),
        "full_score_coverage": _full_coverage(played),
        "cost_saved_usd": mean_known(saved),
        "cost_saved_q25_usd": saved_low,
        "cost_saved_median_usd": saved_middle,
        "cost_saved_q75_usd": saved_high,
        "cost_saved_share": _ratio(float(np.sum(saved)), float(np.sum(whole))),
        "cost_basis": ", ".join(sorted({str(row["cost_basis"]) for row in played})) or "unknown",
        "run_seconds": _mean(played, "seconds"),
    }


def _named(prefix: str, agreement: Agreement) -> dict[str, object]:
    out: dict[str, object] = {}
    for name in ("spearman", "kendall", "pairwise_accuracy", "rank_error"):
        values: FloatArray = getattr(agreement, name)
        known = values[~np.isnan(values)]
        if prefix == "ceiling":
            out[f"ceiling_{name}"] = mean_known(values)
            continue
        worst = np.max if name == "rank_error" else np.min
        out[f"random_{name}_mean"] = mean_known(values)
        out[f"random_{name}_worst"] = float(worst(known)) if known.size else math.nan
    return out


def _baseline(
    matrix: OutcomeMatrix,
    splits: Sequence[Split],
    rows: Sequence[Row],
    *,
    seed: int,
    draws: int,
) -> Agreement:
    sizes: dict[str, list[float]] = {}
    for row in rows:
        sizes.setdefault(str(row["candidate"]), []).append(float(row["tasks_run"]))
    placings = [
        Placing(
            candidate=i,
            references=split.references,
            tasks=round(sum(sizes[matrix.agents[i]]) / len(sizes[matrix.agents[i]])),
        )
        for split in splits
        for i in split.candidates
        if matrix.agents[i] in sizes
    ]
    if not placings:
        none = np.full(1, np.nan)
        return Agreement(spearman=none, kendall=none, pairwise_accuracy=none, rank_error=none)
    fresh = splits[0].fresh_truth
    return random_subsets(matrix, placings, seed=seed, draws=draws, fresh_truth=fresh)


def _orders(rows: Sequence[Row]) -> list[tuple[FloatArray, FloatArray]]:
    """Scores and truth of all candidates, one pair a seed, candidates by name."""
    by_seed: dict[int, list[Row]] = {}
    for row in rows:
        by_seed.setdefault(int(row["seed_index"]), []).append(row)
    out = []
    for index in sorted(by_seed):
        group = sorted(by_seed[index], key=lambda row: str(row["candidate"]))
        estimates = _values(group, "full_score")
        if np.isnan(estimates).any():
            estimates = _values(group, "score")
        out.append((estimates, _values(group, "true_score")))
    return out


def _rank_errors(rows: Sequence[Row]) -> FloatArray:
    rank, best, worst = (_values(rows, name) for name in ("rank", "true_low", "true_high"))
    return np.maximum(0.0, np.maximum(best - rank, rank - worst))


def _covers(rows: Sequence[Row], target: str) -> FloatArray:
    low, high = _values(rows, "low"), _values(rows, "high")
    best, worst = _values(rows, f"{target}_low"), _values(rows, f"{target}_high")
    return np.asarray((low <= worst) & (high >= best)).astype(float)


def _full_coverage(rows: Sequence[Row]) -> float:
    low, high = _values(rows, "full_score_low"), _values(rows, "full_score_high")
    truth = _values(rows, "true_score")
    known = ~np.isnan(low) & ~np.isnan(high)
    inside = (low <= truth) & (truth <= high)
    return float(inside[known].mean()) if known.any() else math.nan


def _pairs(rows: Sequence[Row]) -> tuple[FloatArray, FloatArray]:
    right, pairs = np.zeros(len(GAP_BUCKETS)), np.zeros(len(GAP_BUCKETS))
    for row in rows:
        right += np.array(row["pairs_right"])
        pairs += np.array(row["pairs_total"])
    return right, pairs


def _most(texts: Iterable[str]) -> str:
    """Return the texts that are not empty, the most frequent first; ties by name."""
    names = Counter(text for text in texts if text)
    return ", ".join(sorted(names, key=lambda name: (-names[name], name)))


def _values(rows: Sequence[Row], name: str) -> FloatArray:
    return np.array([float(row[name]) for row in rows], dtype=float)


def _mean(rows: Sequence[Row], name: str) -> float:
    return mean_known(_values(rows, name))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else math.nan
