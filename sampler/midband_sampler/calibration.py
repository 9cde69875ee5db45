"""The calibration: how wide intervals must be to cover the ranks of the history's own agents.

Each agent of the history is replayed as a candidate against a model that has not seen it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler.bounds.base import TIE, Interval
from midband_sampler.bounds.bootstrap import RANK_CONFIDENCE, level_text, nominal_level
from midband_sampler.bounds.calibrated import POSTERIOR, CalibratedBound, paired_bootstrap
from midband_sampler.bounds.posterior import BestCaseWidth
from midband_sampler.errors import PlanError
from midband_sampler.kernel import Kernel, Recorded, Step, replay
from midband_sampler.leaving_out import (
    Fold,
    can_be_replayed,
)
from midband_sampler.spending import expected_usd
from midband_sampler.stopping.base import Rule
from midband_sampler.strategies.policy import Policy

MIN_REPLAYS = 10
UNCHECKED = 1e9


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Result of replaying a policy on the history's own agents.

    Parameters
    ----------
    multiplier : float
        Half width of the interval around the predicted full score, in standard deviations. It is
        `UNCHECKED` where there were too few agents to replay: the only bounds are then those that
        no result can pass. For the bootstrap, it is the number of standard deviations on either
        side within which a normal distribution holds the share `level`.
    confidence : float
        Share of new agents whose interval at the stop should cover their rank.
    replays : int
        Agents of the history that were replayed, each against a model that had not seen it.
    covered : int
        Replays whose interval at the stop covered the true rank.
    fraction_run : float
        Mean share of the benchmark's tasks that the replays ran; 1 without replays.
    held_out : str
        What each replay left out: ``"scaffold"`` or ``"agent"``.
    surprise : float
        Log odds against the model that at most 5 % of the replays exceeded; 0 if not measured. See
        `Decision.warnings`.
    benchmarks : int
        Number of other benchmarks of the history whose replays counted too; see `narrowest`.
    spread : float
        Standard deviation of the log of the required width around the width that the replays show.
        It is above 0 only for a new scaffold where replays cannot leave out whole scaffolds.
    bound : str
        Key of `CALIBRATED_BOUNDS`: ``"bootstrap"``, or empty for the posterior.
    """

    multiplier: float
    confidence: float
    replays: int
    covered: int
    fraction_run: float
    held_out: str
    surprise: float = 0.0
    benchmarks: int = 0
    spread: float = 0.0
    bound: str = ""

    @property
    def level(self) -> float:
        """Share of the resamples that the interval must hold for a bootstrap to stop."""
        return nominal_level(self.multiplier)

    @property
    def guarantee(self) -> str:
        """What the confidence rests on, in words."""
        if not self.replays:
            return "certain: what no result of the tasks that were not run could change"
        text = (
            f"calibrated on {self.replays} replays of earlier agents, each without its"
            f" {self.held_out}"
        )
        if self.benchmarks:
            text += f", and on {self.benchmarks} other benchmark{'s'[: self.benchmarks != 1]}"
        if self.spread:
            text = f"{text}; widened for a scaffold of another kind"
        if not self.bound:
            return text
        levels = (level_text(each) for each in (self.level, self.confidence))
        return f"{RANK_CONFIDENCE}: stops at {' where '.join(levels)} is asked ({text})"

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        plain = asdict(self)
        for name in ("surprise", "benchmarks", "spread", "bound"):
            if not plain[name]:  # older plans lack these fields and must keep their digests
                del plain[name]
        return plain


@dataclass(frozen=True, eq=False, kw_only=True)
class Replays:
    """Results of replaying a policy on every agent of a history, for each width of interval.

    Parameters
    ----------
    covered : ndarray of bool, shape (n_replays, n_multipliers)
        Whether the interval at the stop held the true rank.
    run : ndarray of float64, shape (n_replays, n_multipliers)
        Share of the benchmark's tasks run until the stop.
    error : ndarray of float64, shape (n_replays, n_multipliers)
        Estimated full score at the stop minus the true one.
    spent : ndarray of float64, shape (n_replays, n_multipliers)
        Share of the expected cost of all tasks that ran until the stop; NaN without costs.
    fold : ndarray of int64, shape (n_replays,)
        Number of the fold. Agents with the same number were held out together.
    """

    covered: NDArray[np.bool_]
    run: FloatArray
    error: FloatArray
    spent: FloatArray
    fold: IntArray


def required_replays(confidence: float) -> int:
    """Return the fewest replays that allow a conformal bound at this confidence; at least 10."""
    return max(MIN_REPLAYS, int(np.ceil(confidence / (1.0 - confidence) - 1e-9)))


