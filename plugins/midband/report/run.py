"""The report of a run: how its rank settled, what it rests on, what it cost, what did not run."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from midband.report.course import Course, TaskRun, follow
from midband.report.page import Cell, Chart, Page, Section, Table
from midband.report.sources import RunResults
from midband.report.words import (
    basis,
    believe,
    counted,
    dollars,
    headline,
    percent,
    rests_on,
)
from midband.text import without_credentials

AGENTS_SHOWN = 40
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
        verdict=(headline(decision, plan), basis(course), rests_on(found, course)),
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
        ("Metric", metric),
        (
            "Tasks",
            f"{len(plan.tasks):,} planned of {len(plan.all_tasks):,}, {chosen}",
        ),
        ("Strategy", plan.strategy),
        ("Stopping rule", rule_text(plan.stop)),
        ("Plan", f"{found.plan.digest}, made with {versions or 'an unknown version'}"),
        *found.facts,
        ("Date of the run", _moments(found.dates)),
        ("History up to", plan.as_of),
        ("Report", f"made {made:%Y-%m-%d %H:%M} UTC with midband {version('midband')}"),
        ("Command of this report", without_credentials(command)),
    ]
    return tuple((name, value) for name, value in rows if value)


def rule_text(rule: object) -> str:
    """Return a stopping rule in words: its name, and its settings by name."""
    if not is_dataclass(rule):
        return type(rule).__name__
    name = str(getattr(rule, "name", "") or type(rule).__name__)
    said = []
    for each in fields(rule):
        value = getattr(rule, each.name)
        if each.name == "rules" or (isinstance(value, tuple) and value and is_dataclass(value[0])):
            return f" {_JOINS.get(name, name)} ".join(rule_text(part) for part in value)
        if each.name != "min_tasks" and value is not None:
            said.append(f"{each.name.replace('_', ' ')} {value}")
    return f"{name} ({', '.join(said)})" if said else name


_JOINS = {"any": "or", "all": "and"}


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
        parts.append(_closing(course))
    parts.append(_among(found, course))
    parts.append(_agents_table(found, course))
    if decision.differences:
        parts.append(_differences_table(course))
    text = [
        f"The candidate is ranked among {counted(len(plan.reference_agents), 'reference agent')} on"
        f" the {decision.target}: ranks go from 1, the best, to {of}."
    ]
    if decision.tie_group and decision.rank is not None:
        text.append(
            f"{counted(len(decision.tie_group), 'reference agent')} cannot be told from the"
            " candidate: their scores lie within the bounds of its score."
        )
    return Section(title="The rank", text=tuple(text), parts=tuple(parts))


def _closing(course: Course) -> Chart:
    decision = course.decision
    of = decision.n_reference + 1
    values = [
        {"Tasks": each.tasks, "Best rank": each.low, "Worst rank": each.high, "Rank": each.rank}
        for each in course.looks
    ]
    last = course.looks[-1]
    x = {
        "field": "Tasks",
        "type": "quantitative",
        "title": "Tasks judged",
        "scale": {"zero": True, "nice": False},
        "axis": {"grid": False, "tickMinStep": 1, "format": ",d"},
    }
    y = {
        "type": "quantitative",
        "title": "Rank (1 is best)",
        "scale": {"domain": [of, 1], "nice": False, "zero": False},
        "axis": {"tickMinStep": 1, "format": ",d"},
    }
    tooltip = [{"field": name, "format": ",d"} for name in values[0]]
    spec = {
        "height": 280,
        "data": {"values": values},
        "encoding": {"x": x},
        "layer": [
            {
                "mark": {
                    "type": "area",
                    "interpolate": "step-after",
                    "color": "$accent",
                    "opacity": 0.22,
                },
                "encoding": {
                    "y": {**y, "field": "Best rank"},
                    "y2": {"field": "Worst rank"},
                },
            },
            {
                "mark": {"type": "rule", "color": "$accent", "opacity": 0.35, "strokeWidth": 2},
                "encoding": {
                    "y": {**y, "field": "Best rank"},
                    "y2": {"field": "Worst rank"},
                    "tooltip": tooltip,
                },
            },
            {
                "mark": {
                    "type": "line",
                    "interpolate": "step-after",
                    "color": "$second",
                    "strokeWidth": 2.5,
                },
                "encoding": {"y": {**y, "field": "Rank"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 30, "color": "$second"},
                "encoding": {"y": {**y, "field": "Rank"}, "tooltip": tooltip},
            },
        ],
    }
    reading = (
        "The shaded band is the rank interval after each task, and the line is the estimated rank;"
        " the band narrows as results come in"
        + (", and the run stops once its rule is met." if decision.claims else ".")
    )
    summary = (
        f"After {counted(last.tasks, 'task')} the rank lies between {last.low} and {last.high} of"
        f" {of}."
    )
    return Chart(title="How the rank interval closed", spec=spec, reading=reading, summary=summary)


def _reference_scores(course: Course) -> tuple[Any, Any]:
    """Return the mean score of each reference agent on the target, and its deviation."""
    plan = course.plan
    target = np.ones(len(plan.all_tasks), dtype=bool)
    if course.decision.target != "full benchmark":
        target = np.zeros(len(plan.all_tasks), dtype=bool)
        target[plan.columns] = True
    return plan.scores_on(target)


def _candidate_label(found: RunResults) -> str:
    return f"{found.agent or 'the candidate'} (this run)"


def _among(found: RunResults, course: Course) -> Chart:
    decision, plan = course.decision, course.plan
    means, deviations = _reference_scores(course)
    tied = set(decision.tie_group) if not math.isnan(decision.target_score) else set()
    rows: list[dict[str, Any]] = [
        {
            "Agent": name,
            "Score": float(means[place]),
            "Low": float(max(means[place] - deviations[place], 0.0)),
            "High": float(min(means[place] + deviations[place], 1.0)),
            "Kind": "cannot be told from the candidate" if name in tied else "reference agent",
        }
        for place, name in enumerate(plan.reference_agents)
    ]
    known = not math.isnan(decision.target_score)
    if known:
        rows.append(
            {
                "Agent": _candidate_label(found),
                "Score": decision.target_score,
                "Low": decision.target_score_low,
                "High": decision.target_score_high,
                "Kind": "candidate",
            }
        )
    centre = decision.target_score if known else 1.0
    shown = sorted(rows, key=lambda row: abs(row["Score"] - centre))[:AGENTS_SHOWN]
    shown = sorted(shown, key=lambda row: -row["Score"])
    kinds = ["candidate", "cannot be told from the candidate", "reference agent"]
    order = [row["Agent"] for row in shown]
    y = {"field": "Agent", "type": "nominal", "sort": order, "title": None}
    x = {"type": "quantitative", "axis": {"format": ".0%", "tickCount": 6}}
    title = f"Score on the {decision.target}"
    colour = {
        "field": "Kind",
        "type": "nominal",
        "title": None,
        "scale": {"domain": kinds, "range": ["$second", "$accent", "$muted"]},
    }
    shape = {
        "field": "Kind",
        "type": "nominal",
        "title": None,
        "scale": {"domain": kinds, "range": ["diamond", "circle", "circle"]},
    }
    size = {"condition": {"test": "datum.Kind === 'candidate'", "value": 190}, "value": 70}
    tooltip = [
        {"field": "Agent"},
        *({"field": name, "format": ".1%"} for name in ("Score", "Low", "High")),
        {"field": "Kind"},
    ]
    spec = {
        "height": {"step": 19},
        "data": {"values": shown},
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.75},
                "encoding": {
                    "x": {**x, "field": "Low", "title": title, "scale": {"zero": False}},
                    "x2": {"field": "High"},
                    "color": colour,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "opacity": 1},
                "encoding": {
                    "x": {**x, "field": "Score", "title": title, "scale": {"zero": False}},
                    "color": colour,
                    "shape": shape,
                    "size": size,
                    "tooltip": tooltip,
                },
            },
        ],
    }
    reading = "Each dot is an agent's score, and the bar of the candidate shows its bounds."
    if bool(np.any(deviations > 0)):
        reading += " Bars of reference agents show the error of results that they lack."
    if len(rows) > len(shown):
        reading += f" The {len(shown)} agents nearest to the candidate are shown of {len(rows):,}."
    above = sum(row["Score"] > centre for row in rows if row["Kind"] != "candidate")
    summary = (
        f"{counted(above, 'reference agent')} {'has' if above == 1 else 'have'} a higher score than"
        f" the candidate, whose score is {percent(centre)}."
        if known
        else "The candidate has no score yet."
    )
    return Chart(
        title="The candidate among the known agents", spec=spec, reading=reading, summary=summary
    )


def _agents_table(found: RunResults, course: Course) -> Table:
    decision, plan = course.decision, course.plan
    means, _ = _reference_scores(course)
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
            (score, (_candidate_label(found), Cell(percent(score), score), None, None, None))
        )
    rows.sort(key=lambda row: -row[0])
    own = (
        [n for n, (_, row) in enumerate(rows) if row[0] == _candidate_label(found)] if known else []
    )
    return Table(
        title="All agents",
        columns=(
            "Agent",
            "Score",
            "Tasks with a result",
            "Compared with the candidate",
            "Chance that the candidate is better",
        ),
        rows=tuple(row for _, row in rows),
        note="The chance is given for the agents that are nearest. It is an estimate and no claim.",
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
            f" {outside} of {bins} groups lie outside of what chance explains."
            if outside
            else " No group of tasks lies outside of what chance explains."
        ),
    )
    axis = {"format": ".0%", "tickCount": 5}
    unit = {"domain": [0, 1], "nice": False}
    x = {"field": "Predicted", "type": "quantitative", "scale": unit, "axis": axis}
    y = {"type": "quantitative", "scale": unit, "axis": axis, "title": "Observed score"}
    tooltip = [
        *({"field": n, "format": ".1%"} for n in rows[0] if n != "Tasks"),
        {"field": "Tasks"},
    ]
    spec = {
        "height": 300,
        "data": {"values": rows},
        "layer": [
            {
                "data": {"values": [{"Predicted": 0, "Same": 0}, {"Predicted": 1, "Same": 1}]},
                "mark": {"type": "line", "color": "$muted", "strokeDash": [4, 4]},
                "encoding": {
                    "x": {**x, "title": "Predicted score"},
                    "y": {**y, "field": "Same"},
                },
            },
            {
                "mark": {"type": "bar", "width": 10, "color": "$accent", "opacity": 0.25},
                "encoding": {
                    "x": {**x, "title": "Predicted score"},
                    "y": {**y, "field": "Expected low"},
                    "y2": {"field": "Expected high"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "color": "$second"},
                "encoding": {"x": x, "y": {**y, "field": "Observed"}, "tooltip": tooltip},
            },
        ],
    }
    chart = Chart(
        title="Observed against predicted",
        spec=spec,
        reading=(
            f"Each dot is a group of about {len(runs) // bins} tasks with similar predictions; it"
            " should lie within its bar, which spans two standard errors to either side."
        ),
        summary=f"{bins - outside} of {bins} groups lie within their bar.",
        wide=False,
    )
    return Section(
        title="Observed against predicted", text=text, parts=(chart, _rates_chart(course))
    )


def _rates_chart(course: Course) -> Chart:
    """Return which tasks ran, by their pass rate among the known agents."""
    ran = {each.task for each in course.runs}
    values = []
    for low in np.arange(0.0, 1.0, 0.1):
        inside = [
            task
            for task, rate in zip(course.plan.all_tasks, course.pass_rates.tolist(), strict=True)
            if low <= rate < low + 0.1 or (low > 0.85 and rate == 1.0)
        ]
        started = sum(task in ran for task in inside)
        name = f"{round(100 * low)} to {round(100 * low) + 10} %"
        base = {"Pass rate": name, "Place": round(10 * low)}
        values.append({**base, "State": "ran", "Tasks": started})
        values.append({**base, "State": "did not run", "Tasks": len(inside) - started})
    spec = {
        "height": 300,
        "data": {"values": values},
        "mark": {"type": "bar"},
        "encoding": {
            "x": {
                "field": "Pass rate",
                "type": "ordinal",
                "sort": {"field": "Place"},
                "title": "Pass rate among the reference agents",
                "axis": {"labelAngle": -45},
            },
            "y": {"field": "Tasks", "type": "quantitative", "title": "Tasks"},
            "color": {
                "field": "State",
                "type": "nominal",
                "title": None,
                "scale": {"domain": ["ran", "did not run"], "range": ["$accent", "$faint"]},
            },
            "order": {"field": "State", "sort": "descending"},
            "tooltip": [{"field": "Pass rate"}, {"field": "State"}, {"field": "Tasks"}],
        },
    }
    return Chart(
        title="Which tasks ran",
        spec=spec,
        reading="Each bar holds the tasks of a range of pass rates; the coloured part of it ran.",
        summary=f"{len(ran):,} of {len(course.plan.all_tasks):,} tasks ran.",
        wide=False,
    )


def _cost_section(course: Course) -> Section | None:
    money = course.money
    if math.isnan(money.spent):
        return None
    text = []
    if not math.isnan(money.whole) and money.whole > 0:
        text.append(
            f"The run spent {'about ' if money.is_guessed else ''}{dollars(money.spent)}. The tasks"
            f" that did not run would have cost about {dollars(money.left)}, by the history:"
            f" {percent(money.left / money.whole, 0)} of a full run were saved."
        )
    values: list[dict[str, Any]] = [
        {"Tasks": each.tasks, "Spent": each.usd}
        for each in course.looks
        if not math.isnan(each.usd)
    ]
    parts: list[Chart | Table] = []
    if values:
        values.insert(0, {"Tasks": 0, "Spent": 0.0})
        x = {
            "field": "Tasks",
            "type": "quantitative",
            "title": "Tasks judged",
            "axis": {"grid": False, "tickMinStep": 1, "format": ",d"},
        }
        y = {
            "field": "Spent",
            "type": "quantitative",
            "title": "US dollars",
            "axis": {"format": "$,.4~r" if money.spent < 100 else "$,d"},
        }
        layers: list[Mapping[str, Any]] = [
            {
                "mark": {"type": "area", "color": "$accent", "opacity": 0.2, "line": True},
                "encoding": {"x": x, "y": y},
            },
            {
                "mark": {"type": "point", "color": "$accent", "filled": True, "size": 25},
                "encoding": {
                    "x": x,
                    "y": y,
                    "tooltip": [{"field": "Tasks"}, {"field": "Spent", "format": "$,.2f"}],
                },
            },
        ]
        if not math.isnan(money.whole):
            whole = {"values": [{"Full run": money.whole, "Label": "expected for a full run"}]}
            y_whole = {"field": "Full run", "type": "quantitative"}
            layers += [
                {
                    "data": whole,
                    "mark": {"type": "rule", "color": "$second", "strokeDash": [6, 4], "size": 2},
                    "encoding": {"y": y_whole},
                },
                {
                    "data": whole,
                    "mark": {
                        "type": "text",
                        "align": "left",
                        "x": 6,
                        "dy": 14,
                        "color": "$second",
                        "fontSize": 12,
                    },
                    "encoding": {"y": y_whole, "text": {"field": "Label"}},
                },
            ]
        parts.append(
            Chart(
                title="What was spent as tasks were judged",
                spec={"height": 240, "data": {"values": values}, "layer": layers},
                reading="The area is what the judged tasks cost together; the dashed line is what"
                " all tasks of the benchmark are expected to cost.",
                summary=f"At the end {dollars(values[-1]['Spent'])} were spent on judged tasks.",
            )
        )
    return Section(title="Cost", text=tuple(text), parts=tuple(parts))


def _tasks_section(found: RunResults, course: Course) -> Section:
    ran = tuple(
        (
            each.place,
            each.task,
            each.outcome,
            _share(each.predicted),
            _share(each.pass_rate),
            Cell(dollars(each.usd), each.usd),
            Cell(f"{each.seconds:,.1f} s", each.seconds),
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
