"""The stored sums of attempts: whatever was done, they give what the attempts themselves give."""

import math
import shutil
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import (
    OUTCOME_KINDS,
    History,
    Inbox,
    Incoming,
    Metric,
    Record,
    repair_history,
    salvage_history,
)
from midband_history.connection import migrations, statement

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
SCALE = Metric(name="m", low=0.0, high=1.0, declared="source")
PLAIN = (0.0, 1.0)
GRADED = (0.0, 1.0, 0.1, 0.7, 1 / 3)
SMALL = (0.0, 1.0, 1e-9, 1 / 3)
Cell = list[tuple[int, float | None, float | None, float | None]]  # kind, score, cost, duration


@st.composite
def results(draw: st.DrawFn, scores: tuple[float, ...]) -> Record:
    kind = draw(st.sampled_from(OUTCOME_KINDS[:1] * 3 + OUTCOME_KINDS[1:2]))
    unnamed = kind != "valid" and draw(st.booleans())
    return Record(
        benchmark="b",
        task_id=draw(st.sampled_from("pqr")),
        agent=draw(st.sampled_from("xyz")),
        run_id=draw(st.sampled_from(["r1", "r2"])),
        started=draw(st.sampled_from([None, BEGIN, BEGIN + timedelta(days=9)])),
        attempt=draw(st.sampled_from([0, 1, 2, 3, 62, 63, 90])),
        kind=kind,
        score=draw(st.sampled_from(scores)) if kind == "valid" else None,
        scored_at=draw(st.sampled_from([None, BEGIN, BEGIN + timedelta(hours=1)])),
        metric=Metric() if unnamed else SCALE,
        cost_usd=draw(st.sampled_from([None, 0.1, 0.2, 1e-7, 1e6])),
        duration_s=draw(st.sampled_from([None, 0.3, 7.0])),
    )


def batches(*scores: tuple[float, ...]) -> st.SearchStrategy[list[Record]]:
    return st.sampled_from(scores).flatmap(
        lambda some: st.lists(results(some), min_size=1, max_size=12)
    )


STEPS = st.tuples(
    st.sampled_from(["add", "add", "replace", "forget", "merge", "inbox", "alias", "name"]),
    batches(PLAIN, GRADED, SMALL),
)


def _do(history: History, what: str, batch: list[Record]) -> None:
    first = batch[0]
    if what == "add":
        history.add(batch, source="added")
    elif what == "replace":  # by what is left of it
        held = history.readings_of(["c"], benchmark="", metric="").get("c", [])
        again = Incoming(records=batch, name="file", content="c", replaces=tuple(held))
        history.add_sources([again])
    elif what == "forget" and history.benchmarks():
        history.forget(agent=first.agent, run=first.run_id)
    elif what == "merge":
        with History.in_memory() as other:
            other.add(batch, source="theirs")
            history.merge(other)
    elif what == "inbox":
        assert history.path is not None
        with Inbox(history.path) as inbox:
            inbox.write(batch)
        history.compact()
    elif what == "alias":
        history.alias("agent", "z", "x")
    elif what == "name":
        history.add([replace(each, benchmark="c") for each in batch], source="other name")
        history.alias("benchmark", "c", "b")


def _attempts(history: History) -> dict[tuple[str, str], Cell]:
    """Read every attempt in the order in which it counts."""
    aliases = history.aliases("agent")
    rows = history._connection.execute(
        "SELECT agents.name, tasks.name, kind, score, outcomes.cost_usd, duration_s FROM outcomes"
        " JOIN runs USING (run_id) JOIN agents ON agents.agent_id = outcomes.agent_id"
        " JOIN tasks USING (task_id) JOIN benchmarks ON"
        " benchmarks.benchmark_id = runs.benchmark_id WHERE benchmarks.name = 'b'"
        " ORDER BY started NULLS LAST, runs.name, attempt, key"
    ).fetchall()
    found: dict[tuple[str, str], Cell] = defaultdict(list)
    for agent, task, *rest in rows:
        found[aliases.get(agent, agent), task].append(tuple(rest))
    return found


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _check(history: History) -> None:
    """Compare what is read from the cells with every attempt."""
    assert history.check({})[1] == []
    cells = _attempts(history)
    valid = {at: [one for one in cell if one[0] == 0] for at, cell in cells.items()}
    agents = sorted({agent for (agent, _), cell in valid.items() if cell})
    if not agents:
        return
    matrix = history.outcomes("b")
    assert list(matrix.agents) == agents
    assert list(matrix.tasks) == sorted({task for _, task in cells})
    wide = max(len(cell) for cell in valid.values())
    assert matrix.attempt_scores.shape == (len(agents), len(matrix.tasks), wide)
    shown = {each.task_id: each for each in history.pass_rates("b")}
    for column, task in enumerate(matrix.tasks):
        here = [valid.get((agent, task), []) for agent in agents]
        for row, cell in enumerate(here):
            scores = [one[1] for one in cell]
            each = matrix.attempt_scores[row, column]
            assert each[: len(cell)].tolist() == scores
            assert np.isnan(each[len(cell) :]).all()
            tried = len(cells.get((agents[row], task), []))
            assert matrix.attempts[row, column] == len(cell)
            assert matrix.without_score[row, column] == tried - len(cell)
            mean = np.nansum(each) / len(cell) if cell else math.nan
            np.testing.assert_array_equal(matrix.scores[row, column], mean)
            costs, durations = [one[2] for one in cell], [one[3] for one in cell]
            for grid, amounts in ((matrix.cost_usd, costs), (matrix.duration_s, durations)):
                known = [amount for amount in amounts if amount is not None]
                np.testing.assert_allclose(grid[row, column], _mean(known), rtol=1e-13)
        rate = shown[task]
        known_means = matrix.scores[:, column][~np.isnan(matrix.scores[:, column])]
        np.testing.assert_allclose(rate.pass_rate, _mean(known_means.tolist()), rtol=1e-13)
        assert rate.attempts == sum(len(cell) for cell in here)
        assert rate.without_score == int(matrix.without_score[:, column].sum())


