import math
from types import SimpleNamespace

import pytest
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSampleSummary
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ContentImage, ContentText

from midband.inspect._samples import (
    benchmark_name,
    primary_score,
    score_value,
    task_digest,
    task_id,
)

LONG = "word " * 5000


def summary_of(sample: Sample) -> EvalSampleSummary:
    return EvalSampleSummary(id=1, epoch=1, input=sample.input, target=sample.target)


@pytest.mark.parametrize(
    "sample",
    [
        Sample(input="short", target="yes"),
        Sample(input=LONG, target=LONG),
        Sample(input="many", target=["a", LONG]),
        Sample(input=[ChatMessageSystem(content="be brief"), ChatMessageUser(content=LONG)]),
        Sample(
            input=[
                ChatMessageUser(
                    content=[
                        ContentText(text=LONG),
                        ContentImage(image="data:image/png;base64,AAAA"),
                    ]
                )
            ],
            target="cat",
        ),
    ],
    ids=["short", "long", "targets", "messages", "image"],
)
def test_dataset_and_summary_give_one_digest(sample: Sample) -> None:
    shown = summary_of(sample)
    assert task_digest(sample.input, sample.target) == task_digest(shown.input, shown.target)


def test_digest_sees_input_target_and_role() -> None:
    digests = {
        task_digest("a", "b"),
        task_digest("a", "c"),
        task_digest("x", "b"),
        task_digest("a", ["b"]),
        task_digest([ChatMessageUser(content="a")], "b"),
        task_digest([ChatMessageSystem(content="a")], "b"),
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C", 1.0),
        ("I", 0.0),
        ("P", 0.5),
        ("N", 0.0),
        (True, 1.0),
        (0, 0.0),
        (0.65, 0.65),
        ("0.3", 0.3),
        (math.nan, None),
        ("nan", None),
        (math.inf, None),
        (7, None),
        (-0.1, None),
        ({"a": 1.0}, None),
        ([1.0], None),
        ("perhaps", None),
        ("", None),
        (None, None),
    ],
)
def test_score_value(value: object, expected: float | None) -> None:
    assert score_value(value) == expected


def score(value: object) -> SimpleNamespace:
    return SimpleNamespace(value=value)


def test_the_headline_scorer_counts_then_the_first() -> None:
    scores = {"judge": score(0.2), "match": score("C")}
    named = [SimpleNamespace(name="match"), SimpleNamespace(name="judge")]
    first = SimpleNamespace(scorers=named, headline_metric=None)
    headline = SimpleNamespace(scorer="judge", score=None)
    declared = SimpleNamespace(scorers=named, headline_metric=headline)
    assert primary_score(scores, spec=first) == 1.0
    assert primary_score(scores, spec=declared) == 0.2
    assert primary_score(scores) == 0.2
    assert primary_score({}) is None
    assert primary_score(None) is None


def test_a_declared_key_picks_out_of_a_mapping() -> None:
    spec = SimpleNamespace(
        scorers=None, headline_metric=SimpleNamespace(scorer="judge", score="solved")
    )
    assert primary_score({"judge": score({"solved": 1, "style": 0})}, spec=spec) == 1.0
    assert primary_score({"judge": score({"style": 0})}, spec=spec) is None


def test_names_and_ids() -> None:
    assert benchmark_name("inspect_evals/gsm8k") == benchmark_name("gsm8k") == "gsm8k"
    assert task_id(7) == "7"
