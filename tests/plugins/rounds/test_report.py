"""``midband report run`` on directories of `midband run`: ended, going on, broken, empty."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.browsing import Chromium
from tests.plugins.report.reading import Read, read_page
from tests.plugins.rounds.conftest import Bench, MakeBench

from midband_sampler import RankSettled

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
HOSTILE = "<script>document.title=1</script>"


def journal_of(bench: Bench) -> Path:
    return bench.directory / "rounds.jsonl"


def page_of(bench: Bench, *options: str) -> Read:
    code, out, err = bench.call("report", "run", bench.directory, *options)
    assert code == 0, err
    assert Path(out.strip()) == bench.directory.with_name("run-report.html")
    return read_page(Path(out.strip()))


def test_a_stopped_run_shows_the_verdict_that_the_run_came_to(
    make_bench: MakeBench, chromium: Chromium
) -> None:
    bench = make_bench(n=None, stop=RankSettled(0.6, 0.7))
    arguments = (
        "--cost",
        "0.25",
        "--agent",
        HOSTILE,
        "--error",
        bench.plan.tasks[2],
        "--api-key",
        "QX1",
    )
    code, out, err = bench.run("--json", arguments=arguments)
    assert code == 0, err
    said = json.loads(out)
    page = page_of(bench)
    low, high = said["low"], said["high"]
    assert page.verdict[0] == (
        f"Rank {said['rank']} of 13, between {low} and {high} with 60 % confidence at the stop."
    )
    ran, whole = said["tasks_started"], said["spent_usd"]
    assert page.verdict[1].startswith(f"{ran} of 40 tasks ran, 1 without a result; ")
    assert f"${whole:.2f} of $" in page.verdict[1]
    assert HOSTILE in page.title
    assert f"--ledger {bench.ledger.path} --cost 0.25" in page.facts["Command"]
    assert "QX1" not in page.path.read_text()
    assert len(page.tables["Tasks that ran"]) == min(ran, 25)
    assert "bounds" in " ".join(page.sections["Can you rely on it?"])
    assert len(page.numbers["How the rank interval closed"]) == said["tasks_run"]
    last = page.numbers["How the rank interval closed"][-1]
    assert (last["Best rank"], last["Worst rank"], last["Rank"]) == (low, high, said["rank"])
    chromium.check(page.path)


def test_a_run_that_chose_its_tasks_is_replayed_in_its_order(make_live: MakeBench) -> None:
    bench = make_live(n=7)
    code, out, err = bench.run("--json", "--round-size", "1")
    assert code == 0, err
    said = json.loads(out)
    page = page_of(bench)
    last = page.numbers["How the rank interval closed"][-1]
    assert (last["Best rank"], last["Worst rank"]) == (said["low"], said["high"])
    order = [task for each in bench.events("round") for task in list(each["tasks"])]  # type: ignore[call-overload]
    assert [row[1] for row in page.tables["Tasks that ran"]] == order
    assert "no confidence is claimed" in page.verdict[0], "its rule was not met"
    assert "60 %" not in page.verdict[0]
    assert (said["tasks_planned"], said["low"]) == (7, said["high"])
    # All planned tasks ran, which are few of the benchmark's: the terminal claims no more.
    assert "not claimed" in bench.run("--round-size", "1")[1]


def test_a_run_in_which_everything_failed_claims_nothing(bench: Bench) -> None:
    tasks = [word for task in bench.plan.tasks for word in ("--error", task)]
    bench.run(arguments=tuple(tasks))
    page = page_of(bench)
    assert "unknown" in page.verdict[0] or "Nothing is known" in page.verdict[0]
    assert "confidence" not in page.verdict[0]
    reasons = {row[1] for row in page.tables["Tasks that did not run, or have no result"]}
    assert any("no result" in each for each in reasons)


def test_a_half_written_line_is_left_out_and_left_alone(bench: Bench) -> None:
    bench.run()
    path = journal_of(bench)
    whole = page_of(bench)
    path.write_bytes(path.read_bytes() + b'{"event": "round", "na')
    before = path.read_bytes()
    page = page_of(bench)
    assert page.verdict == whole.verdict
    assert any("cut off" in each for each in page.missing)
    assert path.read_bytes() == before


def test_a_run_that_still_goes_on_shows_what_is_known(bench: Bench) -> None:
    bench.run()
    path = journal_of(bench)
    *lines, last = path.read_bytes().splitlines(keepends=True)
    assert json.loads(last)["event"] == "ended"
    path.write_bytes(b"".join(lines))
    page = page_of(bench)
    assert any("still running" in each for each in page.missing)
    assert "so far" in page.verdict[0]
    rows = page.tables["Tasks that did not run, or have no result"]
    assert "begun, no result yet" in {row[1] for row in rows}


@pytest.mark.parametrize("content", ["", "begun"])
def test_an_empty_run_says_that_nothing_is_known(bench: Bench, content: str) -> None:
    bench.run()
    path = journal_of(bench)
    first = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(first if content else b"")
    page = page_of(bench)
    assert page.verdict[0].startswith("Nothing is known yet")
    assert page.verdict[1].startswith("0 of 40 tasks ran")
    assert page.missing


def test_a_damaged_journal_and_a_plan_of_a_later_version_are_one_line(
    bench: Bench, one_line: OneLine
) -> None:
    bench.run()
    path = journal_of(bench)
    content = path.read_text()
    path.write_text(content.replace('"event": "round"', '"event": 1', 1))
    code, _, err = bench.call("report", "run", bench.directory)
    assert code == 1
    one_line(err, "rounds.jsonl", "line 2")
    path.write_text(content)
    plan = bench.directory / "plan.json"
    plan.write_text(plan.read_text().replace('"midband_plan": ', '"midband_plan": 9', 1))
    code, _, err = bench.call("report", "run", bench.directory)
    assert code != 0
    one_line(err, "update midband")
    plan.unlink()
    code, _, err = bench.call("report", "run", bench.directory)
    assert code == 2
    one_line(err, "expected the plan of the run")
