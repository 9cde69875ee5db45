"""A race with recorded results."""

from midband_history import FloatArray
from midband_sampler.racing.race import Race
from midband_sampler.racing.race_plan import RacePlan


def replay_race(plan: RacePlan, scores: FloatArray, *, step: int = 1) -> Race:
    """Let recorded results answer until the race is over.

    Parameters
    ----------
    plan : RacePlan
    scores : ndarray of float64, shape (candidates, n_tasks)
        In the order of the plan's candidates and tasks; NaN is no result.
    step : int
        Tasks that a candidate runs in a round at least.
    """
    race = Race(plan, step=step)
    while not race.done:
        rows, tasks = race.jobs
        race.tell_all(rows, tasks, scores[rows, tasks])
    return race
