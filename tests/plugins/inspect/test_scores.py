import math
from types import SimpleNamespace

import pytest
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSampleSummary
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ContentImage, ContentText

from midband.inspect.scores import (
    ScoreChoice,
    attempt_cost,
    benchmark_name,
    choose_score,
    is_verdict,
    score_value,
    shapes_of,
    task_digest,
    task_id,
)
from midband_history import InputError

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


def test_names_and_ids() -> None:
    assert benchmark_name("inspect_evals/gsm8k") == benchmark_name("gsm8k") == "gsm8k"
    assert task_id(7) == "7"


@pytest.mark.parametrize("odd", [-0.1, math.inf, math.nan])
def test_an_impossible_cost_is_unknown(odd: float) -> None:
    usage = {"m": SimpleNamespace(total_cost=odd)}
    assert attempt_cost(SimpleNamespace(model_usage=usage, total_time=odd)) == (None, None)
    usage = {"m": SimpleNamespace(total_cost=0.5)}
    assert attempt_cost(SimpleNamespace(model_usage=usage, total_time=3)) == (0.5, 3.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C", 1.0),
        ("I", 0.0),
        ("P", 0.5),
        ("N", 0.0),
        ("yes", 1.0),
        ("False", 0.0),
        (True, 1.0),
        (0, 0.0),
        (0.65, 0.65),
        ("0.3", 0.3),
        (7, 7.0),
        (-0.1, -0.1),
        (math.nan, None),
        ("nan", None),
        (math.inf, None),
        (10**400, None),
        ({"a": 1.0}, None),
        ([1.0], None),
        ("perhaps", None),
        ("c", None),
        ("", None),
        (None, None),
    ],
)
def test_score_value(value: object, expected: float | None) -> None:
    assert score_value(value) == expected


def test_words_and_truth_values_are_verdicts() -> None:
    assert all(is_verdict(value) for value in ("C", "N", "no", True))
    assert not any(is_verdict(value) for value in (1, 0.5, "1", "perhaps", None))


def choose(*samples: dict[str, object], **settings: object) -> ScoreChoice:
    wrapped = [
        {name: SimpleNamespace(value=value) for name, value in sample.items()} for sample in samples
    ]
    return choose_score(shapes_of(wrapped), **settings)  # type: ignore[arg-type]


def test_the_headline_scorer_counts_then_the_first() -> None:
    sample: dict[str, object] = {"judge": 0.2, "match": "C"}
    headline = SimpleNamespace(scorer="judge", score="judge")
    scorers = ["match", "judge"]
    assert choose(sample, scorers=scorers).label == "match"
    assert choose(sample, scorers=scorers).others == ("judge",)
    assert choose(sample, scorers=scorers, headline=headline).label == "judge"
    assert choose(sample).label == "judge"
    assert choose({}, scorers=scorers).label == "match"
    assert choose().label == ""


def test_a_declared_key_picks_out_of_a_mapping() -> None:
    sample: dict[str, object] = {"judge": {"style": 0, "deep": 1}}
    for scorer in ("judge", None):
        headline = SimpleNamespace(scorer=scorer, score="deep")
        choice = choose(sample, headline=headline)
        assert (choice.label, choice.why) == ("judge.deep", "")


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"only": 3, "text": "well done"}, "only"),
        ({"correct": 1.0, "helpful": 0.5}, "correct"),
        ({"Is_Correct": True, "score": 7}, "Is_Correct"),
        ({"tone": 3, "Passed": "C"}, "Passed"),
    ],
)
def test_an_obvious_key_is_taken_and_said(value: dict[str, object], key: str) -> None:
    choice = choose({"judge": value})
    assert choice.label == f"judge.{key}"
    assert repr(key) in choice.why


@pytest.mark.parametrize("value", [{"tone": 1, "depth": 2}, {"correct": 1, "accuracy": 0}])
def test_a_mapping_without_an_obvious_key_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        choose({"judge": value})
    assert all(key in str(caught.value) for key in value)
    assert "--metric judge." in str(caught.value)


def test_a_named_metric_is_found_or_the_names_are_listed() -> None:
    sample: dict[str, object] = {"judge.v2": {"tone": 1, "a.b": 2}, "match": "C"}
    for wanted, scorer, key in (
        ("judge.v2.a.b", "judge.v2", "a.b"),
        ("tone", "judge.v2", "tone"),
        ("match", "match", ""),
    ):
        choice = choose(sample, wanted=wanted)
        assert (choice.scorer, choice.key) == (scorer, key)
    with pytest.raises(InputError, match=r"judge\.v2\.tone, judge\.v2\.a\.b, match, got 'rouge'"):
        choose(sample, wanted="rouge")
    assert choose(sample, preferred="judge.v2.tone").label == "judge.v2.tone"
    assert choose({"match": "C"}, preferred="judge.v2.tone").label == "match"
    nothing = choose(scorers=["judge"], wanted="judge.tone")
    assert (nothing.scorer, nothing.key) == ("judge", "tone")


def test_a_choice_reads_its_key_and_nothing_else() -> None:
    choice = ScoreChoice(scorer="judge", key="tone")
    values: list[object] = [{"tone": 4}, {"depth": 4}, 4, math.nan]
    read = [choice.value({"judge": SimpleNamespace(value=value)}) for value in values]
    assert read == [4.0, None, None, None]
    assert choice.value(None) is None
