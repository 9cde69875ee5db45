import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import inspect_ai
import numpy as np
import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai import eval_retry
from inspect_ai._eval import eval as module
from inspect_ai.log import EvalLog

from midband.inspect import inspect_argv, prepare_race, race_report
from midband.inspect.race_command import VERDICT_FILE, needs_verdict, run_for_verdict
from midband.inspect.race_retry import are_of_one_race, retry_together
from midband.report.race import race_page
from midband_history import InputError, MidbandError, OutcomeMatrix
from midband_sampler.racing import Race, RacePlan, make_race

pytestmark = pytest.mark.skipif(
    not hasattr(inspect_ai, "SampleSource"), reason="inspect-ai cannot choose samples live"
)

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
MODELS = ("toy/30", "toy/60", "toy/97")
N_TASKS = 100
SETTINGS: dict[str, Any] = {"display": "none", "log_level": "critical"}


@pytest.fixture(autouse=True)
def _no_calls(toy: Any) -> None:
    toy.CALLS.clear()


def run(
    tmp_path: Path,
    *,
    models: Sequence[str] = MODELS,
    race: str = "top:1:0.9",
    args: dict[str, Any] | None = None,
    **settings: Any,
) -> list[EvalLog]:
    given = {"task": TOY, "race": race, "n": N_TASKS, "race_id": "0-test", **(args or {})}
    if not race.endswith(".json"):
        given["race_models"] = ",".join(models)
    return inspect_eval(
        "midband/race",
        model=list(models),
        task_args=given,
        log_dir=str(tmp_path / "logs"),
        **SETTINGS,
        **settings,
    )


def tasks_run(logs: Sequence[EvalLog]) -> dict[str, int]:
    return {log.eval.model: len(log.samples or []) for log in logs}


def state_of(report: dict[str, Any], model: str) -> dict[str, Any]:
    (found,) = (each for each in report["verdict"]["ranked"] if each["candidate"] == model)
    return dict(found)


@pytest.fixture
def planned(tmp_path: Path, toy: Any) -> str:
    """A race planned from what 19 other toy agents would score."""
    abilities = [each for each in range(2, 100, 5) if f"toy/{each}" not in MODELS]
    scores = [[float(toy.solves(a, str(i))) for i in range(1, N_TASKS + 1)] for a in abilities]
    history = OutcomeMatrix.from_scores(
        np.array(scores),
        benchmark="toy",
        agents=[f"toy/{ability}" for ability in abilities],
        tasks=[str(sample.id) for sample in toy.samples(n=N_TASKS)],
    )
    path = tmp_path / "race.json"
    make_race(history, MODELS, question="top:1:0.9", allocation="racing").write(path)
    return str(path)


def test_three_models_in_one_command_end_in_one_verdict_and_sooner_with_a_history(
    tmp_path: Path, planned: str
) -> None:
    shares = []
    for name, race in (("asked", "top:1:0.9"), ("planned", planned)):
        logs = run(tmp_path / name, race=race)
        assert [log.status for log in logs] == ["success"] * 3
        report = race_report(logs)
        verdict = report["verdict"]
        assert verdict["settled"], report
        assert verdict["best"] == ["toy/97"]
        assert [each["rank_low"] for each in verdict["ranked"]] == [1, 2, 2]
        assert verdict["full"] == 3 * N_TASKS
        assert verdict["results"] == sum(tasks_run(logs).values())
        assert verdict["usd"] == pytest.approx(0.01 * verdict["results"])
        for log in logs:
            found = dict(log.eval.metadata or {})
            assert next(iter(found)) == "midband_verdict"
            assert found["midband_race"]["verdict"] == verdict
            for told in ("The best is toy/97", "2-3", "of the full price"):
                assert told in found["midband_verdict"]
        shares.append(verdict["cost_share"])
        _check_the_page(tmp_path / name / "logs", verdict, race)
    assert shares[1] < shares[0] < 0.7, shares
    _check_the_page_of_what_is_left(tmp_path / "planned" / "logs", Path(planned))


