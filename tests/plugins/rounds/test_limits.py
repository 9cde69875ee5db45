"""Limits in tokens and seconds, and limits that the benchmarks of a suite share."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from midband import Record
from midband.suite import NotPlanned, Planned, Suite
from midband_history import OutcomeMatrix
from midband_sampler import Never, make_plan

if TYPE_CHECKING:
    from tests.plugins.rounds.conftest import Bench, MakeBench

TOKENS, SECONDS = 100.0, 10.0


@pytest.fixture
def bench(make_bench: "MakeBench", monkeypatch: pytest.MonkeyPatch) -> "Bench":
    """Return a bench whose harness records tokens and durations."""
    made = make_bench()
    whole = type(made.plugin.harness).read_results

    def read(self: Any, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
        for record in whole(self, path, benchmark=benchmark):
            yield replace(record, tokens=TOKENS, duration_s=SECONDS)

    monkeypatch.setattr(type(made.plugin.harness), "read_results", read)
    return made


@pytest.mark.parametrize(
    ("option", "limit", "most", "said"),
    [
        ("--max-tokens", 650, 6, "token limit reached: 600 of 650 tokens spent"),
        ("--max-seconds", 45, 4, "time limit reached: 40 of 45 seconds spent"),
    ],
)
def test_limits_in_tokens_and_seconds_are_hard(
    bench: "Bench", option: str, limit: int, most: int, said: str
) -> None:
    words = ("--round-size", 4, option, limit)
    code, out, _ = bench.run(*words)
    assert code == 0
    assert said in out
    assert len(bench.ledger.started) == most
    found = json.loads(bench.run(*words, "--json")[1])
    assert len(bench.ledger.started) == most
    assert (found["spent_tokens"], found["spent_seconds"]) == (most * TOKENS, most * SECONDS)


def test_the_historys_mean_lets_the_first_round_be_a_whole_one(bench: "Bench") -> None:
    replace(bench.plan, mean_tokens=TOKENS).write(bench.plan_path)
    bench.run("--round-size", 2, "--max-tokens", 1150)
    assert len(bench.ledger.rounds[0]) == 2
    assert len(bench.ledger.started) == 11


def test_tokens_that_nothing_tells_refuse_the_limit_after_one_task(
    make_bench: "MakeBench",
) -> None:
    silent = make_bench()
    code, _, error = silent.run("--round-size", 4, "--max-tokens", 900)
    assert code == 2
    assert "expected numbers of tokens to keep --max-tokens by" in error
    assert len(silent.ledger.started) == 1


def test_untold_tokens_count_as_the_historys_mean_with_a_warning(bench: "Bench") -> None:
    from midband_sampler import Session, parse_stop

    plan = replace(bench.plan, stop=parse_stop("tokens:1000"), mean_tokens=300.0)
    session = Session(plan)
    tasks = session.ask(4)
    for task in tasks[:3]:
        session.tell(task, score=1.0)
    assert not session.decision().stop
    assert "number of tokens of 3 attempts was not told" in session.decision().warnings[-1]
    session.tell(tasks[3], score=1.0, tokens=150.0)
    decision = session.decision()
    assert (decision.stop, decision.spent_tokens) == (True, 1050.0)
    unknown = Session(replace(plan, mean_tokens=float("nan")))
    for task in unknown.ask(6):
        unknown.tell(task, score=1.0)
    assert not unknown.decision().stop
    assert "nothing stops on it" in unknown.decision().warnings[-1]
    assert type(plan).from_json(plan.to_json()).mean_tokens == 300.0
    assert '"mean_tokens"' not in replace(plan, mean_tokens=float("nan")).to_json()


@pytest.fixture
def suite(bench: "Bench", toy_history: OutcomeMatrix, tmp_path: Path) -> Path:
    place = tmp_path / "suite"
    place.mkdir()
    planned = []
    for name in ("toy", "b/two"):
        plan = make_plan(replace(toy_history, benchmark=name), strategy="random", stop=Never())
        file = f"{name.replace('/', '-')}.json"
        plan.write(place / file)
        planned.append(Planned(benchmark=name, file=file, digest=plan.digest))
    gone = (NotPlanned(benchmark="three", reason="too few | agents"),)
    Suite(directory=place, planned=tuple(planned), not_planned=gone).write()
    return place


def test_the_benchmarks_of_a_suite_share_one_limit(
    bench: "Bench", suite: Path, tmp_path: Path
) -> None:
    bench.plan_path, summary = suite, tmp_path / "s.md"
    words = ("--round-size", 20, "--max-tokens", 4900, "--json", "--summary", summary)
    code, out, _ = bench.run(*words)
    assert code == 0
    first, second = json.loads(out)["benchmarks"]
    assert (first["benchmark"], first["tasks_run"]) == ("toy", 40)
    assert (second["benchmark"], second["tasks_run"]) == ("b/two", 9)
    assert "token limit reached" in second["reason"]
    assert len(bench.ledger.started) == 49
    assert json.loads(out)["spent_tokens"] == 4900.0
    assert "| three |" in summary.read_text()
    assert r"too few \| agents" in summary.read_text()
    # What earlier calls have spent counts, whichever benchmark spent it.
    bench.run("--round-size", 20, "--max-tokens", 5000, "--json")
    assert len(bench.ledger.started) == 50


def test_what_belongs_to_one_plan_is_refused_beside_a_suite(bench: "Bench", suite: Path) -> None:
    bench.plan_path = suite
    for words in (("--gate", "not-worse:a:2"), ("--benchmark", "x")):
        code, _, error = bench.run(*words)
        assert code == 2
        assert f"expected no {words[0]} beside a suite" in error
        assert len(error.splitlines()) == 1
    assert not bench.ledger.rounds
