"""The calibration: how wide intervals must be to cover on the history's own agents."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler._look import Look
from midband_sampler._prediction import FullScorePrediction, rank_bounds
from midband_sampler._response import (
    ResponseModel,
    ability_grid,
    candidate_prior,
    fit_response_model,
    recent_ability,
)
from midband_sampler._stopping import StoppingRule

if TYPE_CHECKING:
    from midband_sampler._strategies import Chooser

MIN_REPLAYS = 10
_MULTIPLIERS = np.exp(np.linspace(np.log(0.2), np.log(6.0), 70))
_MAX_FOLDS = 10
_BLIND_FACTOR = 1.2


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What replaying a policy on the history's own agents showed.

    Parameters
    ----------
    multiplier : float
        Standard deviations on either side of the predicted full score.
    confidence : float
        Share of new agents whose rank interval at the stop is to cover.
    replays : int
        Agents of the history that were replayed, each against a model that had not seen it.
    covered : int
        Replays whose interval at the stop covered the true rank.
    fraction_run : float
        Mean share of the benchmark's tasks that the replays ran.
    held_out : str
        ``"scaffold"`` or ``"agent"``: what each replay left out. Leaving out agents alone cannot
        see a change of scaffold; the interval is widened by a fifth then.
    """

    multiplier: float
    confidence: float
    replays: int
    covered: int
    fraction_run: float
    held_out: str

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def hold_out_folds(scaffolds: tuple[str, ...]) -> tuple[list[IntArray], str]:
    """Group agents to hold out together: whole scaffolds where that leaves enough agents.

    At most ten groups; the largest scaffolds are dealt first to the smallest group. Agents of
    unknown scaffold stand for themselves.
    """
    n_agents = len(scaffolds)
    names = [name or f"\0{row}" for row, name in enumerate(scaffolds)]
    labels, counts = np.unique(names, return_counts=True)
    known = len({name for name in scaffolds if name})
    if known >= 2 and n_agents - counts.max() >= 4:
        sizes = [0] * min(_MAX_FOLDS, labels.size)
        group: dict[str, int] = {}
        for place in np.argsort(-counts, kind="stable"):
            smallest = sizes.index(min(sizes))
            group[str(labels[place])] = smallest
            sizes[smallest] += int(counts[place])
        fold, held_out = np.array([group[name] for name in names]), "scaffold"
    else:
        fold, held_out = np.arange(n_agents) % min(n_agents, _MAX_FOLDS), "agent"
    return [np.flatnonzero(fold == k).astype(np.int64) for k in np.unique(fold)], held_out


def required_replays(confidence: float) -> int:
    """Fewest replays from which a conformal bound at this confidence exists, at least 10."""
    return max(MIN_REPLAYS, int(np.ceil(confidence / (1.0 - confidence) - 1e-9)))


def is_binary(matrix: OutcomeMatrix) -> bool:
    """Whether every known score is 0 or 1."""
    known = matrix.scores[~np.isnan(matrix.scores)]
    return bool(np.isin(known, (0.0, 1.0)).all())