def _check_the_page(folder: Path, verdict: dict[str, Any], race: str) -> None:
    """Check that the logs alone tell a page the verdict, and how the race went."""
    page = race_page(folder)
    assert page.verdict[0] == "The best is toy/97."
    assert f"{verdict['results']} of {3 * N_TASKS} results were paid for" in page.verdict[2]
    titles = [part.title for section in page.sections for part in section.parts]
    assert "Ranks still open as results came in" in titles, page.missing
    known = dict(page.facts)
    assert f"--race {race}" in known["Command, as the logs tell it"]
    assert ("known agents" in known["History"]) == race.endswith(".json")
    assert not page.missing
    assert race_page(next(folder.glob("*.eval"))).verdict == page.verdict


def _check_the_page_of_what_is_left(folder: Path, plan: Path) -> None:
    """Check that the verdict stands where plan and logs are gone, and what is missing is said."""
    plan.unlink()
    first, second, *_ = sorted(folder.glob("*.eval"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    page = race_page(folder)
    assert page.verdict[0] == "The best is toy/97."
    said = " ".join(page.missing)
    for part in ("is not there any more", "1 log of", "There is no log of", "cannot be rebuilt"):
        assert part in said


def test_no_model_runs_far_ahead_of_a_slow_one(tmp_path: Path) -> None:
    logs = run(tmp_path, models=("toy/97", "toy/60-slow"))
    report = race_report(logs)
    assert report["verdict"]["settled"]
    ran = tasks_run(logs)
    slow = ran["toy/60-slow"]
    assert ran["toy/97"] <= slow + max(8, slow // 4)
    assert slow < N_TASKS


def test_a_model_that_hangs_holds_the_others_up_for_a_time_only(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midband.inspect.racing.FOR_A_RESULT", 0.05)
    logs = run(tmp_path, models=("toy/97", "toy/60-late"))
    assert [log.status for log in logs] == ["success"] * 2
    assert race_report(logs)["verdict"]["settled"]
    assert tasks_run(logs)["toy/97"] >= toy.LATE


def test_a_model_that_dies_is_set_apart_and_the_others_end(tmp_path: Path) -> None:
    logs = run(tmp_path, models=("toy/30-dead", "toy/60", "toy/97"))
    assert [log.status for log in logs] == ["error", "success", "success"]
    report = race_report(logs)
    assert report["verdict"]["settled"]
    assert report["verdict"]["best"] == ["toy/97"]
    dead = state_of(report, "toy/30-dead")
    assert dead["state"] == "set apart"
    assert "the model is gone" in dead["note"]
    assert tasks_run(logs)["toy/30-dead"] <= 4
    told = (logs[0].eval.metadata or {})["midband_verdict"]
    assert "the model is gone" in told


def test_errors_of_a_limited_model_are_no_failures(tmp_path: Path) -> None:
    logs = run(tmp_path, models=("toy/97-limited", "toy/20"), fail_on_error=False)
    report = race_report(logs)
    assert [log.status for log in logs] == ["success"] * 2
    limited = state_of(report, "toy/97-limited")
    errors = sum(each.error is not None for each in logs[0].samples or [])
    assert 0 < limited["errors"] <= errors  # what was at work at the end may have failed too
    assert report["verdict"]["best"] == ["toy/97-limited"]
    both = ("toy/97", "toy/20-dead")
    more = run(tmp_path / "more", models=both, fail_on_error=False, args={"n": 40})
    dead = state_of(race_report(more), "toy/20-dead")
    assert dead["state"] == "set apart"
    assert dead["tasks"] < 40


def test_models_that_come_one_after_the_other_do_not_wait_for_each_other(tmp_path: Path) -> None:
    logs = run(tmp_path, max_tasks=1, args={"n": 50})
    assert [log.status for log in logs] == ["success"] * 3
    report = race_report(logs)
    assert any("not all models ran at the same time" in each for each in report["warnings"])
    verdict = report["verdict"]
    assert verdict["best"] == ["toy/97"]
    assert verdict["results"] == sum(tasks_run(logs).values())
    assert verdict["settled"]


@pytest.mark.parametrize(
    ("with_history", "together"), [(False, False), (False, True), (True, True)]
)
def test_a_race_that_was_cut_off_goes_on_and_nothing_is_paid_twice(
    tmp_path: Path,
    toy: Any,
    planned: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    with_history: bool,
    together: bool,
) -> None:
    until = tmp_path / "mended"
    race = planned if with_history else "top:1:0.9"
    broken = " ".join(map(str, range(1, N_TASKS + 1, 7)))
    first = run(tmp_path, race=race, args={"errors": broken, "until": str(until)})
    assert {log.status for log in first} == {"error"}
    assert not race_report(first)["verdict"]["settled"]
    kept = {
        (log.eval.model, each.id)
        for log in first
        for each in log.samples or []
        if each.error is None
    }
    until.touch()
    paths = [log.location.removeprefix("file://") for log in first]
    assert are_of_one_race(["eval-retry", *paths, "--log-dir", "logs"])
    assert not are_of_one_race(["eval-retry", paths[0], paths[0]])
    if together:
        monkeypatch.setattr(module, "eval_retry_async", module.eval_retry_async)
        retry_together()
    again = eval_retry(first, log_dir=str(tmp_path / "logs"), **SETTINGS)
    assert [log.status for log in again] == ["success"] * 3
    report = race_report(again)
    assert report["verdict"]["best"] == ["toy/97"]
    assert report["failed_open"] is False
    ran = {(log.eval.model, each.id) for log in again for each in log.samples or []}
    assert kept <= ran
    assert report["verdict"]["results"] == len(ran)
    paid = {(f"toy/{model}", f"item-{item}"): n for (model, item), n in toy.CALLS.items()}
    assert {key for key, n in paid.items() if n > 1} & kept == set()
    assert len(ran) < (0.6 if together else 1) * 3 * N_TASKS


def test_whatever_breaks_every_model_runs_everything_and_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Race.ask_for

    def breaks(race: Race, candidate: str) -> str | None:
        if race.results > 12:
            msg = "out of order"
            raise RuntimeError(msg)
        return asked(race, candidate)

    monkeypatch.setattr(Race, "ask_for", breaks)
    logs = run(tmp_path, args={"n": 20})
    assert [log.status for log in logs] == ["success"] * 3
    assert set(tasks_run(logs).values()) == {20}
    for log in logs:
        record = (log.eval.metadata or {})["midband_race"]
        assert record["error"] == "RuntimeError: out of order"
        assert record["verdict"] is None
        assert "exit_code" not in record


def test_from_python_a_task_is_raced_in_place_and_a_stranger_runs_in_full(
    toy: Any, tmp_path: Path
) -> None:
    task = prepare_race(toy.toy(n=40), "top:1", models=["toy/30", "toy/97"], budget="30%")
    logs = inspect_eval(
        task, model=["toy/30", "toy/97", "toy/60"], log_dir=str(tmp_path), **SETTINGS
    )
    report = race_report(logs)
    assert report["verdict"]["best"] == ["toy/97"]
    assert report["verdict"]["results"] == 24
    assert tasks_run(logs)["toy/60"] == 40
    assert (logs[2].eval.metadata or {})["midband_race"]["outside"].startswith("toy/60 is none of")
    with pytest.raises(InputError, match="expected logs of a race"):
        race_report(inspect_eval(toy.toy(n=1), model="toy/30", log_dir=str(tmp_path), **SETTINGS))


@pytest.mark.parametrize("together", [1, 2])
def test_the_smallest_budget_gives_each_model_a_result(
    toy: Any, tmp_path: Path, together: int
) -> None:
    task = prepare_race(toy.toy(n=40), "top:1", models=["toy/30", "toy/97"], budget="tasks:4")
    settings = {**SETTINGS, "max_tasks": together}
    logs = inspect_eval(task, model=["toy/30", "toy/97"], log_dir=str(tmp_path), **settings)
    assert sum(tasks_run(logs).values()) == 4
    assert min(tasks_run(logs).values()) >= 1


def test_attempts_are_told_together_and_a_limit_bounds_the_race(tmp_path: Path) -> None:
    logs = run(tmp_path, models=("toy/60", "toy/62"), epochs=2, limit=6)
    report = race_report(logs)
    assert report["verdict"]["full"] == 12
    assert report["verdict"]["results"] == 12
    assert tasks_run(logs) == {"toy/60": 12, "toy/62": 12}


def _yaml(value: str) -> str:
    return value if value.isidentifier() else json.dumps(value)


def test_the_flag_becomes_the_registered_task(planned: str) -> None:
    asked = ["eval", TOY, "--race", "top:1:0.9", "--model", "a/1,b/2", "--budget", "50%"]
    words = inspect_argv([*asked, "--max-samples", "2"], environment={})
    assert words[:2] == ["eval", "midband/race"]
    given = dict(word.partition("=")[::2] for word in words if "=" in word)
    assert given["race_models"] == json.dumps("a/1,b/2")
    assert given["race_budget"] == json.dumps("50%")
    assert words[-4:] == ["--model", "a/1,b/2", "--max-samples", "2"]
    words = inspect_argv(["eval", TOY, f"--race={planned}"], environment={})
    given = dict(word.partition("=")[::2] for word in words if "=" in word)
    assert given["race_digest"] == _yaml(RacePlan.read(planned).digest)
    assert ",".join(MODELS) in words  # the models are those of the plan


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        ("write_text('{\"exit_code\": 4}')", 4),
        ("write_text('{\"exit_code\": 0}')", 0),
        ("exists()", 1),
        ("exists(); raise SystemExit(7)", 7),
    ],
)
def test_a_not_worse_question_sets_the_exit_code(done: str, expected: int) -> None:
    code = f"import os, pathlib; pathlib.Path(os.environ['{VERDICT_FILE}']).{done}"
    assert run_for_verdict([sys.executable, "-c", code]) == expected
    asked = ["eval", TOY, "--model", "a/1,b/2", "--race"]
    for question, wanted in (("not-worse:a/1:b/2:3:0.9", True), ("order:0.9", False)):
        words = [*asked, question, "--log-dir", "race", "--tags", "race=no,race_models=x"]
        assert needs_verdict(inspect_argv(words, environment={})) is wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--race", "top:1:0.9", "--model", "a/1"], "two candidates"),
        (["--race", "top:1:0.9", "--model", "a/1,a/1"], "different names"),
        (["--race", "top:1:0.9"], "--model A,B"),
        (["--race", "best", "--model", "a/1,b/2"], "expected a question"),
        (["--race", "top:1", "--model", "a/1,b/2"], "expected a budget"),
        (["--race", "no.json", "--model", "a/1,b/2"], "cannot read no.json"),
        (["--race", "PLAN", "--model", "toy/30,toy/60"], "models of the race's candidates"),
        (["--race", "PLAN", "--model", "toy/30,toy/60,x/y"], "models of the race's candidates"),
        (["--race", "PLAN", "--budget", "5%"], "expected no --budget"),
        (["--race", "top:1:0.9", "--adaptive", "p.json"], "got both"),
    ],
)
def test_what_cannot_be_raced_is_refused_in_one_line(
    words: list[str], message: str, planned: str
) -> None:
    argv = [planned if word == "PLAN" else word for word in words]
    with pytest.raises(MidbandError, match=message) as caught:
        inspect_argv(["eval", TOY, *argv], environment={})
    assert "\n" not in str(caught.value)
