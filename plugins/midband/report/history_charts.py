"""Charts of a history: agents over time, pass rates, tasks by cohort, and the heat map."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from midband_history import FloatArray, IntArray, OutcomeMatrix
from midband_sampler import TaskReport

BAND = (0.3, 0.7)
# What a page can draw at once; beyond it marks are binned, and the page says so.
MOST_POINTS, MOST_ROWS, MOST_COLUMNS = 400, 100, 150
_BINS = 20
KINDS = ("separates", "all pass", "none pass", "same score", "unknown")
_KIND_COLOURS = ("$accent", "$second", "$third", "$fourth", "$faint")


def agents_over_time(matrix: OutcomeMatrix, shown: Sequence[int]) -> dict[str, Any] | None:
    """Draw the score of each agent by the date of its first run; None if no agent has a date.

    Parameters
    ----------
    matrix : OutcomeMatrix
    shown : sequence of int
        Rows of the agents whose mean is over most of the tasks.
    """
    scores = matrix.full_scores()
    dated = [row for row in shown if not np.isnat(matrix.dates[row])]
    if not dated:
        return None
    dated.sort(key=lambda row: matrix.dates[row])
    best = np.maximum.accumulate(scores[dated])
    frontier = [
        {"date": str(matrix.dates[row]), "best": round(float(value), 4)}
        for place, (row, value) in enumerate(zip(dated, best, strict=True))
        if place in (0, len(dated) - 1) or value > best[place - 1]
    ]
    line = {
        "data": {"values": frontier},
        "mark": {
            "type": "line", "interpolate": "step-after", "color": "$second", "strokeWidth": 2,
        },
        "encoding": {
            "x": {"field": "date", "type": "temporal", "title": "First run"},
            "y": {"field": "best", "type": "quantitative"},
        },
    }  # fmt: skip
    axis = {"title": "Score", "axis": {"format": "%"}, "scale": {"zero": False}}
    if len(dated) <= MOST_POINTS:
        points = [
            {
                "date": str(matrix.dates[row]),
                "score": round(float(scores[row]), 4),
                "agent": matrix.agents[row],
                "model": matrix.models[row] or "unknown",
                "tasks": int((matrix.attempts[row] > 0).sum()),
            }
            for row in dated
        ]
        marks: dict[str, Any] = {
            "data": {"values": points},
            "mark": {
                "type": "point", "filled": True, "size": 60, "opacity": 0.75, "color": "$accent",
            },
            "encoding": {
                "x": {"field": "date", "type": "temporal", "title": "First run"},
                "y": {"field": "score", "type": "quantitative", **axis},
                "tooltip": [
                    {"field": "agent", "type": "nominal"},
                    {"field": "model", "type": "nominal"},
                    {"field": "score", "type": "quantitative", "format": ".1%"},
                    {"field": "date", "type": "temporal"},
                    {"field": "tasks", "type": "quantitative"},
                ],
            },
        }  # fmt: skip
    else:
        marks = {
            "data": {"values": _binned_points(matrix, dated, scores)},
            "mark": {"type": "point", "filled": True, "opacity": 0.75, "color": "$accent"},
            "encoding": {
                "x": {"field": "date", "type": "temporal", "title": "First run"},
                "y": {"field": "score", "type": "quantitative", **axis},
                "size": {
                    "field": "agents", "type": "quantitative", "title": "Agents",
                    "scale": {"range": [12, 260]},
                },
                "tooltip": [
                    {"field": "agents", "type": "quantitative"},
                    {"field": "score", "type": "quantitative", "format": ".0%"},
                    {"field": "date", "type": "temporal"},
                ],
            },
        }  # fmt: skip
    return {"layer": [marks, line], "height": 300}


def _binned_points(
    matrix: OutcomeMatrix, rows: Sequence[int], scores: FloatArray
) -> list[dict[str, object]]:
    """Count agents in cells of date and score."""
    seconds = matrix.dates[list(rows)].astype(np.int64)
    first, span = int(seconds.min()), max(int(np.ptp(seconds)), 1)
    columns = np.minimum((seconds - first) * 40 // span, 39)
    lines = np.minimum((scores[list(rows)] * 25).astype(np.int64), 24)
    cells, counts = np.unique(columns * 25 + lines, return_counts=True)
    return [
        {
            "date": str(np.datetime64(int(first + (cell // 25 + 0.5) * span / 40), "s")),
            "score": round((cell % 25 + 0.5) / 25, 3),
            "agents": int(count),
        }
        for cell, count in zip(cells.tolist(), counts.tolist(), strict=True)
    ]


def pass_rates(rates: FloatArray) -> dict[str, Any]:
    """Draw how many tasks have which pass rate, with the band shaded.

    Parameters
    ----------
    rates : ndarray of float64, shape (n_tasks,)
        NaN where no agent ran the task.
    """
    counts, edges = np.histogram(rates[~np.isnan(rates)], bins=_BINS, range=(0, 1))
    bars = [
        {"low": round(low, 3), "high": round(low + 1 / _BINS, 3), "tasks": count}
        for count, low in zip(counts.tolist(), edges[:-1].tolist(), strict=True)
    ]
    return {
        "layer": [
            {
                "data": {"values": [{"low": BAND[0], "high": BAND[1]}]},
                "mark": {"type": "rect", "color": "$fifth", "opacity": 0.22},
                "encoding": {
                    "x": {"field": "low", "type": "quantitative"},
                    "x2": {"field": "high"},
                },
            },
            {
                "data": {"values": bars},
                "mark": {"type": "bar", "color": "$accent", "binSpacing": 1},
                "encoding": {
                    "x": {
                        "field": "low", "bin": {"binned": True, "step": 1 / _BINS},
                        "type": "quantitative", "title": "Pass rate",
                        "axis": {"format": "%", "tickCount": 5}, "scale": {"domain": [0, 1]},
                    },
                    "x2": {"field": "high"},
                    "y": {"field": "tasks", "type": "quantitative", "title": "Tasks"},
                    "tooltip": [
                        {"field": "low", "type": "quantitative", "format": ".0%", "title": "from"},
                        {"field": "high", "type": "quantitative", "format": ".0%", "title": "to"},
                        {"field": "tasks", "type": "quantitative"},
                    ],
                },
            },
        ],
        "height": 240,
    }  # fmt: skip


def tasks_by_cohort(report: TaskReport) -> dict[str, Any] | None:
    """Draw how many tasks separate the agents of each cohort; None without a cohort."""
    if not report.cohorts:
        return None
    rows = [
        {"cohort": f"{cohort.name} ({cohort.agents} agents)", "kind": kind, "tasks": number,
         "order": place}
        for cohort in report.cohorts
        for place, kind in enumerate(KINDS)
        if (number := getattr(cohort, kind.replace(" ", "_")))
    ]  # fmt: skip
    return {
        "data": {"values": rows},
        "mark": {"type": "bar"},
        "encoding": {
            "y": {
                "field": "cohort", "type": "nominal", "title": None,
                "sort": [f"{each.name} ({each.agents} agents)" for each in report.cohorts],
                "axis": {"labelLimit": 260},
            },
            "x": {"field": "tasks", "type": "quantitative", "title": "Tasks", "stack": "zero"},
            "color": {
                "field": "kind", "type": "nominal", "title": None,
                "scale": {"domain": [*KINDS], "range": [*_KIND_COLOURS]},
                "legend": {"orient": "top", "columns": 3},
            },
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": [
                {"field": "cohort", "type": "nominal"}, {"field": "kind", "type": "nominal"},
                {"field": "tasks", "type": "quantitative"},
            ],
        },
        "height": max(60, 36 * len(report.cohorts)),
    }  # fmt: skip


def heat_map(matrix: OutcomeMatrix) -> tuple[dict[str, Any], int, int]:
    """Draw agents against tasks, both sorted, in at most `MOST_ROWS` x `MOST_COLUMNS` cells.

    Returns
    -------
    spec : dict
    agents, tasks : int
        How many agents and how many tasks stand in one cell; 1 and 1 where nothing was binned.
    """
    full, rates = matrix.full_scores(), matrix.pass_rates()
    by_score = np.argsort(-np.nan_to_num(full, nan=-1.0), kind="stable")
    by_rate = np.argsort(-np.nan_to_num(rates, nan=-1.0), kind="stable")
    tall = math.ceil(len(matrix.agents) / MOST_ROWS)
    wide = math.ceil(len(matrix.tasks) / MOST_COLUMNS)
    sorted_scores = matrix.scores[np.ix_(by_score, by_rate)]
    values, known = _means(sorted_scores, tall, wide)
    rows, columns = values.shape
    cells = [
        {"y": int(row), "x": int(column), "score": round(float(values[row, column]), 2)}
        for row, column in zip(*np.nonzero(known > 0), strict=True)
    ]
    agents = _blocks(matrix.agents, by_score, tall)
    tasks = _blocks(matrix.tasks, by_rate, wide)
    spec = {
        "data": {"values": cells},
        "transform": [_lookup("y", "agents", agents), _lookup("x", "tasks", tasks)],
        "mark": {"type": "rect"},
        "encoding": {
            "x": {
                "field": "x", "type": "ordinal", "axis": None,
                "scale": {"domain": list(range(columns))},
            },
            "y": {
                "field": "y", "type": "ordinal", "axis": None,
                "scale": {"domain": list(range(rows))},
            },
            "color": {
                "field": "score", "type": "quantitative", "title": "Score",
                "scale": {"scheme": "cividis", "domain": [0, 1]},
                "legend": {"format": "%", "gradientLength": 160},
            },
            "tooltip": [
                {"field": "agents", "type": "nominal"}, {"field": "tasks", "type": "nominal"},
                {"field": "score", "type": "quantitative", "format": ".0%"},
            ],
        },
        "height": max(120, min(500, 10 * rows)),
    }  # fmt: skip
    return spec, tall, wide


def _blocks(labels: Sequence[str], order: IntArray, size: int) -> list[str]:
    """Name what stands in each block of a sorted axis."""
    found = []
    for start in range(0, len(order), size):
        block = [labels[place] for place in order[start : start + size]]
        found.append(block[0] if len(block) == 1 else f"{len(block)}: {block[0]} to {block[-1]}")
    return found


def _lookup(key: str, name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Name blocks by their place, so that no cell needs to repeat the names."""
    rows = [{key: place, name: text} for place, text in enumerate(texts)]
    return {"lookup": key, "from": {"data": {"values": rows}, "key": key, "fields": [name]}}


def _means(scores: FloatArray, tall: int, wide: int) -> tuple[FloatArray, IntArray]:
    """Return the mean of the known scores in blocks, and how many are known in each."""
    rows, columns = (math.ceil(n / by) for n, by in zip(scores.shape, (tall, wide), strict=True))
    padded = np.full((rows * tall, columns * wide), np.nan)
    padded[: scores.shape[0], : scores.shape[1]] = scores
    blocks = padded.reshape(rows, tall, columns, wide)
    known = (~np.isnan(blocks)).sum(axis=(1, 3))
    total = np.where(np.isnan(blocks), 0.0, blocks).sum(axis=(1, 3))
    return total / np.maximum(known, 1), known
