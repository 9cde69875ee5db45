"""The charts of a run: how its rank settled, among whom, what was expected, and what it cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from midband.report.course import Course
from midband.report.page import Chart
from midband.report.sources import RunResults
from midband.report.words import counted, dollars, percent

AGENTS_SHOWN = 40
_FEW_LOOKS = 60  # so many intervals can be told apart; of more only the outline is drawn


def closing_chart(course: Course) -> Chart:
    """Return how the rank interval closed as results came in."""
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
        "axis": {"values": _rank_ticks(of), "format": ",d"},
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
                "mark": {
                    "type": "rule",
                    "color": "$accent",
                    "opacity": 0.35 if len(values) <= _FEW_LOOKS else 0,
                    "strokeWidth": 2 if len(values) <= _FEW_LOOKS else 8,
                },
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
        "The shaded area is the rank interval after each task, and the line is the estimated rank;"
        " the area narrows as results come in"
        + (", and the run stops once its rule is met." if decision.claims else ".")
    )
    summary = (
        f"After {counted(last.tasks, 'task')} the rank lies between {last.low} and {last.high} of"
        f" {of}."
    )
    return Chart(title="How the rank interval closed", spec=spec, reading=reading, summary=summary)


def _rank_ticks(last: int) -> list[int]:
    """Return the ranks that an axis from 1 names, about six of them, with the last."""
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if last / each < 7)
    inside = range(step if step > 1 else 2, last, step)
    return [1, *(each for each in inside if each > 1 and last - each >= step / 2), last]


def reference_scores(course: Course) -> tuple[Any, Any]:
    """Return the mean score of each reference agent on the target, and its deviation."""
    plan = course.plan
    target = np.ones(len(plan.all_tasks), dtype=bool)
    if course.decision.target != "full benchmark":
        target = np.zeros(len(plan.all_tasks), dtype=bool)
        target[plan.columns] = True
    return plan.scores_on(target)


def candidate_label(found: RunResults) -> str:
    """Return what the candidate is called beside the reference agents."""
    name = found.agent or "the candidate"
    return f"{name} (this run)" if name in found.plan.reference_agents else name


def _shared_beginning(names: Sequence[str]) -> str:
    """Return what all names begin with, up to a slash: it says nothing beside a chart."""
    beginning, slash, _ = names[0].partition("/") if len(names) > 1 else ("", "", "")
    shared = beginning + slash
    return shared if slash and all(name.startswith(shared) for name in names) else ""


def agents_chart(found: RunResults, course: Course) -> Chart:
    """Return the candidate with its bounds among the known agents."""
    decision, plan = course.decision, course.plan
    means, deviations = reference_scores(course)
    tied = set(decision.tie_group) if not math.isnan(decision.target_score) else set()
    rows: list[dict[str, Any]] = [
        {
            "Agent": name,
            "Score": score,
            "Low": max(score - error, 0.0) if error else None,
            "High": min(score + error, 1.0) if error else None,
            "Bounds": f"one standard error is {percent(error)}" if error else "taken as exact",
            "Kind": "cannot be told from the candidate" if name in tied else "reference agent",
        }
        for name, score, error in zip(
            plan.reference_agents, means.tolist(), deviations.tolist(), strict=True
        )
    ]
    known = not math.isnan(decision.target_score)
    if known:
        rows.append(
            {
                "Agent": candidate_label(found),
                "Score": decision.target_score,
                "Low": decision.target_score_low,
                "High": decision.target_score_high,
                "Bounds": f"{percent(decision.target_score_low)} to"
                f" {percent(decision.target_score_high)}",
                "Kind": "candidate",
            }
        )
    centre = decision.target_score if known else 1.0
    shown = sorted(rows, key=lambda row: abs(row["Score"] - centre))[:AGENTS_SHOWN]
    shown = sorted(shown, key=lambda row: -row["Score"])
    kinds = ["candidate", "cannot be told from the candidate", "reference agent"]
    shared = _shared_beginning([row["Agent"] for row in shown])
    for row in shown:
        row["Name"] = row["Agent"][len(shared) :]
    order = [row["Name"] for row in shown]
    y = {"field": "Name", "type": "nominal", "sort": order, "title": None}
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
        "scale": {"domain": kinds, "range": ["diamond", "circle", "square"]},
    }
    size = {"condition": {"test": "datum.Kind === 'candidate'", "value": 190}, "value": 60}
    tooltip = [
        {"field": "Agent"},
        {"field": "Score", "format": ".1%"},
        {"field": "Bounds"},
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
        reading += (
            " The bar of a reference agent is one standard error, for the results that it lacks."
        )
    if shared:
        reading += f" All names begin with {shared}"
        reading += "" if reading.endswith(".") else "."
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


def rates_chart(course: Course) -> Chart:
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


def predictions_chart(rows: Sequence[Mapping[str, Any]], *, each: int, inside: int) -> Chart:
    """Return observed against predicted scores.

    Parameters
    ----------
    rows : sequence of mapping
        A group of tasks each.
    each : int
        About how many tasks a group has.
    inside : int
        Groups whose observed score is within what chance explains.
    """
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
    return Chart(
        title="Observed against predicted",
        spec=spec,
        reading=(
            f"Each dot is a group of about {each} tasks with similar predictions; it"
            " should lie within its bar, which spans two standard errors to either side."
        ),
        summary=f"{inside} of {len(rows)} groups lie within their bar.",
        wide=False,
    )


def cost_chart(course: Course) -> Chart | None:
    """Return what was spent as tasks were judged; None where that is not known."""
    money = course.money
    values: list[dict[str, Any]] = [{"Tasks": 0, "Spent": 0.0}]
    values += [
        {"Tasks": each.tasks, "Spent": each.usd}
        for each in course.looks
        if not math.isnan(each.usd)
    ]
    if len(values) == 1:
        return None
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
    tooltip = [{"field": "Tasks"}, {"field": "Spent", "format": "$,.2f"}]
    layers: list[Mapping[str, Any]] = [
        {
            "mark": {"type": "area", "color": "$accent", "opacity": 0.2, "line": True},
            "encoding": {"x": x, "y": y},
        },
        {
            "mark": {"type": "point", "color": "$accent", "filled": True, "size": 25},
            "encoding": {"x": x, "y": y, "tooltip": tooltip},
        },
    ]
    if not math.isnan(money.whole):
        whole = {"values": [{"Full run": money.whole, "Label": "expected for a full run"}]}
        height = {"field": "Full run", "type": "quantitative"}
        text = {"type": "text", "align": "left", "x": 6, "dy": 14, "fontSize": 12}
        layers += [
            {
                "data": whole,
                "mark": {"type": "rule", "color": "$second", "strokeDash": [6, 4], "size": 2},
                "encoding": {"y": height},
            },
            {
                "data": whole,
                "mark": {**text, "color": "$second"},
                "encoding": {"y": height, "text": {"field": "Label"}},
            },
        ]
    return Chart(
        title="What was spent as tasks were judged",
        spec={"height": 240, "data": {"values": values}, "layer": layers},
        reading="The area is what the judged tasks cost together; the dashed line is what all tasks"
        " of the benchmark are expected to cost.",
        summary=f"At the end {dollars(values[-1]['Spent'])} were spent on judged tasks.",
    )
