"""Protocols: who is new in a replay, who is known, and what the new agent answers."""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from midband_history import InputError, OutcomeMatrix
from midband_sampler import MIN_COVERAGE

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """A recorded agent that plays the new one, with its recorded answers.

    Parameters
    ----------
    name : str
    scores : ndarray of float, shape (n_tasks,)
        Result that the replay hands out for each task; NaN where there is none.
    truth : float
        Full score to be judged against.
    cost_usd, duration_s : ndarray of float, shape (n_tasks,)
        Cost and duration of the attempts handed out; NaN if unknown.
    cost_basis : str
        ``"cost per task"``, ``"run cost spread evenly"`` or ``"unknown"``.
    attempts : ndarray of float, shape (n_tasks, n_attempts)
        Results of the single attempts, for plans that ask for several.
    """

    name: str
    scores: FloatArray
    truth: float
    cost_usd: FloatArray
    duration_s: FloatArray
    cost_basis: str
    attempts: FloatArray


def draw_candidate(
    matrix: OutcomeMatrix,
    agent: int,
    generator: np.random.Generator,
    *,
    attempts: int = 0,
    fresh_truth: bool = False,
) -> Candidate:
    """Let a recorded agent play the new one.

    Parameters
    ----------
    matrix : OutcomeMatrix
    agent : int
        Its row.
    generator : numpy.random.Generator
        Draws the attempts, without replacement.
    attempts : int
        Attempts a task whose mean is handed out; 0 for all of them.
    fresh_truth : bool
        Judge by the attempts that were not drawn, over the tasks that have some left; at least one
        attempt is then drawn, and one kept back. Otherwise the truth is the mean over all tasks of
        all attempts: the rank that a full run containing the subset would have shown.
    """
    if attempts < 0:
        msg = f"expected attempts >= 0, got {attempts}: 0 stands for all"
        raise InputError(msg)
    each = matrix.attempt_scores[agent]
    counts = matrix.attempts[agent]
    if fresh_truth:
        draw = np.minimum(max(attempts, 1), np.maximum(counts - 1, 1))
    else:
        draw = counts if attempts == 0 else np.minimum(attempts, counts)
    if not fresh_truth and attempts == 0:
        scores = matrix.scores[agent].copy()
    else:
        key = np.where(np.isnan(each), np.inf, generator.random(each.shape))
        rank = np.argsort(np.argsort(key, axis=1), axis=1)
        scores = _mean_where(each, (rank < draw[:, None]) & ~np.isnan(each))
    if fresh_truth:
        rest = _mean_where(each, (rank >= draw[:, None]) & ~np.isnan(each))
        truth = float(np.nanmean(rest))
    else:
        truth = float(np.nanmean(matrix.scores[agent]))
    cost, basis = _costs(matrix, agent)
    return Candidate(
        name=matrix.agents[agent],
        scores=scores,
        truth=truth,
        cost_usd=cost,
        duration_s=matrix.duration_s[agent],
        cost_basis=basis,
        attempts=each,
    )


