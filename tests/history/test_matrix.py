"""What is read out: rates that count an agent once, dates that are honest, errors that help."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from midband_history import History, InputError, LeftOut, Record, UnknownBenchmarkError

JANUARY, MARCH = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)


def _record(agent: str, task: str, score: float, **other: object) -> Record:
    return Record(benchmark="toy", agent=agent, task_id=task, score=score, **other)  # type: ignore[arg-type]


@pytest.fixture
def history() -> Iterator[History]:
    with History.in_memory() as opened:
        opened.add(
            [
                *(_record("often", "1", s, attempt=i) for i, s in enumerate([0, 0, 0, 1])),
                _record("once", "1", 1.0, started=JANUARY, model="m", scaffold="s"),
                _record("late", "1", 0.0, started=MARCH, run_id="r1", run_cost_usd=3.0),
                _record("late", "2", 1.0, started=MARCH, run_id="r1", run_cost_usd=3.0),
            ]
        )
        yield opened


def test_a_rate_counts_an_agent_once_however_often_it_tried(history: History) -> None:
    rate = history.pass_rates("toy", agents=["often", "once"])[0]
    assert rate.pass_rate == pytest.approx((0.25 + 1.0) / 2)
    assert (rate.agents, rate.attempts) == (2, 5)


def test_rows_and_columns_are_sorted_and_attempts_in_order(history: History) -> None:
    matrix = history.outcomes("toy")
    assert matrix.agents == ("late", "often", "once")
    assert matrix.tasks == ("1", "2")
    assert matrix.attempt_scores[1, 0].tolist() == [0, 0, 0, 1]
    assert np.isnan(matrix.attempt_scores[2, 0]).tolist() == [False, True, True, True]
    assert (matrix.models[2], matrix.scaffolds[2]) == ("m", "s")
    assert matrix.run_cost_usd[0] == 3.0
    assert np.isnan(matrix.run_cost_usd[1])
    assert np.isnat(matrix.dates[1])


def test_as_of_sees_nothing_later_and_nothing_undated(history: History) -> None:
    matrix = history.outcomes("toy", as_of=JANUARY + timedelta(days=9))
    assert matrix.agents == ("once",)
    assert matrix.tasks == ("1",)
    assert history.left_out("toy", as_of=JANUARY) == LeftOut(later=1, undated=1, kept=1)


def test_as_of_holds_the_moment_itself_in_any_zone(history: History) -> None:
    before = JANUARY - timedelta(seconds=1)
    with pytest.raises(InputError, match="2 later and 1 of unknown date"):
        history.outcomes("toy", as_of=before)
    elsewhere = JANUARY.astimezone(timezone(timedelta(hours=5)))
    assert history.outcomes("toy", as_of=elsewhere).agents == ("once",)
    assert history.outcomes("toy", as_of=JANUARY.replace(tzinfo=None)).agents == ("once",)


def test_agents_are_chosen_and_excluded_by_label_or_glob(history: History) -> None:
    assert history.outcomes("toy", agents=["o*"]).agents == ("often", "once")
    assert history.outcomes("toy", exclude_agents=["o*"]).agents == ("late",)
    assert history.outcomes("toy", agents=["o*"], exclude_agents=["once"]).agents == ("often",)


def test_a_label_with_brackets_means_itself() -> None:
    with History.in_memory() as history:
        history.add([_record("a [high]", "1", 1.0), _record("a h", "1", 0.0)])
        assert history.outcomes("toy", agents=["a [high]"]).agents[0] == "a [high]"


def test_an_unknown_agent_or_an_empty_choice_is_refused(history: History) -> None:
    with pytest.raises(InputError, match="got 'nobody'"):
        history.outcomes("toy", agents=["nobody"])
    with pytest.raises(InputError, match="none of 3"):
        history.outcomes("toy", exclude_agents=["*"])


def test_an_unknown_benchmark_names_those_there_are(history: History) -> None:
    with pytest.raises(UnknownBenchmarkError, match="got 'nope': it holds toy") as caught:
        history.pass_rates("nope")
    assert "\n" not in str(caught.value)


def test_an_empty_history_says_so() -> None:
    with History.in_memory() as history:
        assert history.benchmarks() == []
        with pytest.raises(UnknownBenchmarkError, match="it is empty, import results first"):
            history.outcomes("toy")


def test_summaries_of_agents_and_benchmarks(history: History) -> None:
    late = next(agent for agent in history.agents("toy") if agent.name == "late")
    assert (late.tasks, late.mean, late.first) == (2, 0.5, MARCH)
    summary = history.benchmarks()[0]
    assert (summary.tasks, summary.agents, summary.attempts) == (2, 3, 7)
    assert (summary.first, summary.last, summary.cost_usd) == (JANUARY, MARCH, 3.0)


def test_only_failed_attempts_make_an_empty_matrix() -> None:
    with History.in_memory() as history:
        history.add(
            [Record(benchmark="toy", agent="a", task_id="1", score=None, kind="infra_error")]
        )
        matrix = history.outcomes("toy")
        assert (matrix.agents, matrix.tasks) == ((), ("1",))
        assert np.isnan(history.pass_rates("toy")[0].pass_rate)
        (agent,) = history.agents("toy")
        assert (agent.name, agent.tasks, agent.without_score) == ("a", 0, 1)
        assert np.isnan(agent.mean)


def test_the_mean_number_of_tokens_is_over_the_attempts_that_say_it() -> None:
    told = [Record(benchmark="b", task_id=f"t{n}", agent="a", score=1.0, tokens=n) for n in (0, 4)]
    untold = Record(benchmark="b", task_id="t9", agent="a", score=0.0)
    with History.in_memory() as history:
        history.add([untold])
        assert np.isnan(history.mean_tokens("b"))
        history.add(told)
        assert history.mean_tokens("b") == 2.0
        assert np.isnan(history.mean_tokens("b", as_of=datetime(2020, 1, 1, tzinfo=UTC)))
