"""What Inspect's own viewer shows of a verdict at first sight, and when it must go again."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai import eval_retry, score
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log
from inspect_ai.scorer import match
from tests.plugins.inspect.conftest import MakePlan

from midband.inspect import adaptive, race, verdict
from midband.inspect.shown import decision_tag
from midband_history import InputError
from midband_sampler import Decision, Plan, Session

SETTINGS: dict[str, Any] = {"display": "none", "log_level": "critical", "max_samples": 4}
STRATEGIES = ("random", "information") if hasattr(inspect_ai, "SampleSource") else ("random",)


def ours(log: EvalLog) -> list[str]:
    return [tag for tag in log.tags if tag.startswith("midband: ")]


def place_of(log: EvalLog) -> str:
    return log.location.removeprefix("file://")


def test_tags_and_the_first_metrics_say_the_verdict_and_a_retry_renews_them(
    make: MakePlan, toy: Any, tmp_path: Path
) -> None:
    strategy = STRATEGIES[-1]
    flag = tmp_path / "fixed"
    every = " ".join(map(str, range(1, 41, 3)))
    settings = {**SETTINGS, "log_dir": str(tmp_path / "logs")}
    task = adaptive(toy.toy(errors=every, until=str(flag)), make(strategy=strategy))
    (first,) = inspect_eval(task, model="toy/97", tags=["mine"], **settings)
    assert first.status == "error"
    flag.touch()
    (again,) = eval_retry(place_of(first), **settings)
    decision = verdict(again)
    assert isinstance(decision, Decision)
    bounds = f"({decision.low}-{decision.high}, 90 %)"
    assert ours(again)[0].startswith(f"midband: rank {decision.rank} of 20 {bounds}")
    assert len(ours(again)) == 1
    assert "mine" in again.tags
    assert again.results is not None
    metrics = again.results.scores[0].metrics
    assert list(metrics)[2:5] == ["midband_rank", "midband_rank_low", "midband_rank_high"]
    assert [metrics[name].value for name in list(metrics)[2:5]] == [
        decision.rank,
        decision.low,
        decision.high,
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_verdict_stays_where_the_scores_are_replaced(
    make: MakePlan, toy: Any, tmp_path: Path, strategy: str
) -> None:
    plan = make(strategy=strategy)
    settings = {**SETTINGS, "log_dir": str(tmp_path / "logs"), "tags": ["mine"]}
    (log,) = inspect_eval(adaptive(toy.toy(), plan), model="toy/97", **settings)
    before = verdict(log)
    added = score(log, match(), action="append", display="none")
    assert verdict(added) == before
    assert ours(added) == ours(log)
    replaced = score(log, match(), action="overwrite", display="none")
    assert ours(replaced) == ["midband: scored again"]
    assert "mine" in replaced.tags
    write_eval_log(replaced, str(tmp_path / "again.eval"))
    read = read_eval_log(str(tmp_path / "again.eval"))
    assert (read.eval.metadata or {})["midband_verdict"].startswith("scored again since the run")
    with pytest.raises(InputError, match="scored again"):
        verdict(read)
    assert verdict(log) == before  # Inspect scores a copy


@pytest.mark.skipif(len(STRATEGIES) == 1, reason="inspect-ai cannot choose samples live")
def test_the_log_of_a_race_says_its_rank_and_is_scored_again_like_any_other(
    toy: Any, tmp_path: Path
) -> None:
    models = ["toy/30", "toy/97"]
    task = race(toy.toy(), "top:1:0.9", models=models)
    logs = inspect_eval(task, model=models, log_dir=str(tmp_path / "logs"), **SETTINGS)
    assert [ours(log) for log in logs] == [
        ["midband: rank 2 of 2 (90 %). The best is toy/97."],
        ["midband: rank 1 of 2 (90 %). The best is toy/97."],
    ]
    again = score(logs[0], match(), action="overwrite", display="none")
    assert ours(again) == ["midband: scored again"]
    with pytest.raises(InputError, match="scored again"):
        verdict(again)


@pytest.mark.slow
def test_inspects_command_scores_a_log_again(make: MakePlan, toy: Any, tmp_path: Path) -> None:
    settings = {**SETTINGS, "log_dir": str(tmp_path / "logs")}
    (log,) = inspect_eval(adaptive(toy.toy(), make()), model="toy/97", **settings)
    log.eval.model = "mockllm/model"  # the command does not know the provider of the tests
    write_eval_log(log)
    command = [sys.executable, "-m", "inspect_ai", "score", place_of(log), "--overwrite"]
    command += ["--action", "overwrite", "--scorer", "match", "--display", "plain"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ours(read_eval_log(place_of(log), header_only=True)) == ["midband: scored again"]


def test_a_tag_says_what_is_not_settled_and_that_there_are_warnings(make: MakePlan) -> None:
    decision = Session(Plan.read(make())).decision()
    assert decision_tag(None) == "no verdict"
    assert decision_tag(decision).startswith("rank unknown of 20 (1-20), not settled")
    told = decision_tag(replace(decision, warnings=("a", "b"), target="planned tasks"))
    assert told == "rank unknown of 20 (1-20), on the planned tasks, not settled, 2 warnings"


def test_what_is_refused_is_said_by_the_command_even_with_display_none(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = f"{Path(__file__).parent / 'toy_benchmark.py'}"
    wrong: list[Any] = [
        lambda: race(f"{task}@toy", "top:1:0.9", models=["a", "b"], budget="tasks:1"),
        lambda: adaptive(f"{task}@other", make()),
        lambda: adaptive(f"{task}@none", make()),
    ]
    monkeypatch.setattr("midband.inspect.shown._is_command", lambda: True)
    for display in ("plain", "none"):
        monkeypatch.setattr("midband.inspect.shown.display_type", lambda chosen=display: chosen)
        for call in wrong if len(STRATEGIES) == 2 else wrong[1:]:
            with pytest.raises(PrerequisiteError):
                call()
            said = capsys.readouterr().err
            assert said.count("midband: ") == (display == "none")
            assert len(said.splitlines()) == (display == "none")
