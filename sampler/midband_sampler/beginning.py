"""The beginning of a run: the bounds that a plan promises, in a kernel, and its drift alarm."""

import math
from collections.abc import Collection
from functools import partial

import numpy as np

from midband_history import IntArray
from midband_sampler.bounds.base import Bounds
from midband_sampler.bounds.calibrated import CALIBRATED_BOUNDS, paired_bootstrap
from midband_sampler.bounds.paired_rank import PairedRankBounds
from midband_sampler.bounds.posterior import BestCaseWidth
from midband_sampler.bounds.sequential import SequentialRankBounds
from midband_sampler.drift import DriftAlarm
from midband_sampler.kernel import Kernel
from midband_sampler.model.posterior import FullScorePosterior
from midband_sampler.plan import Plan


def start_kernel(
    plan: Plan,
    *,
    resamples: int = 2000,
    never_run: bool = False,
    absent: Collection[str] = (),
    bounds: SequentialRankBounds | None = None,
) -> Kernel:
    """Begin a run of a plan, for one candidate without results.

    In a calibrated plan, the bounds count tasks by their position among all tasks. In other plans,
    they count tasks by their place in the plan.

    Parameters
    ----------
    plan : Plan
    resamples : int
        Number of bootstrap resamples for the diagnostics.
    never_run : bool
        Whether a missing result means that the task was never run, as in a replay of a history.
    absent : collection of str
        Tasks that are known never to run. A rank on the full benchmark is then a rank on all other
        tasks.
    bounds : SequentialRankBounds, optional
        Bounds of an earlier kernel of this plan, which are reset and used again. The plan must not
        be calibrated then.
    """
    columns = plan.columns
    planned = columns.size * (1 if plan.attempts is None else plan.attempts.most)
    again = partial(_bounds, plan, columns, resamples, frozenset(absent))
    return Kernel(
        plan.stop,
        again() if bounds is None else bounds.restarted(),
        agents=plan.reference_agents,
        limit=min(planned, plan.max_tasks or planned),
        again=None if never_run else again,
    )


def _bounds(plan: Plan, columns: IntArray, resamples: int, absent: frozenset[str]) -> Bounds:
    """Begin the bounds that a plan promises."""
    made = plan.calibration
    if made is None:
        return sequential_bounds(plan, resamples=resamples)
    multipliers = np.array([made.multiplier])
    nominal = made.confidence if made.replays else math.nan
    if plan.model is None:
        return paired_bootstrap(
            plan.reference_scores[:, columns],
            multipliers=multipliers,
            guards=len(plan.always),
            nominal=nominal,
            seed=plan.seed,
        )
    posterior = plan.model.predict(attempts=plan.attempts)
    order = None if plan.chooses_live else columns
    scores, deviations = plan.model.reference_full_scores, plan.model.reference_deviations
    target = np.array([task not in absent for task in plan.all_tasks])
    if not target.all():
        posterior.keep(target[None])
        scores, errors = plan.scores_on(target)
        deviations = errors if errors.any() else None
    return CALIBRATED_BOUNDS[made.bound].begin(
        posterior,
        scores,
        multipliers=multipliers,
        deviations=deviations,
        recorded=plan.reference_scores,
        nominal=nominal,
        best_case=BestCaseWidth(posterior, order) if plan.stop.looks_ahead else None,
        seed=plan.seed,
    )


def sequential_bounds(plan: Plan, *, resamples: int = 2000) -> SequentialRankBounds:
    """Begin the always-valid bounds of a plan."""
    # A bet is fair only if the rival's results did not decide which tasks run. Otherwise the score
    # bounds decide.
    rivals = plan.stop.named_agents if plan.fair_bets else ()
    place = {agent: row for row, agent in enumerate(plan.reference_agents)}
    paired = {agent: (place[agent], each) for agent, each in plan.stop.paired_with.items()}
    return PairedRankBounds(
        plan.reference_scores[:, plan.columns],
        paired=paired,
        confidence=plan.stop.confidence,
        guards=len(plan.always),
        rivals={agent: place[agent] for agent in rivals},
        resamples=resamples,
        seed=plan.seed,
    )


def watch(plan: Plan, posterior: FullScorePosterior | None) -> DriftAlarm:
    """Return an alarm for a candidate that is unlike the agents of the history."""
    if posterior is not None and plan.model is not None and plan.calibration is not None:
        return DriftAlarm.by_model(
            posterior.profiles, plan.model.prior_centre, plan.calibration.surprise
        )
    return DriftAlarm.by_references(plan.reference_scores[:, plan.columns[len(plan.always) :]])
