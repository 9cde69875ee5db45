"""The sections of a history's page: agents, tasks, gaps and sources, each with its charts."""

import math
from itertools import takewhile

import numpy as np

from midband.report.history_charts import (
    MOST_POINTS,
    agents_over_time,
    heat_map,
    pass_rates,
    tasks_by_cohort,
)
from midband.report.history_facts import HistoryFacts
from midband.report.page import Cell, Chart, Section, Table
from midband.report.words import counted
from midband_history import OutcomeMatrix
from midband_sampler import TaskCheck, can_be_replayed

_MOST_ROWS = 100
_FEW_AGENTS = 5


def sections_of(facts: HistoryFacts) -> tuple[Section, ...]:
    """Return the sections that have something to show."""
    made = (_agents, _rates, _separation, _map, _gaps, _sources)
    found = (make(facts) for make in made)
    return tuple(section for section in found if section.text or section.parts)


def _agents(facts: HistoryFacts) -> Section:
    matrix = facts.matrix
    able = np.flatnonzero(can_be_replayed(matrix)) if matrix.agents else np.zeros(0, dtype=int)
    parts: list[Chart | Table] = []
    spec = agents_over_time(matrix, able.tolist())
    binned = int((~np.isnat(matrix.dates[able])).sum()) > MOST_POINTS
    if spec is not None:
        how = (
            "Each dot counts the agents of one date and score" if binned else "Each dot is an agent"
        )
        parts.append(
            Chart(
                title="Agents over time",
                spec=spec,
                reading=f"{how}; the line is the best score so far, and a flat line means that no"
                " later agent did better.",
            )
        )
    order = np.argsort(-np.nan_to_num(matrix.full_scores(), nan=-1.0), kind="stable")
    if order.size:
        parts.append(_agent_table(facts, order.tolist()))
    return Section(title="Agents", parts=tuple(parts))


def _agent_table(facts: HistoryFacts, order: list[int]) -> Table:
    matrix = facts.matrix
    scores, total = matrix.full_scores(), len(matrix.tasks)
    shown = order[:_MOST_ROWS]
    ran = (matrix.attempts > 0).sum(axis=1)
    dates = matrix.dates.astype("datetime64[D]")
    columns: dict[str, list[object]] = {
        "Agent": [matrix.agents[row] for row in shown],
        "Model": [matrix.models[row] or None for row in shown],
        "First run": [None if np.isnat(dates[row]) else str(dates[row]) for row in shown],
        "Score, %": [_points(float(scores[row])) for row in shown],
        "Tasks": [int(ran[row]) for row in shown],
        "Missing": [total - int(ran[row]) for row in shown],
        "No score": [facts.unscored.get(matrix.agents[row], 0) for row in shown],
        "Cost": [_dollars(matrix, row) for row in shown],
    }
    if columns["Model"] == columns["Agent"]:
        del columns["Model"]
    # What is unknown throughout is said above, and takes no room here.
    known = {name: each for name, each in columns.items() if any(v is not None for v in each)}
    return Table(
        title="Agents",
        columns=tuple(known),
        rows=tuple(zip(*known.values(), strict=True)),
        note=_cut(len(order), "agent", "the best")
        + "A score is the mean over the tasks that the agent ran. Missing counts tasks without a"
        " result, and No score counts attempts that gave none.",
    )


def _dollars(matrix: OutcomeMatrix, row: int) -> Cell | None:
    """Return what an agent's results cost, one attempt a task; the cost of its run otherwise."""
    costs = matrix.cost_usd[row]
    known = ~np.isnan(costs)
    cost = float(costs[known].sum()) if known.any() else float(matrix.run_cost_usd[row])
    return None if math.isnan(cost) else Cell(f"${cost:,.2f}", cost)


