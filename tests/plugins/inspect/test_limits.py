"""Hard limits over all samples of one command: dollars, seconds and tokens."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog
from tests.plugins.inspect.test_choosing import begin, plan_of

from midband.inspect import inspect_argv
from midband.inspect.limits import LEDGER, Share, TotalLimits, read_limits
from midband_history import InputError
from midband_sampler import Never

pytestmark = pytest.mark.skipif(
    not hasattr(inspect_ai, "SampleSource"), reason="inspect-ai cannot choose samples live"
)
TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
MakePlan = Callable[..., Path]
SETTINGS: dict[str, Any] = {"display": "none", "log_level": "critical"}
TOKENS = 4  # of each sample of the toy


def run(plan: Path, task: str = "midband/adaptive", **args: Any) -> list[EvalLog]:
    named = {"task": TOY, "plan": str(plan)} if task == "midband/adaptive" else {"task": TOY}
    model = args.pop("model", "toy/97")
    return inspect_eval(
        task,
        model=model,
        task_args={**named, **args},
        log_dir=str(plan.parent / "logs"),
        max_samples=2,
        **SETTINGS,
    )


def warnings_of(log: EvalLog) -> str:
    metadata = log.eval.metadata or {}
    found = metadata.get("midband_run") or metadata.get("midband_race")
    if found is None:
        assert log.results is not None
        assert log.results.early_stopping is not None
        found = log.results.early_stopping.metadata
    said: Any = found["warnings"]
    return " ".join(said)


@pytest.mark.parametrize(
    ("limit", "most"), [({"plan_total_tokens": 43}, 10), ({"plan_total_usd": 0.075}, 7)]
)
def test_no_sample_is_started_that_would_pass_a_limit(
    make: MakePlan, limit: dict[str, Any], most: int
) -> None:
    (log,) = run(make(stop=Never()), **limit)
    assert log.status == "success"
    assert len(log.samples or []) == most
    assert "limit reached" in warnings_of(log)


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("known", [True, False])
def test_a_run_that_chooses_live_learns_from_one_task_and_keeps_the_limit(
    epochs: int, known: bool
) -> None:
    plan = replace(plan_of(), stop=Never(), mean_tokens=4.0 if known else math.nan)
    limits = TotalLimits({"tokens": 35.0})
    chosen = begin(plan, epochs=epochs, width=4)
    chosen.share = Share(limits, plan, "e")
    at_work = [(task, epoch) for task in chosen.hand_out() for epoch in range(1, epochs + 1)]
    assert len(at_work) == (4 if known else epochs)
    done = 0
    while at_work:
        task, epoch = at_work.pop(0)
        done += 1
        chosen.spent(task, epoch, (None, None, 4.0), f"{task} {epoch}")
        chosen.scored(task, epoch, 1.0)
        at_work += [(new, each) for new in chosen.hand_out() for each in range(1, epochs + 1)]
    assert done == 8
    assert limits.spent("tokens") == 32.0
    assert "token limit reached: 32 of 35 tokens" in " ".join(chosen.warnings)


def test_the_models_of_a_race_share_a_limit(make: MakePlan) -> None:
    logs = run(
        make(),
        "midband/race",
        model=["toy/30", "toy/97"],
        race="top:1:0.9",
        race_models="toy/30,toy/97",
        race_id="0-limits",
        race_total_tokens=60,
    )
    assert all(log.status == "success" for log in logs)
    assert 10 <= sum(len(log.samples or []) for log in logs) <= 60 / TOKENS
    assert "token limit reached" in warnings_of(logs[0])


def test_a_limit_that_cannot_be_held_says_so() -> None:
    limits = TotalLimits({"usd": 5.0})
    assert not limits.refusal({})
    limits.came("a", (None, 1.0, None))
    assert "the limit --total-usd cannot be held" in limits.refusal({})
    assert not limits.refusal({"usd": 0.5})  # the history says it


def test_what_was_spent_is_kept_for_a_command_that_is_repeated(tmp_path: Path) -> None:
    ledger = tmp_path / LEDGER
    first = TotalLimits({"tokens": 100}, ledger)
    first.came("a", (None, 1.0, 40.0))
    first.came("a", (None, 1.0, 40.0))
    with ledger.open("a") as file:
        file.write('{"sample": "b", "usd": nu')  # a kill
    again = TotalLimits({"tokens": 100}, ledger)
    assert again.spent("tokens") == 40.0
    assert not again.refusal({})
    again.start("at work", {})
    assert "token limit reached: 40 of 100 tokens" in again.refusal({})
    again.end("at work")
    assert not again.refusal({})


@given(
    amounts=st.lists(st.one_of(st.none(), st.floats(0.0, 9.0)), min_size=1, max_size=30),
    most=st.floats(1.0, 50.0),
    expected=st.one_of(st.just(math.nan), st.floats(9.0, 12.0)),
)
def test_known_amounts_never_pass_a_limit_where_the_expected_one_is_no_less(
    amounts: list[float | None], most: float, expected: float
) -> None:
    limits = TotalLimits({"usd": most})
    started = 0
    for place, usd in enumerate(amounts):
        if limits.refusal({"usd": expected}):
            break
        started += 1
        limits.came(str(place), (usd, None, None))
    spent = math.fsum(each or 0.0 for each in amounts[:started])
    if not math.isnan(expected):
        assert spent <= most + 1e-6
    if all(each is None for each in amounts) and math.isnan(expected):
        assert started == 1  # nothing says what one costs: the limit could not be held


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "many"])
def test_a_limit_is_a_number_above_0(text: str) -> None:
    with pytest.raises(InputError, match="--total-tokens") as caught:
        read_limits({"total_tokens": text})
    assert "\n" not in str(caught.value)


def test_the_command_line_has_names_that_are_not_inspects(make: MakePlan) -> None:
    plan = make()
    words = ["eval", TOY, "--adaptive", str(plan), "--max-tokens", "64"]
    found = inspect_argv([*words, "--total-tokens", "900", "--total-usd=2.5"])
    assert {'plan_total_tokens="900"', 'plan_total_usd="2.5"'} <= set(found)
    assert found[-2:] == ["--max-tokens", "64"]
    race = ["eval", TOY, "--race", "top:1:0.9", "--model", "toy/1,toy/2"]
    assert 'race_total_seconds="60"' in inspect_argv([*race, "--total-seconds", "60"])
    with pytest.raises(InputError, match="--total-usd"):
        inspect_argv([*words, "--total-usd", "free"])


def test_tokens_reach_the_stopping_rule(make: MakePlan) -> None:
    from midband_sampler import parse_stop

    (log,) = run(make(stop=parse_stop("tokens:48")))
    assert log.results is not None
    assert log.results.early_stopping is not None
    found: dict[str, Any] = dict(log.results.early_stopping.metadata)
    assert found["reason"] == "budget spent"
    assert found["spent_tokens"] == 48.0
    assert found["tasks_run"] == 48 / TOKENS
    assert found["spent_usd"] == pytest.approx(0.12)
