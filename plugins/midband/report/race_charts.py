"""Charts of a race: ranks left open, cost against accuracy, spend, and how the race went."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from midband.report.race_facts import Look
from midband_sampler import racing

_NAMED = 6  # candidates that have a colour of their own
_LABELLED = 8  # more names than these would lie on each other
_LABELS = {"labelLimit": 170, "ticks": False, "domain": False}
_ANSWER = {"in the answer": "$accent", "not in the answer": "$muted", "still open": "$second"}


def short_names(candidates: Sequence[str]) -> dict[str, str]:
    """Return the names without their providers, or folders, where they are distinct without."""
    short = {name: name.rpartition("/")[2] for name in candidates}
    distinct = len({*short.values()}) == len(short) > 1 and all(short.values())
    return short if distinct else {name: name for name in candidates}


def ranks_left_open(verdict: racing.RaceVerdict, names: Mapping[str, str]) -> dict[str, Any] | None:
    """Draw the ranks that the claims leave open; None where nobody is ranked."""
    alive = [each for each in verdict.ranked if each.state != racing.APART]
    if not alive:
        return None
    inside, outside = set(verdict.inside), set(verdict.outside)
    kinds = ("in the answer", "not in the answer", "still open")
    rows = [
        {
            "candidate": names[each.candidate],
            "low": each.rank_low,
            "high": each.rank_high,
            "place": min(max(place, each.rank_low), each.rank_high),
            "answer": kinds[
                0 if each.candidate in inside else 1 if each.candidate in outside else 2
            ],
            "score": None if math.isnan(each.score) else round(each.score, 4),
        }
        for place, each in enumerate(alive, 1)
    ]
    order = [row["candidate"] for row in rows]
    shown = [kind for kind in kinds if any(row["answer"] == kind for row in rows)]
    y = {"field": "candidate", "type": "nominal", "sort": order, "title": None, "axis": _LABELS}
    scale = {"domain": [0.6, len(alive) + 0.4], "nice": False}
    axis = {"values": _whole(len(alive)), "format": "d", "grid": True}
    colour = {
        "field": "answer", "type": "nominal", "title": None,
        "scale": {"domain": shown, "range": [_ANSWER[kind] for kind in shown]},
    }  # fmt: skip
    low = {"field": "low", "type": "quantitative", "title": "Rank (1 is the best)"}
    tooltip = [
        {"field": "candidate", "type": "nominal"},
        {"field": "low", "type": "quantitative", "title": "best rank"},
        {"field": "high", "type": "quantitative", "title": "worst rank"},
        {"field": "score", "type": "quantitative", "format": ".1%", "title": "estimated score"},
    ]
    return {
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 7, "opacity": 0.45, "strokeCap": "round"},
                "encoding": {
                    "y": y, "x": {**low, "scale": scale, "axis": axis}, "x2": {"field": "high"},
                    "color": colour, "tooltip": tooltip,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 130, "opacity": 1},
                "encoding": {
                    "y": y, "x": {"field": "place", "type": "quantitative"}, "color": colour,
                    "tooltip": tooltip,
                },
            },
        ],
        "height": _tall(len(alive)),
    }  # fmt: skip


def cost_against_accuracy(
    verdict: racing.RaceVerdict, paid: Mapping[str, float], names: Mapping[str, str]
) -> dict[str, Any] | None:
    """Draw the estimated score against the mean cost of a result; None where none is known.

    Parameters
    ----------
    verdict : RaceVerdict
    paid : mapping of str to float
        Mean cost of a result by candidate, US dollars; those unknown are left out.
    names : mapping of str to str
    """
    best = set(verdict.best)
    rows = [
        {
            "candidate": names[each.candidate],
            "usd": paid[each.candidate],
            "score": round(each.score, 4),
            "answer": "named as the answer" if each.candidate in best else "others",
        }
        for each in verdict.ranked
        if each.candidate in paid and not math.isnan(each.score)
    ]
    if not rows:
        return None
    few = len(rows) <= _LABELLED
    labelled = [row for row in rows if few or row["answer"] != "others"]
    x = {
        "field": "usd", "type": "quantitative", "title": "Mean cost of a result, US dollars",
        "axis": {
            "format": "$,.2~r" if max(paid.values()) < 1 else "$,.2f",
            "tickCount": 5, "labelOverlap": True,
        },
        "scale": {"domain": [0, 1.15 * max(paid.values()) or 1], "nice": False},
    }  # fmt: skip
    y = {
        "field": "score", "type": "quantitative", "title": "Estimated score",
        "axis": {"format": "%"}, "scale": {"zero": False, "padding": 24},
    }  # fmt: skip
    return {
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 140, "opacity": 0.9},
                "encoding": {
                    "x": x, "y": y,
                    "color": {
                        "field": "answer", "type": "nominal", "title": None,
                        "scale": {
                            "domain": ["named as the answer", "others"],
                            "range": ["$accent", "$muted"],
                        },
                    },
                    "shape": {
                        "field": "answer", "type": "nominal", "title": None,
                        "scale": {
                            "domain": ["named as the answer", "others"],
                            "range": ["circle", "diamond"],
                        },
                    },
                    "tooltip": [
                        {"field": "candidate", "type": "nominal"},
                        {"field": "score", "type": "quantitative", "format": ".1%"},
                        {"field": "usd", "type": "quantitative", "format": "$.4f", "title": "cost"},
                    ],
                },
            },
            {
                "data": {"values": labelled},
                "mark": {
                    "type": "text", "dy": -14, "color": "$ink", "fontSize": 12, "limit": 150,
                },
                "encoding": {"x": x, "y": y, "text": {"field": "candidate", "type": "nominal"}},
            },
        ],
        "height": 320,
    }  # fmt: skip


def spend(verdict: racing.RaceVerdict, names: Mapping[str, str]) -> dict[str, Any]:
    """Draw how many of the tasks each candidate ran, and how many were spared."""
    order = [names[each.candidate] for each in verdict.ranked]
    rows = [
        {
            "candidate": names[each.candidate], "part": part, "tasks": tasks,
            "usd": None if math.isnan(each.usd) else round(each.usd, 4), "order": place,
        }
        for each in verdict.ranked
        for place, (part, tasks) in enumerate(
            (
                ("run, with a score", each.tasks - each.errors),
                ("run, without a score", each.errors),
                ("not run", each.total - each.tasks),
            )
        )
        if tasks
    ]  # fmt: skip
    paid = [
        {"candidate": names[each.candidate], "tasks": each.tasks, "usd": f"${each.usd:,.2f}"}
        for each in verdict.ranked
        if not math.isnan(each.usd)
    ]
    y = {"field": "candidate", "type": "nominal", "sort": order, "title": None, "axis": _LABELS}
    bars = {
        "data": {"values": rows},
        "mark": {"type": "bar"},
        "encoding": {
            "y": y,
            "x": {"field": "tasks", "type": "quantitative", "title": "Tasks", "stack": "zero"},
            "color": {
                "field": "part", "type": "nominal", "title": None,
                "scale": {
                    "domain": ["run, with a score", "run, without a score", "not run"],
                    "range": ["$accent", "$second", "$faint"],
                },
            },
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": [
                {"field": "candidate", "type": "nominal"}, {"field": "part", "type": "nominal"},
                {"field": "tasks", "type": "quantitative"},
                {"field": "usd", "type": "quantitative", "format": "$,.2f", "title": "paid"},
            ],
        },
    }  # fmt: skip
    texts = {
        "data": {"values": paid},
        "mark": {"type": "text", "align": "left", "dx": 5, "color": "$ink", "fontSize": 12},
        "encoding": {
            "y": y, "x": {"field": "tasks", "type": "quantitative"},
            "text": {"field": "usd", "type": "nominal"},
        },
    }  # fmt: skip
    return {"layer": [bars, *([texts] if paid else [])], "height": _tall(len(order))}


def ranks_over_results(
    course: Sequence[Look], order: Sequence[str], names: Mapping[str, str]
) -> dict[str, Any] | None:
    """Draw how many ranks were open for each candidate; None where that never changed."""
    if len(course) < 2:
        return None
    rows: list[dict[str, Any]] = []
    # A claim at the very end would else have no width.
    ends = [look.results for look in course[1:]]
    ends.append(ends[-1] + max(1, ends[-1] // 40))
    for candidate in order:
        strips: list[dict[str, Any]] = []
        for look, end in zip(course, ends, strict=True):
            if candidate not in look.ranks:
                continue
            low, high = look.ranks[candidate]
            if strips and (strips[-1]["low"], strips[-1]["high"]) == (low, high):
                strips[-1]["to"] = end
            else:
                strips.append(
                    {
                        "candidate": names[candidate], "from": look.results, "to": end,
                        "low": low, "high": high, "open": high - low + 1,
                    }
                )  # fmt: skip
        rows += [strip for strip in strips if strip["to"] > strip["from"]]
    most = max((row["open"] for row in rows), default=0)
    if all(row["open"] == most for row in rows):
        return None
    return {
        "data": {"values": rows},
        "mark": {"type": "bar", "height": {"band": 0.7}},
        "encoding": {
            "y": {
                "field": "candidate", "type": "nominal", "sort": [names[c] for c in order],
                "title": None, "axis": _LABELS,
            },
            "x": {"field": "from", "type": "quantitative", "title": "Results paid for"},
            "x2": {"field": "to"},
            "color": {
                "field": "open", "type": "quantitative", "title": "Ranks still open",
                "scale": {"domain": [1, max(most, 2)], "range": ["$accent", "$faint"]},
                "legend": {"format": "d", "values": _whole(max(most, 2)), "gradientLength": 140},
            },
            "tooltip": [
                {"field": "candidate", "type": "nominal"},
                {"field": "low", "type": "quantitative", "title": "best rank"},
                {"field": "high", "type": "quantitative", "title": "worst rank"},
                {"field": "from", "type": "quantitative", "title": "from result"},
                {"field": "to", "type": "quantitative", "title": "to result"},
            ],
        },
        "height": _tall(len(order)),
    }  # fmt: skip


def scores_over_results(
    course: Sequence[Look], order: Sequence[str], names: Mapping[str, str]
) -> dict[str, Any] | None:
    """Draw the estimated score of each candidate as results came in."""
    shown = [names[each] for each in order[:_NAMED]]
    rows = [
        {
            "candidate": names[candidate],
            "group": names[candidate] if place < _NAMED else "others",
            "results": look.results,
            "score": round(look.scores[candidate], 4),
        }
        for place, candidate in enumerate(order)
        for look in course
        if not math.isnan(look.scores.get(candidate, math.nan))
    ]
    if not rows or len(course) < 2:
        return None
    groups = [*shown, *(["others"] if len(order) > _NAMED else [])]
    colours = ["$accent", "$second", "$third", "$fourth", "$fifth", "$ink"][: len(shown)]
    dashes = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3], [4, 1]][: len(shown)]
    if len(groups) > len(shown):
        colours, dashes = [*colours, "$faint"], [*dashes, [1, 0]]
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
        "encoding": {
            "x": {"field": "results", "type": "quantitative", "title": "Results paid for"},
            "y": {
                "field": "score", "type": "quantitative", "title": "Estimated score",
                "axis": {"format": "%"}, "scale": {"zero": False},
            },
            "detail": {"field": "candidate", "type": "nominal"},
            "color": {
                "field": "group", "type": "nominal", "title": None,
                "scale": {"domain": groups, "range": colours},
                "legend": {"columns": 2, "symbolType": "stroke", "symbolStrokeWidth": 3},
            },
            "strokeDash": {
                "field": "group", "type": "nominal", "title": None,
                "scale": {"domain": groups, "range": dashes},
            },
            "tooltip": [
                {"field": "candidate", "type": "nominal"},
                {"field": "results", "type": "quantitative"},
                {"field": "score", "type": "quantitative", "format": ".1%"},
            ],
        },
        "height": 300,
    }  # fmt: skip


def _tall(rows: int) -> int:
    """Return the height of a chart with a line for each candidate, in pixels."""
    return max(70, 30 * rows)


def _whole(most: int) -> list[int]:
    """Return whole numbers from 1, few enough for the labels of an axis."""
    step = max(1, math.ceil(most / 12))
    return [1, *range(1 + step, most + 1, step)]
