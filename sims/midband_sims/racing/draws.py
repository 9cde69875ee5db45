"""Draws: who competes in a replayed race, who is its history, and on which tasks."""

from dataclasses import dataclass

import numpy as np

from midband_history import InputError, OutcomeMatrix
from midband_sampler import racing
from midband_sims.protocols import SMALLEST_HISTORY, too_few_tasks
from midband_sims.units import plan_seed

RANDOM, TEMPORAL = "random", "temporal"
SPLITS = (RANDOM, TEMPORAL)
_STREAM = 0x72616365


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One race: these compete, and those are known.

    Parameters
    ----------
    index : int
        From 0.
    seed : int
        Of the race, or of a baseline: the same for every allocation.
    candidates, references : tuple of int
        Rows of the matrix; candidates in the order in which the race names them.
    as_of : str
        ISO date up to which the references were known; empty for a random split.
    """

    index: int
    seed: int
    candidates: tuple[int, ...]
    references: tuple[int, ...]
    as_of: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """A benchmark reduced to what races can be judged on.

    Parameters
    ----------
    matrix : OutcomeMatrix
        Of all agents, on the tasks that every agent of `agents` ran.
    agents : tuple of int
        Rows of those who may compete: they ran all of these tasks, so that their truth is known.
    left_out : str
        What was left out, in words; empty for nothing.
    """

    matrix: OutcomeMatrix
    agents: tuple[int, ...]
    left_out: str


def pool_of(matrix: OutcomeMatrix) -> Pool:
    """Choose the agents and tasks whose truth is known.

    Agents that ran fewer than half of the tasks never compete. Of the others those with the most
    results are taken, so many that agents times tasks that all of them ran is greatest (ties: the
    fewer agents); agents with as many results are taken together.

    Raises
    ------
    InputError
        Fewer than two agents, or no task, are left.
    """
    ran = ~np.isnan(matrix.scores)
    missing = (~ran).sum(axis=1)
    able = np.flatnonzero(~too_few_tasks(matrix))
    best, chosen, tasks = 0, able[:0], np.zeros(len(matrix.tasks), dtype=bool)
    for most in np.unique(missing[able]):
        rows = able[missing[able] <= most]
        common = ran[rows].all(axis=0)
        if len(rows) >= 2 and len(rows) * int(common.sum()) > best:
            best, chosen, tasks = len(rows) * int(common.sum()), rows, common
    if not best:
        msg = (
            f"expected at least 2 agents with results on the same tasks of {matrix.benchmark}, got"
            f" {len(able)} that ran half of its {len(matrix.tasks)} tasks: import more agents"
        )
        raise InputError(msg)
    parts = []
    if agents := len(matrix.agents) - len(chosen):
        parts.append(f"{agents} of {len(matrix.agents)} agents, which lack results, never compete")
    if dropped := len(tasks) - int(tasks.sum()):
        parts.append(f"{dropped} of {len(tasks)} tasks, which not all others ran, are left out")
    return Pool(
        matrix=matrix.select(tasks=np.flatnonzero(tasks)),
        agents=tuple(int(row) for row in chosen),
        left_out=f"{matrix.benchmark}: {'; '.join(parts)}" if parts else "",
    )


def draw_fields(
    pool: Pool,
    question: racing.Question,
    *,
    candidates: int,
    history: bool,
    split: str,
    draws: int,
    seed: int,
) -> tuple[Draw, ...]:
    """Draw who competes.

    Parameters
    ----------
    pool : Pool
    question : Question
        Where it names its candidates, they compete in every draw, with other seeds.
    candidates : int
        In each draw; 0 for half of the agents, or all of them without a history.
    history : bool
        Whether the other agents are the history of the race; otherwise it has none.
    split : str
        ``random``: any agents compete, and all others are known. ``temporal``: of the agents with
        a date the later half competes (as many as needed, if that is more), of which each draw
        takes some; known are those that started no later than the last of the earlier half.
    draws, seed : int

    Raises
    ------
    InputError
        There are too few agents, or agents with a date.
    """
    matrix = pool.matrix
    known = np.flatnonzero((~np.isnan(matrix.scores)).any(axis=1))
    able = np.array(pool.agents, dtype=np.int64)
    as_of = ""
    if isinstance(question, racing.NotWorse):
        return _named(pool, question, known, history=history, draws=draws, seed=seed)
    spare = SMALLEST_HISTORY if history else 0
    if split == TEMPORAL:
        able = able[~np.isnat(matrix.dates[able])]
        able = able[np.argsort(matrix.dates[able], kind="stable")]
    count = candidates or (len(able) // 2 if history else len(able))
    if not 2 <= count <= len(able) - spare:
        dated = " with a date" if split == TEMPORAL else ""
        why = f" and {spare} others as history (or --no-history)" if spare else ""
        msg = (
            f"expected 2 or more candidates{why} of the {len(able)} agents{dated} that can compete"
            f" on {matrix.benchmark}, got {count}: race fewer"
        )
        raise InputError(msg)
    question.check([matrix.agents[row] for row in able[:count]])
    if split == TEMPORAL:
        cut = len(able) - max(count, len(able) // 2)
        last = matrix.dates[able[cut - 1]] if cut else np.datetime64("NaT")
        known = known[matrix.dates[known] <= last]
        as_of = "" if np.isnat(last) else str(last.astype("datetime64[D]"))
        able = able[cut:]
        known = known[~np.isin(known, able)]
    found = []
    for index in range(draws):
        rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM, index]))
        rows = rng.permutation(able)[:count]
        rest = known[~np.isin(known, rows)] if history else known[:0]
        found.append(_draw(pool, index, rows.tolist(), rest.tolist(), seed=seed, as_of=as_of))
    return tuple(found)


def _named(
    pool: Pool,
    question: racing.NotWorse,
    known: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    *,
    history: bool,
    draws: int,
    seed: int,
) -> tuple[Draw, ...]:
    names = [pool.matrix.agents[row] for row in pool.agents]
    for name in (question.candidate, question.baseline):
        if name not in names:
            msg = (
                f"expected agents of {pool.matrix.benchmark} that can compete in {question.text!r},"
                f" got {name!r}: name two of {', '.join(names[:6])}{', ...' if names[6:] else ''}"
            )
            raise InputError(msg)
    rows = [pool.agents[names.index(each)] for each in (question.candidate, question.baseline)]
    rest = known[~np.isin(known, rows)].tolist() if history else []
    return tuple(_draw(pool, index, rows, rest, seed=seed, as_of="") for index in range(draws))


def _draw(
    pool: Pool, index: int, rows: list[int], rest: list[int], *, seed: int, as_of: str
) -> Draw:
    return Draw(
        index=index,
        seed=plan_seed(seed, index, pool.matrix.benchmark),
        candidates=tuple(rows),
        references=tuple(rest),
        as_of=as_of,
    )