def _rates(facts: HistoryFacts) -> Section:
    rates = facts.matrix.pass_rates()
    if not (~np.isnan(rates)).any():
        return Section(title="Pass rates")
    return Section(
        title="Pass rates",
        parts=(
            Chart(
                title="Pass rates of the tasks",
                spec=pass_rates(rates),
                reading="Bars count tasks by the share of agents that pass them; the shaded band of"
                " 30-70 % holds the tasks that tell agents apart best.",
            ),
        ),
    )


def _separation(facts: HistoryFacts) -> Section:
    found = facts.tasks.tasks
    if not facts.matrix.agents:
        return Section(title="Tasks that no longer separate")
    count = {
        name: sum(each.separation == name for each in found) for name in ("all pass", "none pass")
    }
    negative = [each for each in found if each.item_rest < 0]
    broken = [each for each in found if each.broken is True]
    text = (
        f"All of the newest agents pass {counted(count['all pass'], 'task')}, and none of them"
        f" passes {counted(count['none pass'], 'task')}: running these cannot change a rank among"
        " such agents.",
        _contrary(len(negative), len(broken)),
    )
    parts: list[Chart | Table] = []
    spec = tasks_by_cohort(facts.tasks)
    if spec is not None:
        parts.append(
            Chart(
                title="Tasks that separate the agents of each period",
                spec=spec,
                reading="Each bar is a group of agents by the date of their first run; the blue"
                " part counts the tasks on which their scores differ.",
            )
        )
    worth = sorted(
        (each for each in found if each.stale or each.item_rest < 0 or each.broken),
        key=lambda each: (not each.broken, not each.stale, _known(each.item_rest)),
    )
    if worth:
        parts.append(
            Table(
                title="Tasks to look at",
                columns=("Task", "Why", "Pass rate, %", "Agents", "Discrimination"),
                rows=tuple(_task_row(each) for each in worth[:_MOST_ROWS]),
                note=_cut(len(worth), "task", "the first")
                + "Discrimination is the correlation of the scores on the task with the scores on"
                " the other tasks.",
            )
        )
    return Section(title="Tasks that no longer separate", text=text, parts=tuple(parts))


def _contrary(negative: int, broken: int) -> str:
    if not negative:
        return "There is no task on which weaker agents do better than stronger ones."
    bad = "none of these is so contrary that the task is probably broken"
    if broken:
        bad = f"{counted(broken, 'task')} of these {'is' if broken == 1 else 'are'} probably broken"
    return (
        f"On {counted(negative, 'task')} weaker agents do better than stronger ones (negative"
        f" discrimination); {bad}."
    )


def _task_row(task: TaskCheck) -> tuple[object, ...]:
    why = []
    if task.broken:
        why.append(f"probably broken: {task.why}")
    if task.stale:
        newest = {
            "all pass": "all of the newest agents pass",
            "none pass": "none of the newest passes",
        }
        why.append(newest.get(task.separation, "the newest agents have the same score"))
    if task.item_rest < 0 and not task.broken:
        why.append("weaker agents do better, which may be chance")
    rest = Cell(f"{task.item_rest:.2f}", None if math.isnan(task.item_rest) else task.item_rest)
    return task.task_id, "; ".join(why), _points(task.pass_rate), task.agents, rest


def _map(facts: HistoryFacts) -> Section:
    if not facts.matrix.agents:
        return Section(title="Agents and tasks")
    spec, tall, wide = heat_map(facts.matrix)
    binned = tall > 1 or wide > 1
    block = " by ".join(
        counted(each, noun) for each, noun in ((tall, "agent"), (wide, "task")) if each > 1
    )
    text = (
        (f"The map is binned so that it stays readable: a cell is the mean of up to {block}.",)
        if binned
        else ()
    )
    return Section(
        title="Agents and tasks",
        text=text,
        parts=(
            Chart(
                title="Scores of agents on tasks",
                spec=spec,
                reading="Rows are agents, the best on top; columns are tasks, the easiest on the"
                " left; a cell without colour has no result.",
            ),
        ),
    )


