"""Synthetic histories, and pairs of equal agents: inputs whose truth is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from midband_history import InputError, OutcomeMatrix
from midband_sampler import Beats, PairedEProcess, Snapshot

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SyntheticSettings:
    r"""Settings of a synthetic history.

    The chance that agent i solves task j is the compensatory logistic model

    .. math:: p_{ij} = g_j + (1 - g_j)\,\operatorname{expit}(a_j \cdot \theta_i + s_{ij} - b_j)

    with abilities :math:`\theta_i` of `dimensions` parts, slopes :math:`a_j`, difficulty
    :math:`b_j` and an effect :math:`s_{ij}` of the agent's scaffold on the task.

    Parameters
    ----------
    agents, tasks, attempts : int
    dimensions : int
        1 to 3; further dimensions are skills that matter for some tasks only.
    ability_sd, difficulty_sd, difficulty_mean : float
        Standard deviations and mean on the logit scale.
    slope_sd : float
        Standard deviation of the log slope; 0 gives the Rasch model.
    guessing : float
        Chance :math:`g` to solve a task without any ability.
    scaffolds : int
    scaffold_sd : float
        Standard deviation, on the logit scale, of a scaffold's own effect.
    scaffold_task_sd : float
        Standard deviation of its effect on each single task: what makes a scaffold's agents alike.
    drift : float
        Rise of mean ability from the first agent to the last, on the logit scale.
    span_days : int
        Days from the first agent to the last.
    run_noise_sd : float
        Standard deviation, on the logit scale, of a whole attempt being lucky or unlucky.
    deterministic : bool
        Whether repeated attempts give the same outcome: the run-to-run noise is then zero.
    ties : int
        This many agents, the last ones, copy the outcomes of the agent before them.
    infra_error_rate : float
        Chance that an attempt dies of infrastructure; it is missing, never a failure.
    missing_rate : float
        Chance that a cell was never run.
    cost_usd, duration_s : float
        Mean cost and duration of an attempt; each task has its own, lognormal with sd 0.5.
    """

    agents: int = 40
    tasks: int = 200
    attempts: int = 1
    dimensions: int = 1
    ability_sd: float = 1.0
    difficulty_mean: float = 0.0
    difficulty_sd: float = 1.5
    slope_sd: float = 0.3
    guessing: float = 0.0
    scaffolds: int = 1
    scaffold_sd: float = 0.0
    scaffold_task_sd: float = 0.0
    drift: float = 0.0
    span_days: int = 365
    run_noise_sd: float = 0.0
    deterministic: bool = False
    ties: int = 0
    infra_error_rate: float = 0.0
    missing_rate: float = 0.0
    cost_usd: float = 0.1
    duration_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("agents", "tasks", "attempts", "scaffolds"):
            if getattr(self, name) < 1:
                msg = f"expected {name} >= 1, got {getattr(self, name)}"
                raise InputError(msg)
        if not 1 <= self.dimensions <= 3:
            msg = f"expected dimensions of 1 to 3, got {self.dimensions}"
            raise InputError(msg)
        for name in ("guessing", "infra_error_rate", "missing_rate"):
            if not 0 <= getattr(self, name) < 1:
                msg = f"expected 0 <= {name} < 1, got {getattr(self, name)}"
                raise InputError(msg)
        if not 0 <= self.ties < self.agents:
            msg = f"expected 0 <= ties < agents = {self.agents}, got {self.ties}"
            raise InputError(msg)
        for name in ("ability_sd", "difficulty_sd", "slope_sd", "scaffold_sd", "run_noise_sd"):
            if getattr(self, name) < 0:
                msg = f"expected {name} >= 0, got {getattr(self, name)}"
                raise InputError(msg)


@dataclass(frozen=True, eq=False, kw_only=True)
class SyntheticHistory:
    """A drawn history with its truth.

    Parameters
    ----------
    matrix : OutcomeMatrix
        What a real history would show.
    chance : ndarray of float, shape (n_agents, n_tasks)
        True chance of success of each cell, before the noise of a single run.
    true_scores : ndarray of float, shape (n_agents,)
        Mean of `chance`: the score that infinitely many attempts at every task would give.
    ability : ndarray of float, shape (n_agents, dimensions)
    difficulty : ndarray of float, shape (n_tasks,)
    """

    matrix: OutcomeMatrix
    chance: FloatArray
    true_scores: FloatArray
    ability: FloatArray
    difficulty: FloatArray


def synthetic_history(
    settings: SyntheticSettings, generator: np.random.Generator, *, benchmark: str = "synthetic"
) -> SyntheticHistory:
    """Draw a history.

    Rows are in order of date. The same generator state gives the same history; a changed rate of
    errors or missing cells leaves all other outcomes as they were, because each part of the model
    draws from its own child generator.
    """
    people, items, effects, luck, holes, prices = generator.spawn(6)
    n_agents, n_tasks, n_attempts = settings.agents, settings.tasks, settings.attempts
    ability = people.normal(0, settings.ability_sd, (n_agents, settings.dimensions))
    ability[:, 0] += np.linspace(0, settings.drift, n_agents)
    scaffold = people.integers(settings.scaffolds, size=n_agents)
    slopes = np.exp(items.normal(0, settings.slope_sd, (n_tasks, settings.dimensions)))
    if settings.dimensions > 1:
        slopes *= items.dirichlet(np.ones(settings.dimensions), n_tasks) * settings.dimensions**0.5
    difficulty = items.normal(settings.difficulty_mean, settings.difficulty_sd, n_tasks)
    shift = effects.normal(0, settings.scaffold_sd, (settings.scaffolds, 1))
    shift = shift + effects.normal(0, settings.scaffold_task_sd, (settings.scaffolds, n_tasks))
    logit = ability @ slopes.T + shift[scaffold] - difficulty
    for row in range(n_agents - settings.ties, n_agents):
        logit[row] = logit[row - 1]
        ability[row] = ability[row - 1]
        scaffold[row] = scaffold[row - 1]
    chance = settings.guessing + (1 - settings.guessing) * expit(logit)
    attempt_scores = _attempts(settings, logit, luck)
    holes_now = holes.random((n_agents, n_tasks, n_attempts))
    never_run = holes.random((n_agents, n_tasks)) < settings.missing_rate
    attempt_scores[holes_now < settings.infra_error_rate] = np.nan
    attempt_scores[never_run] = np.nan
    attempt_scores = np.take_along_axis(
        attempt_scores, np.argsort(np.isnan(attempt_scores), axis=2, kind="stable"), axis=2
    )
    spread = prices.lognormal(-0.125, 0.5, (2, n_tasks))
    known = np.any(~np.isnan(attempt_scores), axis=2)
    first_day = np.datetime64("2025-01-01", "s")
    days = np.round(np.linspace(0, settings.span_days, n_agents)).astype(np.int64)
    matrix = OutcomeMatrix.from_scores(
        attempt_scores[:, :, 0],
        benchmark=benchmark,
        attempt_scores=attempt_scores,
        models=[f"model-{i}" for i in range(n_agents)],
        scaffolds=[f"scaffold-{k}" for k in scaffold],
        dates=first_day + days * np.timedelta64(86_400, "s"),
        cost_usd=np.where(known, settings.cost_usd * spread[0], np.nan),
        duration_s=np.where(known, settings.duration_s * spread[1], np.nan),
    )
    return SyntheticHistory(
        matrix=matrix,
        chance=chance,
        true_scores=chance.mean(axis=1),
        ability=ability,
        difficulty=difficulty,
    )


def _attempts(
    settings: SyntheticSettings, logit: FloatArray, luck: np.random.Generator
) -> FloatArray:
    n_agents, n_tasks = logit.shape
    n_attempts = settings.attempts
    shape = (n_agents, n_tasks, 1 if settings.deterministic else n_attempts)
    noise = luck.normal(0, settings.run_noise_sd, (n_agents, 1, n_attempts))[:, :, : shape[2]]
    draw = luck.random(shape)
    tied = n_agents - settings.ties
    for row in range(tied, n_agents):
        noise[row], draw[row] = noise[row - 1], draw[row - 1]
    chance = settings.guessing + (1 - settings.guessing) * expit(logit[:, :, None] + noise)
    outcome = (draw < chance).astype(float)
    return np.repeat(outcome, n_attempts, axis=2) if settings.deterministic else outcome


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
