"""Two equal agents: how often a rule that looks after every task finds a difference."""

from dataclasses import dataclass

import numpy as np

from midband_history import InputError
from midband_sampler import Beats, PairedEProcess, Snapshot

_RESAMPLES = 200
_RIVAL = "rival"


@dataclass(frozen=True, kw_only=True)
class TwoEqualAgents:
    """How often each rule decided between two agents that are equally good.

    Parameters
    ----------
    repeats, tasks : int
        Pairs of agents, and tasks a pair, with a look after every task.
    alpha : float
        Chance of a wrong decision that the rules speak of.
    false_decisions : int
        Pairs in which `Beats` claimed either side at any look.
    naive_false_decisions : int
        The same for "stop when at least ``1 - alpha / 2`` of the bootstrap resamples of the tasks
        are on one side", from the same look on.
    p_value : float
        One-sided binomial test of "`Beats` is wrong with chance `alpha` at most".
    naive_p_value : float
        The same test of the naive rule.
    """

    repeats: int
    tasks: int
    alpha: float
    false_decisions: int
    naive_false_decisions: int
    p_value: float
    naive_p_value: float

    @property
    def false_rate(self) -> float:
        """Share of the pairs in which `Beats` decided."""
        return self.false_decisions / self.repeats

    @property
    def naive_false_rate(self) -> float:
        """Share of the pairs in which the naive rule decided."""
        return self.naive_false_decisions / self.repeats

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"two equal agents, {self.tasks} tasks, a look after each, {self.repeats} pairs:"
            f" wrong decisions {self.false_rate:.3f} by Beats (alpha {self.alpha:g}, binomial test"
            f" p = {self.p_value:.3g}), {self.naive_false_rate:.3f} by the naive bootstrap"
        )


def two_equal_agents(
    repeats: int = 2000, n_tasks: int = 150, seed: int = 0, *, alpha: float = 0.05
) -> TwoEqualAgents:
    """Play pairs of equal agents against each other and count wrong decisions.

    Tasks are of uniform difficulty: each has its own chance of success, drawn from (0, 1), which
    both agents share; their attempts are independent.

    Parameters
    ----------
    repeats, n_tasks : int
    seed : int
    alpha : float
        In (0, 0.5).
    """
    if repeats < 1 or n_tasks < 1:
        msg = f"expected repeats >= 1 and n_tasks >= 1, got {repeats} and {n_tasks}"
        raise InputError(msg)
    from scipy.stats import binomtest

    rule = Beats(_RIVAL, 1.0 - alpha)
    generator = np.random.default_rng(seed)
    chance = generator.random((repeats, n_tasks))
    candidate, rival = (generator.random((2, repeats, n_tasks)) < chance).astype(float)
    difference = candidate - rival
    decided = np.zeros(repeats, dtype=bool)
    naive = np.zeros(repeats, dtype=bool)
    evidence = PairedEProcess.nothing((repeats,))
    weighted = np.zeros((repeats, _RESAMPLES), dtype=np.float32)
    for task in range(n_tasks):
        evidence = evidence.after(difference[:, task])
        weight = generator.standard_exponential(weighted.shape, dtype=np.float32)
        weighted += weight * difference[:, task, None].astype(np.float32)
        if task + 1 >= rule.min_tasks:
            decided |= rule.stops(_look(evidence, task + 1, n_tasks))
            above = (weighted > 0).mean(axis=1)
            below = (weighted < 0).mean(axis=1)
            naive |= np.maximum(above, below) >= 1.0 - alpha / 2.0
    wrong, naively = int(decided.sum()), int(naive.sum())
    return TwoEqualAgents(
        repeats=repeats,
        tasks=n_tasks,
        alpha=alpha,
        false_decisions=wrong,
        naive_false_decisions=naively,
        p_value=float(binomtest(wrong, repeats, alpha, alternative="greater").pvalue),
        naive_p_value=float(binomtest(naively, repeats, alpha, alternative="greater").pvalue),
    )


def _look(evidence: PairedEProcess, run: int, n_tasks: int) -> Snapshot:
    """Show the rule every pair at once: no bounds, only the evidence."""
    pairs = evidence.log_better.shape
    unknown = np.full(pairs, np.nan)
    return Snapshot(
        rank_low=np.ones(pairs, dtype=np.int64),
        rank_high=np.full(pairs, 2),
        score_low=unknown,
        score_high=unknown,
        tasks=np.full(pairs, run),
        tasks_run=np.full(pairs, run),
        tasks_left=np.full(pairs, n_tasks - run),
        usd=unknown,
        seconds=unknown,
        reference_scores=np.full(1, np.nan),
        reference_agents=(_RIVAL,),
        evidence={_RIVAL: evidence},
    )