def _gaps(facts: HistoryFacts) -> Section:
    matrix = facts.matrix
    if not matrix.agents:
        return Section(title="Gaps")
    ran = matrix.attempts > 0
    most = len(matrix.tasks)
    agents, tasks = ran.sum(axis=1), ran.sum(axis=0)
    part = np.flatnonzero(agents < most)
    few = np.flatnonzero(tasks < min(_FEW_AGENTS, len(matrix.agents)))
    if not part.size and not few.size:
        return Section(title="Gaps", text=("Every agent has a result on every task.",))
    text = (
        f"{counted(part.size, 'agent')} of {len(matrix.agents):,} lack a result on some task, and"
        f" {counted(few.size, 'task')} of {most:,} were run by fewer than {_FEW_AGENTS} agents.",
    )
    parts: list[Chart | Table] = []
    if part.size:
        order = part[np.argsort(agents[part], kind="stable")]
        parts.append(
            Table(
                title="Agents with missing tasks",
                columns=("Agent", "Tasks run", "Tasks missing", "Missing, %"),
                rows=tuple(
                    (
                        matrix.agents[row],
                        int(agents[row]),
                        int(most - agents[row]),
                        _points(1 - agents[row] / most),
                    )
                    for row in order[:_MOST_ROWS]
                ),
                note=_cut(part.size, "agent", "those that lack most"),
            )
        )
    if few.size:
        order = few[np.argsort(tasks[few], kind="stable")]
        parts.append(
            Table(
                title="Tasks with few agents",
                columns=("Task", "Agents", "Attempts without a score"),
                rows=tuple(
                    (
                        matrix.tasks[column],
                        int(tasks[column]),
                        int(matrix.without_score[:, column].sum()),
                    )
                    for column in order[:_MOST_ROWS]
                ),
                note=_cut(few.size, "task", "those with the fewest agents"),
            )
        )
    return Section(title="Gaps", text=text, parts=tuple(parts))


def _sources(facts: HistoryFacts) -> Section:
    fault = {each.source: each.fault for each in facts.faults}
    waiting = len(facts.waiting)
    text = []
    if facts.sources:
        text.append(
            f"The results come from {counted(len(facts.sources), 'source')}; "
            + (
                f"{len(fault):,} should be imported again."
                if fault
                else "no reader is out of date."
            )
        )
    if waiting:
        text.append(
            f"{counted(waiting, 'batch', 'batches')} {'lies' if waiting == 1 else 'lie'} in the"
            " inbox: readers count them already, and `midband history compact` takes them into"
            " the file."
        )
    folder = _folder([each.source for each in facts.sources])
    rows = tuple(
        (
            each.source.removeprefix(folder) or "not named",
            each.reader or "midband 0.1",
            each.attempts,
            each.agents,
            each.added.date().isoformat(),
            fault.get(each.source, "up to date"),
        )
        for each in facts.sources[:_MOST_ROWS]
    )
    table = Table(
        title="Sources",
        columns=("Source", "Reader", "Attempts", "Agents", "Imported", "State"),
        rows=rows,
        note=_cut(len(facts.sources), "source", "the largest")
        + (f"All of them lie below {folder}" if folder else ""),
    )
    return Section(title="Sources", text=tuple(text), parts=(table,) if rows else ())


def _folder(sources: list[str]) -> str:
    """Return the folder that all sources lie in, with a last ``/``; empty if there is none."""
    folders = [source.split("/")[:-1] for source in sources]
    common = list(takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False)))
    found = "".join(f"{names[0]}/" for names in common)
    return "" if len(sources) < 2 or found == "/" else found


def _points(share: float) -> Cell | None:
    return None if math.isnan(share) else Cell(f"{100 * share:.1f}", 100 * share)


def _known(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _cut(number: int, noun: str, which: str) -> str:
    if number <= _MOST_ROWS:
        return ""
    return f"The table shows {which} {_MOST_ROWS} of {counted(number, noun)}. "
