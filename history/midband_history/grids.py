"""How the cells of a history become the arrays of a matrix, for some agents at a time."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from midband_history.connection import fetch, statement
from midband_history.labels import AgentRow, Version
from midband_history.metrics import Metric
from midband_history.rates import Runs, notes_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
# Cells that are in memory at once beside the arrays that they become.
_CELLS = 1_000_000
_GRIDS = ("scores", "attempts", "without_score", "cost_usd", "duration_s", "attempt_scores")


@dataclass(frozen=True, eq=False, kw_only=True)
class Grids:
    """The arrays of an `OutcomeMatrix`, before agents and tasks without a result are left out."""

    scores: FloatArray
    attempts: IntArray
    without_score: IntArray
    cost_usd: FloatArray
    duration_s: FloatArray
    attempt_scores: FloatArray

    @classmethod
    def empty(cls, lines: int, columns: int, width: int) -> "Grids":
        """Return the arrays of a matrix in which nothing was tried."""
        shape = (lines, columns)
        return cls(
            scores=np.full(shape, np.nan),
            attempts=np.zeros(shape, dtype=np.int64),
            without_score=np.zeros(shape, dtype=np.int64),
            cost_usd=np.full(shape, np.nan),
            duration_s=np.full(shape, np.nan),
            attempt_scores=np.full((*shape, width), np.nan),
        )

    def tried(self) -> tuple[BoolArray, BoolArray]:
        """Tell which agents have a score, and which tasks were tried, if in vain."""
        ran = np.asarray(self.attempts.any(axis=1))
        return ran, np.asarray(self.attempts.any(axis=0) | self.without_score.any(axis=0))

    def select(self, lines: BoolArray, columns: BoolArray) -> "Grids":
        """Return some lines and columns, and no more attempts a cell than one of these has."""
        if lines.all() and columns.all():
            kept = {name: getattr(self, name) for name in _GRIDS}
        else:
            kept = {name: getattr(self, name)[np.ix_(lines, columns)] for name in _GRIDS}
        most = int(kept["attempts"].max(initial=0))
        if most < self.attempt_scores.shape[2]:
            kept["attempt_scores"] = kept["attempt_scores"][:, :, :most].copy()
        return Grids(**kept)


@dataclass(kw_only=True)
class GridReader:
    """Reads the arrays of a matrix from the cells, and from attempts where cells do not suffice.

    Scores of 0 and 1 are read from the bits of a cell. Other scores, and those of attempts whose
    order the bits do not tell, are read from the attempts themselves.

    Parameters
    ----------
    bound : dict of str to object
        Values that every statement takes: ``benchmark_id``, ``metric_id``, ``unnamed_id``,
        ``as_of`` and ``version``.
    gone, unsure : int
        Results at other contents of the tasks, and at contents that are not known, met so far.
    """

    connection: "DuckDBPyConnection"
    runs: Runs
    agents: list[AgentRow]
    chosen: Version
    metric: Metric
    bound: dict[str, object]
    gone: int = field(default=0, init=False)
    unsure: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        places = self.chosen.column_of
        self._place_of = np.full(max(places, default=0) + 2, -1, dtype=np.int64)
        self._place_of[list(places)] = list(places.values())
        self._by_label = np.zeros(self._place_of.size, dtype=bool)
        self._by_label[list(self.chosen.by_label)] = True
        self._shared_columns = len(set(places.values())) < len(places)

    def read(self) -> Grids:
        """Return the arrays of all chosen agents and tasks."""
        columns = len(self.chosen.names)
        grids = Grids.empty(len(self.agents), columns, self._width())
        step = max(1, _CELLS // max(1, columns))
        for first in range(0, len(self.agents), step):
            lines = range(first, min(first + step, len(self.agents)))
            runs = self.runs.of(lines)
            if runs.ids.size and columns:
                self._read_lines(grids, lines, runs)
        return grids

    def notes(self) -> tuple[str, ...]:
        """Say what was left out of the matrix."""
        return notes_of(self.gone, self.unsure)

    def _width(self) -> int:
        """Return how many attempts the fullest cell has, or more."""
        bound = {"run_ids": self.runs.ids.tolist(), "metric_id": self.bound["metric_id"]}
        name = "widest_single"
        if not self.runs.single(self.chosen):
            name = "widest_cell"
            bound["lines"] = self.runs.lines.tolist()
            bound["task_ids"] = list(self.chosen.column_of)
            bound["columns"] = list(self.chosen.column_of.values())
        return int(fetch(self.connection, name, **bound)[0][0])

    def _fetch(self, name: str, **bound: object) -> dict[str, NDArray[np.int64]]:
        query = statement(name)
        wanted = {key: value for key, value in self.bound.items() if f"${key}" in query}
        found = self.connection.execute(query, {**wanted, **bound}).fetchnumpy()
        return {key: np.asarray(values) for key, values in found.items()}

    def _places(self, task_ids: IntArray) -> IntArray:
        """Return the columns of tasks; -1 for those that are not of the version."""
        return np.asarray(self._place_of[np.minimum(task_ids, self._place_of.size - 1)])

    def _is_unsure(self, task_ids: IntArray, same_version: BoolArray) -> BoolArray:
        """Tell which results may be at another content of their task."""
        known = np.minimum(task_ids, self._by_label.size - 1)
        return np.asarray(self._by_label[known] & ~same_version)

    def _read_lines(self, grids: Grids, lines: range, runs: Runs) -> None:
        first, last = int(runs.ids.min()), int(runs.ids.max())
        found = self._fetch("cells_of_runs", run_ids=runs.ids.tolist(), first=first, last=last)
        of_run = np.searchsorted(runs.ids, found["run_id"])
        places = self._places(found["task_id"])
        there = places >= 0
        kept = there & ~self._is_unsure(found["task_id"], runs.same_version[of_run])
        nth = runs.nth[of_run]
        if not kept.all() or nth.any():
            tried = found["valid"] + found["without_score"]
            self.gone += int(tried[~there].sum())
            self.unsure += int(tried[there & ~kept].sum())
            chosen = np.flatnonzero(kept)
            chosen = chosen[np.argsort(nth[chosen], kind="stable")]  # as attempts count
            of_run, places, nth = of_run[chosen], places[chosen], nth[chosen]
            found = {name: values[chosen] for name, values in found.items()}
        columns = len(self.chosen.names)
        cells = (runs.lines[of_run] - lines.start) * columns + places
        shape = (len(lines), columns)
        here = slice(lines.start, lines.stop)

        def total(values: NDArray[np.float64] | IntArray) -> FloatArray:
            size = len(lines) * columns
            return np.bincount(cells, weights=values, minlength=size).astype(np.float64, copy=False)

        attempts = total(found["valid"])
        grids.attempts[here] = attempts.reshape(shape)
        if found["without_score"].any():  # pages that are never written take no memory
            grids.without_score[here] = total(found["without_score"]).reshape(shape)
        for grid, name, count in (
            (grids.cost_usd, "cost_usd", "with_cost"),
            (grids.duration_s, "duration_s", "with_duration"),
        ):
            grid[here] = _ratio(total(found[name]), total(found[count])).reshape(shape)
        each = grids.attempt_scores[here].reshape(attempts.size, grids.attempt_scores.shape[2])
        units = np.clip(self.metric.units(np.array([0.0, 1.0])), 0.0, 1.0)
        sums = None
        if (
            found["without_bits"].any()
            or runs.alike.any()
            or (self._shared_columns and _twice(cells, nth))
        ):
            self._lay_attempts(each, lines)
        else:
            ones = _lay_bits(each, cells, found["tried"], found["solved"], units, nth)
            if sorted(units.tolist()) == [0.0, 1.0]:  # whose sum is the same in any order
                sums = ones if units[1] == 1 else attempts - ones
        if sums is None:
            sums = np.nansum(each, axis=1)
        grids.scores[here] = _ratio(sums, attempts).reshape(shape)

    def _lay_attempts(self, each: FloatArray, lines: range) -> None:
        """Lay the attempts of some agents side by side, in the order in which they count."""
        line_of = {n: line - lines.start for line in lines for n in self.agents[line].agent_ids}
        found = self._fetch(
            "attempts", agent_ids=list(line_of), first=min(line_of), last=max(line_of)
        )
        places = self._places(found["task_id"])
        kept = places >= 0
        kept &= ~self._is_unsure(found["task_id"], found["same_version"].astype(bool))
        agents, which = np.unique(found["agent_id"][kept], return_inverse=True)
        rows = np.array([line_of[int(number)] for number in agents], dtype=np.int64)
        cells = rows[which] * len(self.chosen.names) + places[kept]
        scores = np.clip(self.metric.units(found["score"][kept]), 0.0, 1.0)
        order = np.argsort(cells, kind="stable")
        ordered = cells[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if ordered.size else order
        sizes = np.diff(np.r_[starts, ordered.size])
        each[ordered, np.arange(ordered.size) - np.repeat(starts, sizes)] = scores[order]


def _lay_bits(
    each: FloatArray,
    cells: IntArray,
    tried: IntArray,
    solved: IntArray,
    units: FloatArray,
    nth: IntArray,
) -> FloatArray:
    """Lay the attempts that bits tell side by side, those of an agent's earlier runs first.

    Parameters
    ----------
    each : ndarray of float64, shape (n_cells, max_attempts)
        Changed in place.
    cells, tried, solved, nth : ndarray of int64, shape (n_rows,)
        The cell of each row, its bits, and which run of the agent it is of; in order of `nth`.
    units : ndarray of float64, shape (2,)
        What the scores 0 and 1 are between 0, the worst, and 1, the best.

    Returns
    -------
    ndarray of float64, shape (n_cells,)
        How many attempts of each cell have the score 1.
    """
    ones = np.zeros(each.shape[0])
    taken = np.zeros(each.shape[0], dtype=np.int64)
    last = int(nth[-1]) if nth.size else -1
    for run in range(int(nth[0]) if nth.size else 0, last + 1):
        mine = slice(*np.searchsorted(nth, [run, run + 1]))
        at, has, good = cells[mine], tried[mine], solved[mine]
        for bit in range(int(has.max(initial=0)).bit_length()):
            on = (has >> bit) & 1 == 1
            score = (good >> bit) & 1
            where = at
            if not on.all():
                score, where = score[on], at[on]
            each[where, taken[where]] = units[score]
            taken[where] += 1
            ones[where] += score
    return ones


def _twice(cells: IntArray, nth: IntArray) -> bool:
    """Whether two contents of one task make up a cell within one run."""
    return bool(np.unique(np.column_stack([cells, nth]), axis=0).shape[0] < cells.size)


def _ratio(total: FloatArray, count: FloatArray) -> FloatArray:
    """Divide sums by counts; NaN where nothing was counted."""
    out = np.full(total.shape, np.nan)
    return np.asarray(np.divide(total, count, out=out, where=count > 0))
