"""Charts of a study: panels for a page, and the same as PNG and SVG files."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midband_history import MidbandError, OutcomeMatrix
from midband_sims.cells import described
from midband_sims.drawing import (
    Palette,
    calibration,
    claims,
    fidelity,
    pass_rates,
    policy_of,
    races,
    width,
)
from midband_sims.study import StudyResult

_SIZE = {"width": 300, "height": 220}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A chart of one benchmark of a study.

    Parameters
    ----------
    kind : str
        ``fidelity``, ``width``, ``calibration``, ``pass_rates``; of races ``races`` and ``claims``.
    benchmark : str
    reading : str
        One sentence on how to read it.
    spec : mapping
        A Vega-Lite specification without a width, its data inline.
    """

    kind: str
    benchmark: str
    reading: str
    spec: Mapping[str, Any]


class ChartError(MidbandError, ImportError):
    """Charts need the report extra."""


def study_panels(
    cells: Sequence[Mapping[str, Any]],
    replays: Sequence[Mapping[str, Any]],
    benchmarks: Sequence[Mapping[str, Any]],
    *,
    palette: Palette | None = None,
) -> list[Panel]:
    """Draw the charts that a study has data for, one a benchmark and kind.

    Parameters
    ----------
    cells : sequence of mapping
        Of a `StudyResult`, unknown numbers None.
    replays : sequence of mapping
        With ``benchmark``, ``strategy``, ``plan`` and ``widths``.
    benchmarks : sequence of mapping
        With ``benchmark`` and ``pass_rates``, counts of tasks in 20 equal steps.
    palette : Palette, optional

    Raises
    ------
    ChartError
        Altair is not installed.
    """
    alt = _altair()
    colours = palette or Palette()
    strategies = sorted({policy_of(cell) for cell in cells})
    found: list[Panel] = []
    for name in dict.fromkeys(str(cell["benchmark"]) for cell in cells):
        mine = [cell for cell in cells if cell["benchmark"] == name]
        runs = [row for row in replays if row["benchmark"] == name]
        rates = next((each for each in benchmarks if each["benchmark"] == name), None)
        made = (
            (
                "fidelity",
                "Up and to the left is better: fewer tasks run, in an order closer to the truth.",
                fidelity(alt, mine, strategies, colours),
            ),
            (
                "calibration",
                "A bar that lies wholly left of the orange dash promises too much.",
                calibration(alt, mine, colours),
            ),
            (
                "width",
                "The sooner a line falls, the fewer tasks the strategy needs to settle a rank.",
                width(alt, runs, strategies, colours),
            ),
            (
                "pass_rates",
                "Bars count the tasks of each pass rate; the band of 30-70 % is shaded.",
                None if rates is None else pass_rates(alt, rates["pass_rates"], colours),
            ),
        )
        found += [
            Panel(kind=kind, benchmark=name, reading=reading, spec=_spec(alt, chart))
            for kind, reading, chart in made
            if chart is not None
        ]
    return found


def race_panels(
    cells: Sequence[Mapping[str, Any]], *, palette: Palette | None = None
) -> list[Panel]:
    """Draw how often races were right and at which price, one chart a benchmark and question."""
    alt = _altair()
    colours = palette or Palette()
    found = []
    for name, question in dict.fromkeys(
        (str(cell["benchmark"]), str(cell["question"])) for cell in cells
    ):
        mine = [cell for cell in cells if (cell["benchmark"], cell["question"]) == (name, question)]
        made = (
            (
                "races",
                "Up and to the left is better: right more often, and at a lower price.",
                races(alt, mine, colours),
            ),
            (
                "claims",
                "A bar that lies wholly right of the orange dash claims too much.",
                claims(alt, mine, colours),
            ),
        )
        found += [
            Panel(
                kind=kind, benchmark=f"{name}, {question}", reading=reading, spec=_spec(alt, chart)
            )
            for kind, reading, chart in made
            if chart is not None
        ]
    return found


def write_charts(
    result: StudyResult,
    matrices: Sequence[OutcomeMatrix],
    directory: Path,
    *,
    formats: Sequence[str] = ("png", "svg"),
) -> list[Path]:
    """Write each kind of chart as PNG and SVG, a panel a benchmark; return the paths.

    Raises
    ------
    ChartError
        Altair or vl-convert is not installed.
    """
    converter = _converter()
    panels = study_panels(
        [_plain(cell) for cell in result.cells],
        result.replays,
        [described(matrix) for matrix in matrices],
    )
    directory.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for kind in dict.fromkeys(each.kind for each in panels):
        parts = [
            {**each.spec, "title": each.benchmark, **_sized(each.spec)}
            for each in panels
            if each.kind == kind
        ]
        spec = json.dumps(
            {
                "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
                "concat": parts,
                "columns": 2,
            }
        )
        if "svg" in formats:
            drawn = converter.vegalite_to_svg(spec).encode()
            paths.append(_write(directory / f"{kind}.svg", drawn))
        if "png" in formats:
            paths.append(
                _write(directory / f"{kind}.png", converter.vegalite_to_png(spec, scale=2))
            )
    return paths


def _sized(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {**_SIZE, "height": spec.get("height", _SIZE["height"])}


def _spec(alt: Any, chart: Any) -> dict[str, Any]:
    with alt.data_transformers.enable("default", consolidate_datasets=False):
        spec: dict[str, Any] = chart.to_dict()
    return {name: value for name, value in spec.items() if name not in ("$schema", "config")}


def _plain(cell: Mapping[str, object]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in cell.items()
    }


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
