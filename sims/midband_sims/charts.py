"""Charts of a study: one self-contained HTML page, and PNG or SVG files."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from midband_history import MidbandError, OutcomeMatrix
from midband_sims.study import StudyResult

# Okabe and Ito's palette: told apart with every common colour vision deficiency.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "stroke")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>midband study</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:980px;margin:2em auto;padding:0 1em}}
table{{border-collapse:collapse;font-size:13px}}td,th{{padding:.2em .6em;text-align:right;
border-bottom:1px solid #ccc}}td:first-child,th:first-child{{text-align:left}}
.scroll{{overflow-x:auto}}svg{{max-width:100%;height:auto}}pre{{white-space:pre-wrap}}</style></head><body>
<h1>midband study</h1>
{body}
</body></html>
"""
SHOWN = (
    "benchmark", "protocol", "split", "strategy", "stop", "budget", "n_candidates", "fraction_run",
    "spearman", "random_spearman_mean", "ceiling_spearman", "pairwise_accuracy", "coverage",
    "coverage_low", "coverage_high", "conclusive", "cost_saved_usd",
)  # fmt: skip


class ChartError(MidbandError, ImportError):
    """Charts need the report extra."""


def charts(
    result: StudyResult, matrices: Sequence[OutcomeMatrix]
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Build the charts that the study has data for.

    Returns
    -------
    dict of str to (str, dict)
        By file name: a sentence that says how to read the chart, and its Vega-Lite specification.
    """
    alt = _altair()
    out: dict[str, tuple[str, dict[str, Any]]] = {}
    cells = [_plain(cell) for cell in result.cells]
    made = {
        "fidelity": (
            "Share of tasks run against Spearman's rho with the full scores. Grey bars: random"
            " subsets of the same size, worst to mean. Black dashes: one full run against"
            " independent attempts, where the data has them.",
            _fidelity(alt, cells),
        ),
        "width": (
            "Width of the rank interval, as a share of all ranks, along the run: median over the"
            " replays of the first seed that had not stopped.",
            _width(alt, result.replays),
        ),
        "calibration": (
            "Nominal confidence against the share of replays whose interval covered the full-run"
            " rank, with 95 % Clopper-Pearson limits. Points under the line promise too much.",
            _calibration(alt, cells),
        ),
        "pass_rates": (
            "Number of tasks by pass rate; the shaded band is 30-70 %.",
            _pass_rates(alt, matrices),
        ),
    }
    for name, (text, chart) in made.items():
        if chart is not None:
            out[name] = (text, chart.to_dict())
    return out


def write_charts(
    result: StudyResult,
    matrices: Sequence[OutcomeMatrix],
    directory: Path,
    *,
    formats: Sequence[str] = ("png", "svg"),
    sections: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write ``report.html`` and each chart as PNG and SVG; return the paths.

    Parameters
    ----------
    sections : mapping of str to str, optional
        Further sections of the page: by title, text that is shown as it stands.
    """
    converter = _converter()
    directory.mkdir(parents=True, exist_ok=True)
    body: list[str] = []
    paths: list[Path] = []
    for name, (text, spec) in charts(result, matrices).items():
        drawing = converter.vegalite_to_svg(json.dumps(spec))
        body.append(f"<h2>{html.escape(name.replace('_', ' ').capitalize())}</h2>")
        body.append(f"<p>{html.escape(text)}</p>{drawing}")
        if "svg" in formats:
            paths.append(_write(directory / f"{name}.svg", drawing.encode()))
        if "png" in formats:
            image = converter.vegalite_to_png(json.dumps(spec), scale=2)
            paths.append(_write(directory / f"{name}.png", image))
    skipped = "".join(f"<li>{html.escape(text)}</li>" for text in result.skipped)
    notes = f"<h2>Not served by the data</h2><ul>{skipped}</ul>" if skipped else ""
    body.append("<h2>Cells</h2>" + _table([_plain(cell) for cell in result.cells]) + notes)
    for title, text in (sections or {}).items():
        body.append(f"<h2>{html.escape(title)}</h2><pre>{html.escape(text)}</pre>")
    page = PAGE.format(body="\n".join(body))
    return [_write(directory / "report.html", page.encode()), *paths]


def _fidelity(alt: Any, cells: Sequence[Mapping[str, Any]]) -> Any:
    data = [cell for cell in cells if cell["spearman"] is not None]
    if not data:
        return None
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("fraction_run:Q", title="Share of tasks run").axis(format="%").scale(zero=True)
    )
    rho = alt.Y("spearman:Q", title="Spearman's rho with full scores").scale(zero=False)
    band = base.mark_rule(color="#999999", strokeWidth=5, opacity=0.5).encode(
        y=alt.Y("random_spearman_worst:Q", title=""), y2="random_spearman_mean:Q"
    )
    ceiling = base.mark_tick(color="black", thickness=2, size=24, orient="horizontal").encode(
        y=alt.Y("ceiling_spearman:Q", title="")
    )
    points = base.mark_point(size=90, filled=True, opacity=0.9).encode(
        y=rho,
        color=_colour(alt, data, "strategy", "Strategy"),
        shape=_shape(alt, data, "protocol", "Protocol"),
        tooltip=[alt.Tooltip(f"{name}:N") for name in SHOWN],
    )
    layers = alt.layer(band, ceiling, points).properties(width=280, height=220)
    return layers.facet(
        facet=alt.Facet("benchmark:N", title=None), columns=2, title="Savings against fidelity"
    )


