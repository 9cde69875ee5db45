"""The verdict: which shipped policy to use on a benchmark, by replay on its own history."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from midband_history import InputError, OutcomeMatrix
from midband_sampler import AUTO, PlanError, PlanSettings, make_plan, parse_stop
from midband_sims.study import Progress, Study, StudySettings

MIN_CANDIDATES = 10
MIN_SAVING = 0.1
TARGET_ACCURACY = 0.9
BASELINES = ("band", "random")
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
        The policy; empty where nothing should be reduced. The strategy is the one that a plan made
        with ``auto`` has.
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
    others: Sequence[OutcomeMatrix] = (),
    seeds: int = 5,
    seed: int = 0,
    workers: str = "1",
    progress: Progress | None = None,
) -> Recommendation:
    """Say whether to reduce a benchmark, and how: as `midband plan` does, with the risk of it.

    The strategy is the one that `make_plan` chooses for ``auto``, and nothing here chooses another.
    It is replayed under leave-one-agent-out and, where the data serves them, one scaffold out and
    an expanding window of dates: a policy is only as good as its worst. It is recommended if over
    every protocol, averaged over splits by candidates,

    - no plan was refused,
    - the interval at the stop is not shown to cover less than it claims: the upper end of the
      Clopper-Pearson interval of its coverage of the *full* rank reaches the nominal confidence,
    - at least 90 % of the reference agents are put on the right side of the candidate,
    - its pairwise accuracy is not below that of random tasks of the same number, by more than .01,
    - it saves at least 10 % of the tasks.

    With fewer than 10 candidates nothing is recommended.

    Parameters
    ----------
    others : sequence of OutcomeMatrix
        The history's other benchmarks.
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
        protocols=tuple(protocols),
        strategies=(AUTO, *BASELINES),
        stops=(STOP,),
        seeds=seeds,
        seed=seed,
    )
    result = Study([matrix], settings, others=others).run(workers=workers, progress=progress)
    replays = sum(int(str(cell["n_replays"])) for cell in result.cells)
    candidates = max(int(str(cell["n_candidates"])) for cell in result.cells)
    basis = (
        f"rests on {replays} replays of {candidates} agents under {', '.join(protocols)};"
        f" {len(matrix.tasks)} tasks"
    )
    try:
        made = make_plan(matrix, PlanSettings(stop=parse_stop(STOP), seed=seed), others=others)
        strategy, faults = made.strategy, []
    except PlanError as error:
        strategy, faults = AUTO, [str(error)]
    worst: dict[str, float] = {}
    if candidates < MIN_CANDIDATES:
        faults = [f"only {candidates} agents to replay, {MIN_CANDIDATES} are needed to judge"]
    elif not faults:
        worst, faults = _judge([c for c in result.cells if c["strategy"] == AUTO])
        faults = [f"{strategy}: {'; '.join(faults)}"] if faults else []
    reasons = [_instead(name, result.cells) for name in BASELINES]
    if faults:
        text = f"Do not reduce {matrix.benchmark}. {'. '.join(faults)}. This {basis}."
        return Recommendation(
            benchmark=matrix.benchmark,
            reduce=False,
            strategy="",
            stop="",
            text=text,
            reasons=tuple(faults),
            cells=result.cells,
        )
    share = worst["fraction_run"]
    saved = worst["cost_saved_usd"]
    money = (
        "; what that saves in money is unknown, since the history has no costs"
        if math.isnan(saved)
        else f" and saves about ${saved:,.2f} an agent"
    )
    text = (
        f"Use strategy {strategy} with stop {STOP} on {matrix.benchmark}: it runs"
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


def _instead(strategy: str, cells: Sequence[Mapping[str, object]]) -> str:
    """Say how a baseline did in the same replays."""
    worst, faults = _judge([dict(c) for c in cells if c["strategy"] == strategy])
    if faults:
        return f"{strategy}: {'; '.join(faults)}"
    return f"{strategy}: it runs {worst['fraction_run']:.0%} of the tasks"


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
        by_chance = {str(c["strategy_ran"]) for c in cells} == {"random"}  # itself, in other draws
        worse = values["pairwise_accuracy"] < values["random_pairwise_accuracy_mean"] - 0.01
        if worse and not by_chance:
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
