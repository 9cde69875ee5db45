from collections.abc import Callable

import numpy as np
import pytest

from midband_history import InputError, OutcomeMatrix
from midband_sims import LeaveOneAgentOut, parse_protocol
from midband_sims.protocols import PROTOCOLS, LeaveOneScaffoldOut, RandomFolds, Temporal


def bare(n_agents: int = 6, n_tasks: int = 5) -> OutcomeMatrix:
    return OutcomeMatrix.from_scores(np.eye(n_agents, n_tasks))


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "self"])
def test_no_candidate_is_among_its_references(name: str, matrix: OutcomeMatrix) -> None:
    splits = parse_protocol(name).splits(matrix, seed=3)
    assert splits
    assert len({split.label for split in splits}) == len(splits)
    for split in splits:
        assert not set(split.references) & set(split.candidates)


def test_every_agent_is_new_once() -> None:
    for protocol in (LeaveOneAgentOut(), RandomFolds(folds=4)):
        new = [i for split in protocol.splits(bare(), seed=1) for i in split.candidates]
        assert sorted(new) == list(range(6))


def test_no_scaffold_is_on_both_sides(matrix: OutcomeMatrix) -> None:
    for folds in (2, 10):
        for split in LeaveOneScaffoldOut(folds=folds).splits(matrix, seed=0):
            known = {matrix.scaffolds[i] for i in split.references}
            assert not known & {matrix.scaffolds[i] for i in split.candidates}


def test_folds_depend_on_the_seed_alone(matrix: OutcomeMatrix) -> None:
    draw = RandomFolds().splits
    assert draw(matrix, seed=1) == draw(matrix, seed=1)
    assert draw(matrix, seed=1) != draw(matrix, seed=2)


@pytest.mark.parametrize("cut", ["", "half", "2025-06-01"])
def test_nothing_later_than_the_candidate_is_seen(cut: str, matrix: OutcomeMatrix) -> None:
    for split in Temporal(cut=cut).splits(matrix):
        latest = max(matrix.dates[i] for i in split.references)
        assert all(matrix.dates[i] > latest for i in split.candidates)
        assert latest.astype("datetime64[D]") <= np.datetime64(split.as_of)


def test_half_is_the_day_by_which_half_of_the_agents_had_started() -> None:
    days = np.array(["2025-01-04", "2025-01-01", "2025-01-03", "2025-01-02"], dtype="datetime64[s]")
    matrix = OutcomeMatrix.from_scores(np.eye(4, 5), dates=days)
    (split,) = Temporal(cut="half").splits(matrix)
    assert set(split.references) == {1, 3}
    assert set(split.candidates) == {0, 2}


def test_an_agent_that_ran_less_than_half_is_known_but_never_replayed() -> None:
    scores = np.eye(5, 8)
    scores[4, :5] = np.nan
    scores[3, :4] = np.nan
    splits = LeaveOneAgentOut().splits(OutcomeMatrix.from_scores(scores))
    assert {i for split in splits for i in split.candidates} == {0, 1, 2, 3}
    assert all(4 in split.references for split in splits)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("temporal", "date"), ("loso", "scaffold"), ("self", "attempts")],
)
def test_what_the_data_lacks_is_named(name: str, missing: str) -> None:
    with pytest.raises(InputError, match=missing):
        parse_protocol(name).splits(bare(), seed=0)


def test_two_agents_are_too_few() -> None:
    with pytest.raises(InputError, match="at least 3 agents"):
        LeaveOneAgentOut().splits(bare(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda: parse_protocol("lopo"),
        lambda: Temporal(cut="next week"),
        lambda: RandomFolds(folds=1),
        lambda: Temporal(cut="1999-01-01").splits(
            OutcomeMatrix.from_scores(
                np.eye(3), dates=np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "M8[s]")
            )
        ),
    ],
)
def test_bad_settings_say_what_was_expected(call: Callable[[], object]) -> None:
    with pytest.raises(InputError, match=r"expected .*, got"):
        call()
