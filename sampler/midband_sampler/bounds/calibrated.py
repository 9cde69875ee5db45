"""Calibrated bounds: the kinds whose width replays of the history's own agents settle."""

import math
from typing import Protocol

import numpy as np

from midband_history import FloatArray
from midband_sampler.bounds.base import Bounds
from midband_sampler.bounds.bootstrap import BootstrapRankBounds
from midband_sampler.bounds.posterior import BestCaseWidth, PosteriorRankBounds
from midband_sampler.bounds.resamples import PairedResamples, PredictedResamples
from midband_sampler.model.posterior import FullScorePosterior


class CalibratedBound(Protocol):
    """A kind of bounds with one width: begun at many in a calibration, at one in a run.

    Parameters
    ----------
    name : str
        What a plan calls it; empty for the posterior's.
    """

    @property
    def name(self) -> str:
        """What a plan calls it; empty for the posterior's."""

    @property
    def predicts(self) -> bool:
        """Whether it bounds the predicted rank on the full benchmark; else `paired_bootstrap`."""

    def begin(
        self,
        posterior: FullScorePosterior,
        references: FloatArray,
        *,
        multipliers: FloatArray,
        deviations: FloatArray | None = None,
        recorded: FloatArray | None = None,
        nominal: float = math.nan,
        best_case: BestCaseWidth | None = None,
        seed: int = 0,
    ) -> Bounds:
        """Begin bounds of the rank on the full benchmark.

        Parameters
        ----------
        posterior : FullScorePosterior
            Of the candidates: one in a session, many in a replay.
        references : ndarray of float64, shape (n_reference,)
            Full score of each reference agent.
        multipliers : ndarray of float64, shape (n_multipliers,)
            The widths, in standard deviations or what stands for them; ascending.
        deviations, recorded, nominal, best_case
            As in `PosteriorRankBounds`.
        seed : int
            The plan's.
        """


class _Posterior:
    name = ""
    predicts = True

    def begin(
        self,
        posterior: FullScorePosterior,
        references: FloatArray,
        *,
        multipliers: FloatArray,
        deviations: FloatArray | None = None,
        recorded: FloatArray | None = None,
        nominal: float = math.nan,
        best_case: BestCaseWidth | None = None,
        seed: int = 0,
    ) -> Bounds:
        del seed
        return PosteriorRankBounds(
            posterior,
            references,
            multipliers=multipliers,
            deviations=deviations,
            recorded=recorded,
            nominal=nominal,
            best_case=best_case,
        )


class _Bootstrap:
    name = "bootstrap"
    predicts = True

    def begin(
        self,
        posterior: FullScorePosterior,
        references: FloatArray,
        *,
        multipliers: FloatArray,
        deviations: FloatArray | None = None,
        recorded: FloatArray | None = None,
        nominal: float = math.nan,
        best_case: BestCaseWidth | None = None,
        seed: int = 0,
    ) -> Bounds:
        return BootstrapRankBounds(
            PredictedResamples(
                posterior, references, deviations=deviations, recorded=recorded, seed=seed
            ),
            multipliers=multipliers,
            nominal=nominal,
            best_case=best_case,
        )


class _PairedBootstrap(_Bootstrap):
    predicts = False


POSTERIOR: CalibratedBound = _Posterior()
BOOTSTRAP: CalibratedBound = _Bootstrap()
PAIRED_BOOTSTRAP: CalibratedBound = _PairedBootstrap()
CALIBRATED_BOUNDS = {each.name: each for each in (POSTERIOR, BOOTSTRAP)}


def paired_bootstrap(
    reference: FloatArray,
    *,
    multipliers: FloatArray,
    candidates: int = 1,
    guards: int = 0,
    nominal: float = math.nan,
    seed: int = 0,
) -> BootstrapRankBounds:
    """Begin bootstrap bounds of the rank on the planned tasks, which need no model.

    Parameters
    ----------
    reference : ndarray of float64, shape (n_reference, n_planned)
        Reference scores on the planned tasks in their order, NaN where not run.
    multipliers : ndarray of float64, shape (n_multipliers,)
    candidates : int
    guards : int
        The first so many planned tasks are guard tasks.
    nominal : float
    seed : int
    """
    return BootstrapRankBounds(
        PairedResamples(np.asarray(reference), candidates=candidates, guards=guards, seed=seed),
        multipliers=multipliers,
        nominal=nominal,
    )
