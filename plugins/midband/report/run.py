"""The report of a run: how its rank settled, what it rests on, what it cost, what did not run."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from midband.report.course import Course, TaskRun, follow
from midband.report.page import Cell, Chart, Page, Section, Table
from midband.report.run_charts import (
    agents_chart,
    candidate_label,
    closing_chart,
    cost_chart,
    predictions_chart,
    rates_chart,
    reference_scores,
)
from midband.report.sources import RunResults
from midband.report.words import (
    basis,
    believe,
    counted,
    dollars,
    duration,
    headline,
    percent,
    rests_on,
    rule_text,
)
from midband.text import without_credentials

_FEWEST = 10  # results that a comparison with predictions needs
_BINS = 8


def run_page(found: RunResults, *, command: str = "", made: datetime | None = None) -> Page:
    """Return the report of one run.

    Parameters
    ----------
    found : RunResults
    command : str
        With which the report is made.
    made : datetime, optional
        When it is made; now by default.
    """
    course = follow(found)
    decision, plan = course.decision, course.plan
    who = found.agent or "an unknown agent"
    return Page(
        title=f"Run of {who} on {plan.benchmark}",
        verdict=(headline(decision), basis(course), rests_on(found, course)),
        facts=_facts(found, course, command=command, made=made or datetime.now(UTC)),
        warnings=tuple(_warnings(found, course)),
        missing=tuple(_missing(found, course)),
        sections=tuple(
            each
            for each in (
                _rank_section(found, course),
                Section(title="Can you rely on it?", text=tuple(believe(found, course))),
                _prediction_section(course),
                _cost_section(course),
                _tasks_section(found, course),
            )
            if each is not None
        ),
    )


def _facts(
    found: RunResults, course: Course, *, command: str, made: datetime
) -> tuple[tuple[str, str], ...]:
    plan = course.plan
    versions = ", ".join(f"{name} {each}" for name, each in plan.versions.items())
    chosen = "chosen live, after each result" if found.started is not None else "in a fixed order"
    metric = "unknown" if plan.metric is None else plan.metric.label
    rows = [
        ("Command", without_credentials(found.command)),
        ("Candidate", found.agent or "unknown"),
        ("Agents", f"{counted(len(plan.reference_agents), 'reference agent')} and the candidate"),
        ("Benchmark", plan.benchmark + (f", version {plan.version}" if plan.version else "")),
        ("Date of the run", _moments(found.dates)),
        ("Metric", metric),
        (
            "Tasks",
            f"{len(plan.tasks):,} planned of {len(plan.all_tasks):,}, {chosen}",
        ),
        ("Strategy", plan.strategy),
        ("Stops when", rule_text(plan.stop)),
        ("Plan", f"{found.plan.digest}, made with {versions or 'an unknown version'}"),
        *found.facts,
        ("History up to", plan.as_of),
        ("Report", f"made {made:%Y-%m-%d %H:%M} UTC with midband {version('midband')}"),
        ("Command of this report", without_credentials(command)),
    ]
    return tuple((name, value) for name, value in rows if value)


def _moments(dates: Sequence[datetime]) -> str:
    shown = dict.fromkeys(f"{each:%Y-%m-%d %H:%M} UTC" for each in dates)
    return " to ".join(shown)


def _warnings(found: RunResults, course: Course) -> Iterator[str]:
    yield from found.warnings
    if course.differences:
        yield (
            "The results do not lead to the verdict that the run stated"
            f" ({'; '.join(course.differences)}). The files were changed, or another version of"
            " midband made them."
        )
    for each in course.decision.warnings:
        yield f"{each[0].upper()}{each[1:]}." if each else each
    known = len(course.plan.reference_agents)
    if known < 5:
        yield (
            f"The candidate is compared with {counted(known, 'reference agent')} only. A rank among"
            " so few says little."
        )
    if found.agent in course.plan.reference_agents:
        yield "The candidate is one of the reference agents, and so is ranked against itself too."


def _missing(found: RunResults, course: Course) -> Iterator[str]:
    yield from found.missing
    if not found.agent:
        yield "The results do not name the agent that ran."
    if math.isnan(course.money.spent):
        yield "What the run cost is not known: neither it nor the history records costs."
    elif course.money.is_guessed and course.runs:
        spent = course.money.spent - (
            0 if math.isnan(course.money.recorded) else course.money.recorded
        )
        yield (
            f"The cost of some attempts was not recorded. {dollars(spent)} of what was spent is"
            " what the history expects for them."
        )
    elif math.isnan(course.money.whole):
        yield "What a full run would cost is not known: the history records no costs."
    if course.plan.model is None:
        yield "The plan has no response model, so nothing was predicted of a task before it ran."
    elif 0 < len(_compared(course)) < _FEWEST:
        yield (
            f"Observed and predicted results are not compared, because fewer than {_FEWEST} results"
            " are there."
        )
    if course.plan.metric is None:
        yield "The plan does not name its metric."


def _rank_section(found: RunResults, course: Course) -> Section:
    plan, decision = course.plan, course.decision
    of = decision.n_reference + 1
    parts: list[Chart | Table] = []
    if course.looks:
        parts.append(closing_chart(course))
    parts.append(agents_chart(found, course))
    parts.append(_agents_table(found, course))
    if decision.differences:
        parts.append(_differences_table(course))
    text = [
        f"The candidate is ranked among {counted(len(plan.reference_agents), 'reference agent')} on"
        f" the {decision.target}: ranks go from 1, the best, to {of:,}."
    ]
    if decision.tie_group and decision.rank is not None:
        text.append(
            f"{counted(len(decision.tie_group), 'reference agent')} cannot be told from the"
            " candidate: their scores lie within the bounds of its score."
        )
    return Section(title="The rank", text=tuple(text), parts=tuple(parts))


def _agents_table(found: RunResults, course: Course) -> Table:
    decision, plan = course.decision, course.plan
    means, _ = reference_scores(course)
    known = not math.isnan(decision.target_score)
    rows: list[tuple[float, tuple[object, ...]]] = []
    for place, name in enumerate(plan.reference_agents):
        score = float(means[place])
        runs = int((~np.isnan(plan.reference_scores[place])).sum())
        chance = decision.better_than.get(name)
        relation = None
        if known:
            relation = "higher" if score > decision.target_score_high else "lower"
            relation = "cannot be told apart" if name in decision.tie_group else relation
        shown = None if chance is None else Cell(f"{100 * chance:.0f} %", chance)
        rows.append((score, (name, Cell(percent(score), score), runs, relation, shown)))
    if known:
        score = decision.target_score
        rows.append(
            (score, (candidate_label(found), Cell(percent(score), score), None, None, None))
        )
    rows.sort(key=lambda row: -row[0])
    own = (
        [n for n, (_, row) in enumerate(rows) if row[0] == candidate_label(found)] if known else []
    )
    return Table(
        title="All agents",
        columns=(
            "Agent",
            "Score",
            "Tasks with a result",
            "Against the candidate",
            "Chance to be better",
        ),
        rows=tuple(row for _, row in rows),
        note="The chance that the candidate is better is given for the agents that are nearest. It"
        " is an estimate and no claim.",
        highlight=tuple(own),
    )


def _differences_table(course: Course) -> Table:
    rows = [
        (
            agent,
            *(Cell(f"{100 * each[n]:+.1f} points", each[n]) for n in ("estimate", "low", "high")),
        )
        for agent, each in course.decision.differences.items()
    ]
    return Table(
        title="Differences that the stopping rule judges",
        columns=("Reference agent", "Candidate minus agent", "Low", "High"),
        rows=tuple(rows),
        note="In percentage points of the score on the target.",
    )


def _compared(course: Course) -> list[TaskRun]:
    return [
        each
        for each in course.runs
        if not math.isnan(each.score) and not math.isnan(each.predicted)
    ]


def _prediction_section(course: Course) -> Section | None:
    runs = _compared(course)
    if len(runs) < _FEWEST:
        return None
    runs = sorted(runs, key=lambda each: each.predicted)
    bins = max(2, min(_BINS, len(runs) // 5))
    rows = []
    for part in np.array_split(np.arange(len(runs)), bins):
        group = [runs[place] for place in part]
        predicted = [each.predicted for each in group]
        mean = math.fsum(predicted) / len(group)
        observed = math.fsum(each.score for each in group) / len(group)
        error = 2 * math.sqrt(math.fsum(p * (1 - p) for p in predicted)) / len(group)
        rows.append(
            {
                "Predicted": mean,
                "Observed": observed,
                "Expected low": max(0.0, mean - error),
                "Expected high": min(1.0, mean + error),
                "Tasks": len(group),
            }
        )
    total = math.fsum(each.score for each in runs)
    expected = math.fsum(each.predicted for each in runs)
    outside = sum(
        not row["Expected low"] <= row["Observed"] <= row["Expected high"] for row in rows
    )
    text = (
        "Before each result the response model predicts it from the results so far. Where the"
        " candidate behaves like the known agents, observed and predicted scores agree.",
        f"Over {counted(len(runs), 'result')} the model expected {expected:.1f} points in total,"
        f" and the candidate got {total:.1f}."
        + (
            f" {outside} of {bins} groups of tasks {'lies' if outside == 1 else 'lie'} outside of"
            f" {'its bar' if outside == 1 else 'their bars'}; about one in twenty does by chance."
            if outside
            else " No group of tasks lies outside of its bar."
        ),
    )
    chart = predictions_chart(rows, each=len(runs) // bins, inside=bins - outside)
    return Section(
        title="Observed against predicted", text=text, parts=(chart, rates_chart(course))
    )


def _cost_section(course: Course) -> Section | None:
    money = course.money
    if math.isnan(money.spent):
        return None
    text = []
    if not math.isnan(money.whole) and money.whole > 0:
        decision, saved = course.decision, percent(money.left / money.whole, 0)
        text.append(
            f"The run spent {'about ' if money.is_guessed else ''}{dollars(money.spent)}. By the"
            " history, the tasks that did not run are expected to cost about"
            f" {dollars(money.left)}."
            + (f" That saved about {saved} of the cost of a full run." if decision.stop else "")
        )
    chart = cost_chart(course)
    return Section(title="Cost", text=tuple(text), parts=(chart,) if chart else ())


def _tasks_section(found: RunResults, course: Course) -> Section:
    ran = tuple(
        (
            each.place,
            each.task,
            each.outcome,
            _share(each.predicted),
            _share(each.pass_rate),
            Cell(dollars(each.usd), each.usd),
            Cell(duration(each.seconds), each.seconds),
            Cell(f"{each.tokens:,.0f}", each.tokens),
            "yes" if each.judged else "no",
        )
        for each in course.runs
    )
    not_run = tuple(_not_run(found, course))
    parts: list[Chart | Table] = []
    if ran:
        parts.append(
            Table(
                title="Tasks that ran",
                columns=(
                    "Order",
                    "Task",
                    "Outcome",
                    "Predicted",
                    "Pass rate",
                    "Cost",
                    "Time",
                    "Tokens",
                    "Judged",
                ),
                rows=ran,
                note="In the order in which they are judged. The pass rate is that of the reference"
                " agents.",
            )
        )
    if not_run:
        parts.append(
            Table(
                title="Tasks that did not run, or have no result",
                columns=("Task", "Reason", "Pass rate", "Expected cost"),
                rows=not_run,
            )
        )
    text = () if ran else ("No task has run yet.",)
    return Section(title="Tasks", text=text, parts=tuple(parts))


def _share(value: float) -> Cell:
    return Cell(percent(value, 0), value)


def _not_run(found: RunResults, course: Course) -> Iterator[tuple[object, ...]]:
    plan, decision = course.plan, course.decision
    expected = plan.expected_cost_usd.tolist()
    runs = {each.task: each for each in course.runs}
    planned, open_tasks = set(plan.tasks), set(found.open_tasks)
    for place, task in enumerate(plan.all_tasks):
        if task in runs:
            if not math.isnan(runs[task].score):
                continue
            reason = f"{runs[task].outcome}"
        elif task in open_tasks:
            reason = "begun, no result yet"
        elif task in found.unlogged:
            reason = "started, but never ran"
        elif task not in planned:
            reason = "not in the plan"
        elif decision.stop:
            reason = "not chosen before the stop"
        else:
            reason = "not chosen yet"
        cost = expected[place]
        yield task, reason, _share(float(course.pass_rates[place])), Cell(dollars(cost), cost)
