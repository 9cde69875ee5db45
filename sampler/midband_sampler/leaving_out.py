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
    """Hold out each group of `hold_out_groups` in turn, and fit a model to the other agents.

    All strategies share these folds, so that each model is fitted once.
    """
    everyone = np.arange(len(matrix.agents))
    folds = []
    for group in hold_out_groups(matrix.scaffolds, mode):
        history = matrix.select(agents=np.setdiff1d(everyone, group))
        candidates = matrix.select(agents=group)
        folds.append(Fold(history, candidates, PredictionModel.fit(history), attempts, costs))
    return folds


def can_hold_out_scaffolds(scaffolds: tuple[str, ...]) -> bool:
    """Tell whether scaffolds can be held out: there are two, and four agents always remain."""
    names = [name or f"\0{row}" for row, name in enumerate(scaffolds)]
    _, counts = np.unique(names, return_counts=True)
    known = len({name for name in scaffolds if name})
    return known >= 2 and len(scaffolds) - int(counts.max()) >= 4


def hold_out_groups(scaffolds: tuple[str, ...], mode: str) -> list[IntArray]:
    """Group the agents that are held out together, in at most ten groups.

    Parameters
    ----------
    scaffolds : tuple of str
    mode : str
        ``"agent"``: agents are dealt to the groups in turn, so that other agents of their scaffold
        stay known. ``"scaffold"``: each group holds whole scaffolds. The largest scaffold is dealt
        first, always to the smallest group, and an agent of unknown scaffold counts as a scaffold
        of its own. If `can_hold_out_scaffolds` is False, this is the same as ``"agent"``.
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

    For other agents, the rank on the few tasks that they ran is a poor check of an interval for the
    rank on all tasks.
    """
    return np.asarray(np.mean(matrix.attempts > 0, axis=1) >= MIN_COVERAGE)


def situation(scaffolds: tuple[str, ...], scaffold: str) -> tuple[str, bool]:
    """Return what replays leave out, and whether they cannot reproduce a new scaffold.

    If the history has agents of the candidate's scaffold, replays leave out single agents. If the
    scaffold is new or not stated, replays leave out whole scaffolds, where there are several.
    """
    known = {each for each in scaffolds if each}
    if scaffold in known:
        return AGENT, False
    if can_hold_out_scaffolds(scaffolds):
        return SCAFFOLD, False
    return AGENT, bool(scaffold and known)
