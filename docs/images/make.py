"""Draw the picture of the first page: the rank interval of a new agent closes, in light and dark.

Run it in the root of the project: ``python docs/images/make.py``. The agents are those of
``midband demo``, and the run is midband's own, one task at a time with seed 0.
"""

from pathlib import Path

import vl_convert

from midband import OutcomeMatrix, Session, make_plan
from midband.inspect.demo import COST_USD, N_TASKS, NEW_AGENT, agent_names, attempt

HERE = Path(__file__).parent
COLOURS = {
    "light": {"ink": "#1f2933", "soft": "#616e7c", "grid": "#e4e7eb", "band": "#4c6ef5"},
    "dark": {"ink": "#e4e7eb", "soft": "#9aa5b1", "grid": "#3e4c59", "band": "#91a7ff"},
}


def solved(agent: str, task: int) -> float:
    """Return the score of a simulated agent at a task, counted from 0."""
    return float(attempt(agent, task + 1).solved)


def closing() -> tuple[list[dict[str, float]], int]:
    """Return the interval after every result of one run, and the rank of the full run."""
    scores = [[solved(agent, task) for task in range(N_TASKS)] for agent in agent_names()]
    matrix = OutcomeMatrix.from_scores(
        scores, benchmark="toy", tasks=[str(task) for task in range(N_TASKS)]
    )
    session = Session(make_plan(matrix))
    looks = [{"tasks": 0, "rank": float("nan"), "low": 1, "high": len(scores) + 1}]
    while tasks := session.ask(1):
        session.tell(tasks[0], score=solved(NEW_AGENT, int(tasks[0])))
        now = session.decision()
        looks.append({"tasks": now.tasks_run, "rank": now.rank, "low": now.low, "high": now.high})
    full = sum(solved(NEW_AGENT, task) for task in range(N_TASKS))
    return looks, 1 + sum(sum(row) > full for row in scores)


def chart(looks: list[dict[str, float]], true_rank: int, colours: dict[str, str]) -> dict:
    """Return the chart as a Vega-Lite specification."""
    stop, agents = int(looks[-1]["tasks"]), int(looks[0]["high"])
    ran = f"midband stops here: {stop} of {N_TASKS} tasks ran,"
    saved = f"for about ${stop * COST_USD:.2f} of ${N_TASKS * COST_USD:.2f}"
    words = [
        {"x": stop + 2, "y": 1.6, "text": ran},
        {"x": stop + 2, "y": 3.2, "text": saved},
        {
            "x": stop + 2,
            "y": looks[-1]["low"] + 0.9,
            "text": f"rank {looks[-1]['rank']} of {agents}, between {looks[-1]['low']} and"
            f" {looks[-1]['high']} with 95 % confidence",
        },
        {"x": stop + 2, "y": true_rank + 1.2, "text": f"a full run would say: rank {true_rank}"},
    ]
    x = {"field": "tasks", "type": "quantitative", "title": "tasks that have run"}
    x["axis"] = {"values": list(range(0, N_TASKS + 1, 25)), "grid": False}
    y = {"type": "quantitative", "title": "rank among 24 known agents (1 is the best)"}
    y |= {"scale": {"domain": [1, agents], "reverse": True, "nice": False}}
    y |= {"axis": {"values": [1, 5, 10, 15, 20, agents]}}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": 640,
        "height": 240,
        "background": None,
        "config": {
            "view": {"stroke": None},
            "axis": {
                "labelColor": colours["soft"],
                "titleColor": colours["ink"],
                "gridColor": colours["grid"],
                "domainColor": colours["grid"],
                "tickColor": colours["grid"],
                "titleFontWeight": "normal",
                "labelFontSize": 12,
                "titleFontSize": 12,
            },
        },
        "layer": [
            {
                "data": {"values": looks},
                "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.3}
                | {"color": colours["band"]},
                "encoding": {
                    "x": x | {"scale": {"domain": [0, N_TASKS]}},
                    "y": y | {"field": "low"},
                    "y2": {"field": "high"},
                },
            },
            {
                "data": {"values": looks[1:]},
                "mark": {"type": "line", "interpolate": "step-after", "color": colours["band"]},
                "encoding": {"x": x, "y": y | {"field": "rank"}},
            },
            {
                "data": {"values": [{"rank": true_rank}]},
                "mark": {"type": "rule", "strokeDash": [5, 4], "color": colours["soft"]},
                "encoding": {"y": y | {"field": "rank"}},
            },
            {
                "data": {"values": [{"tasks": stop}]},
                "mark": {"type": "rule", "color": colours["ink"]},
                "encoding": {"x": x},
            },
            {
                "data": {"values": words},
                "mark": {"type": "text", "align": "left", "fontSize": 12, "color": colours["ink"]},
                "encoding": {
                    "x": {"field": "x", "type": "quantitative"},
                    "y": y | {"field": "y"},
                    "text": {"field": "text"},
                },
            },
        ],
    }


def main() -> None:
    """Write the picture for light and for dark pages."""
    looks, true_rank = closing()
    for name, colours in COLOURS.items():
        drawn = vl_convert.vegalite_to_svg(chart(looks, true_rank, colours))
        (HERE / f"closing-{name}.svg").write_text(drawn, encoding="utf-8")
    print(looks[-1], true_rank)


if __name__ == "__main__":
    main()
