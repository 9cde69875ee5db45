"""Candidates, tasks and histories that the tests of races share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from midband_history import OutcomeMatrix
from midband_sampler import racing


def names_of(count: int) -> tuple[str, ...]:
    return tuple("abcdefghijklmnopqrstuvwxyz"[:count])


def tasks_of(size: int) -> tuple[str, ...]:
    return tuple(f"task-{place}" for place in range(size))


def scores_of(rates: Sequence[float], size: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((len(rates), size)) < np.array(rates)[:, None]).astype(float)


def history_of(n_agents: int = 24, size: int = 40, *, seed: int = 0, **given: Any) -> OutcomeMatrix:
    """Agents of rising ability on tasks of mixed difficulty."""
    rng = np.random.default_rng(seed)
    ability = np.linspace(-2, 2, n_agents)[:, None]
    chance = 1 / (1 + np.exp(-(ability - rng.normal(0, 1.2, size))))
    return OutcomeMatrix.from_scores((rng.random(chance.shape) < chance).astype(float), **given)


def plan_of(count: int, size: int, **given: Any) -> racing.RacePlan:
    """Return the plan of a race without a history."""
    given = {"question": "top:1:0.9", **given}
    return racing.make_race(None, names_of(count), tasks=tasks_of(size), **given)


def run(
    race: racing.Race,
    scores: np.ndarray,
    *,
    batch: int = 1000,
    shuffle: np.random.Generator | None = None,
    usd: float | None = None,
    after: Callable[[], None] = lambda: None,
) -> racing.Race:
    """Answer all that a race asks for from recorded scores, and end when it is over."""
    asked: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str]] = []
    while not race.done:
        new = race.ask(batch)
        assert not asked.intersection(new), "asked for twice"
        asked.update(new)
        waiting += new
        assert waiting, "nobody is asked for anything, and it is not over"
        place = 0 if shuffle is None else int(shuffle.integers(len(waiting)))
        tell(race, waiting.pop(place), scores, usd=usd)
        after()
    return race


def tell(
    race: racing.Race, job: tuple[str, str], scores: np.ndarray, *, usd: float | None = None
) -> None:
    cell = race.candidates.index(job[0]), race.tasks.index(job[1])
    score = None if np.isnan(scores[cell]) else float(scores[cell])
    race.tell(*job, score=score, usd=usd)
