"""Which tasks no longer separate agents, which flip, and which are probably broken."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from midband_history import FloatArray, InputError, IntArray, OutcomeMatrix

Separation = Literal["separates", "all pass", "none pass", "same score", "unknown"]

FALSE_DISCOVERIES = 0.05
PASS_MARK = 0.5
UNDATED = "undated"
_COHORTS = 3
_FEWEST_AGENTS = 5
_DIGITS = 12  # what differs by rounding errors is tied


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Agents that first ran the benchmark in one period, and what the tasks tell of them.

    Parameters
    ----------
    name : str
        The first and the last date, the year, or ``undated``.
    first, last : str or None
        ISO dates (UTC) of the agents' first runs; None where unknown.
    agents : int
    separates, all_pass, none_pass, same_score, unknown : int
        Number of tasks of each kind; see `TaskInCohort`.
    """

    name: str
    first: str | None
    last: str | None
    agents: int
    separates: int
    all_pass: int
    none_pass: int
    same_score: int
    unknown: int


@dataclass(frozen=True, kw_only=True)
class TaskInCohort:
    """One task among the agents of one cohort.

    Parameters
    ----------
    cohort : str
    agents : int
        Agents of the cohort that ran the task.
    pass_rate : float
        Mean over these agents of each agent's mean score, in [0, 1]; NaN if there are none.
    separation : str
        ``separates`` if their mean scores differ. If all are equal, ``all pass`` (1), ``none pass``
        (0) or ``same score``; ``unknown`` if these are fewer than 5 agents.
    """

    cohort: str
    agents: int
    pass_rate: float
    separation: Separation


@dataclass(frozen=True, kw_only=True)
class TaskCheck:
    """What the history tells of one task.

    Parameters
    ----------
    task_id : str
    agents : int
        Agents that ran the task.
    pass_rate : float
        Mean over agents of each agent's mean score, in [0, 1]; NaN if nobody ran it.
    separation : str
        As in the newest cohort with a date; of the undated agents if no agent has a date.
    repeated, flipped : int
        Agents with at least two attempts, and those of them that passed and failed.
    flip_rate : float
        Chance that two attempts of one agent disagree, in [0, 1]; NaN if nobody repeated the task.
    item_rest : float
        Corrected item-rest correlation in [-1, 1]; NaN if all scores or all rests are equal.
    p_value, adjusted_p : float
        Chance of a result so contrary if the task has nothing to do with ability, and the same
        adjusted for the number of tasks; NaN where there is no test.
    broken : bool or None
        Whether the task is probably broken; None if these agents could not show it, or if it looks
        so, but may by chance among so many tasks.
    why : str
        What speaks for `broken`, or why it is unknown; else empty.
    cohorts : tuple of TaskInCohort
        In order of time, undated agents last.
    """

    task_id: str
    agents: int
    pass_rate: float
    separation: Separation
    repeated: int
    flipped: int
    flip_rate: float
    item_rest: float
    p_value: float
    adjusted_p: float
    broken: bool | None
    why: str
    cohorts: tuple[TaskInCohort, ...]

    @property
    def stale(self) -> bool:
        """Whether the task no longer separates the agents of the newest cohort."""
        return self.separation in ("all pass", "none pass", "same score")


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """What the history tells of the tasks of a benchmark.

    Parameters
    ----------
    benchmark, version, metric : str
        Empty where unknown.
    false_discoveries : float
        Expected share of sound tasks among those that are called broken is at most this.
    cohorts : tuple of Cohort
        In order of time, undated agents last.
    tasks : tuple of TaskCheck
        In the order of the matrix.
    """

    benchmark: str
    version: str
    metric: str
    false_discoveries: float
    cohorts: tuple[Cohort, ...]
    tasks: tuple[TaskCheck, ...]


