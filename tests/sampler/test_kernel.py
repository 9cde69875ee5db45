"""The kernel: many candidates at many widths step as each of them would in a session of its own."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from midband_history import OutcomeMatrix
from midband_sampler import (
    Claim,
    Plan,
    Policy,
    Recorded,
    Rule,
    Session,
    Snapshot,
    find_strategy,
    make_plan,
    parse_stop,
    replay,
    replay_order,
    start_kernel,
)
from midband_sampler.bounds.posterior import PosteriorRankBounds
from midband_sampler.kernel import Kernel

MULTIPLIERS = np.array([1.2, 1.9, 3.0])
N_TASKS = 36


def history(seed: int = 4, n_agents: int = 22) -> OutcomeMatrix:
    rng = np.random.default_rng(seed)
    ability = rng.normal(0, 1, n_agents)[:, None]
    chance = 1 / (1 + np.exp(-(ability - rng.normal(0, 1.1, N_TASKS))))
    return OutcomeMatrix.from_scores((rng.random(chance.shape) < chance).astype(float))


def ended(plan: Plan, scores: dict[str, float]) -> tuple[int, int, int, str]:
    session = Session(plan)
    while tasks := session.ask(1):
        session.tell(tasks[0], score=scores[tasks[0]])
    made = session.decision()
    return made.tasks_run, made.low, made.high, made.reason


@pytest.mark.parametrize("strategy", ["information", "difficulty-matched", "information-fixed"])
@pytest.mark.parametrize("stop", ["rank:0.8:0.2", "top:4:0.8 or tasks:15", "score:9:0.8"])
def test_a_batch_ends_as_each_session_would(strategy: str, stop: str) -> None:
    everyone = history()
    plan = make_plan(
        everyone.select(agents=range(18)), strategy=strategy, stop=parse_stop(stop), explore=0.2
    )
    assert plan.model is not None
    assert plan.calibration is not None
    posterior = plan.model.predict(candidates=4)
    kernel = Kernel(
        plan.stop,
        PosteriorRankBounds(posterior, plan.model.reference_full_scores, multipliers=MULTIPLIERS),
        agents=plan.reference_agents,
        limit=len(plan.tasks),
    )
    unknown = np.full((4, N_TASKS), np.nan)
    recorded = Recorded(scores=everyone.scores[18:], usd=unknown, seconds=unknown)
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    policy = plan.policy() or Policy(find_strategy("random"))
    for _, step in replay(kernel, policy, recorded, order=plan.columns, posterior=posterior):
        for row, width in np.argwhere(step.ends):
            assert step.interval is not None
            assert (row, width) not in found
            low, high = step.interval.low[row, width], step.interval.high[row, width]
            found[int(row), int(width)] = int(step.run), int(low), int(high)
    assert len(found) == 12
    for (row, width), expected in found.items():
        scores = dict(zip(everyone.tasks, everyone.scores[18 + row].tolist(), strict=True))
        wide = replace(plan.calibration, multiplier=float(MULTIPLIERS[width]))
        assert ended(replace(plan, calibration=wide), scores)[:3] == expected


@dataclass(frozen=True)
class AtOnce(Rule):
    """Is always content."""

    name = "at-once"
    confidence: float = 0.9
    min_tasks: int = 10

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        return np.ones(np.shape(snapshot.rank_low), dtype=bool)

    def claim(self, snapshot: Snapshot) -> Claim:
        return Claim("content", self.confidence)


@pytest.mark.parametrize("least", [2, 10, 17])
@pytest.mark.parametrize("strategy", ["random", "information"])
def test_no_rule_stops_before_its_least_number_of_results(strategy: str, least: int) -> None:
    matrix = history()
    rule = AtOnce(min_tasks=least)
    plan = make_plan(matrix, strategy=strategy, stop=rule)
    scores = dict(zip(matrix.tasks, matrix.scores[3].tolist(), strict=True))
    assert ended(plan, scores)[0] == least
    if plan.calibration is None:
        unknown = np.full((1, N_TASKS), np.nan)
        recorded = Recorded(scores=matrix.scores[3:4], usd=unknown, seconds=unknown)
        step = replay_order(start_kernel(plan), recorded, order=plan.columns)
        assert np.flatnonzero(step.ends).tolist() == [least - 1]


def test_a_run_ends_with_what_there_is() -> None:
    matrix = history()
    plan = make_plan(matrix, strategy="random", stop=parse_stop("none"), max_tasks=12)
    scores = dict(zip(matrix.tasks, matrix.scores[3].tolist(), strict=True))
    assert ended(plan, scores)[0::3] == (12, "all planned tasks run")