@settings(deadline=None, max_examples=12)
@given(st.lists(STEPS, min_size=1, max_size=4))
def test_cells_give_what_the_attempts_give(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[Record]]]
) -> None:
    path = tmp_path_factory.mktemp("cells") / "h.duckdb"
    with History.open(path) as history:
        for what, batch in steps:
            _do(history, what, batch)
        _check(history)
    shutil.rmtree(path.parent)


@settings(deadline=None, max_examples=8)
@given(batches(PLAIN, GRADED), st.integers(0, 99))
def test_no_bit_of_a_rate_depends_on_the_order_of_import(batch: list[Record], seed: int) -> None:
    unique = list({(r.task_id, r.agent, r.run_id, r.started, r.attempt): r for r in batch}.values())
    shuffled = Random(seed).sample(unique, len(unique))
    with History.in_memory() as one, History.in_memory() as two:
        one.add(unique)
        for record in shuffled:
            two.add([record])
        assert repr(one.pass_rates("b")) == repr(two.pass_rates("b"))
        assert repr(one.agents("b")) == repr(two.agents("b"))


def _some(path: Path) -> Path:
    with History.open(path) as history:
        history.add(
            [
                Record(
                    benchmark="b", task_id=task, agent=agent, attempt=attempt, cost_usd=0.5,
                    score=float((ord(task) + attempt) % 2), metric=SCALE,
                )
                for task in "pqr" for agent in "xy" for attempt in range(3)
            ],
            source="file",
        )  # fmt: skip
    return path


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE cells SET valid = valid + 1 WHERE task_id = 1",
        "UPDATE cells SET solved = 0 WHERE solved > 0",
        "UPDATE cells SET score = NULL WHERE run_id = 1",
        "UPDATE cells SET cost_usd = cost_usd * 2",
        "DELETE FROM cells WHERE task_id = 2",
        "INSERT INTO cells FROM cells LIMIT 1",
        "INSERT INTO cells SELECT * REPLACE (99 AS task_id) FROM cells LIMIT 1",
    ],
)
def test_wrong_sums_are_found_and_repaired(tmp_path: Path, spoil: str) -> None:
    path = _some(tmp_path / "h.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute(spoil)
    with History.open(path, read_only=True) as history:
        (fault,) = history.check({})[1]
    assert "sums of a run at a task" in fault
    report = repair_history(path)
    assert [line.split()[:3] for line in report.done] == [["added", "up", "anew"]]
    assert report.left == ()
    with History.open(path) as history:
        _check(history)


def test_salvage_counts_anew_whatever_the_sums_were(tmp_path: Path) -> None:
    path = _some(tmp_path / "h.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM cells")
        connection.execute("DELETE FROM tasks WHERE task_id = 1")
    report = salvage_history(path, tmp_path / "new.duckdb")
    assert (report.kept, len(report.lost)) == (12, 1)
    with History.open(tmp_path / "new.duckdb") as history:
        _check(history)


def test_a_file_without_sums_gets_them_when_it_is_opened(tmp_path: Path) -> None:
    path = _some(tmp_path / "h.duckdb")
    with History.open(path, read_only=True) as history:
        expected = repr(history.pass_rates("b"))
    newest = migrations()[-1]
    assert newest == (4, "0004_cells")
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE cells")
        connection.execute("DELETE FROM midband_migrations WHERE number = 4")
    with History.open(path, read_only=True) as history:
        assert repr(history.pass_rates("b")) == expected
        _check(history)


def test_the_migration_and_the_upkeep_count_alike() -> None:
    text = statement("counted_cells")
    select = text[text.index("SELECT\n") : text.index("WHERE run_id IN")].strip()
    assert len(select) > 2000
    assert select in statement("0004_cells")
