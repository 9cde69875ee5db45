"""The verdict: which shipped policy to use on a benchmark, by replay on its own history."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from midband_history import InputError, OutcomeMatrix
from midband_sims.study import Progress, Study, StudySettings

MIN_CANDIDATES = 10
MIN_SAVING = 0.1
TARGET_ACCURACY = 0.9
STRATEGIES = ("design", "band", "random", "stratified")
STOP = "rank:0.95:0.2"


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Which policy to use on a benchmark.

    Parameters
    ----------
    benchmark : str
    reduce : bool
        False: do not reduce this benchmark.
    strategy, stop : str
        The policy; empty where nothing should be reduced. The strategy is the one that ran in the
        replays, where the one that was asked for fell back to it in all of them.
    text : str
        The verdict in sentences, with what it rests on.
    reasons : tuple of str
        Why each policy that was not taken was not.
    cells : tuple of dict
        The study behind it.
    """

    benchmark: str
    reduce: bool
    strategy: str
    stop: str
    text: str
    reasons: tuple[str, ...]
    cells: tuple[dict[str, object], ...]


def recommend(
    matrix: OutcomeMatrix,
    *,
    seeds: int = 5,
    seed: int = 0,
    workers: str = "1",
    progress: Progress | None = None,
) -> Recommendation:
    """Replay the shipped policies on a history and say which to use.

    Protocols are leave-one-agent-out and, where the data serves them, one scaffold out and an
    expanding window of dates: a policy is only as good as its worst. A policy is fit if over every
    protocol, averaged over splits by candidates,

    - no plan was refused,
    - the interval at the stop is not shown to cover less than it claims: the upper end of the
      Clopper-Pearson interval of its coverage of the *full* rank reaches the nominal confidence,
    - at least 90 % of the reference agents are put on the right side of the candidate,
    - its pairwise accuracy is not below that of random tasks of the same number, by more than .01.

    Of the fit policies, the one that runs the smallest share of tasks is named, if it saves at
    least 10 %; ties go to the first of band, random, stratified. With fewer than 10 candidates no
    policy is judged.

    Parameters
    ----------
    seeds : int
        Replays of each candidate and policy.
    """
    protocols = []
    for name in ("loao", "loso", "temporal"):
        try:
            Study([matrix], StudySettings(protocols=(name,), strategies=("random",)))
        except InputError:
            continue
        protocols.append(name)
    if not protocols:
        Study([matrix], StudySettings())  # raises, and says what is missing
    settings = StudySettings(
        protocols=tuple(protocols), strategies=STRATEGIES, stops=(STOP,), seeds=seeds, seed=seed
    )
    result = Study([matrix], settings).run(workers=workers, progress=progress)
    replays = sum(int(str(cell["n_replays"])) for cell in result.cells)
    candidates = max(int(str(cell["n_candidates"])) for cell in result.cells)
    basis = (
        f"rests on {replays} replays of {candidates} agents under {', '.join(protocols)};"
        f" {len(matrix.tasks)} tasks"
    )
    fit: list[tuple[float, int, dict[str, float]]] = []
    reasons: list[str] = []
    if candidates < MIN_CANDIDATES:
        reasons.append(f"only {candidates} agents to replay, {MIN_CANDIDATES} are needed to judge")
    else:
        for place, strategy in enumerate(STRATEGIES):
            worst, faults = _judge([c for c in result.cells if c["strategy"] == strategy])
            if faults:
                name, how = _ran(strategy, result.cells)
                reasons.append(f"{name}{how}: {'; '.join(faults)}")
            else:
                fit.append((worst["fraction_run"], place, worst))
    if not fit:
        why = ". ".join(reasons)
        text = f"Do not reduce {matrix.benchmark}. {why}. This {basis}."
        return Recommendation(
            benchmark=matrix.benchmark,
            reduce=False,
            strategy="",
            stop="",
            text=text,
            reasons=tuple(reasons),
            cells=result.cells,
        )
    share, place, worst = min(fit, key=lambda each: each[:2])
    strategy, how = _ran(STRATEGIES[place], result.cells)
    saved = worst["cost_saved_usd"]
    money = (
        "; what that saves in money is unknown, since the history has no costs"
        if math.isnan(saved)
        else f" and saves about ${saved:,.2f} an agent"
    )
    text = (
        f"Use strategy {strategy}{how} with stop {STOP} on {matrix.benchmark}: it runs"
        f" {share:.0%} of the tasks{money}. Risk: the interval at the stop missed the"
        f" full-run rank in {1 - worst['coverage']:.0%} of the replays (up to"
        f" {1 - worst['coverage_low']:.0%} at 95 % confidence), and"
        f" {1 - worst['pairwise_accuracy']:.0%} of the known agents were put on the wrong side."
        f" This {basis}."
    )
    return Recommendation(
        benchmark=matrix.benchmark,
        reduce=True,
        strategy=strategy,
        stop=STOP,
        text=text,
        reasons=tuple(reasons),
        cells=result.cells,
    )