def check_tasks(
    matrix: OutcomeMatrix,
    *,
    cohorts: int | None = None,
    by_year: bool = False,
    false_discoveries: float = FALSE_DISCOVERIES,
) -> TaskReport:
    """Check every task of a benchmark: does it separate agents, does it flip, is it broken.

    *Discrimination* is the corrected item-rest correlation, which is the point-biserial correlation
    for results that only pass or fail (Lord and Novick 1968, *Statistical Theories of Mental Test
    Scores*, 15.5; "corrected" because the task is left out of the rest). Our departure is for
    missing results: the rest of an agent is the mean, over the other tasks that it ran, of its
    score less the mean score on the task. Without missing results this changes no correlation.

    *Broken* is tested from one side against the hypothesis that the scores on the task are
    exchangeable among models: agents of one model share its habits, so their means count as one
    result, and an agent of an unknown model counts alone. Two statistics look for it, and p is
    twice the smaller of their p values (Bonferroni), at most 1; it is 1 if the item-rest
    correlation is not negative.

    - The correlation of the scores with the ranks of the rests, with the t distribution on n - 2
      degrees of freedom that approximates its permutations (Pitman 1937; Conover and Iman 1981).
    - Nobody passes but the weakest: where the best of k passing agents is the m-th weakest of n,
      all k are that weak with the chance ``C(m, k) / C(n, k)``, which is exact.

    The p values are adjusted for the number of tasks (Benjamini and Hochberg 1995), whose tests
    depend positively on each other because the agents are the same (Benjamini and Yekutieli 2001).

    *Flips*: an agent with p passing attempts of a disagrees in ``2 p (a - p) / (a (a - 1))`` of the
    pairs of its attempts, an unbiased estimate of the chance that two disagree (Nei 1978); the rate
    is its mean over the agents with at least two attempts. An attempt passes from a score of .5.

    Parameters
    ----------
    matrix : OutcomeMatrix
    cohorts : int, optional
        Most cohorts to make, with about equally many agents, by the date of the agent's first run.
        By default 3, or fewer, so that each has about 5 agents. Agents of one day (UTC) are in one
        cohort; undated agents are one of their own.
    by_year : bool
        Instead make one cohort a year.
    false_discoveries : float
        Expected share of sound tasks among those called broken, in (0, 1), if models are
        independent. A task of another kind than the rest may look broken and not be.

    Returns
    -------
    TaskReport

    Raises
    ------
    InputError
        `cohorts` or `false_discoveries` is out of range, or both `cohorts` and `by_year` are given.
    """
    if cohorts is not None and by_year:
        msg = f"expected a number of cohorts or years, got both (cohorts={cohorts}): choose one"
        raise InputError(msg)
    if cohorts is not None and cohorts < 1:
        msg = f"expected cohorts >= 1, got {cohorts}: ask for one or more"
        raise InputError(msg)
    if not 0 < false_discoveries < 1:
        msg = f"expected 0 < false_discoveries < 1, got {false_discoveries:g}: choose such as 0.05"
        raise InputError(msg)
    groups = _groups(matrix, cohorts, by_year)
    inside = [_in_cohort(matrix, name, rows) for name, rows in groups.items()]
    dated = [place for place, name in enumerate(groups) if name != UNDATED]
    newest = inside[dated[-1] if dated else -1] if groups else []
    repeated, flipped, flip_rate = _flips(matrix)
    tests = _tests(matrix)
    adjusted = _benjamini_hochberg(np.array([each.p_value for each in tests]))
    tested = int(np.sum(~np.isnan(adjusted)))
    rates = matrix.pass_rates()
    checks = []
    for task, test in enumerate(tests):
        broken, why = _verdict(test, float(adjusted[task]), false_discoveries, tested)
        checks.append(
            TaskCheck(
                task_id=matrix.tasks[task],
                agents=test.agents,
                pass_rate=float(rates[task]),
                separation=newest[task].separation if newest else "unknown",
                repeated=int(repeated[task]),
                flipped=int(flipped[task]),
                flip_rate=float(flip_rate[task]),
                item_rest=test.item_rest,
                p_value=test.p_value,
                adjusted_p=float(adjusted[task]),
                broken=broken,
                why=why,
                cohorts=tuple(each[task] for each in inside),
            )
        )
    return TaskReport(
        benchmark=matrix.benchmark,
        version=matrix.version,
        metric=matrix.metric.label,
        false_discoveries=false_discoveries,
        cohorts=tuple(
            _cohort(matrix, name, rows, tasks)
            for (name, rows), tasks in zip(groups.items(), inside, strict=True)
        ),
        tasks=tuple(checks),
    )


