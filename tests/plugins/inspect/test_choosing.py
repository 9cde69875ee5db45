import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband.inspect.choosing_run import ChoosingRun
from midband.inspect.metric import ScoreReader
from midband_history import Metric, OutcomeMatrix
from midband_sampler import Plan, RankSettled, Session, make_plan

N_TASKS = 15


@cache
def plan_of(max_tasks: int | None = None) -> Plan:
    rng = np.random.default_rng(3)
    chance = np.linspace(0.1, 0.9, 12)[:, None] + rng.normal(0.0, 0.15, N_TASKS)
    matrix = OutcomeMatrix.from_scores(
        (rng.random((12, N_TASKS)) < chance).astype(float), benchmark="toy"
    )
    rule = RankSettled(confidence=0.9, width=0.5)
    return make_plan(matrix, strategy="information", stop=rule, max_tasks=max_tasks)


def begin(
    plan: Plan,
    *,
    epochs: int = 1,
    width: int = 4,
    limit: int | None = None,
    gone: int = 0,
    earlier: tuple[str, ...] = (),
) -> ChoosingRun:
    run = ChoosingRun(
        plan,
        eval_id="e",
        model="toy/1",
        epochs=epochs,
        reader=ScoreReader(Metric()),
        show=lambda *_: None,
        available=set(plan.tasks[gone:]),
        width=width,
        limit=limit,
        earlier=earlier,
    )
    run.open()
    return run


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    epochs=st.integers(1, 3),
    width=st.integers(1, 7),
    limit=st.none() | st.integers(1, N_TASKS),
    max_tasks=st.sampled_from([None, 6]),
    gone=st.integers(0, 3),
)
def test_whatever_comes_back_and_in_whatever_order_the_run_ends_with_the_verdict_of_its_log(
    data: st.DataObject,
    epochs: int,
    width: int,
    limit: int | None,
    max_tasks: int | None,
    gone: int,
) -> None:
    plan = plan_of(max_tasks)
    run = begin(plan, epochs=epochs, width=width, limit=limit, gone=gone)
    logged: list[tuple[str, float | None, str]] = []
    at_work = [(task, epoch) for task in run.hand_out() for epoch in range(1, epochs + 1)]
    while at_work:
        task, epoch = at_work.pop(data.draw(st.integers(0, len(at_work) - 1)))
        end = data.draw(st.sampled_from(["pass", "fail", "none", "error", "lost"]))
        if end == "lost":
            run.lost(task, epoch, "cancelled")
        elif end == "error":
            run.errored(task, epoch, "RuntimeError('no sandbox')")
            logged.append((task, None, "infra_error"))
        else:
            score = {"pass": 1.0, "fail": 0.0, "none": None}[end]
            run.scored(task, epoch, score)
            logged.append((task, score, "valid"))
        new = run.hand_out()
        at_work += [(task, each) for task in new for each in range(1, epochs + 1)]
        assert len({task for task, _ in at_work}) <= -(-width // epochs)
    assert not run.waiting
    assert run.hand_out(idle=True) == []
    assert len(set(run.order)) == len(run.order) <= min(limit or N_TASKS, max_tasks or N_TASKS)
    report = run.close()
    assert report["error"] is None
    most = N_TASKS - gone if limit is None else min(limit, N_TASKS - gone)
    assert report["stop"] or len(run.order) == most
    session = Session(plan)
    for task in run.order:
        session.start(task)
    unlogged = report["unlogged"]
    assert isinstance(unlogged, list)
    for task in unlogged:
        session.tell(task, outcome="missing", usd=0.0, seconds=0.0)
    for task, score, kind in logged:
        session.tell(task, score=score, outcome=kind)
    decision = json.loads(json.dumps(session.decision().to_dict()))
    for name in ("rank", "low", "high", "score", "tasks_run", "tasks_without_result", "reason"):
        assert report[name] == decision[name], name


def test_what_an_interrupted_attempt_started_comes_first_and_in_its_order() -> None:
    def results(run: ChoosingRun, *, last_first: bool) -> None:
        at_work = run.hand_out()
        for _ in range(6):
            task = at_work.pop(-1 if last_first else 0)
            run.scored(task, 1, float(plan_of().tasks.index(task) % 2))
            at_work += run.hand_out()

    first, other = begin(plan_of(), width=3), begin(plan_of(), width=3)
    results(first, last_first=False)
    results(other, last_first=True)
    assert other.order != first.order
    second = begin(plan_of(), width=3, earlier=tuple(first.order))
    results(second, last_first=True)
    assert second.order == first.order


def test_an_error_that_a_second_try_makes_good_counts_as_the_second_try() -> None:
    run, plain = begin(plan_of(), width=1), begin(plan_of(), width=1)
    for each in (run, plain):
        (task,) = each.hand_out()
        if each is run:
            each.errored(task, 1, "RuntimeError('no sandbox')")
        each.scored(task, 1, 1.0)
        each.scored(task, 1, 0.0)  # said twice: the first score stands
    assert run.report() | {"order": None} == plain.report() | {"order": None}
    assert run.report()["samples_scored"] == 1


@pytest.mark.parametrize("message", ["CancelledError('by hand')", "Cancelled('by hand')"])
def test_what_is_cancelled_makes_room(message: str) -> None:
    run = begin(plan_of(), width=2)
    tasks = run.hand_out()
    assert run.hand_out() == []
    run.errored(tasks[0], 1, message)
    run.lost(tasks[1], 1, "cancelled")
    assert len(run.hand_out()) == 2
    assert run.report()["tasks_without_result"] == 2
    assert run.report()["unlogged"] == [tasks[1]]
