"""What a study found, in sentences, charts and one table: of policies, or of races."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from midband.report.page import NO_CHARTS, Cell, Chart, Section, Table
from midband.report.words import counted, dollars

if TYPE_CHECKING:
    from midband_sims import Panel, StoredStudy

_FEW = 10  # candidates below which a coverage says little
_TITLES = {
    "fidelity": "Savings against fidelity",
    "calibration": "Coverage of the target that is claimed",
    "width": "Width of the rank interval along the run",
    "pass_rates": "Pass rates and the band",
    "races": "Right answers against their price",
    "claims": "False claims",
}
_TEXTS = {
    "fidelity": (
        "A point is a policy: how many of the tasks it ran, and how well its scores rank agents"
        " beside their full scores. A grey bar shows random tasks of the same number, from the mean"
        " to the worst of the draws. A dash is the ceiling: what one full run reaches against"
        " independent attempts, where the data has them.",
    ),
    "calibration": (
        "A dot is the share of intervals at the stop that held the rank, with its 95 % interval"
        " over agents. The orange dash is the confidence that was stated.",
        "Every interval is judged by the rank that it is about. A plan with a model, or one that"
        " may run every task, claims the rank on the full benchmark. A plan that is limited to some"
        " tasks, such as a band, claims the rank on the planned tasks alone.",
    ),
    "width": (
        "The interval is measured as a share of all ranks. A line is the median over the replays of"
        " the first seed that had not stopped by then.",
    ),
    "races": (
        "A point is an allocation, with its 95 % interval over the drawn races. The full price is"
        " every candidate on every task.",
    ),
    "claims": (
        "A dot is the share of races that claimed something false, with its 95 % interval. The"
        " orange dash is what the confidence allows.",
    ),
}
_PROTOCOLS = {
    "loao": "loao: each agent in turn is the new one, and all others are known.",
    "loso": "loso: all agents of one scaffold are new, and those of other scaffolds are known.",
    "temporal": "temporal: later agents are new, and earlier ones are known.",
    "random": "random: the agents of one random group are new, and the others are known.",
    "self": "self: an agent with repeated attempts is new, and the truth is its other attempts.",
}


class PolicyCells:
    """What a study of policies says."""

    def __init__(self, found: "StoredStudy") -> None:
        self._found = found
        self._cells = [cell for cell in found.cells if cell["n_replays"]]
        names = list(dict.fromkeys(str(cell["benchmark"]) for cell in found.cells))
        self._benchmarks = names
        self._panels, self.missing = _drawn(self._cells, found)
        self.title = f"Study of {_listed(names)}" if names else "Study"

    def verdict(self) -> tuple[str, ...]:
        """Say what the first policy saved, how often it held, and what that rests on."""
        cells = self._first()
        if not cells:
            return (
                "No replay of this study is finished, so nothing can be said of its policies.",
                "What was skipped, and why, stands below.",
            )
        name = _policy(cells[0])
        stops = {str(cell["stop"]) for cell in self._cells}
        name += f" with stop {cells[0]['stop']}" if len(stops) > 1 else ""
        where = _listed(self._benchmarks)
        run = _range([cell["fraction_run"] for cell in cells])
        rho = _range([cell["spearman"] for cell in cells], percent=False)
        first = f"{name} ran {run} of the tasks of {where}"
        first += f", and its scores ranked agents with rho {rho}." if rho else "."
        return first, self._held(cells), self._rests(cells)

    def _first(self) -> list[Mapping[str, Any]]:
        """Return the cells of ``auto``, or of the first policy."""
        auto = [cell for cell in self._cells if cell["strategy"] == "auto"]
        pool = auto or self._cells
        if not pool:
            return []
        key = tuple(pool[0][name] for name in ("strategy", "stop", "budget", "plan"))
        return [
            cell
            for cell in pool
            if tuple(cell[name] for name in ("strategy", "stop", "budget", "plan")) == key
        ]

    def _held(self, cells: Sequence[Mapping[str, Any]]) -> str:
        known = [cell for cell in cells if cell.get("coverage_claimed") is not None]
        if not known:
            return "How often its intervals held the rank that they claim is unknown."
        replays = sum(int(cell["n_replays"]) for cell in known)
        held = math.fsum(cell["coverage_claimed"] * cell["n_replays"] for cell in known) / replays
        targets = _joined(sorted({str(cell["target"]) for cell in known}))
        stated = _joined(sorted({f"{100 * cell['nominal']:.3g} %" for cell in known}))
        text = (
            f"At the stop its rank intervals held the rank on the {targets} in {100 * held:.1f} %"
            f" of {counted(replays, 'replay')}, where {stated} was stated"
        )
        worst = min(known, key=lambda cell: float(cell["coverage_claimed"]))
        if worst["coverage_claimed"] < held - 1e-9:
            where = _where(worst, known)
            text += f"; the least was {100 * worst['coverage_claimed']:.1f} % ({where})"
        return f"{text}."

    def _rests(self, cells: Sequence[Mapping[str, Any]]) -> str:
        replays = sum(int(cell["n_replays"]) for cell in self._cells)
        protocols = _joined(list(dict.fromkeys(str(cell["protocol"]) for cell in self._cells)))
        saved = [cell["cost_saved_usd"] for cell in cells if cell["cost_saved_usd"] is not None]
        text = (
            f"This rests on {counted(replays, 'replay')} under {protocols}: in each, a recorded"
            " agent is treated as if it were new."
        )
        if saved:
            text += f" An evaluation saved {_range(saved, money=True)} on average."
        return text

    def warnings(self) -> list[str]:
        """Say where an interval held less often than stated, or where few agents say so."""
        found = []
        for cell in self._cells:
            high = cell.get("coverage_claimed_high")
            if high is not None and cell["nominal"] is not None and high < cell["nominal"]:
                found.append(
                    f"{_where(cell, self._found.cells)}, {_policy(cell)}: the interval held in only"
                    f" {100 * cell['coverage_claimed']:.1f} % of the replays, where"
                    f" {100 * cell['nominal']:.3g} % was stated"
                )
        few = sorted({str(c["benchmark"]) for c in self._cells if int(c["n_candidates"]) < _FEW})
        if few:
            found.append(
                f"fewer than {_FEW} agents were replayed in some cells of {_listed(few)}: their"
                " numbers are rough"
            )
        return found

    def sections(self) -> tuple[Section, ...]:
        """Return the charts and the table."""
        if not self._cells:
            return ()
        return (*_panels(self._panels), self._table())

    def _table(self) -> Section:
        from midband_sims import policy_names

        names = policy_names(self._cells)
        columns: dict[str, list[object]] = {
            "Benchmark": [str(cell["benchmark"]) for cell in self._cells],
            "Policy": list(names),
            "Run, %": [_percent(cell["fraction_run"]) for cell in self._cells],
            "Rho": [_number(cell["spearman"], 3) for cell in self._cells],
            "Random": [_number(cell.get("random_spearman_mean"), 3) for cell in self._cells],
            "Ceiling": [_number(cell.get("ceiling_spearman"), 3) for cell in self._cells],
            "Right side, %": [_percent(cell["pairwise_accuracy"]) for cell in self._cells],
            "Held of stated, %": [_held_of_stated(cell) for cell in self._cells],
            "Conclusive, %": [_percent(cell["conclusive"]) for cell in self._cells],
            "Saved": [_saved(cell) for cell in self._cells],
            "Replays": [int(cell["n_replays"]) for cell in self._cells],
        }
        if len(self._benchmarks) == 1:
            del columns["Benchmark"]
        # What is unknown throughout is said above, and takes no room here.
        shown = {name: each for name, each in columns.items() if any(v is not None for v in each)}
        table = Table(
            title="Numbers of each policy",
            columns=tuple(shown),
            rows=tuple(zip(*shown.values(), strict=True)),
            note="Rho compares the scores with the full scores; Random and Ceiling are the same for"
            " random tasks and for one full run. Right side is the share of agents put on the right"
            " side of the new one. Held is the coverage of the claimed target. Saved is the mean of"
            " an evaluation. cells.parquet has every number.",
        )
        protocols = dict.fromkeys(str(cell["protocol"]) for cell in self._cells)
        text = tuple(_PROTOCOLS[name] for name in protocols if name in _PROTOCOLS)
        return Section(title="All policies", text=text, parts=(table,))


def _held_of_stated(cell: Mapping[str, Any]) -> Cell | None:
    held, stated = cell.get("coverage_claimed"), cell["nominal"]
    if held is None:
        return None
    return Cell(f"{100 * held:.1f} of {100 * stated:.3g}", held)


def _saved(cell: Mapping[str, Any]) -> Cell | None:
    value = cell["cost_saved_usd"]
    return None if value is None else Cell(dollars(value), value)


class RaceCells:
    """What a study of races says."""

    def __init__(self, found: "StoredStudy") -> None:
        self._found = found
        self._cells = [cell for cell in found.cells if cell["draws"]]
        names = list(dict.fromkeys(str(cell["benchmark"]) for cell in found.cells))
        self._benchmarks = names
        self._panels, self.missing = _drawn(self._cells, found)
        self.title = f"Study of races on {_listed(names)}" if names else "Study of races"

    def verdict(self) -> tuple[str, ...]:
        """Say how often the first allocation was right, at which price, and what it claimed."""
        if not self._cells:
            return (
                "No race of this study is finished, so nothing can be said of its allocations.",
                "What was skipped, and why, stands below.",
            )
        key = ("allocation", "budget", "question")
        lead = tuple(self._cells[0][name] for name in key)
        cells = [cell for cell in self._cells if tuple(cell[name] for name in key) == lead]
        right = _range([cell["right"] for cell in cells])
        price = _range([cell["cost_share"] for cell in cells])
        budget = f" with a budget of {lead[1]}" if lead[1] else ""
        false = max((cell["false_claims"] for cell in cells), default=0.0)
        allowed = cells[0]["nominal"]
        most = "at most " if len(cells) > 1 else ""
        claims = "It claims nothing, because the question asks for no confidence."
        if allowed is not None:
            claims = (
                f"Something false was claimed in {most}{100 * false:.1f} % of the races, where"
                f" {100 * (1 - allowed):.3g} % is allowed."
            )
        races = sum(int(cell["draws"]) for cell in self._cells)
        where = _listed(self._benchmarks)
        return (
            f"Allocation {lead[0]}{budget} answered {lead[2]} right in {right} of the races on"
            f" {where}, at {price} of the full price.",
            claims,
            f"This rests on {counted(races, 'replayed race')} between recorded agents; the full"
            " price is every candidate on every task.",
        )

    def warnings(self) -> list[str]:
        """Say where more was claimed falsely than the confidence allows."""
        return [
            f"{named(cell)}: {100 * cell['false_claims']:.1f} % of the races claimed something"
            f" false, where {100 * (1 - cell['nominal']):.3g} % is allowed"
            for cell in self._cells
            if cell["nominal"] is not None
            and cell["false_claims_low"] is not None
            and cell["false_claims_low"] > 1 - cell["nominal"]
        ]

    def sections(self) -> tuple[Section, ...]:
        """Return the charts and the table."""
        if not self._cells:
            return ()
        rows = tuple(
            (
                str(cell["benchmark"]),
                str(cell["question"]),
                str(cell["allocation"]),
                cell["budget"],
                int(cell["n_candidates"]),
                _percent(cell["cost_share"]),
                _percent(cell["right"]),
                _number(cell["regret"], 2),
                _percent(cell["false_claims"]),
                _percent(cell["conclusive"]),
                int(cell["draws"]),
            )
            for cell in self._cells
        )
        table = Table(
            title="All allocations",
            columns=(
                "Benchmark", "Question", "Allocation", "Budget", "Candidates", "Price, %",
                "Right, %", "Regret, points", "False, %", "Conclusive, %", "Races",
            ),
            rows=rows,
            note="Price is the share of the full price that was paid. Regret is the mean loss of"
            " score by the answer. Conclusive races settled the question early. cells.parquet has"
            " every number.",
        )  # fmt: skip
        return (
            *_panels(self._panels),
            Section(title="All allocations", parts=(table,)),
        )


def _panels(panels: "Sequence[Panel]") -> tuple[Section, ...]:
    """Return a section for each kind of chart, with a chart for each benchmark."""
    found = []
    for kind in dict.fromkeys(each.kind for each in panels):
        mine = [each for each in panels if each.kind == kind]
        charts = tuple(
            Chart(
                title=each.benchmark,
                spec=each.spec,
                reading=each.reading,
                wide=len(mine) == 1,
            )
            for each in mine
        )
        found.append(Section(title=_TITLES[kind], text=_TEXTS.get(kind, ()), parts=charts))
    return tuple(found)


def _drawn(
    cells: Sequence[Mapping[str, Any]], found: "StoredStudy"
) -> "tuple[list[Panel], tuple[str, ...]]":
    """Return the charts, and what is missing where there are none."""
    from midband_sims import ChartError, Palette, race_panels, study_panels

    palette = Palette(
        series=("$accent", "$second", "$third", "$fourth", "$fifth", "$ink", "$muted"),
        ink="$ink",
        muted="$muted",
        band="$fifth",
    )
    try:
        if found.of_races:
            return race_panels(cells, palette=palette), ()
        benchmarks = found.about.get("benchmarks") or ()
        return study_panels(cells, found.replays, benchmarks, palette=palette), ()
    except ChartError:
        return [], (NO_CHARTS,)


def named(cell: Mapping[str, Any]) -> str:
    """Return what names a cell, in words."""
    names = ("benchmark", "protocol", "strategy", "allocation", "question", "stop", "budget")
    return ", ".join(str(cell[name]) for name in names if cell.get(name))


def _policy(cell: Mapping[str, Any]) -> str:
    plan = f" ({cell['plan']})" if cell.get("plan") else ""
    budget = f" and budget {cell['budget']}" if cell.get("budget") else ""
    ran = cell.get("strategy_ran")
    chose = f", which chose {ran}," if cell["strategy"] == "auto" and ran else ""
    return f"Strategy {cell['strategy']}{plan}{budget}{chose}"


def _where(cell: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    """Name a cell among others by its benchmark, protocol and split, as far as these differ."""
    names = ("benchmark", "protocol", "split")
    differing = [name for name in names if len({str(each[name]) for each in cells}) > 1]
    parts = [str(cell[name]) for name in differing or names[:1]]
    return ", ".join(part for part in parts if part != "all")


def _range(values: Sequence[float | None], *, percent: bool = True, money: bool = False) -> str:
    """Return the least and the greatest of the known values in words; empty without any."""

    def text(value: float) -> str:
        if money:
            return dollars(value)
        return f"{100 * value:.0f} %" if percent else f"{value:.2f}"

    known = sorted(value for value in values if value is not None)
    if not known:
        return ""
    low, high = text(known[0]), text(known[-1])
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def _listed(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{len(names)} benchmarks"
    return _joined(names)


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _percent(value: float | None) -> Cell | None:
    return None if value is None else Cell(f"{100 * value:.1f}", 100 * value)


def _number(value: float | None, digits: int) -> Cell | None:
    return None if value is None else Cell(f"{value:.{digits}f}", value)