def _mean_where(values: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    count = mask.sum(axis=1)
    total = np.where(mask, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def _costs(matrix: OutcomeMatrix, agent: int) -> tuple[FloatArray, str]:
    cost = matrix.cost_usd[agent]
    ran = matrix.attempts[agent] > 0
    if not np.isnan(cost[ran]).any():
        return cost, "cost per task"
    whole = float(matrix.run_cost_usd[agent])
    if math.isnan(whole):
        return np.full(cost.shape, np.nan), "unknown"
    return np.where(ran, whole / max(int(ran.sum()), 1), np.nan), "run cost spread evenly"


SMALLEST_HISTORY = 2
HALF = "half"


@dataclass(frozen=True, kw_only=True)
class Split:
    """One division of the agents into known ones and new ones.

    Parameters
    ----------
    label : str
        What the split is called in results, unique within its protocol.
    references : tuple of int
        Rows of the matrix that the plan may see.
    candidates : tuple of int
        Rows of the matrix to be replayed as new agents, one at a time.
    as_of : str
        ISO date up to which the references were known; empty where the protocol ignores dates.
    fresh_truth : bool
        Whether a candidate's true score comes from attempts that the replay did not see.
    """

    label: str
    references: tuple[int, ...]
    candidates: tuple[int, ...]
    as_of: str = ""
    fresh_truth: bool = False


class SplitProtocol(Protocol):
    """Anything that divides the agents of a matrix into known ones and new ones."""

    name: ClassVar[str]
    pooled: ClassVar[bool]

    def splits(self, matrix: OutcomeMatrix, *, seed: int) -> tuple[Split, ...]:
        """Divide the agents; raise `InputError` naming what the data lacks."""
        ...


@dataclass(frozen=True)
class LeaveOneAgentOut:
    """Each agent in turn is new, all others are known; one pooled cell."""

    name: ClassVar[str] = "loao"
    pooled: ClassVar[bool] = True

    def splits(self, matrix: OutcomeMatrix, *, seed: int = 0) -> tuple[Split, ...]:
        """One split an agent, in the order of the rows; `seed` has no effect."""
        rows = _scored(matrix, self.name)
        return tuple(
            Split(
                label=matrix.agents[i],
                references=tuple(j for j in _known(matrix) if j != i),
                candidates=(i,),
            )
            for i in rows
        )


@dataclass(frozen=True, kw_only=True)
class LeaveOneScaffoldOut:
    """All agents of one scaffold are new, those of the others are known.

    Parameters
    ----------
    folds : int
        With more scaffolds than this, whole scaffolds are dealt into this many groups: in an order
        drawn from the seed, each to the group that has the fewest agents so far (ties: the first).

    Notes
    -----
    Agents of unknown scaffold are left out of both sides: they could share the candidates' one.
    """

    folds: int = 5
    name: ClassVar[str] = "loso"
    pooled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_folds(self.folds)

    def splits(self, matrix: OutcomeMatrix, *, seed: int = 0) -> tuple[Split, ...]:
        """One split a scaffold, or a group of scaffolds, in the order of the labels."""
        rows = [i for i in _scored(matrix, self.name) if matrix.scaffolds[i]]
        names = sorted({matrix.scaffolds[i] for i in rows})
        if len(names) < 2:
            found = "none recorded" if not names else f"only {names[0]!r}"
            msg = (
                f"expected at least 2 scaffolds in {matrix.benchmark} for protocol loso, got"
                f" {found}: record the scaffold of each agent, or use loao or random"
            )
            raise InputError(msg)
        groups = {name: [name] for name in names}
        if len(names) > self.folds:
            groups = self._dealt(matrix, rows, names, seed)
        splits = []
        for label, members in groups.items():
            inside = tuple(i for i in rows if matrix.scaffolds[i] in members)
            outside = tuple(
                i
                for i in _known(matrix)
                if matrix.scaffolds[i] and matrix.scaffolds[i] not in members
            )
            if len(outside) >= SMALLEST_HISTORY:
                splits.append(Split(label=label, references=outside, candidates=inside))
        if not splits:
            msg = (
                f"expected {SMALLEST_HISTORY} agents outside some scaffold of {matrix.benchmark}"
                " for protocol loso, got fewer: use loao, or add agents"
            )
            raise InputError(msg)
        return tuple(splits)

    def _dealt(
        self, matrix: OutcomeMatrix, rows: list[int], names: list[str], seed: int
    ) -> dict[str, list[str]]:
        order = np.random.default_rng(np.random.SeedSequence([seed, 1])).permutation(len(names))
        groups: list[list[str]] = [[] for _ in range(self.folds)]
        sizes = [0] * self.folds
        for position in order:
            name = names[position]
            smallest = sizes.index(min(sizes))
            groups[smallest].append(name)
            sizes[smallest] += sum(matrix.scaffolds[i] == name for i in rows)
        return {f"scaffolds {k + 1}/{self.folds}": members for k, members in enumerate(groups)}


@dataclass(frozen=True, kw_only=True)
class Temporal:
    """Agents up to a date are known, later ones are new.

    Parameters
    ----------
    cut : str
        ISO date; agents that started on or before that day are known and all later ones are new.
        ``half`` for the day by which half of the agents had started. Empty for an expanding window:
        after the first half of the agents, each day's agents are new to all agents of earlier days;
        all windows are pooled into one cell.
    """

    cut: str = ""
    name: ClassVar[str] = "temporal"
    pooled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.cut and self.cut != HALF:
            _day(self.cut)

    def splits(self, matrix: OutcomeMatrix, *, seed: int = 0) -> tuple[Split, ...]:
        """One split for a cut, one a day for an expanding window; `seed` has no effect."""
        scored = _scored(matrix, self.name)
        days = matrix.dates.astype("datetime64[D]")
        rows = [i for i in scored if not np.isnat(days[i])]
        if len({days[i] for i in rows}) < 2:
            msg = (
                f"expected agents of at least 2 dates in {matrix.benchmark} for protocol temporal,"
                f" got {len(rows)} of {len(scored)} agents with a date: record when each agent was"
                " run, or use loao, loso or random"
            )
            raise InputError(msg)
        ordered = np.sort(days[rows])
        first = ordered[(len(rows) - 1) // 2]
        if self.cut:
            cut = first if self.cut == HALF else _day(self.cut)
            return (self._at(matrix, rows, days, cut),)
        splits = []
        for day in np.unique(ordered[ordered > first]):
            known = tuple(i for i in _known(matrix) if days[i] < day)
            new = tuple(i for i in rows if days[i] == day)
            if len(known) >= SMALLEST_HISTORY:
                before = str(day - np.timedelta64(1, "D"))
                splits.append(Split(label=str(day), references=known, candidates=new, as_of=before))
        if not splits:
            msg = (
                f"expected agents later than {first} in {matrix.benchmark}, got none: give a cut"
                " date, or use loao or random"
            )
            raise InputError(msg)
        return tuple(splits)

    @staticmethod
    def _at(
        matrix: OutcomeMatrix,
        rows: list[int],
        days: np.ndarray[tuple[int, ...], np.dtype[np.datetime64]],
        cut: np.datetime64,
    ) -> Split:
        known = tuple(i for i in _known(matrix) if days[i] <= cut)
        new = tuple(i for i in rows if days[i] > cut)
        if len(known) < SMALLEST_HISTORY or not new:
            span = f"{min(days[i] for i in rows)} to {max(days[i] for i in rows)}"
            msg = (
                f"expected at least {SMALLEST_HISTORY} agents up to {cut} and one later in"
                f" {matrix.benchmark}, got {len(known)} and {len(new)}: cut within {span}"
            )
            raise InputError(msg)
        return Split(label=f"after {cut}", references=known, candidates=new, as_of=str(cut))


@dataclass(frozen=True, kw_only=True)
class RandomFolds:
    """Agents are dealt at random into `folds` groups; each group in turn is new; one pooled cell.

    With fewer agents than groups, each agent is its own group.
    """

    folds: int = 5
    name: ClassVar[str] = "random"
    pooled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_folds(self.folds)

    def splits(self, matrix: OutcomeMatrix, *, seed: int = 0) -> tuple[Split, ...]:
        """One split a fold; group sizes differ by at most one."""
        rows = _scored(matrix, self.name)
        folds = min(self.folds, len(rows))
        order = np.random.default_rng(np.random.SeedSequence([seed, 2])).permutation(rows)
        splits = []
        for k in range(folds):
            inside = {int(i) for i in order[k::folds]}
            splits.append(
                Split(
                    label=f"fold {k + 1}/{folds}",
                    references=tuple(i for i in _known(matrix) if i not in inside),
                    candidates=tuple(sorted(inside)),
                )
            )
        return tuple(splits)


@dataclass(frozen=True)
class IndependentAttempts:
    """Leave one agent out, with other attempts of the same agent as the truth.

    The replay sees one attempt a task; the true score is the mean of the attempts it did not draw,
    so that the noise of a single run counts against the policy as it does in life. Candidates are
    the agents with at least two valid attempts on at least half of the tasks they ran.
    """

    name: ClassVar[str] = "self"
    pooled: ClassVar[bool] = True

    def splits(self, matrix: OutcomeMatrix, *, seed: int = 0) -> tuple[Split, ...]:
        """One split for each agent that has repeated attempts; `seed` has no effect."""
        rows = _scored(matrix, self.name)
        new = [i for i in rows if has_repeats(matrix, i)]
        if not new:
            msg = (
                f"expected agents with 2 or more attempts a task in {matrix.benchmark} for protocol"
                " self, got none: import repeated runs, or use loao"
            )
            raise InputError(msg)
        return tuple(
            Split(
                label=matrix.agents[i],
                references=tuple(j for j in _known(matrix) if j != i),
                candidates=(i,),
                fresh_truth=True,
            )
            for i in new
        )


PROTOCOLS = ("loao", "loso", "temporal", "random", "self")


def parse_protocol(name: str, *, cut: str = "", folds: int = 5) -> SplitProtocol:
    """Build a protocol from its name; `cut` is for temporal, `folds` for loso and random."""
    if name == "loao":
        return LeaveOneAgentOut()
    if name == "loso":
        return LeaveOneScaffoldOut(folds=folds)
    if name == "temporal":
        return Temporal(cut=cut)
    if name == "random":
        return RandomFolds(folds=folds)
    if name == "self":
        return IndependentAttempts()
    msg = f"expected a protocol of {', '.join(PROTOCOLS)}, got {name!r}"
    raise InputError(msg)


def has_repeats(matrix: OutcomeMatrix, agent: int) -> bool:
    """Whether an agent tried at least half of the tasks it ran more than once."""
    attempts = matrix.attempts[agent]
    ran = int(np.sum(attempts > 0))
    return ran > 0 and 2 * int(np.sum(attempts >= 2)) >= ran


def too_few_tasks(matrix: OutcomeMatrix) -> NDArray[np.bool_]:
    """Tell which agents ran too few tasks to play a new one, shape (n_agents,).

    Their rank on these few says little of an interval for all. They are known agents all the same.
    """
    if not matrix.tasks:
        return np.ones(len(matrix.agents), dtype=bool)
    return np.asarray(np.mean(~np.isnan(matrix.scores), axis=1) < MIN_COVERAGE)


def _known(matrix: OutcomeMatrix) -> list[int]:
    """Rows of the agents with any result: what a plan makes of them is for the plan to say."""
    return np.flatnonzero((~np.isnan(matrix.scores)).any(axis=1)).tolist()


def _scored(matrix: OutcomeMatrix, protocol: str) -> list[int]:
    """Rows of the agents that may play a new one."""
    rows: list[int] = np.flatnonzero(~too_few_tasks(matrix)).tolist()
    if len(rows) <= SMALLEST_HISTORY:
        msg = (
            f"expected at least {SMALLEST_HISTORY + 1} agents that ran half of {matrix.benchmark}"
            f" for protocol {protocol}, got {len(rows)}: import more agents"
        )
        raise InputError(msg)
    return rows


def _check_folds(folds: int) -> None:
    if folds < 2:
        msg = f"expected folds >= 2, got {folds}"
        raise InputError(msg)


def _day(text: str) -> np.datetime64:
    try:
        return np.datetime64(text, "D")
    except ValueError:
        msg = f"expected a cut date like 2024-11-20, or {HALF}, got {text!r}"
        raise InputError(msg) from None
