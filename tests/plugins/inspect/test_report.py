"""``midband report run`` on the logs of adaptive runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_ai.log import read_eval_log, write_eval_log
from tests.plugins.inspect.test_adaptive import early, path_of, run
from tests.plugins.report.reading import Read, read_page

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
MakePlan = Callable[..., Path]


def page_of(call: Call, *sources: Path) -> Read:
    code, out, err = call("report", "run", *sources)
    assert code == 0, err
    return read_page(Path(out.splitlines()[-1]))


@pytest.mark.parametrize("strategy", ["random", "information"])
def test_the_page_comes_to_the_verdict_that_the_log_states(
    make: MakePlan, call: Call, strategy: str
) -> None:
    (log,) = run(make(strategy=strategy))
    said = early(log).metadata if strategy == "random" else log.eval.metadata["midband_run"]  # type: ignore[index]
    page = page_of(call, path_of(log).parent)
    assert page.verdict[0] == (
        f"Rank {said['rank']} of 20, between {said['low']} and {said['high']} with 90 % confidence"
        " at the stop."
    )
    rely = " ".join(page.sections["Can you rely on it?"])
    assert "the very verdict that the run stated" in rely
    assert page.facts["Candidate"] == "toy/97"
    assert "--model toy/97" in page.facts["Command"]
    assert log.samples is not None
    assert page.verdict[1].startswith(f"{len(log.samples)} of 40 tasks ran")
    assert ("Observed against predicted" in page.numbers) is (strategy == "information")
    assert page_of(call, path_of(log)).verdict == page.verdict


def test_a_log_that_was_changed_is_found_out(make: MakePlan, call: Call) -> None:
    (log,) = run(make(strategy="information"))
    whole = read_eval_log(log.location)
    assert whole.eval.metadata is not None
    whole.eval.metadata["midband_run"]["rank"] = 20
    write_eval_log(whole, log.location)
    page = page_of(call, path_of(log))
    assert any("rank: 20 stated" in each for each in page.warnings)


def test_an_unfinished_log_shows_what_is_known(make: MakePlan, call: Call) -> None:
    (log,) = run(make(strategy="information"))
    whole = read_eval_log(log.location)
    whole.status = "started"
    write_eval_log(whole, log.location)
    page = page_of(call, path_of(log))
    assert any("still running" in each for each in page.missing)


def test_the_plan_is_found_beside_the_log_and_asked_for_elsewhere(
    make: MakePlan, call: Call, one_line: OneLine, tmp_path: Path
) -> None:
    plan = make()
    (log,) = run(plan)
    moved = tmp_path / "moved" / "deeper" / "there"
    shutil.copytree(path_of(log).parent, moved)
    kept = plan.rename(tmp_path / "moved" / "kept.json")
    code, _, err = call("report", "run", moved)
    assert code == 2
    one_line(err, "expected plan", "midband report run PLAN LOG")
    assert page_of(call, kept, moved).verdict[0].startswith("Rank")
    shutil.copy(kept, moved.parent / "any.json")
    assert page_of(call, moved).verdict[0].startswith("Rank")


def test_a_log_that_no_plan_chose_is_one_line(
    call: Call, one_line: OneLine, make: MakePlan, tmp_path: Path
) -> None:
    (log,) = run(make())
    whole = read_eval_log(log.location)
    whole.eval.metadata, whole.eval.task_args = {}, {}
    plain = tmp_path / "plain.eval"
    write_eval_log(whole, str(plain))
    code, _, err = call("report", "run", plain)
    assert code == 2
    one_line(err, "which names none", "name the plan first")
    plain.write_bytes(plain.read_bytes()[:1000])
    code, _, err = call("report", "run", plain)
    assert code != 0
    one_line(err)