def _ran(strategy: str, cells: Sequence[Mapping[str, object]]) -> tuple[str, str]:
    """Return the strategy to name, and in brackets how it differs from the one asked for."""
    texts = [str(c["strategy_ran"] or "") for c in cells if c["strategy"] == strategy]
    ran = [name for name in dict.fromkeys(", ".join(texts).split(", ")) if name]
    if not ran or ran == [strategy]:
        return strategy, ""
    if len(ran) == 1:
        return ran[0], f" (to which {strategy} fell back in every replay)"
    return strategy, f" (which ran as {' or '.join(ran)} in the replays)"


def _judge(cells: list[dict[str, object]]) -> tuple[dict[str, float], list[str]]:
    """Worst values over protocols, and what speaks against the policy."""
    faults: list[str] = []
    refused = next((c["refused_because"] for c in cells if c["n_refused"]), None)
    if refused:
        return {}, [str(refused)]
    worst: dict[str, float] = {}
    for protocol in dict.fromkeys(str(c["protocol"]) for c in cells):
        values = _averaged([c for c in cells if c["protocol"] == protocol])
        if values["coverage_high"] < values["nominal"]:
            faults.append(
                f"under {protocol} the {values['nominal']:.0%} interval covered the full-run rank"
                f" in only {values['coverage']:.0%} of the replays"
            )
        if values["pairwise_accuracy"] < TARGET_ACCURACY:
            faults.append(
                f"under {protocol} only {values['pairwise_accuracy']:.0%} of the known agents were"
                " put on the right side"
            )
        if values["pairwise_accuracy"] < values["random_pairwise_accuracy_mean"] - 0.01:
            faults.append(f"under {protocol} random tasks of the same number rank better")
        for name, value in values.items():
            upward = name in ("fraction_run", "rank_error")
            if name not in worst or (value > worst[name] if upward else value < worst[name]):
                worst[name] = value
    if not faults and worst["fraction_run"] > 1 - MIN_SAVING:
        faults.append(f"it runs {worst['fraction_run']:.0%} of the tasks anyway")
    return worst, faults


def _averaged(cells: list[dict[str, Any]]) -> dict[str, float]:
    weights = np.array([cell["n_candidates"] for cell in cells], dtype=float)
    names = (
        "fraction_run", "pairwise_accuracy", "random_pairwise_accuracy_mean", "rank_error",
        "coverage", "coverage_low", "coverage_high", "nominal", "cost_saved_usd",
    )  # fmt: skip
    out: dict[str, float] = {}
    for name in names:
        values = np.array([cell[name] for cell in cells], dtype=float)
        known = ~np.isnan(values)
        total = weights[known].sum()
        out[name] = float(np.sum(values[known] * weights[known]) / total) if total else math.nan
    return out
