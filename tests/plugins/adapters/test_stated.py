"""How exactly sources write their means, which amounts can be, and who is named."""

from pathlib import Path

import pytest

from midband.adapters.stated import Quantities, choose_metric, named_agent, rounding
from midband.descriptors import ReadOptions
from midband_history import UnreadableSourceError


@pytest.mark.parametrize(
    ("value", "count", "digits", "slack"),
    [
        (0.29, None, 1, 5e-3),
        (0.2889, None, 1, 5e-5),
        (50.0, None, 1, 0.05),
        (33.0, None, 0, 0.5),
        (74.2, None, 0, 0.05),
        (0.3333333333333333, None, 1, 1e-6),
        (1e-07, None, 1, 1e-6),
        (0.25, 4, 1, 1e-6),  # 1 of 4 is no rounded number
        (0.33, 3, 1, 5e-3),
    ],
)
def test_a_number_may_have_been_rounded_where_its_digits_end(
    value: float, count: int | None, digits: int, slack: float
) -> None:
    assert rounding(value, count, digits=digits) == pytest.approx(slack, rel=1e-3)


def test_amounts_that_cannot_be_are_unknown_and_counted() -> None:
    quantities = Quantities()
    assert quantities.cost(-1.0) is None
    assert quantities.tokens(float("inf")) is None
    assert quantities.tokens(10**400) is None
    assert quantities.seconds(float("nan")) is None
    assert quantities.cost(None, "free", True) is None
    assert quantities.cost(1.0, None, 2) == 3.0
    notes = [note.text for note in quantities.notes()]
    assert [text.split(" are")[0] for text in notes] == ["1 values of cost", "2 values of tokens"]


def test_a_metric_and_an_agent_are_of_the_source_or_refused() -> None:
    path = Path("r.json")
    assert choose_metric(path, ReadOptions(), "a", "b") == "a"
    assert choose_metric(path, ReadOptions(metric="b"), "a", "b") == "b"
    with pytest.raises(UnreadableSourceError, match=r"r.json: expected a metric .*\(a, b\), got"):
        choose_metric(path, ReadOptions(metric="c"), "a", "b")
    assert named_agent(path, "a report", "", None, "mine") == "mine"
    with pytest.raises(UnreadableSourceError, match=r"a report that names its agent.*--agent NAME"):
        named_agent(path, "a report", "", None)
