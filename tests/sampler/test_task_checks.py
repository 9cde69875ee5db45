"""Checks of tasks: planted faults are found, chance names none, and too few agents are unknown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest, false_discovery_control, pointbiserialr

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler import TaskCheck, check_tasks


def _days(*days: str) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    return np.array(days, dtype="datetime64[s]")


def _rasch(rng: np.random.Generator, agents: int, tasks: int) -> FloatArray:
    ability, difficulty = rng.normal(0, 1.5, agents), rng.normal(0, 1, tasks)
    chance = 1 / (1 + np.exp(difficulty - ability[:, None]))
    return (rng.random((agents, tasks)) < chance).astype(float)


def _of(scores: FloatArray, task: int = 0) -> TaskCheck:
    return check_tasks(OutcomeMatrix.from_scores(scores)).tasks[task]


def test_planted_broken_tasks_are_found_and_no_other() -> None:
    rng = np.random.default_rng(1)
    scores = _rasch(rng, 120, 80)
    scores[:, :3] = 1 - scores[:, :3]  # a reversed key
    weakest = np.argsort(scores[:, 4:].mean(axis=1))[:4]
    scores[:, 3] = 0
    scores[weakest, 3] = 1
    found = check_tasks(OutcomeMatrix.from_scores(scores)).tasks
    assert [place for place, task in enumerate(found) if task.broken] == [0, 1, 2, 3]
    assert all(task.item_rest < 0 for task in found[:4])
    assert found[0].why == "the stronger fail it more"
    assert found[3].why == "only the weakest pass"


@pytest.mark.parametrize("kind", ["all tasks are noise", "noise among sound tasks", "missing"])
def test_chance_names_tasks_at_most_at_the_stated_rate(kind: str) -> None:
    """A right version fails with a chance of at most 1e-4 for each kind."""
    rng = np.random.default_rng(2)
    wrong, repetitions = 0, 150
    for _ in range(repetitions):
        agents, tasks = int(rng.integers(10, 60)), 40
        scores = (rng.random((agents, tasks)) < rng.beta(0.5, 0.5, tasks)).astype(float)
        if kind != "all tasks are noise":
            scores[:, 20:] = _rasch(rng, agents, 20)
        if kind == "missing":
            scores[rng.random(scores.shape) < 0.4] = np.nan
        wrong += any(task.broken for task in check_tasks(OutcomeMatrix.from_scores(scores)).tasks)
    assert binomtest(wrong, repetitions, 0.05, alternative="greater").pvalue > 1e-4


def test_agents_that_share_the_habits_of_a_model_are_no_further_evidence() -> None:
    """Counting agents one by one names a task in about half of these histories."""
    rng = np.random.default_rng(8)
    wrong, repetitions = 0, 60
    models, clones, tasks = 8, 5, 100
    for _ in range(repetitions):
        ability = np.repeat(rng.normal(0, 1.5, models), clones)[:, None]
        habit = np.repeat(rng.normal(0, 2, (models, tasks)), clones, axis=0)
        slope = np.arange(tasks) >= 50  # the others have nothing to do with ability
        chance = 1 / (1 + np.exp(rng.normal(0, 1, tasks) - slope * ability - habit))
        matrix = OutcomeMatrix.from_scores(
            (rng.random(chance.shape) < chance).astype(float),
            models=[f"model-{place // clones}" for place in range(models * clones)],
        )
        wrong += any(task.broken for task in check_tasks(matrix).tasks)
    assert binomtest(wrong, repetitions, 0.05, alternative="greater").pvalue > 1e-4


def test_a_reversed_task_is_found_also_where_agents_share_models() -> None:
    rng = np.random.default_rng(9)
    ability = np.repeat(np.linspace(-3, 3, 20), 3)[:, None]
    chance = 1 / (1 + np.exp(rng.normal(0, 1, 40) - ability))
    scores = (rng.random(chance.shape) < chance).astype(float)
    scores[:, 0] = 1 - scores[:, 0]
    matrix = OutcomeMatrix.from_scores(scores, models=[f"m{place // 3}" for place in range(60)])
    assert [place for place, x in enumerate(check_tasks(matrix).tasks) if x.broken] == [0]
    few = check_tasks(matrix.select(agents=np.arange(12))).tasks  # of four models
    assert {task.broken for task in few} == {None}


def test_one_test_alone_would_name_noise_so_the_number_of_tasks_counts() -> None:
    rng = np.random.default_rng(3)
    scores = (rng.random((50, 300)) < 0.5).astype(float)
    found = check_tasks(OutcomeMatrix.from_scores(scores)).tasks
    low = [task for task in found if task.p_value < 0.05]
    assert low
    assert {task.broken for task in low} == {None}
    assert all("among 300 tasks that may be chance" in task.why for task in low)
    assert {task.broken for task in found} == {None, False}


def test_item_rest_is_the_point_biserial_correlation_with_the_other_tasks() -> None:
    scores = _rasch(np.random.default_rng(4), 30, 12)
    for place, task in enumerate(check_tasks(OutcomeMatrix.from_scores(scores)).tasks):
        rest = np.delete(scores, place, axis=1).mean(axis=1)
        assert task.item_rest == pytest.approx(
            pointbiserialr(scores[:, place] == 1, rest).statistic
        )


def test_p_values_are_adjusted_as_benjamini_and_hochberg_do() -> None:
    scores = (np.random.default_rng(5).random((25, 40)) < 0.5).astype(float)
    found = check_tasks(OutcomeMatrix.from_scores(scores)).tasks
    want = false_discovery_control([task.p_value for task in found])
    assert [task.adjusted_p for task in found] == pytest.approx(list(want))


def test_a_task_that_agents_with_easy_tasks_pass_is_not_broken_for_that() -> None:
    rng = np.random.default_rng(6)
    scores = _rasch(rng, 60, 40)
    scores[:, 20:] = np.maximum(scores[:, 20:], rng.random((60, 20)) < 0.9)
    weak = np.argsort(scores[:, :20].mean(axis=1))[:30]
    scores[weak, 10:20] = np.nan  # the weak ran the easy half alone: their plain means are higher
    strong = np.setdiff1d(np.arange(60), weak)
    scores[strong, 20:] = np.nan
    assert not any(task.broken for task in check_tasks(OutcomeMatrix.from_scores(scores)).tasks)


def test_flips_are_agents_that_passed_and_failed() -> None:
    each = np.full((3, 2, 3), np.nan)
    each[:, 0] = [[1, 0, 1], [1, 1, np.nan], [0, np.nan, np.nan]]
    each[:, 1] = 1
    matrix = OutcomeMatrix.from_scores(np.zeros((3, 2)), attempt_scores=each)
    first, second = check_tasks(matrix).tasks
    assert (first.repeated, first.flipped) == (2, 1)
    assert first.flip_rate == pytest.approx((2 / 3 + 0) / 2)
    assert (second.repeated, second.flipped, second.flip_rate) == (3, 0, 0.0)
    once = _of(np.ones((3, 1)))
    assert once.repeated == 0
    assert np.isnan(once.flip_rate)


def test_the_newest_cohort_says_whether_a_task_still_separates() -> None:
    scores = np.ones((15, 4))
    scores[:5, 0] = 0  # the oldest fail it, all others pass
    scores[:, 1] = 0
    scores[10, 2] = 0
    scores[11:, 3] = np.nan
    days = [f"2024-0{1 + place // 5}-0{1 + place % 5}" for place in range(15)]
    report = check_tasks(OutcomeMatrix.from_scores(scores, dates=_days(*days)))
    assert [task.separation for task in report.tasks] == [
        "all pass",
        "none pass",
        "separates",
        "unknown",
    ]
    assert [task.stale for task in report.tasks] == [True, True, False, False]
    assert [cohort.name for cohort in report.cohorts] == [
        "2024-01-01/2024-01-05",
        "2024-02-01/2024-02-05",
        "2024-03-01/2024-03-05",
    ]
    assert [each.pass_rate for each in report.tasks[0].cohorts] == [0, 1, 1]
    newest = report.cohorts[-1]
    assert (newest.separates, newest.all_pass, newest.none_pass, newest.unknown) == (1, 1, 1, 1)


def test_undated_agents_are_a_cohort_of_their_own_and_never_the_newest() -> None:
    scores = np.ones((12, 2))
    scores[10:, 0] = 0
    days = _days(*["2023-05-01"] * 3, *["2025-05-01"] * 7, "NaT", "NaT")
    matrix = OutcomeMatrix.from_scores(scores, dates=days)
    report = check_tasks(matrix, by_year=True)
    assert [(each.name, each.first, each.agents) for each in report.cohorts] == [
        ("2023", "2023-05-01", 3),
        ("2025", "2025-05-01", 7),
        ("undated", None, 2),
    ]
    assert report.tasks[0].separation == "all pass"
    alone = check_tasks(matrix.select(agents=[9, 10, 11]))
    assert [each.agents for each in alone.cohorts] == [1, 2]
    assert check_tasks(OutcomeMatrix.from_scores(scores)).tasks[0].separation == "separates"


def test_what_too_few_agents_cannot_tell_is_unknown() -> None:
    rng = np.random.default_rng(7)
    assert _of(rng.random((4, 9))).why.startswith("too few agents")
    scores = _rasch(rng, 30, 50)
    scores[:, 0], scores[:, 1], scores[:, 2] = 0, 1, 0
    scores[np.argmin(scores.mean(axis=1)), 2] = 1  # one agent alone may have been lucky
    found = check_tasks(OutcomeMatrix.from_scores(scores)).tasks[:3]
    assert [task.broken for task in found] == [None, None, None]
    assert [task.why for task in found] == [
        "nobody passes, too hard or broken",
        "all score the same",
        "too few to tell (1 of 30 agents pass)",
    ]


@given(
    scores=hnp.arrays(
        float,
        st.tuples(st.integers(0, 9), st.integers(0, 6)),
        elements=st.sampled_from([0, 0.5, 1]),
    ),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_any_matrix_is_checked_and_the_order_of_agents_changes_nothing(
    scores: FloatArray, data: st.DataObject
) -> None:
    agents = len(scores)
    missing = data.draw(hnp.arrays(bool, scores.shape))
    scores = np.where(missing, np.nan, scores)
    day = st.sampled_from(["2024-01-01", "2024-06-01", "2025-01-01", "NaT"])
    days = _days(*data.draw(st.lists(day, min_size=agents, max_size=agents)))
    number = data.draw(st.one_of(st.none(), st.integers(1, 12)))
    matrix = OutcomeMatrix.from_scores(scores, dates=days)
    report = check_tasks(matrix, cohorts=number)
    assert sum(cohort.agents for cohort in report.cohorts) == agents
    assert all(cohort.agents for cohort in report.cohorts)
    for place, task in enumerate(report.tasks):
        assert task.agents == np.sum(~missing[:, place])
        assert sum(each.agents for each in task.cohorts) == task.agents
    turned = check_tasks(matrix.select(agents=np.arange(agents)[::-1]), cohorts=number)
    for one, other in zip(report.tasks, turned.tasks, strict=True):
        assert (one.broken, one.separation) == (other.broken, other.separation)
        assert one.p_value == pytest.approx(other.p_value, nan_ok=True)


def test_bad_settings_are_refused() -> None:
    matrix = OutcomeMatrix.from_scores(np.ones((2, 2)))
    with pytest.raises(InputError, match="cohorts >= 1, got 0"):
        check_tasks(matrix, cohorts=0)
    with pytest.raises(InputError, match="got both"):
        check_tasks(matrix, cohorts=2, by_year=True)
    with pytest.raises(InputError, match="false_discoveries < 1, got"):
        check_tasks(matrix, false_discoveries=1.5)
