import math
from types import SimpleNamespace

import pytest
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSampleSummary
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ContentImage, ContentText

from midband.inspect.scores import attempt_cost, benchmark_name, task_digest, task_id

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