def replay_all(
    folds: Sequence[Fold],
    policy: Policy,
    multipliers: FloatArray,
    *,
    rule: Rule,
    max_tasks: int | None,
    seed: int,
    bound: CalibratedBound = POSTERIOR,
) -> Replays:
    """Replay a policy on every held-out agent, at every multiplier at once.

    A fold is skipped if the policy cannot order the tasks by the results of the other agents, for
    instance because the band holds too few tasks.

    Raises
    ------
    PlanError
        The policy cannot order the tasks of any fold.
    """
    parts, problems = [], []
    asked = multipliers.size
    if asked == 1:  # bounds of one candidate at one width are those of a live run
        multipliers = np.repeat(multipliers, 2)
    for fold in folds:
        if not can_be_replayed(fold.candidates).any():
            continue
        try:
            parts.append(
                (_replay if bound.predicts else _replay_planned)(
                    fold,
                    policy,
                    multipliers,
                    rule=rule,
                    max_tasks=max_tasks,
                    seed=seed,
                    bound=bound,
                )
            )
        except PlanError as error:
            problems.append(error)
    if problems and not parts:
        raise problems[0]
    return Replays(
        covered=np.concatenate([part.covered[:, :asked] for part in parts]),
        run=np.concatenate([part.run[:, :asked] for part in parts]),
        error=np.concatenate([part.error[:, :asked] for part in parts]),
        spent=np.concatenate([part.spent[:, :asked] for part in parts]),
        fold=np.repeat(np.arange(len(parts)), [len(part.fold) for part in parts]),
    )


def _replay(
    fold: Fold,
    policy: Policy,
    multipliers: FloatArray,
    *,
    rule: Rule,
    max_tasks: int | None,
    seed: int,
    bound: CalibratedBound,
) -> Replays:
    agents, others = _with_named(fold, rule)
    candidates = fold.candidates.select(agents=can_be_replayed(fold.candidates))
    attempts = fold.attempts if policy.strategy.live else None
    most = 1 if attempts is None else attempts.most
    if attempts is not None:
        candidates = _first_attempts(candidates, most)
    n_candidates = len(candidates.agents)
    posterior = fold.model.predict(candidates=n_candidates, attempts=attempts)
    order, _ = policy.order(fold.history, posterior, np.random.default_rng(seed))
    ran = candidates.attempts > 0
    if not ran.all():
        posterior.keep(ran)
    truth = _Truth.of(fold, candidates, agents, ran)
    live = policy.strategy.live
    results = ~np.isnan(candidates.scores) if attempts is None else candidates.attempts
    kernel = Kernel(
        rule,
        bound.begin(
            posterior,
            truth.references,
            multipliers=multipliers,
            deviations=truth.deviations,
            best_case=BestCaseWidth(posterior, None if live else order)
            if rule.looks_ahead
            else None,
            seed=seed,
        ),
        agents=agents,
        limit=min(order.size * most, max_tasks or order.size * most),
        available=np.sum(results, axis=1)[:, None],
    )
    scores = candidates.scores if attempts is None else candidates.attempt_scores
    steps = replay(
        kernel, policy, _recorded(fold, candidates, scores), order=order, posterior=posterior
    )
    shape = (n_candidates, multipliers.size)
    return _judged(fold, steps, shape, rule=rule, truth=truth, attempts=most, replayed=others)


def _replay_planned(
    fold: Fold,
    policy: Policy,
    multipliers: FloatArray,
    *,
    rule: Rule,
    max_tasks: int | None,
    seed: int,
    bound: CalibratedBound,
) -> Replays:
    """Replay the order that the fold's history gives; the target is the tasks in that order."""
    del bound
    agents, others = _with_named(fold, rule)
    history = fold.history.select(agents=can_be_replayed(fold.history))
    candidates = fold.candidates.select(agents=can_be_replayed(fold.candidates))
    named = [fold.candidates.agents.index(name) for name in agents[len(fold.history.agents) :]]
    agents = (*history.agents, *agents[len(fold.history.agents) :])
    order, _ = policy.order(fold.history, None, np.random.default_rng(seed))
    order = order[:max_tasks]
    reference = np.concatenate([history.scores, fold.candidates.scores[named]])[:, order]
    n_candidates, guards = len(candidates.agents), len(policy.exploration.always)
    scores = candidates.scores[:, order]
    bounds, all_run = (
        paired_bootstrap(
            reference, multipliers=multipliers, candidates=n_candidates, guards=guards, seed=seed
        )
        for _ in range(2)
    )
    for place in range(order.size):
        all_run.observe(np.full(n_candidates, place), scores[:, place])
    known = ~np.isnan(scores)
    kernel = Kernel(
        rule,
        bounds,
        agents=agents,
        limit=order.size,
        available=np.sum(known[:, guards:], axis=1)[:, None],
    )
    recorded = _recorded(fold, candidates, candidates.scores)
    steps = replay(kernel, policy, recorded, order=order, posterior=None)
    references = all_run.reference_scores
    truth = _Truth(
        all_run.interval().score.reshape(n_candidates, -1)[:, :1],
        references if references.ndim == 1 else references[:, :, 0].T,
        np.zeros(0),
        np.ones(len(agents), dtype=bool),
    )
    shape = (n_candidates, multipliers.size)
    others = others & known.any(axis=1)
    return _judged(fold, steps, shape, rule=rule, truth=truth, attempts=1, replayed=others)


def _recorded(fold: Fold, candidates: OutcomeMatrix, scores: FloatArray) -> Recorded:
    usd = np.where(np.isnan(candidates.cost_usd), expected_usd(fold.history), candidates.cost_usd)
    return Recorded(scores=scores, usd=usd, seconds=candidates.duration_s)


