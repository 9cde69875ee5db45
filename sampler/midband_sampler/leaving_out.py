"""Leaving out: which agents of a history are replayed, and who is left out with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler.model.prediction import Attempts, PredictionModel

MIN_COVERAGE = 0.5
AGENT, SCAFFOLD = "agent", "scaffold"
_MAX_FOLDS = 10


@dataclass(frozen=True, eq=False)
class Fold:
    """Agents held out together, and the rest of the history with its fitted model."""

    history: OutcomeMatrix
    candidates: OutcomeMatrix
    model: PredictionModel
    attempts: Attempts | None = None
    costs: FloatArray | None = None


def make_folds(
    matrix: OutcomeMatrix,
    mode: str,
    attempts: Attempts | None = None,
    costs: FloatArray | None = None,
) -> list[Fold]:
    """Hold out each group of `hold_out_groups` in turn; fitted once for all strategies."""
    everyone = np.arange(len(matrix.agents))
    folds = []
    for group in hold_out_groups(matrix.scaffolds, mode):
        history = matrix.select(agents=np.setdiff1d(everyone, group))
        candidates = matrix.select(agents=group)
        folds.append(Fold(history, candidates, PredictionModel.fit(history), attempts, costs))
    return folds


def can_hold_out_scaffolds(scaffolds: tuple[str, ...]) -> bool:
    """Whether whole scaffolds can be left out: there are two, and four agents stay without any."""
    names = [name or f"\0{row}" for row, name in enumerate(scaffolds)]
    _, counts = np.unique(names, return_counts=True)
    known = len({name for name in scaffolds if name})
    return known >= 2 and len(scaffolds) - int(counts.max()) >= 4


def hold_out_groups(scaffolds: tuple[str, ...], mode: str) -> list[IntArray]:
    """Group agents to hold out together, at most ten groups.

    Parameters
    ----------
    scaffolds : tuple of str
    mode : str
        ``"agent"``: agents are dealt one after the other, so that others of their scaffold stay
        known. ``"scaffold"``: whole scaffolds, the largest dealt first to the smallest group;
        agents of unknown scaffold stand for themselves. The same as ``"agent"`` where
        `can_hold_out_scaffolds` says no.
    """
    n_agents = len(scaffolds)
    if mode != SCAFFOLD or not can_hold_out_scaffolds(scaffolds):
        fold = np.arange(n_agents) % min(n_agents, _MAX_FOLDS)
    else:
        names = [name or f"\0{row}" for row, name in enumerate(scaffolds)]
        labels, counts = np.unique(names, return_counts=True)
        sizes = [0] * min(_MAX_FOLDS, labels.size)
        group: dict[str, int] = {}
        for place in np.argsort(-counts, kind="stable"):
            smallest = sizes.index(min(sizes))
            group[str(labels[place])] = smallest
            sizes[smallest] += int(counts[place])
        fold = np.array([group[name] for name in names])
    return [np.flatnonzero(fold == k).astype(np.int64) for k in np.unique(fold)]


def can_be_replayed(matrix: OutcomeMatrix) -> NDArray[np.bool_]:
    """Tell which agents ran at least half of the tasks, shape (n_agents,).

    The rank of another one on the few tasks that it ran says little of an interval for all.
    """
    return np.asarray(np.mean(matrix.attempts > 0, axis=1) >= MIN_COVERAGE)


def situation(scaffolds: tuple[str, ...], scaffold: str) -> tuple[str, bool]:
    """Return what replays are to leave out, and whether they cannot see how new the agent is.

    Where the candidate's scaffold is known its agents alone are left out, as the candidate is;
    where it is new, or not said, whole scaffolds are, if there are several.
    """
    known = {each for each in scaffolds if each}
    if scaffold in known:
        return AGENT, False
    if can_hold_out_scaffolds(scaffolds):
        return SCAFFOLD, False
    return AGENT, bool(scaffold and known)
