"""Runs in rounds and the metric of their plan: what is read, what is refused, and when."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.rounds.adapter import StandIn

from midband.descriptors import ReadOptions
from midband_history import Metric, Record, UnreadableSourceError

if TYPE_CHECKING:
    from tests.plugins.rounds.conftest import Bench, MakeBench

    OneLine = Callable[..., None]


class Reader(StandIn):
    """Names the metric of its results, and can be told which one to read.

    Parameters
    ----------
    metrics : Metric
        What its files hold.
    value : callable
        From a score in [0, 1] to the metric's scale.
    """

    def __init__(self, *metrics: Metric, value: Callable[[float], float] = float) -> None:
        self.metrics = metrics
        self.value = value
        self.told: list[ReadOptions] = []

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: ReadOptions | None = None
    ) -> Iterator[Record]:
        options = options or ReadOptions()
        self.told.append(options)
        held = {metric.label: metric for metric in self.metrics}
        wanted = options.metric or next(iter(held))
        if wanted not in held and "" not in held:
            msg = f"{path}: expected a metric of {', '.join(held)}, got --metric {wanted}"
            raise UnreadableSourceError(msg)
        for record in super().read_results(path, benchmark=benchmark):
            score = None if record.score is None else self.value(record.score)
            yield replace(record, score=score, metric=held.get(wanted, Metric()))


def _without_metric(bench: "Bench") -> None:
    replace(bench.plan, metric=None).write(bench.plan_path)


def test_the_metric_of_the_plan_is_read(bench: "Bench") -> None:
    harness = Reader(Metric(name="other"), Metric(name="reward"))
    bench.plugin.harness = harness
    code, out, error = bench.run("--errors", "failed", "--json")
    assert code == 0, error
    assert json.loads(out)["tasks_run"] == 12
    assert {each.metric for each in harness.told} == {"reward"}
    assert {each.errors for each in harness.told} == {"failed"}


def test_results_by_another_metric_end_the_run_before_more_is_spent(
    bench: "Bench", one_line: "OneLine"
) -> None:
    bench.plugin.harness = Reader(Metric(name="other"))
    code, out, error = bench.run("--round-size", 5)
    assert code == 2
    assert out == ""
    last = error.splitlines()[-1]
    one_line(last, "other", "reward", "the metric of the plan")
    paid = len(bench.ledger.results)
    assert paid == 5
    assert bench.events("ended") == []
    bench.run("--round-size", 5)
    assert len(bench.ledger.results) == paid
    bench.plugin.harness = Reader(Metric(name="reward"))
    code, out, error = bench.run("--round-size", 5, "--json")
    assert code == 0, error
    assert json.loads(out)["tasks_run"] == len(bench.ledger.results) == 12


def test_scores_are_brought_from_the_scale_of_the_plan(bench: "Bench") -> None:
    expected = json.loads(bench.run("--json")[1])
    stars = Metric(name="stars", low=1, high=5, lower_is_better=True, declared="user")
    replace(bench.plan, metric=stars).write(bench.plan_path)
    bench.directory = bench.directory.with_name("other")
    bench.plugin.harness = Reader(Metric(name="stars"), value=lambda score: 5 - 4 * score)
    code, out, error = bench.run("--json")
    assert code == 0, error
    found = json.loads(out)
    assert (found["score"], found["rank"]) == (expected["score"], expected["rank"])


@pytest.mark.parametrize(
    "options", [("--metric", "other"), ("--scale", 0, 10), ("--lower-is-better",)]
)
def test_what_contradicts_the_plan_is_refused_before_money_is_spent(
    bench: "Bench", one_line: "OneLine", options: tuple[object, ...]
) -> None:
    bench.plugin.harness = Reader(Metric(name="reward"))
    code, _, error = bench.run(*options)
    assert code == 2
    one_line(error, "the plan", "reward")
    assert bench.ledger.started == []


def test_an_unknown_metric_is_asked_for_once(bench: "Bench", one_line: "OneLine") -> None:
    _without_metric(bench)
    bench.plugin.harness = Reader(Metric(name="reward"))
    code, _, error = bench.run()
    assert code == 2
    one_line(error, "--metric NAME")
    assert bench.ledger.started == []
    code, _, error = bench.run("--metric", "reward", "--max-tasks", 4)
    assert code == 0, error
    code, out, error = bench.run("--json")
    assert code == 0, error
    assert json.loads(out)["tasks_run"] == len(bench.ledger.results) == 12
    code, _, error = bench.run("--metric", "other")
    assert code == 2
    one_line(error, "--metric reward", "other")


def test_a_plan_of_midband_0_1_goes_on_with_a_warning(bench: "Bench") -> None:
    replace(bench.plan, metric=None, versions={"midband": "0.1.0"}).write(bench.plan_path)
    bench.plugin.harness = Reader(Metric(name="reward"))
    code, _, error = bench.run()
    assert code == 0, error
    assert "does not say which metric" in error
    assert len(bench.ledger.results) == 12


def test_a_reader_without_options_that_names_no_metric_goes_on_with_a_note(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old(StandIn):
        def read_results(self, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
            for record in super().read_results(path, benchmark=benchmark):
                yield replace(record, metric=Metric())

    bench.plugin.harness = Old()
    code, _, error = bench.run()
    assert code == 0, error
    assert "the results name no metric: taken as reward" in error


def test_a_reader_that_can_be_told_and_names_no_metric_is_asked(
    bench: "Bench", one_line: "OneLine"
) -> None:
    bench.plugin.harness = Reader(Metric())
    code, _, error = bench.run("--round-size", 5)
    assert code == 2
    one_line(error.splitlines()[-1], "unknown", "--metric reward")
    assert len(bench.ledger.results) == 5
    bench.plugin.harness = Reader(Metric())
    code, _, error = bench.run("--round-size", 5, "--metric", "reward")
    assert code == 0, error
    assert len(bench.ledger.results) == 12


def test_errors_beyond_the_limit_end_the_run(make_bench: "MakeBench") -> None:
    bench = make_bench(n=12)
    broken = [word for task in bench.plan.tasks[:3] for word in ("--error", task)]
    code, _, error = bench.run("--round-size", 4, "--max-errors", 2, arguments=tuple(broken))
    assert code == 1
    assert "too many errors: 3 attempts" in error
    assert len(bench.ledger.rounds) == 1


def test_a_limit_of_errors_that_is_none_is_refused(bench: "Bench", one_line: "OneLine") -> None:
    code, _, error = bench.run("--max-errors", "many")
    assert code == 2
    one_line(error, "many", "20%")
    assert bench.ledger.started == []