def _judged(
    fold: Fold,
    steps: Iterator[tuple[IntArray, Step]],
    shape: tuple[int, int],
    *,
    rule: Rule,
    truth: "_Truth",
    attempts: int,
    replayed: NDArray[np.bool_],
) -> Replays:
    """Step the replays until all have ended, and judge each at its end."""
    n_candidates, n_tasks = shape[0], len(fold.candidates.tasks)
    costs = np.full(n_tasks, np.nan) if fold.costs is None else fold.costs
    paid, total = np.zeros(n_candidates), costs.sum() * attempts
    covered = np.zeros(shape, dtype=bool)
    run, error, spent = np.ones(shape), np.zeros(shape), np.ones(shape)
    for tasks, step in steps:
        paid += costs[tasks] / total
        if step.interval is None:
            continue
        found = step.interval
        if not step.ends.any():
            continue
        held = truth.holds(found)
        if rule.claims_score:
            held &= found.score_low <= truth.score + TIE
            held &= found.score_high >= truth.score - TIE
        covered |= step.ends & held
        run[step.ends] = step.run / (n_tasks * attempts)
        error = np.where(step.ends, found.score - truth.score, error)
        spent = np.where(step.ends, paid[:, None], spent)
    return Replays(
        covered=covered[replayed],
        run=run[replayed],
        error=error[replayed],
        spent=spent[replayed],
        fold=np.zeros(int(replayed.sum()), dtype=np.int64),
    )


def _first_attempts(matrix: OutcomeMatrix, most: int) -> OutcomeMatrix:
    """Return the matrix with only the first `most` attempts at each task."""
    each = np.full((*matrix.scores.shape, most), np.nan)
    kept = matrix.attempt_scores[:, :, :most]
    each[:, :, : kept.shape[2]] = kept
    counts = np.sum(~np.isnan(each), axis=2).astype(np.int64)
    total = np.where(np.isnan(each), 0.0, each).sum(axis=2)
    scores = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
    return replace(matrix, scores=scores, attempts=counts, attempt_scores=each)


def _with_named(fold: Fold, rule: Rule) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """Return the references with every agent that the rule names, and which replays count.

    A named agent is known when the plan is used. The replays therefore know it too, and rank
    against it: an interval that holds the rank then excludes a claim of the wrong side. A named
    agent is not replayed itself, because it can be neither better nor worse than itself.
    """
    named = set(rule.named_agents)
    is_named = np.array([agent in named for agent in fold.candidates.agents], dtype=bool)
    held_out = np.flatnonzero(is_named)
    agents = (*fold.history.agents, *(fold.candidates.agents[row] for row in held_out))
    return agents, ~is_named[can_be_replayed(fold.candidates)]


@dataclass(frozen=True, eq=False)
class _Truth:
    """True scores that judge the replays of a fold, each candidate on the tasks that it ran.

    Parameters
    ----------
    score : ndarray of float64, shape (n_candidates, 1)
    references, deviations : ndarray of float64
        Scores of the references on the same tasks, with predictions for missing results, and the
        standard deviations of these scores. Their shape is (n_reference,), or (n_candidates,
        n_reference) where candidates ran different tasks.
    known : ndarray of bool, shape (n_reference,)
        Which references ran enough tasks to count in the true rank.
    """

    score: FloatArray
    references: FloatArray
    deviations: FloatArray
    known: NDArray[np.bool_]

    @classmethod
    def of(
        cls, fold: Fold, candidates: OutcomeMatrix, agents: tuple[str, ...], ran: NDArray[np.bool_]
    ) -> "_Truth":
        """Complete the references on each candidate's tasks."""
        held_out = [
            fold.candidates.agents.index(name) for name in agents[len(fold.history.agents) :]
        ]
        known = np.concatenate([fold.history.scores, fold.candidates.scores[held_out]])
        found = fold.model.complete(known, None if ran.all() else ran)
        enough = [can_be_replayed(fold.history), can_be_replayed(fold.candidates)[held_out]]
        return cls(
            candidates.full_scores()[:, None],
            found.scores,
            found.deviations,
            np.concatenate(enough),
        )

    def holds(self, found: Interval) -> NDArray[np.bool_]:
        """Whether score bounds leave room for the true rank, shape (candidates, multipliers).

        The true rank is the rank among the references that ran at least half of the tasks, at their
        completed scores. A rank among agents with few results could not be judged. The bounds are
        those of the score alone, without the errors of the references.
        """
        shape = self.score.shape[0], self.references.shape[-1]
        references = np.broadcast_to(self.references, shape)[:, None, self.known]
        score = self.score[:, :, None]
        best = np.sum(references > score + TIE, axis=2)
        worst = np.sum(references >= score - TIE, axis=2)
        low = np.sum(references > found.score_high.reshape(len(score), -1, 1) + TIE, axis=2)
        high = np.sum(references > found.score_low.reshape(len(score), -1, 1) + TIE, axis=2)
        return np.asarray((low <= worst) & (high >= best))