def _groups(matrix: OutcomeMatrix, cohorts: int | None, by_year: bool) -> dict[str, IntArray]:
    """Return the rows of each cohort by its name, in order of time, undated agents last."""
    undated = np.flatnonzero(np.isnat(matrix.dates))
    rows = np.flatnonzero(~np.isnat(matrix.dates))
    days = matrix.dates[rows].astype("datetime64[D]")
    if by_year:
        numbers = days.astype("datetime64[Y]").astype(np.int64)
    else:
        wanted = max(1, min(_COHORTS, rows.size // _FEWEST_AGENTS)) if cohorts is None else cohorts
        earlier = np.searchsorted(np.sort(days), days)  # agents of one day stay together
        numbers = earlier * wanted // max(rows.size, 1)
    found = {}
    for number in np.unique(numbers):
        mine = numbers == number
        name = str(days[mine].astype("datetime64[Y]")[0]) if by_year else _span(days[mine])
        found[name] = rows[mine]
    if undated.size:
        found[UNDATED] = undated
    return found


def _span(days: NDArray[np.datetime64]) -> str:
    first, last = str(days.min()), str(days.max())
    return first if first == last else f"{first}/{last}"


def _cohort(matrix: OutcomeMatrix, name: str, rows: IntArray, tasks: list[TaskInCohort]) -> Cohort:
    days = matrix.dates[rows].astype("datetime64[D]")
    found = [each.separation for each in tasks]
    return Cohort(
        name=name,
        first=None if name == UNDATED else str(days.min()),
        last=None if name == UNDATED else str(days.max()),
        agents=len(rows),
        separates=found.count("separates"),
        all_pass=found.count("all pass"),
        none_pass=found.count("none pass"),
        same_score=found.count("same score"),
        unknown=found.count("unknown"),
    )


def _in_cohort(matrix: OutcomeMatrix, name: str, rows: IntArray) -> list[TaskInCohort]:
    scores = matrix.scores[rows]
    agents = np.sum(~np.isnan(scores), axis=0)
    low = np.min(np.where(np.isnan(scores), np.inf, scores), axis=0).round(_DIGITS)
    high = np.max(np.where(np.isnan(scores), -np.inf, scores), axis=0).round(_DIGITS)
    return [
        TaskInCohort(
            cohort=name,
            agents=int(agents[task]),
            pass_rate=float(rate),
            separation=_separation(int(agents[task]), float(low[task]), float(high[task])),
        )
        for task, rate in enumerate(matrix.select(agents=rows).pass_rates())
    ]


def _separation(agents: int, low: float, high: float) -> Separation:
    if low < high:
        return "separates"
    if agents < _FEWEST_AGENTS:
        return "unknown"
    if low == high == 1:
        return "all pass"
    return "none pass" if low == high == 0 else "same score"


def _flips(matrix: OutcomeMatrix) -> tuple[IntArray, IntArray, FloatArray]:
    """Return for each task who repeated it, who both passed and failed, and how often."""
    known = ~np.isnan(matrix.attempt_scores)
    attempts = known.sum(axis=2)
    passed = (known & (matrix.attempt_scores >= PASS_MARK)).sum(axis=2)
    pairs = attempts * (attempts - 1)
    disagree = np.zeros(attempts.shape)
    np.divide(2 * passed * (attempts - passed), pairs, out=disagree, where=pairs > 0)
    flipped = ((passed > 0) & (passed < attempts)).sum(axis=0)
    repeated = (attempts > 1).sum(axis=0)
    rate = np.full(repeated.shape, np.nan)
    np.divide(disagree.sum(axis=0), repeated, out=rate, where=repeated > 0)
    return repeated, flipped, rate


@dataclass(frozen=True, kw_only=True)
class _Test:
    """The test of one task; p values are NaN where there is none."""

    agents: int = 0
    passing: int = 0
    item_rest: float = math.nan
    p_value: float = math.nan
    least_p: float = math.nan
    why: str = ""


def _tests(matrix: OutcomeMatrix) -> list[_Test]:
    """Test every task; the rests leave out the task itself."""
    above = matrix.scores - matrix.pass_rates()
    known = ~np.isnan(above)
    others = known.sum(axis=1) - 1
    total = np.where(known, above, 0.0).sum(axis=1)
    ever = np.any(matrix.attempt_scores >= PASS_MARK, axis=2)
    # Agents of an unknown model are each on their own.
    names = [(model, "" if model else str(row)) for row, model in enumerate(matrix.models)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    models = np.array([numbers[name] for name in names], dtype=np.int64)
    tests = []
    for task in range(len(matrix.tasks)):
        ran = known[:, task]
        used = np.flatnonzero(ran & (others > 0))
        rests = (total[used] - above[used, task]) / others[used]
        columns = np.column_stack([matrix.scores[used, task], rests, ever[used, task]])
        test = _test(columns.round(_DIGITS), models[used])
        tests.append(replace(test, agents=int(ran.sum()), passing=int(ever[:, task].sum())))
    return tests


def _test(agents: FloatArray, models: IntArray) -> _Test:
    """Test one task by the score, rest and passing of each agent, shape (n_agents, 3)."""
    scores, rests = agents[:, 0], agents[:, 1]
    if scores.size < _FEWEST_AGENTS:
        return _Test(why=f"too few agents ran it and other tasks ({scores.size})")
    if np.ptp(scores) == 0:
        nobody = not scores[0]
        return _Test(why="nobody passes, too hard or broken" if nobody else "all score the same")
    item_rest = _correlation(scores, rests)
    _, group, sizes = np.unique(models, return_inverse=True, return_counts=True)
    means = np.column_stack([np.bincount(group, weights=one) / sizes for one in agents.T])
    means = means.round(_DIGITS)
    if sizes.size < _FEWEST_AGENTS:
        return _Test(item_rest=item_rest, why=f"too few models ran it ({sizes.size})")
    if np.ptp(means[:, 0]) == 0 or np.ptp(means[:, 1]) == 0:
        return _Test(item_rest=item_rest, why="the models score the same on it or on all others")
    scores, ranks, passed = means[:, 0], _ranks(means[:, 1]), means[:, 2] >= PASS_MARK
    contrary = _t_test(np.sort(scores)[::-1], np.sort(ranks))
    least = min(contrary, _weakest_chance(np.sort(passed)[::-1], np.arange(passed.size)))
    p_rank, p_weakest = _t_test(scores, ranks), _weakest_chance(passed, ranks)
    return _Test(
        item_rest=item_rest,
        # A contrary rank correlation alone is no negative discrimination.
        p_value=min(1.0, 2 * min(p_rank, p_weakest)) if item_rest < 0 else 1.0,
        least_p=min(1.0, 2 * least),
        why="only the weakest pass" if p_weakest <= p_rank else "the stronger fail it more",
    )


def _ranks(values: FloatArray) -> FloatArray:
    """Return the ranks from the weakest, tied values having their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])


def _correlation(one: FloatArray, other: FloatArray) -> float:
    a, b = one - one.mean(), other - other.mean()
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(np.clip(float(a @ b) / spread, -1, 1)) if spread else math.nan


def _t_test(scores: FloatArray, ranks: FloatArray) -> float:
    """Chance of a correlation at most this large if there is none."""
    r = _correlation(scores, ranks)
    freedom = scores.size - 2
    t = r * math.sqrt(freedom / max(1 - r * r, 1e-12))
    return float(stdtr(freedom, t))


def _weakest_chance(passed: NDArray[np.bool_], rests: FloatArray | IntArray) -> float:
    """Chance that all who pass are among as few of the weakest; ties count against it."""
    if not passed.any() or passed.all():
        return 1.0
    weak = int(np.sum(rests <= rests[passed].max()))
    k = int(passed.sum())
    return math.comb(weak, k) / math.comb(passed.size, k)


def _benjamini_hochberg(p_values: FloatArray) -> FloatArray:
    """Return the adjusted p values, shape (n_tasks,); NaN where there is no test."""
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = p_values[order] * order.size / np.arange(1, order.size + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return adjusted


def _verdict(test: _Test, adjusted: float, rate: float, tested: int) -> tuple[bool | None, str]:
    """Say whether a task is broken, and why, or why that is unknown."""
    if math.isnan(test.p_value):
        return None, test.why
    if adjusted <= rate:
        return True, test.why
    if test.least_p * tested > rate:
        return None, f"too few to tell ({test.passing} of {test.agents} agents pass)"
    if test.p_value <= rate:
        return None, f"{test.why}, but among {tested:,} tasks that may be chance"
    return False, ""
