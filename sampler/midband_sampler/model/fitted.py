"""The fitted history: what a session needs to predict a candidate's full score."""

from dataclasses import dataclass

import numpy as np

from midband_history import FloatArray, OutcomeMatrix
from midband_sampler.model.attempts import AttemptPosterior, Attempts
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.model.response import (
    ResponseModel,
    ability_grid,
    candidate_prior,
    fit_response_model,
    recent_ability,
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

    def predict(
        self, *, candidates: int = 1, attempts: Attempts | None = None
    ) -> FullScorePosterior:
        """Begin a prediction for new agents, of whom nothing is known yet.

        Parameters
        ----------
        candidates : int
        attempts : Attempts, optional
            Where tasks may be tried several times, one result an attempt.
        """
        profiles = ResponseModel.from_array(self.tasks).pass_rates(ability_grid())
        prior = candidate_prior(self.prior_centre)
        if attempts is not None:
            return AttemptPosterior(profiles, prior, candidates=candidates, attempts=attempts)
        return FullScorePosterior(profiles, prior, candidates=candidates, binary=self.binary)


def completed_full_scores(matrix: OutcomeMatrix, predicted: FloatArray) -> FloatArray:
    """Mean over all tasks, missing cells predicted, shape (n_agents,)."""
    return np.asarray(np.where(np.isnan(matrix.scores), predicted, matrix.scores).mean(axis=1))


def is_binary(matrix: OutcomeMatrix) -> bool:
    """Whether every known score is 0 or 1."""
    known = matrix.scores[~np.isnan(matrix.scores)]
    return bool(np.isin(known, (0.0, 1.0)).all())