def _width(alt: Any, replays: Sequence[Mapping[str, Any]]) -> Any:
    buckets: dict[tuple[str, str, float], list[float]] = {}
    for row in replays:
        for share, width in row.get("widths") or ():
            key = (str(row["benchmark"]), str(row["strategy"]), math.ceil(share * 20) / 20)
            buckets.setdefault(key, []).append(width)
    data = [
        {"benchmark": b, "strategy": s, "share": x, "width": float(np.median(v)), "replays": len(v)}
        for (b, s, x), v in sorted(buckets.items())
    ]
    if not data:
        return None
    line = (
        alt.Chart(alt.Data(values=data))
        .mark_line(point=True)
        .encode(
            x=alt.X("share:Q", title="Share of tasks run").axis(format="%").scale(zero=True),
            y=alt.Y("width:Q", title="Interval width (share of ranks)").axis(format="%"),
            color=_colour(alt, data, "strategy", "Strategy"),
            strokeDash=alt.StrokeDash("strategy:N", title="Strategy"),
        )
        .properties(width=280, height=220)
    )
    return line.facet(
        facet=alt.Facet("benchmark:N", title=None), columns=2, title="Rank interval along the run"
    )


def _calibration(alt: Any, cells: Sequence[Mapping[str, Any]]) -> Any:
    data = [cell for cell in cells if cell["coverage"] is not None]
    if not data:
        return None
    line = (
        alt.Chart(alt.Data(values=[{"x": 0.5, "y": 0.5}, {"x": 1, "y": 1}]))
        .mark_line(color="#666666", strokeDash=[4, 4])
        .encode(x="x:Q", y="y:Q")
    )
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("nominal:Q", title="Nominal confidence").axis(format="%").scale(domain=[0.5, 1]),
        color=_colour(alt, data, "strategy", "Strategy"),
        xOffset=alt.value(0),
    )
    bars = base.mark_rule(opacity=0.4).encode(
        y=alt.Y("coverage_low:Q", title="Observed coverage").axis(format="%"), y2="coverage_high:Q"
    )
    points = base.mark_point(size=80, filled=True).encode(
        y="coverage:Q", shape=_shape(alt, data, "protocol", "Protocol")
    )
    return alt.layer(line, bars, points).properties(
        width=520, height=320, title="Calibration of the rank interval"
    )


def _pass_rates(alt: Any, matrices: Sequence[OutcomeMatrix]) -> Any:
    data: list[dict[str, object]] = []
    for matrix in matrices:
        rates = matrix.pass_rates()
        counts, edges = np.histogram(rates[~np.isnan(rates)], bins=20, range=(0, 1))
        data.extend(
            {"benchmark": matrix.benchmark, "low": low, "high": low + 0.05, "tasks": int(count)}
            for count, low in zip(counts, edges[:-1].round(2).tolist(), strict=True)
        )
    if not data:
        return None
    base = alt.Chart(alt.Data(values=data))
    band = base.transform_calculate(from_rate="0.3", to_rate="0.7").mark_rect(
        color="#E69F00", opacity=0.02
    )
    shade = band.encode(x=alt.X("from_rate:Q", title=""), x2="to_rate:Q")
    bars = base.mark_bar(color=COLOURS[0], stroke="white").encode(
        x=alt.X("low:Q", title="Pass rate").axis(format="%").scale(domain=[0, 1]),
        x2="high:Q",
        y=alt.Y("tasks:Q", title="Tasks"),
    )
    return (
        alt.layer(shade, bars)
        .properties(width=280, height=180)
        .facet(
            facet=alt.Facet("benchmark:N", title=None), columns=2, title="Pass rates and the band"
        )
        .resolve_scale(y="independent")
    )


def _colour(alt: Any, data: Sequence[Mapping[str, Any]], field: str, title: str) -> Any:
    names = sorted({str(row[field]) for row in data})
    colours = [COLOURS[place % len(COLOURS)] for place in range(len(names))]
    return alt.Color(f"{field}:N", title=title).scale(domain=names, range=colours)


def _shape(alt: Any, data: Sequence[Mapping[str, Any]], field: str, title: str) -> Any:
    names = sorted({str(row[field]) for row in data})
    shapes = [SHAPES[place % len(SHAPES)] for place in range(len(names))]
    return alt.Shape(f"{field}:N", title=title).scale(domain=names, range=shapes)


def _table(cells: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in SHOWN)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(cell[name]))}</td>" for name in SHOWN) + "</tr>"
        for cell in cells
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _text(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _plain(cell: Mapping[str, object]) -> dict[str, Any]:
    out = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in cell.items()
    }
    out["budget"] = out["budget"] or "own size"
    return out


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _altair() -> Any:
    try:
        import altair
    except ImportError:
        msg = "expected the report extra for charts, got none: pip install 'midband[report]'"
        raise ChartError(msg) from None
    return altair


def _converter() -> Any:
    try:
        import vl_convert
    except ImportError:
        msg = "expected the report extra for charts, got none: pip install 'midband[report]'"
        raise ChartError(msg) from None
    return vl_convert