def calibrate(
    matrix: OutcomeMatrix,
    chooser: "Chooser",
    *,
    rule: StoppingRule,
    max_tasks: int | None,
    seed: int,
) -> Calibration:
    """Find the narrowest interval that covers in enough replays at the rule's own stop.

    Every agent of the history is replayed as the candidate, against a model fitted without it and
    without its scaffold. The multiplier is the smallest from which on at least
    ``ceil((n + 1) confidence)`` of n intervals cover at the stop that this multiplier leads to
    (split-conformal count; Vovk, Gammerman, Shafer 2005), and never below the normal quantile.
    """
    folds, held_out = hold_out_folds(matrix.scaffolds)
    covers, shares = [], []
    for fold in folds:
        rest = matrix.select(agents=np.setdiff1d(np.arange(len(matrix.agents)), fold))
        covered, run = _replay(
            rest,
            matrix.select(agents=fold),
            chooser,
            rule=rule,
            max_tasks=max_tasks,
            seed=seed,
        )
        covers.append(covered)
        shares.append(run)
    covered, run = np.concatenate(covers), np.concatenate(shares)
    replays, confidence = covered.shape[0], rule.confidence
    enough = covered.sum(axis=0) >= np.ceil((replays + 1) * confidence - 1e-9)
    fails = np.flatnonzero(~enough)
    smallest = min(_MULTIPLIERS.size - 1, int(fails.max()) + 1 if fails.size else 0)
    floor = float(ndtri(0.5 + confidence / 2)) * (1.0 if held_out == "scaffold" else _BLIND_FACTOR)
    chosen = max(smallest, int(np.searchsorted(_MULTIPLIERS, floor - 1e-9)))
    chosen = min(chosen, _MULTIPLIERS.size - 1)
    return Calibration(
        multiplier=round(float(_MULTIPLIERS[chosen]), 6),
        confidence=confidence,
        replays=replays,
        covered=int(covered[:, chosen].sum()),
        fraction_run=round(float(run[:, chosen].mean()), 6),
        held_out=held_out,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictionModel:
    """What a session needs to predict a candidate's full score.

    Parameters
    ----------
    tasks : ndarray of float64, shape (n_all_tasks, 5)
        `ResponseModel.to_array`.
    prior_centre : float
        Ability around which a new agent is expected.
    binary : bool
        Whether every score of the history is 0 or 1.
    reference_full_scores : ndarray of float64, shape (n_reference,)
        Full scores of the reference agents, missing cells predicted.
    """

    tasks: FloatArray
    prior_centre: float
    binary: bool
    reference_full_scores: FloatArray

    @classmethod
    def fit(cls, matrix: OutcomeMatrix) -> "PredictionModel":
        """Fit the history of one benchmark."""
        model = fit_response_model(matrix)
        predicted = model.pass_rates(model.abilities).T
        return cls(
            tasks=np.round(model.to_array(), 9),
            prior_centre=round(recent_ability(model, matrix.dates), 9),
            binary=is_binary(matrix),
            reference_full_scores=np.round(completed_full_scores(matrix, predicted), 9),
        )

    def predict(self, *, candidates: int = 1) -> FullScorePrediction:
        """Begin a prediction for new agents, of whom nothing is known yet."""
        profiles = ResponseModel.from_array(self.tasks).pass_rates(ability_grid())
        return FullScorePrediction(
            profiles, candidate_prior(self.prior_centre), candidates=candidates, binary=self.binary
        )


def completed_full_scores(matrix: OutcomeMatrix, predicted: FloatArray) -> FloatArray:
    """Mean over all tasks, missing cells predicted, shape (n_agents,)."""
    return np.asarray(np.where(np.isnan(matrix.scores), predicted, matrix.scores).mean(axis=1))


def _replay(
    history: OutcomeMatrix,
    candidates: OutcomeMatrix,
    chooser: "Chooser",
    *,
    rule: StoppingRule,
    max_tasks: int | None,
    seed: int,
) -> tuple[NDArray[np.bool_], FloatArray]:
    """For each candidate and multiplier: did the interval at the stop cover, and what share ran."""
    n_candidates, n_tasks = candidates.scores.shape
    model = PredictionModel.fit(history)
    references = model.reference_full_scores
    prediction = model.predict(candidates=n_candidates)
    order = chooser.order(history, prediction, rng=np.random.default_rng(seed))
    limit = min(order.size, max_tasks or order.size)
    scores = candidates.scores
    truth = candidates.full_scores()
    best, _ = rank_bounds(truth, truth, references)
    worst = 1 + np.sum(references[None, :] >= truth[:, None] - 1e-9, axis=1)
    known = np.sum(~np.isnan(scores), axis=1)
    shape = (n_candidates, _MULTIPLIERS.size)
    stopped, covered = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    run = np.ones(shape)
    rows = np.arange(n_candidates)
    valid = np.zeros(n_candidates, dtype=np.int64)
    usd, seconds = np.zeros(n_candidates), np.zeros(n_candidates)
    for step in range(limit):
        tasks = chooser.choose(prediction, order, step)
        results = scores[rows, tasks]
        prediction.observe(rows, tasks, results)
        usd += candidates.cost_usd[rows, tasks]
        seconds += candidates.duration_s[rows, tasks]
        valid += ~np.isnan(results)
        if valid.max() < rule.min_tasks and step + 1 < limit:
            continue
        low, high = prediction.bounds_each(_MULTIPLIERS)
        lowest, highest = rank_bounds(low, high, references)
        look = Look(
            rank_low=lowest,
            rank_high=highest,
            score_low=low,
            score_high=high,
            tasks=valid[:, None],
            tasks_run=np.full((n_candidates, 1), step + 1),
            tasks_left=np.full((n_candidates, 1), limit - step - 1),
            usd=usd[:, None],
            seconds=seconds[:, None],
            reference_scores=references,
            reference_agents=history.agents,
        )
        settled = rule.stops(look) & (valid >= rule.min_tasks)[:, None]
        last = (step + 1 == limit) | (valid >= known)
        now = (settled | last[:, None]) & ~stopped
        covered |= now & (lowest <= worst[:, None]) & (highest >= best[:, None])
        run[now] = (step + 1) / n_tasks
        stopped |= now
        if stopped.all():
            break
    return covered, run
