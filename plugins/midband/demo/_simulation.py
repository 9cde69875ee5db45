"""The simulated world: tasks of known difficulty, agents of known ability. Nothing here is real."""

import hashlib
import math
from dataclasses import dataclass

BENCHMARK = "toy_benchmark"
PROVIDER = "midband_demo"
N_TASKS = 200
N_AGENTS = 24
NEW_AGENT = "agent-new"
NEW_ABILITY = 0.5
COST_USD = 0.04  # what a simulated attempt would cost on average; no money is spent
_SPREAD = 2.4


@dataclass(frozen=True)
class Attempt:
    """What a simulated agent does on a simulated task.

    Parameters
    ----------
    solved : bool
    tokens : int
    cost_usd : float
    """

    solved: bool
    tokens: int
    cost_usd: float


def agent_names() -> tuple[str, ...]:
    """Return the known agents, weakest first."""
    return tuple(f"agent-{place:02d}" for place in range(1, N_AGENTS + 1))


def ability(agent: str) -> float:
    """Return an agent's ability in logits; agents are evenly spread."""
    if agent == NEW_AGENT:
        return NEW_ABILITY
    place = int(agent.rpartition("-")[2])
    return -_SPREAD + 2 * _SPREAD * (place - 1) / (N_AGENTS - 1)


def difficulty(task: int) -> float:
    """Return a task's difficulty in logits: near-normal, fixed for ever."""
    return 1.6 * sum(_uniform(f"difficulty {task} {part}") - 0.5 for part in range(12))


def attempt(agent: str, task: int) -> Attempt:
    """Return what the agent does: the same every time it is asked."""
    chance = 1 / (1 + math.exp(difficulty(task) - ability(agent)))
    size = 0.5 + _uniform(f"size {agent} {task}")
    return Attempt(
        solved=_uniform(f"attempt {agent} {task}") < chance,
        tokens=round(4000 * size),
        cost_usd=round(COST_USD * size, 6),
    )


def answer(task: int) -> int:
    """Return the right answer of a task."""
    return int(_uniform(f"answer {task}") * 9000) + 1000


def _uniform(text: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56
