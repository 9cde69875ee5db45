"""Drawing: the charts of a study, each of one benchmark, as Altair charts without a width."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from midband_sims.cells import RATE_BINS

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke")
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (1, 3), (4, 1))
_BAND = (0.3, 0.7)
# Each part of a policy's name stands on a line of its own, because names are long.
_LINES = {
    "labelExpr": "split(datum.label, ', ')", "labelLimit": 150, "labelLineHeight": 14,
    "ticks": False, "domain": False,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours of charts, by what they are for.

    Parameters
    ----------
    series : tuple of str
        Told apart with every common colour vision deficiency.
    ink, muted, band : str
        Of marks that stand for a bound, of what lies behind, and of the shaded band.
    """

    # Okabe and Ito's palette.
    series: tuple[str, ...] = (
        "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
    )  # fmt: skip
    ink: str = "#000000"
    muted: str = "#999999"
    band: str = "#E69F00"


def policy_names(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the policy of each cell by what differs among them; always with its strategy."""
    fields = ("stop", "budget", "plan", "protocol", "split")
    differing = [name for name in fields if len({str(cell[name]) for cell in cells}) > 1]
    # The split of a pooled protocol is always the same.
    found = []
    for cell in cells:
        parts = [str(cell[name]) for name in differing if cell[name] not in (None, "", "all")]
        found.append(", ".join([str(cell["strategy"]), *parts]))
    return found


def policy_of(cell: Mapping[str, Any]) -> str:
    """Name the policy of a cell or a replay: its strategy, with what its plans have besides."""
    return ", ".join(str(cell[name]) for name in ("strategy", "plan") if cell.get(name))


def fidelity(
    alt: Any, cells: Sequence[Mapping[str, Any]], strategies: Sequence[str], colours: Palette
) -> Any:
    """Draw the share of tasks run against the rank correlation; None without one."""
    known = [(cell, name) for cell, name in zip(cells, policy_names(cells), strict=True)]
    data = [
        {
            "policy": name,
            "strategy": policy_of(cell),
            "protocol": cell["protocol"],
            "run": cell["fraction_run"],
            "rho": cell["spearman"],
            "random": cell.get("random_spearman_mean"),
            "worst": cell.get("random_spearman_worst"),
            "ceiling": cell.get("ceiling_spearman"),
        }
        for cell, name in known
        if cell["spearman"] is not None and cell["fraction_run"] is not None
    ]
    if not data:
        return None
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("run:Q", title="Share of tasks run")
        .axis(format="%", tickCount=5)
        .scale(domain=[0, 1])
    )
    y = alt.Y("rho:Q", title="Spearman's rho with the full scores").scale(zero=False, clamp=True)
    bars = base.mark_rule(color=colours.muted, strokeWidth=5, opacity=0.5).encode(
        y=alt.Y("random:Q"), y2="worst:Q"
    )
    ceiling = base.mark_tick(color=colours.ink, thickness=2, size=26, orient="horizontal").encode(
        y=alt.Y("ceiling:Q")
    )
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("run:Q", format=".1%", title="tasks run"),
        alt.Tooltip("rho:Q", format=".3f"),
        alt.Tooltip("random:Q", format=".3f", title="random, mean"),
        alt.Tooltip("worst:Q", format=".3f", title="random, worst"),
        alt.Tooltip("ceiling:Q", format=".3f", title="one full run"),
    ]
    points = base.mark_point(size=110, filled=True, opacity=0.95).encode(
        y=y,
        color=_colour(alt, strategies, colours),
        shape=_shape(alt, data, colours),
        tooltip=tooltip,
    )
    return alt.layer(bars, ceiling, points).properties(height=260)


def width(
    alt: Any, replays: Sequence[Mapping[str, Any]], strategies: Sequence[str], colours: Palette
) -> Any:
    """Draw the width of the rank interval along the run; None where it was not recorded."""
    buckets: dict[tuple[str, float], list[float]] = {}
    for row in replays:
        for share, width in row.get("widths") or ():
            buckets.setdefault((policy_of(row), math.ceil(share * 20) / 20), []).append(width)
    data = [
        {"strategy": s, "share": x, "width": float(np.median(v)), "replays": len(v)}
        for (s, x), v in sorted(buckets.items())
    ]
    if not data:
        return None
    return (
        alt.Chart(alt.Data(values=data))
        .mark_line(point={"size": 36}, strokeWidth=2)
        .encode(
            x=alt.X("share:Q", title="Share of tasks run")
            .axis(format="%", tickCount=5)
            .scale(domain=[0, 1]),
            y=alt.Y("width:Q", title="Interval width, share of ranks").axis(format="%"),
            color=_colour(alt, strategies, colours),
            strokeDash=alt.StrokeDash("strategy:N", title=None).scale(
                domain=[*strategies],
                range=[list(DASHES[i % len(DASHES)]) for i in range(len(strategies))],
            ),
            tooltip=[
                alt.Tooltip("strategy:N"),
                alt.Tooltip("share:Q", format=".0%", title="tasks run"),
                alt.Tooltip("width:Q", format=".0%"),
                alt.Tooltip("replays:Q", title="replays not stopped"),
            ],
        )
        .properties(height=240)
    )


def calibration(alt: Any, cells: Sequence[Mapping[str, Any]], colours: Palette) -> Any:
    """Draw how many intervals held the rank that they claim; None where no target is known."""
    data = [
        {
            "policy": name,
            "target": cell.get("target") or "not recorded",
            "coverage": cell["coverage_claimed"],
            "low": cell["coverage_claimed_low"],
            "high": cell["coverage_claimed_high"],
            "nominal": cell["nominal"],
            "replays": cell["n_replays"],
        }
        for cell, name in zip(cells, policy_names(cells), strict=True)
        if cell.get("coverage_claimed") is not None
    ]
    if not data:
        return None
    least = min(min(row["low"], row["nominal"] or 1.0) for row in data)
    domain = [math.floor(20 * max(least - 0.02, 0.0)) / 20, 1.0]
    y = alt.Y("policy:N", title=None, sort=[row["policy"] for row in data]).axis(
        **_LINES, labelOffset=_above(data)
    )
    base = alt.Chart(alt.Data(values=data)).encode(y=y)
    x = alt.X("low:Q", title="Intervals that held").axis(format="%").scale(domain=domain)
    targets = sorted({row["target"] for row in data})
    bars = base.mark_rule(strokeWidth=5, opacity=0.4, strokeCap="round", color=colours.series[0])
    stated = base.mark_tick(color=colours.series[1], thickness=3, size=22)
    points = base.mark_point(size=110, filled=True, opacity=1, color=colours.series[0])
    return alt.layer(
        bars.encode(x=x, x2="high:Q"),
        stated.encode(x="nominal:Q"),
        points.encode(
            x="coverage:Q",
            shape=alt.Shape("target:N", title="Rank on the")
            .scale(domain=targets, range=list(SHAPES[: len(targets)]))
            .legend(orient="bottom", symbolFillColor=colours.series[0], symbolStrokeWidth=0),
            tooltip=[
                alt.Tooltip("policy:N"),
                alt.Tooltip("target:N", title="rank on the"),
                alt.Tooltip("coverage:Q", format=".1%", title="held"),
                alt.Tooltip("low:Q", format=".1%"),
                alt.Tooltip("high:Q", format=".1%"),
                alt.Tooltip("nominal:Q", format=".0%", title="stated"),
                alt.Tooltip("replays:Q"),
            ],
        ),
    ).properties(height=_tall(data))


def pass_rates(alt: Any, counts: Sequence[int], colours: Palette) -> Any:
    """Draw how many tasks have which pass rate, with the band shaded; None without a task."""
    if not any(counts):
        return None
    data = [
        {"low": i / RATE_BINS, "high": (i + 1) / RATE_BINS, "tasks": count}
        for i, count in enumerate(counts)
    ]
    band = alt.Data(values=[{"from": _BAND[0], "to": _BAND[1]}])
    shade = alt.Chart(band).mark_rect(color=colours.band, opacity=0.22)
    bars = alt.Chart(alt.Data(values=data)).mark_bar(color=colours.series[0], binSpacing=1)
    return alt.layer(
        shade.encode(x=alt.X("from:Q"), x2="to:Q"),
        bars.encode(
            x=alt.X("low:Q", title="Pass rate", bin=alt.BinParams(binned=True, step=1 / RATE_BINS))
            .axis(format="%", tickCount=5)
            .scale(domain=[0, 1]),
            x2="high:Q",
            y=alt.Y("tasks:Q", title="Tasks"),
            tooltip=[
                alt.Tooltip("low:Q", format=".0%", title="from"),
                alt.Tooltip("high:Q", format=".0%", title="to"),
                alt.Tooltip("tasks:Q"),
            ],
        ),
    ).properties(height=200)


def races(alt: Any, cells: Sequence[Mapping[str, Any]], colours: Palette) -> Any:
    """Draw how often races were right against their price; None without a race."""
    data = [
        {
            "allocation": cell["allocation"],
            "budget": cell["budget"] or "none",
            "price": cell["cost_share"],
            "right": cell["right"],
            "low": cell["right_low"],
            "high": cell["right_high"],
            "races": cell["draws"],
        }
        for cell in cells
        if cell["right"] is not None and cell["cost_share"] is not None
    ]
    if not data:
        return None
    names = sorted({str(row["allocation"]) for row in data})
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("price:Q", title="Share of the full price")
        .axis(format="%", tickCount=5)
        .scale(domain=[0, 1]),
        color=_colour(alt, names, colours, field="allocation"),
    )
    y = alt.Y("low:Q", title="Races with the right answer").axis(format="%").scale(zero=False)
    bars = base.mark_rule(opacity=0.4, strokeWidth=2).encode(y=y, y2="high:Q")
    points = base.mark_point(size=110, filled=True, opacity=0.95).encode(
        y="right:Q",
        shape=alt.Shape("allocation:N", title=None).scale(
            domain=names, range=[SHAPES[i % len(SHAPES)] for i in range(len(names))]
        ),
        tooltip=[
            alt.Tooltip("allocation:N"),
            alt.Tooltip("budget:N"),
            alt.Tooltip("price:Q", format=".1%", title="of the full price"),
            alt.Tooltip("right:Q", format=".1%"),
            alt.Tooltip("races:Q"),
        ],
    )
    return alt.layer(bars, points).properties(height=280)


def claims(alt: Any, cells: Sequence[Mapping[str, Any]], colours: Palette) -> Any:
    """Draw how many races claimed something false; None where nothing is claimed."""
    data = [
        {
            "policy": ", ".join(
                [str(cell["allocation"]), *([str(cell["budget"])] if cell["budget"] else [])]
            ),
            "false": cell["false_claims"],
            "low": cell["false_claims_low"],
            "high": cell["false_claims_high"],
            "allowed": 1.0 - cell["nominal"],
            "races": cell["draws"],
        }
        for cell in cells
        if cell["nominal"] is not None and cell["false_claims"] is not None
    ]
    if not data:
        return None
    y = alt.Y("policy:N", title=None, sort=[row["policy"] for row in data]).axis(
        **_LINES, labelOffset=_above(data)
    )
    base = alt.Chart(alt.Data(values=data)).encode(y=y)
    bars = base.mark_rule(strokeWidth=5, opacity=0.4, strokeCap="round", color=colours.series[0])
    x = alt.X("low:Q", title="Races with a false claim").axis(format="%").scale(zero=True)
    return alt.layer(
        bars.encode(x=x, x2="high:Q"),
        base.mark_tick(color=colours.series[1], thickness=3, size=22).encode(x="allowed:Q"),
        base.mark_point(size=110, filled=True, opacity=1, color=colours.series[0]).encode(
            x="false:Q",
            tooltip=[
                alt.Tooltip("policy:N"),
                alt.Tooltip("false:Q", format=".1%", title="false claims"),
                alt.Tooltip("high:Q", format=".1%", title="at most"),
                alt.Tooltip("allowed:Q", format=".0%"),
                alt.Tooltip("races:Q"),
            ],
        ),
    ).properties(height=_tall(data))


def _above(data: Sequence[Mapping[str, Any]]) -> int:
    """Raise the labels so that their middle, not their first line, stands beside the mark."""
    return -7 * max(str(row["policy"]).count(", ") for row in data)


def _tall(data: Sequence[Mapping[str, Any]]) -> int:
    lines = max(str(row["policy"]).count(", ") + 1 for row in data)
    return max(90, (14 * lines + 16) * len(data))


def _colour(alt: Any, names: Sequence[str], colours: Palette, field: str = "strategy") -> Any:
    series = [colours.series[place % len(colours.series)] for place in range(len(names))]
    columns = 1 if max(map(len, names), default=0) > 18 else 2
    scale = alt.Color(f"{field}:N", title=None).scale(domain=[*names], range=series)
    return scale.legend(columns=columns, labelLimit=280)


def _shape(alt: Any, data: Sequence[Mapping[str, Any]], colours: Palette) -> Any:
    names = sorted({str(row["protocol"]) for row in data})
    shapes = [SHAPES[place % len(SHAPES)] for place in range(len(names))]
    legend = {"orient": "bottom", "symbolFillColor": colours.ink, "symbolStrokeWidth": 0}
    return alt.Shape("protocol:N", title=None).scale(domain=names, range=shapes).legend(**legend)
